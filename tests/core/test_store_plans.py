"""The store stays fast when it is large: every query finds its rows by an index, and touches few of them.

What is measured is what SQLite does (plans, steps of its virtual machine), never time.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from colonies_node.core import timers
from colonies_node.core.broker.call import Rules
from colonies_node.core.broker.server import take_stock
from colonies_node.core.events import Waiter
from colonies_node.core.store import links, processes, reclaim, retention
from colonies_node.core.store.processes import FIELDS
from colonies_node.core.store.sqlite import Store
from tests.core.colony import NAME, OWNER, SERVER, USER, Colony, executor_id

ANN = executor_id("ann")
_marks = itertools.count()
BIG = ("processes", "logs", "attributes", "shares")
"""Tables that may hold millions of rows."""


@pytest.fixture(scope="module")
def colony(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Colony]:
    colony = Colony(tmp_path_factory.mktemp("plans"), Rules(retention_policy=1000))
    colony.hire("ann")
    yield colony
    colony.close()


def multiply(colony: Colony, processid: str, number: int, **values: Any) -> None:
    """Make copies of a process, each with an id and a place in the queue of its own."""
    chosen = {"processid": "processid || '-' || :mark || i", "prioritytime": "prioritytime + i", **values}
    columns = ", ".join(str(chosen.get(name, name)) for name in FIELDS[1:])
    colony.commit(
        lambda tx: tx.run(
            f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {number})"
            f" insert into processes ({', '.join(FIELDS[1:])}) select {columns}"
            " from processes, n where processid = :processid",
            {"processid": processid, "mark": f"{next(_marks)}-"},
        )
    )


def asked(colony: Colony, ask: Callable[[], Any]) -> list[str]:
    """Every statement that is run by `ask`."""
    seen: list[str] = []

    def note(_: apsw.Cursor, statement: str, bindings: Any) -> bool:
        seen.append(statement)
        return True

    connections = (colony.store._writer, colony.store._reader)
    for connection in connections:
        connection.exec_trace = note
    try:
        ask()
    finally:
        for connection in connections:
            connection.exec_trace = None
    return seen


def scans(colony: Colony, statement: str) -> list[str]:
    """The lines of the statement's plan that read a large table from end to end."""
    names = re.findall(r"[:@$](\w+)", statement)
    values: Any = dict.fromkeys(names, 1) if names else tuple([1] * statement.count("?"))
    plan = colony.store._reader.execute(f"explain query plan {statement}", values).fetchall()
    aliases = "|".join((*BIG, "p", "g"))
    return [row[3] for row in plan if re.match(rf"SCAN ({aliases})\b", row[3])]


