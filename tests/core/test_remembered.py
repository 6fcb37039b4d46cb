"""What is remembered of messages, when it is forgotten, and that a forgotten one is never new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from colonies_node.core import limits, timers
from colonies_node.core.broker.once import check_expiry, recall
from colonies_node.core.errors import ColonyError, Conflict, WrongTime
from colonies_node.core.model.times import SECOND
from colonies_node.core.store import remembered
from colonies_node.core.store.remembered import Once
from tests.core.colony import START, USER, Colony

MINUTE = 60 * SECOND


def message(number: int = 0, *, good_for: int = 60, says: bytes = b"x", caller: str = USER) -> Once:
    return Once(caller, number.to_bytes(16, "big"), START + good_for * SECOND, says)


@pytest.fixture
def colony(tmp_path: Path) -> Iterator[Colony]:
    colony = Colony(tmp_path / "store")
    yield colony
    colony.close()


def keep(colony: Colony, *messages: Once) -> None:
    for once in messages:
        colony.commit(lambda tx, once=once: remembered.keep(tx, once, b"reply"))


def known(colony: Colony, once: Once) -> bytes | None:
    found: bytes | None = colony.commit(lambda tx: recall(tx, once))
    return found


def test_a_message_is_known_by_its_sender_and_its_id(colony: Colony) -> None:
    keep(colony, message(1))
    assert known(colony, message(1)) == b"reply"
    assert known(colony, message(2)) is None
    assert known(colony, message(1, caller="9" * 64)) is None


def test_another_message_with_the_same_id_is_refused(colony: Colony) -> None:
    keep(colony, message(1))
    with pytest.raises(Conflict):
        known(colony, message(1, says=b"y"))


def test_a_message_is_forgotten_after_its_time_and_is_not_new_then(colony: Colony) -> None:
    keep(colony, message(1))
    colony.now += 3 * MINUTE
    colony.fire()
    assert colony.rows("select * from remembered") == []
    colony.now = START
    with pytest.raises(WrongTime):
        known(colony, message(1))
    with pytest.raises(WrongTime):
        known(colony, message(2))
    assert known(colony, message(3, good_for=61)) is None


def test_a_later_copy_prolongs_what_is_remembered(colony: Colony) -> None:
    keep(colony, message(1))
    assert known(colony, message(1, good_for=600)) == b"reply"
    colony.now += 5 * MINUTE
    colony.fire()
    assert known(colony, message(1, good_for=600)) == b"reply"


def test_nothing_wakes_the_node_more_than_once_a_minute_to_forget(colony: Colony) -> None:
    keep(colony, *(message(number, good_for=number) for number in range(1, 100)))
    wakes = 0
    while (due := colony.next_due()) and colony.rows("select * from remembered"):
        assert due > colony.now
        colony.now, wakes = due, wakes + 1
        colony.fire()
    assert wakes <= 3
    assert colony.next_due() == 0


def test_many_are_forgotten_in_several_changes_the_oldest_first(
    colony: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "BATCH", 10)
    keep(colony, *(message(number, good_for=number // 2) for number in range(25)))
    colony.now += 5 * MINUTE
    left = []
    while colony.fire() == colony.next_due() <= colony.now and colony.next_due():
        left.append(len(colony.rows("select * from remembered")))
    assert left == [15, 5]
    assert colony.rows("select * from remembered") == []


def test_a_clock_that_was_far_ahead_does_not_close_the_door(colony: Colony) -> None:
    years = 20 * 365 * 86_400
    keep(colony, message(1, good_for=years))
    colony.now += (years + 100) * SECOND
    colony.fire()
    colony.now = START + SECOND
    colony.commit(lambda tx: timers.clock_stepped(tx, colony.rules, colony.sweeps, step=-(years + 99) * SECOND))
    now = colony.now + colony.sweeps.ahead
    with pytest.raises(WrongTime) as refusal:
        check_expiry(colony.now + MINUTE, now)
    told = refusal.value.now * 1_000_000
    later = message(2)._replace(expiry=told + MINUTE)
    check_expiry(later.expiry, now)
    keep(colony, later)
    assert known(colony, later) == b"reply"
    # Time goes on for messages as it does for everybody: this one is forgotten too.
    colony.now += 3 * MINUTE
    colony.fire()
    assert colony.rows("select * from remembered") == []


@pytest.mark.parametrize(
    ("good_for", "fine"),
    [(-1, False), (0, False), (1, True), (limits.MAX_EXPIRY_S, True), (limits.MAX_EXPIRY_S + 1, False)],
)
def test_a_message_is_good_for_thirty_days_at_most(good_for: int, fine: bool) -> None:
    try:
        check_expiry(START + good_for * SECOND, START)
    except ColonyError as refusal:
        assert isinstance(refusal, WrongTime) and not fine
        assert refusal.now == START // 1_000_000
    else:
        assert fine


def test_what_is_remembered_survives_a_restart(tmp_path: Path) -> None:
    colony = Colony(tmp_path / "store")
    keep(colony, message(1))
    colony.now += 3 * MINUTE
    keep(colony, message(2, good_for=600))
    colony.fire()
    colony.store.close()
    again = Colony.__new__(Colony)
    again.now = START
    again.store = type(colony.store)(tmp_path / "store", lambda: START)
    try:
        assert again.store.write(lambda tx: recall(tx, message(2, good_for=600))) == b"reply"
        with pytest.raises(WrongTime):
            again.store.write(lambda tx: recall(tx, message(1)))
    finally:
        again.store.close()
