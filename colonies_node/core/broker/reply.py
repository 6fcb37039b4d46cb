"""Lists that mean nothing unless they are whole: one that no reply can hold is refused, not cut."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from colonies_node.core import limits
from colonies_node.core.errors import BadRequest
from colonies_node.core.model.wire import Record, encode

R = TypeVar("R", bound=Record)


def whole(found: Iterable[R], phrase: str, advice: str) -> list[R]:
    """All of the records; BadRequest as soon as they are more than a reply may hold."""
    kept: list[R] = []
    size = 0
    for record in found:
        size += len(encode(record))
        if size > limits.MAX_REPLY:
            raise BadRequest(f"Failed to {phrase}, more than {limits.MAX_REPLY >> 20} MiB to tell: {advice}")
        kept.append(record)
    return kept
