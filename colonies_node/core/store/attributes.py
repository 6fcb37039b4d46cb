"""Attributes as they are stored. Their state is that of their process, so it is not stored twice."""

from __future__ import annotations

from typing import Any, Final

from colonies_node.core.model.process import Attribute
from colonies_node.core.store.transaction import Transaction

_COLUMNS: Final = (
    "attributeid",
    "targetid",
    "targetcolonyname",
    "targetprocessgraphid",
    "attributetype",
    "key",
    "value",
)
_SELECT = f"select {', '.join(_COLUMNS)} from attributes"


def add(tx: Transaction, attribute: Attribute) -> None:
    """Store an attribute; its id must be new."""
    tx.run(
        f"insert into attributes ({', '.join(_COLUMNS)}) values (?, ?, ?, ?, ?, ?, ?)",
        [getattr(attribute, name) for name in _COLUMNS],
    )


def put(tx: Transaction, attribute: Attribute) -> bool:
    """Store an attribute, or give the one with its id another value; whether that changed anything."""
    query = f"""
        insert into attributes ({", ".join(_COLUMNS)}) values (?, ?, ?, ?, ?, ?, ?)
        on conflict (attributeid) do update set value = excluded.value where value <> excluded.value
    """
    return tx.run(query, [getattr(attribute, name) for name in _COLUMNS]) > 0


def find(tx: Transaction, attributeid: str) -> Attribute | None:
    """An attribute by id."""
    found = tx.one(_SELECT + " where attributeid = ?", (attributeid,))
    return _attribute(found) if found else None


def of_process(tx: Transaction, processid: str) -> list[Attribute]:
    """The attributes of a process, by type and key."""
    rows = tx.all(_SELECT + " where targetid = ? order by attributetype, key", (processid,))
    return [_attribute(row) for row in rows]


def number_of(tx: Transaction, processid: str) -> int:
    """How many attributes a process has."""
    found = tx.one("select count(*) from attributes where targetid = ?", (processid,))
    return found[0] if found else 0


def remove_of(tx: Transaction, processid: str) -> None:
    """Forget the attributes of a process."""
    tx.run("delete from attributes where targetid = ?", (processid,))


def _attribute(row: tuple[Any, ...]) -> Attribute:
    return Attribute(**dict(zip(_COLUMNS, row, strict=True)))
