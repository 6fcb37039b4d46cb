"""Whatever comes in: an error envelope or a closed connection, nothing changed, no traceback, no 5xx but the known."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import logging
import random
import re
import socket
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union

import msgspec
import pytest
import trio

from colonies_node.core import limits
from colonies_node.core.broker.table import ROWS, Kind, Row
from colonies_node.http.client import Client
from colonies_node.http.envelope import write_request
from tests import strategies
from tests.e2e.programs import colonies_node
from tests.lab import COLONY, TYPE, Lab
from tests.node import OWNER, SERVER, STRANGER, Answer, Node, Party, request

OURS = re.compile("internal error|contradicts|refuses to be written|disk is full|store")
"""What the server says when it is at fault; the 500s that the protocol names say something else."""


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that comes from outside is worth an error or a traceback in the log."""
    caplog.set_level(logging.WARNING)
    yield
    told = [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]
    assert not told, told[0].getMessage()


def check(answer: Answer, what: object = "") -> None:
    """It is a refusal that the protocol knows."""
    assert answer.refusal is not None, what
    status, message = answer.refusal
    assert status in (400, 403, 404, 408, 413) or (status in (500, 503) and not OURS.search(message)), (what, message)
    assert message and len(message) < 2000, what
    assert "Traceback" not in message and "/colonies_node/" not in message


SPEC = {
    "funcname": "work",
    "args": ["a", 1],
    "kwargs": {"k": [1, {"x": None}]},
    "env": {"A": "1"},
    "conditions": {"colonyname": COLONY, "executortype": TYPE},
}


# -- bytes -----------------------------------------------------------------------------------------------------------


async def unharmed(node: Node, body: bytes, changed: bytes, before: Any) -> bool:
    """Post the changed request; whether it was refused and left everything as before.

    It may also still be the same request: the case of keys and of hex digits does not matter.
    """
    answer = await node.post(changed)
    if answer.refusal is None:
        assert changed.lower() == body.lower(), changed
        return False
    check(answer, changed)
    assert node.tables() == before, changed
    return True


async def test_a_request_with_any_byte_flipped_is_refused(node: Node, lab: Lab) -> None:
    body = request(lab.user, "submitfuncspecmsg", spec=SPEC)
    luck = random.Random(1)
    before, refused = node.tables(), 0
    for place in range(len(body)):
        bits = range(8) if place % 16 == 0 else (luck.randrange(8),)
        for bit in bits:
            changed = body[:place] + bytes([body[place] ^ 1 << bit]) + body[place + 1 :]
            if await unharmed(node, body, changed, before):
                refused += 1
            else:
                before = node.tables()
    assert refused > len(body)
    assert (await node.post(body)).refusal is None


async def test_a_request_cut_off_anywhere_is_refused(node: Node, lab: Lab) -> None:
    body = request(lab.user, "submitfuncspecmsg", spec=SPEC)
    before = node.tables()
    for length in range(len(body)):
        check(await node.post(body[:length]), length)
    assert node.tables() == before


async def test_a_signed_payload_with_any_byte_flipped_is_refused_or_understood(node: Node, lab: Lab) -> None:
    """Whoever has a key can sign anything: the payload is as hostile as the envelope."""
    payload = json.dumps({"msgtype": "submitfuncspecmsg", "spec": SPEC}).encode()
    luck = random.Random(2)
    for place in range(len(payload)):
        changed = bytearray(payload)
        changed[place] ^= 1 << luck.randrange(8)
        before = node.tables()
        answer = await node.post(write_request("submitfuncspecmsg", bytes(changed), lab.user.signer))
        if answer.refusal is not None:
            check(answer, bytes(changed))
            assert node.tables() == before


async def test_another_signature_is_another_caller(node: Node, lab: Lab) -> None:
    envelope = json.loads(request(lab.user, "getcolonymsg", colonyname=COLONY))
    signature = bytes.fromhex(envelope["signature"])
    for place in range(65):
        changed = bytearray(signature)
        changed[place] ^= 1
        answer = await node.post(json.dumps({**envelope, "signature": changed.hex()}).encode())
        assert answer.refusal is not None and answer.refusal[0] == 403


