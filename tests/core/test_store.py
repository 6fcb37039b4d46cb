"""One commit for many callers, one store for one process, instants that are distinct."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from colonies_node.core.errors import BadRequest, Internal, StoreError, StoreLocked
from colonies_node.core.model.members import Colony as Founding
from colonies_node.core.model.times import SECOND
from colonies_node.core.store import logs, members
from colonies_node.core.store.sqlite import Store
from colonies_node.core.store.transaction import Transaction

NOW = 1_800_000_000 * SECOND


class Clock:
    """Unix nanoseconds that only the test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = Store(tmp_path / "data", clock)
    yield store
    store.close()


def add(name: str) -> Any:
    """A change that adds a colony."""

    def change(tx: Transaction) -> str:
        members.add_colony(tx, Founding(colonyid="c" * 64, name=name))
        tx.emit(name)  # type: ignore[arg-type]
        return name

    return change


def names(store: Store) -> list[str]:
    return [colony.name for colony in store.read(members.colonies)]


# -- group commit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault, answer",
    [
        (BadRequest("no"), BadRequest),
        (ValueError("a mistake in the program"), Internal),
        (RecursionError("a mistake in the program"), Internal),
    ],
)
def test_one_change_that_fails_leaves_nothing_and_harms_nobody_in_its_commit(
    store: Store, fault: Exception, answer: type[Exception]
) -> None:
    def fail(tx: Transaction) -> None:
        add("half")(tx)
        tx.due(NOW + 1)
        raise fault

    outcomes = store.commit([add("a"), fail, add("b"), fail, add("c")])
    assert [outcome.value for outcome in outcomes] == ["a", None, "b", None, "c"]
    assert [type(outcome.error) for outcome in outcomes] == [type(None), answer, type(None), answer, type(None)]
    assert [outcome.events for outcome in outcomes] == [["a"], [], ["b"], [], ["c"]]
    assert names(store) == ["a", "b", "c"]
    assert store.alarm == 0


def test_a_change_against_a_rule_of_the_schema_harms_nobody_in_its_commit(store: Store) -> None:
    first, again, other = store.commit([add("a"), add("a"), add("b")])
    assert (first.error, other.error) == (None, None)
    assert isinstance(again.error, Internal)
    assert names(store) == ["a", "b"]


def test_later_changes_in_a_commit_see_the_earlier_ones(store: Store) -> None:
    seen = store.commit([add("a"), lambda tx: [c.name for c in members.colonies(tx)]])[1]
    assert seen.value == ["a"]


def test_nobody_sees_a_change_before_its_commit(store: Store) -> None:
    def look_aside(tx: Transaction) -> list[str]:
        add("a")(tx)
        return names(store)

    assert store.write(look_aside) == []
    assert names(store) == ["a"]


def test_a_fault_of_the_store_answers_everybody_and_leaves_none(store: Store) -> None:
    store.write(add("before"))

    def broken(tx: Transaction) -> None:
        raise apsw.IOError("the disk fails")

    outcomes = store.commit([add("a"), broken, add("b")])
    assert all(isinstance(outcome.error, StoreError) and outcome.events == [] for outcome in outcomes)
    assert names(store) == ["before"]
    assert store.write(add("after")) == "after"


def test_a_program_that_is_stopped_inside_a_change_leaves_none(store: Store) -> None:
    def stop(tx: Transaction) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.commit([add("a"), stop])
    assert names(store) == []
    assert store.write(add("b")) == "b"


def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(StoreError):
        store.read(add("a"))
    assert names(store) == []


def test_the_alarm_of_a_commit_is_the_earliest_that_was_asked_for(store: Store) -> None:
    store.commit([lambda tx: tx.due(NOW + 7), lambda tx: tx.due(NOW + 3), lambda tx: tx.due(0)])
    assert store.alarm == NOW + 3


# -- one process at a time -------------------------------------------------------------------------------------------


