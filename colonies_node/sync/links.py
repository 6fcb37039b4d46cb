"""All links of a node to its upstreams: each runs while it is stored and not paused, as it is set now."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from colonies_node.core.broker.call import Live
from colonies_node.core.broker.sync import upstreams
from colonies_node.core.errors import ColonyError, LinkDown
from colonies_node.core.events import Event, LinkChanged, OffersChanged, ProcessChanged, ShareChanged
from colonies_node.core.model.sync import Upstream
from colonies_node.core.rules import Rule, Value
from colonies_node.core.store import links
from colonies_node.core.store.links import LinkRow
from colonies_node.http.backoff import Backoff
from colonies_node.http.client import Client
from colonies_node.http.service import Service
from colonies_node.sync.link import Link, Post
from colonies_node.sync.post import CborPost
from colonies_node.sync.reference import Reference

log = logging.getLogger(__name__)

KeyOf = Callable[[Upstream], str]
"""The private key under which the node is an executor at an upstream. Raises KeyRefused."""

RETRY_S = 60.0
"""Seconds until a link that cannot even begin, for want of its key, is tried again."""

NO_RECORDS = "it is a server of the reference, which keeps no records of what happens elsewhere"


@dataclass(eq=False)
class _Running:
    row: LinkRow
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    link: Link | None = None
    again: trio.Event = field(default_factory=trio.Event)
    """Set to try at once what could not begin."""


class Links:
    """Runs a link for every upstream. Give `hear` every event of the service."""

    def __init__(self, service: Service, key_of: KeyOf, readings: Callable[[], Mapping[str, Value]]) -> None:
        self._service = service
        self._key_of = key_of
        self._readings = readings
        self._running: dict[str, _Running] = {}
        self._moved = trio.Event()

    def hear(self, event: Event) -> None:
        """Tell the links what happened here."""
        if isinstance(event, LinkChanged):
            if (running := self._running.get(event.name)) is not None:
                running.again.set()
                if running.link is not None:
                    running.link.now()
            self._moved.set()
        elif isinstance(event, ProcessChanged | ShareChanged | OffersChanged):
            for running in self._running.values():
                if running.link is not None:
                    running.link.changed()

    async def run(self) -> None:
        """Keep the links until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._moved = trio.Event()
                wanted = {row.name: row for row in self._service.read(lambda tx: links.all_of(tx, links.UP))}
                for name, running in list(self._running.items()):
                    row = wanted.get(name)
                    if row is None or row.paused or _is_other(row, running.row):
                        running.scope.cancel()
                        del self._running[name]
                        self._service.links.pop(name, None)
                for name, row in wanted.items():
                    if not row.paused and name not in self._running:
                        running = self._running[name] = _Running(row)
                        nursery.start_soon(self._keep, running)
                await self._moved.wait()

    async def _keep(self, running: _Running) -> None:
        """Run one link until it is no longer wanted; what goes wrong with it is its own trouble."""
        live = self._service.links[running.row.name] = Live(since=self._service.clock())
        backoff = Backoff()
        with running.scope:
            while True:
                pause = RETRY_S
                try:
                    await self._run(running, live)
                except LinkDown as fault:
                    live.why, pause = fault.message, backoff.pause()
                except ColonyError as fault:
                    live.why = fault.message
                    log.warning("the link to upstream %s cannot begin: %s", running.row.name, fault)
                except Exception:
                    live.connected, live.why = False, "a fault of this program, see its log"
                    log.exception("the link to upstream %s failed", running.row.name)
                running.again = trio.Event()
                with trio.move_on_after(pause):
                    await running.again.wait()

    async def _run(self, running: _Running, live: Live) -> None:
        row = running.row
        upstream = upstreams.of_link(row)
        async with self._post(upstream, row) as (post, plain):
            if plain and upstream.record:
                log.warning("upstream %s: %s", row.name, NO_RECORDS)
            running.link = Link(
                self._service,
                self._service.rules.nodeid,
                upstream,
                post,
                live,
                readings=self._readings,
                earlier=lambda: self._before(row),
                plain=plain,
            )
            try:
                await running.link.run()
            finally:
                running.link = None

    @asynccontextmanager
    async def _post(self, upstream: Upstream, row: LinkRow) -> AsyncIterator[tuple[Post, bool]]:
        """What carries letters to the upstream, and whether that is a server which knows none. Raises LinkDown while
        that cannot be found out."""
        key = self._key_of(upstream)
        verify = _verify(upstream.tlsverify)
        known = upstream.nodeid or (row.nodeid if upstream.protocol != "json" else "")
        node = Client(upstream.url, key, door="cbor", node_id=known or None, tls_verify=verify, persistent=False)
        async with node:
            if upstream.protocol == "cbor" or (upstream.protocol == "" and (known or await node.has_cbor())):
                yield CborPost(node), False
                return
        async with Client(upstream.url, None, tls_verify=verify) as door:
            yield Reference(self._service, upstream, door, key), True

    def _before(self, row: LinkRow) -> tuple[tuple[LinkRow, tuple[Rule, ...]], ...]:
        """The upstreams of the same colony that come before this one, where they are connected, and their rules."""
        return tuple(
            (other.row, other.link.rules)
            for other in self._running.values()
            if other.link is not None
            and other.row.seq < row.seq
            and other.row.colonyname == row.colonyname
            and other.link.machine.connected
        )


def _is_other(row: LinkRow, before: LinkRow) -> bool:
    return (row.seq, row.url, row.settings) != (before.seq, before.url, before.settings)


def _verify(text: str) -> bool | str:
    return {"": True, "true": True, "false": False}.get(text, text)