GARBAGE: tuple[bytes, ...] = (
    b"",
    b" ",
    b"null",
    b" null ",
    b"true",
    b"7",
    b"[]",
    b'""',
    b"{}",
    b"{",
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}",
    b"\x00" * 100,
    b'{"payloadtype": "versionmsg"',
    b'{"payloadtype": null, "payload": null, "signature": null}',
    b'{"payloadtype": 7}',
    b'{"payloadtype": ["versionmsg"]}',
    b'{"payloadtype": "\\ud800"}',
    b'{"payloadtype": "a", "payload": "\\ud800", "signature": "00"}',
    b'{"payloadtype": "versionmsg", "payload": "\\udfff"}',
    b'{"payloadtype": "\xed\xa0\x80"}',
    b'{"payloadtype": "\xc3\x28"}',
    b'{"payloadtype": "getcoloniesmsg", "signature": "' + b"zz" * 65 + b'"}',
    b'{"payloadtype": "getcoloniesmsg", "signature": "' + b"0" * 130 + b'"}',
    b'{"payloadtype": "getcoloniesmsg", "signature": "' + b"f" * 130 + b'"}',
    b'{"payloadtype": "getcoloniesmsg", "signature": "' + "é".encode() * 65 + b'"}',
    b'{"payloadtype": "versionmsg", "payload": "!!!"}',
    b'{"payloadtype": "versionmsg", "payload": "bnVsbA=="}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"payload":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"payloadtype": ' + b"9" * 100_000 + b"}",
    b"-" * 1000,
    b'{"payloadtype": "' + b"x" * 1_000_000 + b'", "payload": "", "signature": ""}',
    b'"' + b"\\" * 999_999,
)


@pytest.mark.parametrize("body", GARBAGE, ids=lambda body: repr(body[:24]))
async def test_garbage_is_answered_with_an_error_envelope(node: Node, body: bytes) -> None:
    before = node.tables()
    check(await node.post(body), body[:80])
    assert node.tables() == before


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"x"',
        b"{}",
        b"\xff",
        b'{"msgtype": "submitfuncspecmsg"}',
        b'{"msgtype": "submitfuncspecmsg", "spec": null}',
        b'{"msgtype": "submitfuncspecmsg", "spec": {}}',
        b'{"msgtype": "submitfuncspecmsg", "spec": {"conditions": null}}',
        b'{"msgtype": "submitfuncspecmsg", "spec": {"args": ' + b"[" * 70 + b"]" * 70 + b"}}",
        b'{"msgtype": "submitfuncspecmsg", "spec": ' + b'{"conditions":' * 50_000 + b"}" * 50_001,
        b'{"msgtype": "submitfuncspecmsg", "spec": {"priority": 1e999}}',
        b'{"msgtype": "submitfuncspecmsg", "spec": {"priority": ' + b"9" * 10_000 + b"}}",
        b'{"msgtype": "submitfuncspecmsg", "spec": {"funcname": "\\ud800"}}',
        b'{"msgtype": "submitfuncspecmsg", "spec": {"funcname": NaN}}',
    ],
    ids=lambda payload: repr(payload[-30:]),
)
async def test_a_signed_payload_that_makes_no_sense_is_refused(node: Node, lab: Lab, payload: bytes) -> None:
    before = node.tables()
    check(await node.post(write_request("submitfuncspecmsg", payload, lab.user.signer)), payload[:80])
    assert node.tables() == before


