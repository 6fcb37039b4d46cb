"""Executors that run containers, killed at every moment: nothing stays, and nothing runs twice."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.device.engine import IMAGE, Podman, podman
from tests.device.test_container import guardian_of
from tests.e2e.programs import PATIENCE_S
from tests.e2e.test_execute import FAILED, RUNNING, SUCCESS, World, world

__all__ = ["world"]

RESTARTED = ["The executor restarted while the process ran."]


@pytest.fixture(scope="module")
def engine() -> Iterator[Podman]:
    with podman() as found:
        yield found


def starting(world: World, engine: Podman) -> Any:
    """An executor process that runs containers."""
    return world.execute("--container", "auto", **engine.env)


async def line(world: World, cmd: str, image: str = IMAGE, **spec: Any) -> str:
    """Submit a command line, the way published specs do; the id of its process."""
    kwargs = {"cmd": cmd, "docker-image": image, "rebuild-image": False, "args": []}
    return await world.submit("execute", kwargs=kwargs, fs={"mount": "/cfs"}, **spec)


async def emptied(engine: Podman) -> None:
    """Wait until no container is left."""
    with trio.fail_after(PATIENCE_S):
        while True:
            if not await trio.to_thread.run_sync(engine.containers):
                return
            await trio.sleep(0.05)


async def test_a_published_spec_runs_and_its_function_is_known_to_the_colony(world: World, engine: Podman) -> None:
    async with starting(world, engine) as executor:
        await executor.until("Containers are run by podman")
        await executor.until("ready:")
        process = await world.until(await line(world, "echo hello"), SUCCESS)
        assert process["out"] == ["hello"]
        (listed,) = await world.user.call("getfunctionsmsg", colonyname="lab", executorname="worker")
        assert listed["funcname"] == "execute"
        assert [arg["name"] for arg in listed["args"]][:4] == ["cmd", "args", "init-cmd", "docker-image"]


async def test_a_cancel_and_a_deadline_leave_no_container(world: World, engine: Podman) -> None:
    async with starting(world, engine) as executor:
        await executor.until("ready:")
        cancelled = await line(world, "echo up; tail -f /dev/null")
        await world.until_logged(cancelled, "up")
        await world.user.call("cancelprocessmsg", processid=cancelled)
        await emptied(engine)
        late = await line(world, "tail -f /dev/null", maxexectime=1)
        assert (await world.until(late, FAILED))["errors"] == ["Maximum execution time limit exceeded"]
        await emptied(engine)


async def test_an_executor_killed_while_a_container_runs_takes_it_along(world: World, engine: Podman) -> None:
    async with starting(world, engine) as executor:
        await executor.until("ready:")
        processid = await line(world, "trap '' TERM; echo up; while :; do sleep 1; done")
        await world.until_logged(processid, "up")
        executor.process.kill()
        await executor.ended()
        await emptied(engine)
    async with starting(world, engine):
        assert (await world.until(processid, FAILED))["errors"] == RESTARTED
    assert (await world.log(processid)).count("up") == 1


async def test_an_executor_killed_while_an_image_is_fetched_leaves_nothing(world: World, engine: Podman) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(silent.dup()))
        async with starting(world, engine) as executor:
            await executor.until("ready:")
            processid = await line(world, "echo up", image=f"localhost:{silent.getsockname()[1]}/x:1")
            asking = await listener.accept()
            executor.process.kill()
            await executor.ended()
            with trio.fail_after(PATIENCE_S):
                while await asking.receive_some():
                    pass  # its end: the program that asked is gone
        async with starting(world, engine):
            assert (await world.until(processid, FAILED))["errors"] == RESTARTED
        await asking.aclose()
        await listener.aclose()
    assert engine.containers() == []


@pytest.mark.parametrize("moment", [0.02, 0.1, 0.2, 0.3])
async def test_an_executor_killed_while_a_container_starts_or_ends_leaves_nothing(
    world: World, engine: Podman, moment: float
) -> None:
    async with starting(world, engine) as executor:
        await executor.until("ready:")
        processid = await line(world, "echo once >>/cfs/done; echo up")
        await world.until(processid, RUNNING, SUCCESS)
        await trio.sleep(moment)  # any moment will do: each is another one of its life
        executor.process.kill()
        await executor.ended()
        await emptied(engine)
    async with starting(world, engine):
        process = await world.until(processid, SUCCESS, FAILED)
    assert process["errors"] in ([], None, RESTARTED)
    assert (await world.log(processid)).count("up") <= 1


async def test_what_outlives_a_killed_executor_and_its_guardian_ends_at_the_next_start(
    world: World, engine: Podman
) -> None:
    async with starting(world, engine) as executor:
        await executor.until("ready:")
        processid = await line(world, "echo up; tail -f /dev/null")
        await world.until_logged(processid, "up")
        guardian = guardian_of(processid)
        os.kill(guardian, signal.SIGSTOP)  # so that it cannot clear up when the executor is gone
        executor.process.kill()
        await executor.ended()
        os.kill(guardian, signal.SIGKILL)
        assert len(engine.containers()) == 1
    async with starting(world, engine) as executor:
        await executor.until("ready:")
        assert engine.containers() == []
        assert (await world.until(processid, FAILED))["errors"] == RESTARTED


async def test_an_engine_that_is_not_there_ends_the_start_with_a_sentence(world: World, tmp_path: Path) -> None:
    async with world.execute("--container", "apptainer", PATH=str(tmp_path)) as executor:
        assert await executor.ended() != 0
    assert "This machine has no program to run containers with: apptainer." in "".join(executor.lines)
    assert "Traceback" not in "".join(executor.lines)
