"""`SyncClient`: the same as `Client`, for programs without trio.

Nothing is decided here: one thread runs trio and a `Client`, and each method hands its call over and waits. A test
holds both faces to the same methods with the same parameters.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import trio

from colonies_node.client.channel import Channel, Message
from colonies_node.client.client import Client, Door
from colonies_node.client.logs import Lines
from colonies_node.client.process import Process
from colonies_node.client.records import Log, ProcessGraph, ProcessRecord
from colonies_node.client.results import Results
from colonies_node.client.spec import Options
from colonies_node.client.workflow import Node, Workflow

_R = TypeVar("_R")


class Thread:
    """A thread that runs trio with a client in it, from `start` to `stop`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="colonies-node client", daemon=True)
        self._token: trio.lowlevel.TrioToken
        self._nursery: trio.Nursery
        self._leave: trio.Event

    def start(self) -> None:
        """Return once the client can be used."""
        self._thread.start()
        self._ready.result()

    def stop(self) -> None:
        """Close the client; calls that wait end with a RuntimeError."""
        self._token.run_sync_soon(self._leave.set)
        self._thread.join()

    def call(self, function: Callable[..., Awaitable[_R]], /, *args: Any, **kwargs: Any) -> _R:
        """What an async function gives, called in the thread. Ctrl-C here cancels it there."""
        if not self._thread.is_alive():
            raise RuntimeError("a SyncClient is used inside `with`")
        answer: Future[_R] = Future()
        scope = trio.CancelScope()

        async def work() -> None:
            try:
                with scope:
                    answer.set_result(await function(*args, **kwargs))
            except Exception as fault:
                answer.set_exception(fault)
            finally:
                if not answer.done():
                    answer.set_exception(RuntimeError("the client was closed"))

        self._token.run_sync_soon(self._begin, work, answer)
        try:
            return answer.result()
        except BaseException:
            if not answer.done():
                self._token.run_sync_soon(scope.cancel)
            raise

    def _begin(self, work: Callable[[], Awaitable[None]], answer: Future[Any]) -> None:
        if self._leave.is_set():
            answer.set_exception(RuntimeError("the client was closed"))
        else:
            self._nursery.start_soon(work)

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as fault:
            if not self._ready.done():
                self._ready.set_exception(fault)
            else:
                raise

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._leave = trio.Event()
        async with self._client, trio.open_nursery() as self._nursery:
            self._ready.set_result(None)
            await self._leave.wait()
            self._nursery.cancel_scope.cancel()


