"""A command's way to the server: it signs with the right key and waits as long as it takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio

from colonies_node.config import need
from colonies_node.http.client import Client
from colonies_node.settings import COLONY_OWNER, MEMBER, SERVER_OWNER, Settings

KEYS = {MEMBER: "prvkey", COLONY_OWNER: "colony_prvkey", SERVER_OWNER: "server_prvkey"}
"""Whose command it is → the setting with the key that signs."""

Result = TypeVar("Result")


class Link:
    """The server as a command sees it. `ask` is one request; `run` is for more than one."""

    def __init__(self, settings: Settings, role: str) -> None:
        self.settings = settings
        self.role = role

    @property
    def colony(self) -> str:
        """The name of the colony; SettingRefused if none is set."""
        return str(need(self.settings, "colony_name"))

    def ask(self, msgtype: str, /, *, patience: float | None = None, **fields: Any) -> Any:
        """Send one message and give the decoded answer; `patience` in seconds is for long polls."""

        async def once(client: Client) -> Any:
            return await client.call(msgtype, _timeout=patience, **fields)

        return self.run(once)

    def run(self, conversation: Callable[[Client], Awaitable[Result]]) -> Result:
        """Run a conversation with the server over one connection."""
        key = need(self.settings, KEYS[self.role]) if self.role in KEYS else None

        async def talk() -> Result:
            async with Client(self.settings.server_url, key, tls_verify=self.settings.tls_verify) as client:
                return await conversation(client)

        return trio.run(talk)
