"""Programs of this machine: the function name is the program, the args are its arguments. No shell reads them.

But for `execute` with kwargs, which is a command line for one, as the published executors take it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from colonies_node.device.runners import Errand, NotRun, Runner, Started, Written, demand_success
from colonies_node.device.runners.commandline import ENVIRONMENT, FUNCTION, asks_for, command_line, image_of
from colonies_node.device.supervised import Ended, Program, Supervisor


class ShellRunner(Runner):
    """Runs whatever program the function name names; its standard output is the output."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def offers(self, funcname: str) -> bool:
        """Any program may be asked for; whether it exists shows when it starts."""
        return bool(funcname)

    def prepare(self, errand: Errand) -> Program:
        """The program with its arguments. Raises NotRun for kwargs, which a program has no place for."""
        name = errand.spec["funcname"]
        kwargs = errand.spec.get("kwargs")
        if kwargs and name == FUNCTION:
            return self._program(errand, ["sh", "-c", _native(errand)], ENVIRONMENT)
        if kwargs:
            given = ", ".join(sorted(kwargs))
            raise NotRun(f"A program takes its arguments from args, not from kwargs. Found: {given}.")
        argv = [name, *(argument_text(value) for value in errand.spec.get("args") or [])]
        if any("\0" in word for word in argv):
            raise NotRun("A program's name and arguments cannot hold a NUL character.")
        return self._program(errand, argv, {})

    async def start(self, prepared: Program) -> Started:
        """Start the program."""
        return await self._supervisor.start(prepared)

    def output(self, errand: Errand, ended: Ended, written: Written) -> list[Any]:
        """Standard output as one text without its last line end; nothing if there was none."""
        demand_success(errand, ended, written)
        return output_text(written)

    def _program(self, errand: Errand, argv: list[str], more: Mapping[str, str]) -> Program:
        env = {**errand.env, **more, **errand.wishes, **_identity(errand)}
        return Program(argv, env, errand.files, errand.limits)


def output_text(written: Written) -> list[Any]:
    """Standard output as one text without its last line end; nothing if there was none."""
    text = written.out.text().removesuffix("\n")
    if written.out.more:
        text += f"\n[cut here: {written.out.more} more bytes are in the log]"
    return [text] if text else []


def _native(errand: Errand) -> str:
    """The line of `execute` without a container."""
    if image_of(errand.spec):
        raise NotRun("This executor runs no containers: its owner starts it with --container to run a docker-image.")
    if asks_for(errand.spec, "rebuild-image"):
        raise NotRun("There is no rebuild-image without a docker-image.")
    return command_line(errand.spec, errand.processid)


def argument_text(value: Any) -> str:
    """An argument as a program gets it: a text as it is, anything else as JSON writes it (5, 1.5, true,
    {"a":1}).
    """
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _identity(errand: Errand) -> dict[str, str]:
    """Who the process is: a function spec must not be able to say otherwise."""
    return {name: value for name, value in errand.env.items() if name.startswith("COLONIES_")}
