"""How waiting for a process ends when not with its result.

ColonyError
├── NotFinished             the process has not ended in the time that the caller gave; it goes on
└── Unsuccessful            the process has ended, without a result: `process` is its record
    ├── ProcessFailed       it failed: `errors` says why
    └── ProcessCancelled    somebody cancelled it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from colonies_node.core.errors import ColonyError

if TYPE_CHECKING:
    from colonies_node.client.records import ProcessRecord


class NotFinished(ColonyError):
    """The process did not finish within the time that the caller gave it."""

    code = "not_finished"


class Unsuccessful(ColonyError):
    """The process has ended without a result."""

    code = "unsuccessful"

    def __init__(self, message: str, process: ProcessRecord) -> None:
        super().__init__(message)
        self.process = process


class ProcessFailed(Unsuccessful):
    """The process failed."""

    code = "process_failed"

    @property
    def errors(self) -> list[str]:
        """What its executor, or the server, gave as the reason."""
        return self.process.errors


class ProcessCancelled(Unsuccessful):
    """The process was cancelled."""

    code = "process_cancelled"
