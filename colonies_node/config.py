"""What is set: every setting of settings.py with its value, from the strongest source that gives one.

The order is flag, environment, node.toml, default; an empty variable counts as not set. In the reference some
variables win over flags; here a flag always wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from colonies_node.core.errors import BadRequest, SettingRefused
from colonies_node.settings import KEY, NODES, PATH, SETTINGS, VERIFY, Row, Settings

__all__ = ["SETTINGS", "Settings", "load", "need", "read_toml", "toml_file"]

LINKS = "upstream"
"""What is no setting in a node.toml: the tables [upstream.NAME], links to other nodes (upstream.py)."""

OpenKey = Callable[[str], str]
"""From what a key setting holds (64 hex characters or a path) to the private key; raises KeyRefused."""


@dataclass(frozen=True)
class Given:
    """A value as it was given, not read yet: by which source, under which name."""

    value: object
    source: str
    label: str


def given(
    row: Row, flags: Mapping[str, object], environ: Mapping[str, str], toml: Mapping[str, object]
) -> Given | None:
    """What a setting was given, by the strongest source that gives it; None leaves it to the default."""
    if (value := flags.get(row.name)) is not None and value != ():
        return Given(value, "flag", row.flags[0])
    for variable in row.env:
        if text := environ.get(variable):
            return Given(text, f"environment {variable}", variable)
    if row.name in toml:
        return Given(toml[row.name], "node.toml", f"{row.name} in node.toml")
    return None


def load(
    command: str,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    toml_path: Path | None = None,
    *,
    open_key: OpenKey | None = None,
) -> Settings:
    """The settings for a command of COMMANDS; one that it does not take keeps its default and opens no key.

    Raises SettingRefused with a sentence that names the flag, variable or line; KeyRefused from `open_key`.
    """
    toml = read_toml(toml_path) if toml_path else {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, row in SETTINGS.items():
        if command not in row.commands:
            continue
        if found := given(row, flags, environ, toml):
            values[name] = read(row, found, toml_path, open_key)
            sources[name] = found.source
        elif (derive := DERIVED.get(name)) is not None:
            values[name] = derive(command, environ)
    if command in NODES and LINKS in toml:
        from colonies_node import upstream

        values["upstreams"] = upstream.in_file(toml[LINKS], toml_path, colony_name(environ, toml, toml_path))
    settings = Settings(**values, sources=sources)
    return _checked_node(settings) if command in NODES else _checked_reach(settings)


def read(row: Row, found: Given, toml_path: Path | None, open_key: OpenKey | None) -> object:
    """The value of what was given, checked; SettingRefused with a sentence if it cannot be.

    A path becomes absolute, because work runs in folders of its own: from node.toml it stands beside that file.
    """
    try:
        value = row.kind.parse(found.value)
    except ValueError:
        raise SettingRefused(f"{found.label} must be {row.kind.expected}{_instead(row, found)}.") from None
    except BadRequest as no:
        raise SettingRefused(f"{found.label} must be {row.kind.expected}. {no.message}") from None
    in_file = found.source == "node.toml" and toml_path is not None
    folder = toml_path.parent if in_file and toml_path else Path()
    if row.kind is PATH:
        value = (folder / value).absolute()
    elif row.kind is VERIFY and isinstance(value, str):
        value = str((folder / value).absolute())
    elif row.secret and in_file:
        if is_bare_key(value):
            raise SettingRefused(f"{found.label} must name a key file: the key itself is no setting.")
        value = str((folder / Path(value).expanduser()).absolute())
    if row.secret:
        return (open_key or _bare_key)(value)
    return value


def _instead(row: Row, found: Given) -> str:
    """What was given instead, for a sentence; a flag that may be given again holds several."""
    if row.secret:
        return ""
    value = found.value
    return f", not {', '.join(map(repr, value)) if isinstance(value, tuple) else repr(value)}"


def is_bare_key(text: str) -> bool:
    """Whether the text is a private key itself and not the path of a file that holds one."""
    return re.fullmatch(r"[0-9a-fA-F]{64}", text) is not None


def _bare_key(text: str) -> str:
    if not is_bare_key(text):
        raise SettingRefused(f"A key must be {KEY.expected}.")
    return text


def need(settings: Settings, name: str) -> Any:
    """A setting's value; SettingRefused with how to give it if it has none."""
    value = getattr(settings, name)
    if value is None or value == "":
        row = SETTINGS[name]
        raise SettingRefused(f"{row.help.rstrip('.')} is missing: {row.ways()}.")
    return value


