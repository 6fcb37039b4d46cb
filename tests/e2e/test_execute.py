"""A real server, real executors and the real wire between them."""

from __future__ import annotations

import os
import platform
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from colonies_node.core.identity import id_of
from colonies_node.http.client import Client
from tests.device.test_supervised import fifo, gone, hold
from tests.e2e.programs import PATIENCE_S, Spoken, colonies_node, exists, holds, vanishes

COLONY, USER = "1" * 64, "2" * 64
"""Private keys of the colony's owner and a user."""

WAITING, RUNNING, SUCCESS, FAILED, CANCELLED = range(5)


class World:
    """A server process with the colony `lab`, and what a user does there."""

    def __init__(self, server: Spoken, data: Path, port: str, user: Client, owner: Client) -> None:
        self.server, self.data, self.port = server, data, port
        self.user, self.owner = user, owner

    def execute(self, *arguments: str, owner: bool = True, **variables: str) -> Any:
        """An executor process."""
        keys = {"COLONIES_COLONY_PRVKEY": COLONY} if owner else {}
        place = ("--host", "127.0.0.1", "--port", self.port, "--colony", "lab", "--data", str(self.data))
        return colonies_node("execute", *place, "--name", "worker", *arguments, **keys, **variables)

    async def submit(self, funcname: str, *args: Any, **spec: Any) -> str:
        """Submit a function; the id of its process."""
        conditions = {"colonyname": "lab", "executortype": "cli"}
        spec = {"funcname": funcname, "args": list(args), "conditions": conditions, "maxexectime": -1, **spec}
        return str((await self.user.call("submitfuncspecmsg", spec=spec))["processid"])

    async def until(self, processid: str, *states: int) -> dict[str, Any]:
        """Ask until a process has one of the states."""
        with trio.fail_after(PATIENCE_S):
            while True:
                process: dict[str, Any] = await self.user.call("getprocessmsg", processid=processid)
                if process["state"] in states:
                    return process
                await trio.sleep(0.05)

    async def until_logged(self, processid: str, words: str) -> str:
        """Ask until the log of a process holds the words; the whole log."""
        with trio.fail_after(PATIENCE_S):
            while True:
                if words in (log := await self.log(processid)):
                    return log
                await trio.sleep(0.05)

    async def log(self, processid: str) -> str:
        """All that was logged for a process."""
        logs = await self.user.call("getlogsmsg", colonyname="lab", processid=processid, count=500, since=0)
        return "".join(log["message"] for log in logs or [])


@asynccontextmanager
async def serving(data: Path, port: str) -> AsyncIterator[tuple[Spoken, str]]:
    """A server process, and the port it listens on."""
    async with colonies_node("serve", "--port", port, "--data", str(data)) as server:
        found = re.search(r":(\d+),", await server.until("ready:"))
        assert found
        yield server, found[1]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        server, port = await stack.enter_async_context(serving(tmp_path / "server", "0"))
        url = f"http://127.0.0.1:{port}"
        key = (tmp_path / "server" / "server.key").read_text().strip()
        admin = await stack.enter_async_context(Client(url, key))
        owner = await stack.enter_async_context(Client(url, COLONY))
        user = await stack.enter_async_context(Client(url, USER))
        await admin.call("addcolonymsg", colony={"colonyid": id_of(COLONY), "name": "lab"})
        person = {"colonyname": "lab", "userid": id_of(USER), "name": "u", "email": "", "phone": ""}
        await owner.call("addusermsg", user=person)
        yield World(server, tmp_path / "executor", port, user, owner)


async def test_programs_and_functions_run_side_by_side(world: World) -> None:
    functions = ("--fn", "tests.device.offered:add", "--fn", "tests.device.offered:later")
    async with world.execute("--shell", *functions, "--parallel", "3") as executor:
        await executor.until("ready:")
        program = await world.submit("sh", "-c", "echo out; echo err >&2")
        function = await world.submit("add", 40, kwargs={"second": 2})
        later = await world.submit("later", "word")
        failing = await world.submit("sh", "-c", "echo broken >&2; exit 7")
        assert (await world.until(program, SUCCESS))["out"] == ["out"]
        assert sorted((await world.log(program)).split()) == ["err", "out"]
        assert (await world.until(function, SUCCESS))["out"] == [42]
        assert (await world.until(later, SUCCESS))["out"] == ["WORD"]
        assert (await world.until(failing, FAILED))["errors"] == ["sh exited with status 7: broken"]
        listed = await world.user.call("getfunctionsmsg", colonyname="lab", executorname="worker")
        assert sorted(function["funcname"] for function in listed) == ["add", "later"]


