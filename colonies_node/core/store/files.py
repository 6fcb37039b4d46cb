"""Revisions of files as they are stored. `seq` is the number of the revision: the latest of a name is the current
one."""

from __future__ import annotations

from typing import Any, Final

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
_BY_NAME = f"select {_COLUMNS} from files where colonyname = ? and label = ? and name = ? order by seq desc limit ?"
LATEST: Final = f"""
    select {_COLUMNS} from files
    where seq in (select max(seq) from files where colonyname = ? and label = ? group by name)
    order by name
"""
"""The current revisions of exactly one label."""
_LABELS = "select label, count(*) from files where colonyname = ? group by label order by label"
_LABEL = "select label, count(*) from files where colonyname = ? and label = ? group by label"
BELOW: Final = """
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


def by_name(tx: Transaction, colonyname: str, label: str, name: str, count: int) -> list[File]:
    """At most `count` revisions of a file, the latest first."""
    return [_file(row) for row in tx.all(_BY_NAME, (colonyname, label, name, count))]


def latest(tx: Transaction, colonyname: str, label: str) -> list[File]:
    """The current revision of every file that carries exactly this label, by name."""
    return [_file(row) for row in tx.all(LATEST, (colonyname, label))]


def labels(tx: Transaction, colonyname: str) -> list[FileLabel]:
    """All labels of a colony by name."""
    return [FileLabel(name=name, files=files) for name, files in tx.all(_LABELS, (colonyname,))]


def label(tx: Transaction, colonyname: str, name: str) -> FileLabel | None:
    """Exactly this label, if a revision carries it."""
    found = tx.one(_LABEL, (colonyname, name))
    return FileLabel(name=found[0], files=found[1]) if found else None


def labels_from(tx: Transaction, colonyname: str, beginning: str) -> list[FileLabel]:
    """The labels that begin with a text, by name."""
    rows = tx.all(BELOW, (colonyname, beginning, beginning + _LAST_CHARACTER))
    return [FileLabel(name=name, files=files) for name, files in rows]


def remove(tx: Transaction, colonyname: str, fileid: str) -> None:
    """Forget one revision."""
    tx.run(_REMOVE, (colonyname, fileid))


def remove_by_name(tx: Transaction, colonyname: str, label: str, name: str) -> None:
    """Forget every revision of a file."""
    tx.run(_REMOVE_BY_NAME, (colonyname, label, name))


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
