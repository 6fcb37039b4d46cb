"""Where a process is and where it is from, shown as attributes: every client shows those."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from colonies_node.core.identity import attribute_id
from colonies_node.core.model.process import Attribute
from colonies_node.core.store import attributes, executors, processes, shares
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.transaction import Transaction

PREFIX: Final = "sync."
"""Attributes that are a node's own notes: each node writes them for itself."""

WHERE: Final = "sync.where"
"""Who runs it, as seen from here: names of upstream or lower nodes, and of the executor at the end."""

ORIGIN: Final = "sync.origin"
"""Which node it was submitted on, as seen from here."""

LATE: Final = "sync.late"
"""What another node says became of it, after it had ended here or was given to somebody else."""

NOTE: Final = 1
"""`attributetype` of the notes: something that came out of the process."""


def too_late(tx: Transaction, process: ProcessRow, what: str) -> None:
    """Note what another node says of a process too late, over an older note."""
    if attributes.put(tx, _remark(process, LATE, what)):
        processes.mark_attributes(tx, process.processid)
        shares.touch(tx, process.processid)


def runs_at(tx: Transaction, process: ProcessRow, path: str) -> ProcessRow:
    """Note who runs a process elsewhere; the process after it."""
    if path == process.runsat:
        return process
    shares.touch(tx, process.processid)
    return processes.set_runsat(tx, process, path)


def remarks(process: ProcessRow) -> list[Attribute]:
    """What a process's own record says of where it is and where it is from."""
    noted = (ORIGIN, process.camefrom), (WHERE, process.runsat)
    return [_remark(process, key, path) for key, path in noted if path]


def _remark(process: ProcessRow, key: str, value: str) -> Attribute:
    return Attribute(
        attributeid=attribute_id(process.processid, key, NOTE),
        targetid=process.processid,
        targetcolonyname=process.colonyname,
        targetprocessgraphid=process.processgraphid,
        state=process.state,
        attributetype=NOTE,
        key=key,
        value=value,
    )


def runners(tx: Transaction) -> Callable[[ProcessRow], str]:
    """What says who runs a process, or ran it, as seen from here; it looks each executor up once."""

    @functools.cache
    def name_of(colonyname: str, executorid: str) -> str:
        executor = executors.by_id(tx, colonyname, executorid)
        return executor.executorname if executor else ""

    def where(process: ProcessRow) -> str:
        if process.runsat or not process.assignedexecutorid:
            return process.runsat
        return name_of(process.colonyname, process.assignedexecutorid)

    return where


def path(first: str, rest: str) -> str:
    """A name and what comes behind it."""
    return f"{first}/{rest}" if rest else first
