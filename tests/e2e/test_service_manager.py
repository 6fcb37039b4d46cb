"""What a service manager hears of the real programs: ready, alive, how they are, stopping."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.manager import ear
from tests.e2e.programs import colonies_node

NOWHERE = ("execute", "--colony", "lab", "--shell", "--host", "127.0.0.1", "--port", "1")
"""An executor at whose server's port nobody listens."""

PROGRAMS = {"serve": ("serve", "--port", "0"), "execute": NOWHERE}


@pytest.mark.parametrize("arguments", PROGRAMS.values(), ids=PROGRAMS)
async def test_it_tells_that_it_is_ready_alive_and_stopping(arguments: Sequence[str], tmp_path: Path) -> None:
    with ear(tmp_path / "notify") as manager:
        async with colonies_node(*arguments, "--data", str(tmp_path / "data"), **manager.variables) as program:
            await manager.until("READY", "1")
            for _ in range(3):
                await manager.until("WATCHDOG", "1")
            program.process.send_signal(signal.SIGTERM)
            await manager.until("STOPPING", "1")
            assert await program.ended() == 0


@pytest.mark.parametrize("arguments", PROGRAMS.values(), ids=PROGRAMS)
async def test_a_program_that_stands_still_gives_no_sign_of_life(arguments: Sequence[str], tmp_path: Path) -> None:
    with ear(tmp_path / "notify") as manager:
        async with colonies_node(*arguments, "--data", str(tmp_path / "data"), **manager.variables) as program:
            await manager.until("WATCHDOG")
            os.kill(program.process.pid, signal.SIGSTOP)
            await manager.silence()
            os.kill(program.process.pid, signal.SIGCONT)
            await manager.until("WATCHDOG")


async def test_where_it_hung_is_told_when_the_manager_ends_it(tmp_path: Path) -> None:
    with ear(tmp_path / "notify") as manager:
        async with colonies_node(*NOWHERE, "--data", str(tmp_path / "data"), **manager.variables) as program:
            await manager.until("WATCHDOG")
            program.process.send_signal(signal.SIGABRT)
            assert await program.ended() == -signal.SIGABRT
            assert await program.until("Fatal Python error: Aborted")


async def test_a_server_tells_where_it_listens(tmp_path: Path) -> None:
    address = f"@colonies-node-test-{os.getpid()}"
    with ear(address) as manager:
        data = str(tmp_path / "data")
        async with colonies_node("serve", "--port", "0", "--data", data, NOTIFY_SOCKET=address) as program:
            url = await program.url()
            assert await manager.next() == {"READY": "1", "STATUS": f"listening on {url}"}


async def test_an_executor_tells_what_it_says_and_how_much_runs(tmp_path: Path) -> None:
    with ear(tmp_path / "notify") as manager:
        async with colonies_node(*NOWHERE, "--data", str(tmp_path / "data"), **manager.variables):
            await manager.until("STATUS", "0 running; No link to the server")


async def test_a_manager_that_is_not_there_keeps_nobody_from_working(tmp_path: Path) -> None:
    gone = {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1000"}
    async with colonies_node("serve", "--port", "0", "--data", str(tmp_path / "data"), **gone) as program:
        await program.until("ready:")
        program.process.send_signal(signal.SIGTERM)
        assert await program.ended() == 0
