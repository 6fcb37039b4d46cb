"""What a letter says becomes a process here, once, whatever the network does with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from colonies_node.core import limits
from colonies_node.core.broker.sync import intake
from colonies_node.core.broker.sync.letters import REFUSAL
from colonies_node.core.errors import BadRequest, Rejected
from colonies_node.core.model.process import Attribute, FunctionSpec
from colonies_node.core.model.sync import Item, Line, Submitted
from colonies_node.core.model.times import DAY, SECOND
from colonies_node.core.store import reclaim
from tests.core.colony import NAME, USER, executor_id
from tests.core.pair import CANCELLED, FAILED, RUNNING, SUCCESS, WAITING, Pair

Join = Callable[..., Pair]


def work(pair: Pair, **spec: Any) -> str:
    """A process of the lower node that only the upper one can run."""
    return pair.lower.submit(**{"conditions": {"executortype": "gpu"}, **spec})


def from_above(pair: Pair, **spec: Any) -> str:
    """A process of the upper node for a type that the lower one accepts."""
    return pair.upper.submit(**{"conditions": {"executortype": "cam"}, **spec})


def journey(pair: Pair, processid: str) -> tuple[int, int]:
    """The state of a process below and above."""
    return pair.lower.state(processid), pair.upper.state(processid)


# -- what is given ----------------------------------------------------------------------------------------------------


def test_an_offered_process_is_the_same_above_with_its_place_in_the_queue_and_its_remaining_time(join: Join) -> None:
    """By the clock there, which is an hour ahead."""
    pair = join()
    given = {"args": [1, "a"], "kwargs": {"k": [None]}, "env": {"A": "b"}, "priority": 2, "label": "x"}
    processid = work(pair, **given, maxwaittime=100)
    pair.upper.now += 3600 * SECOND
    pair.later(40)
    pair.exchange()
    here, there = pair.lower.process(processid), pair.upper.process(processid)
    for field in ("initiatorid", "initiatorname", "in", "state"):
        assert there[field] == here[field]
    for field, value in given.items():
        assert there["spec"][field] == here["spec"][field] == value
    ((prioritytime, submissiontime, waitdeadline),) = pair.upper.rows(
        "select prioritytime, submissiontime, waitdeadline from processes"
    )
    assert submissiontime == pair.upper.now - 40 * SECOND
    assert prioritytime == submissiontime - 2 * DAY
    assert waitdeadline == pair.upper.now + 60 * SECOND


def test_a_process_is_offered_without_its_deadline_if_it_has_none(join: Join) -> None:
    pair = join()
    processid = work(pair, maxwaittime=-1)
    pair.exchange()
    assert pair.upper.rows(f"select waitdeadline from processes where processid = '{processid}'") == [(0,)]


def test_a_process_that_is_away_waits_for_nobody_here(join: Join) -> None:
    pair = join()
    work(pair)
    pair.exchange()
    pair.lower.hire("ann", "gpu")
    assert pair.lower.assign(executor_id("ann")) is None


def test_a_process_that_is_away_does_not_expire_here(join: Join) -> None:
    """The node that has it keeps the deadline, and reports."""
    pair = join()
    processid = work(pair, maxwaittime=100)
    pair.exchange()
    pair.lower.now += 200 * SECOND
    pair.lower.fire()
    assert pair.lower.state(processid) == WAITING
    pair.upper.now += 200 * SECOND
    pair.upper.fire()
    pair.settle()
    assert journey(pair, processid) == (FAILED, FAILED)
    assert pair.lower.process(processid)["errors"] == ["Maximum waiting time limit exceeded"]


def test_the_result_comes_home_with_all_that_belongs_to_it(join: Join) -> None:
    pair = join()
    pair.upper.hire("ann", "gpu")
    processid = work(pair)
    pair.exchange()
    assert pair.upper.take("ann") == processid
    ann = executor_id("ann")
    pair.upper.call(ann, "addlogmsg", processid=processid, message="one")
    pair.exchange()
    pair.exchange()
    assert pair.lower.state(processid) == RUNNING
    assert pair.lower.logs(processid) == ["one"]
    assert pair.lower.notes(processid)["sync.where"] == "high/ann"
    pair.upper.call(ann, "addlogmsg", processid=processid, message="two")
    pair.upper.call(ann, "addlogmsg", processid=processid, message="three")
    attribute = {"targetid": processid, "targetcolonyname": NAME, "attributetype": 1, "key": "k", "value": "v"}
    pair.upper.call(ann, "addattributemsg", attribute=attribute)
    pair.upper.now += 5 * SECOND
    pair.upper.call(ann, "closesuccessfulmsg", processid=processid, out=["x", {"y": 1}])
    pair.settle()
    assert pair.lower.state(processid) == SUCCESS
    assert pair.lower.out(processid) == ["x", {"y": 1}]
    assert pair.lower.logs(processid) == ["one", "two", "three"]
    assert pair.lower.notes(processid)["k"] == "v"
    assert pair.lower.process(processid)["assignedexecutorid"] == ann


def test_the_errors_of_a_failure_come_home(join: Join) -> None:
    pair = join()
    pair.upper.hire("ann", "gpu")
    processid = work(pair)
    pair.exchange()
    pair.upper.take("ann")
    pair.upper.call(executor_id("ann"), "closefailedmsg", processid=processid, errors=["no film", "no light"])
    pair.settle()
    assert pair.lower.state(processid) == FAILED
    assert pair.lower.process(processid)["errors"] == ["no film", "no light"]


def test_a_log_longer_than_a_letter_comes_whole_and_in_order(join: Join) -> None:
    pair = join()
    pair.upper.hire("ann", "gpu")
    processid = work(pair)
    pair.exchange()
    pair.upper.take("ann")
    lines = [f"{number} " + "x" * 500 for number in range(30)]
    for line in lines:
        pair.upper.call(executor_id("ann"), "addlogmsg", processid=processid, message=line)
    pair.upper.call(executor_id("ann"), "closesuccessfulmsg", processid=processid, out=[1])
    rounds = 0
    while pair.exchange(room=2048)[1]:
        rounds += 1
    assert rounds > 5
    assert pair.lower.logs(processid) == lines


def test_a_workflow_runs_on_both_nodes_and_each_member_has_the_outputs_of_its_parents(join: Join) -> None:
    pair = join()
    pair.lower.hire("bob")
    pair.upper.hire("ann", "gpu")
    nodes = [
        {"nodename": name, "funcname": "f", "conditions": {"executortype": kind, "dependencies": after}}
        for name, kind, after in (("a", "cli", []), ("b", "gpu", ["a"]), ("c", "cli", ["b"]))
    ]
    graph = pair.lower.call(USER, "submitworkflowspecmsg", spec={"colonyname": NAME, "functionspecs": nodes})
    first, second, third = graph["processids"]
    pair.settle()
    assert pair.upper.ids() == set()
    assert pair.lower.run("bob", 1) == first
    pair.settle()
    assert pair.upper.process(second)["in"] == [1]
    assert pair.upper.run("ann", 2) == second
    pair.settle()
    assert pair.lower.run("bob", 3) == third
    assert pair.lower.process(third)["in"] == [2]
    pair.settle()
    found = pair.lower.call(USER, "getprocessgraphmsg", processgraphid=graph["processgraphid"])
    assert found["state"] == SUCCESS
    assert pair.upper.ids() == {second}


def test_the_failure_of_a_member_above_fails_its_workflow_below(join: Join) -> None:
    pair = join()
    pair.upper.hire("ann", "gpu")
    nodes = [
        {"nodename": name, "funcname": "f", "conditions": {"executortype": kind, "dependencies": after}}
        for name, kind, after in (("a", "gpu", []), ("b", "gpu", ["a"]))
    ]
    graph = pair.lower.call(USER, "submitworkflowspecmsg", spec={"colonyname": NAME, "functionspecs": nodes})
    first, second = graph["processids"]
    pair.exchange()
    pair.upper.take("ann")
    pair.upper.call(executor_id("ann"), "closefailedmsg", processid=first, errors=["no"])
    pair.settle()
    assert (pair.lower.state(first), pair.lower.state(second)) == (FAILED, FAILED)
    assert pair.upper.ids() == {first}


# -- what the network does --------------------------------------------------------------------------------------------


def test_a_letter_that_comes_twice_changes_nothing_the_second_time(join: Join) -> None:
    pair = join(record=True)
    pair.lower.hire("bob")
    work(pair, env={"A": "b"})
    pair.lower.submit()
    pair.lower.run("bob", 1, log="hello")
    letter = pair.write()
    assert [item.kind for item in letter.items or ()] == ["offer", "history"]
    pair.deliver(letter)
    before = pair.upper.dump()
    again = pair.deliver(letter)
    assert pair.upper.dump() == before
    assert (again.items, again.have.batch) == ([], letter.batch)


def test_a_letter_whose_answer_was_lost_is_written_again_and_changes_nothing(join: Join) -> None:
    """All tables are as before, but for the counters of the link."""
    pair = join(record=True)
    pair.lower.hire("bob")
    work(pair, env={"A": "b"})
    pair.lower.submit()
    pair.lower.run("bob", 1, log="hello")
    pair.deliver(pair.write())
    counters = ("links", "timelines", "shares")
    before = {name: rows for name, rows in pair.upper.dump().items() if name not in counters}
    letter = pair.write()
    assert [item.kind for item in letter.items or ()] == ["offer", "history"]
    pair.hear(pair.deliver(letter))
    pair.settle()
    assert {name: rows for name, rows in pair.upper.dump().items() if name not in counters} == before


def test_an_answer_that_comes_twice_changes_no_process(join: Join) -> None:
    pair = join(accept=["cam"])
    pair.upper.hire("ann", "gpu")
    processid, other = work(pair), from_above(pair)
    pair.exchange()
    pair.upper.run("ann", 1, log="hello")
    answer = pair.deliver(pair.write())
    pair.hear(answer)
    before = {name: rows for name, rows in pair.lower.dump().items() if name != "shares"}
    pair.hear(answer)
    assert {name: rows for name, rows in pair.lower.dump().items() if name != "shares"} == before
    assert pair.lower.logs(processid) == ["hello"]
    assert pair.lower.state(other) == WAITING


def test_a_result_whose_answers_are_lost_comes_home_once(join: Join) -> None:
    pair = join()
    pair.upper.hire("ann", "gpu")
    processid = work(pair)
    pair.exchange()
    pair.upper.run("ann", 1, log="hello")
    for _ in range(3):
        assert [item.kind for item in pair.deliver(pair.write()).items or ()] == ["report"]
    pair.settle()
    assert (pair.lower.out(processid), pair.lower.logs(processid)) == ([1], ["hello"])


def test_a_letter_that_comes_after_a_later_one_is_passed_over(join: Join) -> None:
    pair = join()
    processid = work(pair)
    late = pair.write()
    pair.lower.call(USER, "cancelprocessmsg", processid=processid)
    pair.hear(pair.deliver(pair.write()))
    before = pair.upper.dump()
    answer = pair.deliver(late)
    assert pair.upper.dump() == before
    assert (answer.items, answer.need) == ([], [])


def test_a_letter_from_before_a_restart_that_comes_after_one_from_since_is_passed_over(join: Join) -> None:
    pair = join()
    pair.settle()
    processid = work(pair)
    late = pair.write()
    pair.lower.restart()
    pair.lower.call(USER, "cancelprocessmsg", processid=processid)
    pair.settle()
    before = pair.upper.dump()
    pair.deliver(late)
    assert pair.upper.dump() == before


def test_a_letter_from_before_a_restart_that_is_the_first_to_come_late_does_not_close_the_link(join: Join) -> None:
    """The upper node cannot know which of two timelines is the later one, if it hears of both for the first time."""
    pair = join()
    pair.upper.hire("ann", "gpu")
    early = work(pair)
    late = pair.write()
    pair.lower.restart()
    pair.lower.call(USER, "cancelprocessmsg", processid=early)
    pair.settle()
    pair.deliver(late)
    processid = work(pair)
    pair.settle()
    assert journey(pair, processid) == (WAITING, WAITING)
    assert journey(pair, early) == (CANCELLED, CANCELLED)


# -- who takes what back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [False, True])
def test_a_cancel_where_it_was_submitted_takes_it_back_from_above(join: Join, taken: bool) -> None:
    pair = join()
    pair.upper.hire("ann", "gpu")
    processid = work(pair)
    pair.settle()
    if taken:
        pair.upper.take("ann")
    pair.lower.call(USER, "cancelprocessmsg", processid=processid)
    pair.settle()
    assert journey(pair, processid) == (CANCELLED, CANCELLED)
    assert pair.upper.process(processid)["errors"] == ["low took it back"]
    assert pair.upper.assign(executor_id("ann")) is None


def test_a_cancel_where_it_runs_is_heard_where_it_was_submitted(join: Join) -> None:
    pair = join()
    processid = work(pair)
    pair.exchange()
    pair.upper.call(USER, "cancelprocessmsg", processid=processid)
    pair.settle()
    assert journey(pair, processid) == (CANCELLED, CANCELLED)


def test_a_cancel_above_of_what_the_lower_node_took_revokes_it_below(join: Join) -> None:
    pair = join(accept=["cam"])
    pair.lower.hire("bob", "cam")
    processid = from_above(pair)
    pair.settle()
    assert journey(pair, processid) == (WAITING, RUNNING)
    pair.upper.call(USER, "cancelprocessmsg", processid=processid)
    pair.settle()
    assert journey(pair, processid) == (CANCELLED, CANCELLED)
    assert pair.lower.process(processid)["errors"] == ["high took it back"]


def test_a_cancel_below_of_what_was_taken_from_above_fails_it_there(join: Join) -> None:
    """Where it was submitted nobody wanted it cancelled: its executor did not do it."""
    pair = join(accept=["cam"])
    processid = from_above(pair)
    pair.settle()
    pair.lower.call(USER, "cancelprocessmsg", processid=processid)
    pair.settle()
    assert journey(pair, processid) == (CANCELLED, FAILED)
    assert pair.upper.process(processid)["errors"] == ["It was cancelled at low"]


def test_a_process_removed_where_it_was_submitted_is_taken_back_from_above(join: Join) -> None:
    pair = join()
    processid = work(pair)
    pair.settle()
    pair.lower.call(USER, "removeprocessmsg", processid=processid)
    pair.settle()
    assert pair.upper.state(processid) == CANCELLED
    assert pair.lower.rows("select * from shares") == []


def test_a_process_removed_where_it_ran_is_told_as_cancelled(join: Join) -> None:
    pair = join()
    processid = work(pair)
    pair.settle()
    pair.upper.call(USER, "removeprocessmsg", processid=processid)
    pair.settle()
    assert pair.lower.state(processid) == CANCELLED
    assert pair.lower.process(processid)["errors"] == ["It was removed"]


def test_the_first_valid_close_stands_and_a_late_result_is_noted(join: Join) -> None:
    """The lower node is away while the upper one's deadline passes, and somebody else does it."""
    pair = join(accept=["cam"])
    pair.lower.hire("bob", "cam")
    pair.upper.hire("ann", "cam")
    processid = from_above(pair, maxexectime=60, maxretries=1)
    pair.exchange()
    assert pair.lower.run("bob", "late") == processid
    pair.upper.now += 61 * SECOND
    pair.upper.fire()
    assert pair.upper.run("ann", "first") == processid
    pair.settle()
    assert pair.upper.out(processid) == ["first"]
    late = json.loads(pair.upper.notes(processid)["sync.late"])
    assert (late["from"], late["state"], late["out"]) == ("low", "success", ["late"])
    assert pair.lower.out(processid) == ["late"]


