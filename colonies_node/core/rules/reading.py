"""From the text of a rule to its tree: words, then one function for each level of the grammar.

    rule        either, and then nothing
    either      both { "or" both }
    both        negation { "and" negation }
    negation    "not" negation | "(" either ")" | condition
    condition   name | value sign value | name [ "not" ] "in" "(" value { "," value } ")"
    value       name | number | text in quotes
    sign        "<" | "<=" | ">" | ">=" | "==" | "!="

What a number means depends on the name that it is compared with: `10m` is ten minutes for one in seconds and ten
megabytes for one in bytes. So it is read where the name is known.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Final, Literal, NamedTuple, NoReturn

from colonies_node.core import limits
from colonies_node.core.errors import BadRequest
from colonies_node.core.rules.names import EXAMPLES, NAMES, Kind, amount
from colonies_node.core.rules.rule import (
    SIGNS,
    And,
    Choice,
    Comparison,
    Name,
    Not,
    Number,
    Operand,
    Or,
    Rule,
    Text,
    Tree,
)

_WORDS: Final = re.compile(
    r"""(?P<number>-?[0-9][0-9A-Za-z.]*(?:\s*%)?)
    |   (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |   (?P<text>'[^'\x00-\x1f\x7f]*'|"[^"\x00-\x1f\x7f]*")
    |   (?P<sign>[<>=!]=|[<>(),])
    |   (?P<space>\s+)""",
    re.ASCII | re.VERBOSE,
)
_KEYWORDS: Final = ("and", "or", "not", "in")
_HABITS: Final = {"=": "==", "&": "and", "|": "or", "!": "not"}
"""What other languages write, with the word that it has here."""

_VALUE: Final = "a name, a number or a text in quotes"


class _Word(NamedTuple):
    """A piece of the text and where it begins; the last one is the end, an empty text."""

    kind: Literal["number", "word", "text", "sign", "end"]
    text: str
    at: int


def parse(text: str, names: Collection[str] = NAMES) -> Rule:
    """The rule that a text means, which may speak of these names. Raises BadRequest that says what is wrong where."""
    if len(text) > limits.MAX_RULE:
        raise BadRequest(f"A rule must have at most {limits.MAX_RULE} characters, got {len(text)}.")
    rule = _Reading(text, names).rule()
    length = len(str(rule))
    if length > limits.MAX_RULE:  # so that what is written of a rule is a rule too
        raise BadRequest(f"A rule must have at most {limits.MAX_RULE} characters, got {length} with its words apart.")
    return rule


class _Reading:
    """The words of one text, and how far they are read."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self._text = text
        self._names = names
        self._words = self._split()
        self._next = 0

    def rule(self) -> Rule:
        tree = self._either(0)
        if self._word.kind != "end":
            self._expected("`and`, `or` or the end")
        return Rule(tree)

    # -- words -------------------------------------------------------------------------------------------------------

    def _split(self) -> list[_Word]:
        words, at = list[_Word](), 0
        while at < len(self._text):
            found = _WORDS.match(self._text, at)
            if found is None:
                self._unreadable(at)
            match found.lastgroup:
                case "number" | "word" | "text" | "sign" as kind:
                    words.append(_Word(kind, found[0], at))
            at = found.end()
        return [*words, _Word("end", "", at)]

    @property
    def _word(self) -> _Word:
        return self._words[self._next]

    def _at(self, *texts: str) -> bool:
        """Whether the next word is one of these, which are no text in quotes."""
        return self._word.text in texts

    def _take(self) -> _Word:
        self._next += 1
        return self._words[self._next - 1]

    def _taken(self, text: str) -> bool:
        """Go on if the next word is this."""
        if not self._at(text):
            return False
        self._take()
        return True

    # -- the grammar -------------------------------------------------------------------------------------------------

    def _either(self, depth: int) -> Tree:
        parts = [self._both(depth)]
        while self._taken("or"):
            parts.append(self._both(depth))
        flat = [inner for part in parts for inner in (part.parts if isinstance(part, Or) else (part,))]
        return Or(tuple(flat)) if len(flat) > 1 else flat[0]

    def _both(self, depth: int) -> Tree:
        parts = [self._negation(depth)]
        while self._taken("and"):
            parts.append(self._negation(depth))
        flat = [inner for part in parts for inner in (part.parts if isinstance(part, And) else (part,))]
        return And(tuple(flat)) if len(flat) > 1 else flat[0]

    def _negation(self, depth: int) -> Tree:
        start = self._word
        if self._taken("not"):
            return Not(self._negation(self._deeper(depth, start)))
        if self._taken("("):
            tree = self._either(self._deeper(depth, start))
            if not self._taken(")"):
                self._expected("`and`, `or` or `)`")
            return tree
        return self._condition(depth)

    def _deeper(self, depth: int, word: _Word) -> int:
        if depth == limits.MAX_RULE_NESTING:
            self._wrong(word, f"a rule may have at most {limits.MAX_RULE_NESTING} parentheses and `not` in each other")
        return depth + 1

    def _condition(self, depth: int) -> Tree:
        first = self._value("a condition")
        if self._at("not"):
            contrary = self._take()
            if not self._at("in"):
                self._expected("`in`")
            self._deeper(depth, contrary)  # it is written with the `not` in front
            return Not(self._choice(first))
        if self._at("in"):
            return self._choice(first)
        if self._at(*SIGNS):
            return self._comparison(first)
        if first.kind != "word":
            self._expected("`<`, `<=`, `>`, `>=`, `==` or `!=`")
        kind = NAMES[first.text].kind
        if kind is not Kind.FLAG:
            self._wrong(first, f"{first.text!r} is {_spoken(kind)}, not yes or no, and must be compared with something")
        return Name(first.text)

    def _comparison(self, first: _Word) -> Comparison:
        self._comparable(first)
        sign = self._take()
        second = self._value(_VALUE)
        if self._at("in", *SIGNS):
            self._wrong(self._word, "comparisons cannot be chained; put `and` between two of them")
        self._comparable(second)
        left, right = (NAMES[word.text].kind if word.kind == "word" else None for word in (first, second))
        kind = left or right
        if kind is None:
            self._wrong(first, "one side of a comparison must be a name")
        if left and right and left is not right:
            kinds = f"{first.text!r} is {_spoken(left)} and {second.text!r} {_spoken(right)}"
            self._wrong(second, f"{kinds}: they cannot be compared")
        if kind is Kind.TEXT and sign.text not in ("==", "!="):
            self._wrong(sign, "a text can only be compared with `==`, `!=` or `in`")
        return Comparison(self._operand(first, kind), sign.text, self._operand(second, kind))

    def _choice(self, name: _Word) -> Choice:
        if name.kind != "word":
            self._wrong(name, "only a name can stand before `in`")
        self._comparable(name)
        kind = NAMES[name.text].kind
        self._take()
        if not self._taken("("):
            self._expected("`(`")
        values = [self._constant(kind)]
        while self._taken(","):
            values.append(self._constant(kind))
        if not self._taken(")"):
            self._expected("`,` or `)`")
        return Choice(Name(name.text), tuple(values))

    def _comparable(self, word: _Word) -> None:
        if word.kind == "word" and NAMES[word.text].kind is Kind.FLAG:
            self._wrong(word, f"{word.text!r} is yes or no and is not compared; write it alone, or after `not`")

    # -- values ------------------------------------------------------------------------------------------------------

    def _value(self, what: str) -> _Word:
        word = self._word
        if word.kind in ("sign", "end") or word.text in _KEYWORDS:
            self._expected(what)
        if word.kind == "word" and word.text not in self._names:
            self._unknown(word)
        return self._take()

    def _operand(self, word: _Word, kind: Kind) -> Operand:
        return Name(word.text) if word.kind == "word" else self._literal(word, kind)

    def _constant(self, kind: Kind) -> Number | Text:
        if self._word.kind not in ("number", "text"):
            self._expected("a text in quotes" if kind is Kind.TEXT else "a number")
        return self._literal(self._take(), kind)

    def _literal(self, word: _Word, kind: Kind) -> Number | Text:
        if kind is Kind.TEXT:
            if word.kind == "text":
                return Text(word.text[1:-1])
            self._wrong(word, f"expected a text in quotes, found {_shown(word.text)}")
        written = re.sub(r"\s", "", word.text)
        value = amount(written, kind) if word.kind == "number" else None
        if value is None:
            self._wrong(word, f"expected {_amount_of(kind)} such as {EXAMPLES[kind]}, found {_shown(word.text)}")
        return Number(value, written)

    # -- what is wrong -----------------------------------------------------------------------------------------------

    def _expected(self, what: str) -> NoReturn:
        word = self._word
        self._wrong(word, f"expected {what}, found {'the end' if word.kind == 'end' else _shown(word.text)}")

    def _unknown(self, word: _Word) -> NoReturn:
        near = get_close_matches(word.text, self._names, n=1, cutoff=0.7)
        compared = self._next and self._words[self._next - 1].text in SIGNS
        hint = f"; did you mean {near[0]!r}?" if near else "; a text needs quotes." if compared else "."
        self._wrong(word, f"there is no name {_shown(word.text)}{hint} The names are {', '.join(self._names)}")

    def _unreadable(self, at: int) -> NoReturn:
        sign = self._text[at]
        if sign in "'\"":
            sentence = "the text in quotes does not end on its line"
        elif sign in _HABITS:
            sentence = f"{sign!r} means nothing here; write `{_HABITS[sign]}`"
        else:
            sentence = f"{sign!r} has no place in a rule"
        self._wrong(_Word("sign", sign, at), sentence)

    def _wrong(self, word: _Word, sentence: str) -> NoReturn:
        before = self._text[: word.at].strip()
        place = f"after {_shown(before[-24:].strip())}" if before else "where it begins"
        raise BadRequest(f"The rule is wrong at character {word.at + 1}, {place}: {sentence}.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 32 else text[:32] + "…")


def _spoken(kind: Kind) -> str:
    """What a value of this kind is."""
    return {Kind.TEXT: "a text", Kind.NUMBER: "a number", Kind.FLAG: "yes or no"}.get(kind, f"in {kind.value}")


def _amount_of(kind: Kind) -> str:
    return "a number" if kind is Kind.NUMBER else f"an amount in {kind.value}"
