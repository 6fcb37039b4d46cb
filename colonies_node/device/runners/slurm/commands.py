"""The programs of Slurm that are asked, `sbatch`, `squeue`, `scontrol`, `sacct`, `scancel`, `sinfo`, and their answers.

None of them can be relied on: with a controller that is down they wait for minutes or complain, with an old one they
answer nothing, and a site may print a line of its own. So each has a time limit, and an answer is only what has the
form that was asked for.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

LIMIT_S: Final = 30.0
"""Seconds that one of the programs may take. Those of a busy controller take ten; Slurm's own MessageTimeout is 10."""

MOST: Final = 8 * 1024 * 1024
"""Bytes that are read of an answer: squeue about 50 000 jobs."""

PREFIX: Final = "colonies-"
"""Begins the name of every job of ours."""

_KEPT: Final = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
_FOREIGN: Final = re.compile(r"(SLURM|SLURMD|SRUN|SQUEUE|SACCT|SCANCEL|SCONTROL|SINFO|COLONIES)_")

# The sentences are those of slurm_errno.c and of the client's socket layer.
_BUSY: Final = re.compile(
    r"temporarily unable|unable to contact|try(ing)? again|job submit limit|resource temporarily unavailable"
    r"|connection (refused|reset)|communication connection failure|standby mode|protocol authentication|munge"
    r"|no route to host|configuration source|fetch_config",
    re.IGNORECASE,
)
_UNCLEAR: Final = re.compile(r"socket timed out|timed out|zero bytes|unexpected message|message (receive|recv)", re.I)
_POLICY: Final = re.compile(r"\b(?:QOS|Assoc)[A-Za-z]+")
"""A limit by name, as sbatch tells it before the sentence that fits all of them."""

_NOISE: Final = re.compile(r"^(sbatch|squeue|sacct|scontrol|scancel|sinfo): ((error|fatal|warning): )?", re.MULTILINE)
_ROW: Final = re.compile(rf"(\d+)[^|\s]*\|([A-Z_]+)[^|]*\|(.*)\|({PREFIX}[0-9a-f]{{64}}-[0-9a-f]{{8}})")


@dataclass(frozen=True)
class Answer:
    """What a program answered. `code` is None if it did not end within its time, or is not there."""

    code: int | None
    out: str = ""
    err: str = ""

    @property
    def complaints(self) -> list[str]:
        """What it complained of, a sentence each: the last one often says less than the one before."""
        return [line.strip() for line in _NOISE.sub("", self.err).splitlines() if line.strip()]

    @property
    def complaint(self) -> str:
        """The last of them."""
        return self.complaints[-1][:500] if self.complaints else ""


Run = Callable[[Sequence[str]], Awaitable[Answer]]
"""Runs a program with its arguments; never raises."""


@dataclass(frozen=True)
class Row:
    """A job as Slurm sees it: its number, state and the reason it gives for that."""

    number: str
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Record:
    """How a job ended: state, exit status and signal of its script."""

    state: str
    code: int = 0
    signal: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Submitted:
    """What became of a submission: a job with a number, a refusal for good, one for now, or nobody knows."""

    number: str = ""
    refused: str = ""
    busy: str = ""

    @property
    def unclear(self) -> bool:
        """Whether there may be a job all the same."""
        return not (self.number or self.refused or self.busy)


