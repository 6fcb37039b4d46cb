"""Between values as JSON has them and their compact form in CBOR: numbers for names, bytes for ids, nothing for zeros.

Both ways are led by the declared type: `pack` is what a sender does, `unpack` what a receiver does, and the one undoes
the other exactly. Whatever has not the declared form passes as it is, for the receiver's records to judge.
"""

from __future__ import annotations

import binascii
import functools
import types
import typing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, NamedTuple, TypeVar, Union

import msgspec

from colonies_node.core.model.cbor import text_of
from colonies_node.core.model.numbers import FIELD_NUMBERS, FIELDS, Form
from colonies_node.core.model.times import NEVER, format_time
from colonies_node.core.model.wire import Malformed

Turn = Callable[[Any], Any]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST = 1 << 62
_R = TypeVar("_R")


def pack(kind: Any, plain: Any) -> Any:
    """The compact form of a value of that kind: of records, or of what they are in JSON."""
    turn = _packer(kind, Form.PLAIN)
    return plain if turn is None else turn(plain)


def unpack(kind: Any, value: Any) -> Any:
    """What `pack` was given: fields that were left out are there again. Raises Malformed."""
    turn = _unpacker(kind, Form.PLAIN, True)
    return value if turn is None or value is None else turn(value)


def read(record: type[_R], value: Any, msgtype: str) -> _R:
    """The message of that type in a compact form; null is a message without fields. Raises Malformed."""
    turn = _unpacker(typing.cast(Any, record), Form.PLAIN, False)
    assert turn is not None, "messages are records"
    plain = {} if value is None else turn(value)
    plain["msgtype"] = msgtype
    try:
        return msgspec.convert(plain, record)
    except (msgspec.ValidationError, RecursionError, OverflowError) as fault:
        raise Malformed(str(fault)) from None


# -- texts


def _pack_id(text: Any) -> Any:
    if type(text) is str and len(text) == 64:
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            return text
        if raw.hex() == text:
            return raw
    return text


def _unpack_id(value: Any) -> Any:
    if type(value) is bytes:
        if len(value) != 32:
            raise Malformed("an id that has not 32 bytes")
        return value.hex()
    return text_of(value)


def _pack_octets(value: Any) -> Any:
    if type(value) is str:
        try:
            raw = binascii.a2b_base64(value, strict_mode=True)
        except ValueError:  # also what is no ASCII
            return value
        if binascii.b2a_base64(raw, newline=False) == value.encode():
            return raw
    return value


def _unpack_octets(value: Any) -> Any:
    if type(value) is bytes:
        return binascii.b2a_base64(value, newline=False).decode()
    return text_of(value)


