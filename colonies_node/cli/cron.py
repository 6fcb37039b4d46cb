"""`cron`: workflows that are started by the clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli.spec import node_names, workflow_from_file
from colonies_node.cli.table import card, print_done, print_json, table, when
from colonies_node.cli.times import Duration, ahead
from colonies_node.cli.verb import Noun, as_json, explained, named
from colonies_node.core.model.durations import spoken
from colonies_node.settings import MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link
    from colonies_node.http.client import Client

command = Noun("cron", help="Start workflows by the clock.")
cron_id = named("--cronid", "Id of the cron.")

LISTED = "`colonies-node cron ls` lists the crons of the colony"


@command.verb(
    "add",
    MEMBER,
    "colonies-node cron add nightly --spec clean.json --cron '0 30 3 * * *'   # at 3:30 every night\n"
    "colonies-node cron add often --spec look.json --interval 10m --waitprevious\n"
    "colonies-node cron add hourly --spec look.json --cron @hourly",
)
@named("--name", "Name of the new cron.")
@click.option("--spec", required=True, metavar="FILE", help="JSON file with an array of function specs; - for stdin.")
@click.option(
    "--cron",
    "expression",
    default="",
    metavar="EXPRESSION",
    help="Second, minute, hour, day, month, day of the week; or @hourly and the like. In the server's time zone.",
)
@click.option("--interval", type=Duration(), default=-1, metavar="S", help="Every so many seconds, or 10m, 1h30m.")
@click.option("--random", is_flag=True, help="At some instant in each interval.")
@click.option("--waitprevious", is_flag=True, help="Start none while the one before still runs.")
@as_json
def add(
    link: Link, name: str, spec: str, expression: str, interval: int, random: bool, waitprevious: bool, as_json: bool
) -> None:
    """Start the workflow in a file by the clock, and print the cron's id."""
    if bool(expression) == (interval != -1):
        raise click.UsageError("Give --cron or --interval.")
    if random and interval == -1:
        raise click.UsageError("--random needs --interval.")
    made = {
        "name": name,
        "colonyname": link.colony,
        "cronexpression": expression,
        "interval": interval,
        "random": random,
        "waitforprevprocessgraph": waitprevious,
        "workflowspec": json.dumps(workflow_from_file(spec, link.colony)),
    }

    async def talk(client: Client) -> tuple[Any, Any]:
        added = await client.call("addcronmsg", cron=made)
        return added, await client.call("getcronmsg", cronid=added["cronid"])

    with explained("expected exactly 6 fields, found 5", "seconds come first; put a 0 before a line of a crontab"):
        added, stored = link.run(talk)
    if as_json:
        return print_json(added)
    click.echo(f"next run: {ahead(stored['nextrun'])}", err=True)
    click.echo(added["cronid"])


def _rule(cron: dict[str, Any]) -> str:
    """When it runs, in words."""
    if cron["interval"] <= 0:
        return str(cron["cronexpression"])
    return f"{'at random in' if cron['random'] else 'every'} {spoken(cron['interval'])}"


@command.verb("ls", MEMBER, "colonies-node cron ls\ncolonies-node cron ls --count 100 --json")
@click.option("--count", type=click.IntRange(min=1), default=20, show_default=True, help="So many at most.")
@as_json
def ls(link: Link, count: int, as_json: bool) -> None:
    """List the crons by name."""
    found = link.ask("getcronsmsg", colonyname=link.colony, count=count) or []
    if as_json:
        return print_json(found)
    rows = [
        (one["name"], _rule(one), ahead(one["nextrun"]), when(one["lastrun"]), one["initiatorname"], one["cronid"])
        for one in found
    ]
    titles = ("Name", "When", "Next run", "Last run", "Initiator", "Cron id")
    empty = f"No crons in colony {link.colony}."
    click.echo(table(titles, rows, link.settings.cli_ascii, empty=empty))


@command.verb("get", MEMBER, "colonies-node cron get CRONID")
@cron_id
@as_json
def get(link: Link, cronid: str, as_json: bool) -> None:
    """Show a cron."""
    with explained("cron is nil", LISTED):
        cron = link.ask("getcronmsg", cronid=cronid)
    if as_json:
        return print_json(cron)
    shown = {
        "Cron id": cron["cronid"],
        "Name": cron["name"],
        "Colony": cron["colonyname"],
        "Initiator": cron["initiatorname"],
        "When": _rule(cron),
        "Waits for previous": "yes" if cron["waitforprevprocessgraph"] else "no",
        "Next run": ahead(cron["nextrun"]),
        "Last run": when(cron["lastrun"]),
        "Last workflow": cron["prevprocessgraphid"],
        "Nodes": node_names(cron["workflowspec"]),
    }
    click.echo(card(shown, link.settings.cli_ascii))


@command.verb("run", MEMBER, "colonies-node cron run CRONID")
@cron_id
@as_json
def run(link: Link, cronid: str, as_json: bool) -> None:
    """Start a cron's workflow now and print the workflow's id; the next run is counted from now."""

    async def talk(client: Client) -> tuple[Any, Any]:
        return await client.call("runcronmsg", cronid=cronid), await client.call("getcronmsg", cronid=cronid)

    with explained("cron not found", LISTED):
        before, after = link.run(talk)
    previous = before["prevprocessgraphid"]
    if after["prevprocessgraphid"] == previous:
        raise click.ClickException(f"Nothing was started: the workflow before, {previous}, has not ended.")
    if as_json:
        return print_json(after)
    click.echo(after["prevprocessgraphid"])


@command.verb("remove", MEMBER, "colonies-node cron remove CRONID")
@cron_id
@as_json
def remove(link: Link, cronid: str, as_json: bool) -> None:
    """Remove a cron; the workflows that it started stay."""
    with explained("cron is nil", LISTED):
        reply = link.ask("removecronmsg", cronid=cronid)
    print_done(reply, f"Cron {cronid} is removed.", as_json)
