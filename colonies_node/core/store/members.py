"""Colonies, users, locations, and the server itself, as they are stored."""

from __future__ import annotations

from colonies_node.core.model.members import Colony, Location, User
from colonies_node.core.states import ExecutorState
from colonies_node.core.store.transaction import Transaction

# What a colony owns, in the order in which it goes.
_OWNED = (
    "users",
    "executors",
    "functions",
    "locations",
    "processes",
    "processgraphs",
    "logs",
    "files",
    "snapshots",
    "crons",
    "generators",
    "blueprintdefinitions",
    "blueprints",
    "links",
)

# What is left of processes that are gone already is there to be told, or was told and is not confirmed.
_OF_LINK = "delete from shares where link in (select seq from links where colonyname = ?)"
_SHARES = (
    "delete from shares where processid in (select processid from processes where colonyname = ?)",
    f"{_OF_LINK} and dirty = 1",
    f"{_OF_LINK} and batch > 0",
)

_COLONIES_OF = f"""
    select colonyname from users where userid = ?
    union select colonyname from executors where executorid = ? and state = {int(ExecutorState.APPROVED)}
"""


def server_id(tx: Transaction) -> str | None:
    """The id of the server's owner; None before the first start."""
    found = tx.one("select serverid from server")
    return found[0] if found else None


def set_server_id(tx: Transaction, serverid: str) -> None:
    """Make this id the owner of the server."""
    tx.run(
        "insert into server (one, serverid) values (1, ?) on conflict (one) do update set serverid = excluded.serverid",
        (serverid,),
    )


def add_colony(tx: Transaction, colony: Colony) -> None:
    """Store a colony."""
    tx.run("insert into colonies (name, colonyid) values (?, ?)", (colony.name, colony.colonyid))


def colony_id(tx: Transaction, name: str) -> str | None:
    """The owner's id of the colony with this name; None when there is no such colony."""
    found = tx.one("select colonyid from colonies where name = ?", (name,))
    return found[0] if found else None


def colonies(tx: Transaction) -> list[Colony]:
    """All colonies by name."""
    rows = tx.all("select colonyid, name from colonies order by name")
    return [Colony(colonyid=colonyid, name=name) for colonyid, name in rows]


def set_colony_id(tx: Transaction, name: str, colonyid: str) -> None:
    """Give the colony to another owner."""
    tx.run("update colonies set colonyid = ? where name = ?", (colonyid, name))


def remove_colony(tx: Transaction, name: str) -> None:
    """Forget the colony and all that it owns."""
    tx.run("delete from attributes where targetid in (select processid from processes where colonyname = ?)", (name,))
    tx.run("delete from edges where child in (select seq from processes where colonyname = ?)", (name,))
    tx.run(
        "delete from generatorargs where generatorid in (select generatorid from generators where colonyname = ?)",
        (name,),
    )
    tx.run(
        "delete from blueprinthistory where blueprintid in (select blueprintid from blueprints where colonyname = ?)",
        (name,),
    )
    tx.run("update processes set shared = 0 where colonyname = ? and shared = 1", (name,))
    for query in _SHARES:
        tx.run(query, (name,))
    for table in _OWNED:
        tx.run(f"delete from {table} where colonyname = ?", (name,))
    tx.run("delete from colonies where name = ?", (name,))


def colonies_of(tx: Transaction, memberid: str) -> list[str]:
    """The colonies in which this id is a user or an approved executor."""
    return [name for (name,) in tx.all(_COLONIES_OF, (memberid, memberid))]


def paused(tx: Transaction, name: str) -> bool:
    """Whether the colony hands out no work."""
    found = tx.one("select paused from colonies where name = ?", (name,))
    return bool(found and found[0])


def set_paused(tx: Transaction, name: str, value: bool) -> None:
    """Stop or go on handing out work."""
    tx.run("update colonies set paused = ? where name = ?", (int(value), name))


_USER = "select colonyname, userid, name, email, phone from users where colonyname = ?"


_USER_BY_ID = _USER + " and userid = ?"


def _user(row: tuple[str, ...]) -> User:
    return User(colonyname=row[0], userid=row[1], name=row[2], email=row[3], phone=row[4])


def add_user(tx: Transaction, user: User) -> None:
    """Store a user."""
    tx.run(
        "insert into users (colonyname, userid, name, email, phone) values (?, ?, ?, ?, ?)",
        (user.colonyname, user.userid, user.name, user.email, user.phone),
    )


def users(tx: Transaction, colonyname: str) -> list[User]:
    """The colony's users by name."""
    return [_user(row) for row in tx.all(_USER + " order by name", (colonyname,))]


def user(tx: Transaction, colonyname: str, name: str) -> User | None:
    """A user by name."""
    found = tx.one(_USER + " and name = ?", (colonyname, name))
    return _user(found) if found else None


def user_by_id(tx: Transaction, colonyname: str, userid: str) -> User | None:
    """A user by id; the first by name when several share it."""
    found = [_user(row) for row in tx.all(_USER_BY_ID, (colonyname, userid))]
    return min(found, key=lambda user: user.name, default=None)


def set_user_id(tx: Transaction, colonyname: str, old: str, new: str) -> int:
    """Give all users of the colony with the old id the new one; how many."""
    return tx.run("update users set userid = ? where colonyname = ? and userid = ?", (new, colonyname, old))


def remove_user(tx: Transaction, colonyname: str, name: str) -> int:
    """Forget a user; how many there were."""
    return tx.run("delete from users where colonyname = ? and name = ?", (colonyname, name))


_LOCATION = "select locationid, name, colonyname, description, long, lat from locations where colonyname = ?"


def _location(row: tuple[str, str, str, str, float, float]) -> Location:
    return Location(locationid=row[0], name=row[1], colonyname=row[2], description=row[3], long=row[4], lat=row[5])


def add_location(tx: Transaction, location: Location) -> None:
    """Store a location."""
    tx.run(
        "insert into locations (locationid, name, colonyname, description, long, lat) values (?, ?, ?, ?, ?, ?)",
        (
            location.locationid,
            location.name,
            location.colonyname,
            location.description,
            location.long,
            location.lat,
        ),
    )


def locations(tx: Transaction, colonyname: str) -> list[Location]:
    """The colony's locations by name."""
    return [_location(row) for row in tx.all(_LOCATION + " order by name", (colonyname,))]


def location(tx: Transaction, colonyname: str, name: str) -> Location | None:
    """A location by name."""
    found = tx.one(_LOCATION + " and name = ?", (colonyname, name))
    return _location(found) if found else None


def remove_location(tx: Transaction, colonyname: str, name: str) -> int:
    """Forget a location; how many there were."""
    return tx.run("delete from locations where colonyname = ? and name = ?", (colonyname, name))
