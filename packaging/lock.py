"""Renew the lock files from pyproject.toml: every package that is installed, with its version and digests.

`requirements.lock` is what ships in the zipapp, `requirements-dev.lock` adds the tools. The digests of all
files of a release are listed, so one lock file serves every Python and both machines. The resolver is uv, in
an environment that is thrown away: it resolves for several Pythons at once.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from environment import LOCKS, ROOT, narrate, pip_install, say

RESOLVER = "uv==0.13.9"
# Conditions are dropped: one zipapp serves every Python, so what one of them needs, all of them get.
MARKER = re.compile(r" ;[^\\\n]*(?= \\$)", re.MULTILINE)
HEADER = """\
# {what}
# Made from pyproject.toml by `python3 packaging/dev.py lock`. Do not edit.
"""
FILES: dict[str, tuple[str, list[str]]] = {
    "requirements.lock": ("What ships in the zipapp.", ["pyproject.toml"]),
    "requirements-dev.lock": (
        "What ships in the zipapp, and the tools for tests, checks and builds.",
        ["pyproject.toml", "--group=dev", "--constraint=packaging/requirements.lock"],
    ),
    "requirements-cose.lock": ("Another implementation of COSE, which tests compare with.", ["--group=cose"]),
}


def main(arguments: list[str]) -> int:
    """Renew both files; versions stay where they still fit, unless --upgrade asks for the newest."""
    parser = argparse.ArgumentParser(prog="dev.py lock", description="Renew the lock files from pyproject.toml.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest version of everything")
    upgrade = ["--upgrade"] if parser.parse_args(arguments).upgrade else []
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "bin", "python")
        say("fetching the resolver")
        narrate([sys.executable, "-I", "-m", "venv", folder], lambda line: None)
        pip_install(python, RESOLVER)
        for name, (what, options) in FILES.items():
            say(f"resolving {name}")
            if failed := _resolve(python, LOCKS / name, what, [*options, *upgrade]):
                return failed
    return 0


def _resolve(python: Path, file: Path, what: str, options: list[str]) -> int:
    universal = ["--universal", "--python-version=3.11", "--fork-strategy=fewest", "--only-binary=:all:"]
    form = ["--generate-hashes", "--no-header", "--quiet", f"--output-file={file}"]
    command = [str(python), "-I", "-m", "uv", "pip", "compile", *universal, *form, *options]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if not code:
        file.write_text(HEADER.format(what=what) + MARKER.sub("", file.read_text()))
    return code
