"""`install-service`: a systemd unit for `serve` or `execute`."""

from __future__ import annotations

import difflib
import os
import site
import stat
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from colonies_node import config
from colonies_node.cli import systemd
from colonies_node.cli.verb import verb
from colonies_node.core.errors import SettingRefused
from colonies_node.keyfiles import read_key_file
from colonies_node.settings import BOOL, FUNCTIONS, SETTINGS, Row, Settings
from colonies_node.unit import LOWEST_FREE_PORT, Syntax, Unit, check_name

NAMES = {"serve": "colonies-node", "execute": "colonies-executor"}
"""Command → the name of its service, if none is given."""

HOMES = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""What a hardened service does not see."""

ROOTS_FILES = ("tls_cert", "tls_key")
"""Settings that name files which often only root may read, beside the key files."""


@verb(
    "install-service",
    None,
    "colonies-node install-service serve -- --host 0.0.0.0\n"
    "colonies-node install-service execute --run-as ada -- --colony lab --shell --colony-prvkey /etc/lab.key\n"
    "colonies-node install-service serve --user --print\n"
    "colonies-node install-service serve --remove",
)
@click.argument("command", type=click.Choice(list(NAMES)), metavar="serve|execute")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- FLAGS...]")
@click.option(
    "--system/--user", default=None, help="A service of the machine, or of your own (default: as root or not)."
)
@click.option("--name", metavar="NAME", help="Name of the service (default: colonies-node or colonies-executor).")
@click.option(
    "--run-as", metavar="USER", default="", help="User of a system service (default: one that systemd makes)."
)
@click.option("--enable/--no-enable", default=True, help="Start it now and whenever the machine starts (default: yes).")
@click.option("--print", "print_it", is_flag=True, help="Print the unit and do nothing.")
@click.option("--path", metavar="FILE", help="Write the unit to this file and do nothing else.")
@click.option("--remove", is_flag=True, help="Stop the service and remove its unit; its data stays.")
def command(
    command: str,
    arguments: tuple[str, ...],
    system: bool | None,
    name: str | None,
    run_as: str,
    enable: bool,
    print_it: bool,
    path: str | None,
    remove: bool,
) -> None:
    """Let systemd start serve or execute when this machine starts.

    The flags of serve or execute follow after `--`. The unit runs the program that runs now, where it is: after an
    update of that file, restart the service. It holds no key: name key files. Run the command again to change the unit.
    """
    if system is None:
        system = os.geteuid() == 0
    if run_as and not system:
        raise click.UsageError("A service of your own runs as you: --run-as goes with --system.")
    if sum((print_it, path is not None, remove)) > 1:
        raise click.UsageError("Give one of --print, --path and --remove.")
    name = check_name(name or NAMES[command])
    manager = systemd.Manager(system)
    if remove:
        _remove(manager, name)
        return
    plan = Plan.of(command, arguments, system)
    unit = plan.unit(name, run_as, 0 if print_it or path else systemd.version())
    if print_it:
        click.echo(unit.text(), nl=False)
    elif path is not None:
        target = Path(path).expanduser().absolute()
        systemd.write(target, unit.text())
        click.echo(f"Wrote {target}. It becomes a service in {manager.units}, as {name}.service.")
    else:
        plan.check_reach(unit)
        _install(manager, unit, enable)
    for note in plan.notes():
        click.echo(f"Note: {note}", err=True)


# -- what is asked for ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """The command with its flags as they were given, read and found good."""

    command: str
    system: bool
    flags: Mapping[str, Any]
    toml: Path | None
    settings: Settings

    @classmethod
    def of(cls, command: str, arguments: Sequence[str], system: bool) -> Plan:
        """Read the flags as the command itself does; click's and the settings' own sentences if they are wrong."""
        target: click.Command = import_module(f"colonies_node.cli.{command}").command
        root = click.get_current_context().find_root()
        given = dict(target.make_context(command, list(arguments), parent=root).params)
        named = given.pop("config_file") or os.environ.get("COLONIES_CONFIG")
        flags = {name: value for name, value in given.items() if value not in (None, ())}
        # A user's own node.toml is not the machine's.
        toml = config.toml_file(named, os.environ) if named or not system else None
        toml = toml.absolute() if toml else None
        # Of the environment only where the user's folders are: the rest is gone when the service starts.
        places = {name: os.environ[name] for name in ("XDG_DATA_HOME",) if name in os.environ}
        settings = config.load(command, flags, places, toml, open_key=_key_file)
        if command == "execute":
            from colonies_node.device.offering import check

            check(settings)
        return cls(command, system, flags, toml, settings)

    def unit(self, name: str, run_as: str, version: int) -> Unit:
        """The unit; SettingRefused for what no unit can do."""
        settings, system = self.settings, self.system
        chosen = settings.source("data") != "default"
        if system and chosen and not run_as:
            raise SettingRefused(
                f"The folder {settings.data} belongs to somebody: give --run-as USER, or leave --data out and systemd "
                f"makes /var/lib/{name}."
            )
        data = settings.data if chosen or not system else None
        return Unit(
            name=name,
            command=self.command,
            program=program(),
            arguments=[*self._words(), Syntax(f"--data=%S/{name}") if data is None else f"--data={data}"],
            system=system,
            run_as=run_as,
            credentials=self._credentials() if system else {},
            environment=surroundings(),
            folder=Path.cwd() if settings.functions else None,
            data=data,
            grace=settings.grace,
            low_port=self.command == "serve" and 0 < settings.port < LOWEST_FREE_PORT,
            systemd=version,
        )

    def _words(self) -> Iterator[str]:
        """The flags, each as one word, with whole paths; files that only root may read by their credentials."""
        if self.toml:
            yield f"--config={self.toml}"
        credentials = self._credentials() if self.system else {}
        for name, row in SETTINGS.items():
            if name in credentials:
                yield Syntax(f"{row.flags[0]}=${{CREDENTIALS_DIRECTORY}}/{name}")
            elif name in self.flags and name != "data":
                yield from _flag(row, self.flags[name])

    def _credentials(self) -> dict[str, Path]:
        """The files of keys and certificates: setting → file, whether a flag or node.toml names it."""
        names = (name for name, row in SETTINGS.items() if row.secret or name in ROOTS_FILES)
        return {name: Path(value) for name in names if (value := getattr(self.settings, name))}

    def notes(self) -> Iterator[str]:
        """What the user may have taken for granted and is not so."""
        rows = [row for row in SETTINGS.values() if self.command in row.commands and row.name not in self.flags]
        if left := [name for row in rows for name in row.env if os.environ.get(name)]:
            yield f"{', '.join(left)} of this shell does not reach the service: give flags, or --config with a file."
        own = config.toml_file(None, {name: text for name, text in os.environ.items() if name == "XDG_CONFIG_HOME"})
        if own and self.toml is None:
            yield f"{own} is your own and not the machine's: name a file with --config."

    def check_reach(self, unit: Unit) -> None:
        """Refuse what the service's user could not read, or would not see."""
        if not unit.system:
            return
        reader = _reader(unit.run_as)
        for what, path in self._needed(unit):
            places = (path, Path(os.path.realpath(path)))
            if unit.homeless and any(place.is_relative_to(home) for place in places for home in HOMES):
                raise SettingRefused(f"{what} {path} is in a folder that the service does not see: put it elsewhere.")
            if (closed := closed_to(path, *reader)) is not None:
                who = unit.run_as or "the service's user"
                raise SettingRefused(f"{what} {path} cannot be read by {who}, because of the permissions of {closed}.")

    def _needed(self, unit: Unit) -> Iterator[tuple[str, Path]]:
        yield "The Python", Path(unit.program[0])
        yield "The program", Path(unit.program[1]) if zipped() else Path(__file__)
        if self.toml:
            yield "The file", self.toml
        if unit.folder:
            yield "The folder", unit.folder
        if unit.data:
            yield "The folder", unit.data
        if isinstance(self.settings.tls_verify, str):
            yield "The file", Path(self.settings.tls_verify)
        for upstream in self.settings.upstreams:
            if upstream.keyfile:
                yield "The key file", Path(upstream.keyfile)


