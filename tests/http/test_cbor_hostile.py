"""Messages over CBOR that were damaged, cut off, invented or sent again: refused, without an effect or a trace."""

from __future__ import annotations

import logging
import random
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from colonies_node.core.broker.table import TABLE, Kind
from colonies_node.core.identity import ORDER, holder
from colonies_node.http import cose, replies
from tests.http.cbor import NODE_BYTES, message, now, told
from tests.http.test_messages_refused import EVERYBODY, RIGHTS, Town
from tests.lab import Lab
from tests.node import ALICE, Node


def recorded(town: Town, msgtype: str) -> bytes:
    """A message of that type that is good, from somebody who may send it."""
    party = sorted(RIGHTS[msgtype][0], key=EVERYBODY.index)[-1]
    fields = town.requests[msgtype]
    if TABLE[msgtype].kind is Kind.POLL:
        fields = fields | {"timeout": -1}
    return message(town.node, party, replies.item(msgtype, fields))


async def refused(node: Node, changed: bytes) -> None:
    """The node refuses it, as something that the caller did wrong."""
    answer = await node.post(changed, path="/cbor")
    assert 400 <= answer.status < 500, changed.hex()
    assert cose.read(answer.body)[0].protected


def stored(node: Node) -> Any:
    return node.tables()


@pytest.mark.parametrize("msgtype", RIGHTS)
async def test_a_message_with_any_byte_flipped_is_refused(
    lab: Lab, msgtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    town = await Town(lab).build()
    sent = recorded(town, msgtype)
    before = stored(lab.node)
    luck = random.Random(msgtype)
    for place in range(len(sent)):
        for bit in range(8) if place % 16 == 0 else (luck.randrange(8),):
            await refused(lab.node, sent[:place] + bytes((sent[place] ^ 1 << bit,)) + sent[place + 1 :])
    for length in range(0, len(sent), 7):
        await refused(lab.node, sent[:length])
    await refused(lab.node, sent + b"\0")
    assert stored(lab.node) == before
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("msgtype", RIGHTS)
async def test_a_message_that_is_replayed_has_no_second_effect(lab: Lab, msgtype: str) -> None:
    town = await Town(lab).build()
    sent = recorded(town, msgtype)
    first = await lab.node.post(sent, path="/cbor")
    before = stored(lab.node)
    again = await lab.node.post(sent, path="/cbor")
    assert stored(lab.node) == before
    if TABLE[msgtype].kind in (Kind.WRITE, Kind.BULK, Kind.POLL):
        assert (again.status, again.body) == (first.status, first.body)


async def test_the_other_signature_of_the_same_message_is_the_same_message(lab: Lab) -> None:
    """Whoever has r and s can make r and n − s: it is as good, and has no second effect."""
    town = await Town(lab).build()
    sent = recorded(town, "submitfuncspecmsg")
    s = int.from_bytes(sent[-32:], "big")
    first = await lab.node.post(sent, path="/cbor")
    before = stored(lab.node)
    again = await lab.node.post(sent[:-32] + (ORDER - s).to_bytes(32, "big"), path="/cbor")
    assert (first.status, again.body, stored(lab.node)) == (200, first.body, before)


@pytest.mark.parametrize(
    "change",
    [
        {1: -7},
        {1: None},
        {2: [1]},
        {3: 60},
        {3: "application/cbor"},
        {4: b"\2" * 32},
        {4: b"\5" + b"\1" * 32},
        {4: b"\2" + b"\xff" * 32},
        {4: "text"},
        {15: {}},
        {15: []},
        {15: {4: 1.5, 7: bytes(16)}},
        {15: {4: True, 7: bytes(16)}},
        {15: {4: 1 << 40, 7: bytes(16)}},
        {15: {4: 2_000_000_000, 7: bytes(15)}},
        {15: {4: 2_000_000_000, 7: "x" * 16}},
    ],
    ids=str,
)
async def test_a_header_that_is_not_right_is_refused_however_well_it_is_signed(
    node: Node, change: dict[int, Any]
) -> None:
    header = {1: -47, 4: ALICE.signer.kid, 15: {4: int(now(node)) + 60, 7: bytes(16)}} | change
    protected, payload = cbor2.dumps(header), cbor2.dumps(["versionmsg"])
    signature = ALICE.signer.sign_es256k(cbor2.dumps(["Signature1", protected, NODE_BYTES, payload]))
    await refused(node, cbor2.dumps(cbor2.CBORTag(18, [protected, {}, payload, signature])))


async def test_what_is_in_the_unprotected_header_says_nothing(node: Node) -> None:
    protected = cbor2.dumps({1: -47, 4: ALICE.signer.kid, 15: {4: int(now(node)) + 60, 7: bytes(16)}})
    payload = cbor2.dumps(["versionmsg"])
    signature = ALICE.signer.sign_es256k(cbor2.dumps(["Signature1", protected, NODE_BYTES, payload]))
    sent = cbor2.dumps(cbor2.CBORTag(18, [protected, {4: b"other", 15: {}}, payload, signature]))
    assert told(await node.post(sent, path="/cbor"), ALICE)[0] == 0


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_request_or_are_malformed(data: bytes, tagged: bool) -> None:
    try:
        request = cose.read_request(b"\xd2\x84" + data if tagged else data)
    except cose.Malformed:
        return
    assert holder(request.kid)


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\x82\x01", b"\x80" * 600_000, b"\x9f\xff", b"\xd9\x01\x02\x80"])
async def test_a_signed_payload_that_is_no_cbor_is_refused(node: Node, payload: bytes) -> None:
    protected = cbor2.dumps({1: -47, 4: ALICE.signer.kid, 15: {4: int(now(node)) + 60, 7: bytes(16)}})
    await refused(node, cose._write(ALICE.signer, protected, NODE_BYTES, payload))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100))
def test_what_is_called_deflated_is_inflated_or_malformed(data: bytes) -> None:
    try:
        cose.inflate(data)
    except cose.Malformed:
        return
