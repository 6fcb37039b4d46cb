"""The websocket `/cbor`: many messages on one connection, and no work lost on it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from colonies_node.core import limits
from colonies_node.core.errors import Refused
from colonies_node.core.model.numbers import FIELD_NUMBERS
from tests.http.cbor import Wire, client, message, number, open_wire
from tests.http.test_cbor_once import assign, close, count, submit
from tests.http.test_long_poll import listening
from tests.lab import COLONY, Lab
from tests.node import ALICE, RUNNING, STRANGER, SUCCESS, WAITING, settle

PROCESSID = FIELD_NUMBERS["processid"]
STATE = FIELD_NUMBERS["state"]


@pytest.fixture
async def wire(lab: Lab) -> Wire:
    return await open_wire(lab.node)


async def test_replies_say_to_which_message_they_are(lab: Lab, wire: Wire) -> None:
    ann = await lab.join("ann")
    await wire.ask(ann, assign(), cti=number(1))
    await wire.ask(ann, ["getprocessesmsg", {"colonyname": COLONY, "count": 1}], cti=number(2))
    assert wire.told(ann) == [(2, [0, None])]
    process = await lab.submit()
    await settle()
    ((cti, (status, body)),) = wire.told(ann)
    assert (cti, status, body[PROCESSID].hex()) == (1, 0, process["processid"])


async def test_several_callers_share_a_connection(lab: Lab, wire: Wire) -> None:
    await wire.ask(ALICE, submit(), cti=number(1))
    assert [reply[1][0] for reply in wire.told(ALICE)] == [0]
    await wire.ask(STRANGER, submit(), cti=number(1))
    assert [reply[1][0] for reply in wire.told(STRANGER)] == [403]


async def test_changes_that_come_together_share_a_commit(lab: Lab, wire: Wire) -> None:
    before = lab.node.service.meter.commits[False].counts
    commits = sum(before)
    for k in range(20):
        wire._tell.send_nowait(
            {"type": "websocket.receive", "bytes": message(lab.node, ALICE, submit(), cti=number(k))}
        )
    await settle()
    assert len(wire.told(ALICE)) == 20 == count(lab.node)
    assert sum(lab.node.service.meter.commits[False].counts) - commits <= 3


async def test_a_message_that_comes_again_on_a_socket_has_no_second_effect(lab: Lab, wire: Wire) -> None:
    for _ in range(2):
        await wire.ask(ALICE, submit(), cti=number(1))
    first, again = wire.told(ALICE)
    assert first == again
    assert count(lab.node) == 1


async def test_a_batch_on_a_socket_is_one_reply(lab: Lab, wire: Wire) -> None:
    ann = await lab.join("ann")
    one, two = await lab.submit(), await lab.submit()
    await wire.ask(ann, assign(), cti=number(1))
    ((_, (_, first)),) = wire.told(ann)
    await wire.ask(ann, [close(first[PROCESSID]), assign(-1)], cti=number(2))
    ((cti, (closed, (status, second))),) = wire.told(ann)
    assert (cti, closed, status) == (2, [0, {}], 0)
    assert second[PROCESSID].hex() == two["processid"]
    assert [(await lab.get(one))["state"], (await lab.get(two))["state"]] == [SUCCESS, RUNNING]


async def test_what_is_no_cose_is_refused_and_the_connection_stays(lab: Lab, wire: Wire) -> None:
    await wire.send(b"nonsense")
    await wire.send("text")
    await wire.ask(ALICE, ["getcolonymsg", {"colonyname": COLONY}])
    assert len(wire.frames_sent) == 3
    wire.frames_sent = wire.frames_sent[2:]
    assert wire.told(ALICE)[0][1][0] == 0
    assert not wire.over.is_set()


async def test_who_goes_while_waiting_takes_nothing(lab: Lab, wire: Wire) -> None:
    ann = await lab.join("ann")
    await wire.ask(ann, assign())
    await wire.hang_up()
    assert wire.over.is_set()
    assert (await lab.submit())["state"] == WAITING
    await settle()
    assert lab.node.store.read(lambda tx: tx.all("select state from processes")) == [(WAITING,)]


async def test_work_that_waits_to_be_sent_is_taken_back_when_the_client_goes(lab: Lab, wire: Wire) -> None:
    ann = await lab.join("ann")
    wire.stop_reading()
    await wire.ask(ann, ["getcolonymsg", {"colonyname": COLONY}], cti=number(1))
    await wire.ask(ann, assign(), cti=number(2))
    await lab.submit()
    await settle()
    assert lab.node.store.read(lambda tx: tx.all("select state from processes")) == [(RUNNING,)]
    wire._tell.send_nowait({"type": "websocket.disconnect", "code": 1006})
    await settle()
    wire.reading.set()
    await settle()
    assert wire.over.is_set()
    assert lab.node.store.read(lambda tx: tx.all("select state from processes")) == [(WAITING,)]
    assert count(lab.node, "remembered") == 0


async def test_a_client_that_does_not_read_is_cut_off(lab: Lab, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_UNSENT_FRAMES", 10)
    wire.stop_reading()
    for k in range(20):
        await wire.ask(ALICE, ["getcolonymsg", {"colonyname": COLONY}], cti=number(k))
    assert wire.over.is_set()


async def test_so_many_messages_are_worked_on_at_a_time_and_the_rest_waits(
    lab: Lab, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, write, most = trio.Event(), lab.node.service.write, 0
    under_way = 0

    async def slow(change: Any, *, bulk: bool = False) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await free.wait()
        under_way -= 1
        return await write(change, bulk=bulk)

    monkeypatch.setattr(lab.node.service, "write", slow)
    for k in range(limits.MAX_IN_FLIGHT + 10):
        wire._tell.send_nowait(
            {"type": "websocket.receive", "bytes": message(lab.node, ALICE, submit(), cti=number(k))}
        )
    await settle()
    assert under_way == limits.MAX_IN_FLIGHT
    free.set()
    await settle()
    assert count(lab.node) == limits.MAX_IN_FLIGHT + 10
    assert most == limits.MAX_IN_FLIGHT


async def test_a_connection_without_messages_ends_after_a_while(lab: Lab, wire: Wire, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    await wire.ask(ann, assign(3600))
    mock_clock.jump(limits.IDLE_S + 1)
    await settle()
    assert not wire.over.is_set()
    await lab.submit()
    await settle()
    mock_clock.jump(limits.IDLE_S + 1)
    await settle()
    assert wire.over.is_set()


# -- subscriptions


async def test_a_subscription_tells_its_events_beside_everything_else(lab: Lab, wire: Wire) -> None:
    about = {"colonyname": COLONY, "executortype": "worker", "state": WAITING, "timeout": 60}
    await wire.ask(ALICE, ["subscribeprocessesmsg", about], cti=number(1))
    await wire.ask(ALICE, ["subscribeprocessesmsg", {**about, "state": SUCCESS}], cti=number(2))
    ann = await lab.join("ann")
    process = await lab.run(ann)
    await settle()
    told = wire.told(ALICE)
    assert [(cti, status, body.get(STATE, 0), body[PROCESSID].hex()) for cti, (status, body) in told] == [
        (1, 0, WAITING, process["processid"]),
        (2, 0, SUCCESS, process["processid"]),
    ]


async def test_a_subscription_says_when_its_time_is_over(lab: Lab, wire: Wire, mock_clock: MockClock) -> None:
    about = {"colonyname": COLONY, "executortype": "worker", "state": WAITING, "timeout": 5}
    await wire.ask(ALICE, ["subscribeprocessesmsg", about], cti=number(1))
    mock_clock.jump(6)
    await settle()
    ((cti, (status, _, code)),) = wire.told(ALICE)
    assert (cti, status, code) == (1, 408, "timed_out")
    assert not wire.over.is_set()


async def test_who_is_no_member_any_more_hears_nothing(lab: Lab, wire: Wire) -> None:
    about = {"colonyname": COLONY, "executortype": "worker", "state": WAITING, "timeout": 60}
    await wire.ask(ALICE, ["subscribeprocessesmsg", about], cti=number(1))
    await lab.node.call(lab.owner, "removeusermsg", colonyname=COLONY, name="alice")
    await settle()
    assert [reply[::2] for _, reply in wire.told(ALICE)] == [[503, "unavailable"]]


async def test_channels_are_heard_side_by_side(lab: Lab, wire: Wire) -> None:
    ann = await lab.join("ann")
    await lab.submit(channels=["a", "b"])
    process = await lab.assign(ann)
    for k, name in enumerate("ab"):
        about = {"processid": process["processid"], "name": name, "timeout": 60}
        await wire.ask(ALICE, ["subscribechannelmsg", about], cti=number(k))
    for name in "ba":
        append = {"processid": process["processid"], "name": name, "sequence": 1, "payload": "aGk="}
        await lab.node.call(ann, "channelappendmsg", **append)
    await settle()
    told = wire.told(ALICE)
    assert [(cti, [entry[FIELD_NUMBERS["payload"]] for entry in body]) for cti, (_, body) in told] == [
        (1, [b"hi"]),
        (0, [b"hi"]),
    ]
    await lab.close(ann, process)
    await settle()
    assert [(cti, body[0][FIELD_NUMBERS["type"]]) for cti, (_, body) in wire.told(ALICE) if body] == [
        (0, "end"),
        (1, "end"),
    ]


async def test_when_the_server_goes_the_connection_is_dropped(lab: Lab, wire: Wire) -> None:
    ann = await lab.join("ann")
    await wire.ask(ann, assign())
    lab.node.service.close()
    await settle()
    assert wire.over.is_set()


# -- the client, over real connections


async def test_a_client_has_many_calls_on_one_connection(lab: Lab) -> None:
    ann = await lab.join("ann")
    async with listening(lab.node) as port, client(lab.node, ann, port=port) as caller, caller.pipeline() as line:
        got: list[Any] = []

        async def work() -> None:
            process = await line.call("assignprocessmsg", colonyname=COLONY, timeout=60)
            await line.call("closesuccessfulmsg", processid=process["processid"], out=[len(got)])
            got.append(process["processid"])

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(work)
            ids = [(await lab.submit())["processid"] for _ in range(10)]
        assert sorted(got) == sorted(ids)
        with pytest.raises(Refused):
            await line.call("getcolonymsg", colonyname="nowhere")


async def test_what_is_larger_than_a_subscription_may_be_goes_over_the_socket(lab: Lab) -> None:
    async with listening(lab.node) as port, client(lab.node, ALICE, port=port) as caller, caller.pipeline() as line:
        # Random enough not to be deflated below the bound of the other websocket.
        args = [number(k * 0x9E3779B97F4A7C15).hex() * 4 for k in range(10_000)]
        spec = {"funcname": "f", "conditions": {"colonyname": COLONY, "executortype": "worker"}, "args": args}
        process = await line.call("submitfuncspecmsg", spec=spec)
        assert process["spec"]["args"] == args


async def test_a_client_hears_events_until_it_lets_go(lab: Lab) -> None:
    async with listening(lab.node) as port, client(lab.node, ALICE, port=port) as caller, caller.pipeline() as line:
        about = {"colonyname": COLONY, "executortype": "worker", "state": WAITING, "timeout": 60}
        heard: list[Any] = []

        async def hear() -> None:
            async with line.subscribe("subscribeprocessesmsg", **about) as events:
                heard.append(await anext(events))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear)
            while not lab.node.service.subscribers._watching:
                await trio.lowlevel.checkpoint()
            process = await lab.submit()
        assert heard == [process]


async def test_a_call_whose_connection_is_lost_goes_on_by_post(lab: Lab) -> None:
    ann = await lab.join("ann")
    got: list[Any] = []
    async with (
        listening(lab.node) as port,
        client(lab.node, ann, port=port) as caller,
        caller.pipeline() as line,
        trio.open_nursery() as nursery,
    ):

        async def work() -> None:
            got.append(await line.call("assignprocessmsg", colonyname=COLONY, timeout=60, _timeout=60))

        nursery.start_soon(work)
        while not lab.node.service.assignments.room:
            await trio.lowlevel.checkpoint()
        lab.node.service.subscribers.cut_all()
        while lab.node.service.assignments.room:
            await trio.lowlevel.checkpoint()
        process = await lab.submit()
    assert [one["processid"] for one in got] == [process["processid"]]
