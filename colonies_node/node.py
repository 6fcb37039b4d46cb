"""The composition root: what `serve` and `dev` start, wired together in one place."""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
import zoneinfo
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import trio

from colonies_node import __version__, notify
from colonies_node.core.broker.call import Rules
from colonies_node.core.broker.sync import upstreams
from colonies_node.core.errors import KeyRefused, Refused, SettingRefused, StoreError
from colonies_node.core.identity import Signer, id_of, is_id, new_private_key
from colonies_node.core.model.sync import Upstream
from colonies_node.core.rules import Value
from colonies_node.core.store import members, processes
from colonies_node.core.store.sqlite import Store
from colonies_node.device import gate, gauges, sensors
from colonies_node.device.executor import execute
from colonies_node.http.cbor_door import CborDoor
from colonies_node.http.client import Client
from colonies_node.http.json_door import JsonDoor
from colonies_node.http.metrics import Metrics
from colonies_node.http.rest import Rest
from colonies_node.http.server import listen, make_config
from colonies_node.http.service import Service
from colonies_node.settings import Settings
from colonies_node.sync.links import Links

log = logging.getLogger(__name__)

NODE_KEY = "node.key"
"""The file of the node's own key in its data folder."""


async def serve(
    settings: Settings,
    *,
    ready: Callable[[str], None] | None = None,
    stop: trio.Event | None = None,
    open_key: Callable[[str], str] | None = None,
) -> None:
    """Be a colony server until cancelled, or until SIGTERM or SIGINT, or until `stop` is set if that is given.

    Then it answers what waits, and closes the store.
    Calls `ready(url)` once it listens, and tells a service manager; the server's id is in <data>/server.id, the
    node's in <data>/node.id. `open_key` gives the private key in a key file that a link to an upstream names. Raises
    SettingRefused or StoreError with a sentence.
    """
    tls = settings.tls_cert, settings.tls_key
    manager = notify.ServiceManager.around()
    config = make_config(settings.host, settings.port, *tls)
    apart = make_config(*settings.metrics_place, *tls) if settings.metrics_place else None
    store = Store(settings.data, time.time_ns, settings.durability)
    try:
        _claim(store, settings)
        node_key = _own_node_key(settings.data)
        (settings.data / "node.id").write_text(node_key.id + "\n")
        service = Service(store, _rules(settings, node_key.id), time.time_ns)
        linked = Links(service, partial(_key_at, settings.data, open_key), partial(_readings, service, settings.data))
        service.hear = linked.hear
        service.locked = lambda: gate.why_locked(gate.locked(settings.data))
        store.write(lambda tx: upstreams.put_all(tx, settings.upstreams, "node.toml"))
        device = partial(gauges.read, settings.data)
        rest = Metrics(service, Rest(service), device) if settings.metrics is True else Rest(service)
        # Everything made so far lives as long as the node: spare each collection the look at it.
        gc.collect()
        gc.freeze()
        async with trio.open_nursery() as nursery:
            await nursery.start(service.run)
            stopped = trio.Event()
            if stop is None:
                stop = trio.Event()
                await nursery.start(_heed_signals, stop)
            nursery.start_soon(_heed_stop, service, stopped, stop, manager)
            nursery.start_soon(manager.watch, partial(service.answers, manager.watchdog_s / 4))
            async with trio.open_nursery() as listening:
                port = await listening.start(
                    listen, CborDoor(service, node_key, JsonDoor(service, rest)), config, stopped.wait
                )
                if apart is not None:
                    await listening.start(listen, Metrics(service, device=device), apart, stopped.wait)
                service.rules = _rules(settings, node_key.id, port)
                nursery.start_soon(linked.run)
                manager.ready(f"listening on {_url(settings, port)}")
                if ready is not None:
                    ready(_url(settings, port))
            nursery.cancel_scope.cancel()
    except* SettingRefused as refused:
        raise refused.exceptions[0] from None
    finally:
        store.close()


def _rules(settings: Settings, nodeid: str, port: int | None = None) -> Rules:
    return Rules(
        allow_executor_reregister=settings.allow_executor_reregister,
        stale_executor_duration=settings.stale_executor_duration,
        cleanup_interval=settings.cleanup_interval,
        retention_policy=settings.retention_policy if settings.retention else 0,
        buildversion=__version__,
        host=settings.host,
        port=port or settings.port,
        tls=settings.tls_cert is not None,
        zone=local_zone(),
        nodeid=nodeid,
        disk_reserve=settings.disk_reserve,
        disk_priority=settings.disk_priority,
    )


def _key_at(data: Path, open_key: Callable[[str], str] | None, upstream: Upstream) -> str:
    """The key under which this node is an executor at an upstream: its own, if no other is named."""
    if upstream.keyfile and open_key is None:
        raise KeyRefused("a key file cannot be opened here")
    if upstream.keyfile and open_key is not None:
        return open_key(upstream.keyfile)
    return (data / NODE_KEY).read_text().strip()


def _readings(service: Service, data: Path) -> dict[str, Value]:
    """What the rules of a link may ask of this machine."""
    return {**sensors.read(data), "queue": service.read(processes.queue)[0]}


def local_zone() -> str:
    """The zone that cron expressions mean: `TZ` if it names one, else the machine's, else UTC."""
    named = os.environ.get("TZ", "").removeprefix(":")
    machine = os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2]
    return next((zone for zone in (named, machine) if zone in zoneinfo.available_timezones()), "UTC")


def _url(settings: Settings, port: int) -> str:
    scheme = "https" if settings.tls_cert else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{port}"


