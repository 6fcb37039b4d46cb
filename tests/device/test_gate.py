"""Locks and conditions of work: when an executor takes no new work, and that it says why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from colonies_node.device import gate as gates
from colonies_node.device.executor import only_executor
from colonies_node.device.gate import INTERVAL_S, Lock, lock, locked, unlock
from colonies_node.device.slots import Slots
from tests.device.colony import RUNNING, SUCCESS, WAITING, Colony
from tests.device.shop import gate, registration, workshop


def test_a_lock_is_on_disk_with_its_reason_and_goes_when_it_is_taken_away(tmp_path: Path) -> None:
    lock(tmp_path, "flight", now=1000)
    assert locked(tmp_path) == Lock("flight", 1000)
    assert unlock(tmp_path)
    assert locked(tmp_path) is None
    assert not unlock(tmp_path)


def test_a_lock_with_an_end_ends_by_itself(tmp_path: Path) -> None:
    lock(tmp_path, "update", 60, now=1000)
    assert locked(tmp_path, now=1059) == Lock("update", 1000, 1060)
    assert locked(tmp_path, now=1060) is None


@pytest.mark.parametrize("content", [b"", b"[]", b'{"since": 1}', b"\xff", b'{"reason": "x", "since": 0, "more": 1}'])
def test_a_lock_that_cannot_be_read_holds(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock.json").write_bytes(content)
    assert locked(tmp_path) == Lock("its file cannot be read", 0)


@pytest.fixture
def battery() -> Iterator[list[float]]:
    yield [80.0]


async def test_no_work_is_taken_while_the_condition_does_not_hold(
    tmp_path: Path, autojump_clock: MockClock, battery: list[float]
) -> None:
    colony, looks = Colony(), list[float]()
    shop = workshop(colony, tmp_path)

    def read() -> dict[str, float]:
        looks.append(trio.current_time())
        return {"battery": battery[0]}

    door = gate(shop, "battery > 30", read)
    slots = Slots(shop, registration(colony), door, 1, 60, shop.say)
    door.changed = slots.reconsider
    async with trio.open_nursery() as nursery:
        await nursery.start(door.run)
        nursery.start_soon(slots.run)
        await colony.until_called("assignprocessmsg")
        battery[0] = 20
        await trio.sleep(INTERVAL_S + 1)
        processid = colony.submit("p", "true")
        await trio.sleep(1000)
        assert colony.processes[processid]["state"] == WAITING
        said = [words for words in shop.said if "taken" in words]  # type: ignore[attr-defined]
        assert said == ["No new work is taken: the condition does not hold: battery (20) > 30."]
        assert len(looks) <= 2 + 1011 / INTERVAL_S
        battery[0] = 31
        await colony.until(processid, RUNNING)
        nursery.cancel_scope.cancel()
    assert shop.said[-1] == "Work is taken again."  # type: ignore[attr-defined]


async def test_a_lock_is_heeded_at_once_and_what_runs_finishes(tmp_path: Path) -> None:
    colony = Colony()
    shop = workshop(colony, tmp_path)
    door = gate(shop)
    slots = Slots(shop, registration(colony), door, 2, 60, shop.say)
    door.changed = slots.reconsider
    running = colony.submit("p", "sh", "-c", f"echo up; while [ ! -e {tmp_path}/go ]; do :; done")
    with trio.fail_after(20), only_executor(tmp_path):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shop.delivery.run)
            await nursery.start(door.run)
            nursery.start_soon(slots.run)
            await colony.until_logged(running, "up")
            await colony.until_called("assignprocessmsg", 2)
            lock(tmp_path, "flight")
            while not door.closed:
                await trio.lowlevel.checkpoint()
            later = colony.submit("q", "true")
            (tmp_path / "go").touch()
            await colony.until(running, SUCCESS)
            await wait_all_tasks_blocked()
            assert colony.processes[later]["state"] == WAITING
            unlock(tmp_path)
            await colony.until(later, SUCCESS)
            nursery.cancel_scope.cancel()
    assert "No new work is taken: locked (flight)." in shop.said  # type: ignore[attr-defined]


async def test_a_lock_that_was_there_before_the_start_holds(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony = Colony()
    lock(tmp_path, "")
    shop = workshop(colony, tmp_path)
    door = gate(shop)
    slots = Slots(shop, registration(colony), door, 1, 60, shop.say)
    processid = colony.submit("p", "true")
    async with trio.open_nursery() as nursery:
        await nursery.start(door.run)
        nursery.start_soon(slots.run)
        await trio.sleep(1000)
        nursery.cancel_scope.cancel()
    assert colony.processes[processid]["state"] == WAITING
    assert colony.count("assignprocessmsg") == 0


def test_locking_where_no_executor_runs_tells_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[int]()
    monkeypatch.setattr(os, "kill", lambda pid, number: told.append(pid))
    (tmp_path / "execute.lock").write_text("1")  # left by an executor that has ended
    lock(tmp_path, "x")
    assert told == []
    assert json.loads((tmp_path / "lock.json").read_text())["reason"] == "x"
    with only_executor(tmp_path):
        lock(tmp_path, "x")
    assert told == [os.getpid()]
    assert gates.locked(tmp_path) is not None


def test_word_of_a_lock_that_comes_before_there_is_a_gate_does_no_harm(tmp_path: Path) -> None:
    with only_executor(tmp_path):
        lock(tmp_path, "early")
    seen = subprocess.run(["grep", "SigIgn", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
    assert not int(seen.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1, "a program must not inherit deafness"
