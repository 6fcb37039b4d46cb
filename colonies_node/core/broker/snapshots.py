"""Snapshots: which revisions were the current ones below a label, kept under a name."""

from __future__ import annotations

from colonies_node.core import limits
from colonies_node.core.broker.call import DONE, Call, Done
from colonies_node.core.broker.members import check_name
from colonies_node.core.broker.reply import whole
from colonies_node.core.errors import BadRequest, Internal
from colonies_node.core.model import messages as m
from colonies_node.core.model.file import Snapshot
from colonies_node.core.model.times import format_time
from colonies_node.core.store import files, snapshots
from colonies_node.core.store.transaction import Transaction


def create(tx: Transaction, message: m.CreateSnapshot, call: Call) -> Snapshot:
    """Keep the current revisions of a label and the labels below it."""
    if not message.name:
        raise BadRequest("Failed to create snapshot, it has no name")
    check_name("a snapshot", message.name)
    if len(message.label) > limits.MAX_PATH:
        raise BadRequest(f"A label must have at most {limits.MAX_PATH} characters, got {len(message.label)}")
    if snapshots.by_name(tx, message.colonyname, message.name) is not None:
        raise Internal(f"Snapshot with name <{message.name}> in Colony <{message.colonyname}> already exists")
    label = message.label.removesuffix("/")
    fileids: list[str] = []
    if files.label(tx, message.colonyname, label) is not None:
        fileids = files.current_below(tx, message.colonyname, label, limits.MAX_SNAPSHOT + 1)
    if len(fileids) > limits.MAX_SNAPSHOT:
        raise BadRequest(f"A snapshot must have at most {limits.MAX_SNAPSHOT} files, {label} has more")
    snapshot = Snapshot(
        snapshotid=tx.new_id(),
        colonyname=message.colonyname,
        label=label,
        name=message.name,
        fileids=fileids or None,
        added=format_time(tx.now),
    )
    snapshots.insert(tx, snapshot)
    return snapshot


def _find(tx: Transaction, message: m.OfSnapshot, malformed: str) -> Snapshot:
    colonyname = message.colonyname
    if message.snapshotid:
        found = snapshots.by_id(tx, colonyname, message.snapshotid)
        wanted = f"Id <{message.snapshotid}>"
    elif message.name:
        found = snapshots.by_name(tx, colonyname, message.name)
        wanted = f"name <{message.name}>"
    else:
        raise Internal(malformed)
    if found is None:
        raise Internal(f"Snapshot not found with {wanted} in Colony <{colonyname}> does not exists")
    return found


def get(tx: Transaction, message: m.OfSnapshot, call: Call) -> Snapshot:
    """One snapshot, by id or name."""
    return _find(tx, message, "Failed to get snapshot, malformatted msg")


def get_all(tx: Transaction, message: m.OfColony, call: Call) -> list[Snapshot]:
    """Every snapshot, the latest first."""
    return whole(snapshots.all_of(tx, message.colonyname), "get snapshots", "ask for one by name, or remove some")


def remove(tx: Transaction, message: m.OfSnapshot, call: Call) -> Done:
    """Forget a snapshot, by id or name; its files stay."""
    found = _find(tx, message, "Failed to remove snapsnot, malformatted msg")
    snapshots.remove(tx, message.colonyname, found.snapshotid)
    return DONE


def remove_all(tx: Transaction, message: m.OfColony, call: Call) -> Done:
    """Forget every snapshot of the colony; the files stay."""
    snapshots.remove_all(tx, message.colonyname)
    return DONE