async def test_a_colony_knows_what_the_machine_of_an_executor_has(world: World) -> None:
    async def known() -> dict[str, Any]:
        (executor,) = await world.user.call("getexecutorsmsg", colonyname="lab")
        return dict(executor["capabilities"])

    async with world.execute("--shell") as executor:
        await executor.until("ready:")
        first = await known()
        own = Client(f"http://127.0.0.1:{world.port}", (world.data / "executor.key").read_text().strip())
        async with own as client:
            nothing: Any = {"hardware": [], "software": []}
            await client.call("updateexecutormsg", colonyname="lab", executorname="worker", capabilities=nothing)
    (hardware,) = first["hardware"]
    assert (hardware["nodes"], hardware["architecture"]) == (1, platform.machine())
    assert hardware["cpu"] == f"{hardware['cores']}000m" != "0000m"
    async with world.execute("--shell") as executor:
        await executor.until("ready:")
        assert await known() == first


async def test_a_program_finds_none_of_the_executors_keys_around_it(world: World) -> None:
    key = "3" * 64
    async with world.execute("--shell", COLONIES_EXECUTOR_PRVKEY=key, COLONIES_PRVKEY=USER) as executor:
        await executor.until("ready:")
        look = "cat /proc/self/environ /proc/$PPID/environ /proc/self/cmdline /proc/$PPID/cmdline"
        process = await world.until(await world.submit("sh", "-c", look), SUCCESS)
    (seen,) = process["out"]
    assert f"COLONIES_PROCESS_ID={process['processid']}" in seen
    for secret in (key, COLONY, USER, "PRVKEY"):
        assert secret not in seen
    assert not any(key in line or COLONY in line for line in executor.lines)


async def test_without_the_colony_key_it_waits_for_its_owner(world: World) -> None:
    async with world.execute("--shell", owner=False) as executor:
        found = re.search(r"--executorid (\w+)", await executor.until("is not in colony lab yet"))
        assert found
        record = {
            "executorid": found[1],
            "executorname": "worker",
            "executortype": "cli",
            "colonyname": "lab",
            "capabilities": {"hardware": [], "software": []},
        }
        await world.owner.call("addexecutormsg", executor=record)
        await executor.until("waits for approval")
        await world.owner.call("approveexecutormsg", colonyname="lab", executorname="worker")
        await executor.until("ready:")


async def test_two_executors_do_not_share_a_folder(world: World) -> None:
    async with world.execute("--shell") as executor:
        await executor.until("ready:")
        async with world.execute("--shell") as second:
            assert await second.ended() != 0
            assert "Another executor works in" in "".join(second.lines)
            assert "Traceback" not in "".join(second.lines)


async def test_a_name_that_is_taken_ends_it_with_a_sentence(world: World, tmp_path: Path) -> None:
    async with world.execute("--shell") as executor:
        await executor.until("ready:")
        world.data = tmp_path / "other"
        async with world.execute("--shell") as second:
            assert await second.ended() != 0
            assert "The name worker is taken in colony lab" in "".join(second.lines)
            assert "Traceback" not in "".join(second.lines)


async def test_a_cancel_ends_the_program_and_all_it_started(world: World, tmp_path: Path) -> None:
    with fifo(tmp_path) as (path, reader):
        async with world.execute("--shell") as executor:
            await executor.until("ready:")
            processid = await world.submit("sh", "-c", f"sh -c '{hold(path)}' & wait")
            await world.until_logged(processid, "up")
            await world.user.call("cancelprocessmsg", processid=processid)
            assert await gone(reader)
            assert (await world.until(processid, CANCELLED))["errors"] in ([], None)


async def test_a_deadline_ends_the_program_and_its_retry_runs(world: World) -> None:
    async with world.execute("--shell", "--parallel", "2") as executor:
        await executor.until("ready:")
        first = await world.submit("tail", "-f", "/dev/null", maxexectime=1)
        assert (await world.until(first, FAILED))["errors"] == ["Maximum execution time limit exceeded"]
        script = f"test -e {world.data}/once && exec echo again; touch {world.data}/once; exec tail -f /dev/null"
        second = await world.submit("sh", "-c", script, maxexectime=1, maxretries=3)
        assert (await world.until(second, SUCCESS))["out"] == ["again"]


