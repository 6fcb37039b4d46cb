"""The life of a process, against a model: whatever anybody asks, in whatever order, the store and the model agree."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from colonies_node.core.broker import work
from colonies_node.core.errors import Rejected
from colonies_node.core.events import AssignmentsResumed, ProcessChanged
from colonies_node.core.model.times import DAY, SECOND
from colonies_node.core.states import PROCESS_MOVES
from colonies_node.core.store.sqlite import Store
from tests import strategies
from tests.core.colony import NAME, OWNER, START, STRANGER, USER, Colony, executor_id

WAITING, RUNNING, SUCCESS, FAILED, CANCELLED = range(5)
CPU = {"": 0, "0m": 0, "500m": 500, "1": 1000, "1500m": 1500, "2": 2000}
MEM = {"": 0, "0": 0, "1Mi": 1 << 20, "1500M": 1_500_000_000, "2Gi": 2 << 30}
MOVES = {(int(before), int(after)) for (before, _), after in PROCESS_MOVES.items()}


@dataclass
class Work:
    """A process as the model has it."""

    number: int
    spec: dict[str, Any]
    submitted: int
    waitdeadline: int
    state: int = WAITING
    assignee: str = ""
    start: int = 0
    end: int = 0
    execdeadline: int = 0
    retries: int = 0
    out: list[Any] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def place_in_line(self) -> tuple[int, int]:
        return self.submitted - self.spec["priority"] * DAY, self.number

    def suits(self, name: str, executortype: str, location: str, cpu: str, mem: str) -> bool:
        wants = self.spec["conditions"]
        return (
            self.state == WAITING
            and wants["executortype"] == executortype
            and (wants["executornames"] in (None, [], ["*"]) or name in wants["executornames"])
            and wants["locationname"].lower() in ("", location.lower())
            and (cpu == "" or CPU[wants["cpu"]] <= CPU[cpu])
            and (mem == "" or MEM[wants["mem"]] <= MEM[mem])
            and wants["nodes"] <= 127
        )

    def release(self) -> None:
        self.state, self.assignee, self.start, self.end = WAITING, "", 0, 0

    def columns(self) -> tuple[Any, ...]:
        assigned = int(self.assignee != "")
        return (self.state, self.assignee, assigned, self.start, self.end, self.waitdeadline, self.execdeadline,
                self.retries, self.submitted, self.out, self.errors)  # fmt: skip


COLUMNS = """
    select processid, state, assignedexecutorid, isassigned, starttime, endtime, waitdeadline, execdeadline,
           retries, submissiontime, out, errors from processes
