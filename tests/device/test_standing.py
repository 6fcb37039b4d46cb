"""What a colony sees of an executor while it works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock

from colonies_node.core.errors import Refused
from colonies_node.device.gate import lock, unlock
from colonies_node.device.room import Need, Room
from colonies_node.device.standing import PAUSE_S, Standing
from tests.device.colony import EXECUTOR_ID, Colony
from tests.device.shop import gate, registration, workshop

SOFTWARE = [{"name": "podman", "type": "container-engine", "version": "4.3.1"}]


class Stage:
    """A standing with its gate and room, in a colony."""

    def __init__(self, tmp_path: Path) -> None:
        self.colony = Colony()
        self.room = Room(4000, 1 << 30, (0, 1))
        self.gate = gate(workshop(self.colony, tmp_path))
        self.registration = registration(self.colony)
        self.standing = Standing(self.registration, self.gate, self.room, [{"model": "Pi"}], SOFTWARE)
        self.gate.changed = self.room.changed = self.standing.changed

    @property
    def software(self) -> list[Any]:
        """As the colony lists it."""
        listed: list[Any] = self.colony.executors[EXECUTOR_ID]["capabilities"]["software"]
        return listed

    def reports(self) -> list[tuple[int, int]]:
        """Processor and GPUs in use, as they were reported."""
        told = [
            fields["allocations"]["projects"]["lab"] for name, fields in self.colony.calls if name.startswith("rep")
        ]
        return [(project["usedcpu"], project["usedgpu"]) for project in told]


async def test_the_colony_sees_that_a_machine_is_locked_and_why(tmp_path: Path, autojump_clock: MockClock) -> None:
    stage = Stage(tmp_path)
    await stage.registration.join()
    assert stage.software == SOFTWARE
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.standing.run)
        lock(tmp_path, "flight")
        stage.gate.look()
        await trio.sleep(5)
        assert stage.software == [*SOFTWARE, {"name": "maintenance", "type": "state", "version": "locked (flight)"}]
        unlock(tmp_path)
        stage.gate.look()
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert stage.software == SOFTWARE


async def test_a_machine_that_was_locked_before_it_joined_says_so(tmp_path: Path, autojump_clock: MockClock) -> None:
    stage = Stage(tmp_path)
    lock(tmp_path, "update")
    stage.gate.look()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.standing.run)
        await trio.sleep(1)
        await stage.registration.join()
        nursery.cancel_scope.cancel()
    assert stage.software[-1]["version"] == "locked (update)"


async def test_what_is_taken_is_reported_once_a_second_at_most(tmp_path: Path, autojump_clock: MockClock) -> None:
    stage = Stage(tmp_path)
    await stage.registration.join()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.standing.run)
        need = Need(1500, 0, 1)
        for _ in range(100):
            gpus = stage.room.take(need)
            assert gpus is not None
            await trio.sleep(PAUSE_S / 100)
            stage.room.give_back(need, gpus)
        assert stage.room.take(need) is not None
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert len(stage.reports()) <= 4
    assert stage.reports()[-1] == (1500, 1)


async def test_without_a_link_the_newest_is_told_later(tmp_path: Path, autojump_clock: MockClock) -> None:
    stage = Stage(tmp_path)
    await stage.registration.join()
    stage.colony.down = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.standing.run)
        stage.room.take(Need(1000))
        await trio.sleep(300)
        stage.room.take(Need(500))
        stage.colony.down = False
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert stage.reports() == [(1500, 0)]


async def test_a_server_that_does_not_take_it_is_left_alone(tmp_path: Path, autojump_clock: MockClock) -> None:
    stage = Stage(tmp_path)
    await stage.registration.join()
    stage.colony.refusals["reportallocationmsg"] = Refused(403, "invalid rpcMsg.PayloadType")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.standing.run)
        stage.room.take(Need(1000))
        await trio.sleep(1000)
        nursery.cancel_scope.cancel()
    assert stage.colony.count("reportallocationmsg") == 1
