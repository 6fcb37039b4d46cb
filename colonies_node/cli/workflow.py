"""`workflow`: processes that wait for each other."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli.removal import add_removeall
from colonies_node.cli.table import STATES, SUCCESS, cell, print_done, print_json, state_word, table, when
from colonies_node.cli.verb import Noun, as_json, named
from colonies_node.core.limits import MAX_LIST
from colonies_node.settings import MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link
    from colonies_node.http.client import Client

command = Noun("workflow", help="Submit, list, draw, cancel and remove workflows.")
workflow_id = named("--workflowid", "Id of the workflow.")

POLL_S = 0.5
"""Seconds between two looks at a workflow that is waited for."""

MAX_DRAWN = 200
"""Processes that a drawing shows; `--json` has all."""


@command.verb(
    "submit",
    MEMBER,
    "colonies-node workflow submit --spec diamond.json\ncolonies-node workflow submit --spec diamond.json --wait",
)
@named("--spec", "JSON file with an array of function specs; - for standard input.")
@click.option("--wait", is_flag=True, help="Wait until it has ended; exit code 1 if it did not succeed.")
@as_json
def submit(link: Link, spec: str, wait: bool, as_json: bool) -> None:
    """Submit the workflow in a file, whole or not at all, and print its id.

    Each function spec has a `nodename`; `conditions.dependencies` names the nodes that must succeed before it.
    """
    from colonies_node.cli.spec import workflow_from_file

    made = workflow_from_file(spec, link.colony)

    async def talk(client: Client) -> dict[str, Any]:
        graph: dict[str, Any] = await client.call("submitworkflowspecmsg", spec=made)
        if not wait:
            return graph
        click.echo(f"workflow {graph['processgraphid']}", err=True)
        return await _finished(client, graph["processgraphid"])

    graph = link.run(talk)
    if as_json:
        print_json(graph)
    elif not wait:
        click.echo(graph["processgraphid"])
    if wait and graph["state"] != SUCCESS:
        click.echo(f"Error: the workflow is {state_word(graph['state']).lower()}.", err=True)
        sys.exit(1)


async def _finished(client: Client, processgraphid: str) -> dict[str, Any]:
    """The workflow at its end; tells how far it is, whenever that changes."""
    import trio

    told = ""
    while True:
        graph: dict[str, Any] = await client.call("getprocessgraphmsg", processgraphid=processgraphid)
        done = sum(node["style"]["background"] not in _OPEN for node in graph["nodes"])
        says = f"{done} of {len(graph['nodes'])} processes have ended"
        if says != told:
            click.echo(says, err=True)
            told = says
        if graph["state"] > 1:
            return graph
        await trio.sleep(POLL_S)


_COLOURS = {"#eee8d8": 0, "#4689cd": 1, "#92d050": 2, "#cb4239": 3, "#f5a623": 4}
"""How the wire tells the state of a process in a drawing: by its colour."""

_OPEN = [colour for colour, state in _COLOURS.items() if state < 2]


@command.verb("get", MEMBER, "colonies-node workflow get WORKFLOWID\ncolonies-node workflow get WORKFLOWID --json")
@workflow_id
@as_json
def get(link: Link, workflowid: str, as_json: bool) -> None:
    """Draw a workflow: a line for each process, below one that it waits for."""
    graph = link.ask("getprocessgraphmsg", processgraphid=workflowid)
    if as_json:
        return print_json(graph)
    click.echo(f"{state_word(graph['state'])} workflow {graph['processgraphid']} of {graph['initiatorname']}")
    times = (("submitted", "submissiontime"), ("started", "starttime"), ("ended", "endtime"))
    click.echo(", ".join(f"{word} {when(graph[key])}" for word, key in times if when(graph[key])))
    for line in drawn(graph):
        click.echo(line)


def drawn(graph: dict[str, Any]) -> list[str]:
    """The lines of a drawing. A process with several parents stands below the first, which names the others."""
    names = {node["id"]: cell(node["data"]["label"]) or node["id"] for node in graph["nodes"]}
    states = {node["id"]: _COLOURS.get(node["style"]["background"], -1) for node in graph["nodes"]}
    parents: dict[str, list[str]] = {}
    for edge in graph["edges"]:
        parents.setdefault(edge["target"], []).append(edge["source"])
    below: dict[str, list[str]] = {}
    for child in names:
        if parents.get(child):
            below.setdefault(parents[child][0], []).append(child)
    lines: list[str] = []
    ahead = [(root, "", "") for root in reversed(graph["rootprocessids"])]
    while ahead and len(lines) < MAX_DRAWN:
        process, lead, indent = ahead.pop()
        others = ", ".join(names[parent] for parent in parents.get(process, [])[1:4])
        more = len(parents.get(process, [])) - 4
        after = f"  (also after {others}{f' and {more} more' if more > 0 else ''})" if others else ""
        lines.append(f"{lead}{names[process]}  {state_word(states[process])}  {process}{after}")
        children = below.get(process, [])
        for n, child in reversed(list(enumerate(children))):
            last = n == len(children) - 1
            ahead.append((child, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  ")))
    if len(lines) < len(names):
        lines.append(f"and {len(names) - len(lines)} more processes; --json shows all")
    return lines


def _list(link: Link, state: int, count: int, ids: bool, as_json: bool) -> None:
    found = link.ask("getprocessgraphsmsg", colonyname=link.colony, count=count, state=state) or []
    if as_json:
        return print_json(found)
    if ids:
        for graph in found:
            click.echo(graph["processgraphid"])
        return
    time = ("submissiontime", "starttime")[state] if state < 2 else "endtime"
    titles = ("Workflow id", "Processes", ("Submission time", "Start time")[state] if state < 2 else "End time")
    rows = [
        (graph["processgraphid"], len(graph["processids"]), when(graph[time]), graph["initiatorname"])
        for graph in found
    ]
    empty = f"No {STATES[state].lower()} workflows in colony {link.colony}."
    click.echo(table((*titles, "Initiator"), rows, link.settings.cli_ascii, empty=empty))


def _add_list(name: str, state: int) -> None:
    @click.option("--count", type=click.IntRange(1, MAX_LIST), default=20, show_default=True, help="So many at most.")
    @click.option("--ids", "-i", is_flag=True, help="Print the ids only, one on a line.")
    @as_json
    def ls(link: Link, count: int, ids: bool, as_json: bool) -> None:
        _list(link, state, count, ids, as_json)

    ls.__doc__ = f"List {STATES[state].lower()} workflows, the latest first."
    command.verb(name, MEMBER, f"colonies-node workflow {name}\ncolonies-node workflow {name} --count 5 --ids")(ls)


for _name, _state in (("psw", 0), ("ps", 1), ("pss", 2), ("psf", 3), ("psc", 4)):
    _add_list(_name, _state)


@command.verb("cancel", MEMBER, "colonies-node workflow cancel WORKFLOWID")
@workflow_id
@as_json
def cancel(link: Link, workflowid: str, as_json: bool) -> None:
    """Cancel a workflow: those of its processes that have not ended."""
    reply = link.ask("cancelprocessgraphmsg", processgraphid=workflowid)
    print_done(reply, f"Workflow {workflowid} is cancelled.", as_json)


@command.verb("remove", MEMBER, "colonies-node workflow remove WORKFLOWID")
@workflow_id
@as_json
def remove(link: Link, workflowid: str, as_json: bool) -> None:
    """Remove a workflow that does not run, with all of its processes."""
    reply = link.ask("removeprocessgraphmsg", processgraphid=workflowid)
    print_done(reply, f"Workflow {workflowid} is removed.", as_json)


add_removeall(
    command,
    "workflows",
    "removeallprocessgraphsmsg",
    "Remove all workflows of the colony, or those in one state, with all of their processes.",
)
