"""A shell for each test, and one server and one dev for a file of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import Shell, program, until_ready


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell that knows no server."""
    return Shell(capsys, monkeypatch)


@pytest.fixture(scope="module")
def dev_variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables that a running `dev` told to set."""
    folder: Path = tmp_path_factory.mktemp("dev")
    with program("dev", "--data", str(folder / "data"), "--port", "0", stderr=folder / "log") as child:
        lines, _, _ = until_ready(child)
        exports = (line.removeprefix("export ") for line in lines if line.startswith("export "))
        yield {name: value for name, _, value in (line.partition("=") for line in exports)}


@pytest.fixture
def dev(shell: Shell, dev_variables: dict[str, str]) -> Shell:
    """A shell with the variables of `dev`, where everything is ready to use."""
    shell.variables = dict(dev_variables)
    return shell
