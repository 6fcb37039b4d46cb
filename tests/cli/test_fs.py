"""Files, labels and snapshots on the command line, against a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from colonies_node.cli.table import amount
from colonies_node.http.client import Client
from tests.cli.shell import Shell


def add(shell: Shell, label: str, name: str, size: int = 1) -> dict[str, Any]:
    """Add a revision, as clients do once the contents are in the object store."""
    store = {
        "server": "s3.lab:9000",
        "accesskey": "our access",
        "secretkey": "our secret",
        "bucket": "b",
        "object": "o",
    }
    file = {"label": label, "name": name, "size": size, "checksum": "c" * 64, "ref": {"s3object": store}}

    async def talk() -> Any:
        url = f"http://127.0.0.1:{shell.variables['COLONIES_SERVER_HTTP_PORT']}"
        async with Client(url, shell.variables["COLONIES_PRVKEY"]) as client:
            return await client.call("addfilemsg", file={**file, "colonyname": shell.variables["COLONIES_COLONY_NAME"]})

    added: dict[str, Any] = trio.run(talk)
    return added


@pytest.fixture
def files(dev: Shell) -> Shell:
    """A shell of a colony that knows no file and no snapshot."""
    for label in dev.record("fs label ls"):
        dev.run("fs label remove --yes", label["name"])
    dev.run("fs snapshot removeall --yes")
    return dev


def test_files_are_listed_shown_and_removed(files: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No files with label /a in colony dev" in files.out("fs ls --label /a")
    old, new = add(files, "/a", "f", 1), add(files, "/a", "f", 1536)
    add(files, "/a", "g")
    assert [line.split()[1:5] for line in files.out("fs ls /a").splitlines()[3:5]] == [
        ["f", "│", "1.5", "KiB"],
        ["g", "│", "1", "B"],
    ]
    monkeypatch.chdir(tmp_path)
    assert "this folder was never synced" in files.refused("fs ls", code=2)
    for wrong in ("{", "[]", '{"label": 7}', "{}"):
        (tmp_path / ".cfs").write_text(wrong)
        assert "names no label" in files.refused("fs ls")
    (tmp_path / ".cfs").write_text(json.dumps({"label": "/a"}))
    assert [file["name"] for file in files.record("fs ls")] == ["f", "g"]

    shown = files.out("fs info --label /a --name f")
    assert new["fileid"] in shown and "1.5 KiB" in shown and "s3.lab:9000" in shown
    assert "our secret" not in shown and "our access" not in shown
    assert old["fileid"] in files.out("fs info", old["fileid"])
    revisions = files.out("fs info -l /a -n f --revisions")
    assert revisions.index(new["fileid"]) < revisions.index(old["fileid"])
    assert [one["fileid"] for one in files.record("fs info -l /a -n f --revisions")] == [new["fileid"], old["fileid"]]
    for given in ((), ("--label", "/a"), (old["fileid"], "--name", "f")):
        assert "Give a FILEID, or --label and --name" in files.refused("fs info", *given, code=2)

    assert "Revision" in files.out("fs remove", new["fileid"])
    assert files.record("fs info -l /a -n f")[0]["fileid"] == old["fileid"]
    files.run("fs remove --label /a --name f")
    assert "Failed to get file" in files.refused("fs info -l /a -n f")


def test_a_label_goes_with_those_below_it_and_no_others(files: Shell) -> None:
    for label in ("/a", "/a", "/a/b", "/ab", "/a/b/c"):
        add(files, label, "f")
    assert {one["name"]: one["files"] for one in files.record("fs label ls")} == {
        "/a": 2,
        "/a/b": 1,
        "/a/b/c": 1,
        "/ab": 1,
    }
    assert [one["name"] for one in files.record("fs label ls /a/")] == ["/a/b", "/a/b/c"]
    _, asked = files.run("fs label remove /a", code=1)
    assert "Remove label /a and what is below it, 3 labels with 4 revisions of files?" in asked
    assert len(files.record("fs label ls")) == 4
    assert files.record("fs label remove /a/ --yes") == {}
    assert [one["name"] for one in files.record("fs label ls")] == ["/ab"]
    assert "nothing was removed" in files.refused("fs label remove /a --yes")
    assert "No labels that begin with /x" in files.out("fs label ls /x")


def test_snapshots_are_taken_shown_and_removed(files: Shell) -> None:
    kept, gone = add(files, "/a", "f"), add(files, "/a/b", "g")
    snapshotid = files.out("fs snapshot create first --label /a/")
    assert "already exists" in files.refused("fs snapshot create first --label /a")
    assert "Missing argument SNAPSHOTNAME" in files.refused("fs snapshot create --label /a", code=2)
    assert "it has no name" in files.refused("fs snapshot create --label /a --snapshotname", "")
    _, warned = files.run("fs snapshot create -l /none -n second")
    assert "the snapshot is empty" in warned
    assert {one["name"]: one["label"] for one in files.record("fs snapshot ls")} == {"first": "/a", "second": "/none"}
    assert snapshotid in files.out("fs snapshot ls")

    files.run("fs remove", gone["fileid"])
    lines = files.out("fs snapshot info first").splitlines()
    assert any(kept["fileid"] in line and "/a" in line for line in lines)
    assert any(gone["fileid"] in line and "(removed since)" in line for line in lines)
    assert files.record("fs snapshot info -i", snapshotid)["fileids"] == [kept["fileid"], gone["fileid"]]
    assert "Give a SNAPSHOTNAME or --snapshotid" in files.refused("fs snapshot info", code=2)
    assert "does not exists" in files.refused("fs snapshot info third")

    assert files.record("fs snapshot remove second") == {}
    assert "Remove all snapshots" in files.run("fs snapshot removeall", code=1)[1]
    files.run("fs snapshot removeall --yes")
    assert files.out("fs snapshot ls") == "No snapshots in colony dev."


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (1 << 62, "4194304.0 TiB")],
)
def test_sizes_are_shown_as_people_read_them(size: int, text: str) -> None:
    assert amount(size) == text
