"""Who listens on websockets, and the frames on their way to them.

What a commit brought is encoded once, for all who watch it, and waits on each connection to be sent. What may wait is
bounded: who does not read loses the connection; the reader of a channel loses the stream, as in the reference.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from functools import cached_property
from typing import Any

import trio

from colonies_node.core.broker.flow import ENDED
from colonies_node.core.broker.table import TABLE
from colonies_node.core.errors import ColonyError
from colonies_node.core.events import EntryAppended, Event, MembersChanged, ProcessChanged, Topic, topics
from colonies_node.core.model.channel import Entry
from colonies_node.core.model.wire import encode
from colonies_node.core.store.processes import ProcessRow
from colonies_node.http import envelope, payload
from colonies_node.http.line import Line

log = logging.getLogger(__name__)


class Frame:
    """An answer on its way: an event as JSON, in the forms in which it is heard, each made once."""

    def __init__(self, msgtype: str, payload: bytes) -> None:
        self.msgtype = msgtype
        self.payload = payload

    @cached_property
    def body(self) -> bytes:
        """In an envelope of the JSON door."""
        return envelope.success(self.msgtype, self.payload)

    @cached_property
    def text(self) -> str:
        """The same as text."""
        return self.body.decode()

    @cached_property
    def compact(self) -> bytes:
        """As a reply of the CBOR door."""
        return payload.success(TABLE[self.msgtype], self.payload)


class Refusal(Frame):
    """A refusal on its way to a subscriber of the JSON door."""

    def __init__(self, refusal: ColonyError) -> None:
        super().__init__("error", b"")
        self.body = envelope.failure(refusal)


def of_entries(entries: list[Entry]) -> Frame:
    """Entries of a channel; without any, the end of the stream."""
    return Frame("subscribechannelmsg", encode(entries))


_NEVER = "0001-01-01T00:00:00Z"
_LAST = of_entries([Entry(timestamp=_NEVER, payload="", type="end")])
_NOTHING = of_entries([])
_TOO_SLOW = of_entries([Entry(timestamp=_NEVER, error="subscriber disconnected: buffer full")])


class Subscriber:
    """Who hears on a connection: what she watches, what waits to be sent, and whether it is over."""

    def __init__(self, line: Line[Any]) -> None:
        self.over = trio.Event()
        """Set when she is to hear no more."""
        self.topics: dict[Topic, bool] = {}
        """What is watched, and whether the answer goes out as bytes rather than text."""
        self.grants: set[tuple[str, str]] = set()
        """What that rests on: members and their colonies."""
        self.line = line

    def put(self, frame: Frame, binary: bool) -> bool:
        """Send this after what waits already; False if there is no room."""
        return self.line.put((frame, binary), len(frame.body))

    def put_last(self, frame: Frame, binary: bool) -> None:
        """Send this, also if there is no room."""
        self.line.put_last((frame, binary), len(frame.body))


class Stream:
    """The entries of one channel, for one listener, from now until it ends."""

    def __init__(self, subscriber: Subscriber, caller: str, name: str, binary: bool) -> None:
        self.caller = caller
        self.name = name
        self.colonyname = ""
        self.ended = trio.Event()
        self._subscriber = subscriber
        self._binary = binary

    def hear(self, frame: Frame) -> None:
        """Pass on what was said; who does not keep up is told so, and hears no more."""
        if not self.ended.is_set() and not self._subscriber.put(frame, self._binary):
            self._subscriber.put_last(_TOO_SLOW, self._binary)
            self.ended.set()

    def end(self) -> None:
        """The process has ended: say so, and that there is nothing more."""
        if not self.ended.is_set():
            self._subscriber.put_last(_LAST, self._binary)
            self.rest()

    def rest(self) -> None:
        """There is nothing more in the time that the listener gave."""
        if not self.ended.is_set():
            self._subscriber.put_last(_NOTHING, self._binary)
            self.ended.set()


class Subscribers:
    """Everybody who listens. `encoded` is a process as JSON; `is_member` tells whether (id, colony) still is one."""

    def __init__(self, encoded: Callable[[ProcessRow], bytes], is_member: Callable[[str, str], bool]) -> None:
        self._encoded = encoded
        self._is_member = is_member
        self._present: dict[Subscriber, None] = {}
        self._watching: defaultdict[Topic, dict[Subscriber, bool]] = defaultdict(dict)
        self._streams: defaultdict[str, dict[Stream, None]] = defaultdict(dict)

    def enter(self, subscriber: Subscriber) -> None:
        """Know the connection."""
        self._present[subscriber] = None

    def leave(self, subscriber: Subscriber) -> None:
        """Forget the connection with all that it watches."""
        del self._present[subscriber]
        for topic in subscriber.topics:
            _remove(self._watching, topic, subscriber)

    def watch(self, subscriber: Subscriber, topic: Topic, binary: bool) -> None:
        """Tell the subscriber from now on what comes of the topic."""
        subscriber.topics[topic] = self._watching[topic][subscriber] = binary

    def open(self, processid: str, stream: Stream) -> None:
        """Let the stream hear what is said on its channel from now on."""
        self._streams[processid][stream] = None

    def close(self, processid: str, stream: Stream) -> None:
        """Let it hear no more."""
        _remove(self._streams, processid, stream)

    def tell(self, event: Event) -> None:
        """Pass on what happened to those whom it concerns."""
        if isinstance(event, ProcessChanged):
            self._tell_state(event.process)
        elif isinstance(event, EntryAppended):
            self._tell_entry(event)
        elif isinstance(event, MembersChanged):
            self._ask_again(event.colonyname)

    def show(self, process: ProcessRow) -> Frame:
        """The news of a process."""
        return Frame("subscribeprocessmsg", self._encoded(process))

    def cut_all(self) -> None:
        """Drop every connection: the server goes. A farewell would read as success to clients that wait."""
        for subscriber in self._present:
            subscriber.over.set()

    def __len__(self) -> int:
        """How many connections there are."""
        return len({subscriber.line for subscriber in self._present})

    def _tell_state(self, process: ProcessRow) -> None:
        frame: Frame | None = None
        for topic in topics(process) if self._watching else ():
            for subscriber, binary in tuple(self._watching.get(topic, {}).items()):
                frame = frame or self.show(process)
                if not subscriber.put(frame, binary):
                    log.warning("a subscriber is cut off: it does not read what it asked for")
                    subscriber.over.set()
        for stream in tuple(self._streams.get(process.processid, ())):
            # Who no longer runs the process has no business on its channels.
            if process.state in ENDED or stream.caller not in (process.initiatorid, process.assignedexecutorid):
                stream.end()

    def _tell_entry(self, event: EntryAppended) -> None:
        frame: Frame | None = None
        for stream in tuple(self._streams.get(event.processid, ())):
            if stream.name == event.name:
                frame = frame or of_entries([event.entry])
                stream.hear(frame)

    def _ask_again(self, colonyname: str) -> None:
        for subscriber in self._present:
            if any(colony == colonyname and not self._is_member(who, colony) for who, colony in subscriber.grants):
                subscriber.over.set()
        for stream in [stream for line in self._streams.values() for stream in line]:
            if stream.colonyname == colonyname and not self._is_member(stream.caller, colonyname):
                stream.end()


def _remove(lines: defaultdict[Any, dict[Any, Any]], key: Any, member: Any) -> None:
    line = lines[key]
    line.pop(member, None)
    if not line:
        del lines[key]
