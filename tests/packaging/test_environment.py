"""The environment that dev.py makes, and the lock files it is made from."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path

import environment
import pytest

from tests.conftest import ROOT

LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-cose.lock"]


def _locked(file: str) -> dict[str, str]:
    """Give what stands after each `name==` in a lock file: the version and the digests."""
    text = (ROOT / "packaging" / file).read_text()
    return {match[1]: match[2] for match in re.finditer(r"^([\w.-]+)==((?:.*\\\n)*.*\n)", text, re.MULTILINE)}


@pytest.mark.parametrize("file", LOCKS)
def test_every_package_is_locked_by_digest(file: str) -> None:
    locked = _locked(file)
    assert len(locked) > (5 if "cose" in file else 20)
    assert [name for name, rest in locked.items() if "--hash=sha256:" not in rest] == []


@pytest.mark.parametrize("file", LOCKS)
def test_lock_files_name_no_registry(file: str) -> None:
    assert not re.search(r"://|index-url|find-links", (ROOT / "packaging" / file).read_text())


def test_every_dependency_is_locked() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=~!\[ ]", requirement)[0] for requirement in requirements}

    ships, tools = names(settings["project"]["dependencies"]), names(settings["dependency-groups"]["dev"])
    assert ships <= _locked("requirements.lock").keys()
    assert tools <= _locked("requirements-dev.lock").keys()
    assert not tools & _locked("requirements.lock").keys()


def test_tests_run_with_what_ships() -> None:
    versions = {file: {name: rest.split()[0] for name, rest in _locked(file).items()} for file in LOCKS}
    assert versions["requirements.lock"].items() <= versions["requirements-dev.lock"].items()


def test_changed_lock_file_makes_another_environment(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text("one")
    before = environment.Environment("some", lock).folder
    lock.write_text("two")
    assert environment.Environment("some", lock).folder != before


def test_interrupted_installation_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "DEV", tmp_path)
    lock = tmp_path / "some.lock"
    lock.touch()
    some = environment.Environment("some", lock)
    some.folder.mkdir()
    some.link.symlink_to(some.folder.name)
    assert not some.is_ready()
    (some.folder / "complete").touch()
    assert some.is_ready()


def test_python_without_ensurepip_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian ships it in a package of its own."""
    monkeypatch.setattr(environment, "DEV", tmp_path)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    (tmp_path / "some.lock").touch()
    with pytest.raises(environment.EnvironmentFailed, match="sudo apt install python3-venv"):
        environment.Environment("some", tmp_path / "some.lock").make()


def test_silent_command_gives_a_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The command stays silent until the sign of life has been given."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    monkeypatch.setattr(environment, "SILENCE", 0.05)
    said: list[str] = []

    def say(words: str) -> None:
        if not said:
            fifo.write_text("go on")
        said.append(words)

    monkeypatch.setattr(environment, "say", say)
    environment.narrate([sys.executable, "-c", f"open({str(fifo)!r}).read(); print('done')"], str)
    assert re.fullmatch(r"still at work, \d+ s", said[0])
    assert said[-1] == "done"


def test_failed_command_is_shown_with_the_end_of_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "DEV", tmp_path)
    program = "print(*range(20), sep='\\n'); raise SystemExit('no network')"
    with pytest.raises(environment.EnvironmentFailed, match=r"(?s)  19\n  no network\nCheck the network"):
        environment.narrate([sys.executable, "-u", "-c", program], lambda line: None)
    assert (tmp_path / "install.log").read_text().startswith("0\n1\n")
