"""The function `execute` of the published executors: a command line, and perhaps a container image to run it in.

Its kwargs are `cmd`, `args`, `init-cmd`, `docker-image`, `rebuild-image` and `network`. A shell reads the line: `cmd`
and `args` are joined by single spaces and not quoted, so quotes inside them count; `init-cmd` runs before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from colonies_node.device.runners import NotRun

FUNCTION: Final = "execute"

ARGUMENTS: Final = (
    {"name": "cmd", "type": "string", "required": True},
    {"name": "args", "type": "list", "required": False},
    {"name": "init-cmd", "type": "string", "required": False},
    {"name": "docker-image", "type": "string", "required": False},
    {"name": "rebuild-image", "type": "bool", "required": False},
    {"name": "network", "type": "bool", "required": False},
)
"""What `execute` takes, as kwargs."""

PROCESS_ID: Final = "{processid}"
"""In a command line it stands for the id of the process."""

ENVIRONMENT: Final = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "UTF-8"}
"""What the published executors set for every command line."""

MAX_LINE: Final = 128 * 1024 - 1
"""Bytes of a command line: what Linux takes as one argument (MAX_ARG_STRLEN)."""

MAX_IMAGE: Final = 1024
"""Characters of the name of an image: registries take some 400, the path of an image file may be longer."""

_YES, _NO = ("true", "yes", "1"), ("false", "no", "0", "")


def command_line(spec: Mapping[str, Any], processid: str) -> str:
    """The line for a shell: `init-cmd` in a line of its own, then `cmd` and `args`. Raises NotRun with a sentence."""
    kwargs = _kwargs(spec)
    cmd, before = _text(kwargs, "cmd"), _text(kwargs, "init-cmd")
    if not cmd.strip():
        raise NotRun("execute needs a command line: give cmd in kwargs.")
    args = kwargs.get("args") or []
    if not isinstance(args, list):
        raise NotRun("In the kwargs of execute, args is not a list.")
    last = " ".join([cmd, *map(_word, args)])
    # A line of its own, not `;`: it may end with one.
    line = (f"{before}\n{last}" if before.strip() else last).replace(PROCESS_ID, processid)
    if "\0" in line:
        raise NotRun("A command line cannot hold a NUL character.")
    if (length := len(line.encode(errors="surrogatepass"))) > MAX_LINE:
        raise NotRun(f"The command line of execute has {length} bytes; a shell takes at most {MAX_LINE}.")
    return line


def image_of(spec: Mapping[str, Any]) -> str | None:
    """The container image that is asked for; None if there is none. Raises NotRun with a sentence."""
    image = _text(_kwargs(spec), "docker-image").strip()
    if not image:
        return None
    if len(image) > MAX_IMAGE or image.startswith("-") or any(c.isspace() or not c.isprintable() for c in image):
        raise NotRun(f"The docker-image {image[:80]!r} is no name of an image.")
    return image


def asks_for(spec: Mapping[str, Any], wish: str) -> bool:
    """Whether `rebuild-image` or `network` is asked for. Raises NotRun for what is neither yes nor no."""
    value = _kwargs(spec).get(wish)
    if value is None or isinstance(value, bool):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise NotRun(f"In the kwargs of execute, {wish} is neither true nor false.")


def _kwargs(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The kwargs, if they are those of `execute`."""
    kwargs = spec.get("kwargs") or {}
    known = [str(argument["name"]) for argument in ARGUMENTS]
    if unknown := sorted(set(kwargs).difference(known)):
        raise NotRun(
            f"execute does not know these kwargs: {', '.join(name[:80] for name in unknown[:10])}. "
            f"It takes: {', '.join(known)}."
        )
    if spec.get("args"):
        raise NotRun("execute takes its arguments from args in kwargs, not from the args of the function spec.")
    return kwargs


def _text(kwargs: Mapping[str, Any], name: str) -> str:
    value = kwargs.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NotRun(f"In the kwargs of execute, {name} is not a text.")
    return value


def _word(value: object) -> str:
    """An element of `args`: texts and numbers only, since nothing is quoted."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise NotRun("In the kwargs of execute, args holds something that is neither a text nor a number.")
