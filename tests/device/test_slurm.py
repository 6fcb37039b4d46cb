"""Slurm as it should not be: answers that are late, empty, garbled or wrong, and scripts with any text in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from colonies_node.core.errors import SettingRefused
from colonies_node.device.runners import GIVEN_UP, Errand, NotRun, Written
from colonies_node.device.runners.slurm import SlurmRunner, described, open_slurm
from colonies_node.device.runners.slurm.commands import (
    Answer,
    Node,
    Record,
    Row,
    Slurm,
    program_runner,
    read_account,
    read_job,
    read_jobs,
    read_nodes,
    read_submission,
)
from colonies_node.device.runners.slurm.job import write_plan
from colonies_node.device.runners.slurm.script import Site, mount_of, plan, wish
from colonies_node.device.runners.slurm.tail import Tail
from colonies_node.settings import SETTINGS
from tests.device.colony import process_id

ID = process_id("p")
NAME = f"colonies-{ID}-0123abcd"


def an_errand(folder: Path, said: list[str] | None = None, env: dict[str, str] | None = None, **spec: Any) -> Errand:
    (folder / "files").mkdir(parents=True, exist_ok=True)
    kwargs = spec.pop("kwargs", {"cmd": "true"})
    say = said.append if said is not None else lambda words: None
    identity = {"COLONIES_PROCESS_ID": ID, "PATH": "/nowhere"}
    return Errand(ID, {"funcname": "execute", "kwargs": kwargs, **spec}, folder, identity, env or {}, say=say)


class Fake:
    """Slurm in memory. `jobs` are states by number; whatever is put into `answers` for a program comes first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.answers: dict[str, list[Answer]] = {}
        self.always: dict[str, Answer] = {}
        self.asked: list[Sequence[str]] = []
        self.forgotten = False
        self.after: Callable[[], None] = lambda: None

    def count(self, program: str) -> int:
        return sum(1 for argv in self.asked if argv[0] == program)

    async def run(self, argv: Sequence[str]) -> Answer:
        await trio.lowlevel.checkpoint()
        self.asked.append(argv)
        self.after()
        if waiting := self.answers.get(argv[0]):
            return waiting.pop(0)
        if argv[0] in self.always:
            return self.always[argv[0]]
        answer: Answer = getattr(self, argv[0])(argv)
        return answer

    def sbatch(self, argv: Sequence[str]) -> Answer:
        number = str(len(self.jobs) + 1)
        self.names[number] = next(word for word in argv if word.startswith("--job-name=")).partition("=")[2]
        self.jobs[number] = "PENDING"
        return Answer(0, f"{number}\n")

    def squeue(self, argv: Sequence[str]) -> Answer:
        listed = {} if self.forgotten else self.jobs
        return Answer(0, "".join(f"{n}|{state}|None|{self.names[n]}\n" for n, state in listed.items()))

    def scontrol(self, argv: Sequence[str]) -> Answer:
        if self.forgotten or argv[-1] not in self.jobs:
            return Answer(1, "", "slurm_load_jobs error: Invalid job id specified\n")
        return Answer(0, f"JobId={argv[-1]} JobState={self.jobs[argv[-1]]} Reason=None ExitCode=0:0\n")

    def sacct(self, argv: Sequence[str]) -> Answer:
        return Answer(1, "", "Slurm accounting storage is disabled\n")

    def scancel(self, argv: Sequence[str]) -> Answer:
        self.jobs = dict.fromkeys(self.jobs, "CANCELLED")
        return Answer(0)

    def finish(self, status: int, out: str = "", state: str = "COMPLETED") -> None:
        """The script of the first job ends."""
        slurm = self.folder / "slurm"
        (slurm / "out").write_text(out)
        (slurm / "err").write_text("")
        (slurm / "exit").write_text(f"{status} {len(out)} 0\n")
        self.jobs["1"] = state


