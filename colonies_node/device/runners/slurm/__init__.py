"""Jobs of a Slurm cluster, from one of its login nodes.

`script` says what is submitted, `commands` what is asked of Slurm and how its answers are read, `queue` asks for all
jobs at once, `tail` reads what a job writes, and `job` leads one job from its submission to its end. Jobs go on while
the executor is away; its next life takes them up.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from colonies_node.core.errors import SettingRefused
from colonies_node.device.runners import (
    MAX_COMPLAINT,
    MAX_OUTPUT,
    Errand,
    NotRun,
    Offer,
    Runner,
    Started,
    Written,
    demand_success,
)
from colonies_node.device.runners.commandline import ARGUMENTS, FUNCTION
from colonies_node.device.runners.shell import output_text
from colonies_node.device.runners.slurm.commands import Node, Run, Slurm, program_runner
from colonies_node.device.runners.slurm.job import Job, Patience, read_plan, write_plan
from colonies_node.device.runners.slurm.queue import Queue
from colonies_node.device.runners.slurm.script import CONTAINERS, Plan, Site, plan
from colonies_node.device.runners.slurm.tail import read_from
from colonies_node.device.supervised import Ended

PROGRAMS: Final = ("sbatch", "squeue", "scancel", "scontrol")

OFFER: Final = Offer(
    FUNCTION, "", "Run a command line as a job of a Slurm cluster, in a container if an image is given.", ARGUMENTS
)


class SlurmRunner(Runner):
    """Runs the function `execute` as batch jobs; their standard output is the output."""

    outlives = True

    def __init__(
        self,
        slurm: Slurm,
        site: Site,
        *,
        poll: float = 10.0,
        say: Callable[[str], None] = lambda words: None,
        version: str = "",
        patience: Patience | None = None,
    ) -> None:
        self.site, self.slurm = site, slurm
        self.queue = Queue(slurm, poll, say)
        self.offered = [OFFER]
        self.software = [{"name": "slurm", "type": "batch-system", "version": version}]
        self._patience = patience or Patience()

    def offers(self, funcname: str) -> bool:
        """Only `execute`."""
        return funcname == FUNCTION

    def prepare(self, errand: Errand) -> Plan:
        """The batch job. Raises NotRun with a sentence."""
        prepared = plan(errand, self.site, secrets.token_hex(4))
        files = errand.spec.get("fs") or {}
        if files.get("dirs") or files.get("snapshots"):
            errand.say("[This executor does not synchronise files: the fs of the function spec only names the mount.]")
        return prepared

    def adopt(self, errand: Errand) -> Plan:
        """What an earlier life has planned, as it was, whatever the settings are now."""
        if written := read_plan(errand.folder / "slurm"):
            return Plan(errand, *written, again=True)
        shutil.rmtree(errand.folder / "slurm", ignore_errors=True)
        return self.prepare(errand)

    async def start(self, prepared: Plan) -> Started:
        """Follow a job, which is submitted then unless it was already."""
        if not prepared.again:
            write_plan(prepared)
        return Job(prepared, self.slurm, self.queue, self._patience)

    def output(self, errand: Errand, ended: Ended, written: Written) -> list[Any]:
        """Standard output as one text without its last line end; nothing if there was none.

        It is read from the file: an earlier life may have seen the beginning of it.
        """
        written = whole(errand)
        if ended.fault and not ended.exceeded:
            complaint = written.err.text()
            raise NotRun(f"{ended.fault[1]} {complaint}" if complaint else ended.fault[1])
        demand_success(errand, ended, written)
        return output_text(written)

    async def run(self) -> None:
        """Ask Slurm about the jobs."""
        await self.queue.run()

    async def hardware(self) -> list[dict[str, Any]]:
        """What the cluster has, as capabilities of an executor: nodes, and the size of the largest."""
        return described(await self.slurm.nodes())


def whole(errand: Errand) -> Written:
    """What a job wrote, as far as an outcome needs it, from its beginning."""
    written, folder = Written(), errand.folder / "slurm"
    written.out.feed(read_from(folder / "out", 0, MAX_OUTPUT))
    written.out.more = max(_size(folder / "out") - MAX_OUTPUT, 0)
    written.err.feed(read_from(folder / "err", max(_size(folder / "err") - MAX_COMPLAINT, 0), MAX_COMPLAINT))
    return written


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def described(nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """Nodes as one record of hardware."""
    if not nodes:
        return []
    largest = max(nodes, key=lambda node: (node.gpus, node.cpus, node.mem))
    gpu = {"name": largest.gpu, "count": largest.gpus, "nodecount": sum(1 for node in nodes if node.gpus), "mem": ""}
    cpus, mem = max(node.cpus for node in nodes), max(node.mem for node in nodes)
    return [{"model": "", "nodes": len(nodes), "cpu": f"{cpus * 1000}m", "mem": f"{mem}Mi", "storage": "", "gpu": gpu}]


async def open_slurm(
    site: Site, env: Mapping[str, str], *, poll: float, say: Callable[[str], None], run: Run | None = None
) -> SlurmRunner:
    """The runner for the Slurm of this machine. Raises SettingRefused if it has none."""
    if missing := [program for program in PROGRAMS if not shutil.which(program, path=env.get("PATH"))]:
        raise SettingRefused(f"--slurm needs the programs of Slurm; this machine has no {', '.join(missing)}.")
    slurm = Slurm(run or program_runner(env))
    return SlurmRunner(slurm, site, poll=poll, say=say, version=await slurm.version())


def runtime(path: str | None) -> str:
    """What this login node has for images, for the nodes mostly have the same; empty if it has nothing."""
    return next((name for name in CONTAINERS if shutil.which(name, path=path)), "")
