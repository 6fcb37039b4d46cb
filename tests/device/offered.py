"""Functions that the tests offer to a colony."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio


def add(first: int, second: int = 1) -> int:
    """Add two numbers.

    More is not said.
    """
    return first + second


def nothing() -> None:
    print("done")


def several() -> list[object]:
    return ["a", 1, None]


def pair() -> tuple[int, int]:
    return 1, 2


def record() -> dict[str, int]:
    return {"a": 1}


async def later(word: str) -> str:
    """Wait for a moment."""
    await trio.lowlevel.checkpoint()
    return word.upper()


def fails() -> None:
    raise LookupError("no such thing")


def leaves() -> None:
    sys.exit("enough")


def drops() -> None:
    os._exit(3)


def unspeakable() -> object:
    return {1, 2}


def not_a_number() -> float:
    return float("nan")


def environment() -> dict[str, str]:
    return dict(os.environ)


def here() -> str:
    Path("left").write_text("x")
    return str(Path.cwd())


not_callable = 5
