"""Listening: hypercorn under trio, with or without TLS, until told to stop."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve

from colonies_node.core import limits
from colonies_node.core.errors import SettingRefused
from colonies_node.http.connection import watch_connections


def make_config(host: str, port: int, tls_cert: Path | None = None, tls_key: Path | None = None) -> Config:
    """hypercorn's settings for a node. SettingRefused when the TLS files cannot be used."""
    config = Config()
    config.bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn")
    # Clients hold a connection between polls; the reference lets one idle for as long.
    config.keep_alive_timeout = 120
    # A client that works for weeks should not meet a closed connection every thousand requests.
    config.keep_alive_max_requests = 1 << 31
    config.graceful_timeout = 5
    # Connections are watched one request at a time (connection.py), so no HTTP/2 over TLS.
    config.alpn_protocols = ["http/1.1"]
    config.h11_max_incomplete_size = 64 * 1024
    config.websocket_max_message_size = limits.MAX_SUBSCRIBE
    if (tls_cert is None) != (tls_key is None):
        raise SettingRefused("TLS needs both a certificate and a key: give --tls-cert and --tls-key")
    if tls_cert is not None and tls_key is not None:
        for path in (tls_cert, tls_key):
            if not path.is_file():
                raise SettingRefused(f"the TLS file {path} cannot be read: it does not exist")
        config.certfile, config.keyfile = str(tls_cert), str(tls_key)
        try:
            config.create_ssl_context()
        except OSError as fault:
            raise SettingRefused(f"{tls_cert} and {tls_key} are no certificate and key in PEM form: {fault}") from None
    return config


async def listen(
    app: Any,
    config: Config,
    stop: Callable[[], Awaitable[Any]],
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until `stop` returns. Tells the port through `task_status`. SettingRefused when it cannot listen."""
    watch_connections()
    try:
        async with trio.open_nursery() as nursery:
            addresses = await nursery.start(partial(hypercorn_serve, app, config, shutdown_trigger=stop, mode="asgi"))
            task_status.started(int(addresses[0].rsplit(":", 1)[1]))
    except* OSError as faults:
        fault = faults.exceptions[0]
        while isinstance(fault, BaseExceptionGroup):
            fault = fault.exceptions[0]
        raise SettingRefused(f"cannot listen on {config.bind[0]}: {fault}") from None
