"""The servers under load: child processes in groups of their own, always ended, and what they use."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from load import Address, BenchFailed

START = 20.0  # seconds that a server may take to its ready line
DRAIN = 15.0  # seconds that a server may take to end after SIGTERM


@dataclass
class Server:
    """A running server, reached at `address`."""

    process: subprocess.Popen[bytes]
    address: Address

    def cpu_seconds(self) -> float:
        """Processor time used so far by all of its threads, in user and system mode.

        This is the CPU clock of the process: the utime + stime of /proc/PID/stat, in nanoseconds instead of
        ticks. Its number is made as clock_getcpuclockid(3) makes it.
        """
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def resident_mb(self) -> float:
        """Resident memory in MB (10^6 bytes)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        kibibytes = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        if not kibibytes:
            raise BenchFailed("The server ended while its memory was read.")
        return int(kibibytes[1]) * 1024 / 1e6

    def stop(self) -> None:
        """Ask it to end with SIGTERM and wait; raises BenchFailed when it does not end well."""
        self.process.terminate()
        try:
            code = self.process.wait(DRAIN)
        except subprocess.TimeoutExpired:
            raise BenchFailed(f"The server did not end within {DRAIN:.0f} s of SIGTERM.") from None
        if code:
            raise BenchFailed(f"The server ended with exit code {code} after SIGTERM.")


@contextmanager
def running(name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Server]:
    """Start a server and wait for its ready line, which carries its URL; end its whole group in any case.

    Raises BenchFailed with the end of its standard error when it does not start.
    """
    process = _start(command, environment, log)
    try:
        yield Server(process, _address_of(process, name, log))
    finally:
        _end(process)


@contextmanager
def running_executor(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """Start an executor and wait until it asks for work; end its whole group in any case. Raises BenchFailed."""
    process = _start(command, environment, log)
    try:
        _until(process, rb"ready: ", "executor", log)
        yield
    finally:
        _end(process)


def _start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as errors:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )


def _address_of(process: subprocess.Popen[bytes], name: str, log: Path) -> Address:
    match = _until(process, rb"ready: .*?http://([^:/\s]+):(\d+)", name, log)
    return match[1].decode(), int(match[2])


def _until(process: subprocess.Popen[bytes], pattern: bytes, name: str, log: Path) -> re.Match[bytes]:
    """What a program says once it is ready. Raises BenchFailed if it does not say it."""
    assert process.stdout is not None
    said, deadline = b"", time.monotonic() + START
    while not (match := re.search(pattern, said)):
        arrived = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]
        chunk = os.read(process.stdout.fileno(), 65536) if arrived else b""
        if not chunk:
            why = "ended before it was ready" if arrived else f"was not ready after {START:.0f} s"
            raise BenchFailed(f"The {name} {why}. {last_line(log.read_bytes())}")
        said += chunk
    return match


def last_line(said: bytes) -> str:
    """The last line that a program wrote: of a traceback, the error."""
    return said.decode(errors="replace").strip().rpartition("\n")[2]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(DRAIN)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what it may have left behind, or itself when it hangs
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
