"""What each task of dev.py does: it takes its arguments and gives its exit code, or replaces this process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from environment import FULL, ROOT, EnvironmentFailed, for_running

CHECKS = {
    "ruff check": ["ruff", "check"],
    "ruff format": ["ruff", "format", "--check"],
    "mypy": ["mypy"],
    "import contracts": ["lint-imports", "--no-logo"],
}


def demo(arguments: list[str]) -> NoReturn:
    become(for_running(), [str(ROOT / "packaging" / "demo.py"), *arguments])


def test(arguments: list[str]) -> NoReturn:
    python = FULL.make()
    os.chdir(ROOT)
    become(python, ["-P", "-m", "pytest", *arguments])


def check(arguments: list[str]) -> int:
    """Run every check, also after one failed, and name those that did."""
    if arguments:
        print("check takes no arguments: it always checks the whole project", file=sys.stderr)
        return 2
    tools = FULL.make().parent
    failed = []
    for name, command in CHECKS.items():
        print(f"--- {name}", flush=True)
        if subprocess.run([tools / command[0], *command[1:]], cwd=ROOT, check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return bool(failed)


def run(arguments: list[str]) -> NoReturn:
    """Become colonies-node, in the caller's folder."""
    become(
        for_running(),
        ["-P", "-m", "colonies_node", *(arguments[1:] if arguments[:1] == ["--"] else arguments)],
    )


def bench(arguments: list[str]) -> NoReturn:
    become(for_running(), [str(ROOT / "packaging" / "bench"), *arguments])


def simulate(arguments: list[str]) -> NoReturn:
    """Play seeds of the simulation of linked nodes."""
    python = FULL.make()
    os.chdir(ROOT)
    become(python, ["-m", "tests.sim.seeds", *arguments])


def manual(arguments: list[str]) -> NoReturn:
    become(for_running(), [str(ROOT / "packaging" / "manual.py"), *arguments])


def zipapp(arguments: list[str]) -> int:
    import pyz

    return pyz.main(arguments)


def lock(arguments: list[str]) -> int:
    import lock

    return lock.main(arguments)


TASKS: dict[str, Callable[[list[str]], int]] = {
    task.__name__: task for task in (demo, test, check, run, bench, simulate, manual, zipapp, lock)
}


def become(python: Path, arguments: list[str]) -> NoReturn:
    """Replace this process by Python in the environment; -P keeps the caller's folder off its path."""
    sys.stdout.flush()
    os.execv(python, [str(python), *arguments])


def perform(task: str, arguments: list[str]) -> int:
    """Run the named task; what a user can put right becomes one sentence."""
    try:
        return TASKS[task](arguments)
    except EnvironmentFailed as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The next run takes it up cleanly.", file=sys.stderr)
        return 130
