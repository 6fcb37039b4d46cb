"""The folders of processes: each has its own, with the files it works on, its waiting log and its errands.

    <data>/work/<processid>/files/         where the program runs
                            log/           messages that wait for the link
                            process.json   the process as it was assigned, where its work outlives the executor
    <data>/kept/<processid>/               the same after delivery, with --keep-work

The folder of a process is made before anything of it is started. So a process that is ours and has no folder
has never run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colonies_node.device.results import write_durably


def is_process_id(text: object) -> bool:
    """Whether the text has the form of a process id, and so may become the name of a folder."""
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{64}", text) is not None


@dataclass(frozen=True)
class Desks:
    """All folders below the data folder."""

    data: Path
    keep: bool = False

    def folder(self, processid: str) -> Path:
        """The folder of a process."""
        return self.data / "work" / processid

    def files(self, processid: str) -> Path:
        """Where its program runs."""
        return self.folder(processid) / "files"

    def log(self, processid: str) -> Path:
        """Where its log waits."""
        return self.folder(processid) / "log"

    def set_up(self, processid: str) -> None:
        """Make the folder; FileExistsError if the process has been here before."""
        folder = self.folder(processid)
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        self.files(processid).mkdir()

    def begin_life(self) -> bool:
        """Note that an executor works here. Whether the machine went down under an earlier one: then folders may be
        missing that were there, since it is not waited for the disk when they are made.
        """
        note, boot = self.data / "life", _boot()
        before = note.read_text() if note.exists() else boot
        write_durably(note, boot.encode())
        return before != boot

    def end_life(self) -> None:
        """Note that it has ended well."""
        (self.data / "life").unlink(missing_ok=True)

    def keep_process(self, process: Mapping[str, Any]) -> None:
        """Write down a process whose work outlives the executor, so that its next life can go on with it."""
        write_durably(self.folder(process["processid"]) / "process.json", json.dumps(process).encode())

    def kept_process(self, processid: str) -> dict[str, Any] | None:
        """The process as it was written down; None if it was not."""
        try:
            process = json.loads((self.folder(processid) / "process.json").read_bytes())
        except (OSError, ValueError):
            return None
        return process if isinstance(process, dict) and process.get("processid") == processid else None

    def age(self, processid: str) -> float:
        """Seconds since the process was written down; 0 if it was not."""
        try:
            return max(time.time() - (self.folder(processid) / "process.json").stat().st_mtime, 0)
        except OSError:
            return 0

    def clear(self, processid: str) -> None:
        """Put the folder away: removed, or kept if that was asked for."""
        folder = self.folder(processid)
        if self.keep and folder.exists():
            kept = self.data / "kept" / processid
            with contextlib.suppress(OSError):
                kept.parent.mkdir(exist_ok=True)
                _remove(kept)
                folder.replace(kept)
        _remove(folder)

    def occupied(self) -> Iterator[str]:
        """The ids of all processes that have a folder."""
        work = self.data / "work"
        if work.is_dir():
            yield from sorted(path.name for path in work.iterdir() if is_process_id(path.name))


def _boot() -> str:
    """What is different after each start of the machine; nothing where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _remove(folder: Path) -> None:
    """Remove a folder, also with parts that its program has closed to us; what stays nevertheless gets another name,
    for the name of a process stands for one that is under way.
    """
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        return
    for place, _, _ in os.walk(folder):  # top down: each is opened before it is entered
        for entry in os.scandir(place):
            if entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    os.chmod(entry.path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        with contextlib.suppress(OSError):
            folder.replace(folder.with_name(f".left-{folder.name}-{time.time_ns()}"))
