"""Python functions, called in interpreters of their own (`child.py`), so that none can harm the executor.

An interpreter that has done a call and came out of it clean waits for the next one with the same limits: a short
function does not pay for the start of an interpreter and the imports again. It does one call at a time. A function
that ended its interpreter, or left threads or programs behind in it, gets a fresh one for each call from then on.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import trio

from colonies_node.core.errors import SettingRefused
from colonies_node.device.runners import Errand, NotRun, Offer, Runner, Started, Written, demand_success
from colonies_node.device.supervised import Ended, Limits, Program, Running, Supervisor

_CHILD = Path(__file__).parent.parent / "child.py"

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes of a return value as JSON: half of what a server of ours takes in one request."""

MAX_WARM = 64
"""Interpreters that wait for another call."""

CHUNK = 65536


@dataclass
class Call:
    """One call: what the interpreter is told, and what it answered."""

    errand: Errand
    told: bytes
    answer: dict[str, Any] = field(default_factory=dict)


class PythonRunner(Runner):
    """Runs the functions given by `--fn`; the return value is the output."""

    def __init__(
        self,
        offered: Sequence[Offer],
        path: Sequence[str],
        supervisor: Supervisor,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.offered = offered
        self.targets = {offer.name: offer.target for offer in offered}
        self._path, self._supervisor = list(path), supervisor
        self._env = dict(env or {})
        self._answers: dict[str, dict[str, Any]] = {}
        self._warm: dict[Limits, list[Running]] = {}
        self._alone: set[str] = set()
        """Names of functions that get a fresh interpreter for each call."""

    def offers(self, funcname: str) -> bool:
        """Whether it was given."""
        return funcname in self.targets

    def prepare(self, errand: Errand) -> Call:
        """What an interpreter is told to call, with what."""
        told = {
            "function": self.targets[errand.spec["funcname"]],
            "args": errand.spec.get("args") or [],
            "kwargs": errand.spec.get("kwargs") or {},
            "env": {
                **errand.env,
                **{name: text for name, text in errand.wishes.items() if not name.startswith("COLONIES_")},
            },
            "folder": str(errand.files),
        }
        return Call(errand, json.dumps(told).encode() + b"\n")

    async def start(self, prepared: Call) -> Started:
        """Have the call begun by an interpreter that waits, or by a fresh one."""
        errand = prepared.errand
        warm = self._warm.get(errand.limits, []) if errand.spec["funcname"] not in self._alone else []
        while warm:
            begun = Begun(warm.pop(), prepared, self)
            if await begun.begin():
                return begun
            await begun.running.aclose()  # it ended while it waited, and has not heard of the call
        program = Program(
            [*_interpreter(), "serve", json.dumps(self._path)], self._env, Path("/"), errand.limits, channel=True
        )
        return Begun(await self._supervisor.start(program), prepared, self)

    def output(self, errand: Errand, ended: Ended, written: Written) -> list[Any]:
        """What the function returned. Raises NotRun with the type and text of its exception."""
        said = self._answers.pop(errand.processid, {})
        if "error" in said:
            raise NotRun(str(said["error"]))
        if isinstance(out := said.get("out"), list):
            return out
        demand_success(errand, ended, written)
        raise NotRun(f"{errand.spec['funcname']} ended its interpreter without giving a result.")

    def take_back(self, running: Running, call: Call, how: Ended | None) -> bool:
        """Keep an interpreter for another call, if it is fit for one; `how` it ended, if it has.

        A function whose interpreter ended or was spoilt is called alone from then on.
        """
        name = call.errand.spec["funcname"]
        if call.answer:
            self._answers[call.errand.processid] = call.answer
        if call.answer.get("spent") or (how is not None and how.signal != signal.SIGTERM):
            self._alone.add(name)
        limits = call.errand.limits
        waiting = sum(map(len, self._warm.values()))
        fit = "spent" in call.answer and name not in self._alone and not limits.cpu and waiting < MAX_WARM
        if fit:
            self._warm.setdefault(limits, []).append(running)
        return fit

    async def run(self) -> None:
        """Let the interpreters go at the end."""
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                for running in itertools.chain.from_iterable(self._warm.values()):
                    await running.aclose()


class Begun:
    """A call that an interpreter has begun, or that a fresh one will begin, as what was started for a process."""

    def __init__(self, running: Running, call: Call, runner: PythonRunner) -> None:
        self.running, self._call, self._runner = running, call, runner
        self._read = bytearray()
        self._has_begun = self._is_ending = False
        self._ended: Ended | None = None
        self.stdout, self.stderr = _Part(running.stdout), _Part(running.stderr)

    async def begin(self) -> bool:
        """Tell the interpreter; whether it has begun. If not it has ended, or ends."""
        with contextlib.suppress(trio.BrokenResourceError):
            await self._channel.send_all(self._call.told)
            self._has_begun = await self._line() is not None
        return self._has_begun

    async def terminate(self) -> None:
        """Ask the interpreter to end."""
        self._is_ending = True
        await self.running.terminate()

    async def kill(self) -> None:
        """End the interpreter."""
        self._is_ending = True
        await self.running.kill()

    async def wait(self) -> Ended:
        """Success if the function returned or raised; else how its interpreter ended."""
        if (self._has_begun or await self.begin()) and (line := await self._line()) is not None:
            self._call.answer = _understood(line)
        else:
            self._ended = await self.running.wait()
        self.stdout.end()
        self.stderr.end()
        return self._ended or Ended(code=0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._is_ending:
            self._call.answer.pop("spent", None)  # what was asked to end may end during the next call
        if not self._runner.take_back(self.running, self._call, self._ended):
            await self.running.aclose()

    @property
    def _channel(self) -> trio.SocketStream:
        assert self.running.channel is not None
        return self.running.channel

    async def _line(self) -> bytes | None:
        """What the interpreter says next; None if it has ended. More than an answer may hold becomes an error."""
        with contextlib.suppress(trio.BrokenResourceError):
            while b"\n" not in self._read:
                chunk = await self._channel.receive_some(CHUNK)
                if not chunk:
                    return None
                self._read += chunk
                if len(self._read) > MAX_ANSWER:
                    words = f"{self._call.errand.spec['funcname']} returned more than {MAX_ANSWER >> 20} MiB."
                    return json.dumps({"error": words}).encode()
            line, _, self._read = self._read.partition(b"\n")
            return bytes(line)
        return None


class _Part(trio.abc.ReceiveStream):
    """What an interpreter writes during one call: ends when the call is over, while the stream itself goes on."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream, self._over, self._reading = stream, False, trio.CancelScope()

    def end(self) -> None:
        """The call is over."""
        self._over = True
        self._reading.cancel()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes; none once the call is over and all that was written is read."""
        if not self._over:
            with trio.CancelScope() as self._reading:
                return bytes(await self._stream.receive_some(max_bytes))
        return self._rest(max_bytes)

    async def aclose(self) -> None:
        """The stream goes on without this part of it."""
        await trio.lowlevel.checkpoint()

    def _rest(self, max_bytes: int | None) -> bytes:
        """What is there already: all of it was written before the answer."""
        assert isinstance(self._stream, trio.lowlevel.FdStream)
        try:
            return os.read(self._stream.fileno(), max_bytes or CHUNK)
        except (BlockingIOError, OSError):
            return b""


def _understood(line: bytes) -> dict[str, Any]:
    """The answer of an interpreter; nothing if a function has written something else to its channel."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


async def describe(functions: Sequence[str], path: Sequence[str], env: Mapping[str, str]) -> list[Offer]:
    """Look at the functions, in an interpreter of their own: their modules are not for the executor's.

    A module without a function's name stands for all that are marked in it. Raises SettingRefused with a sentence about
    the first that cannot be offered.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = await _ask({"path": list(path), "functions": list(functions)}, trio.Path(folder), env)
    if "error" in answer:
        raise SettingRefused(answer["error"])
    offers = [Offer(**about) for about in answer["out"]]
    names = [offer.name for offer in offers]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SettingRefused(f"Two functions have the same name: {', '.join(sorted(twice))}.")
    return offers


async def _ask(question: Mapping[str, Any], folder: trio.Path, env: Mapping[str, str]) -> Any:
    ask, answer = folder / "call.json", folder / "answer.json"
    await ask.write_text(json.dumps(question))
    ended = await trio.run_process(
        [*_interpreter(), "describe", str(ask), str(answer)],
        env=env,
        check=False,
        capture_stdout=True,
        stderr=subprocess.STDOUT,
    )
    if not await answer.exists():
        said = (ended.stdout or b"").decode(errors="replace").strip().rpartition("\n")[2]
        raise SettingRefused(f"The functions could not be loaded: {said or 'their interpreter ended'}.")
    return json.loads(await answer.read_bytes())


def search_path() -> list[str]:
    """Where a function's modules are looked for: where the executor was started, then its own path."""
    return list(dict.fromkeys(str(Path(entry).absolute()) for entry in ["", *sys.path]))


def _interpreter() -> list[str]:
    return [sys.executable, "-I", "-u", str(_CHILD)]
