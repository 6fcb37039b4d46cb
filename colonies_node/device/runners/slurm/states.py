"""The states of a Slurm job: which of them are not its end, and what each end means to who submitted the process."""

from __future__ import annotations

from typing import Final

from colonies_node.device.runners.slurm.commands import Record

WAITING: Final = frozenset(("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"))
AT_WORK: Final = frozenset(
    ("RUNNING", "SUSPENDED", "STOPPED", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "EXPEDITING")
)
ACTIVE: Final = WAITING | AT_WORK
"""Not the end; any state that a later Slurm adds and that is not among these counts as an end."""

BY_SLURM: Final = {
    "TIMEOUT": "it ran longer than its time limit",
    "DEADLINE": "it could not end before its deadline",
    "OUT_OF_MEMORY": "it used more memory than it was given",
    "NODE_FAIL": "a node that it ran on failed",
    "BOOT_FAIL": "a node could not be started for it",
    "PREEMPTED": "a job of higher priority took its place",
    "CANCELLED": "somebody cancelled it in Slurm",
    "REVOKED": "another cluster took it",
    "LAUNCH_FAILED": "it could not be started on its node",
    "RECONFIG_FAIL": "a node could not be configured for it",
}
"""Ends that are not the program's own doing."""


def explained(number: str, record: Record | None, *, folder: str) -> str:
    """The sentence for a job that has left no exit status of its own."""
    job = f"Slurm job {number}" if number else "The Slurm job"
    if record is None:
        return (
            f"{job} is gone without a trace: it left no exit status, and neither the controller nor the accounting "
            "knows it."
        )
    reason = f" ({record.reason})" if record.reason else ""
    if why := BY_SLURM.get(record.state):
        return f"{job} ended as {record.state}: {why}{reason}."
    return (
        f"{job} ended as {record.state}{reason} with exit status {record.code}:{record.signal} before its script had "
        f"noted one. The script is in {folder}, which has to be on a file system that the compute nodes see."
    )
