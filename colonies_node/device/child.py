"""Calls Python functions for the executor, in an interpreter of its own. A script: standard library only until then.

`child.py describe ASK ANSWER` looks at functions: ASK is a file of JSON with `path` (for the imports) and `functions`,
ANSWER gets `{"out": ...}` or `{"error": sentence}`.

`child.py serve PATH CHANNEL` takes one call after another from a socket (its descriptor is CHANNEL; PATH is JSON): a
line of JSON with `function` (module:name), `args`, `kwargs`, `env` and `folder`. It says `begun` once it has the line,
and after the call the answer as above, with `spent` if this interpreter is not fit for another call: it has children
or threads that the call left behind, or has grown.

A module may be given as the path of its file. A function that `@function` marks (functions.py, which is not imported
here) carries an object that describes it, makes arguments fit it, and makes outputs of what it returns.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

PR_SET_PDEATHSIG, SIGKILL = 1, 9

GROWTH = 256 * 1024 * 1024
"""Bytes of memory that an interpreter may have gained since its first call and still take another."""


def main() -> None:
    task, *rest = sys.argv[1:]
    sys.argv[1:] = []
    if task == "describe":
        ask, answer = rest
        with open(ask, encoding="utf-8") as file:
            request = json.load(file)
        sys.path[:] = request["path"]
        said = describe(request)
        sys.stdout.flush()
        with open(f"{answer}.new", "w", encoding="utf-8") as file:
            file.write(said)
        os.replace(f"{answer}.new", answer)
    else:
        path, channel = rest
        sys.path[:] = json.loads(path)
        serve(int(channel))


def serve(channel: int) -> None:
    """Take calls until the executor closes the channel."""
    _die_with_parent()
    os.set_inheritable(channel, False)
    environment, first = dict(os.environ), 0
    streams = sys.stdout, sys.stderr
    with open(channel, "r+b", buffering=0) as line:
        requests = _Lines(line)
        while (told := requests.next()) is not None:
            line.write(b'{"begun":true}\n')
            said = _answered(json.loads(told))
            for stream in streams:
                stream.flush()
            sys.stdout, sys.stderr = streams
            os.environ.clear()
            os.environ.update(environment)
            os.chdir("/")
            first = first or _memory()
            spent = _children() or threading.active_count() > 1 or _memory() > first + GROWTH
            try:
                line.write(b'%s,"spent":%s}\n' % (said[:-1].encode(), b"true" if spent else b"false"))
            except OSError:  # the function has closed it
                os._exit(0)


def _answered(request: dict[str, Any]) -> str:
    os.chdir(request["folder"])
    return call(request)


class _Lines:
    """The lines of a stream that is written to as well, so that nothing may be buffered beyond them."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._rest = stream, bytearray()

    def next(self) -> bytes | None:
        while b"\n" not in self._rest:
            chunk = self._stream.read(65536)
            if not chunk:
                return None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return bytes(line)


def _die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it is gone."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)


def _children() -> bool:
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children") as listing:
                if listing.read().strip():
                    return True
    except OSError:
        pass
    return False


def _memory() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 1


def call(request: dict[str, Any]) -> str:
    """Call the function; the answer as JSON. A traceback goes to standard error, and so to the log."""
    os.environ.update(request["env"])
    try:
        function = find(request["function"])
        args, kwargs = fit(function, request["args"], request["kwargs"])
    except BaseException as error:
        return failed(error)
    try:
        value = function(*args, **kwargs)
        if inspect.isawaitable(value):
            value = _await(value)
    except BaseException as error:
        return failed(error)
    try:
        return json.dumps({"out": outputs(function, value)}, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return json.dumps({"error": f"What {function.__name__} returned has no form in JSON: {error}"})


def describe(request: dict[str, Any]) -> str:
    """What the docstrings and signatures of the functions say, as JSON; of a module without a name, of all that are
    marked in it."""
    described = []
    for target in request["functions"]:
        try:
            module, _, name = target.partition(":")
            module = os.path.abspath(module) if module.endswith(".py") else module
            names = [name] if name else marked_in(load(module))
            described += [about(f"{module}:{name}") for name in names]
        except BaseException as error:
            return json.dumps({"error": f"--fn {target} cannot be offered: {sentence(error)}."})
    return json.dumps({"out": described})


def about(target: str) -> dict[str, Any]:
    """What is known of one function."""
    function = find(target)
    if mark := mark_of(function):
        return {"target": target, **mark.describe(function)}
    name = target.rpartition(":")[2].rpartition(".")[2]
    return {"target": target, "name": name, "description": first_line(function), "args": arguments(function)}


def marked_in(module: ModuleType) -> list[str]:
    """The names of a module, or of a package with what is below it, that are marked functions of its own."""
    own = (module.__name__, f"{module.__name__}.")
    found: dict[int, str] = {}
    for name, value in vars(module).items():
        place = getattr(value, "__module__", None) or ""
        if mark_of(value) and (place == own[0] or place.startswith(own[1])):
            found.setdefault(id(value), name)
    if not found:
        raise LookupError("no function in it is marked with @function")
    return list(found.values())


def mark_of(function: Any) -> Any:
    """What `@function` left on a function, if it did."""
    mark = None if isinstance(function, type) else getattr(function, "__colonies_function__", None)
    return mark if hasattr(type(mark), "describe") else None


def fit(function: Any, args: list[Any], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The arguments of a call: made to fit a marked function, else as they came."""
    mark = mark_of(function)
    return mark.fit(function, args, kwargs) if mark else (args, kwargs)


def outputs(function: Any, value: Any) -> list[Any]:
    """What a function returned, as a list of outputs."""
    if mark := mark_of(function):
        return mark.outputs(value)  # type: ignore[no-any-return]
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def failed(error: BaseException) -> str:
    """The answer for an error; its traceback goes to standard error, unless the caller alone is to blame."""
    if getattr(error, "callers_fault", False):
        return json.dumps({"error": str(error)})
    trace = error.__traceback__
    traceback.print_exception(type(error), error, trace and trace.tb_next)
    return json.dumps({"error": sentence(error)})


def load(module: str) -> ModuleType:
    """A module by its name, or by the path of its file, in whose folder its imports are looked for first."""
    if not module.endswith(".py"):
        return importlib.import_module(module)
    folder, file = os.path.split(module)
    if folder not in sys.path[:1]:
        sys.path.insert(0, folder)
    found = importlib.import_module(file.removesuffix(".py"))
    if not (found.__file__ and os.path.exists(module) and os.path.samefile(found.__file__, module)):
        raise ImportError(f"another module has the name of {file}: rename the file")
    return found


def find(target: str) -> Callable[..., Any]:
    """The function that `package.module:function` names."""
    module, _, name = target.partition(":")
    found: Any = load(module)
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
