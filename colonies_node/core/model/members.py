"""Who and where: colonies, users, locations."""

from __future__ import annotations

from colonies_node.core.model.wire import Record, always


class Colony(Record):
    """A colony; its id is the id of its owner's key."""

    colonyid: str = always(str)
    name: str = always(str)


class User(Record):
    """A person's key in a colony: may submit and read, but not take work."""

    colonyname: str = always(str)
    userid: str = always(str)
    name: str = always(str)
    email: str = always(str)
    phone: str = always(str)


class Location(Record):
    """A named place that executors and processes may refer to."""

    locationid: str = always(str)
    name: str = always(str)
    colonyname: str = always(str)
    description: str = always(str)
    long: float = always(float)
    lat: float = always(float)
