"""A disk that fails at any moment: what was answered is there, what was refused is not, and nothing is half there."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from colonies_node.core.errors import ColonyError, StoreCorrupt, StoreError, StoreFull
from colonies_node.core.store.sqlite import Store
from tests.core.colony import Colony, executor_id
from tests.core.disk import Disk, failing_disk

ANN = executor_id("ann")


@pytest.fixture
def disk() -> Iterator[Disk]:
    with failing_disk() as disk:
        yield disk


class Ledger:
    """What the store has answered; asks the store after a restart whether it kept its word."""

    def __init__(self, colony: Colony) -> None:
        self.colony = colony
        self.submitted: set[str] = set()
        self.closed: set[str] = set()
        colony.hire("ann")

    def work(self, rounds: int) -> None:
        """Submit, assign and close, and write down what was answered. Raises what the store raised."""
        for number in range(rounds):
            self.submitted.add(self.colony.submit(env={"A": str(number), "B": "b" * 3000}))
            taken = self.colony.assign(ANN)
            assert taken is not None
            self.colony.call(ANN, "closesuccessfulmsg", processid=taken.processid, out=[number])
            self.closed.add(taken.processid)
            if number % 5 == 4:
                self.colony.store.fold_now()

    def check(self, folder: Path) -> None:
        """Everything that was answered is in the store in this folder, and nothing in it is half."""
        store = Store(folder, lambda: self.colony.now)
        try:
            (sound,) = store.read(lambda tx: tx.all("pragma integrity_check"))
            rows = store.read(lambda tx: tx.all("select processid, state, out, assignedexecutorid from processes"))
            targets = [row[0] for row in store.read(lambda tx: tx.all("select targetid from attributes"))]
        finally:
            store.close()
        assert sound == ("ok",)
        found = {row[0]: row[1:] for row in rows}
        assert self.submitted <= found.keys()
        assert all(found[processid][0] == 2 for processid in self.closed)
        for processid, (state, out, assignee) in found.items():
            assert targets.count(processid) == 2
            assert (state == 2) == (out != "[]")
            assert (state == 0) == (assignee == "")
        assert set(targets) <= found.keys()


def steps_of(folder: Path) -> int:
    """How many steps on the disk the work of these tests takes."""
    with failing_disk() as disk:
        colony = Colony(folder, vfs=disk.name)
        ledger = Ledger(colony)
        before = disk.steps
        ledger.work(6)
        steps = disk.steps - before
        colony.close()
    return steps


def test_a_full_disk_is_a_sentence_and_once_there_is_room_work_goes_on(tmp_path: Path, disk: Disk) -> None:
    steps = steps_of(tmp_path / "whole")
    assert steps > 30
    colony = Colony(tmp_path / "data", vfs=disk.name)
    ledger = Ledger(colony)
    refusals = 0
    for k in range(steps):
        before = colony.dump()
        disk.break_after(k % 12, apsw.FullError)
        try:
            colony.submit(env={"A": str(k), "B": "b" * 3000})
        except StoreFull as full:
            refusals += 1
            assert "the disk is full: nothing was stored" in str(full)
            assert full.status == 503
            assert colony.dump() == before
        else:
            before = colony.dump()
        disk.mend()
        assert colony.dump() == before
        ledger.submitted.add(colony.submit(env={"A": "after", "B": "b"}))
    assert refusals > 10
    colony.close()
    (tmp_path / "data" / "lock").unlink()
    ledger.check(tmp_path / "data")


@pytest.mark.parametrize("fault, torn", [(apsw.FullError, False), (apsw.IOError, True)])
def test_whatever_step_on_the_disk_fails_what_was_answered_is_kept(
    tmp_path: Path, fault: type[apsw.Error], torn: bool
) -> None:
    steps = steps_of(tmp_path / "whole")
    for k in range(steps):
        folder = tmp_path / str(k)
        with failing_disk() as disk:
            colony = Colony(folder, vfs=disk.name)
            ledger = Ledger(colony)
            disk.break_after(k, fault, torn)
            try:
                ledger.work(6)
            except StoreError as told:
                assert isinstance(told, StoreFull), f"step {k}: {told!r}"
            assert disk.broken
            # The node goes on answering reads of what is committed.
            assert len(colony.rows("select 1 from processes")) >= len(ledger.submitted)
            colony.close()
        ledger.check(folder)
        shutil.rmtree(folder)


def test_after_a_failed_step_the_same_open_store_works_on(tmp_path: Path) -> None:
    with failing_disk() as disk:
        colony = Colony(tmp_path / "data", vfs=disk.name)
        ledger = Ledger(colony)
        for k in range(40):
            disk.break_after(k)
            with contextlib.suppress(ColonyError):
                ledger.work(6)
            disk.mend()
            for processid, state in colony.rows("select processid, state from processes where state < 2"):
                assert processid in ledger.submitted or state == 0
                colony.call(ANN if state else "a" * 64, "cancelprocessmsg", processid=processid)
                colony.call("a" * 64, "removeprocessmsg", processid=processid)
                ledger.submitted.discard(processid)
            ledger.work(1)
        colony.close()
    ledger.check(tmp_path / "data")


@pytest.mark.parametrize("seed", range(3))
def test_power_lost_at_any_step_loses_nothing_that_was_answered(tmp_path: Path, seed: int) -> None:
    """The disk keeps what was synced, and of the rest what it likes."""
    luck = random.Random(seed)
    steps = steps_of(tmp_path / "whole")
    for k in range(seed % 2, steps, 2):
        with failing_disk() as disk:
            colony = Colony(tmp_path / f"{k}", vfs=disk.name)
            ledger = Ledger(colony)
            disk.break_after(k, torn=bool(luck.getrandbits(1)))
            with contextlib.suppress(ColonyError):
                ledger.work(6)
            left = tmp_path / f"{k}-after"
            disk.after_power_loss(left, luck)
            colony.close()
        ledger.check(left)
        shutil.rmtree(left)
        shutil.rmtree(tmp_path / f"{k}")


def test_the_weaker_durability_may_forget_the_latest_but_is_never_half(tmp_path: Path) -> None:
    luck = random.Random(1)
    forgot = 0
    for k in range(2, 60, 3):
        with failing_disk() as disk:
            colony = Colony(tmp_path / f"{k}", vfs=disk.name, durability="normal")
            ledger = Ledger(colony)
            colony.store.fold_now()
            disk.break_after(k)
            with contextlib.suppress(ColonyError):
                ledger.work(6)
            left = tmp_path / f"{k}-after"
            disk.after_power_loss(left, luck)
            colony.close()
        promised = len(ledger.submitted)
        ledger.submitted, ledger.closed = set(), set()
        ledger.check(left)
        store = Store(left, lambda: 0)
        forgot += promised > len(store.read(lambda tx: tx.all("select 1 from processes")))
        store.close()
    assert forgot, "if nothing is ever forgotten, 'normal' promises too little"


def test_opening_on_a_disk_that_fails_is_a_sentence_at_every_step(tmp_path: Path) -> None:
    for k in range(0, 600, 3):
        with failing_disk() as disk:
            disk.break_after(k, apsw.FullError)
            try:
                store = Store(tmp_path / str(k), lambda: 0, vfs=disk.name)
            except StoreError as told:
                assert not isinstance(told, StoreCorrupt)
                assert "\n" not in str(told)
            else:
                store.close()
                break
        store = Store(tmp_path / str(k), lambda: 0)
        store.close()
    else:
        pytest.fail("the store cannot be opened at all")
    assert k > 5


def test_a_small_real_disk_that_fills_up(tmp_path: Path) -> None:
    """On a real file system of 16 MB. Where nobody may mount one, the failing VFS above stands for it."""
    place = tmp_path / "small"
    place.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("to mount a small file system needs root")
    try:
        colony = Colony(place / "data")
        ledger = Ledger(colony)
        with pytest.raises(StoreFull) as full:
            for _ in range(10_000):
                ledger.submitted.add(colony.submit(env={"A": "a" * 2000, "B": "b"}))
        assert "free some space" in str(full.value) or "refuses" in str(full.value)
        before = colony.dump()
        assert len(ledger.submitted) == len(before["processes"]) > 100
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        ledger.work(3)
        colony.close()
        ledger.check(place / "data")
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