@asynccontextmanager
async def following(fake: Fake, said: list[str], *, adopt: bool = False) -> Any:
    """A runner with one job under way; gives a function that waits for what becomes of it."""
    runner = SlurmRunner(Slurm(fake.run), Site(), say=said.append)
    errand = an_errand(fake.folder, said)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner.run)
        job = await runner.start(runner.adopt(errand) if adopt else runner.prepare(errand))

        async def drain(stream: trio.abc.ReceiveStream) -> None:
            async for _ in stream:
                pass

        async def end() -> Any:
            async with job, trio.open_nursery() as readers:
                readers.start_soon(drain, job.stdout)
                readers.start_soon(drain, job.stderr)
                ended = await job.wait()
            if ended is GIVEN_UP:
                return GIVEN_UP
            try:
                return runner.output(errand, ended, Written())
            except NotRun as no:
                return no.message

        end.job = job  # type: ignore[attr-defined]
        yield end
        nursery.cancel_scope.cancel()


@pytest.fixture
def jumping() -> MockClock:
    """A clock that jumps once nothing has happened for a moment: files are looked at in threads."""
    return MockClock(autojump_threshold=0.03)


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path / "desk")


async def test_a_job_that_runs_and_ends(fake: Fake, jumping: MockClock) -> None:
    said: list[str] = []
    fake.after = lambda: fake.finish(0, "hello\n") if fake.count("squeue") == 3 else None
    async with following(fake, said) as end:
        assert await end() == ["hello"]
    assert said == ["[Slurm job 1]", "[Slurm job 1: PENDING]"]


@pytest.mark.parametrize(
    "text",
    [
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
        "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy "
        "(job submit limit, user's size and/or time limits)",
        "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
    ],
)
async def test_a_submission_that_is_refused_for_now_is_tried_again(fake: Fake, jumping: MockClock, text: str) -> None:
    said: list[str] = []
    fake.answers["sbatch"] = [Answer(1, "", text), Answer(1, "", text)]
    fake.after = lambda: fake.finish(0) if fake.jobs else None
    async with following(fake, said) as end:
        assert await end() == []
    assert fake.count("sbatch") == 3
    assert sum("takes no job now" in line for line in said) == 1


@pytest.mark.parametrize(
    "text",
    [
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
        "sbatch: error: Batch job submission failed: Invalid qos specification",
        "sbatch: error: Batch job submission failed: Invalid feature specification",
        "sbatch: error: AssocMaxWallDurationPerJobLimit\n"
        "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy "
        "(job submit limit, user's size and/or time limits)",
        "sbatch: unrecognized option '--foo=foo'\nTry \"sbatch --help\" for more information",
    ],
)
async def test_a_submission_that_is_refused_for_good_fails_with_the_words_of_sbatch(
    fake: Fake, jumping: MockClock, text: str
) -> None:
    fake.answers["sbatch"] = [Answer(1, "", text)]
    async with following(fake, []) as end:
        error = await end()
    assert error.startswith("Slurm does not take the job: ")
    assert text.splitlines()[-1].removeprefix("sbatch: error: ") in error
    assert fake.count("sbatch") == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(None, "", "sbatch timed out after 30 s"),
        Answer(1, "", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"),
        Answer(0, ""),
        Answer(0, "welcome to the cluster\n"),
        Answer(-9),
    ],
)
@pytest.mark.parametrize("there", [True, False])
async def test_an_unclear_submission_is_looked_for_before_another(
    fake: Fake, jumping: MockClock, answer: Answer, there: bool
) -> None:
    fake.answers["sbatch"] = [answer]

    def after() -> None:
        if fake.count("sbatch") == 1 and there and not fake.jobs:
            fake.sbatch(fake.asked[0])
        elif fake.jobs and fake.count("squeue") > 2:
            fake.finish(0, "once\n")

    fake.after = after
    async with following(fake, []) as end:
        assert await end() == ["once"]
    assert fake.count("sbatch") == (1 if there else 2)
    assert len(fake.jobs) == 1


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("TIMEOUT", "longer than its time limit"),
        ("OUT_OF_MEMORY", "more memory than it was given"),
        ("NODE_FAIL", "a node that it ran on failed"),
        ("PREEMPTED", "higher priority"),
        ("CANCELLED", "somebody cancelled it"),
        ("BOOT_FAIL", "could not be started"),
        ("DEADLINE", "before its deadline"),
        ("REVOKED", "another cluster"),
        ("FAILED", "has to be on a file system that the compute nodes see"),
    ],
)
async def test_each_end_that_slurm_makes_has_its_sentence(
    fake: Fake, jumping: MockClock, state: str, words: str
) -> None:
    fake.after = lambda: fake.jobs.update({"1": state}) if fake.count("squeue") == 2 else None
    async with following(fake, []) as end:
        error = await end()
    assert error.startswith(f"Slurm job 1 ended as {state}")
    assert words in error


