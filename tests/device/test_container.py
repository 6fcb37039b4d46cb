"""Command lines in containers: with a real podman, and with programs that stand in for the engines we have not."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from colonies_node.core.errors import SettingRefused
from colonies_node.device.runners import Errand, NotRun
from colonies_node.device.runners.container import ContainerRunner
from colonies_node.device.runners.engines import Engine, NoAnswer, ask, find
from colonies_node.device.runners.shell import ShellRunner
from colonies_node.device.supervised import NO_LIMITS, Limits, Program
from colonies_node.device.work import GRACE_S, Why, Work
from tests.device.colony import EXECUTOR_ID, FAILED, Colony
from tests.device.engine import IMAGE, Podman, docker, fake, podman
from tests.device.shop import live, registration, supervisor, workshop

HELLO: dict[str, Any] = {"cmd": "echo hello", "docker-image": IMAGE}


@pytest.fixture(scope="module")
def engine() -> Iterator[Podman]:
    with podman() as found:
        yield found


async def runner(env: Mapping[str, str], wanted: str = "podman", network: str = "asked") -> ContainerRunner:
    found = await find(wanted, env, lambda words: None)
    return ContainerRunner(found, EXECUTOR_ID, supervisor(), env, network)


class Trial:
    """One process on its way through an executor that runs containers."""

    def __init__(self, tmp_path: Path, way: Any, env: Mapping[str, str], limits: Limits, spec: dict[str, Any]) -> None:
        self.colony, self._path, self._way, self._env = Colony(), tmp_path, way, env
        self._limits, self._spec = limits, spec

    async def begin(self) -> Work:
        await registration(self.colony).join()
        processid = self.colony.submit("p", "execute", **self._spec)
        self.shop = workshop(self.colony, self._path, [self._way], ["execute"])
        self.shop.env, self.shop.limits = dict(self._env), self._limits
        return Work(self.shop, self.colony.give_to(processid, EXECUTOR_ID))

    async def end(self, work: Work) -> dict[str, Any]:
        with trio.fail_after(60):
            await live(work)
        return await self.end_of(work)

    async def end_of(self, work: Work) -> dict[str, Any]:
        await self.shop.delivery.deliver_waiting()
        return {**self.colony.processes[work.processid], "log": self.colony.log_of(work.processid)}


async def run(
    tmp_path: Path, engine: Podman, line: str, *, limits: Limits = NO_LIMITS, network: str = "asked", **more: Any
) -> dict[str, Any]:
    """Run one line in a container to its end; the process as the server has it then."""
    spec = {name: more.pop(name) for name in ("env", "fs", "conditions", "maxexectime") if name in more}
    kwargs = {
        "cmd": line,
        "docker-image": IMAGE,
        **{name.rstrip("_").replace("_", "-"): value for name, value in more.items()},
    }
    trial = Trial(tmp_path, await runner(engine.env, network=network), engine.env, limits, {**spec, "kwargs": kwargs})
    process = await trial.end(await trial.begin())
    assert engine.containers() == []
    return process


# -- what a line finds in its container ------------------------------------------------------------------------------


async def test_the_published_hello_world_runs(tmp_path: Path, engine: Podman) -> None:
    process = await run(tmp_path, engine, "echo", args=["hello", "'big  world'", 5], rebuild_image=False)
    assert (process["out"], process["log"]) == (["hello big  world 5"], "hello big  world 5\n")


async def test_what_is_to_be_done_first_is_done_first_and_knows_its_process(tmp_path: Path, engine: Podman) -> None:
    process = await run(
        tmp_path, engine, "cat", args=["/tmp/{processid}"], init_cmd="echo {processid} >/tmp/{processid};"
    )
    assert process["out"] == [process["processid"]]


async def test_a_container_has_the_variables_of_its_process_and_none_of_the_executors(
    tmp_path: Path, engine: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"WORD": "it's\ntwo lines", "LD_PRELOAD": "/cfs/x.so", "COLONIES_PROCESS_ID": "somebody else"}
    process = await run(tmp_path, engine, 'printf "%s\\n" "$WORD" $COLONIES_PROCESS_ID $PYTHONUNBUFFERED; env', env=env)
    lines = process["out"][0].splitlines()
    assert lines[:4] == ["it's", "two lines", process["processid"], "1"]
    assert "LD_PRELOAD=/cfs/x.so" in lines
    assert not any(line.startswith(("CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF")) for line in lines)


async def test_the_values_of_variables_show_in_no_process_list(tmp_path: Path, engine: Podman) -> None:
    spec = {"env": {"PASSWORD": "swordfish-4711"}, "kwargs": {**HELLO, "cmd": "echo up; tail -f /dev/null"}}
    trial = Trial(tmp_path, await runner(engine.env), engine.env, NO_LIMITS, spec)
    work = await trial.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trial.end, work)
        await trial.colony.until_logged(work.processid, "up")
        listed = command_lines()
        assert work.processid.encode() in listed
        assert b"swordfish" not in listed
        work.end(Why.STOPPING, at_once=True)


def command_lines() -> bytes:
    return b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())


async def test_only_its_files_and_tmp_can_be_written(tmp_path: Path, engine: Podman) -> None:
    process = await run(tmp_path, engine, "touch /tmp/a /cfs/b && pwd && ls /cfs && touch /c")
    assert process["state"] == FAILED
    assert process["errors"] == ["execute exited with status 1: touch: /c: Read-only file system"]
    assert {"/cfs", "b"} < set(process["log"].splitlines())


async def test_its_files_are_those_of_the_process_and_are_where_the_spec_wants_them(
    tmp_path: Path, engine: Podman
) -> None:
    way, env = await runner(engine.env), engine.env
    trial = Trial(
        tmp_path,
        way,
        env,
        NO_LIMITS,
        {"fs": {"mount": "/some/where"}, "kwargs": {**HELLO, "cmd": "pwd; cat in; echo there >out"}},
    )
    work = await trial.begin()
    trial.shop.desks.set_up(work.processid)
    files = trial.shop.desks.files(work.processid)
    (files / "in").write_text("here")
    work.adopted = True  # its folder is there
    await live(work)
    assert (files / "out").read_text() == "there\n"
    assert (await trial.end_of(work))["out"] == ["/some/where\nhere"]


async def test_a_spec_that_wants_files_synchronised_is_told_that_they_are_not(tmp_path: Path, engine: Podman) -> None:
    process = await run(tmp_path, engine, "echo", fs={"mount": "/cfs", "dirs": [{"label": "/src"}]})
    assert process["log"].startswith("This executor does not synchronise files")


async def test_a_container_has_no_network_and_no_privileges(tmp_path: Path, engine: Podman) -> None:
    process = await run(
        tmp_path, engine, "ls /sys/class/net; grep -E 'CapEff|NoNewPrivs' /proc/self/status || cat /proc/self/status"
    )
    lines = process["out"][0].splitlines()
    assert lines[0] == "lo"
    assert "CapEff:\t0000000000000000" in lines and "NoNewPrivs:\t1" in lines
    assert not any("eth0" in line for line in lines)


@pytest.fixture
def bridge() -> Iterator[None]:
    """The bridge that podman makes goes again, if it was not there before."""
    made = Path("/sys/class/net/cni-podman0")
    there = made.exists()
    yield
    if made.exists() and not there:
        subprocess.run(["ip", "link", "delete", made.name], check=True)


async def test_a_network_is_for_those_who_ask(tmp_path: Path, engine: Podman, bridge: None) -> None:
    process = await run(tmp_path, engine, "ls /sys/class/net | wc -l", network_="yes")
    assert int(process["out"][0]) > 1


async def test_an_executor_may_give_no_network_at_all(tmp_path: Path, engine: Podman) -> None:
    way = await runner(engine.env, network="never")
    trial = Trial(tmp_path, way, engine.env, NO_LIMITS, {"kwargs": {**HELLO, "network": True}})
    assert (await trial.end(await trial.begin()))["errors"] == ["This executor gives no container a network."]


# -- limits ----------------------------------------------------------------------------------------------------------


async def test_more_memory_than_its_limit_ends_it(tmp_path: Path, engine: Podman) -> None:
    process = await run(tmp_path, engine, "tail /dev/zero", conditions={"mem": "32Mi"})
    assert process["errors"] == [
        "execute was killed by SIGKILL: most likely it used more than its limit of 32Mi of memory."
    ]


async def test_a_fork_bomb_stays_in_its_container(tmp_path: Path, engine: Podman) -> None:
    process = await run(tmp_path, engine, "f() { f | f; }; f", limits=Limits(processes=30))
    assert process["state"] == FAILED
    assert "can't fork" in process["errors"][0]


async def test_limits_of_processor_time_and_open_files_hold(tmp_path: Path, engine: Podman) -> None:
    process = await run(tmp_path, engine, "while :; do :; done", limits=Limits(cpu=1))
    assert process["errors"] == ["execute was ended: it used more than its limit of 1 s of processor time."]
    process = await run(tmp_path / "b", engine, "ulimit -n", limits=Limits(files=77))
    assert process["out"] == ["77"]


async def test_a_share_of_the_processor_is_given_to_the_engine(tmp_path: Path, engine: Podman) -> None:
    program = (await runner(engine.env)).prepare(errand(tmp_path, conditions={"cpu": "1500m"}))
    assert program.argv[program.argv.index("--cpus") + 1] == "1.5"
    assert program.limits == NO_LIMITS  # the engine's own program is not limited


# -- how it ends -----------------------------------------------------------------------------------------------------


async def test_an_image_that_cannot_be_had_fails_with_the_words_of_the_engine(tmp_path: Path, engine: Podman) -> None:
    process = await run(tmp_path, engine, "echo", docker_image="localhost:1/no/such:1")
    (error,) = process["errors"]
    assert error.startswith("podman could not run the container: ") and "connection refused" in error
    assert process["log"].startswith("Trying to pull localhost:1/no/such:1...")


async def test_an_exit_status_of_the_line_is_not_taken_for_the_engines(tmp_path: Path, engine: Podman) -> None:
    process = await run(tmp_path, engine, "echo broken >&2; exit 125")
    assert process["errors"] == ["execute exited with status 125: broken"]
    process = await run(tmp_path / "b", engine, "no-such-program")
    assert process["errors"] == ["execute exited with status 127: sh: no-such-program: not found"]


async def test_a_deadline_removes_the_container_of_a_line_that_ignores_being_asked(
    tmp_path: Path, engine: Podman
) -> None:
    process = await run(tmp_path, engine, "trap '' TERM; while :; do sleep 1; done", maxexectime=1)
    assert process["state"] == 1  # it is for the server to say what follows
    assert process["out"] == []


async def test_a_line_is_asked_to_end_and_has_time_for_it(tmp_path: Path, engine: Podman) -> None:
    spec = {"kwargs": {**HELLO, "cmd": "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.1; done"}}
    trial = Trial(tmp_path, await runner(engine.env), engine.env, NO_LIMITS, spec)
    work = await trial.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trial.end, work)
        await trial.colony.until_logged(work.processid, "up")
        began = trio.current_time()
        work.end(Why.STOPPING)
    assert trio.current_time() - began < GRACE_S
    assert "bye" in trial.colony.log_of(work.processid).splitlines()


async def test_a_cancel_removes_the_container(tmp_path: Path, engine: Podman) -> None:
    spec = {"kwargs": {**HELLO, "cmd": "echo up; exec tail -f /dev/null"}}
    trial = Trial(tmp_path, await runner(engine.env), engine.env, NO_LIMITS, spec)
    work = await trial.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trial.end, work)
        await trial.colony.until_logged(work.processid, "up")
        assert engine.containers() == [f"colonies-{EXECUTOR_ID[:16]}-{work.processid}"]
        work.end(Why.LOST)
    assert engine.containers() == []


async def test_a_pull_that_gets_no_answer_can_be_ended(tmp_path: Path, engine: Podman) -> None:
    silent = trio.socket.socket()
    await silent.bind(("127.0.0.1", 0))
    silent.listen()
    image = f"localhost:{silent.getsockname()[1]}/x/y:1"
    trial = Trial(
        tmp_path, await runner(engine.env), engine.env, NO_LIMITS, {"kwargs": {**HELLO, "docker-image": image}}
    )
    work = await trial.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trial.end, work)
        asking, _ = await silent.accept()
        work.end(Why.LOST)
    with asking, silent:
        assert engine.containers() == []


async def test_a_killed_guardian_leaves_no_container_behind(tmp_path: Path, engine: Podman) -> None:
    trial = Trial(
        tmp_path,
        await runner(engine.env),
        engine.env,
        NO_LIMITS,
        {"kwargs": {**HELLO, "cmd": "echo up; tail -f /dev/null"}},
    )
    work = await trial.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trial.end, work)
        await trial.colony.until_logged(work.processid, "up")
        os.kill(guardian_of(work.processid), signal.SIGKILL)
    assert trial.colony.processes[work.processid]["errors"] == ["execute could not be run: its supervisor was killed."]
    assert engine.containers() == []


def guardian_of(processid: str) -> int:
    """The parent of the engine's program."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().split(b"\0")
        if words[1:2] == [b"run"] and any(word.endswith(processid.encode()) for word in words):
            return int(path.with_name("stat").read_text().rpartition(")")[2].split()[1])
    raise AssertionError("it does not run")


