"""Colonies, users and locations, and the change of any identity."""

from __future__ import annotations

from colonies_node.core import limits
from colonies_node.core.broker.call import DONE, Call, Done
from colonies_node.core.errors import BadRequest, Internal, NotFound
from colonies_node.core.events import LinkChanged, MembersChanged
from colonies_node.core.identity import is_id
from colonies_node.core.model import messages as m
from colonies_node.core.model.members import Colony, Location, User
from colonies_node.core.store import executors, links, members
from colonies_node.core.store.transaction import Transaction


def check_name(kind: str, name: str) -> None:
    """BadRequest for a name that could not be read back (a colon separates names in other nodes' stores) or is too
    long."""
    if ":" in name:
        raise BadRequest(f"The name of {kind} must not contain a colon, got <{name[: limits.MAX_NAME]}>")
    if len(name) > limits.MAX_NAME:
        raise BadRequest(f"The name of {kind} must have at most {limits.MAX_NAME} characters, got {len(name)}")


def add_colony(tx: Transaction, message: m.AddColony, call: Call) -> Colony:
    """Found a colony."""
    colony = message.colony
    if colony is None:
        raise BadRequest("Failed to add colony, colony is <nil>")
    if not is_id(colony.colonyid):
        raise BadRequest("Failed to add colony, invalid colony Id length")
    check_name("a colony", colony.name)
    if members.colony_id(tx, colony.name) is not None:
        raise BadRequest(f"A Colony with name <{colony.name}> already exists")
    members.add_colony(tx, colony)
    return colony


def remove_colony(tx: Transaction, message: m.OfColony, call: Call) -> Done:
    """Remove a colony and all that it owns."""
    if members.colony_id(tx, message.colonyname) is None:
        raise BadRequest(f"Colony with name <{message.colonyname}> not found")
    for link in links.all_of(tx, links.UP):
        if link.colonyname == message.colonyname:
            tx.emit(LinkChanged(link.name))
    members.remove_colony(tx, message.colonyname)
    tx.emit(MembersChanged(message.colonyname))
    return DONE


def get_colonies(tx: Transaction, message: m.Message, call: Call) -> list[Colony]:
    """All colonies."""
    return members.colonies(tx)


def get_colony(tx: Transaction, message: m.OfColony, call: Call) -> Colony:
    """One colony."""
    return Colony(colonyid=members.colony_id(tx, message.colonyname) or "", name=message.colonyname)


def pause(tx: Transaction, message: m.OfColony, call: Call) -> Done:
    """Hand out no work in this colony."""
    members.set_paused(tx, message.colonyname, True)
    return DONE


def check_user(message: m.AddUser) -> None:
    """The request must carry a user."""
    if message.user is None:
        raise BadRequest("Failed to add user, executor is nil")
    check_name("a user", message.user.name)


def add_user(tx: Transaction, message: m.AddUser, call: Call) -> User:
    """Give a person a place in the colony."""
    user = message.user
    assert user is not None, "checked before access"
    if members.user(tx, user.colonyname, user.name) is not None:
        raise BadRequest(f"A user with name <{user.name}> already exists in Colony with name <{user.colonyname}>")
    members.add_user(tx, user)
    return user


def get_users(tx: Transaction, message: m.OfColony, call: Call) -> list[User]:
    """The users of a colony."""
    return members.users(tx, message.colonyname)


def get_user(tx: Transaction, message: m.OfName, call: Call) -> User:
    """A user by name."""
    user = members.user(tx, message.colonyname, message.name)
    if user is None:
        raise Internal("Failed to get user, user is nil")
    return user


def get_user_by_id(tx: Transaction, message: m.GetUserById, call: Call) -> User:
    """A user by id."""
    user = members.user_by_id(tx, message.colonyname, message.userid)
    if user is None:
        raise NotFound("Failed to get user by ID, user is nil")
    return user


