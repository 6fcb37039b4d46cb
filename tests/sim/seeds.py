"""`python3 packaging/dev.py simulate`: play many seeds, on all cores, and say how to see again those that fail."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.sim.story import play

MEMORY = Path("/dev/shm")
"""Where stores are laid if it is there: a disk would only cost time, what is committed survives a simulated kill."""


class Ear(logging.Handler):
    """Keeps the first thing that a node calls an error: in a simulated world nothing is one."""

    heard = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Hear a line of the log."""
        self.heard = self.heard or record.getMessage()


def failure(seed: int) -> tuple[int, str]:
    """(the seed, what went wrong with it; empty if nothing did)."""
    ear = Ear(logging.ERROR)
    log = logging.getLogger("colonies_node")
    log.handlers, log.propagate = [ear], False
    try:
        play(seed, MEMORY if os.access(MEMORY, os.W_OK) else None)
    except AssertionError as fault:
        return seed, str(fault)
    except BaseException as fault:
        return seed, f"seed {seed}: {type(fault).__name__}: {fault}"
    return seed, f"seed {seed}: a node logged: {ear.heard}" if ear.heard else ""


def failures(seeds: Iterable[int], workers: int | None = None) -> Iterator[tuple[int, str]]:
    """(seed, what went wrong) of each seed as it comes to its end, on `workers` cores."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers or os.cpu_count()) as pool:
        yield from pool.imap_unordered(failure, seeds, chunksize=4)


def replay(seed: int) -> str:
    """The command that plays a seed again."""
    return f"python3 packaging/dev.py simulate --first {seed} --seeds 1"


def main(arguments: list[str]) -> int:
    """Play the seeds; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="dev.py simulate", description="Simulate trees of nodes from seeds.")
    parser.add_argument("--seeds", type=int, default=500, metavar="N", help="how many (500; a night takes 50000)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them (0)")
    options = parser.parse_args(arguments)
    began, broken = time.monotonic(), 0
    for number, (seed, fault) in enumerate(failures(range(options.first, options.first + options.seeds)), 1):
        if fault:
            broken += 1
            print(f"{fault}\n  again: {replay(seed)}", flush=True)
        if number % 500 == 0 or number == options.seeds:
            print(f"{number} seeds, {broken} broke a promise, {time.monotonic() - began:.0f} s", flush=True)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
