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
from colonies_node.core.states import ExecutorState
from colonies_node.core.store import blueprints, crons, executors, generators, graphs, members, processes
from colonies_node.core.store.transaction import Transaction

Check = Callable[[Transaction, Any, Call], None]
ColonyOf = Callable[[Any], str]
Find = Callable[[Transaction, Any], Any]
Require = Callable[[Transaction, Call, str], None]


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


def _to(
    find: Find,
    missing: str,
    error: type[Rejected] = Internal,
    *,
    who: str = "member",
    require: Require = require_member,
    colony_of: ColonyOf = _colonyname,
) -> Right:
    """A right in the colony of what the request names; `missing` is said when there is no such thing."""

    def check(tx: Transaction, message: Any, call: Call) -> None:
        call.about = find(tx, message)
        if call.about is None:
            raise error(missing)
        require(tx, call, colony_of(call.about))

    return Right(who, check, error(missing))


def member_of_process(missing: str, error: type[Rejected] = Internal) -> Right:
    """Members of the colony of the process that the request names."""
    return _to(lambda tx, message: processes.find(tx, message.processid), missing, error)


def member_to_graph(missing: str) -> Right:
    """Members of the colony of the workflow that the request names."""
    return _to(lambda tx, message: graphs.find(tx, message.processgraphid), missing)


def member_to_cron(missing: str, error: type[Rejected] = Internal) -> Right:
    """Members of the colony of the cron that the request names."""
    return _to(lambda tx, message: crons.find(tx, message.cronid), missing, error)


def member_to_generator(missing: str) -> Right:
    """Members of the colony of the generator that the request names."""
    return _to(lambda tx, message: generators.find(tx, message.generatorid), missing)


def member_to_generator_name(missing: str) -> Right:
    """Members of the colony of the generator that the request names by colony and name."""
    return _to(lambda tx, message: generators.by_name(tx, message.colonyname, message.generatorname), missing)


def member_or_owner_to_blueprint(missing: str) -> Right:
    """Members and the owner of the colony of the blueprint whose id the request names."""
    return _to(
        lambda tx, message: blueprints.by_id(tx, message.blueprintid),
        missing,
        NotFound,
        who="member or colony owner",
        require=require_member_or_owner,
        colony_of=lambda blueprint: str(blueprint.metadata.colonyname),
    )


def owner_of_executor(missing: str) -> Right:
    """The owner of the colony of the executor that the request names."""
    return _to(_executor, missing, who="colony owner", require=require_owner)


def member_to_executor(missing: str) -> Right:
    """Members of the colony of the executor that the request names."""
    return _to(_executor, missing)


def _executor(tx: Transaction, message: Any) -> executors.ExecutorRow | None:
    return executors.by_name(tx, message.colonyname, message.executorname)


def member_to_executor_id(missing: str) -> Right:
    """Members of the colony of the executor whose id the request names."""

    def find(tx: Transaction, message: Any) -> executors.ExecutorRow | None:
        there = executors.by_id(tx, message.colonyname, message.executorid)
        return there or executors.anywhere(tx, message.executorid)

    return _to(find, missing, NotFound)


def anyone() -> Right:
    """No right needed, and no signature."""
    return Right("anyone", lambda tx, message, call: None)


def inside(who: str) -> Right:
    """The right depends on what the function finds; it checks by itself with the functions above."""
    return Right(who, lambda tx, message, call: None)
