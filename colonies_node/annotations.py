"""What an annotation says, for people and for the wire. Standard library only, as functions.py."""

from __future__ import annotations

import enum
import inspect
import json
import types
import typing
from typing import Annotated, Any, Literal, Union


def type_name(annotation: Any) -> str:
    """How an annotation is called: `int`, `list[str]`, `float | None`; `any` if there is none."""
    if annotation is inspect.Parameter.empty:
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


def words(annotation: Any) -> str:
    """The text in `Annotated[..., "text"]`."""
    if typing.get_origin(annotation) is Annotated:
        return next((word for word in annotation.__metadata__ if isinstance(word, str)), "")
    return ""


def choices(annotation: Any) -> list[str]:
    """The values that an annotation allows, as text; none if it allows more than can be listed."""
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is Annotated:
        return choices(inner[0])
    if typing.get_origin(annotation) is Literal:
        return [text(plain(choice)) for choice in inner if choice is not None]
    if typing.get_origin(annotation) in (Union, types.UnionType):
        parts = [choices(part) for part in inner if part is not type(None)]
        return [choice for part in parts for choice in part] if all(parts) else []
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return [text(member.value) for member in annotation]
    return []


def plain(choice: Any) -> Any:
    """A choice as the wire has it."""
    return choice.value if isinstance(choice, enum.Enum) else choice


def text(value: Any) -> str:
    """A choice as text, the way a command line would have it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
