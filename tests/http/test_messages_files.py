"""Files over the wire: revisions, labels and snapshots, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab import Lab
from tests.node import ALICE, OWNER, SERVER, Party

LAB = {"colonyname": "lab"}


async def add(lab: Lab, label: str, name: str, **more: Any) -> Any:
    return await lab.node.call(ALICE, "addfilemsg", file={**LAB, "label": label, "name": name, **more})


async def test_every_add_is_a_revision_and_the_latest_is_current(lab: Lab) -> None:
    first = await add(lab, "/a", "f", size=1, checksum="one", ref={"s3object": {"object": "o1", "secretkey": "s"}})
    second = await add(lab, "/a", "f", size=2, checksum="two", ref={"protocol": "ftp", "s3object": {"object": "o2"}})
    other = await add(lab, "/a", "g")
    assert first["sequencenr"] < second["sequencenr"] < other["sequencenr"]
    assert second["ref"]["protocol"] == "s3"
    ask = lab.node.call
    name = LAB | {"label": "/a", "name": "f"}
    assert await ask(ALICE, "getfilemsg", **name, latest=True) == [second]
    assert await ask(ALICE, "getfilemsg", **name) == [second, first]
    assert await ask(ALICE, "getfilemsg", **LAB, fileid=first["fileid"]) == [first]
    assert await ask(ALICE, "getfilesmsg", **LAB, label="/a") == [
        {"name": "f", "checksum": "two", "size": 2, "s3filename": "o2"},
        {"name": "g", "checksum": "", "size": 0, "s3filename": ""},
    ]
    await ask(ALICE, "removefilemsg", **LAB, fileid=second["fileid"])
    assert await ask(ALICE, "getfilemsg", **name, latest=True) == [first]
    await ask(ALICE, "removefilemsg", **name)
    assert (await lab.node.ask(ALICE, "getfilemsg", **name)).refusal == (404, "Failed to get file")
    third = await add(lab, "/a", "f")
    assert third["sequencenr"] > other["sequencenr"]


async def test_labels_are_taken_literally(lab: Lab) -> None:
    for label in ("/a", "/a/b", "/ab", "/a%", "/a_", "/b/c"):
        await add(lab, label, "f")

    async def labels(name: str, exact: bool) -> list[str]:
        found = await lab.node.call(ALICE, "getfilelabelsmsg", **LAB, name=name, exact=exact)
        return [label["name"] for label in found or ()]

    assert await labels("", False) == ["/a", "/a%", "/a/b", "/a_", "/ab", "/b/c"]
    assert await labels("/a", False) == ["/a", "/a%", "/a/b", "/a_", "/ab"]
    assert await labels("/a", True) == ["/a", "/a/b"]
    assert await labels("/a%", True) == ["/a%"]
    assert await labels("/a_", False) == ["/a_"]
    assert await labels("/b", True) == []


async def test_a_snapshot_keeps_what_was_current(lab: Lab) -> None:
    await add(lab, "/a", "f")
    current = [(await add(lab, label, name))["fileid"] for label, name in (("/a", "f"), ("/a/b", "g"))]
    await add(lab, "/ab", "h")
    ask = lab.node.call
    snapshot = await ask(ALICE, "createsnapshotmsg", **LAB, label="/a/", name="s")
    assert (snapshot["label"], snapshot["fileids"]) == ("/a", current)
    await add(lab, "/a", "f")
    assert await ask(ALICE, "getsnapshotmsg", **LAB, name="s") == snapshot
    assert await ask(ALICE, "getsnapshotmsg", **LAB, snapshotid=snapshot["snapshotid"]) == snapshot
    empty = await ask(ALICE, "createsnapshotmsg", **LAB, label="/none", name="empty")
    assert empty["fileids"] is None
    assert {found["name"] for found in await ask(ALICE, "getsnapshotsmsg", **LAB)} == {"s", "empty"}
    await ask(ALICE, "removesnapshotmsg", **LAB, name="s")
    assert (await lab.node.ask(ALICE, "getsnapshotmsg", **LAB, name="s")).refusal == (
        500,
        "Snapshot not found with name <s> in Colony <lab> does not exists",
    )
    await ask(ALICE, "removeallsnapshotmsg", **LAB)
    assert await ask(ALICE, "getsnapshotsmsg", **LAB) is None


@pytest.mark.parametrize(
    ("msgtype", "fields", "status", "text"),
    [
        ("addfilemsg", {"file": LAB | {"name": "f", "size": -1}}, 400, "size must not be negative, got -1"),
        ("addfilemsg", {"file": LAB | {"label": "/a"}}, 400, "the file has no name"),
        ("addfilemsg", {"file": LAB | {"name": "f", "label": "/" * 5000}}, 400, "at most 4096 characters"),
        ("getfilemsg", LAB, 500, "malformatted get file msg"),
        ("getfilemsg", LAB | {"fileid": "0" * 64}, 400, "Failed to get file"),
        ("removefilemsg", LAB | {"label": "/a"}, 400, "malformatted remove file msg"),
        ("createsnapshotmsg", LAB | {"label": "/a", "name": "a:b"}, 400, "must not contain a colon"),
        ("createsnapshotmsg", LAB | {"label": "/a", "name": "taken"}, 500, "in Colony <lab> already exists"),
        ("getsnapshotmsg", LAB, 500, "Failed to get snapshot, malformatted msg"),
        ("removesnapshotmsg", LAB, 500, "Failed to remove snapsnot, malformatted msg"),
    ],
)
async def test_what_is_refused_changes_nothing(
    lab: Lab, msgtype: str, fields: dict[str, Any], status: int, text: str
) -> None:
    await lab.node.call(ALICE, "createsnapshotmsg", **LAB, label="/a", name="taken")
    before = lab.node.tables()
    refusal = (await lab.node.ask(ALICE, msgtype, **fields)).refusal
    assert refusal is not None
    assert refusal[0] == status
    assert text in refusal[1]
    assert lab.node.tables() == before


async def test_a_file_of_another_colony_is_not_shown(lab: Lab) -> None:
    file = await add(lab, "/a", "f")
    await lab.node.call(SERVER, "addcolonymsg", colony={"colonyid": OWNER.id, "name": "two"})
    bob = Party("bob")
    await lab.node.call(OWNER, "addusermsg", user={"colonyname": "two", "name": "bob", "userid": bob.id})
    answer = await lab.node.ask(bob, "getfilemsg", colonyname="two", fileid=file["fileid"])
    assert answer.refusal == (403, "msg.ColonyName mismatches file.ColonyName")
    await lab.node.call(bob, "removefilemsg", colonyname="two", fileid=file["fileid"])
    assert await lab.node.call(ALICE, "getfilemsg", **LAB, fileid=file["fileid"]) == [file]
