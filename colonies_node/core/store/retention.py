"""Forgetting what is older than the policy: successful processes, their attributes, and logs. Failures are kept, and
what a node that should have it has not confirmed.

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

_UNTOLD = """
    exists (
        select 1 from shares join links on links.seq = shares.link
        where shares.processid = {id} and role <> 'heard' and (dirty = 1 or shares.batch > confirmed)
    )
"""
"""Whether a node that is to hear of the process has not confirmed all of it: then nothing of it is forgotten."""

_OLD = f"""
    select processid from processes
    where colonyname = ? and submissiontime < ? and state = 2 and processgraphid = ''
      and (shared = 0 or not {_UNTOLD.format(id="processes.processid")})
    order by submissiontime limit ?
"""
_ATTRIBUTES = f"delete from attributes where targetid in ({_OLD})"
_PROCESSES = f"delete from processes where processid in ({_OLD})"
_LOGS = f"""
    delete from logs where seq in (
        select seq from logs
        where colonyname = ? and timestamp < ? and (processid = '' or not {_UNTOLD.format(id="logs.processid")}) limit ?
    )
"""
_GRAPHS = f"""
    select processgraphid from processgraphs where colonyname = ? and state = 2 and submissiontime < ?
      and not exists (
          select 1 from processes
          where processes.processgraphid = processgraphs.processgraphid and processgraphid <> ''
            and shared = 1 and {_UNTOLD.format(id="processes.processid")}
      )
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
