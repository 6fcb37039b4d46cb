"""No message reads a table that grows from end to end: every statement of every message finds its rows by an index.

How much of the index it then reads, tests/core/test_store_plans.py counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import apsw
import pytest

from colonies_node.core.broker.table import TABLE as MESSAGES
from colonies_node.core.broker.table import Kind
from colonies_node.core.store.sqlite import Store
from tests.http.test_messages_refused import ANN, EVERYBODY, RIGHTS, Town
from tests.lab import Lab

FEW = {"server", "colonies", "links"}
"""Tables that stay short."""

ALL = {
    "getstatisticsmsg": "counts all that there is, in indexes",
    "getcolonystatsmsg": "counts all that the colony has",
    "removecolonymsg": "takes all that the colony has",
    "removeallprocessesmsg": "takes all processes of a state",
    "removeallsnapshotmsg": "takes all snapshots",
    "getprocessesmsg": "reads the list in its order and stops",
    "getsnapshotsmsg": "reads all snapshots until the reply is full",
    "getfilelabelsmsg": "counts the revisions under every label",
    "getcronsmsg": "reads the list in its order and stops",
    "getgeneratorsmsg": "reads the list in its order and stops",
    "getblueprintsmsg": "reads all blueprints until the reply is full",
    "getblueprintdefinitionsmsg": "reads all definitions until the reply is full",
    "getexecutorsmsg": "shows all executors",
    "getfunctionsmsg": "shows all functions where no executor is named",
    "getusersmsg": "shows all users",
    "getlocationsmsg": "shows all locations",
}
"""Messages that go through all that a colony has of something, and why."""

SCANNED = {"getstatisticsmsg"}
"""Messages that go through all that the server has of something."""


@contextmanager
def listening(store: Store) -> Iterator[list[str]]:
    """Every statement that is run on the store meanwhile, on any connection."""
    seen: list[str] = []

    def note(_: apsw.Cursor, statement: str, bindings: Any) -> bool:
        seen.append(statement)
        return True

    def listened(open_one: Callable[[], apsw.Connection]) -> Callable[[], apsw.Connection]:
        def reader() -> apsw.Connection:
            connection = open_one()
            connection.exec_trace = note
            return connection

        return reader

    lasting = (store._writer, store._reader)
    for connection in lasting:
        connection.exec_trace = note
    store.reader = listened(store.reader)  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        del store.reader
        for connection in lasting:
            connection.exec_trace = None


def plan(store: Store, statement: str) -> list[str]:
    """The lines of the statement's plan that say how a table is read."""
    names = re.findall(r"[:@$](\w+)", statement)
    values: Any = dict.fromkeys(names, 1) if names else tuple([1] * statement.count("?"))
    lines = [row[3] for row in store._reader.execute(f"explain query plan {statement}", values).fetchall()]
    return [line for line in lines if re.match(r"(SCAN|SEARCH) \w+", line) and "json_each" not in line]


@pytest.mark.parametrize("msgtype", RIGHTS)
async def test_a_message_finds_its_rows_by_an_index(lab: Lab, msgtype: str) -> None:
    town = await Town(lab).build()
    store = town.node.store
    allowed = RIGHTS[msgtype][0]
    sender = ANN if ANN in allowed else min(allowed, key=EVERYBODY.index)  # some are for executors alone
    with listening(store) as statements:
        await town.node.ask(sender, msgtype, **town.requests[msgtype])
    read = [line for one in statements if not one.startswith(("begin", "commit")) for line in plan(store, one)]
    assert read or msgtype in ("versionmsg", "getserverinfomsg")
    grow = [line for line in read if line.split()[1] not in FEW]
    scanned = [line for line in grow if line.startswith("SCAN") and " VIRTUAL TABLE " not in line]
    assert msgtype in SCANNED or not scanned
    through = [line for line in grow if line.endswith("(colonyname=?)")]
    assert (msgtype in ALL) == bool(through or scanned)


@pytest.mark.parametrize("msgtype", SCANNED)
def test_what_reads_everything_does_it_in_a_thread(msgtype: str) -> None:
    assert MESSAGES[msgtype].kind in (Kind.SCAN, Kind.BULK)
