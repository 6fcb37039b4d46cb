"""What the executor knows about its link: how to call, and what a refusal means."""

from __future__ import annotations

from typing import Any, Protocol

from colonies_node.core.errors import Refused


class Caller(Protocol):
    """Whatever sends a message and gives the decoded answer, or raises Refused or LinkDown
    (`http.client.Client`).
    """

    async def call(self, msgtype: str, /, *, _timeout: float | None = None, **fields: Any) -> Any: ...


def is_membership(no: Refused) -> bool:
    """Whether the server does not know us as an approved member: it may change its mind later."""
    return no.status == 403 and not is_not_ours(no)


def is_not_ours(no: Refused) -> bool:
    """Whether a process is no longer ours to log to or close: the texts of core.md 4.5 and 4.7 tell."""
    if no.status == 403:
        return any(words in no.message for words in ("not assigned", "not allowed", "not running"))
    return is_gone(no) or (no.status == 400 and no.message.startswith("Tried to set"))


def is_gone(no: Refused) -> bool:
    """Whether the process does not exist any more."""
    return no.status == 404 or (no.status == 500 and "process is nil" in no.message)