async def test_the_next_start_removes_what_an_earlier_one_left_and_nothing_else(engine: Podman) -> None:
    for name, owner in (("mine", EXECUTOR_ID), ("other", "f" * 64)):
        engine(
            "run",
            "--detach",
            "--name",
            name,
            "--label",
            f"colonies.executor={owner}",
            "--network",
            "none",
            IMAGE,
            "tail",
            "-f",
            "/dev/null",
        )
    try:
        await (await runner(engine.env)).settle()
        assert engine.containers() == ["other"]
    finally:
        engine("rm", "--force", "--time", "0", "other")


# -- what is refused -------------------------------------------------------------------------------------------------


def errand(tmp_path: Path, gpus: tuple[int, ...] = (), limits: Limits = NO_LIMITS, **spec: Any) -> Errand:
    (tmp_path / "files").mkdir(exist_ok=True, parents=True)
    spec = {"funcname": "execute", "kwargs": HELLO, **spec}
    return Errand("a" * 64, spec, tmp_path, {"COLONIES_PROCESS_ID": "a" * 64}, spec.get("env", {}), limits, gpus)


@pytest.fixture
async def podman_runner(tmp_path: Path) -> ContainerRunner:
    return await runner(fake(tmp_path / "bin", "podman", "echo '4.3.1 true v2 [cpu memory pids]'"))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"kwargs": {"cmd": "true"}}, "The function spec names no docker-image in its kwargs"),
        ({"kwargs": {"docker-image": IMAGE}}, "execute needs a command line: give cmd in kwargs."),
        ({"kwargs": {**HELLO, "docker-image": "--privileged"}}, "is no name of an image."),
        ({"kwargs": {**HELLO, "docker-image": "docker-archive:/etc/x.tar"}}, "is no name of an image in a registry."),
        ({"kwargs": {**HELLO, "docker-image": "/root/x"}}, "is no name of an image in a registry."),
        ({"kwargs": {**HELLO, "docker-image": 5}}, "In the kwargs of execute, docker-image is not a text."),
        (
            {"kwargs": {**HELLO, "priviledged": True, "x": 1}},
            "does not know these kwargs: priviledged, x. It takes: cmd,",
        ),
        ({"kwargs": {**HELLO, "args": "a b"}}, "In the kwargs of execute, args is not a list."),
        ({"kwargs": {**HELLO, "args": [{}]}}, "args holds something that is neither a text nor a number."),
        ({"kwargs": {**HELLO, "network": "perhaps"}}, "network is neither true nor false."),
        ({"kwargs": {**HELLO, "cmd": "a\0b"}}, "A command line cannot hold a NUL character."),
        ({"kwargs": {**HELLO, "cmd": "x" * 200_000}}, "has 200000 bytes; a shell takes at most 131071."),
        ({"args": ["a"]}, "not from the args of the function spec."),
        ({"fs": {"mount": "/"}}, "cannot be mounted at fs.mount '/'."),
        ({"fs": {"mount": "/a:/b"}}, "cannot be mounted at fs.mount '/a:/b'."),
        ({"fs": {"mount": "/a/../b"}}, "cannot be mounted at fs.mount"),
        ({"env": {"A-B": "x"}}, "has a name that no shell takes as a variable: 'A-B'."),
        ({"env": {"A": "\ud800"}}, "holds what is no text."),
    ],
)
async def test_what_cannot_be_run_is_refused_with_a_sentence(
    tmp_path: Path, podman_runner: ContainerRunner, spec: dict[str, Any], words: str
) -> None:
    with pytest.raises(NotRun) as refused:
        podman_runner.prepare(errand(tmp_path, **spec))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "image",
    ["python:3", "a/b_c/d-e.f", "localhost:5000/x@sha256:" + "0" * 64, "docker://python:3", "GHCR.io/a/b:v1.0-x"],
)
async def test_names_of_images_in_registries_are_taken(
    tmp_path: Path, podman_runner: ContainerRunner, image: str
) -> None:
    program = podman_runner.prepare(errand(tmp_path, kwargs={**HELLO, "docker-image": image}))
    assert image.removeprefix("docker://") in program.argv


