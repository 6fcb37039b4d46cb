"""Everything that is not the hot path, served by Quart: today the front page and the answers to unknown paths.

Quart and what it brings cost a third of a second and a dozen megabytes; a node that nobody visits with a browser
should not pay for it. So the app is made, in a thread, when the first such request comes.
"""

from __future__ import annotations

import html
from functools import cache
from typing import Any

import trio

from colonies_node import __version__
from colonies_node.core.store import members
from colonies_node.http.service import Service

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>colonies-node</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}}
dt{{font-weight:600}}dd{{margin:0 0 .8rem;overflow-wrap:anywhere}}</style>
<h1>colonies-node</h1>
<p>A Colonies server. SDKs and command lines talk to it at <code>POST /api</code>.</p>
<dl><dt>Version</dt><dd>{version}</dd><dt>Server id</dt><dd>{serverid}</dd>
<dt>Executors waiting for work</dt><dd>{waiting}</dd></dl>
</html>
"""


class Rest:
    """An ASGI app that becomes a Quart app when it is first needed."""

    def __init__(self, service: Service) -> None:
        self._make = cache(lambda: _app(service))
        self._making = trio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI connection."""
        async with self._making:
            app = await trio.to_thread.run_sync(self._make)
        await app(scope, receive, send)


def _app(service: Service) -> Any:
    from quart import Response, redirect, request
    from quart_trio import QuartTrio

    app = QuartTrio(__name__)

    @app.get("/")
    async def front_page() -> Response:
        serverid = service.read(members.server_id) or ""
        page = _PAGE.format(
            version=html.escape(__version__), serverid=html.escape(serverid), waiting=len(service.assignments.room)
        )
        return Response(page, content_type="text/html; charset=utf-8")

    @app.errorhandler(404)
    @app.errorhandler(405)
    async def not_found(_: Exception) -> Any:
        if request.path in ("/api/", "/health/"):
            return redirect(request.path.rstrip("/"), 301 if request.method == "GET" else 307)
        return Response("404 page not found", 404, content_type="text/plain")

    return app
