"""Blueprints: what should be, what is, and which executor makes the one into the other. Field names as on the wire."""

from __future__ import annotations

import msgspec

from colonies_node.core.model.times import NEVER
from colonies_node.core.model.wire import Int, Record, always


def _never() -> str:
    return NEVER


class Metadata(Record):
    """Whose it is and where. Times and labels are the client's own, RFC 3339; the server counts `generation` only."""

    name: str = always(str)
    colonyname: str = always(str)
    locationname: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    generation: Int = 0
    createdAt: str = always(_never)
    updatedAt: str = always(_never)
    lastReconciliationProcess: str = ""
    lastReconciliationTime: str = always(_never)


class Blueprint(Record):
    """What should be (`spec`) and what an executor found (`status`, left out when empty)."""

    blueprintid: str = always(str)
    kind: str = always(str)
    metadata: Metadata = always(Metadata)
    spec: dict[str, object] = always(dict)
    status: dict[str, object] = msgspec.field(default_factory=dict)


class Property(Record):
    """What a field of a spec must be; an unknown `type` means anything."""

    type: str = always(str)
    description: str = ""
    enum: list[object] = msgspec.field(default_factory=list)
    default: object = None
    properties: dict[str, Property] = msgspec.field(default_factory=dict)
    items: Property | None = None


class Schema(Record):
    """What the specs of a kind must look like; fields that it does not name may hold anything."""

    type: str = always(str)
    properties: dict[str, Property] = msgspec.field(default_factory=dict)
    required: list[str] = msgspec.field(default_factory=list)


class Names(Record):
    """What a kind is called."""

    kind: str = always(str)
    listKind: str = always(str)
    singular: str = always(str)
    plural: str = always(str)
    shortNames: list[str] = msgspec.field(default_factory=list)


class Handler(Record):
    """Who reconciles: executors of this type, by this function, every so many seconds (0 for the usual)."""

    executorType: str = always(str)
    functionName: str = always(str)
    reconcileInterval: Int = 0


class DefinitionSpec(Record):
    """A kind of blueprints: its names, its schema and its handler."""

    group: str = always(str)
    version: str = always(str)
    names: Names = always(Names)
    scope: str = always(str)
    schema: Schema | None = None
    handler: Handler = always(Handler)


class BlueprintDefinition(Record):
    """A kind of blueprints as a colony's owner defines it; blueprints name it by `spec.names.kind`."""

    blueprintdefinitionid: str = always(str)
    kind: str = always(str)
    metadata: Metadata = always(Metadata)
    spec: DefinitionSpec = always(DefinitionSpec)


class BlueprintHistory(Record):
    """A blueprint as it was added or changed; `changedby` is an id, `changetype` `create` or `update`."""

    historyid: str
    blueprintid: str
    kind: str
    namespace: str
    name: str
    generation: int
    spec: dict[str, object]
    timestamp: str
    changedby: str
    changetype: str
    status: dict[str, object] = msgspec.field(default_factory=dict)
