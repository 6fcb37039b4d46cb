"""Interpreters that stay warm: when one takes another call, and when a function gets one of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from colonies_node.device.runners.python import PythonRunner, describe, search_path
from colonies_node.device.supervised import Limits
from colonies_node.device.work import Why, Work
from tests.device.colony import EXECUTOR_ID, FAILED, SUCCESS, Colony
from tests.device.shop import live, registration, supervisor, workshop
from tests.device.test_supervised import fifo, gone

HERE = "tests.device.offered"
NAMES = ("who", "add", "crash", "thread", "child", "grow", "dirty", "environment", "waits", "talks", "stuck", "closes")


class Calls:
    """A colony in which one executor calls functions in its interpreters."""

    def __init__(self, data: Path, runner: PythonRunner) -> None:
        self.colony, self.runner = Colony(), runner
        self.shop = replace(workshop(self.colony, data, [runner], list(NAMES)), say=lambda words: None)
        self._count = 0

    def work(self, name: str, *args: Any, **spec: Any) -> Work:
        """A process that calls a function."""
        self._count += 1
        processid = self.colony.submit(f"p{self._count}", name, *args, **spec)
        return Work(self.shop, self.colony.give_to(processid, EXECUTOR_ID))

    async def call(self, name: str, *args: Any, **spec: Any) -> dict[str, Any]:
        """Call a function; the process as the server has it then, with its log."""
        work = self.work(name, *args, **spec)
        with trio.fail_after(30):
            await live(work)
        assert await self.shop.delivery.deliver_waiting()
        return {**self.colony.processes[work.processid], "log": self.colony.log_of(work.processid)}

    async def pid(self) -> int:
        """Which interpreter the next call gets."""
        return int((await self.call("who"))["out"][0])


@asynccontextmanager
async def calls(tmp_path: Path) -> AsyncIterator[Calls]:
    offers = await describe([f"{HERE}:{name}" for name in NAMES], search_path(), os.environ)
    runner = PythonRunner(offers, search_path(), supervisor(), {"PATH": os.environ["PATH"]})
    here = Calls(tmp_path, runner)
    await registration(here.colony).join()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner.run)
        yield here
        nursery.cancel_scope.cancel()


async def test_one_interpreter_takes_one_call_after_the_other(tmp_path: Path) -> None:
    async with calls(tmp_path) as here:
        assert len({await here.pid() for _ in range(5)}) == 1


async def test_an_exception_does_not_cost_the_interpreter(tmp_path: Path) -> None:
    async with calls(tmp_path) as here:
        first = await here.pid()
        assert (await here.call("add", "x", 1))["state"] == FAILED
        assert await here.pid() == first


async def test_two_calls_at_a_time_have_an_interpreter_each(tmp_path: Path) -> None:
    async with calls(tmp_path) as here:
        first, second = (here.work("waits", str(tmp_path / "go")) for _ in range(2))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live, first)
            nursery.start_soon(live, second)
            for work in (first, second):
                await here.colony.until_logged(work.processid, "waiting\n")
            (tmp_path / "go").touch()
        await here.shop.delivery.deliver_waiting()
        pids = [here.colony.processes[work.processid]["out"][0] for work in (first, second)]
        assert len(set(pids)) == 2


async def test_what_each_call_prints_is_in_its_own_log(tmp_path: Path) -> None:
    async with calls(tmp_path) as here:
        for number in range(20):
            lines = (await here.call("talks", number))["log"].splitlines()
            assert sorted(lines) == [f"err {number}", f"out {number}"]


async def test_a_function_that_crashes_takes_nobody_with_it_and_is_called_alone_from_then_on(tmp_path: Path) -> None:
    async with calls(tmp_path) as here:
        first = await here.pid()
        assert (await here.call("crash", True))["errors"] == ["crash was killed by SIGSEGV"]
        second = await here.pid()
        assert second != first
        alone = {(await here.call("crash", False))["out"][0] for _ in range(2)}
        assert len(alone | {second}) == 3
        assert await here.pid() == second


async def test_an_interpreter_in_which_a_thread_or_a_program_was_left_is_not_used_again(tmp_path: Path) -> None:
    async with calls(tmp_path) as here:
        for name, args in (("thread", ()), ("child", (str(tmp_path / "held"),)), ("grow", ())):
            before = await here.pid()
            with fifo(tmp_path) as (path, reader):
                assert (await here.call(name, *args))["out"] == [before]
                if name == "child":
                    assert await gone(reader)
            path.unlink()
            assert await here.pid() != before


async def test_nothing_of_a_call_is_there_for_the_next(tmp_path: Path) -> None:
    async with calls(tmp_path) as here:
        first = await here.pid()
        dirty = await here.call("dirty", env={"WORD": "secret"})
        assert dirty["out"] == [first]
        (seen,) = (await here.call("environment"))["out"]
        assert "WORD" not in seen and "LEFT" not in seen
        assert seen["COLONIES_PROCESS_ID"] != dirty["processid"]
        assert await here.pid() == first


async def test_other_limits_mean_another_interpreter(tmp_path: Path) -> None:
    async with calls(tmp_path) as here:
        first = await here.pid()
        small = {"conditions": {"mem": "200Mi"}}
        second = (await here.call("who", **small))["out"][0]
        assert second != first
        assert (await here.call("who", **small))["out"] == [second]
        here.shop.limits = Limits(cpu=60)
        alone = {(await here.call("who"))["out"][0] for _ in range(2)}
        assert len(alone | {first, second}) == 4


async def test_an_interpreter_that_was_killed_while_it_waited_costs_no_process(tmp_path: Path) -> None:
    async with calls(tmp_path) as here:
        first = await here.pid()
        os.kill(first, signal.SIGKILL)
        assert await here.pid() != first


async def test_a_call_whose_time_is_over_ends_with_its_interpreter(tmp_path: Path) -> None:
    async with calls(tmp_path) as here:
        with fifo(tmp_path) as (path, reader):
            work = here.work("stuck", str(path), False, maxexectime=1)
            await live(work)
            assert await gone(reader)
        assert here.shop.delivery.results.waiting() == []
        assert (await here.call("add", 1, 2))["out"] == [3]


async def test_a_call_that_is_cancelled_ends_with_all_that_it_started(tmp_path: Path) -> None:
    async with calls(tmp_path) as here:
        with fifo(tmp_path) as (path, reader):
            work = here.work("stuck", str(path), True)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(live, work)
                await here.colony.until_logged(work.processid, "stuck\n")
                work.end(Why.LOST)
            assert await gone(reader)


async def test_a_function_that_closes_its_channel_fails_with_a_sentence(tmp_path: Path) -> None:
    async with calls(tmp_path) as here:
        process = await here.call("closes")
        assert process["errors"] == ["closes ended its interpreter without giving a result."]
        assert (await here.call("add", 1, 2))["state"] == SUCCESS