async def test_the_exit_status_of_a_script_that_slurm_ended_gives_way_to_the_reason(
    fake: Fake, jumping: MockClock
) -> None:
    fake.after = lambda: fake.finish(143, state="TIMEOUT") if fake.count("squeue") == 2 else None
    async with following(fake, []) as end:
        assert "longer than its time limit" in await end()


async def test_an_exit_status_that_comes_late_is_waited_for(fake: Fake, jumping: MockClock) -> None:
    def after() -> None:
        if fake.count("squeue") == 2:
            fake.jobs["1"] = "FAILED"
        if fake.count("squeue") == 6:
            fake.finish(0, "late\n", state="FAILED")

    fake.after = after
    async with following(fake, []) as end:
        assert await end() == ["late"]


async def test_a_job_without_a_trace_fails_after_a_while(fake: Fake, jumping: MockClock) -> None:
    def after() -> None:
        fake.forgotten = fake.forgotten or fake.count("squeue") > 2

    fake.after = after
    async with following(fake, []) as end:
        begun = trio.current_time()
        assert "gone without a trace" in await end()
        assert trio.current_time() - begun > 60


@pytest.mark.parametrize(
    "answer",
    [
        Answer(1, "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"),
        Answer(None, "", "squeue timed out after 30 s"),
    ],
)
async def test_a_controller_that_is_down_ends_nothing(fake: Fake, jumping: MockClock, answer: Answer) -> None:
    said: list[str] = []

    def after() -> None:
        if fake.count("squeue") == 2:
            fake.always["squeue"] = answer
        if fake.count("squeue") == 8:
            fake.always.clear()
            fake.finish(0, "done\n")

    fake.after = after
    async with following(fake, said) as end:
        assert await end() == ["done"]
    assert sum("Slurm does not answer" in line for line in said) <= 1


@pytest.mark.parametrize("text", ["", "garbage\n\x00\n", "1|RUNNING", "CLUSTER: one\n"])
async def test_an_answer_that_says_nothing_for_a_while_ends_nothing(fake: Fake, jumping: MockClock, text: str) -> None:
    fake.answers["squeue"] = [Answer(0, text) for _ in range(8)]
    fake.always["scontrol"] = Answer(0, "JobId=1 JobState=RUNNING ExitCode=0:0")
    fake.after = lambda: fake.finish(0, "done\n") if fake.count("squeue") == 12 else None
    async with following(fake, []) as end:
        assert await end() == ["done"]


async def test_a_cancel_is_repeated_until_slurm_says_that_the_job_is_gone(fake: Fake, jumping: MockClock) -> None:
    fake.answers["scancel"] = [Answer(1, "", "scancel: error: Unable to contact slurm controller")] * 3
    async with following(fake, []) as end, trio.open_nursery() as nursery:

        async def ask() -> None:
            await trio.sleep(5)
            await end.job.terminate()

        nursery.start_soon(ask)
        assert await end() == "execute was killed by SIGTERM"
    assert fake.count("scancel") >= 4
    assert set(fake.jobs.values()) == {"CANCELLED"}


