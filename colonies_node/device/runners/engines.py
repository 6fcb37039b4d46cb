"""Container engines: what podman, docker and apptainer are told, and what they say when they cannot.

All go through the program of their name. podman and docker start a container that lives beside their program, limit it
and remove it; with apptainer the container is the program's own process tree, and ends with it.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Self

import trio

from colonies_node.core.errors import SettingRefused
from colonies_node.device.supervised import NO_LIMITS, Limits

ANSWER_S: Final = 20.0
"""Seconds that an engine has for a question, such as its version; the first of podman after a boot takes some."""

LABEL: Final = "colonies.executor"
"""Label of our containers; its value is the id of the executor."""

ENVIRONMENT: Final = "/run/colonies-environment"
"""Where a container finds the variables of its process, as lines that a shell reads.

A file, because values must not be seen in a process list, nor become variables of the engine, where `LD_PRELOAD` would
open this machine; and because the files that engines read themselves have no place for a line end.
"""

MOST: Final = 1_048_576
"""Open files of a program where nothing less is asked for: the most that Linux gives unless told otherwise."""

PIDS: Final = 32_768
"""Programs and threads of the user whom a container runs as: all the process numbers of a machine that has few of them.
A container's own number is limited otherwise."""

INIT: Final = f"""\
. {ENVIRONMENT}
[ $$ != 1 ] || trap 'kill -TERM -1' TERM
sh -c "$0" &
wait $!; code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done
exit $code"""
"""What a shell does as the first process of a container, with the line as `$0`. The kernel spares that process most
signals, so that a line in its place would neither end when it is asked nor at a limit; so this one passes them on."""

_TMP = "/tmp:rw,exec,nosuid,nodev,mode=1777"
_VERSION = re.compile(r"\d+\.\d+[\w.+-]*")


class NoAnswer(Exception):
    """An engine did not do what it was asked for; the sentence says why."""


@dataclass(frozen=True)
class Box:
    """A container that is to be started: `files` is the folder mounted at `mount`, `cpu` is in millicores."""

    name: str
    owner: str
    image: str
    line: str
    files: Path
    environment: Path
    mount: str
    network: bool = False
    rebuild: bool = False
    limits: Limits = NO_LIMITS
    cpu: int = 0
    gpus: Sequence[int] = ()


@dataclass(frozen=True)
class Engine(ABC):
    """An engine of this machine: the path of its program, and what it said about itself."""

    program: str
    version: str
    limited: Collection[str] = ()
    """What the engine limits itself, of cpu, memory and pids."""
    user: str = "0:0"
    """User and group in the container, who are the executor's outside of it: so both can write the same files."""

    name: ClassVar[str]
    programs: ClassVar[Sequence[str]]
    beside: ClassVar[bool]
    """Whether containers live beside the program that starts them, and go on without it."""
    failing: ClassVar[Collection[int]]
    """Exit statuses that may mean that the engine itself failed."""
    complaint: ClassVar[re.Pattern[str]]
    """How it begins a line that says why."""

    @classmethod
    @abstractmethod
    async def found(cls, program: str, env: Mapping[str, str]) -> Self:
        """The engine behind a program. Raises NoAnswer."""

    @abstractmethod
    def run(self, box: Box) -> list[str]:
        """The command that starts a container and stays until it has ended."""

    def listing(self, owner: str) -> list[str]:
        """The command that prints the ids of an executor's containers; none if they cannot outlive it."""
        return [self.program, "ps", "--all", "--quiet", "--filter", f"label={LABEL}={owner}"] if self.beside else []

    def removal(self, *names: str) -> list[str]:
        """The command that kills and removes containers, also those that are not there; none if there is no need."""
        return []

    def said(self, code: int | None, errors: str) -> str | None:
        """Why the engine itself failed, by its exit status and standard error; None if it did not."""
        if code not in self.failing:
            return None
        found = [match[1].strip() for line in errors.splitlines() if (match := self.complaint.match(line))]
        return found[-1] if found else None


