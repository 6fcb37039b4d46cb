"""A machine that loses its power: what the node had answered is on the disk when it comes back.

An ext4 file system on a loop device is shut down under the running node, without writing out its journal, and mounted
again. That needs root and a loop device; elsewhere the disks of tests/core/test_store_faults.py stand for it.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from colonies_node.http.client import Client
from tests.crash.clients import Promises, check, furnish, load
from tests.e2e.programs import colonies_node

EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2
"""Forget what the journal has not written yet (linux/fs/ext4/ext4.h)."""


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Machine:
    """A file system that can lose its power."""

    def __init__(self, folder: Path) -> None:
        self.image, self.root = folder / "disk.img", folder / "disk"
        self.root.mkdir()
        run("truncate", "-s", "128M", self.image)
        run("mkfs.ext4", "-q", self.image)
        self.start()

    def start(self) -> None:
        run("mount", "-o", "loop", self.image, self.root)

    def stop(self) -> None:
        run("umount", self.root)

    def lose_power(self) -> None:
        handle = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(handle)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    yield from a_machine(tmp_path)


def a_machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine for one test; skips it where there can be none."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("to take the power from a file system needs root and mkfs.ext4")
    try:
        machine = Machine(tmp_path)
    except subprocess.CalledProcessError as fault:
        pytest.skip(f"no file system can be mounted from a file here: {fault.stderr.decode().strip()}")
    yield machine
    subprocess.run(["umount", "--lazy", machine.root], check=False, capture_output=True)


async def stand_still(pid: int) -> None:
    """Stop a program between two system calls.

    An fsync that is under way while the file system is shut down may still be called a success by the kernel, though
    the journal was cut off before it. At a real loss of power nobody is left to hear of that.
    """
    os.kill(pid, signal.SIGSTOP)
    with trio.fail_after(10):
        while not stopped(pid):
            await trio.lowlevel.checkpoint()


def stopped(pid: int) -> bool:
    """Whether all threads of the program are stopped, by proc(5)."""
    stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


async def test_what_was_answered_is_on_the_disk_after_the_power_was_lost(machine: Machine) -> None:
    luck, promises = random.Random(5), Promises()
    data = machine.root / "data"
    for number in range(3):
        async with colonies_node("serve", "--data", str(data), "--port", "0") as server:
            url = await server.url()
            if number == 0:
                await furnish(url, (data / "server.key").read_text().strip())
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(load, url, promises, luck)
                    with trio.move_on_after(luck.uniform(0.3, 0.8)):
                        await trio.sleep_forever()
                    await stand_still(server.process.pid)
                    machine.lose_power()
                    server.process.send_signal(signal.SIGCONT)
                    # Nothing reaches the disk any more, so nothing may be answered as done from here on.
                    with trio.move_on_after(0.2):
                        await trio.sleep_forever()
                    server.process.kill()
                    await server.ended()
        machine.stop()
        machine.start()
        check(data / "colonies.db", promises)
    assert len(promises.submitted) > 30 and len(promises.closed) > 10
    async with colonies_node("serve", "--data", str(data), "--port", "0") as server:
        url = await server.url()
        async with Client(url, None) as client:
            assert await client.healthy()
    machine.stop()
