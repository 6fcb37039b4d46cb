"""A process that was submitted, to wait for it and to talk to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colonies_node.client.channel import Channel
    from colonies_node.client.client import Client
    from colonies_node.client.logs import Lines
    from colonies_node.client.records import ProcessRecord


class Process:
    """A process by its id; each method is the client's method of that name."""

    def __init__(self, client: Client, id: str) -> None:
        self._client = client
        self.id = id

    def __repr__(self) -> str:
        return f"Process({self.id!r})"

    async def get(self) -> ProcessRecord:
        """What the server knows of it now."""
        return await self._client.get(self)

    async def wait(self, timeout: float | None = None) -> ProcessRecord:
        """Its record, once it has ended."""
        return await self._client.wait(self, timeout)

    async def result(self, timeout: float | None = None) -> Any:
        """What it gave, once it has ended."""
        return await self._client.result(self, timeout)

    async def cancel(self) -> None:
        """Nobody wants it any more."""
        await self._client.cancel(self)

    def logs(self, *, follow: bool = True, since: int = 0) -> Lines:
        """What it writes."""
        return self._client.logs(self, follow=follow, since=since)

    def channel(self, name: str, *, own: bool = False) -> Channel:
        """One of its channels."""
        return self._client.channel(self, name, own=own)
