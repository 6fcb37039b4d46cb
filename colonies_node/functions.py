"""Functions for a colony: `@function` marks one, and says what the colony is told of it and how a call reaches it.

Standard library only: it is imported in the interpreters that run functions (device/child.py). The package's own name
for `function` is `colonies_node.function`; this module has another name, because a module of that name would hide it.

annotations.py reads annotations, for the colony and for errors; fitting.py makes arguments fit them.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from colonies_node.annotations import choices, type_name, words
from colonies_node.fitting import Unfit, fitted

Function = TypeVar("Function", bound=Callable[..., Any])

MARK = "__colonies_function__"
"""The attribute of a function that is marked; `functools.wraps` hands it on to what is wrapped around it."""


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
        except Unfit as unfit:
            raise Misfit(
                f"{self.name}: {parameter.name}{unfit.where} must be {unfit.wanted}, not {unfit.found}"
            ) from None


def marked(target: Any) -> Marked | None:
    """What `@function` knows of a function, if it marked it."""
    found = getattr(target, MARK, None)
    return found if isinstance(found, Marked) else None


# -- what the colony is told ----------------------------------------------------------------------------------------

_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


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
    if description := words(parameter.annotation) or told.get(parameter.name, ""):
        about["description"] = description
    if allowed := choices(parameter.annotation):
        about["enum"] = allowed
    return about
