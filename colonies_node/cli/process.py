"""`process`: what waits, runs and has ended in a colony."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli.function import conclude, print_output
from colonies_node.cli.removal import add_removeall
from colonies_node.cli.table import STATES, card, cell, moment, print_done, print_json, state_word, table, when
from colonies_node.cli.verb import Noun, as_json, named
from colonies_node.core.limits import MAX_LIST
from colonies_node.settings import COLONY_OWNER, MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link
    from colonies_node.http.client import Client

command = Noun("process", help="List, show, wait for, cancel and remove processes.")
process_id = named("--processid -p", "Id of the process.")

TIMES = {0: "Submission time", 1: "Start time"}
"""State → the time that a list of that state shows; all others show the end time."""


def filters(function: Any) -> Any:
    """Give a command the flags of the reference's lists."""
    for option in (
        as_json,
        click.option("--ids", "-i", is_flag=True, help="Print the ids only, one on a line."),
        click.option("--initiator", default="", metavar="USER", help="Only those that this user submitted."),
        click.option("--label", default="", help="Only those with this label."),
        click.option("--executortype", default="", metavar="TYPE", help="Only those for this type."),
        click.option(
            "--count",
            type=click.IntRange(1, MAX_LIST),
            default=20,
            show_default=True,
            help="So many at most.",
        ),
    ):
        function = option(function)
    return function


def _list(link: Link, state: int | None, ids: bool, as_json: bool, **query: Any) -> None:
    if sum(bool(query[name]) for name in ("executortype", "label", "initiator")) > 1:
        raise click.UsageError("Give one of --executortype, --label and --initiator.")
    query |= {"colonyname": link.colony}
    if state is None:
        found = link.run(lambda client: _of_every_state(client, query))
    else:
        found = link.ask("getprocessesmsg", state=state, **query) or []
    if as_json:
        return print_json(found)
    if ids:
        for process in found:
            click.echo(process["processid"])
        return
    if not found:
        kind = "" if state is None else f"{STATES[state].lower()} "
        click.echo(f"No {kind}processes in colony {link.colony}.")
        return
    titles = (
        "Process id",
        "State",
        "Function",
        "Args",
        "Kwargs",
        "Since" if state is None else TIMES.get(state, "End time"),
        "Type",
        "Initiator",
        "Label",
    )
    rows = [_row(process, with_state=state is None) for process in found]
    click.echo(table(titles, rows, link.settings.cli_ascii, flexible=("Kwargs", "Args", "Label")))