def _data_folder(command: str, environ: Mapping[str, str]) -> Path:
    home = environ.get("XDG_DATA_HOME") or "~/.local/share"
    owner = "execute" if command == "device" else command  # the device is the executor's
    return Path(home).expanduser().absolute() / "colonies-node" / owner


def _machine_name(command: str, environ: Mapping[str, str]) -> str:
    return machine_name()


def machine_name() -> str:
    """The name of this machine, as an executor's."""
    import socket

    return socket.gethostname().replace(":", "-") or "executor"


def _memory_limit(command: str, environ: Mapping[str, str]) -> int:
    """Less than all, so that a greedy program ends before it takes the machine down with it."""
    import os

    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 10 * 9
    except (OSError, ValueError):
        return 0


DERIVED: Mapping[str, Callable[[str, Mapping[str, str]], object]] = {
    "data": _data_folder,
    "executor_name": _machine_name,
    "limit_memory": _memory_limit,
}
"""Defaults that are found out at start: (command, environment) → value."""

_STRENGTH = {"default": 0, "node.toml": 1, "environment": 2, "flag": 3}


def _checked_node(settings: Settings) -> Settings:
    """Refuse what contradicts itself.

    TLS is on when a certificate and its key are given, unless something as strong says no.
    """
    if settings.retention and not settings.retention_policy:
        raise SettingRefused(
            "Retention is on without an age: give --retention-policy SECONDS (COLONIES_RETENTION_POLICY), "
            "or every successful process would be deleted at once."
        )
    said, named = (settings.source(name).split()[0] for name in ("tls", "tls_cert"))
    if said != "default" and not settings.tls and _STRENGTH[said] >= _STRENGTH[named]:
        return replace(settings, tls_cert=None, tls_key=None)
    if bool(settings.tls_cert) != bool(settings.tls_key):
        missing = "--tls-key" if settings.tls_cert else "--tls-cert"
        raise SettingRefused(f"TLS needs a certificate and its key: give {missing} too.")
    if settings.tls and not settings.tls_cert:
        raise SettingRefused(f"TLS is on ({settings.source('tls')}) without --tls-cert and --tls-key.")
    for name, path in (("Cert", settings.tls_cert), ("Key", settings.tls_key)):
        if path and not path.is_file():
            raise SettingRefused(f"Failed to load TLS {name}: {path}")
    return replace(settings, tls=settings.tls_cert is not None)


def _checked_reach(settings: Settings) -> Settings:
    if isinstance(settings.tls_verify, str) and not Path(settings.tls_verify).is_file():
        raise SettingRefused(f"The file of certificates {settings.tls_verify} is not there.")
    return settings


def toml_file(flag: str | None, environ: Mapping[str, str]) -> Path | None:
    """The node.toml to read: as the flag or COLONIES_CONFIG names it, else the user's own if there is one."""
    if named := flag or environ.get("COLONIES_CONFIG"):
        return Path(named).expanduser()
    home = environ.get("XDG_CONFIG_HOME") or "~/.config"
    own = Path(home).expanduser() / "colonies-node" / "node.toml"
    return own if own.is_file() else None


def read_toml(path: Path) -> dict[str, object]:
    """The settings of a node.toml. Raises SettingRefused if it cannot be read or names what is no setting."""
    import tomllib

    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except OSError as fault:
        raise SettingRefused(f"{path} cannot be read: {fault.strerror}.") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise SettingRefused(f"{path} is not TOML: {fault}.") from fault
    for key in found:
        if key not in SETTINGS and key != LINKS:
            hint = nearest(key, (*SETTINGS, LINKS)) or "`colonies-node config show` lists the names."
            raise SettingRefused(f"{path} has no setting {key!r}: {hint}")
    if LINKS in found:
        from colonies_node import upstream

        upstream.check_keys(path, found[LINKS])
    return found


def colony_name(environ: Mapping[str, str], toml: Mapping[str, object], toml_path: Path | None) -> str:
    """The name of the colony as a variable or the file sets it, for what does not take it as a setting; empty if
    neither does."""
    row = SETTINGS["colony_name"]
    found = given(row, {}, environ, toml)
    return str(read(row, found, toml_path, None)) if found else ""


def nearest(word: str, words: Iterable[str]) -> str:
    """A question whether one of these words was meant; empty if none is like it."""
    from difflib import get_close_matches

    near = get_close_matches(word, words, n=1, cutoff=0.7)
    return f"did you mean {near[0]!r}?" if near else ""
