"""A zipapp's first start: unpack the packages for this Python, whole or not at all; remove old builds."""

from __future__ import annotations

import compileall
import fcntl
import os
import shutil
import sys
import zipfile
import zlib
from contextlib import suppress

from door import MARKER, Refused, extension_suffix, hold, is_private

KEPT = 3  # unpacked builds that stay: this one, and two for going back or for another Python
INSIDE = "site-packages/"


def unpack(place: str, name: str) -> str:
    """Unpack this build as `place/name`, once, however many processes ask for it together; give the folder.

    Raises OSError where the place is not ours alone, not writable, full, or may not hold programs.
    """
    make_private(place)
    folder, partial = os.path.join(place, name), os.path.join(place, ".partial")
    lock = os.open(os.path.join(place, ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not hold(folder):
            shutil.rmtree(partial, ignore_errors=True)
            extract(os.path.dirname(os.path.abspath(__file__)), partial)
            if sys.dont_write_bytecode:  # usual in containers: without this, every start would compile anew
                compileall.compile_dir(partial, ddir=folder, quiet=2)
            os.sync()  # a power cut must not leave a folder that looks whole and is not
            os.rename(partial, folder)
            hold(folder)
            remove_old(place, name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)
    return folder


def make_private(place: str) -> None:
    """Make the folder if it is missing. Raises OSError where it cannot be used."""
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with suppress(FileExistsError):
        os.mkdir(place, 0o700)
    if not is_private(place):
        raise PermissionError(1, "others may write to it")
    if os.statvfs(place).f_flag & os.ST_NOEXEC:
        raise PermissionError(1, "mounted noexec")


def extract(archive: str, target: str) -> None:
    """Write the packages, with the compiled modules of this Python only, to a new folder."""
    if sys.stderr.isatty():
        print("colonies-node: unpacking for the first start", file=sys.stderr)
    suffix = extension_suffix()
    os.mkdir(target, 0o700)
    try:
        with zipfile.ZipFile(archive) as members:
            for member in members.namelist():
                for_other_python = ".cpython-" in member and not member.endswith(suffix)
                if member.startswith(INSIDE) and not for_other_python:
                    path = os.path.join(target, member[len(INSIDE) :])
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    with open(path, "wb") as file:
                        file.write(members.read(member))
    except (zipfile.BadZipFile, zlib.error) as problem:
        raise Refused(f"this file is damaged ({problem}). Copy it again.") from None
    with open(os.path.join(target, MARKER), "wb"):
        pass


def remove_old(place: str, name: str) -> None:
    """Remove the builds that were unpacked longest ago and that nothing runs from, until KEPT are left."""
    others = [entry for entry in os.listdir(place) if entry != name and not entry.startswith(".")]
    others.sort(key=lambda entry: os.stat(os.path.join(place, entry)).st_mtime, reverse=True)
    for entry in others[KEPT - 1 :]:
        marker = os.path.join(place, entry, MARKER)
        with suppress(OSError):  # not a build, or in use
            descriptor = os.open(marker, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(marker)
                shutil.rmtree(os.path.join(place, entry), ignore_errors=True)
            finally:
                os.close(descriptor)
