"""A node that was alone for thirty days tells its upstream all that happened, once, however often the line breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from colonies_node.core import limits
from colonies_node.core.broker import flow, processes
from colonies_node.core.broker.call import Initiator
from colonies_node.core.model.process import Conditions, FunctionSpec
from colonies_node.core.model.sync import SyncMessage
from colonies_node.core.states import ProcessState
from colonies_node.core.store import processes as stored
from colonies_node.core.store.transaction import Transaction
from tests.sim.tongues import Cbor
from tests.sim.world import COLONY, SECOND, SimNode, World, an_id

RECORDS = 100_020
DAYS = 30
CUTS = 5
PAIR = "field", "base"
COUNT = "select count(*) from processes"

GROWTH = 16 << 20
"""Bytes by which the memory may grow during a catch-up, of records that fill 150 MB: the page caches of the upper node
fill up (core/limits.py has 8 MiB for each connection), and the allocator keeps what a full letter needed."""


class Listening(Cbor):
    """Notes what is told in which letter, and what is told again after the letter with it was confirmed."""

    def __init__(self) -> None:
        super().__init__()
        self.items = 0
        self.arrived = 0
        self.again = 0
        self.done: dict[str, bool] = {}
        """Process id → whether a letter that told of it was confirmed."""
        self._letters: dict[int, list[str]] = {}

    def say(self, message: SyncMessage) -> bytes:
        if message.confirmed in self._letters:
            self.done |= dict.fromkeys(self._letters[message.confirmed], True)
            self._letters = {batch: ids for batch, ids in self._letters.items() if batch > message.confirmed}
        told = [item.processid for item in message.items or ()]
        self.again += sum(self.done.get(processid, False) for processid in told)
        self._letters[message.batch] = told
        self.items += len(told)
        return super().say(message)

    def hear(self, body: bytes) -> SyncMessage:
        message = super().hear(body)
        self.arrived += len(message.items or ())
        return message


@pytest.mark.slow
async def test_a_hundred_thousand_records_of_thirty_days_get_upstream_once(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        world = World(tmp_path, 7, nursery)
        tongue = world.tongue = Listening()
        base, field = world.add("base", []), world.add("field", [])
        world.link(*PAIR, record=True)
        await world.begin()
        await base.kill()
        for _ in range(DAYS):
            tongue.done |= dict.fromkeys(await a_day_alone(field), False)
        base.offset = field.offset
        base.hear = nothing  # type: ignore[method-assign]
        await base.start()
        memory = await catch_up(world)
        assert await world.settle() == []
        assert base.rows(COUNT)[0][0] == len(tongue.done) == RECORDS
        assert {one for (one,) in base.rows("select processid from processes")} == tongue.done.keys()
        assert tongue.again == 0
        assert tongue.arrived - RECORDS <= CUTS * limits.MAX_LETTER_ITEMS
        print(f"{tongue.items} items told, {tongue.arrived} arrived; resident memory {memory}")
        assert max(memory) - memory[0] < GROWTH
        nursery.cancel_scope.cancel()


async def a_day_alone(field: SimNode) -> list[str]:
    """The node is switched on, does its work, looks for its upstream for a minute, and is off until the next day."""
    assert field.service is not None
    found: list[str] = await field.service.write(lambda tx: record(tx, RECORDS // DAYS))
    await trio.sleep(60)
    await field.kill()
    field.offset += 86_400 * SECOND
    await field.start()
    return found


def record(tx: Transaction, count: int) -> list[str]:
    """Processes that ran and ended here."""
    found = []
    for number in range(count):
        conditions = Conditions(colonyname=COLONY, executortype="cam")
        spec = FunctionSpec(funcname="shoot", args=["--frame", number, tx.new_id()], conditions=conditions)
        process = processes.compose(tx, spec, Initiator(an_id("user"), "eva"))
        running = {"state": ProcessState.RUNNING, "isassigned": 1, "assignedexecutorid": an_id("cam")}
        process = stored.insert(tx, msgspec.structs.replace(process, **running, starttime=tx.now))
        ended = stored.finish(tx, process, ProcessState.SUCCESS, f'["{tx.new_id()}"]', "[]")
        flow.moved(tx, ProcessState.RUNNING, ended)
        found.append(process.processid)
    return found


async def catch_up(world: World) -> list[int]:
    """Let the node tell what it has, with some cuts in the middle; the memory at each of them and at the end."""
    base = world.nodes["base"]
    memory = []
    for cut in range(1, CUTS + 1):
        await until_told(base, cut * RECORDS // (CUTS + 1))
        memory.append(resident())
        world.network.cut.add(PAIR)
        await trio.sleep(world.dice.uniform(1, 100))
        world.network.cut.clear()
    await until_told(base, RECORDS)
    return [*memory, resident()]


async def until_told(base: SimNode, count: int) -> None:
    """Wait until the upper node has so many records."""
    with trio.fail_after(3600):
        while base.rows(COUNT)[0][0] < count:  # noqa: ASYNC110
            await trio.sleep(0.05)


def nothing(event: Any) -> None:
    """The upper node keeps no list of ends that would count as memory of the link."""


def resident() -> int:
    """Bytes of memory that this process has now and that are no file's, by proc(5)."""
    status = Path("/proc/self/status").read_text()
    (kib,) = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(kib) << 10
