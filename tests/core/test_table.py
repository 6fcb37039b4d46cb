"""The table of message types is the protocol's (protocol/core.md, section 4)."""

from __future__ import annotations

import pytest

from colonies_node.core.broker.table import ROWS, TABLE, Kind, Row

PHRASES = {
    "addcolonymsg": "add colony",
    "removecolonymsg": "remove colony",
    "getcoloniesmsg": "get colonies",
    "getcolonymsg": "get colony",
    "getcolonystatsmsg": "get colony statistics",
    "addusermsg": "add user",
    "getusersmsg": "get users",
    "getusermsg": "get user",
    "getuserbyidmsg": "get user by ID",
    "removeusermsg": "remove user",
    "addexecutormsg": "add executor",
    "getexecutorsmsg": "get executors",
    "getexecutormsg": "get executor",
    "getexecutorbyidmsg": "get executor by ID",
    "approveexecutormsg": "approve executor",
    "rejectexecutormsg": "reject executor",
    "removeexecutormsg": "remove executor",
    "reportallocationmsg": "report allocation",
    "updateexecutormsg": "update executor",
    "addfunctionmsg": "add function",
    "getfunctionsmsg": "get function",
    "removefunctionmsg": "remove function",
    "submitfuncspecmsg": "submit process",
    "assignprocessmsg": "assign process",
    "pauseassignmentsmsg": "pause assignments",
    "resumeassignmentsmsg": "resume assignments",
    "getpausestatusmsg": "get pause status",
    "getprocessmsg": "get process",
    "getprocessesmsg": "get processes",
    "getprocesshistmsg": "get process hist",
    "removeprocessmsg": "remove process",
    "removeallprocessesmsg": "remove all processes",
    "setoutputmsg": "set output",
    "closesuccessfulmsg": "close successful",
    "closefailedmsg": "close failed",
    "cancelprocessmsg": "cancel process",
    "addattributemsg": "add attribute",
    "getattributemsg": "get attribute",
    "addlogmsg": "add log",
    "addexecutorlogmsg": "add executor log",
    "getlogsmsg": "get logs",
    "searchlogsmsg": "search logs",
    "versionmsg": "get server version",
    "getstatisticsmsg": "get statistics",
    "getclustermsg": "get cluster info",
    "changeuseridmsg": "add log",
    "changeexecutoridmsg": "change executor Id",
    "changecolonyidmsg": "change colony Id",
    "changeserveridmsg": "change colony Id",
    "addlocationmsg": "add location",
    "getlocationsmsg": "get locations",
    "getlocationmsg": "get location",
    "removelocationmsg": "remove location",
    "addcronmsg": "add cron",
    "getcronmsg": "get cron",
    "getcronsmsg": "get crons",
    "runcronmsg": "run cron",
    "removecronmsg": "remove cron",
    "addgeneratormsg": "add generator",
    "getgeneratormsg": "get generator",
    "resolvegeneratormsg": "resolve generator",
    "getgeneratorsmsg": "get generators",
    "packgeneratormsg": "inc generator",
    "removegeneratormsg": "remove generator",
    "channelappendmsg": "append to channel",
    "channelreadmsg": "read from channel",
    "addfilemsg": "add log",
    "getfilemsg": "add log",
    "getfilesmsg": "get files",
    "getfilelabelsmsg": "get files",
    "removefilemsg": "remove file",
    "createsnapshotmsg": "create snapshot",
    "getsnapshotmsg": "get snapshot",
    "getsnapshotsmsg": "get snapshots",
    "removesnapshotmsg": "remove snapshot",
    "removeallsnapshotmsg": "remove snapshot",
    "submitworkflowspecmsg": "submit workkflow",
    "getprocessgraphmsg": "get processgraph",
    "getprocessgraphsmsg": "get processgraphs",
    "removeprocessgraphmsg": "remove processgraph",
    "removeallprocessgraphsmsg": "remove all processgraphs",
    "cancelprocessgraphmsg": "cancel processgraph",
    "addchildmsg": "add child to processgraph",
    "addblueprintdefinitionmsg": "add blueprint definition",
    "getblueprintdefinitionmsg": "get blueprint definition",
    "getblueprintdefinitionsmsg": "get blueprint definitions",
    "removeblueprintdefinitionmsg": "remove blueprint definition",
    "addblueprintmsg": "add blueprint",
    "getblueprintmsg": "get blueprint",
    "getblueprintsmsg": "get blueprints",
    "updateblueprintmsg": "update blueprint",
    "removeblueprintmsg": "remove blueprint",
    "getblueprinthistorymsg": "get blueprint history",
    "updateblueprintstatusmsg": "update blueprint status",
    "reconcileblueprintmsg": "reconcile blueprint",
    "syncmsg": "sync",
    "addupstreammsg": "add upstream",
    "getupstreamsmsg": "get upstreams",
    "pauseupstreammsg": "pause upstream",
    "resumeupstreammsg": "resume upstream",
    "syncupstreammsg": "sync upstream",
    "removeupstreammsg": "remove upstream",
}
"""What a type says that it failed to do, its own slips included. `getserverinfomsg` does not look at its payload."""

OTHER_PHRASES = {
    "submitfuncspecmsg": "submit process spec",
    "getprocesshistmsg": "get process history",
    "closesuccessfulmsg": "close process as successful",
    "closefailedmsg": "close process as failed",
    "searchlogsmsg": "get logs",
    "getstatisticsmsg": "get server version",
    "changeuseridmsg": "change user Id",
    "submitworkflowspecmsg": "submit workflow",
    "packgeneratormsg": "increment generator",
    "addfilemsg": "add file",
    "getfilemsg": "get file",
}
"""What it says instead of a msgtype that is not the envelope's payloadtype."""

READS = {name for name in PHRASES if name.startswith(("get", "resolve"))} | {
    "channelreadmsg",
    "getserverinfomsg",
    "searchlogsmsg",
    "versionmsg",
}

SUBSCRIPTIONS = {"subscribeprocessesmsg", "subscribeprocessmsg", "subscribechannelmsg"}
"""Types for the websocket alone (tests/http/test_pubsub.py)."""


def invalid_json(msgtype: str) -> str:
    """The refusal of a payload that is no JSON, or not of its type's shape."""
    return f"Failed to {PHRASES[msgtype]}, invalid JSON"


def mismatch(msgtype: str) -> str:
    """The refusal of a payload whose msgtype is not the envelope's payloadtype."""
    field = "msg.msgType" if msgtype == "assignprocessmsg" else "msg.MsgType"
    return f"Failed to {OTHER_PHRASES.get(msgtype, PHRASES[msgtype])}, {field} does not match payloadType"


def test_every_type_of_the_core_is_in_the_table_once() -> None:
    assert len(ROWS) == len(TABLE)
    assert set(TABLE) == {*PHRASES, *SUBSCRIPTIONS, "getserverinfomsg"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.msgtype)
def test_a_row_says_what_clients_know(row: Row) -> None:
    assert row.signed == (row.msgtype not in ("versionmsg", "getserverinfomsg"))
    assert row.lenient == (row.msgtype == "getserverinfomsg")
    assert row.reply_type == ("pausestatusreplymsg" if row.msgtype == "getpausestatusmsg" else "")
    assert (row.kind in (Kind.READ, Kind.SCAN)) == (row.msgtype in READS)
    assert (row.kind is Kind.SUBSCRIBE) == (row.msgtype in SUBSCRIPTIONS)
    assert (row.kind is Kind.POLL) == (row.msgtype == "assignprocessmsg")
    assert row.right.who
