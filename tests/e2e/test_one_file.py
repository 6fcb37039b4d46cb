"""The journey through the one file as a user copies it: a bare Python, another folder, a home that nobody can write."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BARE_PYTHON = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
"""The Python that the environment was made from: it has none of our libraries."""

PATIENCE_S = 60


class Machine:
    """Runs the file in a folder of its own, with a home that nobody can write to."""

    def __init__(self, pyz: Path, folder: Path) -> None:
        self.command = [BARE_PYTHON, "-I", str(pyz)]
        self.folder = folder
        self.env = {"PATH": os.defpath, "HOME": "/proc", "TMPDIR": str(folder), "LANG": "C.UTF-8"}

    def run(self, *arguments: str, code: int = 0) -> str:
        """What a command prints; it must end with `code`."""
        done = subprocess.run(
            [*self.command, *arguments],
            env=self.env,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    @contextmanager
    def running(self, *arguments: str) -> Iterator[str]:
        """A command that goes on; gives its ready line. It must end with 0 when it is asked to."""
        with subprocess.Popen(
            [*self.command, *arguments], env=self.env, cwd="/", stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            try:
                ready = next((line for line in child.stdout if "ready:" in line), None)
                assert ready is not None, "it ended before it was ready"
                yield ready
            finally:
                child.send_signal(signal.SIGTERM)
                assert child.wait(PATIENCE_S) == 0


def test_the_copied_file_serves_executes_and_shows_what_happened(pyz: Path, tmp_path: Path) -> None:
    machine = Machine(pyz, tmp_path)
    colony, user, offered = tmp_path / "colony.key", tmp_path / "user.key", tmp_path / "sums.py"
    offered.write_text("def add(a: int, b: int) -> int:\n    'Add two numbers.'\n    return a + b\n")
    with machine.running("serve", "--data", str(tmp_path / "server"), "--port", "0") as ready:
        machine.env |= {
            "COLONIES_SERVER_HTTP_PORT": ready.split(" on ")[1].split(",")[0].rsplit(":", 1)[1],
            "COLONIES_SERVER_HOST": "127.0.0.1",
            "COLONIES_SERVER_PRVKEY": str(tmp_path / "server" / "server.key"),
            "COLONIES_COLONY_NAME": "lab",
            "COLONIES_COLONY_PRVKEY": str(colony),
        }
        for key in (colony, user):
            machine.run("key", "generate", "--out", str(key))
        machine.run("colony", "add", "lab", "--colonyid", machine.run("key", "id", str(colony)).strip())
        machine.run("user", "add", "joe", "--userid", machine.run("key", "id", str(user)).strip())
        machine.env |= {"PYTHONPATH": str(tmp_path)}
        joined = ("execute", "--data", str(tmp_path / "executor"), "--name", "here", "--type", "cli")
        machine.command.remove("-I")  # the function is found by PYTHONPATH
        with machine.running(*joined, "--shell", "--fn", "sums:add"):
            machine.env |= {"COLONIES_PRVKEY": str(user)}
            work = ("function", "exec", "--targettype", "cli", "--func")
            followed = machine.run(*work, "sh", "--follow", "--", "-c", "echo one; echo two")
            assert followed.splitlines()[-2:] == ["one", "two"]
            machine.run(*work, "add", "--wait", "--kwargs", "a:2,b:40")
            assert "status 3" in machine.run(*work, "sh", "--wait", "--json", "--", "-c", "exit 3", code=1)
            done = json.loads(machine.run("process", "pss", "--json"))
            assert [process["out"] for process in done] == [["240"], ["one\ntwo"]]
            (failed,) = json.loads(machine.run("process", "psf", "--json"))
            assert failed["errors"] == ["sh exited with status 3"]
