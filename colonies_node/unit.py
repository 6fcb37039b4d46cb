"""The systemd unit of a `serve` or an `execute`, as text. Nothing here looks at this machine.

The unit waits for nothing: it starts without a network, and says that it is ready when it serves or waits for its
server. Each line whose reason cannot be seen has it in a comment, because a unit is read by the people who run it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from colonies_node.core.errors import SettingRefused

MARK = "# Made by `colonies-node install-service`"
"""How the first line of each unit begins that is ours to replace and to remove."""

STEPS_SINCE = 254
"""The systemd that knows growing pauses between restarts; an older one warns of the lines at each reload."""

MORE_THAN_GRACE_S = 60
"""What stopping may take beyond an executor's grace: five seconds to end its programs, thirty to remove a container,
ten for the last delivery, and some for a slow disk."""

SERVE_STOP_S = 30
LOWEST_FREE_PORT = 1024


class Syntax(str):
    """A word that is written as it stands: it has something in it that systemd replaces."""


@dataclass(frozen=True)
class Unit:
    """What a unit is made from."""

    name: str
    command: str
    """serve or execute."""
    program: Sequence[str]
    """What runs colonies-node: the interpreter and its first arguments."""
    arguments: Sequence[str]
    """What follows the command."""
    system: bool
    """A unit of the machine, not of one user's session."""
    run_as: str = ""
    """The user of a system unit; systemd makes one if it has no name."""
    credentials: Mapping[str, Path] = field(default_factory=dict)
    """Files that only root may read, by the name under which the service finds a copy of its own."""
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    """Where it is started."""
    data: Path | None = None
    """Where its data is, if not in the folder that systemd makes for it."""
    grace: int = 0
    low_port: bool = False
    """It listens on a port that is root's."""
    systemd: int = 0
    """The version of systemd that will read it; 0 for any."""

    @property
    def homeless(self) -> bool:
        """Whether people's homes and the shared /tmp are hidden from it."""
        return self.system and self.command == "serve"

    def text(self) -> str:
        """The unit."""
        blocks = [_head(self), _start(self), _restart(self), _stop(self), _folders(self)]
        blocks.append(_server(self) if self.command == "serve" else _executor(self))
        blocks.append(f"[Install]\nWantedBy={'multi-user.target' if self.system else 'default.target'}\n")
        return "\n".join(block for block in blocks if block)


def _head(unit: Unit) -> str:
    lines = [
        f"{MARK}, which also changes it;",
        f"# what stands in {unit.name}.service.d/*.conf stays when it does.",
        "",
        "[Unit]",
        f"Description=colonies-node {unit.command}: a colony {'server' if unit.command == 'serve' else 'executor'}",
    ]
    if unit.system:
        lines += [
            "# An order for the way down: the last answers still find a network. On the way up it waits for none, so",
            "# network-online.target is not here, and should not be.",
            "After=network.target",
        ]
    lines += [
        "# Never give up: what ended it (a full disk, an address that is not there yet) may be over next week.",
        "StartLimitIntervalSec=0",
    ]
    return "\n".join(lines) + "\n"


def _start(unit: Unit) -> str:
    interpreter, *rest = unit.program
    # In the path of the program itself systemd replaces no $.
    words = [quoted(interpreter, dollar="$"), *map(quoted, (*rest, unit.command, *unit.arguments))]
    lines = [
        "[Service]",
        "# It says itself when it is ready, how it is (`systemctl status`) and that it is alive; its programs may not.",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={' '.join(words)}",
    ]
    if unit.folder:
        lines += ["# The functions that it offers are looked for here first.", f"WorkingDirectory={plain(unit.folder)}"]
    lines += [f"Environment={quoted(f'{name}={text}', dollar='$')}" for name, text in unit.environment.items()]
    for name, path in unit.credentials.items():
        lines += ["# Only root can read this file; the service gets a copy that only it can read."]
        lines += [f"LoadCredential={name}:{plain(path)}"]
    lines += [
        "# The name of its lines in the journal; else they would be Python's.",
        f"SyslogIdentifier={unit.name}",
        "# A first start unpacks the program, a start after a power cut reads the store's log: on a small card with a",
        "# large store each takes minutes.",
        "TimeoutStartSec=15min",
    ]
    return "\n".join(lines) + "\n"


def _restart(unit: Unit) -> str:
    steps = """\
# Each pause is longer than the one before, up to two minutes.
RestartSteps=6
RestartMaxDelaySec=2min
"""
    return f"""\
Restart=always
RestartSec=5
{steps if unit.systemd >= STEPS_SINCE else ""}\
# A wrong command line does not mend itself.
RestartPreventExitStatus=2
# It gives a sign of life twice in this time. A worn card may let one write wait for many seconds; two minutes are
# no slowness any more. Where it hung is in the journal then.
WatchdogSec=2min
"""


