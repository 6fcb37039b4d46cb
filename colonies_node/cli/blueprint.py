"""`blueprint`: what should be, and the executors that make it so."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli import definition
from colonies_node.cli.executor import read_object
from colonies_node.cli.table import card, indented, print_done, print_entry, print_json, table, when
from colonies_node.cli.verb import Noun, as_json, confirm, named, yes
from colonies_node.core.limits import MAX_BLUEPRINT_HISTORY, MAX_LOGS
from colonies_node.settings import MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link
    from colonies_node.http.client import Client

command = Noun("blueprint", help="Say what should be, and see that executors make it so.")
command.add_command(definition.command)
blueprint_name = named("--name", "Name of the blueprint.")


@command.verb("add", MEMBER, "colonies-node blueprint add --spec lamp.json")
@named("--spec", "JSON file with the blueprint; - for standard input.")
@as_json
def add(link: Link, spec: str, as_json: bool) -> None:
    """Add a blueprint; executors of its kind's type reconcile it, now and again and again."""
    added = link.ask("addblueprintmsg", blueprint=_read(spec, link.colony))
    if as_json:
        return print_json(added)
    click.echo(f"Blueprint {added['metadata']['name']} of kind {added['kind']} is added.")


def _read(path: str, colony: str) -> dict[str, Any]:
    record = read_object(path)
    if definition.is_definition(record):
        raise click.ClickException(f"{path} holds a definition, which `blueprint definition add` takes.")
    return definition.read_metadata(path, record, colony)


