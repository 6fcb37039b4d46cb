"""What the settings have an executor offer: its runners, what they are called in the colony, and what they may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from colonies_node.config import Settings, need
from colonies_node.core.errors import SettingRefused
from colonies_node.device.runners import Offer, Runner, engines
from colonies_node.device.runners.container import ContainerRunner
from colonies_node.device.runners.python import PythonRunner, describe, search_path
from colonies_node.device.runners.shell import ShellRunner
from colonies_node.device.runners.slurm import open_slurm, runtime
from colonies_node.device.runners.slurm.script import Site
from colonies_node.device.supervised import Limits, Supervisor


def check(settings: Settings) -> None:
    """Refuse settings under which there is nothing to do; SettingRefused with a sentence."""
    contained = settings.container != "off"
    if not (settings.shell or settings.functions or contained or settings.slurm):
        raise SettingRefused(
            "There is nothing to offer: give --fn package.module:function, --shell, --container or --slurm, or several."
        )
    if settings.slurm and (settings.shell or contained):
        raise SettingRefused(
            "--slurm cannot go with --shell or --container, which run on this machine: use two executors."
        )
    need(settings, "colony_name")


async def runners(
    settings: Settings, env: Mapping[str, str], supervisor: Supervisor, executorid: str, say: Callable[[str], None]
) -> list[Runner]:
    """The runners that the settings ask for; what has a name of its own comes before programs of the same name.

    Raises SettingRefused for what cannot be offered here.
    """
    found: list[Runner] = []
    if settings.functions:
        path = search_path()
        found.append(PythonRunner(await describe(settings.functions, path, env), path, supervisor, env))
    if settings.container != "off":
        engine = await engines.find(settings.container, env, say)
        found.append(ContainerRunner(engine, executorid, supervisor, env, settings.container_network))
    if settings.slurm:
        found.append(await open_slurm(site(settings), env, poll=settings.slurm_poll, say=say))
    if settings.shell:
        found.append(ShellRunner(supervisor))
    return found


def offered(ways: Sequence[Runner]) -> list[Offer]:
    """What is offered by name; SettingRefused if two have the same."""
    offers = [offer for runner in ways for offer in runner.offered]
    names = [offer.name for offer in offers]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SettingRefused(f"Two things that are offered have the same name: {', '.join(sorted(twice))}.")
    return offers


def site(settings: Settings) -> Site:
    """What the settings say of the Slurm cluster."""
    return Site(
        partition=settings.slurm_partition,
        account=settings.slurm_account,
        options=settings.slurm_options,
        modules=settings.slurm_modules,
        gres=settings.slurm_gres,
        container=settings.slurm_container or runtime(os.environ.get("PATH")),
    )


def outlives(ways: Sequence[Runner], funcname: str) -> bool:
    """Whether a function of this name goes on when the executor ends."""
    runner = next((runner for runner in ways if runner.offers(funcname)), None)
    return runner is not None and runner.outlives


def limits(settings: Settings) -> Limits:
    """What a program may use."""
    return Limits(
        memory=settings.limit_memory,
        processes=settings.limit_processes,
        cpu=settings.limit_cpu,
        files=settings.limit_files,
        output=settings.limit_output,
    )
