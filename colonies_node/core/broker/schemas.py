"""Whether a blueprint's spec is what its definition asks for (protocol/blueprints.md, section 3).

A schema is made into checks once for each spec, so that what a check needs of it is worked out once, not for each
element of an array. Numbers are equal by value (1 is 1.0), and objects whatever the order of their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from colonies_node.core.errors import BadRequest
from colonies_node.core.model.blueprint import Property, Schema

Check = Callable[[str, object], None]
"""Looks at a field, by its full name, and its value. Raises BadRequest."""

MAX_SHOWN: Final = 200
"""Characters of a value or a list of them in a refusal."""

_WANTED: Final = {
    "string": "a string",
    "number": "a number",
    "boolean": "a boolean",
    "object": "an object",
    "array": "an array",
}
_FORMS: Final[dict[type, tuple[str, str]]] = {
    str: ("string", "string"),
    int: ("number", "float64"),
    float: ("number", "float64"),
    bool: ("boolean", "bool"),
    dict: ("object", "map[string]interface {}"),
    list: ("array", "[]interface {}"),
    type(None): ("null", "<nil>"),
}
"""Type of a JSON value → (its name in a schema, the name that clients read in a refusal)."""


def check(schema: Schema, spec: dict[str, object]) -> None:
    """Raise BadRequest, with the text that clients know, unless the spec is as the schema says."""
    for name in schema.required:
        if name not in spec:
            raise _refusal(f"required field '{name}' is missing")
    _check_fields({name: _made(rule) for name, rule in schema.properties.items()}, "", spec)


def canonical(value: object) -> bytes:
    """One text for all that JSON holds to be equal."""
    return msgspec.json.encode(_plain(value), order="sorted")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _made(rule: Property) -> Check:
    """The check that a rule of the schema asks for."""
    wanted = _WANTED.get(rule.type)
    allowed = {canonical(choice) for choice in rule.enum}
    element = None if rule.items is None else _made(rule.items)
    fields = {name: _made(inner) for name, inner in rule.properties.items()}

    def check(field: str, value: object) -> None:
        form, called = _FORMS[type(value)]
        if wanted and form != rule.type:
            raise _refusal(f"field '{field}' must be {wanted}, got {called}")
        if element and isinstance(value, list):
            for index, item in enumerate(value):
                element(f"{field}[{index}]", item)
        if allowed and canonical(value) not in allowed:
            raise _refusal(f"field '{field}' must be one of [{_listed(rule.enum)}], got {_shown(value)}")
        if fields and isinstance(value, dict):
            _check_fields(fields, f"{field}.", value)

    return check


def _check_fields(checks: dict[str, Check], prefix: str, values: dict[str, object]) -> None:
    for name, value in values.items():
        if name in checks:
            checks[name](prefix + name, value)


def _refusal(text: str) -> BadRequest:
    return BadRequest(f"blueprint validation failed: {text}")


def _listed(values: Iterable[object]) -> str:
    text = ""
    for value in values:
        text += f" {_shown(value)}" if text else _shown(value)
        if len(text) > MAX_SHOWN:
            return text[:MAX_SHOWN] + "..."
    return text


def _shown(value: object) -> str:
    if value is None:
        return "<nil>"
    text = value if isinstance(value, str) else canonical(value).decode()
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."