def test_a_result_that_comes_after_the_deadline_of_the_giver_changes_no_outcome(join: Join) -> None:
    pair = join(accept=["cam"])
    pair.lower.hire("bob", "cam")
    processid = from_above(pair, maxexectime=60)
    pair.exchange()
    pair.lower.run("bob", "late")
    pair.upper.now += 61 * SECOND
    pair.upper.fire()
    pair.settle()
    assert pair.upper.state(processid) == FAILED
    assert pair.upper.process(processid)["errors"] == ["Maximum execution time limit exceeded"]
    assert json.loads(pair.upper.notes(processid)["sync.late"])["out"] == ["late"]


def test_a_late_result_that_is_too_long_for_a_note_is_noted_without_its_output(join: Join) -> None:
    pair = join(accept=["cam"])
    pair.lower.hire("bob", "cam")
    processid = from_above(pair, maxexectime=60)
    pair.exchange()
    pair.lower.run("bob", "x" * limits.MAX_LATE)
    pair.upper.now += 61 * SECOND
    pair.upper.fire()
    pair.settle()
    late = json.loads(pair.upper.notes(processid)["sync.late"])
    assert late == {"from": "low", "where": "bob", "state": "success"}


def test_a_report_of_an_earlier_hand_out_is_refused(join: Join) -> None:
    """The process was given to the lower node, taken back when its time was over, and given to it again."""
    pair = join(accept=["cam"])
    processid = from_above(pair, maxexectime=60, maxretries=5)
    pair.settle()
    pair.later(61)
    pair.settle()
    assert pair.upper.rows("select term from shares") == [(2,)]
    assert pair.upper.state(processid) == RUNNING
    item = Item(kind="report", processid=processid, term=1, state=SUCCESS, out=["old"])
    pair.tell(item)
    assert pair.upper.state(processid) == RUNNING
    assert json.loads(pair.upper.notes(processid)["sync.late"])["out"] == ["old"]
    pair.tell(msgspec.structs.replace(item, term=2, out=["new"]))
    assert pair.upper.out(processid) == ["new"]


