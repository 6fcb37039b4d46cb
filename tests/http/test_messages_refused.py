"""Who has no right to a message, or sends something else than a message, is told so, and nothing changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from colonies_node.core.broker.table import ROWS, TABLE
from colonies_node.http.envelope import write_request
from tests.core.test_table import PHRASES, SUBSCRIPTIONS, invalid_json, mismatch
from tests.lab import Lab
from tests.node import ALICE, OWNER, SERVER, STRANGER, Node, Party

ANN, PENDING, REJECTED, GONE = (Party(f"{name} of lab") for name in ("ann", "pen", "rej", "gone"))
OTHERS = Party("the owner of another colony")
EVERYBODY = (SERVER, OWNER, ALICE, ANN, PENDING, REJECTED, GONE, STRANGER, OTHERS)

NOT_SERVER = "Access denied, not server owner"
NOT_OWNER = "Access denied, not colony owner"
NOT_MEMBER = "Access denied, not a member of Colony with name <lab>"

SERVER_OWNER = {SERVER}, NOT_SERVER
COLONY_OWNER = {OWNER}, NOT_OWNER
MEMBER = {ALICE, ANN}, NOT_MEMBER
ANY_MEMBER = {ALICE, ANN, PENDING, REJECTED, GONE}, NOT_MEMBER
MEMBER_OR_OWNER = {ALICE, ANN, OWNER}, NOT_OWNER
ANYBODY = set(EVERYBODY), ""

RIGHTS = {
    "addcolonymsg": SERVER_OWNER,
    "removecolonymsg": SERVER_OWNER,
    "getcoloniesmsg": SERVER_OWNER,
    "getcolonymsg": MEMBER,
    "getcolonystatsmsg": MEMBER,
    "addusermsg": COLONY_OWNER,
    "getusersmsg": ANY_MEMBER,
    "getusermsg": ANY_MEMBER,
    "getuserbyidmsg": ANY_MEMBER,
    "removeusermsg": COLONY_OWNER,
    "addexecutormsg": COLONY_OWNER,
    "getexecutorsmsg": ANY_MEMBER,
    "getexecutormsg": MEMBER,
    "getexecutorbyidmsg": MEMBER,
    "approveexecutormsg": COLONY_OWNER,
    "rejectexecutormsg": COLONY_OWNER,
    "removeexecutormsg": COLONY_OWNER,
    "reportallocationmsg": ANY_MEMBER,
    "updateexecutormsg": ANY_MEMBER,
    "addfunctionmsg": MEMBER,
    "getfunctionsmsg": MEMBER,
    "removefunctionmsg": MEMBER,
    "submitfuncspecmsg": MEMBER,
    "assignprocessmsg": MEMBER,
    "pauseassignmentsmsg": COLONY_OWNER,
    "resumeassignmentsmsg": COLONY_OWNER,
    "getpausestatusmsg": ANY_MEMBER,
    "getprocessmsg": MEMBER,
    "getprocessesmsg": MEMBER,
    "getprocesshistmsg": MEMBER,
    "removeprocessmsg": MEMBER,
    "removeallprocessesmsg": COLONY_OWNER,
    "setoutputmsg": MEMBER,
    "closesuccessfulmsg": MEMBER,
    "closefailedmsg": MEMBER,
    "cancelprocessmsg": MEMBER,
    "addattributemsg": MEMBER,
    "getattributemsg": MEMBER,
    "addlogmsg": MEMBER,
    "addexecutorlogmsg": MEMBER,
    "getlogsmsg": MEMBER,
    "searchlogsmsg": MEMBER,
    "versionmsg": ANYBODY,
    "getserverinfomsg": ANYBODY,
    "getstatisticsmsg": SERVER_OWNER,
    "getclustermsg": SERVER_OWNER,
    "changeuseridmsg": ANY_MEMBER,
    "changeexecutoridmsg": ANY_MEMBER,
    "changecolonyidmsg": COLONY_OWNER,
    "changeserveridmsg": SERVER_OWNER,
    "addlocationmsg": COLONY_OWNER,
    "getlocationsmsg": ANY_MEMBER,
    "getlocationmsg": ANY_MEMBER,
    "removelocationmsg": COLONY_OWNER,
    "addcronmsg": MEMBER,
    "getcronmsg": MEMBER,
    "getcronsmsg": MEMBER,
    "runcronmsg": MEMBER,
    "removecronmsg": MEMBER,
    "addgeneratormsg": MEMBER,
    "getgeneratormsg": MEMBER,
    "resolvegeneratormsg": MEMBER,
    "getgeneratorsmsg": MEMBER,
    "packgeneratormsg": MEMBER,
    "removegeneratormsg": MEMBER,
    "channelappendmsg": MEMBER,
    "channelreadmsg": MEMBER,
    "addfilemsg": MEMBER,
    "getfilemsg": MEMBER,
    "getfilesmsg": MEMBER,
    "getfilelabelsmsg": MEMBER,
    "removefilemsg": MEMBER,
    "createsnapshotmsg": MEMBER,
    "getsnapshotmsg": MEMBER,
    "getsnapshotsmsg": MEMBER,
    "removesnapshotmsg": MEMBER,
    "removeallsnapshotmsg": MEMBER,
    "submitworkflowspecmsg": MEMBER,
    "getprocessgraphmsg": MEMBER,
    "getprocessgraphsmsg": MEMBER,
    "removeprocessgraphmsg": MEMBER,
    "removeallprocessgraphsmsg": COLONY_OWNER,
    "cancelprocessgraphmsg": MEMBER,
    "addchildmsg": MEMBER,
    "addblueprintdefinitionmsg": COLONY_OWNER,
    "getblueprintdefinitionmsg": MEMBER_OR_OWNER,
    "getblueprintdefinitionsmsg": MEMBER_OR_OWNER,
    "removeblueprintdefinitionmsg": COLONY_OWNER,
    "addblueprintmsg": MEMBER_OR_OWNER,
    "getblueprintmsg": MEMBER_OR_OWNER,
    "getblueprintsmsg": MEMBER_OR_OWNER,
    "updateblueprintmsg": MEMBER_OR_OWNER,
    "removeblueprintmsg": MEMBER_OR_OWNER,
    "getblueprinthistorymsg": MEMBER_OR_OWNER,
    "updateblueprintstatusmsg": MEMBER,
    "reconcileblueprintmsg": MEMBER,
    "syncmsg": MEMBER,
    "addupstreammsg": SERVER_OWNER,
    "getupstreamsmsg": SERVER_OWNER,
    "pauseupstreammsg": SERVER_OWNER,
    "resumeupstreammsg": SERVER_OWNER,
    "syncupstreammsg": SERVER_OWNER,
    "removeupstreammsg": SERVER_OWNER,
}
"""Message type → who may send it, and what all others are told."""


class Town:
    """A colony in which there is one of everything, and an honest request of every type to it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.node = lab.node
        self.requests: dict[str, dict[str, Any]] = {}

    async def build(self) -> Town:
        lab, call = self.lab, self.node.call
        await call(SERVER, "addcolonymsg", colony={"colonyid": OTHERS.id, "name": "another"})
        await lab.join("ann")
        await lab.apply("pen")
        for name, what in (("rej", "reject"), ("gone", "remove")):
            await lab.apply(name)
            await call(OWNER, f"{what}executormsg", colonyname="lab", executorname=name)
        running = await lab.submit(env={"A": "b"}, channels=["c"])
        await lab.assign(ANN)
        waiting = await lab.submit()
        place = {"colonyname": "lab", "name": "here", "locationid": "1", "description": "", "long": 1, "lat": 2}
        await call(OWNER, "addlocationmsg", location=place)
        function = await call(ANN, "addfunctionmsg", fun={"colonyname": "lab", "executorname": "ann", "funcname": "f"})
        attribute = {"targetid": running["processid"], "key": "k", "value": "v", "attributetype": 1}
        noted = await call(ANN, "addattributemsg", attribute=attribute)
        self._write_requests(running["processid"], waiting["processid"], function["functionid"], noted["attributeid"])
        await self._build_workflow()
        await self._build_files()
        await self._build_generator()
        await self._build_cron()
        await self._build_blueprint()
        return self

    async def _build_workflow(self) -> None:
        lab = {"colonyname": "lab"}
        node = {"nodename": "n", "funcname": "f", "conditions": lab | {"executortype": "worker"}}
        workflow = {"spec": lab | {"functionspecs": [node]}}
        graph = {"processgraphid": (await self.node.call(ALICE, "submitworkflowspecmsg", **workflow))["processgraphid"]}
        self.requests |= {
            "submitworkflowspecmsg": workflow,
            "getprocessgraphmsg": graph,
            "getprocessgraphsmsg": lab | {"count": 10, "state": 0},
            "removeprocessgraphmsg": graph,
            "removeallprocessgraphsmsg": lab | {"state": -1},
            "cancelprocessgraphmsg": graph,
            "addchildmsg": graph | {"parentprocessid": "0" * 64, "spec": node},
        }

    async def _build_files(self) -> None:
        lab = {"colonyname": "lab"}
        file = {"file": lab | {"label": "/a", "name": "f", "size": 1}}
        fileid = (await self.node.call(ALICE, "addfilemsg", **file))["fileid"]
        await self.node.call(ALICE, "createsnapshotmsg", colonyname="lab", label="/a", name="s")
        self.requests |= {
            "addfilemsg": file,
            "getfilemsg": lab | {"fileid": fileid},
            "getfilesmsg": lab | {"label": "/a"},
            "getfilelabelsmsg": lab,
            "removefilemsg": lab | {"fileid": fileid},
            "createsnapshotmsg": lab | {"label": "/a", "name": "t"},
            "getsnapshotmsg": lab | {"name": "s"},
            "removesnapshotmsg": lab | {"name": "s"},
        }

    async def _build_cron(self) -> None:
        lab = {"colonyname": "lab"}
        cron = lab | {"name": "c", "interval": 3600, "workflowspec": json.dumps(lab | {"functionspecs": []})}
        cronid = {"cronid": (await self.node.call(ALICE, "addcronmsg", cron=cron))["cronid"]}
        self.requests |= dict.fromkeys(("getcronmsg", "runcronmsg", "removecronmsg"), cronid)
        self.requests |= {"addcronmsg": {"cron": cron | {"name": "d"}}, "getcronsmsg": lab | {"count": 10}}

    async def _build_blueprint(self) -> None:
        lab, there = {"colonyname": "lab"}, {"namespace": "lab"}
        spec = {"names": {"kind": "Lamp"}, "handler": {"executorType": "worker", "functionName": "f"}}
        definition = {"metadata": lab | {"name": "lamps"}, "spec": spec}
        blueprint = {"kind": "Lamp", "metadata": lab | {"name": "one"}, "spec": {"on": True}}
        await self.node.call(OWNER, "addblueprintdefinitionmsg", blueprintdefinition=definition)
        added = await self.node.call(ALICE, "addblueprintmsg", blueprint=blueprint)
        self.requests |= {
            "addblueprintdefinitionmsg": {
                "blueprintdefinition": {"metadata": lab | {"name": "more"}, "spec": {"names": {"kind": "More"}}}
            },
            "getblueprintdefinitionmsg": lab | {"name": "lamps"},
            "removeblueprintdefinitionmsg": there | {"name": "lamps"},
            "addblueprintmsg": {"blueprint": blueprint | {"metadata": lab | {"name": "two"}}},
            "getblueprintmsg": there | {"name": "one"},
            "getblueprintsmsg": there,
            "updateblueprintmsg": {"blueprint": blueprint | {"spec": {"on": False}}},
            "removeblueprintmsg": there | {"name": "one"},
            "getblueprinthistorymsg": {"blueprintid": added["blueprintid"]},
            "updateblueprintstatusmsg": lab | {"blueprintname": "one", "status": {"on": True}},
            "reconcileblueprintmsg": there | {"name": "one", "force": True},
        }

    async def _build_generator(self) -> None:
        lab = {"colonyname": "lab"}
        generator = lab | {"name": "g", "trigger": 2, "workflowspec": json.dumps(lab | {"functionspecs": []})}
        added = await self.node.call(ALICE, "addgeneratormsg", generator=generator)
        generatorid = {"generatorid": added["generatorid"]}
        self.requests |= {
            "addgeneratormsg": {"generator": generator | {"name": "h"}},
            "getgeneratormsg": generatorid,
            "resolvegeneratormsg": lab | {"generatorname": "g"},
            "getgeneratorsmsg": lab | {"count": 10},
            "packgeneratormsg": generatorid | {"arg": "x"},
            "removegeneratormsg": generatorid,
        }

    def _write_requests(self, running: str, waiting: str, function: str, attribute: str) -> None:
        lab = {"colonyname": "lab"}
        new = {"colonyname": "lab", "name": "new", "userid": "2" * 64, "email": "", "phone": ""}
        executor = {"colonyname": "lab", "executorname": "new", "executorid": "3" * 64, "executortype": "worker"}
        noted = {"targetid": running, "key": "new", "value": "v", "attributetype": 1}
        self.requests = {
            "addcolonymsg": {"colony": {"colonyid": "1" * 64, "name": "new"}},
            "addusermsg": {"user": new},
            "getusermsg": lab | {"name": "alice"},
            "getuserbyidmsg": lab | {"userid": ALICE.id},
            "removeusermsg": lab | {"name": "alice"},
            "addexecutormsg": {"executor": executor},
            "getexecutormsg": lab | {"executorname": "ann"},
            "getexecutorbyidmsg": lab | {"executorid": ANN.id},
            "approveexecutormsg": lab | {"executorname": "pen"},
            "rejectexecutormsg": lab | {"executorname": "ann"},
            "removeexecutormsg": lab | {"executorname": "ann"},
            "reportallocationmsg": lab | {"executorname": "ann", "allocations": {"projects": {"p": {"usedcpu": 1}}}},
            "updateexecutormsg": lab | {"executorname": "ann", "capabilities": {"software": [{"name": "s"}]}},
            "addfunctionmsg": {"fun": {"colonyname": "lab", "executorname": "ann", "funcname": "g"}},
            "removefunctionmsg": {"functionid": function},
            "submitfuncspecmsg": {"spec": {"funcname": "f", "conditions": lab | {"executortype": "worker"}}},
            "assignprocessmsg": lab | {"timeout": -1},
            "getprocessmsg": {"processid": running},
            "getprocessesmsg": lab | {"count": 10, "state": 0},
            "getprocesshistmsg": lab | {"seconds": 10, "state": 0},
            "removeprocessmsg": {"processid": waiting},
            "removeallprocessesmsg": lab | {"state": -1},
            "setoutputmsg": {"processid": running, "out": ["x"]},
            "closesuccessfulmsg": {"processid": running, "out": ["x"]},
            "closefailedmsg": {"processid": running, "errors": ["x"]},
            "cancelprocessmsg": {"processid": waiting},
            "addattributemsg": {"attribute": noted},
            "getattributemsg": {"attributeid": attribute},
            "addlogmsg": {"processid": running, "message": "x"},
            "channelappendmsg": {"processid": running, "name": "c", "sequence": 1},
            "channelreadmsg": {"processid": running, "name": "c"},
            "addexecutorlogmsg": lab | {"executorname": "ann", "message": "x"},
            "getlogsmsg": {"processid": running, "count": 10},
            "searchlogsmsg": lab | {"text": "x", "days": 1, "count": 10},
            "changeuseridmsg": lab | {"userid": "4" * 64},
            "changeexecutoridmsg": lab | {"executorid": "5" * 64},
            "changecolonyidmsg": lab | {"colonyid": "6" * 64},
            "changeserveridmsg": {"serverid": "7" * 64},
            "addlocationmsg": {"location": {"colonyname": "lab", "name": "new", "locationid": "2"}},
            "getlocationmsg": lab | {"name": "here"},
            "removelocationmsg": lab | {"name": "here"},
            "syncmsg": lab | {"node": "8" * 64, "timeline": "t", "letter": 1},
            "addupstreammsg": {"upstream": {"name": "edge", "url": "http://edge.test", "colonyname": "lab"}},
            "pauseupstreammsg": {"name": "edge"},
            "resumeupstreammsg": {"name": "edge"},
            "syncupstreammsg": {"name": "edge"},
            "removeupstreammsg": {"name": "edge"},
        }
        for row in ROWS:
            self.requests.setdefault(row.msgtype, lab)


