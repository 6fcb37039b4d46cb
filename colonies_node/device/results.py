"""Outcomes on disk: written and synchronised before the server hears of them, removed after it answered."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REFUSED_KEPT = 100
"""Refused results that stay for a person to look at; the oldest go first."""


@dataclass(frozen=True)
class Outcome:
    """What became of a process: its output, or the errors that it failed with. `ended` is Unix time in
    nanoseconds.
    """

    processid: str
    ended: int
    successful: bool
    out: list[Any] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def message(self) -> tuple[str, dict[str, Any]]:
        """The message type and its fields that close the process."""
        if self.successful:
            return "closesuccessfulmsg", {"processid": self.processid, "out": self.out}
        return "closefailedmsg", {"processid": self.processid, "errors": self.errors}


class Results:
    """The folder of outcomes that wait for the server, and the one of those that it did not want."""

    def __init__(self, data: Path) -> None:
        self.folder = data / "results"
        self.refused = data / "refused"
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("*.new"):
            path.unlink()  # half written when a former life ended; its process is still seen as unfinished

    def path(self, processid: str) -> Path:
        """Where the outcome of a process waits."""
        return self.folder / f"{processid}.json"

    def write(self, outcome: Outcome) -> None:
        """Put an outcome on disk. When this returns it survives a power cut."""
        write_durably(self.path(outcome.processid), json.dumps(asdict(outcome)).encode())

    def waiting(self) -> list[Outcome]:
        """All that wait, oldest first. A file that cannot be read is set aside with the refused ones."""
        return sorted(self._read(), key=lambda outcome: outcome.ended)

    def remove(self, processid: str) -> None:
        """Forget an outcome that the server has."""
        self.path(processid).unlink(missing_ok=True)

    def set_aside(self, outcome: Outcome, reason: str) -> Path:
        """Keep an outcome that the server refused for good, with its reason; where it is."""
        self.refused.mkdir(exist_ok=True)
        kept = self.refused / f"{outcome.processid}.json"
        write_durably(kept, json.dumps({**asdict(outcome), "refused": reason}).encode())
        self.remove(outcome.processid)
        for old in sorted(self.refused.iterdir(), key=lambda path: path.stat().st_mtime_ns)[:-REFUSED_KEPT]:
            old.unlink()
        return kept

    def _read(self) -> Iterator[Outcome]:
        for path in self.folder.glob("*.json"):
            try:
                yield Outcome(**json.loads(path.read_bytes()))
            except (ValueError, TypeError):
                self.refused.mkdir(exist_ok=True)
                path.replace(self.refused / path.name)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that after a power cut either the old or the whole new one is there."""
    fresh = path.with_name(path.name + ".new")
    with open(fresh, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