async def _of_every_state(client: Client, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Asked for in the order that a process goes through, so that one that moves meanwhile is not missed."""
    found: dict[str, dict[str, Any]] = {}
    for state in range(len(STATES)):
        for process in await client.call("getprocessesmsg", state=state, **query) or []:
            found[process["processid"]] = process
    running, waiting = ([one for one in found.values() if one["state"] == state] for state in (1, 0))
    ended = [one for one in found.values() if one["state"] > 1]
    ended.sort(key=lambda one: moment(one["endtime"]), reverse=True)
    return [*running, *waiting, *ended][: query["count"]]


def _row(process: dict[str, Any], *, with_state: bool) -> tuple[object, ...]:
    spec = process["spec"]
    time = ("submissiontime", "starttime")[process["state"]] if process["state"] < 2 else "endtime"
    return (
        process["processid"],
        state_word(process["state"]) if with_state else "",
        spec["funcname"],
        " ".join(cell(value) for value in spec["args"] or []),
        " ".join(f"{key}:{cell(value)}" for key, value in (spec["kwargs"] or {}).items()),
        when(process[time]),
        spec["conditions"]["executortype"],
        process["initiatorname"],
        spec["label"],
    )


def _add_list(name: str, state: int) -> None:
    @filters
    def ls(link: Link, **query: Any) -> None:
        _list(link, state, **query)

    ls.__doc__ = f"List {STATES[state].lower()} processes."
    command.verb(name, MEMBER, f"colonies-node process {name}\ncolonies-node process {name} --label nightly --ids")(ls)


for _name, _state in (("psw", 0), ("ps", 1), ("pss", 2), ("psf", 3), ("psc", 4)):
    _add_list(_name, _state)


@command.verb(
    "ls",
    MEMBER,
    "colonies-node process ls\n"
    "colonies-node process ls --state failed --count 5\n"
    "colonies-node process ls --state 0 --json",
)
@click.option(
    "--state",
    default=None,
    metavar="STATE",
    help="Only waiting, running, successful, failed or cancelled ones; or the state's number from 0.",
)
@filters
def ls(link: Link, state: str | None, **query: Any) -> None:
    """List processes: running ones, then waiting ones in their order, then ended ones, the latest first."""
    if state is None:
        return _list(link, None, **query)
    words = {word.lower(): number for number, word in enumerate(STATES)} | {"success": 2}
    words |= {str(number): number for number in range(len(STATES))}
    if state.lower() not in words:
        raise click.BadParameter(f"{state!r} is none of {', '.join(STATES)}.", param_hint="--state")
    _list(link, words[state.lower()], **query)


@command.verb("get", MEMBER, "colonies-node process get PROCESSID\ncolonies-node process get PROCESSID --out")
@process_id
@click.option("--out", "show_out", is_flag=True, help="Print the output only.")
@as_json
def get(link: Link, processid: str, show_out: bool, as_json: bool) -> None:
    """Show a process."""
    process = link.ask("getprocessmsg", processid=processid)
    if as_json:
        print_json(process)
    elif show_out:
        print_output(process)
    else:
        click.echo(card(words(process), link.settings.cli_ascii))


def words(process: dict[str, Any]) -> dict[str, object]:
    """What a card of a process shows."""
    spec = process["spec"]
    conditions = spec["conditions"]
    attributes = [f"{one['key']}={one['value']}" for one in process["attributes"] or [] if one["attributetype"] != 3]
    return {
        "Process id": process["processid"],
        "State": state_word(process["state"]),
        "Colony": conditions["colonyname"],
        "Function": spec["funcname"],
        "Args": spec["args"],
        "Kwargs": spec["kwargs"],
        "Env": spec["env"],
        "Label": spec["label"],
        "Executor type": conditions["executortype"],
        "Executor names": conditions["executornames"],
        "Location": conditions.get("locationname"),
        "Initiator": process["initiatorname"],
        "Assigned to": process["assignedexecutorid"],
        "Submitted": when(process["submissiontime"]),
        "Started": when(process["starttime"]),
        "Ended": when(process["endtime"]) if process["state"] > 1 else "",
        "Wait deadline": when(process["waitdeadline"]),
        "Exec deadline": when(process["execdeadline"]),
        "Priority": spec["priority"] or "",
        "Retries": f"{process['retries']} of {spec['maxretries']}" if process["retries"] else "",
        "Workflow": process["processgraphid"],
        "Input": _lines(process["in"]),
        "Output": _lines(process["out"]),
        "Errors": _lines(process["errors"]),
        "Attributes": ", ".join(attributes),
    }


def _lines(values: list[object] | None) -> str:
    return "\n".join(value if isinstance(value, str) else cell(value) for value in values or [])


@command.verb(
    "wait",
    MEMBER,
    "colonies-node process wait PROCESSID --follow\ncolonies-node process wait PROCESSID --out",
)
@process_id
@click.option("--follow", is_flag=True, help="Print the log as it grows.")
@click.option("--out", "show_out", is_flag=True, help="Print the output.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Stop waiting after S seconds.")
@as_json
def wait(link: Link, processid: str, follow: bool, show_out: bool, timeout: float | None, as_json: bool) -> None:
    """Wait until a process has ended; exit code 1 if it failed or was cancelled."""
    from colonies_node.cli.follow import finished

    process = link.run(lambda client: finished(client, processid, follow=follow, timeout=timeout))
    conclude(process, show_out, as_json)


@command.verb("cancel", MEMBER, "colonies-node process cancel PROCESSID")
@process_id
@as_json
def cancel(link: Link, processid: str, as_json: bool) -> None:
    """Cancel a process that waits or runs."""
    _tell(link, "cancelprocessmsg", processid, "cancelled", as_json)


@command.verb("remove", MEMBER, "colonies-node process remove PROCESSID")
@process_id
@as_json
def remove(link: Link, processid: str, as_json: bool) -> None:
    """Remove a process that does not run."""
    _tell(link, "removeprocessmsg", processid, "removed", as_json)


def _tell(link: Link, msgtype: str, processid: str, done: str, as_json: bool, **fields: Any) -> None:
    reply = link.ask(msgtype, processid=processid, **fields)
    print_done(reply, f"Process {processid} is {done}.", as_json)


add_removeall(
    command,
    "processes",
    "removeallprocessesmsg",
    "Remove all processes of the colony, or those in one state; workflows stay.",
)


@command.verb("assign", MEMBER, "colonies-node process assign --timeout 10 --prvkey pi1.key")
@click.option(
    "--timeout",
    type=int,
    default=100,
    show_default=True,
    metavar="S",
    help="Wait so long for work; -1: do not wait.",
)
@as_json
def assign(link: Link, timeout: int, as_json: bool) -> None:
    """Take the next process, as the executor whose key signs."""
    fields: dict[str, Any] = {"timeout": timeout, "availablecpu": "", "availablemem": ""}
    process = link.ask("assignprocessmsg", patience=max(timeout, 0) + 30.0, colonyname=link.colony, **fields)
    if as_json:
        return print_json(process)
    click.echo(card(words(process), link.settings.cli_ascii))


@command.verb("close", MEMBER, "colonies-node process close PROCESSID --out 42 --prvkey pi1.key")
@process_id
@click.option("--out", default="", metavar="A,B", help="Its output, with commas between.")
@as_json
def close(link: Link, processid: str, out: str, as_json: bool) -> None:
    """Close a process as successful, as the executor that runs it."""
    _tell(link, "closesuccessfulmsg", processid, "closed", as_json, out=out.split(",") if out else [])


@command.verb("fail", MEMBER, "colonies-node process fail PROCESSID --errors 'no sensor' --prvkey pi1.key")
@process_id
@click.option("--errors", default="", metavar="A,B", help="What went wrong, with commas between.")
@as_json
def fail(link: Link, processid: str, errors: str, as_json: bool) -> None:
    """Close a process as failed, as the executor that runs it."""
    _tell(link, "closefailedmsg", processid, "closed as failed", as_json, errors=errors.split(",") if errors else [])


def _add_switch(name: str, msgtype: str, says: str, done: str) -> None:
    @as_json
    def switch(link: Link, as_json: bool) -> None:
        reply = link.ask(msgtype, colonyname=link.colony)
        print_done(reply, f"Assignments in colony {link.colony} {done}.", as_json)

    switch.__doc__ = says
    command.verb(name, COLONY_OWNER, f"colonies-node process {name}")(switch)


_add_switch("pause", "pauseassignmentsmsg", "Hand out no more work in the colony; what runs goes on.", "are paused")
_add_switch("resume", "resumeassignmentsmsg", "Hand out work in the colony again.", "go on")


@command.verb("status", MEMBER, "colonies-node process status")
@as_json
def status(link: Link, as_json: bool) -> None:
    """Say whether the colony hands out work."""
    found = link.ask("getpausestatusmsg", colonyname=link.colony)
    if as_json:
        return print_json(found)
    click.echo(f"Assignments in colony {link.colony} {'are paused' if found['ispaused'] else 'go on'}.")
