"""When a cron runs next: expressions of six fields (seconds first), descriptors, and `@every` durations.

The dialect is checked here, with the texts that clients know (protocol/workflows.md, 7.2), and each field becomes the
list of its values; `cronsim` then finds the next instant that matches, in the zone's time. In the hour that a change
to summer time skips nothing matches; the hour that is repeated in autumn counts twice.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from colonies_node.core import limits
from colonies_node.core.errors import BadRequest
from colonies_node.core.model.times import SECOND

HORIZON: Final = timedelta(days=5 * 366)
"""What does not match within five years never runs."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS: Final = {name: number for number, name in enumerate(_MONTHS, 1)}
DAYS: Final = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
FIELDS: Final[tuple[tuple[int, int, dict[str, int]], ...]] = (
    (0, 59, {}),
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, MONTHS),
    (0, 6, DAYS),
)
"""Lowest value, highest value and names of second, minute, hour, day of month, month, day of week."""

DESCRIPTORS: Final = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_UNITS: Final = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


@dataclass(frozen=True)
class Schedule:
    """A checked expression: `fields` for cronsim, or `every` so many nanoseconds."""

    fields: str
    every: int
    zone: tzinfo

    def after(self, now: int) -> int:
        """The first instant after `now` (both Unix nanoseconds) that matches; 0 if none does in five years."""
        seconds = now // SECOND
        if self.every:
            return seconds * SECOND + self.every
        since = datetime.fromtimestamp(seconds, UTC).astimezone(self.zone)
        try:
            found: datetime = next(CronSim(self.fields, since))
        except (CronSimError, StopIteration):
            return 0
        return int(found.timestamp()) * SECOND if found - since < HORIZON else 0


@functools.lru_cache(maxsize=1024)
def parse(expression: str, zone: str) -> Schedule:
    """A cron expression; `zone` is the zone if it names none. Raises BadRequest with the text for its fault."""
    if len(expression) > limits.MAX_NAME:
        raise BadRequest(f"A cron expression must have at most {limits.MAX_NAME} characters, got {len(expression)}")
    text = expression.strip()
    if not text:
        raise BadRequest("empty cron expression string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        named, _, text = text.partition(" ")
        zone, text = named.partition("=")[2], text.strip()
    info = _zone(zone)
    if text.startswith("@every "):
        return Schedule("", max(_duration(text.removeprefix("@every ")) // SECOND, 1) * SECOND, info)
    if text.startswith("@"):
        if text not in DESCRIPTORS:
            raise BadRequest(f"unrecognized descriptor: {text}")
        text = DESCRIPTORS[text]
    parts = text.split()
    if len(parts) != len(FIELDS):
        raise BadRequest(f"expected exactly 6 fields, found {len(parts)}: [{' '.join(parts)}]")
    return Schedule(" ".join(_field(part, *field) for part, field in zip(parts, FIELDS, strict=True)), 0, info)


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadRequest(f"provided bad location {name}: unknown time zone {name}") from None


def _duration(text: str) -> int:
    total, at = 0.0, 0
    for piece in _DURATION.finditer(text):
        if piece.start() != at:
            break
        total += float(piece[1]) * _UNITS[piece[2]]
        at = piece.end()
    if not at or at != len(text) or not total < limits.MAX_SECONDS * SECOND:
        raise BadRequest(f'failed to parse duration {text}: time: invalid duration "{text}"')
    return int(total)


def _field(text: str, low: int, high: int, names: dict[str, int]) -> str:
    """The field as a list of its values; `*` where every value was meant by a star."""
    values: set[int] = set()
    star = False
    for item in text.split(","):
        if item:
            found, every = _item(item, low, high, names)
            values.update(found)
            star = star or every
    if not values:
        raise BadRequest(f"no value in a field of the cron expression: {text}")
    # A star lets the other of the two day fields decide, whatever else is in its list.
    return "*" if star else ",".join(map(str, sorted(values)))


def _item(text: str, low: int, high: int, names: dict[str, int]) -> tuple[range, bool]:
    span, *steps = text.split("/")
    ends = span.split("-")
    star = ends[0] in ("*", "?")
    if star:
        start, end = low, high
        if len(ends) > 1:
            raise BadRequest(f"too many hyphens: {text}")
    elif len(ends) <= 2:
        start = _number(ends[0], names)
        end = _number(ends[1], names) if len(ends) == 2 else start
    else:
        raise BadRequest(f"too many hyphens: {text}")
    if len(steps) > 1:
        raise BadRequest(f"too many slashes: {text}")
    step = _number(steps[0], {}) if steps else 1
    if steps and len(ends) == 1 and not star:
        end = high
    if start < low:
        raise BadRequest(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise BadRequest(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise BadRequest(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise BadRequest(f"step of range should be a positive number: {text}")
    return range(start, end + 1, step), star and step == 1


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text, re.ASCII):
        raise BadRequest(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    number = int(text)
    if number < 0:
        raise BadRequest(f"negative number ({number}) not allowed: {text}")
    return number
