"""The graphics processors that can compute: NVIDIA's cards, as nvidia-smi tells of them, and the one inside a Jetson.

To ask nvidia-smi takes from tens of milliseconds to seconds, and for ever where a driver hangs. So whoever must not
wait, as a rule that is looked at between two requests, gets what it said last, and a thread asks it anew meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from colonies_node.device import kernel
from colonies_node.device.environment import inherited

PROGRAM: Final = "nvidia-smi"

PATIENCE_S: Final = 5.0
"""Seconds that the program may take: a driver that has to wake its cards takes up to three."""

AGAIN_S: Final = 15.0
"""Seconds for which what it said is new enough not to ask again."""

STALE_S: Final = 90.0
"""Seconds after which what it said counts as not known."""

MOST_CARDS: Final = 64
"""More than any machine has; a card that is shared out counts once."""

MOST_SAID: Final = 1 << 14
"""Bytes that are read of its answer: a card takes a line of about 60."""

_FIELDS: Final = ("name", "memory.total", "memory.used", "utilization.gpu", "temperature.gpu")
_HOTTEST: Final = 150
_LARGEST: Final = 1 << 24  # MiB: 16 TiB
_CHIPS: Final = {"tegra210": "X1", "tegra186": "X2", "tegra194": "Xavier", "tegra234": "Orin", "tegra264": "Thor"}
_PLACES: Final = ("sys/devices", "sys/devices/platform", "sys/devices/platform/bus@0")
_NAMES: Final = ("gpu.0/load", "[0-9]*.g*/load")
"""A Jetson's GPU moved with the releases of its system: gpu.0, 57000000.gpu, 17000000.gv11b, bus@0/17000000.gpu."""


@dataclass(frozen=True)
class Gpu:
    """One graphics processor. What it does not tell is None."""

    name: str
    memory: int | None
    """Bytes of memory of its own, or of the machine's if that is `shared`."""
    used: int | None
    """Bytes of its own memory that are in use."""
    load: float | None
    """Percent of the time in which it was busy."""
    temperature: float | None
    """Degrees Celsius."""
    shared: bool
    """Whether it has no memory but the processor's."""


def read(root: Path = Path("/")) -> tuple[Gpu, ...]:
    """All GPUs of the machine, asked now: it may take PATIENCE_S."""
    cards = parsed(_answer())
    inside = integrated(root)
    # A Jetson's nvidia-smi lists the one inside too, without a memory: "Orin (nvgpu), [N/A], [N/A], ...".
    return (inside, *(card for card in cards if card.memory is not None)) if inside else tuple(cards)


def busiest(gpus: Iterable[Gpu]) -> float | None:
    """How busy the busiest is, in percent; None if none of them tells."""
    return max((gpu.load for gpu in gpus if gpu.load is not None), default=None)


# -- the one inside ----------------------------------------------------------------------------------------------------


def integrated(root: Path) -> Gpu | None:
    """The GPU inside a Jetson, which its device tree gives away; None on all other machines."""
    made_of = kernel.names(root / "sys/firmware/devicetree/base/compatible")
    chip = next((found[1] for one in made_of if (found := re.fullmatch(r"nvidia,(tegra[0-9]{2,4})", one))), None)
    if chip is None:
        return None
    memory = kernel.sizes(root / "proc/meminfo").get("MemTotal")
    return Gpu(f"NVIDIA {_CHIPS.get(chip, chip)}", memory, None, _load_inside(root), None, shared=True)


def _load_inside(root: Path) -> float | None:
    """In percent; the file counts in thousandths."""
    for place in _PLACES:
        for pattern in _NAMES:
            for file in kernel.entries(root / place, pattern):
                load = kernel.number(file)
                if load is not None and 0 <= load <= 1000:
                    return load / 10
    return None


# -- cards -------------------------------------------------------------------------------------------------------------


def parsed(answer: str) -> list[Gpu]:
    """The cards in what nvidia-smi printed. A line that is no card is left out: it prints its complaints there too."""
    return list(islice(_cards(answer), MOST_CARDS))


def _cards(answer: str) -> Iterator[Gpu]:
    for line in answer.splitlines():
        name, *amounts = (cell.strip() for cell in line.split(","))
        if len(amounts) != len(_FIELDS) - 1 or (card := kernel.plain(name)) is None or not all(map(_is_cell, amounts)):
            continue
        limits = (_LARGEST, _LARGEST, 100, _HOTTEST)
        total, used, load, heat = (_amount(cell, most) for cell, most in zip(amounts, limits, strict=True))
        yield Gpu(card, _mib(total), _mib(used), load, heat, shared=False)


def _is_cell(cell: str) -> bool:
    """A number, or in brackets why there is none: `[N/A]`, `[Not Supported]`, `[Unknown Error]`."""
    return re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?|\[[^]]*\]|N/A", cell) is not None


def _amount(cell: str, most: float) -> float | None:
    return float(cell) if cell[:1].isdecimal() and float(cell) <= most else None


def _mib(amount: float | None) -> int | None:
    return int(amount) << 20 if amount is not None else None


def _answer() -> str:
    """What nvidia-smi says within PATIENCE_S; nothing if there is no such program or it cannot be run."""
    program = shutil.which(PROGRAM)
    if program is None:
        return ""
    command = [program, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=inherited(os.environ, ()),
            start_new_session=True,
        )
    except OSError:
        return ""
    assert child.stdout is not None
    try:
        return _until(child.stdout.fileno(), time.monotonic() + PATIENCE_S).decode("ascii", "replace")
    finally:
        # It is not reaped yet, so its group is still its own. How it ended does not matter: with one of two cards
        # lost it prints the other and fails.
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
        child.stdout.close()
        # What hangs inside the kernel is not even killed: it is left alone then.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1.0)


def _until(pipe: int, deadline: float) -> bytes:
    """All that comes before the end, the deadline or MOST_SAID."""
    said = b""
    ready = select.poll()
    ready.register(pipe, select.POLLIN)
    while len(said) < MOST_SAID and ready.poll(max(deadline - time.monotonic(), 0) * 1000):
        if not (piece := os.read(pipe, MOST_SAID - len(said))):
            break
        said += piece
    return said


# -- what was said last ------------------------------------------------------------------------------------------------


class Latest:
    """How busy the GPUs are, for those that cannot wait for nvidia-smi."""

    def __init__(self) -> None:
        self._load: float | None = None
        self._told = float("-inf")
        self._asking = threading.Lock()

    def load(self, root: Path = Path("/")) -> float | None:
        """Percent of the busiest GPU: now, if it is inside a Jetson; else as it was up to STALE_S ago.

        None at the first call on a machine with cards, and where there is no GPU that tells. Cards that the kernel has
        put to sleep are not busy, and are not woken to say so.
        """
        if inside := integrated(root):
            return inside.load
        if _asleep(root):
            return 0.0
        age = time.monotonic() - self._told
        if age > AGAIN_S and shutil.which(PROGRAM) is not None and self._asking.acquire(blocking=False):
            threading.Thread(target=self._ask, args=(root,), name=PROGRAM, daemon=True).start()
        return self._load if age <= STALE_S else None

    def _ask(self, root: Path) -> None:
        try:
            self._load, self._told = busiest(read(root)), time.monotonic()
        finally:
            self._asking.release()


def _asleep(root: Path) -> bool:
    """Whether there are cards and all of them sleep: a laptop's does as long as nobody needs it."""
    files = kernel.entries(root / "sys/bus/pci/drivers/nvidia", "*:*/power/runtime_status")
    return {kernel.text(file) for file in files} == {"suspended"}


LATEST: Final = Latest()
"""That of this machine."""