async def test_without_a_container_engine_an_image_is_refused_and_a_line_runs_as_it_is(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"]}
    for number, kwargs in enumerate((HELLO, {"cmd": "echo", "args": ["a", "{processid}"]})):
        trial = Trial(tmp_path / str(number), ShellRunner(supervisor()), env, NO_LIMITS, {"kwargs": kwargs})
        process = await trial.end(await trial.begin())
        if number:
            assert process["out"] == [f"a {process['processid']}"]
        else:
            assert "--container" in process["errors"][0]


async def test_the_docker_program_runs_limits_and_removes_containers(tmp_path: Path, engine: Podman) -> None:
    with docker(engine) as env:
        way = await runner(env, "docker")
        for number, (cmd, errors) in enumerate(
            [
                (
                    "ls /sys/class/net; touch /cfs/x && touch /y",
                    "execute exited with status 1: touch: /y: Read-only file",
                ),
                ("tail /dev/zero", "execute was killed by SIGKILL: most likely it used more than its limit of 32Mi"),
            ]
        ):
            spec = {"kwargs": {**HELLO, "cmd": cmd}}
            trial = Trial(tmp_path / str(number), way, env, Limits(memory=32 << 20), spec)
            assert (await trial.end(await trial.begin()))["errors"][0].startswith(errors)
            assert engine.containers() == []


# -- engines that we have not ----------------------------------------------------------------------------------------


async def test_an_engine_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    for wanted, names in (("docker", "docker"), ("auto", "podman, docker, apptainer")):
        with pytest.raises(SettingRefused, match=f"no program to run containers with: {names}."):
            await find(wanted, {"PATH": str(tmp_path)}, lambda words: None)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Cannot connect to the daemon' >&2; exit 1", "docker cannot be used: Cannot connect to the daemon."),
        ("exit 3", "docker cannot be used: it exited with status 3."),
        ("echo nonsense", "docker does not tell its version."),
        ("kill -9 $$", "docker cannot be used: it exited with status -9."),
    ],
)
async def test_an_engine_that_gives_no_sense_is_refused_at_the_start(tmp_path: Path, script: str, words: str) -> None:
    with pytest.raises(SettingRefused) as refused:
        await find("docker", fake(tmp_path / "bin", "docker", script), lambda said: None)
    assert str(refused.value) == words


