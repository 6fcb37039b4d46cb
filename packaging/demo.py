"""`python3 packaging/dev.py demo`: the first journey, with the same commands that a user would type.

A server and an executor run as processes of their own; every step goes through the wire. The work is real: one program
reports on this machine, one reads, counts and hashes every file of the project, one fails on purpose. The demo checks
what came back against what it can see itself, and ends with exit code 0 only if it agrees.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOP = Path(__file__).with_name("demo_work.py")
NODE = [sys.executable, "-P", "-m", "colonies_node"]
READY_S = 60


class Wrong(Exception):
    """The demo did not go as it should; the text says how."""


def main() -> int:
    """Run the demo; the exit code."""
    with tempfile.TemporaryDirectory(prefix="colonies-node-demo-") as folder, contextlib.ExitStack() as running:
        try:
            journey(Path(folder), running)
        except Wrong as fault:
            print(f"\nThe demo failed: {fault}", file=sys.stderr)
            return 1
    print("\nDone: the work ran in programs of its own, and its results, logs and history were there to read.")
    return 0


def journey(folder: Path, running: contextlib.ExitStack) -> None:
    """All steps, one after the other. Raises Wrong."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COLONIES_")}
    env |= {"PYTHONPATH": str(ROOT), "COLONIES_CLI_ASCII": "true"}

    title("A server, on a store of its own")
    url = running.enter_context(background(["serve", "--data", str(folder / "server"), "--port", "0"], env, "ready:"))
    env |= {
        "COLONIES_SERVER_HOST": "127.0.0.1",
        "COLONIES_SERVER_HTTP_PORT": url.rsplit(":", 1)[1].split(",")[0],
        "COLONIES_SERVER_PRVKEY": str(folder / "server" / "server.key"),
    }

    title("A colony, its user and their keys")
    colony, user = folder / "colony.key", folder / "user.key"
    for key in (colony, user):
        node(env, "key", "generate", "--out", str(key))
    node(env, "colony", "add", "--name", "demo", "--colonyid", read_id(env, colony))
    env |= {"COLONIES_COLONY_NAME": "demo", "COLONIES_COLONY_PRVKEY": str(colony), "COLONIES_PRVKEY": str(user)}
    node(env, "user", "add", "--name", "you", "--userid", read_id(env, user))

    title("An executor that runs programs of this machine")
    machine = env | {"PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"}
    del machine["COLONIES_PRVKEY"]
    joining = ["execute", "--data", str(folder / "executor"), "--name", "this-machine", "--shell", "--parallel", "2"]
    running.enter_context(background(joining, machine, "ready"))
    node(env, "executor", "ls")

    title("Work: report on this machine")
    work = ["function", "exec", "--targettype", "cli", "--func", "python3"]
    node(env, *work, "--follow", "--", str(SHOP), "machine")

    title("Work: count and hash every file of this project, and say how it goes")
    node(env, *work, "--label", "inventory", "--follow", "--", str(SHOP), "inventory", str(ROOT))
    check_inventory(env)

    title("Work that fails says why")
    node(env, *work, "--wait", "--", str(SHOP), "inventory", str(ROOT / "no-such-folder"), expect=1)

    title("What happened, from the history")
    node(env, "process", "ls", "--state", "successful")
    node(env, "process", "ls", "--state", "failed")
    node(env, "server", "statistics")


def check_inventory(env: dict[str, str]) -> None:
    """Compare what the executor found with a look of our own."""
    listed = json.loads(node(env, "process", "pss", "--label", "inventory", "--json", quiet=True))
    found = json.loads(listed[0]["out"][0])
    sys.path.insert(0, str(SHOP.parent))
    from demo_work import project_files

    files = list(project_files(ROOT))
    seen = {"files": len(files), "sha256": hashlib.sha256(b"".join(map(Path.read_bytes, files))).hexdigest()}
    if {name: found[name] for name in seen} != seen:
        raise Wrong(f"the executor found {found}, but there are {seen}")
    print(
        f"  checked: {found['files']} files, {found['bytes']} bytes, SHA-256 {found['sha256'][:16]}…, as seen from here"
    )


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


if __name__ == "__main__":
    sys.exit(main())
