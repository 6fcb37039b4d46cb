"""Messages that changed something, kept with their replies for as long as the same message could come again.

A message is known by its sender and the id that she gave it. Once its time is over it is forgotten, and `forgotten`
keeps the latest such time: whatever the clock says, no message that is only good until then is new.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from colonies_node.core.model.times import SECOND
from colonies_node.core.store.transaction import Transaction

BATCH: Final = 1_000
"""Messages forgotten in one change; more follow in the next, so that callers get their turn between."""


PAUSE_S: Final = 60
"""Seconds between looks for messages to forget: nobody waits for it."""


_FIND: Final = """
    select coalesce((select expiry from forgotten), 0), expiry, digest, reply
    from (select 1) left join remembered on callerid = ? and cti = ?
"""


class Once(NamedTuple):
    """A message that may have its effect once: whose, which, good until when (Unix nanoseconds), and the digest of
    what it says."""

    callerid: str
    cti: bytes
    expiry: int
    digest: bytes


class Remembered(NamedTuple):
    """What is known of a message that had its effect."""

    expiry: int
    digest: bytes
    reply: bytes


def find(tx: Transaction, once: Once) -> tuple[Remembered | None, int]:
    """The message, if it was here, and until when those were good that are forgotten (`forgotten`)."""
    found = tx.one(_FIND, once[:2])
    assert found is not None, "there is a row in any case"
    last, *known = found
    return (Remembered(*known) if known[0] is not None else None), last


def keep(tx: Transaction, once: Once, reply: bytes) -> None:
    """Remember the message with its reply."""
    tx.run(
        "insert into remembered (callerid, cti, expiry, digest, reply) values (?, ?, ?, ?, ?)",
        (*once, reply),
    )
    tx.due(once.expiry + PAUSE_S * SECOND)


def prolong(tx: Transaction, once: Once) -> None:
    """Remember it as long as this copy of it is good."""
    tx.run(
        "update remembered set expiry = ? where callerid = ? and cti = ? and expiry < ?",
        (once.expiry, once.callerid, once.cti, once.expiry),
    )


def forget(tx: Transaction, once: Once) -> None:
    """Its effect was taken back: it is new when it comes again."""
    tx.run("delete from remembered where callerid = ? and cti = ?", (once.callerid, once.cti))


def forgotten(tx: Transaction) -> int:
    """Until when the messages were good that are forgotten, the latest of them; 0 when there are none."""
    found = tx.one("select expiry from forgotten")
    return int(found[0]) if found else 0


def next_expiry(tx: Transaction) -> int:
    """When the time of the next message is over; 0 when there are none."""
    found = tx.one("select min(expiry) from remembered")
    return int(found[0]) if found and found[0] is not None else 0


def expire(tx: Transaction, now: int) -> int:
    """Forget messages whose time is over, the oldest first; how many."""
    gone = tx.all("select expiry from remembered where expiry <= ? order by expiry limit ?", (now, BATCH))
    if not gone:
        return 0
    last = gone[-1][0]
    # All that end in the same instant, or one of them would be refused while it is remembered.
    number = tx.run("delete from remembered where expiry <= ?", (last,))
    tx.run(
        "insert into forgotten (one, expiry) values (1, ?)"
        " on conflict (one) do update set expiry = max(expiry, excluded.expiry)",
        (last,),
    )
    return number
