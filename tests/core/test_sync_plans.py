"""A letter costs by what is in it, not by how much two nodes share: steps of SQLite's machine, never time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import apsw
import msgspec
import pytest

from colonies_node.core.broker.sync import intake, letters
from colonies_node.core.broker.sync.handout import Look, hand_out
from colonies_node.core.errors import Conflict
from colonies_node.core.model.sync import Letter, Mark
from colonies_node.core.rules import parse
from colonies_node.core.states import ProcessState
from colonies_node.core.store import processes, shares
from colonies_node.core.store.transaction import Change, Transaction
from tests.core.pair import Node, Pair

MANY = 100_000


def steps_of(connection: apsw.Connection, ask: Callable[[], Any]) -> int:
    """How many instructions SQLite's machine runs on this connection for this."""
    count = 0

    def tick() -> bool:
        nonlocal count
        count += 1
        return False

    connection.set_progress_handler(tick, 1)
    try:
        ask()
    finally:
        connection.set_progress_handler(None)
    return count


def swell(node: Node, processid: str, number: int, *, mark: str, dirty: int = 0) -> None:
    """Make copies of a process that has ended, and of what the link knows of it."""
    columns = {name: name for name in processes.FIELDS[1:]} | {"processid": f"printf('{mark}%063d', i)"}
    shared = {name: name for name in shares.FIELDS} | {"processid": columns["processid"], "dirty": str(dirty)}
    count = f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {number})"

    def change(tx: Transaction) -> None:
        for table, given in (("processes", columns), ("shares", shared)):
            tx.run(
                f"{count} insert into {table} ({', '.join(given)}) select {', '.join(given.values())}"
                f" from {table}, n where processid = ?",
                (processid,),
            )

    node.commit(change)


def deeds(pair: Pair, answer: Letter) -> dict[str, Change]:
    """What is done for a letter."""
    link, mark = pair.up, Mark(timeline=pair.down.timeline, batch=pair.down.batch)
    look = Look((parse("missing"),), 10**6)
    items = answer.items or []
    (offer,) = [item for item in items if item.kind == "offer"]
    return {
        "gather": lambda tx: letters.gather(tx, link, 10_000),
        "confirm": lambda tx: letters.confirm(tx, link, mark),
        "rewind": lambda tx: shares.rewind(tx, link.seq, link.confirmed),
        "lose": lambda tx: shares.lose(tx, link.seq, link.confirmed),
        "take in": lambda tx: intake.take_in(tx, link, items),
        "revoke": lambda tx: intake.take_in(tx, link, [*items, msgspec.structs.replace(offer, kind="revoke")]),
        "hand out": lambda tx: hand_out(tx, link, look),
        "count": lambda tx: (shares.away(tx, link.seq), shares.taken(tx, link.seq)),
        "an end": finish,
    }


def finish(tx: Transaction) -> None:
    """The end of a process that is told to the upper node."""
    found = tx.one("select processid from processes where funcname = 'own'")
    assert found is not None
    process = processes.find(tx, found[0])
    assert process is not None
    processes.finish(tx, process, ProcessState.SUCCESS, "[]", "[]")


def tried(node: Node, deed: Change) -> None:
    """Do something, and undo it."""

    def change(tx: Transaction) -> None:
        deed(tx)
        raise Conflict("this is only a try")

    with pytest.raises(Conflict, match="only a try"):
        node.commit(change)


def test_a_letter_costs_the_same_with_100_000_processes_that_both_nodes_know(join: Callable[..., Pair]) -> None:
    """Also once SQLite has counted what is in the tables and plans by that."""
    pair = join(accept=["cam"], record=True)
    node = pair.lower
    node.hire("bob")
    pair.upper.hire("ann", "gpu")
    pair.settle()
    told = node.submit()
    node.run("bob", "x")
    given = node.submit(conditions={"executortype": "gpu"})
    pair.settle()
    pair.upper.run("ann", "x")
    pair.settle()
    # A bit of everything that is still to be said.
    node.submit()
    node.run("bob", "y", log="hello")
    node.submit(conditions={"executortype": "gpu"})
    pair.upper.submit(conditions={"executortype": "cam"})
    answer = pair.deliver(pair.write())
    node.submit(conditions={"executortype": "gpu"})
    node.submit(funcname="own")
    work = deeds(pair, answer)
    swell(node, told, 300, mark="a", dirty=1)

    def cost() -> dict[str, int]:
        return {name: steps_of(node.store._writer, partial(tried, node, deed)) for name, deed in work.items()}

    before = cost()
    assert all(count > 10 for count in before.values()), before
    swell(node, told, MANY // 2, mark="b")
    swell(node, given, MANY // 4, mark="c")
    swell(node, told, MANY // 4, mark="d", dirty=1)
    assert node.rows("select count(*) from shares")[0][0] > MANY
    for statistics in (False, True):
        if statistics:
            node.store._writer.execute("analyze").fetchall()
            node.restart()
        for name, count in cost().items():
            assert count <= 2 * before[name], f"{name}: {before[name]} steps before, {count} after"


def test_how_much_waits_is_told_by_some_of_it(join: Callable[..., Pair]) -> None:
    pair = join(record=True)
    node = pair.lower
    node.hire("bob")
    pair.settle()
    one = node.submit()
    node.run("bob", "x")
    link = pair.up.seq
    size = node.store.read(lambda tx: shares.waiting_bytes(tx, link, 1))
    steps = []
    for mark, number in (("a", 3 * shares.SAMPLE), ("b", 6 * shares.SAMPLE)):
        swell(node, one, 3 * shares.SAMPLE, mark=mark, dirty=1)
        waiting = node.store.read(lambda tx: shares.waiting(tx, link))[0]
        assert waiting == number + 1
        ask = partial(node.store.read, partial(shares.waiting_bytes, link=link, number=waiting))
        assert ask() == size * waiting
        steps.append(steps_of(node.store._reader, ask))
    assert steps[1] < 1.1 * steps[0]
