"""The alarm clock: it rings when something is due, whatever happens to the time of day, and never spins."""

from __future__ import annotations

import trio
import trio.testing

from colonies_node.core.errors import StoreFull
from colonies_node.core.model.times import SECOND
from colonies_node.http.alarm import Alarm
from tests.node import START, settle

HOUR = 3600 * SECOND


class Wall:
    """A clock on the wall that follows the loop's time and can be set; and what an alarm on it did."""

    def __init__(self) -> None:
        self.set_by = 0
        self.rung: list[int] = []
        self.steps: list[int] = []
        self.full = False

    def now(self) -> int:
        return START + round(trio.current_time() * SECOND) + self.set_by

    async def ring(self) -> int:
        self.rung.append(self.now())
        if self.full:
            raise StoreFull("the disk is full")
        return 0

    async def stepped(self, step: int) -> int:
        self.steps.append(round(step / SECOND))
        return self.now() + 10 * SECOND


async def test_it_rings_at_its_instant_and_sleeps_before_and_after(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    wall = Wall()
    alarm = Alarm(wall.now, wall.ring, wall.stepped)
    nursery.start_soon(alarm.run)
    due = wall.now() + 30 * SECOND
    alarm.set(due + HOUR)
    alarm.set(due)
    await settle()
    mock_clock.jump(29)
    await settle()
    assert wall.rung == []
    mock_clock.jump(1)
    await settle()
    assert wall.rung == [due]
    mock_clock.jump(86_400)
    await settle()
    assert (wall.rung, wall.steps) == ([due], [])


async def test_a_clock_that_was_set_is_told_of_before_anything_rings(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    """A machine without a battery clock starts in 1970: what was due soon then is not overdue by 56 years."""
    wall = Wall()
    alarm = Alarm(wall.now, wall.ring, wall.stepped)
    nursery.start_soon(alarm.run)
    alarm.set(wall.now() + 300 * SECOND)
    await settle()
    for step in (56 * 365 * 86_400, -7_200):
        wall.set_by += step * SECOND
        mock_clock.jump(60)
        await settle()
        assert wall.steps.pop() == step
        assert wall.rung == []
    mock_clock.jump(10)
    await settle()
    assert len(wall.rung) == 1


async def test_a_full_disk_is_tried_again_after_a_minute_and_not_before(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    wall = Wall()
    wall.full = True
    alarm = Alarm(wall.now, wall.ring, wall.stepped)
    nursery.start_soon(alarm.run)
    alarm.set(wall.now())
    await settle()
    for minute in range(1, 4):
        assert len(wall.rung) == minute
        mock_clock.jump(60)
        await settle()
