"""Instants are RFC 3339 in UTC on the wire, and year 1 is never."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonies_node.core.model.times import NEVER, SECOND, format_time, parse_time

LAST = int(datetime(2262, 1, 1, tzinfo=UTC).timestamp()) * SECOND


def test_never_is_year_one() -> None:
    assert format_time(0) == NEVER == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize("text", [NEVER, "0001-01-01T01:12:12+01:12", "0001-01-01T00:00:00.5Z"])
def test_year_one_in_any_zone_is_never(text: str) -> None:
    assert parse_time(text) == 0


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (1_795_261_276_000_000_000, "2026-11-21T11:41:16Z"),
        (1_795_261_276_420_890_000, "2026-11-21T11:41:16.42089Z"),
        (1_795_261_276_498_727_063, "2026-11-21T11:41:16.498727Z"),
        (1_795_261_276_000_000_999, "2026-11-21T11:41:16Z"),
    ],
)
def test_fractions_have_at_most_six_digits_without_trailing_zeros(nanoseconds: int, text: str) -> None:
    assert format_time(nanoseconds) == text


@given(st.integers(1, LAST // 1000).map(lambda micros: micros * 1000))
def test_a_time_reads_back_to_the_microsecond(nanoseconds: int) -> None:
    text = format_time(nanoseconds)
    assert parse_time(text) == nanoseconds
    assert datetime.fromisoformat(text).tzinfo is not None


@given(st.datetimes(datetime(1970, 1, 2), datetime(2261, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_the_zone_counts(instant: datetime, minutes: int) -> None:
    sign = "-" if minutes < 0 else "+"
    zone = f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    local = instant.isoformat(timespec="microseconds")
    assert parse_time(local + zone) == parse_time(local + "Z") - minutes * 60 * SECOND or parse_time(local + zone) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-21",
        "2026-11-21 11:41:16Z",
        "2026-11-21T11:41:16",
        "2026-11-21T11:41Z",
        "2026-13-21T11:41:16Z",
        "2026-02-30T11:41:16Z",
        "2026-11-21T25:41:16Z",
        "2026-11-21T11:41:16.Z",
        "2026-11-21T11:41:16.1234567890Z",
        "2026-11-21T11:41:16+1:00",
        "٢٠٢٦-11-21T11:41:16Z",
    ],
)
def test_what_is_no_rfc_3339_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


@given(st.text(max_size=40))
def test_any_text_is_an_instant_of_64_bits_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert 0 <= parse_time(text) < 1 << 63
