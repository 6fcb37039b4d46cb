"""`function`: submit work, and see what executors offer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli import spec
from colonies_node.cli.table import FAILED, SUCCESS, cell, print_done, print_json, printable, table, write
from colonies_node.cli.verb import Noun, as_json, named
from colonies_node.settings import MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link
    from colonies_node.http.client import Client

command = Noun("function", help="Submit work, and list what executors offer.")


def waits(function: Any) -> Any:
    """Give a command the flags --wait, --follow, --out and --timeout."""
    for option in (
        click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Stop waiting after S seconds."),
        click.option("--out", "show_out", is_flag=True, help="Wait, and print the output."),
        click.option("--follow", is_flag=True, help="Wait, and print the log as it grows."),
        click.option("--wait", is_flag=True, help="Wait until it has ended; exit code 1 if it failed."),
    ):
        function = option(function)
    return function


@command.verb(
    "exec",
    MEMBER,
    "colonies-node function exec --func uname --targettype cli --args=-a --wait --out\n"
    "colonies-node function exec --func sh --targettype cli --follow -- -c 'echo one; sleep 1; echo two'\n"
    "colonies-node function exec --func add --targettype sums --kwargs a:1,b:2 --out",
)
@click.argument("rest", nargs=-1, metavar="[-- ARG...]")
@click.option("--func", required=True, metavar="NAME", help="Name of the function.")
@click.option("--targettype", required=True, metavar="TYPE", help="Type of the executors that may run it.")
@click.option(
    "--target",
    "--targetid",
    "targets",
    multiple=True,
    metavar="NAME",
    help="Only this executor. May be repeated.",
)
@click.option("--args", "listed", default="", metavar="A,B", help="Arguments with commas between.")
@click.option("--arg", "single", multiple=True, metavar="A", help="One argument, taken as it is. May be repeated.")
@click.option("--kwargs", default="", metavar="K:V,...", help="Named arguments.")
@click.option("--env", multiple=True, metavar="K=V,...", help="Environment variables. May be repeated.")
@click.option("--label", default="", help="A label to find it by.")
@click.option("--location", default="", help="Only executors at this place.")
@click.option("--cpu", default="", metavar="1000m", help="Processor it needs.")
@click.option("--mem", default="", metavar="512Mi", help="Memory it needs.")
@click.option("--priority", type=int, default=0, show_default=True, help="One step is worth a day in the queue.")
@click.option("--maxwaittime", type=int, default=-1, metavar="S", help="Fail if it waits longer; -1 for no limit.")
@click.option("--maxexectime", type=int, default=-1, metavar="S", help="Stop if it runs longer; -1 for no limit.")
@click.option("--maxretries", type=int, default=-1, metavar="N", help="Runs again so often after --maxexectime.")
@waits
@as_json
def exec(
    link: Link,
    rest: tuple[str, ...],
    func: str,
    targettype: str,
    targets: tuple[str, ...],
    listed: str,
    single: tuple[str, ...],
    kwargs: str,
    env: tuple[str, ...],
    wait: bool,
    follow: bool,
    show_out: bool,
    timeout: float | None,
    as_json: bool,
    **more: Any,
) -> None:
    """Submit a function to the executors of a type, and print the id of the process.

    Arguments come in the order --args, --arg, and those after --.
    """
    arguments = [*listed.split(","), *single, *rest] if listed else [*single, *rest]
    variables: dict[str, str] = {}
    for text in env:
        variables |= spec.pairs(text, "=", "--env")
    more |= {"kwargs": spec.pairs(kwargs, ":", "--kwargs"), "env": variables}
    made = spec.typed(link.colony, func, targettype, targets, arguments, **more)
    _submit(link, made, wait, follow, show_out, timeout, as_json)


@command.verb("submit", MEMBER, "colonies-node function submit --spec hello.json --follow")
@named("--spec", "JSON file with the function spec; - for standard input.")
@waits
@as_json
def submit(
    link: Link, spec: str, wait: bool, follow: bool, show_out: bool, timeout: float | None, as_json: bool
) -> None:
    """Submit the function spec in a file, and print the id of the process."""
    from colonies_node.cli.spec import from_file

    _submit(link, from_file(spec, link.colony), wait, follow, show_out, timeout, as_json)


def _submit(
    link: Link, spec: dict[str, Any], wait: bool, follow: bool, show_out: bool, timeout: float | None, as_json: bool
) -> None:
    from colonies_node.cli.follow import finished

    waiting = wait or follow or show_out

    async def talk(client: Client) -> dict[str, Any]:
        process: dict[str, Any] = await client.call("submitfuncspecmsg", spec=spec)
        if not waiting:
            return process
        click.echo(f"process {process['processid']}", err=True)
        return await finished(client, process["processid"], follow=follow, timeout=timeout)

    process = link.run(talk)
    if waiting:
        conclude(process, show_out, as_json)
    elif as_json:
        print_json(process)
    else:
        click.echo(process["processid"])


def conclude(process: dict[str, Any], show_out: bool, as_json: bool) -> None:
    """Show how a process ended. One that did not succeed ends the program with exit code 1 and its errors."""
    if as_json:
        print_json(process)
    elif show_out:
        print_output(process)
    if process["state"] == SUCCESS:
        return
    if process["state"] == FAILED:
        for error in process.get("errors") or ["it gave no reason"]:
            says = printable(error) if isinstance(error, str) else cell(error)
            click.echo(f"Error: the process failed: {says}", err=True)
    else:
        click.echo("Error: the process was cancelled.", err=True)
    sys.exit(1)


def print_output(process: dict[str, Any]) -> None:
    """Print each value of a process's output on a line; what is not a text as JSON."""
    for value in process.get("out") or []:
        write(f"{value}\n" if isinstance(value, str) else f"{cell(value)}\n")


