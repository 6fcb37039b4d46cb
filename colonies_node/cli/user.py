"""`user`: the users of a colony."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli.server import new_id
from colonies_node.cli.table import card, print_done, print_json, table
from colonies_node.cli.verb import Noun, as_json, confirm, named, yes
from colonies_node.settings import COLONY_OWNER, MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link

command = Noun("user", help="Add, list and remove the users of a colony.")


@command.verb("add", COLONY_OWNER, "colonies-node user add --name ada --userid $(colonies-node key id ada.key)")
@named("--name", "Name of the new user.")
@click.option("--userid", required=True, metavar="ID", help="Id of the user's key.")
@click.option("--email", default="", help="Where to reach the user.")
@click.option("--phone", default="", help="Where to reach the user.")
@as_json
def add(link: Link, name: str, userid: str, email: str, phone: str, as_json: bool) -> None:
    """Add a user to the colony."""
    user = {"colonyname": link.colony, "name": name, "userid": new_id(userid), "email": email, "phone": phone}
    added = link.ask("addusermsg", user=user)
    if as_json:
        return print_json(added)
    click.echo(f"User {added['name']} is added to colony {link.colony}.")


@command.verb("ls", MEMBER, "colonies-node user ls")
@as_json
def ls(link: Link, as_json: bool) -> None:
    """List the users of the colony."""
    users = link.ask("getusersmsg", colonyname=link.colony) or []
    if as_json:
        return print_json(users)
    rows = [tuple(_words(user).values()) for user in sorted(users, key=lambda user: user["name"])]
    empty = f"Colony {link.colony} has no users."
    click.echo(table(("Name", "Email", "Phone", "User id"), rows, link.settings.cli_ascii, empty=empty))


@command.verb("get", MEMBER, "colonies-node user get ada")
@named("--name", "Name of the user.")
@as_json
def get(link: Link, name: str, as_json: bool) -> None:
    """Show a user."""
    user = link.ask("getusermsg", colonyname=link.colony, name=name)
    if as_json:
        return print_json(user)
    click.echo(card(_words(user), link.settings.cli_ascii))


def _words(user: dict[str, Any]) -> dict[str, object]:
    return {word: user[word.lower().replace(" ", "")] for word in ("Name", "Email", "Phone", "User id")}


@command.verb("chid", MEMBER, "colonies-node user chid --userid $(colonies-node key id new.key)")
@named("--userid", "Id of the new key.")
@as_json
def chid(link: Link, userid: str, as_json: bool) -> None:
    """Change your own id to that of another key; the old key stops working at once."""
    reply = link.ask("changeuseridmsg", colonyname=link.colony, userid=new_id(userid))
    print_done(reply, f"Your id is now {userid}.", as_json)


@command.verb("remove", COLONY_OWNER, "colonies-node user remove ada")
@named("--name", "Name of the user.")
@yes
@as_json
def remove(link: Link, name: str, yes: bool, as_json: bool) -> None:
    """Remove a user; the processes the user submitted stay."""
    confirm(f"Remove user {name} from colony {link.colony}?", yes)
    reply = link.ask("removeusermsg", colonyname=link.colony, name=name)
    print_done(reply, f"User {name} is removed.", as_json)
