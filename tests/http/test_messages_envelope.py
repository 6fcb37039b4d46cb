"""The envelope of the JSON door and what is around it (core.md, section 2; clients.md, 3.1)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from colonies_node.core import limits
from tests.lab import Lab
from tests.node import ALICE, OWNER, SERVER, Node, Party, request

SIGNATURE_LENGTH = (403, "Invalid signature length")


def signed(party: Party, payload: bytes, /, **fields: Any) -> bytes:
    """An envelope around any payload text, honest but for `fields`."""
    envelope = {"payloadtype": "getcoloniesmsg", "payload": payload.decode(), "signature": party.signer.sign(payload)}
    return json.dumps(envelope | fields).encode()


PAYLOAD = base64.b64encode(b'{"msgtype":"getcoloniesmsg"}')


async def test_an_answer_is_text_with_all_three_fields(lab: Lab) -> None:
    for answer, error in ((await lab.node.ask(SERVER, "getcoloniesmsg"), False), (await lab.node.post(b"{}"), True)):
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["content-length"] == str(len(answer.body))
        assert answer.envelope.keys() == {"payloadtype", "payload", "error"}
        assert answer.envelope["error"] is error
        assert answer.status == (403 if error else 200)


@pytest.mark.parametrize("content_type", [None, b"application/json", b"plain/text", b"image/png"])
async def test_the_content_type_of_a_request_is_ignored(lab: Lab, content_type: bytes | None) -> None:
    headers = [(b"content-type", content_type)] if content_type else []
    assert (await lab.node.post(request(SERVER, "getcoloniesmsg"), headers=headers)).refusal is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"not JSON",
        b"\x00\xff",
        b'{"payloadtype":1}',
        b'{"payloadtype":"a","payload":{}}',
        b'{"payloadtype":"a","signature":false}',
        b"{}{}",
        b'{"payloadtype":"\xff"}',
        b'{"x":' * 100_000 + b"1" + b"}" * 100_000,
    ],
)
async def test_a_body_that_is_no_envelope_is_refused_with_a_sentence(lab: Lab, body: bytes) -> None:
    before = lab.node.tables()
    refused = (await lab.node.post(body)).refusal
    assert refused is not None
    assert refused[0] == 400
    assert refused[1]
    assert "Traceback" not in refused[1]
    assert lab.node.tables() == before


async def test_an_empty_body_gets_the_text_that_clients_know(node: Node) -> None:
    assert (await node.post(b"")).refusal == (400, "unexpected end of JSON input")


async def test_unknown_fields_and_the_case_of_names_do_not_matter(lab: Lab) -> None:
    envelope = json.loads(signed(SERVER, PAYLOAD))
    loud = {name.upper(): value for name, value in envelope.items()} | {"more": [1, None]}
    assert (await lab.node.post(json.dumps(loud).encode())).refusal is None


async def test_fields_of_an_old_client_do_not_matter(lab: Lab) -> None:
    answer = await lab.node.ask(SERVER, "getcoloniesmsg", tag="GetColonies", colonyid="", executorid=None)
    assert answer.refusal is None


@pytest.mark.parametrize(
    "payloadtype", ["getnodemsg", "GETCOLONIESMSG", "getcoloniesmsg ", "<script>", "ö", "subscribeprocessmsg"]
)
async def test_an_unknown_type_is_named(lab: Lab, payloadtype: str) -> None:
    answer = await lab.node.post(signed(SERVER, PAYLOAD, payloadtype=payloadtype))
    assert answer.refusal == (403, f"invalid rpcMsg.PayloadType: {payloadtype}")


async def test_a_missing_type_gets_advice(lab: Lab) -> None:
    refused = (await lab.node.post(signed(SERVER, PAYLOAD, payloadtype=""))).refusal
    assert refused == (
        403,
        "invalid rpcMsg.PayloadType: empty (this usually means the client is misconfigured - check that"
        " COLONIES_PRVKEY and other environment variables are set correctly)",
    )


@pytest.mark.parametrize("payloadtype", ["getcoloniesmsg", "unknownmsg", ""])
@pytest.mark.parametrize(
    ("signature", "refusal"),
    [
        ("", SIGNATURE_LENGTH),
        (None, SIGNATURE_LENGTH),
        ("00", SIGNATURE_LENGTH),
        ("zz", (403, "encoding/hex: invalid byte: U+007A 'z'")),
        ("00" * 65, (403, "Failed to recover public key: invalid signature")),
    ],
)
async def test_the_signature_is_looked_at_before_the_type(
    node: Node, payloadtype: str, signature: str | None, refusal: tuple[int, str]
) -> None:
    answer = await node.post(signed(SERVER, PAYLOAD, payloadtype=payloadtype, signature=signature))
    assert answer.refusal == refusal


async def test_a_signature_over_another_payload_is_somebody_elses(node: Node) -> None:
    other = base64.b64encode(b'{"msgtype":"getcoloniesmsg","more":1}').decode()
    answer = await node.post(signed(SERVER, PAYLOAD, payload=other))
    assert answer.refusal == (403, "Access denied, not server owner")


async def test_a_signature_in_upper_case_is_the_same(node: Node) -> None:
    answer = await node.post(signed(SERVER, PAYLOAD, signature=SERVER.signer.sign(PAYLOAD).upper()))
    assert answer.refusal is None


@pytest.mark.parametrize("payload", [b"", b"!!!!", b"eyJtc2d0eXBlIjoi", b"eyJtc2d0eXBl*", b"bm90IEpTT04="])
async def test_a_payload_that_is_not_base64_of_json_is_refused(node: Node, payload: bytes) -> None:
    answer = await node.post(signed(SERVER, payload))
    assert answer.refusal == (400, "Failed to get colonies, invalid JSON")


async def test_a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not(lab: Lab) -> None:
    """DEVIATIONS 24."""
    small = request(SERVER, "getcoloniesmsg")
    padded = small[:-1] + b"," + b'"x":"' + b"x" * (limits.MAX_BODY - len(small) - 7) + b'"}'
    assert len(padded) == limits.MAX_BODY
    assert (await lab.node.post(padded)).refusal is None
    refused = (await lab.node.post(padded + b" ")).refusal
    assert refused == (413, "The request is larger than 20 MiB: send it in smaller parts")


async def test_a_payload_nested_too_deep_is_refused(lab: Lab) -> None:
    """DEVIATIONS 24."""
    deep: Any = []
    for _ in range(limits.MAX_NESTING):
        deep = [deep]
    before = lab.node.tables()
    spec = {"funcname": "f", "args": deep, "conditions": {"colonyname": "lab"}}
    answer = await lab.node.ask(ALICE, "submitfuncspecmsg", spec=spec)
    assert answer.refusal == (400, "Failed to submit process, invalid JSON")
    assert lab.node.tables() == before


async def test_angle_brackets_and_the_rest_of_unicode_come_back_as_they_were(lab: Lab) -> None:
    texts = ["<a href='x'>&</a>", "\u2028\u2029", "\x00\x1f", "😀", "ö", '"\\']
    process = await lab.submit(args=texts)
    assert process["spec"]["args"] == texts


async def test_an_empty_reply_is_an_object(lab: Lab) -> None:
    assert await lab.node.call(OWNER, "pauseassignmentsmsg", colonyname="lab") == {}


async def test_the_reply_type_is_the_requests_but_for_the_pause_status(lab: Lab) -> None:
    for msgtype, replytype in (("getusersmsg", "getusersmsg"), ("getpausestatusmsg", "pausestatusreplymsg")):
        answer = await lab.node.ask(ALICE, msgtype, colonyname="lab")
        assert answer.envelope["payloadtype"] == replytype


async def test_health_is_an_empty_200(node: Node) -> None:
    answer = await node.post(b"", method="GET", path="/health")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api"),
        ("HEAD", "/health"),
        ("POST", "/health"),
        ("PUT", "/api"),
        ("OPTIONS", "/api"),
        ("GET", "/nowhere"),
    ],
)
async def test_anything_else_is_not_found(node: Node, method: str, path: str) -> None:
    answer = await node.post(b"", method=method, path=path)
    assert answer.status == 404
    if method != "HEAD":
        assert answer.body == b"404 page not found"
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(("method", "status"), [("GET", 301), ("POST", 307)])
async def test_a_slash_too_many_is_redirected(node: Node, method: str, status: int) -> None:
    answer = await node.post(b"", method=method, path="/api/")
    assert answer.status == status
    assert answer.headers["location"].endswith("/api")


FOREIGN = (b"origin", b"https://pages.example")


@pytest.mark.parametrize("path", ["/api", "/health", "/pubsub", "/nowhere"])
async def test_a_browser_on_another_site_may_ask_first(node: Node, path: str) -> None:
    answer = await node.post(b"", method="OPTIONS", path=path, headers=[FOREIGN])
    assert (answer.status, answer.body) == (204, b"")
    expected = {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS",
        "access-control-allow-headers": "Origin,Content-Length,Content-Type",
        "access-control-max-age": "43200",
    }
    assert expected.items() <= answer.headers.items()


async def test_a_browser_on_another_site_may_read_answers_and_errors(lab: Lab) -> None:
    ann = await lab.join("ann")
    for body in (
        request(SERVER, "getcoloniesmsg"),
        request(ALICE, "getcoloniesmsg"),
        request(ann, "assignprocessmsg", colonyname="lab", timeout=-1),
        b"",
    ):
        answer = await lab.node.post(body, headers=[FOREIGN])
        assert answer.headers["access-control-allow-origin"] == "*"
        same_site = await lab.node.post(body, headers=[(b"origin", b"http://node.test")])
        assert "access-control-allow-origin" not in same_site.headers
