"""Write the pages of the manual that the program's own tables say.

What is written by hand stays: only the part between two marks is made. That of docs/messages.md comes from the rows of
`core/broker/table.py`, the records that they name, and the functions that decide, with their docstrings and refusals;
that of docs/sync.md from the table of options in `upstream.py`.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Union

import msgspec

from colonies_node.core import errors, limits
from colonies_node.core.broker import access, table
from colonies_node.core.broker.call import Done
from colonies_node.core.broker.table import Kind, Row
from colonies_node.core.model import numbers
from colonies_node.core.model.messages import Message
from colonies_node.core.model.wire import Record
from colonies_node.upstream import OPTIONS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "messages.md"
SYNC_PAGE = DOCS / "sync.md"
NUMBERS_PAGE = DOCS / "cbor.md"
NUMBERS_START, NUMBERS_END = "<!-- numbers: made by `python3 packaging/dev.py manual` -->", "<!-- end of numbers -->"
START, END = "<!-- messages: made by `python3 packaging/dev.py manual` -->", "<!-- end of messages -->"
OPTIONS_START, OPTIONS_END = "<!-- options: made by `python3 packaging/dev.py manual` -->", "<!-- end of options -->"

NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", object: "anything", Any: "anything"}
"""Plain types as people read them."""

LOOKS = (Kind.READ, Kind.SCAN, Kind.SUBSCRIBE)
"""What changes nothing."""


def main(arguments: list[str]) -> int:
    """Write the pages anew, and say where they are."""
    if arguments:
        print("manual takes no arguments: it writes all that is made", file=sys.stderr)
        return 2
    for page, anew in ((PAGE, renewed), (SYNC_PAGE, renewed_options), (NUMBERS_PAGE, renumbered)):
        page.write_text(anew(page.read_text()))
        print(page)
    return 0


def renewed(page: str) -> str:
    """The page of messages with its made part as the table is now."""
    return filled(page, START, messages(), END)


def renewed_options(page: str) -> str:
    """The page about links with its made part as the table is now."""
    return filled(page, OPTIONS_START, options(), OPTIONS_END)


def filled(page: str, start: str, text: str, end: str) -> str:
    """The page with a text between two marks."""
    before, _, rest = page.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{text}{end}{after}"


def options() -> str:
    """The options of a link to an upstream node, as a table."""
    lines = ["| node.toml | flag | default | meaning |", "|---|---|---|---|"]
    for name, option in OPTIONS.items():
        lines.append(f"| `{name}` | `{option.flags[0]}` | {option.default} | {option.help} |")
    return "\n".join(lines) + "\n"


def renumbered(page: str) -> str:
    """The page of the CBOR door with its made part as the tables of numbers are now."""
    before, _, rest = page.partition(NUMBERS_START)
    _, _, after = rest.partition(NUMBERS_END)
    return f"{before}{NUMBERS_START}\n{number_tables()}{NUMBERS_END}{after}"


def number_tables() -> str:
    """Every message type and every field with its number."""
    lines = ["| number | message type |", "|---|---|"]
    lines += [f"| {number} | [{name}](messages.md#{name}) |" for number, name in enumerate(numbers.MESSAGE_TYPES)]
    lines += ["", "| number | field | form |", "|---|---|---|"]
    for number, field in enumerate(numbers.FIELDS):
        form = "" if field.form is numbers.Form.PLAIN else field.form.value
        lines.append(f"| {number} | `{field.name}` | {form} |")
    return "\n".join([*lines, ""])


def messages() -> str:
    """The part of the page that is made: an index, every message by section, and every record that they name."""
    found = sections()
    lines = [f"- {name}: {', '.join(f'[{row.msgtype}](#{row.msgtype})' for row in rows)}" for name, rows in found]
    lines.append("")
    for name, rows in found:
        lines += [f"## {name[0].upper()}{name[1:]}", ""]
        for row in rows:
            lines += message(row)
    lines += [
        "## Records",
        "",
        "In alphabetical order. *Left out*: a reply has no such field while it is that.",
        "",
    ]
    for record in sorted(reached(), key=lambda record: record.__name__):
        lines += [f"### {record.__name__}", "", *prose(record), *fields(record, told=True)]
    return "\n".join(lines)


def sections() -> list[tuple[str, list[Row]]]:
    """The rows under the headings that the table has as comments; a heading without rows is left out."""
    found: list[tuple[str, list[Row]]] = []
    for line in inspect.getsource(table).splitlines():
        if heading := re.fullmatch(r"    # -- (.+)", line):
            found.append((heading[1], []))
        elif row := re.match(r'    _row\("(\w+)"', line):
            found[-1][1].append(table.TABLE[row[1]])
    return [(name, rows) for name, rows in found if rows]


def message(row: Row) -> list[str]:
    """A message type: what it does, what it takes, who may, what comes back."""
    lines = [f"### {row.msgtype}", "", *prose(row.decide)]
    lines += fields(row.record) if not row.lenient else ["The payload is not looked at.", ""]
    if "`" in (row.record.__doc__ or ""):  # else it says what the names of the fields do
        lines += prose(row.record)
    lines.append(f"- From: {row.right.who}{'' if row.signed else ', without a signature'}")
    lines.append(f"- Changes something: {'no' if row.kind in LOOKS else 'yes'}")
    lines.append(f"- Reply: {reply(row)}")
    lines += [f"- {status}: {text}" for status, text in refusals(row)]
    return [*lines, ""]


def reply(row: Row) -> str:
    """What a success brings."""
    gives = row.gives
    if gives is row.record:
        return "the message as it was sent"
    told = "`{}`" if gives is Done else kind_of(gives)
    if typing.get_origin(gives) is list:
        told += f", `{row.empty.decode()}` if it is empty"
    if row.kind is Kind.SUBSCRIBE:
        return f"on the websocket only, for each event: {kind_of(gives)}"
    return told + (f", as `{row.reply_type}`" if row.reply_type else "")


# -- records


def fields(record: type[msgspec.Struct], *, told: bool = False) -> list[str]:
    """A table of a record's fields; `told` for those that come back, which says what may be left out."""
    hints = typing.get_type_hints(record, include_extras=True)
    rows = [
        f"| `{field.encode_name}` | {kind_of(hints[field.name])} | {default_of(field, told)} |"
        for field in msgspec.structs.fields(record)
        if told or field.name != "msgtype"
    ]
    return ["| field | type | default |", "|---|---|---|", *rows, ""] if rows else []


