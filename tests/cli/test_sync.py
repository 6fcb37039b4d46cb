"""Links to upstream nodes on the command line, against a real server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from colonies_node.cli.sync import state, words
from colonies_node.cli.times import ago
from colonies_node.upstream import OPTIONS
from tests.cli.shell import Shell, program, until_ready

NOWHERE = "http://127.0.0.1:9"
"""An address where nobody answers: port 9 is that of the discard service."""

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The port of a running node, and its data folder."""
    folder = tmp_path_factory.mktemp("node")
    with program("serve", "--data", str(folder / "data"), "--port", "0", stderr=folder / "log") as child:
        _, port, _ = until_ready(child)
        yield port, folder / "data"


@pytest.fixture
def owner(shell: Shell, node: tuple[str, Path]) -> Shell:
    """A shell of the node's owner, with a colony `lab` and no upstreams."""
    port, data = node
    shell.variables = {
        "COLONIES_SERVER_HTTP_PORT": port,
        "COLONIES_SERVER_PRVKEY": str(data / "server.key"),
        "COLONIES_COLONY_NAME": "lab",
    }
    if "lab" not in shell.out("colony ls"):
        shell.run("colony add --name lab --colonyid", "c" * 64)
    for one in shell.record("sync ls"):
        shell.run("sync remove --force --yes", one["upstream"]["name"])
    return shell


def test_a_link_from_its_beginning_to_its_end(owner: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert owner.out("sync ls") == "This node has no upstreams: `colonies-node sync add` links it to one."
    assert owner.out("sync status") == owner.out("sync ls")
    assert owner.record("sync ls") == []
    out, err = owner.run("sync add base --as pi1 --url", NOWHERE)
    assert out.startswith("Upstream base is added. It gets what nothing here can run.\n")
    assert "That is --offload missing" in err
    assert "colonies-node executor add --name pi1 --type node --executorid " in out
    assert f"The owner of colony lab at {NOWHERE} lets this node in with" in out
    listed = owner.out("sync ls")
    assert NOWHERE in listed and "not connected" in listed
    assert "is tried now" in owner.out("sync now base")
    assert owner.out("sync pause base") == "The link to base is paused."
    assert "paused" in owner.out("sync ls")
    assert "`colonies-node sync resume base`" in owner.refused("sync now base")
    assert owner.out("sync resume base") == "The link to base goes on."
    assert owner.record("sync status base")[0]["paused"] is False
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO("no\n"))
        assert owner.run("sync rm base", code=1)[1].endswith("Error: Nothing was removed.\n")
    assert owner.out("sync rm base --yes") == "Upstream base is removed."
    assert owner.record("sync ls") == []


def test_every_option_reaches_the_node_as_it_was_given(owner: Shell, tmp_path: Path) -> None:
    added = owner.record(
        f"sync add base --url {NOWHERE} --colony lab --upstream-colony big --key {tmp_path}/pi.key --as pi1 --type pi"
        " --offload missing --accept gpu --accept hpc --record --order priority --budget 5M --window 7 --free 3"
        f" --node {'d' * 64} --protocol cbor --upstream-tls-verify false --offload",
        "waited > 10m and not charging",
    )
    assert added == {
        "name": "base",
        "url": NOWHERE,
        "colonyname": "lab",
        "upstreamcolony": "big",
        "keyfile": f"{tmp_path}/pi.key",
        "executorname": "pi1",
        "executortype": "pi",
        "offload": ["missing", "waited > 10m and not charging"],
        "window": 7,
        "accept": ["gpu", "hpc"],
        "free": 3,
        "record": True,
        "order": "priority",
        "budget": 5_000_000,
        "protocol": "cbor",
        "nodeid": "d" * 64,
        "tlsverify": "false",
    }
    (one,) = owner.record("sync status base")
    assert one["upstream"] == added
    card = owner.out("sync status base")
    for text in ("lab, there big", "waited > 10m and not charging", "gpu, hpc", "by priority", f"{tmp_path}/pi.key"):
        assert text in card


