"""`dev`: everything that Colonies work needs, on this machine, at once."""

from __future__ import annotations

import functools
import ipaddress
import socket

import click

from colonies_node import __version__
from colonies_node.cli import journal
from colonies_node.cli.verb import verb
from colonies_node.config import Settings
from colonies_node.core.errors import SettingRefused


@verb("dev", "dev", "colonies-node dev\ncolonies-node dev --port 0 --data /tmp/try")
@click.option("--i-know-the-keys-are-public", "exposed", is_flag=True, help="Allow a --host that other machines reach.")
def command(settings: Settings, exposed: bool) -> None:
    """Run a server with a colony, a user and an executor ready to use.

    It uses the well-known development keys of Colonies, so whoever reaches it may run programs here: it listens on
    this machine only. It prints the lines that tell any Colonies tool about it; what is in the data folder is there
    again at the next start.
    """
    if not exposed and not is_loopback(settings.host):
        raise SettingRefused(
            f"dev on {settings.host} would let other machines run programs here: its keys are public. "
            "Leave out --host, or give --i-know-the-keys-are-public."
        )
    journal.start(settings.verbose)
    import trio

    from colonies_node import node

    trio.run(functools.partial(node.dev, settings, ready=say_ready, say=say))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)


def exports(url: str) -> dict[str, str]:
    """The variables that lead any Colonies tool to the server at `url`."""
    from colonies_node import node
    from colonies_node.core.identity import id_of

    host, port = url.partition("//")[2].rsplit(":", 1)
    return {
        "COLONIES_SERVER_HOST": host.strip("[]"),
        "COLONIES_SERVER_HTTP_PORT": port,
        "COLONIES_SERVER_PORT": port,
        "COLONIES_TLS": "false",
        "COLONIES_SERVER_TLS": "false",
        "COLONIES_SERVER_ID": id_of(node.DEV_SERVER_PRVKEY),
        "COLONIES_SERVER_PRVKEY": node.DEV_SERVER_PRVKEY,
        "COLONIES_COLONY_NAME": node.DEV_NAME,
        "COLONIES_COLONY_PRVKEY": node.DEV_COLONY_PRVKEY,
        "COLONIES_PRVKEY": node.DEV_PRVKEY,
        "COLONIES_EXECUTOR_NAME": node.DEV_EXECUTOR,
        "COLONIES_EXECUTOR_TYPE": node.DEV_TYPE,
    }


def say_ready(url: str) -> None:
    """Print the lines for the next terminal, and then the one that scripts wait for."""
    lines = exports(url)
    click.echo("# These keys are public: use them for trying only. In the next terminal:")
    for name, value in lines.items():
        click.echo(f"export {name}={value}")
    click.echo("# Then, for example:")
    click.echo(f"#   colonies-node function exec --func uname --targettype {lines['COLONIES_EXECUTOR_TYPE']} --out")
    click.echo(f"ready: colonies-node {__version__} on {url}, server id {lines['COLONIES_SERVER_ID']}")


def say(words: str) -> None:
    """Pass on what the executor tells, beside the lines for the next terminal."""
    click.echo(f"executor: {words.removeprefix('ready: ')}", err=True)
