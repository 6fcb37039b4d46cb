"""What a letter tells, in which order, and what is told again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from colonies_node.core import limits
from colonies_node.core.model.sync import Item
from colonies_node.core.model.times import SECOND
from colonies_node.core.store import retention
from tests.core.colony import NAME, USER, executor_id
from tests.core.pair import RUNNING, SUCCESS, WAITING, Node, Pair

Join = Callable[..., Pair]

APPROVED, UNREGISTERED = 1, 3
ONE = 1
"""Bytes of a letter that has room for one item."""


def record(node: Node, *out: Any, log: str = "", **spec: Any) -> str:
    """A process that was submitted and ended here, a second after the one before."""
    node.now += SECOND
    processid = node.submit(**spec)
    assert node.run("bob", *out, log=log) == processid
    return processid


def of_type(node: Node, executortype: str) -> str:
    """A process for executors of a type."""
    return node.submit(conditions={"executortype": executortype})


def told(items: list[Item]) -> list[str]:
    """The processes of these items."""
    return [item.processid for item in items]


def kinds(items: list[Item]) -> list[str]:
    """What these items are."""
    return [item.kind for item in items]


def recording(join: Join, **settings: Any) -> Pair:
    """A pair whose upper node keeps records, and has taken in all that there is so far."""
    pair = join(record=True, **settings)
    for node in (pair.lower, pair.upper):
        node.hire("bob")
    pair.settle()
    return pair


# -- order ------------------------------------------------------------------------------------------------------------


def letters(pair: Pair, count: int) -> list[str]:
    """The processes of so many letters with room for one."""
    return [processid for _ in range(count) for processid in told(pair.exchange(room=ONE)[0])]


def test_records_are_told_in_the_order_in_which_they_were_submitted(join: Join) -> None:
    """Not in that of their ends."""
    pair = recording(join)
    pair.lower.hire("cia", "cam")
    slow = of_type(pair.lower, "cam")
    quick = [record(pair.lower, priority=priority) for priority in (0, 9)]
    pair.lower.run("cia")
    assert letters(pair, 3) == [slow, *quick]


def test_records_may_be_told_by_priority(join: Join) -> None:
    pair = recording(join, order="priority")
    low, high, middle = (record(pair.lower, priority=priority) for priority in (0, 9, 5))
    assert letters(pair, 3) == [high, middle, low]


def test_what_somebody_waits_for_goes_before_records_results_first(join: Join) -> None:
    pair = recording(join, accept=["cam"])
    pair.upper.hire("ann", "gpu")
    pair.lower.hire("cia", "cam")
    result = of_type(pair.upper, "cam")
    pair.settle()
    old = record(pair.lower)
    offer = of_type(pair.lower, "gpu")
    pair.lower.run("cia")
    assert letters(pair, 3) == [result, offer, old]


def test_a_letter_has_as_many_items_as_fit_and_one_at_least(join: Join) -> None:
    pair = recording(join)
    ids = [record(pair.lower, "x" * 1000) for _ in range(6)]
    assert told(pair.exchange(room=ONE)[0]) == ids[:1]
    went = told(pair.exchange(room=4000)[0])
    assert 2 <= len(went) <= 4
    assert went == ids[1 : 1 + len(went)]
    assert told(pair.exchange()[0]) == ids[1 + len(went) :]


def test_a_letter_has_no_more_items_than_the_other_end_takes(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_LETTER_ITEMS", 5)
    monkeypatch.setattr(limits, "ITEMS_AT_ONCE", 2)
    pair = recording(join)
    ids = [record(pair.lower) for _ in range(7)]
    assert told(pair.exchange(room=1 << 20)[0]) == ids[:5]
    assert told(pair.exchange(room=1 << 20)[0]) == ids[5:]


@pytest.mark.parametrize(("history", "records"), [(0, 0), (ONE, 1), (None, 3)])
def test_a_budget_of_history_holds_records_back_and_nothing_else(join: Join, history: int | None, records: int) -> None:
    pair = join(record=True)
    for node in (pair.lower, pair.upper):
        node.hire("bob")
    for _ in range(3):
        record(pair.lower)
    of_type(pair.lower, "gpu")
    went, _ = pair.exchange(history=history)
    assert kinds(went) == ["offer"] + ["history"] * records
    pair.settle()
    assert pair.upper.rows("select count(*) from processes") == [(4,)]


# -- what is told again -----------------------------------------------------------------------------------------------


def test_a_log_longer_than_a_letter_comes_once_though_every_other_answer_is_lost(join: Join) -> None:
    pair = recording(join)
    processid = pair.lower.submit()
    pair.lower.take("bob")
    lines = [f"{number} " + "x" * 500 for number in range(30)]
    for line in lines:
        pair.lower.call(executor_id("bob"), "addlogmsg", processid=processid, message=line)
    pair.lower.call(executor_id("bob"), "closesuccessfulmsg", processid=processid)
    rounds = 0
    while True:
        rounds += 1
        letter = pair.write(room=2048)
        if not letter.items:
            break
        answer = pair.deliver(letter)
        if rounds % 2:
            pair.hear(answer)
    assert rounds > 10
    assert pair.upper.logs(processid) == lines


def test_what_is_added_to_a_log_is_told_without_what_was_told_before(join: Join) -> None:
    pair = recording(join)
    processid = record(pair.lower, log="one")
    pair.settle()
    log = {"colonyname": NAME, "processid": processid, "executorname": "bob", "message": "two", "timestamp": 1}
    columns = ", ".join(log)
    pair.lower.commit(lambda tx: tx.run(f"insert into logs ({columns}) values (?, ?, ?, ?, ?)", tuple(log.values())))
    (item,) = pair.exchange()[0]
    assert [line.message for line in item.logs or ()] == ["two"]
    assert sorted(pair.upper.logs(processid)) == ["one", "two"]


def test_what_was_confirmed_is_not_told_again(join: Join) -> None:
    pair = recording(join)
    record(pair.lower)
    assert len(pair.exchange()[0]) == 1
    pair.lower.restart()
    pair.upper.restart()
    for _ in range(3):
        assert pair.exchange() == ([], [])


@pytest.mark.parametrize("lost", ["letter", "answer"])
def test_what_was_not_confirmed_is_told_again_whole(join: Join, lost: str) -> None:
    pair = recording(join)
    ids = [record(pair.lower) for _ in range(3)]
    letter = pair.write()
    if lost == "answer":
        pair.deliver(letter)
    went, _ = pair.exchange()
    assert told(went) == ids
    assert all(item.process is not None for item in went)


def test_an_upper_node_restored_from_a_backup_is_told_again_exactly_what_it_lost(join: Join) -> None:
    pair = recording(join)
    record(pair.lower)
    pair.settle()
    copy = pair.upper.copy()
    lost = [record(pair.lower, log="hello") for _ in range(3)]
    pair.settle()
    pair.upper.restart(copy)
    assert not set(lost) & pair.upper.ids()
    assert pair.exchange()[0] == []
    assert told(pair.exchange()[0]) == lost
    pair.settle()
    assert all(pair.upper.logs(processid) == ["hello"] for processid in lost)
    assert "the peer was restored" in pair.up.note


def test_an_upper_node_restored_from_a_backup_does_not_run_again_what_it_had_run(join: Join) -> None:
    """The lower node has the result, and tells it."""
    pair = recording(join)
    pair.upper.hire("ann", "gpu")
    pair.exchange()
    copy = pair.upper.copy()
    processid = of_type(pair.lower, "gpu")
    pair.settle()
    pair.upper.run("ann", "once")
    pair.settle()
    pair.upper.restart(copy)
    pair.exchange()
    pair.settle()
    assert pair.upper.assign(executor_id("ann")) is None
    assert pair.lower.out(processid) == pair.upper.out(processid) == ["once"]
    assert pair.upper.state(processid) == SUCCESS


def test_an_upper_node_restored_from_a_backup_is_given_again_what_had_not_ended(join: Join) -> None:
    pair = join()
    pair.upper.hire("ann", "gpu")
    pair.settle()
    copy = pair.upper.copy()
    processid = of_type(pair.lower, "gpu")
    pair.settle()
    pair.upper.restart(copy)
    pair.exchange()
    pair.settle()
    assert pair.upper.run("ann", "x") == processid
    pair.settle()
    assert pair.lower.out(processid) == ["x"]


def test_a_lower_node_restored_from_before_it_submitted_takes_over_the_process_and_its_end(join: Join) -> None:
    pair = join()
    pair.upper.hire("ann", "gpu")
    pair.settle()
    copy = pair.lower.copy()
    processid = of_type(pair.lower, "gpu")
    pair.settle()
    pair.upper.run("ann", "x", log="hello")
    pair.settle()
    pair.lower.restart(copy)
    pair.settle()
    assert (pair.lower.state(processid), pair.lower.out(processid)) == (SUCCESS, ["x"])
    assert pair.lower.logs(processid) == ["hello"]
    assert "restored" in pair.down.note


def test_a_lower_node_restored_from_before_it_gave_a_process_finds_it_there_and_does_not_run_it_twice(
    join: Join,
) -> None:
    pair = join()
    pair.upper.hire("ann", "gpu")
    pair.settle()
    processid = of_type(pair.lower, "gpu")
    copy = pair.lower.copy()
    pair.settle()
    pair.upper.take("ann")
    pair.settle()
    pair.lower.restart(copy)
    pair.settle()
    assert (pair.lower.state(processid), pair.upper.state(processid)) == (RUNNING, RUNNING)
    pair.upper.call(executor_id("ann"), "closesuccessfulmsg", processid=processid, out=["x"])
    pair.settle()
    assert pair.lower.out(processid) == ["x"]


def test_a_lower_node_restored_from_a_backup_is_given_again_what_it_had_taken(join: Join) -> None:
    pair = join(accept=["cam"])
    pair.lower.hire("cia", "cam")
    pair.settle()
    copy = pair.lower.copy()
    processid = of_type(pair.upper, "cam")
    pair.settle()
    assert pair.lower.state(processid) == WAITING
    pair.lower.restart(copy)
    assert processid not in pair.lower.ids()
    pair.settle()
    assert pair.lower.run("cia", "x") == processid
    pair.settle()
    assert pair.upper.out(processid) == ["x"]


def test_another_node_at_the_address_of_an_upstream_is_told_all_from_the_beginning(join: Join) -> None:
    pair = join(record=True)
    empty = pair.upper.copy()
    for node in (pair.lower, pair.upper):
        node.hire("bob")
    ids = {record(pair.lower) for _ in range(2)}
    pair.settle()
    pair.upper.restart(empty)
    pair.upper.rules = replace(pair.upper.rules, nodeid="8" * 64)
    assert pair.upper.ids() == set()
    pair.exchange()
    pair.settle()
    assert pair.upper.ids() == ids
    assert pair.up.nodeid == "8" * 64


def test_another_node_under_the_key_of_a_lower_node_is_given_what_that_one_had(join: Join) -> None:
    """The device broke, and its key is in another one."""
    pair = join(accept=["cam"])
    pair.lower.hire("cia", "cam")
    empty = pair.lower.copy()
    processid = of_type(pair.upper, "cam")
    pair.settle()
    assert pair.lower.take("cia") == processid
    pair.settle()
    pair.lower.restart(empty)
    pair.lower.id = "8" * 64
    pair.exchange()
    pair.settle()
    assert pair.lower.run("cia", "x") == processid
    pair.settle()
    assert pair.upper.out(processid) == ["x"]


# -- how long a node keeps what is not confirmed ----------------------------------------------------------------------


def forget_all(node: Node) -> None:
    """Apply a policy that keeps nothing that may go."""
    node.commit(lambda tx: retention.sweep(tx, node.now + SECOND))


def test_a_record_is_kept_until_the_upstream_has_confirmed_it(join: Join) -> None:
    pair = recording(join)
    processid = record(pair.lower, log="hello")
    forget_all(pair.lower)
    assert processid in pair.lower.ids()
    letter = pair.write()
    forget_all(pair.lower)
    assert pair.lower.logs(processid) == ["hello"]
    pair.hear(pair.deliver(letter))
    forget_all(pair.lower)
    assert processid not in pair.lower.ids()
    assert pair.lower.rows("select * from logs") == []


def test_a_result_is_kept_until_the_node_that_waits_for_it_has_confirmed_it(join: Join) -> None:
    pair = join()
    pair.upper.hire("ann", "gpu")
    processid = of_type(pair.lower, "gpu")
    pair.settle()
    pair.upper.run("ann", "x", log="hello")
    forget_all(pair.upper)
    answer = pair.deliver(pair.write())
    forget_all(pair.upper)
    assert pair.upper.logs(processid) == ["hello"]
    pair.hear(answer)
    pair.settle()
    forget_all(pair.upper)
    assert pair.upper.ids() == set()
    assert pair.lower.out(processid) == ["x"]


def test_a_workflow_is_kept_until_all_of_its_members_are_confirmed(join: Join) -> None:
    pair = recording(join)
    nodes = [
        {"nodename": name, "funcname": "f", "conditions": {"executortype": "cli", "dependencies": after}}
        for name, after in (("a", []), ("b", ["a"]))
    ]
    graph = pair.lower.call(USER, "submitworkflowspecmsg", spec={"colonyname": NAME, "functionspecs": nodes})
    for processid in graph["processids"]:
        assert pair.lower.run("bob", 1) == processid
    pair.exchange(room=ONE)
    forget_all(pair.lower)
    assert pair.lower.ids() == set(graph["processids"])
    pair.settle()
    forget_all(pair.lower)
    assert pair.lower.ids() == set()
    assert pair.upper.ids() == set(graph["processids"])


# -- a node that is silent --------------------------------------------------------------------------------------------


def test_a_lower_node_is_not_stale_however_long_it_is_silent(join: Join) -> None:
    """An executor that is as silent is."""
    pair = join(accept=["cam"])
    pair.upper.hire("ann")
    pair.settle()
    pair.upper.rules = replace(pair.upper.rules, stale_executor_duration=60)
    for executor in ("ann", "low"):
        pair.upper.heard[executor_id(executor)] = pair.upper.now
    for _ in range(3):
        pair.later(100_000)
    executors = pair.upper.call(USER, "getexecutorsmsg", colonyname=NAME)
    assert {one["executorname"]: one["state"] for one in executors} == {"ann": UNREGISTERED, "low": APPROVED}
    processid = of_type(pair.upper, "cam")
    pair.exchange()
    assert pair.lower.state(processid) == WAITING
