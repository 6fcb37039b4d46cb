"""The client of the CBOR door: it repeats what was not answered, minds the server's clock, and knows its server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from colonies_node.core.errors import LinkDown, Refused, WrongServer
from colonies_node.http.cbor_door import CborDoor
from colonies_node.http.client import ATTEMPT_S
from tests.http.cbor import Way, client, now
from tests.http.test_cbor_once import count
from tests.lab import COLONY, Lab
from tests.node import ALICE, NODE, STRANGER, Node, Party

SPEC = {"funcname": "f", "conditions": {"colonyname": COLONY, "executortype": "worker"}}


async def submit(way: Way, **more: Any) -> Any:
    async with client(way.node, ALICE, way=way, **more) as caller:
        return await caller.call("submitfuncspecmsg", spec=SPEC)


@pytest.mark.parametrize("fate", ["unsent", "request", "answer"])
async def test_what_is_lost_on_the_way_is_sent_again_and_has_one_effect(
    lab: Lab, fate: str, mock_clock: MockClock
) -> None:
    mock_clock.autojump_threshold = 0
    way = Way(lab.node, lambda k: fate if k < 3 else None)
    process = await submit(way)
    assert count(lab.node) == 1
    assert (await lab.get(process))["processid"] == process["processid"]
    assert len(way.sent) == 4
    assert len(set(way.sent)) == 1, "the same bytes"


@pytest.mark.parametrize("fate", ["unsent", "request", "answer"])
async def test_it_is_given_up_when_the_callers_patience_ends(lab: Lab, fate: str, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0
    way = Way(lab.node, lambda _: fate)
    before = trio.current_time()
    with pytest.raises(LinkDown):
        await submit(way, timeout=100)
    assert 60 < trio.current_time() - before <= 100
    assert 5 < len(way.sent) < 30
    assert count(lab.node) == (fate == "answer")


async def test_a_refusal_is_not_repeated(lab: Lab, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0
    way = Way(lab.node)
    async with client(lab.node, STRANGER, way=way) as caller:
        with pytest.raises(Refused) as no:
            await caller.call("submitfuncspecmsg", spec=SPEC)
    assert (no.value.status, no.value.reason, len(way.sent)) == (403, "denied", 1)


async def test_an_application_for_work_that_is_repeated_brings_one_process(lab: Lab, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0
    ann = await lab.join("ann")
    await lab.submit(), await lab.submit()
    way = Way(lab.node, lambda k: "answer" if k < 2 else None)
    async with client(lab.node, ann, way=way) as caller:
        process = await caller.call("assignprocessmsg", colonyname=COLONY, timeout=10)
    assert (await lab.get(process))["assignedexecutorid"] == ann.id
    assert len(lab.node.store.read(lambda tx: tx.all("select 1 from processes where state = 1"))) == 1


@pytest.mark.parametrize("clock", [lambda: 0.0, lambda: 4e9], ids=["1970", "2096"])
async def test_a_client_with_a_wrong_clock_learns_the_servers(
    lab: Lab, clock: Callable[[], float], mock_clock: MockClock
) -> None:
    mock_clock.autojump_threshold = 0
    way = Way(lab.node)
    async with client(lab.node, ALICE, way=way, clock=clock) as caller:
        await caller.call("submitfuncspecmsg", spec=SPEC)
        await caller.call("submitfuncspecmsg", spec=SPEC)
    assert count(lab.node) == 2
    assert len(way.sent) == 3, "it learns it once"


async def test_a_server_whose_clock_is_in_1970_is_talked_to_in_its_own_time(lab: Lab, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0
    lab.node.service.clock = lab.node.store._clock = lambda: 1_000_000_000
    way = Way(lab.node)
    async with client(lab.node, ALICE, way=way, clock=lambda: 1.8e9) as caller:
        await caller.call("submitfuncspecmsg", spec=SPEC)
    assert (count(lab.node), len(way.sent)) == (1, 2)


async def test_a_time_that_stays_wrong_is_a_refusal(lab: Lab, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0
    ticks = iter(range(10))
    async with client(lab.node, ALICE, clock=lambda: 1e9 * (1 + next(ticks) % 2)) as caller:
        with pytest.raises(Refused) as no:
            await caller.call("submitfuncspecmsg", spec=SPEC)
    assert no.value.reason == "wrong_time"


async def test_when_an_earlier_copy_may_have_had_its_effect_it_is_not_signed_anew(
    lab: Lab, mock_clock: MockClock
) -> None:
    """The first copy is executed, its answer lost; the server's clock jumps before the second comes."""
    mock_clock.autojump_threshold = 0
    jump = 0

    def lose(k: int) -> str | None:
        nonlocal jump
        jump = 3600 * k * 1_000_000_000
        return "answer" if k == 0 else None

    clock = lab.node.service.clock
    lab.node.service.clock = lambda: clock() + jump
    way = Way(lab.node, lose)
    with pytest.raises(LinkDown) as down:
        await submit(way, clock=lambda: clock() / 1e9)
    assert "is not known" in down.value.message
    assert count(lab.node) == 1


