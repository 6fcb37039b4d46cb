"""The one table of message types.

A row says everything about a type: which record the payload is, what is checked before anything is looked up, who may
send it, the function that decides, and whether that function changes something. The doors, the manual and the tests
read it; a new type is a row here, a record in model/messages.py and a function in this folder.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final

from colonies_node.core.broker import (
    access,
    attributes,
    blueprints,
    channels,
    crons,
    definitions,
    executors,
    files,
    generators,
    logs,
    members,
    metadata,
    processes,
    server,
    snapshots,
    subscriptions,
    work,
    workflows,
)
from colonies_node.core.broker.access import Right
from colonies_node.core.broker.call import DONE, Call
from colonies_node.core.broker.channels import Backlog
from colonies_node.core.broker.subscriptions import Watch
from colonies_node.core.broker.sync import exchange, upstreams
from colonies_node.core.errors import BadRequest, NotFound
from colonies_node.core.events import Waiter
from colonies_node.core.model import compact
from colonies_node.core.model import messages as m
from colonies_node.core.model import sync as s
from colonies_node.core.model.channel import Entry
from colonies_node.core.model.process import Process
from colonies_node.core.model.wire import Malformed, decode, encode
from colonies_node.core.store.transaction import Transaction

Decide = Callable[[Transaction, Any, Call], Any]

SHOWN: Final[dict[Any, Any]] = {Waiter: Process, Watch: Process, Backlog: list[Entry]}
"""What a function finds for somebody who waits or listens → what that one gets."""


class Kind(Enum):
    """What running a row costs and needs."""

    READ = "read"
    """A quick look at what is committed."""
    SCAN = "scan"
    """A look that may take long: it gets a thread and a connection of its own."""
    WRITE = "write"
    """A change: it shares a commit with others, and is answered after it."""
    BULK = "bulk"
    """A change that may take long: it gets a thread, and a commit of its own."""
    POLL = "poll"
    """An application for work, which may have to wait for some; only `assignprocessmsg` (see http/assignments.py)."""
    SUBSCRIBE = "subscribe"
    """A wish to be told, on the websocket only (see http/pubsub.py)."""
    EXCHANGE = "exchange"
    """A letter of a lower node, answered once there is something to tell; only `syncmsg` (see http/exchanges.py)."""


@dataclass(frozen=True)
class Row:
    """One message type."""

    msgtype: str
    record: type[m.Message]
    right: Right
    decide: Decide
    kind: Kind
    phrase: str
    """What failed, for `<phrase>, invalid JSON`."""
    mismatch: str
    """The whole text for a payload whose msgtype is not the envelope's payloadtype."""
    check: Callable[[Any], None] | None = None
    """Looks at the message alone, before any right."""
    reply_type: str = ""
    """The payloadtype of the answer where it is not the request's."""
    signed: bool = True
    """Whether the request needs a signature."""
    lenient: bool = False
    """Whether the payload is not looked at."""
    empty: bytes = b"null"
    """What an empty list is on the wire."""
    heavy: Callable[[Any], bool] | None = None
    """Whether this message makes a READ a SCAN (a filter that no index serves), or a WRITE a BULK."""
    remembered: bool = True
    """Whether a change is remembered with its reply, so that the same message cannot make it twice; not for what has
    the same end however often it is done."""

    def read(self, payload: bytes) -> Any:
        """The record in a JSON payload, checked as far as it can be alone. Raises BadRequest with the text of its
        type."""
        if self.lenient:
            return self.record(msgtype=self.msgtype)
        try:
            message = decode(self.record, payload)
        except Malformed:
            raise BadRequest(f"{self.phrase}, invalid JSON") from None
        if message.msgtype != self.msgtype:
            raise BadRequest(self.mismatch)
        return self.checked(message)

    def read_compact(self, body: Any) -> Any:
        """The record in the compact form of CBOR (model/compact.py), likewise."""
        if self.lenient:
            return self.record(msgtype=self.msgtype)
        try:
            message = compact.read(self.record, body, self.msgtype)
        except Malformed:
            raise BadRequest(f"{self.phrase}, invalid CBOR") from None
        return self.checked(message)

    def checked(self, message: Any) -> Any:
        """The message, if it can be right by itself."""
        if self.check is not None:
            self.check(message)
        return message

    def show(self, reply: Any) -> bytes:
        """A reply of this type as JSON."""
        if reply is DONE:
            return b"{}"
        return self.empty if reply == [] else encode(reply)

    @cached_property
    def gives(self) -> Any:
        """The type of a reply, as the function that decides declares it; for those who wait or listen, of what they
        get in the end."""
        found = typing.get_type_hints(self.decide)["return"]
        return SHOWN.get(found, found)

    def run(self, tx: Transaction, message: Any, call: Call) -> Any:
        """Check the right, then decide."""
        self.right.check(tx, message, call)
        return self.decide(tx, message, call)


