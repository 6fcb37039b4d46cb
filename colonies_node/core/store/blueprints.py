"""Definitions, blueprints and their history as they are stored: documents, beside the fields that find them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from colonies_node.core import limits
from colonies_node.core.model.blueprint import Blueprint, BlueprintDefinition, BlueprintHistory
from colonies_node.core.model.wire import encode
from colonies_node.core.store.reply import fitting
from colonies_node.core.store.transaction import Transaction

T = TypeVar("T")

_DEFINITIONS = "select document from blueprintdefinitions where colonyname = ?"
_BLUEPRINTS = "select document from blueprints where colonyname = ?"
_UPDATE = "update blueprints set kind = ?, locationname = ?, document = ? where blueprintid = ?"
_HISTORY = "select document from blueprinthistory where blueprintid = ? order by seq desc limit ?"
_TRIM_HISTORY = """
    delete from blueprinthistory where blueprintid = :id and seq <=
        (select seq from blueprinthistory where blueprintid = :id order by seq desc limit 1 offset :kept)
"""


def add_definition(tx: Transaction, definition: BlueprintDefinition) -> None:
    """Store a definition."""
    about = definition.metadata
    values = (about.colonyname, about.name, definition.spec.names.kind, encode(definition).decode())
    tx.run("insert into blueprintdefinitions (colonyname, name, kind, document) values (?, ?, ?, ?)", values)


def definition(tx: Transaction, colonyname: str, name: str) -> BlueprintDefinition | None:
    """A definition by its own name."""
    return _one(BlueprintDefinition, tx.one(_DEFINITIONS + " and name = ?", (colonyname, name)))


def definition_of_kind(tx: Transaction, colonyname: str, kind: str) -> BlueprintDefinition | None:
    """The definition of a kind; the first by name when there are several."""
    found = tx.one(_DEFINITIONS + " and kind = ? order by name limit 1", (colonyname, kind))
    return _one(BlueprintDefinition, found)


def definitions(tx: Transaction, colonyname: str) -> Iterator[BlueprintDefinition]:
    """The colony's definitions by name."""
    return _many(BlueprintDefinition, tx.each(_DEFINITIONS + " order by name", (colonyname,)))


def remove_definition(tx: Transaction, colonyname: str, name: str) -> None:
    """Forget a definition."""
    tx.run("delete from blueprintdefinitions where colonyname = ? and name = ?", (colonyname, name))


def add(tx: Transaction, blueprint: Blueprint) -> None:
    """Store a new blueprint."""
    about = blueprint.metadata
    tx.run(
        "insert into blueprints (blueprintid, colonyname, name, kind, locationname, document)"
        " values (?, ?, ?, ?, ?, ?)",
        (
            blueprint.blueprintid,
            about.colonyname,
            about.name,
            blueprint.kind,
            about.locationname,
            encode(blueprint).decode(),
        ),
    )


def replace(tx: Transaction, blueprint: Blueprint) -> None:
    """Store a blueprint anew, under the id that it has."""
    document = encode(blueprint).decode()
    tx.run(_UPDATE, (blueprint.kind, blueprint.metadata.locationname, document, blueprint.blueprintid))


def find(tx: Transaction, colonyname: str, name: str) -> Blueprint | None:
    """A blueprint by name."""
    return _one(Blueprint, tx.one(_BLUEPRINTS + " and name = ?", (colonyname, name)))


def by_id(tx: Transaction, blueprintid: str) -> Blueprint | None:
    """A blueprint by id, of whatever colony."""
    return _one(Blueprint, tx.one("select document from blueprints where blueprintid = ?", (blueprintid,)))


def some(tx: Transaction, colonyname: str, kind: str, locationname: str) -> Iterator[Blueprint]:
    """Blueprints by name: all of the colony, those of a kind, or those of a kind at a location, however that is
    capitalised."""
    if not kind:
        return _many(Blueprint, tx.each(_BLUEPRINTS + " order by name", (colonyname,)))
    query = "select document, locationname from blueprints where colonyname = ? and kind = ? order by name"
    place = locationname.lower()
    rows = tx.each(query, (colonyname, kind))
    return _many(Blueprint, (row for row in rows if not place or row[1].lower() == place))


def count_of_kind(tx: Transaction, colonyname: str, kind: str) -> int:
    """How many blueprints of a kind there are."""
    found = tx.one("select count(*) from blueprints where colonyname = ? and kind = ?", (colonyname, kind))
    return found[0] if found else 0


def is_any_at(tx: Transaction, colonyname: str, kind: str, locationname: str) -> bool:
    """Whether there is a blueprint of this kind at exactly this location (empty for none)."""
    query = "select 1 from blueprints where colonyname = ? and kind = ? and locationname = ? limit 1"
    return tx.one(query, (colonyname, kind, locationname)) is not None


def remove(tx: Transaction, blueprintid: str) -> None:
    """Forget a blueprint and its history, which nobody can ask for without it."""
    tx.run("delete from blueprints where blueprintid = ?", (blueprintid,))
    tx.run("delete from blueprinthistory where blueprintid = ?", (blueprintid,))


def note(tx: Transaction, entry: BlueprintHistory) -> None:
    """Keep what a blueprint became; entries beyond limits.MAX_BLUEPRINT_HISTORY go, the oldest first."""
    tx.run(
        "insert into blueprinthistory (blueprintid, document) values (?, ?)",
        (entry.blueprintid, encode(entry).decode()),
    )
    tx.run(_TRIM_HISTORY, {"id": entry.blueprintid, "kept": limits.MAX_BLUEPRINT_HISTORY})


def history(tx: Transaction, blueprintid: str, count: int) -> list[BlueprintHistory]:
    """The latest `count` entries of a blueprint, newest first, as many as one reply can hold."""
    rows = fitting(tx.each(_HISTORY, (blueprintid, count)), lambda row: len(row[0]))
    return list(_many(BlueprintHistory, rows))


def _one(kind: type[T], row: tuple[Any, ...] | None) -> T | None:
    return msgspec.json.decode(row[0], type=kind) if row else None


def _many(kind: type[T], rows: Iterable[tuple[Any, ...]]) -> Iterator[T]:
    """The records of rows that begin with a document."""
    return (msgspec.json.decode(row[0], type=kind) for row in rows)
