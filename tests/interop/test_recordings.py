"""The node answers recorded requests as the reference server did: status, error, fields, types, null or [], and texts.

Each entry of recordings/ has a scene: who sends the request, and what happened before. Ids and times are masked, all
other values are compared as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from colonies_node.core.broker.table import TABLE
from tests.interop.test_reference_types import OURS
from tests.node import FAILED, OWNER, RUNNING, SERVER, STRANGER, SUCCESS, Node, Party, settle

RECORDINGS = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "recordings").glob("*.json"))
}

NOT_RECORDED = {
    "addexecutorlogmsg": "neither recorded client sends it",
    "changecolonyidmsg": "the recorded run changed the id of an executor only",
    "changeserveridmsg": "the recorded run changed the id of an executor only",
    "changeuseridmsg": "the recorded run changed the id of an executor only",
    "getprocesshistmsg": "neither recorded client sends it",
    "getuserbyidmsg": "neither recorded client sends it",
    "removelocationmsg": "the recorded run kept its location",
    "reportallocationmsg": "neither recorded client sends it",
    "resolvegeneratormsg": "neither recorded client sends it",
    "removeallsnapshotmsg": "neither recorded client sends it",
    "subscribechannelmsg": "it is answered by events, on the websocket",
    "subscribeprocessesmsg": "as above",
    "subscribeprocessmsg": "as above",
    "updateexecutormsg": "neither recorded client sends it",
    "versionmsg": "neither recorded client sends it",
    **dict.fromkeys(OURS.split(), "the reference has nothing like it"),
}
"""Types of the core without a recording; the tests of the wire (tests/http) cover them."""

EXECUTOR = Party("the recorded executor")
PARTIES = {
    "server": SERVER,
    "owner": OWNER,
    "executor": EXECUTOR,
    "stranger": STRANGER,
    "user": Party("the recorded user"),
}


class Stage:
    """A node on its way to the situation of a recorded request; names are those of the recording."""

    def __init__(self, node: Node, entry: dict[str, Any]) -> None:
        self.node = node
        self.recorded = entry["reply"]
        cli = "61076e670c" in json.dumps(entry)
        prefix, suffix = ("", "61076e670c") if cli else ("py", "47023810ed")
        self.suffix = suffix
        self.colony = f"{'cli' if cli else 'py'}{suffix}"
        self.executor = f"{prefix}exec{suffix}"
        self.type = f"{prefix}type{suffix}"
        self.user = f"user{suffix}"
        self.processid = self.attributeid = self.functionid = self.processgraphid = self.fileid = self.cronid = (
            self.generatorid
        ) = self.blueprintid = ""

    def records(self) -> list[Any]:
        """The recorded reply as a list."""
        reply = self.recorded
        return reply if isinstance(reply, list) else [] if reply is None else [reply]

    async def nothing(self) -> None:
        """The server has just started."""

    async def founded(self) -> None:
        await self.node.call(SERVER, "addcolonymsg", colony={"colonyid": OWNER.id, "name": self.colony})

    async def peopled(self) -> None:
        """The users of the reply, and one to send requests, are in the colony."""
        await self.founded()
        users = [record for record in self.records() if "userid" in record]
        names = {user["name"] for user in users} | {"gone47023810ed"}
        for user in users or [{"colonyname": self.colony, "name": name} for name in (self.user, *names)]:
            party = PARTIES["user"] if user["name"] == self.user else Party(user["name"])
            await self.node.call(OWNER, "addusermsg", user=user | {"userid": party.id})

    async def applied(self) -> None:
        """An executor waits for approval."""
        await self.peopled()
        executor = {"executorid": EXECUTOR.id, "executorname": self.executor, "executortype": self.type}
        await self.node.call(OWNER, "addexecutormsg", executor=executor | {"colonyname": self.colony})

    async def approved(self) -> None:
        await self.applied()
        await self.node.call(OWNER, "approveexecutormsg", colonyname=self.colony, executorname=self.executor)

    async def paused(self) -> None:
        await self.approved()
        await self.node.call(OWNER, "pauseassignmentsmsg", colonyname=self.colony)

    async def placed(self) -> None:
        """There is a location."""
        await self.approved()
        await self.node.call(OWNER, "addlocationmsg", location=self.records()[0])

    async def offered(self) -> None:
        """The executor offers a function."""
        await self.approved()
        fun = {"executorname": self.executor, "colonyname": self.colony, "funcname": "echo"}
        self.functionid = (await self.node.call(EXECUTOR, "addfunctionmsg", fun=fun))["functionid"]

    async def submitted(self) -> None:
        """The processes of the reply are waiting, or some process."""
        await self.approved()
        conditions = {"colonyname": self.colony, "executortype": self.type}
        found = [record["spec"] for record in self.records() if "spec" in record]
        for spec in found or [{"funcname": "echo", "conditions": conditions}]:
            self.processid = (await self.node.call(EXECUTOR, "submitfuncspecmsg", spec=spec))["processid"]

    async def assigned(self) -> None:
        """The executor runs a process."""
        await self.submitted()
        await self.node.call(EXECUTOR, "assignprocessmsg", colonyname=self.colony, timeout=-1)

    async def noted(self) -> None:
        """There is an attribute on the running process."""
        await self.assigned()
        await self._note({"key": "akey", "value": "aval", "attributetype": 1})

    async def _note(self, attribute: dict[str, Any]) -> None:
        noted = await self.node.call(EXECUTOR, "addattributemsg", attribute=attribute | {"targetid": self.processid})
        self.attributeid = noted["attributeid"]

    async def logged(self) -> None:
        """The running process has said what the reply shows."""
        await self.assigned()
        for log in self.records():
            await self.node.call(EXECUTOR, "addlogmsg", processid=self.processid, message=log["message"])

    async def as_recorded(self) -> None:
        """Every process of the reply has gone through the life that the reply shows."""
        await self.approved()
        for process in self.records():
            submitted = await self.node.call(EXECUTOR, "submitfuncspecmsg", spec=process["spec"])
            self.processid = submitted["processid"]
            if process["state"] >= RUNNING:
                await self._live(process)

    async def _live(self, process: dict[str, Any]) -> None:
        await self.node.call(EXECUTOR, "assignprocessmsg", colonyname=self.colony, timeout=-1)
        for attribute in process["attributes"]:
            await self._note(attribute)
        if process["state"] == SUCCESS:
            await self.node.call(EXECUTOR, "closesuccessfulmsg", processid=self.processid, out=process["out"])
        elif process["state"] == FAILED:
            await self.node.call(EXECUTOR, "closefailedmsg", processid=self.processid, errors=process["errors"])
        elif process["out"]:
            await self.node.call(EXECUTOR, "setoutputmsg", processid=self.processid, out=process["out"])

    async def linked(self) -> None:
        """There is a workflow of two processes, one after the other."""
        await self.approved()
        conditions = {"executortype": self.type}
        nodes = [
            {"nodename": name, "funcname": "f", "conditions": conditions | {"dependencies": after}}
            for name, after in (("a", []), ("b", ["a"]))
        ]
        workflow = {"colonyname": self.colony, "functionspecs": nodes}
        graph = await self.node.call(EXECUTOR, "submitworkflowspecmsg", spec=workflow)
        self.processgraphid, (_, self.processid) = graph["processgraphid"], graph["processids"]

    async def halfway(self) -> None:
        """The first process of the workflow is done, and the second one runs."""
        await self.linked()
        for _ in range(2):
            given = await self.node.call(EXECUTOR, "assignprocessmsg", colonyname=self.colony, timeout=-1)
            if given["processid"] != self.processid:
                await self.node.call(EXECUTOR, "closesuccessfulmsg", processid=given["processid"], out=[])

    async def completed(self) -> None:
        """The whole workflow has succeeded, with a process that was added on the way."""
        await self.halfway()
        conditions = {"executortype": self.type, "colonyname": self.colony}
        added = {
            "processgraphid": self.processgraphid,
            "parentprocessid": self.processid,
            "spec": {"nodename": "c", "funcname": "f", "conditions": conditions},
        }
        child = (await self.node.call(EXECUTOR, "addchildmsg", **added))["processid"]
        await self.node.call(EXECUTOR, "closesuccessfulmsg", processid=self.processid, out=[])
        await self.node.call(EXECUTOR, "assignprocessmsg", colonyname=self.colony, timeout=-1)
        await self.node.call(EXECUTOR, "closesuccessfulmsg", processid=child, out=[])

    async def filed(self) -> None:
        """A file has two revisions: the recorded one is the later, where one is recorded."""
        await self.approved()
        file = {"label": f"/in{self.colony[2:]}", "name": "data.txt", "size": 1}
        later = next((record for record in self.records() if "checksum" in record), {})
        later = later | {"ref": {"s3object": {"object": later["s3filename"]}}} if "s3filename" in later else later
        for record in (file, file | later):
            record = record | {"colonyname": self.colony, "fileid": "", "added": None}
            record.pop("s3filename", None)
            self.fileid = (await self.node.call(EXECUTOR, "addfilemsg", file=record))["fileid"]

    async def snapped(self) -> None:
        """There is a snapshot of the file's label."""
        await self.filed()
        names = {"name": f"snap{self.colony.removeprefix('cli')[-12:]}", "label": f"/in{self.colony[2:]}"}
        names["name"] = next((record["name"] for record in self.records() if "snapshotid" in record), names["name"])
        await self.node.call(EXECUTOR, "createsnapshotmsg", colonyname=self.colony, **names)

    async def planned(self) -> None:
        """The cron of the reply is there, or some cron."""
        await self.approved()
        node = {"nodename": "a", "funcname": "f", "conditions": {"executortype": self.type}}
        spec = json.dumps({"colonyname": self.colony, "functionspecs": [node]})
        cron = {"name": "c", "colonyname": self.colony, "interval": 3600, "workflowspec": spec}
        for record in (record for record in self.records() if "cronid" in record):
            cron = record | {"nextrun": "", "lastrun": ""}
        self.cronid = (await self.node.call(EXECUTOR, "addcronmsg", cron=cron))["cronid"]

    async def packing(self) -> None:
        """The generator of the reply is there, or some generator."""
        await self.approved()
        spec = json.dumps({"colonyname": self.colony, "functionspecs": []})
        generator = {"name": "g", "colonyname": self.colony, "trigger": 2, "workflowspec": spec}
        for record in (record for record in self.records() if "generatorid" in record):
            generator = record
        self.generatorid = (await self.node.call(EXECUTOR, "addgeneratormsg", generator=generator))["generatorid"]

    async def defined(self) -> None:
        """The definition of the reply is there, or one of lamps that the executor sees to."""
        await self.approved()
        definition = {
            "metadata": {"name": f"def{self.suffix}", "colonyname": self.colony},
            "spec": {
                "names": {"kind": f"Lamp{self.suffix}"},
                "handler": {"executorType": self.type, "functionName": "reconcile"},
            },
        }
        for record in (record for record in self.records() if "blueprintdefinitionid" in record):
            definition = record
        await self.node.call(OWNER, "addblueprintdefinitionmsg", blueprintdefinition=definition)

    async def lit(self, specs: tuple[Any, ...] = ({},)) -> None:
        """There is a lamp, which has had these specs, one after the other."""
        await self.defined()
        about = {"name": "lamp1", "colonyname": self.colony}
        for number, spec in enumerate(specs):
            lamp = {"kind": f"Lamp{self.suffix}", "metadata": about, "spec": spec}
            msgtype = "updateblueprintmsg" if number else "addblueprintmsg"
            self.blueprintid = (await self.node.call(EXECUTOR, msgtype, blueprint=lamp))["blueprintid"]

    async def relit(self) -> None:
        """The lamp has been all that the reply shows, and was something else before if that is not its first spec."""
        shown = self.records()[::-1]
        first = shown[0].get("metadata", shown[0]).get("generation", 0) == 0
        await self.lit((*(() if first else ({},)), *(record["spec"] for record in shown)))
        for record in (record for record in shown if "status" in record):
            status = {"colonyname": self.colony, "blueprintname": "lamp1", "status": record["status"]}
            await self.node.call(EXECUTOR, "updateblueprintstatusmsg", **status)

    async def talking(self) -> None:
        """The executor has submitted a process with a channel."""
        await self.approved()
        conditions = {"colonyname": self.colony, "executortype": self.type}
        spec = {"funcname": "f", "conditions": conditions, "channels": ["chat"]}
        self.processid = (await self.node.call(EXECUTOR, "submitfuncspecmsg", spec=spec))["processid"]

    async def talked(self) -> None:
        """It has said what the reply shows."""
        await self.talking()
        for entry in self.records():
            if "senderid" in entry:
                said = {name: entry.get(name, 0) for name in ("sequence", "inreplyto", "payload")}
                await self.node.call(EXECUTOR, "channelappendmsg", processid=self.processid, name="chat", **said)

    def translated(self, value: Any, name: str = "") -> Any:
        """The recorded request with the ids of this node."""
        if isinstance(value, dict):
            return {name: self.translated(item, name) for name, item in value.items()}
        ids = {
            "processid": self.processid,
            "targetid": self.processid,
            "parentprocessid": self.processid,
            "processgraphid": self.processgraphid,
            "attributeid": self.attributeid,
            "functionid": self.functionid,
            "fileid": self.fileid,
            "cronid": self.cronid,
            "generatorid": self.generatorid,
            "blueprintid": self.blueprintid,
            "colonyid": Party("somebody new").id,
            "userid": Party("somebody new").id,
            "executorid": EXECUTOR.id,
        }
        return ids[name] if name in ids and value and set(value) != {"0"} else value


