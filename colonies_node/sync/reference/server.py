"""The plain messages of a reference server, one method for each errand, and what its refusals mean (core.md, 4)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

import msgspec

from colonies_node.core import limits
from colonies_node.core.errors import LinkDown, Refused
from colonies_node.core.identity import Signer
from colonies_node.core.model.executor import Executor
from colonies_node.core.model.process import Attribute, FunctionSpec, Log
from colonies_node.core.model.times import NEVER, parse_time
from colonies_node.core.model.wire import Int, Malformed, Record, always, decode
from colonies_node.core.states import ProcessState
from colonies_node.http.envelope import write_request

T = TypeVar("T")

PATIENCE_S: Final = 30.0
"""Seconds until a message without an answer is lost."""

HELD_S: Final = 10 * 366 * 86_400
"""How long ago a process that still runs may have been submitted: its list asks for a time."""

NO_ROOM_FOR_ANY: Final = "-1m"
"""Free processor less than any process asks for: the executor is heard, and gets nothing."""


class Door(Protocol):
    """What posts a signed envelope (http/client.py). Raises Refused or LinkDown."""

    async def post(self, body: bytes, timeout: float | None = None) -> tuple[str, bytes]: ...


class There(Record):
    """A process as the server shows it: times are RFC 3339, lists may be null."""

    processid: str = always(str)
    initiatorid: str = always(str)
    initiatorname: str = always(str)
    assignedexecutorid: str = always(str)
    isassigned: bool = always(bool)
    state: Int = always(int)
    prioritytime: Int = always(int)
    submissiontime: str = always(str)
    starttime: str = always(str)
    endtime: str = always(str)
    waitdeadline: str = always(str)
    execdeadline: str = always(str)
    retries: Int = always(int)
    attributes: list[Attribute] | None = always(list)
    spec: FunctionSpec = always(FunctionSpec)
    waitforparents: bool = always(bool)
    parents: list[str] | None = always(list)
    children: list[str] | None = always(list)
    processgraphid: str = always(str)
    input: list[object] | None = msgspec.field(name="in", default_factory=lambda: None)
    out: list[object] | None = always(list)
    errors: list[str] | None = always(list)


class Lost(Refused):
    """The process is at its end, or somebody else's."""


class Gone(Lost):
    """There is no such process, or nothing to give."""


class Unfit(Refused):
    """What was said is not to the server's liking, and will not be when it is said again."""


class Paused(LinkDown):
    """The colony gives out no work at the moment."""


