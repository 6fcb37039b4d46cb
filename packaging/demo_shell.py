"""What the steps of the demo share: running the program as a user would, and showing what it says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOP = Path(__file__).with_name("demo_work.py")
NODE = [sys.executable, "-P", "-m", "colonies_node"]
READY_S = 60


class Wrong(Exception):
    """The demo did not go as it should; the text says how."""


def clean_environment() -> dict[str, str]:
    """The environment of the programs, without stray settings of the person who runs the demo."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COLONIES_")}
    return env | {"PYTHONPATH": str(ROOT), "COLONIES_CLI_ASCII": "true"}


def title(text: str) -> None:
    print(f"\n== {text}", flush=True)


def shown(arguments: tuple[str, ...] | list[str]) -> str:
    words = [SHOP.name if word == str(SHOP) else word.replace(str(ROOT), ".") for word in arguments]
    return " ".join(["$ colonies-node", *(f"'{word}'" if " " in word else word for word in words)])


def node(env: dict[str, str], *arguments: str, expect: int = 0, quiet: bool = False) -> str:
    """Run a command in the foreground, its output passed on line by line; what it printed. Raises Wrong."""
    if not quiet:
        print(shown(arguments), flush=True)
    with subprocess.Popen(
        [*NODE, *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines = []
        for line in process.stdout or ():
            lines.append(line)
            if not quiet:
                print(f"  {line}", end="", flush=True)
    if process.returncode != expect:
        raise Wrong(f"`{shown(arguments)[2:]}` ended with {process.returncode}, expected {expect}: {''.join(lines)}")
    return "".join(lines)


def read_id(env: dict[str, str], key: Path) -> str:
    return node(env, "key", "id", str(key), quiet=True).split()[-1]


@contextlib.contextmanager
def background(arguments: list[str], env: dict[str, str], ready: str) -> Iterator[str]:
    """A command that goes on running; gives its first line that has the word `ready`, and ends it with SIGTERM."""
    print(shown(arguments) + " &", flush=True)
    process = subprocess.Popen(
        [*NODE, *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None, "it was asked for"
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(READY_S)
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            print(f"  {line}", end="", flush=True)
            if ready in line:
                break
        else:
            raise Wrong(f"`{shown(arguments)[2:]}` did not start: {''.join(said)}")
        signal.alarm(0)
        yield line.split(" on ")[-1].strip()
    finally:
        signal.alarm(0)
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def too_late(_number: int, _frame: object) -> None:
    raise Wrong(f"it was not ready within {READY_S} seconds")