def every_message(colony: Colony) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A call of each sort that reads or changes processes, logs and attributes, by name."""
    call = colony.call
    of = {"colonyname": NAME}

    def assigned() -> str:
        processid = colony.submit(env={"A": "1"}, maxwaittime=100, maxexectime=100, priority=9)
        taken = colony.assign(ANN)
        assert taken is not None and taken.processid == processid
        return processid

    running = assigned()
    yield "submit", lambda: colony.submit(env={"A": "1"})
    yield "assign", lambda: colony.assign(ANN)
    yield "get", lambda: call(USER, "getprocessmsg", processid=running)
    for state in range(5):
        for by in ({}, {"executortype": "cli"}, {"initiator": "eva"}, {"label": "x"}):
            name = f"list {state} by {''.join(by) or 'nothing'}"
            yield name, lambda s=state, b=by: call(USER, "getprocessesmsg", **of, state=s, count=100, **b)
        yield f"history {state}", lambda s=state: call(USER, "getprocesshistmsg", **of, state=s, seconds=60)
    yield "history of one", lambda: call(USER, "getprocesshistmsg", **of, state=1, seconds=60, executorid=ANN)
    yield "output", lambda: call(ANN, "setoutputmsg", processid=running, out=[1])
    yield (
        "attribute",
        lambda: call(
            ANN, "addattributemsg", attribute={"targetid": running, "key": "k", "value": "v", "attributetype": 1}
        ),
    )
    yield "log", lambda: call(ANN, "addlogmsg", processid=running, message="hello")
    yield "executor log", lambda: call(ANN, "addexecutorlogmsg", **of, executorname="ann", message="hello")
    for latest in (True, False):
        more = {"count": 10, "latest": latest, "since": 1}
        yield f"logs, latest {latest}", lambda m=more: call(USER, "getlogsmsg", **of, processid=running, **m)
        yield f"executor logs, latest {latest}", lambda m=more: call(USER, "getlogsmsg", **of, executorname="ann", **m)
    yield "search", lambda: call(USER, "searchlogsmsg", **of, text="hello", days=1, count=10)
    yield "statistics of a colony", lambda: call(USER, "getcolonystatsmsg", **of)
    yield "close", lambda: call(ANN, "closesuccessfulmsg", processid=running, out=[1])
    other = assigned()
    yield "fail", lambda: call(ANN, "closefailedmsg", processid=other, errors=["no"])
    yield "remove", lambda: call(USER, "removeprocessmsg", processid=other)
    yield "cancel", lambda: call(USER, "cancelprocessmsg", processid=colony.submit())
    yield "next due", colony.next_due
    yield "fire", colony.fire
    yield (
        "silent executors",
        lambda: colony.store.read(lambda tx: timers._release_silent(tx, colony.rules, colony.sweeps, {})),
    )
    yield "retention", lambda: colony.commit(lambda tx: retention.sweep(tx, 1))
    reclaimable(colony)
    yield "making room", lambda: colony.commit(lambda tx: reclaim.sweep(tx, reclaim.Walk()))
    assigned()
    yield "change of id", lambda: call(ANN, "changeexecutoridmsg", **of, executorid=ANN)
    yield "removal of an executor", lambda: call(OWNER, "removeexecutormsg", **of, executorname="ann")
    yield "removal of all", lambda: call(OWNER, "removeallprocessesmsg", **of, state=2)
    yield "removal of the colony", lambda: call(SERVER, "removecolonymsg", **of)


def reclaimable(colony: Colony) -> None:
    """A process and a workflow that have ended, and that an upstream which keeps records has confirmed."""

    def upstream(tx: Any) -> None:
        if links.upstream(tx, "up") is None:
            links.begin_timeline(tx)
            links.change(tx, links.add(tx, links.UP, NAME, "up"), record=1, confirmed=9)

    colony.commit(upstream)
    colony.submit(priority=9)
    assert colony.assign(ANN)
    workflow(colony)
    for (processid,) in colony.rows("select processid from processes where state = 1"):
        colony.call(ANN, "closesuccessfulmsg", processid=processid, out=[1])
    colony.commit(lambda tx: tx.run("update shares set dirty = 0, batch = 1, known = 1"))


def test_no_message_reads_a_large_table_from_end_to_end(tmp_path: Path) -> None:
    colony = Colony(tmp_path, Rules(retention_policy=1000))
    colony.hire("ann")
    statements = 0
    found = []
    for name, ask in every_message(colony):
        for statement in asked(colony, ask):
            if re.match(r"\s*(begin|commit|rollback|savepoint|release|insert)", statement):
                continue
            statements += 1
            found += [f"{name}: {line}: {' '.join(statement.split())}" for line in scans(colony, statement)]
    colony.close()
    assert statements > 100
    assert found == []


def test_a_plan_without_an_index_would_be_noticed(colony: Colony) -> None:
    assert scans(colony, "select * from processes where label = 'x'")
    assert scans(colony, "select * from logs where message = 'x' and timestamp > :since")


# -- steps ------------------------------------------------------------------------------------------------------------


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


def steps(colony: Colony, look: Callable[[Any], Any]) -> int:
    """How many instructions a look takes."""
    return steps_of(colony.store._reader, lambda: colony.store.read(look))


def asking(executortype: str = "cli") -> Waiter:
    return Waiter(NAME, executortype, "ann", ANN, "", None, None)


def next_for(tx: Any) -> int | None:
    return processes.next_for(tx, asking())


def count_rows(colony: Colony) -> None:
    """Let SQLite count what is in the tables, and start again, so that it plans by that."""
    colony.store._writer.execute("analyze").fetchall()
    colony.close()
    colony.store = Store(colony.store.path.parent, lambda: colony.now)


@pytest.mark.parametrize("statistics", [False, True])
def test_looks_cost_the_same_with_50_000_of_another_type_and_100_000_finished(tmp_path: Path, statistics: bool) -> None:
    """Also once SQLite has counted what is in the tables and plans by that."""
    colony = Colony(tmp_path)
    colony.hire("ann")
    mine, other = colony.submit(), colony.submit(conditions={"executortype": "gpu"})
    named = colony.submit(conditions={"executornames": ["bob"]})
    several = colony.submit(conditions={"executornames": ["bob", "cia"], "executortype": "tpu"})
    multiply(colony, other, 10)
    if statistics:
        count_rows(colony)
    small = {look: steps(colony, look) for look in LOOKS}
    multiply(colony, other, 50_000)
    multiply(colony, named, 10_000)
    multiply(colony, several, 10_000)
    multiply(colony, mine, 100_000, state="2", endtime="submissiontime", assignedexecutorid=f"'{ANN}'")
    if statistics:
        count_rows(colony)
    for look, before in small.items():
        after = steps(colony, look)
        assert 0 < after <= 2 * before, f"{look.__name__}: {before} steps before, {after} after"
    change = functools.partial(colony.call, ANN, "changeexecutoridmsg", colonyname=NAME, executorid=ANN)
    assert steps_of(colony.store._writer, change) < 1000
    remove = functools.partial(colony.call, OWNER, "removeallprocessesmsg", colonyname=NAME, state=3)
    assert steps_of(colony.store._writer, remove) < 1000
    taken = colony.assign(ANN)
    assert taken is not None and taken.processid == mine
    colony.close()


def running(tx: Any) -> Any:
    return processes.in_state(tx, NAME, processes.ProcessState.RUNNING, "", "", 100)


def due(tx: Any) -> Any:
    return processes.next_due(tx), processes.due_to_run(tx, 100), processes.due_to_finish(tx, 100)


def held(tx: Any) -> Any:
    return processes.held_by(tx, NAME, ANN)


def test_counting_for_the_metrics_reads_indexes_and_no_row(colony: Colony) -> None:
    """A row of a process is as long as its documents; an entry of an index is a few dozen bytes."""
    for statement in asked(colony, lambda: colony.store.read(take_stock)):
        plan = [row[3] for row in colony.store._reader.execute(f"explain query plan {statement}").fetchall()]
        read = [line for line in plan if re.match(r"(SCAN|SEARCH) (processes|processgraphs)\b", line)]
        assert all("USING COVERING INDEX" in line for line in read), plan
        assert bool(read) == ("from process" in statement), plan


def cancelled(tx: Any) -> Any:
    return processes.in_state(tx, NAME, processes.ProcessState.CANCELLED, "", "", 100)


LOOKS = (next_for, running, due, held, cancelled)


def test_a_long_line_costs_no_more_than_a_short_one(colony: Colony) -> None:
    first = colony.submit()
    multiply(colony, first, 10)
    short = steps(colony, next_for)
    multiply(colony, first, 20_000)
    assert steps(colony, next_for) <= 2 * short


def test_a_list_costs_by_what_it_shows(colony: Colony) -> None:
    first = colony.submit(label="list")

    def ten(tx: Any) -> Any:
        return processes.in_state(tx, NAME, processes.ProcessState.WAITING, "", "", 10)

    multiply(colony, first, 10)
    short = steps(colony, ten)
    multiply(colony, first, 5_000)
    assert steps(colony, ten) <= 2 * short


# -- what others have -------------------------------------------------------------------------------------------------


def swell(colony: Colony, table: str, number: int, **values: str) -> None:
    """Make copies of the first row of a table; `values` are expressions for columns, with `i` counting."""
    columns = [name for (_, name, *_) in colony.rows(f"pragma table_info({table})") if name != "seq"]
    chosen = ", ".join(values.get(name, name) for name in columns)
    colony.commit(
        lambda tx: tx.run(
            f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {number})"
            f" insert into {table} ({', '.join(columns)}) select {chosen} from (select * from {table} limit 1), n"
        )
    )


def workflow(colony: Colony) -> str:
    """Submit a workflow of two, and run it to its end; its id."""
    nodes = [
        {"nodename": name, "funcname": "f", "conditions": {"executortype": "cli", "dependencies": after}}
        for name, after in (("a", []), ("b", ["a"]))
    ]
    graph = colony.call(USER, "submitworkflowspecmsg", spec={"colonyname": NAME, "functionspecs": nodes})
    for processid in graph["processids"]:
        taken = colony.assign(ANN)
        assert taken is not None and taken.processid == processid
        colony.call(ANN, "closesuccessfulmsg", processid=processid, out=[1])
    processgraphid: str = graph["processgraphid"]
    return processgraphid


def acts(colony: Colony) -> dict[str, Callable[[], Any]]:
    """What people do in a colony; it is there again for the next one to do it."""
    of = {"colonyname": NAME}
    spec = json.dumps(of | {"functionspecs": [{"nodename": "a", "funcname": "f", "conditions": {"executortype": "x"}}]})
    file = of | {"label": "/mine", "name": "f"}
    call = functools.partial(colony.call, USER)
    numbers = itertools.count()

    def cron() -> None:
        made = call("addcronmsg", cron=of | {"name": "c", "interval": 60, "workflowspec": spec})
        colony.fire()
        call("runcronmsg", cronid=made["cronid"])
        call("removecronmsg", cronid=made["cronid"])

    def generator() -> None:
        made = call("addgeneratormsg", generator=of | {"name": "g", "trigger": 2, "workflowspec": spec})
        for arg in ("x", "y"):
            call("packgeneratormsg", generatorid=made["generatorid"], arg=arg)
        colony.fire()
        call("removegeneratormsg", generatorid=made["generatorid"])

    def files() -> None:
        call("addfilemsg", file=file | {"size": 1})
        call("getfilemsg", **file, latest=True)
        call("getfilesmsg", **of, label="/mine")
        snapshot = call("createsnapshotmsg", **of, label="/mine", name=f"s{next(numbers)}")
        call("removesnapshotmsg", **of, snapshotid=snapshot["snapshotid"])
        call("removefilemsg", **file)

    def logs() -> None:
        processid = colony.submit()
        assert colony.assign(ANN)
        colony.call(ANN, "addlogmsg", processid=processid, message="hello")
        colony.call(ANN, "addattributemsg", attribute={"targetid": processid, "key": "k", "attributetype": 1})
        call("getlogsmsg", processid=processid, count=10, latest=True)
        colony.call(ANN, "closefailedmsg", processid=processid, errors=["no"])
        call("removeprocessmsg", processid=processid)

    def clearing() -> None:
        colony.submit(conditions={"executortype": "gpu"}, env={"A": "b"})
        colony.call(OWNER, "removeallprocessesmsg", **of, state=0)

    def making_room() -> None:
        reclaimable(colony)
        assert colony.commit(lambda tx: reclaim.sweep(tx, reclaim.Walk())) == (3, False)
        assert not colony.rows("select * from shares where role = 'told' and processid not like 'p%'")
        links_go()

    def links_go() -> None:
        colony.commit(lambda tx: tx.run("delete from links"))

    return {
        "a workflow": lambda: call("removeprocessgraphmsg", processgraphid=workflow(colony)),
        "a drawing": lambda: call("getprocessgraphsmsg", **of, state=2, count=10),
        "a cron": cron,
        "a generator": generator,
        "files": files,
        "logs": logs,
        "clearing the queue": clearing,
        "what is due": colony.next_due,
        "retention": lambda: colony.commit(lambda tx: retention.sweep(tx, colony.now + 10**18)),
        "making room": making_room,
    }


def test_what_others_have_costs_nothing(tmp_path: Path) -> None:
    """Hundreds of thousands of rows that a message is not about: failures that are kept, workflows that are over, crons
    that are not due, executors that are gone, arguments, files, snapshots and logs of somebody else."""
    colony = Colony(tmp_path)
    colony.hire("ann")
    furnish(colony)
    deeds = acts(colony)
    both = (colony.store._writer, colony.store._reader)

    def cost(deed: Callable[[], Any]) -> int:
        return sum(steps_of(connection, deed) for connection in both)

    for deed in deeds.values():
        deed()
    before = {name: cost(deed) for name, deed in deeds.items()}
    a_fresh_id = {"processid": "'p' || i", "processgraphid": "'g' || (i / 10)"}
    swell(colony, "processes", 100_000, **a_fresh_id, state="3", executortype="'old'", endtime="submissiontime")
    swell(colony, "processes", 20_000, processid="'q' || i", processgraphid="''", state="3", executortype="'old'")
    swell(colony, "processgraphs", 10_000, processgraphid="'g' || i", state="3")
    swell(colony, "edges", 100_000, child="1000000 + i", parent="1000000 + i / 10")
    swell(colony, "attributes", 50_000, attributeid="'a' || i", targetid="'p' || i")
    swell(colony, "logs", 50_000, processid="'p' || i", timestamp="timestamp + 2000000000000000000 + i")
    swell(colony, "crons", 5_000, cronid="'c' || i", name="'c' || i", nextrun="9000000000000000000")
    swell(colony, "generators", 5_000, generatorid="'g' || i", name="'g' || i", due="0")
    swell(colony, "generatorargs", 50_000, generatorid="'g' || (i / 10)")
    swell(colony, "files", 50_000, fileid="'f' || i", label="'/theirs/' || (i / 100)", name="'n' || (i / 10)")
    swell(colony, "executors", 20_000, executorname="'e' || i", executorid="'e' || i", state="3")
    swell(colony, "snapshots", 5_000, snapshotid="'s' || i", name="'theirs' || i")
    for name, deed in deeds.items():
        after = cost(deed)
        assert after <= 2 * before[name], f"{name}: {before[name]} steps before, {after} after"
    colony.close()


def furnish(colony: Colony) -> None:
    """Have one of everything that others will have many of."""
    of = {"colonyname": NAME}
    spec = json.dumps(of | {"functionspecs": []})
    workflow(colony)
    failed = colony.submit(env={"A": "b"})
    assert colony.assign(ANN)
    colony.call(ANN, "addlogmsg", processid=failed, message="hello")
    colony.call(ANN, "closefailedmsg", processid=failed, errors=["no"])
    colony.call(USER, "addcronmsg", cron=of | {"name": "theirs", "interval": 10**6, "workflowspec": spec})
    theirs = of | {"name": "theirs", "trigger": 9, "workflowspec": spec}
    generatorid = colony.call(USER, "addgeneratormsg", generator=theirs)["generatorid"]
    colony.call(USER, "packgeneratormsg", generatorid=generatorid, arg="x")
    colony.call(USER, "addfilemsg", file=of | {"label": "/theirs", "name": "f", "size": 1})
    colony.call(USER, "createsnapshotmsg", **of, label="/theirs", name="theirs")