async def test_an_engine_that_hangs_is_given_up(tmp_path: Path) -> None:
    env = fake(tmp_path, "docker", "exec tail -f /dev/null")
    with trio.fail_after(10), pytest.raises(NoAnswer, match=r"has not answered within 0\.1 s"):
        await ask([str(tmp_path / "docker"), "info"], env, 0.1)


async def test_an_engine_that_leaves_old_containers_is_refused_at_the_start(tmp_path: Path) -> None:
    script = "case $1 in info) echo 4.3.1 false v1;; ps) echo c1 c2;; *) echo 'database locked' >&2; exit 1;; esac"
    with pytest.raises(SettingRefused, match=r"could not be removed\. podman cannot be used: database locked"):
        await (await runner(fake(tmp_path, "podman", script))).settle()


async def test_auto_takes_the_first_engine_that_answers(tmp_path: Path) -> None:
    fake(tmp_path, "podman", "exit 1")
    env = fake(tmp_path, "docker", "echo '28.2.2 [name=rootless]'")
    said: list[str] = []
    found = await find("auto", env, said.append)
    assert (found.name, found.version, found.user, said) == (
        "docker", "28.2.2", "0:0", ["Containers are run by docker 28.2.2."],
    )  # fmt: skip


async def test_what_an_engine_cannot_limit_is_said_and_left_out(tmp_path: Path) -> None:
    env, said = fake(tmp_path / "bin", "podman", "echo '4.3.1 true v1 [cpu memory pids]'"), list[str]()
    found = await find("podman", env, said.append)
    assert said[1] == "podman cannot limit this here: cpu, memory, pids."
    way = ContainerRunner(found, EXECUTOR_ID, supervisor(), env)
    program = way.prepare(errand(tmp_path, limits=Limits(memory=1, processes=1), conditions={"cpu": "1"}))
    assert not {"--memory", "--pids-limit", "--cpus"} & set(program.argv)


