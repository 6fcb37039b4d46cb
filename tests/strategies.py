"""Strategies for the property tests: every new kind of value that tests make at random has its place here."""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any, Final, Union, get_type_hints

import msgspec
from hypothesis import strategies as st

from colonies_node.core.model.wire import Record, encode

EXECUTOR_NAMES: Final = ("ann", "bob", "cia")
LOCATIONS: Final = ("", "", "", "home", "Home", "sea")

names = st.sampled_from(EXECUTOR_NAMES)
"""An executor's name."""

name_lists = st.one_of(
    st.none(),
    st.none(),
    st.just([]),
    st.just(["*"]),
    st.lists(st.sampled_from((*EXECUTOR_NAMES, "gone")), min_size=1, max_size=3),
)
"""`executornames` of a function spec."""

cpus = st.sampled_from(("", "", "", "0m", "500m", "1", "1500m", "2"))
memories = st.sampled_from(("", "", "", "0", "1Mi", "1500M", "2Gi"))

conditions = st.fixed_dictionaries(
    {
        "executortype": st.sampled_from(("cli", "cli", "cli", "gpu")),
        "executornames": name_lists,
        "locationname": st.sampled_from(LOCATIONS),
        "cpu": cpus,
        "mem": memories,
        "nodes": st.sampled_from((0, 0, 0, 1, 127, 128)),
    }
)
"""What a process asks of its executor, all of it legal."""

specs = st.fixed_dictionaries(
    {
        "funcname": st.sampled_from(("count", "sum")),
        "conditions": conditions,
        "priority": st.sampled_from((-50_000, -1, 0, 0, 0, 1, 50_000)),
        "maxwaittime": st.sampled_from((-1, 0, 0, 5, 30)),
        "maxexectime": st.sampled_from((-1, 0, 0, 5, 30)),
        "maxretries": st.sampled_from((-1, 0, 1, 2)),
        "env": st.dictionaries(st.sampled_from(("A", "B")), st.text(max_size=3), max_size=2),
    }
)
"""A legal function spec without its colony."""

outputs = st.lists(st.one_of(st.integers(-9, 9), st.text(max_size=4), st.none(), st.booleans()), max_size=3)
errors = st.one_of(st.none(), st.lists(st.text(max_size=4), max_size=2))

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=8,
)
"""Any JSON value."""

_few_values = st.recursive(
    st.sampled_from((None, True, False, 0, 1, 1.0, 1.5, "a", "b")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(("a", "b")), inner, max_size=2)
    ),
    max_leaves=6,
)
_rules = st.recursive(
    st.fixed_dictionaries(
        {}, optional={"type": st.sampled_from(("string", "number", "boolean", "object", "array", "integer", ""))}
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(("object", "array", "number", "")),
            "properties": st.dictionaries(st.sampled_from(("a", "b")), inner, max_size=2),
            "items": inner,
            "enum": st.lists(_few_values, max_size=3),
        },
    ),
    max_leaves=6,
)
blueprint_schemas = st.fixed_dictionaries(
    {"properties": st.dictionaries(st.sampled_from(("a", "b")), _rules, max_size=2)},
    optional={"required": st.lists(st.sampled_from(("a", "b")), max_size=2)},
)
"""The schema of a blueprint definition."""

blueprint_specs = st.dictionaries(st.sampled_from(("a", "b")), _few_values, max_size=2)
"""A blueprint's spec; what such a schema allows and refuses comes up about equally often."""

_rule_texts = st.sampled_from(("''", "'a'", '"a"', '"it\'s"'))
_rule_signs = st.sampled_from(("<", "<=", ">", ">=", "==", "!="))
_rule_numbers = st.sampled_from(("-1", "0", "1", "2.5"))


def _shaped(shape: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda texts: shape.format(*texts))


rule_texts = st.recursive(
    st.one_of(
        st.sampled_from(("missing", "charging")),
        _shaped("{} {} {}", st.sampled_from(("priority", "queue")), _rule_signs, _rule_numbers),
        _shaped("{} {} {}", _rule_numbers, _rule_signs, st.sampled_from(("battery", "memory"))),
        _shaped("{}{}{}", st.sampled_from(("queue", "load")), _rule_signs, st.sampled_from(("gpu", "priority"))),
        _shaped("{} {} {}", st.sampled_from(("type", "label")), st.sampled_from(("==", "!=")), _rule_texts),
        _shaped("type {} ({}, {})", st.sampled_from(("in", "not in")), _rule_texts, _rule_texts),
        _shaped("queue {}({},{})", st.sampled_from(("in", "not in")), _rule_numbers, _rule_numbers),
    ),
    lambda inner: st.one_of(
        _shaped("({} and {})", inner, inner),
        _shaped("({} or {})", inner, inner),
        _shaped("{} and {}", inner, inner),
        _shaped("{} or {}", inner, inner),
        _shaped("not {}", inner),
        _shaped("(({}))", inner),
    ),
    max_leaves=8,
)
"""A rule; Python reads it too, and means the same when every value is known."""

