"""Durations as people write and read them: `90`, `10m`, `1h30m`."""

from __future__ import annotations

import re
import time
from typing import Final

import click

from colonies_node.cli.table import moment, when

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


def ahead(text: object, now: float | None = None) -> str:
    """A time of the wire that lies ahead, with how far: `2026-11-24 12:00:00 (in 4m 10s)`; empty for "never"."""
    shown = when(text)
    if not shown:
        return ""
    left = round(moment(text).timestamp() - (time.time() if now is None else now))
    return f"{shown} ({f'in {spoken(left, 2)}' if left > 0 else 'now'})"


class Duration(click.ParamType[int]):
    """A flag in seconds that takes `10m` too; -1 stands for "none"."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seconds."""
        text = str(value)
        found = int(text) if re.fullmatch("-1|[0-9]{1,12}", text) else seconds(text)
        if found is None:
            self.fail(f"{text!r} must be seconds, or a duration such as 10m or 1h30m.", param, ctx)
        return found
