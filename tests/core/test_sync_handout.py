"""Which waiting processes go upstream, and which stay here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from colonies_node.core import limits
from colonies_node.core.broker.sync.handout import Look
from colonies_node.core.model.sync import Item
from colonies_node.core.rules import parse
from tests.core.colony import NAME, OWNER, USER, executor_id
from tests.core.pair import RUNNING, SUCCESS, WAITING, Node, Pair

Join = Callable[..., Pair]


def of_type(node: Node, executortype: str, **spec: Any) -> str:
    """A process for executors of a type."""
    return node.submit(conditions={"executortype": executortype}, **spec)


def offered(pair: Pair) -> list[str]:
    """What the lower node's next letter offers."""
    went, _ = pair.exchange()
    return [item.processid for item in went if item.kind == "offer"]


def in_sequence(node: Node, *types: str) -> list[str]:
    """A workflow of one process for each type, each waiting for the one before it."""
    nodes = [
        {
            "nodename": str(number),
            "funcname": "f",
            "conditions": {"executortype": kind, "dependencies": [str(number - 1)] if number else []},
        }
        for number, kind in enumerate(types)
    ]
    graph = node.call(USER, "submitworkflowspecmsg", spec={"colonyname": NAME, "functionspecs": nodes})
    found: list[str] = graph["processids"]
    return found


def equip(node: Node, name: str, executortype: str, **hardware: Any) -> None:
    """An executor that says what its machine has."""
    node.hire(name, executortype, approve=False)
    capabilities = {"hardware": [hardware]}
    of = {"colonyname": NAME, "executorname": name}
    node.call(executor_id(name), "updateexecutormsg", **of, capabilities=capabilities)
    node.call(OWNER, "approveexecutormsg", **of)


# -- the rules --------------------------------------------------------------------------------------------------------


def test_what_nobody_here_can_run_is_missing_and_what_somebody_can_is_not(join: Join) -> None:
    pair = join()
    pair.lower.hire("bob", "gpu")
    of_type(pair.lower, "gpu")
    missing = of_type(pair.lower, "tpu")
    assert offered(pair) == [missing]


def test_an_executor_that_is_not_approved_can_run_nothing(join: Join) -> None:
    pair = join()
    pair.lower.hire("bob", "gpu", approve=False)
    processid = of_type(pair.lower, "gpu")
    assert offered(pair) == [processid]


