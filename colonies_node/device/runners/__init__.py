"""What can be run here. A runner turns a process into a program and what became of the program into an
outcome.

Between the two, `work` starts the program, carries its output to the log and ends it when its time is over.
That middle is the same for every runner that can express its work as a program of this machine.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from colonies_node.core.errors import BadRequest
from colonies_node.device.lines import Head, Tail
from colonies_node.device.supervised import Ended, Program

MAX_OUTPUT = 256 * 1024
"""Bytes of standard output that become a process's output; the log has all of it."""

MAX_COMPLAINT = 2048
"""Bytes of standard error that go into an error: some twenty lines, and the log has all of it."""


class NotRun(BadRequest):
    """The process cannot be run here; the sentence goes to who submitted it."""


@dataclass(frozen=True)
class Errand:
    """A process as a runner needs it: its function spec, its folder, and the environment for what it runs."""

    processid: str
    spec: Mapping[str, Any]
    folder: Path
    env: Mapping[str, str]
    """Of the executor, without secrets, and who the process is."""
    wishes: Mapping[str, str]
    """Of the function spec."""

    @property
    def files(self) -> Path:
        """Where the program runs."""
        return self.folder / "files"


class Written:
    """What a program wrote, as far as an outcome needs it."""

    def __init__(self) -> None:
        self.out, self.err = Head(MAX_OUTPUT), Tail(MAX_COMPLAINT)


class Runner(Protocol):
    """One way to run a process."""

    def offers(self, funcname: str) -> bool:
        """Whether a function of this name is for this runner."""

    def prepare(self, errand: Errand) -> Program:
        """The program for a process. Raises NotRun with a sentence."""

    def output(self, errand: Errand, ended: Ended, written: Written) -> list[Any]:
        """The output of a process whose program has ended by itself. Raises NotRun with what went wrong."""


def choose(runners: Sequence[Runner], funcname: str, names: Sequence[str]) -> Runner:
    """The runner for a function; NotRun naming what is offered if there is none."""
    for runner in runners:
        if runner.offers(funcname):
            return runner
    raise NotRun(f"This executor does not offer the function {funcname!r}. It offers: {', '.join(sorted(names))}.")


def demand_success(name: str, ended: Ended, written: Written) -> None:
    """Raise NotRun, saying how it ended, unless the program ended with exit status 0."""
    if ended.fault:
        number, text = ended.fault
        if number == 2:
            raise NotRun(f"There is no program {name!r} on this executor.")
        raise NotRun(f"{name} could not be run: {text}.")
    if ended.signal is not None:
        said = f"{name} was killed by {signal_name(ended.signal)}"
    elif ended.code:
        said = f"{name} exited with status {ended.code}"
    else:
        return
    complaint = written.err.text()
    raise NotRun(f"{said}: {complaint}" if complaint else said)


def signal_name(number: int) -> str:
    """`SIGSEGV` and the like."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