def _row(
    msgtype: str,
    record: type[m.Message],
    right: Right,
    decide: Decide,
    kind: Kind,
    phrase: str,
    *,
    mismatch: str = "",
    field: str = "msg.MsgType",
    envelope: str = "payloadType",
    **more: Any,
) -> Row:
    said = mismatch or phrase
    return Row(
        msgtype=msgtype,
        record=record,
        right=right,
        decide=decide,
        kind=kind,
        phrase=f"Failed to {phrase}",
        mismatch=f"Failed to {said}, {field} does not match {envelope}",
        **more,
    )


# fmt: off
R, S, W, B, P, E = Kind.READ, Kind.SCAN, Kind.WRITE, Kind.BULK, Kind.POLL, Kind.SUBSCRIBE
X = Kind.EXCHANGE

ROWS: Final = (
    # -- colonies
    _row("addcolonymsg", m.AddColony, access.server_owner(), members.add_colony, W, "add colony"),
    _row("removecolonymsg", m.OfColony, access.server_owner(), members.remove_colony, B, "remove colony"),
    _row("getcoloniesmsg", m.Message, access.server_owner(), members.get_colonies, R, "get colonies"),
    _row("getcolonymsg", m.OfColony, access.member(), members.get_colony, R, "get colony"),
    _row("getcolonystatsmsg", m.OfColony, access.inside("member"), server.colony_statistics, S,
         "get colony statistics"),
    # -- users
    _row("addusermsg", m.AddUser, access.owner(lambda x: x.user.colonyname, colony_first=True), members.add_user, W,
         "add user", check=members.check_user),
    _row("getusersmsg", m.OfColony, access.member_in_any_state(colony_first=True), members.get_users, R, "get users"),
    _row("getusermsg", m.OfName, access.member_in_any_state(colony_first=True), members.get_user, R, "get user"),
    _row("getuserbyidmsg", m.GetUserById, access.member_in_any_state(colony_first=True), members.get_user_by_id, R,
         "get user by ID"),
    _row("removeusermsg", m.OfName, access.owner(colony_first=True), members.remove_user, W, "remove user"),
    # -- executors
    _row("addexecutormsg", m.AddExecutor, access.owner(lambda x: x.executor.colonyname), executors.add, W,
         "add executor", check=executors.check_executor),
    _row("getexecutorsmsg", m.OfColony, access.member_in_any_state(), executors.get_all, R, "get executors"),
    _row("getexecutormsg", m.OfExecutor, access.member_to_executor("Failed to get executor, executor is nil"),
         executors.get, R, "get executor"),
    _row("getexecutorbyidmsg", m.GetExecutorById,
         access.member_to_executor_id("Failed to get executor by ID, executor is nil"), executors.get, R,
         "get executor by ID"),
    _row("approveexecutormsg", m.OfExecutor, access.owner_of_executor("Failed to approve executor, executor is nil"),
         executors.approve, W, "approve executor"),
    _row("rejectexecutormsg", m.OfExecutor, access.owner_of_executor("Failed to reject executor, executor is nil"),
         executors.reject, W, "reject executor"),
    _row("removeexecutormsg", m.OfExecutor, access.owner_of_executor("Failed to remove executor, executor is nil"),
         executors.remove, B, "remove executor"),
    _row("reportallocationmsg", m.ReportAllocation, access.member_in_any_state(), executors.report_allocation, W,
         "report allocation"),
    _row("updateexecutormsg", m.UpdateExecutor, access.member_in_any_state(), executors.update, W, "update executor"),
    # -- functions
    _row("addfunctionmsg", m.AddFunction, access.member(lambda x: x.fun.colonyname), executors.add_function, W,
         "add function", check=executors.check_function),
    _row("getfunctionsmsg", m.OfExecutor, access.member(), executors.get_functions, R, "get function"),
    _row("removefunctionmsg", m.OfFunction, access.inside("the executor itself"), executors.remove_function, W,
         "remove function", check=executors.check_function_id),
    # -- processes
    _row("submitfuncspecmsg", m.SubmitFunctionSpec, access.member(lambda x: x.spec.conditions.colonyname),
         processes.submit, W, "submit process", mismatch="submit process spec", check=processes.check_spec),
    _row("assignprocessmsg", m.AssignProcess, access.member(), work.apply, P, "assign process", field="msg.msgType"),
    _row("pauseassignmentsmsg", m.OfColony, access.owner(), members.pause, W, "pause assignments"),
    _row("resumeassignmentsmsg", m.OfColony, access.owner(), work.resume, W, "resume assignments"),
    _row("getpausestatusmsg", m.OfColony, access.member_in_any_state(), server.pause_status, R, "get pause status",
         reply_type="pausestatusreplymsg"),
    _row("getprocessmsg", m.OfProcess, access.member_of_process("Failed to get process, process not found", NotFound),
         processes.get, R, "get process"),
    _row("getprocessesmsg", m.GetProcesses, access.member(), processes.get_some, R, "get processes",
         heavy=processes.has_filter),
    _row("getprocesshistmsg", m.GetProcessHistory, access.member(), processes.get_history, S, "get process hist",
         mismatch="get process history"),
    _row("removeprocessmsg", m.OfProcess, access.member_of_process("Failed to remove process, process is nil"),
         processes.remove, W, "remove process"),
    _row("removeallprocessesmsg", m.RemoveAllProcesses, access.owner(), processes.remove_all, B,
         "remove all processes"),
    _row("setoutputmsg", m.SetOutput, access.member_of_process("Failed to set output, process is nil"), work.set_output,
         W, "set output"),
    _row("closesuccessfulmsg", m.SetOutput,
         access.member_of_process("Failed to close process as successful, process is nil"), work.close_successful, W,
         "close successful", mismatch="close process as successful"),
    _row("closefailedmsg", m.CloseFailed, access.member_of_process("Failed to close process as failed, process is nil"),
         work.close_failed, W, "close failed", mismatch="close process as failed"),
    _row("cancelprocessmsg", m.OfProcess, access.member_of_process("Failed to cancel process, process is nil"),
         work.cancel, W, "cancel process"),
    # -- attributes
    _row("addattributemsg", m.AddAttribute, access.inside("the assigned executor"), attributes.add, W, "add attribute",
         check=attributes.check),
    _row("getattributemsg", m.GetAttribute, access.inside("member"), attributes.get, R, "get attribute"),
    # -- logs
    _row("addlogmsg", m.AddLog, access.member_of_process("Failed to add log, process is nil"), logs.add, W, "add log"),
    _row("addexecutorlogmsg", m.AddExecutorLog, access.member(), logs.add_of_executor, W, "add executor log"),
    _row("getlogsmsg", m.GetLogs, access.inside("member"), logs.get, R, "get logs"),
    _row("searchlogsmsg", m.SearchLogs, access.member(), logs.search, S, "search logs", mismatch="get logs"),
    # -- the server
    _row("versionmsg", m.Message, access.anyone(), server.version, R, "get server version", signed=False),
    _row("getserverinfomsg", m.Message, access.anyone(), server.info, R, "get server info", signed=False, lenient=True),
    _row("getstatisticsmsg", m.Message, access.server_owner(), server.statistics, S, "get statistics",
         mismatch="get server version"),
    _row("getclustermsg", m.Message, access.server_owner(), server.cluster, R, "get cluster info"),
    # -- identities
    _row("changeuseridmsg", m.ChangeUserId, access.member_in_any_state(), members.change_user_id, W, "add log",
         mismatch="change user Id", check=members.check_user_id),
    _row("changeexecutoridmsg", m.ChangeExecutorId, access.member_in_any_state(), members.change_executor_id, W,
         "change executor Id", check=members.check_executor_id),
    _row("changecolonyidmsg", m.ChangeColonyId, access.owner(), members.change_colony_id, W, "change colony Id",
         check=members.check_colony_id),
    _row("changeserveridmsg", m.ChangeServerId, access.server_owner(), members.change_server_id, W, "change colony Id",
         check=members.check_server_id),
    # -- locations
    _row("addlocationmsg", m.AddLocation, access.owner(lambda x: x.location.colonyname, colony_first=True),
         members.add_location, W, "add location", check=members.check_location),
    _row("getlocationsmsg", m.OfColony, access.member_in_any_state(colony_first=True), members.get_locations, R,
         "get locations"),
    _row("getlocationmsg", m.OfName, access.member_in_any_state(colony_first=True), members.get_location, R,
         "get location"),
    _row("removelocationmsg", m.OfName, access.owner(colony_first=True), members.remove_location, W, "remove location"),
    # -- workflows
    _row("submitworkflowspecmsg", m.SubmitWorkflowSpec, access.member(lambda x: x.spec.colonyname), workflows.submit, W,
         "submit workkflow", mismatch="submit workflow", check=workflows.check_request, heavy=workflows.is_large),
    _row("getprocessgraphmsg", m.OfProcessGraph, access.member_to_graph("Failed to get processgraph, graph is nil"),
         workflows.get, S, "get processgraph"),
    _row("getprocessgraphsmsg", m.GetProcessGraphs, access.member(), workflows.get_some, S, "get processgraphs"),
    _row("removeprocessgraphmsg", m.OfProcessGraph,
         access.member_to_graph("Failed to remove processgraph, graph is nil"), workflows.remove, B,
         "remove processgraph"),
    _row("removeallprocessgraphsmsg", m.RemoveAllProcessGraphs, access.owner(), workflows.remove_all, B,
         "remove all processgraphs"),
    _row("cancelprocessgraphmsg", m.OfProcessGraph,
         access.member_to_graph("Failed to cancel processgraph, graph is nil"), workflows.cancel, B,
         "cancel processgraph"),
    _row("addchildmsg", m.AddChild, access.member(lambda x: x.spec.conditions.colonyname), workflows.add_child, W,
         "add child to processgraph", check=workflows.check_child),
    # -- crons
    _row("addcronmsg", m.AddCron, access.member(lambda x: x.cron.colonyname), crons.add, W, "add cron",
         check=crons.check_cron),
    _row("getcronmsg", m.OfCron, access.member_to_cron("Failed to get cron, cron is nil"), crons.get, R, "get cron"),
    _row("getcronsmsg", m.GetCrons, access.member(), crons.get_some, R, "get crons", empty=b"[]"),
    _row("runcronmsg", m.OfCron, access.member_to_cron("cron not found", BadRequest), crons.run, W, "run cron"),
    _row("removecronmsg", m.OfCron, access.member_to_cron("Failed to remove cron, cron is nil"), crons.remove, W,
         "remove cron"),
    # -- generators
    _row("addgeneratormsg", m.AddGenerator, access.member(lambda x: x.generator.colonyname), generators.add, W,
         "add generator", check=generators.check_generator),
    _row("getgeneratormsg", m.OfGenerator,
         access.member_to_generator("Failed to get generator, generator is nil"), generators.get, R, "get generator"),
    _row("resolvegeneratormsg", m.ResolveGenerator,
         access.member_to_generator_name("Failed to resolve generator, generator is nil"), generators.resolve, R,
         "resolve generator"),
    _row("getgeneratorsmsg", m.GetGenerators, access.member(), generators.get_some, R, "get generators"),
    _row("packgeneratormsg", m.PackGenerator,
         access.member_to_generator("Failed to increment generator, generator is nil"), generators.pack, W,
         "inc generator", mismatch="increment generator"),
    _row("removegeneratormsg", m.OfGenerator,
         access.member_to_generator("Failed to remove generator, generator is nil"), generators.remove, W,
         "remove generator"),
    # -- channels
    _row("channelappendmsg", m.ChannelAppend, access.member_of_process("Process not found", NotFound), channels.append,
         W, "append to channel"),
    _row("channelreadmsg", m.ChannelRead, access.member_of_process("Process not found", NotFound), channels.read, R,
         "read from channel", empty=b"[]", heavy=channels.may_be_long),
    # -- subscriptions
    _row("subscribeprocessesmsg", m.SubscribeProcesses, access.inside("member"), subscriptions.to_processes, E,
         "subscribe to processes", field="msg.msgType", envelope="rpcMsg.PayloadType"),
    _row("subscribeprocessmsg", m.SubscribeProcess, access.inside("member"), subscriptions.to_process, E,
         "subscribe to process", field="msg.msgType", envelope="rpcMsg.PayloadType"),
    _row("subscribechannelmsg", m.SubscribeChannel, access.member_of_process("Process not found", NotFound),
         channels.catch_up, E, "subscribe to channel", envelope="rpcMsg.PayloadType"),
    # -- files
    _row("addfilemsg", m.AddFile, access.member(lambda x: x.file.colonyname), files.add, W, "add log",
         mismatch="add file", check=files.check_file),
    _row("getfilemsg", m.GetFile, access.member(), files.get, R, "add log", mismatch="get file",
         heavy=files.wants_all),
    _row("getfilesmsg", m.GetFiles, access.member(), files.get_latest, S, "get files", empty=b"[]"),
    _row("getfilelabelsmsg", m.GetFileLabels, access.member(), files.get_labels, S, "get files"),
    _row("removefilemsg", m.RemoveFile, access.member(), files.remove, W, "remove file",
         heavy=files.wants_all),
    # -- snapshots
    _row("createsnapshotmsg", m.CreateSnapshot, access.member(), snapshots.create, B, "create snapshot"),
    _row("getsnapshotmsg", m.OfSnapshot, access.member(), snapshots.get, R, "get snapshot"),
    _row("getsnapshotsmsg", m.OfColony, access.member(), snapshots.get_all, S, "get snapshots"),
    _row("removesnapshotmsg", m.OfSnapshot, access.member(), snapshots.remove, W, "remove snapshot"),
    _row("removeallsnapshotmsg", m.OfColony, access.member(), snapshots.remove_all, B, "remove snapshot"),
    # -- blueprints
    _row("addblueprintdefinitionmsg", m.AddBlueprintDefinition,
         access.owner(lambda x: x.blueprintdefinition.metadata.colonyname), definitions.add, W,
         "add blueprint definition", check=definitions.check_definition, heavy=metadata.is_large),
    _row("getblueprintdefinitionmsg", m.OfName, access.member_or_owner(), definitions.get, R,
         "get blueprint definition"),
    _row("getblueprintdefinitionsmsg", m.OfColony, access.member_or_owner(), definitions.get_all, S,
         "get blueprint definitions", empty=b"[]"),
    _row("removeblueprintdefinitionmsg", m.InNamespace, access.owner(lambda x: x.namespace), definitions.remove, W,
         "remove blueprint definition"),
    _row("addblueprintmsg", m.AddBlueprint, access.member_or_owner(lambda x: x.blueprint.metadata.colonyname),
         blueprints.add, W, "add blueprint", check=blueprints.check_new, heavy=metadata.is_large),
    _row("getblueprintmsg", m.InNamespace, access.member_or_owner(lambda x: x.namespace), blueprints.get, R,
         "get blueprint"),
    _row("getblueprintsmsg", m.GetBlueprints, access.member_or_owner(lambda x: x.namespace), blueprints.get_some, S,
         "get blueprints"),
    _row("updateblueprintmsg", m.UpdateBlueprint, access.member_or_owner(lambda x: x.blueprint.metadata.colonyname),
         blueprints.update, W, "update blueprint", check=blueprints.check_changed, heavy=metadata.is_large),
    _row("removeblueprintmsg", m.InNamespace, access.member_or_owner(lambda x: x.namespace), blueprints.remove, W,
         "remove blueprint"),
    _row("getblueprinthistorymsg", m.GetBlueprintHistory, access.member_or_owner_to_blueprint("Blueprint not found"),
         blueprints.get_history, S, "get blueprint history"),
    _row("updateblueprintstatusmsg", m.UpdateBlueprintStatus, access.member(), blueprints.update_status, W,
         "update blueprint status", check=blueprints.check_status, heavy=metadata.is_large),
    _row("reconcileblueprintmsg", m.ReconcileBlueprint, access.member(lambda x: x.namespace), blueprints.reconcile, W,
         "reconcile blueprint"),
    # -- other nodes
    _row("syncmsg", s.SyncMessage, access.member(), exchange.exchange, X, "sync", check=exchange.check_letter),
    _row("addupstreammsg", s.AddUpstream, access.server_owner(), upstreams.add, W, "add upstream",
         check=upstreams.check_upstream),
    _row("getupstreamsmsg", s.OfUpstream, access.server_owner(), upstreams.get_all, S, "get upstreams"),
    _row("pauseupstreammsg", s.OfUpstream, access.server_owner(), upstreams.pause, W, "pause upstream"),
    _row("resumeupstreammsg", s.OfUpstream, access.server_owner(), upstreams.resume, W, "resume upstream"),
    _row("syncupstreammsg", s.OfUpstream, access.server_owner(), upstreams.sync_now, W, "sync upstream"),
    _row("removeupstreammsg", s.RemoveUpstream, access.server_owner(), upstreams.remove, B, "remove upstream"),
)
# fmt: on

TABLE: Final = {row.msgtype: row for row in ROWS}
"""Message type → row."""
