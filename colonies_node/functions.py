"""Functions for a colony: `@function` marks one, and says what the colony is told of it and how a call reaches it.

Standard library only: it is imported in the interpreters that run functions (device/child.py). The package's own name
for `function` is `colonies_node.function`; this module has another name, because a module of that name would hide it.

What comes over the wire is JSON, and from a command line all of it is text. So the arguments of a marked function are
made to fit its annotations where nobody can be surprised by it, and refused by name where they do not fit.
"""

from __future__ import annotations

import enum
import functools
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, overload

Function = TypeVar("Function", bound=Callable[..., Any])

MARK = "__colonies_function__"
"""The attribute of a function that is marked; `functools.wraps` hands it on to what is wrapped around it."""

MAX_DIGITS = 4300
"""Digits of a whole number in a text: as many as Python reads."""


class Misfit(TypeError):
    """The arguments of a call are not those of the function: one sentence that names the argument."""

    callers_fault = True


@overload
def function(target: Function, /) -> Function: ...


@overload
def function(*, name: str = "", description: str = "") -> Callable[[Function], Function]: ...


def function(target: Any = None, /, *, name: str = "", description: str = "") -> Any:
    """Mark a function as one that executors offer: `@function`, or `@function(name=..., description=...)`.

    It stays the function that it is. The colony sees its name, the first paragraph of its docstring, and for each
    argument the name, type, description (`Annotated[int, "how many"]`, or the section `Args:` of the docstring),
    whether it is required, and its choices (`Literal`, `Enum`). Raises TypeError for what cannot be marked.
    """
    if target is None:
        return functools.partial(_mark, name=name, description=description)
    return _mark(target, name=name, description=description)


def _mark(target: Any, *, name: str, description: str) -> Any:
    if isinstance(target, type) or not callable(target):
        raise TypeError(f"@function marks a function, not {target!r}")
    name = name or getattr(target, "__name__", "")
    if not name:
        raise TypeError(f"{target!r} has no name of its own: give one with @function(name=...)")
    try:
        setattr(target, MARK, Marked(name, description))
    except AttributeError:
        raise TypeError(f"{name} cannot be marked: write a function around it") from None
    return target


@dataclass(frozen=True)
class Marked:
    """What `@function` knows of a function, for `device/child.py`: the function itself is given each time, because
    others may have been wrapped around the one that was marked."""

    name: str
    description: str

    def describe(self, target: Callable[..., Any]) -> dict[str, Any]:
        """Name, description and arguments as the wire has them."""
        text = inspect.getdoc(target) or ""
        told = described(text)
        return {
            "name": self.name,
            "description": self.description or first_paragraph(text),
            "args": [_argument(parameter, told) for parameter in parameters(target) if parameter.kind not in _REST],
        }

    def fit(
        self, target: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments for a call, made to fit. Raises Misfit."""
        try:
            bound = inspect.signature(target).bind(*args, **kwargs)
        except TypeError as error:
            raise Misfit(f"{self.name}: {error}") from None
        for parameter in parameters(target):
            if parameter.name in bound.arguments:
                given = bound.arguments[parameter.name]
                bound.arguments[parameter.name] = self._fitted(parameter, given)
        return bound.args, bound.kwargs

    def outputs(self, value: Any) -> list[Any]:
        """What was returned as a process's outputs: a tuple is several, None none, anything else one."""
        return [] if value is None else list(value) if isinstance(value, tuple) else [value]

    def _fitted(self, parameter: inspect.Parameter, given: Any) -> Any:
        try:
            if parameter.kind is parameter.VAR_POSITIONAL:
                return tuple(fitted(value, parameter.annotation) for value in given)
            if parameter.kind is parameter.VAR_KEYWORD:
                return {name: fitted(value, parameter.annotation) for name, value in given.items()}
            return fitted(given, parameter.annotation)
        except _Unfit as unfit:
            raise Misfit(
                f"{self.name}: {parameter.name}{unfit.where} must be {unfit.wanted}, not {unfit.found}"
            ) from None


def marked(target: Any) -> Marked | None:
    """What `@function` knows of a function, if it marked it."""
    found = getattr(target, MARK, None)
    return found if isinstance(found, Marked) else None


# -- what the colony is told ----------------------------------------------------------------------------------------

_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_EMPTY = inspect.Parameter.empty


def parameters(target: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a function, with annotations that were written as text resolved, if they can be."""
    found = list(inspect.signature(target).parameters.values())
    try:
        hints = typing.get_type_hints(inspect.unwrap(target), include_extras=True)
    except Exception:  # an annotation may be any expression, and may name what is only there for a type checker
        return found
    return [parameter.replace(annotation=hints.get(parameter.name, parameter.annotation)) for parameter in found]


def first_paragraph(text: str) -> str:
    """The first paragraph of a docstring, as one line."""
    return " ".join(re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0].split())


_SECTION = re.compile(r"(?:Args|Arguments|Parameters):\s*")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")


def described(text: str) -> dict[str, str]:
    """What the section `Args:` of a docstring says of each argument."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    if not any(_SECTION.fullmatch(line) for line in lines):
        return found
    depth, name = None, ""
    for line in lines:
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        if not indent:
            break
        depth = indent if depth is None else depth
        entry = _ENTRY.fullmatch(line.strip()) if indent <= depth else None
        if entry:
            name = entry[1]
            found[name] = entry[2].strip()
        elif name:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def _argument(parameter: inspect.Parameter, told: Mapping[str, str]) -> dict[str, Any]:
    about: dict[str, Any] = {
        "name": parameter.name,
        "type": type_name(parameter.annotation),
        "required": parameter.default is parameter.empty,
    }
    if description := _words(parameter.annotation) or told.get(parameter.name, ""):
        about["description"] = description
    if choices := _choices(parameter.annotation):
        about["enum"] = choices
    return about


def type_name(annotation: Any) -> str:
    """How an annotation is called: `int`, `list[str]`, `float | None`; `any` if there is none."""
    if annotation is _EMPTY:
        return "any"
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, str):
        return annotation
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return type_name(inner[0])
    if origin is Literal:
        return " | ".join(dict.fromkeys(type_name(type(choice)) for choice in inner))
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(map(type_name, inner)))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " | ".join(dict.fromkeys(type_name(type(member.value)) for member in annotation)) or "any"
    if origin is not None and inner and not any(isinstance(part, list) for part in inner):
        of = ", ".join("..." if part is ... else type_name(part) for part in inner)
        return f"{type_name(origin)}[{of}]"
    if annotation is Any:
        return "any"
    return str(getattr(annotation, "__name__", annotation))


