"""Colonies, users, locations, names and statistics (core.md, 4.1, 4.2, 4.8, 4.10)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab import Lab
from tests.node import ALICE, OWNER, SERVER, Node, Party

BEA = Party("bea")


async def test_a_colony_is_founded_once(node: Node) -> None:
    colony = {"colonyid": OWNER.id, "name": "lab"}
    assert await node.call(SERVER, "addcolonymsg", colony=colony) == colony
    taken = (await node.ask(SERVER, "addcolonymsg", colony=colony | {"colonyid": BEA.id})).refusal
    assert taken == (400, "A Colony with name <lab> already exists")
    assert await node.call(SERVER, "getcoloniesmsg") == [colony]


@pytest.mark.parametrize("colonyid", ["", "short", "1" * 63, "1" * 65])
async def test_a_colony_id_has_64_characters(node: Node, colonyid: str) -> None:
    asked = await node.ask(SERVER, "addcolonymsg", colony={"colonyid": colonyid, "name": "lab"})
    assert asked.refusal == (400, "Failed to add colony, invalid colony Id length")


async def test_two_colonies_may_have_one_owner(node: Node) -> None:
    for name in ("one", "two"):
        colony = {"colonyid": OWNER.id, "name": name}
        assert await node.call(SERVER, "addcolonymsg", colony=colony) == colony
    user = {"colonyname": "two", "userid": ALICE.id, "name": "alice", "email": "", "phone": ""}
    assert await node.call(OWNER, "addusermsg", user=user) == user
    assert (await node.call(ALICE, "getcolonymsg", colonyname="two"))["name"] == "two"
    assert (await node.ask(ALICE, "getcolonymsg", colonyname="one")).status == 403


async def test_a_server_without_colonies_says_null(node: Node) -> None:
    assert await node.call(SERVER, "getcoloniesmsg") is None


async def furnish(node: Node, colony: Lab) -> None:
    """A workflow, a cron, a generator with an argument, a file, a snapshot, a blueprint of a kind of its own, and an
    upstream that is to hear of a process."""
    of = {"colonyname": colony.name}
    first = {"nodename": "a", "funcname": "f", "conditions": {"executortype": "worker"}}
    second = {"nodename": "b", "funcname": "f", "conditions": {"executortype": "worker", "dependencies": ["a"]}}
    workflow = of | {"functionspecs": [first, second]}
    user, text = colony.user, json.dumps(workflow)
    await node.call(user, "submitworkflowspecmsg", spec=workflow)
    await node.call(user, "addcronmsg", cron=of | {"name": "c", "interval": 3600, "workflowspec": text})
    generator = of | {"name": "g", "trigger": 2, "workflowspec": text}
    added = await node.call(user, "addgeneratormsg", generator=generator)
    await node.call(user, "packgeneratormsg", generatorid=added["generatorid"], arg="x")
    await node.call(user, "addfilemsg", file=of | {"label": "/a", "name": "f"})
    await node.call(user, "createsnapshotmsg", **of, label="/a", name="s")
    kind = {"names": {"kind": "Lamp"}}
    definition = {"metadata": of | {"name": "lamps"}, "spec": kind}
    await node.call(colony.owner, "addblueprintdefinitionmsg", blueprintdefinition=definition)
    await node.call(user, "addblueprintmsg", blueprint={"kind": "Lamp", "metadata": of | {"name": "one"}})
    upstream = of | {"name": f"base of {colony.name}", "url": "http://base.test", "record": True}
    await node.call(SERVER, "addupstreammsg", upstream=upstream)
    await node.call(user, "cancelprocessmsg", processid=(await colony.submit())["processid"])


async def test_a_removed_colony_takes_all_that_is_its_own(node: Node, lab: Lab) -> None:
    other = await Lab(node, "other", Party("the owner of other"), BEA).found()
    for colony in (lab, other):
        ann = await colony.join("ann")
        fun = {"colonyname": colony.name, "executorname": "ann", "funcname": "f"}
        await node.call(ann, "addfunctionmsg", fun=fun)
        await node.call(colony.owner, "addlocationmsg", location={"colonyname": colony.name, "name": "here"})
        process = await colony.submit(env={"A": "b"}, channels=["c"])
        await colony.assign(ann)
        await node.call(ann, "channelappendmsg", processid=process["processid"], name="c", sequence=1)
        await node.call(ann, "addlogmsg", processid=process["processid"], message="hello")
        await colony.submit()
        await furnish(node, colony)
    whole = node.tables()
    await node.call(SERVER, "removecolonymsg", colonyname="lab")
    left = node.tables()
    for table, rows in whole.items():
        if table not in ("server", "remembered", "forgotten", "timelines"):
            assert len(rows) >= 2, table
            assert len(left[table]) == len(rows) // 2, table
    assert "lab" not in {value for rows in left.values() for row in rows for value in row}
    assert (await node.ask(ALICE, "getcolonymsg", colonyname="lab")).refusal == (
        403,
        "Colony with name <lab> does not exists",
    )
    await lab.found()
    assert await node.call(ALICE, "getexecutorsmsg", colonyname="lab") is None


async def test_users_are_named_once_in_a_colony(lab: Lab) -> None:
    node = lab.node
    user = {"colonyname": "lab", "userid": BEA.id, "name": "bea", "email": "b@example.org", "phone": "1"}
    assert await node.call(OWNER, "addusermsg", user=user) == user
    taken = (await node.ask(OWNER, "addusermsg", user=user | {"userid": "1" * 64})).refusal
    assert taken == (400, "A user with name <bea> already exists in Colony with name <lab>")
    assert await node.call(ALICE, "getusermsg", colonyname="lab", name="bea") == user
    assert await node.call(ALICE, "getuserbyidmsg", colonyname="lab", userid=BEA.id) == user
    everybody = await node.call(BEA, "getusersmsg", colonyname="lab")
    assert sorted(found["name"] for found in everybody) == ["alice", "bea"]
    assert await node.call(OWNER, "removeusermsg", colonyname="lab", name="bea") == {}
    for party, msgtype, fields, refusal in (
        (OWNER, "removeusermsg", {"name": "bea"}, (400, "User with name <bea> not found")),
        (ALICE, "getusermsg", {"name": "bea"}, (500, "Failed to get user, user is nil")),
        (ALICE, "getuserbyidmsg", {"userid": BEA.id}, (404, "Failed to get user by ID, user is nil")),
        (BEA, "getusersmsg", {}, (403, "Access denied, not a member of Colony with name <lab>")),
    ):
        assert (await node.ask(party, msgtype, colonyname="lab", **fields)).refusal == refusal


async def test_what_a_removed_user_submitted_stays(lab: Lab) -> None:
    process = await lab.submit()
    await lab.node.call(OWNER, "removeusermsg", colonyname="lab", name="alice")
    ann = await lab.join("ann")
    assert (await lab.assign(ann))["initiatorname"] == "alice"
    assert (await lab.node.call(ann, "getprocessmsg", processid=process["processid"]))["initiatorid"] == ALICE.id


async def test_locations_come_and_go(lab: Lab) -> None:
    node = lab.node
    assert await node.call(ALICE, "getlocationsmsg", colonyname="lab") is None
    place = {
        "locationid": "any",
        "name": "here",
        "colonyname": "lab",
        "description": "Luleå <sea>",
        "long": 22.15,
        "lat": -65,
    }
    assert await node.call(OWNER, "addlocationmsg", location=place) == place
    taken = (await node.ask(OWNER, "addlocationmsg", location=place)).refusal
    assert taken == (400, "A location with name <here> already exists in Colony with name <lab>")
    assert await node.call(ALICE, "getlocationmsg", colonyname="lab", name="here") == place
    assert await node.call(ALICE, "getlocationsmsg", colonyname="lab") == [place]
    ann = await lab.join("ann", locationname="here")
    assert await node.call(OWNER, "removelocationmsg", colonyname="lab", name="here") == {}
    gone = (await node.ask(OWNER, "removelocationmsg", colonyname="lab", name="here")).refusal
    assert gone == (400, "Location with name <here> not found")
    missing = (await node.ask(ann, "getlocationmsg", colonyname="lab", name="here")).refusal
    assert missing == (404, "Failed to get location, location is nil")
    found = await node.call(ann, "getexecutormsg", colonyname="lab", executorname="ann")
    assert found["locationname"] == "here"


@pytest.mark.parametrize("name", ["a:b", ":", "x" * 257])
@pytest.mark.parametrize(
    ("party", "msgtype", "field", "record"),
    [
        (SERVER, "addcolonymsg", "colony", {"colonyid": BEA.id, "name": ...}),
        (OWNER, "addusermsg", "user", {"colonyname": "lab", "userid": BEA.id, "name": ...}),
        (OWNER, "addlocationmsg", "location", {"colonyname": "lab", "name": ...}),
        (OWNER, "addexecutormsg", "executor", {"colonyname": "lab", "executorid": BEA.id, "executorname": ...}),
    ],
)
async def test_a_name_that_could_not_be_read_back_is_refused(
    lab: Lab, party: Party, msgtype: str, field: str, record: dict[str, Any], name: str
) -> None:
    """DEVIATIONS 11."""
    before = lab.node.tables()
    filled = {key: name if value is ... else value for key, value in record.items()}
    refused = (await lab.node.ask(party, msgtype, **{field: filled})).refusal
    assert refused is not None
    assert refused[0] == 400
    assert refused[1].startswith("The name of ")
    assert lab.node.tables() == before


async def test_statistics_count_every_state_in_the_colony_and_on_the_server(node: Node, lab: Lab) -> None:
    """DEVIATIONS 25: the reference leaves some of the server's counters at 0."""
    other = await Lab(node, "other", Party("the owner of other"), BEA).found()
    for colony in (lab, other):
        ann = await colony.join("ann")
        await colony.join("bob")
        await colony.apply("cia")
        await node.call(colony.owner, "removeexecutormsg", colonyname=colony.name, executorname="bob")
        await colony.run(ann)
        failed = await colony.submit()
        await colony.assign(ann)
        await colony.fail(ann, failed)
        cancelled = await colony.submit()
        await node.call(colony.user, "cancelprocessmsg", processid=cancelled["processid"])
        await colony.submit()
        await colony.assign(ann)
        await colony.submit()
    counters = {
        "colonies": 1,
        "executors": 3,
        "activeexecutors": 1,
        "unregisteredexecutors": 1,
        "waitingprocesses": 1,
        "runningprocesses": 1,
        "successfulprocesses": 1,
        "failedprocesses": 1,
        "cancelledprocesses": 1,
        "waitingworkflows": 0,
        "runningworkflows": 0,
        "successfulworkflows": 0,
        "failedworkflows": 0,
        "cancelledworkflows": 0,
    }
    assert await node.call(ALICE, "getcolonystatsmsg", colonyname="lab") == counters
    whole = {name: 2 * number for name, number in counters.items()}
    assert await node.call(SERVER, "getstatisticsmsg") == whole | {"executors": 4}


async def test_a_server_says_where_it_is(node: Node) -> None:
    info = await node.call(None, "getserverinfomsg")
    assert info.keys() == {"buildversion", "buildtime", "backends"}
    assert info["backends"] == [{"type": "http", "port": 50080, "host": "0.0.0.0"}]
    cluster = await node.call(SERVER, "getclustermsg")
    assert cluster["nodes"] == [cluster["leader"]]
    assert cluster["leader"].keys() == {"name", "host", "port", "peerport", "relayport", "apiport"}
    assert cluster["leader"]["apiport"] == 50080
