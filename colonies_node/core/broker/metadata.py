"""What blueprints and definitions have in common: names, times and bounds of their documents."""

from __future__ import annotations

from colonies_node.core import limits
from colonies_node.core.broker.members import check_name
from colonies_node.core.errors import BadRequest
from colonies_node.core.model.blueprint import Metadata
from colonies_node.core.model.times import NEVER, parse_time
from colonies_node.core.model.wire import Record, encode

LARGE = 64 << 10
"""Characters of a document above which looking at it is left to a thread: it would hold up others for 20 ms."""


def check_object(what: str, objectid: str, metadata: Metadata, document: Record) -> None:
    """Raise BadRequest for names, times or sizes that make no sense; times come into the form that clients read."""
    check_name(what, metadata.name)
    check_name("a location", metadata.locationname)
    if len(objectid) > limits.MAX_NAME:
        raise BadRequest(f"The id of {what} must have at most {limits.MAX_NAME} characters, got {len(objectid)}")
    for field in ("createdAt", "updatedAt", "lastReconciliationTime"):
        setattr(metadata, field, _time(field, getattr(metadata, field)))
    check_size(what, document)


def check_size(what: str, document: object) -> None:
    """Raise BadRequest for a document that is too large."""
    size = len(encode(document))
    if size > limits.MAX_BLUEPRINT:
        raise BadRequest(f"The document of {what} must have at most {limits.MAX_BLUEPRINT} characters, got {size}")


def is_large(message: Record) -> bool:
    """Whether a message carries a document that takes long to look at."""
    return len(encode(message)) > LARGE


def _time(field: str, text: str) -> str:
    """RFC 3339 as strict clients parse it."""
    if not text:
        return NEVER
    try:
        parse_time(text)
    except ValueError:
        raise BadRequest(f"metadata.{field} is not a time: {text[:80]}") from None
    return NEVER if text.startswith(("0000-", "0001-")) else text.upper()