def test_a_store_is_opened_once_and_who_has_it_is_told(store: Store, clock: Clock) -> None:
    with pytest.raises(StoreLocked) as locked:
        Store(store.path.parent, clock)
    assert "is in use by another colonies-node (process " in str(locked.value)
    assert store.write(add("a")) == "a"


def test_another_process_is_kept_out_too(store: Store) -> None:
    program = (
        "import sys, pathlib\n"
        "from colonies_node.core.errors import StoreLocked\n"
        "from colonies_node.core.store.sqlite import Store\n"
        "try: Store(pathlib.Path(sys.argv[1]), lambda: 0)\n"
        "except StoreLocked as locked: print(locked)\n"
    )
    command = [sys.executable, "-c", program, str(store.path.parent)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "is in use by another colonies-node" in told


def test_a_closed_store_can_be_opened_again(tmp_path: Path, clock: Clock) -> None:
    for name in ("a", "b"):
        store = Store(tmp_path, clock)
        store.write(add(name))
        store.close()
    store = Store(tmp_path, clock)
    assert names(store) == ["a", "b"]
    store.close()


def test_the_folder_and_its_files_are_for_their_owner_only(store: Store) -> None:
    store.write(add("a"))
    folder = store.path.parent
    assert folder.stat().st_mode & 0o077 == 0


# -- folding the log -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fold", ["fold", "fold_now"])
def test_folding_the_log_loses_nothing_and_keeps_the_store_writable(store: Store, fold: str) -> None:
    for number in range(20):
        store.write(add(f"{number:02}"))
    assert store.log_pages > 0
    getattr(store, fold)()
    store.write(add("more"))
    assert len(names(store)) == 21


def test_folding_waits_for_no_reader(store: Store) -> None:
    store.write(add("a"))

    def look(tx: Transaction) -> int:
        assert len(members.colonies(tx)) == 1
        store.write(add("b"))
        store.fold_now()
        store.fold()
        return len(members.colonies(tx))

    assert store.read(look) == 1
    assert names(store) == ["a", "b"]


# -- instants ----------------------------------------------------------------------------------------------------------


def stamps(store: Store, number: int) -> list[int]:
    outcomes = store.commit([lambda tx: tx.stamp()] * number)
    return [outcome.value for outcome in outcomes]


def test_instants_are_distinct_though_the_clock_stands(store: Store, clock: Clock) -> None:
    got = stamps(store, 3) + stamps(store, 3)
    assert got == [NOW + n for n in range(6)]
    clock.now += 2
    assert stamps(store, 1) == [NOW + 6]


def test_a_clock_set_back_a_little_changes_no_order(store: Store, clock: Clock) -> None:
    (before,) = stamps(store, 1)
    clock.now -= SECOND // 2
    after = stamps(store, 2)
    assert before < after[0] < after[1]


def test_a_clock_set_back_far_counts_and_its_instants_are_distinct_again(store: Store, clock: Clock) -> None:
    stamps(store, 1)
    clock.now -= 3600 * SECOND
    assert stamps(store, 3) == [clock.now, clock.now + 1, clock.now + 2]


def test_a_change_that_failed_uses_up_no_order(store: Store) -> None:
    def fail(tx: Transaction) -> None:
        tx.stamp()
        raise BadRequest("no")

    outcomes = store.commit([lambda tx: tx.stamp(), fail, lambda tx: tx.stamp()])
    assert outcomes[0].value < outcomes[2].value


def test_instants_stay_distinct_over_a_restart(tmp_path: Path, clock: Clock) -> None:
    seen: list[int] = []
    for _ in range(3):
        store = Store(tmp_path, clock)
        store.commit([lambda tx: logs.add(tx, "dev", "", "ann", "hello")] * 3)
        seen = [entry.timestamp for entry in store.read(lambda tx: logs.search(tx, "dev", "", 0, 100))]
        store.close()
        clock.now -= SECOND // 4
    assert len(seen) == len(set(seen)) == 9
    assert seen == sorted(seen)