@pytest.fixture
async def town(lab: Lab) -> Town:
    return await Town(lab).build()


def test_every_type_has_a_right_to_test() -> None:
    assert set(RIGHTS) | SUBSCRIPTIONS == {row.msgtype for row in ROWS}


@pytest.mark.parametrize("msgtype", RIGHTS)
async def test_only_who_has_the_right_may(town: Town, msgtype: str) -> None:
    allowed, refusal = RIGHTS[msgtype]
    before = town.node.tables()
    for party in EVERYBODY:
        if party not in allowed:
            answer = await town.node.ask(party, msgtype, **town.requests[msgtype])
            assert answer.refusal == (403, refusal), party
            assert town.node.tables() == before, party
    # The last one first: an earlier one may take away what a later one needs (an identity, a process).
    for party in sorted(allowed, key=EVERYBODY.index, reverse=True):
        answer = await town.node.ask(party, msgtype, **town.requests[msgtype])
        assert answer.refusal is None or not answer.refusal[1].startswith("Access denied"), party


SIGNED = [msgtype for msgtype in RIGHTS if TABLE[msgtype].signed]


@pytest.mark.parametrize("msgtype", SIGNED)
async def test_a_message_needs_a_signature(town: Town, msgtype: str) -> None:
    before = town.node.tables()
    answer = await town.node.ask(None, msgtype, **town.requests[msgtype])
    assert answer.refusal == (403, "Invalid signature length")
    assert town.node.tables() == before


