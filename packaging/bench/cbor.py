"""What the CBOR door takes on the wire, and how fast it is, against the JSON door and the echo."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

from cose_wire import Door, Pipe, assign, close, door_at, process_in, submits
from figures import Figure, Reading
from load import PATIENCE, BenchFailed, Connection, Spent, drive, recite
from stage import CONNECTIONS, Node, Stage
from wire import Member
from wire import process_in as process_in_json

BATCH = 100
DEPTH = 8
"""Messages of one executor that are under way at once on its websocket."""


def cbor_bytes_ratio(stage: Stage) -> Reading:
    """Over one connection each, after its handshake: HTTP for JSON, as SDKs do; the websocket for CBOR."""
    count = stage.amounts.latencies
    with stage.node(executors=1) as node:
        json = _json_bytes(node, count)
        cbor = _cbor_bytes(node, count, 1)
        return Reading(cbor / json, f"{cbor / count:,.0f} against {json / count:,.0f} bytes a process")


def cbor_batch_bytes_ratio(stage: Stage) -> Reading:
    count = max(stage.amounts.latencies // BATCH, 1) * BATCH
    with stage.node(executors=1) as node:
        json = _json_bytes(node, count)
        cbor = _cbor_bytes(node, count, BATCH)
        return Reading(cbor / json, f"{cbor / count:,.0f} against {json / count:,.0f} bytes; batches of {BATCH}")


def cbor_batch_submit(stage: Stage) -> Reading:
    count = max(stage.amounts.submits // BATCH, 1) * BATCH * 4
    with stage.node() as node:
        door = door_at(node.server.address)
        (sample,) = node.colony.submits(1)

        def batches() -> float:
            requests = [
                door.request(node.colony.user, submits(node.colony, range(first, first + BATCH)))
                for first in range(0, count, BATCH)
            ]
            return stage.rate(count, drive(node.server.address, recite(requests, CONNECTIONS)))

        race = stage.race(batches, lambda: stage.echo_rate(sample))
        return Reading(race.ratio, f"{race}; batches of {BATCH}")


def cbor_ws_assign_close(stage: Stage) -> Reading:
    pairs = stage.amounts.pairs * 2
    with stage.node() as node:
        door = door_at(node.server.address)
        sample = node.colony.assign(node.colony.executors[0])

        def piped() -> float:
            node.submit(pairs)
            return stage.rate(pairs, _work(node, door, pairs))

        race = stage.race(piped, lambda: stage.echo_rate(sample))
        return Reading(race.ratio, f"{race}; {DEPTH} messages under way on each of {CONNECTIONS} websockets")


def _work(node: Node, door: Door, pairs: int) -> Spent:
    """Assign and close that many processes over websockets, one for each executor."""
    tickets = iter(range(pairs))
    with ExitStack() as closes, select.epoll() as readable:
        lines: dict[int, tuple[Pipe, Member]] = {}
        for executor in node.colony.executors:
            pipe = closes.enter_context(closing(Pipe(node.server.address)))
            lines[pipe.fileno()] = pipe, executor
            readable.register(pipe.fileno(), select.EPOLLIN)
        began, cpu = time.perf_counter(), time.process_time()
        under_way = 0
        for pipe, executor in lines.values():
            for _ in range(DEPTH):
                under_way += _apply(pipe, executor, door, tickets)
        while under_way:
            ready = readable.poll(PATIENCE)
            if not ready:
                raise BenchFailed(f"The server gave no answer within {PATIENCE:.0f} s.")
            for number, _ in ready:
                pipe, executor = lines[number]
                for data in pipe.receive():
                    reply = door.read(executor, data)
                    if len(reply[1]) > 0:  # a process to work on, which is done at once
                        pipe.send(door.message(executor, close(process_in(reply))))
                    else:
                        under_way -= 1
                        under_way += _apply(pipe, executor, door, tickets)
        return Spent(time.perf_counter() - began, time.process_time() - cpu)


def _apply(pipe: Pipe, executor: Member, door: Door, tickets: Iterator[int]) -> int:
    """Ask for work, if there is more to do; how many messages that are."""
    if next(tickets, None) is None:
        return 0
    pipe.send(door.message(executor, assign()))
    return 1


def _json_bytes(node: Node, count: int) -> int:
    """Bytes on the wire, both ways, until so many processes are submitted, assigned and closed over HTTP."""
    colony = node.colony
    sent = 0
    with closing(Connection(node.server.address)) as connection:
        for submit in colony.submits(count):
            connection.ask(submit)
            assign = colony.assign(colony.executors[0])
            close = colony.close(colony.executors[0], process_in_json(connection.ask(assign)))
            connection.ask(close)
            sent += len(submit) + len(assign) + len(close)
        return sent + connection.got


def _cbor_bytes(node: Node, count: int, batch: int) -> int:
    """The same over a websocket, in batches of so many."""
    door = door_at(node.server.address)
    user, executor = node.colony.user, node.colony.executors[0]
    with closing(Pipe(node.server.address)) as pipe:
        for first in range(0, count, batch):
            bodies = submits(node.colony, range(first, first + batch))
            pipe.ask(door.message(user, bodies if batch > 1 else bodies[0]))
            applications = [assign()] * batch
            data = pipe.ask(door.message(executor, applications if batch > 1 else applications[0]))
            replies = door.read(executor, data)
            closes = [close(process_in(reply)) for reply in (replies if batch > 1 else [replies])]
            pipe.ask(door.message(executor, closes if batch > 1 else closes[0]))
        return pipe.sent + pipe.got


FIGURES = (
    Figure("cbor_bytes_ratio", 0.35, "bytes for submit, assign and close, CBOR / JSON", cbor_bytes_ratio),
    Figure("cbor_batch_bytes_ratio", 0.15, "the same in batches", cbor_batch_bytes_ratio),
    Figure("cbor_batch_submit", 3.0, "processes submitted in batches / echo", cbor_batch_submit, at_least=True),
    Figure(
        "cbor_ws_assign_close",
        0.5,
        "pairs of assign and close on websockets / echo",
        cbor_ws_assign_close,
        at_least=True,
    ),
)
