"""Channels: what a process's submitter and its executor say to each other while it waits and runs.

A process has the channels that its spec names, until it ends. Entries are kept on disk; when a channel is full, its
oldest entries make room. Readers count: `afterseq` is the number of entries to skip of all that the channel ever had.
So who has read n entries goes on with n, also after some of them have made room.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from colonies_node.core import limits
from colonies_node.core.broker.call import DONE, Call, Done
from colonies_node.core.errors import BadRequest, Denied, NotFound
from colonies_node.core.events import EntryAppended
from colonies_node.core.model import messages as m
from colonies_node.core.model.channel import Entry, Octets
from colonies_node.core.model.times import SECOND, format_time
from colonies_node.core.store import channels
from colonies_node.core.store.channels import ChannelRow, EntryRow
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.transaction import Transaction

_INTERVAL: Final = SECOND // limits.APPENDS_PER_SECOND
_AHEAD: Final = limits.APPEND_BURST * _INTERVAL
"""How far the steady rate may lag behind what was appended."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """A part of what a channel holds, the `afterseq` that goes on behind it, and whether there is nothing more."""

    colonyname: str
    entries: list[Entry]
    afterseq: int
    complete: bool


def declare(tx: Transaction, process: ProcessRow, names: list[str]) -> None:
    """Give a new process the channels that its spec names; those over the bound are passed over, as in the
    reference."""
    channels.declare(tx, process.seq, list(dict.fromkeys(names))[: limits.MAX_CHANNELS])


def append(tx: Transaction, message: m.ChannelAppend, call: Call) -> Done:
    """Say something on a channel."""
    payload = _octets(message.payload)
    if payload is not None and len(payload) > limits.MAX_ENTRY:
        raise BadRequest("message payload exceeds maximum size", status=500)
    if len(message.payloadtype) > limits.MAX_NAME:
        raise BadRequest(
            f"The type of an entry must have at most {limits.MAX_NAME} characters, got {len(message.payloadtype)}"
        )
    channel = _require_channel(tx, call.process, message.name, call, "write to")
    entry = EntryRow(
        sequence=message.sequence,
        inreplyto=message.inreplyto,
        senderid=call.caller,
        type=message.payloadtype or "data",
        timestamp=tx.now,
        payload=payload,
    )
    channel = _paced(tx, channel)
    channel = _with_room(tx, channel, len(payload or b""))
    channels.add(tx, channel, entry)
    channels.update(tx, channel)
    tx.emit(EntryAppended(call.process.processid, channel.name, _show(entry)))
    return DONE


def read(tx: Transaction, message: m.ChannelRead, call: Call) -> list[Entry]:
    """Entries in order; a reply that would be too large ends early, and its reader goes on behind it."""
    channel = _require_channel(tx, call.process, message.name, call, "read from")
    return _entries(tx, channel, message.afterseq, message.limit, limits.MAX_REPLY // 2)


def may_be_long(message: m.ChannelRead) -> bool:
    """Whether a read may bring many entries."""
    return not 0 < message.limit <= limits.MAX_LIST


def catch_up(tx: Transaction, message: m.SubscribeChannel, call: Call) -> Backlog:
    """The next part of what a new listener has missed."""
    channel = _require_channel(tx, call.process, message.name, call, "subscribe to")
    entries = _entries(tx, channel, message.afterseq, 0, limits.BACKLOG_PART)
    afterseq = max(message.afterseq, channel.dropped) + len(entries)
    return Backlog(call.process.colonyname, entries, afterseq, complete=afterseq >= channel.dropped + channel.entries)


def _require_channel(tx: Transaction, process: ProcessRow, name: str, call: Call, what: str) -> ChannelRow:
    channel = channels.find(tx, process.seq, name)
    if channel is None:
        raise NotFound("Channel not found")
    if call.caller not in (process.initiatorid, process.assignedexecutorid):
        raise Denied(f"Not authorized to {what} channel")
    return channel


def _octets(payload: Octets) -> bytes | None:
    if payload is None:
        return None
    try:
        if isinstance(payload, list):
            return bytes(payload)
        return binascii.a2b_base64(payload.replace("\r", "").replace("\n", ""), strict_mode=True)
    except ValueError:
        raise BadRequest("Failed to append to channel, invalid JSON: the payload is not made of bytes") from None


def _paced(tx: Transaction, channel: ChannelRow) -> ChannelRow:
    """One append later on the clock of the steady rate. Refuses who is a whole burst ahead of it."""
    paced = channels.paced(tx, channel.process)
    # Nobody gets further ahead than a burst: more than that is a clock that was set back.
    if not tx.now < paced <= tx.now + _AHEAD:
        paced = tx.now
    if paced + _INTERVAL > tx.now + _AHEAD:
        raise BadRequest("rate limit exceeded", status=500)
    return replace(channel, paced=paced + _INTERVAL)


def _with_room(tx: Transaction, channel: ChannelRow, size: int) -> ChannelRow:
    """The channel with one more entry of so many bytes counted, for which the oldest make room."""
    entries, dropped, kept = channel.entries + 1, channel.dropped, channel.size + size
    while entries > 1 and (entries > limits.MAX_ENTRIES or kept > limits.MAX_CHANNEL):
        kept -= channels.drop_oldest(tx, channel)
        entries -= 1
        dropped += 1
    return replace(channel, entries=entries, dropped=dropped, size=kept)


def _entries(tx: Transaction, channel: ChannelRow, afterseq: int, limit: int, room: int) -> list[Entry]:
    found: list[Entry] = []
    size = 0
    for row in channels.in_order(tx, channel, max(afterseq - channel.dropped, 0), limit if limit > 0 else -1):
        size += len(row.payload or b"")
        if found and size > room:
            break
        found.append(_show(row))
    return found


def _show(row: EntryRow) -> Entry:
    return Entry(
        sequence=row.sequence,
        inreplyto=row.inreplyto,
        timestamp=format_time(row.timestamp),
        senderid=row.senderid,
        payload=None if row.payload is None else binascii.b2a_base64(row.payload, newline=False).decode(),
        type=row.type,
    )
