"""`location`: the named places of a colony."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli.table import card, print_done, print_json, table
from colonies_node.cli.verb import Noun, as_json, named
from colonies_node.settings import COLONY_OWNER, MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link

command = Noun("location", help="Add, list and remove the named places of a colony.")


@command.verb("add", COLONY_OWNER, "colonies-node location add home --desc 'The attic' --long 22.14 --lat 65.58")
@named("--name", "Name of the new location.")
@click.option("--desc", default="", metavar="TEXT", help="What it is.")
@click.option("--long", "longitude", type=click.FloatRange(-180, 180), default=0, metavar="DEGREES", help="Longitude.")
@click.option("--lat", "latitude", type=click.FloatRange(-90, 90), default=0, metavar="DEGREES", help="Latitude.")
@as_json
def add(link: Link, name: str, desc: str, longitude: float, latitude: float, as_json: bool) -> None:
    """Add a location, at which executors may stand and work may be wanted."""
    place = {"locationid": secrets.token_hex(32), "name": name, "colonyname": link.colony, "description": desc}
    added = link.ask("addlocationmsg", location={**place, "long": longitude, "lat": latitude})
    if as_json:
        return print_json(added)
    click.echo(f"Location {added['name']} is added to colony {link.colony}.")


@command.verb("ls", MEMBER, "colonies-node location ls")
@as_json
def ls(link: Link, as_json: bool) -> None:
    """List the locations of the colony."""
    found = link.ask("getlocationsmsg", colonyname=link.colony) or []
    if as_json:
        return print_json(found)
    rows = [list(_words(one).values())[:4] for one in sorted(found, key=lambda one: one["name"])]
    titles = ("Name", "Description", "Longitude", "Latitude")
    empty = f"No locations in colony {link.colony}."
    click.echo(table(titles, rows, link.settings.cli_ascii, empty=empty, flexible=("Description",)))


@command.verb("get", MEMBER, "colonies-node location get home")
@named("--name", "Name of the location.")
@as_json
def get(link: Link, name: str, as_json: bool) -> None:
    """Show a location."""
    found = link.ask("getlocationmsg", colonyname=link.colony, name=name)
    if as_json:
        return print_json(found)
    click.echo(card(_words(found), link.settings.cli_ascii))


def _words(location: dict[str, Any]) -> dict[str, object]:
    return {
        "Name": location["name"],
        "Description": location["description"],
        "Longitude": f"{location['long']:g}",
        "Latitude": f"{location['lat']:g}",
        "Location id": location["locationid"],
    }


@command.verb("remove", COLONY_OWNER, "colonies-node location remove home")
@named("--name", "Name of the location.")
@as_json
def remove(link: Link, name: str, as_json: bool) -> None:
    """Remove a location; executors, work and blueprints keep its name."""
    reply = link.ask("removelocationmsg", colonyname=link.colony, name=name)
    print_done(reply, f"Location {name} is removed.", as_json)
