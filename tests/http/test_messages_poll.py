"""Executors that wait for work: one right waiter is woken, none sleeps while there is work for it (core.md, 5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from colonies_node.core.events import ProcessChanged
from colonies_node.core.store.transaction import Change, Outcome
from tests.lab import Lab
from tests.node import ALICE, OWNER, RUNNING, SERVER, WAITING, Exchange, Node, Party, settle

NOTHING = (404, "No process available for assignment")
PAUSED = (408, "Assignment timeout: colony assignments are paused")


def got(exchange: Exchange) -> str | None:
    """The id of the process that a poll brought; None while it waits."""
    if exchange.answer is None:
        return None
    assert exchange.answer.refusal is None
    processid: str = exchange.answer.payload["processid"]
    return processid


def refused(exchange: Exchange) -> tuple[int, str] | None:
    """The refusal that a poll brought; None while it waits."""
    return exchange.answer.refusal if exchange.answer else None


async def submitted(lab: Lab, **spec: Any) -> str:
    """The id of a new process, once everybody has heard of it."""
    processid: str = (await lab.submit(**spec))["processid"]
    await settle()
    return processid


async def test_a_waiting_executor_gets_work_at_once(lab: Lab, mock_clock: MockClock) -> None:
    poll = await lab.poll(await lab.join("ann"))
    mock_clock.jump(30)
    await settle()
    assert got(poll) is None
    process = await submitted(lab)
    assert got(poll) == process


async def test_a_wait_ends_after_its_timeout(lab: Lab, mock_clock: MockClock) -> None:
    poll = await lab.poll(await lab.join("ann"), timeout=60)
    mock_clock.jump(59.9)
    await settle()
    assert refused(poll) is None
    mock_clock.jump(0.2)
    await settle()
    assert refused(poll) == NOTHING


async def test_a_wait_ends_after_an_hour_however_long_was_asked(lab: Lab, mock_clock: MockClock) -> None:
    poll = await lab.poll(await lab.join("ann"), timeout=2**62)
    mock_clock.jump(3601)
    await settle()
    assert refused(poll) == NOTHING


async def test_one_process_wakes_one_executor(lab: Lab) -> None:
    polls = [await lab.poll(await lab.join(name)) for name in ("ann", "bob", "cia")]
    first = await submitted(lab)
    assert [got(poll) for poll in polls] == [first, None, None]
    second = await submitted(lab)
    assert [got(poll) for poll in polls] == [first, second, None]


async def test_an_executor_that_polls_again_stands_at_the_end_of_the_line(lab: Lab) -> None:
    ann, bob = await lab.join("ann"), await lab.join("bob")
    first, second = await lab.poll(ann), await lab.poll(bob)
    one = await submitted(lab)
    again = await lab.poll(ann)
    two = await submitted(lab)
    assert [got(first), got(second), got(again)] == [one, two, None]


async def test_an_executor_of_the_same_type_in_another_colony_sleeps_on(node: Node, lab: Lab) -> None:
    other = await Lab(node, "other", Party("the owner of other"), Party("bea")).found()
    theirs = await other.poll(await other.join("ann"))
    ours = await lab.poll(await lab.join("ann"))
    for _ in range(3):
        process = await submitted(lab)
        assert (got(ours), got(theirs)) == (process, None)
        ours = await lab.poll(Party("ann of lab"))


@pytest.mark.parametrize(
    ("conditions", "bobs"),
    [
        ({"executornames": ["bob"]}, {}),
        ({"executornames": ["cia", "bob"]}, {}),
        ({"locationname": "there"}, {"locationname": "There"}),
        ({"executortype": "special"}, {"type": "special"}),
    ],
)
async def test_only_the_executor_that_may_is_woken(lab: Lab, conditions: dict[str, Any], bobs: dict[str, Any]) -> None:
    ann, bob = await lab.poll(await lab.join("ann")), await lab.poll(await lab.join("bob", **bobs))
    process = await submitted(lab, conditions=conditions)
    assert (got(ann), got(bob)) == (None, process)


@pytest.mark.parametrize(
    ("asked", "small", "large"),
    [
        ({"cpu": "2"}, {"availablecpu": "1"}, {"availablecpu": "2000m"}),
        ({"mem": "2Gi"}, {"availablemem": "1Gi"}, {"availablemem": "4Gi"}),
    ],
)
async def test_only_an_executor_with_room_is_woken(
    lab: Lab, asked: dict[str, str], small: dict[str, str], large: dict[str, str]
) -> None:
    ann = await lab.poll(await lab.join("ann"), **small)
    bob = await lab.poll(await lab.join("bob"), **large)
    process = await submitted(lab, conditions=asked)
    assert (got(ann), got(bob)) == (None, process)


async def test_a_process_without_a_place_wakes_any_executor(lab: Lab) -> None:
    ann = await lab.poll(await lab.join("ann", locationname="there"))
    process = await submitted(lab)
    assert got(ann) == process


@pytest.mark.parametrize("waiting", [10, 30, 50])
async def test_no_executor_sleeps_while_there_is_work_that_it_may_take(lab: Lab, waiting: int) -> None:
    polls = [await lab.poll(await lab.join(f"worker{n}")) for n in range(waiting)]

    async def submit(n: int) -> None:
        names = [f"worker{n}"] if n % 3 == 0 else None
        await lab.submit(priority=n % 4, conditions={"executornames": names})

    async with trio.open_nursery() as nursery:
        for n in range(30):
            nursery.start_soon(submit, n)
    await settle()
    brought = [processid for poll in polls if (processid := got(poll))]
    assert len(set(brought)) == len(brought) >= min(waiting, 20)
    asleep = {f"worker{n}" for n, poll in enumerate(polls) if not poll.done.is_set()}
    left = await lab.node.call(ALICE, "getprocessesmsg", colonyname="lab", count=100, state=WAITING)
    for process in left or []:
        assert asleep.isdisjoint(process["spec"]["conditions"]["executornames"] or asleep)
    assert len(brought) + len(left or []) == 30


async def test_a_client_that_hangs_up_while_it_waits_takes_nothing(lab: Lab) -> None:
    ann, bob = await lab.poll(await lab.join("ann")), await lab.poll(await lab.join("bob"))
    ann.hang_up()
    await settle()
    assert ann.done.is_set()
    assert ann.answer is None
    process = await submitted(lab)
    assert got(bob) == process


@pytest.mark.parametrize("moment", [WAITING, RUNNING])
async def test_what_an_executor_leaves_that_hangs_up_when_it_comes_goes_to_another(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """DEVIATIONS 26: the executor was woken for the process, or has it already, and cannot be told."""
    ann, bob = await lab.poll(await lab.join("ann")), await lab.poll(await lab.join("bob"))
    commit, gone = lab.node.store.commit, trio.Event()

    def commit_and_hang_up(changes: Sequence[Change]) -> list[Outcome]:
        outcomes = commit(changes)
        events = [event for outcome in outcomes for event in outcome.events if isinstance(event, ProcessChanged)]
        if not gone.is_set() and any(event.process.state == moment for event in events):
            gone.set()
            ann.hang_up()
        return outcomes

    monkeypatch.setattr(lab.node.store, "commit", commit_and_hang_up)
    process = await submitted(lab)
    assert gone.is_set()
    assert ann.done.is_set()
    assert ann.answer is None
    assert got(bob) == process
    assert (await lab.get({"processid": process}))["retries"] == 0


async def test_work_that_is_given_back_wakes_a_waiter(lab: Lab) -> None:
    ann = await lab.join("ann")
    process = await submitted(lab)
    await lab.assign(ann)
    bob = await lab.poll(await lab.join("bob"))
    await lab.node.call(OWNER, "removeexecutormsg", colonyname="lab", executorname="ann")
    await settle()
    assert got(bob) == process


async def test_work_whose_time_is_over_wakes_a_waiter(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    process = await submitted(lab, maxexectime=5, maxretries=1)
    await lab.assign(ann)
    bob = await lab.poll(await lab.join("bob"))
    mock_clock.jump(6)
    await settle()
    assert got(bob) == process


async def test_an_executor_removed_while_it_waits_gets_nothing(lab: Lab) -> None:
    ann = await lab.poll(await lab.join("ann"))
    await lab.node.call(OWNER, "removeexecutormsg", colonyname="lab", executorname="ann")
    process = await submitted(lab)
    assert refused(ann) == (403, "Access denied, not a member of Colony with name <lab>")
    assert got(await lab.poll(await lab.join("bob"))) == process


async def test_an_executor_rejected_while_it_waits_gets_nothing_and_the_next_one_does(lab: Lab) -> None:
    ann, bob = await lab.poll(await lab.join("ann")), await lab.poll(await lab.join("bob"))
    await lab.node.call(OWNER, "rejectexecutormsg", colonyname="lab", executorname="ann")
    process = await submitted(lab)
    assert refused(ann) == (403, "Access denied, not a member of Colony with name <lab>")
    assert got(bob) == process


async def pause(lab: Lab, paused: bool = True) -> None:
    what = "pause" if paused else "resume"
    assert await lab.node.call(OWNER, f"{what}assignmentsmsg", colonyname="lab") == {}
    status = await lab.node.call(ALICE, "getpausestatusmsg", colonyname="lab")
    assert status == {"msgtype": "pausestatusreplymsg", "colonyname": "lab", "ispaused": paused}
    await settle()


async def test_a_paused_colony_hands_out_nothing(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    process = await submitted(lab)
    await pause(lab)
    answer = await lab.node.ask(ann, "assignprocessmsg", colonyname="lab", timeout=-1)
    assert answer.refusal == (503, "No processes available: colony assignments are paused")
    poll = await lab.poll(ann, timeout=10)
    mock_clock.jump(11)
    await settle()
    assert refused(poll) == PAUSED
    assert (await lab.get({"processid": process}))["state"] == WAITING


async def test_resume_wakes_whoever_waits(lab: Lab) -> None:
    await pause(lab)
    await pause(lab)
    ann, bob = await lab.poll(await lab.join("ann")), await lab.poll(await lab.join("bob"))
    first, second = await submitted(lab), await submitted(lab)
    assert (got(ann), got(bob)) == (None, None)
    await pause(lab, False)
    await pause(lab, False)
    assert {got(ann), got(bob)} == {first, second}


async def test_a_pause_stops_who_already_waits(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.poll(await lab.join("ann"), timeout=10)
    await pause(lab)
    process = await submitted(lab)
    assert got(ann) is None
    mock_clock.jump(11)
    await settle()
    assert refused(ann) == PAUSED
    await pause(lab, False)
    assert got(await lab.poll(Party("ann of lab"))) == process


async def test_a_pause_does_not_stop_what_runs(lab: Lab) -> None:
    ann = await lab.join("ann")
    process = await lab.submit()
    await lab.assign(ann)
    await pause(lab)
    await lab.close(ann, process)
    cancelled = await lab.submit()
    await lab.node.call(ALICE, "cancelprocessmsg", processid=cancelled["processid"])


async def test_a_pause_is_of_one_colony(node: Node, lab: Lab) -> None:
    other = await Lab(node, "other", Party("the owner of other"), Party("bea")).found()
    await pause(lab)
    await other.submit()
    assert (await other.assign(await other.join("ann")))["state"] == RUNNING


async def test_a_server_that_stops_answers_who_waits(lab: Lab) -> None:
    ann = await lab.poll(await lab.join("ann"))
    lab.node.service.close()
    await settle()
    assert refused(ann) == NOTHING


async def test_a_colony_removed_while_its_executors_wait_ends_their_wait_at_the_next_look(
    lab: Lab, mock_clock: MockClock
) -> None:
    ann = await lab.poll(await lab.join("ann"), timeout=10)
    await lab.node.call(SERVER, "removecolonymsg", colonyname="lab")
    mock_clock.jump(11)
    await settle()
    assert refused(ann) in (NOTHING, (403, "Colony with name <lab> does not exists"))
