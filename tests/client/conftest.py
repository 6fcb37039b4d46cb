"""One server for the tests of clients, and one worker for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from tests.client.place import Place, Worker, serving, working


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with serving(tmp_path_factory.mktemp("server")) as place:
        yield place


@pytest.fixture
async def place(server: Place) -> AsyncIterator[Place]:
    """The colony `lab`, empty, for a test that does not hang."""
    await server.clear()
    with trio.fail_after(30):
        yield server


@pytest.fixture
async def worker(place: Place) -> AsyncIterator[Worker]:
    async with working(place) as worker:
        yield worker