# -- what is kept as a record -----------------------------------------------------------------------------------------


def test_history_is_kept_with_its_origin_and_its_way(join: Join) -> None:
    pair = join(record=True)
    pair.lower.hire("bob")
    processid = pair.lower.submit(args=[1], env={"A": "b"})
    pair.lower.run("bob", "x", log="hello")
    pair.settle()
    there = pair.upper.process(processid)
    assert (there["state"], there["out"], there["spec"]["args"]) == (SUCCESS, ["x"], [1])
    assert pair.upper.notes(processid) == {"A": "b", "sync.origin": "low", "sync.where": "low/bob"}
    assert pair.upper.logs(processid) == ["hello"]


def test_nobody_changes_a_record_of_another_node(join: Join) -> None:
    """Also not an executor with the key of the one that ran it."""
    pair = join(record=True)
    for node in (pair.lower, pair.upper):
        node.hire("bob")
    processid = pair.lower.submit()
    pair.lower.run("bob", "x")
    pair.settle()
    before = pair.upper.rows("select * from processes"), pair.lower.rows("select * from processes")
    for caller, msgtype, more in (
        (executor_id("bob"), "closefailedmsg", {"errors": ["y"]}),
        (executor_id("bob"), "setoutputmsg", {"out": ["y"]}),
        (USER, "cancelprocessmsg", {}),
    ):
        with pytest.raises(Rejected):
            pair.upper.call(caller, msgtype, processid=processid, **more)
    pair.settle()
    assert (pair.upper.rows("select * from processes"), pair.lower.rows("select * from processes")) == before


