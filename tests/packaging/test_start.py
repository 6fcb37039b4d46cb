"""How the one-file program chooses its folder and its Python, and what it removes."""

from __future__ import annotations

import ast
import fcntl
import os
from pathlib import Path

import door
import first_start
import pytest

from tests.conftest import ROOT

SUFFIX = ".cpython-311-x86_64-linux-gnu.so"


@pytest.mark.parametrize("file", ["dev.py", "door.py", "first_start.py"])
def test_what_an_old_python_meets_is_readable_to_it(file: str) -> None:
    ast.parse((ROOT / "packaging" / file).read_text(), feature_version=(3, 7))


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (2, 7)])
def test_python_that_no_module_is_for_is_named(version: tuple[int, int]) -> None:
    with pytest.raises(door.Refused, match=rf"needs Python 3.11 to 3.13, this is {version[0]}\.{version[1]}"):
        door.check_python(version, SUFFIX, "x86_64")


@pytest.mark.parametrize("suffix", [
    ".cpython-311-aarch64-linux-gnu.so", ".cpython-311-x86_64-linux-musl.so", ".cpython-311-darwin.so",
    ".cpython-311t-x86_64-linux-gnu.so", ".pypy311-pp73-x86_64-linux-gnu.so",
])  # fmt: skip
def test_python_of_another_kind_is_refused(suffix: str) -> None:
    with pytest.raises(door.Refused, match="this file is for CPython on x86_64 Linux with glibc"):
        door.check_python((3, 11), suffix, "x86_64")


def test_fitting_python_is_let_in() -> None:
    door.check_python((3, 11), SUFFIX, "x86_64")


def test_chosen_cache_is_the_only_one() -> None:
    assert door.cache_places({"COLONIES_NODE_CACHE": "/srv/cache", "XDG_CACHE_HOME": "/x"}) == ["/srv/cache"]


def test_user_cache_comes_before_shared_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    own = f"colonies-node-{os.geteuid()}"
    assert door.cache_places({"XDG_CACHE_HOME": "/x", "TMPDIR": "/scratch"}) == [
        "/x/colonies-node",
        "/home/someone/.cache/colonies-node",
        f"/var/tmp/{own}",
        f"/scratch/{own}",
        f"/tmp/{own}",
    ]


def test_relative_cache_variables_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The XDG base directory specification asks for that."""
    monkeypatch.setenv("HOME", "")
    assert all(os.path.isabs(place) for place in door.cache_places({"XDG_CACHE_HOME": "cache", "TMPDIR": "."}))


def test_link_in_place_of_the_folder_is_not_private(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    assert door.is_private(str(tmp_path / "real"))
    assert not door.is_private(str(tmp_path / "link"))


def _build(place: Path, name: str, age: int) -> Path:
    folder = place / name
    folder.mkdir(parents=True)
    (folder / door.MARKER).touch()
    os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    return folder


def test_oldest_builds_are_removed_but_none_in_use(tmp_path: Path) -> None:
    folders = [_build(tmp_path, f"build-{age}", age) for age in range(6)]
    with (folders[5] / door.MARKER).open() as running:
        fcntl.flock(running, fcntl.LOCK_SH)
        first_start.remove_old(str(tmp_path), "build-0")
    assert [folder.name for folder in folders if folder.exists()] == [
        "build-0",
        "build-1",
        "build-2",
        "build-5",
    ]


def test_foreign_folder_in_the_cache_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    os.utime(tmp_path / "notes", (0, 0))
    for age in range(4):
        _build(tmp_path, f"build-{age}", age)
    first_start.remove_old(str(tmp_path), "build-0")
    assert (tmp_path / "notes").is_dir()


def test_folder_that_was_removed_while_we_waited_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _build(tmp_path, "build", 0)

    def remove_meanwhile(descriptor: int, operation: int) -> None:
        (folder / door.MARKER).unlink()

    monkeypatch.setattr(fcntl, "flock", remove_meanwhile)
    assert not door.hold(str(folder))
