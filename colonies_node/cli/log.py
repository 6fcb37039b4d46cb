"""`log`: what processes and executors wrote."""

from __future__ import annotations

import re
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli.function import conclude
from colonies_node.cli.table import print_entry, print_json, table
from colonies_node.cli.verb import Noun, as_json, named
from colonies_node.core.limits import MAX_LOG_SEARCH, MAX_LOG_SEARCH_DAYS, MAX_LOGS
from colonies_node.core.model.durations import seconds
from colonies_node.settings import MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link

command = Noun("log", help="Read and write logs.")


@command.verb("add", MEMBER, "colonies-node log add -p PROCESSID -m 'half way' --prvkey pi1.key")
@click.option("--processid", "-p", required=True, metavar="ID", help="Id of a process that you run.")
@click.option("--msg", "-m", required=True, metavar="TEXT", help="What to write.")
@as_json
def add(link: Link, processid: str, msg: str, as_json: bool) -> None:
    """Write to the log of a process, as the executor that runs it."""
    reply = link.ask("addlogmsg", processid=processid, message=msg)
    if as_json:
        print_json({} if reply is None else reply)


@command.verb(
    "get",
    MEMBER,
    "colonies-node log get PROCESSID\n"
    "colonies-node log get PROCESSID --follow\n"
    "colonies-node log get -e pi1 --since 10m --first",
)
@named("--processid -p", "Id of the process.", required=False)
@click.option("--executorname", "-e", default="", metavar="NAME", help="All that this executor wrote.")
@click.option("--since", default="0", metavar="WHEN", help="Only later than: nanoseconds, 10m (s, m, h, d), or a time.")
@click.option("--count", type=click.IntRange(1, MAX_LOGS), default=100, show_default=True, help="So many at most.")
@click.option("--latest/--first", "-l/-f", default=True, help="The newest entries, or the first. (default: newest)")
@click.option("--follow", is_flag=True, help="Go on printing: until the process has ended, or until Ctrl-C.")
@as_json
def get(
    link: Link,
    processid: str | None,
    executorname: str,
    since: str,
    count: int,
    latest: bool,
    follow: bool,
    as_json: bool,
) -> None:
    """Print the log of a process or an executor."""
    if bool(processid) == bool(executorname):
        raise click.UsageError("Give a PROCESSID or --executorname.")
    from colonies_node.cli.follow import Log, finished, follow_log

    after = instant(since)
    if follow and processid:
        process = link.run(lambda client: finished(client, processid, follow=True, since=after))
        return conclude(process, False, False)
    if follow:
        of = {"colonyname": link.colony, "executorname": executorname}
        return link.run(lambda client: follow_log(Log(client, after, **of)))
    query: dict[str, Any] = {"processid": processid or "", "executorname": executorname, "count": count}
    found = link.ask("getlogsmsg", colonyname=link.colony, since=after, latest=latest and not after, **query) or []
    if as_json:
        return print_json(found)
    for entry in found:
        print_entry(entry)


def instant(text: str) -> int:
    """A moment in nanoseconds since 1970: given so, as an age (`10m`), or as an ISO 8601 time."""
    if re.fullmatch(r"[0-9]{1,19}", text):
        return int(text)
    if (age := seconds(text)) is not None:
        return time.time_ns() - age * 1_000_000_000
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1_000_000) * 1000
    except (ValueError, OverflowError):
        expected = "nanoseconds, an age such as 10m, or a time such as 2026-11-22T12:00"
        raise click.BadParameter(f"{text!r} must be {expected}.", param_hint="--since") from None


@command.verb("search", MEMBER, "colonies-node log search --text 'out of memory' --days 7")
@named("--text -t", "What to look for; % stands for any text.")
@click.option(
    "--days", "-d", type=click.IntRange(1, MAX_LOG_SEARCH_DAYS), default=1, show_default=True, help="So far back."
)
@click.option("--count", type=click.IntRange(1, MAX_LOG_SEARCH), default=10, show_default=True, help="So many at most.")
@click.option("--print", "whole", is_flag=True, help="Print the messages whole, without a table.")
@as_json
def search(link: Link, text: str, days: int, count: int, whole: bool, as_json: bool) -> None:
    """Find log entries of the colony that hold a text."""
    found: list[dict[str, Any]] = (
        link.ask("searchlogsmsg", colonyname=link.colony, text=text, days=days, count=count) or []
    )
    found.sort(key=lambda entry: entry["timestamp"])
    if as_json:
        return print_json(found)
    if not found:
        click.echo(f"No log entry of the last {days} days holds {text!r}.", err=True)
        sys.exit(1)
    if whole:
        for entry in found:
            print_entry(entry)
        return
    rows = [(_local(entry), entry["executorname"], entry["processid"], entry["message"].strip()) for entry in found]
    titles = ("Time", "Executor", "Process id", "Message")
    click.echo(table(titles, rows, link.settings.cli_ascii, flexible=("Message",)))


def _local(entry: dict[str, Any]) -> str:
    return datetime.fromtimestamp(entry["timestamp"] // 1_000_000_000).strftime("%Y-%m-%d %H:%M:%S")
