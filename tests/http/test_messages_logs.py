"""Logs, lists, history, and forgetting (core.md, 5.7, 5.9, 5.10)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from colonies_node.core import limits
from colonies_node.core.broker.call import Rules
from tests.lab import TYPE, Lab
from tests.node import (
    ALICE,
    CANCELLED,
    FAILED,
    OWNER,
    RUNNING,
    SECOND,
    START,
    SUCCESS,
    WAITING,
    Node,
    Party,
    open_node,
    settle,
)

BEA = Party("bea")


async def messages(lab: Lab, by: Party = ALICE, **asked: Any) -> list[str] | None:
    """The texts of a log."""
    fields = {"colonyname": "lab", "count": 100} | asked
    log = await lab.node.call(by, "getlogsmsg", **fields)
    return None if log is None else [entry["message"] for entry in log]


async def talk(lab: Lab, executor: Party, process: Any, *texts: str) -> None:
    for text in texts:
        await lab.node.call(executor, "addlogmsg", processid=process["processid"], message=text)


async def begin(lab: Lab, executor: Party, **spec: Any) -> Any:
    process = await lab.submit(**spec)
    await lab.assign(executor)
    return process


async def test_a_log_entry_says_who_what_and_when(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    process = await begin(lab, ann)
    mock_clock.jump(2)
    await talk(lab, ann, process, "Hej <där>\x00\n")
    log = await lab.node.call(ALICE, "getlogsmsg", processid=process["processid"], count=1)
    assert log == [
        {
            "processid": process["processid"],
            "colonyname": "lab",
            "executorname": "ann",
            "message": "Hej <där>\x00\n",
            "timestamp": START + 2 * SECOND,
        }
    ]


async def test_a_log_is_read_from_the_start_the_end_or_on_from_an_entry(lab: Lab) -> None:
    ann = await lab.join("ann")
    process = await begin(lab, ann)
    await talk(lab, ann, process, *"abcdef")
    of = {"processid": process["processid"]}
    entries = await lab.node.call(ALICE, "getlogsmsg", count=500, **of)
    times = [entry["timestamp"] for entry in entries]
    assert times == sorted(set(times))
    assert await messages(lab, count=2, **of) == ["a", "b"]
    assert await messages(lab, count=2, latest=True, **of) == ["e", "f"]
    assert await messages(lab, count=2, latest=True, since=times[5], **of) == ["e", "f"]
    assert await messages(lab, since=times[3], **of) == ["e", "f"]
    assert await messages(lab, count=1, since=times[3], **of) == ["e"]
    assert await messages(lab, since=times[5], **of) is None
    assert await messages(lab, count=0, **of) is None
    assert await messages(lab, since=-5, count=1, **of) == ["a"]


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"count": 501}, 403, "Count exceeds max log count (500)"),
        ({"count": -1}, 400, "pq: LIMIT must not be negative"),
    ],
)
async def test_a_log_is_read_in_pieces(lab: Lab, fields: dict[str, int], status: int, text: str) -> None:
    """DEVIATIONS 22: one envelope, where the reference sends two."""
    process = await lab.submit()
    answer = await lab.node.ask(ALICE, "getlogsmsg", processid=process["processid"], **fields)
    assert answer.refusal == (status, text)


async def test_an_executors_log_has_its_own_words_and_those_of_its_processes(lab: Lab) -> None:
    ann, bob = await lab.join("ann"), await lab.join("bob")
    process = await begin(lab, ann)
    await lab.node.call(ann, "addexecutorlogmsg", colonyname="lab", executorname="ann", message="up")
    await talk(lab, ann, process, "working")
    await lab.node.call(bob, "addexecutorlogmsg", colonyname="lab", executorname="bob", message="other")
    assert await messages(lab, executorname="ann") == ["up", "working"]
    assert await messages(lab, executorname="ann", processid=process["processid"]) == ["up", "working"]
    assert await messages(lab, processid=process["processid"]) == ["working"]
    own = await lab.node.call(ALICE, "getlogsmsg", colonyname="lab", executorname="bob", count=1)
    assert own[0]["processid"] == ""


async def test_logs_stay_in_their_colony(node: Node, lab: Lab) -> None:
    """DEVIATIONS 10: the reference shows the log of an executor of the same name in another colony."""
    other = await Lab(node, "other", Party("the owner of other"), BEA).found()
    for colony in (lab, other):
        ann = await colony.join("ann")
        text = f"secret of {colony.name}"
        await node.call(ann, "addexecutorlogmsg", colonyname=colony.name, executorname="ann", message=text)
    process = await begin(lab, Party("ann of lab"))
    assert await messages(lab, executorname="ann") == ["secret of lab"]
    denied = (403, "Access denied, not a member of Colony with name <lab>")
    for fields in (
        {"colonyname": "lab", "executorname": "ann"},
        {"processid": process["processid"]},
        {"colonyname": "other", "processid": process["processid"]},
    ):
        assert (await node.ask(BEA, "getlogsmsg", count=10, **fields)).refusal == denied
    found = await node.call(BEA, "searchlogsmsg", colonyname="other", text="secret", days=1, count=10)
    assert [entry["message"] for entry in found] == ["secret of other"]


async def test_only_the_executor_of_a_running_process_writes_its_log(lab: Lab) -> None:
    ann, bob = await lab.join("ann"), await lab.join("bob")
    process = await lab.submit()
    asked = {"processid": process["processid"], "message": "x"}
    not_running = (403, "Failed to set output, process is not running")
    not_yours = (403, "Failed to add log, not allowed to add log, only the assigned Executor may att logs")
    assert (await lab.node.ask(ann, "addlogmsg", **asked)).refusal == not_running
    await lab.assign(ann)
    for party in (bob, ALICE):
        assert (await lab.node.ask(party, "addlogmsg", **asked)).refusal == not_yours
    await lab.close(ann, process)
    assert (await lab.node.ask(ann, "addlogmsg", **asked)).refusal == not_running
    assert lab.node.tables()["logs"] == []


async def test_an_executor_writes_its_own_log_alone(lab: Lab) -> None:
    ann = await lab.join("ann")
    await lab.join("bob")
    for party, text in (
        (ALICE, "Failed to add executor log, executor not found"),
        (ann, "Failed to add executor log, executor name mismatch"),
    ):
        answer = await lab.node.ask(party, "addexecutorlogmsg", colonyname="lab", executorname="bob", message="x")
        assert answer.refusal == (403, text)


async def test_logs_are_searched_by_pattern_and_case(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    process = await begin(lab, ann)
    await talk(lab, ann, process, "old Error")
    mock_clock.jump(2 * 86_400)
    await talk(lab, ann, process, "Error 100%", "error_7", "errors7", "a back\\slash")
    for text, days, expected in (
        ("rror", 1, ["Error 100%", "error_7", "errors7"]),
        ("Error", 1, ["Error 100%"]),
        ("Error", 3, ["old Error", "Error 100%"]),
        ("E%0", 1, ["Error 100%"]),
        ("error_7", 1, ["error_7", "errors7"]),
        ("error\\_7", 1, ["error_7"]),
        ("100\\%", 1, ["Error 100%"]),
        ("back\\\\", 1, ["a back\\slash"]),
        ("Error", 0, None),
        ("nowhere", 30, None),
    ):
        found = await lab.node.call(ALICE, "searchlogsmsg", colonyname="lab", text=text, days=days, count=100)
        assert (found and [entry["message"] for entry in found]) == expected, text
    found = await lab.node.call(ALICE, "searchlogsmsg", colonyname="lab", text="rror", days=3, count=2)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"count": 101, "days": 1}, "Count exceeds max log count (100)"),
        ({"count": 1, "days": 31}, "Count exceeds max day count (30)"),
        ({"count": -1, "days": 1}, "pq: LIMIT must not be negative"),
    ],
)
async def test_a_search_has_limits(lab: Lab, fields: dict[str, int], text: str) -> None:
    answer = await lab.node.ask(ALICE, "searchlogsmsg", colonyname="lab", text="x", **fields)
    assert answer.refusal == (400, text)


async def ids(lab: Lab, msgtype: str = "getprocessesmsg", **asked: Any) -> list[str] | None:
    """The ids of a list of processes."""
    fields = {"colonyname": "lab"} | ({"count": 100} if msgtype == "getprocessesmsg" else {}) | asked
    found = await lab.node.call(ALICE, msgtype, **fields)
    return None if found is None else [process["processid"] for process in found]


async def test_each_list_has_its_order(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    made: list[Any] = []
    for priority in (0, 2, 1):
        mock_clock.jump(1)
        made.append((await lab.submit(priority=priority))["processid"])
    low, high, middle = made
    assert await ids(lab, state=WAITING) == [high, middle, low]
    assert await ids(lab, state=WAITING, count=2) == [high, middle]
    for _ in made:
        mock_clock.jump(1)
        await lab.assign(ann)
    assert await ids(lab, state=RUNNING) == [high, middle, low]
    for state, end in ((SUCCESS, lab.close), (FAILED, lab.fail)):
        first, second = await begin(lab, ann), await begin(lab, ann)
        for process in (second, first):
            mock_clock.jump(1)
            await end(ann, process)
        assert await ids(lab, state=state) == [first["processid"], second["processid"]]
    for processid in (low, high):
        mock_clock.jump(1)
        await lab.node.call(ALICE, "cancelprocessmsg", processid=processid)
    assert await ids(lab, state=CANCELLED) == [high, low]
    assert await ids(lab, state=CANCELLED, count=0) is None


async def test_of_several_filters_the_first_counts(lab: Lab) -> None:
    ann = await lab.join("ann")
    typed = (await lab.submit(conditions={"executortype": "other"}))["processid"]
    labelled = (await lab.submit(by=ann, label="L"))["processid"]
    assert await ids(lab, state=WAITING) == [typed, labelled]
    assert await ids(lab, state=WAITING, executortype="other") == [typed]
    assert await ids(lab, state=WAITING, executortype=TYPE, initiator="alice", label="none") == [labelled]
    assert await ids(lab, state=WAITING, initiator="alice", label="L") == [typed]
    assert await ids(lab, state=WAITING, label="L") == [labelled]
    assert await ids(lab, state=WAITING, label="l") is None
    for initiator in ("ann", "nobody"):
        answer = await lab.node.ask(
            ALICE, "getprocessesmsg", colonyname="lab", count=1, state=WAITING, initiator=initiator
        )
        assert answer.refusal == (400, f"User <{initiator}> does not exist")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"count": 101, "state": 0}, "Count is larger than MaxCount limit <100>"),
        ({"count": 10, "state": 5}, "Failed to get processes, invalid msg.State"),
        ({"count": 10, "state": -1}, "Failed to get processes, invalid msg.State"),
        ({"count": -1, "state": 0}, "pq: LIMIT must not be negative"),
    ],
)
async def test_a_list_has_limits(lab: Lab, fields: dict[str, int], text: str) -> None:
    answer = await lab.node.ask(ALICE, "getprocessesmsg", colonyname="lab", **fields)
    assert answer.refusal == (400, text)


async def test_history_goes_back_some_seconds(lab: Lab, mock_clock: MockClock) -> None:
    ann, bob = await lab.join("ann"), await lab.join("bob")
    old = (await lab.run(ann))["processid"]
    mock_clock.jump(100)
    new, of_bob = (await lab.run(ann))["processid"], (await lab.run(bob))["processid"]
    waiting = (await lab.submit())["processid"]
    for fields, expected in (
        ({"seconds": 50, "state": SUCCESS}, [new, of_bob]),
        ({"seconds": 500, "state": SUCCESS}, [old, new, of_bob]),
        ({"seconds": 500, "state": SUCCESS, "executorid": ann.id}, [old, new]),
        ({"seconds": 500, "state": SUCCESS, "executorid": "nobody"}, None),
        ({"seconds": 500, "state": WAITING}, [waiting]),
        ({"seconds": 500, "state": 9}, None),
        ({"seconds": 2**62, "state": WAITING}, [waiting]),
    ):
        assert await ids(lab, "getprocesshistmsg", **fields) == expected, fields


@pytest.fixture
async def forgetful(tmp_path: Path, mock_clock: MockClock) -> AsyncIterator[Lab]:
    """A lab on a node that keeps successes and logs for 1000 seconds."""
    rules = Rules(retention_policy=1000, stale_executor_duration=10**6)
    async with open_node(tmp_path / "forgetful", mock_clock, rules) as node:
        yield await Lab(node).found()


async def test_retention_forgets_old_successes_and_logs_and_keeps_failures(
    forgetful: Lab, mock_clock: MockClock
) -> None:
    lab = forgetful
    ann = await lab.join("ann")
    process = await begin(lab, ann, env={"A": "b"})
    await talk(lab, ann, process, "old")
    await lab.close(ann, process)
    failed = await begin(lab, ann)
    await lab.fail(ann, failed)
    cancelled = await lab.submit()
    await lab.node.call(ALICE, "cancelprocessmsg", processid=cancelled["processid"])
    running, waiting = await begin(lab, ann), await lab.submit(conditions={"executortype": "none"})
    for _ in range(9):
        mock_clock.jump(100)
        await settle()
    young = await begin(lab, ann)
    await talk(lab, ann, young, "young")
    await lab.close(ann, young)
    assert (await lab.get(process))["state"] == SUCCESS
    for _ in range(3):
        mock_clock.jump(61)
        await settle()
    gone = await lab.node.ask(ALICE, "getprocessmsg", processid=process["processid"])
    assert gone.refusal == (404, "Failed to get process, process not found")
    states = [(await lab.get(p))["state"] for p in (failed, cancelled, running, waiting, young)]
    assert states == [FAILED, CANCELLED, RUNNING, WAITING, SUCCESS]
    assert lab.node.tables()["attributes"] == []
    assert await messages(lab, executorname="ann") == ["young"]


async def test_without_retention_nothing_is_forgotten(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    process = await begin(lab, ann)
    await talk(lab, ann, process, "old")
    await lab.close(ann, process)
    mock_clock.jump(50 * 366 * 86_400)
    await settle()
    assert (await lab.get(process))["state"] == SUCCESS
    assert await messages(lab, processid=process["processid"]) == ["old"]


async def test_a_log_message_has_a_limit(lab: Lab) -> None:
    ann = await lab.join("ann")
    process = await begin(lab, ann)
    await talk(lab, ann, process, "x" * limits.MAX_LOG_MESSAGE)
    answer = await lab.node.ask(
        ann, "addlogmsg", processid=process["processid"], message="x" * (limits.MAX_LOG_MESSAGE + 1)
    )
    assert answer.refusal is not None
    assert answer.refusal[0] in (400, 413)
    assert str(limits.MAX_LOG_MESSAGE) in answer.refusal[1]


async def test_who_owns_a_colony_reads_no_logs(lab: Lab) -> None:
    process = await lab.submit()
    answer = await lab.node.ask(OWNER, "getlogsmsg", processid=process["processid"], count=1)
    assert answer.refusal == (403, "Access denied, not a member of Colony with name <lab>")
