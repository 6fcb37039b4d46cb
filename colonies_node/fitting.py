"""Arguments made to fit. Standard library only, as functions.py.

What comes over the wire is JSON, and from a command line all of it is text. It is made to fit an annotation where
nobody can be surprised by it, and refused, with the place in it, where it does not fit.
"""

from __future__ import annotations

import enum
import json
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union

from colonies_node.annotations import plain, text, type_name

MAX_DIGITS = 4300
"""Digits of a whole number in a text: as many as Python reads."""


class Unfit(Exception):
    """A value does not fit: where in the argument it is, what was wanted there, and what it is."""

    def __init__(self, wanted: str, value: Any, where: str = "") -> None:
        super().__init__(wanted)
        self.wanted = wanted
        self.found = _shown(value)
        self.where = where


def fitted(value: Any, annotation: Any) -> Any:
    """A value of the wire as an annotation wants it; as it is where the annotation is none of the plain ones.

    Whole numbers, numbers, truth values and choices are also read from text. Raises Unfit.
    """
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return fitted(value, inner[0])
    if origin in (Union, types.UnionType):
        return _one_of(value, inner)
    if origin is Literal:
        return _choice(value, [(choice, choice) for choice in inner])
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _choice(value, [(member.value, member) for member in annotation]) if list(annotation) else value
    simple = _PLAIN.get(annotation) if isinstance(annotation, typing.Hashable) else None
    if simple is not None:
        return simple(value)
    if annotation is list or origin is list:
        return [_at(f"[{n}]", item, inner[:1]) for n, item in enumerate(_a(list, "a list", value))]
    if annotation is dict or origin is dict:
        return {name: _at(f"[{name!r}]", item, inner[1:]) for name, item in _a(dict, "an object", value).items()}
    if annotation is tuple or origin is tuple:
        return _tuple(_a(list, "a list", value), inner)
    return value


def _one_of(value: Any, annotations: Sequence[Any]) -> Any:
    """The value for the first alternative that it fits as it is, else for the first that it can be made to fit."""
    fits = []
    for annotation in annotations:
        try:
            made = fitted(value, annotation)
        except Unfit:
            continue
        if type(made) is type(value) and made == value:
            return made
        fits.append(made)
    if fits:
        return fits[0]
    raise Unfit(" or ".join(dict.fromkeys(_wanted(annotation) for annotation in annotations)), value)


def _wanted(annotation: Any) -> str:
    try:
        fitted(_NOTHING_FITS, annotation)
    except Unfit as unfit:
        return unfit.wanted
    return type_name(annotation)


_NOTHING_FITS = object()


def _none(value: Any) -> None:
    if value is not None:
        raise Unfit("null", value)


def _whole(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)  # other languages write 2 as 2.0
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+", value) and len(value) <= MAX_DIGITS:
        return int(value)
    raise Unfit("a whole number", value)


def _number(value: Any) -> float:
    written = isinstance(value, str) and re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", value)
    if type(value) in (int, float) or written:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise Unfit("a number", value)


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise Unfit("true or false", value)


def _words_only(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise Unfit("a text", value)


_PLAIN: Mapping[Any, Callable[[Any], Any]] = {
    int: _whole,
    float: _number,
    bool: _truth,
    str: _words_only,
    None: _none,
    type(None): _none,
}


def _choice(value: Any, choices: Sequence[tuple[Any, Any]]) -> Any:
    """The choice that a value, or its text, means; `choices` are pairs of what is allowed and what it means."""
    for allowed, meant in choices:
        if type(plain(allowed)) is type(value) and plain(allowed) == value:
            return meant
    if isinstance(value, str):
        for allowed, meant in choices:
            if text(plain(allowed)) == value:
                return meant
    raise Unfit("one of " + ", ".join(_shown(plain(allowed)) for allowed, _ in choices), value)


def _tuple(values: list[Any], inner: Sequence[Any]) -> tuple[Any, ...]:
    if not inner:
        return tuple(values)
    if inner[-1] is ...:
        return tuple(_at(f"[{n}]", value, inner[:1]) for n, value in enumerate(values))
    if len(values) != len(inner):
        raise Unfit(f"a list of {len(inner)}", values)
    return tuple(_at(f"[{n}]", value, inner[n : n + 1]) for n, value in enumerate(values))


def _at(where: str, value: Any, annotation: Sequence[Any]) -> Any:
    """A part of a value, of the one annotation that is given, if it is."""
    try:
        return fitted(value, annotation[0]) if annotation else value
    except Unfit as unfit:
        unfit.where = where + unfit.where
        raise


def _a(kind: type, wanted: str, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    raise Unfit(wanted, value)


def _shown(value: Any) -> str:
    """A value in an error, cut where it is long."""
    shown = repr(value) if isinstance(value, str) else json.dumps(value, default=repr)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
