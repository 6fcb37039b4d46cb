"""What executors there are, here and above: whether this node can run a process at all, and whether an upstream can."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha3_256
from typing import Final

import msgspec

from colonies_node.core.errors import Rejected
from colonies_node.core.model.executor import Capabilities
from colonies_node.core.model.process import FunctionSpec
from colonies_node.core.model.quantities import memory_bytes, millicores
from colonies_node.core.model.sync import Offered
from colonies_node.core.states import ExecutorState
from colonies_node.core.store import executors
from colonies_node.core.store.links import LinkRow
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.transaction import Transaction

MOST: Final = 500
"""Executors that are told of: an upstream with more is taken to offer what the first of them do."""

_capabilities = msgspec.json.Decoder(Capabilities)
_offers = msgspec.json.Decoder(list[Offered])
_specs = msgspec.json.Decoder(FunctionSpec)


def here(tx: Transaction, colonyname: str) -> list[Offered]:
    """The approved executors of a colony."""
    return [_offered(row) for row in executors.of_colony(tx, colonyname) if row.state == ExecutorState.APPROVED][:MOST]


def above(link: LinkRow) -> list[Offered]:
    """What an upstream has told that it and those above it have."""
    return _offers.decode(link.offers)


def of_colony(tx: Transaction, colonyname: str, links_up: Iterable[LinkRow]) -> list[Offered]:
    """What this node can give work to: its own executors and those of its upstreams."""
    found = here(tx, colonyname)
    for link in links_up:
        if link.colonyname == colonyname and not link.paused:
            found += above(link)
    unique = {msgspec.json.encode(one): one for one in found}
    return list(unique.values())[:MOST]


@dataclass
class Asked:
    """What a process asks of its executor, as far as its row and its spec say."""

    process: ProcessRow

    @cached_property
    def spec(self) -> FunctionSpec:
        """The spec; read only where the row does not tell enough."""
        return _specs.decode(self.process.spec)

    def fits(self, offered: Offered) -> bool:
        """Whether an executor of this sort may take it. An amount that is not known is taken to be enough."""
        process = self.process
        return (
            process.executortype == offered.executortype
            and (process.target == "" or offered.executorname in self._names())
            and process.locationname in ("", offered.locationname.lower())
            and (not process.cpu or not offered.cpu or process.cpu <= millicores(offered.cpu))
            and (not process.mem or not offered.mem or process.mem <= memory_bytes(offered.mem))
            and (not offered.cpu or self.spec.conditions.gpu.count <= offered.gpu)
        )

    def fits_any(self, offered: list[Offered]) -> bool:
        """Whether one of these may take it; an upstream that has told of none yet may have one."""
        return not offered or any(self.fits(one) for one in offered)

    def _names(self) -> list[str]:
        return self.process.names() if self.process.target == "*" else [self.process.target]


def digest(found: list[Offered]) -> str:
    """A short text that is another one when the offers are others."""
    return sha3_256(msgspec.json.encode(found)).hexdigest()[:16] if found else ""


def _offered(row: executors.ExecutorRow) -> Offered:
    capabilities = _capabilities.decode(row.capabilities)
    return of_executor(row.executortype, row.executorname, row.locationname, capabilities)


def of_executor(executortype: str, executorname: str, locationname: str, capabilities: Capabilities) -> Offered:
    """What an executor says that it is."""
    cpu, mem, gpu = 0, 0, 0
    hardware = capabilities.hardware or []
    for machine in hardware if isinstance(hardware, list) else [hardware]:
        try:
            cpu = max(cpu, millicores(machine.cpu), machine.cores * 1000)
            mem = max(mem, memory_bytes(machine.mem))
        except Rejected:
            continue
        gpu = max(gpu, machine.gpu.count if machine.gpu else 0)
    return Offered(
        executortype=executortype,
        executorname=executorname,
        locationname=locationname,
        cpu=f"{cpu}m" if cpu else "",
        mem=str(mem) if mem else "",
        gpu=gpu,
    )
