"""The project's Python environments: made once from a lock file, used until that file or the Python changes.

Each environment is a folder `.dev/<name>-<key>`, and `.dev/<name>` is a symbolic link to the current one. The
key is a digest of all that the environment depends on, so a changed lock file makes a new folder, while
programs that run from the old one go on. A folder counts once it holds the file `complete`: an interrupted
installation is redone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEV = ROOT / ".dev"
LOCKS = ROOT / "packaging"
KEPT = 3  # folders of one environment that stay: one for each Python we test with
SILENCE = 1.5  # seconds without a line from pip after which we say that it is still at work


class EnvironmentFailed(Exception):
    """An environment could not be made; the message is for the user."""


@dataclass(frozen=True)
class Environment:
    """A named environment and the lock file it is made from."""

    name: str
    lock: Path

    @property
    def key(self) -> str:
        """A digest of the lock file, the Python and the place: a new one makes a new environment."""
        parts = (self.lock.read_bytes(), sys.version.encode(), sys.base_prefix.encode(), bytes(ROOT))
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]

    @property
    def folder(self) -> Path:
        return DEV / f"{self.name}-{self.key}"

    @property
    def link(self) -> Path:
        return DEV / self.name

    @property
    def python(self) -> Path:
        return self.link / "bin" / "python"

    def is_ready(self) -> bool:
        """Say whether the environment is complete and current."""
        folder = self.folder
        return (folder / "complete").exists() and self.link.is_symlink() and self.link.resolve() == folder

    def make(self) -> Path:
        """Give the environment's Python; make the environment first where it is missing or out of date."""
        if not self.is_ready():
            with only_one_maker():
                if not (self.folder / "complete").exists():
                    _install(self)
                _point(self.link, self.folder)
                _forget_old(self)
        return self.python


RUN = Environment("venv-run", LOCKS / "requirements.lock")  # what colonies-node itself needs
FULL = Environment("venv", LOCKS / "requirements-dev.lock")  # that and the tools for tests, checks and builds
COSE = Environment("venv-cose", LOCKS / "requirements-cose.lock")  # another implementation of COSE, for tests


def for_running() -> Path:
    """Give a Python that can run colonies-node: the full environment if it is ready, else the small one."""
    return FULL.python if FULL.is_ready() else RUN.make()


@contextmanager
def only_one_maker() -> Iterator[None]:
    """Let one process at a time change what is below `.dev`; the others wait and say so."""
    DEV.mkdir(exist_ok=True)
    with (DEV / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another dev.py that is at work in .dev/")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(environment: Environment) -> None:
    try:
        import ensurepip  # noqa: F401  (Debian ships it in a package of its own)
    except ImportError:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise EnvironmentFailed(
            "This Python cannot make environments: its venv module is incomplete. "
            f"On Debian, Ubuntu and Raspberry Pi OS: sudo apt install python3-venv (or python{version}-venv)."
        ) from None
    folder, started = environment.folder, time.monotonic()
    say(f"making the environment .dev/{environment.name} from packaging/{environment.lock.name}")
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin" / "python"
    narrate([sys.executable, "-I", "-m", "venv", str(folder)], lambda line: None)
    pip_install(python, "--require-hashes", f"--requirement={environment.lock}")
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "colonies-node.pth").write_text(f"{ROOT}\n")
    (folder / "complete").touch()
    say(f"ready after {time.monotonic() - started:.0f} s")


def _point(link: Path, folder: Path) -> None:
    """Make the link lead to the folder in one step, so that the link always leads somewhere."""
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    fresh = link.with_name(f"{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.name)
    fresh.replace(link)


def _forget_old(environment: Environment) -> None:
    pattern = re.compile(re.escape(environment.name) + r"-[0-9a-f]{12}")
    folders = [path for path in DEV.iterdir() if pattern.fullmatch(path.name)]
    folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in folders[KEPT:]:
        if folder != environment.folder:
            shutil.rmtree(folder, ignore_errors=True)


def pip_install(python: Path, *arguments: str) -> None:
    """Install packages for that Python, showing each by name; pip's own settings (a mirror, say) hold."""
    pip = [
        str(python),
        "-I",
        "-m",
        "pip",
        "install",
        "--no-input",
        "--progress-bar=off",
        "--only-binary=:all:",
    ]
    narrate([*pip, "--disable-pip-version-check", *arguments], _what_pip_does)


def _what_pip_does(line: str) -> str | None:
    """Put a line of pip's output into the few words worth showing, or None."""
    if match := re.match(r"Collecting ([^ ;]+)|Processing .*/([^/-]+-[^/-]+)-[^/]*\.whl", line):
        return match[1].replace("==", " ") if match[1] else match[2].replace("-", " ")
    if line.startswith("Installing collected packages:"):
        return f"installing {line.count(',') + 1} packages"
    return None


def narrate(command: list[str], words: Callable[[str], str | None]) -> None:
    """Run a command, show what `words` makes of its lines, and a sign of life when it is silent.

    Raises EnvironmentFailed with the end of its output when it fails.
    """
    started, log = time.monotonic(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0) as child:
        assert child.stdout is not None
        rest = b""
        while True:
            if not select.select([child.stdout], [], [], SILENCE)[0]:
                say(f"still at work, {time.monotonic() - started:.0f} s")
                continue
            chunk = os.read(child.stdout.fileno(), 65536)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines if chunk else [rest]:
                log.append(line.decode(errors="replace"))
                if said := words(log[-1]):
                    say(said)
            if not chunk:
                break
    if child.returncode:
        (DEV / "install.log").write_text("\n".join(log) + "\n")
        end = "\n".join(f"  {line}" for line in log[-12:] if line.strip())
        raise EnvironmentFailed(
            f"The environment could not be made; the end of the log (.dev/install.log):\n{end}\n"
            "Check the network and run the same command again: it starts afresh."
        )


def say(words: str) -> None:
    """Show progress, apart from what the task itself prints."""
    print(f"[dev] {words}", file=sys.stderr, flush=True)
