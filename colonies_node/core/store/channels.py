"""Channels of processes and their entries as they are stored.

The order of a channel: entries stand as they came, except that those of one sender stand in the order of their
`sequence`. An entry that comes late takes the `place` of the first of its sender that belongs behind it; places
order the channel, and within a place `sequence` does. So nobody else's entries move.

Channels are found by the `seq` of their process, and go with it (schema.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from colonies_node.core.store.transaction import Transaction


class ChannelRow(msgspec.Struct, frozen=True):
    """A row of `channels`, in the order of its columns.

    `entries` and `size` (bytes) are what it keeps, `dropped` how many made room; `paced` is the instant by which all
    that was appended would have been appended at the steady rate.
    """

    process: int
    name: str
    entries: int
    dropped: int
    size: int
    paced: int


class EntryRow(msgspec.Struct, frozen=True):
    """What `channelentries` keeps of an entry; `timestamp` in Unix nanoseconds."""

    sequence: int
    inreplyto: int
    senderid: str
    type: str
    timestamp: int
    payload: bytes | None


_COLUMNS = ", ".join(EntryRow.__struct_fields__)
_FIND = "select process, name, entries, dropped, size, paced from channels where process = ? and name = ?"
_KEEP = "update channels set entries = ?, dropped = ?, size = ?, paced = ? where process = ? and name = ?"
LATER: Final = """
    select place from channelentries where process = ? and name = ? and senderid = ? and sequence > ?
    order by sequence, place limit 1
"""
"""The place of the first entry of a sender that belongs behind a number."""
_INSERT = f"""
    insert into channelentries (seq, process, name, place, {_COLUMNS})
    select next, ?, ?, ifnull(?, next), ?, ?, ?, ?, ?, ?
    from (select ifnull(max(seq), 0) + 1 as next from channelentries)
"""
_ORDER = "where process = ? and name = ? order by place, sequence, seq"
OLDEST: Final = f"select seq, ifnull(length(payload), 0) from channelentries {_ORDER} limit 1"
IN_ORDER: Final = f"select {_COLUMNS} from channelentries {_ORDER} limit ? offset ?"


def declare(tx: Transaction, process: int, names: list[str]) -> None:
    """Give a process its channels."""
    for name in names:
        tx.run("insert into channels (process, name) values (?, ?)", (process, name))


def find(tx: Transaction, process: int, name: str) -> ChannelRow | None:
    """A channel of a process."""
    found = tx.one(_FIND, (process, name))
    return ChannelRow(*found) if found else None


def paced(tx: Transaction, process: int) -> int:
    """The latest `paced` of the channels of a process."""
    found = tx.one("select max(paced) from channels where process = ?", (process,))
    return found[0] or 0 if found else 0


def update(tx: Transaction, row: ChannelRow) -> None:
    """Keep what changes in the life of a channel."""
    tx.run(_KEEP, (row.entries, row.dropped, row.size, row.paced, row.process, row.name))


def add(tx: Transaction, channel: ChannelRow, entry: EntryRow) -> None:
    """Put an entry into its place."""
    later = tx.one(LATER, (channel.process, channel.name, entry.senderid, entry.sequence))
    tx.run(_INSERT, (channel.process, channel.name, later[0] if later else None, *msgspec.structs.astuple(entry)))


def drop_oldest(tx: Transaction, channel: ChannelRow) -> int:
    """Remove the first entry; how many bytes it had."""
    found = tx.one(OLDEST, (channel.process, channel.name))
    assert found is not None, "the channel has entries"
    tx.run("delete from channelentries where seq = ?", found[:1])
    size: int = found[1]
    return size


def in_order(tx: Transaction, channel: ChannelRow, skip: int, count: int) -> Iterator[EntryRow]:
    """At most `count` entries after the first `skip` that the channel keeps; a negative count is no bound."""
    values: tuple[Any, ...] = (channel.process, channel.name, count, skip)
    return (EntryRow(*row) for row in tx.each(IN_ORDER, values))