def _flag(row: Row, given: Any) -> Iterator[str]:
    """A setting's flag with its value, as words that need no folder to be right in."""
    found = config.given(row, {row.name: given}, {}, {})
    assert found is not None
    value = config.read(row, found, None, _key_file)
    if row.kind is BOOL:
        on, _, off = row.flags[0].partition("/")
        yield on if value else off
    elif row.kind is FUNCTIONS:
        yield from (f"{row.flags[0]}={one}" for one in given)
    else:
        yield f"{row.flags[0]}={str(value).lower() if isinstance(value, bool) else value}"


def _key_file(value: str) -> str:
    """The path of a plain key file; refuses the key itself, and what a service could not open."""
    if config.is_bare_key(value):
        raise SettingRefused("Every user of this machine can read a unit: name a key file, not the key itself.")
    path = Path(value).expanduser().absolute()
    if not config.is_bare_key(read_key_file(path)):
        raise SettingRefused(f"{path} is encrypted, and a service has nobody to ask for the passphrase.")
    return str(path)


# -- the program, and who can read it ------------------------------------------------------------------------


def zipped() -> bool:
    """Whether the program is the one file."""
    return zipfile.is_zipfile(sys.argv[0])


def program() -> list[str]:
    """What runs now: this Python with the one file, or with the package."""
    return [sys.executable, str(Path(sys.argv[0]).absolute())] if zipped() else [sys.executable, "-m", "colonies_node"]


