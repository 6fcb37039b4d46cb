"""What carries letters to an upstream node: the CBOR door, one letter at a time, each tried once."""

from __future__ import annotations

import msgspec

from colonies_node.core.errors import LinkDown
from colonies_node.core.model.sync import Letter, SyncMessage
from colonies_node.http import replies
from colonies_node.http.client import Client


class CborPost:
    """Letters over a client of the CBOR door. The link itself tries again: it knows what is worth saying then."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def exchange(self, letter: SyncMessage, patience: float) -> Letter:
        """As link.Post has it."""
        answer = replies.result("syncmsg", await self._client.exchange(replies.item_of(letter), patience))
        try:
            return msgspec.convert(answer, Letter)
        except msgspec.ValidationError as fault:
            raise LinkDown(f"the answer of the upstream is no letter: {fault}") from None

    @property
    def traffic(self) -> tuple[int, int]:
        """As link.Post has it."""
        return self._client.sent, self._client.received
