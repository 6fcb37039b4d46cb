"""Command lines in containers: the function `execute` with a `docker-image`, by whichever engine this machine has.

The container sees the process's own files, mounted where the spec's `fs.mount` says, and nothing else of this machine.
Its guardian removes it, also after the executor's own end; what a killed guardian left is removed at the next start, by
its label.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Self

import trio

from colonies_node.core.errors import SettingRefused
from colonies_node.device.room import needed
from colonies_node.device.runners import (
    Errand,
    NotRun,
    Offer,
    Runner,
    Started,
    Written,
    demand_success,
    limit_text,
    visible,
)
from colonies_node.device.runners import commandline as execute
from colonies_node.device.runners.engines import Box, Engine, NoAnswer, ask
from colonies_node.device.runners.shell import output_text
from colonies_node.device.supervised import NO_LIMITS, UNSUPERVISED, Ended, Program, Running, Supervisor

MOUNT: Final = "/cfs"
"""Where the files of a process are in its container, unless the spec says otherwise."""

OFFER: Final = Offer(
    execute.FUNCTION,
    "",
    "Run a command line in a container.",
    [{**argument, "required": argument["name"] in ("cmd", "docker-image")} for argument in execute.ARGUMENTS],
)

NETWORKS: Final = ("never", "asked", "always")
"""Which containers get a network: none, those whose kwargs say `network`, all."""

SETTLE_S: Final = 60.0
"""Seconds that the removal of an earlier life's containers may take."""

