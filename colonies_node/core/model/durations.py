"""Durations as people write and read them: `90s`, `10m`, `1h30m`."""

from __future__ import annotations

import re
from typing import Final

UNITS: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in UNITS))


def seconds(text: str) -> int | None:
    """How long `1d2h3m4s`, or a part of it, is; None if it is no duration."""
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        return None
    return sum(int(number or 0) * unit for number, unit in zip(found.groups(), UNITS.values(), strict=True))


def spoken(length: int, parts: int = len(UNITS)) -> str:
    """Seconds as `1h 30m`, cut to so many parts."""
    words = []
    for letter, unit in UNITS.items():
        number, length = divmod(length, unit)
        if number:
            words.append(f"{number}{letter}")
    return " ".join(words[:parts]) or "0s"
