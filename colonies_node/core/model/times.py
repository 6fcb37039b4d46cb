"""Instants: integer Unix nanoseconds inside, RFC 3339 in UTC on the wire, 0 for "never" (year 1 on the wire)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

SECOND: Final = 1_000_000_000
DAY: Final = 86_400 * SECOND
NEVER: Final = "0001-01-01T00:00:00Z"

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def format_time(nanoseconds: int) -> str:
    """RFC 3339 in UTC with at most six fraction digits, trailing zeros trimmed, as clients get it from the
    reference."""
    if nanoseconds == 0:
        return NEVER
    seconds, rest = divmod(nanoseconds, SECOND)
    text = datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
    micros = rest // 1000
    if not micros:
        return text + "Z"
    return f"{text}.{micros:06d}".rstrip("0") + "Z"


def parse_time(text: str) -> int:
    """Unix nanoseconds of an RFC 3339 text; any instant of year 1 or outside int64 nanoseconds is "never", 0.

    Raises ValueError for anything else.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time")
    date, clock, fraction, zone = match.groups()
    if date.startswith(("0001-", "0000-")):
        return 0
    instant = datetime.fromisoformat(f"{date}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    delta = instant - _EPOCH
    nanoseconds = (delta.days * 86_400 + delta.seconds) * SECOND + int((fraction or "0").ljust(9, "0"))
    return nanoseconds if 0 < nanoseconds < 1 << 63 else 0
