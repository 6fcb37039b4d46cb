"""`blueprint definition`: the kinds of blueprints that a colony knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli.executor import read_object
from colonies_node.cli.table import card, indented, print_done, print_json, table
from colonies_node.cli.verb import Noun, as_json, named
from colonies_node.settings import COLONY_OWNER, MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link

command = Noun("definition", help="Add, list, show and remove kinds of blueprints.")


def is_definition(record: dict[str, Any]) -> bool:
    """Whether a file holds a definition, rather than a blueprint: it names a kind."""
    spec = record.get("spec")
    return isinstance(spec, dict) and isinstance(spec.get("names"), dict) and "kind" in spec["names"]


def read_metadata(path: str, record: dict[str, Any], colony: str) -> dict[str, Any]:
    """The record with the colony's name where its metadata has none; click.ClickException if it has no name."""
    metadata = record.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        raise click.ClickException(f"{path}: 'metadata.name' is missing.")
    return {**record, "metadata": {**metadata, "colonyname": metadata.get("colonyname") or colony}}


@command.verb("add", COLONY_OWNER, "colonies-node blueprint definition add --spec lamp-definition.json")
@named("--spec", "JSON file with the definition; - for standard input.")
@as_json
def add(link: Link, spec: str, as_json: bool) -> None:
    """Let the colony know a kind of blueprints: its name, its schema, and who reconciles it."""
    record = read_object(spec)
    if not is_definition(record):
        raise click.ClickException(f"{spec} is no definition: it has no 'spec.names.kind'.")
    added = link.ask("addblueprintdefinitionmsg", blueprintdefinition=read_metadata(spec, record, link.colony))
    if as_json:
        return print_json(added)
    click.echo(f"Definition {added['metadata']['name']} of kind {added['spec']['names']['kind']} is added.")


@command.verb("ls", MEMBER, "colonies-node blueprint definition ls")
@as_json
def ls(link: Link, as_json: bool) -> None:
    """List the kinds of blueprints."""
    found = link.ask("getblueprintdefinitionsmsg", colonyname=link.colony) or []
    if as_json:
        return print_json(found)
    titles = ("Name", "Kind", "Executor type", "Function", "Every")
    rows = [[_words(one)[title] for title in titles] for one in found]
    empty = f"No blueprint definitions in colony {link.colony}."
    click.echo(table(titles, rows, link.settings.cli_ascii, empty=empty))


@command.verb("get", MEMBER, "colonies-node blueprint definition get lamps")
@named("--name", "Name of the definition.")
@as_json
def get(link: Link, name: str, as_json: bool) -> None:
    """Show a kind of blueprints with its schema."""
    found = link.ask("getblueprintdefinitionmsg", colonyname=link.colony, name=name)
    if as_json:
        return print_json(found)
    click.echo(card(_words(found), link.settings.cli_ascii))


def _words(definition: dict[str, Any]) -> dict[str, object]:
    spec = definition["spec"]
    names, handler = spec["names"], spec["handler"]
    every = handler.get("reconcileInterval")
    return {
        "Name": definition["metadata"]["name"],
        "Kind": names["kind"],
        "Singular": names["singular"],
        "Plural": names["plural"],
        "Group": spec["group"],
        "Version": spec["version"],
        "Scope": spec["scope"],
        "Executor type": handler["executorType"],
        "Function": handler["functionName"],
        "Every": f"{every} s" if every else "",
        "Schema": indented(spec["schema"]) if spec.get("schema") else "",
        "Definition id": definition["blueprintdefinitionid"],
    }


@command.verb("remove", COLONY_OWNER, "colonies-node blueprint definition remove lamps")
@named("--name", "Name of the definition.")
@as_json
def remove(link: Link, name: str, as_json: bool) -> None:
    """Remove a kind of which there are no blueprints any more."""
    reply = link.ask("removeblueprintdefinitionmsg", namespace=link.colony, name=name)
    print_done(reply, f"Definition {name} is removed.", as_json)
