"""What happens because time passed: deadlines, silent executors, retention. Only the test moves the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from colonies_node.core import timers
from colonies_node.core.broker.call import Rules
from colonies_node.core.model.times import SECOND
from tests.core.colony import NAME, OWNER, START, USER, Colony, executor_id

WAITING, RUNNING, SUCCESS, FAILED = range(4)
ANN = executor_id("ann")

Found = Callable[..., Colony]


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Found]:
    """Make a colony under given rules."""
    made: list[Colony] = []

    def make(**rules: Any) -> Colony:
        colony = Colony(tmp_path / str(len(made)), Rules(**rules))
        made.append(colony)
        return colony

    yield make
    for colony in made:
        colony.close()


def state(colony: Colony, processid: str) -> int:
    found: int = colony.process(processid)["state"]
    return found


def pass_time(colony: Colony, seconds: float) -> None:
    """Move the clock; wake up as the node does, whenever something is due on the way."""
    end = colony.now + int(seconds * SECOND)
    for _ in range(1000):
        due = colony.next_due()
        if not due or due > end:
            break
        colony.now = max(due, colony.now)
        colony.fire()
    else:
        pytest.fail("the alarm rings again and again without an end")
    colony.now = end


def test_with_nothing_to_wait_for_there_is_no_next_instant(found: Found) -> None:
    colony = found()
    colony.submit()
    assert colony.next_due() == 0


@pytest.mark.parametrize("limit", [0, -1])
def test_no_limit_means_for_ever(found: Found, limit: int) -> None:
    colony = found(stale_executor_duration=10**9)
    colony.hire("ann")
    waiting = colony.submit(maxwaittime=limit, maxexectime=limit)
    running = colony.submit(priority=9, maxwaittime=limit, maxexectime=limit)
    assert colony.assign(ANN) is not None
    pass_time(colony, 10**7)
    assert (state(colony, waiting), state(colony, running)) == (WAITING, RUNNING)


def test_a_process_nobody_takes_in_time_fails_with_the_known_text(found: Found) -> None:
    colony = found()
    processid = colony.submit(maxwaittime=5)
    pass_time(colony, 4.999)
    assert state(colony, processid) == WAITING
    pass_time(colony, 0.001)
    process = colony.process(processid)
    assert (process["state"], process["errors"]) == (FAILED, ["Maximum waiting time limit exceeded"])
    assert not process["isassigned"]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_slow_process_is_tried_again_as_often_as_asked_and_then_fails(found: Found, retries: int) -> None:
    colony = found(stale_executor_duration=10**9)
    colony.hire("ann")
    processid = colony.submit(maxexectime=5, maxretries=retries)
    for attempt in range(retries):
        assert colony.assign(ANN) is not None
        pass_time(colony, 5)
        process = colony.process(processid)
        assert (process["state"], process["retries"]) == (WAITING, attempt + 1)
        assert (process["isassigned"], process["assignedexecutorid"]) == (False, "")
    assert colony.assign(ANN) is not None
    pass_time(colony, 5)
    process = colony.process(processid)
    assert (process["state"], process["retries"]) == (FAILED, retries)
    assert process["errors"] == ["Maximum execution time limit exceeded"]


def test_negative_retries_are_without_end_and_the_place_in_the_queue_is_kept(found: Found) -> None:
    colony = found(stale_executor_duration=10**9)
    colony.hire("ann")
    first = colony.submit(maxexectime=1, maxretries=-1)
    for _ in range(20):
        colony.submit()
        taken = colony.assign(ANN)
        assert taken is not None and taken.processid == first
        pass_time(colony, 1)
    assert colony.process(first)["retries"] == 20


def test_a_new_try_has_a_new_waiting_time(found: Found) -> None:
    colony = found(stale_executor_duration=10**9)
    colony.hire("ann")
    processid = colony.submit(maxwaittime=10, maxexectime=5, maxretries=1)
    pass_time(colony, 9)
    assert colony.assign(ANN) is not None
    pass_time(colony, 5 + 9)
    assert state(colony, processid) == WAITING
    pass_time(colony, 1)
    assert colony.process(processid)["errors"] == ["Maximum waiting time limit exceeded"]


def test_many_deadlines_at_one_instant_are_all_met_in_bounded_steps(found: Found) -> None:
    colony = found()
    number = timers.BATCH + 10
    for _ in range(number):
        colony.submit(maxwaittime=5)
    colony.now += 5 * SECOND
    colony.fire()
    assert colony.rows("select count(*) from processes where state = 3") == [(timers.BATCH,)]
    pass_time(colony, 0)
    assert colony.rows("select count(*) from processes where state = 3") == [(number,)]


# -- silent executors -------------------------------------------------------------------------------------------------


def silent_since(colony: Colony, name: str) -> None:
    """The executor's last sign of life is now."""
    colony.heard[executor_id(name)] = colony.now


