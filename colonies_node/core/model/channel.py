"""What the two parties of a process say to each other on its channels."""

from __future__ import annotations

from colonies_node.core.model.wire import Int, Record, always, null

Octets = str | list[Int] | None
"""Bytes as clients send them: in base64, or as a list of numbers."""


class Entry(Record):
    """An entry of a channel. `sequence` is its sender's own number; `payload` is base64, or null as it was sent.

    `error` is for a reader that could not keep up, in its last entry.
    """

    sequence: Int = always(int)
    inreplyto: Int = 0
    timestamp: str = always(str)
    senderid: str = always(str)
    payload: str | None = null()
    type: str = ""
    error: str = ""
