"""What an executor finds when its former life ended without warning."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import trio

from colonies_node.device.desk import Desks
from colonies_node.device.leftovers import RESTARTED, kill_survivors, settle
from colonies_node.device.results import Outcome, Results
from tests.device.colony import process_id


def test_a_process_without_a_result_fails_with_a_sentence(tmp_path: Path) -> None:
    desks, results, said = Desks(tmp_path), Results(tmp_path), list[str]()
    desks.set_up(process_id("a"))
    settle(desks, results, said.append)
    (outcome,) = results.waiting()
    assert (outcome.processid, outcome.successful, outcome.errors) == (process_id("a"), False, [RESTARTED])
    assert len(said) == 1


def test_a_result_on_disk_is_left_as_it_is(tmp_path: Path) -> None:
    desks, results = Desks(tmp_path), Results(tmp_path)
    desks.set_up(process_id("a"))
    outcome = Outcome(process_id("a"), 1, True, out=["kept"])
    results.write(outcome)
    settle(desks, results, lambda words: None)
    assert results.waiting() == [outcome]


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    desks, results = Desks(tmp_path), Results(tmp_path)
    (tmp_path / "work" / "notes").mkdir(parents=True)
    settle(desks, results, lambda words: None)
    assert results.waiting() == []


def test_a_kept_folder_is_not_taken_for_an_unfinished_process(tmp_path: Path) -> None:
    desks, results = Desks(tmp_path, keep=True), Results(tmp_path)
    desks.set_up(process_id("a"))
    (desks.files(process_id("a")) / "made").write_text("x")
    desks.clear(process_id("a"))
    settle(desks, results, lambda words: None)
    assert results.waiting() == []
    assert (tmp_path / "kept" / process_id("a") / "files" / "made").read_text() == "x"


async def test_a_survivor_is_known_by_its_process_id_and_killed_others_are_not() -> None:
    def marked(word: str) -> dict[str, str]:
        return {**os.environ, "COLONIES_PROCESS_ID": process_id(word)}

    quiet = ["tail", "-f", "/dev/null"]
    survivor = await trio.lowlevel.open_process(quiet, env=marked("a"), stdout=subprocess.DEVNULL)
    stranger = await trio.lowlevel.open_process(quiet, env=marked("b"), stdout=subprocess.DEVNULL)
    try:
        assert kill_survivors([process_id("a")]) == [survivor.pid]
        with trio.fail_after(10):
            assert await survivor.wait() == -signal.SIGKILL
        assert stranger.poll() is None
    finally:
        stranger.kill()
        await stranger.wait()
