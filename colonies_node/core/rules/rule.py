"""A rule that has been read: a tree that cannot change, whether it holds, and how it is written."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from colonies_node.core.rules.names import NAMES, Value, known, told

SIGNS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Name:
    """A name of the table; as a condition of its own one that is yes or no."""

    name: str


@dataclass(frozen=True)
class Number:
    """An amount, with the text that it was written as."""

    value: float
    text: str = field(compare=False)


@dataclass(frozen=True)
class Text:
    """A text in quotes. There is no escape: it cannot hold both sorts of quotes."""

    value: str


Operand: TypeAlias = Name | Number | Text


@dataclass(frozen=True)
class Comparison:
    """Two values and one of SIGNS between them."""

    left: Operand
    sign: str
    right: Operand


@dataclass(frozen=True)
class Choice:
    """A name that is `in` a list of values."""

    name: Name
    values: tuple[Number | Text, ...]


@dataclass(frozen=True)
class Not:
    """The contrary."""

    part: Tree


@dataclass(frozen=True)
class And:
    """Two or more that must all be true; none of them is itself an And."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True)
class Or:
    """Two or more of which one must be true; none of them is itself an Or."""

    parts: tuple[Tree, ...]


Tree: TypeAlias = Name | Comparison | Choice | Not | And | Or


@dataclass(frozen=True)
class Rule:
    """A rule as `parse` makes it. Its text reads back as the same rule."""

    tree: Tree

    @property
    def names(self) -> frozenset[str]:
        """The names that it speaks of: no other value is needed."""
        return frozenset(_names(self.tree))

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Whether it is true for certain. A value that is None, not there or not of its kind is not known."""
        return _truth(self.tree, values) is True

    def explain(self, values: Mapping[str, Value]) -> str:
        """The rule with the present values: `battery (12) < 30 and not charging (no)`."""
        return _written(self.tree, lambda name: f"{name} ({told(values.get(name), NAMES[name].kind)})")

    def __str__(self) -> str:
        return _written(self.tree, str)


def _names(tree: Tree | Operand) -> Iterator[str]:
    match tree:
        case Name(name) | Choice(Name(name)):
            yield name
        case Comparison(left, _, right):
            yield from _names(left)
            yield from _names(right)
        case Not(part):
            yield from _names(part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from _names(part)


def _truth(tree: Tree, values: Mapping[str, Value]) -> bool | None:
    """True, False, or None where it depends on what is not known (Kleene's logic, as in SQL)."""
    match tree:
        case Not(part):
            truth = _truth(part, values)
            return None if truth is None else not truth
        case And(parts) | Or(parts):
            truths = {_truth(part, values) for part in parts}
            deciding = isinstance(tree, Or)
            return deciding if deciding in truths else None if None in truths else not deciding
        case Comparison(left, sign, right):
            first, second = _value(left, values), _value(right, values)
            return None if first is None or second is None else SIGNS[sign](first, second)
        case Choice(name, choices):
            value = _value(name, values)
            return None if value is None else any(value == choice.value for choice in choices)
        case Name():
            value = _value(tree, values)
            return None if value is None else bool(value)


def _value(operand: Operand, values: Mapping[str, Value]) -> Value:
    if not isinstance(operand, Name):
        return operand.value
    value = values.get(operand.name)
    return value if known(value, NAMES[operand.name].kind) else None


def _written(tree: Tree | Operand, say: Callable[[str], str]) -> str:
    """The tree as text, with as few parentheses as it needs and each name as `say` gives it."""

    def inside(part: Tree, *looser: type) -> str:
        text = _written(part, say)
        return f"({text})" if isinstance(part, looser) else text

    match tree:
        case Name(name):
            return say(name)
        case Number():
            return tree.text
        case Text(value):
            return f'"{value}"' if "'" in value else f"'{value}'"
        case Comparison(left, sign, right):
            return f"{_written(left, say)} {sign} {_written(right, say)}"
        case Choice(name, choices):
            return f"{say(name.name)} in ({', '.join(_written(choice, say) for choice in choices)})"
        case Not(part):
            return f"not {inside(part, And, Or)}"
        case And(parts):
            return " and ".join(inside(part, Or) for part in parts)
        case Or(parts):
            return " or ".join(_written(part, say) for part in parts)
