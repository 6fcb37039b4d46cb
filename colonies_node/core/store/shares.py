"""The outbox: which processes a peer is to hear of, and how much of that it has confirmed.

A row joins a link and a process. Its `role` is

    given     the peer is to run it, for us            taken   we run it, for the peer
    told      it ended here, the peer keeps a record   heard   it ended there, we keep a record
    refused   the peer gave us what we cannot take     kept    it ended here, the peer cannot use what it was told

Triggers of the schema set `dirty` in the change that makes news. Sending clears it and notes the number of the letter
(`batch`); what the peer does not confirm, or confirmed and has no more, is dirty again. Reading never deletes.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from colonies_node.core.store import processes
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.transaction import Transaction

GIVEN: Final = "given"
TAKEN: Final = "taken"
TOLD: Final = "told"
HEARD: Final = "heard"
REFUSED: Final = "refused"
KEPT: Final = "kept"

SENDING: Final = "sending"
"""`remoteid` of a process that is being submitted, or was when an answer was lost."""


class ShareRow(msgspec.Struct, frozen=True):
    """A row of `shares`. `place` orders what waits to be told; logs are counted by their position in our log.
    `known` says that the peer has the beginning of the process, `revoked` that it ended because the peer took it back.
    `remoteid` is its id at an upstream that gives ids of its own (sync/reference), SENDING while that is not known.
    """

    link: int
    processid: str
    role: str
    term: int
    dirty: int
    batch: int
    known: int
    place: int
    logsent: int
    logacked: int
    logheard: int
    revoked: int
    remoteid: str


FIELDS: Final = ShareRow.__struct_fields__
COLUMNS: Final = ", ".join(FIELDS)

_PUT = f"""
    insert into shares ({COLUMNS}) values ({", ".join("?" * len(FIELDS))})
    on conflict (link, processid) do update set {", ".join(f"{name} = excluded.{name}" for name in FIELDS[2:])}
"""
_INSERT = f"insert into shares ({COLUMNS}) values ({', '.join('?' * len(FIELDS))})"
_MARK = "update processes set shared = 1 where processid = ? and shared = 0"
NEWS: Final = (
    f"select {COLUMNS} from shares where link = ? and role = ? and dirty = 1 order by place, processid limit ?"
)
"""News of one role, the lowest place first: the index is read in its order."""
_SENT = "update shares set dirty = ?, batch = ?, logsent = ? where link = ? and processid = ?"
REWIND: Final = "update shares set dirty = 1, logsent = logacked, batch = ? where link = ? and batch > ? and batch > 0"
LOSE: Final = """
    update shares set known = 0, logacked = 0, logsent = 0, dirty = 1 where link = ? and batch > ? and batch > 0
"""
CONFIRM: Final = """
    update shares set known = 1, logacked = logsent where link = ? and batch > ? and batch <= ? and batch > 0
"""
_DONE = """
    delete from shares
    where link = ? and batch > ? and batch <= ? and batch > 0 and dirty = 0 and role in ('given', 'taken')
      and not exists (select 1 from processes where processes.processid = shares.processid)
"""
_TELL_FURTHER = """
    insert into shares (link, processid, role, dirty, place)
        select links.seq, processes.processid, 'told', 1,
          case when bypriority = 1 then prioritytime else submissiontime end
        from processes
        join shares as heard on heard.link = :link and heard.processid = processes.processid and heard.role = 'heard'
        join links on record = 1 and links.colonyname = processes.colonyname and links.seq <> :link
        where processes.seq > :newest
        on conflict do nothing
"""
SAMPLE: Final = 1_000
"""Rows that are looked at to say how many bytes all fill."""

_WAITING_BYTES = f"""
    select sum(200 + octet_length(spec) + octet_length(input) + octet_length(out) + octet_length(errors))
    from (select processid from shares where link = ? and dirty = 1 limit {SAMPLE}) as waiting
    join processes on processes.processid = waiting.processid
"""
_TELL_ENDS = """
    update shares set role = 'told' where link = ? and role = 'given' and dirty = 1 and known = 0
      and exists (select 1 from processes where processes.processid = shares.processid and state > 1)
"""
AWAY_AFTER: Final = f"""
    select {", ".join(f"shares.{name}" for name in FIELDS)},
      {", ".join(f"processes.{name}" for name in processes.FIELDS)}
    from processes join shares on shares.link = processes.away and shares.processid = processes.processid
    where processes.state < 2 and processes.away > 0 and processes.away = ? and processes.seq > ?
      and role = 'given' and length(remoteid) > {len(SENDING)}
    order by processes.seq limit ?
"""
_TAKEN = """
    select shares.processid, term from processes
    join shares on shares.link = processes.origin and shares.processid = processes.processid
    where processes.state < 2 and processes.origin > 0 and processes.origin = ? and role = 'taken'
