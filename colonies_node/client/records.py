"""The wire's records as a program gets them: nothing in them is left to be decoded."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from colonies_node.client.errors import ProcessCancelled, ProcessFailed
from colonies_node.core.errors import LinkDown
from colonies_node.core.model import process as model
from colonies_node.core.model.process import FunctionSpec, Log
from colonies_node.core.model.wire import Malformed, decode
from colonies_node.core.model.workflow import ProcessGraph
from colonies_node.core.states import ProcessState

__all__ = ["FunctionSpec", "Log", "ProcessGraph", "ProcessRecord", "ProcessState", "read", "result"]

_R = TypeVar("_R")


class ProcessRecord(model.Process):
    """A process as it was when it was read; the fields are those of `core.model.process.Process`."""

    spec: FunctionSpec  # type: ignore[assignment]
    input: list[Any] = msgspec.field(name="in")  # type: ignore[assignment]
    out: list[Any]  # type: ignore[assignment]
    errors: list[str]  # type: ignore[assignment]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state >= ProcessState.SUCCESS


def read(kind: type[_R], answer: Any) -> _R:
    """A record from a decoded answer, as lenient as the wire is. Raises LinkDown for what is none."""
    try:
        return decode(kind, msgspec.json.encode(answer))
    except Malformed as fault:
        raise LinkDown(f"the answer is not in our protocol: {fault}") from None


def result(process: ProcessRecord) -> Any:
    """What a process that has ended gave: None for no output, the output, or a list of several.

    Raises ProcessFailed or ProcessCancelled.
    """
    name = process.spec.funcname
    if process.state == ProcessState.CANCELLED:
        raise ProcessCancelled(f"{name} was cancelled", process)
    if process.state == ProcessState.FAILED:
        raise ProcessFailed(f"{name} failed: {'; '.join(process.errors) or 'it gave no reason'}", process)
    return process.out[0] if len(process.out) == 1 else process.out or None