# A name that a registry knows, perhaps with host, tag and digest: not one of the other places that engines know, among
# them files of this machine.
_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{{1,5}})?/)?{_PART}(?:/{_PART})*"
    r"(?::\w[\w.-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]{32,128})?",
    re.ASCII,
)
_ELSEWHERE: Final = frozenset(
    ("dir", "oci", "oci-archive", "docker-archive", "docker-daemon", "containers-storage", "sif", "ostree", "tarball")
)
"""What engines take for another place than a registry where a `:` follows."""
_MOUNT = re.compile(r"(?:/(?!\.\.?(?:/|$))[\w.@+-]{1,100}){1,20}/?", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class ContainerRunner(Runner):
    """Runs command lines in containers of one engine; standard output is the output."""

    def __init__(
        self, engine: Engine, executorid: str, supervisor: Supervisor, env: Mapping[str, str], network: str = "asked"
    ) -> None:
        self.engine, self._executorid, self._supervisor = engine, executorid, supervisor
        self._env, self._network = dict(env), network
        self.offered = [OFFER]
        self.software = [{"name": engine.name, "type": "container-engine", "version": engine.version}]

    def offers(self, funcname: str) -> bool:
        """Only `execute`."""
        return funcname == execute.FUNCTION

    def prepare(self, errand: Errand) -> Program:
        """The engine's program. Raises NotRun for an image, a mount or a network that cannot be given."""
        box = self._box(errand)
        fs = errand.spec.get("fs") or {}
        if fs.get("dirs") or fs.get("snapshots"):
            errand.say("This executor does not synchronise files: fs.dirs and fs.snapshots of the spec are left out.")
        # podman and docker show the container only the GPUs that are set aside for it, numbered from 0.
        variables = environment_text(errand, {} if self.engine.beside else visible(box.gpus))
        with open(os.open(box.environment, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(variables)
        # What lives beside the engine's program is limited by the engine; the program itself must not be.
        limits = NO_LIMITS if self.engine.beside else errand.limits
        return Program(self.engine.run(box), errand.env, errand.folder, limits, self.engine.removal(box.name))

    async def start(self, prepared: Program) -> Started:
        """Start the engine's program, which may have to fetch the image first."""
        return Contained(await self._supervisor.start(prepared), prepared)

    def output(self, errand: Errand, ended: Ended, written: Written) -> list[Any]:
        """Standard output as one text. Raises NotRun with the engine's own words if it was the engine that failed."""
        name = self.engine.name
        if ended.fault and ended is not UNSUPERVISED:
            raise NotRun(f"{name} could not be started: {ended.fault[1]}.")
        if why := self.engine.said(ended.code, written.err.text()):
            raise NotRun(f"{name} could not run the container: {why}")
        # A shell, and an engine, say of a program that a signal has ended: 128 and its number.
        if ended.code == 128 + signal.SIGXCPU and errand.limits.cpu:
            ended = replace(ended, exceeded="cpu")
        if ended.code == 128 + signal.SIGKILL and errand.limits.memory and not ended.exceeded:
            limit = limit_text(errand.limits, "memory")
            raise NotRun(f"execute was killed by SIGKILL: most likely it used more than its limit of {limit}.")
        demand_success(errand, ended, written)
        return output_text(written)

    async def settle(self) -> None:
        """Remove the containers of an earlier life. SettingRefused if the engine does not do it."""
        if not (listing := self.engine.listing(self._executorid)):
            return
        try:
            if left := (await ask(listing, self._env)).split():
                await ask(self.engine.removal(*left), self._env, SETTLE_S)
        except NoAnswer as no:
            raise SettingRefused(f"Containers of an earlier start could not be removed. {no}") from None

    def _box(self, errand: Errand) -> Box:
        spec = errand.spec
        files, environment = errand.files.absolute(), errand.folder.absolute() / "environment"
        if set(str(files)) & set(":,"):
            raise NotRun("The data folder of this executor has a ':' or ',' in its path: no container can be given it.")
        return Box(
            name=f"colonies-{self._executorid[:16]}-{errand.processid}",
            owner=self._executorid,
            image=_image(spec),
            line=execute.command_line(spec, errand.processid),
            files=files,
            environment=environment,
            mount=_mount(spec),
            network=self._wants_network(spec),
            rebuild=execute.asks_for(spec, "rebuild-image"),
            limits=errand.limits,
            cpu=needed(spec).cpu,
            gpus=errand.gpus,
        )

    def _wants_network(self, spec: Mapping[str, Any]) -> bool:
        asked = execute.asks_for(spec, "network")
        if asked and self._network == "never":
            raise NotRun("This executor gives no container a network.")
        return asked or self._network == "always"


class Contained:
    """A running container. It is removed also when its guardian, whose task that is, was killed."""

    def __init__(self, running: Running, program: Program) -> None:
        self._running, self._program = running, program
        self.stdout, self.stderr = running.stdout, running.stderr
        self.terminate, self.kill = running.terminate, running.kill

    async def wait(self) -> Ended:
        """How the engine's program ended; by then the container is gone."""
        ended = await self._running.wait()
        if ended is UNSUPERVISED and self._program.cleanup:
            # If that fails the next start finds it by its label.
            with trio.CancelScope(shield=True), contextlib.suppress(NoAnswer):
                await ask(self._program.cleanup, self._program.env)
        return ended

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.aclose()


def environment_text(errand: Errand, more: Mapping[str, str]) -> bytes:
    """The variables of a process as a shell reads them. Raises NotRun for a name that is no variable's in a shell."""
    ours = {name: value for name, value in errand.env.items() if name.startswith("COLONIES_")}
    variables = {"HOME": "/tmp", **execute.ENVIRONMENT, **errand.wishes, **ours, **more}  # no home but this is writable
    if wrong := [name for name in variables if not _NAME.fullmatch(name)]:
        raise NotRun(f"The env of the function spec has a name that no shell takes as a variable: {wrong[0][:80]!r}.")
    try:
        return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()).encode()
    except UnicodeError:  # half of a surrogate pair, as JSON can hold it
        raise NotRun("The env of the function spec holds what is no text.") from None


def _image(spec: Mapping[str, Any]) -> str:
    image = execute.image_of(spec)
    if image is None:
        raise NotRun("The function spec names no docker-image in its kwargs; this executor runs execute in containers.")
    image = image.removeprefix("docker://")
    if not _IMAGE.fullmatch(image) or image.partition(":")[0] in _ELSEWHERE:
        raise NotRun(f"The docker-image {image[:80]!r} is no name of an image in a registry.")
    return image


def _mount(spec: Mapping[str, Any]) -> str:
    mount = (spec.get("fs") or {}).get("mount") or MOUNT
    if not isinstance(mount, str) or not _MOUNT.fullmatch(mount):
        raise NotRun(f"The files of a process cannot be mounted at fs.mount {str(mount)[:80]!r}.")
    return mount
