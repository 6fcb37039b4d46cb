"""How long to wait before the next try."""

from __future__ import annotations

import random as _random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Growing pauses between tries: each the double of the last up to `cap` seconds, and shortened at random.

    The random part (what is above `least` of the pause) keeps a hundred executors, or all nodes that lost the same
    upstream, from coming back in the same instant.
    """

    first: float = 0.5
    cap: float = 30.0
    random: Callable[[], float] = _random.random
    least: float = 0.25
    _tries: int = field(default=0, init=False)

    def pause(self) -> float:
        """Seconds to wait before the next try."""
        whole: float = min(self.cap, self.first * 2.0 ** min(self._tries, 32))
        self._tries += 1
        return whole * (self.least + (1 - self.least) * self.random())

    def reset(self) -> None:
        """A try succeeded: the next pause is a short one again."""
        self._tries = 0
