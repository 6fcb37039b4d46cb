"""How an executor gets into its colony."""

from __future__ import annotations

import dataclasses
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from colonies_node.core.errors import KeyRefused, Refused, SettingRefused
from colonies_node.core.identity import id_of
from colonies_node.device.registration import own_key
from colonies_node.device.runners import Offer
from tests.device.colony import EXECUTOR_ID, Colony
from tests.device.shop import registration

OFFER = Offer("add", "module:add", "Add.", [{"name": "first", "type": "int", "required": True}])
PI = {"hardware": [{"model": "Raspberry Pi 5 Model B Rev 1.0", "nodes": 1, "cores": 4}], "software": []}


def approve(colony: Colony, state: int = 1) -> None:
    colony.executors[EXECUTOR_ID]["state"] = state


async def known(colony: Colony, state: int, **fields: Any) -> None:
    """The colony has the executor already."""
    await registration(colony, **fields).join()
    approve(colony, state)
    colony.calls.clear()


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    key = own_key(tmp_path)
    assert len(id_of(key)) == 64
    assert own_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / "executor.key").stat().st_mode) == 0o600


def test_a_key_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "executor.key").mkdir()
    with pytest.raises(KeyRefused, match="cannot be read"):
        own_key(tmp_path)


async def test_with_the_colony_key_it_lets_itself_in() -> None:
    colony = Colony()
    await registration(colony, location="attic").join()
    record = colony.executors[EXECUTOR_ID]
    assert (record["state"], record["executorname"], record["executortype"]) == (1, "worker", "cli")
    assert record["locationname"] == "attic"


async def test_an_executor_that_is_known_and_approved_just_goes_on() -> None:
    colony = Colony()
    await known(colony, 1)
    await registration(colony).join()
    assert [msgtype for msgtype, _ in colony.calls] == ["getexecutorsmsg", "getfunctionsmsg"]


@pytest.mark.parametrize("state", [0, 3])
async def test_one_that_waits_or_was_removed_is_approved_with_the_colony_key(state: int) -> None:
    colony = Colony()
    await known(colony, state)
    await registration(colony).join()
    assert colony.executors[EXECUTOR_ID]["state"] == 1
    assert colony.count("addexecutormsg") == 0


async def test_a_rejection_is_not_undone_by_the_executor_itself(autojump_clock: MockClock) -> None:
    colony, said = Colony(), []
    await known(colony, 2)
    with trio.move_on_after(3600):
        await registration(colony, say=said.append).join()
    assert colony.executors[EXECUTOR_ID]["state"] == 2
    assert said == [
        "Executor worker was rejected by colony lab. "
        "Its owner lets it in with: colonies-node executor approve --name worker"
    ]


async def test_without_the_colony_key_it_waits_for_approval_and_says_so_once(autojump_clock: MockClock) -> None:
    colony, said = Colony(), []
    await known(colony, 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(registration(colony, owner=False, say=said.append).join)
        await trio.sleep(3600)
        approve(colony)
    assert said == [
        "Executor worker waits for approval in colony lab. "
        "Its owner gives it with: colonies-node executor approve --name worker"
    ]
    assert 3600 / 15 <= colony.count("getexecutorsmsg") <= 3600 / 3.75 + 10


async def test_an_unknown_one_without_the_colony_key_says_how_it_is_added(autojump_clock: MockClock) -> None:
    said: list[str] = []
    with trio.move_on_after(60):
        await registration(Colony(), owner=False, say=said.append).join()
    assert len(said) == 1
    assert f"executor add --name worker --type cli --executorid {EXECUTOR_ID} --approve" in said[0]


async def test_a_name_that_another_key_has_is_refused_with_a_sentence() -> None:
    colony = Colony()
    await known(colony, 1)
    colony.executors = {"another": {**colony.executors[EXECUTOR_ID], "executorid": "another"}}
    with pytest.raises(SettingRefused, match=re.escape("The name worker is taken in colony lab")):
        await registration(colony).join()


async def test_a_key_that_has_another_name_here_is_refused_with_that_name() -> None:
    colony = Colony()
    await known(colony, 1, name="first")
    with pytest.raises(SettingRefused, match="This key is executor first in colony lab"):
        await registration(colony).join()


async def test_a_colony_key_that_is_none_is_refused_with_a_sentence() -> None:
    colony = Colony()
    here = dataclasses.replace(registration(colony), owner=colony.caller("somebody"))
    with pytest.raises(SettingRefused, match="The colony key does not open colony lab"):
        await here.join()


async def test_it_keeps_trying_while_there_is_no_link(autojump_clock: MockClock) -> None:
    colony, said = Colony(), []
    colony.down = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(registration(colony, say=said.append).join)
        await trio.sleep(36_000)
        colony.down = False
    assert colony.executors[EXECUTOR_ID]["state"] == 1
    assert said == ["No link to the server (cut); trying again until there is one."]


async def test_a_function_with_another_signature_takes_the_place_of_the_old_one() -> None:
    colony = Colony()
    await registration(colony, offers=[OFFER]).join()
    changed = dataclasses.replace(OFFER, args=[{"name": "first", "type": "float", "required": True}])
    for _ in range(2):
        await registration(colony, offers=[changed]).join()
    (function,) = colony.functions
    assert function["args"] == changed.args
    assert colony.count("removefunctionmsg") == 1


async def test_what_a_server_leaves_out_of_a_function_is_no_change() -> None:
    colony = Colony()
    told = dataclasses.replace(OFFER, args=[{"name": "first", "type": "int", "required": False}])
    await registration(colony, offers=[told]).join()
    del colony.functions[0]["args"][0]["required"]
    await registration(colony, offers=[told]).join()
    assert colony.count("removefunctionmsg") == 0


async def test_what_the_machine_has_comes_with_the_record() -> None:
    colony = Colony()
    await registration(colony, capabilities=PI).join()
    assert colony.executors[EXECUTOR_ID]["capabilities"] == PI
    assert colony.count("updateexecutormsg") == 0


@pytest.mark.parametrize("known", [{"hardware": None, "software": None}, {"hardware": [{"cores": 2}], "software": []}])
async def test_a_colony_that_knows_something_else_of_the_machine_is_told_once(known: dict[str, Any]) -> None:
    colony = Colony()
    await registration(colony).join()
    colony.executors[EXECUTOR_ID]["capabilities"] = known
    for _ in range(2):
        await registration(colony, capabilities=PI).join()
    assert colony.executors[EXECUTOR_ID]["capabilities"] == PI
    assert colony.count("updateexecutormsg") == 1


async def test_an_executor_that_says_nothing_of_its_machine_leaves_what_the_colony_knows() -> None:
    colony = Colony()
    await registration(colony, capabilities=PI).join()
    await registration(colony).join()
    assert colony.executors[EXECUTOR_ID]["capabilities"] == PI


async def test_a_server_that_does_not_take_what_the_machine_has_is_joined_nevertheless() -> None:
    colony, said = Colony(), []
    await registration(colony).join()
    colony.refusals["updateexecutormsg"] = Refused(403, "Access denied, unknown message")
    await registration(colony, capabilities=PI, offers=[OFFER], say=said.append).join()
    assert said == ["The server does not take what this machine has: Access denied, unknown message."]
    assert [function["funcname"] for function in colony.functions] == ["add"]


async def test_functions_are_registered_once() -> None:
    colony = Colony()
    for _ in range(2):
        await registration(colony, offers=[OFFER]).join()
    (function,) = colony.functions
    assert function["funcname"] == "add"
    assert function["description"] == "Add."
    assert function["args"] == [{"name": "first", "type": "int", "required": True}]