ANSWERS = {
    "podman": "echo '4.3.1 false v2 [cpu memory pids]'",
    "docker": "echo '28.2.2 []'",
    "apptainer": "echo 'apptainer version 1.2.5'",
}


async def prepared(tmp_path: Path, name: str, gpus: tuple[int, ...] = (), **kwargs: Any) -> Program:
    way = await runner(fake(tmp_path / "bin", name, ANSWERS[name]), name)
    return way.prepare(errand(tmp_path, gpus, Limits(memory=1 << 30), kwargs={**HELLO, **kwargs}))


async def test_docker_runs_as_the_executors_user_and_is_asked_to_remove_what_its_program_leaves(tmp_path: Path) -> None:
    program = await prepared(tmp_path, "docker", network=True)
    words = " ".join(program.argv)
    for flag in (
        f"--user {os.getuid()}:{os.getgid()}", "--network bridge", "--memory 1073741824", "--read-only",
        "--cap-drop ALL", f"--label colonies.executor={EXECUTOR_ID}", f"--volume {tmp_path}/files:/cfs:rw,Z",
    ):  # fmt: skip
        assert flag in words
    name = program.argv[program.argv.index("--name") + 1]
    assert program.cleanup == [str(tmp_path / "bin/docker"), "rm", "--force", "--volumes", name]


