"""`executor`: who works in a colony."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli.server import new_id
from colonies_node.cli.table import EXECUTOR_STATES, card, print_done, print_json, state_word, table, when
from colonies_node.cli.verb import Noun, as_json, confirm, named, yes
from colonies_node.settings import COLONY_OWNER, MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link

command = Noun("executor", help="Add, approve, list and remove executors.")
UNREGISTERED = 3


@command.verb(
    "add",
    COLONY_OWNER,
    "colonies-node executor add --name pi1 --type sensor --executorid ID --approve",
)
@named("--name", "Name of the new executor.", required=False)
@click.option("--executorid", required=True, metavar="ID", help="Id of the executor's key.")
@click.option("--type", "executortype", default=None, help="Type of the executor.")
@click.option("--location", default=None, help="Name of the place where it stands.")
@click.option("--spec", metavar="FILE", help="JSON file with the executor's record; flags win over it.")
@click.option("--approve", is_flag=True, help="Approve it at once.")
@as_json
def add(
    link: Link,
    name: str | None,
    executorid: str,
    executortype: str | None,
    location: str | None,
    spec: str | None,
    approve: bool,
    as_json: bool,
) -> None:
    """Add an executor to the colony; it may work once it is approved."""
    record = read_object(spec) if spec else {}
    flags = {"executorname": name, "executortype": executortype, "locationname": location}
    record |= {key: value for key, value in flags.items() if value is not None}
    if not record.get("executorname") or not record.get("executortype"):
        raise click.UsageError("An executor needs --name and --type, or a --spec with both.")
    record |= {"executorid": new_id(executorid), "colonyname": link.colony}
    added = link.ask("addexecutormsg", executor=record)
    named = added["executorname"]
    if approve:
        link.ask("approveexecutormsg", colonyname=link.colony, executorname=named)
    if as_json:
        return print_json(added | {"state": 1} if approve else added)
    click.echo(f"Executor {named} is added{' and approved' if approve else '; it waits for approval'}.")


def read_json(path: str) -> Any:
    """The JSON in a file, or on standard input for `-`; click.ClickException if there is none."""
    try:
        source = sys.stdin if path == "-" else Path(path).expanduser().open()
        with source:
            return json.load(source)
    except OSError as fault:
        raise click.ClickException(f"{path} cannot be read: {fault.strerror}.") from None
    except (ValueError, RecursionError) as fault:
        raise click.ClickException(f"{path} is not JSON: {fault}.") from None


def read_object(path: str) -> dict[str, Any]:
    """The JSON object in a file, or on standard input for `-`; click.ClickException if there is none."""
    found = read_json(path)
    if not isinstance(found, dict):
        kind = "a list, as workflows are" if isinstance(found, list) else "no JSON object"
        raise click.ClickException(f"{path} holds {kind}; one JSON object is expected.")
    return found


@command.verb("ls", MEMBER, "colonies-node executor ls --type sensor\ncolonies-node executor ls --all --json")
@click.option("--all", "everyone", is_flag=True, help="Also those that are not registered any more.")
@click.option("--type", "executortype", default=None, help="Only of this type.")
@click.option("--location", default=None, help="Only at this place.")
@click.option("-f", "--filter", "part", default=None, metavar="TEXT", help="Only with this text in the name.")
@click.option("--full", is_flag=True, help="Show every field of each.")
@as_json
def ls(
    link: Link,
    everyone: bool,
    executortype: str | None,
    location: str | None,
    part: str | None,
    full: bool,
    as_json: bool,
) -> None:
    """List the executors of the colony."""
    found = [
        one
        for one in link.ask("getexecutorsmsg", colonyname=link.colony) or []
        if (everyone or one["state"] != UNREGISTERED)
        and executortype in (None, one["executortype"])
        and location in (None, one.get("locationname", ""))
        and (part or "") in one["executorname"]
    ]
    found.sort(key=lambda one: one["executorname"])
    if as_json:
        return print_json(found)
    plain = link.settings.cli_ascii
    if full:
        for one in found:
            click.echo(card(_words(one), plain))
        return
    titles = ("Name", "Type", "Location", "State", "Last heard from")
    rows = [[_words(one)[title] for title in titles] for one in found]
    click.echo(table(titles, rows, plain, empty=f"No such executors in colony {link.colony}."))


@command.verb("get", MEMBER, "colonies-node executor get pi1")
@named("--name", "Name of the executor.")
@as_json
def get(link: Link, name: str, as_json: bool) -> None:
    """Show an executor."""
    found = link.ask("getexecutormsg", colonyname=link.colony, executorname=name)
    if as_json:
        return print_json(found)
    click.echo(card(_words(found), link.settings.cli_ascii))


def _words(executor: dict[str, Any]) -> dict[str, object]:
    capabilities = executor.get("capabilities") or {}
    return {
        "Name": executor["executorname"],
        "Type": executor["executortype"],
        "Location": executor.get("locationname", ""),
        "State": state_word(executor["state"], EXECUTOR_STATES),
        "Executor id": executor["executorid"],
        "Added": when(executor["commissiontime"]),
        "Last heard from": when(executor["lastheardfromtime"]),
        "Hardware": _parts(capabilities.get("hardware")),
        "Software": _parts(capabilities.get("software")),
    }


def _parts(found: object) -> str:
    """What an executor has, in one line; an older generation sends one object where ours is a list."""
    parts = found if isinstance(found, list) else [found] if found else []
    kept = [" ".join(str(value) for value in part.values() if value and not isinstance(value, dict | list))
            for part in parts if isinstance(part, dict)]  # fmt: skip
    return "; ".join(text for text in kept if text)


def _decide(link: Link, msgtype: str, name: str, done: str, as_json: bool) -> None:
    reply = link.ask(msgtype, colonyname=link.colony, executorname=name)
    print_done(reply, f"Executor {name} is {done}.", as_json)


@command.verb("approve", COLONY_OWNER, "colonies-node executor approve pi1")
@named("--name", "Name of the executor.")
@as_json
def approve(link: Link, name: str, as_json: bool) -> None:
    """Let an executor work."""
    _decide(link, "approveexecutormsg", name, "approved", as_json)


@command.verb("reject", COLONY_OWNER, "colonies-node executor reject pi1")
@named("--name", "Name of the executor.")
@as_json
def reject(link: Link, name: str, as_json: bool) -> None:
    """Take an executor's right to work; what it runs now stays with it."""
    _decide(link, "rejectexecutormsg", name, "rejected", as_json)


@command.verb("remove", COLONY_OWNER, "colonies-node executor remove pi1")
@named("--name", "Name of the executor.")
@yes
@as_json
def remove(link: Link, name: str, yes: bool, as_json: bool) -> None:
    """Remove an executor; what it runs now goes back to the queue."""
    confirm(f"Remove executor {name} from colony {link.colony}?", yes)
    _decide(link, "removeexecutormsg", name, "removed", as_json)


@command.verb("chid", MEMBER, "colonies-node executor chid --executorid $(colonies-node key id new.key)")
@named("--executorid", "Id of the new key.")
@as_json
def chid(link: Link, executorid: str, as_json: bool) -> None:
    """Change an executor's own id to that of another key; the old key stops working at once."""
    reply = link.ask("changeexecutoridmsg", colonyname=link.colony, executorid=new_id(executorid))
    print_done(reply, f"The executor's id is now {executorid}.", as_json)
