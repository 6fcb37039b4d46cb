"""Who may call: one function per right. Each looks up what it must, raises Denied (or what clients know), else returns.

The rights, from protocol/core.md: the server's owner (S), a colony's owner (O), a member that is an approved executor
or a user (A), a member in any state (m), anyone. Some requests name a thing first (a process, an executor) and the
right is one in that thing's colony; the lookup and its text then come before the right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from colonies_node.core.broker.call import Call
from colonies_node.core.errors import BadRequest, Denied, Internal, NotFound, Rejected
from colonies_node.core.model.messages import ResolveGenerator
from colonies_node.core.states import ExecutorState
from colonies_node.core.store import blueprints, crons, executors, generators, graphs, members, processes
from colonies_node.core.store.transaction import Transaction

Check = Callable[[Transaction, Any, Call], None]
ColonyOf = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Right:
    """A named right: what people read in the manual, and the check behind it."""

    who: str
    check: Check
    missing: Rejected | None = None
    """What is said when the thing that the request names is not there."""


def _colonyname(message: Any) -> str:
    name: str = message.colonyname
    return name


def require_server_owner(tx: Transaction, call: Call) -> None:
    """Denied unless the caller owns the server."""
    if call.caller != members.server_id(tx):
        raise Denied("Access denied, not server owner")


def require_owner(tx: Transaction, call: Call, colonyname: str) -> None:
    """Denied unless the caller owns the colony."""
    if not colonyname:
        raise Denied("Empty Colony name")
    owner = members.colony_id(tx, colonyname)
    if owner is None:
        raise Denied(f"Colony with name <{colonyname}> does not exists")
    if call.caller != owner:
        raise Denied("Access denied, not colony owner")


def require_member(tx: Transaction, call: Call, colonyname: str, *, any_state: bool = False) -> None:
    """Denied unless the caller is a user of the colony or one of its executors (approved, or in any state)."""
    call.signed_by = executor = executors.by_id(tx, colonyname, call.caller)
    if executor is not None and (any_state or executor.state == ExecutorState.APPROVED):
        call.executor = executor
        return
    call.user = members.user_by_id(tx, colonyname, call.caller)
    if call.user is None:
        if members.colony_id(tx, colonyname) is None:
            raise Denied(f"Colony with name <{colonyname}> does not exists")
        raise Denied(f"Access denied, not a member of Colony with name <{colonyname}>")


def require_member_or_owner(tx: Transaction, call: Call, colonyname: str) -> None:
    """Denied, in the words for owners, unless the caller is a member of the colony or owns it."""
    try:
        require_member(tx, call, colonyname)
    except Denied:
        require_owner(tx, call, colonyname)
        call.owned = colonyname


def _require_colony(tx: Transaction, colonyname: str) -> None:
    if members.colony_id(tx, colonyname) is None:
        raise BadRequest(f"Colony with name <{colonyname}> does not exists")


def server_owner() -> Right:
    """Only the server's key."""
    return Right("server owner", lambda tx, message, call: require_server_owner(tx, call))


def owner(of: ColonyOf = _colonyname, *, colony_first: bool = False) -> Right:
    """Only the colony's key. `colony_first`: an unknown colony is a 400 before any right."""

    def check(tx: Transaction, message: Any, call: Call) -> None:
        if colony_first:
            _require_colony(tx, of(message))
        require_owner(tx, call, of(message))

    return Right("colony owner", check)


def member(of: ColonyOf = _colonyname) -> Right:
    """Approved executors and users."""
    return Right("member", lambda tx, message, call: require_member(tx, call, of(message)))


def member_or_owner(of: ColonyOf = _colonyname) -> Right:
    """Approved executors, users and the colony's key."""
    return Right("member or colony owner", lambda tx, message, call: require_member_or_owner(tx, call, of(message)))


