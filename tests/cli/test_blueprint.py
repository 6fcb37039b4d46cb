"""Blueprints and locations on the command line, against a real server."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio

from colonies_node.cli.reconcilers import Colony, checks
from colonies_node.http.client import Client
from tests.cli.shell import Shell

DEFINITION = {
    "metadata": {"name": "lamps"},
    "spec": {
        "names": {"kind": "Lamp"},
        "handler": {"executorType": "fixer", "functionName": "reconcile"},
        "schema": {"properties": {"level": {"type": "number", "enum": [1, 2, 3]}}},
    },
}
LAMP = {
    "kind": "Lamp",
    "metadata": {"name": "hall", "locationname": "home", "labels": {"floor": "1"}},
    "spec": {"level": 1, "colours": ["red", {"r": 1}]},
}


@pytest.fixture
def home(dev: Shell, tmp_path: Path) -> Shell:
    """A shell of a colony without blueprints, where `fixer` stands at home."""
    for one in dev.record("blueprint ls"):
        dev.run("blueprint remove --yes", one["metadata"]["name"])
    for one in dev.record("blueprint definition ls"):
        dev.run("blueprint definition remove", one["metadata"]["name"])
    for one in dev.record("executor ls --type fixer"):
        dev.run("executor remove --yes", one["executorname"])
    dev.run("process removeall --waiting --yes")
    fixer = dev.record("key generate --out", str(tmp_path / "fixer.key"))["id"]
    name = f"fixer-{fixer[:8]}"
    dev.run("executor add --type fixer --location home --approve --name", name, "--executorid", fixer)
    return dev


def written(folder: Path, record: Any) -> str:
    path = folder / "record.json"
    path.write_text(json.dumps(record))
    return str(path)


def assign(shell: Shell, folder: Path) -> Any:
    return shell.record("process assign --timeout -1", "--prvkey", str(folder / "fixer.key"))


def test_a_blueprint_from_its_file_to_its_cleanup(home: Shell, tmp_path: Path) -> None:
    fixer = ("--prvkey", str(tmp_path / "fixer.key"))
    assert home.out("blueprint ls") == "No blueprints in colony dev."
    assert home.out("blueprint definition ls") == "No blueprint definitions in colony dev."
    assert "lamps of kind Lamp" in home.out("blueprint definition add --spec", written(tmp_path, DEFINITION))
    assert "fixer" in home.out("blueprint definition ls")
    assert '"enum": [' in home.out("blueprint definition get lamps")
    lamp = written(tmp_path, LAMP)
    assert home.out("blueprint add --spec", lamp) == "Blueprint hall of kind Lamp is added."
    process = assign(home, tmp_path)
    assert process["spec"]["kwargs"] == {"kind": "Lamp", "blueprintName": "hall"}
    home.run("log add -m lit -p", process["processid"], *fixer)
    home.run("process close", process["processid"], *fixer)
    assert home.out("blueprint log hall") == "lit"
    assert [entry["message"] for entry in home.record("blueprint log --count 1")] == ["lit"]

    assert "level is 3; it is at generation 1 now" in home.out("blueprint set hall --key spec.level --value 3")
    assert "it stays at generation 1" in home.out("blueprint set hall --key level --value 3.0")
    assert home.record("blueprint set hall --key colours.1.r --value", "dark red")["spec"]["colours"][1] == {
        "r": "dark red"
    }
    assert "it is at generation 3 now" in home.out("blueprint update --spec", lamp)
    assert "it stays at generation 3" in home.out("blueprint update --spec", lamp)
    assert "it is at generation 4 now" in home.out("blueprint update --force --spec", lamp)
    assert "red" in home.out("blueprint get hall")
    assert [one["metadata"]["generation"] for one in home.record("blueprint ls --kind Lamp --location HOME")] == [4]
    assert home.out("blueprint ls --location sea") == "No such blueprints in colony dev."
    assert [e["generation"] for e in home.record("blueprint history hall")] == [4, 3, 2, 1, 0]
    assert [e["generation"] for e in home.record("blueprint history hall --limit 2")] == [4, 3]
    assert "dark red" in home.out("blueprint history hall --generation 2")
    assert home.run("blueprint history hall -g 9", code=1)[1].startswith("Error: Blueprint hall has no change")

    home.run("process removeall --waiting --yes")
    assert home.out("blueprint reconcile hall --force") == assign(home, tmp_path)["processid"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO("no\n"))
        _, said = home.run("blueprint remove hall", code=1)
    assert said.endswith("Error: Nothing was removed.\n")
    assert "1 blueprint(s) of kind 'Lamp' still exist" in home.refused("blueprint definition remove lamps")
    home.run("blueprint remove hall --yes")
    assert assign(home, tmp_path)["spec"]["funcname"] == "cleanup"
    home.run("blueprint definition remove lamps")


def test_an_update_from_a_file_keeps_what_executors_reported(home: Shell, tmp_path: Path) -> None:
    home.run("blueprint definition add --spec", written(tmp_path, DEFINITION))
    lamp = written(tmp_path, LAMP)
    home.run("blueprint add --spec", lamp)
    reported = written(tmp_path, LAMP | {"status": {"lit": True}})
    home.run("blueprint update --spec", reported)
    assert home.record("blueprint update --spec", written(tmp_path, LAMP))["status"] == {"lit": True}


def test_what_is_no_blueprint_is_explained(home: Shell, tmp_path: Path) -> None:
    assert "`blueprint definition add` takes" in home.refused("blueprint add --spec", written(tmp_path, DEFINITION))
    assert "it has no 'spec.names.kind'" in home.refused("blueprint definition add --spec", written(tmp_path, LAMP))
    nameless = written(tmp_path, {"kind": "Lamp", "spec": {}})
    assert "'metadata.name' is missing" in home.refused("blueprint add --spec", nameless)
    home.run("blueprint definition add --spec", written(tmp_path, DEFINITION))
    lamp = written(tmp_path, LAMP)
    home.run("blueprint add --spec", lamp)
    for key, says in (
        ("volume", "spec has no volume: there is level, colours."),
        ("colours.2", "spec.colours has no 2: there is 0, 1."),
        ("level.x", "spec.level has no x."),
    ):
        assert home.refused("blueprint set hall --value 1 --key", key) == says
    assert "must be one of [1 2 3], got 7" in home.refused("blueprint set hall --key level --value 7")
    assert home.refused("blueprint get attic") == "Blueprint not found"


def test_the_doctor_finds_and_mends(home: Shell, tmp_path: Path) -> None:
    fixer = ("--prvkey", str(tmp_path / "fixer.key"))
    assert home.out("blueprint doctor") == "No blueprints in colony dev."
    home.run("blueprint definition add --spec", written(tmp_path, DEFINITION))
    home.run("blueprint add --spec", written(tmp_path, LAMP))
    sick, _ = home.run("blueprint doctor hall", code=1)
    assert "not heard from for two minutes: fixer-" in sick
    home.run("process ps", *fixer)
    well = home.out("blueprint doctor")
    assert "problem" not in well and "ok       cron reconcile-Lamp-home" in well
    call(home, "removecronmsg", cronid=cron_of(home)["cronid"])
    sick, _ = home.run("blueprint doctor --fix", code=1)
    assert "problem  no cron reconcile-Lamp-home" in sick and "is there again" in sick
    (report,) = home.record("blueprint doctor")
    assert all(finding["ok"] for finding in report["findings"])
    spec = json.loads(cron_of(home)["workflowspec"])["functionspecs"][0]
    assert (spec["kwargs"], spec["conditions"]["locationname"]) == ({"kind": "Lamp"}, "home")
    assert home.record("blueprint get hall")["metadata"]["generation"] == 1


def call(shell: Shell, msgtype: str, **fields: Any) -> Any:
    async def talk() -> Any:
        url = f"http://127.0.0.1:{shell.variables['COLONIES_SERVER_HTTP_PORT']}"
        async with Client(url, shell.variables["COLONIES_PRVKEY"]) as client:
            return await client.call(msgtype, **fields)

    return trio.run(talk)


def cron_of(shell: Shell) -> Any:
    crons = call(shell, "getcronsmsg", colonyname="dev", count=100)
    return next(cron for cron in crons if cron["name"] == "reconcile-Lamp-home")


NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def executor(name: str, heard: str = "2026-11-24T11:59:00Z", **more: Any) -> dict[str, Any]:
    return {"executorname": name, "executortype": "fixer", "state": 1, "lastheardfromtime": heard, **more}


@pytest.mark.parametrize(
    ("executors", "problem"),
    [
        ([], "no approved executor of type fixer at home"),
        ([executor("a", state=0, locationname="home")], "no approved executor of type fixer at home"),
        ([executor("a", locationname="sea")], "no approved executor of type fixer at home"),
        ([executor("a", locationname="home", executortype="cli")], "no approved executor of type fixer at home"),
        (
            [executor("a", "2026-11-24T11:57:00Z", locationname="HOME")],
            "not heard from for two minutes: a",
        ),
        ([executor("a", "2026-11-24T11:57:00Z", locationname="home"), executor("b", locationname="Home")], ""),
    ],
)
def test_the_doctor_looks_for_an_executor_that_is_there(executors: list[Any], problem: str) -> None:
    known = Colony([LAMP], [DEFINITION], executors, {"reconcile-Lamp-home"})
    assert [says for ok, says in checks(known, LAMP, NOW) if not ok] == ([problem] if problem else [])


def test_the_doctor_counts_the_replicas_of_a_deployment() -> None:
    handler = {"executorType": "fixer", "functionName": "f"}
    definition = {"spec": {"names": {"kind": "ExecutorDeployment"}, "handler": handler}}
    wanted = {"kind": "ExecutorDeployment", "metadata": {"name": "d"}, "spec": {"replicas": 2}}
    known = Colony([], [definition], [executor("a")], {"reconcile-ExecutorDeployment"})
    for running, ok in ((1, False), (2, True)):
        found = list(checks(known, wanted | {"status": {"runningInstances": running}}, NOW))
        assert found[-1] == (ok, f"{running} of 2 replicas are running")
    (found,) = checks(Colony([], [], [], set()), wanted, NOW)
    assert found == (
        False,
        "the definition of ExecutorDeployment names no executor type and function: nobody is sent",
    )


def test_locations_are_added_shown_and_removed(dev: Shell) -> None:
    dev.run("location add attic --desc Dusty --long 20.5 --lat -61")
    assert "20.5" in dev.out("location ls")
    place = dev.record("location get attic")
    assert (place["description"], place["long"], place["lat"]) == ("Dusty", 20.5, -61)
    assert len(place["locationid"]) == 64
    assert "Dusty" in dev.out("location get attic")
    assert "already exists" in dev.refused("location add attic")
    assert "is not in the range" in dev.refused("location add pole --lat 99", code=2)
    dev.run("location remove attic")
    assert "not found" in dev.refused("location remove attic")
