"""When a link writes, how much, and when it tries again: the machine alone, on a clock that the test moves."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonies_node.http.backoff import Backoff
from colonies_node.sync.machine import (
    FIRST_ROOM,
    HOUR_S,
    INSTANT_S,
    LEAST_ROOM,
    MOST_ROOM,
    QUICK_S,
    SLOW_S,
    UNSHORTENED,
    Act,
    Machine,
)

CAP_S = 60.0
LASTING_CAP_S = 300.0


def new(luck: float = 1.0, **settings: int) -> Machine:
    """A link that has not begun; `luck` is what every throw of the dice gives."""
    return Machine(lambda: luck, **settings)


def connected(**settings: int) -> Machine:
    """A link that works and has nothing to tell: one letter waits at the upstream, since the instant 0."""
    machine = new(**settings)
    first = written(machine, 0.0, Act.CARRY, carries=False)
    machine.answered(0.0, first, more=False)
    written(machine, 0.0, Act.WAIT, carries=False)
    assert machine.act(0.0) is None
    return machine


def written(machine: Machine, now: float, act: Act, *, carries: bool) -> int:
    """Do what the machine says, which has to be this; the number of the letter."""
    assert machine.act(now) is act
    number = machine.send(now, act, carries)
    assert number is not None
    return number


def carried(machine: Machine, now: float = 0.0, seconds: float = 0.0) -> None:
    """Tell something, which is answered after so many seconds."""
    machine.changed()
    number = written(machine, now, Act.CARRY, carries=True)
    machine.answered(now + seconds, number, more=False)


def failed_again(machine: Machine, now: float, *, lasting: bool = False) -> float:
    """Try and fail at the first instant at which the machine wants to try; that instant."""
    now = max(now, machine.next(now)) if machine.act(now) is None else now
    number = written(machine, now, Act.CARRY, carries=True)
    assert machine.failed(now, number, lasting=lasting)
    return now


# -- letters under way ------------------------------------------------------------------------------------------------


def test_a_link_begins_with_one_letter_which_the_upstream_answers_at_once() -> None:
    machine = new()
    number = written(machine, 0.0, Act.CARRY, carries=False)
    assert (number, machine.timeout(carries=False)) == (1, 0)
    machine.changed()
    assert machine.act(0.0) is None
    assert not machine.connected


def test_an_idle_link_is_one_letter_for_each_poll() -> None:
    machine = connected()
    assert machine.timeout(carries=False) == 60
    for number, now in enumerate((60.0, 120.0, 180.0), start=2):
        machine.answered(now, number, more=False)
        assert written(machine, now, Act.WAIT, carries=False) == number + 1
        assert machine.act(now) is None
        assert machine.next(now) == math.inf


def test_while_one_letter_carries_no_second_one_does() -> None:
    machine = connected()
    machine.changed()
    number = written(machine, 1.0, Act.CARRY, carries=True)
    machine.changed()
    assert machine.act(1.0) is None
    machine.answered(1.5, number, more=False)
    assert machine.act(1.5) is Act.CARRY


def test_a_letter_that_carries_is_answered_at_once() -> None:
    assert connected().timeout(carries=True) == 0


def test_a_letter_that_waits_is_left_alone_where_another_one_carries() -> None:
    machine = connected()
    carried(machine)
    assert machine.act(0.0) is Act.CARRY  # for what did not fit, or came meanwhile
    assert machine.send(0.0, Act.CARRY, carries=False) is None
    assert machine.act(0.0) is None


def test_a_letter_that_waits_gives_way_to_one_that_carries_and_another_waits_after_that() -> None:
    """The upstream answers it as soon as a newer one comes."""
    machine = connected()
    machine.changed()
    carrying = written(machine, 1.0, Act.CARRY, carries=True)
    machine.answered(1.0, 2, more=False)
    assert machine.act(1.0) is None
    machine.answered(1.1, carrying, more=False)
    written(machine, 1.1, Act.CARRY, carries=False)
    assert machine.act(1.1) is None
    assert machine.timeout(carries=False) == 60


def test_a_letter_that_was_to_wait_carries_what_came_in_the_last_moment() -> None:
    machine = connected()
    machine.answered(60.0, 2, more=False)
    written(machine, 60.0, Act.WAIT, carries=True)
    machine.changed()
    assert machine.act(60.0) is None


def test_a_letter_from_before_a_failure_means_nothing_when_it_is_lost_too() -> None:
    machine = connected()
    machine.changed()
    carrying = written(machine, 1.0, Act.CARRY, carries=True)
    assert machine.failed(2.0, carrying)
    number = written(machine, 2.5, Act.CARRY, carries=True)
    machine.answered(2.6, number, more=False)
    assert not machine.failed(61.0, 2)
    assert machine.connected


def test_something_to_say_to_an_answer_is_said_at_once() -> None:
    machine = connected()
    machine.answered(1.0, 2, more=True)
    assert machine.act(1.0) is Act.CARRY


# -- trying again -----------------------------------------------------------------------------------------------------


def test_a_failure_ends_all_letters_and_tells_everything_again_later() -> None:
    machine = connected()
    machine.changed()
    number = written(machine, 1.0, Act.CARRY, carries=True)
    assert machine.failed(2.0, number)
    assert (machine.connected, machine.act(2.0)) == (False, None)
    assert machine.next(2.0) == 2.5
    assert machine.act(2.5) is Act.CARRY


@pytest.mark.parametrize(("lasting", "cap"), [(False, CAP_S), (True, LASTING_CAP_S)])
def test_pauses_double_up_to_a_cap_which_is_longer_where_somebody_has_to_mend_it(lasting: bool, cap: float) -> None:
    machine = new()
    now, pauses = 0.0, list[float]()
    for _ in range(40):
        failed_again(machine, now, lasting=lasting)
        pauses.append(machine.next(now) - now)
        now = machine.next(now)
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == max(pauses) == cap


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_chance_takes_up_to_a_quarter_from_a_pause(throws: list[float]) -> None:
    dice = iter(throws)
    backoff = Backoff(cap=CAP_S, random=lambda: next(dice), least=UNSHORTENED)
    for number, throw in enumerate(throws):
        whole = min(0.5 * 2**number, CAP_S)
        pause = backoff.pause()
        assert whole * 0.75 <= pause <= whole
        assert pause == pytest.approx(whole * (0.75 + 0.25 * throw))


def test_after_an_answer_the_pauses_are_short_again() -> None:
    machine = new()
    now = 0.0
    for _ in range(10):
        now = failed_again(machine, machine.next(now) if now else 0.0)
    now = machine.next(now)
    machine.answered(now, written(machine, now, Act.CARRY, carries=True), more=False)
    failed_again(machine, now)
    assert machine.next(now) - now == 0.5


def test_a_wish_to_try_now_is_followed_at_once_and_begins_with_short_pauses() -> None:
    machine = new()
    now = 0.0
    for _ in range(10):
        now = failed_again(machine, machine.next(now) if now else 0.0)
    machine.retry_now()
    assert machine.next(now) == math.inf
    failed_again(machine, now)
    assert machine.next(now) - now == 0.5


def test_news_does_not_shorten_a_pause() -> None:
    machine = new()
    failed_again(machine, 0.0)
    machine.changed()
    assert (machine.act(0.4), machine.act(0.5)) == (None, Act.CARRY)


# -- how much ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "doublings"), [(QUICK_S - 0.1, 1), (INSTANT_S, 1), (INSTANT_S - 0.1, 2)])
def test_letters_that_are_answered_quickly_grow_to_a_bound(seconds: float, doublings: int) -> None:
    machine = connected()
    rooms = [machine.room]
    for _ in range(10):
        carried(machine, seconds=seconds)
        rooms.append(machine.room)
    assert rooms == [min(FIRST_ROOM << doublings * number, MOST_ROOM) for number in range(11)]


def test_letters_that_are_answered_slowly_shrink_to_a_bound() -> None:
    machine = connected()
    rooms = [machine.room]
    for _ in range(5):
        carried(machine, seconds=SLOW_S + 0.1)
        rooms.append(machine.room)
    assert rooms == [max(FIRST_ROOM >> number, LEAST_ROOM) for number in range(6)]


@pytest.mark.parametrize("seconds", [QUICK_S, SLOW_S])
def test_in_between_letters_stay_as_large_as_they_are(seconds: float) -> None:
    machine = connected()
    carried(machine, seconds=seconds)
    assert machine.room == FIRST_ROOM


def test_how_long_a_letter_waited_says_nothing_of_the_line() -> None:
    machine = connected()
    machine.answered(60.0, 2, more=False)
    assert machine.room == FIRST_ROOM


def test_after_a_failure_letters_are_half_as_large() -> None:
    machine = new()
    failed_again(machine, 0.0)
    assert machine.room == FIRST_ROOM // 2


# -- the budget of history --------------------------------------------------------------------------------------------


def test_without_a_budget_history_has_no_limit() -> None:
    assert new().history(0.0) is None


def test_a_budget_is_there_a_minutes_part_at_a_time() -> None:
    machine = new(budget=6000)
    assert machine.history(0.0) == 100
    machine.spend(100)
    assert (machine.history(0.0), machine.history(30.0), machine.history(60.0)) == (0, 50, 100)


def test_a_budget_that_was_not_used_is_not_saved_up() -> None:
    machine = new(budget=6000)
    machine.history(0.0)
    assert machine.history(10 * HOUR_S) == 100


def test_a_record_larger_than_the_budget_is_told_and_paid_for_after() -> None:
    machine = new(budget=6000)
    machine.spend(1000)
    assert (machine.history(0.0), machine.history(540.0), machine.history(570.0)) == (0, 0, 50)


@given(st.lists(st.tuples(st.floats(0, 600), st.integers(1, 200)), max_size=300))
def test_in_an_hour_no_more_than_the_budget_is_told_but_for_one_minute_and_one_record(
    records: list[tuple[float, int]],
) -> None:
    machine = new(budget=6000)
    now, told = 0.0, list[tuple[float, int]]()
    for pause, size in records:
        now += pause
        if machine.history(now):
            machine.spend(size)
            told.append((now, size))
    for since, _ in told:
        assert sum(size for at, size in told if since <= at < since + HOUR_S) <= 6000 + 100 + 200


# -- whatever happens -------------------------------------------------------------------------------------------------

EVENTS = ("changed", "answered", "answered with more", "lost", "refused", "now", "wait", "wait long")


class Line:
    """Drives a machine as the driver does, and watches it. What is to be told is told with the next letter that
    carries, and again if that is lost."""

    def __init__(self, luck: float) -> None:
        self.now = 0.0
        self.machine = Machine(lambda: luck)
        self.carrying: list[int] = []
        self.waiting: list[int] = []
        self.given_up: list[int] = []
        """Letters under way when the link was found to be down."""
        self.untold = False
        self.letters = 0

    def change(self) -> None:
        """There is something to tell."""
        self.untold = True
        self.machine.changed()

    def turn(self) -> None:
        """Write what the machine wants written."""
        for _ in range(3):
            act = self.machine.act(self.now)
            if act is None:
                return
            carries = self.untold
            number = self.machine.send(self.now, act, carries)
            if number is None:
                continue
            self.letters += 1
            (self.carrying if carries else self.waiting).append(number)
            assert len(self.carrying) <= 1, "two letters carry"
        raise AssertionError("it goes on writing though nothing happens")

    def end(self, which: int, event: str) -> None:
        """A letter is answered or lost."""
        under_way = [*self.carrying, *self.waiting, *self.given_up]
        if not under_way:
            return
        number = under_way[which % len(under_way)]
        carries, given_up = number in self.carrying, number in self.given_up
        (self.given_up if given_up else self.carrying if carries else self.waiting).remove(number)
        if event.startswith("answered"):
            self.untold = self.untold and not carries
            self.machine.answered(self.now, number, more=event.endswith("more"))
        elif self.machine.failed(self.now, number, lasting=event == "refused"):
            assert not given_up, "the loss of an old letter says nothing"
            self.given_up += [*self.carrying, *self.waiting]
            self.carrying, self.waiting = [], []

    def step(self, event: str, which: int) -> None:
        """Let something happen."""
        if event == "changed":
            self.change()
        elif event == "now":
            self.machine.retry_now()
        elif event.startswith("wait"):
            self.now += 400.0 if event.endswith("long") else 0.3
        else:
            self.end(which, event)
        self.turn()


@settings(max_examples=300, deadline=None)
@given(st.floats(0, 1), st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 3)), max_size=80))
def test_never_do_two_letters_carry_and_once_the_link_works_all_is_told(
    luck: float, events: list[tuple[str, int]]
) -> None:
    line = Line(luck)
    line.turn()
    for event, which in events:
        line.step(event, which)
        assert LEAST_ROOM <= line.machine.room <= MOST_ROOM
    line.change()
    line.now = max(line.now, line.machine.next(line.now) if line.machine.next(line.now) < math.inf else 0.0)
    line.turn()
    for _ in range(5):  # from here on every letter is answered
        line.end(0, "answered")
        line.turn()
    assert not line.untold
    assert line.machine.connected
    assert (len(line.carrying), len(line.waiting)) == (0, 1)


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1), st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 3)), max_size=80))
def test_at_any_instant_a_letter_is_under_way_or_the_next_try_is_near(
    luck: float, events: list[tuple[str, int]]
) -> None:
    line = Line(luck)
    line.turn()
    for event, which in events:
        line.step(event, which)
        under_way = line.carrying or line.waiting
        assert under_way or 0 < line.machine.next(line.now) - line.now <= LASTING_CAP_S
