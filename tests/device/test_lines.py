"""What becomes of the bytes a program writes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from colonies_node.device.lines import Head, LineSplitter, Tail


def split(chunks: list[bytes], limit: int = 8192) -> list[str]:
    splitter = LineSplitter(limit)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return lines + splitter.feed(b"", final=True)


def test_a_line_is_given_when_its_end_has_come() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"one\ntw") == ["one"]
    assert splitter.feed(b"o\n") == ["two"]


def test_the_last_line_needs_no_end() -> None:
    assert split([b"one\ntwo"]) == ["one", "two"]


def test_a_progress_bar_gives_one_line_per_step() -> None:
    assert split([b"10%\r20%\r", b"\n30%\r\n"]) == ["10%", "20%", "30%"]


def test_bytes_that_are_not_text_are_replaced() -> None:
    assert split([b"a\xff\x00b\n"]) == ["a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b"]


def test_a_character_cut_in_two_is_whole_again() -> None:
    assert split(["ä".encode()[:1], "ä".encode()[1:]]) == ["ä"]


def test_a_very_long_line_comes_in_pieces() -> None:
    assert split([b"x" * 25 + b"\n"], limit=10) == ["x" * 10, "x" * 10, "x" * 5]


def test_a_line_without_end_is_never_held_whole() -> None:
    splitter = LineSplitter(limit=10)
    assert splitter.feed(b"x" * 1000) == ["x" * 10] * 99
    assert splitter.feed(b"", final=True) == ["x" * 10]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_how_the_bytes_arrive_does_not_matter(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert "".join(split(chunks, limit=16)) == "".join(split([data], limit=16))


def test_a_head_keeps_the_start_and_counts_the_rest() -> None:
    head = Head(4)
    for data in (b"abc", b"def", b"ghi"):
        head.feed(data)
    assert (head.text(), head.more) == ("abcd", 5)


def test_a_head_cut_inside_a_character_shows_nothing_of_it() -> None:
    head = Head(2)
    head.feed("aäb".encode())
    assert head.text() == "a"


def test_a_tail_keeps_the_end() -> None:
    tail = Tail(4)
    for data in (b"abc", b"", b"def\n"):
        tail.feed(data)
    assert tail.text() == "def"
