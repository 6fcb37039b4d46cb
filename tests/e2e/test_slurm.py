"""A real Slurm, a real server and executors that come and go, and jobs that end exactly once."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests import slurm_cluster
from tests.e2e.programs import PATIENCE_S, Spoken, exists, vanishes
from tests.e2e.test_execute import CANCELLED, FAILED, SUCCESS, World, world
from tests.slurm_cluster import Cluster

__all__ = ["world"]

pytestmark = pytest.mark.skipif(bool(slurm_cluster.missing()), reason=slurm_cluster.missing())


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    with slurm_cluster.cluster() as cluster:
        yield cluster


class Site:
    """A login node of the cluster, with an executor that belongs to the world."""

    def __init__(self, slurm: Cluster, world: World, folder: Path) -> None:
        self.slurm, self.world, self.folder = slurm, world, folder
        self.effects, self.go = folder / "effects", folder / "go"

    def execute(self, *arguments: str, **variables: str) -> Any:
        """An executor process."""
        variables = {"SLURM_CONF": str(self.slurm.conf), "COLONIES_SECRET": "5" * 64, **variables}
        return self.world.execute("--slurm", "--slurm-poll", "1", "--parallel", "3", *arguments, **variables)

    async def submit(self, cmd: str, *args: Any, conditions: dict[str, Any] | None = None, **spec: Any) -> str:
        """Submit a command line."""
        kwargs = {"cmd": cmd, "args": list(args), **spec.pop("kwargs", {})}
        who = {"colonyname": "lab", "executortype": "cli"}
        return await self.world.submit("execute", kwargs=kwargs, conditions={**who, **(conditions or {})}, **spec)

    async def counted(self) -> str:
        """Submit work that leaves one mark when it begins, and ends when told to."""
        return await self.submit(
            f"echo x >> {self.effects}; echo up; until [ -e {self.go} ]; do sleep 0.1; done; echo done"
        )

    async def until_state(self, processid: str, *states: str) -> None:
        """Wait until all its jobs have one of the states."""
        with trio.fail_after(PATIENCE_S):
            while True:
                found = self.slurm.jobs(processid)
                if found and set(found) <= set(states):
                    return
                await trio.sleep(0.1)

    async def ended_once(self, processid: str) -> None:
        """Its work was done once, and its end is told."""
        process = await self.world.until(processid, SUCCESS)
        assert process["out"] == ["up\ndone"]
        assert self.effects.read_text() == "x\n"

    def programs(self, **scripts: str) -> str:
        """A PATH on which these scripts stand before the programs of Slurm."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        for name, text in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        return f"{folder}:{self.slurm.env['PATH']}"


@pytest.fixture
def site(slurm: Cluster, world: World, tmp_path: Path) -> Site:
    return Site(slurm, world, tmp_path)


async def kill(executor: Spoken) -> None:
    executor.process.kill()
    await executor.ended()


async def test_a_command_line_becomes_a_job(site: Site) -> None:
    async with site.execute() as executor:
        await executor.until("ready:")
        hello = await site.submit("echo hello", "world", "'one  two'", "{processid}", env={"MINE": "a'b\n$c"})
        look = await site.submit("env; pwd", env={"MINE": "a'b\n$c", "COLONIES_COLONY_NAME": "other"})
        failing = await site.submit("echo out; echo broken >&2; exit 7", conditions={"walltime": 120, "cpu": "500m"})
        assert (await site.world.until(hello, SUCCESS))["out"] == [f"hello world one  two {hello}"]
        (seen,) = (await site.world.until(look, SUCCESS))["out"]
        assert "MINE=a'b\n$c\n" in seen
        assert f"COLONIES_PROCESS_ID={look}" in seen
        assert "COLONIES_COLONY_NAME=lab" in seen
        assert "SECRET" not in seen and "PRVKEY" not in seen
        assert seen.endswith(f"/work/{look}/files")
        assert (await site.world.until(failing, FAILED))["errors"] == ["execute exited with status 7: broken"]
        log = await site.world.log(failing)
        assert "out\n" in log and "broken\n" in log and "[Slurm job " in log
        (offer,) = await site.world.user.call("getfunctionsmsg", colonyname="lab", executorname="worker")
        assert offer["funcname"] == "execute"
        assert [argument["name"] for argument in offer["args"]][:2] == ["cmd", "args"]
        assert not (site.world.data / "work" / hello).exists()


