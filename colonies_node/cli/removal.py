"""`removeall`, as `process` and `workflow` have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from colonies_node.cli.table import STATES, print_done
from colonies_node.cli.verb import Noun, as_json, confirm, yes
from colonies_node.settings import COLONY_OWNER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link


def add_removeall(command: Noun, things: str, msgtype: str, help: str) -> None:
    """Give a noun the verb that removes all of its things, or those in one state."""

    @click.option("--waiting", is_flag=True, help="Those that wait.")
    @click.option("--successful", is_flag=True, help="Those that succeeded.")
    @click.option("--failed", is_flag=True, help="Those that failed.")
    @click.option("--cancelled", is_flag=True, help="Those that were cancelled.")
    @yes
    @as_json
    def removeall(link: Link, yes: bool, as_json: bool, **states: bool) -> None:
        chosen = [name for name, given in states.items() if given]
        if len(chosen) > 1:
            raise click.UsageError(
                "Give one of --waiting, --successful, --failed and --cancelled; nothing was removed."
            )
        kind = f"{chosen[0]} {things}" if chosen else f"{things}, running ones too,"
        confirm(f"Remove all {kind} of colony {link.colony}?", yes)
        state = STATES.index(chosen[0].capitalize()) if chosen else -1
        reply = link.ask(msgtype, colonyname=link.colony, state=state)
        print_done(reply, f"All {kind.rstrip(',')} of colony {link.colony} are removed.", as_json)

    removeall.__doc__ = help
    line = f"colonies-node {command.name} removeall"
    command.verb("removeall", COLONY_OWNER, f"{line} --successful\n{line} --yes")(removeall)
