"""Blueprints over the wire: kinds, generations, history, and the work that makes them true (protocol/blueprints.md)."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from colonies_node.core import limits
from tests.lab import Lab
from tests.node import ALICE, NEVER, OWNER, SERVER, STRANGER, Node, Party, settle

LAB, THERE = {"colonyname": "lab"}, {"namespace": "lab"}
HANDLER = {"executorType": "fixer", "functionName": "reconcile"}


async def define(lab: Lab, kind: str = "Lamp", handler: Any = HANDLER, schema: Any = None, name: str = "") -> Any:
    definition = {
        "metadata": {"colonyname": lab.name, "name": name or f"{kind}s"},
        "spec": {"names": {"kind": kind}, "handler": handler, "schema": schema},
    }
    return await lab.node.call(lab.owner, "addblueprintdefinitionmsg", blueprintdefinition=definition)


def lamp(name: str = "one", spec: Any = None, kind: str = "Lamp", colony: str = "lab", **about: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"colonyname": colony, "name": name, **about}, "spec": spec or {"on": True}}


async def add(lab: Lab, *args: Any, by: Party | None = None, **more: Any) -> Any:
    return await lab.node.call(by or lab.user, "addblueprintmsg", blueprint=lamp(*args, colony=lab.name, **more))


async def update(lab: Lab, *args: Any, by: Party | None = None, force: bool = False, **more: Any) -> Any:
    return await lab.node.call(
        by or lab.user, "updateblueprintmsg", blueprint=lamp(*args, colony=lab.name, **more), forcegeneration=force
    )


async def crons(lab: Lab) -> dict[str, Any]:
    found = await lab.node.call(lab.user, "getcronsmsg", colonyname=lab.name, count=100)
    return {cron["name"]: cron for cron in found}


async def waiting(lab: Lab) -> list[Any]:
    """The specs of what waits, oldest first."""
    found = await lab.node.call(lab.user, "getprocessesmsg", colonyname=lab.name, count=100, state=0)
    return [process["spec"] for process in found or ()]


async def history(lab: Lab, blueprint: Any, **more: Any) -> list[Any]:
    found = await lab.node.call(lab.user, "getblueprinthistorymsg", blueprintid=blueprint["blueprintid"], **more)
    return found or []


async def test_a_reconciler_is_told_what_changed_and_keeps_looking(lab: Lab, mock_clock: MockClock) -> None:
    await define(lab)
    fixer = await lab.join("fixer", "fixer", locationname="home")
    elsewhere = await lab.join("elsewhere", "fixer", locationname="sea")
    await add(lab, locationname="home")

    async def work(kwargs: dict[str, Any], funcname: str = "reconcile") -> None:
        given = await lab.assign(fixer)
        assert (given["spec"]["funcname"], given["spec"]["kwargs"]) == (funcname, kwargs)
        assert given["initiatorname"] == "alice"
        await lab.close(fixer, given)

    assert (await lab.node.ask(elsewhere, "assignprocessmsg", **LAB, timeout=-1)).status == 404
    one = {"kind": "Lamp", "blueprintName": "one"}
    await work(one)
    await lab.node.call(fixer, "updateblueprintstatusmsg", **LAB, blueprintname="one", status={"lit": True})
    assert (await lab.node.call(fixer, "getblueprintmsg", **THERE, name="one"))["status"] == {"lit": True}
    for _ in range(2):
        mock_clock.jump(60)
        await settle()
        await work({"kind": "Lamp"})
    await update(lab, "one", {"on": False}, locationname="home")
    await work(one)
    asked = await lab.node.call(ALICE, "reconcileblueprintmsg", **THERE, name="one", force=True)
    assert asked["spec"]["conditions"]["locationname"] == "home"
    await work(one | {"force": True})
    await lab.node.call(ALICE, "removeblueprintmsg", **THERE, name="one")
    await work(one, "cleanup")
    assert await crons(lab) == {}
    mock_clock.jump(600)
    await settle()
    assert await waiting(lab) == []


async def test_what_the_owner_adds_is_reconciled_in_the_name_of_the_colony(lab: Lab, mock_clock: MockClock) -> None:
    await define(lab)
    fixer = await lab.join("fixer", "fixer")
    one = {"kind": "Lamp", "blueprintName": "one"}

    async def work(funcname: str, kwargs: dict[str, Any]) -> None:
        given = await lab.assign(fixer)
        assert (given["initiatorid"], given["initiatorname"]) == (OWNER.id, "lab")
        assert (given["spec"]["funcname"], given["spec"]["kwargs"]) == (funcname, kwargs)
        await lab.close(fixer, given)

    await add(lab, by=OWNER)
    await work("reconcile", one)
    mock_clock.jump(60)
    await settle()
    await work("reconcile", {"kind": "Lamp"})
    await update(lab, "one", {"on": False}, by=OWNER)
    await work("reconcile", one)
    await lab.node.call(OWNER, "removeblueprintmsg", **THERE, name="one")
    await work("cleanup", one)


async def test_generations_count_changes_of_the_spec(lab: Lab) -> None:
    await define(lab)
    first = await add(lab, "one", {"a": 1, "b": {"x": 1, "y": [1, None]}}, labels={"room": "hall"})
    assert "generation" not in first["metadata"]
    assert first["metadata"]["createdAt"] == first["metadata"]["lastReconciliationTime"] == NEVER
    same = await update(lab, "one", {"b": {"y": [1.0, None], "x": 1}, "a": 1}, generation=77)
    assert same["blueprintid"] == first["blueprintid"]
    assert "generation" not in same["metadata"] and "labels" not in same["metadata"]
    assert (await update(lab, "one", {"a": True, "b": 0}))["metadata"]["generation"] == 1
    assert (await update(lab, "one", {"a": 1, "b": 0}))["metadata"]["generation"] == 2
    assert (await update(lab, "one", {"a": 1, "b": 0}, force=True))["metadata"]["generation"] == 3
    await lab.node.call(ALICE, "reconcileblueprintmsg", **THERE, name="one", force=True)
    assert (await lab.node.call(ALICE, "getblueprintmsg", **THERE, name="one"))["metadata"]["generation"] == 4
    entries = await history(lab, first)
    assert [(e["generation"], e["changetype"]) for e in entries] == [
        (3, "update"),
        (2, "update"),
        (1, "update"),
        (0, "create"),
    ]
    assert entries[-1]["spec"] == {"a": 1, "b": {"x": 1, "y": [1, None]}}
    assert {(e["namespace"], e["name"], e["changedby"]) for e in entries} == {("lab", "one", ALICE.id)}
    assert await history(lab, first, limit=2) == entries[:2]
    assert await history(lab, first, limit=-1) == entries


async def test_an_update_that_leaves_out_the_status_erases_it_and_the_history_keeps_it(lab: Lab) -> None:
    await define(lab)
    ann = await lab.join("ann")
    one = await add(lab)
    status = {"lit": True, "since": [1, {"a": None}]}
    for report in ({"old": 1}, status):
        await lab.node.call(ann, "updateblueprintstatusmsg", **LAB, blueprintname="one", status=report)
    found = await lab.node.call(ALICE, "getblueprintmsg", **THERE, name="one")
    assert found["status"] == status
    assert "generation" not in found["metadata"]
    found["spec"] = {"on": False}
    await lab.node.call(ALICE, "updateblueprintmsg", blueprint=found)
    assert (await history(lab, one))[0]["status"] == status
    await update(lab)
    assert "status" not in await lab.node.call(ALICE, "getblueprintmsg", **THERE, name="one")
    await lab.node.call(ann, "updateblueprintstatusmsg", **LAB, blueprintname="one", status=None)


async def test_a_new_blueprint_of_the_same_name_starts_anew(lab: Lab) -> None:
    await define(lab)
    first = await add(lab)
    await lab.node.call(ALICE, "removeblueprintmsg", **THERE, name="one")
    refused = await lab.node.ask(ALICE, "getblueprinthistorymsg", blueprintid=first["blueprintid"])
    assert refused.refusal == (404, "Blueprint not found")
    second = await add(lab)
    assert second["blueprintid"] != first["blueprintid"]
    chosen = await lab.node.call(ALICE, "addblueprintmsg", blueprint=lamp("two") | {"blueprintid": "mine"})
    assert chosen["blueprintid"] == "mine"
    assert [entry["changetype"] for entry in await history(lab, chosen)] == ["create"]


async def test_one_cron_serves_a_kind_at_a_place_and_goes_with_the_last_blueprint(lab: Lab) -> None:
    await define(lab)
    await define(lab, "Fan", {"executorType": "fixer", "functionName": "blow", "reconcileInterval": 7})
    for name, more in (("one", {}), ("two", {}), ("three", {"locationname": "home"})):
        await add(lab, name, **more)
    await add(lab, "fan", kind="Fan")
    found = await crons(lab)
    assert {name: cron["interval"] for name, cron in found.items()} == {
        "reconcile-Lamp": 60,
        "reconcile-Lamp-home": 60,
        "reconcile-Fan": 7,
    }
    assert all(cron["waitforprevprocessgraph"] for cron in found.values())
    for name, left in (("one", 3), ("two", 2), ("three", 1), ("fan", 0)):
        await lab.node.call(ALICE, "removeblueprintmsg", **THERE, name=name)
        assert len(await crons(lab)) == left


async def test_a_blueprint_that_moves_takes_its_cron_along(lab: Lab) -> None:
    await define(lab)
    await define(lab, "Fan")
    await add(lab, "one", locationname="home")
    await add(lab, "two", locationname="home")
    before = len(await waiting(lab))
    moved = await update(lab, "one", locationname="sea")
    assert "generation" not in moved["metadata"]
    assert set(await crons(lab)) == {"reconcile-Lamp-home", "reconcile-Lamp-sea"}
    last = (await waiting(lab))[before:]
    assert [(spec["kwargs"]["blueprintName"], spec["conditions"]["locationname"]) for spec in last] == [("one", "sea")]
    await update(lab, "two", kind="Fan", locationname="home")
    assert set(await crons(lab)) == {"reconcile-Fan-home", "reconcile-Lamp-sea"}
    places = await lab.node.call(ALICE, "getlocationsmsg", **LAB)
    assert {place["name"]: place["description"] for place in places} == {
        "home": "Auto-created from blueprint one",
        "sea": "Auto-created from blueprint one",
    }


async def test_a_kind_without_a_handler_is_kept_and_nobody_is_sent(lab: Lab) -> None:
    await define(lab, handler={"executorType": "fixer"})
    await define(lab, "Note", handler=None)
    await add(lab)
    await add(lab, "note", kind="Note")
    await update(lab, "one", {"on": False})
    assert await crons(lab) == {}
    assert await waiting(lab) == []
    for name, missing in (("one", "function name"), ("note", "executor type")):
        before = lab.node.tables()
        refused = await lab.node.ask(ALICE, "reconcileblueprintmsg", **THERE, name=name, force=True)
        assert refused.refusal == (400, f"Blueprint has no handler with {missing} defined")
        assert lab.node.tables() == before
    for name in ("one", "note"):
        await lab.node.call(ALICE, "removeblueprintmsg", **THERE, name=name)
    assert [spec["funcname"] for spec in await waiting(lab)] == ["cleanup"]


async def test_two_kinds_never_share_a_cron_by_its_name(lab: Lab) -> None:
    await define(lab)
    await define(lab, "Lamp-home")
    await add(lab, "one", locationname="home")
    before = lab.node.tables()
    refused = (await lab.node.ask(ALICE, "addblueprintmsg", blueprint=lamp("two", kind="Lamp-home"))).refusal
    assert refused == (
        409,
        "failed to create reconciliation cron: there is a cron 'reconcile-Lamp-home' for something else",
    )
    assert lab.node.tables() == before


async def test_lists_are_by_name_and_empty_ones_as_clients_know_them(lab: Lab) -> None:
    ask = lab.node.call
    assert await ask(ALICE, "getblueprintdefinitionsmsg", **LAB) == []
    assert await ask(ALICE, "getblueprintsmsg", **THERE) is None
    await define(lab, "Lamp")
    await define(lab, "Fan")
    for name, kind, place in (("c", "Lamp", "Home"), ("a", "Lamp", ""), ("b", "Fan", "home")):
        await add(lab, name, kind=kind, locationname=place)

    async def names(**fields: Any) -> list[str]:
        found = await ask(OWNER, "getblueprintsmsg", **THERE, **fields)
        return [blueprint["metadata"]["name"] for blueprint in found or ()]

    assert await names() == ["a", "b", "c"]
    assert await names(locationname="home") == ["a", "b", "c"]
    assert await names(kind="Lamp") == ["a", "c"]
    assert await names(kind="Lamp", locationname="HOME") == ["c"]
    assert await names(kind="Door") == []
    definitions = await ask(OWNER, "getblueprintdefinitionsmsg", **LAB)
    assert [definition["metadata"]["name"] for definition in definitions] == ["Fans", "Lamps"]


async def test_the_first_definition_of_a_kind_by_name_counts(lab: Lab) -> None:
    await define(lab, schema={"required": ["watt"]}, name="b")
    await define(lab, schema={"required": ["volt"]}, name="a")
    refused = (await lab.node.ask(ALICE, "addblueprintmsg", blueprint=lamp())).refusal
    assert refused == (400, "blueprint validation failed: required field 'volt' is missing")


async def test_times_come_back_in_the_form_that_strict_clients_parse(lab: Lab) -> None:
    await define(lab)
    about = {"createdAt": "2026-01-02t03:04:05z", "updatedAt": "", "lastReconciliationTime": "0001-13-77T00:00:00Z"}
    shown = (await add(lab, **about))["metadata"]
    assert shown["createdAt"] == "2026-01-02T03:04:05Z"
    assert shown["updatedAt"] == shown["lastReconciliationTime"] == NEVER


async def test_the_latest_changes_are_kept_and_older_ones_go(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BLUEPRINT_HISTORY", 3)
    await define(lab)
    one, other = await add(lab), await add(lab, "other")
    for number in range(4):
        await update(lab, "one", {"number": number})
    assert [entry["generation"] for entry in await history(lab, one)] == [4, 3, 2]
    assert [entry["generation"] for entry in await history(lab, other)] == [0]


async def test_a_list_that_no_reply_can_hold_is_refused_and_a_history_ends_there(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await define(lab)
    for name in "abc":
        one = await add(lab, name, {"text": "x" * 400})
    for number in range(3):
        await update(lab, "c", {"text": "x" * 400, "number": number})
    monkeypatch.setattr(limits, "MAX_REPLY", 1600)
    refused = (await lab.node.ask(ALICE, "getblueprintsmsg", **THERE)).refusal
    assert refused is not None and refused[1].endswith("ask for those of a kind at a location, or for one by name")
    assert [entry["generation"] for entry in await history(lab, one)] == [3, 2]


LONG = "x" * 257


@pytest.mark.parametrize(
    ("msgtype", "fields", "status", "text"),
    [
        ("addblueprintmsg", {"blueprint": lamp(kind="")}, 400, "blueprint kind is required"),
        (
            "addblueprintmsg",
            {"blueprint": lamp(kind="Door")},
            400,
            "BlueprintDefinition for kind 'Door' not found in namespace 'lab'",
        ),
        (
            "addblueprintmsg",
            {"blueprint": lamp(spec={"level": "high"})},
            400,
            "blueprint validation failed: field 'level' must be a number, got string",
        ),
        ("addblueprintmsg", {"blueprint": lamp()}, 409, "blueprint with name 'one' already exists in colony 'lab'"),
        (
            "addblueprintmsg",
            {"blueprint": lamp("two") | {"blueprintid": "taken"}},
            409,
            "blueprint with id 'taken' already exists",
        ),
        ("addblueprintmsg", {"blueprint": lamp("")}, 400, "Failed to add blueprint, metadata.name is empty"),
        ("addblueprintmsg", {"blueprint": lamp("a:b")}, 400, "The name of a blueprint must not contain a colon"),
        (
            "addblueprintmsg",
            {"blueprint": lamp("two", locationname="a:b")},
            400,
            "The name of a location must not contain a colon",
        ),
        ("addblueprintmsg", {"blueprint": lamp(LONG)}, 400, "at most 256 characters, got 257"),
        ("addblueprintmsg", {"blueprint": lamp("two") | {"blueprintid": LONG}}, 400, "at most 256 characters, got 257"),
        ("addblueprintmsg", {"blueprint": lamp("two", generation=-1)}, 400, "generation must be from 0 to"),
        ("addblueprintmsg", {"blueprint": lamp("two", createdAt="today")}, 400, "metadata.createdAt is not a time"),
        ("addblueprintmsg", {"blueprint": lamp("two", {"a": "x" * (1 << 20)})}, 400, "at most 1048576 characters"),
        ("updateblueprintmsg", {"blueprint": lamp("no")}, 404, "blueprint 'no' not found in namespace 'lab'"),
        ("updateblueprintmsg", {"blueprint": lamp(kind="")}, 400, "blueprint kind is required"),
        ("updateblueprintmsg", {"blueprint": lamp(kind="Door")}, 400, "for kind 'Door' not found in namespace 'lab'"),
        ("updateblueprintmsg", {"blueprint": lamp(spec={"level": None})}, 400, "must be a number, got <nil>"),
        ("getblueprintmsg", THERE | {"name": "no"}, 404, "Blueprint not found"),
        ("removeblueprintmsg", THERE | {"name": "no"}, 404, "Blueprint not found"),
        ("reconcileblueprintmsg", THERE | {"name": "no"}, 404, "Blueprint not found"),
        ("updateblueprintstatusmsg", LAB | {"blueprintname": "no"}, 404, "Blueprint not found"),
        (
            "updateblueprintstatusmsg",
            LAB | {"blueprintname": "one", "status": {"a": "x" * (1 << 20)}},
            400,
            "at most 1048576 characters",
        ),
        ("getblueprintdefinitionmsg", LAB | {"name": "no"}, 404, "Blueprint definition not found"),
    ],
)
async def test_what_members_are_refused_changes_nothing(
    lab: Lab, msgtype: str, fields: dict[str, Any], status: int, text: str
) -> None:
    await define(lab, schema={"properties": {"level": {"type": "number"}}})
    await lab.node.call(ALICE, "addblueprintmsg", blueprint=lamp() | {"blueprintid": "taken"})
    await refuse(lab.node, ALICE, msgtype, fields, status, text)


async def refuse(node: Node, party: Party, msgtype: str, fields: dict[str, Any], status: int, text: str) -> None:
    before = node.tables()
    refusal = (await node.ask(party, msgtype, **fields)).refusal
    assert refusal is not None
    assert refusal[0] == status
    assert text in refusal[1]
    assert node.tables() == before


def kind_of(name: str = "two", kind: str = "Door", **handler: Any) -> dict[str, Any]:
    spec = {"names": {"kind": kind}, "handler": handler}
    return {"blueprintdefinition": {"metadata": LAB | {"name": name}, "spec": spec}}


@pytest.mark.parametrize(
    ("msgtype", "fields", "status", "text"),
    [
        (
            "addblueprintdefinitionmsg",
            kind_of("Lamps"),
            500,
            "pq: duplicate key value violates unique constraint",
        ),
        ("addblueprintdefinitionmsg", kind_of(""), 400, "metadata.name is empty"),
        ("addblueprintdefinitionmsg", kind_of(kind=""), 400, "spec.names.kind is empty"),
        ("addblueprintdefinitionmsg", kind_of("a:b"), 400, "must not contain a colon"),
        ("addblueprintdefinitionmsg", kind_of(kind="a:b"), 400, "must not contain a colon"),
        ("addblueprintdefinitionmsg", kind_of(executorType=LONG), 400, "at most 256 characters, got 257"),
        ("addblueprintdefinitionmsg", kind_of(functionName=LONG), 400, "at most 256 characters, got 257"),
        ("addblueprintdefinitionmsg", kind_of(reconcileInterval=-1), 400, "reconcileInterval must be a number"),
        ("addblueprintdefinitionmsg", kind_of(reconcileInterval=10**10), 400, "reconcileInterval must be a number"),
        (
            "removeblueprintdefinitionmsg",
            THERE | {"name": "no"},
            404,
            "BlueprintDefinition 'no' not found in namespace 'lab'",
        ),
        (
            "removeblueprintdefinitionmsg",
            THERE | {"name": "Lamps"},
            409,
            "cannot remove BlueprintDefinition 'Lamps': 1 blueprint(s) of kind 'Lamp' still exist",
        ),
    ],
)
async def test_what_the_owner_is_refused_changes_nothing(
    lab: Lab, msgtype: str, fields: dict[str, Any], status: int, text: str
) -> None:
    await define(lab)
    await add(lab)
    await refuse(lab.node, OWNER, msgtype, fields, status, text)


async def test_a_definition_goes_once_its_blueprints_are_gone(lab: Lab) -> None:
    kept = await define(lab)
    assert await lab.node.call(ALICE, "getblueprintdefinitionmsg", **LAB, name="Lamps") == kept
    await add(lab)
    await lab.node.call(ALICE, "removeblueprintmsg", **THERE, name="one")
    await lab.node.call(OWNER, "removeblueprintdefinitionmsg", **THERE, name="Lamps")
    assert await lab.node.call(ALICE, "getblueprintdefinitionsmsg", **LAB) == []


async def test_colonies_know_nothing_of_each_other(lab: Lab) -> None:
    other = await Lab(lab.node, "other", Party("the owner of other"), Party("bea")).found()
    await define(other, handler={"executorType": "spy", "functionName": "spy"}, name="A")
    await define(other, "Door")
    await define(lab)
    one = await add(lab)
    for msgtype, fields in (
        ("getblueprintmsg", THERE | {"name": "one"}),
        ("getblueprintsmsg", THERE),
        ("updateblueprintmsg", {"blueprint": lamp()}),
        ("removeblueprintmsg", THERE | {"name": "one"}),
        ("getblueprinthistorymsg", {"blueprintid": one["blueprintid"]}),
    ):
        for party in (other.user, other.owner, STRANGER, SERVER):
            await refuse(lab.node, party, msgtype, fields, 403, "Access denied, not colony owner")
    stolen = {"blueprint": lamp(colony="other") | {"blueprintid": one["blueprintid"]}}
    await refuse(lab.node, other.user, "addblueprintmsg", stolen, 409, "already exists")
    await refuse(lab.node, ALICE, "addblueprintmsg", {"blueprint": lamp("two", kind="Door")}, 400, "namespace 'lab'")
    await lab.node.call(ALICE, "reconcileblueprintmsg", **THERE, name="one")
    await lab.node.call(ALICE, "removeblueprintmsg", **THERE, name="one")
    assert {spec["conditions"]["executortype"] for spec in await waiting(lab)} == {"fixer"}
    assert await waiting(other) == []


@pytest.mark.parametrize("party", [STRANGER, OWNER, ALICE])
async def test_a_colony_that_is_not_there_is_named(lab: Lab, party: Party) -> None:
    for msgtype, fields in (
        ("getblueprintsmsg", {"namespace": "nowhere"}),
        ("addblueprintmsg", {"blueprint": lamp(colony="nowhere")}),
        ("getblueprintdefinitionsmsg", {"colonyname": "nowhere"}),
        ("reconcileblueprintmsg", {"namespace": "nowhere", "name": "one"}),
    ):
        refused = await lab.node.ask(party, msgtype, **fields)
        assert refused.refusal == (403, "Colony with name <nowhere> does not exists")
    assert (await lab.node.ask(party, "getblueprintsmsg")).refusal == (403, "Empty Colony name")