async def test_a_cancel_of_an_earlier_life_goes_on_and_reports_nothing(fake: Fake, jumping: MockClock) -> None:
    async with following(fake, []):
        pass
    fake.sbatch([f"--job-name={json.loads((fake.folder / 'slurm' / 'intent').read_bytes())['name']}"])
    (fake.folder / "slurm" / "given-up").touch()
    async with following(fake, [], adopt=True) as end:
        assert await end() is GIVEN_UP
    assert set(fake.jobs.values()) == {"CANCELLED"}
    assert fake.count("sbatch") == 0


async def test_a_life_that_finds_an_intent_without_a_job_submits_the_same_job(fake: Fake, jumping: MockClock) -> None:
    async with following(fake, []):
        pass
    planned = json.loads((fake.folder / "slurm" / "intent").read_bytes())["name"]
    fake.after = lambda: fake.finish(0, "once\n") if fake.jobs else None
    async with following(fake, [], adopt=True) as end:
        assert await end() == ["once"]
    assert list(fake.names.values()) == [planned]


async def test_nothing_is_asked_while_there_is_no_job(fake: Fake, jumping: MockClock) -> None:
    runner = SlurmRunner(Slurm(fake.run), Site())
    with trio.move_on_after(1000):
        await runner.run()
    assert fake.asked == []


async def test_one_question_serves_all_jobs_and_comes_rarely_while_nothing_changes(
    fake: Fake, jumping: MockClock
) -> None:
    runner = SlurmRunner(Slurm(fake.run), Site(), poll=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner.run)
        with runner.queue.following("one"), runner.queue.following("two"):
            await trio.sleep(300)
        nursery.cancel_scope.cancel()
    assert 30 <= fake.count("squeue") <= 45


async def test_a_stream_goes_on_behind_what_was_kept(tmp_path: Path, jumping: MockClock) -> None:
    path, safe = tmp_path / "out", [False]
    path.write_bytes(b"one\ntwo\nthr")
    first = Tail(path, safe=lambda: safe[0])
    first.begin()
    assert await first.receive_some() == b"one\ntwo\nthr"
    with trio.move_on_after(10):
        await first.receive_some()
    assert first.told == 0
    safe[0] = True
    with trio.move_on_after(10):
        await first.receive_some()
    assert first.told == 8
    second = Tail(path, first.told)
    second.finish(11)
    assert await second.receive_some() == b"thr"
    assert await second.receive_some() == b""


async def test_a_stream_waits_for_bytes_that_are_known_to_come(tmp_path: Path, jumping: MockClock) -> None:
    path = tmp_path / "out"
    tail = Tail(path)
    tail.finish(5)
    async with trio.open_nursery() as nursery:

        async def write() -> None:
            await trio.sleep(4)
            path.write_bytes(b"late\n")

        nursery.start_soon(write)
        assert await tail.receive_some() == b"late\n"
    assert await tail.receive_some() == b""


@pytest.mark.parametrize(
    ("text", "number"), [("12", "12"), ("12_3", "12"), ("123;cluster", "123"), ("hello\n7\n", "7"), ("7 jobs", "")]
)
def test_the_number_of_a_job_is_found_in_what_sbatch_says(text: str, number: str) -> None:
    assert read_submission(Answer(0, text)).number == number


def test_lines_of_squeue_sacct_scontrol_and_sinfo_are_read() -> None:
    assert read_jobs(f"12_3|RUNNING|None|{NAME}\nx|y\n9|PENDING|a|b|{NAME}\n") == {
        NAME: [Row("12", "RUNNING"), Row("9", "PENDING", "a|b")]
    }
    assert read_account("12|CANCELLED by 1000|0:15\n12.batch|X|1:0\n", "12") == Record("CANCELLED", 0, 15)
    assert read_account("", "12") is None
    assert read_job("JobId=1 JobState=FAILED Reason=NonZeroExitCode x ExitCode=3:0") == Record(
        "FAILED", 3, 0, "NonZeroExitCode"
    )
    nodes = read_nodes("n1|64|256000|gpu:a100:4(S:0-1)\nn1|64|256000|gpu:a100:4(S:0-1)\nn2|8+|1000|(null)\nx\n")
    assert nodes == [Node("n1", 64, 256000, 4, "a100"), Node("n2", 8, 1000)]
    (hardware,) = described(nodes)
    assert hardware["nodes"] == 2
    assert hardware["cpu"] == "64000m"
    assert hardware["gpu"] == {"name": "a100", "count": 4, "nodecount": 1, "mem": ""}
    assert described([]) == []


