"""What all commands share: settings become flags, and a command gets what it needs to talk to a server."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from colonies_node import config
from colonies_node.keyfiles import open_key
from colonies_node.settings import BOOL, CLIENTS, FUNCTIONS, SETTINGS, VERIFY, Row, Settings

ALIASES = {"rm": "remove", "list": "ls", "delete": "remove"}
"""Second spellings of verbs, in every noun that has the first."""


class SettingOption(click.Option):
    """A flag that comes from the table of settings: help shows it apart from the command's own."""


class Command(click.Command):
    """A command whose help shows its own options first and the settings below."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        settings: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                (settings if isinstance(param, SettingOption) else own).append(record)
        for title, records in (("Options", own), ("Settings (flag, variable, or node.toml)", settings)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Noun(click.Group):
    """A group of verbs about one kind of thing; `aliases` are further spellings of some verbs."""

    def __init__(self, name: str, *, help: str, aliases: Mapping[str, str] | None = None) -> None:
        super().__init__(name, help=help)
        self.aliases = ALIASES | dict(aliases or {})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        return found or super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))

    def verb(
        self, name: str, takes: str | None, example: str, *, hidden: bool = False
    ) -> Callable[[Callable[..., Any]], click.Command]:
        """Add a function as a verb; see `verb`."""

        def add(function: Callable[..., Any]) -> click.Command:
            command = verb(name, takes, example, hidden=hidden)(function)
            self.add_command(command)
            return command

        return add


def verb(
    name: str, takes: str | None, example: str, *, hidden: bool = False
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command of a function: its docstring is the help, `example` stands below it.

    `takes` is one of settings.COMMANDS: its settings become flags, and the first argument is a Link for
    a command that asks a server something, else the Settings. With None it takes its options only.
    """

    def make(function: Callable[..., Any]) -> click.Command:
        options: list[click.Parameter] = list(reversed(getattr(function, "__click_params__", [])))
        callback = _with_root_flags(function if takes is None else _with_settings(takes, function))
        return Command(
            name,
            callback=callback,
            params=options + ([] if takes is None else setting_options(takes)),
            help=function.__doc__,
            epilog="\b\nExamples:\n" + "\n".join(f"  {line}" for line in example.splitlines()),
            hidden=hidden,
        )

    return make


def setting_options(takes: str) -> list[click.Parameter]:
    """The flags of a command's settings, and --config."""
    options: list[click.Parameter] = []
    for name, row in SETTINGS.items():
        if takes in row.commands:
            options.append(_option(name, row))
            if row.kind is VERIFY:
                same = "Same as --tls-verify false."
                options.append(SettingOption(["--skip-tls-verify", name], flag_value="false", help=same))
    help_text = "File of settings.  [COLONIES_CONFIG]"
    options.append(SettingOption(["--config", "config_file"], metavar="FILE", default=None, help=help_text))
    return options


def _option(name: str, row: Row) -> SettingOption:
    variables = f"  [{', '.join(row.env)}]" if row.env else ""
    default = f"  (default: {row.default})" if row.default else ""
    more: dict[str, Any] = {"default": None, "help": f"{row.help}{default}{variables}"}
    if row.kind is BOOL:
        more["is_flag"] = True
    else:
        more |= {"metavar": row.kind.metavar, "multiple": row.kind is FUNCTIONS}
    return SettingOption([*row.flags, name], **more)


def _with_settings(takes: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(**given: Any) -> Any:
        flags: dict[str, Any] = {name: given.pop(name) for name, row in SETTINGS.items() if takes in row.commands}
        toml = config.toml_file(given.pop("config_file"), os.environ)
        settings = config.load(takes, flags, os.environ, toml, open_key=open_key)
        _warn_of_open_keys(flags)
        return function(_subject(takes, settings), **given)

    return run


def _warn_of_open_keys(flags: Mapping[str, Any]) -> None:
    for name, value in flags.items():
        if SETTINGS[name].secret and value and config.is_bare_key(value):
            flag, variable = SETTINGS[name].flags[0], SETTINGS[name].env[0]
            says = f"Every user of this machine can see the key after {flag}: name a key file, or set {variable}."
            click.echo(f"Warning: {says}", err=True)


def _with_root_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let flags of the reference's kind, given before the command, count as if given after it."""

    @functools.wraps(function)
    def run(**given: Any) -> Any:
        for name, value in (click.get_current_context().find_root().obj or {}).items():
            if name in given and not given[name]:
                given[name] = value
        return function(**given)

    return run


def _subject(takes: str, settings: Settings) -> Any:
    if takes not in CLIENTS:
        return settings
    from colonies_node.cli.link import Link

    return Link(settings, takes)


def as_json(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flag --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def yes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flag --yes."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(function)


def confirm(question: str, yes: bool) -> None:
    """Ask before something is removed for ever; click.ClickException unless the answer is yes."""
    if yes:
        return
    try:
        agreed = click.confirm(f"{question} This cannot be undone.", err=True)
    except click.Abort:
        click.echo(err=True)
        if sys.stdin.isatty():
            raise
        raise click.ClickException("Nothing was removed: give --yes to remove without being asked.") from None
    if not agreed:
        raise click.ClickException("Nothing was removed.")


@contextmanager
def explained(text: str, advice: str) -> Iterator[None]:
    """Say what to do when a server refuses with this text."""
    from colonies_node.core.errors import Refused

    try:
        yield
    except Refused as refusal:
        if text not in refusal.message:
            raise
        raise click.ClickException(f"{refusal.message}: {advice}.") from None


def named(flags: str, help: str, *, required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command a value that comes as its argument or, as in the reference, as a flag.

    `flags` are the flags, of which the first without its dashes is the name of the parameter.
    """
    options = flags.split()
    name = options[0].lstrip("-")

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, **given: Any) -> Any:
            positional, flag = given.pop(f"{name}_argument"), given.pop(name)
            if positional is not None and flag is not None:
                raise click.UsageError(f"Give {name.upper()} once, as argument or as {options[0]}.")
            value = flag if positional is None else positional
            if value is None and required:
                raise click.UsageError(f"Missing argument {name.upper()}.")
            return function(*args, **given, **{name: value})

        shown = name.upper() if required else f"[{name.upper()}]"
        argument = click.argument(f"{name}_argument", required=False, metavar=shown)
        return argument(click.option(*options, name, default=None, metavar=name.upper(), help=help)(run))

    return add


def key_path(text: str) -> Path:
    """A path as the user gave it."""
    return Path(text).expanduser()