async def test_sigterm_lets_running_work_finish(world: World) -> None:
    async with world.execute("--shell") as executor:
        await executor.until("ready:")
        script = f"echo up; while [ ! -e {world.data}/go ]; do sleep 0.05; done; echo done"
        processid = await world.submit("sh", "-c", script)
        await world.until_logged(processid, "up")
        executor.process.send_signal(signal.SIGTERM)
        await executor.until("Stopping: 1 running")
        (world.data / "go").touch()
        assert await executor.ended() == 0
        assert (await world.until(processid, SUCCESS))["out"] == ["up\ndone"]


async def test_sigterm_gives_back_what_does_not_finish(world: World, tmp_path: Path) -> None:
    with fifo(tmp_path) as (path, reader):
        async with world.execute("--shell", "--grace", "0") as executor:
            await executor.until("ready:")
            processid = await world.submit("sh", "-c", hold(path))
            await world.until_logged(processid, "up")
            executor.process.send_signal(signal.SIGTERM)
            assert await executor.ended() == 0
            assert await gone(reader)
    process = await world.until(processid, FAILED)
    assert process["errors"] == ["The executor stopped before the process finished."]


async def test_a_second_sigterm_stops_at_once(world: World) -> None:
    async with world.execute("--shell", "--grace", "3600") as executor:
        await executor.until("ready:")
        processid = await world.submit("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
        await world.until_logged(processid, "up")
        executor.process.send_signal(signal.SIGTERM)
        await executor.until("Stopping: 1 running")
        executor.process.send_signal(signal.SIGTERM)
        assert await executor.ended() == 0


async def test_sigterm_in_a_long_poll_loses_no_process(world: World) -> None:
    for number in range(5):
        async with world.execute("--shell") as executor:
            await executor.until("ready:")
            executor.process.send_signal(signal.SIGTERM)
            processid = await world.submit("echo", str(number))
            assert await executor.ended() == 0
            async with world.execute("--shell") as next_one:
                await next_one.until("ready:")
                assert (await world.until(processid, SUCCESS))["out"] == [str(number)]


async def test_a_killed_executor_takes_its_programs_with_it_and_reports_them(world: World, tmp_path: Path) -> None:
    with fifo(tmp_path) as (path, reader):
        async with world.execute("--shell") as executor:
            await executor.until("ready:")
            processid = await world.submit("sh", "-c", f"trap '' TERM; {hold(path)}")
            await world.until_logged(processid, "up")
            executor.process.kill()
            await executor.ended()
            assert await gone(reader)
    async with world.execute("--shell") as executor:
        process = await world.until(processid, FAILED)
    assert process["errors"] == ["The executor restarted while the process ran."]


async def test_a_result_survives_a_lost_link_and_a_killed_executor(world: World, tmp_path: Path) -> None:
    async with world.execute("--shell") as executor:
        await executor.until("ready:")
        script = f"echo up; while [ ! -e {world.data}/go ]; do sleep 0.05; done; echo done"
        processid = await world.submit("sh", "-c", script)
        await world.until_logged(processid, "up")
        os.kill(world.server.process.pid, signal.SIGSTOP)  # a link on which nothing is answered
        (world.data / "go").touch()
        result = world.data / "results" / f"{processid}.json"
        await exists(result)
        executor.process.kill()
        await executor.ended()
        os.kill(world.server.process.pid, signal.SIGCONT)
    async with world.execute("--shell") as executor:
        process = await world.until(processid, SUCCESS)
        await executor.until("ready:")
        assert process["out"] == ["up\ndone"]
        await vanishes(result)


async def test_work_goes_on_while_the_server_is_away(world: World, tmp_path: Path) -> None:
    async with world.execute("--shell") as executor:
        await executor.until("ready:")
        script = f"echo up; while [ ! -e {world.data}/go ]; do sleep 0.05; done; echo done"
        processid = await world.submit("sh", "-c", script)
        await world.until_logged(processid, "up")
        world.server.process.kill()
        await world.server.ended()
        (world.data / "go").touch()
        result = world.data / "results" / f"{processid}.json"
        await exists(result)
        async with serving(tmp_path / "server", world.port):
            process = await world.until(processid, SUCCESS)
            assert process["out"] == ["up\ndone"]
            assert await world.log(processid) == "up\ndone\n"
            assert (await world.until(await world.submit("echo", "next"), SUCCESS))["out"] == ["next"]


async def test_an_executor_that_is_killed_again_and_again_does_nothing_twice(world: World, tmp_path: Path) -> None:
    """Killed in whatever it is doing: starting, running, ending, delivering. What it did is counted on disk."""
    effects = tmp_path / "effects"
    effects.mkdir()
    module = tmp_path / "touching.py"
    module.write_text(
        "import os, time\n"
        f"def touch(name, pause):\n    os.mkdir(f'{effects}/{{name}}')\n    time.sleep(pause)\n    return name\n"
    )
    script = f'mkdir {effects}/"$1" && sleep "$2" && echo "$1"'
    names = [f"{kind}{number}" for number in range(15) for kind in ("program", "function")]
    pauses = [0.02 * (number % 7) for number in range(len(names))]
    submitted = {}
    for name, pause in zip(names, pauses, strict=True):
        program = name.startswith("program")
        work = ("sh", "-c", script, "sh", name, pause) if program else ("touch", name, pause)
        submitted[name] = await world.submit(*work)
    flags = ("--shell", "--fn", f"{module}:touch", "--parallel", "3")
    for seen in (2, 7, 11, 16, 22):
        async with world.execute(*flags) as executor:
            await executor.until("ready:")
            await holds(effects, seen)
            executor.process.kill()
            await executor.ended()
    async with world.execute(*flags) as executor:
        ended = {name: await world.until(processid, SUCCESS, FAILED) for name, processid in submitted.items()}
        await executor.until("ready:")
    for name, process in ended.items():
        if process["state"] == SUCCESS:
            assert (process["out"], (effects / name).exists()) == ([name], True)
        else:
            assert process["errors"] == ["The executor restarted while the process ran."]
    states = [process["state"] for process in ended.values()]
    assert states.count(SUCCESS) >= 10
    assert FAILED in states


async def test_a_killed_executor_takes_its_interpreters_with_it(world: World, tmp_path: Path) -> None:
    with fifo(tmp_path) as (path, reader):
        async with world.execute("--fn", "tests.device.offered:stuck") as executor:
            await executor.until("ready:")
            processid = await world.submit("stuck", str(path), True)
            await world.until_logged(processid, "stuck")
            executor.process.kill()
            await executor.ended()
            assert await gone(reader)


async def test_a_locked_executor_says_so_in_its_colony_and_takes_work_again(world: World) -> None:
    async with world.execute("--shell") as executor:
        await executor.until("ready:")
        async with colonies_node("device", "lock", "--reason", "flight", "--data", str(world.data)) as locking:
            await locking.ended()
        await executor.until("No new work is taken: locked (flight).")
        processid = await world.submit("echo", "later")
        with trio.fail_after(PATIENCE_S):
            while True:
                listed = await world.user.call("getexecutormsg", colonyname="lab", executorname="worker")
                if any(entry["version"] == "locked (flight)" for entry in listed["capabilities"]["software"] or []):
                    break
                await trio.sleep(0.05)
        assert (await world.user.call("getprocessmsg", processid=processid))["state"] == WAITING
        async with colonies_node("device", "unlock", "--data", str(world.data)) as unlocking:
            await unlocking.ended()
        assert (await world.until(processid, SUCCESS))["out"] == ["later"]


async def test_the_server_gives_only_what_fits(world: World) -> None:
    async with world.execute("--shell", "--parallel", "2") as executor:
        await executor.until("ready:")
        large = await world.submit("true", conditions={**CONDITIONS, "mem": "900Ti"})
        graphic = await world.submit("true", conditions={**CONDITIONS, "gpu": {"count": 99}})
        small = await world.submit("echo", "fits", conditions={**CONDITIONS, "cpu": "100m", "mem": "1Mi"})
        assert (await world.until(small, SUCCESS))["out"] == ["fits"]
        for processid in (large, graphic):
            assert (await world.user.call("getprocessmsg", processid=processid))["state"] == WAITING


CONDITIONS = {"colonyname": "lab", "executortype": "cli"}
