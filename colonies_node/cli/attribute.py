"""`attribute`: values that stand beside a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from colonies_node.cli.table import card, print_json
from colonies_node.cli.verb import Noun, as_json, named
from colonies_node.settings import MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link

command = Noun("attribute", help="Read and write the attributes of a process.")

OUT = 1
TYPES = ("IN", "OUT", "ERR", "ENV")


@command.verb("add", MEMBER, "colonies-node attribute add -p PROCESSID --key humidity --value 61 --prvkey pi1.key")
@click.option("--processid", "-p", required=True, metavar="ID", help="Id of a process that you run.")
@click.option("--key", required=True, help="Its name; once for each process.")
@click.option("--value", required=True, help="Its value.")
@as_json
def add(link: Link, processid: str, key: str, value: str, as_json: bool) -> None:
    """Set an attribute of a process, as the executor that runs it, and print its id."""
    attribute = {
        "targetid": processid,
        "targetcolonyname": link.colony,
        "attributetype": OUT,
        "key": key,
        "value": value,
    }
    added = link.ask("addattributemsg", attribute=attribute)
    if as_json:
        return print_json(added)
    click.echo(added["attributeid"])


@command.verb("get", MEMBER, "colonies-node attribute get ATTRIBUTEID")
@named("--attributeid", "Id of the attribute.")
@as_json
def get(link: Link, attributeid: str, as_json: bool) -> None:
    """Show an attribute."""
    found = link.ask("getattributemsg", attributeid=attributeid)
    if as_json:
        return print_json(found)
    kind = found["attributetype"]
    shown = {
        "Attribute id": found["attributeid"],
        "Process id": found["targetid"],
        "Type": TYPES[kind] if 0 <= kind < len(TYPES) else kind,
        "Key": found["key"],
        "Value": found["value"],
    }
    click.echo(card(shown, link.settings.cli_ascii))
