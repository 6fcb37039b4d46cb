"""`colonies-node execute`: puts the parts together and takes them apart again in the right order."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from colonies_node import notify
from colonies_node.config import Settings, need
from colonies_node.core.errors import ColonyError, SettingRefused
from colonies_node.core.identity import Signer
from colonies_node.core.rules import MACHINE, parse
from colonies_node.device import leftovers, machine, sensors
from colonies_node.device.delivery import Delivery
from colonies_node.device.desk import Desks
from colonies_node.device.environment import inherited
from colonies_node.device.gate import Gate
from colonies_node.device.line import Line
from colonies_node.device.offering import check, limits, offered, outlives, runners
from colonies_node.device.registration import Registration, own_key
from colonies_node.device.results import Results
from colonies_node.device.room import of_this_machine
from colonies_node.device.runners import Runner
from colonies_node.device.slots import Slots
from colonies_node.device.standing import Standing
from colonies_node.device.supervised import fenced
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
    asked for. A service manager is told before that: started is ready, the link may be down for weeks. Raises
    SettingRefused and KeyRefused, each with a sentence, for what the caller has to mend.
    """
    check(settings)
    say = _Report(say, notify.ServiceManager.around())
    with only_executor(settings.data):
        desks, results = Desks(settings.data, keep=settings.keep_work), Results(settings.data)
        signer = Signer(settings.executor_prvkey or own_key(settings.data))
        keep_to_ourselves()
        env = program_environment(settings, signer.id, os.environ)
        async with contextlib.AsyncExitStack() as stack:
            supervisor = await stack.enter_async_context(fenced(signer.id))
            ways = await runners(settings, env, supervisor, signer.id, say)
            offers = offered(ways)
            _refuse_to_forget(desks, results, ways)
            # In this order: what is killed here can then start nothing more that is ended elsewhere.
            going_on = leftovers.settle(desks, results, say, outlives=lambda funcname: outlives(ways, funcname))
            for runner in ways:
                await runner.settle()
            line = Line(await stack.enter_async_context(_client(settings, signer)))
            owner = None
            if settings.colony_prvkey:
                owner = await stack.enter_async_context(_client(settings, Signer(settings.colony_prvkey)))
            found = await trio.to_thread.run_sync(machine.read, settings.data)
            room = of_this_machine(found)
            shop = Workshop(
                client=line,
                desks=desks,
                delivery=Delivery(line, results, desks, say),
                runners=ways,
                names=[*(offer.name for offer in offers), *(["any program"] if settings.shell else [])],
                env=env,
                executorid=signer.id,
                say=say,
                room=room,
                limits=limits(settings),
            )
            registration = Registration(
                client=line,
                owner=owner,
                executorid=signer.id,
                name=need(settings, "executor_name"),
                type=settings.executor_type,
                colony=settings.colony_name,
                location=settings.location,
                offers=offers,
                say=say,
            )
            rule = parse(settings.when, MACHINE) if settings.when else None
            gate = Gate(settings.data, rule, lambda: sensors.read(settings.data), say)
            software = [entry for runner in ways for entry in runner.software]
            hardware = [record for runner in ways for record in await runner.hardware()] or [machine.hardware(found)]
            standing = Standing(registration, gate, room, hardware, software)
            slots = Slots(shop, registration, gate, settings.parallel, settings.poll_timeout, say)
            slots.going_on, slots.changed = going_on, say.runs
            slots.forgetful = desks.begin_life()

            def heed_gate() -> None:
                slots.reconsider()
                standing.changed()

            gate.changed, room.changed = heed_gate, standing.changed
            await _run(slots, standing, line, settings.grace, stop, say)
            desks.end_life()


def _refuse_to_forget(desks: Desks, results: Results, ways: Sequence[Runner]) -> None:
    """Work that an earlier life has begun elsewhere would go on with nobody to end it: SettingRefused."""
    begun = [one for one in desks.occupied() if not results.path(one).exists()]
    kept = [process for one in begun if (process := desks.kept_process(one))]
    lost = [process for process in kept if not outlives(ways, process["spec"]["funcname"])]
    if lost:
        raise SettingRefused(
            f"{len(lost)} process(es) of an earlier start go on in Slurm: start with --slurm until they have ended, or "
            f"cancel the jobs and remove {desks.folder(lost[0]['processid'])}."
        )


@dataclass
class _Report:
    """Tells each sentence to a person, and the last one and how much runs to the service manager."""

    person: Callable[[str], None]
    manager: notify.ServiceManager
    running: int = 0
    last: str = "starting"

    def __call__(self, words: str) -> None:
        self.person(words)
        self.last = words
        self.manager.status(self.line)

    def runs(self, count: int) -> None:
        """So many processes run now."""
        self.running = count
        self.manager.status(self.line)

    @property
    def line(self) -> str:
        """How it is."""
        return f"{self.running} running; {self.last}"


async def _run(
    slots: Slots, standing: Standing, line: Line, grace: float, stop: trio.Event | None, say: _Report
) -> None:
    """Work until told to stop, then finish; an error of ours or of a setting comes out as itself, not in a
    group.
    """
    last, delivery = trio.CancelScope(), slots.shop.delivery

    async def obey(stops: AsyncIterator[object]) -> None:
        async for _ in stops:
            say.manager.stopping()
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
                # Every call to the server has a time limit, so what can hang here is the event loop itself.
                nursery.start_soon(say.manager.watch, notify.turning)
                say.manager.ready(say.line)
                nursery.start_soon(delivery.run)
                nursery.start_soon(line.run)
                await nursery.start(slots.gate.run)
                nursery.start_soon(standing.run)
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
        lock = (data / "execute.lock").open("a+")
    except OSError as fault:
        raise SettingRefused(f"The folder {data} cannot be used: {fault.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingRefused(
                f"Another executor works in {data}: give --data another folder, or stop that one."
            ) from None
        if threading.current_thread() is threading.main_thread():
            # It may come before there is a gate, and must not end the executor then. A handler, since what is ignored
            # would be ignored by programs too.
            signal.signal(signal.SIGUSR1, lambda *_: None)
        lock.truncate(0)
        lock.write(str(os.getpid()))  # whom `device lock` tells
        lock.flush()
        yield


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
    return Client(settings.server_url, signer, tls_verify=settings.tls_verify, persistent=False)
