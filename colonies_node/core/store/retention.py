"""Forgetting what is older than the policy: successful processes, their attributes, and logs. Failures are kept.

A member of a workflow goes with its workflow only, whole, once that has succeeded.
"""

from __future__ import annotations

from typing import Final

from colonies_node.core.store import graphs, members
from colonies_node.core.store.transaction import Transaction

GRAPHS: Final = 20
"""Workflows forgotten in one change: each may have thousands of processes."""

BATCH: Final = 5_000
"""Rows of a kind forgotten in one change: a long one would hold up everybody else's commit."""

_OLD = """
    select processid from processes
    where colonyname = ? and submissiontime < ? and state = 2 and processgraphid = '' order by submissiontime limit ?
"""
_ATTRIBUTES = f"delete from attributes where targetid in ({_OLD})"
_PROCESSES = f"delete from processes where processid in ({_OLD})"
_LOGS = "delete from logs where seq in (select seq from logs where colonyname = ? and timestamp < ? limit ?)"
_GRAPHS = """
    select processgraphid from processgraphs where colonyname = ? and state = 2 and submissiontime < ?
    order by submissiontime limit ?
"""


def sweep(tx: Transaction, before: int) -> int:
    """Forget what is older than `before` (Unix nanoseconds), at most BATCH of a kind and colony; how many rows went."""
    gone = 0
    for colony in members.colonies(tx):
        for query in (_ATTRIBUTES, _PROCESSES, _LOGS):
            gone += tx.run(query, (colony.name, before, BATCH))
        old = tx.all(_GRAPHS, (colony.name, before, GRAPHS))
        for (processgraphid,) in old:
            graphs.remove(tx, processgraphid)
        # With as many as one change may forget there may be more: the sweep is not done then.
        gone += len(old) if len(old) < GRAPHS else BATCH
    return gone