def remove_user(tx: Transaction, message: m.OfName, call: Call) -> Done:
    """Take a person's place away; what she submitted stays."""
    if not members.remove_user(tx, message.colonyname, message.name):
        raise BadRequest(f"User with name <{message.name}> not found")
    tx.emit(MembersChanged(message.colonyname))
    return DONE


def check_location(message: m.AddLocation) -> None:
    """The request must carry a location."""
    if message.location is None:
        raise BadRequest("Failed to add location, location is nil")
    check_name("a location", message.location.name)


def add_location(tx: Transaction, message: m.AddLocation, call: Call) -> Location:
    """Name a place."""
    location = message.location
    assert location is not None, "checked before access"
    if members.location(tx, location.colonyname, location.name) is not None:
        raise BadRequest(
            f"A location with name <{location.name}> already exists in Colony with name <{location.colonyname}>"
        )
    members.add_location(tx, location)
    return location


def get_locations(tx: Transaction, message: m.OfColony, call: Call) -> list[Location]:
    """The places of a colony."""
    return members.locations(tx, message.colonyname)


def get_location(tx: Transaction, message: m.OfName, call: Call) -> Location:
    """A place by name."""
    location = members.location(tx, message.colonyname, message.name)
    if location is None:
        raise NotFound("Failed to get location, location is nil")
    return location


def remove_location(tx: Transaction, message: m.OfName, call: Call) -> Done:
    """Forget a place; executors and processes keep the name."""
    if not members.remove_location(tx, message.colonyname, message.name):
        raise BadRequest(f"Location with name <{message.name}> not found")
    return DONE


def check_user_id(message: m.ChangeUserId) -> None:
    """The request must carry an id."""
    if not message.userid:
        raise BadRequest("Failed to change user Id, user Id is empty")


def change_user_id(tx: Transaction, message: m.ChangeUserId, call: Call) -> m.ChangeUserId:
    """The caller takes a new key."""
    if call.user is None and members.user_by_id(tx, message.colonyname, call.caller) is None:
        raise BadRequest("Failed to change user Id, user not found")
    if not is_id(message.userid):
        raise BadRequest("Failed to change user Id, new user Id is not 64 characters")
    members.set_user_id(tx, message.colonyname, call.caller, message.userid)
    tx.emit(MembersChanged(message.colonyname))
    return message


def check_executor_id(message: m.ChangeExecutorId) -> None:
    """The request must carry an id."""
    if not message.executorid:
        raise BadRequest("Failed to change executor Id, executor Id is empty")


def change_executor_id(tx: Transaction, message: m.ChangeExecutorId, call: Call) -> m.ChangeExecutorId:
    """The caller takes a new key, and keeps what it runs."""
    if call.executor is None:
        raise BadRequest("Failed to change executor Id, executor not found")
    if not is_id(message.executorid):
        raise BadRequest("Failed to change executor Id, new executor Id is not 64 characters")
    executors.set_id(tx, message.colonyname, call.caller, message.executorid)
    tx.emit(MembersChanged(message.colonyname))
    return message


def check_colony_id(message: m.ChangeColonyId) -> None:
    """The request must carry an id."""
    if not message.colonyid:
        raise BadRequest("Failed to change colony Id, colony Id is empty")


def change_colony_id(tx: Transaction, message: m.ChangeColonyId, call: Call) -> m.ChangeColonyId:
    """The colony gets a new owner's key."""
    if not is_id(message.colonyid):
        raise BadRequest("Failed to change colony Id, new colony Id is not 64 characters")
    members.set_colony_id(tx, message.colonyname, message.colonyid)
    return message


def check_server_id(message: m.ChangeServerId) -> None:
    """The request must carry an id. A shorter one would lock every owner out, so its length is checked here as
    elsewhere."""
    if not message.serverid:
        raise BadRequest("Failed to change colony Id, colony Id is empty")
    if not is_id(message.serverid):
        raise BadRequest("Failed to change server Id, new server Id is not 64 characters")


def change_server_id(tx: Transaction, message: m.ChangeServerId, call: Call) -> m.ChangeServerId:
    """The server gets a new owner's key."""
    members.set_server_id(tx, message.serverid)
    return message
