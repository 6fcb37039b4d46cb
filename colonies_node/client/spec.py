"""A function spec from what a program says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

import msgspec

from colonies_node.core.model.process import Conditions, FunctionSpec

UNLIMITED = -1


class Options(TypedDict, total=False):
    """What can be said of a process besides its function, its arguments, and the type of its executors.

    Times are whole seconds.
    """

    kwargs: Mapping[str, object]
    """Arguments by name."""
    env: Mapping[str, str]
    """Environment variables."""
    executors: Sequence[str]
    """Names of the only executors that may run it."""
    location: str
    """The place where they must stand."""
    cpu: str
    """Processor that it needs: `1500m`."""
    mem: str
    """Memory that it needs: `512Mi`."""
    priority: int
    """One step is worth a day in the queue."""
    maxwaittime: int
    """It fails if it waits longer."""
    maxexectime: int
    """It is stopped if it runs longer."""
    maxretries: int
    """It runs again so often after `maxexectime`; -1 for ever."""
    label: str
    """A label to find it by."""
    channels: Sequence[str]
    """Names of channels between who submits it and who runs it."""


_CONDITIONS = {"executors": "executornames", "location": "locationname", "cpu": "cpu", "mem": "mem"}
"""Options that say what an executor must be → their names in the record."""


def function_spec(
    colony: str, funcname: str, args: Sequence[object], type: str, **options: Unpack[Options]
) -> FunctionSpec:
    """The spec of one process. Raises TypeError for an option that there is not, or for what has no form in JSON."""
    if unknown := sorted(options.keys() - Options.__annotations__.keys()):
        raise TypeError(f"there is no option {unknown[0]!r}: arguments of the function by name go into kwargs={{...}}")
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    conditions = {record: given.pop(option) for option, record in _CONDITIONS.items() if option in given}
    where = {"colonyname": colony, "executortype": type, "executornames": None, **conditions}
    limits = {"maxwaittime": UNLIMITED, "maxexectime": UNLIMITED, "maxretries": UNLIMITED}
    try:
        # As strict as what functions return: bytes or a set would silently arrive as something else.
        call = json.loads(json.dumps({"args": list(args), "kwargs": dict(given.get("kwargs", {}))}, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as fault:
        raise TypeError(f"what {funcname} is given has no form in JSON: {fault}") from None
    what = {"nodename": funcname, "funcname": funcname, **limits, **given, **call, "conditions": where}
    try:
        return msgspec.convert(msgspec.to_builtins(what), FunctionSpec)
    except msgspec.ValidationError as fault:
        raise TypeError(f"an option of {funcname} is not right: {fault}") from None


def fields(spec: FunctionSpec) -> dict[str, Any]:
    """The same for a message."""
    found: dict[str, Any] = msgspec.to_builtins(spec)
    return found


__all__ = ["Conditions", "FunctionSpec", "Options", "fields", "function_spec"]
