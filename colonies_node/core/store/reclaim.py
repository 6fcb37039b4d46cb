"""Making room: what ended here, and what an upstream that keeps records has confirmed to have, goes, oldest end first.

An upstream has all of a process when its row of the outbox says so: known there, no news since, and the last letter
about it confirmed; so says every other link that is to hear of it. What only this node has stays whatever the upstream
confirms: what it says it cannot use, a result that came too late for it (it keeps the beginning of that), and the log
and attributes of a process from before it was given away (`private`, set by triggers). A workflow goes whole, once that
is true of all its members, and not as long as a cron hands its output on. On a node without such an upstream nothing
goes.

A row that is deleted leaves its pages in the file, as free ones that what comes next is written to. The file does not
shrink, it stops growing; so its free pages are counted as free (core/pressure.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import merge
from typing import Any, Final

from colonies_node.core.store import attributes, graphs
from colonies_node.core.store.transaction import Transaction

BATCH: Final = 500
"""Processes deleted in one change, with workflows whole: a long one would hold up everybody else's commit."""

ROWS: Final = 5_000
"""Rows of logs and attributes in one change, after which no further process is begun."""

LOOK: Final = 1_000
LOOK_GRAPHS: Final = 50
"""Processes and workflows looked at in one change: where a link is down, most of what ended has to stay."""

_KEPT_UPSTREAM: Final = """
    exists (
        select 1 from shares join links on links.seq = shares.link
        where shares.processid = p.processid and record = 1 and direction = 'up' and role in ('told', 'taken', 'given')
          and known = 1 and dirty = 0 and shares.batch <= confirmed and not (role = 'given' and private = 1)
    ) and not exists (
        select 1 from shares join links on links.seq = shares.link
        where shares.processid = p.processid and role <> 'heard'
          and (role = 'kept' or dirty = 1 or shares.batch > confirmed)
    ) and (
        hasattributes = 0 or not exists (select 1 from attributes where targetid = p.processid and key = 'sync.late')
    )
"""
"""Whether a process `p` that is at its end may go."""

PROCESSES: Final = f"""
    select endtime, seq, processid, {_KEPT_UPSTREAM} from processes as p
    where state > 1 and shared = 1 and processgraphid = '' and (endtime, seq) > (?, ?) order by endtime, seq limit ?
"""
GRAPHS: Final = f"""
    select endtime, processgraphid, waiting + running + successful + failed + cancelled, not exists (
        select 1 from processes as p
        where p.processgraphid = g.processgraphid and p.processgraphid <> ''
          and (state < 2 or shared = 0 or not ({_KEPT_UPSTREAM}))
    ) and not exists (
        select 1 from crons where prevprocessgraphid = g.processgraphid and prevprocessgraphid <> ''
    )
    from processgraphs as g where state > 1 and told = 1 and (endtime, processgraphid) > (?, ?)
    order by endtime, processgraphid limit ?
"""
_MARKS: Final = "select seq, confirmed, batch, record = 1 and direction = 'up' from links order by seq"
_LOGS: Final = "delete from logs where processid = ? and processid <> ''"
_LOGS_OF_GRAPH: Final = """
    delete from logs where processid <> '' and processid in
        (select processid from processes where processgraphid = ? and processgraphid <> '')
"""
_PROCESS: Final = "delete from processes where seq = ?"

Marks = list[tuple[int, ...]]
"""How far each link has come: nothing may go that stayed before while these are the same."""


@dataclass(slots=True)
class Walk:
    """A walk through all that ended, from the oldest on, a part in each change."""

    process: tuple[int, int] = (0, 0)
    """(`endtime`, `seq`) of the last process that was looked at."""
    graph: tuple[int, str] = (0, "")
    """(`endtime`, id) of the last workflow."""
    began: Marks = field(default_factory=list)
    ended: Marks = field(default_factory=list)
    """How far the links were when the walk before this one began; empty if there was none."""


def sweep(tx: Transaction, walk: Walk) -> tuple[int, bool]:
    """Go on with a walk, and delete what may go: (how many processes that were, whether the walk goes on).

    At its end the walk is ready to begin anew, and does once a link has come further.
    """
    marks: Marks = tx.all(_MARKS)
    if not any(keeps for *_, keeps in marks):
        return 0, False
    if walk.process == (0, 0) and walk.graph == (0, ""):
        if marks == walk.ended:
            return 0, False
        walk.began = marks
    gone, more = _part(tx, walk)
    if not more:
        walk.process, walk.graph, walk.ended = (0, 0), (0, ""), walk.began
    return gone, more


def _part(tx: Transaction, walk: Walk) -> tuple[int, bool]:
    singles = tx.all(PROCESSES, (*walk.process, LOOK))
    whole = tx.all(GRAPHS, (*walk.graph, LOOK_GRAPHS))
    cut = {id(rows[-1]) for rows, look in ((singles, LOOK), (whole, LOOK_GRAPHS)) if len(rows) == look}
    gone = rows = 0
    for row in merge(singles, whole, key=_end):
        endtime, key, *_, may_go = row
        if isinstance(key, str):
            walk.graph = endtime, key
            if may_go:
                rows += tx.run(_LOGS_OF_GRAPH, (key,))
                graphs.remove(tx, key)
                gone += row[2]
        else:
            walk.process = endtime, key
            if may_go:
                rows += tx.run(_LOGS, (row[2],))
                attributes.remove_of(tx, row[2])
                tx.run(_PROCESS, (key,))
                gone += 1
        if gone >= BATCH or rows >= ROWS or id(row) in cut:
            # Behind the last row of a list that was cut there may be older ones than in the other.
            return gone, True
    return gone, False


def _end(row: tuple[Any, ...]) -> int:
    return int(row[0])
