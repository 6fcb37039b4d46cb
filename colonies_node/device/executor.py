"""`colonies-node execute`: puts the parts together and takes them apart again in the right order."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import trio

from colonies_node.config import Settings, need
from colonies_node.core.errors import ColonyError, SettingRefused
from colonies_node.core.identity import Signer
from colonies_node.device import leftovers
from colonies_node.device.delivery import Delivery
from colonies_node.device.desk import Desks
from colonies_node.device.environment import inherited
from colonies_node.device.registration import Registration, own_key
from colonies_node.device.results import Results
from colonies_node.device.room import of_this_machine
from colonies_node.device.runners import Runner
from colonies_node.device.runners.python import Offer, PythonRunner, describe, search_path
from colonies_node.device.runners.shell import ShellRunner
from colonies_node.device.runners.slurm import OFFER, open_slurm, runtime
from colonies_node.device.runners.slurm.script import Site
from colonies_node.device.slots import Slots
from colonies_node.device.supervised import Limits, Supervisor, fenced
from colonies_node.device.supervisor import PR_SET_DUMPABLE, prctl
from colonies_node.device.work import Why, Workshop
from colonies_node.http.client import Client

LAST_DELIVERY_S = 10.0
"""Seconds that a stopping executor tries to bring its last results home; what is left waits for the next
start.
"""


async def execute(settings: Settings, *, say: Callable[[str], None], stop: trio.Event | None = None) -> None:
    """Join a colony as an executor and run its work until SIGTERM or SIGINT, or until `stop` is set if that
    is given.

    `say` gets one sentence at a time for a person; the one that starts with `ready:` says that work is being
    asked for. Raises SettingRefused and KeyRefused, each with a sentence, for what the caller has to mend.
    """
    if not (settings.shell or settings.functions or settings.slurm):
        raise SettingRefused(
            "There is nothing to offer: give --fn package.module:function, or --shell, or both; or --slurm."
        )
    if settings.slurm and settings.shell:
        raise SettingRefused("--slurm cannot go with --shell, whose programs run on this machine: use two executors.")
    need(settings, "colony_name")
    with only_executor(settings.data):
        desks, results = Desks(settings.data, keep=settings.keep_work), Results(settings.data)
        signer = Signer(settings.executor_prvkey or own_key(settings.data))
        keep_to_ourselves()
        env = program_environment(settings, signer.id, os.environ)
        path = search_path()
        offers = await describe(settings.functions, path, env) if settings.functions else []
        async with contextlib.AsyncExitStack() as stack:
            supervisor = await stack.enter_async_context(fenced(signer.id))
            ways = runners(settings, offers, path, env, supervisor)
            if settings.slurm:
                if OFFER.name in [offer.name for offer in offers]:
                    raise SettingRefused(f"--slurm offers the function {OFFER.name}: give that of --fn another name.")
                ways.append(await open_slurm(site(settings), env, poll=settings.slurm_poll, say=say))
                offers = [*offers, OFFER]
            for runner in ways:
                await runner.settle()
            going_on = leftovers.settle(desks, results, say, outlives=lambda funcname: _outlives(ways, funcname))
            client = await stack.enter_async_context(_client(settings, signer))
            owner = None
            if settings.colony_prvkey:
                owner = await stack.enter_async_context(_client(settings, Signer(settings.colony_prvkey)))
            shop = Workshop(
                client=client,
                desks=desks,
                delivery=Delivery(client, results, desks, say),
                runners=ways,
                names=[*(offer.name for offer in offers), *(["any program"] if settings.shell else [])],
                env=env,
                executorid=signer.id,
                say=say,
                room=of_this_machine(),
                limits=limits(settings),
            )
            registration = Registration(
                client=client,
                owner=owner,
                executorid=signer.id,
                name=need(settings, "executor_name"),
                type=settings.executor_type,
                colony=settings.colony_name,
                location=settings.location,
                offers=offers,
                say=say,
            )
            slots = Slots(shop, registration, settings.parallel, settings.poll_timeout, say)
            slots.going_on = going_on
            await _run(slots, shop.delivery, settings.grace, stop, say)


async def _run(
    slots: Slots, delivery: Delivery, grace: float, stop: trio.Event | None, say: Callable[[str], None]
) -> None:
    """Work until told to stop, then finish; an error of ours or of a setting comes out as itself, not in a
    group.
    """
    last = trio.CancelScope()

    async def obey(stops: AsyncIterator[object]) -> None:
        async for _ in stops:
            if slots.asking.cancel_called:
                say("Stopping at once.")
                slots.end_all(Why.STOPPING, at_once=True)
                last.cancel()
            else:
                slots.asking.cancel()
                nursery.start_soon(give_time)

    async def give_time() -> None:
        if slots.working and all(runner.outlives for runner in slots.shop.runners):
            say(f"Stopping: {len(slots.working)} running process(es) go on without this executor.")
        elif slots.working:
            say(f"Stopping: {len(slots.working)} running process(es) have {grace:g} s to finish.")
            await trio.sleep(grace)
        slots.end_all(Why.STOPPING)

    try:
        with _stops(stop) as stops:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(obey, stops)
                nursery.start_soon(delivery.run)
                for runner in slots.shop.runners:
                    nursery.start_soon(runner.run)
                await slots.run()
                last.deadline = trio.current_time() + LAST_DELIVERY_S
                with last:
                    await delivery.emptied()
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        ours = group.subgroup(ColonyError)
        while isinstance(ours, BaseExceptionGroup):
            ours = ours.exceptions[0]  # type: ignore[assignment]
        raise (ours or group) from None
    if waiting := delivery.results.waiting():
        say(f"Stopped. {len(waiting)} result(s) wait on disk for the next start.")
    else:
        say("Stopped.")


@contextmanager
def _stops(stop: trio.Event | None) -> Iterator[AsyncIterator[object]]:
    """Something that yields once for every request to stop."""

    async def once(event: trio.Event) -> AsyncIterator[object]:
        await event.wait()
        yield None

    if stop is not None:
        yield once(stop)
    else:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            yield received


@contextmanager
def only_executor(data: Path) -> Iterator[None]:
    """Hold the data folder for this executor alone; SettingRefused if another has it or it cannot be used."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / "execute.lock").open("w")
    except OSError as fault:
        raise SettingRefused(f"The folder {data} cannot be used: {fault.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingRefused(
                f"Another executor works in {data}: give --data another folder, or stop that one."
            ) from None
        yield


