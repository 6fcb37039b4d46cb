"""Generators as they are stored, and the arguments that wait in them, in the order in which they were packed."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from colonies_node.core.store.reply import fitting
from colonies_node.core.store.transaction import Transaction


class GeneratorRow(msgspec.Struct, frozen=True):
    """A row of `generators`, in the order of its columns. Instants are Unix nanoseconds, 0 for never.

    `pile` is the number of arguments that start a workflow (`trigger` is a word of SQL); `due` is when there is
    something to start.
    """

    generatorid: str
    colonyname: str
    name: str
    initiatorid: str
    initiatorname: str
    workflowspec: str
    pile: int
    timeout: int
    firstpack: int
    lastrun: int
    queuesize: int
    due: int


COLUMNS: Final = ", ".join(GeneratorRow.__struct_fields__)
_INSERT = f"insert into generators ({COLUMNS}) values ({', '.join('?' * len(GeneratorRow.__struct_fields__))})"
_DUE = f"select {COLUMNS} from generators where due > 0 and due <= ? order by due limit ?"
_SET = """
    update generators set firstpack = ?, lastrun = ?, queuesize = ?, due = ? where generatorid = ?
"""
_FIRST_ARGS = "select seq, arg from generatorargs where generatorid = ? order by seq limit ?"


def insert(tx: Transaction, row: GeneratorRow) -> None:
    """Store a new generator."""
    tx.run(_INSERT, msgspec.structs.astuple(row))


def find(tx: Transaction, generatorid: str) -> GeneratorRow | None:
    """A generator by id."""
    return _row(tx.one(f"select {COLUMNS} from generators where generatorid = ?", (generatorid,)))


def by_name(tx: Transaction, colonyname: str, name: str) -> GeneratorRow | None:
    """A generator by name."""
    return _row(tx.one(f"select {COLUMNS} from generators where colonyname = ? and name = ?", (colonyname, name)))


def of_colony(tx: Transaction, colonyname: str, count: int) -> list[GeneratorRow]:
    """At most `count` generators of a colony by name, as many as one reply can hold."""
    query = f"select {COLUMNS} from generators where colonyname = ? order by name limit ?"
    rows = (GeneratorRow(*row) for row in tx.each(query, (colonyname, count)))
    return fitting(rows, lambda row: len(row.workflowspec))


def due(tx: Transaction, count: int) -> list[GeneratorRow]:
    """At most `count` generators that have something to start now."""
    return [GeneratorRow(*row) for row in tx.all(_DUE, (tx.now, count))]


def next_due(tx: Transaction) -> int:
    """The next instant at which a generator has something to start, 0 for none."""
    found = tx.one("select min(due) from generators where due > 0")
    return found[0] or 0 if found else 0


def update(tx: Transaction, row: GeneratorRow) -> None:
    """Keep what changes in the life of a generator."""
    tx.run(_SET, (row.firstpack, row.lastrun, row.queuesize, row.due, row.generatorid))


def move_due(tx: Transaction, step: int) -> None:
    """Let what is still to come be as far away as before the clock was set by `step` nanoseconds."""
    tx.run("update generators set due = due + ? where due > ?", (step, tx.now - step))


def add_arg(tx: Transaction, generatorid: str, arg: str) -> None:
    """Keep an argument, behind those before it."""
    tx.run("insert into generatorargs (generatorid, arg) values (?, ?)", (generatorid, arg))


def take_args(tx: Transaction, generatorid: str, count: int) -> list[str]:
    """Take the first `count` arguments out of the generator."""
    found = tx.all(_FIRST_ARGS, (generatorid, count))
    if found:
        tx.run("delete from generatorargs where generatorid = ? and seq <= ?", (generatorid, found[-1][0]))
    return [arg for _, arg in found]


def remove(tx: Transaction, generatorid: str) -> None:
    """Forget a generator and the arguments in it."""
    tx.run("delete from generatorargs where generatorid = ?", (generatorid,))
    tx.run("delete from generators where generatorid = ?", (generatorid,))


def _row(found: tuple[Any, ...] | None) -> GeneratorRow | None:
    return GeneratorRow(*found) if found else None
