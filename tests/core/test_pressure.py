"""A disk that fills up: low priorities are refused first, what an upstream has confirmed makes room, and nothing that
only this node has is deleted."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from colonies_node.core.broker import work
from colonies_node.core.broker.sync import exchange, intake, letters, upstreams
from colonies_node.core.errors import BadRequest, Unavailable
from colonies_node.core.model.sync import Item, Line, Mark, Upstream
from colonies_node.core.model.times import SECOND
from colonies_node.core.pressure import Level, Pressure, Sizes, log_room
from colonies_node.core.store import links, processes, reclaim, shares
from colonies_node.core.store.links import LinkRow
from colonies_node.core.timers import SHORT
from tests.core.colony import NAME, OWNER, USER, Colony
from tests.strategies import disk_stories

MIB = 1 << 20
RESERVE = 64 * MIB
ENOUGH, LITTLE, LOW, CRITICAL = 200 * MIB, 100 * MIB, 50 * MIB, 20 * MIB
SPEC = {
    "colonyname": NAME,
    "functionspecs": [{"nodename": "a", "funcname": "f", "conditions": {"executortype": "cli"}}],
}


class Small(Colony):
    """A colony on a disk with as much room as the test says, and an upstream that hears what the test says."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.ann = self.hire("ann")
        self.have: dict[str, tuple[str, int]] = {}
        self.commit(links.begin_timeline)

    def leave(self, free: int, spare: int = 0, log: int = 0) -> None:
        """So many bytes are free on the disk, so many pages in the file, and the log has so many."""
        self.pressure.measure(Sizes(0, log, free, spare), RESERVE, 1)

    def link(self, name: str, **settings: Any) -> None:
        """Have an upstream, which keeps records unless it is said otherwise."""
        settings = {"record": True, "url": "http://up", "colonyname": NAME, **settings}
        self.commit(lambda tx: upstreams.put(tx, Upstream(name=name, **settings), ""))

    def write(self, name: str = "up") -> int:
        """Write a letter to the upstream; its number, 0 with nothing to tell."""

        def gather(tx: Any) -> int:
            tag, batch = links.timeline(tx), letters.gather(tx, self._link(tx, name), 1 << 20).number
            if batch:
                self.have[name] = tag, batch
            return batch

        batch: int = self.commit(gather)
        return batch

    def confirm(self, name: str = "up") -> None:
        """The upstream has all that was written."""
        tag, batch = self.have[name]
        self.commit(lambda tx: letters.confirm(tx, self._link(tx, name), Mark(timeline=tag, batch=batch)))

    def tell(self, *names: str) -> None:
        """Write to the upstreams until they have all."""
        for name in names or ("up",):
            while self.write(name):
                self.confirm(name)

    def _link(self, tx: Any, name: str) -> LinkRow:
        link = links.upstream(tx, name)
        assert link is not None
        return link

    def end(self, how: str = "successful", **spec: Any) -> str:
        """A process that has ended here, with a log and an attribute; its id."""
        processid = self.submit(priority=9, env={"A": "b"}, **spec)
        self.run(processid, how)
        return processid

    def run(self, processid: str, how: str = "successful") -> None:
        """Run the process that is next, which must be this one, to its end."""
        self.now += SECOND
        taken = self.assign(self.ann)
        assert taken is not None and taken.processid == processid
        self.call(self.ann, "addlogmsg", processid=processid, message="hello")
        message = {"errors": ["no"]} if how == "failed" else {"out": [1]}
        self.call(self.ann, f"close{how}msg", processid=processid, **message)

    def workflow(self, priority: int = 9) -> list[str]:
        """Submit a workflow of one after the other; the ids of its processes."""
        nodes = [
            {
                "nodename": name,
                "funcname": "f",
                "priority": priority,
                "conditions": {"executortype": "cli", "dependencies": after},
            }
            for name, after in (("a", []), ("b", ["a"]))
        ]
        graph = self.call(USER, "submitworkflowspecmsg", spec={"colonyname": NAME, "functionspecs": nodes})
        processids: list[str] = graph["processids"]
        return processids

    def there(self) -> set[str]:
        """The ids of all processes."""
        return {processid for (processid,) in self.rows("select processid from processes")}

    def make_room(self) -> None:
        """Do what is due, until nothing more is due now."""
        for _ in range(1000):
            due = self.fire()
            if not due or due > self.now:
                return
        pytest.fail("there is no end to making room")