def surroundings() -> dict[str, str]:
    """Where this Python finds a package that is not installed, as in a checkout."""
    parent = str(Path(__file__).parents[2])
    installed = zipped() or parent in (*site.getsitepackages(), site.getusersitepackages())
    return {} if installed else {"PYTHONPATH": parent}


def _reader(user: str) -> tuple[int, set[int]]:
    """The user and groups as which the service will read; -1 for a user who owns nothing."""
    import pwd

    if not user:
        return -1, set()
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise SettingRefused(f"There is no user {user} on this machine.") from None
    return entry.pw_uid, set(os.getgrouplist(user, entry.pw_gid))


def closed_to(path: Path, uid: int, gids: set[int]) -> Path | None:
    """The first part of a path whose permissions, or whose absence, keep a user from reading it; None if none does."""
    for place in (path, Path(os.path.realpath(path))):
        for part in (*reversed(place.parents), place):
            try:
                status = part.stat()
            except OSError:
                return part
            shift = 6 if status.st_uid == uid else 3 if status.st_gid in gids else 0
            needed = 0o1 if stat.S_ISDIR(status.st_mode) else 0o4
            if uid != 0 and not status.st_mode >> shift & needed:
                return part
    return None


# -- what is done --------------------------------------------------------------------------------------------


def _install(manager: systemd.Manager, unit: Unit, enable: bool) -> None:
    _need_systemd(manager)
    text, path = unit.text(), manager.units / f"{unit.name}.service"
    if packaged := next((folder for folder in systemd.PACKAGED_UNITS if (folder / path.name).exists()), None):
        raise click.ClickException(f"{packaged / path.name} is a service of the system: give --name another name.")
    before = systemd.read(path)
    if before != text:
        systemd.write(path, text)
        _show_change(path, before, text)
    else:
        click.echo(f"{path} is as it should be.")
    manager.call("daemon-reload")
    if not enable:
        click.echo(f"It is not started: {manager.words} enable --now {unit.name}")
        return
    manager.call("enable", "--now", path.name)
    journal = "journalctl -f -u" if unit.system else "journalctl --user -f -u"
    click.echo(f"Enabled and started. What it says: {journal} {unit.name}")
    if before and before != text:
        # Not restarted here: an executor's running work would have to end.
        click.echo(f"If it ran before, the change counts from its next start: {manager.words} restart {unit.name}")
    if not unit.system and not (systemd.LINGERING / _user_name()).exists():
        click.echo("It starts when you log in. To start it with the machine: loginctl enable-linger")


def _show_change(path: Path, before: str, after: str) -> None:
    if not before:
        click.echo(f"Wrote {path}.")
        return
    click.echo(f"Changed {path}:")
    for line in list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))[2:]:
        if not line.startswith("@@"):
            click.echo(f"  {line}")


def _remove(manager: systemd.Manager, name: str) -> None:
    path = manager.units / f"{name}.service"
    if not systemd.read(path):
        raise click.ClickException(f"There is no {path}.")
    if systemd.RUNNING.is_dir():
        manager.call("disable", "--now", path.name)
    try:
        path.unlink()
    except OSError as fault:
        raise click.ClickException(f"{path} cannot be removed: {fault.strerror}.") from None
    if systemd.RUNNING.is_dir():
        manager.call("daemon-reload")
    kept = f"Its data stays in /var/lib/{name}, unless --data named another folder." if manager.system else ""
    click.echo(f"Stopped, and removed {path}. {kept or 'Its data stays.'}")


def _need_systemd(manager: systemd.Manager) -> None:
    if not systemd.RUNNING.is_dir():
        raise click.ClickException(
            "systemd does not run this machine. --print shows the unit, and --path FILE writes it for another."
        )


def _user_name() -> str:
    import getpass

    return getpass.getuser()
