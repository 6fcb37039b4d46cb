"""A boot without a network: no route and no name server that answers. Everything starts, and waits without work."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from colonies_node.core.identity import id_of
from tests.e2e import alone
from tests.e2e.alone import Machine
from tests.e2e.manager import WATCHDOG_S, Ear, ear
from tests.e2e.programs import Spoken

pytestmark = pytest.mark.skipif(bool(alone.refusal()), reason=alone.refusal())

COLONY = "1" * 64
STOP_S = 10
"""Seconds in which a program must stop that waits for a name server; asking that one takes ten and more."""

ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).status)"


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with Machine.at(tmp_path) as machine:
        yield machine


@asynccontextmanager
async def waiting_executor(machine: Machine, manager: Ear) -> AsyncIterator[Spoken]:
    """An executor whose server has a name that nobody can look up."""
    place = ("--host", "server.lab.example", "--port", "50080", "--data", str(machine.folder / "executor"))
    join = ("--colony", "lab", "--shell", "--name", "worker")
    async with machine.colonies_node(
        "execute", *place, *join, COLONIES_COLONY_PRVKEY=COLONY, **manager.variables
    ) as executor:
        await manager.until("READY", "1")
        yield executor


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_a_server_is_ready_and_answers_on_this_machine(machine: Machine) -> None:
    data = str(machine.folder / "server")
    with ear(machine.folder / "notify") as manager:
        async with machine.colonies_node(
            "serve", "--host", "0.0.0.0", "--port", "0", "--data", data, **manager.variables
        ) as server:
            await manager.until("READY", "1")
            port = (await server.url()).rpartition(":")[2]
            asked = await machine.run(sys.executable, "-c", ASK, f"http://127.0.0.1:{port}/health")
            assert asked == "200\n"
            assert (await machine.run("cat", "/proc/net/route")).count("\n") == 1  # its headline
            server.process.send_signal(signal.SIGTERM)
            with trio.fail_after(STOP_S):
                assert await server.ended() == 0


async def test_an_executor_is_ready_says_that_there_is_no_link_and_stops_at_once(machine: Machine) -> None:
    with ear(machine.folder / "notify") as manager:
        async with waiting_executor(machine, manager) as executor:
            executor.process.send_signal(signal.SIGTERM)  # it waits for the name server, which never answers
            await manager.until("STOPPING", "1")
            with trio.fail_after(STOP_S):
                assert await executor.ended() == 0
            assert "Traceback" not in "".join(executor.lines)


async def test_an_executor_without_a_link_is_alive_and_idle(machine: Machine) -> None:
    machine.asks_briefly()
    with ear(machine.folder / "notify") as manager:
        async with waiting_executor(machine, manager) as executor:
            await manager.until("STATUS", "No link to the server")
            began, used = time.monotonic(), cpu_s(executor.process.pid)
            for _ in range(10):
                await manager.until("WATCHDOG", "1")
            passed = time.monotonic() - began
            assert passed > 4 * WATCHDOG_S
            assert cpu_s(executor.process.pid) - used < passed / 4
            assert sum("No link" in line for line in executor.lines) == 1


async def test_an_executor_joins_when_its_server_can_be_reached(machine: Machine) -> None:
    machine.asks_briefly()
    data = machine.folder / "server"
    with ear(machine.folder / "notify") as manager:
        del manager.variables["WATCHDOG_USEC"]  # nobody would hear the signs of life meanwhile
        async with waiting_executor(machine, manager) as executor:
            await executor.until("No link to the server")
            async with machine.colonies_node("serve", "--data", str(data)) as server:
                await server.until("ready:")
                add = ("colony", "add", "--name", "lab", "--colonyid", id_of(COLONY))
                key = str(data / "server.key")
                await machine.run(sys.executable, "-m", "colonies_node", *add, COLONIES_SERVER_PRVKEY=key)
                machine.knows("server.lab.example")
                await executor.until("ready: executor worker")
                await manager.until("STATUS", "ready: executor worker")
