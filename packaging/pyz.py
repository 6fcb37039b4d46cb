"""Build the one-file program: `dist/colonies-node-<version>-<platform>.pyz`.

shiv gathers the packages and our own code into an archive. The archive is then written anew: with our own
start (door.py), because shiv's unpacks every Python's modules, into a folder that it does not check and that
may be read-only; and with sorted names, one date, one mode and one compression level, so that two builds are
the same to the byte.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import platform
import shutil
import tempfile
import tomllib
import zipfile
from pathlib import Path

import wheels
from environment import FULL, ROOT, EnvironmentFailed, narrate, say

LIMIT = 15_000_000  # bytes: what a slow link or a small card still takes
DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say
SHEBANG = b"#!/usr/bin/env python3\n"


def main(arguments: list[str]) -> int:
    """Build for the platforms asked for, print path, size and digest of each, and give the exit code."""
    options = _parser().parse_args(arguments)
    FULL.make()
    for target in options.platform or list(wheels.MACHINES):
        file = build(target, options.out)
        content = file.read_bytes()
        print(f"{file}  {len(content):,} bytes  sha256 {hashlib.sha256(content).hexdigest()}")
        if len(content) > LIMIT:
            raise EnvironmentFailed(f"{file.name} is larger than {LIMIT:,} bytes.")
        if options.verify:
            with tempfile.TemporaryDirectory() as folder:
                if build(target, Path(folder)).read_bytes() != content:
                    raise EnvironmentFailed(f"A second build of {file.name} is different.")
            print("a second build is the same to the byte")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py zipapp", description="Build the one-file program.")
    native = f"linux-{platform.machine()}"
    parser.add_argument(
        "--platform",
        action="append",
        choices=sorted(wheels.MACHINES),
        help=f"build for this one only (may be repeated; here: {native})",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder for the result (dist)")
    parser.add_argument("--verify", action="store_true", help="build twice and compare")
    return parser


def build(target: str, out: Path, package: Path = ROOT / "colonies_node") -> Path:
    """Build the file for one platform into the folder `out` and give its path."""
    version, entry_point = project_version(), _entry_point()
    packages = wheels.fetch(target)
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"colonies-node-{version}-{target}.pyz"
    with tempfile.TemporaryDirectory() as folder:
        site_packages, draft = Path(folder, "site-packages"), Path(folder, "draft.pyz")
        wheels.unpack(packages, site_packages)
        _add_ourselves(package, site_packages / "colonies_node")
        narrate(_shiv(site_packages, draft, entry_point), lambda line: None)
        partial = file.with_name(f".{file.name}.{os.getpid()}")
        machine = wheels.MACHINES[target]
        seal(draft, partial, {"version": version, "machine": machine, "entry_point": entry_point})
        partial.replace(file)
    say(f"built {file.name}")
    return file


def _shiv(site_packages: Path, draft: Path, entry_point: str) -> list[str]:
    shiv = [str(FULL.python), "-P", "-m", "shiv", "--reproducible", "--uncompressed"]
    return [
        *shiv,
        f"--site-packages={site_packages}",
        f"--entry-point={entry_point}",
        f"--output-file={draft}",
    ]


def _add_ourselves(package: Path, target: Path) -> None:
    shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copy(ROOT / "LICENSE", target)


def project_version() -> str:
    """Read the version from the one place where it stands, `colonies_node/__init__.py`."""
    for node in ast.parse((ROOT / "colonies_node" / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise EnvironmentFailed("colonies_node/__init__.py does not set __version__.")


def _entry_point() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["scripts"]["colonies-node"])


def seal(draft: Path, file: Path, facts: dict[str, str]) -> None:
    """Write shiv's archive anew, with our own start and nothing that differs between two builds."""
    with zipfile.ZipFile(draft) as archive:
        kept = [name for name in archive.namelist() if not name.startswith("_bootstrap/")]
        members = {name: archive.read(name) for name in kept}
    facts = {**facts, "digest": json.loads(members["environment.json"])["build_id"]}
    members["__main__.py"] = f"import sys\n\nimport door\n\nsys.exit(door.main({facts!r}))\n".encode()
    for module in ("door.py", "first_start.py"):
        members[module] = (ROOT / "packaging" / module).read_bytes()
    with file.open("wb") as stream:
        stream.write(SHEBANG)
        with zipfile.ZipFile(stream, "w") as archive:
            for name, content in sorted(members.items()):
                entry = zipfile.ZipInfo(name, DATE)
                entry.external_attr = 0o100644 << 16
                entry.create_system = 3
                archive.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=9)
    file.chmod(0o755)
