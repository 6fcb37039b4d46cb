"""The time of day is set while work waits and runs: nothing is lost by it, and deadlines keep their length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from colonies_node.core import timers
from colonies_node.core.broker.call import Rules
from colonies_node.core.model.times import SECOND, parse_time
from tests.core.colony import NAME, OWNER, Colony, executor_id

WAITING, RUNNING, FAILED = 0, 1, 3
ANN = executor_id("ann")
YEARS = 56 * 365 * 86_400
UNREGISTERED = 3


@pytest.fixture
def colony(tmp_path: Path) -> Iterator[Colony]:
    colony = Colony(tmp_path / "store", Rules())
    colony.hire("ann")
    yield colony
    colony.close()


def step(colony: Colony, seconds: int) -> None:
    """Set the clock, and let the node notice a little later, as its alarm does."""
    colony.now += (seconds + 30) * SECOND
    colony.heard = {key: min(at, colony.now) for key, at in colony.heard.items()}
    colony.commit(lambda tx: timers.clock_stepped(tx, colony.rules, colony.sweeps, seconds * SECOND))
    colony.fire()


@pytest.mark.parametrize("seconds", [YEARS, 1_000, -1_000])
def test_deadlines_move_with_the_clock(colony: Colony, seconds: int) -> None:
    runs = colony.submit(maxexectime=600)
    assert colony.assign(ANN)
    waits = colony.submit(maxwaittime=600)
    step(colony, seconds)
    assert [colony.process(name)["state"] for name in (runs, waits)] == [RUNNING, WAITING]
    for name, deadline in ((runs, "execdeadline"), (waits, "waitdeadline")):
        assert parse_time(colony.process(name)[deadline]) == pytest.approx(colony.now + 570 * SECOND, abs=SECOND)
    colony.now += 571 * SECOND
    colony.fire()
    assert [colony.process(name)["state"] for name in (runs, waits)] == [FAILED, FAILED]


def test_a_deadline_set_after_the_step_stays(colony: Colony) -> None:
    colony.now += YEARS * SECOND
    waits = colony.submit(maxwaittime=600)
    deadline = colony.process(waits)["waitdeadline"]
    colony.now += 30 * SECOND
    colony.commit(lambda tx: timers.clock_stepped(tx, colony.rules, colony.sweeps, YEARS * SECOND))
    assert colony.process(waits)["waitdeadline"] == deadline


def test_an_executor_heard_just_before_the_step_is_not_silent_after_it(colony: Colony) -> None:
    colony.heard[ANN] = colony.now
    colony.fire()
    step(colony, YEARS)
    assert _state(colony) != UNREGISTERED
    colony.now += 601 * SECOND
    colony.fire()
    assert _state(colony) == UNREGISTERED


def test_a_clock_set_back_leaves_nobody_heard_in_the_future(colony: Colony) -> None:
    colony.heard[ANN] = colony.now
    colony.now += 700 * SECOND
    colony.fire()
    colony.call(OWNER, "approveexecutormsg", colonyname=NAME, executorname="ann")
    colony.heard[ANN] = colony.now
    step(colony, -86_400)
    colony.now += 700 * SECOND
    colony.fire()
    assert _state(colony) == UNREGISTERED


def _state(colony: Colony) -> int:
    (row,) = colony.store.read(lambda tx: tx.all("select state from executors where executorname = 'ann'"))
    return int(row[0])
