"""What a node takes: processor time while idle, memory, disk, and the time to start."""

from __future__ import annotations

import platform
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from figures import Figure, Reading
from load import BenchFailed, Connection
from servers import last_line
from stage import ROOT, Stage, say
from wire import Member

HEALTH = b"GET /health HTTP/1.1\r\nHost: bench\r\n\r\n"
EXECUTORS = 20
"""Executors that wait in an idle node."""

CHUNK = 5000
"""Processes submitted between two lines of progress."""


def idle_cpu_percent(stage: Stage) -> Reading:
    window = stage.amounts.window
    with stage.node(executors=EXECUTORS) as node, ExitStack() as lines:
        waiting = []
        for executor in node.colony.executors:
            connection = lines.enter_context(closing(Connection(node.server.address)))
            connection.send(executor.request("assignprocessmsg", colonyname="bench", timeout=int(window) + 30))
            waiting.append(connection)
        _stay_silent(waiting, 1.0)
        say(f"watching an idle node for {window:.0f} s")
        used, began = node.server.cpu_seconds(), time.monotonic()
        _stay_silent(waiting, window)
        percent = 100 * (node.server.cpu_seconds() - used) / (time.monotonic() - began)
    return Reading(percent, f"{EXECUTORS} executors in long polls, over {window:.0f} s")


def _stay_silent(waiting: list[Connection], seconds: float) -> None:
    if select.select(waiting, [], [], seconds)[0]:
        raise BenchFailed("The node answered or closed a long poll although nothing was submitted.")


def rss_idle_mb(stage: Stage) -> Reading:
    with stage.serve(server_id=Member().id) as (server, _):
        _ask_health(server.address)
        return Reading(server.resident_mb(), "right after start and /health")


def rss_100k_mb(stage: Stage) -> Reading:
    resident, _, rate = _bulk(stage)
    return Reading(resident, f"after {stage.amounts.bulk:,} processes, submitted at {rate:,.0f}/s")


def bytes_per_process(stage: Stage) -> Reading:
    _, size, _ = _bulk(stage)
    return Reading(size / stage.amounts.bulk, f"{size / 1e6:,.0f} MB of data folder after a clean stop")


def _bulk(stage: Stage) -> tuple[float, int, float]:
    """Resident MB after many submits, bytes in the data folder after a clean stop, submits per second."""
    return stage.once("bulk", lambda: _measure_bulk(stage))


def _measure_bulk(stage: Stage) -> tuple[float, int, float]:
    total, submitting = stage.amounts.bulk, 0.0
    with stage.node() as node:
        for done in range(0, total, CHUNK):
            say(f"{done:,} of {total:,} processes submitted")
            began = time.monotonic()
            node.submit(min(CHUNK, total - done))
            submitting += time.monotonic() - began
        resident = node.server.resident_mb()
        node.server.stop()
        size = sum(path.stat().st_size for path in node.data.rglob("*") if path.is_file())
    return resident, size, total / submitting


def start_s(stage: Stage) -> Reading:
    def start() -> float:
        began = time.perf_counter()
        with stage.serve(server_id=Member().id) as (server, _):
            _ask_health(server.address)
            return time.perf_counter() - began

    return Reading(_median_warm(start, stage.amounts.starts), f"median of {stage.amounts.starts}, empty data folder")


def help_s(stage: Stage) -> Reading:
    pyz = _built()
    program = [str(pyz)] if pyz else ["-P", "-m", "colonies_node"]

    def show_help() -> float:
        began = time.perf_counter()
        shown = subprocess.run([sys.executable, *program, "--help"], capture_output=True, check=False, timeout=30)
        took = time.perf_counter() - began
        if shown.returncode or b"serve" not in shown.stdout:
            raise BenchFailed(f"--help failed. {last_line(shown.stderr)}")
        return took

    took = _median_warm(show_help, stage.amounts.starts)
    return Reading(took, f"{pyz.name} --help" if pyz else "--help from source: no pyz in dist/")


def pyz_mb(stage: Stage) -> Reading:
    pyz = _built()
    if not pyz:
        return Reading(None, "not built: python3 packaging/dev.py zipapp")
    return Reading(pyz.stat().st_size / 1e6, pyz.name)


def _built() -> Path | None:
    """The newest zipapp for this machine, if there is one."""
    found = list((ROOT / "dist").glob(f"colonies-node-*{platform.machine()}*.pyz"))
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _ask_health(address: tuple[str, int]) -> None:
    with closing(Connection(address)) as connection:
        connection.ask(HEALTH)


def _median_warm(measure: Callable[[], float], times: int) -> float:
    measure()
    return statistics.median(measure() for _ in range(times))


FIGURES = (
    Figure("idle_cpu_percent", 0.3, "processor use of an idle node, % of a core", idle_cpu_percent),
    Figure("rss_idle_mb", 60, "resident memory, idle, MB", rss_idle_mb),
    Figure("rss_100k_mb", 120, "resident memory after many submits, MB", rss_100k_mb),
    Figure("start_s", 1.0, "serve until /health answers, warm, s", start_s),
    Figure("help_s", 0.25, "--help, warm, s", help_s),
    Figure("pyz_mb", 15, "size of the one file, MB", pyz_mb),
    Figure("bytes_per_process", None, "bytes on disk per process", bytes_per_process),
)