async def test_the_first_server_that_is_seen_is_the_one_from_then_on(lab: Lab, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0
    async with client(lab.node, ALICE) as caller:
        await caller.call("getcolonymsg", colonyname=COLONY)
        assert (caller.node_id, caller.first_seen) == (NODE.id, True)
        another(lab.node)
        with pytest.raises(WrongServer):
            await caller.call("getcolonymsg", colonyname=COLONY)


async def test_a_server_that_is_known_beforehand_must_be_that_one(lab: Lab, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0
    async with client(lab.node, ALICE, node_id=NODE.id) as caller:
        await caller.call("submitfuncspecmsg", spec=SPEC)
        assert not caller.first_seen
    way = Way(lab.node)
    async with client(lab.node, ALICE, node_id="0" * 64, way=way) as caller:
        with pytest.raises(WrongServer) as wrong:
            await caller.call("submitfuncspecmsg", spec=SPEC)
    assert NODE.id in wrong.value.message
    assert way.sent == [], "nothing is sent to it"


async def test_a_place_without_a_cbor_door_is_said_to_have_none(lab: Lab, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0
    lab.node.door = lab.node.door.rest
    before = trio.current_time()
    async with client(lab.node, ALICE) as caller:
        with pytest.raises(LinkDown) as down:
            await caller.call("getcolonymsg", colonyname=COLONY)
    assert "no CBOR door" in down.value.message
    assert trio.current_time() == before


async def test_a_batch_gives_answers_and_refusals_over_both_doors(lab: Lab, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0
    batch: list[tuple[str, dict[str, Any]]] = [
        ("submitfuncspecmsg", {"spec": SPEC}),
        ("getprocessmsg", {"processid": "0" * 64}),
        ("getcolonymsg", {"colonyname": COLONY}),
    ]
    for door in ("json", "cbor"):
        async with client(lab.node, ALICE, door) as caller:
            process, no, colony = await caller.call_batch(batch)
        assert process["spec"]["funcname"] == "f"
        assert isinstance(no, Refused) and no.status == 404
        assert colony["name"] == COLONY


async def test_a_batch_that_is_refused_whole_is_refused(lab: Lab, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0
    async with client(lab.node, ALICE) as caller:
        with pytest.raises(Refused) as no:
            await caller.call_batch([("versionmsg", {})] * 1_001)
    assert no.value.status == 413


async def test_a_connection_that_says_nothing_is_given_up_and_the_message_sent_again(
    lab: Lab, mock_clock: MockClock
) -> None:
    mock_clock.autojump_threshold = 0
    ann = await lab.join("ann")
    began = now(lab.node)
    async with trio.open_nursery() as nursery:

        async def later() -> None:
            await trio.sleep(2 * ATTEMPT_S)
            await lab.submit()

        nursery.start_soon(later)
        async with client(lab.node, ann) as caller:
            process = await caller.call("assignprocessmsg", colonyname=COLONY, timeout=300, _timeout=300)
    assert process["assignedexecutorid"] == ann.id
    assert now(lab.node) - began >= 2 * ATTEMPT_S


def another(node: Node) -> None:
    """Let another server answer in the node's place."""
    node.door = CborDoor(node.service, Party("another node").signer, node.door.rest)
