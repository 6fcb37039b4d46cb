"""How long to wait, and what a refusal means."""

from __future__ import annotations

import pytest

from colonies_node.core.errors import Refused
from colonies_node.device.link import is_membership, is_not_ours
from colonies_node.http.backoff import Backoff


def test_pauses_double_up_to_a_cap_and_start_again_after_success() -> None:
    backoff = Backoff(first=1, cap=10, random=lambda: 1.0)
    assert [backoff.pause() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    backoff.reset()
    assert backoff.pause() == 1


def test_the_random_part_takes_away_at_most_three_quarters() -> None:
    assert Backoff(first=8, random=lambda: 0.0).pause() == 2


def test_the_pause_stays_at_its_cap_for_ever() -> None:
    backoff = Backoff(first=1, cap=30, random=lambda: 1.0)
    assert [backoff.pause() for _ in range(2000)][-1] == 30


@pytest.mark.parametrize(
    "no",
    [
        Refused(403, "Failed to close process as successful, process is not assigned"),
        Refused(403, "Failed to close process as failed, not allowed to close process as failed"),
        Refused(403, "Failed to set output, process is not running"),
        Refused(403, "Failed to add log, not allowed to add log, only the assigned Executor may att logs"),
        Refused(400, "Tried to set cancelled process as successful"),
        Refused(404, "Failed to get process, process not found"),
        Refused(500, "Failed to close process as successful, process is nil"),
    ],
)
def test_a_process_that_is_not_ours_any_more_is_known_by_the_refusal(no: Refused) -> None:
    assert is_not_ours(no)
    assert not is_membership(no)


def test_not_being_a_member_says_nothing_about_a_process() -> None:
    no = Refused(403, "Access denied, not a member of Colony with name <lab>")
    assert is_membership(no)
    assert not is_not_ours(no)


def test_a_fault_of_the_server_says_nothing_about_a_process() -> None:
    assert not is_not_ours(Refused(500, "the disk is full"))
