"""Programs of this machine: the function name is the program, the args are its arguments. No shell reads
them.
"""

from __future__ import annotations

import json
from typing import Any

from colonies_node.device.runners import Errand, NotRun, Runner, Started, Written, demand_success
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
        if kwargs := errand.spec.get("kwargs"):
            given = ", ".join(sorted(kwargs))
            raise NotRun(f"A program takes its arguments from args, not from kwargs. Found: {given}.")
        argv = [name, *(argument_text(value) for value in errand.spec.get("args") or [])]
        if any("\0" in word for word in argv):
            raise NotRun("A program's name and arguments cannot hold a NUL character.")
        return Program(argv, {**errand.env, **errand.wishes, **_identity(errand)}, errand.files, errand.limits)

    async def start(self, prepared: Program) -> Started:
        """Start the program."""
        return await self._supervisor.start(prepared)

    def output(self, errand: Errand, ended: Ended, written: Written) -> list[Any]:
        """Standard output as one text without its last line end; nothing if there was none."""
        demand_success(errand, ended, written)
        text = written.out.text().removesuffix("\n")
        if written.out.more:
            text += f"\n[cut here: {written.out.more} more bytes are in the log]"
        return [text] if text else []


def argument_text(value: Any) -> str:
    """An argument as a program gets it: a text as it is, anything else as JSON writes it (5, 1.5, true,
    {"a":1}).
    """
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _identity(errand: Errand) -> dict[str, str]:
    """Who the process is: a function spec must not be able to say otherwise."""
    return {name: value for name, value in errand.env.items() if name.startswith("COLONIES_")}
