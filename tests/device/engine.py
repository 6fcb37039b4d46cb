"""A podman of the tests' own: its storage, its settings and one small image, which are all gone afterwards."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

IMAGE = "localhost/colonies/busybox:1"
_APPLETS = ("cat", "echo", "env", "grep", "kill", "ls", "printf", "sh", "sleep", "tail", "touch", "wc")
_BUSYBOX = Path("/bin/busybox")

_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
{runtime}
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{folder}/tmp"
"""
_STORAGE = """\
[storage]
driver = "vfs"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""


class Podman:
    """The environment that leads podman to this storage, and what it has there."""

    def __init__(self, folder: Path) -> None:
        runtime = 'runtime = "runc"' if shutil.which("runc") else ""
        (folder / "containers.conf").write_text(_CONTAINERS.format(folder=folder, runtime=runtime))
        (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
        self.env = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "XDG_RUNTIME_DIR") if name in os.environ},
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }

    def __call__(self, *arguments: str, told: bytes = b"") -> str:
        """What it prints; fails if it does."""
        done = subprocess.run(
            ["podman", *arguments], env=self.env, input=told, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def containers(self) -> list[str]:
        """The names of all that are there, running or not."""
        return self("ps", "--all", "--format", "{{.Names}}").split()


@contextmanager
def podman() -> Iterator[Podman]:
    """A podman with the image; skips the test where there is none."""
    if shutil.which("podman") is None or not _BUSYBOX.exists():
        pytest.skip("podman or busybox-static is not on this machine")
    folder = Path(tempfile.mkdtemp(prefix="colonies-podman-"))  # not pytest's: sockets have short paths
    engine = Podman(folder)
    try:
        engine("import", "-", IMAGE, told=_root_folder())
        yield engine
    finally:
        engine("rm", "--all", "--force", "--time", "0")
        shutil.rmtree(folder)


@contextmanager
def docker(engine: Podman) -> Iterator[dict[str, str]]:
    """The environment that leads the docker program to a podman that answers as docker's daemon does."""
    if shutil.which("docker") is None:
        pytest.skip("docker is not on this machine")
    with tempfile.TemporaryDirectory(prefix="colonies-docker-") as folder:
        place = Path(folder) / "socket"
        service = subprocess.Popen(
            ["podman", "system", "service", "--time", "0", f"unix://{place}"], env=engine.env, stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + 20
            while not place.exists():
                assert service.poll() is None and time.monotonic() < deadline
                time.sleep(0.02)
            yield {**engine.env, "DOCKER_HOST": f"unix://{place}"}
        finally:
            service.kill()
            service.wait()


def _root_folder() -> bytes:
    """The root of a container as a tar file: busybox and the names that it answers to."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add(_BUSYBOX, "bin/busybox")
        for name in _APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return made.getvalue()


def fake(folder: Path, name: str, script: str) -> Mapping[str, str]:
    """A program that stands in for an engine and keeps what it was told in the file `told`; the environment for it."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f'#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done >>"{folder}/told"\n{script}\n')
    program.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}