_flags, _numbers, _texts = (
    ("missing", "charging"),
    ("priority", "queue", "battery", "memory", "load", "gpu"),
    ("type", "label"),
)
RULE_NAMES: Final = (*_flags, *_numbers, *_texts)
"""The names that those rules speak of."""

rule_values = st.fixed_dictionaries(
    {
        **dict.fromkeys(_flags, st.booleans()),
        **dict.fromkeys(_numbers, st.sampled_from((-1, 0, 1, 2.5, 3))),
        **dict.fromkeys(_texts, st.sampled_from(("", "a", "b", "it's"))),
    }
)
"""A value for each of them."""

_rule_words = ("and", "or", "not", "in", "(", ")", ",", "<", "<=", "==", "missing", "queue", "type", "waited")
_rule_amounts = ("5", "-1", "10m", "8Gi", "30%", "1.2.3", "'a'", '"b"')
rule_salads = st.lists(st.sampled_from((*_rule_words, *_rule_amounts, "=", "!", ".", "'", "\n", "é")), max_size=24).map(
    " ".join
)
"""The words of rules in any order."""

STRANGERS: Final[tuple[Any, ...]] = (
    "text",
    "",
    7,
    -1,
    2**63,
    -(2**63) - 1,
    10**400,
    1.5,
    True,
    None,
    [],
    [1],
    ["a", None],
    {},
    {"a": 1},
    [[[[]]]],
)
"""One of each sort of JSON value, to put where another sort belongs."""


def fields(record: type[msgspec.Struct], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every field of a record on the wire, those of the records inside it too."""
    hints = typing.get_type_hints(record, include_extras=True)
    found: list[tuple[str, ...]] = []
    for field in msgspec.structs.fields(record):
        path = (*prefix, field.encode_name)
        found.append(path)
        inner = struct_in(hints[field.name])
        if inner is not None:
            found += fields(inner, path)
    return found


def struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """The record that a field of this type holds directly, if it holds one."""
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in (Union, types.UnionType):
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


texts = st.one_of(
    st.text(),
    st.sampled_from(("a" * 64, "A" * 64, "0" * 63, "g" * 64, "aGk=", "aGk", "aG k=", "")),
    st.sampled_from(
        (
            "0001-01-01T00:00:00Z",
            "2027-01-15T08:00:00.5Z",
            "2027-01-15T08:00:00.50Z",
            "2027-01-15T08:00:00+02:00",
            "1969-12-31T23:59:59.999999Z",
            "2027-01-15",
            "9999-12-31T23:59:59.999999Z",
            "2027-01-15T24:00:00Z",
        )
    ),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
)
"""Texts, among them such as have, or nearly have, a form of their own in CBOR: ids, times, octets."""


@st.composite
def records(draw: st.DrawFn, kind: type[Record]) -> Record:
    """A record with fields of every declared type."""
    return kind(**{name: draw(_of(hint)) for name, hint in get_type_hints(kind, include_extras=True).items()})


def _of(hint: Any) -> st.SearchStrategy[Any]:
    origin, arguments = getattr(hint, "__origin__", None), getattr(hint, "__args__", ())
    if hasattr(hint, "__metadata__"):
        if hint.__origin__ is msgspec.Raw:
            return _of(hint.__metadata__[0]).map(lambda record: msgspec.Raw(encode(record)))
        return st.integers(-(2**63), 2**63 - 1)
    if isinstance(hint, type) and issubclass(hint, Record):
        return records(hint)
    if hint is msgspec.Raw:
        return st.lists(json_values, max_size=2).map(lambda value: msgspec.Raw(encode(value)))
    if hint is str:
        return texts
    if hint is object:
        return st.recursive(
            st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=5,
        )
    if origin is list:
        return st.lists(_of(arguments[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(st.text(), _of(arguments[1]), max_size=2)
    if arguments:
        return st.one_of(*map(_of, arguments))
    if hint is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    return st.from_type(hint)


_upstreams = st.sampled_from(("up", "up", "two"))

disk_stories = st.lists(
    st.one_of(
        st.sampled_from(("submit", "submit", "workflow", "give", "reported", "room", "room")),
        st.sampled_from(("log", "succeed", "succeed", "fail", "vanish", "more")),
        st.tuples(st.sampled_from(("write", "confirm", "tell", "tell", "unconfirm")), _upstreams),
        st.tuples(st.just("leave"), st.sampled_from((200, 100, 50, 20))),
    ),
    min_size=20,
    max_size=80,
)
"""What happens, one after the other, on a node whose disk fills up and that has an upstream, and perhaps another one:
`leave` names the free MiB."""
