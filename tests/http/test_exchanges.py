"""A letter that waits at its upstream is answered at once when there is something to tell, and no wake-up is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from colonies_node.core import limits
from colonies_node.core.broker.sync import offers
from colonies_node.core.model.sync import Offered
from tests.lab import COLONY, TYPE, Lab
from tests.node import RUNNING, WAITING, Exchange, Party, request, settle

TURNS = 40
"""Turns of the event loop after which a change that was asked for is made and told."""


class Lower:
    """A lower node, as far as the upper one sees it: it writes letters and keeps what the answers say."""

    def __init__(self, lab: Lab, name: str = "low", **wish: Any) -> None:
        self.lab = lab
        self.name = name
        self.wish = wish
        self.letter = 0
        self.have = {"timeline": "", "batch": 0}
        self.offered = ""
        self.given: list[str] = []
        """Processes that it was offered, in their order."""

    async def join(self) -> Lower:
        """Become an executor of the colony, and hear what there is to hear so far."""
        self.party = await self.lab.join(self.name, "node")
        self.hear(await self.write(timeout=0, free=0))
        return self

    def body(self, **fields: Any) -> bytes:
        """The next letter."""
        self.letter += 1
        wish = {"accept": [TYPE], "free": 1, "room": 10_000, "timeout": 60, **self.wish, **fields}
        return request(
            self.party,
            "syncmsg",
            colonyname=COLONY,
            node=self.name.encode().hex().ljust(64, "0"),
            timeline="its own",
            letter=self.letter,
            have=self.have,
            offered=self.offered,
            **wish,
        )

    def send(self, **fields: Any) -> Exchange:
        """Write the next letter."""
        exchange = Exchange(self.body(**fields))
        self.lab.node.nursery.start_soon(exchange.run, self.lab.node.door)
        return exchange

    async def write(self, **fields: Any) -> Exchange:
        """Write the next letter, and come back when it is answered or waits."""
        exchange = self.send(**fields)
        await settle()
        return exchange

    def hear(self, exchange: Exchange) -> dict[str, Any]:
        """The answer to a letter."""
        answer = exchange.answer
        assert answer is not None, "it waits"
        assert answer.refusal is None
        said: dict[str, Any] = answer.payload
        if said["batch"]:
            self.have = {"timeline": said["timeline"], "batch": said["batch"]}
        if said["offers"] is not None:
            self.offered = offers.digest(msgspec.convert(said["offers"], list[Offered]))
        self.given += [item["processid"] for item in said["items"] if item["kind"] == "offer" and item["process"]]
        return said


@pytest.fixture
async def low(lab: Lab) -> Lower:
    """A lower node that takes one process of the usual type."""
    return await Lower(lab).join()


def kinds(said: dict[str, Any]) -> list[str]:
    """What the items of an answer are."""
    return [item["kind"] for item in said["items"]]


def waiting(lab: Lab) -> int:
    """How many letters wait."""
    return len(lab.node.service.exchanges)


async def turns(count: int) -> None:
    """Let the event loop go round so often."""
    for _ in range(count):
        await trio.lowlevel.checkpoint()


# -- what answers a letter --------------------------------------------------------------------------------------------


async def test_a_letter_that_asks_for_no_wait_is_answered_at_once(low: Lower) -> None:
    said = low.hear(await low.write(timeout=0))
    assert (said["items"], said["offers"], said["need"]) == ([], None, [])


async def test_with_nothing_to_tell_a_letter_waits_until_its_time_is_over(
    low: Lower, mock_clock: trio.testing.MockClock
) -> None:
    exchange = await low.write(timeout=60)
    mock_clock.jump(59.9)
    await settle()
    assert exchange.answer is None
    mock_clock.jump(0.2)
    await settle()
    assert low.hear(exchange)["items"] == []
    assert waiting(low.lab) == 0


async def test_no_letter_waits_longer_than_any_long_poll_may(low: Lower, mock_clock: trio.testing.MockClock) -> None:
    exchange = await low.write(timeout=1 << 40)
    mock_clock.jump(limits.MAX_LONG_POLL_S - 1)
    await settle()
    assert exchange.answer is None
    mock_clock.jump(2)
    await settle()
    assert low.hear(exchange)["items"] == []


async def test_work_of_an_accepted_type_answers_it(low: Lower) -> None:
    exchange = await low.write()
    process = await low.lab.submit()
    await settle()
    (item,) = low.hear(exchange)["items"]
    assert (item["kind"], item["processid"], item["term"]) == ("offer", process["processid"], 1)
    assert item["process"]["spec"]["funcname"] == "work"
    assert (await low.lab.get(process))["assignedexecutorid"] == low.party.id


async def test_work_of_another_type_does_not(low: Lower) -> None:
    exchange = await low.write()
    await low.lab.submit(conditions={"executortype": "other"})
    await settle()
    assert exchange.answer is None


async def test_work_of_any_type_does_not_answer_a_node_that_has_no_room(low: Lower) -> None:
    exchange = await low.write(free=0)
    process = await low.lab.submit()
    await settle()
    assert exchange.answer is None
    assert (await low.lab.get(process))["state"] == WAITING


async def test_work_that_waits_for_its_parents_answers_it_once_they_have_ended(low: Lower) -> None:
    lab = low.lab
    ann = await lab.join("ann", "first")
    low.hear(await low.write(timeout=0))
    exchange = await low.write()
    nodes = [
        {"nodename": name, "funcname": "f", "conditions": {"executortype": kind, "dependencies": after}}
        for name, kind, after in (("a", "first", []), ("b", TYPE, ["a"]))
    ]
    spec = {"colonyname": COLONY, "functionspecs": nodes}
    graph = await lab.node.call(lab.user, "submitworkflowspecmsg", spec=spec)
    await settle()
    assert exchange.answer is None
    await lab.close(ann, await lab.assign(ann), [7])
    await settle()
    (item,) = low.hear(exchange)["items"]
    assert (item["processid"], item["process"]["input"]) == (graph["processids"][1], [7])


async def taken(low: Lower) -> Any:
    """A process that the lower node has."""
    exchange = await low.write()
    process = await low.lab.submit()
    await settle()
    low.hear(exchange)
    return process


async def test_news_of_what_it_has_taken_answers_it(low: Lower) -> None:
    """Its user cancels it."""
    process = await taken(low)
    exchange = await low.write(free=0)
    await low.lab.node.call(low.lab.user, "cancelprocessmsg", processid=process["processid"])
    await settle()
    (item,) = low.hear(exchange)["items"]
    assert (item["kind"], item["processid"]) == ("revoke", process["processid"])


async def test_each_step_of_what_it_has_given_answers_it(low: Lower) -> None:
    lab = low.lab
    ann = await lab.join("ann", "gpu")
    low.hear(await low.write(timeout=0))
    spec = {"funcname": "f", "conditions": {"executortype": "gpu", "colonyname": COLONY}}
    offer = {"kind": "offer", "processid": "6" * 64, "term": 1, "process": {"spec": spec, "waitleft": -1}}
    first = await low.write(items=[offer], batch=1, timeout=0)
    assert low.hear(first)["items"] == []
    steps: list[Callable[[], Awaitable[Any]]] = [
        lambda: lab.assign(ann),
        lambda: lab.node.call(ann, "addlogmsg", processid="6" * 64, message="hello"),
        lambda: lab.close(ann, {"processid": "6" * 64}, ["x"]),
    ]
    items = []
    for step in steps:
        exchange = await low.write()
        assert exchange.answer is None
        await step()
        await settle()
        items += low.hear(exchange)["items"]
    assert [item["kind"] for item in items] == ["report"] * 3
    assert [item["state"] for item in items] == [1, 1, 2]
    assert [[line["message"] for line in item["logs"]] for item in items] == [[], ["hello"], []]
    assert items[-1]["out"] == ["x"]


async def test_what_happens_to_the_work_of_others_does_not(low: Lower) -> None:
    lab = low.lab
    ann, other = await lab.join("ann", "gpu"), await Lower(lab, "other").join()
    low.hear(await low.write(timeout=0))
    process = await taken(other)
    exchange = await low.write(free=0)
    await lab.run(ann, conditions={"executortype": "gpu"})
    await lab.node.call(lab.user, "cancelprocessmsg", processid=process["processid"])
    await settle()
    assert exchange.answer is None


async def test_other_offers_answer_it(low: Lower) -> None:
    exchange = await low.write()
    await low.lab.join("ann", "gpu")
    await settle()
    said = low.hear(exchange)
    assert sorted(one["executortype"] for one in said["offers"]) == ["gpu", "node"]
    assert said["items"] == []
    assert (await low.write()).answer is None


async def test_offers_of_another_colony_do_not(low: Lower) -> None:
    elsewhere = await Lab(low.lab.node, "elsewhere", Party("its owner"), Party("its user")).found()
    exchange = await low.write()
    await elsewhere.join("ann", "gpu")
    await settle()
    assert exchange.answer is None


async def test_a_newer_letter_answers_the_one_before_it(low: Lower) -> None:
    older = await low.write()
    newer = await low.write()
    assert low.hear(older)["items"] == []
    assert newer.answer is None
    assert waiting(low.lab) == 1


async def test_a_newer_letter_of_another_node_does_not(low: Lower) -> None:
    other = await Lower(low.lab, "other").join()
    low.hear(await low.write(timeout=0))
    letter = await low.write()
    await other.write()
    assert letter.answer is None
    assert waiting(low.lab) == 2


async def test_the_end_of_the_server_answers_all(low: Lower) -> None:
    other = await Lower(low.lab, "other").join()
    low.hear(await low.write(timeout=0))
    letters = [await low.write(), await other.write()]
    low.lab.node.service.close()
    await settle()
    assert [letter.answer is not None for letter in letters] == [True, True]
    assert waiting(low.lab) == 0


async def test_the_end_of_its_membership_refuses_it(low: Lower) -> None:
    """The next thing that would be told is not."""
    lab = low.lab
    exchange = await low.write()
    await lab.node.call(lab.owner, "removeexecutormsg", colonyname=COLONY, executorname="low")
    process = await lab.submit()
    await settle()
    assert exchange.answer is not None
    assert exchange.answer.refusal is not None
    assert exchange.answer.refusal[0] == 403
    assert (await lab.get(process))["state"] == WAITING
    assert waiting(lab) == 0


async def test_no_work_is_given_in_a_paused_colony_and_it_is_when_that_goes_on(low: Lower) -> None:
    lab = low.lab
    await lab.node.call(lab.owner, "pauseassignmentsmsg", colonyname=COLONY)
    exchange = await low.write()
    await lab.submit()
    await settle()
    assert exchange.answer is None
    await lab.node.call(lab.owner, "resumeassignmentsmsg", colonyname=COLONY)
    await settle()
    assert kinds(low.hear(exchange)) == ["offer"]


# -- no wake-up is lost -----------------------------------------------------------------------------------------------


async def test_work_that_comes_at_any_step_of_a_letter_is_given(low: Lower) -> None:
    """The submit begins at the k-th turn of the event loop after the letter, for every k until that waits."""
    for k in range(TURNS):
        exchange = low.send()
        await turns(k)
        process = await low.lab.submit()
        await settle()
        low.hear(exchange)
        assert low.given[-1] == process["processid"], f"at turn {k}"


async def test_news_that_comes_at_any_step_of_a_letter_is_told(low: Lower) -> None:
    for k in range(TURNS):
        process = await taken(low)
        exchange = low.send(free=0)
        await turns(k)
        await low.lab.node.call(low.lab.user, "cancelprocessmsg", processid=process["processid"])
        await settle()
        said = low.hear(exchange)
        assert [item["processid"] for item in said["items"]] == [process["processid"]], f"at turn {k}"


async def test_offers_that_change_at_any_step_of_a_letter_are_told(low: Lower) -> None:
    for k in range(TURNS):
        exchange = low.send()
        await turns(k)
        await low.lab.join(f"ann{k}", f"gpu{k}")
        await settle()
        said = low.hear(exchange)
        assert f"gpu{k}" in [one["executortype"] for one in said["offers"]], f"at turn {k}"


# -- what it does not take --------------------------------------------------------------------------------------------


async def test_work_for_which_a_node_has_no_room_left_goes_to_whoever_waits_behind_it(low: Lower) -> None:
    """Two come one after the other, at any distance: the node takes the first."""
    lab = low.lab
    ann = await lab.join("ann")
    low.hear(await low.write(timeout=0))
    for k in range(TURNS):
        letter, poll = await low.write(), await lab.poll(ann)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.submit)
            await turns(k)
            nursery.start_soon(lab.submit)
        await settle()
        assert kinds(low.hear(letter)) == ["offer"]
        assert poll.answer is not None, f"at turn {k}"
        assert poll.answer.payload["state"] == RUNNING
        assert poll.answer.payload["processid"] != low.given[-1]


async def test_work_that_a_node_was_woken_for_goes_on_if_it_is_answered_for_another_reason(low: Lower) -> None:
    """A newer letter comes, which asks for no work."""
    lab = low.lab
    ann = await lab.join("ann")
    low.hear(await low.write(timeout=0))
    given = 0
    for k in range(TURNS):
        letter, poll = await low.write(), await lab.poll(ann)
        newer: list[Exchange] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.submit)
            await turns(k)
            newer.append(low.send(free=0, timeout=0))
        await settle()
        assert newer[0].answer is not None
        before = len(low.given)
        low.hear(letter)
        low.hear(newer[0])
        if len(low.given) > before:
            given += 1
            poll.hang_up()
            await settle()
        else:
            assert poll.answer is not None, f"nobody has it, at turn {k}"
    assert 0 < given < TURNS


async def test_work_that_a_node_was_woken_for_goes_on_if_it_is_removed(low: Lower) -> None:
    """What it had been given already is in the queue again then."""
    lab = low.lab
    ann = await lab.join("ann")
    for k in range(TURNS):
        node = await Lower(lab, f"node{k}").join()
        letter, poll = await node.write(), await lab.poll(ann)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.submit)
            await turns(k)
            await lab.node.call(lab.owner, "removeexecutormsg", colonyname=COLONY, executorname=node.name)
        await settle()
        assert letter.answer is not None
        assert poll.answer is not None, f"nobody has it, at turn {k}"
