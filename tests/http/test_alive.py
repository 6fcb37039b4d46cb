"""The sign of life of a server: a watchdog must not end one that works, nor keep one that serves nobody."""

from __future__ import annotations

import threading
from pathlib import Path

import trio
import trio.testing

from colonies_node import notify
from colonies_node.core.broker.call import Rules
from colonies_node.core.errors import StoreFull
from colonies_node.core.store.sqlite import Store
from colonies_node.core.store.transaction import Transaction
from colonies_node.http.service import Service
from tests.node import Node


async def test_a_server_whose_store_answers_is_alive(node: Node) -> None:
    before = node.store.written_pages
    assert await node.service.answers(1)
    assert node.store.written_pages == before  # nor does the sign wear the card


async def test_a_server_whose_disk_is_full_is_alive(node: Node) -> None:
    def refuse() -> None:
        raise StoreFull("the disk is full")

    original, node.store.commit = node.store.commit, lambda changes: original([lambda tx: refuse()])  # type: ignore
    assert await node.service.answers(1)


async def test_a_server_whose_writer_has_ended_is_not(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    store = Store(tmp_path, lambda: 1, "normal")
    try:
        assert not await Service(store, Rules(), lambda: 1).answers(60)
    finally:
        store.close()


async def test_a_server_at_a_long_bulk_change_is_alive(tmp_path: Path, nursery: trio.Nursery) -> None:
    """In real time: the change works in a thread."""
    store = Store(tmp_path, lambda: 1, "normal")
    service = Service(store, Rules(), lambda: 1)
    begun, end = trio.Event(), threading.Event()

    def long(tx: Transaction) -> None:
        trio.from_thread.run_sync(begun.set)
        assert end.wait(30)

    await nursery.start(service.run)
    nursery.start_soon(lambda: service.write(long, bulk=True))
    await begun.wait()
    try:
        assert await service.answers(0.01)
    finally:
        end.set()
    assert await service.answers(30)
    nursery.cancel_scope.cancel()
    store.close()


async def test_what_says_that_it_is_not_alive_gives_no_sign(
    tmp_path: Path, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    signs: list[float] = []
    answers = iter([True, False, True])

    class Manager(notify.ServiceManager):
        def _send(self, wait: float, *lines: str) -> None:
            assert lines == ("WATCHDOG=1",)
            signs.append(trio.current_time() - began)

    async def alive() -> bool:
        await trio.sleep(5)
        return next(answers, False)

    began = trio.current_time()
    nursery.start_soon(Manager("/nowhere", 120).watch, alive)
    await trio.sleep(300)
    nursery.cancel_scope.cancel()
    assert signs == [5, 135]


def test_only_the_process_that_was_started_is_watched() -> None:
    at = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "2000000"}
    assert notify.ServiceManager.around(at) == notify.ServiceManager("\0x", 2.0)
    assert notify.ServiceManager.around({**at, "WATCHDOG_PID": "1"}).watchdog_s == 0
    assert notify.ServiceManager.around({**at, "WATCHDOG_USEC": "soon"}).watchdog_s == 0
    assert notify.ServiceManager.around({**at, "NOTIFY_SOCKET": "vsock:2:1"}) == notify.ServiceManager()
    assert notify.ServiceManager.around({}) == notify.ServiceManager()


def test_the_words_of_a_server_cannot_speak_for_this_program(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        notify.ServiceManager(str(tmp_path / "notify")).status("no\nMAINPID=1\x1b[31m " + "x" * 1000)
        told = ear.recv(65536).decode()
    assert told.startswith("STATUS=no MAINPID=1 [31m xxx")
    assert len(told) < 400
    assert told.isprintable()
