"""The work of the demo, a program that an executor runs: `machine` reports on it, `inventory DIR` on its files."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SKIPPED = {".git", ".dev", "dist", "__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


def project_files(folder: Path) -> Iterator[Path]:
    """Every file below the folder in a fixed order, without what tools leave behind."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if path.name not in SKIPPED:
                yield from project_files(path)
        elif path.is_file() and path.suffix != ".pyc":
            yield path


def machine() -> None:
    """Print what this machine is, and how fast it hashes."""
    block, start, rounds = b"\0" * (1 << 20), time.perf_counter(), 0
    while time.perf_counter() - start < 0.5:
        hashlib.sha256(block).digest()
        rounds += 1
    speed = rounds / (time.perf_counter() - start)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    print(f"{platform.system()} {platform.release()} on {platform.machine()}, Python {platform.python_version()}")
    print(f"{os.cpu_count()} cores, {memory / 2**30:.1f} GiB of memory, load {os.getloadavg()[0]:.2f}")
    print(f"hashes {speed:.0f} MiB/s with SHA-256 on one core")


def inventory(folder: Path) -> None:
    """Print progress per folder on standard error, and one JSON object about all files on standard output."""
    if not folder.is_dir():
        sys.exit(f"{folder.name} is not a folder")
    whole, files, size, lines = hashlib.sha256(), 0, 0, 0
    for path in project_files(folder):
        data = path.read_bytes()
        whole.update(data)
        files, size, lines = files + 1, size + len(data), lines + data.count(b"\n")
        if files % 25 == 0:
            print(f"{files} files, at {path.relative_to(folder).parent}", file=sys.stderr, flush=True)
    print(json.dumps({"files": files, "bytes": size, "lines": lines, "sha256": whole.hexdigest()}))


if __name__ == "__main__":
    machine() if sys.argv[1] == "machine" else inventory(Path(sys.argv[2]))
