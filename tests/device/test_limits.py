"""Programs that want too much: what ends them, what their users read, and that nothing of them stays.

Much is tried behind fences, where this machine allows control groups, and without, where the guardian looks itself.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from colonies_node.device import fence
from colonies_node.device.runners.shell import ShellRunner
from colonies_node.device.supervised import NO_LIMITS, Ended, Limits, Program
from colonies_node.device.work import Work
from tests.device.colony import EXECUTOR_ID, SUCCESS, Colony
from tests.device.shop import live, registration, supervisor, workshop
from tests.device.test_supervised import ENV, ended, fifo, gone, read

MIB = 1 << 20
GROUPS = fence.hierarchies()
FENCES = [pytest.param((), id="watched"), pytest.param(GROUPS, id="fenced")]

needs_groups = pytest.mark.skipif(not GROUPS, reason="this machine lets nobody make control groups")


async def run(tmp_path: Path, groups: Sequence[Path], limits: Limits, *argv: str, **spec: Any) -> dict[str, Any]:
    """Run one program under limits; the process as the server has it then."""
    colony = Colony()
    await registration(colony).join()
    processid = colony.submit("p", argv[0], *argv[1:], **spec)
    shop = replace(workshop(colony, tmp_path, [ShellRunner(supervisor(groups))]), limits=limits, say=lambda words: None)
    with trio.fail_after(60):
        await live(Work(shop, colony.give_to(processid, EXECUTOR_ID)))
    assert await shop.delivery.deliver_waiting()
    return colony.processes[processid]


HOG = "held = []\nwhile True: held.append(bytearray(b'x' * (8 << 20)))"


@pytest.mark.parametrize("groups", FENCES)
async def test_a_memory_hog_is_ended_and_told_its_limit(tmp_path: Path, groups: Sequence[Path]) -> None:
    process = await run(tmp_path, groups, Limits(memory=100 * MIB), sys.executable, "-c", HOG)
    assert process["errors"] == [f"{sys.executable} was ended: it used more than its limit of 100Mi of memory."]


@pytest.mark.parametrize("groups", FENCES)
async def test_the_memory_of_all_that_a_program_starts_counts(tmp_path: Path, groups: Sequence[Path]) -> None:
    one = f"{sys.executable} -c 'held = bytearray(b\"x\" * (40 << 20)); input()' <{tmp_path}/wait"
    os.mkfifo(tmp_path / "wait")
    script = f"{one} & {one} & {one} & exec 9>{tmp_path}/wait; wait"
    process = await run(tmp_path, groups, Limits(memory=100 * MIB), "sh", "-c", script)
    assert process["errors"] == ["sh was ended: it used more than its limit of 100Mi of memory."]


@pytest.mark.parametrize("groups", FENCES)
async def test_a_spec_that_asks_for_less_memory_gets_less(tmp_path: Path, groups: Sequence[Path]) -> None:
    conditions = {"mem": "60Mi"}
    limits = Limits(memory=1 << 40)
    process = await run(tmp_path, groups, limits, sys.executable, "-c", HOG, conditions=conditions)
    assert process["errors"] == [f"{sys.executable} was ended: it used more than its limit of 60Mi of memory."]


@pytest.mark.parametrize("groups", FENCES)
async def test_a_fork_bomb_is_contained_and_nothing_of_it_stays(tmp_path: Path, groups: Sequence[Path]) -> None:
    bomb = f"exec 9>{tmp_path}/held; echo up; b() {{ b | b & b; }}; b"
    tool = supervisor(groups)
    with fifo(tmp_path) as (_, reader), trio.fail_after(60):
        program = Program(["sh", "-c", bomb], ENV, Path("/"), Limits(processes=200))
        async with await tool.start(program) as running:
            assert (await running.stdout.receive_some())[:3] == b"up\n"
            async with await tool.start(Program(["echo", "well"], ENV, Path("/"))) as other:
                assert await ended(other) == Ended(code=0)
                assert await read(other.stdout) == b"well\n"
            await running.kill()
            await running.wait()
        assert await gone(reader)
    assert leftover(groups, tool.prefix) == []


def leftover(groups: Sequence[Path], prefix: str) -> list[Path]:
    return [path for group in groups for path in group.glob(f"{prefix}{os.getpid()}-*")]


async def test_too_many_processes_are_named(tmp_path: Path) -> None:
    script = "while :; do tail -f /dev/null & done"
    process = await run(tmp_path, (), Limits(processes=50), "sh", "-c", script)
    assert process["errors"] == ["sh was ended: it used more than its limit of 50 processes."]


async def test_processor_time_is_limited_for_good(tmp_path: Path) -> None:
    script = "ulimit -t 100 2>/dev/null; while :; do :; done"
    process = await run(tmp_path, (), Limits(cpu=1), "sh", "-c", script)
    assert process["errors"] == ["sh was ended: it used more than its limit of 1 s of processor time."]


async def test_open_files_are_limited_and_the_limit_cannot_be_raised(tmp_path: Path) -> None:
    script = "ulimit -n; ulimit -Hn; ulimit -n 900 2>/dev/null || echo no"
    process = await run(tmp_path, (), Limits(files=50), "bash", "-c", f"sleep 0.2; {script}")
    assert process["out"] == ["50\n50\nno"]


async def test_a_flood_on_standard_output_ends(tmp_path: Path) -> None:
    process = await run(tmp_path, (), Limits(output=10 * MIB), "yes")
    assert process["errors"] == ["yes was ended: it used more than its limit of 10Mi of output."]


async def test_what_stays_within_its_limits_is_not_touched(tmp_path: Path) -> None:
    limits = Limits(memory=1 << 30, processes=50, cpu=60, files=100, output=MIB)
    process = await run(tmp_path, GROUPS, limits, "sh", "-c", "sh -c 'echo fine' | cat")
    assert (process["state"], process["out"]) == (SUCCESS, ["fine"])


async def test_the_kernel_ends_a_program_before_its_executor_when_memory_runs_out() -> None:
    async with await supervisor().start(Program(["cat", "/proc/self/oom_score_adj"], ENV, Path("/"))) as running:
        await ended(running)
        ours = await trio.Path("/proc/self/oom_score_adj").read_text()
        assert int(await read(running.stdout)) == fence.OOM_SCORE > int(ours)


async def test_a_guardian_takes_one_program_after_the_other_and_keeps_nothing_of_them() -> None:
    tool, seen = supervisor(GROUPS), set()
    for limits in (Limits(files=60, cpu=5), NO_LIMITS, Limits(memory=64 * MIB)):
        async with await tool.start(Program(["sh", "-c", "echo $PPID; ulimit -n"], ENV, Path("/"), limits)) as running:
            assert await ended(running) == Ended(code=0)
            guardian, files = (await read(running.stdout)).split()
        seen.add(guardian)
        assert (files == b"60") == bool(limits.files)
    assert len(seen) == 1


@needs_groups
async def test_what_a_killed_guardian_left_behind_its_fence_is_found_by_the_next_life(tmp_path: Path) -> None:
    """Even what has cleared its environment and left its session."""
    tool = supervisor(GROUPS, "colonies-test-")
    with fifo(tmp_path) as (path, reader):
        script = f"exec env -i /usr/bin/setsid sh -c 'exec 9>{path}; echo up; exec tail -f /dev/null'"
        async with await tool.start(Program(["sh", "-c", f"echo $PPID; ({script})& wait"], ENV, Path("/"))) as running:
            guardian = int(await running.stdout.receive_some())
            assert await running.stdout.receive_some() == b"up\n"
            os.kill(guardian, signal.SIGKILL)
            await ended(running)
        assert leftover(GROUPS, tool.prefix)
        fence.sweep(GROUPS, tool.prefix)
        assert await gone(reader)
    assert leftover(GROUPS, tool.prefix) == []


def test_a_machine_with_delegated_groups_makes_a_leaf_for_the_executor(tmp_path: Path) -> None:
    """As systemd lays it out for a unit with Delegate=yes."""
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text("0::/system.slice/colonies.service\n")
    group = tmp_path / "sys/fs/cgroup/system.slice/colonies.service"
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text("7\n")
    (group / "cgroup.subtree_control").write_text("")
    (group / "executor").mkdir()
    (group / "executor" / "cgroup.procs").write_text("")
    assert fence.hierarchies(tmp_path, 7) == [group]
    assert (group / "executor" / "cgroup.procs").read_text() == "7"
    assert (group / "cgroup.subtree_control").read_text() == "+cpu"  # the last that was asked for


@pytest.mark.parametrize("line", ["0::/", "0::/user.slice/session.scope", "", "nonsense", "4:memory:/x"])
def test_groups_that_are_not_ours_are_left_alone(tmp_path: Path, line: str) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text(f"{line}\n")
    group = tmp_path / "sys/fs/cgroup/user.slice/session.scope"
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text("7\n8\n")
    assert fence.hierarchies(tmp_path, 7) == []


async def test_a_program_that_ignores_being_asked_is_ended_all_the_same(tmp_path: Path) -> None:
    script = "trap '' TERM; echo up; while :; do :; done"
    async with await supervisor(GROUPS).start(Program(["sh", "-c", script], ENV, Path("/"))) as running:
        assert await running.stdout.receive_some() == b"up\n"
        await running.terminate()
        await running.kill()
        assert await ended(running) == Ended(signal=signal.SIGKILL)


async def test_a_killed_supervisor_is_replaced(tmp_path: Path) -> None:
    tool = supervisor()
    script = "echo up; exec tail -f /dev/null"
    async with await tool.start(Program(["sh", "-c", script], ENV, Path("/"))) as running:
        assert await running.stdout.receive_some() == b"up\n"
        assert tool._process is not None
        tool._process.kill()
        await tool._process.wait()
        async with await tool.start(Program(["echo", "well"], ENV, Path("/"))) as other:
            assert await ended(other) == Ended(code=0)
        await running.kill()
        assert await ended(running) == Ended(signal=signal.SIGKILL)


V2 = Path("/sys/fs/cgroup/unified") if Path("/sys/fs/cgroup/unified").exists() else Path("/sys/fs/cgroup")
DELEGATED = """
import sys, trio
from pathlib import Path
from colonies_node.device import fence
from colonies_node.device.supervised import Limits, Program, Supervisor