@pytest.mark.parametrize("msgtype", PHRASES)
async def test_a_payload_that_is_no_message_is_refused(town: Town, msgtype: str) -> None:
    allowed, _ = RIGHTS[msgtype]
    sender = min(allowed, key=EVERYBODY.index)
    before = town.node.tables()
    honest = {"msgtype": msgtype, **town.requests[msgtype]}
    for payload, text in (
        (b"", invalid_json(msgtype)),
        (b"not JSON", invalid_json(msgtype)),
        (json.dumps(honest).encode()[:-1], invalid_json(msgtype)),
        (b"[]", invalid_json(msgtype)),
        (json.dumps(honest | {"msgtype": 1}).encode(), invalid_json(msgtype)),
        (json.dumps(honest | {"msgtype": "another"}).encode(), mismatch(msgtype)),
        (json.dumps(honest | {"msgtype": msgtype.upper()}).encode(), mismatch(msgtype)),
        (json.dumps(town.requests[msgtype]).encode(), mismatch(msgtype)),
        (b"null", mismatch(msgtype)),
        (b"{}", mismatch(msgtype)),
    ):
        answer = await town.node.post(write_request(msgtype, payload, sender.signer))
        assert answer.refusal == (400, text), payload
    assert town.node.tables() == before


@pytest.mark.parametrize("payload", [b"", b"not JSON", b"null", b'{"msgtype":"another"}'])
async def test_server_info_does_not_look_at_its_payload(node: Node, payload: bytes) -> None:
    answer = await node.post(write_request("getserverinfomsg", payload, None))
    assert answer.refusal is None
    assert answer.envelope["payloadtype"] == "getserverinfomsg"


