"""Where a node spends its time: it runs under cProfile, and the profiles of one run are added up."""

from __future__ import annotations

import pstats
import sys
from pathlib import Path

SHOWN = 40


def profiler(folder: Path, number: int) -> list[str]:
    """The arguments that put a program under cProfile; its profile is written when it ends."""
    return ["-m", "cProfile", "-o", str(folder / f"node-{number}.prof")]


def show(folder: Path) -> None:
    """Print the functions that took most of the time in themselves, over all nodes of the run."""
    found = sorted(str(path) for path in folder.glob("node-*.prof"))
    if found:
        pstats.Stats(*found, stream=sys.stderr).sort_stats("tottime").print_stats(SHOWN)
