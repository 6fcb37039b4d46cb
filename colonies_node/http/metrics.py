"""`GET /metrics`: what the node measures, for Prometheus.

A look counts what is in the store, in a thread. Whoever asks again within limits.METRICS_KEPT_S gets the same page, so
that nobody can keep the node busy with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import trio

from colonies_node.core import limits
from colonies_node.core.broker.server import take_stock
from colonies_node.core.errors import StoreError
from colonies_node.core.store.transaction import Transaction
from colonies_node.http.asgi import TEXT, App, Receive, Send, live, respond
from colonies_node.http.service import Service

PAGE = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


@dataclass(frozen=True)
class Gauge:
    """One value of the machine under its whole name; None if it is not known, and then it is not shown."""

    name: str
    text: str
    value: float | None


async def nothing(scope: Any, receive: Receive, send: Send) -> None:
    """The ASGI app of a place where there is nothing else."""
    if scope["type"] == "lifespan":
        await live(receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
    else:
        await respond(send, 404, b"404 page not found", (TEXT,))


class Metrics:
    """An ASGI app that serves `/metrics`, and leaves all other paths to `rest`.

    `device` reads what is told of the machine, in the thread of a look.
    """

    def __init__(self, service: Service, rest: App = nothing, device: Callable[[], Iterable[Gauge]] = tuple) -> None:
        self._service = service
        self._rest = rest
        self._device = device
        self._page = b""
        self._fresh_until = float("-inf")
        self._looking = trio.Lock()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["path"] != "/metrics" or scope["method"] != "GET":
            await self._rest(scope, receive, send)
            return
        try:
            page = await self._fresh()
        except (StoreError, OSError) as fault:
            await respond(send, 500, str(fault).encode(), (TEXT,))
        else:
            await respond(send, 200, page, (PAGE,))

    async def _fresh(self) -> bytes:
        async with self._looking:
            if trio.current_time() >= self._fresh_until:
                self._page = await self._look()
                self._fresh_until = trio.current_time() + limits.METRICS_KEPT_S
        return self._page

    async def _look(self) -> bytes:
        service = self._service
        crowd = len(service.assignments.room), len(service.subscribers)

        def look(tx: Transaction) -> bytes:
            from colonies_node.http import exposition

            sizes = service.store.size(tx)
            level = service.disk.pressure.level
            return exposition.render(service.meter, take_stock(tx), sizes, crowd, level, self._device())

        return await service.scan(look)
