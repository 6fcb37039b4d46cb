"""Rules: what they say, when they hold, and what is wrong with those that are none."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonies_node.core import limits
from colonies_node.core.errors import BadRequest
from colonies_node.core.rules import DEVICE, NAMES, PROCESS, Value, parse
from colonies_node.core.rules.names import EXAMPLES, Kind, amount
from tests.strategies import RULE_NAMES, rule_salads, rule_texts, rule_values

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rules.md").read_text()


def refusal(text: str) -> str:
    with pytest.raises(BadRequest) as refused:
        parse(text)
    return refused.value.message


# -- what a rule says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values", "holds"),
    [
        ("missing", {"missing": True}, True),
        ("missing", {"missing": False}, False),
        ("not missing and queue > 100", {"missing": False, "queue": 101}, True),
        ("not missing and queue > 100", {"missing": False, "queue": 100}, False),
        ("load > 0.9 and waited > 10", {"load": 0.95, "waited": 10.5}, True),
        ("load > 0.9 and waited > 10", {"load": 0.9, "waited": 10.5}, False),
        ("type == 'gpu'", {"type": "gpu"}, True),
        ('type != "gpu"', {"type": "gpu"}, False),
        ("type == 'gpu'", {"type": "GPU"}, False),
        ("type in ('gpu', 'hpc') or mem > 8Gi", {"type": "hpc", "mem": 0}, True),
        ("type in ('gpu', 'hpc') or mem > 8Gi", {"type": "cli", "mem": 9 << 30}, True),
        ("type in ('gpu', 'hpc') or mem > 8Gi", {"type": "cli", "mem": 8 << 30}, False),
        ("type not in ('gpu')", {"type": "cli"}, True),
        ("priority >= -5", {"priority": -5}, True),
        ("30 > battery", {"battery": 29.9}, True),
        ("queue > gpu", {"queue": 2, "gpu": 1}, True),
        ("label == ''", {"label": ""}, True),
    ],
)
def test_a_rule_holds_when_what_it_says_is_so(text: str, values: Mapping[str, Value], holds: bool) -> None:
    assert parse(text).holds(values) is holds


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("waited > 10m", "waited > 600"),
        ("waited > 1h30m", "waited > 5400"),
        ("walltime >= 1d", "walltime >= 86400"),
        ("mem > 10m", "mem > 10000000"),
        ("mem > 512Mi", "mem > 536870912"),
        ("cpu >= 500m", "cpu >= 0.5"),
        ("battery < 30%", "battery < 30"),
        ("battery < 30 %", "battery < 30"),
        ("battery<30 and(missing)", "battery < 30 and missing"),
        ("missing\n  or charging", "missing or charging"),
        ("missing or (charging or queue > 1)", "missing or charging or queue > 1"),
        ("missing or charging and queue > 1", "missing or (charging and queue > 1)"),
        ("not missing and charging", "(not missing) and charging"),
        ("not queue > 1", "not (queue > 1)"),
        ("queue not in (1, 2)", "not queue in (1, 2)"),
    ],
)
def test_the_same_can_be_said_in_two_ways(text: str, same: str) -> None:
    assert parse(text) == parse(same)


def test_a_rule_knows_which_values_it_asks_for() -> None:
    rule = parse("waited > 60 or not (type in ('a', 'b') and queue > priority) or missing")
    assert rule.names == {"waited", "type", "queue", "priority", "missing"}


def test_a_rule_is_told_with_its_present_values() -> None:
    rule = parse("battery<30 and not charging or type=='gpu' and (mem > 8Gi or waited > 10m or load > 0.9)")
    values: dict[str, Value] = {"battery": 12, "charging": False, "type": "it's", "mem": 1 << 29, "waited": 75.5}
    assert rule.explain(values) == (
        "battery (12) < 30 and not charging (no) or "
        """type ("it's") == 'gpu' and (mem (512Mi) > 8Gi or waited (1m 15s) > 10m or load (unknown) > 0.9)"""
    )
    told = parse("missing or load > 1").explain({"missing": True, "load": 0.123456})
    assert told == "missing (yes) or load (0.12) > 1"


@given(rule_texts, rule_values)
def test_a_rule_means_what_it_would_mean_in_python(text: str, values: dict[str, Value]) -> None:
    assert parse(text).holds(values) is eval(text, {}, dict(values))


@given(rule_texts)
def test_what_is_written_of_a_rule_reads_back_as_the_same_rule(text: str) -> None:
    rule = parse(text)
    assert parse(str(rule)) == rule
    assert str(parse(str(rule))) == str(rule)


# -- what is not known -----------------------------------------------------------------------------------------------


UNKNOWN: tuple[dict[str, Value], ...] = ({}, *({"battery": value} for value in (None, math.nan, math.inf, "12", True)))


@pytest.mark.parametrize("values", UNKNOWN, ids=str)
def test_without_a_battery_neither_a_comparison_with_it_nor_its_contrary_holds(values: Mapping[str, Value]) -> None:
    for text in ("battery < 30", "not battery < 30", "battery >= 30", "battery in (1, 12)", "battery not in (1, 12)"):
        assert not parse(text).holds(values)
    assert not parse("battery < 30 and queue > 1").holds({**values, "queue": 2})
    assert parse("battery < 30 or queue > 1").holds({**values, "queue": 2})
    assert parse("not (battery < 30 and queue > 1)").holds({**values, "queue": 1})


def test_a_flag_that_is_not_known_is_neither_yes_nor_no() -> None:
    for value in (None, 1, "yes"):
        assert not parse("charging").holds({"charging": value})
        assert not parse("not charging").holds({"charging": value})


@pytest.mark.parametrize(
    ("left", "right", "both", "either"),
    [
        (True, True, True, True),
        (True, False, False, True),
        (False, False, False, False),
        (True, None, None, True),
        (False, None, False, None),
        (None, None, None, None),
    ],
)
def test_what_is_decided_without_the_unknown_is_decided(
    left: bool | None, right: bool | None, both: bool | None, either: bool | None
) -> None:
    for values in ({"missing": left, "charging": right}, {"missing": right, "charging": left}):
        for text, truth in (("missing and charging", both), ("missing or charging", either)):
            assert parse(text).holds(values) is (truth is True)
            assert parse(f"not ({text})").holds(values) is (truth is False)


@given(rule_texts)
def test_no_rule_holds_when_nothing_is_known(text: str) -> None:
    assert not parse(text).holds({})
    assert not parse(f"not ({text})").holds({})


@given(rule_texts, rule_values, st.sets(st.sampled_from(RULE_NAMES)))
def test_a_rule_that_holds_would_hold_whatever_the_unknown_values_are(
    text: str, values: dict[str, Value], unknown: set[str]
) -> None:
    rule = parse(text)
    if rule.holds({name: value for name, value in values.items() if name not in unknown}):
        assert rule.holds(values)


# -- what is no rule -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "sentence"),
    [
        ("", "1, where it begins", "expected a condition, found the end"),
        ("queue >", "8, after 'queue >'", "expected a name, a number or a text in quotes, found the end"),
        ("queue > or", "9, after 'queue >'", "expected a name, a number or a text in quotes, found 'or'"),
        ("(missing", "9, after '(missing'", "expected `and`, `or` or `)`, found the end"),
        ("missing)", "8, after 'missing'", "expected `and`, `or` or the end, found ')'"),
        ("missing charging", "9, after 'missing'", "expected `and`, `or` or the end, found 'charging'"),
        ("5", "2, after '5'", "expected `<`, `<=`, `>`, `>=`, `==` or `!=`, found the end"),
        (
            "battery",
            "1, where it begins",
            "'battery' is in percent, not yes or no, and must be compared",
        ),
        ("charging == 1", "1, where it begins", "'charging' is yes or no and is not compared; write it alone"),
        ("1 == charging", "6, after '1 =='", "'charging' is yes or no and is not compared; write it alone"),
        ("missing in (1)", "1, where it begins", "'missing' is yes or no and is not compared; write it alone"),
        ("waited > 8Gi", "10, after 'waited >'", "expected an amount in seconds such as 90, 10m or 1h30m, found '8Gi'"),
        ("queue > 1.2.3", "9, after 'queue >'", "expected a number such as 5 or 0.9, found '1.2.3'"),
        ("load > 90%", "8, after 'load >'", "expected a number such as 5 or 0.9, found '90%'"),
        ("queue > '5'", "9, after 'queue >'", """expected a number such as 5 or 0.9, found "'5'\""""),
        ("type == 5", "9, after 'type =='", "expected a text in quotes, found '5'"),
        ("type < 'b'", "6, after 'type'", "a text can only be compared with `==`, `!=` or `in`"),
        ("type == gpu", "9, after 'type =='", "'type' is a text and 'gpu' a number: they cannot be compared"),
        ("mem > memory", "7, after 'mem >'", "'mem' is in bytes and 'memory' in percent: they cannot be compared"),
        ("1 < 2", "1, where it begins", "one side of a comparison must be a name"),
        ("1 < queue < 5", "11, after '1 < queue'", "comparisons cannot be chained; put `and` between two of them"),
        ("type in 'gpu'", "9, after 'type in'", """expected `(`, found "'gpu'\""""),
        ("type in ()", "10, after 'type in ('", "expected a text in quotes, found ')'"),
        ("queue in (1, type)", "14, after 'queue in (1,'", "expected a number, found 'type'"),
        ("queue in (1 2)", "13, after 'queue in (1'", "expected `,` or `)`, found '2'"),
        ("5 in (5)", "1, where it begins", "only a name can stand before `in`"),
        ("type not 'gpu'", "10, after 'type not'", """expected `in`, found "'gpu'\""""),
        ("queue = 5", "7, after 'queue'", "'=' means nothing here; write `==`"),
        ("missing && charging", "9, after 'missing'", "'&' means nothing here; write `and`"),
        ("missing || charging", "9, after 'missing'", "'|' means nothing here; write `or`"),
        ("!missing", "1, where it begins", "'!' means nothing here; write `not`"),
        ("missing; charging", "8, after 'missing'", "';' has no place in a rule"),
        ("type == 'gpu", "9, after 'type =='", "the text in quotes does not end on its line"),
        ("type == 'g\npu'", "9, after 'type =='", "the text in quotes does not end on its line"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, where: str, sentence: str) -> None:
    assert refusal(text).startswith(f"The rule is wrong at character {where}: {sentence}")


