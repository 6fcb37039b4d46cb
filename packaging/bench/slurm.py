"""How much later a job of Slurm starts when it comes through a colony."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from executor import COLONY, Shop, shop
from figures import Figure, Reading
from load import BenchFailed, Connection
from stage import ROOT, Stage, say

if TYPE_CHECKING:
    from tests.slurm_cluster import Cluster

PATIENCE_S = 60.0


def slurm_latency_s(stage: Stage) -> Reading:
    """From the submission until the job's first program runs, against the same with sbatch alone."""
    sys.path.insert(0, str(ROOT))
    from tests.slurm_cluster import cluster, missing

    if why := missing():
        return Reading(None, f"not measured: {why}")
    plain, ours = list[float](), list[float]()
    with cluster() as slurm, shop(stage, "--slurm", SLURM_CONF=str(slurm.conf)) as here:
        for number in range(stage.amounts.jobs + 1):
            say(f"job {number} of {stage.amounts.jobs}")
            turns = [
                (plain, lambda mark: _sbatch(slurm, mark)),
                (ours, lambda mark: _submit(here, mark)),
            ]
            for seconds, submit in turns if number % 2 else turns[::-1]:
                mark = stage.folder / f"mark-{len(plain)}-{len(ours)}"
                began = time.time()
                submit(mark)
                seconds.append(_started(mark) - began)
    first, second = (statistics.median(seconds[1:]) for seconds in (plain, ours))  # the first job of each warms it up
    return Reading(second / first, f"{second:.3g} s against {first:.3g} s, medians of {stage.amounts.jobs}")


def _line(mark: Path) -> str:
    return f"date +%s.%N > {mark}.new && mv {mark}.new {mark}"


def _sbatch(slurm: Cluster, mark: Path) -> None:
    command = ["sbatch", "--output=/dev/null", f"--wrap={_line(mark)}"]
    subprocess.run(command, env=slurm.env, stdout=subprocess.DEVNULL, check=True, timeout=PATIENCE_S)


def _submit(here: Shop, mark: Path) -> None:
    spec = here.spec("execute") | {"kwargs": {"cmd": _line(mark)}}
    connection = Connection(here.node.server.address)
    connection.ask(here.node.colony.user.request("submitfuncspecmsg", spec=spec))
    connection.close()


def _started(mark: Path) -> float:
    """When the job said that it runs, in Unix seconds. Raises BenchFailed."""
    until = time.monotonic() + PATIENCE_S
    while not mark.exists():
        if time.monotonic() > until:
            raise BenchFailed(f"A job in colony {COLONY} did not start within {PATIENCE_S:.0f} s.")
        time.sleep(0.01)
    return float(mark.read_text())


FIGURES = (Figure("slurm_latency_s", 1.5, "from submit until a job of Slurm runs / sbatch alone", slurm_latency_s),)
