"""How an executor asks for work, and what it does when the link or the server is not as it should be."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from colonies_node.core.errors import Refused
from colonies_node.device.desk import Desks
from colonies_node.device.leftovers import RESTARTED
from colonies_node.device.slots import Slots
from colonies_node.device.work import STOPPED, Why
from tests.device.colony import EXECUTOR_ID, FAILED, RUNNING, SUCCESS, Colony
from tests.device.shop import executor, gate, registration, workshop


async def test_work_is_taken_run_and_closed(tmp_path: Path) -> None:
    colony = Colony()
    with trio.fail_after(10):
        async with executor(colony, workshop(colony, tmp_path)):
            done = await colony.until(colony.submit("p", "echo", "hello"), SUCCESS)
    assert done["out"] == ["hello"]


async def test_as_many_processes_run_at_once_as_there_are_slots_and_no_more(tmp_path: Path) -> None:
    colony = Colony()
    ids = [colony.submit(str(number), "sh", "-c", "echo up; exec tail -f /dev/null") for number in range(4)]
    with trio.fail_after(20):
        async with executor(colony, workshop(colony, tmp_path), parallel=3) as slots:
            for processid in ids[:3]:
                await colony.until_logged(processid, "up\n")
            assert len(slots.working) == 3
            assert colony.processes[ids[3]]["state"] == 0


async def test_waiting_slots_ask_with_one_question_at_a_time(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony = Colony()
    async with executor(colony, workshop(colony, tmp_path), parallel=50):
        await trio.sleep(59)
        assert colony.count("assignprocessmsg") == 1
        await trio.sleep(60)
        assert colony.count("assignprocessmsg") == 2


async def test_a_server_that_does_not_wait_is_not_asked_without_pause(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    colony = Colony()
    colony.refusals["assignprocessmsg"] = Refused(404, "No process available for assignment")
    async with executor(colony, workshop(colony, tmp_path)):
        await trio.sleep(3600)
    assert colony.count("assignprocessmsg") < 3600 / 7.5 + 10


async def test_a_lost_link_is_tried_again_for_ever_and_said_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony = Colony()
    shop = workshop(colony, tmp_path)
    async with executor(colony, shop):
        await trio.sleep(1)
        colony.down = True
        await trio.sleep(86_400)
        colony.down = False
        await trio.sleep(200)
        assert shop.said[1:] == [  # type: ignore[attr-defined]
            "The link to the server is down (cut); what runs goes on.",
            "The link to the server is back.",
        ]


async def test_a_process_whose_assignment_got_lost_is_started_when_the_link_is_back(tmp_path: Path) -> None:
    colony = Colony()
    processid = colony.submit("p", "echo", "found")
    colony.lose_answers = True
    with trio.fail_after(20):
        async with executor(colony, workshop(colony, tmp_path)):
            await colony.until(processid, RUNNING)
            colony.lose_answers = colony.down = False
            done = await colony.until(processid, SUCCESS)
    assert done["out"] == ["found"]


async def test_a_process_that_was_started_before_is_not_started_again(tmp_path: Path) -> None:
    colony = Colony()
    await registration(colony).join()
    processid = colony.submit("p", "echo", "again")
    colony.give_to(processid, EXECUTOR_ID)
    shop = workshop(colony, tmp_path)
    shop.desks.set_up(processid)
    with trio.fail_after(10):
        async with executor(colony, shop):
            other = colony.submit("q", "true")
            await colony.until(other, SUCCESS)
    assert colony.processes[processid]["state"] == RUNNING


async def test_a_process_that_comes_back_after_its_deadline_starts_afresh(tmp_path: Path) -> None:
    colony = Colony()
    processid = colony.submit("p", "sh", "-c", "echo up; exec tail -f /dev/null")
    with trio.fail_after(20):
        async with executor(colony, workshop(colony, tmp_path), parallel=2):
            await colony.until_logged(processid, "up\n")
            colony.submit("p", "echo", "second")
            done = await colony.until(processid, SUCCESS)
    assert done["out"] == ["second"]


async def test_a_result_on_its_way_answers_for_a_process_that_comes_back(tmp_path: Path) -> None:
    colony = Colony()
    processid = colony.submit("p", "echo", "first")
    shop = workshop(colony, tmp_path)
    colony.refusals["closesuccessfulmsg"] = Refused(503, "busy")
    with trio.fail_after(20):
        async with executor(colony, shop):
            await colony.until_called("closesuccessfulmsg")
            colony.submit("p", "echo", "second")
            await colony.until(processid, RUNNING)
            colony.refusals.clear()
            done = await colony.until(processid, SUCCESS)
    assert done["out"] == ["first"]


async def test_an_id_that_could_leave_the_folder_is_left_alone(tmp_path: Path, autojump_clock: MockClock) -> None:
    colony = Colony()
    await registration(colony).join()
    process = colony.processes[colony.submit("p", "true")]
    process["processid"] = "../../etc"
    shop = workshop(colony, tmp_path)
    async with executor(colony, shop):
        await trio.sleep(10)
    assert any("'../../etc'" in words for words in shop.said)  # type: ignore[attr-defined]
    assert list(shop.desks.occupied()) == []
    assert not (tmp_path / "work").exists()


async def test_an_executor_that_is_not_approved_any_more_waits_and_goes_on_after(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    colony = Colony()
    async with executor(colony, workshop(colony, tmp_path)):
        await trio.sleep(1)
        colony.executors[EXECUTOR_ID]["state"] = 2
        await trio.sleep(600)
        colony.executors[EXECUTOR_ID]["state"] = 1
        asked = colony.count("assignprocessmsg")
        await trio.sleep(60)
        assert colony.count("assignprocessmsg") > asked


async def test_what_runs_is_ended_when_the_executor_was_removed(tmp_path: Path) -> None:
    colony = Colony()
    processid = colony.submit("p", "sh", "-c", "echo up; exec tail -f /dev/null")
    with trio.fail_after(20):
        async with executor(colony, workshop(colony, tmp_path), parallel=2) as slots:
            await colony.until_logged(processid, "up\n")
            colony.executors[EXECUTOR_ID]["state"] = 3
            colony.refusals["assignprocessmsg"] = Refused(403, "Access denied, not a member of Colony with name <lab>")
            work = slots.working[processid]
            colony.submit("wake", "true")  # ends the question under way, so that the next one is refused
            await work.done.wait()
    assert colony.count("closefailedmsg") == 0


async def test_stopping_lets_what_runs_finish_and_takes_nothing_new(tmp_path: Path) -> None:
    colony = Colony()
    shop = workshop(colony, tmp_path)
    slots = Slots(shop, registration(colony), gate(shop), 1, 60, shop.say)
    running = colony.submit("p", "sh", "-c", f"echo up; while [ ! -e {tmp_path}/go ]; do :; done; echo done")
    later = colony.submit("q", "true")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(slots.run)
            await colony.until_logged(running, "up\n")
            slots.asking.cancel()
            (tmp_path / "go").touch()
    await shop.delivery.deliver_waiting()
    assert colony.processes[running]["out"] == ["up\ndone"]
    assert colony.processes[later]["state"] == 0


async def test_what_has_to_be_stopped_is_given_back_as_failed(tmp_path: Path) -> None:
    colony = Colony()
    shop = workshop(colony, tmp_path)
    slots = Slots(shop, registration(colony), gate(shop), 1, 60, shop.say)
    processid = colony.submit("p", "sh", "-c", "echo up; exec tail -f /dev/null")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(slots.run)
            await colony.until_logged(processid, "up\n")
            slots.asking.cancel()
            slots.end_all(Why.STOPPING)
    await shop.delivery.deliver_waiting()
    assert colony.processes[processid]["state"] == FAILED
    assert colony.processes[processid]["errors"] == [STOPPED]


async def test_work_done_on_a_cut_link_is_delivered_once_when_it_is_back(tmp_path: Path) -> None:
    colony = Colony()
    processid = colony.submit("p", "sh", "-c", f"echo up; while [ ! -e {tmp_path}/go ]; do :; done; echo done")
    shop = workshop(colony, tmp_path)
    with trio.fail_after(30):
        async with executor(colony, shop) as slots:
            await colony.until_logged(processid, "up\n")
            await trio.testing.wait_all_tasks_blocked()  # the answer to that message has arrived
            colony.down = True
            (tmp_path / "go").touch()
            await slots.working[processid].done.wait()
            assert [outcome.out for outcome in shop.delivery.results.waiting()] == [["up\ndone"]]
            colony.down = False
            done = await colony.until(processid, SUCCESS)
            await shop.delivery.emptied()
    assert done["out"] == ["up\ndone"]
    assert colony.log_of(processid) == "up\ndone\n"
    assert colony.count("closesuccessfulmsg") == 1


async def test_what_a_question_that_was_taken_back_may_have_brought_is_looked_for_later(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """At once it could still look like ours, although the server is about to take it back."""
    colony = Colony()
    shop = workshop(colony, tmp_path)
    slots = Slots(shop, registration(colony), gate(shop), 1, 60, shop.say)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slots.run)
        await colony.until_called("assignprocessmsg")
        assert colony.count("getprocesshistmsg") == 1
        slots.reconsider()
        await colony.until_called("assignprocessmsg", 2)
        assert colony.count("getprocesshistmsg") == 1
        await colony.until_called("assignprocessmsg", 3)
        assert colony.count("getprocesshistmsg") == 2
        nursery.cancel_scope.cancel()


async def test_a_process_that_ends_while_it_is_listed_is_not_started_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The list was made before its close arrived, and when the list arrives its folder is gone."""
    colony = Colony()
    shop = workshop(colony, tmp_path)
    slots = Slots(shop, registration(colony), gate(shop), 1, 60, shop.say)
    await registration(colony).join()
    processid = colony.submit("p", "tail", "-f", "/dev/null")
    colony.give_to(processid, EXECUTOR_ID)
    shop.desks.set_up(processid)
    listed = colony.getprocesshist

    async def late(*args: Any, **fields: Any) -> Any:
        answer = await listed(*args, **fields)
        shop.desks.clear(processid)
        return answer

    colony.getprocesshist = late  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slots.run)
        await colony.until_called("getprocesshistmsg")
        await trio.testing.wait_all_tasks_blocked()
        assert slots.working == {}
        nursery.cancel_scope.cancel()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user")
