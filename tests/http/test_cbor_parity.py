"""Every message type answers over CBOR what it answers over JSON, and does the same."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from trio.testing import MockClock

from colonies_node.core.broker.table import TABLE, Kind
from colonies_node.core.errors import Refused
from tests.http.cbor import client
from tests.http.test_messages_refused import EVERYBODY, RIGHTS, Town
from tests.interop.test_recordings import ENTRIES, PARTIES, RECORDINGS, SCENES, UNORDERED, Stage, masked
from tests.lab import Lab
from tests.node import Node, Party, open_node, settle

UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LOOKS = [name for name in RIGHTS if TABLE[name].kind in (Kind.READ, Kind.SCAN)]


@pytest.fixture
async def towns(tmp_path: Path, mock_clock: MockClock) -> AsyncIterator[list[Town]]:
    """Two nodes on which the same has happened."""
    async with AsyncExitStack() as stack:
        found = []
        for door in ("json", "cbor"):
            node = await stack.enter_async_context(open_node(tmp_path / door, mock_clock))
            found.append(await Town(await Lab(node).found()).build())
        yield found


async def ask(node: Node, door: Any, party: Party | None, msgtype: str, /, **fields: Any) -> Any:
    """The answer, or (status, message) of a refusal."""
    async with client(node, party, door) as caller:
        try:
            return await caller.call(msgtype, **fields)
        except Refused as no:
            return no.status, no.message


def shape(node: Node) -> dict[str, Any]:
    """What is stored, but for what differs from node to node: ids and times."""
    tables = node.tables()
    return {
        name: sorted(
            UUID.sub("an id", str([masked("", cell) if isinstance(cell, str) else cell for cell in row]))
            for row in rows
        )
        for name, rows in tables.items()
        if name not in ("remembered", "forgotten", "timelines")
    }


@pytest.mark.parametrize("msgtype", RIGHTS)
async def test_both_doors_give_the_same_answer_and_have_the_same_effect(towns: list[Town], msgtype: str) -> None:
    allowed, _ = RIGHTS[msgtype]
    for party in [one for one in EVERYBODY if one not in allowed] + sorted(allowed, key=EVERYBODY.index)[-1:]:
        answers = [
            await ask(town.node, door, party, msgtype, **town.requests[msgtype])
            for town, door in zip(towns, ("json", "cbor"), strict=True)
        ]
        json, cbor = (masked(msgtype, answer) for answer in answers)
        if msgtype in UNORDERED and isinstance(json, list):
            json, cbor = (sorted(answer, key=str) for answer in (json, cbor))
        assert cbor == json, party
        assert not isinstance(cbor, dict) or list(cbor) == list(json), "fields in another order"
        assert shape(towns[1].node) == shape(towns[0].node), party


@pytest.mark.parametrize("msgtype", LOOKS)
async def test_both_doors_of_one_node_tell_the_very_same(lab: Lab, msgtype: str) -> None:
    town = await Town(lab).build()
    party = min(RIGHTS[msgtype][0], key=EVERYBODY.index)
    json, cbor = [await ask(lab.node, door, party, msgtype, **town.requests[msgtype]) for door in ("json", "cbor")]
    assert msgspec.json.encode(cbor) == msgspec.json.encode(json)


@pytest.mark.parametrize(("msgtype", "number"), ENTRIES)
async def test_the_answer_over_cbor_is_the_recorded_one(
    node: Node, mock_clock: MockClock, msgtype: str, number: int
) -> None:
    entry = RECORDINGS[msgtype][number]
    sender, prepare = SCENES[msgtype][number]
    stage = Stage(node, entry)
    await prepare(stage)
    mock_clock.jump(1)
    asked = stage.translated(entry["request"])
    if asked.get("timeout"):
        mock_clock.autojump_threshold = 0.01
    asked.pop("msgtype")
    found = await ask(node, "cbor", PARTIES[sender], msgtype, _timeout=100.0, **asked)
    await settle()
    if entry["error"]:
        assert found == (entry["status"], entry["reply"]["message"])
        return
    given, recorded = masked(msgtype, found), masked(msgtype, entry["reply"])
    if msgtype == "getcoloniesmsg":  # the recorded server had others, and more of them
        assert {tuple(colony) for colony in given} == {tuple(colony) for colony in recorded}
    elif msgtype in UNORDERED and recorded:
        assert sorted(given, key=str) == sorted(recorded, key=str)
    else:
        assert given == recorded
