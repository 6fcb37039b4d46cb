"""Everything that can go wrong, in one tree.

    ColonyError
    ├── Rejected            the caller asked for something that may not be: answered on the wire, nothing changed
    │   ├── BadRequest      400  what was sent is not right
    │   ├── WrongTime       400  signed for another time than the server's
    │   ├── Denied          403  who sent it may not
    │   │   └── SignatureRefused   the signature says nothing about who sent it
    │   ├── NotFound        404  what it names is not here
    │   ├── TimedOut        408  waited as long as asked
    │   ├── Conflict        409  not as long as something else is there
    │   ├── TooLarge        413  over a bound of limits.py
    │   ├── Internal        500  our fault; the log has the cause
    │   └── Unavailable     503  not now; the same request may work later
    ├── StoreError          the data folder cannot be used, or not any more
    │   ├── StoreLocked     another process has it open
    │   ├── StoreTooNew     written by a newer version
    │   ├── StoreCorrupt    the file is damaged
    │   └── StoreFull       no room to write
    ├── Refused             a remote node answered no (its status and message)
    ├── LinkDown            a remote node did not answer
    ├── WrongServer         a remote node is not the one that it should be
    ├── KeyRefused          a private key, or its file, cannot be used
    └── SettingRefused      a flag, variable or line of node.toml cannot be used

`status` is what goes on the wire (HTTP status and failure status alike). The reference answers some "not found" cases
with 500; such a call site passes the status it needs. `code` is stable: programs may compare it, people read the
message.
"""

from __future__ import annotations


class ColonyError(Exception):
    """Base of all: `message` is one sentence for a person, `code` a stable word, `status` the status on the wire."""

    code = "error"
    status = 500

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        if status is not None:
            self.status = status


class Rejected(ColonyError):
    """A request that is refused; it changed nothing."""

    code = "rejected"
    status = 400


class BadRequest(Rejected):
    """What was sent is not right."""

    code = "bad_request"


class WrongTime(Rejected):
    """The message was signed for another time than the server has: `now` is that, Unix milliseconds."""

    code = "wrong_time"

    def __init__(self, message: str, now: int) -> None:
        super().__init__(message)
        self.now = now


class Denied(Rejected):
    """Who sent it may not do this."""

    code = "denied"
    status = 403


class SignatureRefused(Denied):
    """The signature is malformed: nobody can be recovered from it."""

    code = "signature_refused"


class NotFound(Rejected):
    """What the request names is not here."""

    code = "not_found"
    status = 404


class TimedOut(Rejected):
    """The time that the caller was willing to wait is over."""

    code = "timed_out"
    status = 408


class Conflict(Rejected):
    """Not as long as something else is there."""

    code = "conflict"
    status = 409


class TooLarge(Rejected):
    """Something is over a bound of limits.py."""

    code = "too_large"
    status = 413


class Internal(Rejected):
    """Our fault. The message tells nothing of the inside; the log does."""

    code = "internal"
    status = 500

    def __init__(self, message: str = "internal error, see the log of the server") -> None:
        super().__init__(message)


class Unavailable(Rejected):
    """Not now: the same request may work later."""

    code = "unavailable"
    status = 503


class StoreError(ColonyError):
    """The data folder cannot be used."""

    code = "store"


class StoreLocked(StoreError):
    """Another process has the store open."""

    code = "store_locked"


class StoreTooNew(StoreError):
    """A newer version of colonies-node wrote the store."""

    code = "store_too_new"


class StoreCorrupt(StoreError):
    """The store's file is damaged, or is no store of ours."""

    code = "store_corrupt"


class StoreFull(StoreError):
    """The disk has no room, or the file system refuses to write."""

    code = "store_full"
    status = 503


class Refused(ColonyError):
    """A remote node answered no: `status` and `message` are its own, `reason` its code where it gave one."""

    code = "refused"

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(message, status)
        self.reason = reason


class LinkDown(ColonyError):
    """No answer came from a remote node: not connected, cut off, too late, or not in our protocol."""

    code = "link_down"
    status = 503


class WrongServer(ColonyError):
    """A remote node has another key than the one that was expected of it."""

    code = "wrong_server"
    status = 403


class KeyRefused(ColonyError):
    """A private key or key file cannot be used."""

    code = "key_refused"
    status = 400


class SettingRefused(ColonyError):
    """A flag, variable or line of node.toml cannot be used."""

    code = "setting_refused"
    status = 400