def _stop(unit: Unit) -> str:
    if unit.command == "serve":
        return f"TimeoutStopSec={SERVE_STOP_S}\n"
    return f"""\
# SIGTERM goes to the executor alone, so that running work gets its grace ({unit.grace} s, --grace); killed is what is
# left of all its programs after TimeoutStopSec, which must be longer than the grace and 50 seconds.
KillMode=mixed
TimeoutStopSec={unit.grace + MORE_THAN_GRACE_S}
"""


def _folders(unit: Unit) -> str:
    if not unit.system:
        return ""
    if unit.run_as:
        lines = [f"User={plain(unit.run_as)}"]
    else:
        lines = ["# A user that exists only while the service runs, and can write nowhere but in its folders."]
        lines += ["DynamicUser=yes"]
    if unit.data is None:
        lines += [f"# /var/lib/{unit.name}: all that must be kept, its keys too. It stays when the service is removed."]
        lines += [f"StateDirectory={unit.name}", "StateDirectoryMode=0700"]
    elif unit.homeless:
        lines += [f"ReadWritePaths={quoted(str(unit.data), dollar='$')}"]
    lines += [
        f"# /var/cache/{unit.name}: where the one file unpacks itself; it may be deleted, but not while that runs."
    ]
    lines += [f"CacheDirectory={unit.name}", "CacheDirectoryMode=0700"]
    lines += [f"Environment=COLONIES_NODE_CACHE=%C/{unit.name}/unpacked"]
    return "\n".join(lines) + "\n"


def _server(unit: Unit) -> str:
    if not unit.system:
        return FILTERS
    return f"""\
# The machine: nothing of it can be changed, and people's homes are not there.
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RemoveIPC=yes
{CAPABILITY if unit.low_port else NO_CAPABILITY}\
# A core file would hold keys.
LimitCORE=0
# Others depend on it: when memory runs out, something else goes first.
OOMScoreAdjust=-500
{FILTERS}"""


NO_CAPABILITY = """\
CapabilityBoundingSet=
PrivateUsers=yes
"""

CAPABILITY = f"""\
# The port is below {LOWEST_FREE_PORT}.
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
AmbientCapabilities=CAP_NET_BIND_SERVICE
"""

FILTERS = """\
# What it asks of the kernel is what servers ask; netlink tells the resolver which addresses this machine has.
# MemoryDenyWriteExecute= is left out: the interpreter's foreign functions may need such memory.
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077
"""


def _executor(unit: Unit) -> str:
    if unit.system and unit.run_as:
        walls = """\
# It runs people's programs as this user: what the user may do, they may. Only the system's own files are kept from
# them. Stricter lines (NoNewPrivileges, system call filters, private devices and namespaces) would break sudo,
# containers, compilers and whatever looks at the hardware.
ProtectSystem=full
"""
    elif unit.system:
        walls = """\
# DynamicUser= brings its own walls for the programs it runs: they can write only in the service's folders and a /tmp
# of their own, and gain no rights (no sudo, no rootless containers). Programs that need more, or a user's files:
# `install-service execute --run-as USER`. There are no system call filters: nobody knows what programs need.
"""
    else:
        walls = """\
# No walls: it runs programs as you. Who may submit work to it may do what you may.
"""
    return f"""\
{walls}\
# Its programs are in control groups below its own, in which it may set limits.
Delegate=yes
# A program that takes all the memory dies alone, and before the rest of the machine does.
OOMPolicy=continue
OOMScoreAdjust=200
"""


SAFE = re.compile(r"[A-Za-z0-9_./:=,@+-]+")


def quoted(word: str, dollar: str = "$$") -> str:
    """A word as systemd.syntax(7) reads it back: quoted where it must be, with nothing in it that is replaced.

    `dollar` is how a dollar is written: doubled in a command line, single elsewhere.
    """
    if isinstance(word, Syntax):
        return word
    if SAFE.fullmatch(word):
        return word
    if not re.fullmatch(r"[^\0\ud800-\udfff]*", word):
        raise SettingRefused(f"{word!r} cannot stand in a unit: it is no text.")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    escaped = re.sub(r"[\x01-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", escaped)
    return '"' + escaped.replace("%", "%%").replace("$", dollar) + '"'


def plain(text: object) -> str:
    """A value that systemd takes to the end of the line, quotes and all. SettingRefused if no line can hold it."""
    line = str(text)
    if not line.isprintable() or line != line.strip() or line.endswith("\\"):
        raise SettingRefused(f"{line!r} cannot stand in a unit: give it a name without special characters.")
    return line.replace("%", "%%")


def check_name(name: str) -> str:
    """The name of a unit without its ending; SettingRefused if it is none."""
    name = name.removesuffix(".service")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise SettingRefused(f"{name!r} is no name for a service: letters, digits, '-' and '_', 64 at most.")
    return name