def kind_of(kind: Any) -> str:
    """A type in words, with links to records."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return kind_of(parts[0])
    if origin in (Union, types.UnionType):
        return " or ".join("null" if part is type(None) else kind_of(part) for part in parts)
    if origin is list:
        return f"list of {kind_of(parts[0])}"
    if origin is dict:
        return f"object of {kind_of(parts[1])}"
    if kind is msgspec.Raw:
        return "JSON"
    return NAMES.get(kind) or f"[{kind.__name__}](#{kind.__name__.lower()})"


def default_of(field: msgspec.structs.FieldInfo, told: bool) -> str:
    """What a field is when it is not given."""
    if field.required:
        return ""
    plain = field.default_factory is msgspec.NODEFAULT
    value = field.default if plain else field.default_factory()
    # As wire.always and wire.null have it: what has a wrapped factory is always sent.
    omitted = plain or field.default_factory in (list, dict)
    shown = "of the record" if isinstance(value, msgspec.Struct) else f"`{json.dumps(value)}`"
    return shown + (", left out" if told and omitted else "")


def reached() -> set[type[Record]]:
    """Every record in a field or a reply, however deep, but the messages themselves."""
    found: set[type[Record]] = set()

    def visit(kind: Any) -> None:
        for part in typing.get_args(kind):
            visit(part)
        if isinstance(kind, type) and issubclass(kind, Record) and kind not in found:
            found.add(kind)
            for hint in typing.get_type_hints(kind, include_extras=True).values():
                visit(hint)

    for row in table.ROWS:
        visit(row.record)
        visit(row.gives)
    return {record for record in found if not issubclass(record, Message)}


def prose(named: Any) -> list[str]:
    """A docstring as lines, with an empty one behind it."""
    text = inspect.cleandoc(named.__doc__ or "")
    return (
        [*textwrap.wrap(" ".join(text.split()), 128, break_long_words=False, break_on_hyphens=False), ""]
        if text
        else []
    )


# -- refusals


def refusals(row: Row) -> list[tuple[int, str]]:
    """(status, text) of what a message may be refused with, in the order of the checks.

    Those of the right itself are the same for all messages, and are told once on the page.
    """
    found: list[tuple[int, str]] = []
    if not row.lenient:
        found += [(400, row.phrase + ", invalid JSON"), (400, row.mismatch)]
    if row.check is not None:
        found += raised(row.check)
    if row.right.missing:
        found.append((row.right.missing.status, row.right.missing.message))
    found += raised(row.decide)
    return list(dict.fromkeys((status, f"`{text}`") for status, text in found))


def raised(function: Callable[..., Any]) -> list[tuple[int, str]]:
    """What a function of the broker refuses with, and what it calls there; only texts that stand in the source."""
    return [refusal for part in called(function, set()) for refusal in own(part)]


def called(function: Callable[..., Any], seen: set[Any]) -> Iterator[Callable[..., Any]]:
    """The function and those of the broker that it calls, but for the checks of rights."""
    if function in seen or function.__module__ == access.__name__:
        return
    seen.add(function)
    yield function
    for node in ast.walk(tree(function)):
        if isinstance(node, ast.Call):
            target = named(node.func, function)
            if inspect.isfunction(target) and target.__module__.startswith("colonies_node.core.broker."):
                yield from called(target, seen)


def own(function: Callable[..., Any]) -> Iterator[tuple[int, str]]:
    """The refusals in the body of one function."""
    raises = (node for node in ast.walk(tree(function)) if isinstance(node, ast.Raise))
    for node in sorted(raises, key=lambda node: node.lineno):
        if isinstance(node.exc, ast.Call):
            error = named(node.exc.func, function)
            if isinstance(error, type) and issubclass(error, errors.Rejected) and node.exc.args:
                text, *status = node.exc.args
                words = literal(text)
                if words:
                    yield int(ast.unparse(status[0])) if status else error.status, words


def literal(node: ast.expr) -> str:
    """A text in the source, with its limits, and `…` for all else that is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        expression = ast.unparse(node.value)
        return str(eval(expression, {"limits": limits})) if expression.startswith("limits.") else "…"
    return str(node.value) if isinstance(node, ast.Constant) else ""


def named(node: ast.expr, function: Callable[..., Any]) -> Any:
    """What a name or `module.name` in a function means."""
    if isinstance(node, ast.Name):
        return inspect.unwrap(function).__globals__.get(node.id)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return getattr(inspect.unwrap(function).__globals__.get(node.value.id), node.attr, None)
    return None


@functools.cache
def tree(function: Callable[..., Any]) -> ast.Module:
    """The source of a function, read."""
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
