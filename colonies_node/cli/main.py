"""The door of the command line: the list of commands, and what a user sees when something goes wrong.

A command's module is imported when that command runs, so that `--help` starts fast on a small machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module

import click

from colonies_node import __version__

COMMANDS = {
    "serve": "Run a colony server.",
    "dev": "Run a server with a colony, a user and an executor ready to use.",
    "execute": "Join a colony as an executor and run its work.",
    "device": "Show what this machine has and feels, and lock it.",
    "install-service": "Let systemd start serve or execute when this machine starts.",
    "key": "Make private keys and show their ids.",
    "colony": "Add, list and remove colonies.",
    "user": "Add, list and remove the users of a colony.",
    "executor": "Add, approve, list and remove executors.",
    "function": "Submit work, and list what executors offer.",
    "process": "List, show, wait for, cancel and remove processes.",
    "workflow": "Submit, list, draw, cancel and remove workflows.",
    "cron": "Start workflows by the clock.",
    "generator": "Start workflows by the number of packed arguments.",
    "fs": "List, show and remove files, labels and snapshots.",
    "blueprint": "Say what should be, and see that executors make it so.",
    "sync": "Link this node to upstream nodes.",
    "location": "Add, list and remove the named places of a colony.",
    "log": "Read and write logs.",
    "channel": "Read and write the channels of a process.",
    "attribute": "Read and write the attributes of a process.",
    "server": "Ask a server how it is.",
    "config": "Show every setting, its value and where it came from.",
    "completion": "Print the completion script for a shell.",
}
"""Command → what its help says first; the module `cli.<command>` holds it as `command`, with `_` for `-`."""

ALIASES = {"security": "key"}
"""Names of the reference for what has another name here."""


class Lazy(click.Group):
    """The root: knows its commands by name and imports one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"colonies_node.cli.{name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start here: `colonies-node dev` in one terminal, and in the next what it prints.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option("--json", "as_json", is_flag=True, default=None, help="Print records as JSON, as the server sent them.")
@click.option("-v", "--verbose", is_flag=True, default=None, help="Say more; show tracebacks.")
@click.option("--tls/--insecure", default=None, hidden=True)
@click.option("--skip-tls-verify", "tls_verify", flag_value="false", default=None, hidden=True)
@click.pass_context
def root(ctx: click.Context, /, **flags: object) -> None:
    """A ColonyOS-compatible server and executor in one program."""
    ctx.obj = {name: value for name, value in flags.items() if value is not None}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code: 0, 1 with a sentence on standard error, 2 for wrong usage."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = root.main(arguments, prog_name="colonies-node", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as fault:
        fault.show()
        return fault.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BaseException as fault:
        return _explain(fault, _wants_traceback(arguments))


def _wants_traceback(arguments: Sequence[str]) -> bool:
    return "-v" in arguments or "--verbose" in arguments or os.environ.get("COLONIES_VERBOSE") == "true"


def _explain(fault: BaseException, verbose: bool) -> int:
    """Say in one sentence what went wrong, with the traceback only for those who ask."""
    from colonies_node.core.errors import ColonyError

    leaves = list(_leaves(fault))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return 130
    if any(isinstance(leaf, BrokenPipeError) for leaf in leaves):
        # The reader has gone (`| head`): standard output goes elsewhere, so that the last flush is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if verbose:
        import traceback

        traceback.print_exception(fault)
    known = next((leaf for leaf in leaves if isinstance(leaf, ColonyError | OSError)), None)
    if isinstance(known, ColonyError):
        sentence = known.message
    elif isinstance(known, OSError):
        sentence = f"{known.strerror or known}" + (f": {known.filename}" if known.filename else "")
    elif isinstance(fault, SystemExit):
        return fault.code if isinstance(fault.code, int) else 1
    else:
        leaf = leaves[0]
        more = "" if verbose else " Run the command with --verbose for the details."
        sentence = f"This is a fault of colonies-node: {type(leaf).__name__}: {leaf}.{more}"
    click.echo(f"Error: {sentence}", err=True)
    return 1


def _leaves(fault: BaseException) -> Iterator[BaseException]:
    """What nested groups of exceptions (as trio's nurseries raise them) consist of."""
    if isinstance(fault, BaseExceptionGroup):
        for inner in fault.exceptions:
            yield from _leaves(inner)
    else:
        yield fault
