#!/usr/bin/env python3
"""The project's tasks: demo, test, check, run, bench, zipapp, lock. Needs nothing but Python with venv.

The code of this file must be readable by any Python 3, so that an old one gets a sentence and not a syntax error.
"""

import shutil
import sys

OLDEST, NEWEST = (3, 11), (3, 13)  # coincurve has no wheel for 3.14 yet

USAGE = """\
usage: python3 packaging/dev.py TASK [ARGUMENTS]

  demo                 start a node, run real work on it through the wire, show the result
  test [PYTEST ARGS]   run the test suite
  check                ruff, mypy and the import contracts
  run -- ARGS...       run colonies-node ARGS... from any folder
  bench [--json]       measure the node against a bare echo server
  zipapp [--help]      build the one-file program into dist/
  lock [--upgrade]     renew the lock files from pyproject.toml

The first task makes its environment in .dev/ (about half a minute); later ones start at once."""


def refuse_python():
    """Give the sentence for a Python that cannot run the project, or None."""
    have = sys.version_info[:2]
    if OLDEST <= have <= NEWEST:
        return None
    other = next(
        (
            "python3.%d" % minor
            for minor in range(NEWEST[1], OLDEST[1] - 1, -1)
            if shutil.which("python3.%d" % minor)
        ),
        None,
    )
    hint = "Use %s, which is on this machine." % other if other else "Install one of these first."
    return "colonies-node needs Python %d.%d to %d.%d; this is %d.%d. %s" % (OLDEST + NEWEST + have + (hint,))


def main(arguments):
    """Run one task and give its exit code; tasks that run in the environment replace this process."""
    refusal = refuse_python()
    if refusal:
        print(refusal, file=sys.stderr)
        return 1
    import tasks

    task, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if task in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    if task not in tasks.TASKS:
        print("There is no task %r.\n\n%s" % (task, USAGE), file=sys.stderr)
        return 2
    return tasks.perform(task, rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
