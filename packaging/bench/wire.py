"""The wire as a client speaks it: signed envelopes in HTTP/1.1 requests, ready to be sent as they are."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
from load import Address, BenchFailed, Connection, Conversation

from colonies_node.core.identity import Signer, new_private_key

COLONY = "bench"
POLL = 20  # seconds that an executor waits for work


class Envelope(msgspec.Struct):
    """The part of a reply that is read here."""

    payload: str


class Named(msgspec.Struct):
    """The part of a process that is read here."""

    processid: str


_envelopes = msgspec.json.Decoder(Envelope)
_names = msgspec.json.Decoder(Named)


@dataclass(frozen=True)
class Member:
    """Somebody with a key, who can make signed requests."""

    signer: Signer = field(default_factory=lambda: Signer(new_private_key(os.urandom(32))))

    @property
    def id(self) -> str:
        return self.signer.id

    def envelope(self, msgtype: str, **fields: object) -> bytes:
        """A signed message."""
        payload = b64encode(msgspec.json.encode({"msgtype": msgtype, **fields}))
        signature = self.signer.sign(payload)
        return b'{"signature":"%b","payloadtype":"%b","payload":"%b"}' % (
            signature.encode(),
            msgtype.encode(),
            payload,
        )

    def request(self, msgtype: str, **fields: object) -> bytes:
        """A whole signed HTTP request."""
        body = self.envelope(msgtype, **fields)
        return b"POST /api HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def process_in(reply: bytes) -> str:
    """The id of the process that a reply carries."""
    named = _names.decode(b64decode(_envelopes.decode(reply).payload))
    return named.processid


def payload_of(reply: bytes) -> object:
    """What a reply carries."""
    return msgspec.json.decode(b64decode(_envelopes.decode(reply).payload))


def processes_in(reply: bytes) -> int:
    """How many processes a reply lists."""
    return len(msgspec.json.decode(b64decode(_envelopes.decode(reply).payload), type=list[Named]))


@dataclass(frozen=True)
class Colony:
    """A colony on a node: one user who submits, and executors that all have one type."""

    user: Member
    executors: list[Member]

    def submits(self, count: int, executortype: str = "worker") -> list[bytes]:
        """Signed requests that each submit another process, of about the size that real programs send."""
        return [
            self.user.request(
                "submitfuncspecmsg",
                spec={
                    "nodename": "count",
                    "funcname": "count_words",
                    "args": [f"/data/corpus/part-{number:06}.txt"],
                    "kwargs": {"language": "en"},
                    "priority": 0,
                    "maxwaittime": -1,
                    "maxexectime": 600,
                    "maxretries": 3,
                    "conditions": {"colonyname": COLONY, "executortype": executortype},
                },
            )
            for number in range(count)
        ]

    def assign(self, executor: Member) -> bytes:
        """The request of an executor that waits for work."""
        return executor.request("assignprocessmsg", colonyname=COLONY, timeout=POLL)

    def close(self, executor: Member, processid: str) -> bytes:
        return executor.request("closesuccessfulmsg", processid=processid, out=[41_273])

    def list_waiting(self) -> bytes:
        """The request for the first 100 waiting processes."""
        return self.user.request("getprocessesmsg", colonyname=COLONY, state=0, count=100)

    def works(self, pairs: int) -> list[Conversation]:
        """Conversations in which every executor takes and closes processes until `pairs` are done in all."""
        tickets = iter(range(pairs))
        return [self._work(executor, tickets) for executor in self.executors]

    def _work(self, executor: Member, tickets: Iterator[int]) -> Conversation:
        assign = self.assign(executor)
        for _ in tickets:
            reply = yield assign
            yield self.close(executor, process_in(reply))


def found_colony(address: Address, server: Member, executors: int, owner: Member | None = None) -> Colony:
    """Make the colony, its user and its approved executors on a fresh node; `owner` is somebody if nobody is given.

    Raises BenchFailed when the node refuses one of the steps.
    """
    owner, colony = owner or Member(), Colony(Member(), [Member() for _ in range(executors)])
    connection = Connection(address)
    try:
        connection.ask(server.request("addcolonymsg", colony={"colonyid": owner.id, "name": COLONY}))
        user = {"colonyname": COLONY, "userid": colony.user.id, "name": "submitter"}
        connection.ask(owner.request("addusermsg", user=user))
        for number, executor in enumerate(colony.executors):
            name = f"worker-{number}"
            record = {"executorid": executor.id, "executorname": name, "colonyname": COLONY}
            connection.ask(owner.request("addexecutormsg", executor={**record, "executortype": "worker"}))
            connection.ask(owner.request("approveexecutormsg", colonyname=COLONY, executorname=name))
    except (OSError, BenchFailed) as problem:
        raise BenchFailed(f"The colony could not be made. {problem}") from None
    finally:
        connection.close()
    return colony
