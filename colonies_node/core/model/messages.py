"""The requests of the JSON door, one record each (protocol/core.md, section 4). A record of the wrong shape never
decodes."""

from __future__ import annotations

from colonies_node.core.model.blueprint import Blueprint, BlueprintDefinition
from colonies_node.core.model.channel import Octets
from colonies_node.core.model.cron import Cron, Generator
from colonies_node.core.model.executor import Allocations, Capabilities, Executor, Function
from colonies_node.core.model.file import File
from colonies_node.core.model.members import Colony, Location, User
from colonies_node.core.model.process import Attribute, FunctionSpec
from colonies_node.core.model.wire import Int, Record, always, null
from colonies_node.core.model.workflow import WorkflowSpec


class Message(Record):
    """Base: every request repeats its type inside the signed payload."""

    msgtype: str = always(str)


class OfColony(Message):
    """A request about one colony."""

    colonyname: str = always(str)


class OfName(OfColony):
    """A user or location by name."""

    name: str = always(str)


class OfExecutor(OfColony):
    """An executor by name."""

    executorname: str = always(str)


class OfProcess(Message):
    """A process by id."""

    processid: str = always(str)


class AddColony(Message):
    colony: Colony | None = null()


class AddUser(Message):
    user: User | None = null()


class AddLocation(Message):
    location: Location | None = null()


class GetUserById(OfColony):
    userid: str = always(str)


class AddExecutor(Message):
    executor: Executor | None = null()


class GetExecutorById(OfColony):
    executorid: str = always(str)


class ReportAllocation(OfExecutor):
    """What of the executor is in use now; `executorname` is the caller."""

    allocations: Allocations = always(Allocations)


class UpdateExecutor(OfExecutor):
    """What the executor has now; `executorname` is the caller."""

    capabilities: Capabilities = always(Capabilities)


class AddFunction(Message):
    fun: Function | None = null()


class OfFunction(Message):
    functionid: str = always(str)


class SubmitFunctionSpec(Message):
    spec: FunctionSpec | None = null()


class AssignProcess(OfColony):
    """`timeout`: seconds to wait for work, at most 3,600; below 0 it is one look. `availablecpu` (`1500m`, `1.5`) and
    `availablemem` (`2Gi`) are what the executor has free, without limit where empty, and so is the number of GPUs in
    `availablegpu` where it is not given. When nothing came: 404 `No process
    available for assignment`; in a paused colony 408, or 503 without waiting."""

    timeout: Int = always(int)
    availablecpu: str = always(str)
    availablemem: str = always(str)
    availablegpu: Int | None = None


class GetProcesses(OfColony):
    """At most `count` (100) processes of a `state`: 0 waiting, 1 running, 2 successful, 3 failed, 4 cancelled. The
    first that is given of `executortype`, `initiator` (a name) and `label` filters."""

    count: Int = always(int)
    state: Int = always(int)
    executortype: str = always(str)
    label: str = always(str)
    initiator: str = always(str)


class GetProcessHistory(OfColony):
    """Submitted in the last `seconds` and now in `state`; `executorid` is the assigned executor, any where empty."""

    executorid: str = always(str)
    seconds: Int = always(int)
    state: Int = always(int)


class RemoveAllProcesses(OfColony):
    """`state` 0, 2, 3 or 4, or -1 for all, running ones too."""

    state: Int = always(int)


class SetOutput(OfProcess):
    """`out` replaces the output; an empty list leaves it as it is."""

    out: list[object] | None = null()


class CloseFailed(OfProcess):
    """`errors` says why."""

    errors: list[str] | None = null()


class AddAttribute(Message):
    attribute: Attribute | None = null()


class GetAttribute(Message):
    attributeid: str = always(str)


class AddLog(OfProcess):
    message: str = always(str)


class AddExecutorLog(OfExecutor):
    """`executorname` is the caller."""

    message: str = always(str)


class GetLogs(OfColony):
    """At most `count` (500) entries of `processid`, or of `executorname` where that is given: the first ones after
    `since` (Unix nanoseconds), or with `latest` the last ones."""

    processid: str = always(str)
    executorname: str = always(str)
    count: Int = always(int)
    since: Int = always(int)
    latest: bool = always(bool)


class SearchLogs(OfColony):
    """At most `count` (100) entries of the last `days` (30) that contain `text`, in which case counts."""

    text: str = always(str)
    days: Int = always(int)
    count: Int = always(int)