def test_a_folder_that_its_program_has_closed_is_removed_all_the_same() -> None:
    """Root may enter every folder."""
    script = (
        "import os, sys; from pathlib import Path; from colonies_node.device.desk import Desks\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "for keep in (False, True, True):\n"
        "    desks, one = Desks(Path(sys.argv[1]), keep=keep), 'a' * 64\n"
        "    desks.set_up(one)\n"
        "    (desks.files(one) / 'd' / 'e').mkdir(parents=True)\n"
        "    os.chmod(desks.files(one) / 'd', 0)\n"
        "    desks.clear(one)\n"
        "    assert list(desks.occupied()) == []\n"
    )
    with tempfile.TemporaryDirectory() as data:  # below no folder that is root's alone
        os.chmod(data, 0o777)
        subprocess.run([sys.executable, "-c", script, data], check=True)


async def test_after_a_power_cut_what_was_ours_fails_also_without_a_folder(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Its folder may not have reached the disk: running it again could do its work twice."""
    colony = Colony()
    shop = workshop(colony, tmp_path)
    slots = Slots(shop, registration(colony), gate(shop), 1, 60, shop.say, forgetful=True)
    await registration(colony).join()
    colony.give_to(processid := colony.submit("p", "true"), EXECUTOR_ID)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slots.run)
        await colony.until_called("getprocesshistmsg")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    (outcome,) = shop.delivery.results.waiting()
    assert (outcome.processid, outcome.errors) == (processid, [RESTARTED])


def test_a_machine_that_went_down_under_an_executor_is_noticed(tmp_path: Path) -> None:
    desks = Desks(tmp_path)
    assert not desks.begin_life(), "the first life"
    assert not desks.begin_life(), "after a kill -9 all folders are there"
    (tmp_path / "life").write_text("an earlier boot")
    assert desks.begin_life()
    (tmp_path / "life").write_text("an earlier boot")
    desks.end_life()
    assert not desks.begin_life(), "it had ended well"
