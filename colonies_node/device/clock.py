"""How good the clock of this machine is: whether somebody tells it the time, and whether it goes on without power."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from colonies_node.device import kernel

_TIME_ERROR: Final = 5
_STA_UNSYNC: Final = 0x40


@dataclass(frozen=True)
class Discipline:
    """What the kernel says of its clock (adjtimex(2))."""

    synchronised: bool
    error: float
    """Seconds by which the clock is wrong at the most, as the kernel reckons: it grows until the time is told again."""


@dataclass(frozen=True)
class Clock:
    """The clock of a machine. What is not known is None."""

    synchronised: bool | None
    """Whether somebody, such as an NTP client, has told the kernel the time lately."""
    error: float | None
    """Seconds by which it is wrong at the most; None unless it is synchronised."""
    battery: bool
    """Whether there is a clock that goes on while the power is off (/sys/class/rtc)."""


def _ask() -> Discipline | None:
    timex = _Timex()
    try:
        state = _adjtimex()(ctypes.byref(timex))
    except (AttributeError, OSError):
        return None  # a C library without it
    if state < 0:
        return None  # a container may not ask
    synchronised = state != _TIME_ERROR and not timex.status & _STA_UNSYNC
    return Discipline(synchronised, timex.maxerror / 1e6)


def read(root: Path = Path("/"), ask: Callable[[], Discipline | None] = _ask) -> Clock:
    """The clock as it is now. `root` is where sys is; `ask` asks the kernel."""
    said = ask()
    rtc = bool(kernel.entries(root / "sys/class/rtc", "rtc[0-9]*"))
    if said is None:
        return Clock(None, None, rtc)
    return Clock(said.synchronised, said.error if said.synchronised else None, rtc)


def synchronised() -> bool | None:
    """Whether the clock of this machine is synchronised; None if the kernel does not say."""
    said = _ask()
    return None if said is None else said.synchronised


class _Timex(ctypes.Structure):
    """The beginning of `struct timex`, which is the same everywhere, and room for all that may follow.

    With `modes` 0 nothing is set, and no right is needed.
    """

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


@cache
def _adjtimex() -> Any:
    return ctypes.CDLL(None).adjtimex
