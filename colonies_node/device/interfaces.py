"""The network interfaces of this machine that are up: what they are, without any address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from colonies_node.device import kernel

_ETHERNET, _PPP, _RAW_IP = 1, 512, 519
"""Types of interfaces in Linux (if_arp.h); modems speak the last two."""

_FASTEST: Final = 10_000_000  # Mbit/s


@dataclass(frozen=True)
class Interface:
    """One interface that is up."""

    name: str
    kind: str
    """`ethernet`, `wifi`, `mobile` (a modem) or `other`."""
    speed: int | None
    """Mbit/s in which the cable agreed; None if it is not told: wireless ones do not."""


def read(root: Path = Path("/")) -> tuple[Interface, ...]:
    """The interfaces in the order of their names: those of hardware and modems.

    What is made of software (the loopback, bridges, tunnels, the cables to containers) is left out.
    """
    return tuple(_found(root / "sys/class/net"))


def _found(folder: Path) -> Iterator[Interface]:
    for place in kernel.entries(folder, "*"):
        name, kind = kernel.plain(place.name), _kind(place)
        if name is not None and kind is not None and _is_up(place):
            yield Interface(name, kind, _speed(place / "speed"))


def _kind(place: Path) -> str | None:
    """None for an interface that is none of hardware."""
    form = kernel.number(place / "type")
    told = re.search(r"^DEVTYPE=(\w+)$", kernel.text(place / "uevent") or "", re.MULTILINE)
    if (told and told[1] == "wwan") or form in (_PPP, _RAW_IP):
        return "mobile"
    if not kernel.entries(place, "device"):
        return None
    if (told and told[1] == "wlan") or kernel.entries(place, "wireless"):
        return "wifi"
    return "ethernet" if form == _ETHERNET else "other"


def _is_up(place: Path) -> bool:
    """Some drivers do not say what state they are in, but whether there is somebody at the other end."""
    state = kernel.text(place / "operstate")
    return state == "up" or (state == "unknown" and kernel.number(place / "carrier") == 1)


def _speed(file: Path) -> int | None:
    speed = kernel.number(file)
    return speed if speed is not None and 0 < speed <= _FASTEST else None
