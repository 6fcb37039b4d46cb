"""`colony`: the colonies of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from colonies_node.cli.server import counts, new_id
from colonies_node.cli.table import card, print_done, print_json, table
from colonies_node.cli.verb import Noun, as_json, confirm, named, yes
from colonies_node.settings import COLONY_OWNER, MEMBER, SERVER_OWNER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link

command = Noun("colony", help="Add, list and remove colonies.", aliases={"statistics": "stats"})


@command.verb("add", SERVER_OWNER, "colonies-node colony add --name lab --colonyid $(colonies-node key id lab.key)")
@named("--name", "Name of the new colony.")
@click.option("--colonyid", required=True, metavar="ID", help="Id of the colony owner's key.")
@as_json
def add(link: Link, name: str, colonyid: str, as_json: bool) -> None:
    """Add a colony."""
    added = link.ask("addcolonymsg", colony={"name": name, "colonyid": new_id(colonyid)})
    if as_json:
        return print_json(added)
    click.echo(f"Colony {added['name']} is added.")


@command.verb("ls", SERVER_OWNER, "colonies-node colony ls")
@as_json
def ls(link: Link, as_json: bool) -> None:
    """List all colonies of the server."""
    colonies = link.ask("getcoloniesmsg") or []
    if as_json:
        return print_json(colonies)
    rows = [(colony["name"], colony["colonyid"]) for colony in sorted(colonies, key=lambda one: one["name"])]
    click.echo(table(("Name", "Colony id"), rows, link.settings.cli_ascii, empty="The server has no colonies."))


@command.verb("get", MEMBER, "colonies-node colony get --colony lab")
@as_json
def get(link: Link, as_json: bool) -> None:
    """Show a colony, to one of its members."""
    colony = link.ask("getcolonymsg", colonyname=link.colony)
    if as_json:
        return print_json(colony)
    click.echo(card({"Name": colony["name"], "Colony id": colony["colonyid"]}, link.settings.cli_ascii))


@command.verb("check", MEMBER, "colonies-node colony check && echo I am a member")
@named("--name", "The colony; without it the one that is set.", required=False)
@as_json
def check(link: Link, name: str | None, as_json: bool) -> None:
    """Say whether the key is one of a member; exit code 1 if it is not."""
    colony = link.ask("getcolonymsg", colonyname=name or link.colony)
    print_done(colony, f"The key belongs to a member of colony {colony['name']}.", as_json)


@command.verb("stats", MEMBER, "colonies-node colony stats")
@as_json
def stats(link: Link, as_json: bool) -> None:
    """Count what the colony holds."""
    found = link.ask("getcolonystatsmsg", colonyname=link.colony)
    if as_json:
        return print_json(found)
    click.echo(card(counts(found), link.settings.cli_ascii))


@command.verb("chid", COLONY_OWNER, "colonies-node colony chid --colonyid $(colonies-node key id new.key)")
@named("--colonyid", "Id of the new owner's key.")
@as_json
def chid(link: Link, colonyid: str, as_json: bool) -> None:
    """Hand the colony over to another key; the old one stops working at once."""
    reply = link.ask("changecolonyidmsg", colonyname=link.colony, colonyid=new_id(colonyid))
    print_done(reply, f"The owner of colony {link.colony} is now {colonyid}.", as_json)


@command.verb("remove", SERVER_OWNER, "colonies-node colony remove lab")
@named("--name", "The colony to remove.")
@yes
@as_json
def remove(link: Link, name: str, yes: bool, as_json: bool) -> None:
    """Remove a colony with its users, executors, processes and logs."""
    confirm(f"Remove colony {name} and everything in it?", yes)
    print_done(link.ask("removecolonymsg", colonyname=name), f"Colony {name} is removed.", as_json)