async def test_of_two_equal_keys_one_counts_and_both_are_bound_by_the_rules(node: Node, lab: Lab) -> None:
    spec = json.dumps(SPEC)
    doubled = spec[:-1] + ', "priority": 60000, "funcname": "a", "FuncName": "b", "priority": 1}'
    answer = await node.post(
        write_request(
            "submitfuncspecmsg", f'{{"msgtype": "submitfuncspecmsg", "spec": {doubled}}}'.encode(), lab.user.signer
        )
    )
    assert answer.refusal is None
    assert answer.payload["spec"]["priority"] == 1
    # Of two payloads, the one that was signed counts, or the request is refused.
    once, twice = (json.loads(request(lab.user, "getcolonymsg", colonyname=name)) for name in (COLONY, "other"))
    body = (
        f'{{"payloadtype": "getcolonymsg", "payload": "{once["payload"]}", "payload": "{twice["payload"]}",'
        f' "signature": "{once["signature"]}"}}'
    )
    check(await node.post(body.encode()))


@pytest.mark.parametrize(
    "text", ["\x00", "a\x00b", "\u2028", "😀" * 50, "'; drop table processes; --", "%_\\", "../../etc"]
)
async def test_strange_text_is_kept_as_it_is(node: Node, lab: Lab, text: str) -> None:
    process = await lab.submit(label=text, args=[text], kwargs={text: text}, env={text: text})
    shown = await lab.get(process)
    assert (shown["spec"]["label"], shown["spec"]["args"]) == (text, [text])
    assert (shown["spec"]["kwargs"], shown["spec"]["env"]) == ({text: text}, {text: text})
    fields = {"colonyname": COLONY, "state": 0, "count": 100, "label": text}
    assert len(await node.call(lab.user, "getprocessesmsg", **fields)) == 1


# -- fields ----------------------------------------------------------------------------------------------------------


async def speakers(lab: Lab) -> dict[str, Party]:
    return {"server owner": SERVER, "colony owner": OWNER, "executor": await lab.join("ann"), "user": lab.user}


def example(record: type[msgspec.Struct], msgtype: str, known: dict[str, Any]) -> dict[str, Any]:
    """A message with every field there is, each with something in it that fits."""
    message: dict[str, Any] = {"msgtype": msgtype}
    for path in strategies.fields(record)[1:]:
        target = message
        for name in path[:-1]:
            target = target.setdefault(name, {})
        target[path[-1]] = known.get(path[-1], _zero(_kind(record, path)))
    return message


def _kind(record: Any, path: tuple[str, ...]) -> Any:
    """The declared type of a field."""
    for name in path:
        struct = record if not record_in(record) else record_in(record)
        field = next(f for f in msgspec.structs.fields(struct) if f.encode_name == name)
        record = typing.get_type_hints(struct, include_extras=True)[field.name]
    return record


def record_in(kind: Any) -> Any:
    return strategies.struct_in(kind)


def _zero(kind: Any) -> Any:
    if record_in(kind):
        return {}
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    return kind() if kind in (str, int, bool, float) else None


def fits(kind: Any, value: Any) -> bool:
    """Whether the value may be put into a field of this type (protocol/core.md, section 2: null is the zero value)."""
    if value is None or kind in (object, Any):
        return True
    origin, arms = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return fits(arms[0], value)
    if origin in (Union, types.UnionType):
        return any(fits(arm, value) for arm in arms if arm is not type(None))
    if origin is list:
        return isinstance(value, list) and all(fits(arms[0], item) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(arms[1], item) for item in value.values())
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return isinstance(value, dict)
    if kind is float:
        return type(value) in (int, float) and abs(value) < 10**300
    if kind is int:
        return type(value) is int and -(2**63) <= value < 2**63
    return type(value) is kind


POSTED = [row for row in ROWS if not row.lenient and row.kind is not Kind.SUBSCRIBE]
"""Types that are taken by /api and look at their payload."""


