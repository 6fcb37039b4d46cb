"""Outcomes wait on disk until the server has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock

from colonies_node.core.errors import Refused
from colonies_node.device.results import REFUSED_KEPT, Outcome, Results
from tests.device.colony import EXECUTOR_ID, FAILED, SUCCESS, Colony, process_id
from tests.device.shop import registration, workshop


def done(word: str, ended: int = 1, out: Any = ("ok",)) -> Outcome:
    return Outcome(process_id(word), ended, True, out=list(out))


async def joined(colony: Colony, *words: str) -> list[str]:
    """The executor is in the colony and holds these processes."""
    await registration(colony).join()
    ids = [colony.submit(word, "true") for word in words]
    for processid in ids:
        colony.give_to(processid, EXECUTOR_ID)
    return ids


def test_an_outcome_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    outcome = Outcome(process_id("a"), 5, False, errors=["äöü\n", "x"])
    Results(tmp_path).write(outcome)
    assert Results(tmp_path).waiting() == [outcome]


def test_the_oldest_comes_first(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for word, ended in (("a", 3), ("b", 1), ("c", 2)):
        results.write(done(word, ended))
    assert [outcome.ended for outcome in results.waiting()] == [1, 2, 3]


def test_half_a_file_of_a_former_life_is_no_outcome(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.path("x").with_name("x.json.new").write_text('{"proc')
    assert Results(tmp_path).waiting() == []
    assert list(results.folder.iterdir()) == []


def test_an_unreadable_outcome_is_set_aside_and_the_others_are_delivered(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.path(process_id("bad")).write_text("{]")
    results.write(done("good"))
    assert [outcome.processid for outcome in results.waiting()] == [process_id("good")]
    assert [path.name for path in results.refused.iterdir()] == [f"{process_id('bad')}.json"]


def test_only_so_many_refused_outcomes_are_kept(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for number in range(REFUSED_KEPT + 5):
        results.set_aside(done(str(number)), "no")
    assert len(list(results.refused.iterdir())) == REFUSED_KEPT


async def test_a_result_is_delivered_with_the_rest_of_its_log_before_it(tmp_path: Path) -> None:
    colony = Colony()
    (processid,) = await joined(colony, "a")
    shop = workshop(colony, tmp_path)
    shop.desks.set_up(processid)
    shop.desks.log(processid).mkdir()
    (shop.desks.log(processid) / "00000007").write_text("last words\n")
    shop.delivery.results.write(done("a", out=["ok", 5]))
    assert await shop.delivery.deliver_waiting()
    assert colony.processes[processid]["out"] == ["ok", 5]
    assert colony.log_of(processid) == "last words\n"
    assert shop.delivery.results.waiting() == []
    assert not shop.desks.folder(processid).exists()


async def test_results_are_delivered_in_the_order_in_which_they_ended(tmp_path: Path) -> None:
    colony = Colony()
    ids = await joined(colony, *"abcdefghijklmnop")
    shop = workshop(colony, tmp_path)
    for ended, word in enumerate("abcdefghijklmnop"):
        shop.delivery.results.write(done(word, ended))
    await shop.delivery.deliver_waiting()
    closed = [fields["processid"] for msgtype, fields in colony.calls if msgtype == "closesuccessfulmsg"]
    assert sorted(closed) == sorted(ids)
    assert closed[:1] == ids[:1]


async def test_a_result_waits_through_a_long_cut_of_the_link(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony = Colony()
    (processid,) = await joined(colony, "a")
    shop = workshop(colony, tmp_path)
    colony.down = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shop.delivery.run)
        await shop.delivery.hand_in(done("a"))
        await trio.sleep(36_000)
        assert len(shop.delivery.results.waiting()) == 1
        colony.down = False
        await shop.delivery.emptied()
        nursery.cancel_scope.cancel()
    assert colony.processes[processid]["state"] == SUCCESS
    assert colony.count("closesuccessfulmsg") == 1


async def test_a_result_for_a_process_that_is_not_ours_any_more_is_set_aside(tmp_path: Path) -> None:
    colony = Colony()
    (processid,) = await joined(colony, "a")
    colony.give_to(processid, "another")
    shop = workshop(colony, tmp_path)
    shop.delivery.results.write(done("a"))
    assert await shop.delivery.deliver_waiting()
    assert shop.delivery.results.waiting() == []
    (kept,) = shop.delivery.results.refused.iterdir()
    assert "not allowed" in kept.read_text()
    assert "was refused" in shop.said[0]  # type: ignore[attr-defined]


async def test_a_process_that_was_closed_already_is_left_as_it_is(tmp_path: Path) -> None:
    colony = Colony()
    (processid,) = await joined(colony, "a")
    colony.processes[processid].update(state=FAILED, errors=["before"])
    shop = workshop(colony, tmp_path)
    shop.delivery.results.write(done("a"))
    assert await shop.delivery.deliver_waiting()
    assert colony.processes[processid]["errors"] == ["before"]


async def test_an_output_that_the_server_refuses_becomes_a_failure_that_says_so(tmp_path: Path) -> None:
    colony = Colony()
    (processid,) = await joined(colony, "a")
    colony.refusals["closesuccessfulmsg"] = Refused(413, "The request is larger than 20 MiB.")
    shop = workshop(colony, tmp_path)
    shop.delivery.results.write(done("a"))
    assert not await shop.delivery.deliver_waiting()
    assert await shop.delivery.deliver_waiting()
    failed = colony.processes[processid]
    assert failed["errors"] == ["The server refused the output: The request is larger than 20 MiB."]


async def test_a_result_waits_while_the_executor_is_not_approved(tmp_path: Path) -> None:
    colony = Colony()
    (processid,) = await joined(colony, "a")
    colony.executors[EXECUTOR_ID]["state"] = 2
    shop = workshop(colony, tmp_path)
    shop.delivery.results.write(done("a"))
    assert not await shop.delivery.deliver_waiting()
    colony.executors[EXECUTOR_ID]["state"] = 1
    assert await shop.delivery.deliver_waiting()
    assert colony.processes[processid]["state"] == SUCCESS


async def test_one_result_that_the_server_fails_on_does_not_hold_up_the_others(tmp_path: Path) -> None:
    colony = Colony()
    _, other = await joined(colony, "a", "b")
    colony.refusals["closesuccessfulmsg"] = Refused(500, "the disk is full")
    shop = workshop(colony, tmp_path)
    shop.delivery.results.write(done("a", 1))
    shop.delivery.results.write(Outcome(other, 2, False, errors=["no"]))
    assert not await shop.delivery.deliver_waiting()
    assert colony.processes[other]["state"] == FAILED
    assert [outcome.processid for outcome in shop.delivery.results.waiting()] == [process_id("a")]