async def test_apptainer_is_limited_as_a_program_and_needs_no_clearing_up(tmp_path: Path) -> None:
    program = await prepared(tmp_path, "apptainer")
    bound = (f"{tmp_path}/files:/cfs", f"{tmp_path}/environment:/run/colonies-environment:ro")
    assert program.argv == [
        *(str(tmp_path / "bin/apptainer"), "exec", "--containall", "--cleanenv", "--no-home"),
        *("--net", "--network", "none", "--bind", bound[0], "--bind", bound[1], "--pwd", "/cfs"),
        *(f"docker://{IMAGE}", "sh", "-c", ". /run/colonies-environment; echo hello"),
    ]
    assert (program.limits.memory, program.cleanup) == (1 << 30, [])
    again = await prepared(tmp_path, "apptainer", **{"rebuild-image": "true"}, network=True)
    assert "--disable-cache" in again.argv and "--net" not in again.argv


async def test_gpus_that_are_set_aside_and_no_others_are_given_to_the_container(tmp_path: Path) -> None:
    argv = (await prepared(tmp_path, "podman", (1, 3))).argv
    assert [argv[at + 1] for at, word in enumerate(argv) if word == "--device"] == [
        "nvidia.com/gpu=1",
        "nvidia.com/gpu=3",
    ]
    argv = (await prepared(tmp_path, "docker", (1, 3))).argv
    assert argv[argv.index("--gpus") + 1] == '"device=1,3"'
    assert "--nv" in (await prepared(tmp_path, "apptainer", (1, 3))).argv
    assert "export CUDA_VISIBLE_DEVICES=1,3\n" in (tmp_path / "environment").read_text()
    for name in ANSWERS:
        assert not {"--nv", "--gpus", "--device"} & set((await prepared(tmp_path, name)).argv)


@pytest.mark.parametrize(
    ("name", "code", "errors", "why"),
    [
        (
            "docker",
            125,
            "docker: Error response from daemon: pull access denied.\nRun 'docker run --help'",
            "pull access denied.",
        ),
        ("docker", 127, "sh: foo: not found", None),
        ("docker", 1, "docker: no", None),
        ("podman", 126, 'Error: runc: exec: "sh": not found', 'runc: exec: "sh": not found'),
        ("apptainer", 255, "INFO: x\nFATAL:   Unable to handle docker://x", "Unable to handle docker://x"),
        ("apptainer", 255, "", None),
    ],
)
async def test_the_engines_own_failures_are_told_from_those_of_the_line(
    tmp_path: Path, name: str, code: int, errors: str, why: str | None
) -> None:
    found: Engine = await find(name, fake(tmp_path, name, ANSWERS[name]), lambda words: None)
    assert found.said(code, errors) == why


async def test_a_docker_whose_program_dies_is_still_asked_to_remove_the_container(tmp_path: Path) -> None:
    script = f"case $1 in info) echo '28.2.2 []';; run) kill -9 $$;; rm) touch {tmp_path}/removed;; esac"
    env = fake(tmp_path / "bin", "docker", script)
    trial = Trial(tmp_path / "data", await runner(env, "docker"), env, NO_LIMITS, {"kwargs": HELLO})
    assert (await trial.end(await trial.begin()))["errors"] == ["execute was killed by SIGKILL"]
    assert (tmp_path / "removed").exists()
