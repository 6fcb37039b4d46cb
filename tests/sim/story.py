"""What happens in one run: a tree drawn at random, work, faults, a healing, and what has to be true then."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import trio
import trio.testing

from tests.sim.world import CANCELLED, COLONY, RUNNING, SUCCESS, SimNode, World

TYPES = ("cam", "cpu", "gpu")


def play(seed: int, beside: Path | None = None) -> None:
    """Run the story of a seed. AssertionError, with what is wrong, if a promise is broken."""
    core = trio._core._run  # type: ignore[attr-defined]
    core._ALLOW_DETERMINISTIC_SCHEDULING = True
    core._r.seed(seed)
    with tempfile.TemporaryDirectory(dir=beside) as folder:
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(_story, Path(folder), seed, clock=clock)


async def _story(folder: Path, seed: int) -> None:
    async with trio.open_nursery() as nursery:
        world = World(folder, seed, nursery)
        draw_tree(world)
        await world.begin()
        await trouble(world)
        await heal(world)
        left = await world.settle()
        faults = ([f"not settled: {line}" for line in left] if left else []) + broken(world)
        for node in world.nodes.values():
            await node.kill()
        nursery.cancel_scope.cancel()
    assert not faults, "\n".join([f"seed {seed}", *faults[:20]])


def draw_tree(world: World) -> None:
    """Three to seven nodes: each but the first has an upstream among those before it."""
    dice = world.dice
    count = dice.randint(3, 7)
    names = [f"n{number}" for number in range(count)]
    chain = dice.random() < 0.3
    for number, name in enumerate(names):
        types = [one for one in TYPES if dice.random() < 0.4]
        world.add(name, TYPES if number == 0 else types)
    for number, name in enumerate(names[1:], 1):
        upper = names[number - 1] if chain else dice.choice(names[:number])
        accept = [one.type for one in world.nodes[name].executors if dice.random() < 0.5]
        offload = ["missing"] if dice.random() < 0.7 else ["missing", "waited > 20"]
        world.link(name, upper, offload=offload, accept=accept, record=dice.random() < 0.6)


async def trouble(world: World) -> None:
    """Work comes in while links, nodes and clocks fail."""
    dice = world.dice
    network = world.network
    network.delay = dice.choice((0.02, 0.3, 2.0))
    network.loss = dice.choice((0.0, 0.05, 0.3))
    network.doubled = dice.choice((0.0, 0.2))
    world.failing = dice.choice((0.0, 0.0, 0.2))
    copies: dict[str, Path] = {}
    for _ in range(dice.randint(10, 40)):
        await trio.sleep(dice.expovariate(1 / 8))
        node = dice.choice(list(world.nodes.values()))
        event = dice.random()
        if event < 0.45:
            await submit(world, node, dice)
        elif event < 0.60:
            pair = dice.choice([(low.name, up) for low in world.nodes.values() for up, _ in low.upstreams])
            network.cut.symmetric_difference_update({pair})
        elif event < 0.72:
            await node.kill()
            if dice.random() < 0.2:
                node.offset = dice.choice((0, 3600, -3600, -57 * 366 * 86_400)) * 1_000_000_000
            await trio.sleep(dice.expovariate(1 / 5))
            await node.start()
        elif event < 0.78 and world.submitted:
            await world.cancel(dice.choice(list(world.submitted)))
        elif event < 0.83 and node.service is not None:
            copies[node.name] = node.copy()
        elif event < 0.86 and node.name in copies:
            await node.kill()
            node.restore(copies[node.name])
            await node.start()


async def submit(world: World, node: SimNode, dice: Random) -> None:
    """A process, or a workflow that may need several nodes."""
    if dice.random() < 0.7:
        limits = dice.choice(({}, {}, {"maxexectime": 600, "maxretries": 5}, {"maxwaittime": 4000}))
        await world.submit(node.name, dice.choice(TYPES), priority=dice.choice((0, 0, 5)), **limits)
        return
    names: dict[str, tuple[str, list[str]]] = {}
    for number in range(dice.randint(2, 5)):
        earlier = [name for name in names if dice.random() < 0.5]
        names[f"w{number}"] = dice.choice(TYPES), earlier
    await world.submit_workflow(node.name, names)


async def heal(world: World) -> None:
    """Everything works again."""
    world.network.cut.clear()
    world.network.loss = 0.0
    world.network.doubled = 0.0
    world.network.delay = 0.05
    for node in world.nodes.values():
        if node.service is None:
            await node.start()


def broken(world: World) -> list[str]:
    """Which promises do not hold."""
    faults = []
    restored = any(node.restored for node in world.nodes.values())
    for processid, home in world.submitted.items():
        node = world.nodes[home]
        rows = node.rows("select state, out from processes where processid = ?", processid)
        short = processid[:8]
        if not rows:
            if not node.restored:
                faults.append(f"{short} is gone from {home}")
            continue
        state = rows[0][0]
        if state <= RUNNING:
            faults.append(f"{short} has not ended at {home}")
        runs = world.ran[processid]
        if not restored:
            if state == SUCCESS and len(runs) != 1:
                faults.append(f"{short} succeeded and ran {len(runs)} times: {runs}")
            if len(runs) > 1:
                faults.append(f"{short} ran {len(runs)} times: {runs}")
            if state == CANCELLED and processid not in world.cancelled:
                faults.append(f"{short} was cancelled by nobody")
    for node in world.nodes.values():
        if not node.restored:
            faults += [
                f"{processid[:8]} ended {times} times at {node.name}"
                for processid, times in node.ended.items()
                if times > 1 and processid not in world.workflows
            ]
    faults += order(world) if not restored else []
    faults += records(world)
    return faults


def order(world: World) -> list[str]:
    """Children that ran before their parents had ended."""
    faults = []
    for name, node in world.nodes.items():
        rows = node.rows(
            "select p.processid, c.processid from edges join processes as p on p.seq = parent"
            " join processes as c on c.seq = child"
        )
        for parent, child in rows:
            for _, _, began in world.ran[child]:
                if not any(start < began for _, _, start in world.ran[parent]):
                    faults.append(f"at {name} child {child[:8]} ran before its parent {parent[:8]}")
    return faults


def records(world: World) -> list[str]:
    """What ended on a node that keeps records upstream, and is not the same there."""
    faults = []
    for name, node in world.nodes.items():
        for upper, settings in node.upstreams:
            if not settings["record"]:
                continue
            above = dict(world.nodes[upper].rows("select processid, state from processes"))
            for (processid,) in node.rows("select processid from processes where colonyname = ? and state > 1", COLONY):
                there = above.get(processid)
                if there is None:
                    faults.append(f"{processid[:8]} of {name} is not at {upper}")
                elif there <= RUNNING:
                    faults.append(f"{processid[:8]} of {name} is {there} at {upper}")
    return faults
