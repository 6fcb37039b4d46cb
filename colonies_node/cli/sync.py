"""`sync`: the links of a node to upstream nodes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from colonies_node import config
from colonies_node.cli.table import amount, card, moment, print_done, print_json, table, when
from colonies_node.cli.times import ago
from colonies_node.cli.verb import Noun, as_json, confirm, explained, named, yes
from colonies_node.config import Given
from colonies_node.core.errors import KeyRefused, SettingRefused
from colonies_node.core.model.durations import spoken
from colonies_node.keyfiles import key_id
from colonies_node.settings import BOOL, SERVER_OWNER
from colonies_node.upstream import MISSING, OPTIONS, made

if TYPE_CHECKING:
    from colonies_node.cli.link import Link

command = Noun("sync", help="Link this node to upstream nodes.")

PROMISE_S: Final = 180
"""Seconds of silence after which a link that says it is connected is not believed: a letter waits 60 s at an upstream
that has nothing to tell, and is given up after 60 s more."""

LISTED = "`colonies-node sync ls` lists the upstreams"


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags of a link, from their table."""
    for option in reversed(tuple(OPTIONS.values())):
        default = f"  (default: {option.default})" if option.default else ""
        more: dict[str, Any] = {"help": f"{option.help}{default}"}
        more |= {"required": True} if option.name == "url" else {"default": None}
        if option.kind is BOOL:
            more["is_flag"] = True
        else:
            more |= {"metavar": option.kind.metavar, "multiple": option.repeated}
        function = click.option(*option.flags, option.parameter, **more)(function)
    return function


def _ask(link: Link, msgtype: str, /, **fields: Any) -> Any:
    """Ask as the owner of the node, with what to do where that or the name is wrong."""
    try:
        config.need(link.settings, "server_prvkey")
    except SettingRefused as refusal:
        raise SettingRefused(
            f"{refusal.message.rstrip('.')}; a node that made its own keeps it in its data folder, as server.key."
        ) from None
    with (
        explained("not server owner", "links are set with the key of the node's owner, server.key in its data folder"),
        explained("There is no upstream", LISTED),
    ):
        return link.ask(msgtype, **fields)


def _known(link: Link, name: str = "") -> list[dict[str, Any]]:
    """How the upstreams are, or the named one."""
    return _ask(link, "getupstreamsmsg", name=name) or []


@command.verb(
    "add",
    SERVER_OWNER,
    "colonies-node sync add base --url https://base:50080 --colony lab\n"
    "colonies-node sync add base --url https://base:50080 --offload missing --offload 'waited > 10m'\n"
    "colonies-node sync add base --url https://base:50080 --accept camera --record --budget 5M",
)
@named("--name", "Name of the upstream, for this node.")
@_options
@as_json
def add(link: Link, name: str, as_json: bool, **flags: Any) -> None:
    """Link the node to an upstream node, or change how it is linked.

    The node becomes an executor of the colony there, once the owner of that colony lets it in: the command to do so
    is printed. What is not given here has its default, also when a link is changed.
    """
    given = {
        option.name: Given(flags[option.parameter], "flag", option.flags[0])
        for option in OPTIONS.values()
        if flags[option.parameter] not in (None, ())
    }
    upstream = made(name, given, None, "" if "colony" in given else _colony(link))
    before = next((one for one in _known(link) if one["upstream"]["name"] == name), None)
    from msgspec import to_builtins

    added = _ask(link, "addupstreammsg", upstream=to_builtins(upstream))
    if as_json:
        return print_json(added)
    click.echo(f"Upstream {name} is {'changed' if before else 'added'}. {_work(added)}")
    if not any(option in given for option in ("offload", "accept", "record")):
        click.echo(f"That is --offload {MISSING}: no --offload, --accept or --record says otherwise.", err=True)
    if before and before["source"]:
        click.echo(f"{before['source']} has upstream {name} too, and is right again at the next start.", err=True)
    if not _is_in(before, added):
        (after,) = _known(link, name)
        click.echo(_invitation(added, after["ownid"]))


