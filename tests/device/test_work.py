"""The life of one process: what ends it, and what is told of its end."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any, Self

import trio
from trio.testing import MockClock, memory_stream_one_way_pair

from colonies_node.device.runners import GIVEN_UP
from colonies_node.device.runners.shell import ShellRunner
from colonies_node.device.supervised import Ended, Program
from colonies_node.device.work import GRACE_S, LOOK_S, STOPPED, Why, Work, Workshop
from tests.device.colony import CANCELLED, EXECUTOR_ID, FAILED, RUNNING, Colony
from tests.device.shop import executor, live, registration, supervisor, workshop
from tests.device.test_supervised import fifo, gone, hold


class Fake:
    """A program in memory that ends `after` seconds, or when killed, or when asked if it is polite."""

    def __init__(self, after: float, polite: bool) -> None:
        self.after, self.polite = after, polite
        self.told: list[tuple[str, float]] = []
        self.sender, self.stdout = memory_stream_one_way_pair()
        other, self.stderr = memory_stream_one_way_pair()
        other.close()
        self.ended = trio.Event()
        self.how = Ended(code=0)

    async def start(self) -> Self:
        self.begun = trio.current_time()
        return self

    async def terminate(self) -> None:
        self.told.append(("terminate", trio.current_time() - self.begun))
        if self.polite:
            self._end(Ended(signal=15))

    async def kill(self) -> None:
        self.told.append(("kill", trio.current_time() - self.begun))
        self._end(Ended(signal=9))

    async def wait(self) -> Ended:
        with trio.move_on_after(self.after):
            await self.ended.wait()
        self.sender.close()
        return self.how

    def _end(self, how: Ended) -> None:
        self.how = how
        self.ended.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.sender.close()


class FakeRunner(ShellRunner):
    """Starts the program in memory."""

    def __init__(self, fake: Fake) -> None:
        super().__init__(supervisor())
        self._fake = fake

    async def start(self, prepared: Program) -> Any:
        return await self._fake.start()


async def prepare(
    tmp_path: Path, after: float = 1e6, polite: bool = True, **spec: Any
) -> tuple[Colony, Workshop, Fake, Work]:
    colony, fake = Colony(), Fake(after, polite)
    await registration(colony).join()
    processid = colony.submit("p", "program", **spec)
    shop = dataclasses.replace(workshop(colony, tmp_path, [FakeRunner(fake)]), say=lambda words: None)
    return colony, shop, fake, Work(shop, colony.give_to(processid, EXECUTOR_ID))


async def test_a_program_ends_at_its_deadline_and_the_server_decides_what_follows(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    colony, shop, fake, work = await prepare(tmp_path, maxexectime=60)
    await live(work)
    assert fake.told == [("terminate", 60)]
    assert shop.delivery.results.waiting() == []
    assert colony.processes[work.processid]["state"] == RUNNING
    assert not shop.desks.folder(work.processid).exists()


async def test_a_program_that_ignores_being_asked_is_killed_after_the_grace(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    _, _, fake, work = await prepare(tmp_path, polite=False, maxexectime=60)
    await live(work)
    assert fake.told == [("terminate", 60), ("kill", 60 + GRACE_S)]


async def test_a_program_without_a_deadline_runs_on(tmp_path: Path, autojump_clock: MockClock) -> None:
    _, shop, fake, work = await prepare(tmp_path, after=1e5, maxexectime=0)
    await live(work)
    assert fake.told == []
    assert [outcome.successful for outcome in shop.delivery.results.waiting()] == [True]


async def test_a_deadline_needs_no_link(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony, _, fake, work = await prepare(tmp_path, maxexectime=60)
    colony.down = True
    await live(work)
    assert fake.told == [("terminate", 60)]


async def test_a_cancel_is_noticed_and_ends_the_program(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony, shop, fake, work = await prepare(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(live, work)
        await trio.sleep(100)
        colony.processes[work.processid]["state"] = CANCELLED
    assert [word for word, _ in fake.told] == ["terminate"]
    assert 100 <= fake.told[0][1] <= 100 + LOOK_S
    assert shop.delivery.results.waiting() == []


async def test_a_process_given_to_another_is_ended_here(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony, _, fake, work = await prepare(tmp_path)
    colony.processes[work.processid]["assignedexecutorid"] = "another"
    await live(work)
    assert fake.told == [("terminate", LOOK_S)]


async def test_a_removed_process_is_ended_here(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony, _, fake, work = await prepare(tmp_path)
    del colony.processes[work.processid]
    await live(work)
    assert fake.told == [("terminate", LOOK_S)]


async def test_a_refused_log_line_makes_it_look_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony, _, fake, work = await prepare(tmp_path)
    colony.processes[work.processid]["state"] = CANCELLED
    await fake.sender.send_all(b"a line\n")
    await live(work)
    assert fake.told == [("terminate", 0)]


async def test_a_cut_link_does_not_end_a_running_program(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony, shop, fake, work = await prepare(tmp_path, after=86_400)
    colony.down = True
    await fake.sender.send_all(b"a line\n")
    await live(work)
    assert fake.told == []
    colony.down = False
    assert await shop.delivery.deliver_waiting()
    assert colony.log_of(work.processid) == "a line\n"
    assert colony.processes[work.processid]["out"] == ["a line"]


async def test_looking_costs_one_call_every_few_seconds(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony, _, _, work = await prepare(tmp_path, after=600)
    await live(work)
    assert colony.count("getprocessmsg") <= 600 / LOOK_S


async def test_a_stopping_executor_fails_what_it_had_to_end(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony, shop, fake, work = await prepare(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(live, work)
        await trio.sleep(1)
        work.end(Why.STOPPING)
    assert fake.told == [("terminate", 1)]
    assert await shop.delivery.deliver_waiting()
    assert colony.processes[work.processid]["errors"] == [STOPPED]


async def test_ending_at_once_leaves_no_grace(tmp_path: Path, autojump_clock: MockClock) -> None:
    _, _, fake, work = await prepare(tmp_path, polite=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(live, work)
        await trio.sleep(1)
        work.end(Why.STOPPING, at_once=True)
    assert fake.told == [("terminate", 1), ("kill", 1)]


async def test_lines_are_in_the_log_while_the_program_runs(tmp_path: Path) -> None:
    colony = Colony()
    processid = colony.submit("p", "sh", "-c", "echo on its way; exec tail -f /dev/null")
    with trio.fail_after(10):
        async with executor(colony, workshop(colony, tmp_path)):
            await colony.until_logged(processid, "on its way\n")
    assert colony.processes[processid]["state"] == RUNNING


async def test_the_outcome_is_on_disk_before_the_server_hears_of_it(tmp_path: Path) -> None:
    colony = Colony()
    processid = colony.submit("p", "echo", "x")
    shop = workshop(colony, tmp_path)
    seen = []
    close = colony.closesuccessful

    async def watch(callerid: str, processid: str, out: list[Any]) -> Any:
        seen.extend(outcome.out for outcome in shop.delivery.results.waiting())
        return await close(callerid, processid, out)

    colony.closesuccessful = watch  # type: ignore[method-assign]
    with trio.fail_after(10):
        async with executor(colony, shop):
            await colony.until(processid, 2)
    assert seen == [["x"]]


async def test_a_folder_that_cannot_be_used_fails_the_process(tmp_path: Path) -> None:
    colony = Colony()
    processid = colony.submit("p", "echo", "x")
    (tmp_path / "work").write_text("in the way")
    with trio.fail_after(10):
        async with executor(colony, workshop(colony, tmp_path)):
            process = await colony.until(processid, FAILED)
    assert "The executor could not run the process" in process["errors"][0]


async def test_a_killed_supervisor_fails_the_process_and_nothing_of_it_goes_on(tmp_path: Path) -> None:
    colony = Colony()
    with fifo(tmp_path) as (path, reader):
        processid = colony.submit("p", "sh", "-c", f"sh -c '{hold(path)}' & echo parent $PPID; wait")
        with trio.fail_after(20):
            async with executor(colony, workshop(colony, tmp_path)):
                await colony.until_logged(processid, "up\n")
                await colony.until_logged(processid, "parent ")
                os.kill(int(colony.log_of(processid).partition("parent ")[2].split()[0]), signal.SIGKILL)
                process = await colony.until(processid, FAILED)
                assert await gone(reader)
    assert process["errors"] == ["sh could not be run: its supervisor was killed."]


class Outliving(FakeRunner):
    """Its program goes on without the executor."""

    outlives = True


async def adopted(tmp_path: Path, fake: Fake, age: float, **spec: Any) -> tuple[Colony, Workshop, Work]:
    """A process that an earlier life has begun `age` seconds ago."""
    colony = Colony()
    await registration(colony).join()
    processid = colony.submit("p", "program", **spec)
    shop = workshop(colony, tmp_path, [Outliving(fake)])
    process = colony.give_to(processid, EXECUTOR_ID)
    shop.desks.set_up(processid)
    shop.desks.keep_process(process)
    written = shop.desks.folder(processid) / "process.json"
    os.utime(written, (written.stat().st_mtime - age,) * 2)
    return colony, shop, Work(shop, process, adopted=True)


async def test_the_deadline_of_work_that_is_taken_up_counts_from_its_beginning(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    fake = Fake(1e6, polite=True)
    _, shop, work = await adopted(tmp_path, fake, 40, maxexectime=60)
    await work.run()
    assert [what for what, _ in fake.told] == ["terminate"]
    assert 15 < fake.told[0][1] <= 20
    assert shop.delivery.results.waiting() == []


async def test_work_that_an_earlier_life_had_given_up_ends_without_a_word(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    fake = Fake(1, polite=True)
    fake.how = GIVEN_UP
    colony, shop, work = await adopted(tmp_path, fake, 0)
    await work.run()
    assert shop.delivery.results.waiting() == []
    assert colony.processes[work.processid]["state"] == RUNNING
    assert not shop.desks.folder(work.processid).exists()