def _pack_time(text: Any) -> Any:
    if text == NEVER:
        return 0
    if type(text) is str and text.endswith("Z"):
        try:
            micros = (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
        except (ValueError, TypeError):  # no time, or one without a zone
            return text
        if _time_of(micros) == text:
            return micros
    return text


def _unpack_time(value: Any) -> Any:
    if type(value) is int:
        return _time_of(value)
    return text_of(value)


def _time_of(micros: int) -> str:
    try:
        return format_time(micros * 1000)
    except (OverflowError, ValueError, OSError):
        raise Malformed("a time that no calendar has") from None


_FORMS: dict[Form, tuple[Turn, Turn]] = {
    Form.ID: (_pack_id, _unpack_id),
    Form.OCTETS: (_pack_octets, _unpack_octets),
    Form.TIME: (_pack_time, _unpack_time),
}


# -- everything else, by its declared type


class _Known(NamedTuple):
    """A field of a record: its name here and on the wire, its kind and form, what it is when nothing is said, and
    whether JSON says it all the same."""

    attribute: str
    name: str
    number: int | None
    kind: Any
    form: Form
    zero: Any
    always: bool


@functools.cache
def _known(record: type[msgspec.Struct]) -> tuple[_Known, ...]:
    hints = typing.get_type_hints(record, include_extras=True)
    found = []
    for field in msgspec.structs.fields(record):
        number = FIELD_NUMBERS.get(field.encode_name)
        form = Form.PLAIN if number is None else FIELDS[number].form
        plain = field.default is not msgspec.NODEFAULT
        if field.required:
            zero = _zero(hints[field.name], form)
        else:
            zero = msgspec.to_builtins(field.default if plain else field.default_factory())
        always = not plain and field.default_factory not in (list, dict)
        found.append(_Known(field.name, field.encode_name, number, hints[field.name], form, zero, always))
    return tuple(found)


def _zero(kind: Any, form: Form) -> Any:
    """What a field without a default is when nothing is said."""
    kind, _ = _bare(kind)
    if kind is msgspec.Raw:
        return []
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {}
    if form is Form.TIME and kind is str:
        return NEVER
    return (typing.get_origin(kind) or kind)()


def _bare(kind: Any) -> tuple[Any, bool]:
    """A type without its notes and without null, and whether it may be null. A Raw is what its note says is in it."""
    if typing.get_origin(kind) is Annotated:
        kind, *notes = typing.get_args(kind)
        return (notes[0], False) if kind is msgspec.Raw else (kind, False)
    if typing.get_origin(kind) in (Union, types.UnionType):
        parts = [part for part in typing.get_args(kind) if part is not type(None)]
        nullable = len(parts) < len(typing.get_args(kind))
        return (_bare(parts[0])[0] if len(parts) == 1 else Union[tuple(parts)]), nullable  # noqa: UP007
    return kind, kind in (object, Any, msgspec.Raw)


@functools.cache
def _packer(kind: Any, form: Form) -> Turn | None:
    """What makes the compact form; None where that is the same."""
    kind, _ = _bare(kind)
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Union:
        if form in _FORMS:
            return _FORMS[form][0]
        return _by_form(list(parts), lambda part: _packer(part, form))
    if origin is list:
        inner = _packer(parts[0], form)
        return inner and (lambda value: [inner(item) for item in value] if type(value) is list else value)
    if origin is dict:
        each = _packer(parts[1], Form.PLAIN)
        return each and (lambda value: _each(each, value) if type(value) is dict else value)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _record_packer(kind)
    return _FORMS[form][0] if kind is str and form in _FORMS else None


def _each(turn: Turn, value: dict[Any, Any]) -> dict[Any, Any]:
    return {key: turn(item) for key, item in value.items()}


def _by_form(kinds: list[Any], turn_of: Callable[[Any], Turn | None]) -> Turn:
    """A list is the one kind of a union, whatever else the other."""
    (listed,) = (kind for kind in kinds if typing.get_origin(kind) is list)
    (bare,) = (kind for kind in kinds if typing.get_origin(kind) is not list)
    of_list, of_bare = turn_of(listed), turn_of(bare)

    def turn(value: Any) -> Any:
        chosen = of_list if type(value) is list else of_bare
        return value if chosen is None else chosen(value)

    return turn


class _Slot(NamedTuple):
    """How a field is packed: its attribute, its key, what it is not sent as, the type of that, and how its value is
    packed."""

    attribute: str
    key: int | str
    zero: Any
    kind: type
    inner: Turn | None


def _record_packer(record: type[msgspec.Struct]) -> Turn:
    slots: dict[str, _Slot] = {}

    def prepare() -> None:  # late: records may hold records of their own kind
        for known in _known(record):
            inner = _packer(known.kind, known.form)
            zero = known.zero if inner is None or known.zero is None else inner(known.zero)
            key = known.name if known.number is None else known.number
            slots[known.name] = _Slot(known.attribute, key, zero, type(zero), inner)

    def turn(plain: Any) -> Any:
        given = type(plain)
        if given is not dict and given is not record:
            return plain
        if not slots:
            prepare()
        packed: dict[int | str, Any] = {}
        if given is record:
            for attribute, key, zero, kind, inner in slots.values():
                value = getattr(plain, attribute)
                if type(value) not in _PLAIN:
                    value = _plain(value)
                if inner is not None and value is not None:
                    value = inner(value)
                if type(value) is not kind or value != zero:
                    packed[key] = value
            return packed
        for name, value in plain.items():
            slot = slots.get(name)
            if slot is None:
                packed[name] = value
                continue
            _, key, zero, kind, inner = slot
            if inner is not None and value is not None:
                value = inner(value)
            if type(value) is not kind or value != zero:
                packed[key] = value
        return packed

    return turn


_PLAIN = frozenset((str, int, float, bool, type(None), list, dict))


def _plain(value: Any) -> Any:
    """A field's value as JSON has it, but for records, which are packed as they are."""
    if type(value) is msgspec.Raw:
        return msgspec.json.decode(value)
    return value.value if isinstance(value, Enum) else value


@functools.cache
def _unpacker(kind: Any, form: Form, whole: bool) -> Turn | None:
    """What undoes `_packer`, of what is not null; with `whole` it fills in what was left out. None where there is
    nothing to do."""
    kind, _ = _bare(kind)
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Union:
        if form in _FORMS:
            return _FORMS[form][1]
        return _by_form(list(parts), lambda part: _unpacker(part, form, whole))
    if origin is list:
        return _list_unpacker(parts[0], form, whole)
    if origin is dict:
        return _map_unpacker(parts[1], whole)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _record_unpacker(kind, whole)
    return _FORMS[form][1] if kind is str and form in _FORMS else text_of


def _list_unpacker(kind: Any, form: Form, whole: bool) -> Turn:
    inner = _unpacker(kind, form, whole)
    assert inner is not None
    empty = None if _bare(kind)[1] else _zero(kind, form)

    def turn(value: Any) -> Any:
        if type(value) is not list:
            raise Malformed("something else where a list belongs")
        return [(inner(item) if item is not None else empty) for item in value]

    return turn


def _map_unpacker(kind: Any, whole: bool) -> Turn:
    inner = _unpacker(kind, Form.PLAIN, whole)
    assert inner is not None
    empty = None if _bare(kind)[1] else _zero(kind, Form.PLAIN)

    def turn(value: Any) -> Any:
        if type(value) is not dict:
            raise Malformed("something else where a map belongs")
        found = {}
        for key, item in value.items():
            if type(key) is not str:
                raise Malformed("a key is no text")
            found[key] = inner(item) if item is not None else empty
        return found

    return turn


def _record_unpacker(record: type[msgspec.Struct], whole: bool) -> Turn:
    fields: dict[int | str, tuple[str, bool, Turn | None]] = {}
    rest: list[tuple[str, Callable[[], Any]]] = []

    def prepare() -> None:
        for known in _known(record):
            entry = known.name, _bare(known.kind)[1], _unpacker(known.kind, known.form, whole)
            fields[known.name.lower()] = entry
            if known.number is not None:
                fields[known.number] = entry
            rest.append((known.name, _filling(known) if known.always else _NOTHING))

    def turn(value: Any) -> Any:
        if type(value) is not dict:
            raise Malformed("something else where a map belongs")
        if not fields:
            prepare()
        found: dict[str, Any] = {}
        for key, item in value.items():
            if type(key) is str:
                key = key.lower()
            elif type(key) is not int:
                raise Malformed("a key is neither a whole number nor a text")
            entry = fields.get(key)
            if entry is None:
                continue
            name, nullable, inner = entry
            if name in found:
                raise Malformed(f"{name} is there twice")
            if item is None:
                if nullable:
                    found[name] = None
            else:
                found[name] = item if inner is None else inner(item)
        if not whole:
            return found
        return {
            name: found[name] if name in found else fill()
            for name, fill in rest
            if name in found or fill is not _NOTHING
        }

    return turn


def _NOTHING() -> Any:
    """What fills a field that JSON leaves out too."""
    raise AssertionError("never called")


def _filling(known: _Known) -> Callable[[], Any]:
    """What makes a field's value when nothing was said."""
    kind, _ = _bare(known.kind)
    if known.zero is not None and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        turn = _unpacker(kind, Form.PLAIN, True)
        assert turn is not None
        return lambda: turn({})
    if isinstance(known.zero, list | dict):
        return type(known.zero)
    return lambda: known.zero
