"""`POST /cbor` and `GET /cbor`: the envelope, what is refused, and who signs."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest

from colonies_node import __version__
from colonies_node.core import limits
from colonies_node.core.errors import SignatureRefused
from colonies_node.core.model.numbers import FIELD_NUMBERS, TYPE_NUMBERS
from colonies_node.http import cose
from tests.http.cbor import NODE_BYTES, NODE_KEY, client, message, now, say, told
from tests.lab import Lab
from tests.node import ALICE, NODE, SERVER, STRANGER, Node

SUBMIT = TYPE_NUMBERS["submitfuncspecmsg"]
GET_PROCESS = TYPE_NUMBERS["getprocessmsg"]


def spec(lab: Lab, **more: Any) -> dict[str, Any]:
    return {"spec": {"funcname": "f", "conditions": {"colonyname": lab.name, "executortype": "worker"}, **more}}


async def test_a_client_gets_over_cbor_what_it_gets_over_json(lab: Lab) -> None:
    async with client(lab.node, ALICE) as cbor, client(lab.node, ALICE, "json") as json:
        process = await cbor.call("submitfuncspecmsg", **spec(lab, kwargs={"id": "0" * 64}, env={"out": "1"}))
        assert process == await json.call("getprocessmsg", processid=process["processid"])
        assert process == await cbor.call("getprocessmsg", processid=process["processid"])


async def test_names_travel_as_numbers_and_ids_as_bytes(lab: Lab) -> None:
    process = await lab.submit()
    ident = bytes.fromhex(process["processid"])
    status, body = await say(lab.node, ALICE, [GET_PROCESS, {FIELD_NUMBERS["processid"]: ident}])
    assert status == 0
    assert all(type(key) is int for key in body)
    assert body[FIELD_NUMBERS["processid"]] == ident
    assert type(body[FIELD_NUMBERS["submissiontime"]]) is int
    assert FIELD_NUMBERS["retries"] not in body


async def test_names_are_understood_as_texts_too_and_unknown_ones_are_passed_over(lab: Lab) -> None:
    process = await lab.submit()
    body = {"ProcessId": process["processid"], "nonsense": [b"\0"], 9999: {}}
    assert (await say(lab.node, ALICE, ["getprocessmsg", body]))[0] == 0


async def test_the_node_says_which_node_it_is(node: Node) -> None:
    answer = await node.post(b"", method="GET", path="/cbor")
    holder, says = cose.read_introduction(answer.body)
    assert holder.id == NODE.id
    assert says == {"node": NODE_BYTES, "time": int(now(node) * 1000), "version": __version__}


async def test_a_message_for_another_server_is_refused(lab: Lab) -> None:
    before = lab.node.tables()
    answer = await lab.node.post(message(lab.node, ALICE, [SUBMIT, spec(lab)], to=bytes(32)), path="/cbor")
    assert answer.status == 403
    assert told(answer, ALICE)[2] == "signature_refused"
    assert lab.node.tables() == before


async def test_a_reply_is_for_nobody_but_the_one_who_asked(lab: Lab) -> None:
    answer = await lab.node.post(message(lab.node, ALICE, ["getcoloniesmsg", {}]), path="/cbor")
    with pytest.raises(SignatureRefused):
        told(answer, STRANGER)


async def test_who_has_no_right_is_refused_as_over_json(lab: Lab) -> None:
    refusal = await say(lab.node, STRANGER, ["getcolonymsg", {"colonyname": lab.name}])
    json = await lab.node.ask(STRANGER, "getcolonymsg", colonyname=lab.name)
    assert (refusal[0], refusal[1]) == json.refusal
    assert refusal[2] == "denied"


@pytest.mark.parametrize("expiry", [0, -1, limits.MAX_EXPIRY_S + 1])
async def test_a_message_out_of_its_time_is_told_the_servers(lab: Lab, expiry: int) -> None:
    answer = await lab.node.post(message(lab.node, ALICE, [SUBMIT, spec(lab)], good_for=expiry), path="/cbor")
    status, _, code, milliseconds = told(answer, ALICE)
    assert (answer.status, status, code, milliseconds) == (400, 400, "wrong_time", int(now(lab.node) * 1000))


@pytest.mark.parametrize(
    "item",
    [7, None, [], {}, "getcoloniesmsg", [1.5, {}], [True, {}], [-1, {}], [9999, {}], ["nosuchmsg", {}], [0, 1, 2]],
)
async def test_what_is_no_message_is_refused(node: Node, item: Any) -> None:
    status, message, code = await say(node, ALICE, item)
    assert status in (400, 403) and message and code in ("bad_request", "denied")


@pytest.mark.parametrize("body", [7, [], "x", {1.5: 1}, {None: 1}, {0: 1}, {0: b"x"}, {0: "a", "colonyname": "a"}])
async def test_a_body_of_another_form_is_refused_with_the_phrase_of_its_type(node: Node, body: Any) -> None:
    assert (await say(node, ALICE, ["getcolonymsg", body]))[:2] == [400, "Failed to get colony, invalid CBOR"]


async def test_large_payloads_are_deflated_both_ways(lab: Lab) -> None:
    sent = message(lab.node, ALICE, [SUBMIT, spec(lab, args=["a" * 10_000])])
    assert len(sent) < 1_000
    answer = await lab.node.post(sent, path="/cbor")
    assert len(answer.body) < 1_000
    assert told(answer, ALICE)[1][FIELD_NUMBERS["spec"]][FIELD_NUMBERS["args"]] == ["a" * 10_000]


async def test_a_bomb_is_not_inflated(node: Node) -> None:
    payload, deflated = cose.deflate(cbor2.dumps("a" * (limits.MAX_BODY + 1)))
    assert deflated and len(payload) < 1 << 20
    answer = await node.post(message(node, ALICE, "a" * (limits.MAX_BODY + 1)), path="/cbor")
    assert answer.status == 413
    assert told(answer, ALICE)[2] == "too_large"


@pytest.mark.parametrize("body", [b"", b"\xd2", b"{}", b"\xd2\x84\x40\xa0\x40\x40", cbor2.dumps(cbor2.CBORTag(18, []))])
async def test_what_is_no_cose_is_answered_in_cose(node: Node, body: bytes) -> None:
    answer = await node.post(body, path="/cbor")
    assert answer.status == 400
    assert told(answer)[2] == "bad_request"


async def test_a_client_without_a_key_may_ask_what_needs_none(node: Node) -> None:
    async with client(node, None) as nobody, client(node, None, "json") as json:
        assert await nobody.call("versionmsg") == await json.call("versionmsg")


async def test_the_same_key_is_the_same_caller_at_both_doors(node: Node) -> None:
    async with client(node, SERVER) as cbor:
        assert await cbor.call("addcolonymsg", colony={"name": "x", "colonyid": ALICE.id}) == {
            "name": "x",
            "colonyid": ALICE.id,
        }
    assert NODE_KEY.id == NODE.id
