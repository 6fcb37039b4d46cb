"""Waiting for a process, and printing a log as it grows."""

from __future__ import annotations

from typing import Any

import click
import trio

from colonies_node.cli.table import SUCCESS, print_entry
from colonies_node.client.errors import NotFinished
from colonies_node.client.logs import Pace, page
from colonies_node.client.watch import Watch, tended, until
from colonies_node.core.errors import LinkDown
from colonies_node.core.limits import MAX_LOGS
from colonies_node.http.client import Client

Record = dict[str, Any]


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
            entries = await page(self.client, self.since, **self.of)
            for entry in entries:
                print_entry(entry)
                self.since = entry["timestamp"]
                found = True
            if len(entries) < MAX_LOGS:
                return found


def pace() -> Pace:
    """When to ask again; a lost link is told on standard error."""
    return Pace(lambda words: click.echo(words, err=True))


async def finished(
    client: Client, processid: str, *, follow: bool, timeout: float | None = None, since: int = 0
) -> Record:
    """Wait until the process has ended, and give its record; with `follow` its log goes to standard output.

    A lost link is waited out. Raises NotFinished after `timeout` seconds, Refused for an unknown process.
    """
    with trio.move_on_after(float("inf") if timeout is None else timeout):
        return await (_followed(client, processid, since) if follow else _ended(client, processid))
    raise NotFinished(f"Process {processid} has not finished within {timeout:g} s; it goes on.")


async def _ended(client: Client, processid: str) -> Record:
    async def look() -> Record | None:
        process: Record = await client.call("getprocessmsg", processid=processid)
        return process if process["state"] >= SUCCESS else None

    async with tended() as nursery:
        return await until(look, Watch(client, nursery), processid, pace())


async def _followed(client: Client, processid: str, since: int) -> Record:
    log, going = None, pace()
    while True:
        news = False
        try:
            process: Record = await client.call("getprocessmsg", processid=processid)
            going.up()
            # The state is older than this read of the log: of a process that is over, it reads all.
            log = log or Log(client, since, colonyname=colony_of(process), processid=processid)
            news = await log.print_new()
            if process["state"] >= SUCCESS:
                return process
        except LinkDown as fault:
            going.down(fault)
        await going.next(news)


async def follow_log(*logs: Log) -> None:
    """Print logs as they grow, until interrupted."""
    going = pace()
    while True:
        news = False
        try:
            for log in logs:
                news |= await log.print_new()
            going.up()
        except LinkDown as fault:
            going.down(fault)
        await going.next(news)


def colony_of(process: Record) -> str:
    """The name of the colony that a process belongs to."""
    return str(process["spec"]["conditions"]["colonyname"])
