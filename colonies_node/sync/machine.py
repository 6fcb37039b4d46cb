"""When to write to an upstream, how much at once, and when to try again.

Two letters can be under way. One *carries* news, and there is never a second one of that kind: the next is written
once it is answered. The other only *waits* at the upstream, which answers when it has something to tell; a newer
letter takes its place. With nothing to say on either side one letter waits, and that is all that an idle link costs.

Events go in (`changed`, `answered`, `failed`, ...), and `act` says what to do now. Instants are seconds of any steady
clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from colonies_node.http.backoff import Backoff

LEAST_ROOM: Final = 2 << 10
FIRST_ROOM: Final = 16 << 10
MOST_ROOM: Final = 1 << 20
"""Bytes of a letter: what passes in a few seconds over the slowest link (9.6 kbit/s); what a fast one starts with; and
what a node takes in without making others wait."""

INSTANT_S: Final = 0.5
QUICK_S: Final = 2.0
SLOW_S: Final = 15.0
"""A letter that is answered sooner than these lets the next be four times, or twice, as large; one that takes longer
than the last, half as large."""

PATIENCE_S: Final = 60.0
"""Seconds without an answer, beyond those that the upstream was told to wait, after which a letter is lost."""

HOUR_S: Final = 3600.0

LOOK_S: Final = 60.0
"""Seconds between two looks at history while a budget bounds it."""


CAP_S: Final = 60.0
LASTING_CAP_S: Final = 300.0
"""Longest pause between two tries; where somebody has to mend something first, they may be rarer. A line that is gone
costs 70 tries an hour."""

UNSHORTENED: Final = 0.75
"""Part of a pause that chance leaves."""


class Act(Enum):
    """What the driver is to do."""

    CARRY = "carry"
    """Write a letter with what there is to tell; it is not to be sent if there is nothing."""
    WAIT = "wait"
    """Write a letter that waits at the upstream for what it has to tell."""


@dataclass
class Machine:
    """One link to an upstream. `poll` is how many seconds a letter waits there; `budget` bytes of history an hour, 0
    for no limit."""

    random: Callable[[], float]
    poll: float = 60.0
    budget: int = 0
    room: int = FIRST_ROOM
    connected: bool = False
    _news: bool = True
    _carrying: int = 0
    _waiting: int = 0
    _letters: int = 0
    _began: dict[int, float] = field(default_factory=dict)
    _retry: float = -math.inf
    _again: float = math.inf
    _spent: float = 0.0
    _spent_at: float = 0.0
    _backoff: Backoff = field(init=False)

    def __post_init__(self) -> None:
        self._backoff = Backoff(cap=CAP_S, random=self.random, least=UNSHORTENED)

    def changed(self) -> None:
        """There may be something to tell."""
        self._news = True

    def act(self, now: float) -> Act | None:
        """What to do now, if anything."""
        if now < self._retry:
            return None
        if now >= self._again:
            self._news, self._again = True, math.inf
        if not self.connected and (self._carrying or self._waiting):
            return None  # one letter finds out whether there is a link
        if self._news and not self._carrying:
            return Act.CARRY
        if not self._carrying and not self._waiting:
            return Act.WAIT
        return None

    def next(self, now: float) -> float:
        """The instant at which `act` has to be asked again without any event."""
        return self._retry if now < self._retry else self._again

    def send(self, now: float, act: Act, carries: bool) -> int | None:
        """A letter was written for `act`; its number if it is to be sent, None if it says nothing that is not known."""
        self._news = False
        if act is Act.CARRY and not carries and self._waiting:
            return None
        self._letters += 1
        if carries:
            self._carrying = self._letters
        else:
            self._waiting = self._letters
        self._began[self._letters] = now
        return self._letters

    def timeout(self, carries: bool) -> int:
        """Seconds that the upstream may take to answer a letter."""
        return 0 if carries or not self.connected else int(self.poll)

    def answered(self, now: float, number: int, *, more: bool) -> None:
        """The answer to a letter came; `more` when there is something to say to it."""
        began = self._began.pop(number, now)
        self._backoff.reset()
        self.connected = True
        if number == self._carrying:
            self._carrying = 0
            if now - began < QUICK_S:
                self.room = min(self.room * (4 if now - began < INSTANT_S else 2), MOST_ROOM)
            elif now - began > SLOW_S:
                self.room = max(self.room // 2, LEAST_ROOM)
            more = True  # what did not fit, or came meanwhile
        elif number == self._waiting:
            self._waiting = 0
        self._news = self._news or more

    def failed(self, now: float, number: int, *, lasting: bool = False) -> bool:
        """No answer came; whether that means that the link is down. `lasting`: somebody has to mend it first."""
        self._began.pop(number, None)
        if number not in (self._carrying, self._waiting):
            return False  # a letter that waited, in whose place a newer one is
        self._carrying = self._waiting = 0
        self.connected = False
        self._news = True
        self.room = max(self.room // 2, LEAST_ROOM)
        self._backoff.cap = LASTING_CAP_S if lasting else CAP_S
        self._retry = now + self._backoff.pause()
        return True

    def retry_now(self) -> None:
        """Somebody wants it tried at once."""
        self._retry = -math.inf
        self._backoff.reset()
        self._news = True

    def history(self, now: float) -> int | None:
        """How many bytes of history may be told now; None for no limit. A budget that was not used is not saved up."""
        if not self.budget:
            return None
        self._spent = max(self._spent - (now - self._spent_at) * self.budget / HOUR_S, 0.0)
        self._spent_at = now
        return max(int(self.budget / 60 - self._spent), 0)

    def look_again(self, now: float) -> None:
        """There may be history for which the budget had no room: look when it has some again."""
        self._again = now + LOOK_S

    def spend(self, size: int) -> None:
        """So many bytes of history were told."""
        self._spent += size
