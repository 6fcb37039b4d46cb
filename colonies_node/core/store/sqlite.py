"""The SQLite file: opening it safely, its two connections, group commit and the folding of its log."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import apsw

from colonies_node.core import limits
from colonies_node.core.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreTooNew,
)
from colonies_node.core.pressure import Sizes
from colonies_node.core.store.schema import APPLICATION_ID, MIGRATIONS
from colonies_node.core.store.transaction import Change, Outcome, Transaction, attempt

Durability = Literal["full", "normal"]
T = TypeVar("T")

_BUSY_MS = 5000
"""How long to wait for a lock that another connection of this process holds for a moment."""

log = logging.getLogger(__name__)


class Store:
    """An open store. Not for more than one thread, except `fold` and what `reader` gives."""

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], int],
        durability: Durability = "full",
        vfs: str | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Open or make the store in `folder`; `clock` gives Unix nanoseconds, `vfs` names the way to the disk,
        `entropy` gives so many random bytes.

        Raises StoreLocked, StoreTooNew, StoreCorrupt or StoreError with a sentence; the file is untouched then.
        """
        self._clock = clock
        self._entropy = entropy
        self._durability = durability
        self._vfs = vfs
        self.alarm = 0
        self.path = folder / "colonies.db"
        self._lock = _lock(folder)
        try:
            self._writer = _open(self.path, durability, vfs)
            self._last_stamp = _newest_stamp(self._writer)
            self._reader = self.reader()
        except BaseException as fault:
            os.close(self._lock)
            if isinstance(fault, apsw.Error):
                raise _opening_fault(self.path, fault) from None
            raise
        self.log_pages = 0
        self.written_pages = 0
        """Pages that were written since the start, as far as the log's length tells."""
        self._writer.set_wal_hook(self._note_log)

    def close(self) -> None:
        """Fold the log into the file and let go of it."""
        last = (self._reader.close, lambda: self._writer.execute("pragma optimize").fetchall(), self._writer.close)
        try:
            for step in last:
                try:
                    step()
                except apsw.Error as fault:
                    log.error("the store is closed without tidying up: %s", fault)
        finally:
            os.close(self._lock)

    def size(self, tx: Transaction) -> Sizes:
        """How large the store is, and how much room there is for it; of the disk, what an ordinary user may fill."""
        log = self.path.with_name(f"{self.path.name}-wal")
        disk = os.statvfs(self.path)
        pages = tx.one("select freelist_count * page_size from pragma_freelist_count, pragma_page_size")
        return Sizes(
            file=self.path.stat().st_size,
            log=log.stat().st_size if log.exists() else 0,
            free=disk.f_bavail * disk.f_frsize,
            spare=pages[0] if pages else 0,
        )

    def reader(self) -> apsw.Connection:
        """One more connection, which sees what is committed and cannot write."""
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY, vfs=self._vfs)
        _tune(connection)
        return connection

    def read(self, look: Callable[[Transaction], T], connection: apsw.Connection | None = None) -> T:
        """What `look` finds in one consistent view of what is committed."""
        connection = connection or self._reader
        connection.execute("begin")
        try:
            return look(Transaction(connection, self._clock(), self._entropy, 0))
        except apsw.Error as fault:
            raise translate(fault) from fault
        finally:
            if connection.in_transaction:  # some faults have ended it already
                connection.execute("rollback")

    def write(self, change: Callable[[Transaction], T]) -> T:
        """One change in a commit of its own; for start-up and tests, callers of a running node share commits."""
        (outcome,) = self.commit([change])
        if outcome.error is not None:
            raise outcome.error
        value: T = outcome.value
        return value

    def commit(self, changes: Sequence[Change]) -> list[Outcome]:
        """Make the changes in order, each in a savepoint of its own, and put them on disk together.

        An outcome has an error when that change refused or failed (it left nothing then), or when the commit itself
        failed (then none of them is there, and each has the error).
        """
        outcomes: list[Outcome] = []
        self.alarm = alarm = 0
        try:
            self._writer.execute("begin immediate")
            now = self._clock()
            for change in changes:
                tx = Transaction(self._writer, now, self._entropy, self._last_stamp)
                outcome = attempt(tx, change)
                outcomes.append(outcome)
                if outcome.error is None:
                    self._last_stamp = tx.last_stamp
                    if tx.alarm and (not alarm or tx.alarm < alarm):
                        alarm = tx.alarm
            self._writer.execute("commit")
        except apsw.Error as fault:
            self._abandon()
            error = translate(fault)
            log.error("a commit failed: %s", fault)
            return [Outcome(error=error) for _ in changes]
        except BaseException:
            self._abandon()
            raise
        self.alarm = alarm
        return outcomes

    def _abandon(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("rollback")

    def _note_log(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        # A log that is shorter than before has begun anew.
        self.written_pages += pages - self.log_pages if pages > self.log_pages else pages
        self.log_pages = pages
        return apsw.SQLITE_OK

    def fold(self) -> None:
        """Move the write-ahead log into the file, as far as readers allow; one long call, made for a worker thread."""
        connection = apsw.Connection(str(self.path), vfs=self._vfs)
        try:
            _tune(connection)
            connection.execute(f"pragma synchronous={self._durability}")
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            log.debug("the log is in use, it will be folded later")
        except apsw.Error as fault:
            log.error("the log could not be folded into the file, it will be tried again: %s", fault)
        finally:
            connection.close()

    def fold_now(self) -> bool:
        """Fold all of the log and start it anew; whether it could. Waits for nobody: call it between transactions."""
        self._writer.set_busy_timeout(0)
        try:
            self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self.log_pages = 0
            return True
        except apsw.BusyError:
            log.debug("the log is in use, it will be folded later")
        except apsw.Error as fault:
            log.error("the log could not be folded into the file, it will be tried again: %s", fault)
        finally:
            self._writer.set_busy_timeout(_BUSY_MS)
        return False


def translate(fault: apsw.Error) -> StoreError:
    """SQLite's trouble as a sentence for whoever runs the node."""
    if isinstance(fault, apsw.FullError):
        return StoreFull("the disk is full: nothing was stored; free some space and send the request again")
    if isinstance(fault, apsw.CorruptError | apsw.NotADBError):
        return StoreCorrupt(f"the store's file is damaged ({fault}): stop the node and restore it from a backup")
    if isinstance(fault, apsw.IOError | apsw.ReadOnlyError | apsw.CantOpenError):
        return StoreFull(f"the disk refuses to be written ({fault}): what was sent may not be stored")
    return StoreError(f"the store failed: {fault}")


def _lock(folder: Path) -> int:
    """Hold the folder for this process; the lock goes with the process, however it ends. Raises StoreLocked,
    StoreError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise StoreError(f"the data folder {folder} cannot be used: {fault.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(handle, 32, 0).decode(errors="replace").strip()
        os.close(handle)
        raise StoreLocked(
            f"the data folder {folder} is in use by another colonies-node" + (f" (process {owner})" if owner else "")
        ) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _open(path: Path, durability: Durability, vfs: str | None) -> apsw.Connection:
    try:
        if path.exists() and path.stat().st_size:
            _inspect(path)
        else:
            # SQLite gives the log the mode of the file: what people submit is for the node's own user only.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = apsw.Connection(str(path), vfs=vfs)
        try:
            _tune(connection)
            connection.execute("pragma journal_mode=wal").fetchall()
            connection.execute(f"pragma synchronous={durability}")
            connection.execute("pragma wal_autocheckpoint=0").fetchall()
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
    except apsw.Error as fault:
        raise _opening_fault(path, fault) from None
    except OSError as fault:
        raise StoreError(f"{path} cannot be made: {fault.strerror}") from None
    return connection


def _inspect(path: Path) -> None:
    """Look before touching: is this file ours, whole enough to read, and not from a newer version?"""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    # A log that another version left beside the file is that version's to fold.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    try:
        application = connection.pragma("application_id")
        version = connection.pragma("user_version")
        tables = connection.execute("select count(*) from sqlite_schema").get
        if tables and application != APPLICATION_ID:
            raise StoreCorrupt(f"{path} is a database of another program: choose another data folder")
        if version > len(MIGRATIONS):
            raise StoreTooNew(
                f"{path} was written by a newer colonies-node (schema {version}, this one knows {len(MIGRATIONS)}):"
                " start the newer version, or choose another data folder"
            )
    finally:
        connection.close()


def _opening_fault(path: Path, fault: apsw.Error) -> StoreError:
    if isinstance(fault, apsw.CorruptError | apsw.NotADBError):
        return StoreCorrupt(
            f"{path} is damaged or not a database ({fault}): nothing was changed; move it away or restore a backup"
        )
    if isinstance(fault, apsw.FullError):
        return StoreFull(f"there is no room to open {path}: free some space and start again")
    return StoreError(f"{path} cannot be opened: {fault}")


def _tune(connection: apsw.Connection) -> None:
    # A plan follows from the statement, never from the values bound to it: SQLite would look at those each time anew,
    # and prepare the statement again, which takes longer than most of ours run.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.set_busy_timeout(_BUSY_MS)
    connection.execute(f"pragma cache_size=-{limits.CACHE_KIB}")
    connection.execute("pragma foreign_keys=off")
    connection.execute("pragma trusted_schema=off")
    connection.execute("pragma case_sensitive_like=on")  # as in PostgreSQL


def _migrate(connection: apsw.Connection) -> None:
    version = connection.pragma("user_version")
    if version == len(MIGRATIONS):
        return
    connection.execute("begin immediate")
    try:
        for number in range(version, len(MIGRATIONS)):
            connection.execute(MIGRATIONS[number]).fetchall()
        connection.execute(f"pragma application_id={APPLICATION_ID}").fetchall()
        connection.execute(f"pragma user_version={len(MIGRATIONS)}").fetchall()
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _newest_stamp(connection: apsw.Connection) -> int:
    """The last instant that Transaction.stamp gave before the store was closed, 0 in a new store."""
    newest = (
        "select max(at) from (select * from (select {1} as at from {0} order by seq desc limit 1) union all select 0)"
    )
    return max(
        int(connection.execute(newest.format(table, column)).get or 0)
        for table, column in (("processes", "submissiontime"), ("logs", "timestamp"))
    )