Step = Callable[[Stage], Awaitable[None]]

APPROVED, SUBMITTED, ASSIGNED = Stage.approved, Stage.submitted, Stage.assigned

SCENES: dict[str, list[tuple[str, Step]]] = {
    "addattributemsg": [("executor", ASSIGNED)] * 2,
    "addcolonymsg": [
        ("server", Stage.nothing),
        ("server", Stage.founded),
        ("stranger", Stage.nothing),
        ("server", Stage.founded),
    ],
    "addexecutormsg": [("owner", Stage.peopled)] * 2,
    "addfunctionmsg": [("executor", APPROVED)] * 2,
    "addlocationmsg": [("owner", Stage.peopled)],
    "addlogmsg": [("executor", ASSIGNED)],
    "addusermsg": [("owner", Stage.founded)],
    "approveexecutormsg": [("owner", Stage.applied)],
    "assignprocessmsg": [
        ("executor", Stage.applied),
        ("executor", SUBMITTED),
        ("executor", SUBMITTED),
        ("executor", APPROVED),
        ("executor", SUBMITTED),
        ("executor", SUBMITTED),
    ],
    "cancelprocessmsg": [("executor", SUBMITTED)],
    "changeexecutoridmsg": [("executor", APPROVED)],
    "closefailedmsg": [("executor", ASSIGNED)],
    "closesuccessfulmsg": [("executor", ASSIGNED), ("user", ASSIGNED), ("executor", ASSIGNED), ("executor", ASSIGNED)],
    "getattributemsg": [("executor", Stage.noted)],
    "getclustermsg": [("server", Stage.nothing)],
    "getcoloniesmsg": [("server", Stage.founded)],
    "getcolonymsg": [("executor", APPROVED), ("owner", APPROVED)],
    "getcolonystatsmsg": [("executor", APPROVED)],
    "getexecutorbyidmsg": [("executor", APPROVED)],
    "getexecutormsg": [("user", Stage.applied), ("user", APPROVED)],
    "getexecutorsmsg": [("user", APPROVED), ("owner", APPROVED)],
    "getfunctionsmsg": [("executor", Stage.offered), ("executor", Stage.offered), ("executor", APPROVED)],
    "getlocationmsg": [("executor", Stage.placed)],
    "getlocationsmsg": [("executor", Stage.placed)],
    "getlogsmsg": [("executor", Stage.logged)] * 3,
    "getpausestatusmsg": [("executor", Stage.paused)],
    "getprocessesmsg": [
        ("executor", Stage.as_recorded),
        ("executor", Stage.as_recorded),
        ("executor", APPROVED),
        ("executor", SUBMITTED),
        ("executor", Stage.as_recorded),
        ("executor", Stage.as_recorded),
    ],
    "getprocessmsg": [
        ("executor", Stage.as_recorded),
        ("stranger", SUBMITTED),
        ("executor", SUBMITTED),
        ("executor", Stage.as_recorded),
        ("executor", Stage.as_recorded),
        ("executor", Stage.as_recorded),
    ],
    "getserverinfomsg": [("stranger", Stage.nothing)],
    "getstatisticsmsg": [("server", Stage.nothing)],
    "getusermsg": [("executor", APPROVED)],
    "getusersmsg": [("executor", APPROVED)],
    "pauseassignmentsmsg": [("owner", APPROVED)],
    "rejectexecutormsg": [("owner", APPROVED)],
    "removeallprocessesmsg": [("owner", ASSIGNED)],
    "removecolonymsg": [("server", ASSIGNED)],
    "removeexecutormsg": [("owner", APPROVED)],
    "removefunctionmsg": [("executor", Stage.offered)],
    "removeprocessmsg": [("executor", SUBMITTED)] * 2,
    "removeusermsg": [("owner", Stage.peopled)],
    "resumeassignmentsmsg": [("owner", Stage.paused)],
    "searchlogsmsg": [("executor", Stage.logged)],
    "setoutputmsg": [("executor", ASSIGNED)],
    "submitfuncspecmsg": [("executor", APPROVED)] * 6,
    "addcronmsg": [("executor", APPROVED)] * 2,
    "getcronmsg": [("executor", Stage.planned), ("executor", APPROVED)],
    "getcronsmsg": [("executor", Stage.planned)],
    "removecronmsg": [("executor", Stage.planned)],
    "runcronmsg": [("executor", Stage.planned)],
    "addgeneratormsg": [("executor", APPROVED)] * 2,
    "getgeneratormsg": [("executor", Stage.packing), ("executor", APPROVED)],
    "getgeneratorsmsg": [("executor", Stage.packing)],
    "packgeneratormsg": [("executor", Stage.packing)],
    "removegeneratormsg": [("executor", Stage.packing)] * 2,
    "channelappendmsg": [("executor", Stage.talking)],
    "channelreadmsg": [("executor", Stage.talked)] * 2,
    "addfilemsg": [("executor", APPROVED)] * 2,
    "createsnapshotmsg": [("executor", Stage.filed)],
    "getfilelabelsmsg": [("executor", Stage.filed), ("executor", APPROVED)],
    "getfilemsg": [("executor", Stage.filed)] * 3,
    "getfilesmsg": [("executor", Stage.filed), ("executor", APPROVED)],
    "getsnapshotmsg": [("executor", Stage.snapped)],
    "getsnapshotsmsg": [("executor", Stage.snapped)],
    "removefilemsg": [("executor", Stage.filed)] * 2,
    "removesnapshotmsg": [("executor", Stage.snapped)],
    "addchildmsg": [("executor", Stage.halfway)],
    "cancelprocessgraphmsg": [("executor", Stage.linked)],
    "getprocessgraphmsg": [("executor", Stage.linked), ("executor", APPROVED)],
    "getprocessgraphsmsg": [("executor", Stage.completed), ("executor", APPROVED)],
    "removeallprocessgraphsmsg": [("owner", Stage.linked)],
    "removeprocessgraphmsg": [("executor", Stage.linked)] * 2,
    "submitworkflowspecmsg": [("executor", APPROVED)] * 2,
    "addblueprintdefinitionmsg": [("owner", APPROVED)] * 2,
    "addblueprintmsg": [("executor", Stage.defined)] * 2,
    "getblueprintdefinitionmsg": [("executor", Stage.defined)] * 2,
    "getblueprintdefinitionsmsg": [
        ("executor", Stage.defined),
        ("executor", APPROVED),
        ("executor", Stage.defined),
    ],
    "getblueprinthistorymsg": [("executor", Stage.relit)] * 2,
    "getblueprintmsg": [
        ("executor", Stage.relit),
        ("executor", Stage.relit),
        ("executor", APPROVED),
        ("executor", Stage.relit),
        ("executor", Stage.relit),
    ],
    "getblueprintsmsg": [("executor", Stage.relit)] * 2,
    "reconcileblueprintmsg": [("executor", Stage.lit)],
    "removeblueprintdefinitionmsg": [("owner", Stage.defined)],
    "removeblueprintmsg": [("executor", Stage.lit)],
    "updateblueprintmsg": [("executor", Stage.lit)] * 2,
    "updateblueprintstatusmsg": [("executor", Stage.lit)],
}

