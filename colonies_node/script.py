"""`execute`: an executor that is a script of its user's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colonies_node.settings import Settings

from colonies_node.core.errors import ColonyError, SettingRefused

_DEVICE = Path(__file__).resolve().parent / "device"
"""Where the scripts are that run functions (device/child.py)."""


def execute(functions: Sequence[str] = (), **settings: object) -> None:
    """Be an executor that offers the marked functions of this script, until SIGTERM or Ctrl-C.

    `functions` are others to offer, as `--fn` has them. `settings` are those of `colonies-node execute` by the names
    that docs/configuration.md has, with `colony`, `type` and `name` for short; what is not given comes from the
    environment and node.toml. Call it below `if __name__ == "__main__":`, because the interpreters that call the
    functions import the script. What is wrong with the settings ends the program with one sentence.
    """
    try:
        _execute(functions, settings)
    except ColonyError as fault:
        sys.exit(f"Error: {fault.message}")


SHORT = {"colony": "colony_name", "type": "executor_type", "name": "executor_name"}
"""What a setting is called in a script → its name."""


def _execute(functions: Sequence[str], given: dict[str, object]) -> None:
    import trio

    from colonies_node import config
    from colonies_node.cli import journal
    from colonies_node.device import executor
    from colonies_node.keyfiles import open_key

    flags: dict[str, object] = {SHORT.get(name, name): value for name, value in given.items()}
    known = [name for name, row in config.SETTINGS.items() if "execute" in row.commands]
    for name in flags:
        if name not in known:
            hint = config.nearest(name, [*known, *SHORT]) or "docs/configuration.md lists them."
            raise SettingRefused(f"execute() has no setting {name!r}: {hint}")
    offered = flags["functions"] = tuple(functions) or (place(sys.modules["__main__"]),)
    found = config.load("execute", flags, os.environ, config.toml_file(None, os.environ), open_key=open_key)
    found = _with_its_own(found, short_name(offered[0]))
    journal.start(found.verbose)
    trio.run(partial(executor.execute, found, say=partial(print, flush=True)))


def _with_its_own(settings: Settings, script: str) -> Settings:
    """A name and a folder that are this script's, where nobody said what they are: several scripts on one machine are
    several executors."""
    own: dict[str, Any] = {}
    if settings.source("executor_name") == "default":
        own["executor_name"] = f"{settings.executor_name}-{script}"
    if settings.source("data") == "default":
        own["data"] = settings.data.with_name(f"execute-{script}")
    return replace(settings, **own)


def short_name(offered: str) -> str:
    """What a module, file or function is called, for people."""
    module = offered.partition(":")[0]
    return Path(module).stem if module.endswith(".py") else module.removesuffix(".__main__").rpartition(".")[2]


def place(script: ModuleType) -> str:
    """Where an interpreter of its own finds a script: the name of its module if it was started by that (`python -m`),
    else its file. Raises SettingRefused."""
    if script.__spec__ is not None and script.__spec__.name != "__main__":
        return script.__spec__.name
    file = getattr(script, "__file__", None)
    if file is None:
        raise SettingRefused("execute() offers the functions of a script, and this is none: give functions=[...].")
    path = Path(file).absolute()
    if path.resolve().parent == _DEVICE:
        raise SettingRefused(
            "execute() was called while the script's functions were looked for: put the call below"
            ' `if __name__ == "__main__":`'
        )
    return str(path)
