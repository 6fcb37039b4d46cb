"""A machine whose network is not there: no route anywhere, and a name server that never answers.

A program starts in network and mount namespaces of its own. Only the loopback is up; /etc/resolv.conf names a server on
it that takes each question and says nothing, which is worse than a refusal; /etc/hosts is a file of the test's.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from tests.e2e.programs import PATIENCE_S, ROOT, Spoken

UNSHARE = ("unshare", *(() if os.geteuid() == 0 else ("--map-root-user",)), "--net", "--mount")

INSIDE = """
import fcntl, os, socket, struct, subprocess, sys
folder, *command = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    SIOCSIFFLAGS, IFF_UP = 0x8914, 1
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
for name in ("resolv.conf", "hosts"):
    subprocess.run(["mount", "--bind", f"{folder}/{name}", os.path.realpath(f"/etc/{name}")], check=True)
deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
deaf.bind(("127.0.0.1", 53))
os.set_inheritable(deaf.fileno(), True)
os.execv(command[0], command)
"""


@functools.cache
def refusal() -> str:
    """Why no such machine can be made here; empty if one can."""
    try:
        tried = subprocess.run(
            [*UNSHARE, "mount", "--bind", "/etc/hosts", "/etc/hosts"], capture_output=True, check=False
        )
    except FileNotFoundError as missing:
        return f"{missing.filename} is not on this machine"
    return "" if tried.returncode == 0 else f"namespaces cannot be made here: {tried.stderr.decode().strip()}"


@dataclass(frozen=True)
class Machine:
    """The machine, which is there as long as `holder` runs. `folder` has its /etc/resolv.conf and /etc/hosts."""

    folder: Path
    holder: int

    @classmethod
    @asynccontextmanager
    async def at(cls, folder: Path) -> AsyncIterator[Machine]:
        """Make the machine; it is gone when the block ends."""
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        (folder / "hosts").write_text("127.0.0.1 localhost\n")
        command = [*UNSHARE, sys.executable, "-c", INSIDE, str(folder), "/bin/sh", "-c", "echo up; exec cat"]
        async with _running(command, {}) as holder:
            await holder.until("up")
            yield cls(folder, holder.process.pid)

    def asks_briefly(self) -> None:
        """What starts from now on gives the name server up after a second; the usual is ten."""
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")

    def knows(self, name: str) -> None:
        """The name is this machine's from now on; written in place, because the file itself is bound."""
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost {name}\n")

    @asynccontextmanager
    async def colonies_node(self, *arguments: str, **variables: str) -> AsyncIterator[Spoken]:
        """A running colonies-node on the machine."""
        async with _running(self._inside(sys.executable, "-m", "colonies_node", *arguments), variables) as spoken:
            yield spoken

    async def run(self, *command: str, **variables: str) -> str:
        """What a command on the machine prints; it must succeed."""
        with trio.fail_after(PATIENCE_S):
            done = await trio.run_process(
                self._inside(*command), capture_stdout=True, cwd=ROOT, env=_environ(variables)
            )
        return done.stdout.decode()

    def _inside(self, *command: str) -> list[str]:
        user = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
        return ["nsenter", *user, "--target", str(self.holder), "--net", "--mount", f"--wd={ROOT}", *command]


def _environ(variables: dict[str, str]) -> dict[str, str]:
    return {**{name: text for name, text in os.environ.items() if not name.startswith("COLONIES_")}, **variables}


@asynccontextmanager
async def _running(command: Sequence[str], variables: dict[str, str]) -> AsyncIterator[Spoken]:
    process = await trio.lowlevel.open_process(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environ(variables),
        cwd=ROOT,
    )
    spoken = Spoken(process)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spoken.listen)
        try:
            yield spoken
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
