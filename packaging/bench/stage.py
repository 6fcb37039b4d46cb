"""Where the figures are measured: the amounts, the echo and the nodes, and rounds that take turns."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar, cast

import hotspots
from load import BenchFailed, Spent, drive, recite
from servers import Server, running
from wire import Colony, Member, found_colony

T = TypeVar("T")

CONNECTIONS = 8
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Amounts:
    """How much is measured."""

    rounds: int = 10
    echoes: int = 800  # requests of one round to the echo
    submits: int = 400  # and so on for the node: about a quarter of a second each
    pairs: int = 200
    lists: int = 100
    workflows: int = 50
    fanout: int = 1000  # children of one process
    members: int = 10_000  # of a large workflow
    latencies: int = 300
    events: int = 100
    backlog: int = 20_000  # waiting processes of another type
    bulk: int = 100_000
    window: float = 20.0  # seconds over which an idle node is watched
    link_window: float = 120.0  # seconds over which an idle link is watched
    records: int = 5_000  # that an upstream has missed
    catchups: int = 3
    starts: int = 5
    programs: int = 100  # of one round
    calls: int = 1000  # of a function
    call_rounds: int = 3
    pieces: int = 200  # of work of 20 ms
    jobs: int = 10  # of Slurm


FULL = Amounts()
QUICK = Amounts(
    rounds=2,
    echoes=200,
    submits=100,
    pairs=40,
    lists=20,
    workflows=8,
    fanout=50,
    members=200,
    latencies=20,
    events=5,
    backlog=500,
    bulk=1000,
    window=2.0,
    link_window=2.0,
    records=200,
    catchups=1,
    starts=1,
    programs=10,
    calls=40,
    call_rounds=2,
    pieces=10,
    jobs=1,
)


@dataclass(frozen=True)
class Node:
    """A running node with a colony on it."""

    server: Server
    colony: Colony
    data: Path

    def submit(self, count: int, executortype: str = "worker") -> None:
        """Put processes in the queue, outside any measurement."""
        drive(self.server.address, recite(self.colony.submits(count, executortype), CONNECTIONS))


class Stage:
    """Starts what a figure needs and ends it all on exit."""

    def __init__(self, amounts: Amounts, beside: Path, profile: bool = False) -> None:
        self.amounts = amounts
        self._beside = beside
        self._profile = profile
        self._started = 0
        self._exit = ExitStack()
        self._outcomes: dict[str, object] = {}
        self.busiest = 0.0  # highest share of a core that the load itself took in a round
        self.echo_rates: list[float] = []

    def __enter__(self) -> Stage:
        self._beside.mkdir(parents=True, exist_ok=True)
        self.folder = Path(self._exit.enter_context(tempfile.TemporaryDirectory(dir=self._beside)))
        return self

    def __exit__(self, *details: object) -> None:
        self._exit.close()

    @cached_property
    def echo(self) -> Server:
        """The echo server, started once for all figures."""
        command = [sys.executable, "-P", str(Path(__file__).with_name("echo.py"))]
        server = self._exit.enter_context(running("echo", command, environment(), self.folder / "echo.log"))
        drive(server.address, recite(_hellos(), CONNECTIONS))
        return server

    @contextmanager
    def serve(self, *, server_id: str) -> Iterator[tuple[Server, Path]]:
        """A node with an empty data folder, as `colonies-node serve` starts it with its defaults."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            data = Path(name)
            where = ["--data", str(data / "data"), "--host", "127.0.0.1", "--port", "0"]
            self._started += 1
            under = hotspots.profiler(self.folder, self._started) if self._profile else []
            command = [
                sys.executable,
                "-P",
                *under,
                "-m",
                "colonies_node",
                "serve",
                *where,
                "--server-id",
                server_id,
            ]
            with running("node", command, environment(), data / "node.log") as server:
                yield server, data / "data"

    @contextmanager
    def node(self, executors: int = CONNECTIONS) -> Iterator[Node]:
        """A fresh node with a colony, warm: it has already answered some of what it will be asked."""
        owner = Member()
        with self.serve(server_id=owner.id) as (server, data):
            node = Node(server, found_colony(server.address, owner, executors), data)
            node.submit(64)
            drive(server.address, node.colony.works(64))
            yield node

    def once(self, name: str, measure: Callable[[], T]) -> T:
        """What `measure` gives or raises, for figures that share one run: the first of them runs it."""
        if name not in self._outcomes:
            try:
                self._outcomes[name] = measure()
            except BenchFailed as problem:
                self._outcomes[name] = problem
        outcome = self._outcomes[name]
        if isinstance(outcome, BenchFailed):
            raise outcome
        return cast(T, outcome)

    def race(self, first: Callable[[], float], second: Callable[[], float], rounds: int = 0) -> Race:
        """Measure two rates in turns, swapping who begins, so that what else the machine does meets both."""
        rates: list[tuple[float, float]] = []
        rounds = rounds or self.amounts.rounds
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            if number % 2:
                later = second()
                rates.append((first(), later))
            else:
                rates.append((first(), second()))
        return Race(rates)

    def echo_rate(self, request: bytes) -> float:
        """Requests per second that the echo answers, with this request's body."""
        count = self.amounts.echoes
        rate = self.rate(count, drive(self.echo.address, recite([request] * count, CONNECTIONS)))
        self.echo_rates.append(rate)
        return rate

    def rate(self, count: int, spent: Spent) -> float:
        """How many per second; also notes what the load itself took."""
        self.busiest = max(self.busiest, spent.own_cpu / spent.seconds)
        return count / spent.seconds


@dataclass(frozen=True)
class Race:
    """Two rates, measured in turns."""

    rates: list[tuple[float, float]]

    @property
    def ratio(self) -> float:
        """Median over the rounds of the first rate over the second."""
        return statistics.median(first / second for first, second in self.rates)

    def __str__(self) -> str:
        first, second = (statistics.median(side) for side in zip(*self.rates, strict=True))
        return f"{first:,.0f}/s against {second:,.0f}/s"


def _hellos() -> list[bytes]:
    return [b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: 5\r\n\r\nhello"] * 200


def say(words: str) -> None:
    """Show progress, apart from the figures."""
    print(f"[bench] {words}", file=sys.stderr, flush=True)


def environment(**more: str) -> dict[str, str]:
    """The caller's environment without settings of the node: every run measures the defaults."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COLONIES_")} | more
