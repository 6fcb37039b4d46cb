"""`fs`: the files that a colony knows of. Their contents are in an object store, which these commands leave alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli import snapshot
from colonies_node.cli.table import amount, card, print_done, print_json, table, when
from colonies_node.cli.verb import Noun, as_json, confirm, named, yes
from colonies_node.settings import MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link
    from colonies_node.http.client import Client

command = Noun("fs", help="List, show and remove files, labels and snapshots.")
label_command = Noun("label", help="List and remove labels.")
command.add_command(label_command)
command.add_command(snapshot.command)

FOLDER_FILE = ".cfs"
"""Says in a folder which label it was synced with: `{"label": "/a"}`."""


def of_file(function: Any) -> Any:
    """Give a command the flags that name a file: its id, or label and name."""
    for option in (
        click.option("--name", "-n", default="", metavar="NAME", help="Name of the file; needs --label."),
        click.option("--label", "-l", default="", metavar="LABEL", help="Label of the file."),
        named("--fileid -i", "Id of one revision.", required=False),
    ):
        function = option(function)
    return function


def _chosen(fileid: str | None, label: str, name: str) -> dict[str, Any]:
    if fileid and not label and not name:
        return {"fileid": fileid}
    if label and name and not fileid:
        return {"label": label, "name": name}
    raise click.UsageError("Give a FILEID, or --label and --name.")


@command.verb("ls", MEMBER, "colonies-node fs ls /results\ncolonies-node fs ls   # in a folder that was synced")
@named("--label -l", "The label; without it the one of this folder.", required=False)
@as_json
def ls(link: Link, label: str | None, as_json: bool) -> None:
    """List the files that carry a label, as they are now."""
    label = label or _label_of_folder()
    files = link.ask("getfilesmsg", colonyname=link.colony, label=label) or []
    if as_json:
        return print_json(files)
    rows = [(file["name"], amount(file["size"]), file["checksum"]) for file in files]
    empty = f"No files with label {label} in colony {link.colony}; `colonies-node fs label ls` shows the labels."
    click.echo(table(("File", "Size", "Checksum"), rows, link.settings.cli_ascii, empty=empty))


def _label_of_folder() -> str:
    path = Path(FOLDER_FILE)
    try:
        label = json.loads(path.read_text())["label"]
    except OSError:
        raise click.UsageError("Give --label: this folder was never synced with one.") from None
    except (ValueError, LookupError, TypeError):
        label = None
    if not isinstance(label, str) or not label:
        raise click.ClickException(f"{path.absolute()} names no label: give --label.")
    return label


@command.verb(
    "info",
    MEMBER,
    "colonies-node fs info --label /results --name sum.csv\n"
    "colonies-node fs info --label /results --name sum.csv --revisions\n"
    "colonies-node fs info FILEID",
)
@of_file
@click.option("--revisions", is_flag=True, help="List all revisions, the latest first.")
@as_json
def info(link: Link, fileid: str | None, label: str, name: str, revisions: bool, as_json: bool) -> None:
    """Show a file as it is now, one revision of it, or all of them.

    The keys to the object store are shown with --json only.
    """
    chosen = _chosen(fileid, label, name)
    found = link.ask("getfilemsg", colonyname=link.colony, latest=not revisions, **chosen)
    if as_json:
        return print_json(found)
    if revisions:
        titles = ("Revision", "Added", "Size", "Checksum", "File id")
        keys = ("sequencenr", "added", "size", "checksum", "fileid")
        rows = [[amount(one[key]) if key == "size" else _shown(one, key) for key in keys] for one in found]
        return click.echo(table(titles, rows, link.settings.cli_ascii, flexible=("Checksum",)))
    for file in found:
        click.echo(card(words(file), link.settings.cli_ascii))


def _shown(file: dict[str, Any], key: str) -> object:
    return when(file[key]) if key == "added" else file[key]


def words(file: dict[str, Any]) -> dict[str, object]:
    """What a card of a file shows: nothing that gives access to its contents."""
    where = file["ref"]["s3object"]
    return {
        "File id": file["fileid"],
        "Label": file["label"],
        "Name": file["name"],
        "Size": amount(file["size"]),
        "Revision": file["sequencenr"],
        "Added": when(file["added"]),
        "Checksum": file["checksum"],
        "Checksum by": file["checksumalg"],
        "Object store": where["server"],
        "Region": where["region"],
        "Bucket": where["bucket"],
        "Object": where["object"],
        "Encrypted by": where["encryptionalg"],
    }


@command.verb(
    "remove",
    MEMBER,
    "colonies-node fs remove --label /results --name sum.csv\ncolonies-node fs remove FILEID",
)
@of_file
@as_json
def remove(link: Link, fileid: str | None, label: str, name: str, as_json: bool) -> None:
    """Remove a file with all of its revisions, or one revision by id.

    The contents stay in the object store.
    """
    reply = link.ask("removefilemsg", colonyname=link.colony, **_chosen(fileid, label, name))
    print_done(reply, f"{f'Revision {fileid}' if fileid else f'File {name} of label {label}'} is removed.", as_json)


@label_command.verb("ls", MEMBER, "colonies-node fs label ls\ncolonies-node fs label ls /results")
@named("--label -l", "Only those that begin with this.", required=False)
@as_json
def label_ls(link: Link, label: str | None, as_json: bool) -> None:
    """List the labels, and how many revisions of files each has."""
    labels = link.ask("getfilelabelsmsg", colonyname=link.colony, name=label or "", exact=False) or []
    if as_json:
        return print_json(labels)
    rows = [(one["name"], one["files"]) for one in labels]
    empty = f"No labels{f' that begin with {label}' if label else ''} in colony {link.colony}."
    click.echo(table(("Label", "Revisions"), rows, link.settings.cli_ascii, empty=empty))


@label_command.verb("remove", MEMBER, "colonies-node fs label remove /results")
@named("--label -l", "The label.")
@yes
@as_json
def label_remove(link: Link, label: str, yes: bool, as_json: bool) -> None:
    """Remove a label and those below it, with all of their files.

    The contents stay in the object store.
    """
    label = label.rstrip("/") or "/"
    started = link.ask("getfilelabelsmsg", colonyname=link.colony, name=label, exact=False) or []
    found = [one for one in started if f"{one['name']}/".startswith(f"{label.rstrip('/')}/")]
    if not found:
        raise click.ClickException(f"No files with label {label} in colony {link.colony}; nothing was removed.")
    revisions = sum(one["files"] for one in found)
    below = f" and what is below it, {len(found)} labels" if len(found) > 1 else ""
    confirm(f"Remove label {label}{below} with {revisions} revisions of files?", yes)

    async def clear(client: Client) -> None:
        for one in found:
            for file in await client.call("getfilesmsg", colonyname=link.colony, label=one["name"]):
                of = {"label": one["name"], "name": file["name"]}
                await client.call("removefilemsg", colonyname=link.colony, **of)

    link.run(clear)
    print_done(None, f"Label {label} is removed.", as_json)
