"""`generator`: workflows that are started by what was packed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli.spec import node_names, workflow_from_file
from colonies_node.cli.table import card, print_done, print_json, table, when
from colonies_node.cli.times import Duration
from colonies_node.cli.verb import Noun, as_json, explained, named
from colonies_node.core.model.durations import spoken
from colonies_node.settings import MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link
    from colonies_node.http.client import Client

command = Noun("generator", help="Start workflows by the number of packed arguments.")
generator_id = named("--generatorid", "Id or name of the generator.")

LISTED = "`colonies-node generator ls` lists the generators of the colony"


@command.verb(
    "add",
    MEMBER,
    "colonies-node generator add images --spec stitch.json --trigger 10\n"
    "colonies-node generator add images --spec stitch.json --trigger 10 --timeout 5m",
)
@named("--name", "Name of the new generator.")
@click.option("--spec", required=True, metavar="FILE", help="JSON file with an array of function specs; - for stdin.")
@click.option("--trigger", type=click.IntRange(min=1), required=True, help="So many arguments start a workflow.")
@click.option(
    "--timeout",
    type=Duration(),
    default=-1,
    metavar="S",
    help="Start one with fewer so many seconds (or 10m, 1h30m) after the last; -1 for never.",
)
@as_json
def add(link: Link, name: str, spec: str, trigger: int, timeout: int, as_json: bool) -> None:
    """Start the workflow in a file whenever enough arguments were packed, and print the generator's id.

    Its first processes get the packed arguments as theirs.
    """
    made = {
        "name": name,
        "colonyname": link.colony,
        "trigger": trigger,
        "timeout": timeout,
        "workflowspec": json.dumps(workflow_from_file(spec, link.colony)),
    }
    added = link.ask("addgeneratormsg", generator=made)
    if as_json:
        return print_json(added)
    click.echo(added["generatorid"])


@command.verb(
    "pack",
    MEMBER,
    "colonies-node generator pack images --arg 1.png\ncolonies-node generator pack images --arg 1.png --arg 2.png",
)
@generator_id
@click.option("--arg", "args", multiple=True, required=True, metavar="A", help="An argument. May be repeated.")
@as_json
def pack(link: Link, generatorid: str, args: tuple[str, ...], as_json: bool) -> None:
    """Pack arguments into a generator, in their order; each is used exactly once."""
    packed = 0

    async def talk(client: Client) -> Any:
        nonlocal packed
        found = await _id(client, link.colony, generatorid)
        for arg in args:
            reply = await client.call("packgeneratormsg", generatorid=found, arg=arg)
            packed += 1
        return reply

    try:
        with explained("generator is nil", LISTED):
            reply = link.run(talk)
    finally:
        if 0 < packed < len(args):
            click.echo(f"{packed} of {len(args)} arguments are packed.", err=True)
    print_done(reply, f"{packed} argument{'s are' if packed > 1 else ' is'} packed.", as_json)


async def _id(client: Client, colony: str, name: str) -> str:
    """The id of a generator that was given by id or name."""
    if re.fullmatch("[0-9a-f]{64}", name):
        return name
    found = await client.call("resolvegeneratormsg", colonyname=colony, generatorname=name)
    return str(found["generatorid"])


def _ask(link: Link, msgtype: str, generatorid: str) -> Any:
    async def talk(client: Client) -> Any:
        return await client.call(msgtype, generatorid=await _id(client, link.colony, generatorid))

    with explained("generator is nil", LISTED):
        return link.run(talk)


@command.verb("ls", MEMBER, "colonies-node generator ls\ncolonies-node generator ls --count 100 --json")
@click.option("--count", type=click.IntRange(min=1), default=20, show_default=True, help="So many at most.")
@as_json
def ls(link: Link, count: int, as_json: bool) -> None:
    """List the generators by name."""
    found = link.ask("getgeneratorsmsg", colonyname=link.colony, count=count) or []
    if as_json:
        return print_json(found)
    rows = [
        (one["name"], one["trigger"], _timeout(one), when(one["lastrun"]), one["initiatorname"], one["generatorid"])
        for one in found
    ]
    titles = ("Name", "Trigger", "Timeout", "Last run", "Initiator", "Generator id")
    empty = f"No generators in colony {link.colony}."
    click.echo(table(titles, rows, link.settings.cli_ascii, empty=empty))


def _timeout(generator: dict[str, Any]) -> str:
    return spoken(generator["timeout"]) if generator["timeout"] > 0 else "never"


@command.verb("get", MEMBER, "colonies-node generator get GENERATORID\ncolonies-node generator get images")
@generator_id
@as_json
def get(link: Link, generatorid: str, as_json: bool) -> None:
    """Show a generator, and how many arguments wait in it."""
    generator = _ask(link, "getgeneratormsg", generatorid)
    if as_json:
        return print_json(generator)
    shown = {
        "Generator id": generator["generatorid"],
        "Name": generator["name"],
        "Colony": generator["colonyname"],
        "Initiator": generator["initiatorname"],
        "Waiting": f"{generator['queuesize']} of {generator['trigger']} arguments",
        "Timeout": _timeout(generator),
        "First pack": when(generator["firstpack"]),
        "Last run": when(generator["lastrun"]),
        "Nodes": node_names(generator["workflowspec"]),
    }
    click.echo(card(shown, link.settings.cli_ascii))


@command.verb("remove", MEMBER, "colonies-node generator remove GENERATORID\ncolonies-node generator remove images")
@generator_id
@as_json
def remove(link: Link, generatorid: str, as_json: bool) -> None:
    """Remove a generator with the arguments that wait in it; the workflows that it started stay."""
    reply = _ask(link, "removegeneratormsg", generatorid)
    print_done(reply, f"Generator {generatorid} is removed.", as_json)
