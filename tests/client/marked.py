"""Functions for a colony, marked as users mark them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from colonies_node import function
from tests.device.offered import pair  # noqa: F401  (not of this module: not offered by it)

if TYPE_CHECKING:
    from decimal import Decimal


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@function
def train(
    data: Annotated[str, "where the data is"],
    epochs: int = 10,
    rate: float | None = None,
    colour: Colour = Colour.RED,
    mode: Literal["fast", "exact"] = "fast",
    sizes: list[int] = [],  # noqa: B006
    **more: Any,
) -> dict[str, Any]:
    """Train a model on
    the data.

    It takes a while.

    Args:
        data: this is not taken, the annotation is nearer
        epochs (int): how often to go
            through the data
        rate: the learning rate

    Returns:
        epochs: not an argument
    """
    return {"data": data, "epochs": epochs, "rate": rate, "colour": colour.value, "mode": mode, "sizes": sizes, **more}


@function(name="sum", description="Add up numbers.")
def total(*numbers: int) -> int:
    """Not what is told."""
    return sum(numbers)


@function
def words(text: str) -> list[str]:
    """Words of a text."""
    return text.split()


@function
def both() -> tuple[int, str]:
    return 1, "two"


@function
async def later(word: str) -> str:
    """Wait for a moment."""
    import trio

    await trio.lowlevel.checkpoint()
    return word.upper()


@function
def breaks(number: int) -> None:
    raise LookupError(f"no such thing as {number}")


@function
def unresolved(amount: Decimal, level: Level = Level.LOW) -> str:
    """An annotation that is there for a type checker only."""
    return f"{amount}"


def twice(target: Callable[[int], int]) -> Callable[[int], int]:
    @functools.wraps(target)
    def run(number: int) -> int:
        return target(target(number))

    return run


@twice
@function
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def unmarked() -> None:
    """Nobody offers this."""
