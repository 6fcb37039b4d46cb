"""Over the worst line that a node may have, work makes progress, little is said twice, and silence stays silent.

Letters are as the CBOR door has them; bytes are those of its bodies.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.sim.tongues import Cbor
from tests.sim.world import World

HOUR = 3600.0
PROCESSES = 200
PAIR = "field", "base"
RATE = 9_600 / 8
"""Bytes a second in each direction: an Iridium or GSM data call."""

ENDED = "select count(*) from processes where state = 2"


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_on_a_slow_line_with_loss_and_gaps_all_gets_upstream_and_few_bytes_are_wasted(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, seed: int
) -> None:
    async with trio.open_nursery() as nursery:
        world = await two_nodes(tmp_path, nursery, seed)
        network, base = world.network, world.nodes["base"]
        network.delay, network.loss, network.rate = 2.0, 0.3, RATE
        nursery.start_soon(gaps, world)
        sent, answered = network.sent, network.answered
        for number in range(PROCESSES):
            # Half of them run here and are told as records, half are given to the upstream.
            await world.submit("field", ("cam", "gpu")[number % 2], args=[world.dice.randbytes(450).hex()])
        upstream = [0]
        while upstream[-1] < PROCESSES:
            await trio.sleep(HOUR)
            upstream.append(base.rows(ENDED)[0][0])
            assert upstream[-1] > upstream[-2], f"no progress in an hour: {upstream}"
        assert len(upstream) <= 10, f"it took too many hours: {upstream}"
        assert await world.settle() == []
        sent, answered = network.sent - sent, network.answered - answered
        had_to_be = told(world)
        print(f"hours {upstream}, {had_to_be} bytes to tell, {sent} sent and {answered} received")
        assert sent + answered <= 3 * had_to_be
        assert all(len(runs) == 1 for runs in world.ran.values())
        nursery.cancel_scope.cancel()


async def test_an_idle_link_writes_one_letter_a_minute(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        world = await two_nodes(tmp_path, nursery, 1)
        for delay in (0.05, 2.0):
            world.network.delay = delay
            assert 45 <= await letters_of_an_hour(world) <= 70
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("busy", [False, True])
async def test_a_node_without_a_line_tries_at_most_eighty_times_an_hour(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, busy: bool
) -> None:
    async with trio.open_nursery() as nursery:
        world = await two_nodes(tmp_path, nursery, 1)
        if busy:
            nursery.start_soon(keep_busy, world)
        world.network.cut.add(PAIR)
        assert 40 <= await letters_of_an_hour(world) <= 80
        assert 40 <= await letters_of_an_hour(world) <= 80
        world.network.cut.clear()
        world.network.loss = 1.0  # nobody says that the line is gone
        assert 20 <= await letters_of_an_hour(world) <= 80
        nursery.cancel_scope.cancel()


async def test_no_more_records_are_told_in_an_hour_than_the_budget_allows_and_what_is_urgent_does_not_wait(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    budget = 60_000
    async with trio.open_nursery() as nursery:
        world = await two_nodes(tmp_path, nursery, 1, budget=budget)
        for _ in range(PROCESSES):
            await world.submit("field", "cam", args=[world.dice.randbytes(450).hex()])
        await trio.sleep(HOUR / 2)
        urgent = await world.submit("field", "gpu")
        await trio.sleep(HOUR / 2)
        assert world.nodes["base"].rows("select state from processes where processid = ?", urgent) == [(2,)]
        ((size,),) = world.nodes["base"].rows("select sum(length(spec || input || out)) from processes")
        assert budget / 4 < size < budget
        await trio.sleep(20 * HOUR)
        assert world.nodes["base"].rows(ENDED) == [(PROCESSES + 1,)]
        nursery.cancel_scope.cancel()


async def two_nodes(folder: Path, nursery: trio.Nursery, seed: int, **settings: Any) -> World:
    """A node that gives its upstream what it cannot run, and records of the rest; connected."""
    world = World(folder, seed, nursery)
    world.tongue = Cbor()
    world.add("base", ["gpu"])
    world.add("field", ["cam"])
    world.link(*PAIR, offload=["missing"], record=True, **settings)
    await world.begin()
    await trio.sleep(60)
    assert world.nodes["field"].links[0].live.connected
    return world


async def gaps(world: World) -> None:
    """Ten minutes without a line in every twenty."""
    while True:
        await trio.sleep(600)
        world.network.cut.add(PAIR)
        await trio.sleep(600)
        world.network.cut.clear()


async def keep_busy(world: World) -> None:
    """Work that never ends."""
    while True:
        await world.submit("field", "cam")
        await trio.sleep(20)


async def letters_of_an_hour(world: World) -> int:
    """How many letters are written in the next hour."""
    before = world.network.letters
    await trio.sleep(HOUR)
    return world.network.letters - before


def told(world: World) -> int:
    """Bytes of what the two nodes had to know of each process, said once and deflated."""
    rows = world.nodes["field"].rows("select spec || input || out || errors from processes")
    return sum(len(zlib.compress(text.encode(), 1)) for (text,) in rows)
