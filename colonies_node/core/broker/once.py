"""Exactly once: a message that comes again gets the reply that it had, and has no second effect."""

from __future__ import annotations

from typing import Final

from colonies_node.core.errors import Conflict, WrongTime
from colonies_node.core.limits import MAX_EXPIRY_S
from colonies_node.core.model.times import SECOND, format_time
from colonies_node.core.store import remembered
from colonies_node.core.store.remembered import Once
from colonies_node.core.store.transaction import Transaction

_MS: Final = 1_000_000


def check_expiry(expiry: int, now: int) -> None:
    """Whether a message that is good until `expiry` may come at `now` (Unix nanoseconds). Raises WrongTime."""
    if expiry <= now:
        raise WrongTime(
            f"The message was good until {format_time(expiry)}, and the server has {format_time(now)} now", now // _MS
        )
    if expiry > now + MAX_EXPIRY_S * SECOND:
        raise WrongTime(
            f"The message is good for more than {MAX_EXPIRY_S // 86_400} days: the server has {format_time(now)} now",
            now // _MS,
        )


def recall(tx: Transaction, once: Once) -> bytes | None:
    """The reply to this message, if it was here; None if it is new.

    Raises Conflict when another message had its id, WrongTime when it may be one that is forgotten.
    """
    known, forgotten = remembered.find(tx, once)
    if known is None:
        if once.expiry <= forgotten:
            check_expiry(once.expiry, max(forgotten, tx.now))
        return None
    if known.digest != once.digest:
        raise Conflict("Another message with this id was here before: give each its own")
    if once.expiry > known.expiry:
        remembered.prolong(tx, once)
    return known.reply
