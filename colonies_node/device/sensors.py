"""What this machine feels: batteries, load, heat, free memory and disk, as Linux tells it in /proc and /sys.

A sensor that is missing, cannot be read or says something absurd is None: most machines lack some, and a broken one
must not stop anything. Everything is read afresh; the files are in memory, so it takes a fraction of a millisecond
(a battery whose driver has to ask the hardware may take longer).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HEAT: Final = (-55, 125)
"""Degrees Celsius that such sensors can measure; broken ones say -274 or 127."""

BUSIEST: Final = 100_000
"""A load above it is no load: Linux runs out of process numbers before, on any number of cores."""

_LONGEST = 4096  # bytes; what we look for comes first in every one of these files
_UNITS = ("energy", "charge")  # in µWh or µAh, as the driver likes it


def read(data: Path, root: Path = Path("/")) -> dict[str, float | bool | None]:
    """Each sensor that rules know (core/rules/names.py) with what it says now; None if that is not known.

    `battery`, `memory` (free) and `disk` (free, of the disk that holds `data`) in percent, `temperature` in degrees
    Celsius, `load` for each core, `charging` yes or no. `root` is where proc and sys are.
    """
    packs = list(_packs(root / "sys/class/power_supply"))
    return {
        "battery": _level(packs),
        "charging": _charging({pack.status for pack in packs}),
        "load": _load(root),
        "temperature": _hottest(root / "sys/class"),
        "memory": _memory(root / "proc/meminfo"),
        "disk": _disk(data),
    }


# -- batteries -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pack:
    """One battery: how full in percent, what it holds when full by the unit of its driver, and its status."""

    level: float | None
    full: dict[str, int]
    status: str


def _packs(folder: Path) -> Iterator[_Pack]:
    """The batteries of the machine itself, without those of a mouse or a headset (scope Device) and empty bays."""
    for supply in _entries(folder, "*"):
        if (
            _text(supply / "type") != "Battery"
            or _text(supply / "scope") == "Device"
            or _text(supply / "present") == "0"
        ):
            continue
        sizes = {unit: _number(supply / f"{unit}_full") or 0 for unit in _UNITS}
        full = {unit: size for unit, size in sizes.items() if size > 0}
        level: float | None = _number(supply / "capacity")
        for unit, size in full.items():
            now = _number(supply / f"{unit}_now")
            if level is None and now is not None:
                level = now / size * 100
        yield _Pack(level if level is not None and 0 <= level <= 100 else None, full, _text(supply / "status") or "")


def _level(packs: list[_Pack]) -> float | None:
    """The mean of the packs that say how full they are: by size, if all tell it in the same unit."""
    told = [(pack.level, pack.full) for pack in packs if pack.level is not None]
    if not told:
        return None
    unit = next((unit for unit in _UNITS if all(unit in full for _, full in told)), None)
    sizes = [full[unit] if unit else 1 for _, full in told]
    return sum(level * size for (level, _), size in zip(told, sizes, strict=True)) / sum(sizes)


def _charging(statuses: set[str]) -> bool | None:
    """Of several packs one is often charged while the others, with the status Unknown, wait for their turn."""
    if "Charging" in statuses:
        return True
    if statuses & {"Discharging", "Not charging"}:
        return False
    return True if "Full" in statuses else None


# -- the rest --------------------------------------------------------------------------------------------------------


def _load(root: Path) -> float | None:
    found = re.match(r"([0-9]{1,9}\.[0-9]{1,9}) ", _text(root / "proc/loadavg") or "")
    load = float(found[1]) if found else None
    cores = _cores(_text(root / "sys/devices/system/cpu/online") or "") or os.cpu_count()
    return load / cores if load is not None and cores and load <= BUSIEST else None


def _cores(online: str) -> int:
    """How many processors a list such as `0-3,6` names; 0 if it is none."""
    if not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*", online):
        return 0
    spans = [span.split("-") for span in online.split(",")]
    return max(sum(int(span[-1]) - int(span[0]) + 1 for span in spans), 0)


def _hottest(folder: Path) -> float | None:
    """The hottest thermal zone; the hottest sensor of any chip where there are no zones."""
    for place, names in (("thermal", "thermal_zone*/temp"), ("hwmon", "hwmon*/temp*_input")):
        readings = [_number(file) for file in _entries(folder / place, names)]
        heats = [reading / 1000 for reading in readings if reading is not None]
        sane = [heat for heat in heats if HEAT[0] <= heat <= HEAT[1]]
        if sane:
            return max(sane)
    return None


def _memory(file: Path) -> float | None:
    sizes = dict(re.findall(r"^(MemTotal|MemAvailable): +([0-9]{1,18}) kB$", _text(file) or "", re.MULTILINE))
    total, free = int(sizes.get("MemTotal", 0)), int(sizes.get("MemAvailable", -1))
    return free / total * 100 if 0 <= free <= total and total else None


def _disk(data: Path) -> float | None:
    """As `df` counts it: what is kept for root is neither free nor used."""
    try:
        room = os.statvfs(data)
    except (OSError, ValueError):
        return None
    size = room.f_blocks - room.f_bfree + room.f_bavail
    return room.f_bavail / size * 100 if size > 0 and 0 <= room.f_bavail <= size else None


# -- files -----------------------------------------------------------------------------------------------------------


def _entries(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _text(path: Path) -> str | None:
    """What a file of the kernel says, without the line end; None if it cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(_LONGEST).decode("ascii", "replace").strip()
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text is not None and re.fullmatch(r"-?[0-9]{1,15}", text) else None
