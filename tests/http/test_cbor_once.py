"""A message over CBOR has its effect once, however often and from wherever it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from colonies_node.core.broker.call import Call
from colonies_node.core.broker.table import TABLE
from colonies_node.core.errors import StoreFull
from colonies_node.core.model.numbers import FIELD_NUMBERS, TYPE_NUMBERS
from colonies_node.core.store.remembered import Once
from colonies_node.http.commits import Commits
from colonies_node.http.payload import show
from tests.http.cbor import message, say, told
from tests.lab import COLONY, Lab
from tests.node import ALICE, RUNNING, SECOND, STRANGER, SUCCESS, WAITING, Exchange, Node, Party, open_node, settle

NOTHING = [404, "No process available for assignment", "not_found"]
PROCESSID = FIELD_NUMBERS["processid"]


def submit(**more: Any) -> list[Any]:
    return [
        "submitfuncspecmsg",
        {"spec": {"funcname": "f", "conditions": {"colonyname": COLONY, "executortype": "worker"}, **more}},
    ]


def assign(timeout: int = 60) -> list[Any]:
    return ["assignprocessmsg", {"colonyname": COLONY, "timeout": timeout}]


def close(processid: bytes) -> list[Any]:
    return [TYPE_NUMBERS["closesuccessfulmsg"], {PROCESSID: processid}]


def count(node: Node, table: str = "processes") -> int:
    ((number,),) = node.store.read(lambda tx: tx.all(f"select count(*) from {table}"))
    return int(number)


async def begin(node: Node, sent: bytes) -> Exchange:
    """Send a message and come back when the node waits."""
    exchange = Exchange(sent, path="/cbor")
    node.nursery.start_soon(exchange.run, node.door)
    await settle()
    return exchange


async def test_the_same_message_gets_the_same_reply_and_has_no_second_effect(lab: Lab) -> None:
    sent = message(lab.node, ALICE, submit())
    first, again = [told(await lab.node.post(sent, path="/cbor"), ALICE) for _ in range(2)]
    assert first == again
    assert count(lab.node) == 1


async def test_it_is_known_after_a_restart(tmp_path: Path, mock_clock: MockClock) -> None:
    async with open_node(tmp_path / "data", mock_clock) as node:
        await Lab(node).found()
        sent = message(node, ALICE, submit())
        first = told(await node.post(sent, path="/cbor"), ALICE)
    async with open_node(tmp_path / "data", mock_clock) as node:
        assert told(await node.post(sent, path="/cbor"), ALICE) == first
        assert count(node) == 1


async def test_copies_that_come_together_have_one_effect(lab: Lab) -> None:
    sent = message(lab.node, ALICE, submit())
    copies = [Exchange(sent, path="/cbor") for _ in range(5)]
    async with trio.open_nursery() as nursery:
        for copy in copies:
            nursery.start_soon(copy.run, lab.node.door)
    replies = [told(copy.answer, ALICE) for copy in copies if copy.answer]
    assert len(replies) == 5 and all(reply == replies[0] for reply in replies)
    assert count(lab.node) == 1


async def test_the_same_id_for_another_message_is_a_conflict(lab: Lab) -> None:
    await say(lab.node, ALICE, submit())
    assert (await say(lab.node, ALICE, submit(priority=1)))[::2] == [409, "conflict"]
    assert count(lab.node) == 1


async def test_refusals_are_not_remembered(lab: Lab) -> None:
    sent = message(lab.node, ALICE, close(bytes(32)))
    assert told(await lab.node.post(sent, path="/cbor"), ALICE)[0] == 500
    assert count(lab.node, "remembered") == 0


async def test_reads_are_answered_anew(lab: Lab) -> None:
    sent = message(lab.node, ALICE, ["getprocessesmsg", {"colonyname": COLONY, "count": 10}])
    assert told(await lab.node.post(sent, path="/cbor"), ALICE) == [0, None]
    await lab.submit()
    assert len(told(await lab.node.post(sent, path="/cbor"), ALICE)[1]) == 1


async def test_when_its_time_is_over_it_is_refused_and_forgotten(lab: Lab, mock_clock: MockClock) -> None:
    sent = message(lab.node, ALICE, submit())
    await lab.node.post(sent, path="/cbor")
    mock_clock.jump(61)
    assert told(await lab.node.post(sent, path="/cbor"), ALICE)[2] == "wrong_time"
    mock_clock.jump(120)
    await settle()
    assert (count(lab.node), count(lab.node, "remembered"), count(lab.node, "forgotten")) == (1, 0, 1)


# -- applications for work


async def test_an_assignment_that_is_repeated_brings_the_same_process(lab: Lab) -> None:
    ann = await lab.join("ann")
    await lab.submit(), await lab.submit()
    sent = message(lab.node, ann, assign())
    first, again = [told(await lab.node.post(sent, path="/cbor"), ann) for _ in range(2)]
    assert first == again and first[0] == 0
    assert len(lab.node.store.read(lambda tx: tx.all("select 1 from processes where state = 1"))) == 1


async def test_a_copy_goes_on_waiting_for_the_one_before_it(lab: Lab) -> None:
    ann = await lab.join("ann")
    sent = message(lab.node, ann, assign())
    first, later = await begin(lab.node, sent), await begin(lab.node, sent)
    assert first.answer and told(first.answer, ann)[::2] == [409, "conflict"]
    assert later.answer is None
    await lab.submit(), await lab.submit()
    await settle()
    assert later.answer and told(later.answer, ann)[0] == 0
    assert len(lab.node.store.read(lambda tx: tx.all("select 1 from processes where state = 1"))) == 1


async def test_an_assignment_that_could_not_be_told_is_taken_back_and_forgotten(lab: Lab) -> None:
    ann, bob = await lab.join("ann"), await lab.join("bob")
    for k in range(30):
        process = await lab.submit()
        exchange = Exchange(message(lab.node, ann, assign(), cti=bytes(15) + bytes((k,))), path="/cbor")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exchange.run, lab.node.door)
            for _ in range(k + 1):
                await trio.lowlevel.checkpoint()
            over = len(exchange.sent) == 2
            exchange.hang_up()
        before = count(lab.node, "remembered")
        if exchange.answer:
            assert ((await lab.get(process))["state"], before) == (RUNNING, 1), k
            break
        assert ((await lab.get(process))["state"], before) == (WAITING, 0), k
        assert (await lab.assign(bob))["processid"] == process["processid"]
        await lab.close(bob, process)
    assert k > 3 and not over


async def test_a_copy_that_comes_while_the_first_answer_is_lost_keeps_the_process(lab: Lab) -> None:
    """At whichever turn the first client goes away and its message comes again: the copy's answer is true."""
    ann = await lab.join("ann")
    outcomes = set()
    for k in range(16):
        for j in range(4):
            process = await lab.submit()
            sent = message(lab.node, ann, assign(), cti=bytes((k, j)) + bytes(14))
            first, copy = Exchange(sent, path="/cbor"), Exchange(sent, path="/cbor")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(first.run, lab.node.door)
                for _ in range(k):
                    await trio.lowlevel.checkpoint()
                first.hang_up()
                for _ in range(j):
                    await trio.lowlevel.checkpoint()
                nursery.start_soon(copy.run, lab.node.door)
            assert copy.answer is not None
            status, body = told(copy.answer, ann)[:2]
            assert status == 0 and body[PROCESSID].hex() == process["processid"]
            assert (await lab.get(process))["state"] == RUNNING
            outcomes.add(first.answer is not None)
            await lab.close(ann, process)
    assert outcomes == {True, False}


