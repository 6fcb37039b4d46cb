"""What the executor knows about its link: how to call, how long to wait before the next try, what a refusal
means.
"""

from __future__ import annotations

import random as _random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from colonies_node.core.errors import Refused


class Caller(Protocol):
    """Whatever sends a message and gives the decoded answer, or raises Refused or LinkDown
    (`http.client.Client`).
    """

    async def call(self, msgtype: str, /, *, _timeout: float | None = None, **fields: Any) -> Any: ...


@dataclass
class Backoff:
    """Growing pauses between tries: each the double of the last up to `cap` seconds, and shortened at random.

    The random part (a quarter to all of the pause) keeps a hundred executors from coming back in the same
    instant.
    """

    first: float = 0.5
    cap: float = 30.0
    random: Callable[[], float] = _random.random
    _tries: int = field(default=0, init=False)

    def pause(self) -> float:
        """Seconds to wait before the next try."""
        whole: float = min(self.cap, self.first * 2.0 ** min(self._tries, 32))
        self._tries += 1
        return whole * (0.25 + 0.75 * self.random())

    def reset(self) -> None:
        """A try succeeded: the next pause is a short one again."""
        self._tries = 0


def is_membership(no: Refused) -> bool:
    """Whether the server does not know us as an approved member: it may change its mind later."""
    return no.status == 403 and not is_not_ours(no)


def is_not_ours(no: Refused) -> bool:
    """Whether a process is no longer ours to log to or close: the texts of core.md 4.5 and 4.7 tell."""
    if no.status == 403:
        return any(words in no.message for words in ("not assigned", "not allowed", "not running"))
    return is_gone(no) or (no.status == 400 and no.message.startswith("Tried to set"))


def is_gone(no: Refused) -> bool:
    """Whether the process does not exist any more."""
    return no.status == 404 or (no.status == 500 and "process is nil" in no.message)
