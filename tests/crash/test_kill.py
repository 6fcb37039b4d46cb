"""A loaded server that is killed without warning forgets nothing that it answered."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio

from colonies_node.http.client import Client
from tests.crash.clients import Promises, check, furnish, load
from tests.e2e.programs import colonies_node

ROUNDS = 20


@pytest.mark.slow
async def test_what_was_answered_survives_twenty_kills(tmp_path: Path, luck: random.Random) -> None:
    data, promises = tmp_path / "data", Promises()
    closed = 0
    for number in range(ROUNDS):
        async with colonies_node("serve", "--data", str(data), "--port", "0") as server:
            url = await server.url()
            if number == 0:
                await furnish(url, (data / "server.key").read_text().strip())
            async with Client(url, None) as client:
                assert await client.healthy()
            patience = luck.uniform(0.05, 0.6)
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(load, url, promises, luck)
                    with trio.move_on_after(patience):
                        await trio.sleep_forever()
                    server.process.kill()
                    await server.ended()
            told = [line for line in server.lines if "Traceback" in line or " ERROR " in line]
            assert told == []
        check(copy(data, tmp_path / f"after-{number}"), promises)
        assert len(promises.submitted) > number
        closed = max(closed, len(promises.closed))
    assert closed > ROUNDS


def copy(data: Path, to: Path) -> Path:
    """The database as the killed server left it, for a look that changes nothing of it."""
    to.mkdir()
    for name in ("colonies.db", "colonies.db-wal"):
        if (data / name).exists():
            (to / name).write_bytes((data / name).read_bytes())
    return to / "colonies.db"
