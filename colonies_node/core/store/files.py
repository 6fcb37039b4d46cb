"""Revisions of files as they are stored. `seq` is the number of the revision: the latest of a name is the current
one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from colonies_node.core.model.file import File, FileLabel, Reference
from colonies_node.core.model.times import format_time
from colonies_node.core.model.wire import encode
from colonies_node.core.store.transaction import Transaction

_COLUMNS = "seq, fileid, colonyname, label, name, size, checksum, checksumalg, ref, added"
_INSERT = """
    insert into files (fileid, colonyname, label, name, size, checksum, checksumalg, ref, added)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?) returning seq
"""
_BY_ID = f"select {_COLUMNS} from files where fileid = ?"
_BY_NAME = f"select {_COLUMNS} from files where colonyname = ? and label = ? and name = ? order by seq desc"
_LATEST = f"""
    select {_COLUMNS} from files
    join (select max(seq) as latest from files where colonyname = ? and label = ? group by name) on seq = latest
"""
"""The current revisions of exactly one label."""
_CURRENT_BELOW = """
    select fileid from files join (
        select max(seq) as latest from files where colonyname = :colony and label = :label group by name
        union all
        select max(seq) from files where colonyname = :colony and label >= :first and label < :last
        group by label, name
        limit :count
    ) on seq = latest order by label, name
"""
"""The ids of the current revisions of a label and of those below it."""
_LABELS = "select label, count(*) from files where colonyname = ? group by label order by label"
_LABEL = "select label, count(*) from files where colonyname = ? and label = ? group by label"
_BELOW = """
    select label, count(*) from files where colonyname = ? and label >= ? and label < ? group by label order by label
"""
"""Labels that begin with a text, as a range of the index: nothing in the text is a wildcard."""
_REMOVE = "delete from files where colonyname = ? and fileid = ?"
_REMOVE_BY_NAME = "delete from files where colonyname = ? and label = ? and name = ?"
_LAST_CHARACTER = chr(0x10FFFF)


def insert(tx: Transaction, file: File) -> File:
    """Store a revision; the file with its number and the instant of now."""
    values = (
        file.fileid,
        file.colonyname,
        file.label,
        file.name,
        file.size,
        file.checksum,
        file.checksumalg,
        encode(file.ref).decode(),
        tx.now,
    )
    given = tx.one(_INSERT, values)
    assert given is not None, "an insert returns its row"
    return msgspec.structs.replace(file, sequencenr=given[0], added=format_time(tx.now))


def by_id(tx: Transaction, fileid: str) -> File | None:
    """A revision by id."""
    found = tx.one(_BY_ID, (fileid,))
    return _file(found) if found else None


def by_name(tx: Transaction, colonyname: str, label: str, name: str) -> Iterator[File]:
    """The revisions of a file, the latest first."""
    return map(_file, tx.each(_BY_NAME, (colonyname, label, name)))


def latest(tx: Transaction, colonyname: str, label: str) -> Iterator[File]:
    """The current revision of every file that carries exactly this label."""
    return map(_file, tx.each(_LATEST, (colonyname, label)))


def current_below(tx: Transaction, colonyname: str, label: str, count: int) -> list[str]:
    """The ids of the current revisions of a label and of those below it, at most `count`, by label and name."""
    first = label + "/"
    values = {"colony": colonyname, "label": label, "first": first, "last": first + _LAST_CHARACTER, "count": count}
    return [fileid for (fileid,) in tx.all(_CURRENT_BELOW, values)]


def labels(tx: Transaction, colonyname: str) -> Iterator[FileLabel]:
    """All labels of a colony by name."""
    return map(_label, tx.each(_LABELS, (colonyname,)))


def label(tx: Transaction, colonyname: str, name: str) -> FileLabel | None:
    """Exactly this label, if a revision carries it."""
    found = tx.one(_LABEL, (colonyname, name))
    return _label(found) if found else None


def labels_from(tx: Transaction, colonyname: str, beginning: str) -> Iterator[FileLabel]:
    """The labels that begin with a text, by name."""
    return map(_label, tx.each(_BELOW, (colonyname, beginning, beginning + _LAST_CHARACTER)))


def remove(tx: Transaction, colonyname: str, fileid: str) -> None:
    """Forget one revision."""
    tx.run(_REMOVE, (colonyname, fileid))


def remove_by_name(tx: Transaction, colonyname: str, label: str, name: str) -> None:
    """Forget every revision of a file."""
    tx.run(_REMOVE_BY_NAME, (colonyname, label, name))


def _label(row: tuple[Any, ...]) -> FileLabel:
    return FileLabel(name=row[0], files=row[1])


def _file(row: tuple[Any, ...]) -> File:
    return File(
        fileid=row[1],
        colonyname=row[2],
        label=row[3],
        name=row[4],
        size=row[5],
        sequencenr=row[0],
        checksum=row[6],
        checksumalg=row[7],
        ref=msgspec.json.decode(row[8], type=Reference),
        added=format_time(row[9]),
    )
