"""A disk that fails when the test says so: an SQLite VFS between the store and the real files."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

_numbers = itertools.count()


@dataclass
class File:
    """What is safe of a file, and what was written since its last sync."""

    synced: bytearray
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        self.synced = apply(self.synced, self.pending)
        self.pending = []


def apply(content: bytearray, writes: list[tuple[int, bytes | None]]) -> bytearray:
    """The content after the writes; one without data sets the size."""
    content = bytearray(content)
    for offset, data in writes:
        if data is None:
            del content[offset:]
            continue
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data
    return content


class Disk:
    """Counts writes, syncs and truncations; from number `fails_at` on each of them raises `fault`.

    A torn disk still writes the first half of the write at which it fails.
    """

    def __init__(self) -> None:
        self.name = f"failing-{next(_numbers)}"
        self.steps = 0
        self.fails_at: int | None = None
        self.fault: type[apsw.Error] = apsw.IOError
        self.torn = False
        self.files: dict[str, File] = {}
        self._vfs = _Vfs(self)

    def break_after(self, steps: int, fault: type[apsw.Error] = apsw.IOError, torn: bool = False) -> None:
        """Work this many steps more, then fail."""
        self.fails_at, self.fault, self.torn = self.steps + steps, fault, torn

    def mend(self) -> None:
        """Work again."""
        self.fails_at = None

    def step(self) -> None:
        """Count one; raises the fault when its time has come."""
        if self.fails_at is not None and self.steps >= self.fails_at:
            raise self.fault("the disk fails")
        self.steps += 1

    @property
    def broken(self) -> bool:
        return self.fails_at is not None and self.steps >= self.fails_at

    def after_power_loss(self, folder: Path, luck: random.Random) -> None:
        """Write to `folder` what a power loss would leave now: what was synced, and any part of the rest."""
        folder.mkdir()
        for path, file in self.files.items():
            kept = [write for write in file.pending if luck.random() < 0.5]
            (folder / Path(path).name).write_bytes(apply(file.synced, kept))

    def unplug(self) -> None:
        """Let SQLite forget this disk."""
        self._vfs.unregister()


@contextmanager
def failing_disk() -> Iterator[Disk]:
    """A disk for one test."""
    disk = Disk()
    yield disk
    disk.unplug()


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        super().__init__(disk.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        return _File(self.disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.disk.step()
        super().xDelete(filename, syncdir)
        self.disk.files.pop(filename, None)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self.disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        existing = Path(path)
        self.file = disk.files.setdefault(path, File(bytearray(existing.read_bytes() if existing.exists() else b"")))

    def xWrite(self, data: bytes, offset: int) -> None:
        try:
            self.disk.step()
        except apsw.Error:
            if self.disk.torn and self.disk.steps == self.disk.fails_at:
                self.disk.torn = False
                self._write(bytes(data[: len(data) // 2]), offset)
            raise
        self._write(bytes(data), offset)

    def _write(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self.file.pending.append((offset, data))

    def xSync(self, flags: int) -> None:
        self.disk.step()
        super().xSync(flags)
        self.file.sync()

    def xTruncate(self, newsize: int) -> None:
        self.disk.step()
        super().xTruncate(newsize)
        self.file.pending.append((newsize, None))