@pytest.mark.parametrize("row", POSTED, ids=lambda row: row.msgtype)
async def test_every_field_of_every_message_refuses_what_does_not_belong_there(node: Node, lab: Lab, row: Row) -> None:
    parties = await speakers(lab)
    process = await lab.submit()
    known = {
        "colonyname": COLONY,
        "executorname": "ann",
        "executortype": TYPE,
        "processid": process["processid"],
        "targetid": process["processid"],
        "timeout": -1,
        "count": 1,
    }
    party = parties.get(row.right.who) or (parties["executor"] if row.kind is Kind.POLL else parties["user"])
    correct = example(row.record, row.msgtype, known)
    tried = 0
    for path in strategies.fields(row.record):
        kind = _kind(row.record, path)
        for value in strategies.STRANGERS:
            message = copy.deepcopy(correct)
            target = message
            for name in path[:-1]:
                target = target[name]
            target[path[-1]] = value
            # A stranger's request shows whether the shape is refused before anything is looked at.
            wrong = not fits(kind, value)
            before = node.tables() if wrong else None
            answer = await node.post(write_request(row.msgtype, json.dumps(message).encode(), party.signer))
            if wrong:
                tried += 1
                assert answer.refusal is not None, (path, value)
                assert (answer.status, "invalid JSON" in answer.refusal[1]) == (400, True), (
                    path,
                    value,
                    answer.refusal,
                )
                assert node.tables() == before, (path, value)
            elif answer.refusal is not None:
                check(answer, (path, value))
    assert tried >= 5


async def test_a_message_of_no_type_is_refused_whatever_is_in_it(node: Node, lab: Lab) -> None:
    for msgtype in ("", "nosuchmsg", "SUBMITFUNCSPECMSG", "submitfuncspecmsg ", "\x00", "x" * 10_000):
        answer = await node.ask(lab.user, msgtype, spec=SPEC)
        assert answer.refusal is not None and answer.refusal[0] == 403


# -- bounds ----------------------------------------------------------------------------------------------------------


async def test_a_body_over_the_limit_is_too_large(node: Node) -> None:
    before = node.tables()
    for size in (limits.MAX_BODY + 1, limits.MAX_BODY * 2):
        answer = await node.post(b" " * size)
        assert answer.refusal is not None and answer.refusal[0] == 413
        assert "larger than 20 MiB" in answer.refusal[1]
    check(await node.post(b" " * limits.MAX_BODY))
    assert node.tables() == before


@pytest.mark.parametrize("field", ["args", "kwargs", "env", "channels", "executornames", "dependencies"])
async def test_a_list_over_the_limit_is_refused(node: Node, lab: Lab, field: str) -> None:
    many: Any = [f"{n}" for n in range(limits.MAX_LIST_ITEMS + 1)]
    spec = copy.deepcopy(SPEC)
    target: Any = spec["conditions"] if field in ("executornames", "dependencies") else spec
    target[field] = dict.fromkeys(many, "x") if field in ("kwargs", "env") else many
    answer = await node.ask(lab.user, "submitfuncspecmsg", spec=spec)
    assert answer.refusal is not None and answer.refusal[0] == 400
    assert f"at most {limits.MAX_LIST_ITEMS} items" in answer.refusal[1]


# -- sockets ---------------------------------------------------------------------------------------------------------


class Wire:
    """Raw connections to a real server."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def send(self, data: bytes, *, finish: bool = True) -> bytes:
        """What comes back before the server closes, or is silent for a while."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            got = b""
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(data)
                if finish:
                    await stream.send_eof()
            with trio.move_on_after(2), contextlib.suppress(trio.BrokenResourceError):
                async for chunk in stream:
                    got += chunk
            return got


def http(body: bytes, *headers: bytes) -> bytes:
    lines = b"\r\n".join((b"POST /api HTTP/1.1", b"Host: node.test", b"Connection: close", *headers))
    return lines + b"\r\n\r\n" + body


def status_of(reply: bytes) -> int:
    """The status of a reply, 0 when the connection was just closed or the reply is in HTTP/2's binary form."""
    return int(reply.split(b" ", 2)[1]) if reply.startswith(b"HTTP/1") else 0


