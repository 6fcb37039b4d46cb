"""The files in which Linux tells of the machine, in /proc and /sys. Any may be missing, unreadable or absurd."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

LONGEST: Final = 4096
"""Bytes that are read of a file; what is looked for comes first in nearly every one of them."""

MOST: Final = 1024
"""Entries of a folder that are looked at: more than any machine has sensors or cards."""

_NAME: Final = 100  # characters; the longest product names have half of that


def entries(folder: Path, pattern: str) -> list[Path]:
    """What matches in a folder, in the order of the names; nothing if it is no folder."""
    try:
        return sorted(islice(folder.glob(pattern), MOST))
    except OSError:
        return []


def text(path: Path, longest: int = LONGEST) -> str | None:
    """What a file of the kernel says, without the line end; None if it cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(longest).decode("ascii", "replace").strip()
    except OSError:
        return None


def number(path: Path) -> int | None:
    """The whole number that a file says; None if it says none."""
    said = text(path)
    return int(said) if said is not None and re.fullmatch(r"-?[0-9]{1,15}", said) else None


def name(path: Path) -> str | None:
    """The one name that a file says, such as that of a product; None if it is none that people could read."""
    return next(names(path), None)


def names(path: Path) -> Iterator[str]:
    """The names that a file says: the texts of a device tree end with NULs, and a property may have several."""
    for part in (text(path) or "").split("\0"):
        if (said := plain(part)) is not None:
            yield said


def plain(said: str) -> str | None:
    """A name with single spaces; None if it is empty, far too long, or has letters that no name has."""
    said = re.sub(r" +", " ", said).strip()
    return said if said and len(said) <= _NAME and said.isascii() and said.isprintable() else None


def sizes(path: Path) -> dict[str, int]:
    """The lines `Name: N kB` of /proc/meminfo, in bytes."""
    found = re.findall(r"^([A-Za-z_()0-9]+): +([0-9]{1,15}) kB$", text(path) or "", re.MULTILINE)
    return {key: int(size) << 10 for key, size in found}