def test_history_goes_on_to_a_third_node(join: Join) -> None:
    near, far = join("low", "mid", record=True), join("mid", "high", record=True)
    near.lower.hire("bob")
    processid = near.lower.submit()
    near.lower.run("bob", "x", log="hello")
    near.settle()
    far.settle()
    assert far.upper.out(processid) == ["x"]
    assert far.upper.notes(processid) == {"sync.origin": "mid/low", "sync.where": "mid/low/bob"}
    assert far.upper.logs(processid) == ["hello"]


def test_what_is_logged_after_the_end_is_told_too(join: Join) -> None:
    near, far = join("low", "mid", record=True), join("mid", "high", record=True)
    near.lower.hire("bob")
    processid = near.lower.submit()
    near.lower.run("bob", "x")
    near.settle()
    far.settle()
    attribute = Attribute(targetid=processid, attributeid="a" * 64, key="k", value="v", attributetype=1)
    item = Item(kind="history", processid=processid, state=SUCCESS, attributes=[attribute])
    near.tell(msgspec.structs.replace(item, logs=[Line(position=9, executorname="bob", message="after", timestamp=1)]))
    far.settle()
    assert far.upper.logs(processid) == ["after"]
    assert far.upper.notes(processid)["k"] == "v"


def test_history_of_what_has_not_ended_is_passed_over(join: Join) -> None:
    pair = join()
    pair.settle()
    pair.tell(Item(kind="history", processid="7" * 64, state=RUNNING, process=submitted()))
    assert pair.upper.ids() == set()


