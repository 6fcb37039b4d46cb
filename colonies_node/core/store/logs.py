"""What processes and executors logged, as it is stored. Every entry has an instant of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from colonies_node.core.model.process import Log
from colonies_node.core.model.sync import Line
from colonies_node.core.store.reply import fitting
from colonies_node.core.store.transaction import Transaction

_COLUMNS: Final = "processid, colonyname, executorname, message, timestamp"

_ADD = "insert into logs (colonyname, processid, executorname, message, timestamp) values (?, ?, ?, ?, ?)"
AFTER: Final = """
    select seq, executorname, message, timestamp from logs
    where processid = ? and processid <> '' and seq > ? order by seq
"""
_POSITION: Final = """
    select max(seq) from (select seq from logs where processid = ? and processid <> '' order by seq limit ?)
"""
_LINE: Final = 40
"""What an entry takes in a letter besides its message."""

BY: Final = {
    "process": "processid = :value and processid <> '' and colonyname = :colony",
    "executor": "executorname = :value and colonyname = :colony",
}
SINCE: Final = "select {columns} from logs where {by} and timestamp > :since order by timestamp limit :count"
LATEST: Final = "select {columns} from logs where {by} order by timestamp desc limit :count"
SEARCH: Final = (
    f"select {_COLUMNS} from logs where colonyname = ? and timestamp >= ? and message like ? escape '\\'"
    " order by timestamp limit ?"
)


def add(tx: Transaction, colonyname: str, processid: str, executorname: str, message: str) -> None:
    """Store an entry; `processid` is empty for what an executor says of itself."""
    tx.run(_ADD, (colonyname, processid, executorname, message, tx.stamp()))


def add_from(tx: Transaction, colonyname: str, processid: str, line: Line) -> None:
    """Store an entry that was written on another node, with its instant there."""
    tx.run(_ADD, (colonyname, processid, line.executorname, line.message, line.timestamp))


def after(tx: Transaction, processid: str, position: int, size: int) -> tuple[list[Line], bool]:
    """Entries of a process behind a position, of about `size` characters, at least one; and whether there are more."""
    found: list[Line] = []
    for seq, executorname, message, timestamp in tx.each(AFTER, (processid, position)):
        if found and size < len(message):
            return found, True
        size -= len(message) + _LINE
        found.append(Line(position=seq, executorname=executorname, message=message, timestamp=timestamp))
    return found, False


def position(tx: Transaction, processid: str, number: int) -> int:
    """The position of the entry of a process that is the `number`th, or of its last; 0 for none."""
    found = tx.one(_POSITION, (processid, number))
    return found[0] or 0 if found else 0


def read(tx: Transaction, colonyname: str, by: str, value: str, count: int, since: int, latest: bool) -> list[Log]:
    """At most `count` entries of a process or executor, oldest first.

    The newest ones when `latest`; else the first ones after `since` (Unix nanoseconds, 0 for the beginning). Fewer when
    they are longer than limits.MAX_REPLY together.
    """
    query = (LATEST if latest else SINCE).format(columns=_COLUMNS, by=BY[by])
    values: dict[str, object] = {"colony": colonyname, "value": value, "count": count}
    if not latest:
        values["since"] = max(since, 0)
    found = _logs(tx.each(query, values))
    return found[::-1] if latest else found


def search(tx: Transaction, colonyname: str, pattern: str, since: int, count: int) -> list[Log]:
    """Entries since an instant whose message contains the pattern (LIKE: `%` and `_` are wild, `\\` escapes)."""
    return _logs(tx.each(SEARCH, (colonyname, since, f"%{pattern}%", count)))


def _logs(rows: Iterable[tuple[str, str, str, str, int]]) -> list[Log]:
    return [
        Log(
            processid=processid,
            colonyname=colonyname,
            executorname=executorname,
            message=message,
            timestamp=timestamp,
        )
        for processid, colonyname, executorname, message, timestamp in fitting(rows, lambda row: len(row[3]))
    ]