VARIES = {
    "timeline",
    "prioritytime",
    "sequencenr",
    "timestamp",
    "port",
    "peerport",
    "relayport",
    "apiport",
    "buildversion",
    "buildtime",
    "historyid",
}
"""Fields whose value is this moment's or this server's; their type counts. So do all counters of statistics."""

DIFFERS = {
    ("assignprocessmsg", "execdeadline"): "core.md 5.2: the recorded exclusive mode shows the deadline of before",
    ("getattributemsg", "state"): "core.md 3.1: an attribute mirrors the state of its process, the recorded one lags",
    ("getprocessmsg", "attributes.state"): "core.md 3.1: as above",
    ("getexecutorbyidmsg", "lastheardfromtime"): "DEVIATIONS 12: heard is known to more than assign",
    ("getcronmsg", "nextrun"): "it is known at once: no checker has to come by first",
    ("getcronsmsg", "nextrun"): "as above",
    ("runcronmsg", "nextrun"): "as above",
    ("getclustermsg", "host"): "an address of this server",
    ("getclustermsg", "name"): "the name of this server",
}
"""Where a value is meant to be another one, and why; its type counts all the same."""

UNORDERED = {"getusersmsg", "getexecutorsmsg", "getfunctionsmsg", "getlocationsmsg"}
"""Types whose lists have no order in the protocol."""

