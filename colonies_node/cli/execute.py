"""`execute`: an executor."""

from __future__ import annotations

import functools

import click

from colonies_node.cli import journal
from colonies_node.cli.verb import verb
from colonies_node.config import Settings


@verb(
    "execute",
    "execute",
    "colonies-node execute --colony lab --type cli --shell --colony-prvkey lab.key\n"
    "colonies-node execute --colony lab --type sums --fn mymodule:add --fn mymodule:multiply --parallel 4\n"
    "colonies-node execute --colony lab --type container-executor --container auto\n"
    "colonies-node execute --colony lab --type hpc --slurm --slurm-partition gpu --parallel 100\n"
    "colonies-node execute --colony lab --type drone --shell --when 'battery > 30 and temperature < 75'",
)
def command(settings: Settings) -> None:
    """Join a colony as an executor and run its work.

    With the colony owner's key it lets itself in; without, it waits until somebody does. SIGTERM and Ctrl-C
    let running processes finish; a second one stops at once.
    """
    journal.start(settings.verbose)
    import trio

    from colonies_node.device.executor import execute

    trio.run(functools.partial(execute, settings, say=functools.partial(click.echo, err=False)))
