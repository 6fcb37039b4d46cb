"""A request of the CBOR door on its way to the service, and what its reply is bound to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from colonies_node.core.broker.table import Row
from colonies_node.core.store.remembered import Once
from colonies_node.http.service import Asked


class Marks(NamedTuple):
    """What binds a reply to its request: who asked, and which message it was; empty where that could not be read."""

    kid: bytes = b""
    cti: bytes = b""


@dataclass(frozen=True, slots=True)
class Question:
    """A request that may be answered: who asks, and one message with its row, or a batch of them without."""

    caller: str
    once: Once
    row: Row | None
    message: Any
    batch: list[Asked]
