"""What a figure is: its key, its goal, and the function that measures it. Each area has its table of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stage import Stage


@dataclass(frozen=True)
class Reading:
    """A measured value, None where there is nothing to measure, and a remark on what stands behind it."""

    value: float | None
    remark: str = ""


@dataclass(frozen=True)
class Figure:
    """One line of the bench."""

    key: str
    goal: float | None
    what: str
    measure: Callable[[Stage], Reading]
    at_least: bool = False  # whether more is better

    def is_reached(self, value: float) -> bool:
        if self.goal is None:
            return True
        return value >= self.goal if self.at_least else value <= self.goal