class _Beside(Engine):
    """What podman and docker have in common."""

    beside = True
    failing = (125, 126, 127)

    def run(self, box: Box) -> list[str]:
        """Read-only but for the mounted folder and /tmp, without privileges, and without a network unless wanted."""
        return [
            *(self.program, "run", "--name", box.name, "--label", f"{LABEL}={box.owner}"),
            *("--pull", "always" if box.rebuild else "missing", "--log-driver", "none"),
            *("--read-only", "--tmpfs", _TMP, "--user", self.user, "--cap-drop", "ALL"),
            *("--security-opt", "no-new-privileges"),
            *self._limits(box),
            *self._own(box),
            *("--volume", f"{box.files}:{box.mount}:rw,Z", "--volume", f"{box.environment}:{ENVIRONMENT}:ro,Z"),
            *("--workdir", box.mount, box.image, "sh", "-c", INIT, box.line),
        ]

    def _limits(self, box: Box) -> list[str]:
        limits, flags = box.limits, list[str]()
        if limits.memory and "memory" in self.limited:
            flags += ["--memory", str(limits.memory), "--memory-swap", str(limits.memory)]
        if limits.processes and "pids" in self.limited:
            flags += ["--pids-limit", str(limits.processes)]
        if box.cpu and "cpu" in self.limited:
            flags += ["--cpus", f"{max(box.cpu, 10) / 1000:g}"]  # docker takes no less than a hundredth
        # What is not said here podman raises as far as a kernel goes, which not every root may.
        flags += ["--ulimit", f"nofile={_at_most(resource.RLIMIT_NOFILE, limits.files or MOST)}"]
        flags += ["--ulimit", f"nproc={_at_most(resource.RLIMIT_NPROC, PIDS)}"]
        return [*flags, "--ulimit", f"cpu={limits.cpu}:{limits.cpu + 5}"] if limits.cpu else flags

    @abstractmethod
    def _own(self, box: Box) -> list[str]:
        """The flags that only this engine has."""


class Podman(_Beside):
    """podman, of root or of an ordinary user: then root in the container is that user."""

    name = "podman"
    programs = ("podman",)
    complaint = re.compile(r"Error: (.*)")

    @classmethod
    async def found(cls, program: str, env: Mapping[str, str]) -> Self:
        """Asks for what it can limit: an ordinary user can limit nothing with cgroup v1."""
        wanted = ("Version.Version", "Host.Security.Rootless", "Host.CgroupsVersion", "Host.CgroupControllers")
        said = await ask([program, "info", "--format", " ".join(f"{{{{.{name}}}}}" for name in wanted)], env)
        version, rootless, groups, *controllers = said.replace("[", "").replace("]", "").split() + [""] * 3
        limited = () if (rootless, groups) == ("true", "v1") else controllers
        return cls(program, _version(program, version), frozenset(limited) & {"cpu", "memory", "pids"})

    def removal(self, *names: str) -> list[str]:
        """Killed at once, with its unnamed volumes."""
        return [self.program, "rm", "--force", "--time", "0", "--volumes", "--ignore", *names]

    def _own(self, box: Box) -> list[str]:
        flags = ["--rm", "--network", "private" if box.network else "none"]
        flags += ["--image-volume", "tmpfs", "--http-proxy=false"]
        return flags + [flag for number in box.gpus for flag in ("--device", f"nvidia.com/gpu={number}")]


_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")


class Docker(_Beside):
    """docker: its program asks a daemon, which runs the container as whatever user it is told."""

    name = "docker"
    programs = ("docker",)
    complaint = re.compile(r"(?:docker: )?(?:Error response from daemon: |Error: |docker: )(.*)")

    @classmethod
    async def found(cls, program: str, env: Mapping[str, str]) -> Self:
        """Asks its daemon; where that is an ordinary user's, root in the container is that user."""
        said = await ask([program, "info", "--format", "{{.ServerVersion}} {{.SecurityOptions}}"], env)
        user = "0:0" if "rootless" in said else f"{os.getuid()}:{os.getgid()}"
        return cls(program, _version(program, said), frozenset({"cpu", "memory", "pids"}), user)

    def removal(self, *names: str) -> list[str]:
        """Killed at once, with its unnamed volumes."""
        return [self.program, "rm", "--force", "--volumes", *names]

    def _own(self, box: Box) -> list[str]:
        # No --rm, with which some daemons lose the exit status: every container is removed by its cleanup.
        flags = ["--network", "bridge" if box.network else "none"]
        # Its program would put the proxies of its own settings there, perhaps with a password.
        flags += [flag for name in _PROXIES for flag in ("--env", f"{name}=", "--env", f"{name.lower()}=")]
        numbers = ",".join(map(str, box.gpus))
        return [*flags, "--gpus", f'"device={numbers}"'] if numbers else flags  # the quotes are its own


