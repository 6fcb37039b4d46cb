"""What strangers and old tools may send to the door, and what the door keeps to itself."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

from colonies_node.core.model.wire import check_bounds
from tests.lab import Lab
from tests.node import ALICE, request


async def test_base64_with_line_breaks_is_read(lab: Lab) -> None:
    """Many tools break base64 after 76 characters; the signature covers the text as it was sent."""
    spec = {"funcname": "f" * 100, "conditions": {"colonyname": "lab", "executortype": "cli"}}
    payload = json.dumps({"msgtype": "submitfuncspecmsg", "spec": spec}).encode()
    text = base64.encodebytes(payload)
    assert b"\n" in text.strip()
    body = {
        "payloadtype": "submitfuncspecmsg",
        "payload": text.decode(),
        "signature": ALICE.signer.sign(text),
        "unknown": [[[]]],
    }
    answer = await lab.node.post(json.dumps(body).encode())
    assert answer.refusal is None
    assert answer.payload["spec"]["funcname"] == "f" * 100


async def test_a_server_that_stops_closes_the_connections_that_it_answers(lab: Lab) -> None:
    assert "connection" not in (await lab.node.post(request(ALICE, "versionmsg"))).headers
    lab.node.service.close()
    assert (await lab.node.post(request(ALICE, "versionmsg"))).headers["connection"] == "close"


def test_a_long_text_full_of_brackets_is_no_nesting() -> None:
    check_bounds(b'{"message":"' + b'[{\\"' * 200_000 + b'"}')


def test_nobody_pays_for_pages_and_metrics_before_they_are_asked_for() -> None:
    late = ("quart", "jinja2", "prometheus_client")
    program = f"import sys, colonies_node.node; print([name for name in {late} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-P", "-c", program], text=True) == "[]\n"
