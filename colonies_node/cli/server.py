"""`server`: how a server is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from colonies_node.cli.table import card, print_done, print_json
from colonies_node.cli.verb import Noun, as_json, named
from colonies_node.settings import ANYONE, SERVER_OWNER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link

command = Noun("server", help="Ask a server how it is.", aliases={"stats": "statistics", "status": "info"})


DISK = {
    "none": "room enough",
    "low": "nearly full: new work of a low priority is refused",
    "critical": "nearly full: all new work is refused",
}
"""What a server says of the room on its disk, in words."""


@command.verb("alive", ANYONE, "colonies-node server alive && echo up")
@as_json
def alive(link: Link, as_json: bool) -> None:
    """Ask the server whether it is up; exit code 1, and why, if it is not."""
    url = link.settings.server_url
    link.ask("getserverinfomsg")
    if not link.run(lambda client: client.healthy()):
        raise click.ClickException(f"The server at {url} answers, but says that it is not healthy.")
    print_done({"alive": True, "url": url}, f"alive: {url}", as_json)


@command.verb("info", ANYONE, "colonies-node server info --json")
@as_json
def info(link: Link, as_json: bool) -> None:
    """Show the server's version and doors."""
    found = link.ask("getserverinfomsg")
    if as_json:
        return print_json(found)
    rows = {"Server": link.settings.server_url, "Version": found["buildversion"], "Built": found["buildtime"]}
    for backend in found.get("backends") or []:
        tls = ", TLS" if backend.get("tls") else ""
        rows[f"Door {backend['type']}"] = f"{backend.get('host', '')}:{backend['port']}{tls}"
    if level := found.get("diskpressure"):
        rows["Disk"] = DISK.get(level, level)
    click.echo(card(rows, link.settings.cli_ascii))


@command.verb("statistics", SERVER_OWNER, "colonies-node server statistics")
@as_json
def statistics(link: Link, as_json: bool) -> None:
    """Count what the server holds."""
    found = link.ask("getstatisticsmsg")
    if as_json:
        return print_json(found)
    click.echo(card(counts(found), link.settings.cli_ascii))


def counts(found: dict[str, int]) -> dict[str, object]:
    """The words for the counters of a statistics record."""
    parts = ("waiting", "running", "successful", "failed", "cancelled")
    words = {"Colonies": "colonies", "Executors": "executors", "Active executors": "activeexecutors"}
    words["Unregistered executors"] = "unregisteredexecutors"
    words |= {f"{part.capitalize()} processes": f"{part}processes" for part in parts}
    words |= {f"{part.capitalize()} workflows": f"{part}workflows" for part in parts}
    return {word: found.get(key, 0) for word, key in words.items()}


@command.verb("chid", SERVER_OWNER, "colonies-node server chid --serverid $(colonies-node key id new.key)")
@named("--serverid", "Id of the new owner's key.")
@as_json
def chid(link: Link, serverid: str, as_json: bool) -> None:
    """Hand the server over to another key; the old one stops working at once."""
    reply = link.ask("changeserveridmsg", serverid=new_id(serverid))
    print_done(reply, f"The server's owner is now {serverid}.", as_json)


def new_id(text: str) -> str:
    """An id to change to; click.BadParameter if it is none, because a wrong one locks its owner out."""
    from colonies_node.settings import ID

    try:
        return str(ID.parse(text))
    except ValueError:
        raise click.BadParameter(f"{text!r} must be {ID.expected}.") from None
