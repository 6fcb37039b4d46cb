"""Subscriptions to processes: who is told what, how often, until when."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from colonies_node.core import limits
from colonies_node.http.envelope import write_request
from tests.lab import Lab
from tests.node import (
    ALICE,
    CANCELLED,
    FAILED,
    OWNER,
    RUNNING,
    SERVER,
    STRANGER,
    SUCCESS,
    WAITING,
    Node,
    Party,
    Socket,
    settle,
)

LAB = {"colonyname": "lab"}
WORKERS = LAB | {"executortype": "worker"}
NOT_MEMBER = "Access denied, not a member of Colony with name <lab>"


def seen(socket: Socket) -> list[tuple[str, int]]:
    """(process id, state) of the events since the last look."""
    found = socket.take()
    assert {payloadtype for payloadtype, _ in found} <= {"subscribeprocessmsg"}
    return [(process["processid"], process["state"]) for _, process in found]


async def watch(node: Node, state: int, party: Party = ALICE, **more: Any) -> Socket:
    """Somebody who listens to what comes into a state."""
    return await node.subscribe(party, "subscribeprocessesmsg", **(WORKERS | {"state": state} | more))


async def test_every_state_of_every_process_of_a_type_is_told_to_all_who_listen(node: Node, lab: Lab) -> None:
    ann = await lab.join("ann")
    listeners = [[await watch(node, state, party) for party in (ALICE, ann)] for state in range(5)]
    done, failed, cancelled = [await lab.submit() for _ in range(3)]
    for _ in range(2):
        await lab.assign(ann)
    await lab.close(ann, done, ["x"])
    await lab.fail(ann, failed, ["y"])
    await node.call(ALICE, "cancelprocessmsg", processid=cancelled["processid"])
    await settle()
    ids = [process["processid"] for process in (done, failed, cancelled)]
    told = {WAITING: ids, RUNNING: ids[:2], SUCCESS: ids[:1], FAILED: ids[1:2], CANCELLED: ids[2:]}
    for state, pair in enumerate(listeners):
        for socket in pair:
            assert seen(socket) == [(processid, state) for processid in told[state]]


async def test_an_event_shows_the_process_with_its_output(node: Node, lab: Lab) -> None:
    ann = await lab.join("ann")
    socket = await watch(node, SUCCESS)
    process = await lab.run(ann, out=["x", 1], args=["a"], env={"A": "b"})
    await settle()
    assert socket.take() == [("subscribeprocessmsg", process)]


async def test_other_colonies_types_and_states_are_not_told(node: Node, lab: Lab) -> None:
    other = await Lab(node, "other", Party("the owner of other"), Party("bea")).found()
    await other.join("ann")
    theirs = await watch(node, WAITING, Party("bea"), colonyname="other")
    unlike = await watch(node, WAITING, executortype="workers")
    await lab.submit()
    await settle()
    assert (seen(theirs), seen(unlike)) == ([], [])


async def test_without_a_colony_each_of_the_callers_own_counts(node: Node, lab: Lab) -> None:
    other = await Lab(node, "other", Party("the owner of other"), Party("bea")).found()
    third = await Lab(node, "third", Party("the owner of third"), Party("carl")).found()
    await node.call(other.owner, "addusermsg", user={"colonyname": "other", "name": "alice", "userid": ALICE.id})
    socket = await node.subscribe(ALICE, "subscribeprocessesmsg", executortype="worker", state=WAITING)
    submitted = [await colony.submit() for colony in (lab, other, third)]
    await settle()
    assert seen(socket) == [(process["processid"], WAITING) for process in submitted[:2]]


@pytest.mark.parametrize("party", [STRANGER, OWNER, SERVER, Party("pen of lab"), Party("bea")])
async def test_only_members_may_listen(node: Node, lab: Lab, party: Party) -> None:
    await lab.apply("pen")
    await Lab(node, "other", Party("the owner of other"), Party("bea")).found()
    process = await lab.submit()
    processid = process["processid"]
    socket = await watch(node, WAITING, party)
    await socket.ask(party, "subscribeprocessmsg", processid=processid, state=WAITING, timeout=60)
    await socket.ask(party, "subscribechannelmsg", processid=processid, name="c", timeout=60)
    assert socket.take() == [(403, NOT_MEMBER)] * 3
    if party != Party("bea"):
        await socket.ask(party, "subscribeprocessesmsg", executortype="worker", state=WAITING, timeout=60)
        assert socket.take() == [(403, "executor not found")]
    await lab.submit()
    await settle()
    assert socket.take() == []


async def test_one_process_is_told_of_at_once_if_it_is_in_the_state_already(node: Node, lab: Lab) -> None:
    ann = await lab.join("ann")
    process = await lab.submit()
    mine = {"processid": process["processid"]}
    now = await node.subscribe(ALICE, "subscribeprocessmsg", **mine, state=WAITING)
    later = await node.subscribe(ALICE, "subscribeprocessmsg", **mine, state=RUNNING)
    assert (seen(now), seen(later)) == ([(process["processid"], WAITING)], [])
    await lab.submit()
    await lab.assign(ann)
    await settle()
    assert (seen(now), seen(later)) == ([], [(process["processid"], RUNNING)])


async def test_work_that_goes_back_to_the_queue_is_told(node: Node, lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    process = await lab.submit(maxexectime=5, maxretries=3)
    socket = await watch(node, WAITING)
    await lab.assign(ann)
    mock_clock.jump(6)
    await settle()
    assert seen(socket) == [(process["processid"], WAITING)]
    await lab.assign(ann)
    await node.call(OWNER, "removeexecutormsg", colonyname="lab", executorname="ann")
    await settle()
    assert seen(socket) == [(process["processid"], WAITING)]


async def test_in_a_workflow_a_child_is_told_when_it_is_free_and_a_failure_and_a_cancel_for_every_member(
    node: Node, lab: Lab
) -> None:
    ann = await lab.join("ann")
    waiting, failed, cancelled = [await watch(node, state) for state in (WAITING, FAILED, CANCELLED)]
    nodes = [
        {"nodename": name, "funcname": "f", "conditions": {"executortype": "worker", "dependencies": after}}
        for name, after in (("a", []), ("b", []), ("c", ["a", "b"]), ("d", ["c"]))
    ]

    async def begin() -> list[str]:
        graph = await node.call(ALICE, "submitworkflowspecmsg", spec=LAB | {"functionspecs": nodes})
        await settle()
        ids: list[str] = graph["processids"]
        assert seen(waiting) == [(processid, WAITING) for processid in ids[:2]]
        return ids

    a, b, c, d = await begin()
    await lab.close(ann, await lab.assign(ann))
    await settle()
    assert seen(waiting) == []
    await lab.close(ann, await lab.assign(ann))
    await settle()
    assert seen(waiting) == [(c, WAITING)]
    await lab.fail(ann, await lab.assign(ann))
    await settle()
    first, *others = seen(failed)
    assert first == (c, FAILED)
    assert sorted(others) == sorted((processid, FAILED) for processid in (a, b, d))
    ids = await begin()
    graph = (await lab.get({"processid": ids[0]}))["processgraphid"]
    await node.call(ALICE, "cancelprocessgraphmsg", processgraphid=graph)
    await settle()
    assert sorted(seen(cancelled)) == sorted((processid, CANCELLED) for processid in ids)


async def test_listeners_take_no_work_from_executors(node: Node, lab: Lab) -> None:
    ann = await lab.join("ann")
    socket = await watch(node, WAITING, ann)
    poll = await lab.poll(ann)
    process = await lab.submit()
    await settle()
    assert poll.answer is not None
    assert poll.answer.payload["processid"] == process["processid"]
    assert seen(socket) == [(process["processid"], WAITING)]


async def test_at_its_end_a_subscription_drops_the_connection_and_no_sooner(
    node: Node, lab: Lab, mock_clock: MockClock
) -> None:
    socket = await watch(node, WAITING, timeout=60)
    process = await lab.submit()
    await socket.ask(ALICE, "subscribeprocessmsg", processid=process["processid"], state=SUCCESS, timeout=600)
    mock_clock.jump(59.5)
    await settle()
    assert not socket.over.is_set()
    mock_clock.jump(1)
    await settle()
    assert socket.over.is_set()
    assert len(node.service.subscribers) == 0


@pytest.mark.parametrize("timeout", [0, -1, -(2**63)])
async def test_no_time_at_all_ends_at_once(node: Node, lab: Lab, timeout: int) -> None:
    socket = await watch(node, WAITING, timeout=timeout)
    assert socket.over.is_set()


async def test_the_longest_time_is_a_time(node: Node, lab: Lab) -> None:
    socket = await watch(node, WAITING, timeout=2**63 - 1)
    process = await lab.submit()
    await settle()
    assert seen(socket) == [(process["processid"], WAITING)]


async def test_a_connection_without_subscriptions_is_closed_after_a_while(
    node: Node, lab: Lab, mock_clock: MockClock
) -> None:
    socket = await node.open()
    await socket.ask(STRANGER, "subscribeprocessesmsg", **WORKERS)
    mock_clock.jump(limits.IDLE_S - 1)
    await settle()
    assert not socket.over.is_set()
    mock_clock.jump(2)
    await settle()
    assert socket.over.is_set()


async def test_who_is_no_member_any_more_hears_nothing_more(node: Node, lab: Lab) -> None:
    carl = Party("carl")
    await node.call(OWNER, "addusermsg", user=LAB | {"name": "carl", "userid": carl.id})
    ann, bob, dora = [await lab.join(name) for name in ("ann", "bob", "dora")]
    process = await lab.submit()
    sockets = {party: await watch(node, WAITING, party) for party in (ALICE, carl, ann, bob, dora)}
    single = await node.subscribe(ann, "subscribeprocessmsg", processid=process["processid"], state=SUCCESS)
    await node.call(OWNER, "removeusermsg", **LAB, name="carl")
    await node.call(OWNER, "removeexecutormsg", **LAB, executorname="ann")
    await node.call(OWNER, "rejectexecutormsg", **LAB, executorname="bob")
    await node.call(dora, "changeexecutoridmsg", **LAB, executorid=Party("new dora").id)
    await settle()
    assert [party for party, socket in sockets.items() if socket.over.is_set()] == [carl, ann, bob, dora]
    assert single.over.is_set()
    await node.call(SERVER, "removecolonymsg", **LAB)
    await settle()
    assert sockets[ALICE].over.is_set()


async def test_a_client_that_goes_is_forgotten(node: Node, lab: Lab) -> None:
    socket = await watch(node, WAITING)
    assert len(node.service.subscribers) == 1
    await socket.hang_up()
    assert socket.over.is_set()
    assert len(node.service.subscribers) == 0
    await lab.submit()


async def test_who_does_not_read_is_cut_off_and_the_others_hear_everything(
    node: Node, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_UNSENT_FRAMES", 5)
    good, slow = [await watch(node, WAITING) for _ in range(2)]
    slow.stop_reading()
    ids = [(await lab.submit())["processid"] for _ in range(10)]
    await settle()
    assert slow.over.is_set()
    assert seen(good) == [(processid, WAITING) for processid in ids]


async def test_large_events_that_nobody_reads_are_not_kept(
    node: Node, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_UNSENT", 100_000)
    good, slow = [await watch(node, WAITING) for _ in range(2)]
    slow.stop_reading()
    ids = [(await lab.submit(args=["x" * 80_000]))["processid"] for _ in range(3)]
    await settle()
    assert slow.over.is_set()
    assert seen(good) == [(processid, WAITING) for processid in ids]


async def test_answers_come_as_text_or_bytes_like_the_requests(node: Node, lab: Lab) -> None:
    payload = json.dumps({"msgtype": "subscribeprocessesmsg", **WORKERS, "timeout": 60}).encode()
    body = write_request("subscribeprocessesmsg", payload, ALICE.signer)
    sockets = [await node.open(), await node.open()]
    await sockets[0].send(body)
    await sockets[1].send(body.decode())
    await lab.submit()
    await settle()
    assert [socket.binary for socket in sockets] == [[True], [False]]
    assert sockets[0].take() == sockets[1].take() != []


@pytest.mark.parametrize(
    ("msgtype", "payload", "answer"),
    [
        ("subscribeprocessesmsg", b"no JSON", (400, "Failed to subscribe to processes, invalid JSON")),
        ("subscribeprocessmsg", b"[]", (400, "Failed to subscribe to process, invalid JSON")),
        ("subscribechannelmsg", b'{"timeout":"x"}', (400, "Failed to subscribe to channel, invalid JSON")),
        (
            "subscribeprocessesmsg",
            b'{"msgtype":"x"}',
            (400, "Failed to subscribe to processes, msg.msgType does not match rpcMsg.PayloadType"),
        ),
        (
            "subscribeprocessmsg",
            b"{}",
            (400, "Failed to subscribe to process, msg.msgType does not match rpcMsg.PayloadType"),
        ),
        (
            "subscribechannelmsg",
            b"{}",
            (400, "Failed to subscribe to channel, msg.MsgType does not match rpcMsg.PayloadType"),
        ),
        (
            "subscribeprocessesmsg",
            b'{"msgtype":"subscribeprocessesmsg","colonyname":"lab","state":5}',
            (400, "Failed to subscribe, state must be 0 to 4, got 5"),
        ),
        (
            "subscribeprocessmsg",
            b'{"msgtype":"subscribeprocessmsg","processid":"p"}',
            (403, "Invalid process with Id p"),
        ),
        ("subscribechannelmsg", b'{"msgtype":"subscribechannelmsg","processid":"p"}', (404, "Process not found")),
    ],
)
async def test_a_refusal_leaves_the_connection_open(
    node: Node, lab: Lab, msgtype: str, payload: bytes, answer: tuple[int, str]
) -> None:
    socket = await node.open()
    await socket.send(write_request(msgtype, payload, ALICE.signer).decode())
    assert socket.take() == [answer]
    await socket.ask(ALICE, "subscribeprocessesmsg", **WORKERS, timeout=60)
    await lab.submit()
    await settle()
    assert len(seen(socket)) == 1


async def test_other_messages_are_passed_over_in_silence(node: Node, lab: Lab) -> None:
    socket = await node.open()
    for msgtype in ("getcolonymsg", "nosuchmsg", ""):
        await socket.ask(ALICE, msgtype, **LAB)
    assert (socket.take(), socket.over.is_set()) == ([], False)


@pytest.mark.parametrize("body", ["", "null", "no JSON", "[]", '{"payloadtype":"subscribeprocessesmsg"}', b"\xff"])
async def test_what_is_no_signed_envelope_ends_the_connection(node: Node, body: str | bytes) -> None:
    socket = await node.open()
    await socket.send(body)
    assert (socket.take(), socket.over.is_set()) == ([], True)


async def test_a_connection_has_a_bounded_number_of_subscriptions(
    node: Node, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_SUBSCRIPTIONS", 2)
    socket = await node.open()
    for state in range(3):
        await socket.ask(ALICE, "subscribeprocessesmsg", **WORKERS, state=state, timeout=60)
    assert socket.take() == [(400, "A connection can have at most 2 subscriptions")]


async def test_subscriptions_are_for_the_websocket_alone(node: Node, lab: Lab) -> None:
    answer = await node.ask(ALICE, "subscribeprocessesmsg", **WORKERS)
    assert answer.refusal == (403, "invalid rpcMsg.PayloadType: subscribeprocessesmsg")
    elsewhere = await node.open("/api")
    assert (elsewhere.accepted, elsewhere.over.is_set()) == (False, True)


async def test_a_server_that_stops_drops_its_listeners_and_takes_no_new_ones(node: Node, lab: Lab) -> None:
    socket = await watch(node, WAITING)
    node.service.close()
    await settle()
    assert socket.over.is_set()
    assert (await node.open()).accepted is False


async def test_a_workflow_of_the_largest_size_that_fails_is_told_whole(node: Node, lab: Lab) -> None:
    ann = await lab.join("ann")
    socket = await watch(node, FAILED)
    names = [f"n{number}" for number in range(12_000)]
    conditions = {"executortype": "worker", "dependencies": ["root"]}
    nodes = [{"nodename": "root", "funcname": "f", "conditions": {"executortype": "worker"}}]
    nodes += [{"nodename": name, "funcname": "f", "conditions": conditions} for name in names]
    await node.call(ALICE, "submitworkflowspecmsg", spec=LAB | {"functionspecs": nodes})
    await lab.fail(ann, await lab.assign(ann))
    await settle()
    assert len(seen(socket)) == len(nodes)
    assert not socket.over.is_set()


async def test_an_event_that_cannot_be_told_cuts_listeners_off_and_the_server_goes_on(
    node: Node, lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await watch(node, WAITING)
    with monkeypatch.context() as broken:
        broken.setattr(node.service.subscribers, "show", lambda process: 1 / 0)
        process = await lab.submit()
        await settle()
    assert socket.over.is_set()
    assert "an event could not be told" in caplog.text
    assert (await lab.get(process))["state"] == WAITING


async def test_idle_listeners_cost_no_work(node: Node, lab: Lab, mock_clock: MockClock) -> None:
    class Steps(trio.abc.Instrument):
        taken = 0

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            if task.name is not None and "pubsub" in task.name:
                self.taken += 1

    for _ in range(500):
        await watch(node, SUCCESS, timeout=3600)
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    for _ in range(10):
        await lab.submit()
        mock_clock.jump(60)
        await settle()
    assert steps.taken == 0
    ann = await lab.join("ann")
    await lab.close(ann, await lab.assign(ann))
    await settle()
    trio.lowlevel.remove_instrument(steps)
    assert steps.taken >= 500