async def test_a_version_needs_no_signature(node: Node) -> None:
    version = await node.call(None, "versionmsg")
    assert version.keys() == {"buildversion", "buildtime", "msgtype"}
    assert version["msgtype"] == "versionmsg"


UNKNOWN_COLONY = "Colony with name <nowhere> does not exists"
FIRST_OF_ALL = "getusersmsg getusermsg getuserbyidmsg removeusermsg getlocationsmsg getlocationmsg removelocationmsg"
WITH_THE_RIGHT = (
    "pauseassignmentsmsg resumeassignmentsmsg removeallprocessesmsg getcolonymsg getexecutorsmsg getfunctionsmsg"
    " getprocessesmsg getprocesshistmsg assignprocessmsg searchlogsmsg reportallocationmsg updateexecutormsg"
    " addexecutorlogmsg changeuseridmsg changeexecutoridmsg changecolonyidmsg getpausestatusmsg"
)
OF_COLONY = {
    **dict.fromkeys(FIRST_OF_ALL.split(), (400, UNKNOWN_COLONY)),
    **dict.fromkeys(WITH_THE_RIGHT.split(), (403, UNKNOWN_COLONY)),
    "getcolonystatsmsg": (400, "Colony with name <nowhere> not found"),
    "getexecutormsg": (500, "Failed to get executor, executor is nil"),
    "approveexecutormsg": (500, "Failed to approve executor, executor is nil"),
    "rejectexecutormsg": (500, "Failed to reject executor, executor is nil"),
    "removeexecutormsg": (500, "Failed to remove executor, executor is nil"),
}


