"""Real programs: how they start, end, and are ended with everything they started.

The end of a program is seen by the end of a pipe that it and its descendants hold, so no test has to wait and look.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from colonies_node.device.supervised import Ended, Program, Running
from tests.device.shop import supervisor

ENV = {"PATH": os.environ["PATH"], "WORD": "set"}


def program(*argv: str, folder: Path = Path("/")) -> Program:
    return Program(argv, ENV, folder)


async def start(*argv: str, folder: Path = Path("/")) -> Running:
    return await supervisor().start(program(*argv, folder=folder))


async def read(stream: trio.abc.ReceiveStream) -> bytes:
    return b"".join([bytes(chunk) async for chunk in stream])


async def ended(running: Running) -> Ended:
    """How it ended; fails if it does not."""
    with trio.fail_after(20):
        return await running.wait()


@contextmanager
def fifo(folder: Path) -> Iterator[tuple[Path, int]]:
    """A named pipe and the descriptor from which its end can be read: it comes when the last writer is gone."""
    path = folder / "held"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield path, reader
    finally:
        os.close(reader)


def hold(path: Path) -> str:
    """A script that holds the pipe, says so, and goes on until it is ended."""
    return f"exec 9>{path}; echo up; exec tail -f /dev/null"


async def gone(reader: int) -> bool:
    """Wait until nobody holds the pipe any more."""
    with trio.fail_after(10):
        while True:
            await trio.lowlevel.wait_readable(reader)
            if not os.read(reader, 4096):
                return True


async def test_output_and_exit_status_come_back(tmp_path: Path) -> None:
    async with await start("sh", "-c", "echo $WORD; echo bad >&2; pwd; exit 3", folder=tmp_path) as running:
        assert await ended(running) == Ended(code=3)
        assert await read(running.stdout) == f"set\n{tmp_path}\n".encode()
        assert await read(running.stderr) == b"bad\n"


async def test_standard_input_is_empty() -> None:
    async with await start("cat") as running:
        assert await ended(running) == Ended(code=0)


async def test_a_signal_that_ends_it_is_named() -> None:
    async with await start("sh", "-c", "kill -SEGV $$") as running:
        assert await ended(running) == Ended(signal=signal.SIGSEGV)


@pytest.mark.parametrize(("name", "number"), [("no-such-program", 2), ("/etc/passwd", 13), ("/", 13)])
async def test_a_program_that_cannot_start_says_why(name: str, number: int) -> None:
    async with await start(name) as running:
        how = await ended(running)
        assert how.fault and how.fault[0] == number


async def test_a_program_ignores_no_signal_from_its_start() -> None:
    async with await start("grep", "SigIgn", "/proc/self/status") as running:
        await ended(running)
        ignored = int((await read(running.stdout)).split()[1], 16)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        assert not ignored >> (number - 1) & 1


async def test_it_has_no_descriptors_of_ours() -> None:
    async with await start("sh", "-c", "ls /proc/self/fd | wc -l") as running:
        await ended(running)
        assert int(await read(running.stdout)) <= 4  # 0, 1, 2 and the one that ls reads the folder with


async def test_asking_ends_the_whole_group(tmp_path: Path) -> None:
    with fifo(tmp_path) as (path, reader):
        async with await start("sh", "-c", f"sh -c '{hold(path)}' & wait") as running:
            assert await running.stdout.receive_some() == b"up\n"
            await running.terminate()
            assert await ended(running) == Ended(signal=signal.SIGTERM)
        assert await gone(reader)


async def test_one_of_the_group_that_ends_slowly_gets_its_time(tmp_path: Path) -> None:
    slow = "trap 'echo bye; exit' TERM; echo up; while :; do :; done"
    async with await start("sh", "-c", f'sh -c "{slow}" & wait') as running:
        assert await running.stdout.receive_some() == b"up\n"
        await running.terminate()
        await ended(running)
        assert await read(running.stdout) == b"bye\n"


async def test_killing_ends_a_grandchild_that_ignores_being_asked(tmp_path: Path) -> None:
    with fifo(tmp_path) as (path, reader):
        async with await start("sh", "-c", f"trap '' TERM; sh -c '{hold(path)}' & wait") as running:
            assert await running.stdout.receive_some() == b"up\n"
            await running.terminate()
            await running.kill()
            assert await ended(running) == Ended(signal=signal.SIGKILL)
        assert await gone(reader)


async def test_killing_ends_what_left_the_group(tmp_path: Path) -> None:
    with fifo(tmp_path) as (path, reader):
        async with await start("sh", "-c", f"setsid sh -c '{hold(path)}' & wait") as running:
            assert await running.stdout.receive_some() == b"up\n"
            await running.kill()
            await ended(running)
        assert await gone(reader)


async def test_what_a_program_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    script = f"mkfifo told; setsid sh -c '{hold(tmp_path / 'held')}' >told & read up <told"
    with fifo(tmp_path) as (_, reader):
        async with await start("sh", "-c", script, folder=tmp_path) as running:
            assert await ended(running) == Ended(code=0)
        assert await gone(reader)


async def test_letting_go_of_it_kills_it(tmp_path: Path) -> None:
    with fifo(tmp_path) as (path, reader):
        running = await start("sh", "-c", hold(path))
        assert await running.stdout.receive_some() == b"up\n"
        await running.aclose()
        assert await gone(reader)


EXECUTOR = """
import sys, trio
from pathlib import Path
from colonies_node.device.supervised import Program, Supervisor

async def main():
    program = Program(["sh", "-c", sys.argv[1]], {"PATH": "/usr/bin:/bin"}, Path("/"))
    running = await Supervisor().start(program)
    print((await running.stdout.receive_some()).decode(), end="", flush=True)
    await trio.sleep_forever()

trio.run(main)
"""


async def test_nothing_outlives_an_executor_that_is_killed(tmp_path: Path) -> None:
    with fifo(tmp_path) as (path, reader):
        executor = await trio.lowlevel.open_process(
            [sys.executable, "-c", EXECUTOR, f"trap '' TERM; sh -c '{hold(path)}' & wait"],
            stdout=subprocess.PIPE,
            cwd=Path.cwd(),
        )
        assert executor.stdout is not None
        with trio.fail_after(20):
            assert await executor.stdout.receive_some() == b"up\n"
        executor.kill()
        await executor.wait()
        assert await gone(reader)
        await executor.stdout.aclose()