def program_runner(env: Mapping[str, str], limit: float = LIMIT_S) -> Run:
    """What runs the programs, in this environment but for what would change their answers."""
    clean = {name: value for name, value in env.items() if name in _KEPT or not _FOREIGN.match(name)}

    async def run(argv: Sequence[str]) -> Answer:
        try:
            process = await trio.lowlevel.open_process(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=clean,
                start_new_session=True,
            )
        except OSError as fault:
            return Answer(None, err=f"{argv[0]} cannot be run: {fault.strerror or fault}")
        out, err = bytearray(), bytearray()
        try:
            with trio.move_on_after(limit) as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_read, process.stdout, out)
                    nursery.start_soon(_read, process.stderr, err)
                await process.wait()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                for pipe in (process.stdout, process.stderr):
                    if pipe is not None:
                        await trio.aclose_forcefully(pipe)
        if scope.cancelled_caught:
            return Answer(None, out.decode(errors="replace"), f"{argv[0]} timed out after {limit:g} s")
        return Answer(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    return run


async def _read(pipe: Any, into: bytearray) -> None:
    """All that comes, of which no more is kept than an answer may have."""
    async for data in pipe:
        into += data[: max(MOST - len(into), 0)]


@dataclass(frozen=True)
class Slurm:
    """Slurm as seen from here. None of this raises: an answer that is none is None."""

    run: Run
    user: str = str(os.getuid())

    async def submit(self, options: Sequence[str], script: Path) -> Submitted:
        """Submit a batch script."""
        return read_submission(await self.run(["sbatch", "--parsable", *options, "--", str(script)]))

    async def jobs(self) -> tuple[dict[str, list[Row]] | None, str]:
        """All jobs of ours that the controller knows, by name; None and its complaint if it does not answer."""
        rows = "%A|%T|%r|%j"
        answer = await self.run(["squeue", "--noheader", f"--user={self.user}", "--states=all", f"--format={rows}"])
        return (read_jobs(answer.out), "") if answer.code == 0 else (None, answer.complaint or "no answer")

    async def record(self, number: str) -> Record | None:
        """How a job ended, from the controller's memory or else the accounting; None if neither knows it."""
        answer = await self.run(["scontrol", "--oneliner", "show", "job", number])
        if answer.code == 0 and (record := read_job(answer.out)):
            return record
        columns = "JobIDRaw,State,ExitCode"
        answer = await self.run(
            ["sacct", "--noheader", "--parsable2", "--allocations", f"--format={columns}", f"--jobs={number}"]
        )
        return read_account(answer.out, number) if answer.code == 0 else None

    async def cancel(self, name: str, *, at_once: bool = False) -> None:
        """Cancel all jobs of a name. Slurm sends SIGTERM, and SIGKILL after the site's KillWait, or `at_once`."""
        await self.run(["scancel", f"--user={self.user}", f"--name={name}"])
        if at_once:  # refused for jobs on their way out by some versions: then KillWait it is
            await self.run(["scancel", f"--user={self.user}", f"--name={name}", "--full", "--signal=KILL"])

    async def version(self) -> str:
        """`22.05.8`; empty if there is no Slurm here."""
        found = re.search(r"\d+\.\d+[\w.]*", (await self.run(["sbatch", "--version"])).out)
        return found[0] if found else ""

    async def nodes(self) -> list[Node]:
        """What the nodes have."""
        answer = await self.run(["sinfo", "--noheader", "--Node", "--format=%N|%c|%m|%G"])
        return read_nodes(answer.out) if answer.code == 0 else []


@dataclass(frozen=True)
class Node:
    """A node of the cluster: cores, MiB of memory, GPUs and what these are called."""

    name: str
    cpus: int
    mem: int
    gpus: int = 0
    gpu: str = ""


def read_submission(answer: Answer) -> Submitted:
    """What sbatch has said. Only what certainly left no job counts as refused or busy."""
    if found := re.search(r"^(\d+)(_\S+)?(;\S*)?\s*$", answer.out, re.MULTILINE):
        return Submitted(number=found[1])
    if answer.code is None and answer.err.startswith("sbatch cannot be run"):
        return Submitted(busy=answer.err)
    if answer.code in (None, 0) or answer.code < 0 or _UNCLEAR.search(answer.err) or not answer.complaint:
        return Submitted()
    limit = _POLICY.search(answer.err)
    if "Submit" in limit[0] if limit else _BUSY.search(answer.err):
        return Submitted(busy=answer.complaint)
    return Submitted(refused="; ".join(dict.fromkeys(answer.complaints))[:1000])


def read_jobs(text: str) -> dict[str, list[Row]]:
    """Lines of squeue; those that are not of ours, or no such lines, are passed over."""
    found: dict[str, list[Row]] = defaultdict(list)
    for line in text.splitlines():
        if match := _ROW.fullmatch(line.strip()):
            number, state, reason, name = match.groups()
            found[name].append(Row(number, state, "" if reason == "None" else reason))
    return dict(found)


def read_job(text: str) -> Record | None:
    """A line of `scontrol show job`."""
    state = re.search(r"\bJobState=([A-Z_]+)", text)
    status = re.search(r"\bExitCode=(\d+):(\d+)", text)
    reason = re.search(r"\bReason=(\S+)", text)
    if state is None:
        return None
    code, signal = (int(status[1]), int(status[2])) if status else (0, 0)
    return Record(state[1], code, signal, reason[1] if reason and reason[1] != "None" else "")


def read_account(text: str, number: str) -> Record | None:
    """The line of sacct for a job: `12|CANCELLED by 1000|0:15`."""
    for line in text.splitlines():
        match = re.fullmatch(rf"{number}\|([A-Z_]+)\b[^|]*\|(\d+):(\d+)", line.strip())
        if match:
            return Record(match[1], int(match[2]), int(match[3]))
    return None


def read_nodes(text: str) -> list[Node]:
    """Lines of sinfo, each node once: `n1|64|256000|gpu:a100:4(S:0-1)`."""
    found: dict[str, Node] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([^|\s]+)\|(\d+)\+?\|(\d+)\+?\|(.*)", line.strip())
        if match:
            kinds = re.findall(r"(?:^|,)gpu:(?:([A-Za-z_][\w.-]*):)?(\d+)", match[4])
            gpus, gpu = sum(int(count) for _, count in kinds), next((kind for kind, _ in kinds if kind), "")
            found[match[1]] = Node(match[1], int(match[2]), int(match[3]), gpus, gpu)
    return list(found.values())