@pytest.mark.parametrize("msgtype", OF_COLONY)
async def test_a_colony_that_is_not_there_is_named(town: Town, msgtype: str) -> None:
    fields = town.requests[msgtype] | {"colonyname": "nowhere"}
    for party in (STRANGER, OWNER, ALICE):
        assert (await town.node.ask(party, msgtype, **fields)).refusal == OF_COLONY[msgtype]


async def test_a_colony_to_remove_must_be_there(town: Town) -> None:
    answer = await town.node.ask(SERVER, "removecolonymsg", colonyname="nowhere")
    assert answer.refusal == (400, "Colony with name <nowhere> not found")


@pytest.mark.parametrize("msgtype", ["pauseassignmentsmsg", "removeallprocessesmsg", "changecolonyidmsg"])
async def test_an_owner_must_name_the_colony(town: Town, msgtype: str) -> None:
    answer = await town.node.ask(OWNER, msgtype, **(town.requests[msgtype] | {"colonyname": ""}))
    assert answer.refusal == (403, "Empty Colony name")


NOTHING = {
    "addcolonymsg": (SERVER, 400, "Failed to add colony, colony is <nil>"),
    "addusermsg": (OWNER, 400, "Failed to add user, executor is nil"),
    "addexecutormsg": (OWNER, 400, "Failed to add executor, executor is nil"),
    "addfunctionmsg": (ANN, 400, "Failed to add function, msg.Function is nil"),
    "removefunctionmsg": (ANN, 400, "Failed to remove function, msg.FunctionID is empty"),
    "submitfuncspecmsg": (ALICE, 400, "Failed to submit process spec, msg.FunctionSpec is nil"),
    "addlocationmsg": (OWNER, 400, "Failed to add location, location is nil"),
    "changeuseridmsg": (ALICE, 400, "Failed to change user Id, user Id is empty"),
    "changeexecutoridmsg": (ANN, 400, "Failed to change executor Id, executor Id is empty"),
    "changecolonyidmsg": (OWNER, 400, "Failed to change colony Id, colony Id is empty"),
    "changeserveridmsg": (SERVER, 400, "Failed to change colony Id, colony Id is empty"),
    "addattributemsg": (ANN, 400, "Failed to add attribute, attribute is nil"),
    "getprocessmsg": (ALICE, 404, "Failed to get process, process not found"),
    "removeprocessmsg": (ALICE, 500, "Failed to remove process, process is nil"),
    "setoutputmsg": (ANN, 500, "Failed to set output, process is nil"),
    "closesuccessfulmsg": (ANN, 500, "Failed to close process as successful, process is nil"),
    "closefailedmsg": (ANN, 500, "Failed to close process as failed, process is nil"),
    "cancelprocessmsg": (ALICE, 500, "Failed to cancel process, process is nil"),
    "addlogmsg": (ANN, 500, "Failed to add log, process is nil"),
    "getlogsmsg": (ALICE, 500, "Failed to get logs, process does not exist"),
    "getattributemsg": (ALICE, 400, "Attribute does not exists"),
    "submitworkflowspecmsg": (ALICE, 400, "Failed to submit workflow, msg.WorkflowSpec is nil"),
    "addcronmsg": (ALICE, 400, "Failed to add cron, msg.Cron is nil"),
    "getcronmsg": (ALICE, 500, "Failed to get cron, cron is nil"),
    "runcronmsg": (ALICE, 400, "cron not found"),
    "removecronmsg": (ALICE, 500, "Failed to remove cron, cron is nil"),
    "addgeneratormsg": (ALICE, 400, "Failed to add generator, msg.Generator is nil"),
    "getgeneratormsg": (ALICE, 500, "Failed to get generator, generator is nil"),
    "resolvegeneratormsg": (ALICE, 500, "Failed to resolve generator, generator is nil"),
    "packgeneratormsg": (ALICE, 500, "Failed to increment generator, generator is nil"),
    "removegeneratormsg": (ALICE, 500, "Failed to remove generator, generator is nil"),
    "addfilemsg": (ALICE, 400, "Failed to add file, msg.File is nil"),
    "getprocessgraphmsg": (ALICE, 500, "Failed to get processgraph, graph is nil"),
    "removeprocessgraphmsg": (ALICE, 500, "Failed to remove processgraph, graph is nil"),
    "cancelprocessgraphmsg": (ALICE, 500, "Failed to cancel processgraph, graph is nil"),
    "addchildmsg": (ANN, 400, "Failed to add child to processgraph, msg.FunctionSpec is nil"),
    "getexecutorbyidmsg": (ALICE, 404, "Failed to get executor by ID, executor is nil"),
    "addblueprintdefinitionmsg": (
        OWNER,
        400,
        "Failed to add blueprint definition, blueprint definition is nil",
    ),
    "addblueprintmsg": (ALICE, 400, "Failed to add blueprint, blueprint is nil"),
    "updateblueprintmsg": (ALICE, 400, "Failed to update blueprint, blueprint is nil"),
    "getblueprinthistorymsg": (ALICE, 404, "Blueprint not found"),
}
"""What a message that carries or names nothing is told (DEVIATIONS 3 where the reference crashes)."""


@pytest.mark.parametrize("msgtype", NOTHING)
async def test_a_message_that_names_nothing_is_told_what_is_missing(town: Town, msgtype: str) -> None:
    sender, status, text = NOTHING[msgtype]
    before = town.node.tables()
    assert (await town.node.ask(sender, msgtype)).refusal == (status, text)
    nulls = dict.fromkeys(town.requests[msgtype])
    assert (await town.node.ask(sender, msgtype, **nulls)).refusal == (status, text)
    assert town.node.tables() == before
