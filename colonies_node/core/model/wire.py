"""Between bytes and records: as lenient as the clients need, as strict as the node must be.

Existing clients are served by Go's JSON decoder: a missing or null scalar is the zero value, unknown keys are
ignored, the case of keys does not matter, a wrong type is an error. `decode` keeps these rules in two gears. A
payload that is exactly as declared (nearly all are) goes through msgspec's compiled decoder, told to refuse unknown
keys; whatever that refuses is looked at again, slowly, by the lenient rules.
"""

from __future__ import annotations

import functools
import re
import types
import typing
from typing import Annotated, Any, TypeVar, Union

import msgspec

from colonies_node.core import limits

Int = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
"""A whole number of 64 bits, as every client's language has it."""

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")
_R = TypeVar("_R")


class Malformed(Exception):
    """The bytes are no JSON, or not of the declared shape; the text says where."""


class Record(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all records. A field made by `always` is always sent; one with a plain default is left out when it has
    it."""


def always(kind: Any) -> Any:
    """A field that is sent even when empty; `kind` makes its zero value (str, int, a record, ...)."""
    # msgspec leaves a field out when it equals its default; it compares builtin factories only, so wrap those.
    return msgspec.field(default_factory=functools.partial(kind))


def null() -> Any:
    """A field that is sent as null when nothing was given."""
    # Its type makes a null in less time than a function of ours would; what omits defaults does not know it either.
    return msgspec.field(default_factory=type(None))


encode = msgspec.json.Encoder().encode


def decode(kind: type[_R], data: bytes) -> _R:
    """A record of `kind` from JSON bytes. Raises Malformed."""
    check_bounds(data)
    try:
        return typing.cast(_R, _decoder(typing.cast(Any, kind)).decode(data))
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Malformed(str(fault)) from None
    try:
        return typing.cast(_R, _convert(msgspec.json.decode(data), kind, "$"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Malformed(str(fault)) from None


def check_bounds(data: bytes) -> None:
    """Refuse what is nested deeper, or has more arrays and objects, than limits.py allows. Raises Malformed."""
    if data.count(b"[") + data.count(b"{") <= limits.MAX_NESTING:
        return
    structure = _STRINGS.sub(b"", data)
    if structure.count(b"[") + structure.count(b"{") > limits.MAX_CONTAINERS:
        raise Malformed(f"more than {limits.MAX_CONTAINERS} arrays and objects")
    depth = 0
    for bracket in _BRACKETS.finditer(structure):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > limits.MAX_NESTING:
            raise Malformed(f"nested deeper than {limits.MAX_NESTING} levels")


@functools.cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, tuple[str, Any]]:
    """Wire name in lower case → (attribute, type) of a record's fields."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {f.encode_name.lower(): (f.name, hints[f.name]) for f in msgspec.structs.fields(kind)}


def _convert(value: Any, kind: Any, where: str) -> Any:
    """`value` as Go's decoder would put it into a field of type `kind`."""
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    origin = typing.get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _convert(value, _alternative(value, typing.get_args(kind)), where)
    if kind in (object, Any):
        return value
    if origin is list:
        return [_convert(v, typing.get_args(kind)[0], f"{where}[{i}]") for i, v in enumerate(_a(list, value, where))]
    if origin is dict:
        return {k: _convert(v, typing.get_args(kind)[1], f"{where}.{k}") for k, v in _a(dict, value, where).items()}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        known = _fields(kind)
        found = {}
        for key, item in _a(dict, value, where).items():
            field = known.get(key.lower())
            if field is not None and not (item is None and not _nullable(field[1])):
                found[field[0]] = _convert(item, field[1], f"{where}.{key}")
        return kind(**found)
    if value is None:
        return typing.cast(Any, kind)()
    if kind is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise Malformed(f"number out of range at {where}") from None
    if kind is int and type(value) is int and not -(1 << 63) <= value < 1 << 63:
        raise Malformed(f"number out of range at {where}")
    if type(value) is not kind:
        raise Malformed(f"expected {kind.__name__}, got {type(value).__name__} at {where}")
    return value


def _alternative(value: Any, kinds: tuple[Any, ...]) -> Any:
    """The kind that the value's form speaks for: a list where it is one; else the first of the others."""
    some = [kind for kind in kinds if kind is not type(None)]
    return next((kind for kind in some if (typing.get_origin(kind) is list) == isinstance(value, list)), some[0])


def _a(kind: type, value: Any, where: str) -> Any:
    if value is None:
        return kind()
    if type(value) is not kind:
        raise Malformed(f"expected {kind.__name__}, got {type(value).__name__} at {where}")
    return value


def _nullable(kind: Any) -> bool:
    return kind in (object, Any) or type(None) in typing.get_args(kind)
