"""Workflows on the command line, against a real server."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from colonies_node.cli.workflow import MAX_DRAWN, drawn
from tests.cli.shell import Shell, program, until_ready


@pytest.fixture
def lab(shell: Shell, tmp_path: Path) -> Iterator[Shell]:
    """A shell of a user of colony `lab`, in which `pi1` may take work."""
    with program("serve", "--data", str(tmp_path / "data"), "--port", "0", stderr=tmp_path / "log") as child:
        _, port, _ = until_ready(child)
        keys = {name: str(tmp_path / f"{name}.key") for name in ("lab", "ada", "pi1")}
        ids = {name: shell.record("key generate --out", path)["id"] for name, path in keys.items()}
        shell.variables = {
            "COLONIES_SERVER_HTTP_PORT": port,
            "COLONIES_SERVER_PRVKEY": str(tmp_path / "data" / "server.key"),
            "COLONIES_COLONY_NAME": "lab",
            "COLONIES_COLONY_PRVKEY": keys["lab"],
            "COLONIES_PRVKEY": keys["ada"],
        }
        shell.run("colony add --name lab --colonyid", ids["lab"])
        shell.run("user add --name ada --userid", ids["ada"])
        shell.run("executor add pi1 --type cli --approve --executorid", ids["pi1"])
        yield shell
    assert "Traceback" not in (tmp_path / "log").read_text()


def spec_file(folder: Path, nodes: dict[str, list[str]]) -> str:
    path = folder / "workflow.json"
    specs = [
        {"nodename": name, "funcname": "f", "conditions": {"executortype": "cli", "dependencies": after}}
        for name, after in nodes.items()
    ]
    path.write_text(json.dumps(specs))
    return str(path)


def test_a_workflow_from_its_file_to_its_end(lab: Shell, tmp_path: Path) -> None:
    diamond = spec_file(tmp_path, {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]})
    workflowid = lab.out("workflow submit --spec", diamond)
    lines = lab.out("workflow get", workflowid).splitlines()
    assert lines[0] == f"Waiting workflow {workflowid} of ada"
    assert [line.split("  Waiting")[0] for line in lines[2:]] == ["a", "├─ b", "│  └─ d", "└─ c"]
    assert lines[4].endswith("(also after c)")
    executor = ("--prvkey", str(tmp_path / "pi1.key"))
    for _ in range(4):
        process = lab.record("process assign --timeout -1", *executor)
        assert lab.out("workflow ps --ids") == workflowid
        lab.run("process close --out", process["spec"]["nodename"], process["processid"], *executor)
    assert lab.record("process get", process["processid"])["in"] == ["b", "c"]
    assert lab.out("workflow pss --ids") == workflowid
    assert "ended" in lab.out("workflow get", workflowid).splitlines()[1]
    assert [graph["processgraphid"] for graph in lab.record("workflow pss")] == [workflowid]
    lab.run("workflow remove", workflowid)
    assert lab.out("workflow pss") == "No successful workflows in colony lab."


def test_cancel_wait_and_removeall(lab: Shell, tmp_path: Path) -> None:
    pair = spec_file(tmp_path, {"a": [], "b": ["a"]})
    workflowid = lab.out("workflow submit --spec", pair)
    assert "is cancelled" in lab.out("workflow cancel", workflowid)
    assert lab.out("workflow psc --ids") == workflowid
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO("no\n"))
        _, said = lab.run("workflow removeall --cancelled", code=1)
    assert said.endswith("Error: Nothing was removed.\n")
    assert lab.out("workflow psc --ids") == workflowid
    lab.run("workflow removeall --cancelled --yes")
    assert lab.record("workflow psc") == []


def test_what_is_no_workflow_is_explained(lab: Shell, tmp_path: Path) -> None:
    circle = spec_file(tmp_path, {"a": ["b"], "b": ["a"]})
    assert "these nodes wait for each other: a -> b -> a" in lab.refused("workflow submit --spec", circle)
    assert "is expected" in lab.refused("function submit --spec", circle)
    single = tmp_path / "one.json"
    single.write_text(json.dumps({"funcname": "f"}))
    assert "`function submit` takes" in lab.refused("workflow submit --spec", str(single))
    assert "graph is nil" in lab.refused("workflow get", "0" * 64)


def test_a_large_drawing_ends_with_how_much_is_left_out() -> None:
    nodes = [{"id": f"p{n}", "data": {"label": f"n{n}"}, "style": {"background": "#eee8d8"}} for n in range(10_000)]
    edges = [{"source": f"p{n}", "target": f"p{n + 1}"} for n in range(9_999)]
    lines = drawn({"nodes": nodes, "edges": edges, "rootprocessids": ["p0"]})
    assert len(lines) == MAX_DRAWN + 1
    assert lines[-1] == f"and {10_000 - MAX_DRAWN} more processes; --json shows all"