class Server:
    """The colony `colony` of the server behind a door.

    Every call raises Lost, Gone, Unfit or another Refused for a no, LinkDown where no answer came or none of use.
    """

    def __init__(self, door: Door, colony: str) -> None:
        self.colony = colony
        self.sent = 0
        self.received = 0
        self._door = door

    async def tell(self, signer: Signer, msgtype: str, /, _patience: float = PATIENCE_S, **fields: Any) -> bytes:
        """The payload of the answer to a message."""
        body = write_request(msgtype, msgspec.json.encode({"msgtype": msgtype, **fields}), signer)
        self.sent += len(body)
        try:
            _, answer = await self._door.post(body, _patience)
        except Refused as no:
            raise _understood(no) from None
        self.received += len(answer)
        return answer

    async def executors(self, signer: Signer) -> list[Executor]:
        """All executors of the colony, whatever their state."""
        return _list(Executor, await self.tell(signer, "getexecutorsmsg", colonyname=self.colony))

    # -- what a submitter asks ----------------------------------------------------------------------------------------

    async def submit(self, signer: Signer, spec: FunctionSpec) -> There:
        """A new process."""
        return _one(There, await self.tell(signer, "submitfuncspecmsg", spec=spec))

    async def labelled(self, signer: Signer, label: str) -> There | None:
        """The first process that this key submitted with a label, whatever has become of it."""
        # In the order of its life: it cannot slip from a state not looked at yet into one that was, but by going back
        # to the queue in this moment.
        for state in ProcessState:
            wanted: dict[str, Any] = {"count": limits.MAX_LIST, "state": int(state), "label": label}
            answer = await self.tell(
                signer, "getprocessesmsg", colonyname=self.colony, executortype="", initiator="", **wanted
            )
            found = [one for one in _list(There, answer) if one.initiatorid == signer.id and one.spec.label == label]
            if found:
                return min(found, key=lambda one: instant(one.submissiontime))
        return None

    async def look(self, signer: Signer, processid: str) -> There | None:
        """A process as it is; None if there is none."""
        try:
            return _one(There, await self.tell(signer, "getprocessmsg", processid=processid))
        except Gone:
            return None

    async def lines(self, signer: Signer, processid: str, since: int) -> list[Log]:
        """The next entries of its log, oldest first, after an instant there (Unix nanoseconds)."""
        wanted: dict[str, Any] = {"processid": processid, "executorname": "", "count": limits.MAX_LOGS, "since": since}
        try:
            return _list(Log, await self.tell(signer, "getlogsmsg", colonyname=self.colony, latest=False, **wanted))
        except Gone:
            return []

    # -- what an executor asks ----------------------------------------------------------------------------------------

    async def assign(self, signer: Signer, timeout: int = 0, availablecpu: str = "") -> There | None:
        """Work for an executor, waiting up to `timeout` seconds; None if there is none."""
        wanted: dict[str, Any] = {
            "timeout": timeout if timeout > 0 else -1,
            "availablecpu": availablecpu,
            "availablemem": "",
        }
        try:
            answer = await self.tell(
                signer, "assignprocessmsg", PATIENCE_S + max(timeout, 0), colonyname=self.colony, **wanted
            )
        except (Gone, Paused):
            return None
        return _one(There, answer)

    async def sit(self, signer: Signer) -> None:
        """Let an executor be heard without taking anything: only asking for work counts as a sign of life."""
        with suppress(Unfit):  # a node knows no such amount, and has heard us all the same
            await self.assign(signer, availablecpu=NO_ROOM_FOR_ANY)

    async def held(self, signer: Signer) -> list[There]:
        """What runs in the name of an executor."""
        wanted: dict[str, Any] = {"executorid": signer.id, "seconds": HELD_S, "state": int(ProcessState.RUNNING)}
        answer = await self.tell(signer, "getprocesshistmsg", colonyname=self.colony, **wanted)
        return [one for one in _list(There, answer) if one.assignedexecutorid == signer.id]


def instant(text: str) -> int:
    """Unix nanoseconds of a time of the server; 0 for never, and for what is no time."""
    try:
        return parse_time(text or NEVER)
    except ValueError:
        return 0


def is_membership(no: Refused) -> bool:
    """Whether the server does not know us as an approved member."""
    return no.status == 403 and "Access denied" in no.message


def _understood(no: Refused) -> Refused | LinkDown:
    """What a refusal means: its status alone does not tell (core.md, 4.5 and 4.7)."""
    if no.status == 404 or (no.status == 500 and any(words in no.message for words in _NO_PROCESS)):
        return Gone(no.status, no.message)
    if no.status == 403 and any(words in no.message for words in _NOT_OURS):
        return Lost(no.status, no.message)
    if no.status == 400 and no.message.startswith("Tried to "):
        return Lost(no.status, no.message)
    if no.status in (400, 413):
        return Unfit(no.status, no.message)
    if no.status in (408, 503):
        return Paused(no.message)
    if no.status >= 500:
        return LinkDown(f"the upstream is in trouble: {no.message}")
    return no


_NO_PROCESS: Final = ("process is nil", "process does not exist")
_NOT_OURS: Final = ("not assigned", "not allowed", "not running", "only executor with id")


def _one(kind: type[T], answer: bytes) -> T:
    try:
        return decode(kind, answer)
    except Malformed as fault:
        raise LinkDown(f"the answer of the upstream is not as the protocol says: {fault}") from None


def _list(kind: type[T], answer: bytes) -> list[T]:
    return [] if answer.strip() in (b"null", b"") else _one(list[kind], answer)  # type: ignore[valid-type]
