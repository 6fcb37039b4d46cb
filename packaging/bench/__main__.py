"""`python3 packaging/dev.py bench`: measure the node against a bare echo server on the same stack."""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

import cbor
import events
import executor
import footprint
import hotspots
import latency
import machine
import slurm
import sync
import table
import throughput
import workflows
from figures import Figure
from load import BenchFailed
from stage import FULL, QUICK, ROOT, Stage, say

FIGURES: dict[str, Figure] = {
    figure.key: figure
    for area in (throughput, latency, workflows, events, cbor, sync, executor, slurm, footprint)
    for figure in area.FIGURES
}
LIMIT = 150  # seconds that one figure may take


def arguments(given: list[str]) -> argparse.Namespace:
    """The command line; bad ones end the program with exit code 2."""
    parser = argparse.ArgumentParser(prog="dev.py bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--only", type=_keys, default=list(FIGURES), metavar="KEY,…", help="measure only these")
    parser.add_argument("--quick", action="store_true", help="measure very little: shows that the bench works")
    parser.add_argument("--profile", action="store_true", help="run the nodes under cProfile (slower), show hot spots")
    parser.add_argument(
        "--data", type=Path, default=ROOT / ".dev" / "bench", metavar="DIR", help="where nodes keep data"
    )
    return parser.parse_args(given)


def _keys(text: str) -> list[str]:
    keys = [key.strip() for key in text.split(",")]
    if unknown := [key for key in keys if key not in FIGURES]:
        known = ", ".join(FIGURES)
        raise argparse.ArgumentTypeError(f"there is no figure {unknown[0]!r}; the figures are {known}")
    return keys


def main(given: list[str]) -> int:
    """Measure and print; 1 when something could not be measured, whatever the figures are."""
    options = arguments(given)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGALRM, _too_long)
    began, results = time.monotonic(), {}
    with Stage(QUICK if options.quick else FULL, options.data, options.profile) as stage:
        facts = machine.facts(stage.folder)
        if facts["filesystem"] in machine.MEMORY_ONLY:
            say(f"{options.data} is in memory, where commits are not durable: give --data a folder on a disk")
        for key in options.only:
            say(key)
            results[key] = _measure(FIGURES[key], stage)
        if options.profile:
            hotspots.show(stage.folder)
    facts |= {"quick": int(options.quick), "seconds": round(time.monotonic() - began)}
    if stage.echo_rates:
        facts["echo_per_s"] = round(statistics.median(stage.echo_rates))
        facts["load_cpu_percent"] = round(100 * stage.busiest)
    print(table.as_json(results, facts) if options.json else table.as_text(FIGURES, results, facts))
    return int(any(isinstance(result, str) for result in results.values()))


def _measure(figure: Figure, stage: Stage) -> table.Result:
    signal.alarm(LIMIT)
    try:
        return figure.measure(stage)
    except (BenchFailed, OSError) as problem:
        say(f"{figure.key} failed. {problem}")
        return str(problem)
    finally:
        signal.alarm(0)


def _too_long(number: int, frame: FrameType | None) -> NoReturn:
    raise BenchFailed(f"This took longer than {LIMIT} s.")


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(143)  # through the clean-up of all children


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
