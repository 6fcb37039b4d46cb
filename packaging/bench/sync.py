"""The link between two nodes: how fast it catches up after an outage, and what it costs while nothing happens."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from cose_wire import assign, close, door_at, process_in, submits
from figures import Figure, Reading
from load import Address, BenchFailed, Connection
from servers import Server
from stage import Stage, say
from wire import COLONY, Member, found_colony, payload_of

BATCH = 100
PATIENCE_S = 60.0
MINUTE_S = 60.0


class Pair:
    """Two nodes with a colony each, of which the lower one tells the upper one what ended in it."""

    def __init__(self, stage: Stage, closing: ExitStack, meter: Meter | None = None) -> None:
        self.owner = Member()
        self.upper, _ = closing.enter_context(stage.serve(server_id=self.owner.id))
        self.lower, data = closing.enter_context(stage.serve(server_id=self.owner.id))
        colony_owner = Member()
        self.above = found_colony(self.upper.address, self.owner, 0, colony_owner)
        self.colony = found_colony(self.lower.address, self.owner, 1)
        self.door = door_at(self.lower.address)
        self._join(data, colony_owner)
        address = meter.lead_to(self.upper.address) if meter else self.upper.address
        upstream = {
            "name": "upper",
            "url": f"http://{address[0]}:{address[1]}",
            "colonyname": COLONY,
            "executorname": "lower",
            "record": True,
        }
        self.tell("addupstreammsg", upstream=upstream)
        self.wait_until_told()

    def _join(self, data: Path, colony_owner: Member) -> None:
        nodeid = (data / "node.id").read_text().strip()
        record = {"executorid": nodeid, "executorname": "lower", "executortype": "node", "colonyname": COLONY}
        _ask(self.upper, colony_owner.request("addexecutormsg", executor=record))
        _ask(self.upper, colony_owner.request("approveexecutormsg", colonyname=COLONY, executorname="lower"))

    def tell(self, msgtype: str, **fields: object) -> object:
        """Send a message to the lower node as its owner."""
        return payload_of(_ask(self.lower, self.owner.request(msgtype, **fields)))

    def told(self) -> bool:
        """Whether the upper node has confirmed everything."""
        (status,) = self.tell("getupstreamsmsg", name="upper")  # type: ignore[misc]
        return bool(status["connected"]) and not status["waiting"] and not status["unconfirmed"]

    def wait_until_told(self) -> None:
        """Return when the upper node knows everything. Raises BenchFailed."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.told():
            if time.monotonic() > deadline:
                raise BenchFailed(f"The link did not catch up within {PATIENCE_S:.0f} s.")
            time.sleep(0.05)

    def end(self, count: int) -> None:
        """Have so many processes submitted and closed on the lower node."""
        user, executor = self.colony.user, self.colony.executors[0]
        connection = Connection(self.lower.address)
        try:
            for first in range(0, count, BATCH):
                connection.ask(self.door.request(user, submits(self.colony, range(first, first + BATCH))))
                taken = self.door.read(executor, connection.ask(self.door.request(executor, [assign()] * BATCH)))
                closes = [close(process_in(reply)) for reply in taken]
                connection.ask(self.door.request(executor, closes))
        finally:
            connection.close()

    def records(self) -> int:
        """How many successful processes the upper node knows."""
        found = payload_of(_ask(self.upper, self.above.user.request("getcolonystatsmsg", colonyname=COLONY)))
        assert isinstance(found, dict), "statistics are an object"
        return int(found["successfulprocesses"])


def sync_catchup(stage: Stage) -> Reading:
    """Records per second, from the moment at which the link is there again until all of them are confirmed."""
    count = stage.amounts.records
    with ExitStack() as closing:
        pair = Pair(stage, closing)
        (sample,) = pair.colony.submits(1)

        def catch_up() -> float:
            before = pair.records()
            pair.tell("pauseupstreammsg", name="upper")
            say(f"ending {count:,} processes without a link")
            pair.end(count)
            began = time.perf_counter()
            pair.tell("resumeupstreammsg", name="upper")
            pair.wait_until_told()
            seconds = time.perf_counter() - began
            if pair.records() != before + count:
                raise BenchFailed("The upper node has not all records, or some twice.")
            return count / seconds

        race = stage.race(catch_up, lambda: stage.echo_rate(sample), stage.amounts.catchups)
        return Reading(race.ratio, f"{race}; {count:,} records")


def idle_link_bytes_min(stage: Stage) -> Reading:
    """Both directions, heads of HTTP included, while nothing happens on either node."""
    window = stage.amounts.link_window
    with ExitStack() as closing, Meter() as meter:
        Pair(stage, closing, meter)
        say(f"watching an idle link for {window:.0f} s")
        time.sleep(1.0)
        before = meter.bytes
        time.sleep(window)
        return Reading((meter.bytes - before) * MINUTE_S / window, f"over {window:.0f} s")


class Meter:
    """A way to an address that counts what goes over it."""

    def __init__(self) -> None:
        self.bytes = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._upper: Address = ("", 0)

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *details: object) -> None:
        self._listener.close()

    def lead_to(self, upper: Address) -> Address:
        """The address that leads there."""
        self._upper = upper
        threading.Thread(target=self._accept, daemon=True).start()
        host, port = self._listener.getsockname()
        return host, port

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._upper)
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.bytes += len(data)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


def _ask(server: Server, request: bytes) -> bytes:
    connection = Connection(server.address)
    try:
        return connection.ask(request)
    finally:
        connection.close()


FIGURES = (
    Figure("sync_catchup", 2.0, "records told to an upstream after an outage / echo", sync_catchup, at_least=True),
    Figure("idle_link_bytes_min", 2_000.0, "bytes a minute on an idle link", idle_link_bytes_min),
)
