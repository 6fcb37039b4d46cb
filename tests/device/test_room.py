"""What is free of a machine for another process, and what the server is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from colonies_node.core.errors import BadRequest
from colonies_node.device import machine
from colonies_node.device.room import Need, Room, needed, of_this_machine
from tests.device.colony import FAILED, RUNNING, SUCCESS, Colony
from tests.device.shop import executor, workshop

GIB = 1 << 30


@pytest.mark.parametrize(
    ("conditions", "need"),
    [
        ({}, Need()),
        ({"cpu": "1500m", "mem": "2Gi", "gpu": {"count": 2}}, Need(1500, 2 * GIB, 2)),
        ({"cpu": "", "mem": "", "gpu": {"count": 0}}, Need()),
        ({"cpu": None, "mem": 5, "gpu": None}, Need()),
        ({"cpu": "many", "mem": "-1", "gpu": {"count": "x"}}, Need()),
    ],
)
def test_a_process_needs_what_its_conditions_ask_for(conditions: dict[str, Any], need: Need) -> None:
    assert needed({"conditions": conditions}) == need
    assert needed({}) == Need()


needs = st.builds(Need, st.integers(0, 4000), st.integers(0, 4 * GIB), st.integers(0, 3))


@given(st.lists(st.one_of(needs, st.integers(0, 20))))
def test_nothing_is_given_twice_and_all_of_it_comes_back(steps: list[Need | int]) -> None:
    room, held = Room(4000, 4 * GIB, (0, 1, 5)), list[tuple[Need, Any]]()
    for step in steps:
        if isinstance(step, int):
            if held:
                room.give_back(*held.pop(step % len(held)))
        elif (gpus := room.take(step)) is not None:
            assert len(gpus) == step.gpus
            held.append((step, gpus))
        used = [number for _, gpus in held for number in gpus]
        assert len(set(used)) == len(used) and set(used) <= {0, 1, 5}
        assert room.taken == Need(*(sum(getattr(n, f) for n, _ in held) for f in ("cpu", "mem", "gpus")))
        assert room.taken.cpu + room.free.cpu == 4000 and room.taken.mem + room.free.mem == 4 * GIB
    for one in held:
        room.give_back(*one)
    assert room.free == Need(4000, 4 * GIB, 3)


def test_memory_that_others_use_is_not_free() -> None:
    assert Room(1000, 4 * GIB, available=lambda: GIB).free == Need(1000, GIB, 0)


def test_what_a_machine_never_has_is_refused_in_words() -> None:
    with pytest.raises(BadRequest, match=r"asks for 9000m of processor, 0Mi of memory and 0 GPU\(s\); the machine"):
        Room(4000, GIB).take(Need(9000))


def test_this_machine_has_processors_and_memory() -> None:
    room = of_this_machine(machine.read(Path("/")))
    assert room.cpu >= 1000
    assert 0 < room.free.mem <= room.mem


async def test_the_server_hears_how_much_is_free_and_hears_anew_when_more_is(tmp_path: Path) -> None:
    colony = Colony()
    shop = workshop(colony, tmp_path)
    script = f"echo up; while [ ! -e {tmp_path}/go ]; do :; done"
    big = colony.submit("p", "sh", "-c", script, conditions={"cpu": "3000m", "mem": "2Gi"})

    def offers() -> list[tuple[str, str]]:
        return [(f["availablecpu"], f["availablemem"]) for name, f in colony.calls if name == "assignprocessmsg"]

    with trio.fail_after(20):
        async with executor(colony, shop, parallel=2):
            await colony.until_logged(big, "up")
            await colony.until_called("assignprocessmsg", 2)
            (tmp_path / "go").touch()
            await colony.until_called("assignprocessmsg", 3)
    assert offers() == [("8000m", "8192Mi"), ("5000m", "6144Mi"), ("8000m", "8192Mi")]


async def test_a_process_that_came_all_the_same_waits_for_its_share(tmp_path: Path) -> None:
    """A server that does not look at GPUs gives out more than there are."""
    colony = Colony()
    shop = workshop(colony, tmp_path)
    shop.room.gpus = [3]
    script = f"echo up; while [ ! -e {tmp_path}/go ]; do :; done"
    first = colony.submit("p", "sh", "-c", script, conditions={"gpu": {"count": 1}})
    second = colony.submit("q", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES", conditions={"gpu": {"count": 1}})
    with trio.fail_after(20):
        async with executor(colony, shop, parallel=2):
            await colony.until_logged(first, "up")
            await colony.until(second, RUNNING)
            await trio.testing.wait_all_tasks_blocked()
            assert shop.room.free.gpus == 0
            (tmp_path / "go").touch()
            await colony.until(first, SUCCESS)
            assert (await colony.until(second, SUCCESS))["out"] == ["3"]
    assert shop.room.taken == Need()


async def test_a_process_that_can_never_fit_fails_with_a_sentence(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony = Colony()
    processid = colony.submit("p", "true", conditions={"gpu": {"count": 2}})
    async with executor(colony, workshop(colony, tmp_path)):
        process = await colony.until(processid, FAILED)
    assert process["errors"][0].startswith("The process asks for 0m of processor, 0Mi of memory and 2 GPU(s);")