class ChangeUserId(OfColony):
    userid: str = always(str)


class ChangeExecutorId(OfColony):
    executorid: str = always(str)


class ChangeColonyId(OfColony):
    colonyid: str = always(str)


class ChangeServerId(Message):
    serverid: str = always(str)


# -- workflows


class SubmitWorkflowSpec(Message):
    spec: WorkflowSpec | None = null()


class OfProcessGraph(Message):
    """A workflow by id."""

    processgraphid: str = always(str)


class GetProcessGraphs(OfColony):
    """At most `count` (100) workflows of a `state`: 0 waiting, 1 running, 2 successful, 3 failed, 4 cancelled."""

    count: Int = always(int)
    state: Int = always(int)


class RemoveAllProcessGraphs(OfColony):
    """`state` 0, 2, 3 or 4, or -1 for all, running ones too."""

    state: Int = always(int)


class AddChild(OfProcessGraph):
    """The parent must run on the caller. With `insert` what waited for it waits for the new process instead; without,
    `childprocessid` may name one that waits for the new process too."""

    parentprocessid: str = always(str)
    childprocessid: str = always(str)
    spec: FunctionSpec | None = null()
    insert: bool = always(bool)


# -- crons


class AddCron(Message):
    cron: Cron | None = null()


class OfCron(Message):
    """A cron by id."""

    cronid: str = always(str)


class GetCrons(OfColony):
    """At most `count` of them."""

    count: Int = always(int)


# -- generators


class AddGenerator(Message):
    generator: Generator | None = null()


class OfGenerator(Message):
    """A generator by id."""

    generatorid: str = always(str)


class ResolveGenerator(OfColony):
    generatorname: str = always(str)


class GetGenerators(OfColony):
    """At most `count` of them."""

    count: Int = always(int)


class PackGenerator(OfGenerator):
    arg: str = always(str)


# -- channels


class ChannelAppend(OfProcess):
    name: str = always(str)
    sequence: Int = always(int)
    inreplyto: Int = always(int)
    payload: Octets = null()
    payloadtype: str = always(str)


class ChannelRead(OfProcess):
    name: str = always(str)
    afterseq: Int = always(int)
    limit: Int = always(int)


# -- subscriptions


class SubscribeProcesses(OfColony):
    executortype: str = always(str)
    state: Int = always(int)
    timeout: Int = always(int)


class SubscribeProcess(OfProcess):
    colonyname: str = always(str)
    executortype: str = always(str)
    state: Int = always(int)
    timeout: Int = always(int)


class SubscribeChannel(OfProcess):
    name: str = always(str)
    afterseq: Int = always(int)
    timeout: Int = always(int)


# -- files and snapshots


class AddFile(Message):
    file: File | None = null()


class GetFile(OfColony):
    fileid: str = always(str)
    label: str = always(str)
    name: str = always(str)
    latest: bool = always(bool)


class GetFiles(OfColony):
    label: str = always(str)


class GetFileLabels(OfColony):
    name: str = always(str)
    exact: bool = always(bool)


class RemoveFile(OfColony):
    fileid: str = always(str)
    label: str = always(str)
    name: str = always(str)


class CreateSnapshot(OfColony):
    label: str = always(str)
    name: str = always(str)


class OfSnapshot(OfColony):
    """A snapshot by id or name."""

    snapshotid: str = always(str)
    name: str = always(str)


# -- blueprints


class AddBlueprintDefinition(Message):
    blueprintdefinition: BlueprintDefinition | None = null()


class InNamespace(Message):
    """A blueprint or definition by name; `namespace` is the name of its colony."""

    namespace: str = always(str)
    name: str = always(str)


class AddBlueprint(Message):
    blueprint: Blueprint | None = null()


class GetBlueprints(Message):
    namespace: str = always(str)
    kind: str = always(str)
    locationname: str = always(str)


class UpdateBlueprint(AddBlueprint):
    forcegeneration: bool = always(bool)


class GetBlueprintHistory(Message):
    blueprintid: str = always(str)
    limit: Int = always(int)


class UpdateBlueprintStatus(OfColony):
    blueprintname: str = always(str)
    status: dict[str, object] = always(dict)


class ReconcileBlueprint(InNamespace):
    force: bool = always(bool)