async def test_tasks_are_started_by_srun(site: Site) -> None:
    async with site.execute() as executor:
        await executor.until("ready:")
        processid = await site.submit('echo "task $SLURM_PROCID"', conditions={"nodes": 1, "processespernode": 2})
        (text,) = (await site.world.until(processid, SUCCESS))["out"]
        assert sorted(text.split("\n")) == ["task 0", "task 1"]


@pytest.mark.skipif(not (shutil.which("ch-run") and shutil.which("busybox")), reason="no ch-run or no busybox here")
async def test_a_container_runs_inside_the_job(site: Site, tmp_path: Path) -> None:
    image = tmp_path / "image"
    for folder in [
        "bin",
        "cfs",
        "dev",
        "etc",
        "home",
        "lib",
        "lib64",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
        "usr",
        "var",
    ]:
        (image / folder).mkdir(parents=True)
    busybox = shutil.which("busybox") or ""
    for name in ("sh", "cat", "pwd", "ls", "echo"):
        shutil.copy(busybox, image / "bin" / name)
    (image / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (image / "etc" / "group").write_text("root:x:0:\n")
    (image / "image.txt").write_text("inside\n")
    async with site.execute("--slurm-container", "ch-run") as executor:
        await executor.until("ready:")
        kwargs = {"docker-image": str(image), "init-cmd": "echo first > here"}
        processid = await site.submit("cat /image.txt here; pwd", kwargs=kwargs)
        process = await site.world.until(processid, SUCCESS, FAILED)
        assert (process["errors"], process["out"]) == ([], ["inside\nfirst\n/cfs"])


async def test_a_cancel_ends_the_job(site: Site) -> None:
    async with site.execute() as executor:
        await executor.until("ready:")
        processid = await site.counted()
        await site.world.until_logged(processid, "up")
        await site.world.user.call("cancelprocessmsg", processid=processid)
        await site.until_state(processid, "CANCELLED")
        await vanishes(site.world.data / "work" / processid)


async def test_a_deadline_ends_the_job(site: Site) -> None:
    async with site.execute() as executor:
        await executor.until("ready:")
        processid = await site.submit("echo up; sleep 1000", maxexectime=3)
        assert (await site.world.until(processid, FAILED))["errors"] == ["Maximum execution time limit exceeded"]
        await site.until_state(processid, "CANCELLED", "TIMEOUT", "FAILED")
        await vanishes(site.world.data / "work" / processid)


async def test_what_slurm_refuses_fails_with_its_own_sentence(site: Site) -> None:
    async with site.execute() as executor:
        await executor.until("ready:")
        large = await site.submit("true", conditions={"mem": "900Gi"})
        (error,) = (await site.world.until(large, FAILED))["errors"]
        assert error.startswith("Slurm does not take the job: ")
        assert "Requested node configuration is not available" in error
    async with site.execute("--slurm-partition", "nope") as executor:
        await executor.until("ready:")
        (error,) = (await site.world.until(await site.submit("true"), FAILED))["errors"]
        assert "Invalid partition name specified" in error
        assert not any("Traceback" in line for line in executor.lines)


async def test_a_job_that_somebody_cancels_in_slurm_fails_with_a_sentence(site: Site) -> None:
    async with site.execute() as executor:
        await executor.until("ready:")
        processid = await site.counted()
        await site.world.until_logged(processid, "up")
        site.slurm.run("scancel", "--user=root")
        (error,) = (await site.world.until(processid, FAILED))["errors"]
        assert "ended as CANCELLED: somebody cancelled it in Slurm" in error


async def test_a_stopped_executor_leaves_its_job_to_its_next_life(site: Site) -> None:
    async with site.execute() as executor:
        await executor.until("ready:")
        processid = await site.counted()
        await site.world.until_logged(processid, "up")
        executor.process.send_signal(signal.SIGTERM)
        await executor.until("go on without this executor")
        assert await executor.ended() == 0
    assert site.slurm.jobs(processid) == ["RUNNING"]
    async with site.execute() as executor:
        await executor.until("ready:")
        site.go.touch()
        await site.ended_once(processid)
        assert (await site.world.log(processid)).count("up\n") == 1


async def test_a_killed_executor_leaves_its_running_job_to_its_next_life(site: Site) -> None:
    async with site.execute() as executor:
        await executor.until("ready:")
        processid = await site.counted()
        await site.world.until_logged(processid, "up")
        await kill(executor)
    async with site.execute() as executor:
        await executor.until("ready:")
        assert site.slurm.jobs(processid) == ["RUNNING"]
        site.go.touch()
        await site.ended_once(processid)


@pytest.mark.slow  # a job that may be there is waited for
async def test_an_executor_killed_before_its_submission_submits_in_its_next_life(site: Site) -> None:
    path = site.programs(sbatch=f"[ $1 = --version ] || {{ touch {site.folder}/asked; exec sleep 60; }}")
    async with site.execute(PATH=path) as executor:
        await executor.until("ready:")
        processid = await site.counted()
        await exists(site.folder / "asked")
        await kill(executor)
    site.go.touch()
    async with site.execute():
        await site.ended_once(processid)
    assert site.slurm.jobs(processid) == ["COMPLETED"]


async def test_a_job_that_ended_while_the_executor_was_away_is_reported(site: Site) -> None:
    async with site.execute() as executor:
        await executor.until("ready:")
        processid = await site.counted()
        await site.world.until_logged(processid, "up")
        await kill(executor)
    site.go.touch()
    await site.until_state(processid, "COMPLETED")
    async with site.execute():
        await site.ended_once(processid)


async def test_a_killed_executor_finds_the_job_whose_number_it_had_not_heard(site: Site) -> None:
    real = shutil.which("sbatch")
    submit = f'[ $1 = --version ] || {{ {real} "$@" >/dev/null; touch {site.folder}/submitted; exec sleep 60; }}'
    path = site.programs(sbatch=submit)
    async with site.execute(PATH=path) as executor:
        await executor.until("ready:")
        processid = await site.counted()
        await exists(site.folder / "submitted")
        await kill(executor)
    async with site.execute():
        await site.world.until_logged(processid, "up")
        site.go.touch()
        await site.ended_once(processid)
    assert site.slurm.jobs(processid) == ["COMPLETED"]


async def test_a_pending_job_is_taken_up_by_the_next_life(site: Site) -> None:
    async with site.execute("--slurm-options", "--hold") as executor:
        await executor.until("ready:")
        processid = await site.counted()
        await site.world.until_logged(processid, "PENDING")
        await kill(executor)
    async with site.execute():
        listed = site.slurm.run("squeue", "-h", "-o", "%A %j").splitlines()
        (number,) = (line.split()[0] for line in listed if processid in line)
        site.slurm.run("scontrol", "release", number)
        await site.world.until_logged(processid, "up")
        site.go.touch()
        await site.ended_once(processid)


async def test_a_cancel_is_carried_out_by_the_next_life(site: Site) -> None:
    async with site.execute(PATH=site.programs(scancel=f"touch {site.folder}/asked; exit 1")) as executor:
        await executor.until("ready:")
        processid = await site.counted()
        await site.world.until_logged(processid, "up")
        await site.world.user.call("cancelprocessmsg", processid=processid)
        await exists(site.folder / "asked")
        await kill(executor)
    assert site.slurm.jobs(processid) == ["RUNNING"]
    async with site.execute():
        await site.until_state(processid, "CANCELLED")
        await vanishes(site.world.data / "work" / processid)
    assert (await site.world.until(processid, CANCELLED))["errors"] in ([], None)


@pytest.mark.slow  # sbatch and squeue take their time before they give a controller up
async def test_work_goes_on_while_the_controller_is_down(site: Site) -> None:
    async with site.execute() as executor:
        await executor.until("ready:")
        processid = await site.counted()
        await site.world.until_logged(processid, "up")
        site.slurm.stop_controller()
        await executor.until("Slurm does not answer")
        later = await site.submit("echo later")
        await site.world.until_logged(later, "Slurm takes no job now")
        site.slurm.start_controller()
        await executor.until("Slurm answers again")
        site.go.touch()
        await site.ended_once(processid)
        assert (await site.world.until(later, SUCCESS))["out"] == ["later"]


async def test_slurm_and_shell_do_not_go_together(site: Site) -> None:
    async with site.execute("--shell") as executor:
        assert await executor.ended() != 0
        assert "use two executors" in "".join(executor.lines)