class SyncClient:
    """A colony under one key: `with SyncClient() as colony`. All is as with `Client`, and any thread may call."""

    def __init__(
        self,
        url: str | None = None,
        *,
        colony: str | None = None,
        prvkey: str | None = None,
        door: Door = "auto",
        node_id: str | None = None,
        tls_verify: bool | str | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._client = Client(
            url,
            colony=colony,
            prvkey=prvkey,
            door=door,
            node_id=node_id,
            tls_verify=tls_verify,
            timeout=timeout,
        )
        self._thread = Thread(self._client)
        self.colony = self._client.colony

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.stop()

    def submit(self, funcname: str, *args: object, type: str, **options: Unpack[Options]) -> SyncProcess:
        """As Client.submit."""
        submitted = self._thread.call(self._client.submit, funcname, *args, type=type, **options)
        return SyncProcess(self._thread, submitted)

    def run(
        self, funcname: str, *args: object, type: str, timeout: float | None = None, **options: Unpack[Options]
    ) -> Any:
        """As Client.run."""
        return self._thread.call(self._client.run, funcname, *args, type=type, timeout=timeout, **options)

    def get(self, process: SyncProcess | str) -> ProcessRecord:
        """As Client.get."""
        return self._thread.call(self._client.get, _id(process))

    def wait(self, process: SyncProcess | str, timeout: float | None = None) -> ProcessRecord:
        """As Client.wait."""
        return self._thread.call(self._client.wait, _id(process), timeout)

    def result(self, process: SyncProcess | str, timeout: float | None = None) -> Any:
        """As Client.result."""
        return self._thread.call(self._client.result, _id(process), timeout)

    def cancel(self, process: SyncProcess | str) -> None:
        """As Client.cancel."""
        self._thread.call(self._client.cancel, _id(process))

    def logs(self, process: SyncProcess | str, *, follow: bool = True, since: int = 0) -> SyncLines:
        """As Client.logs."""
        return SyncLines(self._thread, self._client.logs(_id(process), follow=follow, since=since))

    def channel(self, process: SyncProcess | str, name: str, *, own: bool = False) -> SyncChannel:
        """As Client.channel."""
        return SyncChannel(self._thread, self._client.channel(_id(process), name, own=own))

    def map(
        self,
        funcname: str,
        *iterables: Iterable[Any],
        type: str,
        at_once: int = 100,
        failures: bool = False,
        **options: Unpack[Options],
    ) -> SyncResults:
        """As Client.map. The items are taken in the thread that asks for the results."""
        results = self._client.map(funcname, *iterables, type=type, at_once=at_once, failures=failures, **options)
        return SyncResults(self._thread, results)

    def workflow(self, id: str = "") -> SyncWorkflow:
        """As Client.workflow."""
        return SyncWorkflow(self._thread, self._client.workflow(id))

    def get_some(self, processids: Sequence[str]) -> list[ProcessRecord]:
        """As Client.get_some."""
        return self._thread.call(self._client.get_some, processids)

    def call(self, msgtype: str, /, **fields: Any) -> Any:
        """As Client.call."""
        return self._thread.call(self._client.call, msgtype, **fields)

    def call_batch(self, messages: Sequence[tuple[str, dict[str, Any]]]) -> list[Any]:
        """As Client.call_batch."""
        return self._thread.call(self._client.call_batch, messages)


class SyncProcess:
    """As Process."""

    def __init__(self, thread: Thread, process: Process) -> None:
        self._thread = thread
        self._process = process
        self.id = process.id

    def __repr__(self) -> str:
        return f"SyncProcess({self.id!r})"

    def get(self) -> ProcessRecord:
        """As Process.get."""
        return self._thread.call(self._process.get)

    def wait(self, timeout: float | None = None) -> ProcessRecord:
        """As Process.wait."""
        return self._thread.call(self._process.wait, timeout)

    def result(self, timeout: float | None = None) -> Any:
        """As Process.result."""
        return self._thread.call(self._process.result, timeout)

    def cancel(self) -> None:
        """As Process.cancel."""
        self._thread.call(self._process.cancel)

    def logs(self, *, follow: bool = True, since: int = 0) -> SyncLines:
        """As Process.logs."""
        return SyncLines(self._thread, self._process.logs(follow=follow, since=since))

    def channel(self, name: str, *, own: bool = False) -> SyncChannel:
        """As Process.channel."""
        return SyncChannel(self._thread, self._process.channel(name, own=own))


class SyncLines:
    """As Lines."""

    def __init__(self, thread: Thread, lines: Lines) -> None:
        self._thread = thread
        self._lines = lines

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Log:
        return _next(self._thread, self._lines.__anext__)


class SyncChannel:
    """As Channel."""

    def __init__(self, thread: Thread, channel: Channel) -> None:
        self._thread = thread
        self._channel = channel

    def append(self, data: str | bytes, *, type: str = "data", inreplyto: int = 0) -> int:
        """As Channel.append."""
        return self._thread.call(self._channel.append, data, type=type, inreplyto=inreplyto)

    def end(self) -> None:
        """As Channel.end."""
        self._thread.call(self._channel.end)

    def close(self) -> None:
        """As Channel.close."""

        async def close() -> None:
            self._channel.close()

        self._thread.call(close)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        return _next(self._thread, self._channel.__anext__)


class SyncResults:
    """As Results."""

    def __init__(self, thread: Thread, results: Results) -> None:
        self._thread = thread
        self._results = results

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if specs := self._results.draw():
            self._thread.call(self._results.add, specs)
        found, value = self._thread.call(self._results.take)
        if not found:
            raise StopIteration
        return value


class SyncWorkflow:
    """As Workflow."""

    def __init__(self, thread: Thread, workflow: Workflow) -> None:
        self._thread = thread
        self._workflow = workflow

    @property
    def id(self) -> str:
        """As Workflow.id."""
        return self._workflow.id

    def add(
        self,
        funcname: str,
        *args: object,
        type: str,
        name: str = "",
        after: Iterable[Node] = (),
        **options: Unpack[Options],
    ) -> Node:
        """As Workflow.add."""
        return self._workflow.add(funcname, *args, type=type, name=name, after=after, **options)

    def submit(self) -> str:
        """As Workflow.submit."""
        return self._thread.call(self._workflow.submit)

    def get(self) -> ProcessGraph:
        """As Workflow.get."""
        return self._thread.call(self._workflow.get)

    def wait(self, timeout: float | None = None) -> ProcessGraph:
        """As Workflow.wait."""
        return self._thread.call(self._workflow.wait, timeout)

    def results(self, timeout: float | None = None) -> dict[str, Any]:
        """As Workflow.results."""
        return self._thread.call(self._workflow.results, timeout)

    def processes(self) -> dict[str, ProcessRecord]:
        """As Workflow.processes."""
        return self._thread.call(self._workflow.processes)

    def cancel(self) -> None:
        """As Workflow.cancel."""
        self._thread.call(self._workflow.cancel)


def _id(process: SyncProcess | str) -> str:
    return process if isinstance(process, str) else process.id


def _next(thread: Thread, advance: Callable[[], Awaitable[_R]]) -> _R:
    """The next of an async iterator, for a plain one."""
    try:
        return thread.call(advance)
    except StopAsyncIteration:
        raise StopIteration from None
