"""Crons as they are stored. A held one is due but waits for its previous workflow."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from colonies_node.core.store.reply import fitting
from colonies_node.core.store.transaction import Transaction


class CronRow(msgspec.Struct, frozen=True):
    """A row of `crons`, in the order of its columns. Instants are Unix nanoseconds, 0 for never."""

    cronid: str
    colonyname: str
    name: str
    initiatorid: str
    initiatorname: str
    cronexpression: str
    interval: int
    random: int
    nextrun: int
    lastrun: int
    workflowspec: str
    prevprocessgraphid: str
    waitforprevprocessgraph: int
    held: int


COLUMNS: Final = ", ".join(CronRow.__struct_fields__)
_INSERT = f"insert into crons ({COLUMNS}) values ({', '.join('?' * len(CronRow.__struct_fields__))})"
_DUE = f"select {COLUMNS} from crons where held = 0 and nextrun > 0 and nextrun <= ? order by nextrun limit ?"
_NEXT_DUE = "select min(nextrun) from crons where held = 0 and nextrun > 0"
_RAN = "update crons set nextrun = ?, lastrun = ?, prevprocessgraphid = ?, held = 0 where cronid = ?"


def insert(tx: Transaction, row: CronRow) -> None:
    """Store a new cron."""
    tx.run(_INSERT, msgspec.structs.astuple(row))


def find(tx: Transaction, cronid: str) -> CronRow | None:
    """A cron by id."""
    return _row(tx.one(f"select {COLUMNS} from crons where cronid = ?", (cronid,)))


def by_name(tx: Transaction, colonyname: str, name: str) -> CronRow | None:
    """A cron by name."""
    return _row(tx.one(f"select {COLUMNS} from crons where colonyname = ? and name = ?", (colonyname, name)))


def of_colony(tx: Transaction, colonyname: str, count: int) -> list[CronRow]:
    """At most `count` crons of a colony by name, as many as one reply can hold."""
    query = f"select {COLUMNS} from crons where colonyname = ? order by name limit ?"
    rows = (CronRow(*row) for row in tx.each(query, (colonyname, count)))
    return fitting(rows, lambda row: len(row.workflowspec))


def everywhere(tx: Transaction) -> list[CronRow]:
    """Every cron of the server."""
    return [CronRow(*row) for row in tx.all(f"select {COLUMNS} from crons order by cronid")]


def due(tx: Transaction, count: int) -> list[CronRow]:
    """At most `count` crons whose instant has come."""
    return [CronRow(*row) for row in tx.all(_DUE, (tx.now, count))]


def next_due(tx: Transaction) -> int:
    """The next instant of any cron that is not held, 0 for none."""
    found = tx.one(_NEXT_DUE)
    return found[0] or 0 if found else 0


def ran(tx: Transaction, cronid: str, nextrun: int, lastrun: int, prevprocessgraphid: str) -> None:
    """Keep what a run leaves."""
    tx.run(_RAN, (nextrun, lastrun, prevprocessgraphid, cronid))


def set_nextrun(tx: Transaction, cronid: str, nextrun: int) -> None:
    """Let the cron run at another instant."""
    tx.run("update crons set nextrun = ? where cronid = ?", (nextrun, cronid))


def hold(tx: Transaction, cronid: str) -> None:
    """Let the cron wait until `release` names its previous workflow."""
    tx.run("update crons set held = 1 where cronid = ?", (cronid,))


def release(tx: Transaction, processgraphid: str) -> int:
    """Let crons run that were held for this workflow; how many there were."""
    return tx.run("update crons set held = 0 where held = 1 and prevprocessgraphid = ?", (processgraphid,))


def remove(tx: Transaction, cronid: str) -> None:
    """Forget a cron."""
    tx.run("delete from crons where cronid = ?", (cronid,))


def _row(found: tuple[Any, ...] | None) -> CronRow | None:
    return CronRow(*found) if found else None
