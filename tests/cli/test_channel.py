"""Channels on the command line, against a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.shell import Shell


@pytest.fixture
def processid(dev: Shell, tmp_path: Path) -> str:
    """A waiting process with a channel."""
    spec = tmp_path / "spec.json"
    conditions = {"executortype": "nobody"}
    spec.write_text(json.dumps({"funcname": "f", "conditions": conditions, "channels": ["chat"]}))
    return dev.out("function submit --spec", str(spec))


def test_what_is_said_is_read(dev: Shell, processid: str, tmp_path: Path) -> None:
    dev.run("channel append --name chat --msg hello --sequence 1", processid)
    picture = tmp_path / "picture"
    picture.write_bytes(b"\x00\xff")
    said = dev.out("channel append --name chat --sequence 2 --inreplyto 1 --type error --file", str(picture), processid)
    assert said == "Entry 2 is on the channel chat."
    dev.run("channel append --name chat --msg last", processid)
    one, two, three = dev.record("channel read --name chat", processid)
    assert (one["sequence"], one["payload"], one["type"]) == (1, "aGVsbG8=", "data")
    assert (two["inreplyto"], two["payload"], two["type"]) == (1, "AP8=", "error")
    assert three["sequence"] > 1_000_000
    shown = dev.out("channel read --name chat", processid)
    assert all(text in shown for text in ("hello", "(2 bytes)", "error", "last"))
    assert dev.out("channel read --name chat --raw --afterseq 2", processid) == "last"
    assert len(dev.record("channel read --name chat --limit 1", processid)) == 1


def test_what_cannot_be_said_is_told(dev: Shell, processid: str) -> None:
    assert "Give --msg or --file." in dev.refused("channel append --name chat", processid, code=2)
    assert "Channel not found" in dev.refused("channel append --msg x --name other", processid)
    dev.run("process cancel", processid)
    assert "Channel not found" in dev.refused("channel read --name chat", processid)
