"""What a former life of the executor left behind when it ended without warning.

Its programs have died with it (see `supervisor.py`) unless their guardians were killed too; those that still run are
found by the COLONIES_PROCESS_ID in their environment, which no unrelated program has, and killed. A result on disk is
delivered. A process that was written down goes on somewhere else, and is taken up again. Any other that was started and
has no result fails with a sentence: running it again could do its work twice, and leaving it would let it count as
running for ever.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from colonies_node.device.desk import Desks
from colonies_node.device.results import Outcome, Results

RESTARTED = "The executor restarted while the process ran."


def settle(
    desks: Desks, results: Results, say: Callable[[str], None], *, outlives: Callable[[str], bool] = lambda _: False
) -> list[dict[str, Any]]:
    """Kill what still runs of a former life, and give every process that it left without a result one.

    Not so for those whose function goes on without us, as `outlives` says: these are given back, to be taken up.
    """
    occupied = list(desks.occupied())
    unfinished = [processid for processid in occupied if not results.path(processid).exists()]
    kept = [process for processid in unfinished if (process := desks.kept_process(processid))]
    going_on = [process for process in kept if outlives(process["spec"]["funcname"])]
    ours_to_end = set(occupied) - {process["processid"] for process in going_on}
    for pid in kill_survivors(ours_to_end):  # the machine of a batch queue may be this one
        say(f"Killed process {pid} of this machine, which a former life of this executor had left running.")
    for processid in set(unfinished) - {process["processid"] for process in going_on}:
        say(f"Process {processid} was running when this executor ended; it is reported as failed.")
        results.write(Outcome(processid, time.time_ns(), False, errors=[RESTARTED]))
    return going_on


def kill_survivors(processids: Collection[str]) -> list[int]:
    """Kill every program of this machine that was started for one of the processes; their pids."""
    marks = {f"COLONIES_PROCESS_ID={processid}".encode() for processid in processids}
    if not marks:
        return []
    return [pid for pid in _pids() if _kill_if_marked(pid, marks)]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _kill_if_marked(pid: int, marks: set[bytes]) -> bool:
    """Kill a program if its environment has one of the marks. The descriptor keeps its number from meaning
    another.
    """
    if pid == os.getpid():
        return False
    try:
        handle = os.pidfd_open(pid)
    except OSError:  # it has ended
        return False
    try:
        if marks.isdisjoint(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        return True
    except OSError:  # another user's, or it has ended
        return False
    finally:
        os.close(handle)
