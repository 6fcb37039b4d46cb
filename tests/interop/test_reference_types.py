"""Every message type that the reference answers, this node answers; every other one that is named somewhere, it refuses
as the reference does. The types are those of protocol/*.md.
"""

from __future__ import annotations

import pytest

from colonies_node.core.broker.table import TABLE
from tests.lab import Lab
from tests.node import ALICE

ANSWERED = {
    "core.md: colonies, users, executors": """
        addcolonymsg removecolonymsg getcoloniesmsg getcolonymsg getcolonystatsmsg
        addusermsg getusersmsg getusermsg getuserbyidmsg removeusermsg
        addexecutormsg getexecutorsmsg getexecutormsg getexecutorbyidmsg approveexecutormsg rejectexecutormsg
        removeexecutormsg reportallocationmsg updateexecutormsg
        addfunctionmsg getfunctionsmsg removefunctionmsg
        addlocationmsg getlocationsmsg getlocationmsg removelocationmsg
        changeuseridmsg changeexecutoridmsg changecolonyidmsg changeserveridmsg""",
    "core.md: processes": """
        submitfuncspecmsg assignprocessmsg getprocessmsg getprocessesmsg getprocesshistmsg removeprocessmsg
        removeallprocessesmsg setoutputmsg closesuccessfulmsg closefailedmsg cancelprocessmsg
        addattributemsg getattributemsg addlogmsg addexecutorlogmsg getlogsmsg searchlogsmsg""",
    "workflows.md": """
        submitworkflowspecmsg getprocessgraphmsg getprocessgraphsmsg removeprocessgraphmsg removeallprocessgraphsmsg
        cancelprocessgraphmsg addchildmsg
        addcronmsg getcronmsg getcronsmsg runcronmsg removecronmsg
        addgeneratormsg getgeneratormsg resolvegeneratormsg getgeneratorsmsg packgeneratormsg removegeneratormsg""",
    "events.md": """
        channelappendmsg channelreadmsg
        subscribeprocessesmsg subscribeprocessmsg subscribechannelmsg""",
    "files.md": """
        addfilemsg getfilemsg getfilesmsg getfilelabelsmsg removefilemsg
        createsnapshotmsg getsnapshotmsg getsnapshotsmsg removesnapshotmsg removeallsnapshotmsg""",
    "blueprints.md": """
        addblueprintdefinitionmsg getblueprintdefinitionmsg getblueprintdefinitionsmsg removeblueprintdefinitionmsg
        addblueprintmsg getblueprintmsg getblueprintsmsg updateblueprintmsg removeblueprintmsg getblueprinthistorymsg
        updateblueprintstatusmsg reconcileblueprintmsg""",
    "operations.md": """
        pauseassignmentsmsg resumeassignmentsmsg getpausestatusmsg
        versionmsg getserverinfomsg getstatisticsmsg getclustermsg""",
}
"""Where the types are described, and which."""

OURS = """
    syncmsg addupstreammsg getupstreamsmsg pauseupstreammsg resumeupstreammsg syncupstreammsg removeupstreammsg"""
"""Types that only nodes of this kind speak: the reference has nothing like them."""

REFUSED = {
    "subscribeprocessesmsg": "events.md: only the websocket answers it",
    "subscribeprocessmsg": "events.md: only the websocket answers it",
    "subscribechannelmsg": "events.md: only the websocket answers it",
    "pausestatusreplymsg": "core.md: it is an answer",
    "getnodemsg": "operations.md: the library has it, and no server answers it",
    "getnodesmsg": "operations.md: the library has it, and no server answers it",
    "getnodesbylocationmsg": "operations.md: the library has it, and no server answers it",
    "getfunctionsbyexecutormsg": "clients.md: only the Rust SDK sends it, and the reference refuses it",
    "deletecolonymsg": "core.md: a guide has it, no server ever did",
    "submitprocessespecmsg": "operations.md: a guide has it, no server ever did",
    "getprocstatmsg": "operations.md: a guide has it, no server ever did",
    "updateblueprintdefinitionmsg": "blueprints.md: there is none",
}
"""Types without an answer at /api, and why."""


def test_every_type_that_the_reference_answers_has_a_row() -> None:
    types = [msgtype for area in ANSWERED.values() for msgtype in area.split()]
    assert len(types) == len(set(types))
    assert {*types, *OURS.split()} == TABLE.keys()


@pytest.mark.parametrize("msgtype", REFUSED)
async def test_others_are_refused_as_the_reference_refuses_them(lab: Lab, msgtype: str) -> None:
    answer = await lab.node.ask(ALICE, msgtype, colonyname="lab")
    assert answer.refusal == (403, f"invalid rpcMsg.PayloadType: {msgtype}")
