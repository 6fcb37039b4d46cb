"""Links as they are stored: to upstream nodes, and of those that have us as theirs; and the timelines of this node.

A node numbers the letters that it writes. A copy of an old store would use numbers again, for other letters; so each
opening of the store begins a timeline of its own. Whoever names a letter names its timeline too, and a node that
finds a number that its timeline never reached knows that it was restored from a backup.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from colonies_node.core.store.transaction import Transaction

UP: Final = "up"
DOWN: Final = "down"

_TIMELINES_KEPT: Final = 10_000
"""Openings of the store that are remembered: a peer names the last one that it knows."""


class LinkRow(msgspec.Struct, frozen=True):
    """A row of `links`. `direction` is `up` for an upstream, `down` for a node that has us as its upstream.

    `name` is ours for the upstream, or the executor's that the lower node is here. `executorname` and
    `executorid` are what the lower node is in the upper one's colony. `timeline` and `batch` name the last
    letter of the peer that we have, `confirmed` is the last of ours that it has. `settings`, `offers` and `ancestors`
    are JSON. `contact` is Unix nanoseconds; `note` the last thing that went wrong.
    """

    seq: int
    direction: str
    colonyname: str
    name: str
    nodeid: str
    executorname: str
    executorid: str
    timeline: str
    batch: int
    seen: str
    letter: int
    retired: str
    confirmed: int
    ancestors: str
    offers: str
    url: str
    settings: str
    record: int
    bypriority: int
    paused: int
    source: str
    contact: int
    note: str


FIELDS: Final = LinkRow.__struct_fields__
COLUMNS: Final = ", ".join(FIELDS)
_SELECT = f"select {COLUMNS} from links"
_INSERT = f"insert into links (direction, colonyname, name) values (?, ?, ?) returning {COLUMNS}"


def begin_timeline(tx: Transaction) -> None:
    """The store was opened: letters written from now on are of a new timeline."""
    found = tx.one("select max(number), max(last) from timelines")
    number, last = (found[0] or 0, found[1] or 0) if found else (0, 0)
    tx.run("delete from timelines where number <= ?", (number - _TIMELINES_KEPT,))
    tx.run(
        "insert into timelines (number, tag, since, last) values (?, ?, ?, ?)",
        (number + 1, tx.new_id()[:16], last, last),
    )


def timeline(tx: Transaction) -> str:
    """The tag of the present timeline."""
    found = tx.one("select tag from timelines where number = (select max(number) from timelines)")
    assert found is not None, "begun when the store was opened"
    tag: str = found[0]
    return tag


def next_batch(tx: Transaction) -> int:
    """A number for a letter."""
    found = tx.one(
        "update timelines set last = last + 1 where number = (select max(number) from timelines) returning last"
    )
    assert found is not None, "begun when the store was opened"
    return int(found[0])


def wrote(tx: Transaction, tag: str, batch: int) -> bool:
    """Whether this node remembers that it wrote this letter. It does not if it was restored from an older backup."""
    return tx.one("select 1 from timelines where tag = ? and since < ? and ? <= last", (tag, batch, batch)) is not None


def written_in(tx: Transaction, batch: int) -> str:
    """The tag of the timeline in which a letter of this node was written; empty if none is remembered."""
    found = tx.one(
        "select tag from timelines where since < ? and ? <= last order by number desc limit 1", (batch, batch)
    )
    return found[0] if found else ""


def add(tx: Transaction, direction: str, colonyname: str, name: str) -> LinkRow:
    """Store a new link."""
    found = tx.one(_INSERT, (direction, colonyname, name))
    assert found is not None, "an insert returns its row"
    return LinkRow(*found)


def find(tx: Transaction, seq: int) -> LinkRow | None:
    """A link by its number."""
    return _row(tx.one(_SELECT + " where seq = ?", (seq,)))


def named(tx: Transaction, direction: str, colonyname: str, name: str) -> LinkRow | None:
    """A link by its name."""
    return _row(tx.one(_SELECT + " where direction = ? and colonyname = ? and name = ?", (direction, colonyname, name)))


def upstream(tx: Transaction, name: str) -> LinkRow | None:
    """The link to the upstream with this name: it is one, whatever the colony."""
    return _row(tx.one(_SELECT + " where direction = 'up' and name = ?", (name,)))


def all_of(tx: Transaction, direction: str) -> list[LinkRow]:
    """The links in a direction, in the order in which they were added."""
    return [LinkRow(*row) for row in tx.all(_SELECT + " where direction = ? order by seq", (direction,))]


def change(tx: Transaction, link: LinkRow, **values: Any) -> LinkRow:
    """Set columns of a link; the link after it. Nothing is written where nothing changes."""
    new = {name: value for name, value in values.items() if getattr(link, name) != value}
    if not new:
        return link
    tx.run(f"update links set {', '.join(f'{name} = ?' for name in new)} where seq = ?", (*new.values(), link.seq))
    return msgspec.structs.replace(link, **new)


def remove(tx: Transaction, link: LinkRow) -> None:
    """Forget a link, its outbox and what it says of processes that came over it."""
    tx.run("delete from shares where link = ?", (link.seq,))
    tx.run("update processes set origin = 0 where state < 2 and origin > 0 and origin = ?", (link.seq,))
    tx.run("delete from links where seq = ?", (link.seq,))


def _row(found: tuple[Any, ...] | None) -> LinkRow | None:
    return LinkRow(*found) if found else None
