"""The examples, unchanged, against a real `dev`: what they print is what they promise."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.programs import PATIENCE_S, ROOT, Spoken, colonies_node

EXAMPLES = ROOT / "examples"

PRINTS = {
    "submit": "3.0\n",
    "submit_async": "3.0\n[\"add: first must be a number, not 'one'\"]\n",
    "map": "1980.0\n",
    "workflow": "last: both are there\nleft: left\nright: right\n",
    "logs": "one\ntwo\n",
    "channel": "HELLO\nAGAIN\nbye\n",
}
"""Example → what it prints; sums.py is the executor of some."""


class Lab:
    """A running `dev`, with the executor of examples/sums.py beside it."""

    def __init__(self, variables: dict[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COLONIES_")}
        self.environ = {**kept, **variables, "PYTHONPATH": str(ROOT), "COLONIES_CONFIG": os.devnull}

    async def python(self, *arguments: str) -> str:
        """What a program prints that ends well and complains of nothing."""
        with trio.fail_after(PATIENCE_S):
            ran = await trio.run_process(
                [sys.executable, "-W", "error", *arguments],
                env=self.environ,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        assert (ran.returncode, ran.stderr) == (0, b"")
        return str(ran.stdout.decode())


@asynccontextmanager
async def script(path: Path, environ: dict[str, str]) -> AsyncIterator[Spoken]:
    """A running program of Python; it gets SIGTERM when the block ends."""
    process = await trio.lowlevel.open_process(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ, cwd="/"
    )
    spoken = Spoken(process)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spoken.listen)
        try:
            yield spoken
        finally:
            process.terminate()
            with trio.move_on_after(PATIENCE_S) as scope:
                scope.shield = True
                await process.wait()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with colonies_node("dev", "--port", "0", "--data", str(tmp_path / "dev")) as dev:
        await dev.until("ready:")
        exports = [line.removeprefix("export ") for line in dev.lines if line.startswith("export ")]
        lab = Lab(dict(line.split("=", 1) for line in exports))
        async with script(EXAMPLES / "sums.py", {**lab.environ, "COLONIES_DATA": str(tmp_path / "sums")}) as sums:
            await sums.until("ready: executor sums of type sums")
            yield lab


async def test_every_example_prints_what_it_promises(lab: Lab) -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*PRINTS, "sums"}
    for name, prints in PRINTS.items():
        assert (name, await lab.python(str(EXAMPLES / f"{name}.py"))) == (name, prints)


async def test_the_colony_sees_the_function_with_its_arguments(lab: Lab) -> None:
    listed: list[dict[str, Any]] = json.loads(
        await lab.python("-m", "colonies_node", "function", "ls", "--name", "sums", "--json")
    )
    assert [(function["funcname"], function["description"], function["args"]) for function in listed] == [
        (
            "add",
            "Add two numbers.",
            [
                {"name": "first", "type": "float", "required": True},
                {"name": "second", "type": "float"},
            ],
        )
    ]


async def test_the_same_file_is_offered_by_the_command_line(lab: Lab, tmp_path: Path) -> None:
    arguments = ("--fn", str(EXAMPLES / "sums.py"), "--name", "other", "--type", "other", "--data", str(tmp_path / "o"))
    async with colonies_node("execute", *arguments, **variables(lab)) as other:
        await other.until("ready: executor other of type other")
        call = "from colonies_node import SyncClient as C\nwith C() as c: print(c.run('add', '1', '2.5', type='other'))"
        assert await lab.python("-c", call) == "3.5\n"


def variables(lab: Lab) -> dict[str, str]:
    return {name: value for name, value in lab.environ.items() if name.startswith("COLONIES_")}


@pytest.mark.parametrize(("name", "most"), [("sums", 10), ("submit", 5)])
def test_it_takes_as_few_lines_as_the_manual_says(name: str, most: int) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    docstrings = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr)]
    said = [node for node in docstrings if isinstance(node.value, ast.Constant)][:1]
    lines = [line for line in text.splitlines()[said[0].end_lineno :] if line.strip()]
    assert len(lines) <= most


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_the_manual_shows_the_example_as_it_is(path: Path) -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    assert f"```python\n# examples/{path.name}\n{body(path)}```" in page


def body(path: Path) -> str:
    """An example without the docstring, which is for who finds the file alone."""
    text = path.read_text()
    return text.split('"""', 2)[2].lstrip("\n")