@pytest.mark.parametrize(
    "asked",
    [
        {"executornames": ["zoe"]},
        {"executornames": ["zoe", "eve"]},
        {"locationname": "mars"},
        {"cpu": "5000m"},
        {"mem": "5Gi"},
        {"gpu": {"count": 2}},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_an_executor_of_the_type_is_not_enough_where_more_is_asked_for(join: Join, asked: dict[str, Any]) -> None:
    pair = join()
    equip(pair.lower, "bob", "gpu", cpu="4000m", mem="4Gi", gpu={"count": 1})
    processid = pair.lower.submit(conditions={"executortype": "gpu", **asked})
    assert offered(pair) == [processid]


def test_an_executor_that_has_just_enough_keeps_the_process_here(join: Join) -> None:
    pair = join()
    equip(pair.lower, "bob", "gpu", cpu="4000m", mem="4Gi", gpu={"count": 1})
    enough = {"executornames": ["eve", "bob"], "cpu": "4000m", "mem": "4Gi", "gpu": {"count": 1}}
    pair.lower.submit(conditions={"executortype": "gpu", **enough})
    assert offered(pair) == []


def test_what_has_waited_long_enough_goes_up(join: Join) -> None:
    pair = join(offload=["waited > 60"])
    for node in (pair.lower, pair.upper):
        node.hire("bob")
    processid = pair.lower.submit()
    pair.later(60)
    assert offered(pair) == []
    pair.later(1)
    assert offered(pair) == [processid]


def test_a_type_that_a_rule_names_goes_up_also_where_it_could_run_here(join: Join) -> None:
    pair = join(offload=["type == 'gpu'"])
    pair.lower.hire("bob", "gpu")
    processid = of_type(pair.lower, "gpu")
    of_type(pair.lower, "tpu")
    assert offered(pair) == [processid]


def test_it_is_enough_that_one_of_the_rules_applies(join: Join) -> None:
    pair = join(offload=["waited > 1000", "type == 'gpu'", "missing"])
    for executortype in ("gpu", "cpu"):
        pair.lower.hire(f"bob-{executortype}", executortype)
    of_type(pair.lower, "cpu")
    ids = [of_type(pair.lower, "gpu"), of_type(pair.lower, "tpu")]
    assert offered(pair) == ids


def test_without_a_rule_nothing_goes_up(join: Join) -> None:
    pair = join(offload=[])
    of_type(pair.lower, "gpu")
    assert offered(pair) == []


def test_a_rule_about_the_device_asks_what_the_device_says_now(join: Join) -> None:
    pair = join(offload=["battery < 30"])
    pair.upper.hire("bob")
    processid = pair.lower.submit()
    for readings in ({}, {"battery": None}, {"battery": 30.0}):
        pair.look.readings = readings
        assert offered(pair) == []
    pair.look.readings = {"battery": 29.0}
    assert offered(pair) == [processid]


def test_what_runs_or_waits_for_its_parents_stays_here(join: Join) -> None:
    pair = join(offload=["type == 'cli'"])
    pair.lower.hire("bob")
    pair.lower.submit()
    running = pair.lower.take("bob")
    first, second = in_sequence(pair.lower, "cli", "cli")
    assert offered(pair) == [first]
    assert (pair.lower.state(running), pair.lower.state(second)) == (RUNNING, WAITING)


def test_work_of_another_colony_stays_here(join: Join) -> None:
    pair = join()
    owner, user = "e" * 64, "d" * 64
    pair.lower.call("5" * 64, "addcolonymsg", colony={"colonyid": owner, "name": "other"})
    pair.lower.call(owner, "addusermsg", user={"colonyname": "other", "userid": user, "name": "eve"})
    pair.lower.submit(user, conditions={"colonyname": "other"})
    assert offered(pair) == []


# -- how many, and in which order -------------------------------------------------------------------------------------


def test_no_more_are_away_than_the_window_has_room_for(join: Join) -> None:
    pair = join(window=2)
    pair.upper.hire("ann", "gpu")
    ids = [of_type(pair.lower, "gpu") for _ in range(5)]
    assert offered(pair) == ids[:2]
    pair.settle()
    assert pair.upper.ids() == set(ids[:2])
    pair.upper.take("ann")
    pair.settle()
    assert pair.upper.ids() == set(ids[:2])


def test_the_end_of_one_makes_room_for_the_next(join: Join) -> None:
    pair = join(window=2)
    pair.upper.hire("ann", "gpu")
    ids = [of_type(pair.lower, "gpu") for _ in range(5)]
    pair.settle()
    for _ in ids:
        pair.upper.run("ann")
        pair.settle()
    assert [pair.lower.state(processid) for processid in ids] == [SUCCESS] * 5


def test_the_next_in_the_queue_goes_up_first(join: Join) -> None:
    pair = join(window=1)
    of_type(pair.lower, "gpu")
    urgent = of_type(pair.lower, "gpu", priority=5)
    assert offered(pair) == [urgent]


def test_a_look_goes_on_where_the_one_before_it_stopped(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    """And begins again at the head of the queue once it has come to the end."""
    monkeypatch.setattr(limits, "OFFLOAD_LOOK", 3)
    pair = join()
    pair.upper.hire("ann", "gpu")
    pair.lower.hire("bob")
    for _ in range(7):
        pair.lower.submit()
    last = of_type(pair.lower, "gpu")
    looks = []
    for _ in range(3):
        found = offered(pair)
        looks.append((found, pair.look.more))
    assert looks == [([], True), ([], True), ([last], False)]
    first = of_type(pair.lower, "gpu", priority=9)
    assert offered(pair) == [first]


def test_a_look_that_has_filled_the_window_goes_on_behind_what_it_gave(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OFFLOAD_LOOK", 3)
    pair = join(window=1)
    pair.upper.hire("ann", "gpu")
    ids = [of_type(pair.lower, "gpu") for _ in range(7)]
    for processid in ids:
        for _ in range(4):
            pair.settle()
        assert pair.upper.run("ann") == processid
    pair.settle()
    assert [pair.lower.state(processid) for processid in ids] == [SUCCESS] * 7


# -- which upstream ---------------------------------------------------------------------------------------------------


def both(join: Join) -> tuple[Pair, Pair]:
    """A node with two upstreams, of which the first takes GPU work and the second all that is missing."""
    first, second = join("low", "high", offload=["type == 'gpu'"]), join("low", "far")
    second.look.earlier = ((first.up, first.look.rules),)
    return first, second


def test_a_later_upstream_gets_what_the_rules_of_an_earlier_one_leave(join: Join) -> None:
    first, second = both(join)
    gpu, tpu = of_type(first.lower, "gpu"), of_type(first.lower, "tpu")
    assert offered(second) == [tpu]
    assert offered(first) == [gpu]


def test_a_later_upstream_gets_what_the_earlier_one_cannot_run(join: Join) -> None:
    first, second = both(join)
    first.upper.hire("ann", "cli")
    first.settle()
    second.look.earlier = ((first.up, first.look.rules),)
    gpu = of_type(first.lower, "gpu")
    assert offered(first) == []
    assert offered(second) == [gpu]


def test_a_later_upstream_gets_all_while_the_earlier_one_is_not_connected(join: Join) -> None:
    first, second = both(join)
    second.look.earlier = ()
    gpu = of_type(first.lower, "gpu")
    assert offered(second) == [gpu]
    assert offered(first) == []


def test_an_upstream_is_given_nothing_that_all_it_told_of_cannot_run(join: Join) -> None:
    """It may get another executor later, and says so."""
    pair = join()
    pair.upper.hire("ann", "gpu")
    pair.settle()
    processid = of_type(pair.lower, "tpu")
    assert offered(pair) == []
    pair.upper.hire("tom", "tpu")
    pair.exchange()
    assert offered(pair) == [processid]


def test_an_upstream_is_given_nothing_that_is_too_large_for_its_executors(join: Join) -> None:
    pair = join()
    equip(pair.upper, "ann", "gpu", cpu="4000m", mem="4Gi")
    pair.settle()
    pair.lower.submit(conditions={"executortype": "gpu", "mem": "5Gi"})
    small = pair.lower.submit(conditions={"executortype": "gpu", "mem": "4Gi"})
    assert offered(pair) == [small]


def test_an_upstream_that_has_told_of_no_executor_may_have_one(join: Join) -> None:
    pair = join()
    processid = of_type(pair.lower, "tpu")
    assert offered(pair) == [processid]


def test_what_an_upstream_of_the_upstream_has_is_offered_too(join: Join) -> None:
    near, far = join("low", "mid"), join("mid", "high")
    far.upper.hire("ann", "gpu")
    far.settle()
    near.settle()
    gpu, tpu = of_type(near.lower, "gpu"), of_type(near.lower, "tpu")
    assert offered(near) == [gpu] != [tpu]


@pytest.mark.parametrize("other", ["high", "far"])
def test_what_came_down_from_an_upstream_is_never_sent_up(join: Join, other: str) -> None:
    """Neither to where it came from nor to another one, though nobody here can run it."""
    pair = join("low", "high", accept=["cam"])
    away = pair if other == "high" else join("low", other)
    processid = of_type(pair.upper, "cam")
    pair.settle()
    assert pair.lower.state(processid) == WAITING
    assert offered(away) == []
    assert pair.lower.rows("select away from processes") == [(0,)]


# -- what cannot be told ----------------------------------------------------------------------------------------------


def test_an_upstream_that_cannot_be_told_an_input_gets_only_what_has_none(join: Join) -> None:
    pair = join(offload=["type == 'gpu'"])
    pair.look = Look((parse("type == 'gpu'"),), 10, plain=True)
    pair.lower.hire("bob")
    _, with_input = in_sequence(pair.lower, "cli", "gpu")
    pair.lower.run("bob", 1)
    _, without = in_sequence(pair.lower, "cli", "gpu")
    pair.lower.run("bob")
    assert offered(pair) == [without]
    assert pair.lower.rows(f"select away, state from processes where processid = '{with_input}'") == [(0, WAITING)]


def test_an_input_that_is_too_large_for_a_letter_stays_here_with_its_process(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_TOLD", 100)
    pair = join(offload=["type == 'gpu'"])
    pair.lower.hire("bob")
    pair.lower.hire("cia", "gpu")
    _, large = in_sequence(pair.lower, "cli", "gpu")
    pair.lower.run("bob", "x" * 97)
    _, small = in_sequence(pair.lower, "cli", "gpu")
    pair.lower.run("bob", "x" * 96)
    assert offered(pair) == [small]
    assert pair.lower.take("cia") == large


def test_a_process_goes_up_with_the_outputs_of_its_parents(join: Join) -> None:
    pair = join(offload=["type == 'gpu'"])
    pair.lower.hire("bob")
    _, child = in_sequence(pair.lower, "cli", "gpu")
    pair.lower.run("bob", 1, "two")
    went, _ = pair.exchange()
    (item,) = [item for item in went if isinstance(item, Item) and item.kind == "offer"]
    assert item.process is not None
    assert (item.processid, item.process.input) == (child, [1, "two"])
    assert json.loads(pair.lower.rows(f"select input from processes where processid = '{child}'")[0][0]) == [1, "two"]