def test_an_unknown_name_is_answered_with_the_nearest_and_all_there_are() -> None:
    every = f"The names are {', '.join(NAMES)}."
    assert refusal("batery < 3").endswith(f"there is no name 'batery'; did you mean 'battery'? {every}")
    assert refusal("frobnicate").endswith(f"there is no name 'frobnicate'. {every}")
    assert refusal("type == cli").endswith(f"there is no name 'cli'; a text needs quotes. {every}")


def test_a_rule_may_be_kept_to_some_of_the_names() -> None:
    assert parse("battery > 30", DEVICE).names == {"battery"}
    with pytest.raises(BadRequest) as refused:
        parse("battery > 30 and priority > 5", DEVICE)
    assert refused.value.message.endswith(
        "there is no name 'priority'. The names are queue, battery, charging, load, temperature, memory, disk, "
        "gpu_load, clock."
    )


def test_a_rule_is_not_longer_than_its_limit() -> None:
    longest = " or ".join(["missing"] * 90) + " " * 14
    assert len(longest) == limits.MAX_RULE
    assert parse(longest).holds({"missing": True})
    assert refusal(longest + " ") == "A rule must have at most 1000 characters, got 1001."


def test_a_rule_that_would_be_too_long_as_it_is_written_is_refused() -> None:
    tight = " or ".join(["queue>1"] * 90)
    assert len(tight) <= limits.MAX_RULE
    assert refusal(tight) == "A rule must have at most 1000 characters, got 1166 with its words apart."


