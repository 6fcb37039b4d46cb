"""Python functions, each call in its own interpreter (`child.py`), so that none can harm the executor."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from colonies_node.core.errors import SettingRefused
from colonies_node.device.runners import Errand, NotRun, Written, demand_success
from colonies_node.device.supervised import Ended, Program

_CHILD = Path(__file__).parent.parent / "child.py"

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes of a return value as JSON: half of what a server of ours takes in one request."""


@dataclass(frozen=True)
class Offer:
    """A function that is offered: its name on the wire, where it is, and what its signature and docstring
    say.
    """

    name: str
    target: str
    description: str
    args: Sequence[Mapping[str, Any]]


class PythonRunner:
    """Runs the functions given by `--fn`; the return value is the output."""

    def __init__(self, offers: Sequence[Offer], path: Sequence[str]) -> None:
        self.targets = {offer.name: offer.target for offer in offers}
        self._path = list(path)

    def offers(self, funcname: str) -> bool:
        """Whether it was given."""
        return funcname in self.targets

    def prepare(self, errand: Errand) -> Program:
        """An interpreter that calls the function; what to call, and with what, is in a file."""
        call = {
            "path": self._path,
            "function": self.targets[errand.spec["funcname"]],
            "args": errand.spec.get("args") or [],
            "kwargs": errand.spec.get("kwargs") or {},
            "env": {name: text for name, text in errand.wishes.items() if not name.startswith("COLONIES_")},
        }
        (errand.folder / "call.json").write_text(json.dumps(call))
        argv = [*_interpreter(), "call", str(errand.folder / "call.json"), str(errand.folder / "answer.json")]
        return Program(argv, errand.env, errand.files)

    def output(self, errand: Errand, ended: Ended, written: Written) -> list[Any]:
        """What the function returned. Raises NotRun with the type and text of its exception."""
        answer = errand.folder / "answer.json"
        if not answer.exists():
            demand_success(errand.spec["funcname"], ended, written)
            raise NotRun(f"{errand.spec['funcname']} ended its interpreter without giving a result.")
        if answer.stat().st_size > MAX_ANSWER:
            raise NotRun(f"{errand.spec['funcname']} returned more than {MAX_ANSWER >> 20} MiB.")
        said = json.loads(answer.read_bytes())
        if "error" in said:
            raise NotRun(said["error"])
        out: list[Any] = said["out"]
        return out


async def describe(functions: Sequence[str], path: Sequence[str], env: Mapping[str, str]) -> list[Offer]:
    """Look at the functions, in an interpreter of their own: their modules are not for the executor's.

    A module without a function's name stands for all that are marked in it. Raises SettingRefused with a sentence about
    the first that cannot be offered.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = await _ask({"path": list(path), "functions": list(functions)}, trio.Path(folder), env)
    if "error" in answer:
        raise SettingRefused(answer["error"])
    offers = [Offer(**about) for about in answer["out"]]
    names = [offer.name for offer in offers]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SettingRefused(f"Two functions have the same name: {', '.join(sorted(twice))}.")
    return offers


async def _ask(question: Mapping[str, Any], folder: trio.Path, env: Mapping[str, str]) -> Any:
    ask, answer = folder / "call.json", folder / "answer.json"
    await ask.write_text(json.dumps(question))
    ended = await trio.run_process(
        [*_interpreter(), "describe", str(ask), str(answer)],
        env=env,
        check=False,
        capture_stdout=True,
        stderr=subprocess.STDOUT,
    )
    if not await answer.exists():
        said = (ended.stdout or b"").decode(errors="replace").strip().rpartition("\n")[2]
        raise SettingRefused(f"The functions could not be loaded: {said or 'their interpreter ended'}.")
    return json.loads(await answer.read_bytes())


def search_path() -> list[str]:
    """Where a function's modules are looked for: where the executor was started, then its own path."""
    return list(dict.fromkeys(str(Path(entry).absolute()) for entry in ["", *sys.path]))


def _interpreter() -> list[str]:
    return [sys.executable, "-I", "-u", str(_CHILD)]