def test_the_defaults_are_those_that_the_help_names(owner: Shell) -> None:
    added = owner.record("sync add base --url", NOWHERE)
    named = {name: option.default for name, option in OPTIONS.items()}
    assert (str(added["window"]), str(added["free"])) == (named["window"], named["free"])
    assert (added["executortype"], added["order"]) == (named["type"], named["order"])
    assert added["offload"] == ["missing"] and added["upstreamcolony"] == "lab" and added["executorname"]
    assert (added["budget"], added["tlsverify"], added["record"], added["keyfile"]) == (0, "", False, "")


def test_a_link_that_takes_or_tells_gives_nothing_by_itself(owner: Shell) -> None:
    out, err = owner.run("sync add base --accept gpu --accept hpc --record --url", NOWHERE)
    assert out.startswith("Upstream base is added. It gives work of type gpu or hpc and is told what ended here.\n")
    assert err == ""
    assert not owner.record("sync status base")[0]["upstream"]["offload"]


def test_adding_again_changes_the_link(owner: Shell) -> None:
    owner.run("sync add base --offload missing --window 5 --url", NOWHERE)
    assert "Upstream base is changed." in owner.out("sync add base --accept gpu --url", NOWHERE)
    (one,) = owner.record("sync ls")
    assert (one["upstream"]["accept"], one["upstream"]["window"]) == (["gpu"], 1000)


def test_who_lets_the_node_in_is_told_the_id_of_its_key(owner: Shell, tmp_path: Path) -> None:
    keyid = owner.record("key generate --out", str(tmp_path / "pi.key"))["id"]
    out = owner.out(f"sync add base --key {tmp_path}/pi.key --url", NOWHERE)
    assert f"--executorid {keyid} --approve" in out and "ID is" not in out
    out = owner.out(f"sync add base --key {tmp_path}/elsewhere.key --url", NOWHERE)
    assert "--executorid ID --approve" in out
    assert f"ID is what `colonies-node key id {tmp_path}/elsewhere.key` prints on the node's machine." in out


