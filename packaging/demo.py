"""`python3 packaging/dev.py demo`: the first journey, with the same commands that a user would type.

A server and an executor run as processes of their own; every step goes through the wire. The work is real: one program
reports on this machine, one reads, counts and hashes every file of the project, one fails on purpose. Then three nodes
share a workflow while the link between two of them is cut (demo_continuum.py). The demo checks what came back against
what it can see itself, and ends with exit code 0 only if it agrees.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

import demo_continuum
from demo_shell import ROOT, SHOP, Wrong, background, clean_environment, node, read_id, title


def main() -> int:
    """Run the demo; the exit code."""
    with tempfile.TemporaryDirectory(prefix="colonies-node-demo-") as folder, contextlib.ExitStack() as running:
        try:
            journey(Path(folder), running)
            demo_continuum.journey(Path(folder), running)
        except Wrong as fault:
            print(f"\nThe demo failed: {fault}", file=sys.stderr)
            return 1
    print("\nDone: the work ran in programs of its own, once, and its results, logs and history were there to read.")
    return 0


def journey(folder: Path, running: contextlib.ExitStack) -> None:
    """All steps, one after the other. Raises Wrong."""
    env = clean_environment()

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


if __name__ == "__main__":
    sys.exit(main())
