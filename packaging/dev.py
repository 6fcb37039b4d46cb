#!/usr/bin/env python3
"""The project's tasks: demo, test, check, run, bench, manual, zipapp, lock. Needs nothing but Python with venv.

This file keeps to what Python 3.7 can read, so that an old one gets a sentence and not a syntax error.
"""

from __future__ import annotations

import shutil
import sys

OLDEST, NEWEST = 11, 13  # the minor versions of Python 3 that every package in the lock files has wheels for

USAGE = """\
usage: python3 packaging/dev.py TASK [ARGUMENTS]

  demo                 start a node, run real work on it through the wire, show the result
  test [PYTEST ARGS]   run the test suite
  check                ruff, mypy and the import contracts
  run -- ARGS...       run colonies-node ARGS... from any folder
  bench [--json]       measure the node against a bare echo server
  simulate [--seeds N] play linked nodes under faults from seeds, and say how to see again what failed
  manual               write what the program's tables say into docs/
  zipapp [--help]      build the one-file program into dist/
  lock [--upgrade]     renew the lock files from pyproject.toml

The first task makes its environment in .dev/ (about half a minute); later ones start at once."""


def refusal() -> str:
    """Give the sentence for a Python that cannot run the project, and nothing for one that can."""
    major, minor = sys.version_info[:2]
    if major == 3 and OLDEST <= minor <= NEWEST:
        return ""
    fitting = [f"python3.{minor}" for minor in range(NEWEST, OLDEST - 1, -1)]
    found = next(filter(shutil.which, fitting), None)
    advice = f"Use {found}, which is on this machine." if found else "Install one of these first."
    return f"colonies-node needs Python 3.{OLDEST} to 3.{NEWEST}; this is {major}.{minor}. {advice}"


def main(arguments: list[str]) -> int:
    """Run one task and give its exit code; a task that runs in the environment replaces this process."""
    refused = refusal()
    if refused:
        print(refused, file=sys.stderr)
        return 1
    import tasks

    task, *rest = arguments or ["--help"]
    if task in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    if task not in tasks.TASKS:
        print(f"There is no task {task!r}.\n\n{USAGE}", file=sys.stderr)
        return 2
    return tasks.perform(task, rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