def runners(
    settings: Settings, offers: Sequence[Offer], path: Sequence[str], env: Mapping[str, str], supervisor: Supervisor
) -> list[Runner]:
    """The runners that the settings ask for; functions come before programs of the same name."""
    found: list[Runner] = []
    if offers:
        found.append(PythonRunner(offers, path, supervisor, env))
    if settings.shell:
        found.append(ShellRunner(supervisor))
    return found


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


def limits(settings: Settings) -> Limits:
    """What a program may use."""
    return Limits(
        memory=settings.limit_memory,
        processes=settings.limit_processes,
        cpu=settings.limit_cpu,
        files=settings.limit_files,
        output=settings.limit_output,
    )


def _outlives(ways: Sequence[Runner], funcname: str) -> bool:
    runner = next((runner for runner in ways if runner.offers(funcname)), None)
    return runner is not None and runner.outlives


def program_environment(settings: Settings, executorid: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What every program that runs here finds in its environment, but for the id of its process: no key among
    it.
    """
    keys = (settings.executor_prvkey, settings.colony_prvkey, settings.prvkey, settings.server_prvkey)
    return {
        **inherited(environ, [key for key in keys if key]),
        "COLONIES_SERVER_HOST": settings.server_host,
        "COLONIES_SERVER_PORT": str(settings.server_port),
        "COLONIES_SERVER_HTTP_PORT": str(settings.server_port),
        "COLONIES_TLS": "true" if settings.tls else "false",
        "COLONIES_SERVER_TLS": "true" if settings.tls else "false",
        "COLONIES_COLONY_NAME": settings.colony_name,
        "COLONIES_EXECUTOR_NAME": settings.executor_name,
        "COLONIES_EXECUTOR_TYPE": settings.executor_type,
        "COLONIES_EXECUTOR_ID": executorid,
    }


def keep_to_ourselves() -> None:
    """Close /proc/<our pid>/environ to programs that run as the same user: a key may have come that way."""
    prctl(PR_SET_DUMPABLE, 0)


def _client(settings: Settings, signer: Signer) -> Client:
    return Client(settings.server_url, signer, tls_verify=settings.tls_verify)
