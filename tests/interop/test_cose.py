"""Another implementation of COSE reads what we write, and writes what we read."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import environment
import pytest
from coincurve import PublicKey

from colonies_node.core.errors import SignatureRefused
from colonies_node.core.identity import ORDER
from colonies_node.http import cose
from tests.http.cbor import NODE_BYTES, message, now, told
from tests.lab import Lab
from tests.node import ALICE, NODE, Node, Party


class Peer:
    """The other implementation."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **asked: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def sign(self, party: Party, header: dict[int, Any], payload: bytes, aad: bytes) -> bytes:
        asked = {"header": cbor2.dumps(header).hex(), "payload": payload.hex(), "aad": aad.hex()}
        return bytes.fromhex(self.ask(do="sign", public=point(party), private=party.key, **asked)["message"])

    def verify(self, data: bytes, party: Party, aad: bytes) -> Any:
        kid = party.signer.kid.hex() if 4 in cose.read(data)[1] else ""
        return self.ask(do="verify", message=data.hex(), public=point(party), aad=aad.hex(), kid=kid)


def point(party: Party) -> str:
    return PublicKey(party.signer.kid).format(compressed=False)[1:].hex()


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    program = [str(environment.COSE.make()), str(Path(__file__).with_name("cose_peer.py"))]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Peer(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(20) == 0


def header(node: Node, number: int = 0) -> dict[int, Any]:
    return {1: -47, 4: ALICE.signer.kid, 15: {4: int(now(node)) + 60, 7: number.to_bytes(16, "big")}}


async def test_it_finds_our_requests_good(node: Node, peer: Peer) -> None:
    sent = message(node, ALICE, ["versionmsg", {}])
    found = peer.verify(sent, ALICE, NODE_BYTES)
    assert found["good"]
    assert cbor2.loads(bytes.fromhex(found["protected"])) == header(node)
    assert cbor2.loads(bytes.fromhex(found["unprotected"])) == {}
    assert cbor2.loads(bytes.fromhex(found["payload"])) == ["versionmsg", {}]
    assert not peer.verify(sent, ALICE, bytes(32))["good"]


async def test_it_finds_our_replies_good(lab: Lab, peer: Peer) -> None:
    answer = await lab.node.post(message(lab.node, ALICE, ["getcolonymsg", {"colonyname": lab.name}]), path="/cbor")
    found = peer.verify(answer.body, NODE, ALICE.signer.kid)
    assert found["good"]
    assert cbor2.loads(bytes.fromhex(found["protected"])) == {1: -47, 15: {7: bytes(16)}}
    assert cbor2.loads(bytes.fromhex(found["payload"])) == told(answer, ALICE)
    assert not peer.verify(answer.body, NODE, b"")["good"]


async def test_it_finds_our_introduction_good(node: Node, peer: Peer) -> None:
    answer = await node.post(b"", method="GET", path="/cbor")
    assert peer.verify(answer.body, NODE, b"")["good"]


async def test_the_node_takes_its_requests_whichever_half_their_signatures_are_in(node: Node, peer: Peer) -> None:
    halves = set()
    for number in range(16):
        sent = peer.sign(ALICE, header(node, number), cbor2.dumps(["versionmsg"]), NODE_BYTES)
        halves.add(int.from_bytes(sent[-32:], "big") > ORDER // 2)
        assert told(await node.post(sent, path="/cbor"), ALICE)[0] == 0
    assert halves == {True, False}


async def test_the_node_refuses_its_requests_that_are_for_another(node: Node, peer: Peer) -> None:
    sent = peer.sign(ALICE, header(node), cbor2.dumps(["versionmsg"]), bytes(32))
    assert told(await node.post(sent, path="/cbor"), ALICE)[2] == "signature_refused"


async def test_our_client_takes_its_replies(peer: Peer) -> None:
    protected = {1: -47, 15: {7: b"c" * 16}}
    kid = ALICE.signer.kid
    sent = peer.sign(NODE, protected, cbor2.dumps([0, None]), kid)
    node = cose.Holder(NODE.signer.kid)
    assert cose.read_reply(sent, node, kid) == (b"c" * 16, [0, None])
    with pytest.raises(SignatureRefused):
        cose.read_reply(sent, node, b"")
