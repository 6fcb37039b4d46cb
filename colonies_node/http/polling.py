"""Answering an application for work over HTTP: waiting while the client is there, and taking back what it cannot be
told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from colonies_node.core.broker.table import Row
from colonies_node.core.errors import ColonyError
from colonies_node.core.store.remembered import Once
from colonies_node.http.asgi import Receive, watch
from colonies_node.http.assignments import Given
from colonies_node.http.connection import deliver
from colonies_node.http.service import Service, Show


async def poll(
    service: Service,
    row: Row,
    message: Any,
    caller: str,
    receive: Receive,
    answer: Callable[[bytes], Awaitable[None]],
    show: Show,
    once: Once | None = None,
) -> bool:
    """Wait for work while the client is there, and `answer` with it; False if the client is gone, and the work back in
    the queue. Raises ColonyError to refuse."""
    call = service.call(caller)
    gone = trio.Event()
    refusal: ColonyError | None = None
    told = False
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as patience:
            nursery.start_soon(watch, receive, gone, patience)
            try:
                given = await service.assignments.assign(row, message, call, show, once)
            except ColonyError as fault:
                refusal = fault
            else:
                # Once the answer is on its way, the end of the exchange reads as a disconnect too: look before.
                with trio.CancelScope(shield=True):
                    await trio.lowlevel.checkpoint()
                    told = await _tell(service, given, gone, answer)
        nursery.cancel_scope.cancel()
    if refusal is not None:
        raise refusal
    return told


async def _tell(service: Service, given: Given, gone: trio.Event, answer: Callable[[bytes], Awaitable[None]]) -> bool:
    if gone.is_set() or not await deliver(partial(answer, given.shown)):
        await service.assignments.take_back(given)
        return False
    service.assignments.settle(given)
    return True