def member_in_any_state(of: ColonyOf = _colonyname, *, colony_first: bool = False) -> Right:
    """Executors in any state, and users."""

    def check(tx: Transaction, message: Any, call: Call) -> None:
        if colony_first:
            _require_colony(tx, of(message))
        require_member(tx, call, of(message), any_state=True)

    return Right("member, approved or not", check)


def member_of_process(missing: str, error: type[Rejected] = Internal) -> Right:
    """Members of the colony of the process that the request names; `missing` is said when there is none."""

    def check(tx: Transaction, message: Any, call: Call) -> None:
        process = processes.find(tx, message.processid)
        if process is None:
            raise error(missing)
        call.about = process
        require_member(tx, call, process.colonyname)

    return Right("member", check, error(missing))


def member_to_graph(missing: str) -> Right:
    """Members of the colony of the workflow that the request names."""

    def check(tx: Transaction, message: Any, call: Call) -> None:
        graph = graphs.find(tx, message.processgraphid)
        if graph is None:
            raise Internal(missing)
        call.about = graph
        require_member(tx, call, graph.colonyname)

    return Right("member", check, Internal(missing))


def member_to_cron(missing: str, error: type[Rejected] = Internal) -> Right:
    """Members of the colony of the cron that the request names."""

    def check(tx: Transaction, message: Any, call: Call) -> None:
        cron = crons.find(tx, message.cronid)
        if cron is None:
            raise error(missing)
        call.about = cron
        require_member(tx, call, cron.colonyname)

    return Right("member", check, error(missing))


def member_to_generator(missing: str) -> Right:
    """Members of the colony of the generator that the request names, by id or by colony and name."""

    def check(tx: Transaction, message: Any, call: Call) -> None:
        if isinstance(message, ResolveGenerator):
            generator = generators.by_name(tx, message.colonyname, message.generatorname)
        else:
            generator = generators.find(tx, message.generatorid)
        if generator is None:
            raise Internal(missing)
        call.about = generator
        require_member(tx, call, generator.colonyname)

    return Right("member", check, Internal(missing))


def member_or_owner_to_blueprint(missing: str) -> Right:
    """Members and the owner of the colony of the blueprint whose id the request names."""

    def check(tx: Transaction, message: Any, call: Call) -> None:
        blueprint = blueprints.by_id(tx, message.blueprintid)
        if blueprint is None:
            raise NotFound(missing)
        call.about = blueprint
        require_member_or_owner(tx, call, blueprint.metadata.colonyname)

    return Right("member or colony owner", check, NotFound(missing))


def owner_of_executor(missing: str) -> Right:
    """The owner of the colony of the executor that the request names."""

    def check(tx: Transaction, message: Any, call: Call) -> None:
        call.about = executors.by_name(tx, message.colonyname, message.executorname)
        if call.about is None:
            raise Internal(missing)
        require_owner(tx, call, message.colonyname)

    return Right("colony owner", check, Internal(missing))


def member_to_executor(missing: str) -> Right:
    """Members of the colony of the executor that the request names."""

    def check(tx: Transaction, message: Any, call: Call) -> None:
        call.about = executors.by_name(tx, message.colonyname, message.executorname)
        if call.about is None:
            raise Internal(missing)
        require_member(tx, call, message.colonyname)

    return Right("member", check, Internal(missing))


def member_to_executor_id(missing: str) -> Right:
    """Members of the colony of the executor whose id the request names."""

    def check(tx: Transaction, message: Any, call: Call) -> None:
        call.about = executors.by_id(tx, message.colonyname, message.executorid) or executors.anywhere(
            tx, message.executorid
        )
        if call.about is None:
            raise NotFound(missing)
        require_member(tx, call, call.about.colonyname)

    return Right("member", check, NotFound(missing))


def anyone() -> Right:
    """No right needed, and no signature."""
    return Right("anyone", lambda tx, message, call: None)


def inside(who: str) -> Right:
    """The right depends on what the function finds; it checks by itself with the functions above."""
    return Right(who, lambda tx, message, call: None)
