"""`channel`: what the submitter of a process and its executor say to each other."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli.table import print_done, print_json, table, when
from colonies_node.cli.verb import Noun, as_json, named
from colonies_node.settings import MEMBER

if TYPE_CHECKING:
    from colonies_node.cli.link import Link

command = Noun("channel", help="Read and write the channels of a process.")


@command.verb(
    "append",
    MEMBER,
    "colonies-node channel append PROCESSID --name chat --msg 'slower, please'\n"
    "colonies-node channel append PROCESSID --name frames --file frame.jpg",
)
@named("--processid -p", "Id of a process that you submitted or run.")
@click.option("--name", required=True, help="One of the channels that its spec names.")
@click.option("--msg", "-m", metavar="TEXT", help="What to say.")
@click.option("--file", type=click.File("rb"), help="Say what is in this file; - is standard input.")
@click.option(
    "--sequence", type=int, help="Its number; yours stand in their order. (default: the time in microseconds)"
)
@click.option("--inreplyto", type=int, default=0, metavar="SEQUENCE", help="The number that this answers.")
@click.option("--type", "kind", default="", help="What it is: data (the default), end, error, or any other word.")
@as_json
def append(
    link: Link,
    processid: str,
    name: str,
    msg: str | None,
    file: Any,
    sequence: int | None,
    inreplyto: int,
    kind: str,
    as_json: bool,
) -> None:
    """Say something on a channel of a process."""
    if (msg is None) == (file is None):
        raise click.UsageError("Give --msg or --file.")
    payload = file.read() if msg is None else msg.encode()
    number = time.time_ns() // 1000 if sequence is None else sequence
    reply = link.ask(
        "channelappendmsg",
        processid=processid,
        name=name,
        sequence=number,
        inreplyto=inreplyto,
        payload=base64.b64encode(payload).decode(),
        payloadtype=kind,
    )
    print_done(reply, f"Entry {number} is on the channel {name}.", as_json)


@command.verb(
    "read",
    MEMBER,
    "colonies-node channel read PROCESSID --name chat\n"
    "colonies-node channel read PROCESSID --name chat --afterseq 10 --limit 5 --json\n"
    "colonies-node channel read PROCESSID --name frames --raw --limit 1 > frame.jpg",
)
@named("--processid -p", "Id of a process that you submitted or run.")
@click.option("--name", required=True, help="One of the channels that its spec names.")
@click.option("--afterseq", type=click.IntRange(0), default=0, metavar="N", help="Skip the first N entries.")
@click.option("--limit", type=click.IntRange(0), default=0, metavar="N", help="So many at most. (default: all)")
@click.option("--raw", is_flag=True, help="Print what was said as it is, without a table.")
@as_json
def read(link: Link, processid: str, name: str, afterseq: int, limit: int, raw: bool, as_json: bool) -> None:
    """Print what is on a channel of a process; with the process it ends."""
    found = link.ask("channelreadmsg", processid=processid, name=name, afterseq=afterseq, limit=limit)
    if as_json:
        return print_json(found)
    payloads = [base64.b64decode(entry["payload"] or "") for entry in found]
    if raw:
        for payload in payloads:
            click.echo(payload, nl=False)
        return
    rows = [
        (when(entry["timestamp"]), entry["senderid"][:8], str(entry["sequence"]), entry["type"], text)
        for entry, text in zip(found, map(_shown, payloads), strict=True)
    ]
    if not rows:
        click.echo(f"There is nothing on the channel {name} yet.", err=True)
        return
    titles = ("Time", "Sender", "Sequence", "Type", "Payload")
    click.echo(table(titles, rows, link.settings.cli_ascii, flexible=("Payload",)))


def _shown(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return f"({len(payload)} bytes)"
