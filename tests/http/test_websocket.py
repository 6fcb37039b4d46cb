"""The websocket over real connections, plain and with TLS, with a client that others wrote."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websocket import (
    ABNF,
    WebSocket,
    WebSocketBadStatusException,
    WebSocketConnectionClosedException,
    create_connection,
)

from tests.cli.shell import PATIENCE_S, program, until_ready
from tests.node import ALICE, OWNER, SERVER, Party, request

CERT, KEY = (Path(__file__).with_name("tls") / name for name in ("cert.pem", "key.pem"))
GONE = (WebSocketConnectionClosedException, OSError)
"""What the client raises when the connection was ended without a farewell, plain or with TLS."""

WORKERS = {"colonyname": "lab", "executortype": "worker"}


@dataclass
class Server:
    """A server process with the colony `lab`."""

    child: Any
    port: int
    tls: bool
    lines: list[WebSocket] = field(default_factory=list)

    def connect(self, path: str = "/pubsub", **more: Any) -> WebSocket:
        """A websocket; it is closed with the server."""
        address = f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}{path}"
        trust = {"ca_certs": str(CERT), "check_hostname": False} if self.tls else {}
        line = create_connection(address, timeout=PATIENCE_S, sslopt=trust, skip_utf8_validation=True, **more)
        self.lines.append(line)
        return line

    def call(self, party: Party, msgtype: str, **fields: Any) -> Any:
        """A message over a connection of its own."""
        body = request(party, msgtype, **fields)
        head = f"POST /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        with _trusting().wrap_socket(plain) if self.tls else plain as line:
            line.sendall(head + body)
            reply = b"".join(iter(lambda: line.recv(1 << 16), b""))
        envelope = json.loads(reply.partition(b"\r\n\r\n")[2])
        payload = json.loads(base64.b64decode(envelope["payload"]))
        assert not envelope["error"], payload
        return payload

    def submit(self, **spec: Any) -> str:
        """The id of a new process."""
        spec = {"funcname": "f", "conditions": WORKERS, **spec}
        processid: str = self.call(ALICE, "submitfuncspecmsg", spec=spec)["processid"]
        return processid


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(CERT))
    context.check_hostname = False
    return context


@pytest.fixture(params=["plain", "tls"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    tls = request.param == "tls"
    flags = ["--data", str(tmp_path / "data"), "--port", "0", "--server-id", SERVER.id]
    flags += ["--tls-cert", str(CERT), "--tls-key", str(KEY)] if tls else []
    with program("serve", *flags, stderr=tmp_path / "log") as child:
        _, port, _ = until_ready(child)
        server = Server(child, int(port), tls)
        server.call(SERVER, "addcolonymsg", colony={"colonyid": OWNER.id, "name": "lab"})
        server.call(OWNER, "addusermsg", user={"colonyname": "lab", "name": "alice", "userid": ALICE.id})
        yield server
        for line in server.lines:
            line.shutdown()
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE_S) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def subscribe(line: WebSocket, **more: Any) -> None:
    """Ask for new processes, and know that the server has heard it."""
    asked = {**WORKERS, "state": 0, "timeout": 60, **more}
    line.send(request(ALICE, "subscribeprocessesmsg", **asked).decode())
    line.send(request(ALICE, "subscribeprocessmsg", processid="none", timeout=60).decode())
    assert told(line) == {"status": 403, "message": "Invalid process with Id none"}


def told(line: WebSocket) -> Any:
    """The payload of the next frame."""
    return json.loads(base64.b64decode(json.loads(line.recv())["payload"]))


def test_events_reach_everybody_who_listens(server: Server) -> None:
    lines = [server.connect() for _ in range(20)]
    for line in lines:
        subscribe(line)
    ids = [server.submit() for _ in range(3)]
    for line in lines:
        assert [told(line)["processid"] for _ in ids] == ids


def test_the_end_of_a_subscription_drops_the_connection_without_a_farewell(server: Server) -> None:
    line = server.connect()
    line.send(request(ALICE, "subscribeprocessesmsg", **WORKERS, state=0, timeout=1).decode())
    with pytest.raises(GONE):
        line.recv_data_frame(control_frame=True)


def test_a_client_that_says_goodbye_is_answered(server: Server) -> None:
    line = server.connect()
    subscribe(line)
    line.send_close()
    opcode, _ = line.recv_data(control_frame=True)
    assert opcode == ABNF.OPCODE_CLOSE
    server.submit()


def test_who_reads_nothing_is_cut_off_and_harms_nobody(server: Server) -> None:
    slow = server.connect(sockopt=((socket.SOL_SOCKET, socket.SO_RCVBUF, 4096),))
    good = server.connect()
    for line in (slow, good):
        subscribe(line)
    large = "x" * (7 << 20)
    for _ in range(10):
        processid = server.submit(args=[large])
        assert told(good)["processid"] == processid
    with pytest.raises(GONE):
        for _ in range(11):
            slow.recv()


def test_bytes_are_answered_with_bytes(server: Server) -> None:
    line = server.connect()
    line.send_binary(request(ALICE, "subscribeprocessmsg", processid="none", timeout=60))
    opcode, _ = line.recv_data()
    assert opcode == ABNF.OPCODE_BINARY


def test_a_request_that_is_too_large_ends_the_connection(server: Server) -> None:
    line = server.connect()
    with pytest.raises(GONE):
        line.send("x" * (1 << 20))
        while line.recv_data(control_frame=True):
            pass


def test_a_request_without_end_is_not_kept(server: Server) -> None:
    """Parts of one message, until the server has enough: hypercorn alone would keep all that comes."""
    line = server.connect()
    part = ABNF.create_frame(b"x" * 65_536, ABNF.OPCODE_TEXT, 0)
    more = ABNF.create_frame(b"x" * 65_536, ABNF.OPCODE_CONT, 0)
    with pytest.raises(GONE):
        line.send_frame(part)
        for _ in range(1_000):
            line.send_frame(more)


def test_requests_that_nobody_reads_any_more_hold_nothing_up(server: Server) -> None:
    """The first is no envelope and ends the connection; the server then stops as quickly as ever."""
    for _ in range(20):
        line = server.connect()
        frame = ABNF.create_frame(b"x", ABNF.OPCODE_TEXT)
        line.sock.sendall(frame.format() * 500)
        with contextlib.suppress(OSError):
            while line.sock.recv(4096):
                pass
    server.submit()


def test_there_is_no_websocket_elsewhere(server: Server) -> None:
    with pytest.raises(WebSocketBadStatusException):
        server.connect("/api")


def test_a_server_that_stops_lets_its_listeners_go(server: Server) -> None:
    line = server.connect()
    subscribe(line)
    server.child.send_signal(signal.SIGTERM)
    assert server.child.wait(PATIENCE_S) == 0
    with pytest.raises(GONE):
        line.recv_data_frame(control_frame=True)