def test_a_key_file_is_named_by_its_whole_path(owner: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    added = owner.record("sync add base --key pi.key --upstream-tls-verify ca.pem --url", NOWHERE)
    assert (added["keyfile"], added["tlsverify"]) == (str(tmp_path / "pi.key"), str(tmp_path / "ca.pem"))


def test_a_key_itself_is_not_sent_and_not_shown(owner: Shell) -> None:
    key = "e" * 64
    said = owner.refused(f"sync add base --key {key} --url", NOWHERE)
    assert said == "--key must name a key file on the node's machine: a key itself does not travel."
    assert owner.record("sync ls") == []


@pytest.mark.parametrize(
    ("flags", "says", "code"),
    [
        ("", "Missing option '--url'", 2),
        ("--url ftp://base", "must begin with http:// or https://, got 'ftp://base'", 1),
        (f"--url {NOWHERE} --window 0", "--window must be a whole number from 1 to 100000, not '0'.", 1),
        (f"--url {NOWHERE} --budget much", "--budget must be bytes, such as 500000, 5M or 512Ki, not 'much'.", 1),
        (f"--url {NOWHERE} --order newest", "--order must be oldest or priority, not 'newest'.", 1),
        (f"--url {NOWHERE} --protocol grpc", "--protocol must be cbor or json, not 'grpc'.", 1),
        (f"--url {NOWHERE} --node me", "--node must be an id of 64 hexadecimal characters, not 'me'.", 1),
        (f"--url {NOWHERE} --offload batery", "battery", 1),
        (f"--url {NOWHERE} --colony moon", "Colony with name <moon> does not exists", 1),
    ],
)
def test_what_is_no_link_is_explained(owner: Shell, flags: str, says: str, code: int) -> None:
    assert says in owner.refused(f"sync add base {flags}", code=code)
    assert owner.record("sync ls") == []


def test_the_colony_comes_from_the_setting_wherever_that_is_set(owner: Shell, tmp_path: Path) -> None:
    del owner.variables["COLONIES_COLONY_NAME"]
    says = owner.refused("sync add base --url", NOWHERE)
    assert says == "Name of the colony is missing: set COLONIES_COLONY_NAME or give --colony."
    (tmp_path / "node.toml").write_text("colony_name = 'lab'")
    added = owner.record(f"sync add base --config {tmp_path}/node.toml --url", NOWHERE)
    assert added["colonyname"] == "lab"


@pytest.mark.parametrize("verb", ["status", "pause", "resume", "now", "remove --yes"])
def test_an_upstream_that_is_not_there_is_named(owner: Shell, verb: str) -> None:
    says = owner.refused(f"sync {verb} base")
    assert says == "There is no upstream base: `colonies-node sync ls` lists the upstreams."


@pytest.mark.parametrize("verb", ["ls", "status", "pause base", "remove base --yes", f"add base --url {NOWHERE}"])
def test_without_the_owners_key_it_is_said_where_that_is(owner: Shell, tmp_path: Path, verb: str) -> None:
    del owner.variables["COLONIES_SERVER_PRVKEY"]
    says = owner.refused(f"sync {verb}")
    assert "set COLONIES_SERVER_PRVKEY" in says and "in its data folder, as server.key" in says
    owner.run("key generate --out", str(tmp_path / "other.key"))
    owner.variables["COLONIES_SERVER_PRVKEY"] = str(tmp_path / "other.key")
    assert "the key of the node's owner, server.key in its data folder" in owner.refused(f"sync {verb}")


# -- what is shown of a link that works --------------------------------------------------------------------------------


def status(**more: Any) -> dict[str, Any]:
    """How a link is that was heard of ten seconds ago."""
    upstream = {
        "name": "base",
        "url": "http://base",
        "colonyname": "lab",
        "upstreamcolony": "lab",
        "keyfile": "",
        "executorname": "pi1",
        "executortype": "node",
        "offload": ["missing"],
        "accept": [],
        "record": False,
        "window": 1000,
        "free": 16,
    }
    return {
        "upstream": upstream,
        "nodeid": "",
        "ownid": "",
        "paused": False,
        "source": "",
        "connected": True,
        "since": "2026-11-24T11:00:00Z",
        "why": "",
        "lastexchange": "2026-11-24T11:59:50Z",
        "waiting": 0,
        "waitingbytes": 0,
        "oldest": "0001-01-01T00:00:00Z",
        "away": 0,
        "taken": 0,
        "sent": 0,
        "received": 0,
        "note": "",
        **more,
    }


def test_a_link_that_works_says_since_when() -> None:
    shown = words(status(), NOW)
    assert str(shown["State"]).startswith("connected since 2026-11-24") and "(1h ago)" in str(shown["State"])
    assert "(10s ago)" in str(shown["Last exchange"])
    assert shown["To tell"] == "nothing"


def test_a_link_that_is_down_says_since_when_and_why() -> None:
    shown = str(words(status(connected=False, why="no answer from http://base: refused"), NOW)["State"])
    assert shown.startswith("not connected since 2026-11-24")
    assert shown.endswith("(1h ago): no answer from http://base: refused")


def test_a_link_that_has_been_silent_for_too_long_is_not_called_connected() -> None:
    assert state(status(lastexchange="2026-11-24T11:57:01Z"), NOW) == "connected"
    assert state(status(lastexchange="2026-11-24T11:55:50Z"), NOW) == "stale: last heard 4m 10s ago"
    assert words(status(lastexchange="2026-11-24T11:55:50Z"), NOW)["State"] == "stale: last heard 4m 10s ago"
    assert state(status(lastexchange="2026-11-24T11:55:50Z", paused=True), NOW) == "paused"
    assert state(status(lastexchange="0001-01-01T00:00:00Z"), NOW) == "connected"


def test_what_waits_in_a_link_is_counted() -> None:
    shown = words(
        status(
            waiting=3, waitingbytes=2048, oldest="2026-11-24T11:00:00Z", away=2, taken=1, sent=4096, note="told again"
        ),
        NOW,
    )
    assert str(shown["To tell"]).startswith("3 processes, about 2.0 KiB, the oldest submitted 2026-11-24")
    assert shown["Away"] == "2 of at most 1000, running or waiting there"
    assert shown["Taken"] == "1 of at most 16, running or waiting here"
    assert shown["Sent"] == "4.0 KiB since the node started"
    assert (shown["Received"], shown["Note"]) == ("", "told again")


def test_a_time_that_is_over_says_how_long() -> None:
    assert ago("0001-01-01T00:00:00Z") == ""
    assert ago("2026-11-24T11:59:00Z", NOW).endswith("(1m ago)")
    assert ago("2026-11-24T12:00:05Z", NOW).endswith("(now)")