def _colony(link: Link) -> str:
    """The name of the colony, as variable or file set it; SettingRefused if neither does."""
    toml_path = config.toml_file(click.get_current_context().params["config_file"], os.environ)
    toml = config.read_toml(toml_path) if toml_path else {}
    found = config.colony_name(os.environ, toml, toml_path)
    return str(config.need(replace(link.settings, colony_name=found), "colony_name"))


def _work(upstream: dict[str, Any]) -> str:
    """What a link does, in a sentence."""
    parts = []
    if rules := upstream["offload"]:
        only = "what nothing here can run" if rules == [MISSING] else f"work for which {' or '.join(rules)}"
        parts.append(f"gets {only}")
    if upstream["accept"]:
        parts.append(f"gives work of type {' or '.join(upstream['accept'])}")
    if upstream["record"]:
        parts.append("is told what ended here")
    *most, last = parts
    return f"It {', '.join(most)}{' and ' if most else ''}{last}."


def _is_in(before: dict[str, Any] | None, upstream: dict[str, Any]) -> bool:
    """Whether the upstream knows the node already, as the executor that it is now to be."""
    who = ("url", "upstreamcolony", "keyfile", "executorname", "executortype")
    return bool(before and before["connected"] and all(before["upstream"][name] == upstream[name] for name in who))


def _invitation(upstream: dict[str, Any], ownid: str) -> str:
    """What the owner of the colony there has to do."""
    who, hint = ownid, "" if ownid else "\nID is that of the node's own key."
    if path := upstream["keyfile"]:
        try:
            who, hint = key_id(path), ""
        except KeyRefused:
            who, hint = "", f"\nID is what `colonies-node key id {path}` prints on the node's machine."
    return (
        f"The owner of colony {upstream['upstreamcolony']} at {upstream['url']} lets this node in with:\n"
        f"  colonies-node executor add --name {upstream['executorname']} --type {upstream['executortype']}"
        f" --executorid {who or 'ID'} --approve{hint}\n"
        f"Then `colonies-node sync status {upstream['name']}` shows how the link is."
    )


@command.verb("ls", SERVER_OWNER, "colonies-node sync ls\ncolonies-node sync ls --json")
@as_json
def ls(link: Link, as_json: bool) -> None:
    """List the upstreams of the node."""
    found = _known(link)
    if as_json:
        return print_json(found)
    rows = [
        (
            one["upstream"]["name"],
            one["upstream"]["url"],
            _colonies(one["upstream"]),
            state(one, time.time()),
            one["waiting"] or "",
            one["away"] or "",
            one["taken"] or "",
            when(one["lastexchange"]),
        )
        for one in found
    ]
    titles = ("Name", "Address", "Colony", "State", "To tell", "Away", "Taken", "Last exchange")
    empty = "This node has no upstreams: `colonies-node sync add` links it to one."
    click.echo(table(titles, rows, link.settings.cli_ascii, empty=empty, flexible=("Address",)))


@command.verb("status", SERVER_OWNER, "colonies-node sync status\ncolonies-node sync status base --json")
@named("--name", "Name of the upstream; all if it is left out.", required=False)
@as_json
def status(link: Link, name: str | None, as_json: bool) -> None:
    """Show how the links to the upstreams are, and what waits in them."""
    found = _known(link, name or "")
    if as_json:
        return print_json(found)
    if not found:
        click.echo("This node has no upstreams: `colonies-node sync add` links it to one.")
    for one in found:
        click.echo(card(words(one, time.time()), link.settings.cli_ascii))


def state(one: dict[str, Any], now: float) -> str:
    """How a link is, in a word or two; `now` is Unix seconds."""
    if one["paused"]:
        return "paused"
    if not one["connected"]:
        return "not connected"
    silent = now - moment(one["lastexchange"]).timestamp() if when(one["lastexchange"]) else 0
    return f"stale: last heard {spoken(int(silent), 2)} ago" if silent > PROMISE_S else "connected"


