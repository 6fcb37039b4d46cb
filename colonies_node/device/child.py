"""Calls a Python function for the executor, in an interpreter of its own. A script: standard library only
until then.

`child.py call|describe ASK ANSWER`: both are JSON files. ASK holds `path` (for the imports) and, for a call,
`function` (module:name), `args`, `kwargs` and `env`; for a description `functions`. ANSWER gets `{"out":
...}` or `{"error": sentence}`.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any


def main() -> None:
    task, ask, answer = sys.argv[1:]
    with open(ask, encoding="utf-8") as file:
        request = json.load(file)
    sys.path[:] = request["path"]
    sys.argv[1:] = []
    said = {"call": call, "describe": describe}[task](request)
    sys.stdout.flush()
    with open(f"{answer}.new", "w", encoding="utf-8") as file:
        file.write(said)
    os.replace(f"{answer}.new", answer)


def call(request: dict[str, Any]) -> str:
    """Call the function; the answer as JSON. A traceback goes to standard error, and so to the log."""
    os.environ.update(request["env"])
    try:
        function = find(request["function"])
        value = function(*request["args"], **request["kwargs"])
        if inspect.isawaitable(value):
            value = _await(value)
    except BaseException as error:
        _, _, trace = sys.exc_info()
        traceback.print_exception(type(error), error, trace and trace.tb_next)
        return json.dumps({"error": sentence(error)})
    out = [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
    try:
        return json.dumps({"out": out}, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return json.dumps({"error": f"What {function.__name__} returned has no form in JSON: {error}"})


def describe(request: dict[str, Any]) -> str:
    """What the docstrings and signatures of the functions say, as JSON."""
    described = []
    for target in request["functions"]:
        try:
            function = find(target)
        except BaseException as error:
            return json.dumps({"error": f"--fn {target} cannot be offered: {sentence(error)}."})
        described.append({"target": target, "description": first_line(function), "args": arguments(function)})
    return json.dumps({"out": described})


def find(target: str) -> Callable[..., Any]:
    """The function that `package.module:function` names."""
    module, _, name = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{target} is not a function")
    return found  # type: ignore[no-any-return]


def first_line(function: Callable[..., Any]) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(function) or "").partition("\n")[0]


def arguments(function: Callable[..., Any]) -> list[dict[str, Any]]:
    """The parameters of a function as the wire describes them: name, type, required."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in functions do not tell
        return []
    return [
        {
            "name": parameter.name,
            "type": _type_name(parameter.annotation),
            "required": parameter.default is parameter.empty,
        }
        for parameter in parameters
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def sentence(error: BaseException) -> str:
    """`Type: message`, or the type alone for an error without words."""
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name


def _type_name(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return "any"
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _await(awaitable: Any) -> Any:
    import trio

    async def finish() -> Any:
        return await awaitable

    return trio.run(finish)


if __name__ == "__main__":
    main()
