"""The numbers that stand for message types and for names of fields in CBOR: a name's number is its place in its table.

What has a number keeps it for ever, in every version: a new name is appended, and one that nothing uses any more
stays. docs/cbor.md is made from these tables, and a test holds them to the page.

A name means one form wherever it stands for a text: an id (64 hex digits) is 32 bytes, octets (base64) are bytes, a
time (RFC 3339) is whole microseconds since 1970 and 0 for never. A text that has not the form stays a text.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class Form(Enum):
    """What a text becomes."""

    PLAIN = "as it is"
    ID = "id"
    OCTETS = "octets"
    TIME = "time"


class Field(NamedTuple):
    """A name of fields, and the form of the texts in them."""

    name: str
    form: Form


def _plain(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Form.PLAIN) for name in names)


def _ids(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Form.ID) for name in names)


def _octets(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Form.OCTETS) for name in names)


def _times(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Form.TIME) for name in names)


# fmt: off
MESSAGE_TYPES: Final = (
    "assignprocessmsg", "closesuccessfulmsg", "closefailedmsg", "submitfuncspecmsg", "addlogmsg", "getprocessmsg",
    "setoutputmsg", "getprocessesmsg", "channelappendmsg", "channelreadmsg", "subscribeprocessmsg",
    "subscribeprocessesmsg", "subscribechannelmsg", "addattributemsg", "getlogsmsg", "cancelprocessmsg",
    "submitworkflowspecmsg", "getprocessgraphmsg", "reportallocationmsg", "updateexecutormsg", "getexecutormsg",
    "addfilemsg", "getfilemsg", "packgeneratormsg", "addcolonymsg", "removecolonymsg", "getcoloniesmsg",
    "getcolonymsg", "getcolonystatsmsg", "addusermsg", "getusersmsg", "getusermsg", "getuserbyidmsg",
    "removeusermsg", "addexecutormsg", "getexecutorsmsg", "getexecutorbyidmsg", "approveexecutormsg",
    "rejectexecutormsg", "removeexecutormsg", "addfunctionmsg", "getfunctionsmsg", "removefunctionmsg",
    "pauseassignmentsmsg", "resumeassignmentsmsg", "getpausestatusmsg", "getprocesshistmsg", "removeprocessmsg",
    "removeallprocessesmsg", "getattributemsg", "addexecutorlogmsg", "searchlogsmsg", "versionmsg",
    "getserverinfomsg", "getstatisticsmsg", "getclustermsg", "changeuseridmsg", "changeexecutoridmsg",
    "changecolonyidmsg", "changeserveridmsg", "addlocationmsg", "getlocationsmsg", "getlocationmsg",
    "removelocationmsg", "getprocessgraphsmsg", "removeprocessgraphmsg", "removeallprocessgraphsmsg",
    "cancelprocessgraphmsg", "addchildmsg", "addcronmsg", "getcronmsg", "getcronsmsg", "runcronmsg",
    "removecronmsg", "addgeneratormsg", "getgeneratormsg", "resolvegeneratormsg", "getgeneratorsmsg",
    "removegeneratormsg", "getfilesmsg", "getfilelabelsmsg", "removefilemsg", "createsnapshotmsg", "getsnapshotmsg",
    "getsnapshotsmsg", "removesnapshotmsg", "removeallsnapshotmsg", "addblueprintdefinitionmsg",
    "getblueprintdefinitionmsg", "getblueprintdefinitionsmsg", "removeblueprintdefinitionmsg", "addblueprintmsg",
    "getblueprintmsg", "getblueprintsmsg", "updateblueprintmsg", "removeblueprintmsg", "getblueprinthistorymsg",
    "updateblueprintstatusmsg", "reconcileblueprintmsg", "syncmsg", "addupstreammsg", "getupstreamsmsg",
    "pauseupstreammsg", "resumeupstreammsg", "syncupstreammsg", "removeupstreammsg",
    # -- append here
)

FIELDS: Final = (
    *_plain(
        "colonyname", "timeout", "spec", "out", "state", "conditions", "executortype", "funcname", "args", "kwargs",
    ),
    *_ids(
        "processid", "initiatorid", "assignedexecutorid",
    ),
    *_plain(
        "initiatorname", "isassigned", "prioritytime",
    ),
    *_times(
        "submissiontime", "starttime", "endtime", "waitdeadline", "execdeadline",
    ),
    *_plain(
        "name", "executorname",
    ),
    *_plain(
        "maxexectime", "maxwaittime", "maxretries", "priority", "retries", "attributes", "errors", "in", "env",
        "message", "nodename", "label", "fs", "channels", "waitforparents", "executornames", "locationname",
        "dependencies", "nodes", "cpu", "mem", "processes", "processespernode", "storage", "gpu", "walltime",
        "count", "availablecpu", "availablemem", "executor", "type", "capabilities", "allocations",
    ),
    *_ids(
        "processgraphid", "parents", "children", "executorid",
    ),
    *_octets(
        "payload",
    ),
    *_ids(
        "colonyid", "userid", "serverid", "targetid", "targetprocessgraphid", "attributeid", "functionid", "cronid",
        "generatorid", "fileid", "fileids", "snapshotid", "blueprintid", "blueprintdefinitionid", "historyid",
        "locationid", "processids", "rootprocessids", "parentprocessid", "childprocessid", "prevprocessgraphid",
        "lastReconciliationProcess", "senderid", "changedby", "id", "source", "target",
    ),
    *_times(
        "commissiontime", "lastheardfromtime", "nextrun", "lastrun", "firstpack", "timestamp", "added", "createdAt",
        "updatedAt", "lastReconciliationTime",
    ),
    *_plain(
        "accesskey", "activeexecutors", "afterseq", "allocatedcpu", "allocatedgpu", "allocatedstorage", "animated",
        "annotations", "apiport", "architecture", "arg", "attribute", "attributetype", "avgexectime", "avgwaittime",
        "backends", "background", "blueprint", "blueprintdefinition", "blueprintgen", "blueprintname", "bucket",
        "buildtime", "buildversion", "cancelledprocesses", "cancelledworkflows", "changetype", "checkerperiod",
        "checksum", "checksumalg", "colonies", "colony", "color", "cores", "counter", "cron", "cronexpression",
        "data", "days", "default", "description", "dir", "dirs", "edges", "email", "encryptionalg", "encryptionkey",
        "enum", "error", "exact", "executorType", "executors", "failedprocesses", "failedworkflows", "file",
        "files", "force", "forcegeneration", "fun", "functionName", "functionspecs", "generation", "generator",
        "generatorname", "group", "handler", "hardware", "host", "initiator", "inreplyto", "insecure", "insert",
        "interval", "ispaused", "items", "keepfiles", "keeplocal", "keepsnapshot", "key", "kind", "labels", "lat",
        "latest", "leader", "limit", "listKind", "location", "long", "metadata", "minexectime", "minwaittime",
        "model", "mount", "msgtype", "names", "namespace", "network", "nodecount", "object", "onclose",
        "onconflicts", "onstart", "payloadtype", "peerport", "phone", "platform", "plural", "port", "position",
        "projects", "properties", "protocol", "queuesize", "random", "reconcileInterval", "ref", "region",
        "relayport", "required", "requirefuncreg", "runningprocesses", "runningworkflows", "s3filename", "s3object",
        "schema", "scope", "seconds", "secretkey", "sequence", "sequencenr", "server", "shortNames", "since",
        "singular", "size", "snapshots", "software", "status", "style", "successfulprocesses",
        "successfulworkflows", "targetcolonyname", "text", "tls", "trigger", "unregisteredexecutors", "usedcpu",
        "usedgpu", "usedstorage", "user", "value", "version", "waitforprevprocessgraph", "waitingprocesses",
        "waitingworkflows", "workflowspec", "x", "y",
    ),
    *_ids(
        "node", "nodeid", "ownid", "need", "ancestors",
    ),
    *_times(
        "oldest", "lastexchange",
    ),
    *_plain(
        "timeline", "letter", "batch", "confirmed", "have", "term", "where", "logs", "process", "input", "age",
        "waitleft", "origin", "accept", "free", "room", "offered", "offers", "upstream", "url", "upstreamcolony",
        "keyfile", "offload", "window", "record", "order", "budget", "tlsverify", "paused", "connected", "why",
        "waiting", "waitingbytes", "unconfirmed", "away", "taken", "sent", "received", "note", "diskpressure", "passed",
    ),
    *_ids(
        "unusable",
    ),
    *_plain(
        "availablegpu", "closed",
    ),
    # -- append here
)
# fmt: on

TYPE_NUMBERS: Final = {name: number for number, name in enumerate(MESSAGE_TYPES)}
"""Message type → number."""

FIELD_NUMBERS: Final = {field.name: number for number, field in enumerate(FIELDS)}
"""Name of a field → number."""
