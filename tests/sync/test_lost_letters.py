"""What a lost answer said is told again, whole, until the peer has it."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

from colonies_node.core.broker import access
from colonies_node.core.broker.sync import exchange, offers, upstreams
from colonies_node.core.broker.table import TABLE
from colonies_node.core.model.sync import Item, Letter, Mark, SyncMessage
from colonies_node.core.store import links
from colonies_node.core.store.transaction import Transaction
from tests.sim.world import COLONY, SimNode, World, an_id


async def test_an_offer_that_did_not_fit_into_the_letter_told_again_is_not_taken_for_known(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        world = await two_nodes(tmp_path, nursery)
        base = world.nodes["base"]
        for _ in range(2):
            await world.submit("base", "cam")
        lost = await ask(base, 1, have=0, room=100_000)
        assert [item.process is not None for item in lost.items or ()] == [True, True]
        half = await ask(base, 2, have=0, room=1)
        rest = await ask(base, 3, have=half.batch, room=100_000)
        assert len(half.items or ()) == 1
        assert [item.process is not None for item in rest.items or ()] == [True]
        nursery.cancel_scope.cancel()


async def test_a_letter_that_comes_after_a_later_one_is_told_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        world = await two_nodes(tmp_path, nursery)
        service = world.nodes["base"].service
        assert service is not None
        await world.submit("base", "cam")
        lost = await ask(world.nodes["base"], 2, have=0, room=100_000)
        assert len(lost.items or ()) == 1
        late = letter(service.read(links.timeline), 1, have=0, room=100_000)
        late.offered, late.timeout = offers.digest(lost.offers or []), 60

        async def submit_later() -> None:
            await trio.sleep(10)
            await world.submit("base", "cam")

        nursery.start_soon(submit_later)
        answer = await service.exchanges.exchange(TABLE["syncmsg"], late, service.call(an_id("field")))
        assert (answer.batch, answer.items) == (0, [])
        nursery.cancel_scope.cancel()


async def test_a_letter_with_an_item_whose_beginning_is_lacking_counts_as_not_had(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        world = await two_nodes(tmp_path, nursery)
        field = world.nodes["field"].service
        assert field is not None
        unknown = "5" * 64

        def take_in(tx: Transaction) -> tuple[list[str], int]:
            link = links.upstream(tx, "base")
            assert link is not None
            answer = Letter(
                node=link.nodeid or "6" * 64,
                timeline="t",
                batch=link.batch + 1,
                confirmed=link.batch,
                have=Mark(batch=0),
                items=[Item(kind="offer", processid=unknown, term=1)],
            )
            need = upstreams.answered(tx, link, answer, "7" * 64)
            after = links.upstream(tx, "base")
            assert after is not None
            return need, after.batch - link.batch

        assert await field.write(take_in) == ([unknown], 0)
        nursery.cancel_scope.cancel()


async def two_nodes(folder: Path, nursery: trio.Nursery) -> World:
    """A node and its upstream, whose own letters do not get through."""
    world = World(folder, 1, nursery)
    world.add("base", [])
    world.add("field", [])
    world.link("field", "base", accept=["cam"])
    world.network.loss = 1.0
    await world.begin()
    return world


async def ask(base: SimNode, number: int, *, have: int, room: int) -> Letter:
    """The upstream's answer to a letter of the lower node that asks for two processes."""
    service = base.service
    assert service is not None

    def answer(tx: Transaction) -> Letter:
        call = service.call(an_id("field"))
        access.require_member(tx, call, COLONY)
        message = letter(links.timeline(tx), number, have=have, room=room)
        return exchange.exchange(tx, message, call)

    return await service.write(answer)


def letter(timeline: str, number: int, *, have: int, room: int) -> SyncMessage:
    """A letter of the lower node, which has the upstream's letters of that timeline up to `have`."""
    return SyncMessage(
        msgtype="syncmsg",
        colonyname=COLONY,
        node="7" * 64,
        timeline="its own",
        letter=number,
        have=Mark(timeline=timeline, batch=have),
        accept=["cam"],
        free=2,
        room=room,
    )
