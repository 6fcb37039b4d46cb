"""An executor's parts put together around a Colony in memory, for tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from colonies_node.core.rules import DEVICE, Value, parse
from colonies_node.device.delivery import Delivery
from colonies_node.device.desk import Desks
from colonies_node.device.gate import Gate
from colonies_node.device.registration import Registration
from colonies_node.device.results import Results
from colonies_node.device.room import Room
from colonies_node.device.runners.shell import ShellRunner
from colonies_node.device.slots import Slots
from colonies_node.device.supervised import Supervisor
from colonies_node.device.work import Work, Workshop
from tests.device.colony import EXECUTOR_ID, OWNER_ID, Colony

MADE: list[Supervisor] = []
"""Supervisors that tests have made and that end after the test (conftest.py)."""


def supervisor(*arguments: Any) -> Supervisor:
    """A supervisor that ends with the test."""
    MADE.append(Supervisor(*arguments))
    return MADE[-1]


def workshop(
    colony: Colony, data: Path, runners: Sequence[Any] | None = None, names: Sequence[str] = ("any program",)
) -> Workshop:
    """A workshop that says what it says into `said`; without other runners one that runs programs."""
    if runners is None:
        runners = [ShellRunner(supervisor())]
    client, desks, results, said = colony.caller(EXECUTOR_ID), Desks(data), Results(data), list[str]()
    shop = Workshop(
        client=client,
        desks=desks,
        delivery=Delivery(client, results, desks, said.append),
        runners=runners,
        names=names,
        env={"PATH": os.environ["PATH"]},
        executorid=EXECUTOR_ID,
        say=said.append,
        room=Room(8000, 8 << 30),
    )
    shop.said = said  # type: ignore[attr-defined]
    return shop


async def live(work: Work) -> None:
    """Live the life of a process, and hand in what comes of it."""
    if (outcome := await work.run()) is not None:
        await work.shop.delivery.hand_in(outcome)


def registration(colony: Colony, *, owner: bool = True, say: Any = lambda words: None, **fields: Any) -> Registration:
    """An executor `worker` of type `cli` in the colony `lab`."""
    return Registration(
        **{
            "client": colony.caller(EXECUTOR_ID),
            "owner": colony.caller(OWNER_ID) if owner else None,
            "executorid": EXECUTOR_ID,
            "name": "worker",
            "type": "cli",
            "colony": "lab",
            "location": "",
            "offers": (),
            "say": say,
            **fields,
        }
    )


def gate(shop: Workshop, when: str = "", read: Callable[[], Mapping[str, Value]] = dict) -> Gate:
    """A gate with a condition of work."""
    return Gate(shop.desks.data, parse(when, DEVICE) if when else None, read, shop.say)


@asynccontextmanager
async def executor(colony: Colony, shop: Workshop, parallel: int = 1) -> Any:
    """A whole executor at work; it ends at once when the block does."""
    slots = Slots(shop, registration(colony), gate(shop), parallel, 60, shop.say)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shop.delivery.run)
        nursery.start_soon(slots.run)
        yield slots
        nursery.cancel_scope.cancel()