@command.verb("update", MEMBER, "colonies-node blueprint update --spec lamp.json")
@named("--spec", "JSON file with the whole blueprint; - for standard input.")
@click.option("--force", "-f", is_flag=True, help="Raise the generation even if the spec is the same.")
@as_json
def update(link: Link, spec: str, force: bool, as_json: bool) -> None:
    """Put another document in a blueprint's place; another spec is reconciled at once.

    The status stays as executors reported it, unless the file has one. Labels and annotations that the file leaves out
    are gone.
    """
    record = _read(spec, link.colony)
    about = record["metadata"]

    async def talk(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
        before = await client.call("getblueprintmsg", namespace=about["colonyname"], name=about["name"])
        return before, await _put(client, {"status": before.get("status")} | record, force)

    before, now = link.run(talk)
    if as_json:
        return print_json(now)
    click.echo(f"Blueprint {about['name']} is updated; {_generations(before, now)}.")


async def _put(client: Client, blueprint: dict[str, Any], force: bool = False) -> dict[str, Any]:
    now: dict[str, Any] = await client.call("updateblueprintmsg", blueprint=blueprint, forcegeneration=force)
    return now


def _generations(before: dict[str, Any], now: dict[str, Any]) -> str:
    number = now["metadata"].get("generation", 0)
    if number == before["metadata"].get("generation", 0):
        return f"its spec is the same, and it stays at generation {number}"
    return f"it is at generation {number} now"


@command.verb("set", MEMBER, "colonies-node blueprint set lamp --key light.level --value 7")
@blueprint_name
@click.option("--key", required=True, metavar="A.B", help="Which field of the spec; it must be there already.")
@click.option("--value", required=True, metavar="VALUE", help="Its new value, as JSON; what is no JSON is a text.")
@as_json
def set_value(link: Link, name: str, key: str, value: str, as_json: bool) -> None:
    """Change one field of a blueprint's spec; the change is reconciled at once."""
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = value

    async def talk(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
        before = await client.call("getblueprintmsg", namespace=link.colony, name=name)
        return before, await _put(client, {**before, "spec": with_value(before["spec"], key, parsed)})

    before, now = link.run(talk)
    if as_json:
        return print_json(now)
    click.echo(f"Blueprint {name}: {key} is {json.dumps(parsed, ensure_ascii=False)}; {_generations(before, now)}.")


def with_value(spec: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy of the spec with another value at a path such as `a.b` or `list.0`.

    Raises click.ClickException if there is nothing at that path.
    """
    changed: Any = json.loads(json.dumps(spec))
    *way, last = key.removeprefix("spec.").split(".")
    inner, passed = changed, "spec"
    for part in (*way, last):
        place: Any = int(part) if isinstance(inner, list) and part.isdecimal() else part
        known = range(len(inner)) if isinstance(inner, list) else inner if isinstance(inner, dict) else ()
        if place not in known:
            there = f": there is {', '.join(map(str, known))}" if known else ""
            raise click.ClickException(f"{passed} has no {part}{there}.")
        outer, inner, passed = inner, inner[place], f"{passed}.{part}"
    outer[place] = value
    return dict(changed)


@command.verb("ls", MEMBER, "colonies-node blueprint ls\ncolonies-node blueprint ls --kind Lamp --location home")
@click.option("--kind", default="", help="Only of this kind.")
@click.option("--location", default="", help="Only at this place.")
@as_json
def ls(link: Link, kind: str, location: str, as_json: bool) -> None:
    """List the blueprints of the colony."""
    found = [
        one
        for one in link.ask("getblueprintsmsg", namespace=link.colony, kind=kind, locationname=location) or []
        # The server looks at the location of a kind only.
        if location.lower() in ("", one["metadata"].get("locationname", "").lower())
    ]
    if as_json:
        return print_json(found)
    titles = ("Name", "Kind", "Location", "Generation", "Updated")
    rows = [[_words(one)[title] for title in titles] for one in found]
    empty = f"No {'such ' if kind or location else ''}blueprints in colony {link.colony}."
    click.echo(table(titles, rows, link.settings.cli_ascii, empty=empty))


@command.verb("get", MEMBER, "colonies-node blueprint get lamp\ncolonies-node blueprint get lamp --json")
@blueprint_name
@as_json
def get(link: Link, name: str, as_json: bool) -> None:
    """Show a blueprint: what should be, and what is."""
    found = link.ask("getblueprintmsg", namespace=link.colony, name=name)
    if as_json:
        return print_json(found)
    click.echo(card(_words(found), link.settings.cli_ascii))


def _words(blueprint: dict[str, Any]) -> dict[str, object]:
    about = blueprint["metadata"]
    return {
        "Name": about["name"],
        "Kind": blueprint["kind"],
        "Location": about.get("locationname", ""),
        "Generation": str(about.get("generation", 0)),
        "Labels": _pairs(about.get("labels")),
        "Annotations": _pairs(about.get("annotations")),
        "Created": when(about["createdAt"]),
        "Updated": when(about["updatedAt"]),
        "Blueprint id": blueprint["blueprintid"],
        "Spec": indented(blueprint["spec"] or {}),
        "Status": indented(blueprint["status"]) if blueprint.get("status") else "",
    }


def _pairs(values: dict[str, str] | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in (values or {}).items())


@command.verb("remove", MEMBER, "colonies-node blueprint remove lamp")
@blueprint_name
@yes
@as_json
def remove(link: Link, name: str, yes: bool, as_json: bool) -> None:
    """Remove a blueprint with its history; its executors are told to undo what they made of it."""
    confirm(f"Remove blueprint {name} from colony {link.colony}, and have undone what it made?", yes)
    reply = link.ask("removeblueprintmsg", namespace=link.colony, name=name)
    print_done(reply, f"Blueprint {name} is removed.", as_json)


@command.verb("reconcile", MEMBER, "colonies-node blueprint reconcile lamp\ncolonies-node blueprint reconcile lamp -f")
@blueprint_name
@click.option("--force", "-f", is_flag=True, help="Raise the generation: what is there counts as out of date.")
@as_json
def reconcile(link: Link, name: str, force: bool, as_json: bool) -> None:
    """Have a blueprint reconciled now, and print the id of the process."""
    process = link.ask("reconcileblueprintmsg", namespace=link.colony, name=name, force=force)
    if as_json:
        return print_json(process)
    click.echo(process["processid"])


@command.verb(
    "history",
    MEMBER,
    "colonies-node blueprint history lamp\ncolonies-node blueprint history lamp --generation 3",
)
@blueprint_name
@click.option(
    "--limit",
    "-l",
    type=click.IntRange(1, MAX_BLUEPRINT_HISTORY),
    default=10,
    show_default=True,
    help="So many changes at most, the latest.",
)
@click.option("--generation", "-g", type=int, default=-1, metavar="N", help="Show this generation, however long ago.")
@as_json
def history(link: Link, name: str, limit: int, generation: int, as_json: bool) -> None:
    """List what changed a blueprint's spec, or show it as it was in one generation."""

    async def talk(client: Client) -> list[dict[str, Any]]:
        found = await client.call("getblueprintmsg", namespace=link.colony, name=name)
        many = 0 if generation >= 0 else limit
        return await client.call("getblueprinthistorymsg", blueprintid=found["blueprintid"], limit=many) or []

    entries = [entry for entry in link.run(talk) if generation < 0 or entry["generation"] == generation]
    if as_json:
        print_json(entries)
    elif generation >= 0:
        for entry in entries:
            click.echo(card(_past(entry), link.settings.cli_ascii))
    else:
        titles = ("Generation", "Change", "Time", "Changed by")
        rows = [[_past(entry)[title] for title in titles] for entry in entries]
        click.echo(table(titles, rows, link.settings.cli_ascii, empty=f"Blueprint {name} has no history."))
    if generation >= 0 and not entries:
        click.echo(f"Error: Blueprint {name} has no change of generation {generation} in its history.", err=True)
        sys.exit(1)


def _past(entry: dict[str, Any]) -> dict[str, object]:
    return {
        "Generation": str(entry["generation"]),
        "Change": entry["changetype"],
        "Time": when(entry["timestamp"]),
        "Changed by": entry["changedby"],
        "Spec": indented(entry["spec"] or {}),
        "Status": indented(entry["status"]) if entry.get("status") else "",
    }


@command.verb("log", MEMBER, "colonies-node blueprint log\ncolonies-node blueprint log lamp --follow")
@named("--name", "Only of those that reconcile this blueprint.", required=False)
@click.option(
    "--count", "-c", type=click.IntRange(1, MAX_LOGS), default=100, show_default=True, help="So many entries at most."
)
@click.option("--follow", "-f", is_flag=True, help="Go on printing, until Ctrl-C.")
@as_json
def log(link: Link, name: str | None, count: int, follow: bool, as_json: bool) -> None:
    """Print what the executors wrote that reconcile a blueprint, or any."""
    from colonies_node.cli.follow import Log, follow_log
    from colonies_node.cli.reconcilers import look

    async def talk(client: Client) -> None:
        colony = await look(client, link.colony, name)
        names = [executor["executorname"] for executor in colony.reconcilers()]
        if not names:
            raise click.ClickException("No approved executor reconciles that; `blueprint doctor` says more.")
        query: dict[str, Any] = {"colonyname": link.colony, "count": count, "since": 0, "latest": True}
        found = [e for one in names for e in await client.call("getlogsmsg", executorname=one, **query) or []]
        found = sorted(found, key=lambda entry: int(entry["timestamp"]))[-count:]
        if as_json and not follow:
            return print_json(found)
        for entry in found:
            print_entry(entry)
        if follow:
            last = found[-1]["timestamp"] if found else 0
            await follow_log(*(Log(client, last, colonyname=link.colony, executorname=one) for one in names))

    link.run(talk)


@command.verb("doctor", MEMBER, "colonies-node blueprint doctor\ncolonies-node blueprint doctor lamp --fix")
@named("--name", "Only this blueprint.", required=False)
@click.option("--fix", is_flag=True, help="Bring back a missing cron, and have what is not well reconciled by force.")
@as_json
def doctor(link: Link, name: str | None, fix: bool, as_json: bool) -> None:
    """Look whether blueprints are being reconciled: handler, executors, cron and replicas.

    Exit code 1 if it found a problem.
    """
    from colonies_node.cli.reconcilers import examine

    reports = link.run(lambda client: examine(client, link.colony, name, fix))
    if as_json:
        print_json(reports)
    elif not reports:
        click.echo(f"No blueprints in colony {link.colony}.")
    else:
        for report in reports:
            click.echo(report["blueprint"])
            for finding in report["findings"]:
                click.echo(f"  {'ok' if finding['ok'] else 'problem':9}{finding['says']}")
            for done in report["done"]:
                click.echo(f"  {'done':9}{done}")
    if not all(finding["ok"] for report in reports for finding in report["findings"]):
        sys.exit(1)