def test_a_process_that_runs_through_three_nodes_ends_on_all_of_them(join: Join) -> None:
    near, far = join("low", "mid"), join("mid", "high")
    far.upper.hire("ann", "gpu")
    processid = work(near)
    near.settle()
    far.settle()
    assert far.upper.notes(processid)["sync.origin"] == "mid/low"
    assert far.upper.run("ann", "x", log="hello") == processid
    far.settle()
    near.settle()
    for node in (near.lower, near.upper, far.upper):
        assert (node.state(processid), node.out(processid), node.logs(processid)) == (SUCCESS, ["x"], ["hello"])
    assert near.lower.notes(processid)["sync.where"] == "mid/high/ann"


def test_a_cancel_goes_through_three_nodes(join: Join) -> None:
    near, far = join("low", "mid"), join("mid", "high")
    processid = work(near)
    near.settle()
    far.settle()
    near.lower.call(USER, "cancelprocessmsg", processid=processid)
    near.settle()
    far.settle()
    assert [node.state(processid) for node in (near.lower, near.upper, far.upper)] == [CANCELLED] * 3


# -- what makes no sense ----------------------------------------------------------------------------------------------


def submitted(**more: Any) -> Submitted:
    """The beginning of a process."""
    spec = FunctionSpec(funcname="f")
    spec.conditions.executortype = "gpu"
    return Submitted(spec=spec, **{"waitleft": -1, **more})


