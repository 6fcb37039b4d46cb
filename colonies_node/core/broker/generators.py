"""Generators: workflows started by a number of packed arguments, or by the time since the last start.

An argument is on disk when its pack is answered. The workflow that gets it is stored in the same change that takes it
out of the generator, so that no kill loses an argument or uses it twice.
"""

from __future__ import annotations

import logging

import msgspec

from colonies_node.core import limits
from colonies_node.core.broker import workflows
from colonies_node.core.broker.call import DONE, Call, Done, Initiator
from colonies_node.core.broker.members import check_name
from colonies_node.core.errors import BadRequest, Rejected, Unavailable
from colonies_node.core.model import messages as m
from colonies_node.core.model.cron import Generator
from colonies_node.core.model.times import SECOND, format_time
from colonies_node.core.pressure import Level, Pressure
from colonies_node.core.store import generators
from colonies_node.core.store.generators import GeneratorRow
from colonies_node.core.store.transaction import Transaction

log = logging.getLogger(__name__)

CHECKERPERIOD = 1000
"""Milliseconds that clients are told; a generator here starts its workflow at once."""

RETRY = 60 * SECOND
"""Nanoseconds until a workflow that could not be started is tried again."""


def check_generator(message: m.AddGenerator) -> None:
    """The request must carry a generator."""
    if message.generator is None:
        raise BadRequest("Failed to add generator, msg.Generator is nil")


def add(tx: Transaction, message: m.AddGenerator, call: Call) -> Generator:
    """Add a generator."""
    assert message.generator is not None, "checked before access"
    generator = message.generator
    check_name("a generator", generator.name)
    workflows.read_spec(generator.workflowspec, generator.colonyname)
    if not 1 <= generator.trigger <= limits.MAX_LIST_ITEMS:
        raise BadRequest(
            f"Failed to add generator, trigger must be between 1 and {limits.MAX_LIST_ITEMS}, got {generator.trigger}"
        )
    if generator.timeout > limits.MAX_SECONDS:
        raise BadRequest(f"Failed to add generator, timeout must be at most {limits.MAX_SECONDS} s")
    if generators.by_name(tx, generator.colonyname, generator.name) is not None:
        raise BadRequest(f"Generator with name <{generator.name}> in Colony <{generator.colonyname}> already exists")
    initiator = call.initiator()
    row = GeneratorRow(
        generatorid=tx.new_id(),
        colonyname=generator.colonyname,
        name=generator.name,
        initiatorid=initiator.initiatorid,
        initiatorname=initiator.initiatorname,
        workflowspec=generator.workflowspec,
        pile=generator.trigger,
        timeout=generator.timeout,
        firstpack=0,
        lastrun=0,
        queuesize=0,
        due=0,
    )
    generators.insert(tx, row)
    return _show(row)


def get(tx: Transaction, message: m.OfGenerator, call: Call) -> Generator:
    """One generator, with the number of arguments that wait in it."""
    row = call.generator
    return msgspec.structs.replace(_show(row), queuesize=row.queuesize, checkerperiod=CHECKERPERIOD)


def resolve(tx: Transaction, message: m.ResolveGenerator, call: Call) -> Generator:
    """One generator, by name."""
    return _show(call.generator)


def get_some(tx: Transaction, message: m.GetGenerators, call: Call) -> list[Generator]:
    """Generators of the colony by name."""
    if message.count < 0:
        raise BadRequest("pq: LIMIT must not be negative")
    return [_show(row) for row in generators.of_colony(tx, message.colonyname, message.count)]


def pack(tx: Transaction, message: m.PackGenerator, call: Call) -> Done:
    """Keep an argument; with the last one that is needed, a workflow starts. Unavailable without room for that."""
    row = call.generator
    if call.pressure.level is not Level.NONE:
        call.pressure.admit(workflows.priority_of(workflows.read_spec(row.workflowspec, row.colonyname)))
    if row.queuesize >= limits.MAX_PACKED:
        raise BadRequest(f"Failed to increment generator, {limits.MAX_PACKED} arguments wait in it already")
    generators.add_arg(tx, row.generatorid, message.arg)
    row = msgspec.structs.replace(row, queuesize=row.queuesize + 1, firstpack=row.firstpack or tx.now)
    _wait(tx, row)
    return DONE


def remove(tx: Transaction, message: m.OfGenerator, call: Call) -> Done:
    """Forget a generator and the arguments in it; its workflows stay."""
    generators.remove(tx, call.generator.generatorid)
    return DONE


def fire(tx: Transaction, row: GeneratorRow, pressure: Pressure) -> None:
    """Start one workflow with the arguments that are due. Where there is no room for it, they wait."""
    count = min(row.pile, row.queuesize)
    try:
        with tx.whole():
            args = generators.take_args(tx, row.generatorid, count)
            spec = workflows.read_spec(row.workflowspec, row.colonyname)
            pressure.admit(workflows.priority_of(spec))
            for node in spec.functionspecs or ():
                if not node.conditions.dependencies:
                    node.args, node.kwargs = list(args), {}
            workflows.start(tx, spec, Initiator(row.initiatorid, row.initiatorname))
            _wait(tx, msgspec.structs.replace(row, queuesize=row.queuesize - count, lastrun=tx.now))
    except Unavailable:
        generators.update(tx, msgspec.structs.replace(row, due=tx.now + RETRY))
    except Rejected as refusal:
        log.warning("generator %s of colony %s could not start: %s", row.name, row.colonyname, refusal.message)
        generators.update(tx, msgspec.structs.replace(row, due=tx.now + RETRY))


def _wait(tx: Transaction, row: GeneratorRow) -> None:
    """Keep the row with the instant at which it has something to start: at once, at the timeout, or never."""
    due = 0
    if row.queuesize >= row.pile:
        due = tx.now
    elif row.queuesize and row.timeout > 0:
        due = max((row.lastrun or row.firstpack) + row.timeout * SECOND, tx.now)
    generators.update(tx, msgspec.structs.replace(row, due=due))
    tx.due(due)


def _show(row: GeneratorRow) -> Generator:
    return Generator(
        generatorid=row.generatorid,
        initiatorid=row.initiatorid,
        initiatorname=row.initiatorname,
        colonyname=row.colonyname,
        name=row.name,
        workflowspec=row.workflowspec,
        trigger=row.pile,
        timeout=row.timeout,
        firstpack=format_time(row.firstpack),
        lastrun=format_time(row.lastrun),
    )
