"""Functions that the tests offer to a colony."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import trio


def add(first: int, second: int = 1) -> int:
    """Add two numbers.

    More is not said.
    """
    return first + second


def nothing() -> None:
    print("done")


def several() -> list[object]:
    return ["a", 1, None]


def pair() -> tuple[int, int]:
    return 1, 2


def record() -> dict[str, int]:
    return {"a": 1}


async def later(word: str) -> str:
    """Wait for a moment."""
    await trio.lowlevel.checkpoint()
    return word.upper()


def fails() -> None:
    raise LookupError("no such thing")


def leaves() -> None:
    sys.exit("enough")


def drops() -> None:
    os._exit(3)


def unspeakable() -> object:
    return {1, 2}


def not_a_number() -> float:
    return float("nan")


def environment() -> dict[str, str]:
    return dict(os.environ)


def here() -> str:
    Path("left").write_text("x")
    return str(Path.cwd())


not_callable = 5


def who() -> int:
    return os.getpid()


def crash(really: bool) -> int:
    if really:
        os.kill(os.getpid(), signal.SIGSEGV)
    return os.getpid()


def thread() -> int:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return os.getpid()


def child(path: str) -> int:
    with open(path, "w") as held:
        subprocess.Popen(["tail", "-f", "/dev/null"], pass_fds=[held.fileno()], start_new_session=True)
    return os.getpid()


def grow() -> int:
    hoard.append(bytearray(b"x" * (300 << 20)))
    return os.getpid()


def dirty() -> int:
    os.environ["LEFT"] = "behind"
    os.chdir("/tmp")
    sys.stdout = io.StringIO()
    return os.getpid()


def waits(path: str) -> int:
    print("waiting", flush=True)
    while not os.path.exists(path):
        pass
    return os.getpid()


def talks(number: int) -> None:
    print("out", number)
    sys.stdout.flush()
    print("err", number, file=sys.stderr)


def stuck(path: str, stubborn: bool) -> None:
    child(path)
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(path, "w"):
        print("stuck", flush=True)
        while True:
            signal.pause()


def closes() -> None:
    """Close whatever it finds but for its output."""
    os.closerange(3, 100)


hoard: list[bytearray] = []
