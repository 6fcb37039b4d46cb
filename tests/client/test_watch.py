"""Waiting for news, over websockets that exist in the test only, in simulated time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from colonies_node.client import watch
from colonies_node.client.logs import SLOW, Pace
from colonies_node.client.watch import LOOK_S, UNUSED_S, Watch, tended, until
from colonies_node.core.errors import LinkDown, Refused


class Websocket:
    """One connection: what was subscribed to, and what the server says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.say, self._heard = trio.open_memory_channel[Any](100)

    async def subscribe(self, msgtype: str, /, **fields: Any) -> None:
        await trio.lowlevel.checkpoint()
        assert msgtype == "subscribeprocessmsg"
        self.asked.append(fields["processid"])

    async def next(self) -> bytes:
        try:
            said = await self._heard.receive()
        except trio.EndOfChannel:
            raise LinkDown("cut") from None
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, bytes) else json.dumps({"processid": said, "state": 2}).encode()

    def cut(self) -> None:
        self.say.close()


class Wire:
    """Opens websockets, as long as there are any."""

    def __init__(self) -> None:
        self.opened: list[Websocket] = []
        self.open = 0
        self.down = False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Websocket]:
        await trio.lowlevel.checkpoint()
        if self.down:
            raise LinkDown("no websocket")
        websocket = Websocket()
        self.opened.append(websocket)
        self.open += 1
        try:
            yield websocket
        except BaseExceptionGroup as group:  # as the real one: what is lost comes out as itself
            if group.split(LinkDown)[1] is not None:
                raise
            raise LinkDown("cut") from None
        finally:
            self.open -= 1


class World:
    """Processes that end when the test says so."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.wire = Wire()
        self.watch = Watch(self.wire, nursery)  # type: ignore[arg-type]
        self.nursery = nursery
        self.ended: set[str] = set()
        self.looks = 0
        self.found: list[str] = []
        self.fault: Exception | None = None

    async def wait(self, processid: str) -> None:
        async def look() -> str | None:
            self.looks += 1
            await trio.lowlevel.checkpoint()
            if self.fault:
                raise self.fault
            return processid if processid in self.ended else None

        self.found.append(await until(look, self.watch, processid, Pace()))

    async def begin(self, *processids: str) -> None:
        """Wait for processes, until nothing else goes on."""
        for processid in processids:
            self.nursery.start_soon(self.wait, processid)
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(2 * SLOW)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with tended() as nursery:
        yield World(nursery)


async def test_nobody_asks_until_the_server_tells(world: World, autojump_clock: MockClock) -> None:
    await world.begin("a", "b")
    before = world.looks
    await trio.sleep(LOOK_S / 2)
    assert world.looks == before
    world.ended = {"a", "b"}
    world.wire.opened[0].say.send_nowait("a")
    await trio.testing.wait_all_tasks_blocked()
    assert (world.found, world.looks) == (["a"], before + 1)


async def test_a_silent_server_is_asked_all_the_same_now_and_then(world: World, autojump_clock: MockClock) -> None:
    await world.begin("a")
    world.ended = {"a"}
    await trio.sleep(LOOK_S + 1)
    assert world.found == ["a"]


async def test_a_websocket_that_is_lost_is_opened_again_for_those_who_still_wait(
    world: World, autojump_clock: MockClock
) -> None:
    await world.begin("a", "b")
    assert sorted(world.wire.opened[0].asked) == [*"aaabbb"]
    world.ended = {"a"}
    world.wire.opened[0].cut()
    await trio.sleep(2)
    assert world.found == ["a"], "who waits looks when the line is lost"
    assert world.wire.opened[-1].asked == ["b", "b", "b"]
    world.ended.add("b")
    world.wire.opened[-1].say.send_nowait("b")
    await trio.testing.wait_all_tasks_blocked()
    assert world.found == ["a", "b"]


async def test_what_is_no_event_counts_as_a_lost_line(world: World, autojump_clock: MockClock) -> None:
    await world.begin("a")
    world.wire.opened[0].say.send_nowait(b"<html>")
    await trio.sleep(2)
    assert len(world.wire.opened) == 2


async def test_a_refused_subscription_makes_all_look(world: World, autojump_clock: MockClock) -> None:
    await world.begin("a")
    before = world.looks
    world.wire.opened[0].say.send_nowait(Refused(403, "no"))
    await trio.testing.wait_all_tasks_blocked()
    assert world.looks == before + 1


async def test_without_a_websocket_everybody_asks_at_least_every_second(
    world: World, autojump_clock: MockClock
) -> None:
    world.wire.down = True
    await world.begin("a")
    before = world.looks
    await trio.sleep(10)
    assert 9 <= world.looks - before <= 20
    world.ended = {"a"}
    await trio.sleep(SLOW)
    assert world.found == ["a"]


async def test_a_lost_link_is_waited_out(world: World, autojump_clock: MockClock) -> None:
    await world.begin("a")
    world.fault, world.ended = LinkDown("cut"), {"a"}
    world.wire.opened[0].say.send_nowait("a")
    await trio.sleep(100)
    assert world.found == []
    world.fault = None
    await trio.sleep(LOOK_S + 1)
    assert world.found == ["a"]


async def test_each_websocket_watches_as_many_as_a_server_allows(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MAX_WATCHED", 2)
    await world.begin(*"abcde")
    assert sorted(len(websocket.asked) for websocket in world.wire.opened) == [3, 6, 6]
    world.ended = set("ab")
    world.wire.opened[0].say.send_nowait("a")
    world.wire.opened[0].say.send_nowait("b")
    await trio.testing.wait_all_tasks_blocked()
    await world.begin("f", "g")
    assert len(world.wire.opened[0].asked) == 6, "a subscription lasts: its websocket has no more room"
    assert sum(len(websocket.asked) for websocket in world.wire.opened) == 3 * 7


async def test_a_websocket_that_nobody_needs_is_closed_after_a_while(world: World, autojump_clock: MockClock) -> None:
    await world.begin("a")
    world.ended = {"a"}
    world.wire.opened[0].say.send_nowait("a")
    await trio.sleep(UNUSED_S / 2)
    assert world.wire.open == 1
    await trio.sleep(UNUSED_S)
    assert world.wire.open == 0
    await world.begin("b")
    assert world.wire.open == 1


async def test_what_a_block_raises_is_in_no_group() -> None:
    with pytest.raises(ZeroDivisionError):
        async with tended() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise ZeroDivisionError
