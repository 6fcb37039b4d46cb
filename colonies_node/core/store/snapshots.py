"""Snapshots as they are stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from colonies_node.core.model.file import Snapshot
from colonies_node.core.model.times import format_time
from colonies_node.core.store.transaction import Transaction

_COLUMNS = "snapshotid, colonyname, label, name, fileids, added"
_OF_COLONY = f"select {_COLUMNS} from snapshots where colonyname = ?"


def insert(tx: Transaction, snapshot: Snapshot) -> None:
    """Store a snapshot, taken now."""
    fileids = json.dumps(snapshot.fileids or [])
    values = (snapshot.snapshotid, snapshot.colonyname, snapshot.label, snapshot.name, fileids, tx.now)
    tx.run(f"insert into snapshots ({_COLUMNS}) values (?, ?, ?, ?, ?, ?)", values)


def by_id(tx: Transaction, colonyname: str, snapshotid: str) -> Snapshot | None:
    """A snapshot by id."""
    found = tx.one(_OF_COLONY + " and snapshotid = ?", (colonyname, snapshotid))
    return _snapshot(found) if found else None


def by_name(tx: Transaction, colonyname: str, name: str) -> Snapshot | None:
    """A snapshot by name."""
    found = tx.one(_OF_COLONY + " and name = ?", (colonyname, name))
    return _snapshot(found) if found else None


def all_of(tx: Transaction, colonyname: str) -> Iterator[Snapshot]:
    """Every snapshot of a colony, the latest first."""
    return map(_snapshot, tx.each(_OF_COLONY + " order by added desc, name", (colonyname,)))


def remove(tx: Transaction, colonyname: str, snapshotid: str) -> None:
    """Forget a snapshot."""
    tx.run("delete from snapshots where colonyname = ? and snapshotid = ?", (colonyname, snapshotid))


def remove_all(tx: Transaction, colonyname: str) -> None:
    """Forget every snapshot of a colony."""
    tx.run("delete from snapshots where colonyname = ?", (colonyname,))


def _snapshot(row: tuple[Any, ...]) -> Snapshot:
    return Snapshot(
        snapshotid=row[0],
        colonyname=row[1],
        label=row[2],
        name=row[3],
        fileids=json.loads(row[4]) or None,
        added=format_time(row[5]),
    )
