"""Who reconciles blueprints, and whether they do: what `blueprint log` and `blueprint doctor` look at."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from colonies_node.cli.table import moment
from colonies_node.http.client import Client

Record = dict[str, Any]

SILENCE = timedelta(minutes=2)
"""An executor that was not heard from for longer is taken for away: twice the usual long poll."""

APPROVED = 1
MANY = 1_000_000
"""More crons than any colony has."""

INTERVAL = 60
"""Seconds between two runs of a cron whose handler names no number."""


@dataclass
class Colony:
    """What a colony knows about some of its blueprints."""

    blueprints: list[Record]
    definitions: list[Record]
    executors: list[Record]
    crons: set[str]

    def handler(self, blueprint: Record) -> Record:
        """The handler of a blueprint's kind; empty if there is none."""
        specs: list[Record] = [one["spec"] for one in self.definitions]
        handlers = (spec["handler"] for spec in specs if spec["names"]["kind"] == blueprint["kind"])
        return next(handlers, {})

    def hands(self, blueprint: Record) -> list[Record]:
        """The approved executors that may reconcile a blueprint where it is."""
        place = place_of(blueprint).lower()
        return [
            one
            for one in self.executors
            if one["executortype"] == self.handler(blueprint).get("executorType")
            and one["state"] == APPROVED
            and place in ("", one.get("locationname", "").lower())
        ]

    def reconcilers(self) -> list[Record]:
        """The executors that may reconcile any of the blueprints, each once."""
        found = {one["executorname"]: one for blueprint in self.blueprints for one in self.hands(blueprint)}
        return list(found.values())


async def look(client: Client, colony: str, name: str | None) -> Colony:
    """Ask for what there is to know about one blueprint, or all."""
    if name:
        blueprints = [await client.call("getblueprintmsg", namespace=colony, name=name)]
    else:
        blueprints = await client.call("getblueprintsmsg", namespace=colony) or []
    crons = await client.call("getcronsmsg", colonyname=colony, count=MANY) or []
    return Colony(
        blueprints=blueprints,
        definitions=await client.call("getblueprintdefinitionsmsg", colonyname=colony) or [],
        executors=await client.call("getexecutorsmsg", colonyname=colony) or [],
        crons={cron["name"] for cron in crons},
    )


async def examine(client: Client, colony: str, name: str | None, fix: bool) -> list[Record]:
    """A report for each blueprint: findings, and with `fix` what was done about them."""
    known = await look(client, colony, name)
    reports = []
    for blueprint in known.blueprints:
        findings = [{"ok": ok, "says": says} for ok, says in checks(known, blueprint, datetime.now(UTC))]
        done = []
        if fix and not all(finding["ok"] for finding in findings):
            done = [says async for says in _mend(client, known, blueprint)]
        place = place_of(blueprint)
        title = f"{name_of(blueprint)} ({blueprint['kind']}{f' at {place}' if place else ''})"
        reports.append({"blueprint": title, "findings": findings, "done": done})
    return reports


def checks(known: Colony, blueprint: Record, now: datetime) -> Iterator[tuple[bool, str]]:
    """(whether all is well, what was found), one after the other."""
    handler = known.handler(blueprint)
    type, function = handler.get("executorType"), handler.get("functionName")
    if not (type and function):
        yield False, f"the definition of {blueprint['kind']} names no executor type and function: nobody is sent"
        return
    yield True, f"executors of type {type} reconcile it, by {function}"
    at = f" at {place_of(blueprint)}" if place_of(blueprint) else ""
    hands = known.hands(blueprint)
    awake = [one["executorname"] for one in hands if now - moment(one["lastheardfromtime"]) < SILENCE]
    if not hands:
        yield False, f"no approved executor of type {type}{at}"
    elif not awake:
        yield False, f"not heard from for two minutes: {_some(one['executorname'] for one in hands)}"
    else:
        yield True, f"heard from within two minutes: {_some(awake)}"
    cron = cron_of(blueprint)
    yield cron in known.crons, f"cron {cron}" if cron in known.crons else f"no cron {cron}: it is not looked at again"
    if blueprint["kind"] == "ExecutorDeployment":
        wanted = (blueprint["spec"] or {}).get("replicas", 1)
        running = (blueprint.get("status") or {}).get("runningInstances", 0)
        yield running == wanted, f"{running} of {wanted} replicas are running"


async def _mend(client: Client, known: Colony, blueprint: Record) -> AsyncIterator[str]:
    """Do what can be done from here; yields what was."""
    handler, cron = known.handler(blueprint), cron_of(blueprint)
    if not (handler.get("executorType") and handler.get("functionName")):
        return
    colony = blueprint["metadata"]["colonyname"]
    if cron not in known.crons:
        node = {
            "nodename": f"{handler['executorType']}-{handler['functionName']}",
            "funcname": handler["functionName"],
            "kwargs": {"kind": blueprint["kind"]},
            "maxexectime": -1,
            "maxretries": -1,
            "conditions": {"executortype": handler["executorType"], "locationname": place_of(blueprint)},
        }
        added = {
            "name": cron,
            "colonyname": colony,
            "interval": handler.get("reconcileInterval") or INTERVAL,
            "waitforprevprocessgraph": True,
            "workflowspec": json.dumps({"colonyname": colony, "functionspecs": [node]}),
        }
        await client.call("addcronmsg", cron=added)
        known.crons.add(cron)
        yield f"cron {cron} is there again"
    process = await client.call("reconcileblueprintmsg", namespace=colony, name=name_of(blueprint), force=True)
    yield f"reconciliation is asked for: process {process['processid']}"


def name_of(blueprint: Record) -> str:
    """A blueprint's name."""
    return str(blueprint["metadata"]["name"])


def place_of(blueprint: Record) -> str:
    """The name of a blueprint's location; empty for any."""
    return str(blueprint["metadata"].get("locationname", ""))


def cron_of(blueprint: Record) -> str:
    """The name of the cron that has a blueprint reconciled."""
    place = place_of(blueprint)
    return f"reconcile-{blueprint['kind']}" + (f"-{place}" if place else "")


def _some(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    found = sorted(names)
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
