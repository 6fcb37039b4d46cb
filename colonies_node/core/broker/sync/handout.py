"""Which waiting processes go upstream: what cannot run here, what has waited long enough, what the device cannot do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from colonies_node.core import limits
from colonies_node.core.broker import flow
from colonies_node.core.broker.sync import offers
from colonies_node.core.broker.sync.exchange import give
from colonies_node.core.broker.sync.offers import Asked
from colonies_node.core.model.sync import Offered
from colonies_node.core.model.times import SECOND
from colonies_node.core.rules import Rule, Value
from colonies_node.core.states import ProcessState
from colonies_node.core.store import graphs, links, processes, shares
from colonies_node.core.store.links import LinkRow
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.transaction import Transaction

NO_INPUT: Final = "[]"


@dataclass
class Look:
    """A look through the waiting processes of a colony, a part at a time; `after` is where the next part begins."""

    rules: tuple[Rule, ...]
    window: int
    earlier: tuple[tuple[LinkRow, tuple[Rule, ...]], ...] = ()
    """Upstreams that come first, where they are connected, and their rules."""
    readings: Mapping[str, Value] = field(default_factory=dict)
    after: tuple[int, int] = (-(1 << 63), 0)
    plain: bool = False
    """Whether the upstream is a server that cannot be told the input of a process: what has one stays here."""
    more: bool = False
    """Whether the part did not reach the end of the queue."""


def hand_out(tx: Transaction, link: LinkRow, look: Look) -> int:
    """Give the upstream the waiting processes to which one of the rules applies; how many.

    Looks at limits.OFFLOAD_LOOK of them at most. A process that came down from an upstream is never sent up again.
    """
    room = look.window - shares.away(tx, link.seq)
    look.more = False
    if room <= 0 or not look.rules:
        return 0
    given = 0
    here = offers.here(tx, link.colonyname)
    above = offers.above(link)
    from_above = {one.seq for one in links.all_of(tx, links.UP)}
    rows = processes.waiting_after(tx, link.colonyname, look.after, limits.OFFLOAD_LOOK)
    for process in rows:
        look.after = process.prioritytime, process.seq
        asked = Asked(process)
        if process.origin in from_above or not asked.fits_any(above):
            continue
        values = dict(look.readings) | values_of(tx, asked, here)
        if not _applies(look.rules, values) or any(
            _applies(rules, values) and asked.fits_any(offers.above(other)) for other, rules in look.earlier
        ):
            continue
        document = _input(tx, process)
        if document is None or (look.plain and document != NO_INPUT):
            continue
        if document != process.input:
            process = processes.set_input(tx, process, document)
        give(tx, link, processes.give_away(tx, process, link.seq))
        given += 1
        if given == room:
            break
    look.more = len(rows) == limits.OFFLOAD_LOOK
    if not look.more:
        look.after = Look.after
    return given


def _input(tx: Transaction, process: ProcessRow) -> str | None:
    """What the process gets, from its parents in a workflow; None if that is too large to be sent."""
    parents, size = graphs.input_size(tx, process.seq) if process.processgraphid else (0, len(process.input))
    if size > limits.MAX_TOLD:
        return None
    return graphs.input_of(tx, process.seq) if parents else process.input


def take_back(tx: Transaction, link: LinkRow, processid: str) -> None:
    """The upstream cannot run the process, and has nothing of it: it waits here again."""
    share = shares.find(tx, link.seq, processid)
    process = processes.find(tx, processid)
    if share is None or share.role != shares.GIVEN:
        return
    shares.remove(tx, share)
    if process is not None and process.away == link.seq and process.state == ProcessState.WAITING:
        flow.told(tx, processes.give_away(tx, processes.set_runsat(tx, process, ""), 0))


def _applies(rules: tuple[Rule, ...], values: Mapping[str, Value]) -> bool:
    return any(rule.holds(values) for rule in rules)


def values_of(tx: Transaction, asked: Asked, here: Iterable[Offered]) -> dict[str, Value]:
    """What a rule may ask of a process (core/rules.py has the names and units)."""
    process, spec = asked.process, asked.spec
    return {
        "type": process.executortype,
        "name": process.funcname,
        "location": process.locationname,
        "label": process.label,
        "cpu": process.cpu / 1000,
        "mem": process.mem,
        "gpu": spec.conditions.gpu.count,
        "priority": spec.priority,
        "walltime": spec.conditions.walltime if spec.conditions.walltime > 0 else None,
        "maxexectime": process.maxexectime if process.maxexectime > 0 else None,
        "waited": max(tx.now - process.submissiontime, 0) / SECOND,
        "missing": not any(asked.fits(one) for one in here),
    }
