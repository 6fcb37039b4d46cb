"""The room on the store's disk as a running node sees it: looked at while something is stored, told once, and made."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from trio.testing import MockClock

from colonies_node.core.broker.sync import letters
from colonies_node.core.model.sync import Mark
from colonies_node.core.pressure import Sizes
from colonies_node.core.store import links, reclaim
from colonies_node.core.store.transaction import Transaction
from tests.http.test_metrics import Monitor
from tests.lab import Lab
from tests.node import ALICE, settle

MIB = 1 << 20
ROOM, LITTLE, LOW, CRITICAL = 200, 100, 50, 20
SPEC = {"funcname": "f", "conditions": {"colonyname": "lab", "executortype": "worker"}}


class Gauge:
    """The store's disk, with as much room as the test says; `looks` counts how often somebody looked."""

    def __init__(self, lab: Lab, clock: MockClock) -> None:
        self.lab = lab
        self.clock = clock
        self.free = ROOM
        self.looks = 0
        service = lab.node.service
        service.rules = replace(service.rules, disk_reserve=64 * MIB)
        service.store.size = self.size  # type: ignore[method-assign]

    def size(self, tx: Transaction) -> Sizes:
        """As Store.size."""
        self.looks += 1
        return Sizes(file=MIB, log=0, free=self.free * MIB, spare=0)

    async def submit(self, priority: int = 0) -> int:
        """The status of the answer to a submit, a second after the last one."""
        self.clock.jump(1)
        answer = await self.lab.node.ask(ALICE, "submitfuncspecmsg", spec={**SPEC, "priority": priority})
        return answer.status

    async def wait(self, seconds: int) -> None:
        """Let time pass, and all that is due in it happen."""
        for _ in range(0, seconds, 5):
            self.clock.jump(5)
            await settle()


async def link(lab: Lab) -> None:
    """Have an upstream that keeps records."""
    await lab.node.service.write(lambda tx: links.change(tx, links.add(tx, links.UP, "lab", "up"), record=1))


async def confirm(lab: Lab) -> None:
    """That upstream has all that there is to tell."""

    def change(tx: Transaction) -> None:
        up = links.upstream(tx, "up")
        assert up is not None
        number = letters.gather(tx, up, MIB).number
        letters.confirm(tx, up, Mark(timeline=links.timeline(tx), batch=number))

    await lab.node.service.write(change)


async def test_a_node_looks_once_a_second_while_it_stores_something_and_not_while_it_is_idle(
    lab: Lab, mock_clock: MockClock
) -> None:
    gauge = Gauge(lab, mock_clock)
    await gauge.submit()
    before = gauge.looks
    for _ in range(50):
        await lab.submit()
    assert gauge.looks == before
    await gauge.submit()
    assert gauge.looks == before + 1
    await gauge.wait(10_000)
    assert gauge.looks == before + 1


@pytest.mark.parametrize("free", [ROOM, LOW])
async def test_a_node_that_writes_much_in_a_second_looks_again_meanwhile(
    lab: Lab, mock_clock: MockClock, free: int
) -> None:
    """Also when the log, which is kept short on a full disk, is folded after each commit."""
    gauge = Gauge(lab, mock_clock)
    gauge.free = free
    await gauge.submit()
    before = gauge.looks
    for _ in range(20):
        await lab.submit(priority=1, kwargs={"filling": "x" * MIB})
    written, part = 20, 64 // 16
    assert written // (part + 1) <= gauge.looks - before <= 2 * written // part


async def test_a_short_node_that_is_idle_looks_once_a_minute(lab: Lab, mock_clock: MockClock) -> None:
    gauge = Gauge(lab, mock_clock)
    gauge.free = LITTLE
    await gauge.submit()
    before = gauge.looks
    await gauge.wait(3600)
    assert 50 <= gauge.looks - before <= 62


async def test_the_first_submit_after_a_while_knows_how_the_disk_is_now(lab: Lab, mock_clock: MockClock) -> None:
    gauge = Gauge(lab, mock_clock)
    assert await gauge.submit() == 200
    gauge.free = LOW
    assert await gauge.submit() == 503
    assert await gauge.submit(priority=1) == 200
    gauge.free = CRITICAL
    assert await gauge.submit(priority=1) == 503
    gauge.free = ROOM
    assert await gauge.submit() == 200


async def test_the_log_says_each_change_of_the_level_once(
    lab: Lab, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    gauge = Gauge(lab, mock_clock)
    caplog.set_level(logging.INFO, "colonies_node.http.disk")
    for gauge.free in (ROOM, LITTLE, LOW, LOW, LOW, CRITICAL, CRITICAL, LOW, ROOM, ROOM):
        await gauge.submit()
    assert [record.message for record in caplog.records if record.name == "colonies_node.http.disk"] == [
        "the disk is nearly full, 50.0 MiB are free: new work of a priority below 1 is refused",
        "the disk is nearly full, 20.0 MiB are free: all new work is refused, what was accepted goes on",
        "the disk is still nearly full, 50.0 MiB are free: new work of a priority below 1 is refused",
        "the disk has room again, 200.0 MiB are free: all work is taken",
    ]


async def test_the_metrics_and_the_server_say_the_level(lab: Lab, mock_clock: MockClock) -> None:
    gauge = Gauge(lab, mock_clock)
    for free, level, word in ((ROOM, 0, "none"), (LOW, 1, "low"), (CRITICAL, 2, "critical")):
        gauge.free = free
        await gauge.submit()
        assert await Monitor(lab).see("colonies_disk_pressure") == level
        assert (await lab.node.call(None, "getserverinfomsg"))["diskpressure"] == word


async def test_a_node_without_a_reserve_says_nothing_of_its_disk(lab: Lab, mock_clock: MockClock) -> None:
    gauge = Gauge(lab, mock_clock)
    lab.node.service.rules = replace(lab.node.service.rules, disk_reserve=0)
    gauge.free = 0
    assert await gauge.submit() == 200
    assert gauge.looks == 0
    assert "diskpressure" not in await lab.node.call(None, "getserverinfomsg")


async def test_what_the_upstream_confirms_is_deleted_soon_and_counted(lab: Lab, mock_clock: MockClock) -> None:
    gauge = Gauge(lab, mock_clock)
    gauge.free = LITTLE
    await link(lab)
    ann = await lab.join("ann")
    for _ in range(3):
        await lab.run(ann)
    await gauge.wait(60)
    assert await Monitor(lab).see("colonies_server_processes_successful") == 3
    await confirm(lab)
    await gauge.wait(5)
    assert await Monitor(lab).see("colonies_server_processes_successful") == 0
    assert await Monitor(lab).see("colonies_reclaimed_processes_total") == 3


async def test_no_more_goes_than_has_to(lab: Lab, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """With each part that is deleted the node looks how much room there is now."""
    gauge = Gauge(lab, mock_clock)
    monkeypatch.setattr(reclaim, "BATCH", 2)
    await link(lab)
    ann = await lab.join("ann")
    for _ in range(9):
        await lab.run(ann)
    await confirm(lab)

    def measured(tx: Transaction) -> Sizes:
        (left,) = tx.one("select count(*) from processes where state = 2") or (0,)
        return Sizes(file=MIB, log=0, free=(LITTLE if left > 5 else ROOM) * MIB, spare=0)

    lab.node.service.store.size = measured  # type: ignore[method-assign]
    await gauge.submit()
    await gauge.wait(3600)
    assert await Monitor(lab).see("colonies_server_processes_successful") == 5