async def test_what_cannot_be_taken_back_for_want_of_disk_is_forgotten_later(
    lab: Lab, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await lab.join("ann")
    process = await lab.submit()
    service, row = lab.node.service, TABLE["assignprocessmsg"]
    once = Once(ann.id, bytes(16), service.clock() + 600 * SECOND, b"")
    asked = row.read_compact({"colonyname": COLONY, "timeout": -1})
    given = await service.assignments.assign(row, asked, Call(ann.id, service.rules), show, once)

    async def fail(*_: Any, **__: Any) -> None:
        raise StoreFull("the disk is full")

    monkeypatch.setattr(Commits, "write", fail)
    await service.assignments.take_back(given)
    monkeypatch.undo()
    assert ((await lab.get(process))["state"], count(lab.node, "remembered")) == (RUNNING, 1)
    mock_clock.jump(20)
    await settle()
    assert ((await lab.get(process))["state"], count(lab.node, "remembered")) == (WAITING, 0)


# -- batches


async def test_a_batch_is_answered_in_order_and_each_message_stands_or_falls_by_itself(lab: Lab) -> None:
    replies = await say(lab.node, ALICE, [submit(), close(bytes(32)), ["nosuchmsg", {}], 7, submit(priority=1)])
    assert [reply[0] for reply in replies] == [0, 500, 403, 400, 0]
    assert count(lab.node) == 2


async def test_a_batch_that_comes_again_has_no_second_effect(lab: Lab) -> None:
    sent = message(lab.node, ALICE, [submit(), close(bytes(32)), submit()])
    first, again = [told(await lab.node.post(sent, path="/cbor"), ALICE) for _ in range(2)]
    assert first == again
    assert count(lab.node) == 2


async def test_a_batch_of_which_all_was_refused_is_not_remembered(lab: Lab) -> None:
    """Or anybody with a key of her own could fill the disk."""
    before = lab.node.tables()
    for party in (ALICE, STRANGER):
        refusals = await say(lab.node, party, [close(bytes(32)), assign(-1), ["getcoloniesmsg", {}]])
        assert all(status >= 400 for status, *_ in refusals)
    assert lab.node.tables() == before


async def test_closing_and_taking_the_next_is_one_round_trip(lab: Lab) -> None:
    ann = await lab.join("ann")
    one, two = await lab.submit(), await lab.submit()
    ((_, first),) = await say(lab.node, ann, [assign(-1)])
    assert first[PROCESSID].hex() == one["processid"]
    closed, (_, next_) = await say(lab.node, ann, [close(first[PROCESSID]), assign(60)], cti=bytes(15) + b"\1")
    assert closed == [0, {}]
    assert next_[PROCESSID].hex() == two["processid"]
    assert [(await lab.get(one))["state"], (await lab.get(two))["state"]] == [SUCCESS, RUNNING]


async def test_work_in_a_batch_is_not_waited_for(lab: Lab) -> None:
    ann = await lab.join("ann")
    assert await say(lab.node, ann, [assign(3600)]) == [NOTHING]
    await lab.node.call(lab.owner, "pauseassignmentsmsg", colonyname=COLONY)
    (refusal,) = await say(lab.node, ann, [assign(-1)], cti=bytes(15) + b"\1")
    assert refusal[::2] == [503, "unavailable"]


async def test_what_a_batch_submits_wakes_who_waits(lab: Lab) -> None:
    polls = [await lab.poll(await lab.join(name)) for name in ("ann", "bob")]
    await say(lab.node, ALICE, [submit(), submit(), submit()])
    await settle()
    assert all(poll.answer is not None for poll in polls)


async def test_an_executor_that_applies_in_a_batch_takes_nothing_from_those_who_were_woken(lab: Lab) -> None:
    """The one process goes to one of them, and the other goes on waiting for the next."""
    poll = await lab.poll(await lab.join("ann"))
    bob = await lab.join("bob")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lab.submit)
        nursery.start_soon(say, lab.node, bob, [assign(-1)])
    await settle()
    if poll.answer is None:
        await lab.submit()
        await settle()
    assert poll.answer is not None


