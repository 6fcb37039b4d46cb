"""What it costs to run something: a program under supervision, a function in a warm interpreter, two busy cores."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
from figures import Figure, Reading
from load import BenchFailed, Connection, drive, recite
from offered import WORK_S
from servers import running_executor
from stage import CONNECTIONS, Node, Stage, environment, say
from wire import COLONY, Member, found_colony, payload_of

from colonies_node.core.identity import Signer, new_private_key
from colonies_node.device.runners import Errand, Written
from colonies_node.device.runners.shell import ShellRunner
from colonies_node.device.supervised import Limits, fenced

OFFERED = Path(__file__).with_name("offered.py")
TYPE = "bench"
LOOK_S = 0.05
PATIENCE_S = 100.0
LIMITS = Limits(memory=1 << 30, processes=4096, output=1 << 30)
"""As an executor has them when nothing is set."""


def run_overhead(stage: Stage) -> Reading:
    """A program through the shell runner, from its preparation to its output, against starting it directly."""
    count = stage.amounts.programs
    race = stage.race(lambda: trio.run(_directly, count), lambda: trio.run(_supervised, count))
    return Reading(race.ratio, f"{race}; `true`, output and errors read")


async def _directly(count: int) -> float:
    async def once() -> None:
        await trio.run_process(["true"], capture_stdout=True, capture_stderr=True)

    return await _rate(once, count)


async def _supervised(count: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "files").mkdir()
        async with fenced("bench") as supervisor:
            runner = ShellRunner(supervisor)
            errand = Errand("bench", {"funcname": "true"}, folder, dict(os.environ), {}, LIMITS)

            async def once() -> None:
                written = Written()
                async with await runner.start(runner.prepare(errand)) as started:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_read, started.stdout, written.out.feed)
                        nursery.start_soon(_read, started.stderr, written.err.feed)
                    runner.output(errand, await started.wait(), written)

            return await _rate(once, count)


async def _read(stream: trio.abc.ReceiveStream, feed: Callable[[bytes | bytearray], None]) -> None:
    async for data in stream:
        feed(data)


async def _rate(once: Callable[[], Awaitable[None]], count: int) -> float:
    """How often a second, after it was done a few times."""
    for _ in range(5):
        await once()
    began = time.perf_counter()
    for _ in range(count):
        await once()
    return count / (time.perf_counter() - began)


@dataclass(frozen=True)
class Shop:
    """A node with a colony in which a real executor works."""

    node: Node
    owner: Member

    def spec(self, funcname: str, *args: object) -> dict[str, object]:
        """A function spec for the executor."""
        conditions = {"colonyname": COLONY, "executortype": TYPE}
        return {"funcname": funcname, "args": list(args), "maxexectime": -1, "conditions": conditions}

    def submits(self, count: int, funcname: str, *args: object) -> list[bytes]:
        """Signed requests that each submit a call."""
        return [
            self.node.colony.user.request("submitfuncspecmsg", spec=self.spec(funcname, *args)) for _ in range(count)
        ]

    def run(self, requests: list[bytes], *, queued: bool = False) -> float:
        """Seconds from the first submit until the last call has succeeded; with `queued` all are submitted before, and
        wait until the clock starts. Raises BenchFailed."""
        connection = Connection(self.node.server.address)
        try:
            before, began = self._successes(connection), time.perf_counter()
            if queued:
                connection.ask(self.owner.request("pauseassignmentsmsg", colonyname=COLONY))
            drive(self.node.server.address, recite(requests, CONNECTIONS))
            if queued:
                began = time.perf_counter()
                connection.ask(self.owner.request("resumeassignmentsmsg", colonyname=COLONY))
            while (done := self._successes(connection) - before) < len(requests):
                if time.perf_counter() - began > PATIENCE_S:
                    raise BenchFailed(f"Only {done} of {len(requests)} calls succeeded within {PATIENCE_S:.0f} s.")
                time.sleep(LOOK_S)
            return time.perf_counter() - began
        finally:
            connection.close()

    def _successes(self, connection: Connection) -> int:
        found = payload_of(connection.ask(self.node.colony.user.request("getcolonystatsmsg", colonyname=COLONY)))
        assert isinstance(found, dict), "statistics are an object"
        if found["failedprocesses"]:
            raise BenchFailed("A call has failed.")
        return int(found["successfulprocesses"])


@contextmanager
def shop(stage: Stage, *flags: str, **variables: str) -> Iterator[Shop]:
    """A fresh node and an executor with the functions of offered.py, which has done a few calls."""
    key = new_private_key(os.urandom(32))
    owner, colony_owner = Member(), Member(Signer(key))
    with stage.serve(server_id=owner.id) as (server, data):
        colony = found_colony(server.address, owner, 0, colony_owner)
        host, port = server.address
        command = [sys.executable, "-P", "-m", "colonies_node", "execute", "--host", host, "--port", str(port)]
        command += ["--colony", COLONY, "--type", TYPE, "--name", TYPE, "--data", str(data.parent / "executor")]
        command += ["--fn", f"{OFFERED}:add", "--fn", f"{OFFERED}:work", *flags]
        with running_executor(
            command, environment(COLONIES_COLONY_PRVKEY=key, **variables), data.parent / "executor.log"
        ):
            here = Shop(Node(server, colony, data), colony_owner)
            here.run(here.submits(20, "add", 1, 2))
            yield here


def function_per_s(stage: Stage) -> Reading:
    """Short calls from their submission to their success, with warm interpreters, against the echo."""
    count = stage.amounts.calls
    with shop(stage, "--parallel", "4") as here:

        def calls() -> float:
            return count / here.run(here.submits(count, "add", 1, 2))

        (sample,) = here.submits(1, "add", 1, 2)
        race = stage.race(calls, lambda: stage.echo_rate(sample), stage.amounts.call_rounds)
        return Reading(race.ratio, f"{race}; {count:,} calls, 4 at a time")


def busy(stage: Stage) -> Reading:
    """Share of the time of two cores that went into the work itself."""
    count = stage.amounts.pieces
    shares = []
    with shop(stage, "--parallel", "2") as here:
        here.run(here.submits(10, "work"))
        for number in range(3):
            say(f"round {number + 1} of 3")
            seconds = here.run(here.submits(count, "work"), queued=True)
            shares.append(100 * count * WORK_S / seconds / min(2, os.cpu_count() or 1))
    return Reading(
        sorted(shares)[1], f"{count} pieces of {1000 * WORK_S:.0f} ms, two at a time, node on the same cores"
    )


FIGURES = (
    Figure("run_overhead", 3.0, "a program started directly / through the shell runner", run_overhead),
    Figure("function_per_s", 0.08, "short functions, submitted to successful / echo", function_per_s, at_least=True),
    Figure("busy", 85.0, "two cores busy with work of 20 ms, %", busy, at_least=True),
)