async def main():
    groups, script = fence.hierarchies(), "grep ^0:: /proc/self/cgroup; (env -i setsid sh -c 'exec 9>$0; echo up; " \
        "exec tail -f /dev/null' " + sys.argv[1] + ")& wait"
    async with Supervisor(groups, "colonies-test-") as tool:
        program = Program(["sh", "-c", script], {"PATH": "/usr/bin:/bin"}, Path("/"), Limits(processes=50))
        async with await tool.start(program) as running:
            said = b""
            while b"up" not in said:
                said += await running.stdout.receive_some()
            await running.kill()
            ended = await running.wait()
    left = [path.name for path in groups[0].glob("colonies-test-*")]
    home = Path("/proc/self/cgroup").read_text().split("0::")[1].split()[0]
    print(home, said.split()[0].decode(), ended.signal, left)

trio.run(main)
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not (V2 / "cgroup.procs").exists(), reason="only root can hand out a group of version 2"
)
async def test_a_group_of_version_2_that_was_handed_to_the_executor_fences_its_programs(tmp_path: Path) -> None:
    """The real kernel, laid out as systemd does it for a unit with Delegate=yes."""
    name, source = f"colonies-test-{os.getpid()}", tmp_path / "delegated.py"
    source.write_text(DELEGATED)
    hand_over = f"mount --bind {V2} /sys/fs/cgroup && mkdir -p /sys/fs/cgroup/{name} && export PYTHONPATH={Path.cwd()}"
    join = f"echo $$ >/sys/fs/cgroup/{name}/cgroup.procs"
    with fifo(tmp_path) as (path, reader):
        try:
            done = await trio.run_process(
                ["unshare", "-m", "sh", "-c", f"{hand_over} && {join} && exec {sys.executable} $0 {path}", str(source)],
                capture_stdout=True,
            )
            assert await gone(reader)
        finally:
            for folder in (V2 / name / "executor", V2 / name):
                if folder.exists():
                    folder.rmdir()
    home, inside, number, left = done.stdout.decode().split(" ", 3)
    assert home == f"/{name}/executor"
    assert inside.startswith(f"0::/{name}/colonies-test-")
    assert (number, left) == ("9", "[]\n")
