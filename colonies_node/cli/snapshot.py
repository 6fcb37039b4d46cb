"""`fs snapshot`: the files below a label as they were at one instant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli.table import amount, card, print_done, print_json, table, when
from colonies_node.cli.verb import Noun, as_json, confirm, named, yes
from colonies_node.settings import MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link
    from colonies_node.http.client import Client

command = Noun("snapshot", help="Take, list, show and remove snapshots.")

MAX_SHOWN = 50
"""Files of a snapshot that are looked up to be shown; `--json` has the ids of all."""


def of_snapshot(function: Any) -> Any:
    """Give a command the flags that name a snapshot: its id, or its name."""
    for option in (
        named("--snapshotname -n", "Name of the snapshot.", required=False),
        click.option("--snapshotid", "-i", default="", metavar="ID", help="Id of the snapshot."),
    ):
        function = option(function)
    return function


def _chosen(snapshotid: str, snapshotname: str | None) -> dict[str, Any]:
    if bool(snapshotid) == bool(snapshotname):
        raise click.UsageError("Give a SNAPSHOTNAME or --snapshotid.")
    return {"snapshotid": snapshotid, "name": snapshotname or ""}


@command.verb("create", MEMBER, "colonies-node fs snapshot create before-release --label /src")
@click.option("--label", "-l", required=True, metavar="LABEL", help="The label; those below it are taken along.")
@named("--snapshotname -n", "Name of the new snapshot.")
@as_json
def create(link: Link, label: str, snapshotname: str, as_json: bool) -> None:
    """Keep which revisions are the current ones below a label, and print the snapshot's id."""
    made = link.ask("createsnapshotmsg", colonyname=link.colony, label=label, name=snapshotname)
    if as_json:
        return print_json(made)
    if not made["fileids"]:
        click.echo(f"Warning: no file carries label {made['label']}; the snapshot is empty.", err=True)
    click.echo(made["snapshotid"])


@command.verb("ls", MEMBER, "colonies-node fs snapshot ls")
@as_json
def ls(link: Link, as_json: bool) -> None:
    """List the snapshots, the latest first."""
    found = link.ask("getsnapshotsmsg", colonyname=link.colony) or []
    if as_json:
        return print_json(found)
    rows = [
        (one["name"], one["label"], len(one["fileids"] or []), when(one["added"]), one["snapshotid"]) for one in found
    ]
    titles = ("Name", "Label", "Files", "Added", "Snapshot id")
    empty = f"No snapshots in colony {link.colony}."
    click.echo(table(titles, rows, link.settings.cli_ascii, empty=empty))


@command.verb(
    "info",
    MEMBER,
    "colonies-node fs snapshot info before-release\ncolonies-node fs snapshot info --snapshotid SNAPSHOTID --json",
)
@of_snapshot
@as_json
def info(link: Link, snapshotid: str, snapshotname: str | None, as_json: bool) -> None:
    """Show a snapshot with its files."""
    chosen = _chosen(snapshotid, snapshotname)
    found = link.ask("getsnapshotmsg", colonyname=link.colony, **chosen)
    if as_json:
        return print_json(found)
    fileids = found["fileids"] or []
    shown = {
        "Snapshot id": found["snapshotid"],
        "Name": found["name"],
        "Label": found["label"],
        "Added": when(found["added"]),
        "Files": str(len(fileids)),
    }
    click.echo(card(shown, link.settings.cli_ascii))
    rows = link.run(lambda client: _rows(client, link.colony, fileids[:MAX_SHOWN]))
    titles = ("Label", "File", "Size", "File id")
    if rows:
        click.echo(table(titles, rows, link.settings.cli_ascii))
    if len(fileids) > MAX_SHOWN:
        click.echo(f"and {len(fileids) - MAX_SHOWN} more files; --json shows the ids of all")


async def _rows(client: Client, colony: str, fileids: list[str]) -> list[tuple[object, ...]]:
    from colonies_node.core.errors import Refused

    rows: list[tuple[object, ...]] = []
    for fileid in fileids:
        try:
            (file,) = await client.call("getfilemsg", colonyname=colony, fileid=fileid)
            rows.append((file["label"], file["name"], amount(file["size"]), fileid))
        except Refused as refusal:
            if refusal.status != 400:
                raise
            rows.append(("", "(removed since)", "", fileid))
    return rows


@command.verb("remove", MEMBER, "colonies-node fs snapshot remove before-release")
@of_snapshot
@as_json
def remove(link: Link, snapshotid: str, snapshotname: str | None, as_json: bool) -> None:
    """Remove a snapshot; its files stay."""
    reply = link.ask("removesnapshotmsg", colonyname=link.colony, **_chosen(snapshotid, snapshotname))
    print_done(reply, f"Snapshot {snapshotid or snapshotname} is removed.", as_json)


@command.verb("removeall", MEMBER, "colonies-node fs snapshot removeall --yes")
@yes
@as_json
def removeall(link: Link, yes: bool, as_json: bool) -> None:
    """Remove all snapshots of the colony; the files stay."""
    confirm(f"Remove all snapshots of colony {link.colony}?", yes)
    reply = link.ask("removeallsnapshotmsg", colonyname=link.colony)
    print_done(reply, f"All snapshots of colony {link.colony} are removed.", as_json)
