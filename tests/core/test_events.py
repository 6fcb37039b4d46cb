"""Who is woken when work comes: one executor that may take it, and nobody else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonies_node.core.events import ProcessChanged, Waiter, WaitingRoom
from colonies_node.core.model.quantities import memory_bytes, millicores
from colonies_node.core.store import processes
from colonies_node.core.store.processes import ProcessRow
from tests import strategies
from tests.core.colony import NAME, Colony


@pytest.fixture(scope="module")
def colony() -> Iterator[Colony]:
    with tempfile.TemporaryDirectory() as folder:
        colony = Colony(Path(folder))
        yield colony
        colony.close()


def row(colony: Colony, **spec: Any) -> ProcessRow:
    """A process that now waits, as its commit told it."""
    colony.submit(**spec)
    (event,) = colony.events
    assert isinstance(event, ProcessChanged)
    return event.process


def waiter(
    name: str = "ann",
    executortype: str = "cli",
    location: str = "",
    cpu: str = "",
    mem: str = "",
    gpu: int | None = None,
) -> Waiter:
    return Waiter(
        colonyname=NAME,
        executortype=executortype,
        executorname=name,
        executorid=name,
        locationname=location,
        cpu=millicores(cpu) if cpu else None,
        mem=memory_bytes(mem) if mem else None,
        gpu=gpu,
    )


class Bell:
    """Counts how often it was rung."""

    def __init__(self) -> None:
        self.rung = 0

    def __call__(self) -> None:
        self.rung += 1


@settings(max_examples=300, deadline=None)
@given(
    spec=strategies.specs,
    name=strategies.names,
    location=st.sampled_from(("", "home", "HOME", "sea")),
    cpu=strategies.cpus,
    mem=strategies.memories,
    gpu=st.none() | st.integers(0, 3),
    gpus=st.integers(-1, 3),
)
def test_an_executor_is_woken_exactly_for_what_the_assign_query_would_give_it(
    colony: Colony, spec: dict[str, Any], name: str, location: str, cpu: str, mem: str, gpu: int | None, gpus: int
) -> None:
    spec["conditions"] |= {"executortype": "cli", "gpu": {"count": gpus}}
    process = row(colony, **spec)
    asking = waiter(name, "cli", location, cpu, mem, gpu)
    found = colony.store.read(lambda tx: processes.next_for(tx, asking))
    colony.commit(lambda tx: processes.remove(tx, processes.find(tx, process.processid)))  # type: ignore[arg-type]
    assert asking.may_take(process) == (found is not None)


def test_one_process_wakes_one_waiter_the_one_that_came_first(colony: Colony) -> None:
    room, bells = WaitingRoom(), [Bell(), Bell(), Bell()]
    for bell in bells:
        room.enter(waiter(), bell)
    assert room.offer(row(colony))
    assert [bell.rung for bell in bells] == [1, 0, 0]
    assert room.offer(row(colony))
    assert [bell.rung for bell in bells] == [1, 1, 0]
    assert len(room) == 1


def test_who_may_not_take_it_sleeps_on(colony: Colony) -> None:
    room, wrong, right = WaitingRoom(), Bell(), Bell()
    for unfit in (waiter("bob"), waiter("ann", location="sea"), waiter("ann", cpu="500m"), waiter("ann", "gpu")):
        room.enter(unfit, wrong)
    room.enter(waiter("ann", location="home", cpu="2"), right)
    wanted = {"executornames": ["ann"], "locationname": "Home", "cpu": "1"}
    assert room.offer(row(colony, conditions=wanted))
    assert (wrong.rung, right.rung) == (0, 1)
    assert not room.offer(row(colony, conditions=wanted))
    assert wrong.rung == 0


def test_an_offer_that_is_passed_on_goes_to_somebody_else(colony: Colony) -> None:
    room, first, second = WaitingRoom(), Bell(), Bell()
    unable, able = waiter(), waiter("bob")
    room.enter(unable, first)
    room.enter(able, second)
    process = row(colony)
    assert room.offer(process, instead_of=unable)
    assert (first.rung, second.rung) == (0, 1)
    assert able.offers == [process.processid]
    assert not room.offer(process, instead_of=unable)


def test_resume_wakes_the_waiters_of_its_colony_only() -> None:
    room, here, there = WaitingRoom(), Bell(), Bell()
    elsewhere = waiter()
    elsewhere.colonyname = "other"
    room.enter(waiter(), here)
    room.enter(waiter("bob"), here)
    room.enter(elsewhere, there)
    room.wake_all(NAME)
    assert (here.rung, there.rung, len(room)) == (2, 0, 1)
    room.wake_all()
    assert (there.rung, len(room)) == (1, 0)


def test_who_left_is_not_woken_and_leaving_twice_is_no_fault(colony: Colony) -> None:
    room, bell, gone = WaitingRoom(), Bell(), waiter()
    room.enter(gone, bell)
    assert room.present() == ["ann"]
    room.leave(gone)
    room.leave(gone)
    assert not room.offer(row(colony))
    assert (bell.rung, room.present()) == (0, [])


def test_a_refused_change_tells_nothing(colony: Colony) -> None:
    def change(tx: Any) -> None:
        tx.emit(object())
        raise ValueError("no")

    (outcome,) = colony.store.commit([change])
    assert outcome.error is not None
    assert outcome.events == []


@pytest.mark.parametrize(("free", "takes"), [(1, False), (2, True), (None, True)])
def test_who_says_how_many_gpus_are_free_gets_no_more(colony: Colony, free: int | None, takes: bool) -> None:
    process = row(colony, conditions={"executortype": "trainer", "gpu": {"count": 2}})
    assert waiter(executortype="trainer", gpu=free).may_take(process) is takes
    found = colony.store.read(lambda tx: processes.next_for(tx, waiter(executortype="trainer", gpu=free)))
    colony.commit(lambda tx: processes.remove(tx, processes.find(tx, process.processid)))  # type: ignore[arg-type]
    assert (found is not None) is takes
