"""The yardstick: a raw ASGI application that answers each request's body, on the server stack of the node."""

from __future__ import annotations

from typing import Any

import trio

from colonies_node.http.server import listen, make_config


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
    """Serve until the process is ended."""
    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, echo, make_config("127.0.0.1", 0), trio.sleep_forever)
        print(f"ready: echo on http://127.0.0.1:{port}", flush=True)


if __name__ == "__main__":
    trio.run(main)
