"""Many processes of one function: submitted in batches, their results in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import trio

from colonies_node.client import records
from colonies_node.client.errors import Unsuccessful
from colonies_node.client.records import ProcessRecord
from colonies_node.client.spec import FunctionSpec, fields
from colonies_node.core.errors import LinkDown, Refused

if TYPE_CHECKING:
    from colonies_node.client.client import Client

MAX_BATCH: Final = 250
"""Processes that are submitted in one message: a quarter of what a server takes, so that others get their turn."""

MAX_BATCH_BYTES: Final = 8 << 20
"""Bytes of function specs, as JSON, in one message: a server takes 20 MiB, and base64 makes a third more of them."""

READ_AT_ONCE: Final = 16
"""Processes that are read in one message: a result may have megabytes."""


class Results:
    """The results of a map, in order. At most `at_once` processes have been submitted and not been read.

    Without `failures`, the first process that did not succeed ends it with its error, and those that were submitted
    after it are cancelled; with it, the error stands in the place of the result.
    """

    def __init__(
        self,
        client: Client,
        items: Iterator[tuple[Any, ...]],
        spec: Callable[[Sequence[object]], FunctionSpec],
        at_once: int,
        failures: bool,
    ) -> None:
        if at_once < 1:
            raise ValueError(f"at_once must be at least 1, not {at_once}")
        self._client = client
        self._items = items
        self._spec = spec
        self._at_once = at_once
        self._failures = failures
        self._flying: deque[str] = deque()
        self._read: deque[ProcessRecord] = deque()
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        await self.add(self.draw())
        found, value = await self.take()
        if not found:
            raise StopAsyncIteration
        return value

    def draw(self) -> list[FunctionSpec]:
        """The next specs to submit: none as long as more than half of what may be under way is."""
        if self._over or len(self._flying) > self._at_once // 2:
            return []
        room = self._at_once - len(self._flying)
        self._over = True  # also if an item cannot be had, or not be submitted
        specs = [self._spec(item) for item in islice(self._items, room)]
        self._over = len(specs) < room
        return specs

    async def add(self, specs: Sequence[FunctionSpec]) -> None:
        """Submit them. Raises Refused for the first that may not be, after the others were submitted."""
        refused: Refused | None = None
        for batch in _batches(specs):
            for answer in await self._client.call_batch(batch):
                if isinstance(answer, Refused):
                    refused = refused or answer
                else:
                    self._flying.append(str(answer["processid"]))
        if refused is not None:
            await self._give_up()
            raise refused

    async def take(self) -> tuple[bool, Any]:
        """Whether there is one more result, and the result. Raises ProcessFailed or ProcessCancelled."""
        await trio.lowlevel.checkpoint()
        if not self._flying:
            return False, None
        if not self._read:
            await self._look()
        record = self._read.popleft() if self._read else await self._client.wait(self._flying[0])
        self._flying.popleft()
        try:
            return True, records.result(record)
        except Unsuccessful as fault:
            if self._failures:
                return True, fault
            await self._give_up()
            raise

    async def _look(self) -> None:
        """Read the next that have ended, as far as there is none between them that has not."""
        for record in await self._client.get_some(list(islice(self._flying, READ_AT_ONCE))):
            if not record.ended:
                return
            self._read.append(record)

    async def _give_up(self) -> None:
        """Cancel what is under way: nobody will read it."""
        self._over = True
        cancel = [("cancelprocessmsg", {"processid": processid}) for processid in self._flying]
        self._flying.clear()
        self._read.clear()
        with suppress(LinkDown):  # what is raised is why it was given up
            for n in range(0, len(cancel), MAX_BATCH):
                await self._client.call_batch(cancel[n : n + MAX_BATCH])


def _batches(specs: Sequence[FunctionSpec]) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Messages that submit the specs, in batches that a server takes."""
    batch: list[tuple[str, dict[str, Any]]] = []
    size = 0
    for spec in specs:
        size += len(msgspec.json.encode(spec))
        if batch and (size > MAX_BATCH_BYTES or len(batch) >= MAX_BATCH):
            yield batch
            batch, size = [], len(msgspec.json.encode(spec))
        batch.append(("submitfuncspecmsg", {"spec": fields(spec)}))
    if batch:
        yield batch
