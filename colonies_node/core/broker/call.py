"""The circumstances of one request: who asks, under which rules of the node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from colonies_node.core.errors import Internal
from colonies_node.core.model.blueprint import Blueprint
from colonies_node.core.model.members import User
from colonies_node.core.pressure import Pressure
from colonies_node.core.store.crons import CronRow
from colonies_node.core.store.executors import ExecutorRow
from colonies_node.core.store.generators import GeneratorRow
from colonies_node.core.store.graphs import GraphRow
from colonies_node.core.store.processes import ProcessRow


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator chose. Durations are seconds; a retention of 0 keeps everything."""

    allow_executor_reregister: bool = False
    stale_executor_duration: int = 600
    cleanup_interval: int = 60
    retention_policy: int = 0
    buildversion: str = "dev"
    buildtime: str = ""
    host: str = "0.0.0.0"
    port: int = 50080
    tls: bool = False
    zone: str = "UTC"
    """Whose time cron expressions mean that name no zone."""
    nodeid: str = ""
    """Who this node is to others."""
    disk_reserve: int = 0
    """Bytes of the store's disk that stay free; 0 fills it to the last."""
    disk_priority: int = 1
    """While the reserve is touched, new work of a lower priority is refused."""


class Initiator(NamedTuple):
    """Who submits: an executor, a user or the colony itself, by id and name."""

    initiatorid: str
    initiatorname: str


@dataclass(slots=True)
class Live:
    """How the link to an upstream is now. Instants are Unix nanoseconds; bytes are counted since the start."""

    connected: bool = False
    since: int = 0
    why: str = "not tried yet"
    exchanged: int = 0
    sent: int = 0
    received: int = 0


@dataclass(slots=True)
class Call:
    """One request on its way: the caller's id, the rules, and what the access check found out."""

    caller: str
    rules: Rules
    heard: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Signs of life newer than the stored ones: executor id → Unix nanoseconds."""
    links: Mapping[str, Live] = field(default_factory=lambda: MappingProxyType({}))
    """How the links to upstreams are now, by name."""
    pressure: Pressure = field(default_factory=Pressure)
    """How much room the disk has."""
    signed_by: ExecutorRow | None = None
    """The executor whose key signed, when a member check looked, whether it may do this or not."""
    executor: ExecutorRow | None = None
    """The calling executor, when a member check let it in."""
    user: User | None = None
    """The calling user, when a member check found one."""
    owned: str = ""
    """The name of the colony whose owner calls, when a check that lets members in as well found that."""
    about: ProcessRow | ExecutorRow | GraphRow | CronRow | GeneratorRow | Blueprint | None = None
    """What the request names, when the access check had to look it up."""

    def initiator(self) -> Initiator:
        """The caller as the one who submits. Internal if nobody looked who it is."""
        if self.executor is not None:
            return Initiator(self.caller, self.executor.executorname)
        if self.user is not None:
            return Initiator(self.caller, self.user.name)
        if self.owned:
            return Initiator(self.caller, self.owned)
        raise Internal("Could not derive InitiatorName")

    @property
    def process(self) -> ProcessRow:
        """The process that the request is about."""
        if not isinstance(self.about, ProcessRow):
            raise Internal("the request names no process")
        return self.about

    @property
    def graph(self) -> GraphRow:
        """The workflow that the request is about."""
        if not isinstance(self.about, GraphRow):
            raise Internal("the request names no workflow")
        return self.about

    @property
    def cron(self) -> CronRow:
        """The cron that the request is about."""
        if not isinstance(self.about, CronRow):
            raise Internal("the request names no cron")
        return self.about

    @property
    def generator(self) -> GeneratorRow:
        """The generator that the request is about."""
        if not isinstance(self.about, GeneratorRow):
            raise Internal("the request names no generator")
        return self.about

    @property
    def blueprint(self) -> Blueprint:
        """The blueprint that the request is about."""
        if not isinstance(self.about, Blueprint):
            raise Internal("the request names no blueprint")
        return self.about

    @property
    def named(self) -> ExecutorRow:
        """The executor that the request is about."""
        if not isinstance(self.about, ExecutorRow):
            raise Internal("the request names no executor")
        return self.about


class Done:
    """The answer of a function that has nothing to say: `{}` on the wire."""


DONE = Done()
