"""`Client`: a colony from a program that runs under trio."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Literal, Self, Unpack

import trio

from colonies_node import config
from colonies_node.client import records
from colonies_node.client.channel import Channel
from colonies_node.client.errors import NotFinished
from colonies_node.client.logs import Lines, Pace
from colonies_node.client.process import Process
from colonies_node.client.records import ProcessRecord
from colonies_node.client.results import READ_AT_ONCE, Results
from colonies_node.client.spec import Options, fields, function_spec
from colonies_node.client.watch import Watch, tended, until
from colonies_node.client.workflow import Workflow
from colonies_node.core.errors import Refused, SettingRefused, TooLarge
from colonies_node.http.client import Client as Wire
from colonies_node.keyfiles import open_key
from colonies_node.settings import MEMBER, Settings

Door = Literal["auto", "json", "cbor"]


class Client:
    """A colony under one key: `async with Client() as colony`.

    What is not given comes from the environment and node.toml, as for the command line: `url` is `http://host:port` or
    `https://host:port`, `prvkey` a private key or the path of a key file, `tls_verify` False or the path of a CA file.
    The `door` is CBOR where the server has it, else JSON; over CBOR, what is submitted is submitted once, however often
    the link is lost meanwhile. With `node_id` no other node is talked to. `timeout` is how long to wait for an answer,
    in seconds. Raises SettingRefused and KeyRefused.

    Every method raises Refused when the server says no, and LinkDown when no answer comes. Who waits waits a lost link
    out, once there was an answer.
    """

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
        settings = _settings(url, colony, prvkey, tls_verify)
        self.colony: str = config.need(settings, "colony_name")
        self.wire = Wire(
            settings.server_url,
            config.need(settings, "prvkey"),
            door="cbor" if door == "cbor" or node_id else "json",
            node_id=node_id,
            timeout=timeout,
            tls_verify=settings.tls_verify,
        )
        self._undecided = door == "auto" and not node_id
        self._at_once = READ_AT_ONCE
        """Processes that fit one message, as far as is known."""
        self._stack = AsyncExitStack()
        self._tending: trio.Nursery | None = None
        self._watch: Watch | None = None

    async def __aenter__(self) -> Self:
        if self._watch is not None:
            raise RuntimeError("a Client is entered once")
        await self._stack.enter_async_context(self.wire)
        self._tending = await self._stack.enter_async_context(tended())
        self._watch = Watch(self.wire, self._tending)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tending = None
        await self._stack.__aexit__(kind, error, trace)

    # -- one process

    async def submit(self, funcname: str, *args: object, type: str, **options: Unpack[Options]) -> Process:
        """Submit a function to the executors of a type; the options are those of `spec.Options`."""
        spec = function_spec(self.colony, funcname, args, type, **options)
        answer = await self.call("submitfuncspecmsg", spec=fields(spec))
        return Process(self, str(answer["processid"]))

    async def run(
        self, funcname: str, *args: object, type: str, timeout: float | None = None, **options: Unpack[Options]
    ) -> Any:
        """Submit a function, and give its result: `submit` and `result`."""
        return await self.result(await self.submit(funcname, *args, type=type, **options), timeout)

    async def get(self, process: Process | str) -> ProcessRecord:
        """What the server knows of a process now."""
        return records.read(ProcessRecord, await self.call("getprocessmsg", processid=id_of(process)))

    async def wait(self, process: Process | str, timeout: float | None = None) -> ProcessRecord:
        """The record of a process once it has ended, however it did. Raises NotFinished after `timeout` seconds."""
        processid = id_of(process)

        async def look() -> ProcessRecord | None:
            record = await self.get(processid)
            return record if record.ended else None

        with trio.move_on_after(float("inf") if timeout is None else timeout):
            return await until(look, self.watch, processid, Pace())
        raise NotFinished(f"Process {processid} has not finished within {timeout:g} s; it goes on.")

    async def result(self, process: Process | str, timeout: float | None = None) -> Any:
        """What a process gave, once it has ended: None for no output, the output, or a list of several.

        Raises ProcessFailed with its errors, ProcessCancelled, and NotFinished after `timeout` seconds.
        """
        return records.result(await self.wait(process, timeout))

    async def cancel(self, process: Process | str) -> None:
        """Cancel a process that has not ended."""
        await self.call("cancelprocessmsg", processid=id_of(process))

    def logs(self, process: Process | str, *, follow: bool = True, since: int = 0) -> Lines:
        """What a process writes, entry by entry, later than `since` (nanoseconds); with `follow` until it has ended."""

        async def ended() -> bool:
            return (await self.get(process)).ended

        return Lines(self, ended, follow, since, colonyname=self.colony, processid=id_of(process))

    def channel(self, process: Process | str, name: str, *, own: bool = False) -> Channel:
        """A channel of a process that this key submitted or runs; with `own` also what was said under this key."""
        return Channel(self, id_of(process), name, own=own)

    # -- many

    def map(
        self,
        funcname: str,
        *iterables: Iterable[Any],
        type: str,
        at_once: int = 100,
        failures: bool = False,
        **options: Unpack[Options],
    ) -> Results:
        """The results of a function for each item, in order; with several iterables, an argument from each.

        Items are taken as they are needed: `at_once` processes are under way at the most. The first that does not
        succeed ends it with its error, and cancels those after it; with `failures`, its error stands in the place of
        its result.
        """
        items = zip(*iterables, strict=False)
        return Results(
            self, items, lambda args: function_spec(self.colony, funcname, args, type, **options), at_once, failures
        )

    def workflow(self, id: str = "") -> Workflow:
        """A new workflow, to add nodes to; with an `id`, one that was submitted."""
        return Workflow(self, id)

    # -- the wire

    async def get_some(self, processids: Sequence[str]) -> list[ProcessRecord]:
        """What the server knows of several processes now, in as few messages as hold it. Raises Refused for one that it
        does not know."""
        found: list[ProcessRecord] = []
        while asked := [("getprocessmsg", {"processid": one}) for one in processids[len(found) :][: self._at_once]]:
            try:
                answers = await self.call_batch(asked)
            except Refused as no:
                if no.status != TooLarge.status or len(asked) < 2:
                    raise
                self._at_once = len(asked) // 2
                continue
            for answer in answers:
                if isinstance(answer, Refused):
                    raise answer
                found.append(records.read(ProcessRecord, answer))
        return found

    async def call(self, msgtype: str, /, **fields: Any) -> Any:
        """Send any message of docs/messages.md, and give the decoded answer."""
        await self._choose_door()
        return await self.wire.call(msgtype, **fields)

    async def call_batch(self, messages: Sequence[tuple[str, dict[str, Any]]]) -> list[Any]:
        """Send several messages; the answers in their order, a Refused in place of each that was refused."""
        await self._choose_door()
        return await self.wire.call_batch(messages)

    @property
    def watch(self) -> Watch:
        """News of processes."""
        if self._watch is None:
            raise RuntimeError("a Client is used inside `async with`")
        return self._watch

    def tend(self, task: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Let something run as long as the client is open."""
        self._nursery().start_soon(task, *args)

    def _nursery(self) -> trio.Nursery:
        if self._tending is None:
            raise RuntimeError("a Client is used inside `async with`")
        return self._tending

    async def _choose_door(self) -> None:
        """Find out, once, which door the server has."""
        self._nursery()
        if self._undecided:
            self.wire.door = "cbor" if await self.wire.has_cbor() else "json"
            self._undecided = False


def id_of(process: Process | str) -> str:
    """The id of a process."""
    return process if isinstance(process, str) else process.id


def _settings(url: str | None, colony: str | None, prvkey: str | None, tls_verify: bool | str | None) -> Settings:
    flags: dict[str, object] = {"colony_name": colony, "prvkey": prvkey, "tls_verify": tls_verify}
    if url is not None:
        scheme, _, place = url.rstrip("/").partition("://")
        host, _, port = place.rpartition(":")
        if scheme not in ("http", "https") or not host or not port.isdigit():
            raise SettingRefused(f"A server's address must be http://host:port or https://host:port, not {url!r}.")
        flags |= {"server_host": host.strip("[]"), "server_port": port, "tls": scheme == "https"}
    return config.load(MEMBER, flags, os.environ, config.toml_file(None, os.environ), open_key=open_key)
