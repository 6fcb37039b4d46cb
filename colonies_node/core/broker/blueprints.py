"""Blueprints: what members say should be, kept with its history, and handed to those who make it so."""

from __future__ import annotations

import uuid

from colonies_node.core import limits
from colonies_node.core.broker import processes, reconciliation, schemas
from colonies_node.core.broker.call import DONE, Call, Done
from colonies_node.core.broker.members import check_name
from colonies_node.core.broker.metadata import check_object, check_size
from colonies_node.core.broker.reply import whole
from colonies_node.core.errors import BadRequest, Conflict, NotFound
from colonies_node.core.model import messages as m
from colonies_node.core.model.blueprint import Blueprint, BlueprintHistory, Handler
from colonies_node.core.model.members import Location
from colonies_node.core.model.process import Process
from colonies_node.core.model.times import format_time
from colonies_node.core.store import blueprints, members
from colonies_node.core.store.transaction import Transaction


def check_new(message: m.AddBlueprint) -> None:
    """The request must carry a blueprint that can be kept under its name."""
    if message.blueprint is None:
        raise BadRequest("Failed to add blueprint, blueprint is nil")
    if not message.blueprint.metadata.name:
        raise BadRequest("Failed to add blueprint, metadata.name is empty")
    if not 0 <= message.blueprint.metadata.generation <= limits.MAX_GENERATION:
        raise BadRequest(f"Failed to add blueprint, generation must be from 0 to {limits.MAX_GENERATION}")
    _check(message.blueprint)


def check_changed(message: m.UpdateBlueprint) -> None:
    """The request must carry a blueprint."""
    if message.blueprint is None:
        raise BadRequest("Failed to update blueprint, blueprint is nil")
    _check(message.blueprint)


def _check(blueprint: Blueprint) -> None:
    check_object("a blueprint", blueprint.blueprintid, blueprint.metadata, blueprint)
    check_name("a kind", blueprint.kind)


def check_status(message: m.UpdateBlueprintStatus) -> None:
    """The status must not be too large."""
    check_size("a blueprint's status", message.status)


def add(tx: Transaction, message: m.AddBlueprint, call: Call) -> Blueprint:
    """Keep a new blueprint, and have it reconciled: now, and again and again."""
    blueprint = message.blueprint
    assert blueprint is not None, "checked before access"
    about = blueprint.metadata
    handler = _handler(tx, blueprint)
    if blueprints.find(tx, about.colonyname, about.name) is not None:
        raise Conflict(f"blueprint with name '{about.name}' already exists in colony '{about.colonyname}'")
    blueprint.blueprintid = blueprint.blueprintid or tx.new_id()
    if blueprints.by_id(tx, blueprint.blueprintid) is not None:
        raise Conflict(f"blueprint with id '{blueprint.blueprintid}' already exists")
    blueprints.add(tx, blueprint)
    _note(tx, blueprint, "create", call)
    _settle(tx, blueprint, handler, call)
    if handler is not None:
        reconciliation.submit(tx, blueprint, handler, call)
    return blueprint


def get(tx: Transaction, message: m.InNamespace, call: Call) -> Blueprint:
    """One blueprint."""
    return _find(tx, message.namespace, message.name)


def get_some(tx: Transaction, message: m.GetBlueprints, call: Call) -> list[Blueprint]:
    """Blueprints by name: all, those of a kind, or those of a kind at a location. A location alone says nothing.

    A list that is too long is refused: an executor would take what is left out for removed.
    """
    found = blueprints.some(tx, message.namespace, message.kind, message.locationname)
    return whole(found, "get blueprints", "ask for those of a kind at a location, or for one by name")


def update(tx: Transaction, message: m.UpdateBlueprint, call: Call) -> Blueprint:
    """Put another document in the blueprint's place. Another spec is another generation, and is reconciled now; so is a
    blueprint that moves, and its cron moves with it."""
    blueprint = message.blueprint
    assert blueprint is not None, "checked before access"
    about = blueprint.metadata
    before = blueprints.find(tx, about.colonyname, about.name)
    if before is None:
        raise NotFound(f"blueprint '{about.name}' not found in namespace '{about.colonyname}'")
    handler = _handler(tx, blueprint)
    raised = message.forcegeneration or schemas.canonical(blueprint.spec) != schemas.canonical(before.spec)
    moved = (blueprint.kind, about.locationname) != (before.kind, before.metadata.locationname)
    blueprint.blueprintid = before.blueprintid
    about.generation = before.metadata.generation + raised
    blueprints.replace(tx, blueprint)
    if raised:
        _note(tx, blueprint, "update", call)
    if moved:
        reconciliation.drop_cron(tx, before)
        _settle(tx, blueprint, handler, call)
    if handler is not None and (raised or moved):
        reconciliation.submit(tx, blueprint, handler, call)
    return blueprint


