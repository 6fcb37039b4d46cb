"""What workflows cost: small ones against the echo, and the members of large ones against plain processes."""

from __future__ import annotations

from figures import Figure, Reading
from load import BenchFailed, Connection, drive, recite
from stage import CONNECTIONS, Node, Stage, say
from wire import COLONY, payload_of

DIAMOND: dict[str, list[str]] = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def workflow_diamond(stage: Stage) -> Reading:
    count = stage.amounts.workflows
    with stage.node() as node:
        sample = _workflow(node, DIAMOND)

        def diamonds() -> float:
            """Workflows per second, submitted and run to their end."""
            workflows = [_workflow(node, DIAMOND) for _ in range(count)]
            submitters = recite(workflows, CONNECTIONS // 2)
            workers = node.colony.works(count * len(DIAMOND))
            return stage.rate(count, drive(node.server.address, [*submitters, *workers]))

        race = stage.race(diamonds, lambda: stage.echo_rate(sample))
        _check_ended(node)
        return Reading(race.ratio, str(race))


def fanout_cost(stage: Stage) -> Reading:
    """The first process's close, which readies them all, counts as time of the fan-out."""
    width = stage.amounts.fanout
    with stage.node() as node:

        def fanned() -> float:
            names: dict[str, list[str]] = {"root": [], **{f"child-{number}": ["root"] for number in range(width)}}
            drive(node.server.address, recite([_workflow(node, names)], 1))
            return stage.rate(width, drive(node.server.address, node.colony.works(width + 1)))

        def plain() -> float:
            node.submit(width)
            return stage.rate(width, drive(node.server.address, node.colony.works(width)))

        say(f"readying and draining {width:,} children")
        race = stage.race(plain, fanned)
        return Reading(race.ratio, f"{race}; {width:,} children")


def member_cost(stage: Stage) -> Reading:
    """Two nodes, each with workflows of independent members; only the number of members differs."""
    pairs = stage.amounts.pairs
    rounds = stage.amounts.rounds
    with stage.node() as large, stage.node() as small:
        names: dict[str, list[str]] = {
            f"node-{number}": [] for number in range(max(stage.amounts.members, pairs * rounds))
        }
        say(f"submitting a workflow of {len(names):,}")
        drive(large.server.address, recite([_workflow(large, names)], 1))

        def of_many() -> float:
            return stage.rate(pairs, drive(large.server.address, large.colony.works(pairs)))

        def of_ten() -> float:
            ten: dict[str, list[str]] = {f"node-{number}": [] for number in range(10)}
            few = [_workflow(small, ten) for _ in range(-(-pairs // 10))]
            drive(small.server.address, recite(few, CONNECTIONS))
            return stage.rate(pairs, drive(small.server.address, small.colony.works(pairs)))

        race = stage.race(of_ten, of_many)
        return Reading(race.ratio, f"{race}; {len(names):,} members")


def _workflow(node: Node, after: dict[str, list[str]]) -> bytes:
    """The signed request that submits a workflow of "name → names it waits for"."""
    nodes = [
        {
            "nodename": name,
            "funcname": "count_words",
            "args": [f"/data/corpus/{name}.txt"],
            "maxexectime": 600,
            "maxretries": 3,
            "conditions": {"colonyname": COLONY, "executortype": "worker", "dependencies": dependencies},
        }
        for name, dependencies in after.items()
    ]
    return node.colony.user.request("submitworkflowspecmsg", spec={"colonyname": COLONY, "functionspecs": nodes})


def _check_ended(node: Node) -> None:
    """Raises BenchFailed if a workflow did not come to its end."""
    connection = Connection(node.server.address)
    listed = [
        connection.ask(node.colony.user.request("getprocessgraphsmsg", colonyname=COLONY, count=1, state=state))
        for state in range(3)
    ]
    connection.close()
    waiting, running, successful = (payload_of(reply) for reply in listed)
    if waiting or running or not successful:
        raise BenchFailed("Some workflow did not come to its end.")


FIGURES = (
    Figure(
        "workflow_diamond",
        0.03,
        "workflows of four, submitted and run to their end / echo",
        workflow_diamond,
        at_least=True,
    ),
    Figure("fanout_cost", 1.3, "time to ready and drain children / plain processes", fanout_cost),
    Figure("member_cost", 1.3, "time of a pair of assign and close in a workflow of 10,000 / of ten", member_cost),
)
