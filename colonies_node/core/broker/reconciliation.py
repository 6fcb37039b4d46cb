"""The work that makes blueprints true: one cron for each kind and location, and single processes for what just changed.

An executor of the handler's type is told the kind, and the name when one blueprint is meant; it reads what should be,
does it, reports the status and closes its process.
"""

from __future__ import annotations

from typing import Final

from colonies_node.core import limits
from colonies_node.core.broker import crons, processes
from colonies_node.core.broker.call import Call
from colonies_node.core.errors import Conflict
from colonies_node.core.model.blueprint import Blueprint, BlueprintDefinition, Handler
from colonies_node.core.model.cron import Cron
from colonies_node.core.model.process import Conditions, FunctionSpec
from colonies_node.core.model.wire import decode, encode
from colonies_node.core.model.workflow import WorkflowSpec
from colonies_node.core.store import blueprints
from colonies_node.core.store import crons as stored
from colonies_node.core.store.crons import CronRow
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.transaction import Transaction

INTERVAL: Final = 60
"""Seconds between two reconciliations of a kind whose handler names no number."""


def handler_of(definition: BlueprintDefinition | None) -> Handler | None:
    """The handler of a definition, if it names a type and a function."""
    handler = definition.spec.handler if definition is not None else None
    return handler if handler and handler.executorType and handler.functionName else None


def ensure_cron(tx: Transaction, blueprint: Blueprint, handler: Handler, call: Call) -> None:
    """See to it that the kind is reconciled again and again where the blueprint is. Raises Conflict."""
    name, colonyname = _cron_name(blueprint), blueprint.metadata.colonyname
    found = stored.by_name(tx, colonyname, name)
    if found is not None:
        if not _is_for(found, blueprint.kind):
            raise Conflict(f"failed to create reconciliation cron: there is a cron '{name}' for something else")
        return
    node = _function(blueprint, handler, handler.functionName, {"kind": blueprint.kind})
    cron = Cron(
        colonyname=colonyname,
        name=name,
        interval=handler.reconcileInterval or INTERVAL,
        waitforprevprocessgraph=True,
        workflowspec=encode(WorkflowSpec(colonyname=colonyname, functionspecs=[node])).decode(),
    )
    crons.plan(tx, cron, call)


def drop_cron(tx: Transaction, blueprint: Blueprint) -> None:
    """The blueprint is not at this place any more: nor is the cron, if it was the last of its kind there."""
    colonyname = blueprint.metadata.colonyname
    if blueprints.is_any_at(tx, colonyname, blueprint.kind, blueprint.metadata.locationname):
        return
    found = stored.by_name(tx, colonyname, _cron_name(blueprint))
    if found is not None and _is_for(found, blueprint.kind):
        stored.remove(tx, found.cronid)


def submit(tx: Transaction, blueprint: Blueprint, handler: Handler, call: Call, *, force: bool = False) -> ProcessRow:
    """Have this blueprint reconciled now."""
    kwargs: dict[str, object] = {"kind": blueprint.kind, "blueprintName": blueprint.metadata.name}
    if force:
        kwargs["force"] = True
    return _launch(tx, _function(blueprint, handler, handler.functionName, kwargs), call)


def clean_up(tx: Transaction, blueprint: Blueprint, handler: Handler, call: Call) -> None:
    """Have undone what this blueprint, which is removed, had brought about."""
    kwargs: dict[str, object] = {"kind": blueprint.kind, "blueprintName": blueprint.metadata.name}
    _launch(tx, _function(blueprint, handler, "cleanup", kwargs), call)


def _launch(tx: Transaction, spec: FunctionSpec, call: Call) -> ProcessRow:
    # With the process the change of the blueprint is refused too: what is stored and what is true stay the same.
    call.pressure.admit(spec.priority)
    return processes.launch(tx, spec, call.initiator())


def _cron_name(blueprint: Blueprint) -> str:
    place = blueprint.metadata.locationname
    return f"reconcile-{blueprint.kind}" + (f"-{place}" if place else "")


def _is_for(cron: CronRow, kind: str) -> bool:
    """Whether a cron with the name of a kind's is that: `A-b` anywhere has the name of `A` at `b`."""
    nodes = decode(WorkflowSpec, cron.workflowspec.encode()).functionspecs or ()
    return all((node.kwargs or {}).get("kind", kind) == kind for node in nodes)


def _function(blueprint: Blueprint, handler: Handler, funcname: str, kwargs: dict[str, object]) -> FunctionSpec:
    return FunctionSpec(
        nodename=f"{handler.executorType}-{funcname}"[: limits.MAX_NAME],
        funcname=funcname,
        kwargs=kwargs,
        maxexectime=-1,
        maxretries=-1,
        conditions=Conditions(
            colonyname=blueprint.metadata.colonyname,
            executortype=handler.executorType,
            locationname=blueprint.metadata.locationname,
        ),
    )
