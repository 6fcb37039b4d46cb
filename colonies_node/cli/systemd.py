"""systemd on this machine: where its units lie, how one gets there, and what `systemctl` says."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import click

from colonies_node import unit

RUNNING = Path("/run/systemd/system")
"""The folder that is there if, and only if, systemd runs this machine (sd_booted(3))."""

SYSTEM_UNITS = Path("/etc/systemd/system")
PACKAGED_UNITS = (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))
LINGERING = Path("/var/lib/systemd/linger")

PATIENCE_S = 16 * 60
"""Seconds that systemctl may take: a start that waits for the first unpacking has fifteen minutes."""


@dataclass(frozen=True)
class Manager:
    """The systemd of the machine, or that of one user."""

    system: bool

    @property
    def units(self) -> Path:
        """The folder for units that an administrator, or this user, adds."""
        if self.system:
            return SYSTEM_UNITS
        return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser().absolute() / "systemd" / "user"

    @property
    def words(self) -> str:
        """How its systemctl is called."""
        return "systemctl" if self.system else "systemctl --user"

    def call(self, *arguments: str) -> None:
        """Run systemctl; ClickException with what it says if it fails."""
        try:
            done = subprocess.run(
                [*self.words.split(), *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False
            )
        except FileNotFoundError:
            raise click.ClickException("There is no systemctl on this machine.") from None
        except subprocess.TimeoutExpired:
            raise click.ClickException(f"`{self.words} {' '.join(arguments)}` did not end.") from None
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split()) or f"exit status {done.returncode}"
            raise click.ClickException(f"`{self.words} {' '.join(arguments)}` failed: {said}")


def version() -> int:
    """The version of the systemd that is installed; 0 if that is not known."""
    try:
        said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"systemd (\d{1,5})", said.stdout)
    return int(found[1]) if found else 0


def read(path: Path) -> str:
    """The unit that is there, empty if there is none; ClickException unless it is one of ours."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as fault:
        raise click.ClickException(f"{path} cannot be read: {getattr(fault, 'strerror', fault)}.") from None
    if not text.startswith(unit.MARK):
        raise click.ClickException(f"{path} was not made by install-service, so it stays: give --name another name.")
    return text


def write(path: Path, text: str) -> None:
    """Write a unit, whole or not at all; ClickException if that cannot be."""
    aside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.unlink(missing_ok=True)
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as fault:
        raise click.ClickException(f"The unit {path} cannot be written: {fault.strerror}.") from None
