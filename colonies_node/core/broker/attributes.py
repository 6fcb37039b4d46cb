"""Attributes: keys and values that a running process collects."""

from __future__ import annotations

from colonies_node.core import limits
from colonies_node.core.broker.access import require_member
from colonies_node.core.broker.call import Call
from colonies_node.core.errors import BadRequest, Denied, NotFound
from colonies_node.core.events import ShareChanged
from colonies_node.core.identity import attribute_id
from colonies_node.core.model import messages as m
from colonies_node.core.model.process import Attribute
from colonies_node.core.states import ProcessState
from colonies_node.core.store import attributes, processes
from colonies_node.core.store.transaction import Transaction


def check(message: m.AddAttribute) -> None:
    """The request must carry an attribute."""
    if message.attribute is None:
        raise BadRequest("Failed to add attribute, attribute is nil")


def add(tx: Transaction, message: m.AddAttribute, call: Call) -> Attribute:
    """The executor of a running process notes something on it."""
    given = message.attribute
    assert given is not None, "checked before access"
    process = processes.find(tx, given.targetid)
    if process is None:
        raise NotFound("Failed to add attribute, process not found")
    require_member(tx, call, process.colonyname)
    if process.state != ProcessState.RUNNING:
        raise Denied("Failed to add attribute, process is not running")
    if process.assignedexecutorid != call.caller:
        raise Denied(
            f"Failed to add attribute, only executor with id <{process.assignedexecutorid}>"
            " is allowed to set attributes"
        )
    attribute = Attribute(
        attributeid=attribute_id(given.targetid, given.key, given.attributetype),
        targetid=given.targetid,
        targetcolonyname=given.targetcolonyname,
        targetprocessgraphid=process.processgraphid,
        state=given.state,
        attributetype=given.attributetype,
        key=given.key,
        value=given.value,
    )
    if attributes.find(tx, attribute.attributeid) is not None:
        raise BadRequest('pq: duplicate key value violates unique constraint "prod_attributes_pkey"')
    if attributes.number_of(tx, process.processid) >= limits.MAX_ATTRIBUTES:
        raise BadRequest(f"A process must have at most {limits.MAX_ATTRIBUTES} attributes")
    attributes.add(tx, attribute)
    processes.mark_attributes(tx, process.processid)
    if process.shared:
        tx.emit(ShareChanged(process.processid))
    return attribute


def get(tx: Transaction, message: m.GetAttribute, call: Call) -> Attribute:
    """One attribute."""
    attribute = attributes.find(tx, message.attributeid)
    if attribute is None:
        raise BadRequest("Attribute does not exists")
    process = processes.find(tx, attribute.targetid)
    if process is None:
        raise NotFound("Failed to get attribute, process not found")
    require_member(tx, call, process.colonyname)
    attribute.state = process.state
    return attribute
