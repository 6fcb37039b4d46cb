"""`serve`: a colony server."""

from __future__ import annotations

import functools

import click

from colonies_node import __version__
from colonies_node.cli import journal
from colonies_node.cli.verb import verb
from colonies_node.config import Settings


@verb(
    "serve",
    "serve",
    "colonies-node serve\n"
    "colonies-node serve --data /var/lib/colonies-node --host 0.0.0.0 --port 50080\n"
    "colonies-node serve --host 0.0.0.0 --tls-cert chain.pem --tls-key key.pem",
)
def command(settings: Settings) -> None:
    """Run a colony server.

    Without --server-id it makes the owner's key at the first start and keeps it in the data folder, as
    server.key. It prints one line when it is ready. SIGTERM and Ctrl-C end it in good order.
    """
    journal.start(settings.verbose)
    import trio

    from colonies_node import node
    from colonies_node.keyfiles import open_key

    ready = functools.partial(say_ready, settings)
    trio.run(functools.partial(node.serve, settings, ready=ready, open_key=open_key))


def say_ready(settings: Settings, url: str) -> None:
    """Print the line that scripts wait for."""
    serverid = settings.server_id or (settings.data / "server.id").read_text().strip()
    click.echo(f"ready: colonies-node {__version__} on {url}, server id {serverid}")