@given(st.text())
def test_no_answer_of_slurm_is_taken_for_an_error_of_ours(text: str) -> None:
    answer = Answer(1, text, text)
    read_submission(answer)
    read_jobs(text)
    read_job(text)
    read_account(text, "1")
    read_nodes(text)


async def test_a_program_that_hangs_is_killed_and_one_that_is_missing_is_said(tmp_path: Path) -> None:
    run = program_runner({"PATH": os.environ["PATH"], "SLURM_CONF": "x", "SQUEUE_STATES": "y", "SLURM_JOB_ID": "1"}, 5)
    seen = await run([sys.executable, "-c", "import os; print(sorted(n for n in os.environ if n[:1] == 'S'))"])
    assert (seen.code, seen.out) == (0, "['SLURM_CONF']\n")
    hung = await program_runner({}, 0.2)([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"])
    assert hung.code is None
    assert "timed out" in hung.err
    assert (await run(["/no/such/program"])).code is None
    with pytest.raises(SettingRefused, match="this machine has no sbatch, squeue"):
        await open_slurm(Site(), {"PATH": str(tmp_path)}, poll=10, say=lambda words: None)


def test_the_conditions_become_options(tmp_path: Path) -> None:
    conditions = {
        "nodes": 2, "processespernode": 4, "cpu": "1500m", "mem": "10Gi", "gpu": {"count": 1}, "walltime": 3700,
    }  # fmt: skip
    site = Site(partition="gpu", account="me", options=["--qos=long"])
    options = plan(an_errand(tmp_path, conditions=conditions, maxexectime=5000), site, "0123abcd").options
    assert list(options) == [
        "--export=ALL", "--partition=gpu", "--account=me", "--qos=long", "--nodes=2", "--ntasks-per-node=4",
        "--cpus-per-task=2", "--mem=10240M", "--gres=gpu:1", "--time=01:01:40", f"--job-name={NAME}",
        f"--chdir={tmp_path}/files", f"--output={tmp_path}/slurm/out", f"--error={tmp_path}/slurm/err",
        "--input=/dev/null", "--open-mode=append", "--no-requeue",
    ]  # fmt: skip
    bare = plan(an_errand(tmp_path, conditions={"gpu": {"count": 2}}), Site(gres=False), "0123abcd").options
    assert "--gpus-per-node=2" in bare
    assert not any(option.startswith(("--time", "--mem", "--ntasks")) for option in bare)


@pytest.mark.parametrize("maxexectime", [-1, 30, 90])
def test_the_time_of_a_job_is_the_shorter_one(maxexectime: int) -> None:
    seconds = wish({"conditions": {"walltime": 60}, "maxexectime": maxexectime}).seconds
    assert seconds == (30 if maxexectime == 30 else 60)


@pytest.mark.parametrize(
    "conditions",
    [
        {"nodes": "2"},
        {"nodes": 1 << 40},
        {"cpu": "1\n--x"},
        {"mem": 5},
        {"processes": 2, "nodes": 4},
        {"walltime": True},
    ],
)
def test_conditions_that_mean_nothing_are_refused(conditions: dict[str, Any]) -> None:
    with pytest.raises(NotRun, match="conditions"):
        wish({"conditions": conditions})


@pytest.mark.parametrize("name", ["a.b", "UID", "a b", "x$(id)"])
def test_a_variable_that_bash_cannot_set_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotRun, match="cannot set the variable"):
        plan(an_errand(tmp_path, env={name: "1"}), Site(), "0123abcd")


@pytest.mark.parametrize("mount", ["cfs", "/a/../b", "/a:b", "/a\n", "/a,b", 5])
def test_a_mount_that_is_no_place_is_refused(mount: object) -> None:
    with pytest.raises(NotRun, match="mount"):
        mount_of({"fs": {"mount": mount}})


def test_an_image_is_run_by_what_the_site_has(tmp_path: Path) -> None:
    errand = an_errand(tmp_path, kwargs={"cmd": "echo", "docker-image": "python:3"}, conditions={"gpu": {"count": 1}})
    written = plan(errand, Site(container="apptainer"), "0123abcd").files["program-0123abcd"]
    assert f"exec --nv --bind {tmp_path}/files:/cfs --pwd /cfs docker://python:3 sh -c echo\n" in written
    written = plan(errand, Site(container="podman"), "0123abcd").files["program-0123abcd"]
    assert "--env COLONIES_PROCESS_ID" in written and written.endswith("python:3 sh -c echo\n")
    with pytest.raises(NotRun, match="knows no program to run it with"):
        plan(errand, Site(), "0123abcd")


@pytest.mark.parametrize("value", ["--output=x", "--wrap=id", "-p x", "--qos=a;id\n", "--array=1-9", "x"])
def test_options_of_the_site_do_not_touch_ours(value: str) -> None:
    row = SETTINGS["slurm_options"]
    with pytest.raises(ValueError):
        row.kind.parse(value.split(" ") if value == "-p x" else [value])
    assert row.kind.parse("--qos=long --gres-flags=disable-binding") == ("--qos=long", "--gres-flags=disable-binding")


def test_a_script_is_for_its_owner_only_and_takes_any_text(tmp_path: Path) -> None:
    made = plan(an_errand(tmp_path, kwargs={"cmd": "echo \ud800"}, env={"TOKEN": "private"}), Site(), "0123abcd")
    write_plan(made)
    assert {path.stat().st_mode & 0o777 for path in made.folder.glob("*-0123abcd")} == {0o600}
    assert "private" not in made.files["submit"] + made.files["job-0123abcd"]
    assert "private" not in " ".join(made.options)


TEXTS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=200)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=TEXTS, line=TEXTS)
def test_any_text_comes_out_of_the_script_as_it_went_in_and_the_work_is_done_once(value: str, line: str) -> None:
    with tempfile.TemporaryDirectory(prefix="a 'b") as place:
        folder = Path(place)
        show = "import os, sys; sys.stdout.buffer.write(os.environb[b'VALUE'] + b'|' + os.fsencode(sys.argv[1]))"
        (folder / "show.py").write_text(show)
        quoted = line.replace("{processid}", "").replace("'", "'\\''")
        kwargs = {"cmd": f'{sys.executable} -I "{folder}/show.py"', "args": [f"'{quoted}'"]}
        errand = an_errand(folder, env={"VALUE": value}, kwargs=kwargs, conditions={"processespernode": 2})
        made = plan(errand, Site(), "0123abcd")
        write_plan(made)
        (folder / "srun").write_text('#!/bin/sh\nexec "$@"\n')
        (folder / "srun").chmod(0o755)
        env = {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "5", "COLONIES_PRVKEY": "secret"}
        submit = ["/bin/bash", made.folder / "submit"]
        outs = [subprocess.run(submit, env=env, capture_output=True, check=False) for _ in range(2)]
        assert outs[0].stdout == value.encode() + b"|" + line.replace("{processid}", "").encode()
        assert outs[0].returncode == 0
        assert (outs[1].returncode, outs[1].stdout) == (1, b"")
        assert (made.folder / "claim" / "job").read_text() == "5\n"
        assert (made.folder / "exit").read_text().split()[0] == "0"