def update_status(tx: Transaction, message: m.UpdateBlueprintStatus, call: Call) -> Done:
    """Replace what an executor found; neither generation nor history change."""
    blueprint = _find(tx, message.colonyname, message.blueprintname)
    blueprint.status = message.status
    blueprints.replace(tx, blueprint)
    return DONE


def reconcile(tx: Transaction, message: m.ReconcileBlueprint, call: Call) -> Process:
    """Have a blueprint reconciled now; `force` raises its generation first, without an entry in its history."""
    blueprint = _find(tx, message.namespace, message.name)
    definition = blueprints.definition_of_kind(tx, message.namespace, blueprint.kind)
    handler = definition.spec.handler if definition is not None else Handler()
    if not handler.executorType:
        raise BadRequest("Blueprint has no handler with executor type defined")
    if not handler.functionName:
        raise BadRequest("Blueprint has no handler with function name defined")
    if message.force:
        blueprint.metadata.generation += 1
        blueprints.replace(tx, blueprint)
    process = reconciliation.submit(tx, blueprint, handler, call, force=message.force)
    return processes.show(tx, process)


def remove(tx: Transaction, message: m.InNamespace, call: Call) -> Done:
    """Forget a blueprint, and have undone what it had brought about."""
    blueprint = _find(tx, message.namespace, message.name)
    definition = blueprints.definition_of_kind(tx, message.namespace, blueprint.kind)
    blueprints.remove(tx, blueprint.blueprintid)
    reconciliation.drop_cron(tx, blueprint)
    if definition is not None and definition.spec.handler.executorType:
        reconciliation.clean_up(tx, blueprint, definition.spec.handler, call)
    return DONE


def get_history(tx: Transaction, message: m.GetBlueprintHistory, call: Call) -> list[BlueprintHistory]:
    """What a blueprint was, the latest first; all that is kept where no limit is given."""
    count = message.limit if message.limit > 0 else limits.MAX_BLUEPRINT_HISTORY
    return blueprints.history(tx, call.blueprint.blueprintid, count)


def _find(tx: Transaction, colonyname: str, name: str) -> Blueprint:
    found = blueprints.find(tx, colonyname, name)
    if found is None:
        raise NotFound("Blueprint not found")
    return found


def _handler(tx: Transaction, blueprint: Blueprint) -> Handler | None:
    """Who reconciles it, if its kind has a handler. Raises BadRequest for what its definition does not allow."""
    if not blueprint.kind:
        raise BadRequest("blueprint kind is required")
    colonyname = blueprint.metadata.colonyname
    definition = blueprints.definition_of_kind(tx, colonyname, blueprint.kind)
    if definition is None:
        raise BadRequest(f"BlueprintDefinition for kind '{blueprint.kind}' not found in namespace '{colonyname}'")
    if definition.spec.schema is not None:
        schemas.check(definition.spec.schema, blueprint.spec)
    return reconciliation.handler_of(definition)


def _settle(tx: Transaction, blueprint: Blueprint, handler: Handler | None, call: Call) -> None:
    """See to it that the blueprint's location is one, and that its kind is reconciled there."""
    about = blueprint.metadata
    if about.locationname and members.location(tx, about.colonyname, about.locationname) is None:
        location = Location(
            locationid=tx.new_id(),
            name=about.locationname,
            colonyname=about.colonyname,
            description=f"Auto-created from blueprint {about.name}",
        )
        members.add_location(tx, location)
    if handler is not None:
        reconciliation.ensure_cron(tx, blueprint, handler, call)


def _note(tx: Transaction, blueprint: Blueprint, changetype: str, call: Call) -> None:
    about = blueprint.metadata
    entry = BlueprintHistory(
        historyid=str(uuid.UUID(hex=tx.new_id()[:32], version=4)),
        blueprintid=blueprint.blueprintid,
        kind=blueprint.kind,
        namespace=about.colonyname,
        name=about.name,
        generation=about.generation,
        spec=blueprint.spec,
        status=blueprint.status,
        timestamp=format_time(tx.now),
        changedby=call.caller,
        changetype=changetype,
    )
    blueprints.note(tx, entry)
