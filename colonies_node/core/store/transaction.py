"""One change in the making: what a broker function gets to work with, and what becomes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import apsw

from colonies_node.core.errors import ColonyError, Internal
from colonies_node.core.events import Event
from colonies_node.core.identity import random_id
from colonies_node.core.model.times import SECOND

log = logging.getLogger(__name__)

Row = tuple[Any, ...]
Values = Sequence[Any] | Mapping[str, Any]


class Transaction:
    """The store as one caller sees it while its change is made, with the instant and the randomness it may use.

    `now` is Unix nanoseconds, the same for everything in the change. What happened is told with `emit` and `due`, and
    is heard by others only after the commit.
    """

    __slots__ = ("_connection", "_entropy", "alarm", "events", "last_stamp", "now")

    def __init__(self, connection: apsw.Connection, now: int, entropy: Callable[[int], bytes], last_stamp: int) -> None:
        self._connection = connection
        self._entropy = entropy
        self.now = now
        self.last_stamp = last_stamp
        self.events: list[Event] = []
        self.alarm = 0

    def one(self, query: str, values: Values = ()) -> Row | None:
        """The first row, or None."""
        row: Row | None = self._connection.execute(query, values).fetchone()
        return row

    def all(self, query: str, values: Values = ()) -> list[Row]:
        """Every row."""
        rows: list[Row] = self._connection.execute(query, values).fetchall()
        return rows

    def each(self, query: str, values: Values = ()) -> Iterator[Row]:
        """Row by row, for what may be too much to have at once; read it to its end or drop it before the next query."""
        yield from self._connection.execute(query, values)

    def run(self, query: str, values: Values = ()) -> int:
        """Change something; how many rows it was."""
        self._connection.execute(query, values).fetchall()
        return self._connection.changes()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """What is changed inside is kept whole, or undone with its events when something is raised."""
        told = len(self.events)
        self._connection.execute("savepoint whole")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # some faults have ended it already
                self._connection.execute("rollback to whole")
                self._connection.execute("release whole")
            del self.events[told:]
            raise
        self._connection.execute("release whole")

    def stamp(self) -> int:
        """An instant that no record has yet, close to `now`: logs and queue order rely on instants being distinct.

        When the clock was set back by more than a second, the new time counts.
        """
        stamp = self.now
        if stamp <= self.last_stamp < stamp + SECOND:
            stamp = self.last_stamp + 1
        self.last_stamp = stamp
        return stamp

    def new_id(self) -> str:
        """A fresh random id."""
        return random_id(self._entropy(16))

    def emit(self, event: Event) -> None:
        """Tell, once committed, that this happened."""
        self.events.append(event)

    def due(self, instant: int) -> None:
        """Ask to be looked at again at this instant (0 asks nothing)."""
        if instant and (not self.alarm or instant < self.alarm):
            self.alarm = instant


Change = Callable[[Transaction], Any]


@dataclass(slots=True)
class Outcome:
    """What became of one change: a value or an error, and what there is to tell once it is answered."""

    value: Any = None
    error: Exception | None = None
    events: list[Event] = field(default_factory=list)


def attempt(tx: Transaction, change: Change) -> Outcome:
    """Make the change whole, or leave nothing of it and have the error. Trouble of the store itself is raised."""
    told = len(tx.events)
    try:
        with tx.whole():
            value = change(tx)
    except ColonyError as refusal:
        return Outcome(error=refusal)
    except apsw.ConstraintError as fault:
        log.exception("a change broke a rule of the schema")
        return Outcome(error=Internal(f"the change contradicts what is stored: {fault}"))
    except apsw.Error:
        raise
    except Exception:
        log.exception("a change failed")
        return Outcome(error=Internal())
    return Outcome(value=value, events=tx.events[told:])
