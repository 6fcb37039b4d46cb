"""How many signed requests a node answers, against the echo."""

from __future__ import annotations

from figures import Figure, Reading
from load import BenchFailed, Connection, drive, recite
from stage import CONNECTIONS, Node, Stage, say
from wire import processes_in


def submit(stage: Stage) -> Reading:
    count = stage.amounts.submits
    with stage.node() as node:

        def submits() -> float:
            requests = node.colony.submits(count)
            return stage.rate(count, drive(node.server.address, recite(requests, CONNECTIONS)))

        (sample,) = node.colony.submits(1)
        race = stage.race(submits, lambda: stage.echo_rate(sample))
        return Reading(race.ratio, str(race))


def assign_close(stage: Stage) -> Reading:
    with stage.node() as node:
        sample = node.colony.assign(node.colony.executors[0])
        race = stage.race(lambda: _pairs(stage, node), lambda: stage.echo_rate(sample))
        return Reading(race.ratio, str(race))


def assign_close_backlog_ratio(stage: Stage) -> Reading:
    with stage.node() as crowded, stage.node() as empty:
        say(f"submitting {stage.amounts.backlog:,} processes of another type")
        crowded.submit(stage.amounts.backlog, "other")
        race = stage.race(lambda: _pairs(stage, crowded), lambda: _pairs(stage, empty))
        return Reading(race.ratio, f"{race}; {stage.amounts.backlog:,} waiting")


def list_100(stage: Stage) -> Reading:
    count = stage.amounts.lists
    with stage.node() as node:
        node.submit(1000)
        request = node.colony.list_waiting()
        _check_page(node, request)

        def lists() -> float:
            return stage.rate(count, drive(node.server.address, recite([request] * count, CONNECTIONS)))

        race = stage.race(lists, lambda: stage.echo_rate(request))
        return Reading(race.ratio, str(race))


def _pairs(stage: Stage, node: Node) -> float:
    """Pairs of assign and close per second.

    In between, the client decodes the assigned process and signs its close: that counts as time of the pair.
    """
    pairs = stage.amounts.pairs
    node.submit(pairs)
    return stage.rate(pairs, drive(node.server.address, node.colony.works(pairs)))


def _check_page(node: Node, request: bytes) -> None:
    connection = Connection(node.server.address)
    listed = processes_in(connection.ask(request))
    connection.close()
    if listed != 100:
        raise BenchFailed(f"The node listed {listed} processes where 100 were asked for.")


FIGURES = (
    Figure("submit", 0.45, "signed submits / echo", submit, at_least=True),
    Figure("assign_close", 0.20, "pairs of assign and close / echo", assign_close, at_least=True),
    Figure(
        "assign_close_backlog_ratio",
        0.9,
        "the same with a queue of another type / without",
        assign_close_backlog_ratio,
        at_least=True,
    ),
    Figure("list_100", 0.10, "lists of 100 waiting processes / echo", list_100, at_least=True),
)
