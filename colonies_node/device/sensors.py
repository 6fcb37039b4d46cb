"""What this machine feels: batteries, load, heat, free memory and disk, as Linux tells it in /proc and /sys.

A sensor that is missing, cannot be read or says something absurd is None: most machines lack some, and a broken one
must not stop anything. Everything is read afresh; the files are in memory, so it takes a fraction of a millisecond
(a battery whose driver has to ask the hardware may take longer). Only NVIDIA's cards are not waited for: see gpus.py.
What the machine has is told by machine.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from colonies_node.device import clock, gpus, kernel
from colonies_node.device.gpus import Gpu

HEAT: Final = (-55, 125)
"""Degrees Celsius that such sensors can measure; broken ones say -274 or 127."""

BUSIEST: Final = 100_000
"""A load above it is no load: Linux runs out of process numbers before, on any number of cores."""

_UNITS = ("energy", "charge")  # in µWh or µAh, as the driver likes it


def read(data: Path, root: Path = Path("/"), asked: Sequence[Gpu] | None = None) -> dict[str, float | bool | None]:
    """Each sensor that rules know (core/rules/names.py) with what it says now; None if that is not known.

    `battery`, `memory` (free), `disk` (free, of the disk that holds `data`) and `gpu_load` in percent, `temperature` in
    degrees Celsius, `load` for each core, `charging` and `clock` (synchronised) yes or no. `root` is where proc and sys
    are; `asked` are the GPUs, if the caller has just asked them.
    """
    packs = list(_packs(root / "sys/class/power_supply"))
    return {
        "battery": _level(packs),
        "charging": _charging({pack.status for pack in packs}),
        "load": _load(root),
        "temperature": _hottest(root / "sys/class"),
        "memory": _memory(root / "proc/meminfo"),
        "disk": _disk(data),
        "gpu_load": gpus.LATEST.load(root) if asked is None else gpus.busiest(asked),
        "clock": clock.synchronised(),
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
    for supply in kernel.entries(folder, "*"):
        if (
            kernel.text(supply / "type") != "Battery"
            or kernel.text(supply / "scope") == "Device"
            or kernel.text(supply / "present") == "0"
        ):
            continue
        sizes = {unit: kernel.number(supply / f"{unit}_full") or 0 for unit in _UNITS}
        full = {unit: size for unit, size in sizes.items() if size > 0}
        level: float | None = kernel.number(supply / "capacity")
        for unit, size in full.items():
            now = kernel.number(supply / f"{unit}_now")
            if level is None and now is not None:
                level = now / size * 100
        status = kernel.text(supply / "status") or ""
        yield _Pack(level if level is not None and 0 <= level <= 100 else None, full, status)


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
    found = re.match(r"([0-9]{1,9}\.[0-9]{1,9}) ", kernel.text(root / "proc/loadavg") or "")
    load = float(found[1]) if found else None
    count = cores(root)
    return load / count if load is not None and count and load <= BUSIEST else None


def cores(root: Path) -> int | None:
    """How many processors are online."""
    return _counted(kernel.text(root / "sys/devices/system/cpu/online") or "") or os.cpu_count()


def _counted(online: str) -> int:
    """How many processors a list such as `0-3,6` names; 0 if it is none."""
    if not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*", online):
        return 0
    spans = [span.split("-") for span in online.split(",")]
    return max(sum(int(span[-1]) - int(span[0]) + 1 for span in spans), 0)


def _hottest(folder: Path) -> float | None:
    """The hottest thermal zone; the hottest sensor of any chip where there are no zones."""
    for place, names in (("thermal", "thermal_zone*/temp"), ("hwmon", "hwmon*/temp*_input")):
        readings = [kernel.number(file) for file in kernel.entries(folder / place, names)]
        heats = [reading / 1000 for reading in readings if reading is not None]
        sane = [heat for heat in heats if HEAT[0] <= heat <= HEAT[1]]
        if sane:
            return max(sane)
    return None


def _memory(file: Path) -> float | None:
    sizes = kernel.sizes(file)
    total, free = sizes.get("MemTotal", 0), sizes.get("MemAvailable", -1)
    return free / total * 100 if 0 <= free <= total and total else None


def _disk(data: Path) -> float | None:
    room = disk(data)
    return room[1] / room[0] * 100 if room else None


def disk(data: Path) -> tuple[int, int] | None:
    """Size and free bytes of the disk that holds a folder, as `df` counts: what is kept for root is neither free nor
    used."""
    try:
        room = os.statvfs(data)
    except (OSError, ValueError):
        return None
    size = room.f_blocks - room.f_bfree + room.f_bavail
    if size <= 0 or not 0 <= room.f_bavail <= size:
        return None
    return size * room.f_frsize, room.f_bavail * room.f_frsize