@command.verb("register", MEMBER, "colonies-node function register --name pi1 --func measure --prvkey pi1.key")
@click.option("--name", required=True, metavar="EXECUTOR", help="Name of the executor whose key signs.")
@click.option("--func", required=True, metavar="NAME", help="Name of the function.")
@click.option("--description", default="", help="What it does.")
@as_json
def register(link: Link, name: str, func: str, description: str, as_json: bool) -> None:
    """Register a function that an executor offers; only the executor's own key may."""
    fun = {"executorname": name, "colonyname": link.colony, "funcname": func}
    if description:
        fun["description"] = description
    added = link.ask("addfunctionmsg", fun=fun)
    if as_json:
        return print_json(added)
    click.echo(added["functionid"])


@command.verb("ls", MEMBER, "colonies-node function ls\ncolonies-node function ls --name pi1 --json")
@click.option("--name", default="", metavar="EXECUTOR", help="Only of this executor.")
@as_json
def ls(link: Link, name: str, as_json: bool) -> None:
    """List the functions that executors have registered."""
    functions = link.ask("getfunctionsmsg", colonyname=link.colony, executorname=name) or []
    if as_json:
        return print_json(functions)
    functions.sort(key=lambda one: (one["funcname"], one["executorname"]))
    titles = ("Function", "Executor", "Type", "Location", "Calls", "Wait s", "Exec s", "Function id")
    rows = [
        (
            one["funcname"],
            one["executorname"],
            one["executortype"],
            one.get("locationname", ""),
            one["counter"],
            f"{one['avgwaittime']:.3f}",
            f"{one['avgexectime']:.3f}",
            one["functionid"],
        )
        for one in functions
    ]
    empty = f"No functions are registered in colony {link.colony}."
    click.echo(table(titles, rows, link.settings.cli_ascii, empty=empty))


@command.verb("remove", MEMBER, "colonies-node function remove FUNCTIONID --prvkey pi1.key")
@named("--functionid", "Id of the function.")
@as_json
def remove(link: Link, functionid: str, as_json: bool) -> None:
    """Take back a function; only the executor's own key may."""
    reply = link.ask("removefunctionmsg", functionid=functionid)
    print_done(reply, f"Function {functionid} is removed.", as_json)