def _words(annotation: Any) -> str:
    """The text in `Annotated[..., "text"]`."""
    if typing.get_origin(annotation) is Annotated:
        return next((word for word in annotation.__metadata__ if isinstance(word, str)), "")
    return ""


def _choices(annotation: Any) -> list[str]:
    """The values that an annotation allows, as text; none if it allows more than can be listed."""
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is Annotated:
        return _choices(inner[0])
    if typing.get_origin(annotation) is Literal:
        return [_text(_plain(choice)) for choice in inner if choice is not None]
    if typing.get_origin(annotation) in (Union, types.UnionType):
        parts = [_choices(part) for part in inner if part is not type(None)]
        return [choice for part in parts for choice in part] if all(parts) else []
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return [_text(member.value) for member in annotation]
    return []


# -- arguments made to fit ------------------------------------------------------------------------------------------


class _Unfit(Exception):
    """A value does not fit: where in the argument it is, what was wanted there, and what it is."""

    def __init__(self, wanted: str, value: Any, where: str = "") -> None:
        super().__init__(wanted)
        self.wanted = wanted
        self.found = _shown(value)
        self.where = where


def fitted(value: Any, annotation: Any) -> Any:
    """A value of the wire as an annotation wants it; as it is where the annotation is none of the plain ones.

    Whole numbers, numbers, truth values and choices are also read from text. Raises _Unfit.
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
    plain = _PLAIN.get(annotation) if isinstance(annotation, typing.Hashable) else None
    if plain is not None:
        return plain(value)
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
        except _Unfit:
            continue
        if type(made) is type(value) and made == value:
            return made
        fits.append(made)
    if fits:
        return fits[0]
    raise _Unfit(" or ".join(dict.fromkeys(_wanted(annotation) for annotation in annotations)), value)


def _wanted(annotation: Any) -> str:
    try:
        fitted(_NOTHING_FITS, annotation)
    except _Unfit as unfit:
        return unfit.wanted
    return type_name(annotation)


_NOTHING_FITS = object()


def _none(value: Any) -> None:
    if value is not None:
        raise _Unfit("null", value)


def _whole(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)  # other languages write 2 as 2.0
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+", value) and len(value) <= MAX_DIGITS:
        return int(value)
    raise _Unfit("a whole number", value)


def _number(value: Any) -> float:
    text = isinstance(value, str) and re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", value)
    if type(value) in (int, float) or text:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise _Unfit("a number", value)


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise _Unfit("true or false", value)


def _words_only(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _Unfit("a text", value)


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
        if type(_plain(allowed)) is type(value) and _plain(allowed) == value:
            return meant
    if isinstance(value, str):
        for allowed, meant in choices:
            if _text(_plain(allowed)) == value:
                return meant
    raise _Unfit("one of " + ", ".join(_shown(_plain(allowed)) for allowed, _ in choices), value)


def _plain(choice: Any) -> Any:
    """A choice as the wire has it."""
    return choice.value if isinstance(choice, enum.Enum) else choice


def _tuple(values: list[Any], inner: Sequence[Any]) -> tuple[Any, ...]:
    if not inner:
        return tuple(values)
    if inner[-1] is ...:
        return tuple(_at(f"[{n}]", value, inner[:1]) for n, value in enumerate(values))
    if len(values) != len(inner):
        raise _Unfit(f"a list of {len(inner)}", values)
    return tuple(_at(f"[{n}]", value, inner[n : n + 1]) for n, value in enumerate(values))


def _at(where: str, value: Any, annotation: Sequence[Any]) -> Any:
    """A part of a value, of the one annotation that is given, if it is."""
    try:
        return fitted(value, annotation[0]) if annotation else value
    except _Unfit as unfit:
        unfit.where = where + unfit.where
        raise


def _a(kind: type, wanted: str, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    raise _Unfit(wanted, value)


def _text(value: Any) -> str:
    """A choice as text, the way a command line would have it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _shown(value: Any) -> str:
    """A value in an error, cut where it is long."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=repr)
    return text if len(text) <= 80 else f"{text[:77]}..."