ENTRIES = [(msgtype, number) for msgtype, entries in RECORDINGS.items() for number in range(len(entries))]
FLOATS = re.compile("(min|max|avg)(wait|exec)time|long|lat")
ID = re.compile("[0-9a-f]{64}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


def masked(msgtype: str, value: Any, path: str = "") -> Any:
    """The value without what may vary from run to run."""
    name = path.rpartition(".")[2]
    if isinstance(value, dict):
        return {key: masked(msgtype, item, f"{path}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(msgtype, item, path) for item in value]
    varies = name in VARIES or ("stat" in msgtype and type(value) is int)
    if varies or any(msgtype == of and path.endswith(what) for of, what in DIFFERS):
        return type(value)
    if FLOATS.fullmatch(name):
        return float(value)  # the recorded server writes 0 for 0.0
    if isinstance(value, str) and TIME.fullmatch(value):
        return "never" if value.startswith("0001-") else "a time"
    return ID.sub("an id", value) if isinstance(value, str) else (type(value), value)


def test_every_recording_has_a_scene_and_every_type_a_recording() -> None:
    assert {name: len(entries) for name, entries in RECORDINGS.items()} == {
        name: len(scenes) for name, scenes in SCENES.items()
    }
    assert RECORDINGS.keys() | NOT_RECORDED.keys() == TABLE.keys()
    assert not RECORDINGS.keys() & NOT_RECORDED.keys()


@pytest.mark.parametrize(("msgtype", "number"), ENTRIES)
async def test_the_answer_is_the_recorded_one(node: Node, mock_clock: MockClock, msgtype: str, number: int) -> None:
    entry = RECORDINGS[msgtype][number]
    sender, prepare = SCENES[msgtype][number]
    stage = Stage(node, entry)
    await prepare(stage)
    mock_clock.jump(1)
    asked = stage.translated(entry["request"])
    exchange = await node.begin(PARTIES[sender], asked.pop("msgtype"), **asked)
    if asked.get("timeout"):
        mock_clock.jump(asked["timeout"] + 1)
        await settle()
    await exchange.done.wait()
    answer = exchange.answer
    assert answer is not None
    assert answer.status == entry["status"]
    assert answer.envelope.keys() == {"payloadtype", "payload", "error"}
    assert answer.envelope["payloadtype"] == entry["reply_payloadtype"]
    assert answer.envelope["error"] is entry["error"]
    given, recorded = masked(msgtype, answer.payload), masked(msgtype, entry["reply"])
    if msgtype == "getcoloniesmsg":  # the recorded server had others, and more of them
        assert {tuple(colony) for colony in given} == {tuple(colony) for colony in recorded}
    elif msgtype in UNORDERED and recorded:
        assert sorted(given, key=str) == sorted(recorded, key=str)
    else:
        assert given == recorded
