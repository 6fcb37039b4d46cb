"""`execute`: the settings of an executor that is a script, and where its functions are found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from colonies_node import config, script
from colonies_node.core.errors import SettingRefused
from colonies_node.device import child, executor

ROOT = Path(__file__).resolve().parents[2]


def module(**facts: Any) -> ModuleType:
    """A main module with these facts."""
    made = ModuleType("__main__")
    for name, value in {"__spec__": None, **facts}.items():
        setattr(made, name, value)
    return made


def test_a_script_is_found_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert script.place(module(__file__="sums.py")) == str(tmp_path / "sums.py")


@pytest.mark.parametrize("name", ["lab.sums", "lab.__main__"])
def test_a_module_that_was_started_by_name_is_found_by_it(name: str) -> None:
    assert script.place(module(__file__="/x/sums.py", __spec__=SimpleNamespace(name=name))) == name


def test_what_is_no_script_has_to_say_what_it_offers() -> None:
    with pytest.raises(SettingRefused, match="this is none: give functions="):
        script.place(module())


def test_a_call_that_runs_whenever_the_script_is_imported_is_refused() -> None:
    with pytest.raises(SettingRefused, match="put the call below `if __name__"):
        script.place(module(__file__=child.__file__))


@pytest.mark.parametrize(
    ("offered", "name"),
    [("/x/my-sums.py", "my-sums"), ("lab.sums", "sums"), ("lab.sums:add", "sums"), ("lab.__main__", "lab")],
)
def test_a_script_is_called_what_its_file_is_called(offered: str, name: str) -> None:
    assert script.short_name(offered) == name


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[config.Settings]:
    """What executors were started with."""
    found: list[config.Settings] = []

    async def execute(settings: config.Settings, *, say: Any) -> None:
        found.append(settings)

    monkeypatch.setattr(executor, "execute", execute)
    for name in config.SETTINGS:
        for variable in config.SETTINGS[name].env:
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLONIES_CONFIG", "/dev/null")
    return found


def test_two_scripts_on_one_machine_are_two_executors(started: list[config.Settings]) -> None:
    script.execute(["one"], colony="lab", type="sums")
    script.execute(["two"], colony="lab", type="sums")
    one, two = started
    assert (one.functions, one.colony_name, one.executor_type) == (("one",), "lab", "sums")
    assert (one.executor_name, one.data.name) == (f"{config.machine_name()}-one", "execute-one")
    assert (two.executor_name, two.data.name) == (f"{config.machine_name()}-two", "execute-two")


def test_what_a_script_says_is_stronger_than_the_environment(
    started: list[config.Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLONIES_EXECUTOR_TYPE", "cli")
    monkeypatch.setenv("COLONIES_EXECUTOR_NAME", "named")
    monkeypatch.setenv("COLONIES_COLONY_NAME", "lab")
    script.execute(["one"], type="sums", parallel=3, data=str(tmp_path))
    (settings,) = started
    assert (settings.executor_type, settings.executor_name, settings.colony_name) == ("sums", "named", "lab")
    assert (settings.parallel, settings.data) == (3, tmp_path)


def test_a_setting_that_there_is_not_ends_the_script_with_a_sentence(started: list[config.Settings]) -> None:
    with pytest.raises(SystemExit, match=r"^Error: execute\(\) has no setting 'paralel': did you mean 'parallel'\?$"):
        script.execute(["one"], paralel=3)
    with pytest.raises(SystemExit, match=r"^Error: --parallel must be a whole number from 1 to 1024, not 0\.$"):
        script.execute(["one"], parallel=0)
    assert started == []


def test_a_script_without_its_guard_ends_with_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "bare.py"
    file.write_text(
        "from colonies_node import execute, function\n"
        "@function\ndef f(): ...\n"
        f"execute(colony='lab', data={str(tmp_path / 'data')!r})\n"
    )
    ran = subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)}
    )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert 'put the call below `if __name__ == "__main__":`' in ran.stderr
