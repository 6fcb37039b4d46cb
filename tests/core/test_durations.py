"""Durations are read as they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonies_node.core.model.durations import seconds, spoken


@given(st.integers(0, 10**9))
def test_a_duration_is_read_as_it_is_written(length: int) -> None:
    assert seconds(spoken(length).replace(" ", "")) == length


@pytest.mark.parametrize("text", ["", "1", "1m1h", "-1m", "1.5h", "m", "1 m", "1y"])
def test_what_is_no_duration_is_not_taken_for_one(text: str) -> None:
    assert seconds(text) is None
