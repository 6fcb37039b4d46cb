"""What a workflow promises: whole or not at all, children after their parents, failures and cancels that reach all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonies_node.core import limits
from colonies_node.core.broker import work
from colonies_node.core.broker.call import Rules
from colonies_node.core.errors import BadRequest, ColonyError
from colonies_node.core.events import ProcessChanged
from colonies_node.core.states import ProcessState
from colonies_node.core.store.retention import GRAPHS
from tests.core.colony import NAME, OWNER, SERVER, STRANGER, USER, Colony, executor_id

WAITING, RUNNING, SUCCESS, FAILED, CANCELLED = ProcessState


@pytest.fixture
def colony(tmp_path: Path) -> Iterator[Colony]:
    colony = Colony(tmp_path)
    colony.hire("w")
    yield colony
    colony.close()


W = executor_id("w")


def spec(nodes: dict[str, list[str]], **more: Any) -> dict[str, Any]:
    """A workflow spec of "name → names it waits for"."""
    conditions = {"executortype": "cli"}
    return {
        "colonyname": NAME,
        "functionspecs": [
            {"nodename": name, "funcname": "f", "conditions": {**conditions, "dependencies": after}, **more}
            for name, after in nodes.items()
        ],
    }


DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def submit(colony: Colony, nodes: dict[str, list[str]], **more: Any) -> tuple[str, dict[str, str]]:
    """(id of the graph, name → id of its process)."""
    graph = colony.call(USER, "submitworkflowspecmsg", spec=spec(nodes, **more))
    return graph["processgraphid"], dict(zip(nodes, graph["processids"], strict=True))


def run(colony: Colony, out: list[Any] | None = None) -> str:
    """Take the next process and close it; its id."""
    row = colony.assign(W)
    assert row is not None
    colony.call(W, "closesuccessfulmsg", processid=row.processid, out=out)
    return row.processid


def graph(colony: Colony, processgraphid: str) -> Any:
    return colony.call(USER, "getprocessgraphmsg", processgraphid=processgraphid)


def test_a_diamond_runs_in_order_and_hands_outputs_down(colony: Colony) -> None:
    processgraphid, ids = submit(colony, DIAMOND)
    assert graph(colony, processgraphid)["state"] == WAITING
    assert run(colony, [1]) == ids["a"]
    assert [event.process.processid for event in colony.events if isinstance(event, ProcessChanged)] == [
        ids["a"],
        ids["b"],
        ids["c"],
    ]
    assert run(colony, ["b"]) == ids["b"]
    assert graph(colony, processgraphid)["state"] == RUNNING
    assert colony.process(ids["d"])["waitforparents"]
    assert run(colony, ["c", {"x": 2}]) == ids["c"]
    assert run(colony) == ids["d"]
    assert colony.process(ids["d"])["in"] == ["b", "c", {"x": 2}]
    assert colony.process(ids["d"])["parents"] == [ids["b"], ids["c"]]
    assert colony.process(ids["a"])["children"] == [ids["b"], ids["c"]]
    ended = graph(colony, processgraphid)
    assert ended["state"] == SUCCESS
    assert ended["processids"] == [ids["a"], ids["b"], ids["d"], ids["c"]]
    assert ended["rootprocessids"] == [ids["a"]]


def test_a_drawing_has_a_place_for_every_process(colony: Colony) -> None:
    processgraphid, ids = submit(colony, DIAMOND)
    drawn = graph(colony, processgraphid)
    assert {node["data"]["label"]: (node["position"]["x"], node["position"]["y"]) for node in drawn["nodes"]} == {
        "a": (100, 0),
        "b": (0, 80),
        "c": (200, 80),
        "d": (100, 160),
    }
    assert [node["type"] for node in drawn["nodes"]] == ["input", "", "output", ""]
    assert {(edge["source"], edge["target"]) for edge in drawn["edges"]} == {
        (ids["a"], ids["b"]),
        (ids["a"], ids["c"]),
        (ids["b"], ids["d"]),
        (ids["c"], ids["d"]),
    }


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ({"": []}, "Nodename is missing"),
        ({"a": ["nobody"]}, "a nodename that does not exits"),
        ({"a": ["a"]}, "a -> a"),
        ({"start": [], "a": ["c", "start"], "b": ["a"], "c": ["b"]}, "a -> b -> c -> a"),
    ],
)
def test_a_workflow_that_cannot_run_leaves_nothing(colony: Colony, nodes: dict[str, list[str]], says: str) -> None:
    before = colony.dump()
    with pytest.raises(ColonyError, match=says):
        submit(colony, nodes)
    assert colony.dump() == before


def test_a_double_name_and_a_bad_amount_leave_nothing(colony: Colony) -> None:
    before = colony.dump()
    double = spec({"a": []})
    double["functionspecs"] *= 2
    with pytest.raises(ColonyError, match="Duplicate nodename: a"):
        colony.call(USER, "submitworkflowspecmsg", spec=double)
    amiss = spec({"a": [], "b": ["a"]})
    amiss["functionspecs"][1]["conditions"]["cpu"] = "many"
    with pytest.raises(BadRequest):
        colony.call(USER, "submitworkflowspecmsg", spec=amiss)
    assert colony.dump() == before


def test_a_failure_that_others_wait_for_fails_all_and_a_leafs_none(colony: Colony) -> None:
    first, ids = submit(colony, {**DIAMOND, "other": []})
    assert run(colony) == ids["a"]
    row = colony.assign(W)
    assert row is not None
    colony.call(W, "closefailedmsg", processid=row.processid, errors=["broken"])
    told = {event.process.processid for event in colony.events if isinstance(event, ProcessChanged)}
    assert told == set(ids.values())
    assert {colony.process(processid)["state"] for processid in ids.values()} == {FAILED}
    assert graph(colony, first)["state"] == FAILED
    assert colony.process(row.processid)["errors"] == ["broken"]
    assert colony.assign(W) is None

    second, ids = submit(colony, {"a": [], "b": []})
    row = colony.assign(W)
    assert row is not None
    colony.call(W, "closefailedmsg", processid=row.processid, errors=["broken"])
    assert graph(colony, second)["state"] == FAILED
    assert run(colony) == ids["b"]
    assert graph(colony, second)["state"] == FAILED


def test_cancel_ends_what_has_not_ended_and_tells_it(colony: Colony) -> None:
    processgraphid, ids = submit(colony, DIAMOND)
    run(colony)
    running = colony.assign(W)
    assert running is not None
    with pytest.raises(BadRequest, match="cancel the entire workflow instead"):
        colony.call(USER, "cancelprocessmsg", processid=ids["d"])
    colony.call(USER, "cancelprocessgraphmsg", processgraphid=processgraphid)
    assert {event.process.processid for event in colony.events if isinstance(event, ProcessChanged)} == {
        ids[name] for name in "bcd"
    }
    assert graph(colony, processgraphid)["state"] == CANCELLED
    assert [colony.process(ids[name])["state"] for name in "abcd"] == [SUCCESS, CANCELLED, CANCELLED, CANCELLED]
    with pytest.raises(BadRequest, match="Tried to set cancelled process as successful"):
        colony.call(W, "closesuccessfulmsg", processid=running.processid)


def test_removing_takes_the_whole_graph_and_nothing_else(colony: Colony) -> None:
    before = colony.dump()
    first, _ = submit(colony, DIAMOND, env={"A": "1"})
    colony.call(USER, "removeprocessgraphmsg", processgraphid=first)
    assert colony.dump() == before
    second, _ = submit(colony, DIAMOND)
    plain = colony.submit()
    run(colony)
    with pytest.raises(BadRequest, match="cannot remove a running processgraph"):
        colony.call(USER, "removeprocessgraphmsg", processgraphid=second)
    colony.call(OWNER, "removeallprocessgraphsmsg", colonyname=NAME, state=WAITING)
    assert graph(colony, second)["state"] == RUNNING
    colony.call(OWNER, "removeallprocessgraphsmsg", colonyname=NAME, state=-1)
    assert colony.rows("select processid from processes") == [(plain,)]
    assert colony.rows("select count(*) from edges") == [(0,)]


def test_children_are_added_below_a_running_process(colony: Colony) -> None:
    processgraphid, ids = submit(colony, {"a": [], "z": ["a"]})
    row = colony.assign(W)
    assert row is not None
    child = {"nodename": "m", "funcname": "f", "conditions": {"executortype": "cli", "colonyname": NAME}}

    def add(caller: str = W, **more: Any) -> Any:
        asked = {"processgraphid": processgraphid, "parentprocessid": ids["a"], "spec": child}
        return colony.call(caller, "addchildmsg", **asked | more)

    between = add(insert=True)
    assert (between["parents"], between["children"]) == ([ids["a"]], [ids["z"]])
    beside = add(childprocessid=ids["z"])
    assert colony.process(ids["z"])["parents"] == [between["processid"], beside["processid"]]
    for more, says in (
        ({"parentprocessid": "0" * 64}, "not found"),
        ({"parentprocessid": ids["z"]}, "is not running"),
        ({"caller": USER}, "is not assigned to executor"),
        ({"processgraphid": "0" * 64}, "belongs to another processgraph"),
        ({"childprocessid": ids["a"]}, "no process with Id"),
    ):
        before = colony.dump()
        with pytest.raises(ColonyError, match=says):
            add(**more)
        assert colony.dump() == before
    colony.call(W, "closesuccessfulmsg", processid=ids["a"], out=["x"])
    assert {run(colony), run(colony)} == {between["processid"], beside["processid"]}
    assert run(colony) == ids["z"]
    assert graph(colony, processgraphid)["state"] == SUCCESS


def test_a_workflow_grows_no_larger_than_it_may_be_submitted(colony: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_WORKFLOW", 2)
    monkeypatch.setattr(limits, "MAX_DEPENDENCIES", 1)
    for nodes, says in (
        ({"a": [], "b": [], "c": []}, "at most 2 processes, got 3"),
        ({"a": [], "b": ["a", "a"]}, "at most 1 dependencies, got 2"),
    ):
        with pytest.raises(BadRequest, match=says):
            submit(colony, nodes)
    processgraphid, ids = submit(colony, {"a": [], "b": ["a"]})
    assert colony.assign(W)
    child = {"nodename": "c", "funcname": "f", "conditions": {"executortype": "cli", "colonyname": NAME}}
    before = colony.dump()
    with pytest.raises(BadRequest, match="A workflow must have at most 2 processes, this one has them"):
        colony.call(W, "addchildmsg", processgraphid=processgraphid, parentprocessid=ids["a"], spec=child)
    assert colony.dump() == before


@pytest.mark.parametrize("msgtype", ["getprocessesmsg", "getprocesshistmsg"])
def test_a_list_of_processes_with_many_relatives_ends_where_a_reply_does(
    colony: Colony, monkeypatch: pytest.MonkeyPatch, msgtype: str
) -> None:
    middle = [f"m{n}" for n in range(100)]
    _, ids = submit(colony, {"first": [], **{name: ["first"] for name in middle}, "last": middle})

    def asked() -> list[str]:
        fields = {"colonyname": NAME, "state": WAITING, "count": 100, "seconds": 10}
        return [process["processid"] for process in colony.call(USER, msgtype, **fields)]

    whole = asked()
    monkeypatch.setattr(limits, "MAX_REPLY", 100 * limits.ID_LENGTH)
    cut = asked()
    if msgtype == "getprocesshistmsg":  # which keeps the latest
        assert cut == whole[-len(cut) :] == [ids["last"]]
    else:
        assert cut == whole[: len(cut)] == [ids["first"]]
    assert colony.process(ids["first"])["children"] == [ids[name] for name in middle]


def test_a_dependency_given_twice_is_drawn_once(colony: Colony) -> None:
    processgraphid, ids = submit(colony, {"a": [], "b": ["a", "a"]})
    assert colony.process(ids["b"])["parents"] == [ids["a"], ids["a"]]
    (edge,) = graph(colony, processgraphid)["edges"]
    assert (edge["source"], edge["target"]) == (ids["a"], ids["b"])


def test_a_requeue_leaves_the_graph_running(colony: Colony) -> None:
    processgraphid, ids = submit(colony, {"a": [], "b": ["a"]}, maxexectime=5, maxretries=1)
    assert colony.assign(W)
    colony.now += 6 * 10**9
    colony.fire()
    assert colony.process(ids["a"])["retries"] == 1
    assert graph(colony, processgraphid)["state"] == RUNNING
    assert run(colony) == ids["a"]
    assert run(colony) == ids["b"]
    assert graph(colony, processgraphid)["state"] == SUCCESS


def test_members_that_expire_together_fail_once(colony: Colony) -> None:
    processgraphid, ids = submit(colony, DIAMOND, maxwaittime=5)
    colony.now += 6 * 10**9
    colony.fire()
    told = [event.process.processid for event in colony.events if isinstance(event, ProcessChanged)]
    assert sorted(told) == sorted(ids.values())
    assert graph(colony, processgraphid)["state"] == FAILED
    assert colony.rows("select waiting, failed from processgraphs") == [(0, 4)]


def test_statistics_count_workflows(colony: Colony) -> None:
    submit(colony, {"a": []})
    cancelled, _ = submit(colony, DIAMOND)
    colony.call(USER, "cancelprocessgraphmsg", processgraphid=cancelled)
    for counted in (
        colony.call(USER, "getcolonystatsmsg", colonyname=NAME),
        colony.call(SERVER, "getstatisticsmsg"),
    ):
        assert (counted["waitingworkflows"], counted["cancelledworkflows"], counted["failedworkflows"]) == (1, 1, 0)


def test_retention_takes_successful_workflows_whole_and_leaves_all_others(colony: Colony) -> None:
    colony.rules = Rules(retention_policy=100)
    for _ in range(GRAPHS + 5):
        submit(colony, {"a": []})
        run(colony)
    halfway, ids = submit(colony, {"a": [], "b": ["a"]})
    assert run(colony) == ids["a"]
    colony.now += 101 * 10**9
    while colony.fire() <= colony.now:
        pass
    assert colony.rows("select processgraphid from processgraphs") == [(halfway,)]
    assert colony.rows("select count(*) from processes") == [(2,)]
    assert colony.rows("select count(*) from edges") == [(1,)]


def test_nobody_else_sees_or_touches_a_workflow(colony: Colony) -> None:
    processgraphid, _ = submit(colony, DIAMOND)
    for msgtype in ("getprocessgraphmsg", "cancelprocessgraphmsg", "removeprocessgraphmsg"):
        with pytest.raises(ColonyError, match="Access denied"):
            colony.call(STRANGER, msgtype, processgraphid=processgraphid)


@st.composite
def dags(draw: st.DrawFn) -> dict[str, list[str]]:
    """Random nodes that wait for earlier ones, listed in a random order."""
    count = draw(st.integers(1, 9))
    nodes = {
        f"n{i}": [f"n{j}" for j in draw(st.lists(st.integers(0, i - 1), max_size=3))] if i else [] for i in range(count)
    }
    return {name: nodes[name] for name in draw(st.permutations(list(nodes)))}


@settings(max_examples=60, deadline=None)
@given(nodes=dags(), outcomes=st.lists(st.sampled_from("sssssfrc"), min_size=40, max_size=40))
def test_random_workflows_do_what_the_model_does(
    tmp_path_factory: pytest.TempPathFactory, nodes: dict[str, list[str]], outcomes: list[str]
) -> None:
    """Success, failure, requeue and cancel in a random order, against the rules said once more in Python."""
    colony = Colony(tmp_path_factory.mktemp("colony"))
    try:
        colony.hire("w")
        processgraphid, ids = submit(colony, nodes)
        state = dict.fromkeys(nodes, WAITING)
        whole: ProcessState | None = None
        names = {processid: name for name, processid in ids.items()}
        for outcome in outcomes:
            row = colony.assign(W)
            ready = {
                name
                for name, of in nodes.items()
                if state[name] == WAITING and all(state[parent] == SUCCESS for parent in of)
            }
            assert (row is None) == (not ready)
            if row is None:
                break
            name = names[row.processid]
            assert name in ready
            if outcome == "s":
                colony.call(W, "closesuccessfulmsg", processid=row.processid, out=[name])
                state[name] = SUCCESS
                assert colony.process(row.processid)["in"] == nodes[name]
            elif outcome == "f":
                colony.call(W, "closefailedmsg", processid=row.processid, errors=["no"])
                state[name] = FAILED
                if any(name in of for of in nodes.values()):
                    state = dict.fromkeys(nodes, FAILED)
            elif outcome == "r":
                colony.commit(partial(work.take_back, processid=row.processid, executorid=W))
            else:
                colony.call(USER, "cancelprocessgraphmsg", processgraphid=processgraphid)
                state = {n: CANCELLED if s in (WAITING, RUNNING) else s for n, s in state.items()}
                whole = CANCELLED
            seen = {n: colony.process(processid)["state"] for n, processid in ids.items()}
            assert seen == state
            (counted,) = colony.rows("select waiting, running, successful, failed, cancelled from processgraphs")
            assert counted == tuple(list(state.values()).count(s) for s in ProcessState)
            if outcome != "r":
                values = set(state.values())
                expected = whole or (
                    FAILED
                    if FAILED in values
                    else SUCCESS
                    if values == {SUCCESS}
                    else RUNNING
                    if SUCCESS in values
                    else WAITING
                )
                assert graph(colony, processgraphid)["state"] == expected
    finally:
        colony.close()
