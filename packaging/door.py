"""The zipapp's door: check the Python, find the unpacked packages, start colonies-node.

Compiled modules cannot be loaded from inside a zip file, so the packages are unpacked on the first start (see
first_start.py) into a folder of the user's own. What lies there is run, so nobody else may write to it. A
running node holds a shared lock on its folder, which keeps the first start of another build from removing it.

The files that go into the zipapp as its start keep to what Python 3.7 can read, so that an old one gets a
sentence and not a syntax error.
"""

from __future__ import annotations

import os
import stat
import sys

OLDEST, NEWEST = 11, 13
MARKER = ".in-use"  # the file in an unpacked folder that a running node holds locked


class Refused(Exception):
    """colonies-node cannot start here; the message is for the user."""


def main(build: dict[str, str]) -> object:
    """Start colonies-node and give its exit code. `build` has version, machine, digest and entry_point."""
    try:
        check_python(sys.version_info[:2], extension_suffix(), build["machine"])
        folder = find_folder(f"{build['version']}-{python_tag()}-{build['digest'][:16]}")
    except Refused as refused:
        print(f"colonies-node: {refused}", file=sys.stderr)
        return 1
    sys.path[0] = folder
    from importlib import import_module

    module, _, function = build["entry_point"].partition(":")
    return getattr(import_module(module), function)()


def extension_suffix() -> str:
    """Give the ending that names Python, machine and C library: `.cpython-311-x86_64-linux-gnu.so`."""
    import _imp  # importlib.machinery has the same list but takes longer to import

    return str(_imp.extension_suffixes()[0])


def python_tag() -> str:
    """Give this Python's part of the ending, such as `311`."""
    return extension_suffix().split("-")[1]


def check_python(version: tuple[int, int], suffix: str, machine: str) -> None:
    """Raise Refused unless the compiled modules in this file are for this Python."""
    major, minor = version
    if major != 3 or not OLDEST <= minor <= NEWEST:
        raise Refused(
            f"needs Python 3.{OLDEST} to 3.{NEWEST}, this is {major}.{minor}. "
            f"Name another one: python3.{NEWEST} {sys.argv[0]}"
        )
    if suffix != f".cpython-3{minor}-{machine}-linux-gnu.so":
        raise Refused(
            f"this file is for CPython on {machine} Linux with glibc, but this Python loads *{suffix}. "
            "Take the file for this machine (`uname -m` names it)."
        )


def find_folder(name: str) -> str:
    """Give the folder with the unpacked packages; unpack them first where they are missing."""
    places = cache_places(os.environ)
    for place in places:
        folder = os.path.join(place, name)
        if is_private(place) and hold(folder):
            return folder
    import first_start

    reasons = []
    for place in places:
        try:
            return first_start.unpack(place, name)
        except OSError as problem:
            reasons.append(f"{place} ({problem.strerror or problem})")
    raise Refused(
        f"found no folder to unpack itself into. Tried: {', '.join(reasons)}. "
        "Set COLONIES_NODE_CACHE to a folder that is yours alone and may hold programs."
    )


def cache_places(environment: os._Environ[str] | dict[str, str]) -> list[str]:
    """List the folders that may hold unpacked builds, best first; a folder that is chosen is the only one."""
    chosen = environment.get("COLONIES_NODE_CACHE")
    if chosen:
        return [os.path.abspath(chosen)]
    caches = [environment.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache")]
    places = [os.path.join(cache, "colonies-node") for cache in caches if os.path.isabs(cache)]
    shared = ["/var/tmp", environment.get("TMPDIR", ""), "/tmp"]
    places += [os.path.join(top, f"colonies-node-{os.geteuid()}") for top in shared if os.path.isabs(top)]
    return places


def is_private(place: str) -> bool:
    """Say whether a folder is there, and nobody but this user and root can have put anything into it."""
    try:
        status = os.lstat(place)
    except OSError:
        return False
    owned = status.st_uid in (0, os.geteuid())
    return stat.S_ISDIR(status.st_mode) and owned and not status.st_mode & 0o022


def hold(folder: str) -> bool:
    """Lock an unpacked folder against removal until this process ends; say whether the folder is there."""
    import fcntl

    try:
        descriptor = os.open(os.path.join(folder, MARKER), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        return True  # a file system without locks: start all the same
    return os.fstat(descriptor).st_nlink > 0  # else it was removed while we waited for the lock