@pytest.mark.parametrize("name", ["subscribeprocessmsg", "subscribeprocessesmsg", "subscribechannelmsg"])
async def test_subscriptions_have_no_place_in_a_batch(node: Node, name: str) -> None:
    ((status, _, code),) = await say(node, ALICE, [[name, {}]])
    assert (status, code) == (403, "denied")


async def test_a_batch_that_is_too_long_is_refused_whole(lab: Lab) -> None:
    status, _, code = await say(lab.node, ALICE, [submit()] * 1_001)
    assert (status, code) == (413, "too_large")
    assert count(lab.node) == 0
    replies = await say(lab.node, ALICE, [submit()] * 1_000)
    assert len(replies) == 1_000 == count(lab.node)


async def test_a_batch_of_looks_changes_nothing_and_is_answered_anew(lab: Lab) -> None:
    sent = message(
        lab.node, ALICE, [["getprocessesmsg", {"colonyname": COLONY, "count": 10}], ["getstatisticsmsg", {}]]
    )
    assert told(await lab.node.post(sent, path="/cbor"), ALICE)[0] == [0, None]
    await lab.submit()
    looked, refused = told(await lab.node.post(sent, path="/cbor"), ALICE)
    assert len(looked[1]) == 1 and refused[0] == 403
    assert count(lab.node, "remembered") == 0


async def test_a_batch_with_a_long_change_is_made_whole_as_well(lab: Lab) -> None:
    await lab.submit()
    removal = ["removeallprocessesmsg", {"colonyname": COLONY, "state": -1}]
    replies = await say(lab.node, lab.owner, [removal, ["getcolonystatsmsg", {"colonyname": COLONY}]])
    assert [reply[0] for reply in replies] == [0, 403]
    assert count(lab.node) == 0


async def test_a_stranger_cannot_use_an_id_that_another_used(lab: Lab) -> None:
    await say(lab.node, ALICE, submit())
    assert (await say(lab.node, STRANGER, submit()))[0] == 403
    assert Party("alice").id == ALICE.id