@pytest.mark.parametrize("kind", ["offer", "report", "history", "revoke"])
def test_nothing_that_is_said_of_a_process_of_somebody_else_changes_it(join: Join, kind: str) -> None:
    pair = join()
    pair.settle()
    processid = pair.upper.submit(conditions={"executortype": "gpu"})
    fields = "processid, state, away, origin, spec, input, out, errors, assignedexecutorid, waitdeadline"
    before = pair.upper.rows(f"select {fields} from processes")
    for process in (submitted(), None):
        for state in (WAITING, RUNNING, SUCCESS, CANCELLED):
            logs = [Line(position=1, message="theirs")]
            pair.tell(Item(kind=kind, processid=processid, term=0, state=state, process=process, logs=logs))
    assert pair.upper.rows(f"select {fields} from processes") == before
    assert pair.upper.logs(processid) == []


def test_an_offer_of_an_id_that_is_known_is_refused_with_a_sentence(join: Join) -> None:
    pair = join()
    processid = pair.upper.submit()
    mine = work(pair)
    pair.lower.commit(lambda tx: tx.run("update processes set processid = ?", (processid,)))
    assert mine != processid
    pair.settle()
    assert pair.lower.state(processid) == FAILED
    assert pair.lower.process(processid)["errors"] == [REFUSAL]
    assert pair.upper.state(processid) == WAITING