def words(one: dict[str, Any], now: float) -> dict[str, object]:
    """What a card says of a link; `now` is Unix seconds."""
    upstream = one["upstream"]
    shown = state(one, now)
    if shown in ("connected", "not connected") and when(one["since"]):
        shown += f" since {ago(one['since'], now)}"
    if not one["connected"] and not one["paused"] and one["why"]:
        shown += f": {one['why']}"
    waiting = ""
    if one["waiting"]:
        waiting = f"{one['waiting']} processes, about {amount(one['waitingbytes'])}"
        waiting += f", the oldest submitted {ago(one['oldest'], now)}" if when(one["oldest"]) else ""
    records = ""
    if upstream["record"]:
        records = "by priority" if upstream["order"] == "priority" else "the oldest first"
        records += f", at most {amount(upstream['budget'])} an hour" if upstream["budget"] else ""
    return {
        "Upstream": upstream["name"],
        "Address": upstream["url"],
        "Colony": _colonies(upstream),
        "State": shown,
        "Last exchange": ago(one["lastexchange"], now),
        "To tell": waiting or "nothing",
        "Away": f"{one['away']} of at most {upstream['window']}, running or waiting there" if one["away"] else "",
        "Taken": f"{one['taken']} of at most {upstream['free']}, running or waiting here" if one["taken"] else "",
        "Note": one["note"],
        "Gives": "\n".join(upstream["offload"] or []),
        "Takes": ", ".join(upstream["accept"] or []),
        "Records": records,
        "Sent": f"{amount(one['sent'])} since the node started" if one["sent"] else "",
        "Received": f"{amount(one['received'])} since the node started" if one["received"] else "",
        "There it is": f"{upstream['executorname']} of type {upstream['executortype']}",
        "Key file": upstream["keyfile"],
        "Node there": one["nodeid"],
        "Node here": one["ownid"],
        "Set in": one["source"],
    }


def _colonies(upstream: dict[str, Any]) -> str:
    """The colony here, and the one there if that has another name."""
    here, there = upstream["colonyname"], upstream["upstreamcolony"]
    return here if here == there else f"{here}, there {there}"


@command.verb("pause", SERVER_OWNER, "colonies-node sync pause base")
@named("--name", "Name of the upstream.")
@as_json
def pause(link: Link, name: str, as_json: bool) -> None:
    """Say nothing to an upstream until it is resumed; what is to be told waits."""
    reply = _ask(link, "pauseupstreammsg", name=name)
    print_done(reply, f"The link to {name} is paused.", as_json)


@command.verb("resume", SERVER_OWNER, "colonies-node sync resume base")
@named("--name", "Name of the upstream.")
@as_json
def resume(link: Link, name: str, as_json: bool) -> None:
    """Go on with an upstream."""
    reply = _ask(link, "resumeupstreammsg", name=name)
    print_done(reply, f"The link to {name} goes on.", as_json)


@command.verb("now", SERVER_OWNER, "colonies-node sync now base && colonies-node sync status base")
@named("--name", "Name of the upstream.")
@as_json
def now(link: Link, name: str, as_json: bool) -> None:
    """Try to reach an upstream at once, however long the next try is away."""
    (one,) = _known(link, name)
    if one["paused"]:
        raise click.ClickException(f"The link to {name} is paused: `colonies-node sync resume {name}` goes on with it.")
    reply = _ask(link, "syncupstreammsg", name=name)
    print_done(reply, f"{name} is tried now: `colonies-node sync status {name}` shows how it goes.", as_json)


@command.verb("remove", SERVER_OWNER, "colonies-node sync remove base\ncolonies-node sync remove base --force --yes")
@named("--name", "Name of the upstream.")
@click.option("--force", is_flag=True, help="Also while work is shared with it: ours runs here again.")
@yes
@as_json
def remove(link: Link, name: str, force: bool, yes: bool, as_json: bool) -> None:
    """Forget an upstream. What is still to be told to it is not told."""
    (one,) = _known(link, name)
    confirm(f"Remove upstream {name}?", yes)
    with explained("remove it by force", f"`colonies-node sync remove {name} --force`"):
        reply = _ask(link, "removeupstreammsg", name=name, force=force)
    print_done(reply, f"Upstream {name} is removed.", as_json)
    if one["source"]:
        click.echo(f"It stands in {one['source']} still, and would be back at the next start.", err=True)