class Apptainer(Engine):
    """apptainer, or singularity, its older name. The container is limited as any program is."""

    name = "apptainer"
    programs = ("apptainer", "singularity")
    beside = False
    failing = (255,)
    complaint = re.compile(r"FATAL:\s*(.*)")

    @classmethod
    async def found(cls, program: str, env: Mapping[str, str]) -> Self:
        """Asks for the version."""
        return cls(program, _version(program, await ask([program, "--version"], env)))

    def run(self, box: Box) -> list[str]:
        """With nothing of this machine but the mounted folder; images are read-only and kept in its cache."""
        return [
            *(self.program, "exec", "--containall", "--cleanenv", "--no-home"),
            *([] if box.network else ["--net", "--network", "none"]),
            *(["--disable-cache"] if box.rebuild else []),
            *(["--nv"] if box.gpus else []),
            *("--bind", f"{box.files}:{box.mount}", "--bind", f"{box.environment}:{ENVIRONMENT}:ro"),
            *("--pwd", box.mount, f"docker://{box.image}"),
            *("sh", "-c", f". {ENVIRONMENT}; {box.line}"),
        ]


ENGINES: Final[Sequence[type[Engine]]] = (Podman, Docker, Apptainer)
"""In the order in which `auto` tries them."""


async def find(wanted: str, env: Mapping[str, str], say: Callable[[str], None]) -> Engine:
    """The engine of this name, or the first that answers for `auto`. SettingRefused if there is none."""
    complaints = []
    kinds = [kind for kind in ENGINES if wanted in ("auto", kind.name)]
    for kind in kinds:
        for program in filter(None, (shutil.which(name, path=env.get("PATH")) for name in kind.programs)):
            try:
                engine = await kind.found(program, env)
            except NoAnswer as no:
                complaints.append(str(no))
                continue
            say(f"Containers are run by {engine.name} {engine.version}.")
            if engine.beside and (missing := sorted({"cpu", "memory", "pids"}.difference(engine.limited))):
                say(f"{engine.name} cannot limit this here: {', '.join(missing)}.")
            return engine
    names = ", ".join(kind.name for kind in kinds)
    raise SettingRefused(" ".join(complaints) or f"This machine has no program to run containers with: {names}.")


async def ask(argv: Sequence[str], env: Mapping[str, str], seconds: float = ANSWER_S) -> str:
    """Run a command of an engine and give what it prints. Raises NoAnswer if it fails or takes too long."""
    name, done = Path(argv[0]).name, None
    with trio.move_on_after(seconds):
        try:
            done = await trio.run_process(list(argv), env=env, check=False, capture_stdout=True, capture_stderr=True)
        except OSError as fault:
            raise NoAnswer(f"{name} could not be started: {fault.strerror}.") from None
    if done is None:
        raise NoAnswer(f"{name} has not answered within {seconds:g} s.")
    if done.returncode:
        complaint = (done.stderr or b"").decode(errors="replace").strip().rpartition("\n")[2][:500]
        words = complaint or f"it exited with status {done.returncode}"
        raise NoAnswer(f"{name} cannot be used: {words}{'' if words[-1] in '.?!' else '.'}")
    return (done.stdout or b"").decode(errors="replace")


def _at_most(which: int, limit: int) -> str:
    """A limit as engines read it, soft and hard: no more than this process may."""
    _, hard = resource.getrlimit(which)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    return f"{limit}:{limit}"


def _version(program: str, text: str) -> str:
    if not (found := _VERSION.search(text)):
        raise NoAnswer(f"{Path(program).name} does not tell its version.")
    return found[0]
