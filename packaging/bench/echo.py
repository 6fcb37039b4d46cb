"""The yardstick: a raw ASGI application that answers each request's body, on the server stack of the node."""

from __future__ import annotations

from typing import Any

import trio
from colonies_node.http.runner import server_config
from hypercorn.trio import serve


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request with its own body."""
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def main() -> None:
    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(serve, echo, server_config("127.0.0.1", 0))
        print(f"ready: echo on {url}", flush=True)


if __name__ == "__main__":
    trio.run(main)
