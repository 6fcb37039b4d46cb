"""How records look on a terminal: tables, cards, times, states. What others wrote is shown, never obeyed."""

from __future__ import annotations

import json
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

STATES = ("Waiting", "Running", "Successful", "Failed", "Cancelled")
"""Words of the reference for the states of a process."""

SUCCESS, FAILED, CANCELLED = 2, 3, 4

ID_COLUMNS = 64

EXECUTOR_STATES = ("Pending", "Approved", "Rejected", "Unregistered")

_ROUND = ("╭┬╮", "├┼┤", "╰┴╯", "│", "─")
_PLAIN = ("+++", "+++", "+++", "|", "-")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def state_word(state: object, words: Sequence[str] = STATES) -> str:
    """The word for a state's number."""
    return words[state] if isinstance(state, int) and 0 <= state < len(words) else f"state {state}"


def when(text: object) -> str:
    """A time of the wire as `YYYY-MM-DD hh:mm:ss` in this machine's zone; empty for "never"."""
    if not isinstance(text, str) or text.startswith("0001-"):
        return ""
    try:
        return datetime.fromisoformat(_microseconds(text)).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return text


def amount(size: int) -> str:
    """Bytes as people read them: `812 B`, `1.5 MiB`."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(size.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{size / (1 << 10 * power):.{1 if power else 0}f} {units[power]}"


def moment(text: object) -> datetime:
    """A time of the wire, to put records in order; what is no time counts as long ago."""
    try:
        return datetime.fromisoformat(_microseconds(str(text))).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.min.replace(tzinfo=UTC)


def _microseconds(text: str) -> str:
    """Cut the fraction to what datetime reads: the wire has up to nine digits."""
    return re.sub(r"(\.\d{6})\d+", r"\1", text)


def printable(text: str) -> str:
    """Text for a terminal: lines, tabs and colours stay, other control characters become visible."""
    parts = _COLOUR.split(text)
    colours = _COLOUR.findall(text)
    shown = ["".join(c if c in "\n\t" else _visible(c) for c in part) for part in parts]
    return "".join(part + colour for part, colour in zip(shown, [*colours, ""], strict=True))


def _visible(letter: str) -> str:
    if letter.isprintable():
        return letter
    return letter.encode("unicode_escape").decode()


def cell(value: object) -> str:
    """A value on one line of a table; what is not a text is shown as JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(map(_visible, text))


def width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)


def cut(text: str, most: int) -> str:
    """The text, cut to so many columns."""
    if width(text) <= most:
        return text
    while width(text) > most - 1:
        text = text[:-1]
    return text + "…"


def table(
    titles: Sequence[str],
    rows: Iterable[Sequence[object]],
    plain: bool,
    *,
    empty: str = "",
    flexible: Sequence[str] = (),
) -> str:
    """A table with borders, or the sentence `empty` if there is no row.

    Columns that are empty in every row are left out; `flexible` ones give way to the terminal's width.
    """
    cells = [[cell(value) for value in row] for row in rows]
    if not cells:
        return empty
    kept = [n for n in range(len(titles)) if n == 0 or any(row[n] for row in cells)]
    cells = [[row[n] for n in kept] for row in cells]
    heads = [titles[n].upper() for n in kept]
    widths = [max(width(line[n]) for line in [heads, *cells]) for n in range(len(heads))]
    _give_way(widths, [heads.index(t.upper()) for t in flexible if t.upper() in heads])
    return _draw(heads, cells, widths, plain)


def _give_way(widths: list[int], flexible: list[int]) -> None:
    room = shutil.get_terminal_size((160, 24)).columns - 3 * len(widths) - 1
    for n in flexible:
        excess = sum(widths) - room
        if excess > 0:
            widths[n] = min(widths[n], max(12, widths[n] - excess))


def _draw(heads: list[str] | None, cells: list[list[str]], widths: list[int], plain: bool) -> str:
    top, middle, bottom, bar, dash = _PLAIN if plain else _ROUND

    def rule(ends: str) -> str:
        return ends[0] + ends[1].join(dash * (most + 2) for most in widths) + ends[2]

    def line(texts: list[str]) -> str:
        fitted = [cut(text, most) for text, most in zip(texts, widths, strict=True)]
        padded = [f" {text}{' ' * (most - width(text))} " for text, most in zip(fitted, widths, strict=True)]
        return bar + bar.join(padded) + bar

    head = [line(heads), rule(middle)] if heads else []
    return "\n".join([rule(top), *head, *map(line, cells), rule(bottom)])


def fold(line: str, most: int) -> Iterator[str]:
    """The line in pieces of so many columns at most, parted at a space where there is one."""
    start, space, taken = 0, -1, 0
    for n, letter in enumerate(line):
        while taken + width(letter) > most:
            end = space + 1 if space >= start else n
            yield line[start:end]
            start, taken = end, width(line[end:n])
        if letter == " ":
            space = n
        taken += width(letter)
    yield line[start:]


def card(pairs: Mapping[str, object], plain: bool) -> str:
    """One record, its fields that have a value below each other.

    A text keeps its lines; long ones are folded to the terminal's width. An id is never parted: people copy it.
    """
    shown = {name: value for name, value in pairs.items() if value not in (None, "", [], {})}
    room = shutil.get_terminal_size((160, 24)).columns - max(map(width, shown), default=0) - 7
    cells = []
    for name, value in shown.items():
        lines = value.rstrip("\n").split("\n") if isinstance(value, str) else [cell(value)]
        pieces = [piece for line in lines for piece in fold(cell(line.expandtabs()), max(room, ID_COLUMNS))]
        cells += [[name if n == 0 else "", piece] for n, piece in enumerate(pieces)]
    widths = [max((width(row[n]) for row in cells), default=1) for n in (0, 1)]
    return _draw(None, cells, widths, plain)


def indented(record: Any) -> str:
    """A document as people read it: JSON on lines of its own."""
    return json.dumps(record, indent=2, ensure_ascii=False)


def print_json(record: Any) -> None:
    """Print a record as the server sent it, indented."""
    click.echo(indented(record))


def print_done(reply: Any, sentence: str, as_json: bool) -> None:
    """Tell that something is done: in a sentence, or as JSON what the server answered, `{}` if that is nothing."""
    if as_json:
        print_json({} if reply is None else reply)
    else:
        click.echo(sentence)


def print_entry(entry: Mapping[str, Any]) -> None:
    """Print what a log entry says, on lines of its own."""
    message = str(entry["message"])
    write(message if message.endswith("\n") else message + "\n")


def write(text: str) -> None:
    """Write what a program said: as it is to a file or pipe, made harmless to a terminal."""
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()
