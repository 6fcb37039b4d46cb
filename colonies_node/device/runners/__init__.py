"""What can be run here: one small module for each way to run a process, all behind one interface.

The life of a process is the same for all of them, and `work` leads it: `prepare` looks at the function spec and says no
with a sentence, or makes ready what will run; `start` starts it; its output is streamed to the log; it finishes, or is
ended because its time is over, it was cancelled, or the executor stops; `output` makes of its end what is handed in.

Runners that run something on this machine give a `Program` to the supervisor, which sees to it that nothing of it
stays. One whose work runs elsewhere and goes on without us (a batch queue) says `outlives`: then the next life of the
executor takes it up with `adopt`.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import trio

from colonies_node.core.errors import BadRequest
from colonies_node.core.model.quantities import memory_text
from colonies_node.device.lines import Head, Tail
from colonies_node.device.supervised import NO_LIMITS, Ended, Limits

MAX_OUTPUT = 256 * 1024
"""Bytes of standard output that become a process's output; the log has all of it."""

MAX_COMPLAINT = 2048
"""Bytes of standard error that go into an error: some twenty lines, and the log has all of it."""


GIVEN_UP = Ended(fault=(0, "it was given up"))
"""An earlier life of the executor had begun to end it, because it was not ours any more or its time was over."""


class NotRun(BadRequest):
    """The process cannot be run here; the sentence goes to who submitted it."""


@dataclass(frozen=True)
class Offer:
    """A function that is offered: its name on the wire, where it is, and what its signature and docstring say."""

    name: str
    target: str
    description: str
    args: Sequence[Mapping[str, Any]]


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
    limits: Limits = NO_LIMITS
    gpus: Sequence[int] = ()
    """Numbers of the GPUs that are set aside for it."""
    say: Callable[[str], None] = field(default=lambda line: None, compare=False)
    """Adds a line of ours to the log of the process."""
    kept: Callable[[], bool] = field(default=lambda: True, compare=False)
    """Whether all lines of the log are at the server or on disk."""

    @property
    def files(self) -> Path:
        """Where the program runs."""
        return self.folder / "files"


class Written:
    """What a program wrote, as far as an outcome needs it."""

    def __init__(self) -> None:
        self.out, self.err = Head(MAX_OUTPUT), Tail(MAX_COMPLAINT)


class Started(Protocol):
    """What runs for a process, as `supervised.Running` is one. Closing it ends what still runs."""

    @property
    def stdout(self) -> trio.abc.ReceiveStream: ...
    @property
    def stderr(self) -> trio.abc.ReceiveStream: ...

    async def terminate(self) -> None:
        """Ask it to end."""

    async def kill(self) -> None:
        """End it."""

    async def wait(self) -> Ended:
        """How it ended; by then nothing of it runs any more."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...


class Runner(ABC):
    """One way to run a process."""

    offered: Sequence[Offer] = ()
    """Functions that the colony is told of."""
    software: Sequence[Mapping[str, str]] = ()
    """What it adds to the executor's capabilities: name, type and version of each."""
    outlives: bool = False
    """Whether what it started goes on when the executor ends."""

    @abstractmethod
    def offers(self, funcname: str) -> bool:
        """Whether a function of this name is for this runner."""

    @abstractmethod
    def prepare(self, errand: Errand) -> Any:
        """What is to be started for a process. Raises NotRun with a sentence."""

    @abstractmethod
    async def start(self, prepared: Any) -> Started:
        """Start what was prepared. Whatever takes long belongs to what is started, which can be ended."""

    @abstractmethod
    def output(self, errand: Errand, ended: Ended, written: Written) -> list[Any]:
        """The output of a process that has ended by itself. Raises NotRun with what went wrong."""

    def adopt(self, errand: Errand) -> Any:
        """What an earlier life of the executor has prepared, and perhaps started, for `start` to take up."""
        return self.prepare(errand)

    async def hardware(self) -> Sequence[Mapping[str, Any]]:
        """The machines on which it runs processes, as capabilities; nothing if that is this one."""
        return ()

    async def settle(self) -> None:  # noqa: B027  (most have nothing to do)
        """End what an earlier life of the executor left running, unless it outlives it."""

    async def run(self) -> None:
        """Do what has to be done beside the processes, until cancelled."""
        await trio.sleep_forever()


def choose(runners: Sequence[Runner], funcname: str, names: Sequence[str]) -> Runner:
    """The runner for a function; NotRun naming what is offered if there is none."""
    for runner in runners:
        if runner.offers(funcname):
            return runner
    raise NotRun(f"This executor does not offer the function {funcname!r}. It offers: {', '.join(sorted(names))}.")


def demand_success(errand: Errand, ended: Ended, written: Written) -> None:
    """Raise NotRun, saying how it ended, unless the program ended with exit status 0."""
    name = errand.spec["funcname"]
    if ended.exceeded:
        raise NotRun(f"{name} was ended: it used more than its limit of {limit_text(errand.limits, ended.exceeded)}.")
    if ended.signal == signal.SIGXCPU and errand.limits.cpu:
        raise NotRun(f"{name} was ended: it used more than its limit of {limit_text(errand.limits, 'cpu')}.")
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


def visible(gpus: Sequence[int]) -> dict[str, str]:
    """The variable that has CUDA see only these GPUs; none if there are none."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))} if gpus else {}


def limit_text(limits: Limits, which: str) -> str:
    """A limit for people: `512Mi of memory`."""
    value = getattr(limits, which)
    match which:
        case "memory" | "output":
            return f"{memory_text(value)} of {which}"
        case "cpu":
            return f"{value} s of processor time"
        case _:
            return f"{value} {which}"


def signal_name(number: int) -> str:
    """`SIGSEGV` and the like."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
