"""The executor's side of `supervisor.py`: start a program, read its output, end it, learn how it ended."""

from __future__ import annotations

import array
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import trio

from colonies_node.device import fence
from colonies_node.device.supervisor import CLEANUP_S, SWEEP_S

_PACKAGES: Final = str(Path(__file__).parents[2])
_SUPERVISE: Final = """
import sys
sys.path.insert(0, sys.argv.pop())
from colonies_node.device.supervisor import main
main()
"""


@dataclass(frozen=True)
class Limits:
    """What a program and all that it starts may use; 0 is no limit.

    `memory` in bytes and `processes` count for all together, `cpu` (seconds of processor time) and `files` (open at a
    time) for each of its processes. `output` is in bytes, of standard output and error together.
    """

    memory: int = 0
    processes: int = 0
    cpu: int = 0
    files: int = 0
    output: int = 0


NO_LIMITS: Final = Limits()


@dataclass(frozen=True)
class Program:
    """What to run: the arguments (the first is the program), its whole environment, and the folder to run it in.

    `cleanup` is a command that is run once it has ended, or was killed, also after the executor's own end.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    folder: Path
    limits: Limits = NO_LIMITS
    cleanup: Sequence[str] = ()
    channel: bool = False
    """Whether it gets a socket to us: the number of its descriptor is its last argument."""


@dataclass(frozen=True)
class Ended:
    """How a program ended: with an exit status, by a signal, or not started for `fault` (errno, text).

    `exceeded` is the limit for which it was ended, a field of Limits.
    """

    code: int | None = None
    signal: int | None = None
    fault: tuple[int, str] | None = None
    exceeded: str | None = None


UNSUPERVISED = Ended(fault=(0, "its supervisor was killed"))
"""The program itself has died with its supervisor; what it had started may still run."""


class Supervisor:
    """Starts programs through the one supervisor process of this executor, which it starts when it is first needed.

    `groups` are the control groups below which programs are fenced in (`fence.hierarchies`), `prefix` begins the name
    of each such fence.
    """

    def __init__(self, groups: Sequence[Path] = (), prefix: str = "colonies-") -> None:
        self.groups, self.prefix = groups, prefix
        self._names = (f"{prefix}{os.getpid()}-{number}" for number in itertools.count(1))
        self._line: socket.socket | None = None
        self._process: trio.Process | None = None
        self._starting = trio.Lock()
        self._idle: list[trio.SocketStream] = []

    async def start(self, program: Program) -> Running:
        """Start a program."""
        guardian = self._idle.pop() if self._idle else await self._new_guardian()
        running = Running(guardian, self._idle, channel=program.channel)
        start = {
            "argv": list(program.argv),
            "env": dict(program.env),
            "folder": str(program.folder),
            "limits": {name: getattr(program.limits, name) for name in ("memory", "processes", "cpu", "files")},
            "cleanup": list(program.cleanup),
            "groups": [str(group) for group in self.groups],
            "name": next(self._names),
        }
        try:
            await running.begin(json.dumps(start).encode() + b"\n")
        except BaseException:
            await running.aclose()
            raise
        return running

    async def aclose(self) -> None:
        """Let the supervisor go, and the guardians that have no program; the others stay with theirs."""
        for guardian in self._idle:
            await trio.aclose_forcefully(guardian)
        self._idle.clear()
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            with trio.CancelScope(shield=True):
                await self._process.wait()
        self._line = self._process = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _new_guardian(self) -> trio.SocketStream:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                await self._hand_over(theirs)
        except BaseException:
            ours.close()
            raise
        return trio.SocketStream(trio.socket.from_stdlib_socket(ours))

    async def _hand_over(self, theirs: socket.socket) -> None:
        """Give the supervisor the socket of a new guardian; a supervisor that has died is replaced."""
        async with self._starting:
            while True:
                fresh = self._line is None
                line = self._line or await self._begin()
                try:
                    while True:
                        with contextlib.suppress(BlockingIOError):
                            socket.send_fds(line, [b"x"], [theirs.fileno()])
                            return
                        await trio.lowlevel.wait_writable(line)
                except (BrokenPipeError, ConnectionResetError):
                    await self.aclose()
                    if fresh:
                        raise

    async def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)
            self._process = await trio.lowlevel.open_process(
                [sys.executable, "-I", "-S", "-c", _SUPERVISE, str(theirs.fileno()), _PACKAGES],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
                env=_loader(os.environ),
            )
        self._line = ours
        return ours


class Running:
    """A program that runs. It is killed with everything it started when this is closed, or when this process
    ends.
    """

    def __init__(self, guardian: trio.SocketStream, idle: list[trio.SocketStream], *, channel: bool) -> None:
        (out, far_out), (err, far_err) = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        self._far = [far_out, far_err]
        self.channel: trio.SocketStream | None = None
        if channel:
            ours, theirs = socket.socketpair()
            self._far.append(theirs.detach())
            self.channel = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        self.stdout: trio.abc.ReceiveStream = trio.lowlevel.FdStream(out)
        self.stderr: trio.abc.ReceiveStream = trio.lowlevel.FdStream(err)
        self._guardian, self._idle = guardian, idle
        self._said = b""

    async def begin(self, told: bytes) -> None:
        """Tell its guardian what to start."""
        descriptors = array.array("i", self._far).tobytes()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
        try:
            with contextlib.suppress(OSError):  # the guardian has ended: `wait` says so
                sent = await self._guardian.socket.sendmsg([told], rights)
                await self._tell(told[sent:])
        finally:
            for descriptor in self._far:
                os.close(descriptor)

    async def terminate(self) -> None:
        """Ask the whole process group to end (SIGTERM)."""
        await self._tell(b"T")

    async def kill(self) -> None:
        """Kill the program and everything that it started."""
        await self._tell(b"K")

    async def wait(self) -> Ended:
        """How the program ended; by then nothing that it started runs any more."""
        await self._until_answered()
        if not self._said.endswith(b"\n"):
            return UNSUPERVISED
        said = json.loads(self._said)
        said.pop("last", None)
        if fault := said.pop("fault", None):
            return Ended(fault=(fault[0], fault[1]))
        return Ended(**said)

    async def aclose(self) -> None:
        """Let go of it: whatever still runs is killed, and has ended when this returns."""
        with trio.move_on_after(CLEANUP_S + SWEEP_S + 1, shield=True):
            for stream in (self.stdout, self.stderr, self.channel):
                if stream is not None:
                    await trio.aclose_forcefully(stream)
            if self._said.endswith(b"\n") and b'"last"' not in self._said:
                self._idle.append(self._guardian)
                return
            with contextlib.suppress(trio.BrokenResourceError):
                await self._guardian.send_eof()
                await self._until_answered()
        self._guardian.socket.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _tell(self, words: bytes) -> None:
        # A broken resource: the guardian has ended, and with it the program.
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._guardian.send_all(words)

    async def _until_answered(self) -> None:
        """Wait until the guardian has answered or is gone."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while not self._said.endswith(b"\n") and (more := await self._guardian.receive_some()):
                self._said += more


def _loader(environ: Mapping[str, str]) -> dict[str, str]:
    """What an interpreter may need in order to start at all, if it is not in the usual place."""
    return {name: environ[name] for name in ("LD_LIBRARY_PATH", "PATH") if name in environ}


def fenced(executorid: str) -> Supervisor:
    """The supervisor of an executor, with fences around its programs where this machine allows them.

    What an earlier life of the executor left behind its fences is ended.
    """
    groups, prefix = fence.hierarchies(), f"colonies-{executorid[:16]}-"
    fence.sweep(groups, prefix)
    return Supervisor(groups, prefix)
