"""A function spec from what a user typed, or from a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from colonies_node.cli.executor import read_json, read_object

UNLIMITED = -1


def pairs(text: str, sign: str, flag: str) -> dict[str, str]:
    """`a:1,b:2` (or with = for :) as a mapping; click.BadParameter if a part has no sign."""
    found = {}
    for part in filter(None, text.split(",")):
        key, separator, value = part.partition(sign)
        if not separator or not key:
            raise click.BadParameter(f"{part!r} must be KEY{sign}VALUE.", param_hint=flag)
        found[key] = value
    return found


def typed(
    colony: str, func: str, targettype: str, targets: Sequence[str], args: Sequence[str], **more: Any
) -> dict[str, Any]:
    """A spec with every field that the wire has; `more` holds its other fields, and further conditions."""
    conditions = {
        "colonyname": colony,
        "executornames": list(targets) or None,
        "executortype": targettype,
        "locationname": more.pop("location"),
        "dependencies": [],
        "nodes": 0,
        "cpu": more.pop("cpu"),
        "processes": 0,
        "processespernode": 0,
        "mem": more.pop("mem"),
        "storage": "",
        "gpu": {"name": "", "mem": "", "count": 0, "nodecount": 0},
        "walltime": 0,
    }
    nothing = {"mount": "", "snapshots": None, "dirs": None}
    return {
        "nodename": func,
        "funcname": func,
        "args": list(args),
        "conditions": conditions,
        "fs": nothing,
        **more,
    }


def from_file(path: str, colony: str) -> dict[str, Any]:
    """The function spec in a JSON file; the colony that is set stands in where the file names none.

    A missing time limit becomes "unlimited", as with the reference's command line: its server takes 0 for 0.
    """
    spec = read_object(path)
    if isinstance(spec.get("functionspecs"), list):
        raise click.ClickException(f"{path} holds a workflow; a function spec is expected.")
    if not spec.get("funcname"):
        raise click.ClickException(f"{path} is no function spec: it has no 'funcname'.")
    conditions = spec.get("conditions") or {}
    if not isinstance(conditions, dict):
        raise click.ClickException(f"{path}: 'conditions' must be an object.")
    spec["conditions"] = {**conditions, "colonyname": conditions.get("colonyname") or colony}
    for limit in ("maxwaittime", "maxexectime"):
        spec[limit] = spec.get(limit) or UNLIMITED
    return spec


def workflow_from_file(path: str, colony: str) -> dict[str, Any]:
    """The workflow spec in a JSON file: an array of function specs as with the reference, or the whole object."""
    found = read_json(path)
    if isinstance(found, dict) and isinstance(found.get("functionspecs"), list):
        return {**found, "colonyname": found.get("colonyname") or colony}
    if isinstance(found, list):
        return {"colonyname": colony, "functionspecs": found}
    if isinstance(found, dict):
        kind = "one function spec, which `function submit` takes; a workflow is an array of them: put [ and ] around it"
    else:
        kind = "no JSON array; a workflow is an array of function specs"
    raise click.ClickException(f"{path} holds {kind}.")


def node_names(workflowspec: str) -> str:
    """The nodes of a workflow spec in JSON text, for people; empty if it is none."""
    try:
        return ", ".join(str(node["nodename"]) for node in json.loads(workflowspec)["functionspecs"])
    except (ValueError, LookupError, TypeError):
        return ""
