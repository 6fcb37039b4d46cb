"""Blueprint definitions: the kinds of blueprints that a colony knows. Only its owner adds and removes them."""

from __future__ import annotations

from colonies_node.core import limits
from colonies_node.core.broker.call import DONE, Call, Done
from colonies_node.core.broker.members import check_name
from colonies_node.core.broker.metadata import check_object
from colonies_node.core.broker.reply import whole
from colonies_node.core.errors import BadRequest, Conflict, Internal, NotFound
from colonies_node.core.model import messages as m
from colonies_node.core.model.blueprint import BlueprintDefinition
from colonies_node.core.store import blueprints
from colonies_node.core.store.transaction import Transaction


def check_definition(message: m.AddBlueprintDefinition) -> None:
    """The request must carry a definition that blueprints can be made by."""
    definition = message.blueprintdefinition
    if definition is None:
        raise BadRequest("Failed to add blueprint definition, blueprint definition is nil")
    what, spec = "a blueprint definition", definition.spec
    check_object(what, definition.blueprintdefinitionid, definition.metadata, definition)
    check_name("a kind", spec.names.kind)
    for field, text in (("metadata.name", definition.metadata.name), ("spec.names.kind", spec.names.kind)):
        if not text:
            raise BadRequest(f"Failed to add blueprint definition, {field} is empty")
    for name in (spec.handler.executorType, spec.handler.functionName):
        if len(name) > limits.MAX_NAME:
            raise BadRequest(f"A name in a handler must have at most {limits.MAX_NAME} characters, got {len(name)}")
    if not 0 <= spec.handler.reconcileInterval <= limits.MAX_SECONDS:
        raise BadRequest(
            f"reconcileInterval must be a number of seconds, or 0 for the usual, got {spec.handler.reconcileInterval}"
        )


def add(tx: Transaction, message: m.AddBlueprintDefinition, call: Call) -> BlueprintDefinition:
    """Let the colony know a kind of blueprints."""
    definition = message.blueprintdefinition
    assert definition is not None, "checked before access"
    name, colonyname = definition.metadata.name, definition.metadata.colonyname
    if blueprints.definition(tx, colonyname, name) is not None:
        # Clients look for the first words.
        raise Internal(
            "pq: duplicate key value violates unique constraint:"
            f" there is a blueprint definition '{name}' in colony '{colonyname}' already"
        )
    definition.blueprintdefinitionid = definition.blueprintdefinitionid or tx.new_id()
    blueprints.add_definition(tx, definition)
    return definition


def get(tx: Transaction, message: m.OfName, call: Call) -> BlueprintDefinition:
    """One definition."""
    found = blueprints.definition(tx, message.colonyname, message.name)
    if found is None:
        raise NotFound("Blueprint definition not found")
    return found


def get_all(tx: Transaction, message: m.OfColony, call: Call) -> list[BlueprintDefinition]:
    """The colony's definitions by name."""
    return whole(blueprints.definitions(tx, message.colonyname), "get blueprint definitions", "ask for one by name")


def remove(tx: Transaction, message: m.InNamespace, call: Call) -> Done:
    """Forget a definition of whose kind there are no blueprints."""
    namespace, name = message.namespace, message.name
    found = blueprints.definition(tx, namespace, name)
    if found is None:
        raise NotFound(f"BlueprintDefinition '{name}' not found in namespace '{namespace}'")
    kind = found.spec.names.kind
    count = blueprints.count_of_kind(tx, namespace, kind)
    if count:
        raise Conflict(f"cannot remove BlueprintDefinition '{name}': {count} blueprint(s) of kind '{kind}' still exist")
    blueprints.remove_definition(tx, namespace, name)
    return DONE