"""


class ProcessLife(RuleBasedStateMachine):
    """Random commands, legal and not, over the broker and a store on disk."""

    processes = Bundle("processes")

    @initialize()
    def found(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.colony = Colony(Path(self.folder.name))
        self.model: dict[str, Work] = {}
        self.executors: dict[str, dict[str, Any]] = {}
        for name, executortype, location in (("ann", "cli", ""), ("bob", "cli", "HOME"), ("cia", "gpu", "sea")):
            self.colony.hire(name, executortype, location)
            self.executors[name] = {"type": executortype, "location": location, "approved": True}
        self.paused = False
        self.last_stamp = 0
        self.count = 0
        self.before: dict[str, int] = {}

    def teardown(self) -> None:
        if hasattr(self, "colony"):
            self.colony.close()
            self.folder.cleanup()

    # -- what is asked -------------------------------------------------------------------------------------------------

    @rule(target=processes, spec=strategies.specs, by=st.sampled_from(("user", "executor")))
    def submit(self, spec: dict[str, Any], by: str) -> Any:
        caller = USER if by == "user" or not self.executors["ann"]["approved"] else executor_id("ann")
        processid = self.colony.submit(caller, **spec)
        stamp = max(self.colony.now, self.last_stamp + 1)
        self.last_stamp = stamp
        self.count += 1
        patience = spec["maxwaittime"]
        deadline = self.colony.now + patience * SECOND if patience > 0 else 0
        self.model[processid] = Work(self.count, spec, stamp, deadline)
        self.expect_events(processid)
        return processid

    @rule(
        spec=strategies.specs,
        flaw=st.sampled_from(
            (
                {"priority": 50_001},
                {"priority": -50_001},
                {"maxexectime": -2},
                {"maxwaittime": -2},
                {"maxexectime": 2**62},
                {"conditions": {"cpu": "much"}},
                {"conditions": {"mem": "2 elephants"}},
                {"conditions": {"colonyname": "nowhere"}},
                {"funcname": "x" * 300},
                None,
            )
        ),
    )
    def submit_what_may_not_be(self, spec: dict[str, Any], flaw: dict[str, Any] | None) -> None:
        caller = STRANGER if flaw is None else USER
        self.refused(lambda: self.colony.submit(caller, **{**spec, **(flaw or {})}))

    @rule(name=strategies.names, cpu=strategies.cpus, mem=strategies.memories)
    def assign(self, name: str, cpu: str, mem: str) -> None:
        executor = self.executors[name]
        if not executor["approved"]:
            self.refused(lambda: self.colony.assign(executor_id(name), cpu, mem))
            return
        line = [
            (work.place_in_line, processid)
            for processid, work in self.model.items()
            if work.suits(name, executor["type"], executor["location"], cpu, mem)
        ]
        got = self.colony.assign(executor_id(name), cpu, mem)
        if self.paused or not line:
            assert got is None
            self.expect_events()
            return
        processid = min(line)[1]
        assert got is not None and got.processid == processid
        taken = self.model[processid]
        taken.state, taken.assignee, taken.start = RUNNING, executor_id(name), self.colony.now
        if taken.spec["maxexectime"] > 0:
            taken.execdeadline = self.colony.now + taken.spec["maxexectime"] * SECOND
        self.expect_events(processid)

    @rule()
    def everybody_asks_for_work(self) -> None:
        for name in self.executors:
            self.assign(name, "", "")

    @precondition(lambda self: self.running())
    @rule(data=st.data(), ok=st.booleans(), out=strategies.outputs)
    def close_what_runs(self, data: st.DataObject, ok: bool, out: list[Any]) -> None:
        processid = data.draw(st.sampled_from(self.running()))
        name = next(name for name in self.executors if executor_id(name) == self.model[processid].assignee)
        if ok:
            self.close_successful(processid, name, out)
        else:
            self.close_failed(processid, name, ["why"])

    @rule(processid=processes, name=strategies.names, out=strategies.outputs)
    def close_successful(self, processid: str, name: str, out: list[Any]) -> None:
        work = self.model.get(processid)
        close = self.sender(executor_id(name), "closesuccessfulmsg", processid=processid, out=out)
        if not self.holds(name, work) or work is None or work.state not in (RUNNING, SUCCESS):
            self.refused(close)
            return
        close()
        work.out = out or work.out
        if work.state == RUNNING:
            work.state, work.end = SUCCESS, self.colony.now
            self.expect_events(processid)
        else:
            self.expect_events()

    @rule(processid=processes, name=strategies.names, errors=strategies.errors)
    def close_failed(self, processid: str, name: str, errors: list[str] | None) -> None:
        work = self.model.get(processid)
        close = self.sender(executor_id(name), "closefailedmsg", processid=processid, errors=errors)
        if not self.holds(name, work) or work is None or work.state != RUNNING:
            self.refused(close)
            return
        close()
        work.state, work.end, work.errors = FAILED, self.colony.now, errors or []
        self.expect_events(processid)

    @rule(processid=processes, name=strategies.names, out=strategies.outputs)
    def set_output(self, processid: str, name: str, out: list[Any]) -> None:
        work = self.model.get(processid)
        send = self.sender(executor_id(name), "setoutputmsg", processid=processid, out=out)
        if not self.holds(name, work) or work is None or work.state != RUNNING:
            self.refused(send)
            return
        send()
        work.out = out or work.out

    @rule(processid=processes, caller=st.sampled_from((USER, STRANGER)))
    def cancel(self, processid: str, caller: str) -> None:
        work = self.model.get(processid)
        cancel = self.sender(caller, "cancelprocessmsg", processid=processid)
        if caller == STRANGER or work is None or work.state not in (WAITING, RUNNING):
            self.refused(cancel)
            return
        cancel()
        work.state, work.end = CANCELLED, self.colony.now
        self.expect_events(processid)

    @rule(target=processes, processid=consumes(processes), caller=st.sampled_from((USER, STRANGER)))
    def remove(self, processid: str, caller: str) -> Any:
        work = self.model.get(processid)
        remove = self.sender(caller, "removeprocessmsg", processid=processid)
        if caller == STRANGER or work is None or work.state == RUNNING:
            self.refused(remove)
            # What is gone already stays a target now and then: asking for it must be refused too.
            return multiple(processid)
        remove()
        del self.model[processid]
        return multiple(processid)

    @rule(state=st.sampled_from((SUCCESS, FAILED, CANCELLED, RUNNING, 7, WAITING)))
    def remove_all(self, state: int) -> None:
        remove = self.sender(OWNER, "removeallprocessesmsg", colonyname=NAME, state=state)
        if state in (RUNNING, 7):
            self.refused(remove)
            return
        remove()
        self.model = {processid: work for processid, work in self.model.items() if work.state != state}

    @rule(name=strategies.names, what=st.sampled_from(("approve", "approve", "approve", "approve", "reject", "remove")))
    def decide_about(self, name: str, what: str) -> None:
        self.sender(OWNER, f"{what}executormsg", colonyname=NAME, executorname=name)()
        self.executors[name]["approved"] = what == "approve"
        freed = []
        if what == "remove":
            freed = [p for p, w in self.model.items() if w.state == RUNNING and w.assignee == executor_id(name)]
            for processid in freed:
                self.model[processid].release()
        self.expect_events(*freed)

    @rule(what=st.sampled_from(("resume", "resume", "resume", "pause")), caller=st.sampled_from((OWNER, OWNER, USER)))
    def pause(self, what: str, caller: str) -> None:
        send = self.sender(caller, f"{what}assignmentsmsg", colonyname=NAME)
        if caller == USER:
            self.refused(send)
            return
        send()
        self.paused = what == "pause"
        assert self.colony.events == ([AssignmentsResumed(NAME)] if what == "resume" else [])

    @rule(processid=processes, name=strategies.names)
    def answer_never_arrived(self, processid: str, name: str) -> None:
        work_ = self.model.get(processid)
        self.colony.commit(lambda tx: work.take_back(tx, processid, executor_id(name)))
        if work_ is not None and work_.state == RUNNING and work_.assignee == executor_id(name):
            work_.release()
            self.expect_events(processid)
        else:
            self.expect_events()

    @rule(seconds=st.sampled_from((0, 1, 4, 5, 6, 31)), fire=st.booleans())
    def time_passes(self, seconds: int, fire: bool) -> None:
        self.colony.now += seconds * SECOND
        if not fire:
            return
        now = self.colony.now
        self.colony.fire()
        late = [p for p, w in self.model.items() if w.state == WAITING and 0 < w.waitdeadline <= now]
        slow = [p for p, w in self.model.items() if w.state == RUNNING and 0 < w.execdeadline <= now]
        for processid in late:
            self.fail(processid, "Maximum waiting time limit exceeded")
        for processid in slow:
            work = self.model[processid]
            if 0 <= work.spec["maxretries"] <= work.retries:
                self.fail(processid, "Maximum execution time limit exceeded")
                continue
            work.state, work.assignee, work.end, work.retries = WAITING, "", now, work.retries + 1
            if work.spec["maxwaittime"] > 0:
                work.waitdeadline = now + work.spec["maxwaittime"] * SECOND
        self.expect_events(*late, *slow)

    @rule()
    def start_again(self) -> None:
        """A node that stops and starts forgets nothing."""
        before = self.colony.dump()
        self.colony.close()
        self.colony.store = Store(Path(self.folder.name), lambda: self.colony.now)
        assert self.colony.dump() == before
        self.last_stamp = max(self.model.values(), key=lambda work: work.number).submitted if self.model else 0

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def the_store_is_as_the_model_says(self) -> None:
        if not hasattr(self, "colony"):
            return
        rows = {row[0]: (*row[1:-2], json.loads(row[-2]), json.loads(row[-1])) for row in self.colony.rows(COLUMNS)}
        assert rows == {processid: work.columns() for processid, work in self.model.items()}

    @invariant()
    def every_move_is_in_the_table(self) -> None:
        if not hasattr(self, "colony"):
            return
        states = dict(self.colony.rows("select processid, state from processes"))
        for processid, after in states.items():
            before = self.before.get(processid, WAITING)
            assert before == after or (before, after) in MOVES
        self.before = states

    @invariant()
    def who_runs_it_is_known_exactly_while_and_after_it_runs(self) -> None:
        if not hasattr(self, "colony"):
            return
        for state, assignee, isassigned, start, end in self.colony.rows(
            "select state, assignedexecutorid, isassigned, starttime, endtime from processes"
        ):
            assert bool(assignee) == bool(isassigned)
            assert isassigned or state in (WAITING, FAILED, CANCELLED)
            assert not isassigned or state != WAITING
            if state in (RUNNING, SUCCESS):
                assert assignee and start
            if state in (SUCCESS, FAILED, CANCELLED):
                assert end >= START

    @invariant()
    def the_alarm_never_rings_late(self) -> None:
        if not hasattr(self, "colony"):
            return
        due = self.colony.next_due()
        mine = [
            deadline
            for w in self.model.values()
            for deadline in (
                (w.waitdeadline,) if w.state == WAITING else (w.execdeadline,) if w.state == RUNNING else ()
            )
            if deadline
        ]
        assert due == min(mine, default=0) or (due and min(mine, default=due) >= due)
        if mine:
            assert due == min(mine)
            assert 0 < self.colony.alarm <= due

    # -- how -----------------------------------------------------------------------------------------------------------

    def sender(self, caller: str, msgtype: str, **message: Any) -> Any:
        return lambda: self.colony.call(caller, msgtype, **message)

    def running(self) -> list[str]:
        return [processid for processid, work in self.model.items() if work.state == RUNNING]

    def holds(self, name: str, work: Work | None) -> bool:
        return work is not None and work.assignee == executor_id(name) and bool(self.executors[name]["approved"])

    def fail(self, processid: str, error: str) -> None:
        work = self.model[processid]
        work.state, work.end, work.errors = FAILED, self.colony.now, [error]

    def refused(self, ask: Any) -> None:
        before = self.colony.dump()
        with pytest.raises(Rejected) as refusal:
            ask()
        assert refusal.value.message and "\n" not in refusal.value.message
        assert self.colony.dump() == before
        assert self.colony.events == []

    def expect_events(self, *processids: str) -> None:
        told = [event for event in self.colony.events if isinstance(event, ProcessChanged)]
        assert sorted(event.process.processid for event in told) == sorted(processids)
        for event in told:
            work = self.model[event.process.processid]
            assert (event.process.state, event.process.assignedexecutorid) == (work.state, work.assignee)


TestProcessLife = ProcessLife.TestCase
TestProcessLife.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
