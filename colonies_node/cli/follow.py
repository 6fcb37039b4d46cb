"""Waiting for a process, and reading a log as it grows: ask, and ask less often while nothing happens."""

from __future__ import annotations

from typing import Any

import click
import trio

from colonies_node.cli.table import SUCCESS, print_entry
from colonies_node.core.errors import ColonyError, LinkDown
from colonies_node.core.limits import MAX_LOGS
from colonies_node.http.client import Client

Record = dict[str, Any]

QUICK, SLOW = 0.05, 1.0
"""Seconds between two questions: after news, and once there has been none for a while."""


class NotFinished(ColonyError):
    """The process did not finish within the time that the caller gave it."""

    code = "not_finished"


class Log:
    """The log of one process (`processid`) or executor (`executorname`), from `since` (nanoseconds) on."""

    def __init__(self, client: Client, since: int, **of: Any) -> None:
        self.client = client
        self.since = since
        self.of = of

    async def print_new(self) -> bool:
        """Print the entries that are there and were not printed yet; False if there were none."""
        found = False
        while True:
            page = await self.client.call("getlogsmsg", count=MAX_LOGS, since=self.since, latest=False, **self.of)
            for entry in page or []:
                print_entry(entry)
                self.since = entry["timestamp"]
                found = True
            if len(page or []) < MAX_LOGS:
                return found


class Pace:
    """When to ask again, and what to say when the link is lost and found."""

    def __init__(self) -> None:
        self.delay = QUICK
        self.answered = False
        self.lost = False

    async def next(self, news: bool) -> None:
        """Wait: briefly after news, else longer each time."""
        self.delay = QUICK if news else min(self.delay * 1.5, SLOW)
        await trio.sleep(self.delay)

    def down(self, fault: LinkDown) -> None:
        """Take note of a lost link. A server that never answered is no lost link: that is raised."""
        if not self.answered:
            raise fault
        if not self.lost:
            click.echo(f"The link is lost ({fault}); waiting for it.", err=True)
        self.lost = True

    def up(self) -> None:
        """Take note of an answer."""
        if self.lost:
            click.echo("The link is back.", err=True)
        self.answered, self.lost = True, False


async def finished(
    client: Client, processid: str, *, follow: bool, timeout: float | None = None, since: int = 0
) -> Record:
    """Wait until the process has ended, and give its record; with `follow` its log goes to standard output.

    A lost link is waited out. Raises NotFinished after `timeout` seconds, Refused for an unknown process.
    """
    log, pace = None, Pace()
    with trio.move_on_after(float("inf") if timeout is None else timeout):
        while True:
            news = False
            try:
                process: Record = await client.call("getprocessmsg", processid=processid)
                pace.up()
                if follow:
                    # The state is older than this read of the log: of a process that is over, it reads all.
                    log = log or Log(client, since, colonyname=colony_of(process), processid=processid)
                    news = await log.print_new()
                if process["state"] >= SUCCESS:
                    return process
            except LinkDown as fault:
                pace.down(fault)
            await pace.next(news)
    raise NotFinished(f"Process {processid} has not finished within {timeout:g} s; it goes on.")


async def follow_log(*logs: Log) -> None:
    """Print logs as they grow, until interrupted."""
    pace = Pace()
    while True:
        news = False
        try:
            for log in logs:
                news |= await log.print_new()
            pace.up()
        except LinkDown as fault:
            pace.down(fault)
        await pace.next(news)


def colony_of(process: Record) -> str:
    """The name of the colony that a process belongs to."""
    return str(process["spec"]["conditions"]["colonyname"])