def executor_state(colony: Colony, name: str) -> int:
    found: int = colony.call(USER, "getexecutormsg", colonyname=NAME, executorname=name)["state"]
    return found


UNREGISTERED = 3


def test_a_silent_executor_is_removed_and_what_it_ran_beyond_its_time_goes_to_others(found: Found) -> None:
    colony = found(stale_executor_duration=600)
    colony.hire("ann")
    silent_since(colony, "ann")
    pass_time(colony, 599)
    assert executor_state(colony, "ann") == 1
    pass_time(colony, 62)
    assert executor_state(colony, "ann") == UNREGISTERED


def test_an_executor_that_was_never_heard_is_left_alone(found: Found) -> None:
    colony = found(stale_executor_duration=600)
    colony.hire("ann")
    pass_time(colony, 10_000)
    assert executor_state(colony, "ann") == 1


@pytest.mark.parametrize("maxexectime", [0, 5000])
def test_an_executor_inside_the_time_of_its_process_is_not_silent(found: Found, maxexectime: int) -> None:
    colony = found(stale_executor_duration=600)
    colony.hire("ann")
    processid = colony.submit(maxexectime=maxexectime)
    assert colony.assign(ANN) is not None
    silent_since(colony, "ann")
    pass_time(colony, 4000)
    assert executor_state(colony, "ann") == 1
    assert state(colony, processid) == RUNNING


def test_the_servers_own_absence_is_no_silence(found: Found) -> None:
    colony = found(stale_executor_duration=600)
    colony.hire("ann")
    silent_since(colony, "ann")
    colony.now += 100_000 * SECOND
    colony.sweeps = timers.Sweeps(started=colony.now)
    colony.fire()
    assert executor_state(colony, "ann") == 1
    pass_time(colony, 599)
    assert executor_state(colony, "ann") == 1
    pass_time(colony, 62)
    assert executor_state(colony, "ann") == UNREGISTERED


# -- retention ---------------------------------------------------------------------------------------------------------


def finished(colony: Colony, how: str) -> str:
    processid = colony.submit(env={"A": "1"})
    assert colony.assign(ANN) is not None
    colony.call(ANN, "addlogmsg", processid=processid, message="hello")
    colony.call(ANN, how, processid=processid)
    return processid


def test_retention_forgets_old_successes_and_logs_and_keeps_failures_and_what_is_not_done(found: Found) -> None:
    colony = found(retention_policy=1000, stale_executor_duration=10**9)
    colony.hire("ann")
    old, failed, waiting = finished(colony, "closesuccessfulmsg"), finished(colony, "closefailedmsg"), colony.submit()
    pass_time(colony, 990)
    assert state(colony, old) == SUCCESS
    young = finished_first(colony, waiting)
    pass_time(colony, 100)
    kept = {processid for (processid,) in colony.rows("select processid from processes")}
    assert kept == {failed, waiting, young}
    targets = {target for (target,) in colony.rows("select targetid from attributes")}
    assert targets == {failed, young}
    assert {p for (p,) in colony.rows("select processid from logs")} == {young}


def finished_first(colony: Colony, waiting: str) -> str:
    """One more success, submitted now but assigned before what waits."""
    processid = colony.submit(priority=1, env={"A": "1"})
    taken = colony.assign(ANN)
    assert taken is not None and taken.processid == processid != waiting
    colony.call(ANN, "addlogmsg", processid=processid, message="hello")
    colony.call(ANN, "closesuccessfulmsg", processid=processid)
    return processid


def test_without_retention_nothing_is_ever_forgotten(found: Found) -> None:
    colony = found(stale_executor_duration=10**9)
    colony.hire("ann")
    processid = finished(colony, "closesuccessfulmsg")
    pass_time(colony, 10**8)
    assert state(colony, processid) == SUCCESS


def test_a_clock_set_back_breaks_no_deadline(found: Found) -> None:
    colony = found()
    processid = colony.submit(maxwaittime=5)
    colony.now = START - 3600 * SECOND
    colony.fire()
    assert state(colony, processid) == WAITING
    colony.now = START + 5 * SECOND
    colony.fire()
    assert state(colony, processid) == FAILED


def test_removing_an_executor_frees_only_its_own_running_work(found: Found) -> None:
    colony = found(stale_executor_duration=10**9)
    colony.hire("ann")
    bob = colony.hire("bob")
    done = finished(colony, "closesuccessfulmsg")
    hers, his = colony.submit(), colony.submit()
    assert colony.assign(ANN) is not None and colony.assign(bob) is not None
    colony.call(OWNER, "removeexecutormsg", colonyname=NAME, executorname="ann")
    assert [state(colony, processid) for processid in (done, hers, his)] == [SUCCESS, WAITING, RUNNING]
