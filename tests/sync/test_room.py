"""A node whose disk is nearly full, or that is locked, takes no more work from its upstream until that is over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import trio
import trio.testing

from colonies_node.device import gate
from tests.sim.world import SUCCESS, WAITING, World

SEEN = "select capabilities from executors where executorname = ?"
STATE = "select state from processes where processid = ?"


async def test_a_node_short_of_disk_asks_its_upstream_for_no_work(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        world = World(tmp_path, 1, nursery)
        base, field = world.add("base", []), world.add("field", ["cam"])
        world.link("field", "base", accept=["cam"])
        await world.begin()
        first = await world.submit("base", "cam")
        assert await world.settle() == []
        assert base.rows(STATE, first) == [(SUCCESS,)]

        assert field.service is not None
        roomy = field.service.rules
        field.service.rules = replace(roomy, disk_reserve=1 << 60)
        await trio.sleep(120)  # the letter that waits above, and may still bring some, is answered by then
        second = await world.submit("base", "cam")
        await trio.sleep(3600)
        assert base.rows(STATE, second) == [(WAITING,)]
        assert field.links[0].live.connected

        field.service.rules = replace(roomy, disk_reserve=1)
        assert await world.settle() == []
        assert base.rows(STATE, second) == [(SUCCESS,)]
        nursery.cancel_scope.cancel()


async def test_a_locked_node_asks_its_upstream_for_no_work(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        world = World(tmp_path, 1, nursery)
        base, field = world.add("base", []), world.add("field", ["cam"])
        world.link("field", "base", accept=["cam"])
        await world.begin()
        assert await world.settle() == []
        assert field.service is not None
        field.service.locked = lambda: gate.why_locked(gate.locked(tmp_path))
        gate.lock(tmp_path, "flight")
        await trio.sleep(120)
        processid = await world.submit("base", "cam")
        await trio.sleep(3600)
        assert base.rows(STATE, processid) == [(WAITING,)]
        assert "locked (flight)" in base.rows(SEEN, "field")[0][0]
        gate.unlock(tmp_path)
        assert await world.settle() == []
        assert base.rows(STATE, processid) == [(SUCCESS,)]
        assert "locked" not in base.rows(SEEN, "field")[0][0]
        nursery.cancel_scope.cancel()