@pytest.mark.parametrize(
    ("opening", "closing"), [("(", ")"), ("not ", ""), ("not (", ")")], ids=["parentheses", "not", "both"]
)
def test_a_rule_is_not_nested_deeper_than_its_limit(opening: str, closing: str) -> None:
    count = limits.MAX_RULE_NESTING // (2 if opening == "not (" else 1)
    assert parse(opening * count + "missing" + closing * count).names == {"missing"}
    deeper = opening * (count + 1) + "missing" + closing * (count + 1)
    assert "a rule may have at most 32 parentheses and `not` in each other" in refusal(deeper)


def test_not_in_is_a_not_that_counts() -> None:
    count = limits.MAX_RULE_NESTING
    assert parse("(" * (count - 1) + "type not in ('a')" + ")" * (count - 1)).names == {"type"}
    deeper = "(" * count + "type not in ('a')" + ")" * count
    assert "a rule may have at most 32 parentheses and `not` in each other" in refusal(deeper)


@given(st.one_of(rule_salads, st.text(max_size=60)))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    with suppress(BadRequest):
        rule = parse(text)
        assert parse(str(rule)) == rule
        assert rule.explain({})
        assert not rule.holds({})


# -- the manual ------------------------------------------------------------------------------------------------------


def test_the_manual_has_the_table_of_names() -> None:
    of_process, of_machine = PAGE.split("Of this machine:")
    for part, names in ((of_process, PROCESS), (of_machine, DEVICE)):
        rows = re.findall(r"^\| `([a-z_]+)` \| (.+) \| (.+) \|$", part, re.M)
        assert rows == [(name, meaning.kind.value, meaning.words) for name, meaning in names.items()]


def test_the_manual_shows_how_amounts_are_written_and_they_are() -> None:
    for kind, examples in EXAMPLES.items():
        assert f"| {kind.value} | {examples} |" in PAGE
        for example in re.split(", | or ", examples):
            assert amount(example, kind) is not None
    assert {Kind.FLAG, Kind.TEXT, *EXAMPLES} == set(Kind)


def test_the_rules_of_the_manual_can_be_read() -> None:
    (block,) = re.findall(r"^```\n(.*?)^```", PAGE, re.M | re.S)
    for line in block.splitlines():
        assert str(parse(line)) == line