@pytest.fixture
def colony(tmp_path: Path) -> Iterator[Small]:
    colony = Small(tmp_path)
    yield colony
    colony.close()


# -- levels -----------------------------------------------------------------------------------------------------------


def level_at(free: int, **more: Any) -> Level:
    pressure = Pressure(**more.pop("before", {}))
    pressure.measure(Sizes(0, more.get("log", 0), free, more.get("spare", 0)), RESERVE, 1)
    return pressure.level


def test_the_levels_begin_at_the_reserve_and_at_half_of_it() -> None:
    assert level_at(RESERVE) is Level.NONE
    assert level_at(RESERVE - 1) is Level.LOW
    assert level_at(RESERVE // 2) is Level.LOW
    assert level_at(RESERVE // 2 - 1) is Level.CRITICAL


def test_pages_that_are_free_in_the_file_count_as_free() -> None:
    assert level_at(20 * MIB, spare=44 * MIB) is Level.NONE
    assert level_at(20 * MIB, spare=43 * MIB) is Level.LOW


def test_free_pages_help_nobody_without_room_for_the_log_through_which_they_are_written() -> None:
    assert level_at(7 * MIB, spare=500 * MIB) is Level.CRITICAL
    assert level_at(7 * MIB, spare=500 * MIB, log=MIB) is Level.NONE


def test_a_level_is_left_at_an_eighth_more_than_its_bound_so_that_it_does_not_flicker() -> None:
    low = {"level": Level.LOW}
    assert level_at(71 * MIB, before=low) is Level.LOW
    assert level_at(72 * MIB, before=low) is Level.NONE
    critical = {"level": Level.CRITICAL}
    assert level_at(35 * MIB, before=critical) is Level.CRITICAL
    assert level_at(36 * MIB, before=critical) is Level.LOW


def test_the_log_gets_an_eighth_of_what_is_left_above_the_reserve_and_always_a_little() -> None:
    assert log_room(Sizes(0, 0, 104 * MIB, 0), RESERVE) == 5 * MIB
    assert log_room(Sizes(0, 0, RESERVE, 0), RESERVE) == RESERVE // 16
    assert log_room(Sizes(0, 0, 0, 0), MIB) == 400 << 10


# -- what is refused --------------------------------------------------------------------------------------------------


def test_with_room_enough_every_priority_is_taken(colony: Small) -> None:
    for free in (ENOUGH, LITTLE, RESERVE):
        colony.leave(free)
        assert colony.submit(priority=-5)


def test_while_the_reserve_is_touched_a_low_priority_is_refused_and_a_higher_one_taken(colony: Small) -> None:
    colony.leave(LOW)
    with pytest.raises(Unavailable) as refusal:
        colony.submit()
    assert refusal.value.status == 503
    assert refusal.value.message == (
        "The disk of the server is nearly full: 50.0 MiB are free, and new work of a priority below 1 needs 64.0 MiB;"
        " nothing was stored: submit it with priority 1 or higher, free some space there, or try again later"
    )
    assert colony.there() == set()
    assert {colony.submit(priority=1)} == colony.there()


def test_at_half_of_the_reserve_every_submit_is_refused(colony: Small) -> None:
    colony.leave(CRITICAL)
    before = colony.dump()
    with pytest.raises(Unavailable, match=r"20\.0 MiB are free, and new work needs 32\.0 MiB; .*: free some space"):
        colony.submit(priority=50_000)
    with pytest.raises(Unavailable):
        colony.workflow(priority=50_000)
    assert colony.dump() == before


def test_a_workflow_counts_as_its_least_important_process(colony: Small) -> None:
    colony.leave(LOW)
    with pytest.raises(Unavailable):
        colony.workflow(priority=0)
    assert len(colony.workflow(priority=1)) == 2


@pytest.mark.parametrize("free", [LOW, CRITICAL])
def test_what_was_accepted_goes_on_at_every_level(colony: Small, free: int) -> None:
    first, second = colony.submit(), colony.submit()
    colony.leave(free)
    colony.run(first)
    taken = colony.assign(colony.ann)
    assert taken is not None and taken.processid == second
    attribute = {"targetid": second, "key": "k", "value": "v", "attributetype": 1}
    colony.call(colony.ann, "addattributemsg", attribute=attribute)
    colony.call(colony.ann, "closefailedmsg", processid=second, errors=["no"])
    assert [colony.process(processid)["state"] for processid in (first, second)] == [2, 3]


def test_a_running_workflow_may_grow_until_all_new_work_is_refused(colony: Small) -> None:
    colony.workflow()
    taken = colony.assign(colony.ann)
    assert taken is not None
    child = {
        "processgraphid": taken.processgraphid,
        "parentprocessid": taken.processid,
        "childprocessid": "",
        "spec": {"funcname": "f", "nodename": "c", "conditions": {"executortype": "cli", "colonyname": NAME}},
    }
    colony.leave(LOW)
    colony.call(colony.ann, "addchildmsg", **child)
    colony.leave(CRITICAL)
    with pytest.raises(Unavailable):
        colony.call(colony.ann, "addchildmsg", **child)


def add_cron(colony: Small, **cron: Any) -> str:
    given = {"colonyname": NAME, "name": "c", "interval": 3600, "workflowspec": json.dumps(SPEC), **cron}
    cronid: str = colony.call(USER, "addcronmsg", cron=given)["cronid"]
    return cronid


def test_a_cron_waits_for_room_and_runs_once_there_is_some(colony: Small) -> None:
    cronid = add_cron(colony)
    colony.now += 3600 * SECOND
    for free in (CRITICAL, LOW):
        colony.leave(free)
        colony.make_room()
        assert colony.there() == set()
        assert colony.next_due() <= colony.now + 60 * SECOND
        colony.now += 60 * SECOND
    with pytest.raises(Unavailable):
        colony.call(USER, "runcronmsg", cronid=cronid)
    colony.leave(ENOUGH)
    colony.fire()
    assert len(colony.there()) == 1
    assert colony.next_due() == colony.now + 3600 * SECOND


def test_a_yearly_cron_that_found_no_room_is_not_put_off_for_a_year(colony: Small) -> None:
    add_cron(colony, interval=-1, cronexpression="0 0 0 1 1 *")
    colony.now = colony.next_due()
    colony.leave(CRITICAL)
    colony.fire()
    colony.leave(ENOUGH)
    colony.now = colony.next_due()
    colony.fire()
    assert len(colony.there()) == 1


def test_a_generator_keeps_its_arguments_until_there_is_room(colony: Small) -> None:
    generator = {"colonyname": NAME, "name": "g", "trigger": 2, "workflowspec": json.dumps(SPEC)}
    generatorid = colony.call(USER, "addgeneratormsg", generator=generator)["generatorid"]
    for arg in ("x", "y"):
        colony.call(USER, "packgeneratormsg", generatorid=generatorid, arg=arg)
    colony.leave(LOW)
    colony.fire()
    with pytest.raises(Unavailable):
        colony.call(USER, "packgeneratormsg", generatorid=generatorid, arg="z")
    assert colony.call(USER, "getgeneratormsg", generatorid=generatorid)["queuesize"] == 2
    colony.leave(ENOUGH)
    colony.now = colony.next_due()
    colony.fire()
    (processid,) = colony.there()
    assert colony.process(processid)["spec"]["args"] == ["x", "y"]


# -- making room ------------------------------------------------------------------------------------------------------


def test_what_an_upstream_has_confirmed_goes_with_its_log_and_attributes(colony: Small) -> None:
    colony.link("up")
    done, failed = colony.end(), colony.end("failed")
    colony.tell()
    colony.leave(LITTLE)
    colony.make_room()
    assert colony.there() == set()
    for table in ("logs", "attributes", "shares"):
        assert colony.rows(f"select * from {table}") == [], (table, done, failed)


def test_with_room_enough_nothing_goes(colony: Small) -> None:
    colony.link("up")
    processid = colony.end()
    colony.tell()
    colony.leave(2 * RESERVE)
    colony.make_room()
    assert colony.there() == {processid}


def test_what_waits_runs_or_is_not_confirmed_stays(colony: Small) -> None:
    colony.link("up")
    gone = colony.end()
    colony.tell()
    written = colony.end()
    assert colony.write()
    unwritten = colony.end()
    waiting = colony.submit(priority=20)
    colony.leave(CRITICAL)
    colony.make_room()
    assert colony.there() == {written, unwritten, waiting}
    assert gone not in colony.there()
    colony.confirm()
    colony.make_room()
    assert colony.there() == {unwritten, waiting}


def test_news_after_the_confirmation_keeps_a_process_until_that_is_confirmed_too(colony: Small) -> None:
    colony.link("up")
    processid = colony.end()
    colony.tell()
    colony.call(colony.ann, "closesuccessfulmsg", processid=processid, out=[2])
    colony.leave(LOW)
    colony.make_room()
    assert colony.there() == {processid}
    colony.tell()
    colony.make_room()
    assert colony.there() == set()


def test_a_node_without_an_upstream_that_keeps_records_deletes_nothing(colony: Small) -> None:
    colony.link("up", record=False)
    kept = {colony.end(), colony.end("failed")}
    colony.leave(CRITICAL)
    colony.make_room()
    assert colony.there() == kept


def test_what_ended_before_there_was_an_upstream_stays(colony: Small) -> None:
    early = colony.end()
    colony.link("up")
    colony.end()
    colony.tell()
    colony.leave(LOW)
    colony.make_room()
    assert colony.there() == {early}


def test_every_upstream_that_is_to_hear_of_it_must_have_confirmed(colony: Small) -> None:
    colony.link("up")
    colony.link("second")
    processid = colony.end()
    colony.tell("up")
    colony.leave(LOW)
    colony.make_room()
    assert colony.there() == {processid}
    colony.tell("second")
    colony.make_room()
    assert colony.there() == set()


def test_a_result_that_came_too_late_for_the_upstream_is_whole_only_here_and_stays(colony: Small) -> None:
    colony.link("up")
    processid = colony.end()
    colony.commit(lambda tx: tx.run("update attributes set key = 'sync.late'"))
    colony.tell()
    colony.leave(CRITICAL)
    colony.make_room()
    assert colony.there() == {processid}


@pytest.mark.parametrize("ran_here", [False, True])
def test_a_process_that_was_given_up_goes_unless_it_has_a_log_from_before(colony: Small, ran_here: bool) -> None:
    """The upstream ran it and so has all that came of that, but not what an executor here had logged before."""
    colony.link("up")
    processid = colony.submit(maxexectime=5, maxretries=3)
    if ran_here:
        assert colony.assign(colony.ann)
        colony.call(colony.ann, "addlogmsg", processid=processid, message="only here")
        colony.now += 10 * SECOND
        colony.fire()
    give_up(colony, processid)
    colony.leave(LOW)
    colony.make_room()
    assert colony.there() == ({processid} if ran_here else set())


def give_up(colony: Small, processid: str) -> None:
    """Give a waiting process to the upstream, which reports that it has run it."""

    def give(tx: Any) -> None:
        link = links.upstream(tx, "up")
        process = processes.find(tx, processid)
        assert link is not None and process is not None
        exchange.give(tx, link, processes.give_away(tx, process, link.seq))

    def report(tx: Any) -> None:
        link = links.upstream(tx, "up")
        assert link is not None
        line = Line(position=1, executorname="theirs", message="there", timestamp=tx.now)
        item = Item(kind="report", processid=processid, term=1, state=2, executorid="e" * 64, out=[1], logs=[line])
        assert not any(intake.take_in(tx, link, [item]))

    colony.commit(give)
    colony.tell()
    colony.commit(report)
    assert colony.process(processid)["state"] == 2


def test_a_workflow_goes_whole_once_all_of_it_is_confirmed(colony: Small) -> None:
    colony.link("up")
    first, second = colony.workflow()
    colony.run(first)
    colony.tell()
    colony.leave(LOW)
    colony.make_room()
    assert colony.there() == {first, second}
    colony.run(second)
    colony.make_room()
    assert colony.there() == {first, second}
    colony.tell()
    colony.make_room()
    assert colony.there() == set()
    for table in ("processgraphs", "edges", "logs"):
        assert colony.rows(f"select * from {table}") == [], table


def test_a_workflow_whose_output_a_cron_hands_on_stays_until_the_next_run(colony: Small) -> None:
    colony.link("up")
    cronid = add_cron(colony)
    colony.call(USER, "runcronmsg", cronid=cronid)
    (processid,) = colony.there()
    colony.run(processid)
    colony.tell()
    colony.leave(LITTLE)
    colony.make_room()
    assert colony.there() == {processid}
    colony.call(USER, "runcronmsg", cronid=cronid)
    (following,) = colony.there() - {processid}
    assert colony.process(following)["in"] == [1]
    colony.run(following)
    colony.tell()
    colony.make_room()
    assert colony.there() == {following}


def test_the_oldest_end_goes_first_and_no_more_than_a_batch_at_once(
    colony: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reclaim, "BATCH", 2)
    colony.link("up")
    first = colony.end()
    members = colony.workflow()
    late = colony.submit(priority=5)  # submitted before those that follow, and ends last
    for member in members:
        colony.run(member)
    third = colony.end()
    colony.run(late)
    colony.tell()
    colony.leave(LOW)
    left = {first, *members, third, late}
    assert colony.there() == left
    for gone in ({first, *members}, {third, late}):
        assert colony.fire() <= colony.now
        left -= gone
        assert colony.there() == left
        assert colony.sweeps.reclaimed == len(gone)


def test_an_idle_node_with_room_has_nothing_due_and_one_without_looks_once_a_minute(colony: Small) -> None:
    colony.link("up")
    colony.end()
    assert colony.next_due() == 0
    colony.leave(LOW)
    assert colony.fire() == colony.now + SHORT
    colony.leave(ENOUGH)
    assert colony.next_due() == 0


def test_with_nothing_confirmed_since_a_look_at_the_marks_is_all_that_making_room_costs(colony: Small) -> None:
    colony.link("up")
    colony.end()
    colony.leave(LOW)
    colony.make_room()
    seen: list[str] = []
    colony.store._writer.exec_trace = lambda _, statement, values: bool(seen.append(statement)) or True
    colony.commit(lambda tx: reclaim.sweep(tx, colony.sweeps.walk))
    assert [statement for statement in seen if "select" in statement] == [reclaim._MARKS]


def test_a_part_that_finds_only_what_must_stay_goes_on_behind_it(
    colony: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reclaim, "LOOK", 2)
    monkeypatch.setattr(reclaim, "LOOK_GRAPHS", 1)
    colony.link("up")
    colony.link("second")
    ids = [colony.end() for _ in range(5)]
    colony.workflow()
    colony.call(OWNER, "removeallprocessesmsg", colonyname=NAME, state=0)
    colony.tell("up")
    # The second one has the last alone.
    colony.commit(lambda tx: tx.run("delete from shares where link = 2 and processid = ?", (ids[-1],)))
    colony.leave(LOW)
    colony.make_room()
    assert ids[-1] not in colony.there()
    assert set(ids[:-1]) <= colony.there()


def test_a_priority_that_is_no_priority_is_told_as_such_while_there_is_room(colony: Small) -> None:
    colony.leave(LITTLE)
    with pytest.raises(BadRequest, match="priority outside range"):
        colony.submit(priority=50_001)


# -- whatever happens -------------------------------------------------------------------------------------------------

State = tuple[tuple[Any, ...], list[str]]
"""Of a process the state, output and errors, and all lines of its log."""


class Story:
    """A node that is short of room, how each of its processes was last, and what each of its upstreams has."""

    def __init__(self, colony: Small, *upstreams: str) -> None:
        self.colony = colony
        self.written: dict[str, list[tuple[str, int, list[Item]]]] = {name: [] for name in upstreams}
        self.has: dict[str, dict[str, State]] = {name: {} for name in upstreams}
        self.last: dict[str, State] = {}
        self.deleted = 0
        for name in upstreams:
            colony.link(name)
        self.leave(100)

    def go(self, step: Any) -> None:
        """Take one step; what there is nothing for is passed over."""
        name, *more = step if isinstance(step, tuple) else (step,)
        if more and more[0] == "two" and "two" not in self.has:
            return
        with suppress(Unavailable):
            getattr(self, name)(*more)
        self.look()

    def look(self) -> None:
        """Keep how every process is; of those that are gone every upstream must have just that."""
        present = self.colony.there()
        for processid in self.last.keys() - present:
            self.deleted += 1
            state = self.last.pop(processid)
            assert state[0][0] > 1, "it had not ended"
            for name, has in self.has.items():
                assert has.get(processid) == state, f"{name} does not have it as it was here"
        logs: dict[str, list[str]] = {processid: [] for processid in present}
        for processid, message in self.colony.rows("select processid, message from logs order by seq"):
            logs[processid].append(message)
        for processid, *state in self.colony.rows("select processid, state, out, errors from processes"):
            self.last[processid] = tuple(state), logs[processid]

    def submit(self) -> None:
        self.colony.submit(priority=5)

    def workflow(self) -> None:
        self.colony.workflow()

    def _running(self) -> str | None:
        found = self.colony.rows(
            f"select processid from processes where state = 1 and assignedexecutorid = '{self.colony.ann}' limit 1"
        )
        if found:
            return str(found[0][0])
        taken = self.colony.assign(self.colony.ann)
        return taken.processid if taken else None

    def log(self) -> None:
        if processid := self._running():
            self.colony.now += SECOND
            self.colony.call(self.colony.ann, "addlogmsg", processid=processid, message=f"line {self.colony.now}")

    def vanish(self) -> None:
        """The answer that brought the work was lost: it goes back to the queue."""
        if processid := self._running():
            self.colony.commit(lambda tx: work.take_back(tx, processid, self.colony.ann))

    def succeed(self) -> None:
        if processid := self._running():
            self.colony.now += SECOND
            self.colony.call(self.colony.ann, "closesuccessfulmsg", processid=processid, out=[self.colony.now])

    def fail(self) -> None:
        if processid := self._running():
            self.colony.now += SECOND
            self.colony.call(self.colony.ann, "closefailedmsg", processid=processid, errors=["no"])

    def more(self) -> None:
        """The executor says once more that it is done, with another output."""
        done = self.colony.rows(
            f"select processid from processes where state = 2 and assignedexecutorid = '{self.colony.ann}'"
            " order by endtime desc limit 1"
        )
        for (processid,) in done:
            self.colony.now += SECOND
            self.colony.call(self.colony.ann, "closesuccessfulmsg", processid=processid, out=[self.colony.now])

    def give(self) -> None:
        """A process that waits goes to the first upstream."""

        def give(tx: Any) -> None:
            link = self.colony._link(tx, "up")
            for process in processes.waiting_after(tx, NAME, (-(1 << 63), 0), 1):
                exchange.give(tx, link, processes.give_away(tx, process, link.seq))

        self.colony.commit(give)

    def reported(self) -> None:
        """The first upstream has run what it was given and was told of, and says so.

        It has the output and the log of that, but no line from before it was given.
        """
        found = self.colony.rows(
            "select processid, term from processes join shares using (processid)"
            " where state = 0 and away = 1 and link = 1 and known = 1 limit 1"
        )
        for processid, term in found:
            self.colony.now += SECOND
            out = [self.colony.now]
            line = Line(position=1, executorname="theirs", message="there", timestamp=self.colony.now)
            item = Item(
                kind="report", processid=processid, term=term, state=2, executorid="e" * 64, out=out, logs=[line]
            )
            self.colony.commit(lambda tx, item=item: intake.take_in(tx, self.colony._link(tx, "up"), [item]))
            self.has["up"][processid] = (2, _document(out), "[]"), ["there"]

    def write(self, name: str) -> None:
        def gather(tx: Any) -> tuple[str, int, list[Item]]:
            batch = letters.gather(tx, self.colony._link(tx, name), 1 << 20)
            return links.timeline(tx), batch.number, batch.items

        letter = self.colony.commit(gather)
        if letter[1]:
            self.written[name].append(letter)

    def confirm(self, name: str) -> None:
        """The upstream takes in the letters that are on their way, and says so."""
        if not self.written[name]:
            return
        for tag, number, items in self.written[name]:
            for item in items:
                if item.kind == "history":
                    _, lines = self.has[name].get(item.processid, ((), []))
                    state = (item.state, _document(item.out), _document(item.errors))
                    self.has[name][item.processid] = state, [*lines, *(line.message for line in item.logs or ())]
            mark = Mark(timeline=tag, batch=number)
        self.written[name].clear()
        self.colony.commit(lambda tx: letters.confirm(tx, self.colony._link(tx, name), mark))

    def tell(self, name: str) -> None:
        self.write(name)
        self.confirm(name)

    def unconfirm(self, name: str) -> None:
        """The letters that are on their way get lost: what was in them is told again."""
        self.written[name].clear()

        def rewind(tx: Any) -> None:
            link = self.colony._link(tx, name)
            shares.rewind(tx, link.seq, link.confirmed)

        self.colony.commit(rewind)

    def leave(self, free: int) -> None:
        self.colony.leave(free * MIB)

    def room(self) -> None:
        self.colony.make_room()


def _document(items: Any) -> str:
    return json.dumps(items, separators=(",", ":"))


@example(["submit", "log", "vanish", "give", ("tell", "up"), "reported", ("tell", "up"), "room"], ("up",))
@settings(max_examples=150, deadline=None)
@given(disk_stories, st.sampled_from((("up",), ("up", "two"))))
def test_whatever_happens_in_whatever_order_nothing_goes_that_an_upstream_does_not_have(
    steps: list[Any], upstreams: tuple[str, ...]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        colony = Small(Path(folder))
        story = Story(colony, *upstreams)
        for step in steps:
            story.go(step)
        colony.close()


def test_such_a_story_does_delete_something(colony: Small) -> None:
    story = Story(colony, "up", "two")
    told = [("tell", "up"), ("tell", "two")]
    given_up = ["submit", "give", *told, "reported", *told]
    for step in ["submit", "log", "succeed", "workflow", "succeed", "fail", *told, *given_up, "room"]:
        story.go(step)
    assert story.deleted == 4
