"""The state machines of processes and executors, as tables. Whatever is not in a table may not happen."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class ProcessState(IntEnum):
    """Where a process is in its life; the numbers are on the wire."""

    WAITING = 0
    RUNNING = 1
    SUCCESS = 2
    FAILED = 3
    CANCELLED = 4


class ExecutorState(IntEnum):
    """Whether a colony trusts an executor; the numbers are on the wire."""

    PENDING = 0
    APPROVED = 1
    REJECTED = 2
    UNREGISTERED = 3


NOT_SET: Final = -1
"""The state filter that means "any"."""


def graph_state(waiting: int, running: int, successful: int, failed: int, cancelled: int) -> ProcessState:
    """The state of a workflow with so many members in each state."""
    if failed:
        return ProcessState.FAILED
    if cancelled:
        return ProcessState.CANCELLED
    if successful and not waiting and not running:
        return ProcessState.SUCCESS
    return ProcessState.RUNNING if successful or running else ProcessState.WAITING


PROCESS_MOVES: Final[dict[tuple[ProcessState, str], ProcessState]] = {
    (ProcessState.WAITING, "assign"): ProcessState.RUNNING,
    (ProcessState.WAITING, "expire"): ProcessState.FAILED,
    (ProcessState.WAITING, "cancel"): ProcessState.CANCELLED,
    (ProcessState.RUNNING, "succeed"): ProcessState.SUCCESS,
    (ProcessState.RUNNING, "fail"): ProcessState.FAILED,
    (ProcessState.RUNNING, "expire"): ProcessState.FAILED,
    (ProcessState.RUNNING, "requeue"): ProcessState.WAITING,
    (ProcessState.RUNNING, "cancel"): ProcessState.CANCELLED,
    # Clients close again to replace the output of what already succeeded (DEVIATIONS 27).
    (ProcessState.SUCCESS, "succeed"): ProcessState.SUCCESS,
}
"""(state, what happens) → state after it."""

PROCESS_REFUSALS: Final[dict[tuple[ProcessState, str], str]] = {
    (ProcessState.FAILED, "succeed"): "Tried to set failed process as successful",
    (ProcessState.CANCELLED, "succeed"): "Tried to set cancelled process as successful",
    (ProcessState.WAITING, "succeed"): "Tried to set waiting process as successful without being running",
    (ProcessState.WAITING, "fail"): "Tried to set waiting process as failed without being running",
    (ProcessState.SUCCESS, "fail"): "Tried to set successful process as failed",
    (ProcessState.FAILED, "fail"): "Tried to set failed process as failed",
    (ProcessState.CANCELLED, "fail"): "Tried to set cancelled process as failed",
    (ProcessState.SUCCESS, "cancel"): "Tried to cancel successful process",
    (ProcessState.FAILED, "cancel"): "Tried to cancel failed process",
    (ProcessState.CANCELLED, "cancel"): "Tried to cancel already cancelled process",
}
"""(state, what was asked) → the text that clients know."""

EXECUTOR_MOVES: Final[dict[str, ExecutorState]] = {
    "register": ExecutorState.PENDING,
    "approve": ExecutorState.APPROVED,
    "reject": ExecutorState.REJECTED,
    "remove": ExecutorState.UNREGISTERED,
}
"""Each is allowed from any state: an owner may change her mind, and a name may come back."""
