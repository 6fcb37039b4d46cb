"""Work that is shared by three nodes runs exactly once, however often their servers die and their lines break."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio

from tests.e2e.continuum import TYPES, Continuum, Machine
from tests.e2e.proxy import Proxy

SINGLES = {"drone": 270, "hpc": 30}
DIAMONDS = {"drone": 24, "hpc": 6}
LOAD_S = 20.0
"""Seconds over which the work comes in."""
KILLS, SHUTS = 3, 4
"""How often each server is killed, and each line is shut."""
PATIENCE_S = 60
"""Seconds after the healing within which everything must be at its end and told."""


@pytest.mark.slow
async def test_work_of_three_nodes_runs_once_through_kills_and_cuts(tmp_path: Path, luck: Random) -> None:
    continuum = Continuum(tmp_path, luck)
    async with trio.open_nursery() as nursery:
        await continuum.begin(nursery)
        with trio.fail_after(60):
            async with trio.open_nursery() as load:
                for name in SINGLES:
                    load.start_soon(submit, continuum, name, Random(luck.random()))
                load.start_soon(trouble, continuum, Random(luck.random()))
        continuum.heal()
        await continuum.settle(PATIENCE_S)
        for machine in continuum.machines.values():
            await machine.stop()
        nursery.cancel_scope.cancel()
    assert [line for machine in continuum.machines.values() for line in machine.troubles()] == []
    assert len(continuum.home) == sum(SINGLES.values()) + 4 * sum(DIAMONDS.values())
    assert min(machine.kills for machine in continuum.machines.values()) > KILLS
    assert min(line.cuts for line in continuum.lines.values()) > SHUTS


async def submit(continuum: Continuum, name: str, dice: Random) -> None:
    """Submit what is to be submitted on one node, in any order, over about as long as the trouble takes."""
    types = list(TYPES.values())
    whats = ["single"] * SINGLES[name] + ["diamond"] * DIAMONDS[name]
    dice.shuffle(whats)
    for what in whats:
        await trio.sleep(dice.expovariate(len(whats) / LOAD_S))
        if what == "single":
            await continuum.submit(name, dice.choice(types))
        else:
            first, second, third = dice.sample(types, 3)
            await continuum.submit_diamond(name, (first, second, third, dice.choice(types)))


async def trouble(continuum: Continuum, dice: Random) -> None:
    """Kill every server and shut every line several times, one thing after the other."""
    events: list[Machine | Proxy] = [*continuum.machines.values()] * KILLS
    events += [*continuum.lines.values()] * SHUTS
    dice.shuffle(events)
    for event in events:
        await trio.sleep(dice.expovariate(len(events) / LOAD_S))
        if isinstance(event, Proxy):
            event.shut()
            await trio.sleep(dice.expovariate(1))
            event.open()
        else:
            await event.kill()
