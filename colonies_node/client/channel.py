"""A channel of a process: what its submitter and its executor say to each other until it ends."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import trio

from colonies_node.core.errors import ColonyError, LinkDown, Refused
from colonies_node.core.model.channel import Entry
from colonies_node.core.model.wire import Malformed, decode
from colonies_node.http.backoff import Backoff
from colonies_node.http.listening import Listening

if TYPE_CHECKING:
    from colonies_node.client.client import Client

STREAM_S: Final = 60
"""Seconds for which the server is asked to tell at a time. The reference says nothing when the process ends: then it
shows when this is over."""

PATIENCE_S: Final = 5
"""Seconds beyond that, after which the server is asked again."""

AHEAD: Final = 64
"""Messages that wait to be read here; more wait at the server."""

END: Final = "end"
"""The type of a message with which a party says that it has no more to say."""


@dataclass(frozen=True)
class Message:
    """What was said on a channel: `sequence` is its sender's own number, `timestamp` the server's (RFC 3339)."""

    data: bytes
    type: str
    sender: str
    sequence: int
    inreplyto: int
    timestamp: str

    @property
    def text(self) -> str:
        """The data as text; what is no UTF-8 is replaced."""
        return self.data.decode(errors="replace")


class Channel:
    """One channel. Iterating gives what the other party says, from the beginning of the channel until that party says
    that it was all, or the process ends; with `own` also what was said under the client's own key.

    A lost link is waited out. Iterate in one place: who iterates again goes on where the last one stopped.
    """

    def __init__(self, client: Client, processid: str, name: str, *, own: bool = False) -> None:
        self._client = client
        self._processid = processid
        self._name = name
        self._own = own
        self._said = 0
        self._scope = trio.CancelScope()
        self._heard: trio.MemoryReceiveChannel[Message] | None = None
        self._fault: ColonyError | None = None

    async def append(self, data: str | bytes, *, type: str = "data", inreplyto: int = 0) -> int:
        """Say something; its number. Raises Refused, with status 404 once the process has ended."""
        self._said = max(self._said + 1, time.time_ns() // 1000)
        await self._client.call(
            "channelappendmsg",
            processid=self._processid,
            name=self._name,
            sequence=self._said,
            inreplyto=inreplyto,
            payload=base64.b64encode(data.encode() if isinstance(data, str) else data).decode(),
            payloadtype=type,
        )
        return self._said

    async def end(self) -> None:
        """Say that there is nothing more to come from here."""
        await self.append(b"", type=END)

    def close(self) -> None:
        """Stop listening."""
        self._scope.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if self._heard is None:
            send, self._heard = trio.open_memory_channel[Message](AHEAD)
            self._client.tend(self._listen, send)
        try:
            return await self._heard.receive()
        except trio.EndOfChannel:
            if self._fault is not None:
                raise self._fault from None
            raise StopAsyncIteration from None

    async def _listen(self, send: trio.MemorySendChannel[Message]) -> None:
        """Pass on what is said, over as many connections as that takes."""
        hearing = _Hearing(self._client, self._processid, self._name, self._own, send)
        backoff = Backoff(first=0.2, cap=10)
        with self._scope, send:
            while not hearing.over:
                try:
                    async with self._client.wire.listening() as listening:
                        backoff.reset()
                        await hearing.run(listening)
                except LinkDown:
                    await trio.sleep(backoff.pause())
        self._fault = hearing.fault


class _Hearing:
    """Where the listener of a channel stands."""

    def __init__(
        self, client: Client, processid: str, name: str, own: bool, send: trio.MemorySendChannel[Message]
    ) -> None:
        self.over = False
        self.fault: ColonyError | None = None
        self._client = client
        self._processid = processid
        self._name = name
        self._own = own
        self._send = send
        self._heard = 0
        """Entries so far: who asks again goes on behind them."""

    async def run(self, listening: Listening) -> None:
        """Hear all there is on one connection. Raises LinkDown."""
        while not self.over:
            await listening.subscribe(
                "subscribechannelmsg",
                processid=self._processid,
                name=self._name,
                afterseq=self._heard,
                timeout=STREAM_S,
            )
            try:
                with trio.move_on_after(STREAM_S + PATIENCE_S):
                    while await self._take(await listening.next()):
                        pass
            except Refused as no:
                await self._refused(no)

    async def _take(self, payload: bytes) -> bool:
        """Pass on entries; whether there are more to come of this subscription."""
        try:
            entries = decode(list[Entry], payload)
        except Malformed as fault:
            raise LinkDown(f"the event is not in our protocol: {fault}") from None
        for entry in entries:
            if not entry.senderid:  # the server itself: the process has ended, or we did not keep up
                self.over = not entry.error
                return False
            self._heard += 1
            own = entry.senderid == self._client.wire.speaker.id
            if entry.type == END and not own:
                self.over = True
                return False
            if self._own or not own:
                await self._send.send(_message(entry))
        return bool(entries)

    async def _refused(self, no: Refused) -> None:
        """There is no such channel: of a process that has ended that is its end, else it is an error."""
        self.over = True
        try:
            if no.status != 404 or not (await self._client.get(self._processid)).ended:
                self.fault = no
        except LinkDown:
            self.over = False
            raise
        except ColonyError as fault:
            self.fault = fault


def _message(entry: Entry) -> Message:
    return Message(
        data=base64.b64decode(entry.payload or ""),
        type=entry.type,
        sender=entry.senderid,
        sequence=entry.sequence,
        inreplyto=entry.inreplyto,
        timestamp=entry.timestamp,
    )


__all__ = ["Channel", "Message"]
