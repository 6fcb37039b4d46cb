"""CBOR (RFC 8949) as the node takes it: bytes from anybody, looked through before anything is built of them.

Taken are maps, arrays, texts, byte strings, integers, big integers (tags 2 and 3), floats, booleans and null, with
definite lengths. Everything else, other tags above all, is refused, as are duplicate keys and what comes after the end.
"""

from __future__ import annotations

from typing import Any

import cbor2

from colonies_node.core import limits
from colonies_node.core.model.wire import Malformed

dumps = cbor2.dumps

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _OTHER = range(8)
_BIG = (2, 3)
_PLAIN_OTHERS = {0xF4: 1, 0xF5: 1, 0xF6: 1, 0xF9: 3, 0xFA: 5, 0xFB: 9}
"""false, true, null and the three floats → bytes that they take."""


def loads(data: bytes) -> Any:
    """The one value in the bytes. Raises Malformed."""
    if end_of(data) != len(data):
        raise Malformed("something follows the end")
    try:
        return cbor2.loads(data, max_depth=limits.MAX_NESTING + 1, allow_indefinite=False, allow_duplicate_keys=False)
    except (cbor2.CBORDecodeError, UnicodeDecodeError) as fault:
        raise Malformed(str(fault)) from None


def end_of(data: bytes, start: int = 0) -> int:
    """The place behind the value that begins at `start`. Raises Malformed for what the node does not take."""
    place, size = start, len(data)
    items = containers = 0
    # How many values are still to come in each array or map that is open; the last one is the innermost.
    open_: list[int] = []
    left = 1
    try:
        while True:
            while left:
                left -= 1
                first = data[place]
                step = _STEPS[first]
                if step:
                    place += step
                    continue
                kind, low = first >> 5, first & 31
                place += 1
                if low < 24:
                    value = low
                elif low < 28:
                    width = 1 << (low - 24)
                    value = int.from_bytes(data[place : place + width], "big")
                    place += width
                    if place > size:
                        raise Malformed("it ends too early")
                else:
                    raise Malformed("a length is indefinite")
                if kind <= _TEXT:
                    place += value
                elif kind == _TAG:
                    place = _after_big_integer(data, place, value)
                elif kind == _OTHER:
                    raise Malformed("a simple value that is not false, true or null")
                else:
                    containers += 1
                    if containers > limits.MAX_CONTAINERS:
                        raise Malformed(f"more than {limits.MAX_CONTAINERS} arrays and maps")
                    if len(open_) >= limits.MAX_NESTING:
                        raise Malformed(f"nested deeper than {limits.MAX_NESTING} levels")
                    open_.append(left)
                    left = value << (kind - _ARRAY)
                    items += left
                    if items > limits.MAX_ITEMS:
                        raise Malformed(f"more than {limits.MAX_ITEMS} values")
            if not open_:
                break
            left = open_.pop()
    except IndexError:
        raise Malformed("it ends too early") from None
    if place > size:
        raise Malformed("it ends too early")
    return place


def _step(first: int) -> int:
    """How many bytes a value has that begins with this one, where nothing else has to be known; else 0."""
    kind, low = first >> 5, first & 31
    if kind <= _NEGATIVE:
        return 1 if low < 24 else 1 + (1 << (low - 24)) if low < 28 else 0
    if kind <= _TEXT:
        return 1 + low if low < 24 else 0
    return _PLAIN_OTHERS.get(first, 0)


_STEPS = bytes(map(_step, range(256)))


def _after_big_integer(data: bytes, place: int, tag: int) -> int:
    if tag not in _BIG or data[place] >> 5 != _BYTES:
        raise Malformed(f"tag {tag} is not taken")
    low = data[place] & 31
    if low < 24:
        end = place + 1 + low
    elif low in (24, 25):
        width = low - 23
        length = int.from_bytes(data[place + 1 : place + 1 + width], "big")
        if length > limits.MAX_INTEGER:
            raise Malformed("an integer is too large")
        end = place + 1 + width + length
    else:
        raise Malformed("an integer is too large")
    if end > len(data):
        raise Malformed("it ends too early")
    return end


def text_of(value: Any) -> Any:
    """A value that belongs to the user, checked to be one that JSON has too. Raises Malformed for a byte string and
    for a key that is no text."""
    kind = type(value)
    if kind is list:
        for item in value:
            if type(item) not in _SCALARS:
                text_of(item)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise Malformed("a key is no text")
            if type(item) not in _SCALARS:
                text_of(item)
    elif kind not in _SCALARS:
        raise Malformed("a byte string where there can be none")
    return value


_SCALARS = frozenset((str, int, float, bool, type(None)))
