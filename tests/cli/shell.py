"""A user's shell inside a test: an environment, and commands with what they print."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from colonies_node.cli.main import main

PATIENCE_S = 30
"""Seconds that a program may take to say that it is ready, or to end, on a busy machine."""


@dataclass
class Shell:
    """Runs commands in this process, under an environment of its own."""

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, line: str, *more: str, code: int = 0) -> tuple[str, str]:
        """Run `colonies-node LINE MORE...`; what it wrote to standard output and error. It must end with `code`."""
        self.capsys.readouterr()
        with self.monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("COLONIES_")]:
                patch.delenv(name)
            for name, value in self.variables.items():
                patch.setenv(name, value)
            ended = main([*line.split(), *more])
        out, err = self.capsys.readouterr()
        assert ended == code, f"{line}: exit code {ended}\n{out}\n{err}"
        assert "Traceback" not in err
        return out, err

    def out(self, line: str, *more: str) -> str:
        """What a command that succeeds prints."""
        return self.run(line, *more)[0].strip()

    def record(self, line: str, *more: str) -> Any:
        """What a command that succeeds prints with --json."""
        words = line.split()
        flags = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
        return json.loads(self.run(" ".join((*words[:flags], "--json", *words[flags:])), *more)[0])

    def refused(self, line: str, *more: str, code: int = 1) -> str:
        """The one sentence that a command that fails says."""
        out, err = self.run(line, *more, code=code)
        assert out == ""
        last = err.strip().splitlines()[-1]
        assert last.startswith("Error: ")
        return last.removeprefix("Error: ")


@contextmanager
def program(*arguments: str, stderr: Path, environ: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A `colonies-node` of its own; ended in good order when the block is left."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COLONIES_")}
    command = [sys.executable, "-m", "colonies_node", *arguments]
    with (
        stderr.open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=kept | (environ or {})) as child,
    ):
        try:
            yield child
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                child.wait(PATIENCE_S)


def until_ready(child: subprocess.Popen[str]) -> tuple[list[str], str, str]:
    """Wait for the ready line: the lines before it, the server's port, and its id."""
    assert child.stdout is not None
    before = []
    for line in child.stdout:
        if found := re.fullmatch(r"ready: colonies-node \S+ on https?://\S+:(\d+), server id ([0-9a-f]{64})\n", line):
            return before, found[1], found[2]
        before.append(line.strip())
    raise AssertionError(f"it ended before it was ready, with exit code {child.wait()}: {before}")