NOT_HTTP: tuple[bytes, ...] = (
    b"",
    b"\x00" * 1000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
    b"GET\r\n\r\n",
    b"SSH-2.0-OpenSSH_9\r\n",
    b"POST /api HTTP/9.9\r\nHost: x\r\n\r\n",
    b"POST /api HTTP/1.1\r\n\r\n",
    b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n{}",
    b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
    b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n{}",
    b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}",
    b"POST /api HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    b"POST /api HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    b"\xff" * 70_000,
    b"POST " + b"/" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /%ff%00 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 9,
    b"GET /api HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: !!\r\n\r\n",
    b"GET /pubsub HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
)


async def test_a_real_server_stands_what_is_no_http_and_no_envelope(tmp_path: Path) -> None:
    async with colonies_node("serve", "--data", str(tmp_path), "--port", "0") as server:
        found = re.search(r" on (http://127\.0\.0\.1:(\d+)),", await server.until("ready:"))
        assert found is not None
        wire = Wire(int(found[2]))
        for data in NOT_HTTP:
            # 501 is HTTP's own word for a transfer coding that a server does not know (RFC 9112, 6.1).
            allowed = 502 if b"gzip" in data else 500
            assert status_of(await wire.send(data)) < allowed, data[:60]
        for body in (*GARBAGE, request(STRANGER, "getcoloniesmsg")):
            reply = await wire.send(http(body, b"Content-Length: %d" % len(body)))
            assert 400 <= status_of(reply) < 500, body[:60]
            assert json.loads(reply.split(b"\r\n\r\n", 1)[1])["error"] is True
        # Chunked, whole and broken.
        version = request(None, "versionmsg")
        chunks = b"".join(b"%x\r\n%s\r\n" % (1, version[n : n + 1]) for n in range(len(version)))
        reply = await wire.send(http(chunks + b"0\r\n\r\n", b"Transfer-Encoding: chunked"))
        assert status_of(reply) == 200
        assert json.loads(reply.split(b"\r\n\r\n", 1)[1])["payloadtype"] == "versionmsg"
        assert status_of(await wire.send(http(chunks, b"Transfer-Encoding: chunked"))) < 500
        endless = b"fffff\r\n" + b" " * 0xFFFFF + b"\r\n"
        reply = await wire.send(http(endless * 18, b"Transfer-Encoding: chunked"), finish=False)
        assert status_of(reply) in (0, 413)
        # A length that is a lie.
        assert status_of(await wire.send(http(b"{}", b"Content-Length: 100"))) < 500
        async with Client(found[1], None) as client:
            assert await client.healthy()
            assert (await client.call("versionmsg"))["msgtype"] == "versionmsg"
        told = [line for line in server.lines if "Traceback" in line or " ERROR " in line or "Error" in line]
        assert told == []


async def test_half_open_connections_do_not_stop_a_real_server(tmp_path: Path) -> None:
    async with colonies_node("serve", "--data", str(tmp_path), "--port", "0") as server:
        found = re.search(r" on (http://127\.0\.0\.1:(\d+)),", await server.until("ready:"))
        assert found is not None
        body = request(None, "versionmsg")
        whole = http(body, b"Content-Length: %d" % len(body))
        open_ones = []
        for number in range(200):
            sock = trio.socket.socket()
            await sock.connect(("127.0.0.1", int(found[2])))
            await sock.send(whole[: 1 + number * (len(whole) - 2) // 200])
            open_ones.append(sock)
        async with Client(found[1], None) as client:
            for _ in range(20):
                assert (await client.call("versionmsg"))["msgtype"] == "versionmsg"
        for number, sock in enumerate(open_ones):
            if number % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            sock.close()
        async with Client(found[1], None) as client:
            assert await client.healthy()
        server.process.terminate()
        assert await server.ended() == 0
        assert [line for line in server.lines if "Traceback" in line or " ERROR " in line] == []


def test_the_examples_are_what_they_say() -> None:
    """A guard for the tests above: the requests that are flipped and cut are good ones."""
    envelope = json.loads(request(SERVER, "getcoloniesmsg"))
    assert json.loads(base64.b64decode(envelope["payload"])) == {"msgtype": "getcoloniesmsg"}
    assert not fits(list[str] | None, ["a", 1]) and fits(list[str] | None, ["a", None])