"""
_TOUCH = "update shares set dirty = 1 where processid = ? and role in ('taken', 'told')"


def find(tx: Transaction, link: int, processid: str) -> ShareRow | None:
    """What a link knows of a process."""
    found = tx.one(f"select {COLUMNS} from shares where link = ? and processid = ?", (link, processid))
    return ShareRow(*found) if found else None


def of_process(tx: Transaction, processid: str) -> list[ShareRow]:
    """The rows of a process, on every link."""
    return [ShareRow(*row) for row in tx.all(f"select {COLUMNS} from shares where processid = ?", (processid,))]


def links_with_news(tx: Transaction, processid: str) -> list[int]:
    """The links that have something to tell of a process."""
    return [link for (link,) in tx.all("select link from shares where processid = ? and dirty = 1", (processid,))]


def put(tx: Transaction, row: ShareRow) -> ShareRow:
    """Store a row, or replace it."""
    tx.run(_PUT, msgspec.structs.astuple(row))
    tx.run(_MARK, (row.processid,))
    return row


def insert(tx: Transaction, row: ShareRow) -> ShareRow:
    """Store a row of a process that is marked as shared already, and that the link did not know."""
    tx.run(_INSERT, msgspec.structs.astuple(row))
    return row


def begin(
    link: int, processid: str, role: str, *, term: int = 0, dirty: bool = False, known: bool = False, place: int = 0
) -> ShareRow:
    """A row for a process that the link did not know."""
    return ShareRow(link, processid, role, term, int(dirty), 0, int(known), place, 0, 0, 0, 0, "")


def change(tx: Transaction, row: ShareRow, **values: Any) -> ShareRow:
    """Set columns of a row; the row after it."""
    new = {name: value for name, value in values.items() if getattr(row, name) != value}
    if new:
        query = f"update shares set {', '.join(f'{name} = ?' for name in new)} where link = ? and processid = ?"
        tx.run(query, (*new.values(), row.link, row.processid))
    return msgspec.structs.replace(row, **new)


def settle(tx: Transaction, row: ShareRow, dirty: bool) -> None:
    """Set whether there is news, whatever triggers have made of it in this change."""
    tx.run("update shares set dirty = ? where link = ? and processid = ?", (int(dirty), row.link, row.processid))


def tell_further(tx: Transaction, link: int, newest: int) -> None:
    """Tell every other upstream that keeps records of the history that came over `link` behind the `seq` of what was
    the newest process. It is marked as shared already."""
    tx.run(_TELL_FURTHER, {"link": link, "newest": newest})


def touch(tx: Transaction, processid: str) -> None:
    """There is news of a process for whoever is told how it goes."""
    tx.run(_TOUCH, (processid,))


def remove(tx: Transaction, row: ShareRow) -> None:
    """Forget a row."""
    tx.run("delete from shares where link = ? and processid = ?", (row.link, row.processid))


def news(tx: Transaction, link: int, role: str, count: int) -> list[ShareRow]:
    """Rows of a role that have news, the lowest `place` first."""
    return [ShareRow(*row) for row in tx.all(NEWS, (link, role, count))]


def sent(tx: Transaction, row: ShareRow, batch: int, logsent: int, *, more: bool) -> None:
    """The row is in a letter; `more` of its log did not fit."""
    tx.run(_SENT, (int(more), batch, logsent, row.link, row.processid))


def confirm(tx: Transaction, link: int, since: int, batch: int) -> None:
    """The peer has our letters after `since`, up to `batch`."""
    tx.run(CONFIRM, (link, since, batch))
    # Of a process that is gone here, this was the last word.
    tx.run(_DONE, (link, since, batch))


def rewind(tx: Transaction, link: int, batch: int) -> int:
    """What was sent after `batch` has to be sent again; how many rows that are.

    They count as not sent since: a later letter without them, for want of room, must not confirm them.
    """
    return tx.run(REWIND, (batch, link, batch))


def lose(tx: Transaction, link: int, batch: int) -> int:
    """The peer has lost what we sent after `batch`: it needs all of it again, from the beginning."""
    return tx.run(LOSE, (link, batch))


def tell_ends(tx: Transaction, link: int) -> None:
    """What the peer ran for us and has lost, it keeps a record of."""
    tx.run(_TELL_ENDS, (link,))


def waiting(tx: Transaction, link: int) -> tuple[int, int]:
    """How many rows of a link have news or are not confirmed, and the `place` of the oldest (0 for none)."""
    found = tx.one("select count(*), min(place) from shares where link = ? and dirty = 1", (link,))
    return (found[0], found[1] or 0) if found else (0, 0)


def unconfirmed(tx: Transaction, link: int, confirmed: int) -> int:
    """How many rows were sent in letters that the peer has not confirmed."""
    found = tx.one(
        "select count(*) from shares where link = ? and batch > ? and batch > 0 and dirty = 0", (link, confirmed)
    )
    return found[0] if found else 0


def waiting_bytes(tx: Transaction, link: int, number: int) -> int:
    """About how many bytes the news of a link fills, before it is compressed, as some of the `number` rows tell."""
    found = tx.one(_WAITING_BYTES, (link,))
    size = found[0] or 0 if found else 0
    return size if number <= SAMPLE else size * number // SAMPLE


def away(tx: Transaction, link: int) -> int:
    """How many processes are given over this link and not at their end."""
    found = tx.one("select count(*) from processes where state < 2 and away > 0 and away = ?", (link,))
    return found[0] if found else 0


def away_after(tx: Transaction, link: int, seq: int, count: int) -> list[tuple[ShareRow, ProcessRow]]:
    """Processes that are at an upstream which gave them ids, by their `seq` and behind this one; not at their end."""
    split = len(FIELDS)
    found = tx.all(AWAY_AFTER, (link, seq, count))
    return [(ShareRow(*row[:split]), ProcessRow(*row[split:])) for row in found]


def taken_now(tx: Transaction, link: int) -> dict[str, int]:
    """The processes that came over this link and are not at their end, with their terms."""
    return dict(tx.all(_TAKEN, (link,)))


def away_now(tx: Transaction, link: int) -> list[ProcessRow]:
    """The processes that are given over this link and not at their end."""
    query = f"select {processes.COLUMNS} from processes where state < 2 and away > 0 and away = ?"
    return [ProcessRow(*row) for row in tx.all(query, (link,))]


def taken(tx: Transaction, link: int) -> int:
    """How many processes came over this link and are not at their end."""
    found = tx.one("select count(*) from processes where state < 2 and origin > 0 and origin = ?", (link,))
    return found[0] if found else 0
