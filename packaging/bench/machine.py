"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

MEMORY_ONLY = ("tmpfs", "ramfs")


def facts(folder: Path) -> dict[str, str | int]:
    """The processor, the system and the file system that `folder` is on."""
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "filesystem": file_system(folder),
    }


def _processor() -> str:
    """Its name, from /proc/cpuinfo; on ARM boards that is the name of the board."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return "unknown"


def file_system(folder: Path) -> str:
    """The type of the file system that holds the folder, from /proc/self/mountinfo (proc(5))."""
    device = os.stat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == wanted:
            return source.split()[0]
    return "unknown"
