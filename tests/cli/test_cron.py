"""Crons and generators on the command line, against a real server with an executor."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from colonies_node.cli.spec import node_names
from colonies_node.cli.times import ahead
from tests.cli.shell import PATIENCE_S, Shell


@pytest.fixture
def colony(dev: Shell) -> Iterator[Shell]:
    """A shell of a colony without crons and generators."""
    yield dev
    for cron in dev.record("cron ls"):
        dev.run("cron remove", cron["cronid"])
    for generator in dev.record("generator ls"):
        dev.run("generator remove", generator["generatorid"])


def spec(folder: Path, func: str = "echo", **more: Any) -> str:
    """A file with a workflow of two processes for the executor of `dev`."""
    conditions = {"executortype": "cli"}
    nodes = [
        {"nodename": "first", "funcname": func, "conditions": conditions, **more},
        {"nodename": "then", "funcname": "echo", "conditions": {**conditions, "dependencies": ["first"]}},
    ]
    path = folder / "workflow.json"
    path.write_text(json.dumps(nodes))
    return str(path)


def ended(shell: Shell, workflowid: str) -> Any:
    """The workflow once it has succeeded."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        graph = shell.record("workflow get", workflowid)
        if graph["state"] == 2:
            return graph
        assert graph["state"] < 2
    raise AssertionError("it did not end")


def test_a_cron_from_its_file_to_its_workflow(colony: Shell, tmp_path: Path) -> None:
    file = spec(tmp_path)
    out, err = colony.run("cron add nightly --cron @daily --spec", file)
    cronid = out.strip()
    assert err.startswith("next run: 2") and " (in " in err
    assert "already exists" in colony.refused("cron add nightly --cron @hourly --spec", file)
    listed = colony.out("cron ls")
    assert "nightly" in listed and "@daily" in listed and cronid in listed
    assert colony.record("cron get", cronid)["interval"] == -1
    workflowid = colony.out("cron run", cronid)
    ended(colony, workflowid)
    card = colony.out("cron get", cronid)
    assert workflowid in card and "first, then" in card and "Last run" in card
    assert "is removed" in colony.out("cron remove", cronid)
    assert colony.out("cron ls") == "No crons in colony dev."
    for verb in ("get", "run", "remove"):
        assert "`colonies-node cron ls` lists the crons" in colony.refused(f"cron {verb}", cronid)


def test_a_cron_that_waits_for_the_one_before_says_so(colony: Shell, tmp_path: Path) -> None:
    added = colony.record("cron add often --interval 1h30m --waitprevious --spec", spec(tmp_path, "sleep", args=["60"]))
    assert (added["interval"], added["waitforprevprocessgraph"], added["random"]) == (5400, True, False)
    assert "every 1h 30m" in colony.out("cron ls")
    workflowid = colony.record("cron run", added["cronid"])["prevprocessgraphid"]
    assert f"the workflow before, {workflowid}, has not ended" in colony.refused("cron run", added["cronid"])
    colony.run("workflow cancel", workflowid)
    assert colony.out("cron run", added["cronid"]) != workflowid
    colony.run("workflow cancel", colony.record("cron get", added["cronid"])["prevprocessgraphid"])


@pytest.mark.parametrize(
    ("flags", "says", "code"),
    [
        ("", "Give --cron or --interval.", 2),
        ("--cron @hourly --interval 5", "Give --cron or --interval.", 2),
        ("--cron @hourly --random", "--random needs --interval.", 2),
        ("--interval soon", "'soon' must be seconds, or a duration such as 10m or 1h30m", 2),
        ("--interval 0", "Cron interval must be -1 (disabled) or larger than 0", 1),
        ("--cron @never", "unrecognized descriptor: @never", 1),
    ],
)
def test_what_is_no_cron_is_explained(colony: Shell, tmp_path: Path, flags: str, says: str, code: int) -> None:
    assert says in colony.refused(f"cron add c {flags} --spec", spec(tmp_path), code=code)
    assert colony.record("cron ls") == []


def test_a_line_of_a_crontab_is_told_what_it_lacks(colony: Shell, tmp_path: Path) -> None:
    said = colony.refused("cron add c --spec", spec(tmp_path), "--cron", "30 3 * * *")
    assert said.endswith("seconds come first; put a 0 before a line of a crontab.")
    assert colony.record("cron add c --random --interval 1d --spec", spec(tmp_path))["random"] is True
    assert "at random in 1d" in colony.out("cron ls")


@pytest.mark.parametrize("add", ["cron add c --cron @hourly --spec", "generator add g --trigger 1 --spec"])
def test_a_file_that_holds_no_workflow_is_explained(colony: Shell, tmp_path: Path, add: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"funcname": "f"}))
    assert "a workflow is an array of them: put [ and ] around it" in colony.refused(add, str(path))
    path.write_text('"f"')
    assert "holds no JSON array; a workflow is an array of function specs" in colony.refused(add, str(path))
    path.write_text(json.dumps([{"funcname": "f"}]))
    assert "Nodename is missing" in colony.refused(add, str(path))
    assert colony.record(f"{add.split(maxsplit=1)[0]} ls") == []


def test_a_generator_gives_what_was_packed_to_its_workflow(colony: Shell, tmp_path: Path) -> None:
    generatorid = colony.out("generator add images --trigger 3 --timeout 5m --spec", spec(tmp_path))
    assert colony.out("generator pack images --arg one --arg two") == "2 arguments are packed."
    card = colony.out("generator get", generatorid)
    assert "2 of 3 arguments" in card and "5m" in card and "first, then" in card
    before = {process["processid"] for process in colony.record("process ls --count 100")}
    assert colony.record("generator pack --arg three", generatorid) == {}
    assert colony.record("generator get images")["queuesize"] == 0
    until = time.monotonic() + PATIENCE_S
    started: list[Any] = []
    while not started and time.monotonic() < until:
        listed = colony.record("process ls --count 100")
        started = [one for one in listed if one["processid"] not in before and one["spec"]["nodename"] == "first"]
    (first,) = started
    assert first["spec"]["args"] == ["one", "two", "three"]
    ended(colony, first["processgraphid"])
    assert generatorid in colony.out("generator ls")
    assert "already exists" in colony.refused("generator add images --trigger 1 --spec", spec(tmp_path))
    assert "Generator images is removed" in colony.out("generator remove images")
    assert colony.out("generator ls") == "No generators in colony dev."
    for verb in ("get", "remove", "pack --arg x"):
        assert "`colonies-node generator ls` lists" in colony.refused(f"generator {verb}", generatorid)
        assert "`colonies-node generator ls` lists" in colony.refused(f"generator {verb}", "images")


def test_a_generator_without_a_timeout_waits_for_ever(colony: Shell, tmp_path: Path) -> None:
    assert colony.record("generator add g --trigger 3 --spec", spec(tmp_path))["timeout"] == -1
    assert "never" in colony.out("generator ls")
    assert "range" in colony.refused("generator add h --trigger 0 --spec", spec(tmp_path), code=2)


def test_a_time_ahead_says_how_far() -> None:
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
    assert ahead("0001-01-01T00:00:00Z") == ""
    assert ahead("2026-11-24T13:30:05.5Z", noon).endswith("(in 1h 30m)")
    assert ahead("2026-11-24T12:00:00Z", noon).endswith("(now)")


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"functionspecs": [7]}', '{"functionspecs": 7}'])
def test_a_spec_that_another_server_let_in_is_shown_without_its_nodes(text: str) -> None:
    assert node_names(text) == ""
