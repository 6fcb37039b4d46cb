"""The executor's side of `supervisor.py`: start a program, read its output, end it, learn how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import trio

from colonies_node.device.supervisor import SWEEP_S

_SUPERVISOR = Path(__file__).with_name("supervisor.py")


@dataclass(frozen=True)
class Program:
    """What to run: the arguments (the first is the program), its whole environment, and the folder to run it
    in.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    folder: Path


@dataclass(frozen=True)
class Ended:
    """How a program ended: with an exit status, by a signal, or not started for `fault` (errno, text)."""

    code: int | None = None
    signal: int | None = None
    fault: tuple[int, str] | None = None


UNSUPERVISED = Ended(fault=(0, "its supervisor was killed"))
"""The program itself has died with its supervisor; what it had started may still run."""


class Running:
    """A program that runs. It is killed with everything it started when this is closed, or when this process
    ends.
    """

    def __init__(self, process: trio.Process, report: int) -> None:
        assert process.stdout and process.stderr and process.stdin
        self.stdout: trio.abc.ReceiveStream = process.stdout
        self.stderr: trio.abc.ReceiveStream = process.stderr
        self._control = process.stdin
        self._process = process
        self._report = report

    @classmethod
    async def start(cls, program: Program, marker: Mapping[str, str]) -> Self:
        """Start the program. `marker` goes into the environment of the supervisor, which has no other."""
        report, writer = os.pipe()
        os.set_blocking(report, False)
        try:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-I", "-S", str(_SUPERVISOR), str(writer)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=(writer,),
                env={**_loader(os.environ), **marker},
            )
        except BaseException:
            os.close(report)
            raise
        finally:
            os.close(writer)
        running = cls(process, report)
        start = {"argv": list(program.argv), "env": dict(program.env), "folder": str(program.folder)}
        try:
            await running._tell(json.dumps(start).encode() + b"\n")
        except BaseException:
            await running.aclose()
            raise
        return running

    async def terminate(self) -> None:
        """Ask the whole process group to end (SIGTERM)."""
        await self._tell(b"T")

    async def kill(self) -> None:
        """Kill the program and everything that it started."""
        await self._tell(b"K")

    async def wait(self) -> Ended:
        """How the program ended; by then nothing that it started runs any more."""
        await self._process.wait()
        try:
            said = json.loads(os.read(self._report, 65536))
        except (BlockingIOError, ValueError):
            return UNSUPERVISED
        if fault := said.pop("fault", None):
            return Ended(fault=(fault[0], fault[1]))
        return Ended(**said)

    async def aclose(self) -> None:
        """Let go of it: whatever still runs is killed, and has ended when this returns."""
        os.close(self._report)
        with trio.move_on_after(SWEEP_S + 1, shield=True):
            for stream in (self._control, self.stdout, self.stderr):
                await trio.aclose_forcefully(stream)
            await self._process.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _tell(self, words: bytes) -> None:
        # A broken pipe: the supervisor has ended, and with it the program.
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._control.send_all(words)


def _loader(environ: Mapping[str, str]) -> dict[str, str]:
    """What an interpreter may need in order to start at all, if it is not in the usual place."""
    return {name: environ[name] for name in ("LD_LIBRARY_PATH", "PATH") if name in environ}
