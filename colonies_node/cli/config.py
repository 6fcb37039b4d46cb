"""`config`: what is set, and by what."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from colonies_node import config
from colonies_node.cli.table import table
from colonies_node.cli.verb import Noun, as_json
from colonies_node.settings import SETTINGS, Row

command = Noun("config", help="Show every setting, its value and where it came from.")


@command.verb(
    "show",
    None,
    "colonies-node config show\n"
    "colonies-node config show --json\n"
    "colonies-node config show --config /etc/colonies-node/node.toml",
)
@click.option("--config", "config_file", metavar="FILE", help="File of settings.  [COLONIES_CONFIG]")
@click.option("--markdown", is_flag=True, help="Print the manual's table instead.")
@as_json
def show(config_file: str | None, markdown: bool, as_json: bool) -> None:
    """Show every setting, its value and where it came from. Keys are not shown."""
    if markdown:
        click.echo(manual())
        return
    toml_path = config.toml_file(config_file, os.environ)
    found = values(os.environ, toml_path)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if toml_path:
        click.echo(f"node.toml: {toml_path}")
    rows = [(name, one["value"], one["source"]) for name, one in found.items()]
    plain = os.environ.get("COLONIES_CLI_ASCII") == "true"
    click.echo(table(("Setting", "Value", "Source"), rows, plain, flexible=("Value",)))


def values(environ: Mapping[str, str], toml_path: Path | None) -> dict[str, dict[str, Any]]:
    """Setting → value and source. Refuses a bad value as commands do; opens no key file, shows no key."""
    toml = config.read_toml(toml_path) if toml_path else {}
    found: dict[str, dict[str, Any]] = {}
    for name, row in SETTINGS.items():
        given = config.given(row, {}, environ, toml)
        if given is None:
            found[name] = {"value": row.default or None, "source": "default"}
        else:
            value = config.read(row, given, toml_path, open_key=str)
            found[name] = {"value": _shown(row, value), "source": given.source}
    if config.LINKS in toml:
        from colonies_node import upstream

        colony = config.colony_name(environ, toml, toml_path)
        for one in upstream.in_file(toml[config.LINKS], toml_path, colony):
            found[f"{config.LINKS}.{one.name}"] = {"value": one.url, "source": "node.toml"}
    return found


def _shown(row: Row, value: object) -> object:
    if row.secret:
        return "a key (not shown)" if config.is_bare_key(str(value)) else f"key file {value}"
    if isinstance(value, bool | int | str) or value is None:
        return value
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def manual() -> str:
    """The table of the manual's page: every setting, how to give it, its default and meaning."""
    lines = ["| node.toml | flag | variable | default | for | meaning |", "|---|---|---|---|---|---|"]
    for name, row in SETTINGS.items():
        flags = ", ".join(f"`{flag}`" for flag in row.flags)
        variables = "<br>".join(f"`{variable}`" for variable in row.env)
        cells = (f"`{name}`", flags, variables, row.default, _takers(row), row.help)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _takers(row: Row) -> str:
    """Which commands take a setting, in the manual's words."""
    from colonies_node.settings import CLIENTS, COLONY_OWNER, COMMANDS, MEMBER, SERVER_OWNER

    if set(COMMANDS) <= set(row.commands):
        return "all"
    nodes = [name for name in COMMANDS if name in row.commands and name not in CLIENTS]
    clients = [name for name in CLIENTS if name in row.commands]
    if set(clients) == set(CLIENTS):
        return ", ".join([*nodes, "all that ask a server"])
    words = {MEMBER: "members' commands", COLONY_OWNER: "colony owner's", SERVER_OWNER: "server owner's"}
    return ", ".join([*nodes, *(words[name] for name in clients)])