def test_the_giver_hears_when_its_process_makes_no_sense_above(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upstream of another version may have other limits: nobody should wait for ever for what it cannot take."""
    pair = join()
    pair.upper.hire("ann", "gpu")
    processid = work(pair, args=["x" * 10])
    good = work(pair)
    monkeypatch.setattr(intake, "_store", _senseless(intake._store, processid))
    pair.settle()
    assert pair.lower.state(processid) == FAILED
    assert pair.lower.process(processid)["errors"] == [REFUSAL]
    assert journey(pair, good) == (WAITING, WAITING)


def _senseless(store: Callable[..., Any], processid: str) -> Callable[..., Any]:
    def refuse(tx: Any, link: Any, item: Item, *more: Any) -> Any:
        if item.processid == processid:
            raise BadRequest("it makes no sense")
        return store(tx, link, item, *more)

    return refuse


def test_what_cannot_be_used_does_not_keep_the_others_from_being_taken_in(join: Join) -> None:
    pair = join()
    pair.settle()
    good = Item(kind="offer", processid="7" * 64, term=1, process=submitted())
    bad = (
        msgspec.structs.replace(good, processid="8" * 64, kind="nonsense"),
        msgspec.structs.replace(good, processid="short"),
        msgspec.structs.replace(good, processid="9" * 64, process=submitted(input=[1] * (limits.MAX_LIST_ITEMS + 1))),
        Item(kind="report", processid="a" * 64, term=1, state=9, process=submitted()),
    )
    pair.tell(*bad, good)
    assert pair.upper.ids() == {"7" * 64}


def _gone(node: Any) -> int:
    """Let a node make room; how many processes it deleted for that."""
    walk, gone, more = reclaim.Walk(), 0, True
    while more:
        count, more = node.commit(lambda tx: reclaim.sweep(tx, walk))
        gone += count
    return gone


def test_what_the_upper_node_cannot_use_is_named_and_stays_below_as_the_only_copy(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upper node of another version, whose limits are others. The answer that names it may get lost."""
    pair = join(record=True)
    pair.lower.hire("ann")
    pair.lower.submit()
    pair.lower.submit()
    odd, plain = pair.lower.run("ann", 1, log="x" * 2_000), pair.lower.run("ann", 2)
    monkeypatch.setattr(limits, "MAX_LOG_MESSAGE", 1_000)
    for _ in range(2):
        answer = pair.deliver(pair.write())
        assert answer.unusable == [odd]
    pair.hear(answer)
    assert pair.up.confirmed == 0
    pair.settle()
    assert pair.upper.ids() == {plain}
    assert odd in pair.up.note
    assert _gone(pair.lower) == 1
    assert pair.lower.ids() == {odd}
    assert pair.lower.logs(odd) == ["x" * 2_000]


def test_a_record_of_which_the_upper_node_can_use_only_a_part_stays_below(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = join(record=True)
    ann = executor_id("ann")
    pair.lower.hire("ann")
    processid = pair.lower.submit()
    assert pair.lower.take("ann") == processid
    for message in ("x" * 1_500, "y" * 1_500, "z" * 2_000):
        pair.lower.call(ann, "addlogmsg", processid=processid, message=message)
    pair.lower.call(ann, "closesuccessfulmsg", processid=processid, out=[1])
    monkeypatch.setattr(limits, "MAX_LOG_MESSAGE", 1_600)
    for _ in range(8):
        pair.exchange(room=200)
    assert pair.upper.logs(processid) == ["x" * 1_500, "y" * 1_500]
    assert _gone(pair.lower) == 0


def test_a_result_that_the_upper_node_cannot_use_fails_there_with_a_sentence_and_stays_below(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = join(accept=["cam"], record=True)
    processid = from_above(pair)
    pair.lower.hire("cia", "cam")
    pair.settle()
    assert pair.lower.take("cia") == processid
    pair.settle()
    pair.lower.call(executor_id("cia"), "closesuccessfulmsg", processid=processid, out=["x" * 2_000])
    monkeypatch.setattr(limits, "MAX_INPUT", 1_000)
    pair.settle()
    assert journey(pair, processid) == (SUCCESS, FAILED)
    (error,) = pair.upper.process(processid)["errors"]
    assert error.startswith("What low says of its end cannot be used: a list must have at most")
    assert _gone(pair.lower) == 0
    assert pair.lower.out(processid) == ["x" * 2_000]


def test_a_result_from_above_that_cannot_be_used_fails_below_with_a_sentence(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = join()
    pair.upper.hire("ann", "gpu")
    processid = work(pair)
    pair.exchange()
    assert pair.upper.take("ann") == processid
    pair.upper.call(executor_id("ann"), "closesuccessfulmsg", processid=processid, out=["x" * 2_000])
    monkeypatch.setattr(limits, "MAX_INPUT", 1_000)
    pair.settle()
    assert journey(pair, processid) == (FAILED, SUCCESS)
    (error,) = pair.lower.process(processid)["errors"]
    assert error.startswith("What high says of its end cannot be used: a list must have at most")
