"""Tables: they line up, they fit, and what others wrote cannot drive the terminal."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from colonies_node.cli.table import card, cell, fold, moment, printable, state_word, table, when, width

texts = st.text(max_size=20)


@given(st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=6))
def test_every_line_of_a_table_is_equally_wide(rows: list[tuple[str, str, str]]) -> None:
    lines = table(("A", "B", "C"), rows, plain=True).split("\n")
    assert len({width(line) for line in lines}) == 1
    assert len(lines) == len(rows) + 4


@given(st.text())
def test_a_cell_is_one_line_without_control_characters(text: str) -> None:
    assert all(letter.isprintable() for letter in cell(text))
    assert all(letter.isprintable() or letter in "\n\t" for letter in printable(text.replace("\x1b", "")))


def test_a_log_line_keeps_its_colour_and_loses_every_other_command() -> None:
    assert printable("\x1b[31mred\x1b[0m\n") == "\x1b[31mred\x1b[0m\n"
    assert printable("\x1b]0;title\x07 \x1b[2J") == "\\x1b]0;title\\x07 \\x1b[2J"


def test_a_plain_table_is_ascii_and_leaves_out_empty_columns() -> None:
    drawn = table(("Name", "Label", "Args"), [("a", "", ["x"]), ("b", "", [])], plain=True)
    assert drawn.splitlines()[1] == "| NAME | ARGS  |"
    assert drawn.isascii()
    assert table(("Name",), [], plain=True, empty="Nothing.") == "Nothing."


def test_a_long_flexible_column_gives_way_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    drawn = table(("Id", "Args"), [("i" * 20, "a" * 200)], plain=False, flexible=("Args",))
    assert {width(line) for line in drawn.splitlines()} == {60}
    assert "…" in drawn


@example(" aa\u6f22", 3)
@given(st.text(alphabet=st.characters(exclude_categories=["C", "M"])), st.integers(2, 30))
def test_a_folded_line_loses_nothing_and_fits(line: str, most: int) -> None:
    pieces = list(fold(line, most))
    assert "".join(pieces) == line
    assert all(width(piece) <= most for piece in pieces)


def test_a_card_keeps_lines_and_ids_and_folds_long_texts_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    drawn = card({"Id": "i" * 64, "Errors": "Traceback:\n\tline 1\n" + "x" * 200, "Kwargs": {"a": "\n"}}, plain=True)
    lines = drawn.splitlines()
    assert {width(line) for line in lines} == {100}
    assert "i" * 64 in drawn
    assert "| Errors | Traceback:" in drawn
    assert "|        |         line 1" in drawn
    assert "\\n" in lines[-2], "inside JSON a line end stays an escape"
    monkeypatch.setenv("COLUMNS", "40")
    assert "i" * 64 in card({"Id": "i" * 64}, plain=True)


def test_times_come_in_order_whatever_their_fraction() -> None:
    times = ["no time", "2026-11-22T11:41:16Z", "2026-11-22T11:41:16.4Z", "2026-11-22T13:41:16.41+02:00"]
    assert all(moment(one) < moment(two) for one, two in pairwise(times))


def test_times_are_local_and_never_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Europe/Stockholm")
    time.tzset()
    try:
        assert when("2026-11-22T11:41:16.498727123Z") == "2026-11-22 12:41:16"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert when("0001-01-01T01:12:12+01:12") == ""
    assert when("soon") == "soon"


def test_states_have_the_words_of_the_reference() -> None:
    assert [state_word(n) for n in range(5)] == ["Waiting", "Running", "Successful", "Failed", "Cancelled"]
    assert state_word(9) == "state 9"


def test_a_card_leaves_out_what_has_no_value() -> None:
    drawn = card({"Name": "a", "Output": [], "Errors": None, "Count": 0}, plain=True)
    assert "Output" not in drawn
    assert "Count" in drawn
    assert json.dumps(0) in drawn