def _claim(store: Store, settings: Settings) -> None:
    """Settle who owns the server: as set, as stored, or a key made now and kept in the data folder."""
    known = store.read(members.server_id)
    if known and settings.server_id not in (None, known):
        given = settings.source("server_id")
        raise SettingRefused(
            f"The store belongs to the server id {known}, but another is set ({given}): "
            "unset that, or hand the server over with `colonies-node server chid`."
        )
    serverid = settings.server_id or known or _own_server_key(settings.data).id
    if not is_id(serverid):
        raise SettingRefused(f"the server id must have 64 characters, got {len(serverid)}")
    if serverid != known:
        store.write(lambda tx: members.set_server_id(tx, serverid))
    (settings.data / "server.id").write_text(serverid + "\n")


def _own_server_key(data: Path) -> Signer:
    """The key of the server's owner, where none was given."""
    return _own_key(data / "server.key", "restore it, or give --server-id")


def _own_node_key(data: Path) -> Signer:
    """The node's own key, with which it signs what it says over CBOR."""
    return _own_key(data / NODE_KEY, "restore it, or remove it: clients that know the node have to be told its new id")


def _own_key(path: Path, remedy: str) -> Signer:
    """The key in the file, made on the first start, readable by its owner only."""
    try:
        if path.exists():
            return Signer(path.read_text().strip())
        private_key = new_private_key(os.urandom(32))
        # Written aside, synced and moved into place: after a power cut there is a whole key or none.
        aside = path.with_name(path.name + ".new")
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(private_key + "\n")
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
        _sync_folder(path.parent)
    except OSError as fault:
        raise StoreError(f"the server's key {path} cannot be used: {fault.strerror}") from None
    except (KeyRefused, UnicodeDecodeError):
        raise KeyRefused(f"{path} does not hold a private key: {remedy}") from None
    return Signer(private_key)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


async def _heed_stop(service: Service, stopped: trio.Event, stop: trio.Event, manager: notify.ServiceManager) -> None:
    await stop.wait()
    manager.stopping()
    service.close()
    stopped.set()


async def _heed_signals(stop: trio.Event, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Set `stop` at the first SIGTERM or SIGINT, until cancelled.

    A launcher may send SIGTERM twice (to the process and to its group), so more of them do no harm; a second Ctrl-C
    ends at once.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            if stop.is_set() and number == signal.SIGINT:
                raise KeyboardInterrupt
            if not stop.is_set():
                log.info("stopping on %s", signal.Signals(number).name)
            stop.set()


# -- dev: everything on this machine, under keys that everybody knows ---------------------------------------

DEV_SERVER_PRVKEY = "fcc79953d8a751bf41db661592dc34d30004b1a651ffa0725b03ac227641499d"
DEV_COLONY_PRVKEY = "ba949fa134981372d6da62b6a56f336ab4d843b22c02a4257dcf7d0d73097514"
DEV_PRVKEY = "ddf7f7791208083b6a9ed975a72684f6406a269cfa36f1b1c32045c0a71fff05"
"""The development keys of the reference (protocol/core.md, section 1): of server, colony and user."""

DEV_NAME = "dev"
DEV_EXECUTOR = "dev-executor"
DEV_TYPE = "cli"
DEV_GRACE_S = 5


async def dev(settings: Settings, *, ready: Callable[[str], None], say: Callable[[str], None]) -> None:
    """Be a server with the colony and user `dev` and a shell executor, until SIGTERM or SIGINT.

    Calls `ready(url)` once there is a colony to use; `say` gets what the executor tells. Raises SettingRefused
    if the data folder belongs to another server: that one would be handed to everybody.
    """
    owner = id_of(DEV_SERVER_PRVKEY)
    _refuse_foreign_data(settings.data, owner)
    stop_server, stop_executor, stopped = trio.Event(), trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        send, listening = trio.open_memory_channel[str](1)

        async def server() -> None:
            await serve(replace(settings, server_id=owner), ready=send.send_nowait, stop=stop_server)
            stopped.set()

        nursery.start_soon(server)
        url = await listening.receive()
        await _furnish(url)
        executor = replace(
            settings,
            data=settings.data / "executor",
            server_host=settings.host,
            server_port=int(url.rpartition(":")[2]),
            colony_name=DEV_NAME,
            colony_prvkey=DEV_COLONY_PRVKEY,
            executor_name=DEV_EXECUTOR,
            executor_type=DEV_TYPE,
            shell=True,
            grace=DEV_GRACE_S,
        )
        await nursery.start(_heed_signals, stop_executor)
        async with trio.open_nursery() as working:
            working.start_soon(partial(execute, executor, say=say, stop=stop_executor))
            ready(url)
        stop_server.set()
        await stopped.wait()
        nursery.cancel_scope.cancel()


def _refuse_foreign_data(data: Path, owner: str) -> None:
    path = data / "server.id"
    if path.exists() and path.read_text().strip() != owner:
        raise SettingRefused(
            f"{data} belongs to another server, and dev would hand it to keys that everybody knows: "
            "give --data another folder."
        )


async def _furnish(url: str) -> None:
    """Add the colony and the user, as any client would, unless they are there."""
    colony: Any = {"name": DEV_NAME, "colonyid": id_of(DEV_COLONY_PRVKEY)}
    user: Any = {"colonyname": DEV_NAME, "name": DEV_NAME, "userid": id_of(DEV_PRVKEY), "email": "", "phone": ""}
    steps: tuple[tuple[str, str, dict[str, Any]], ...] = (
        (DEV_SERVER_PRVKEY, "addcolonymsg", {"colony": colony}),
        (DEV_COLONY_PRVKEY, "addusermsg", {"user": user}),
    )
    for key, msgtype, record in steps:
        async with Client(url, key) as client:
            try:
                await client.call(msgtype, **record)
            except Refused as no:
                if "already exists" not in no.message:
                    raise
