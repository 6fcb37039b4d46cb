"""How processes end, and come back: output, close, fail, cancel, deadlines, retries (core.md, 5.4 to 5.6)."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from tests.lab import Lab
from tests.node import ALICE, CANCELLED, FAILED, NEVER, OWNER, RUNNING, SUCCESS, WAITING, Party, settle

NOT_YOURS = "Failed to close process as {0}, not allowed to close process as {0}"
NOT_ASSIGNED = "Failed to close process as {0}, process is not assigned"


async def refusal(lab: Lab, party: Party, msgtype: str, process: Any, **fields: Any) -> tuple[int, str] | None:
    return (await lab.node.ask(party, msgtype, processid=process["processid"], **fields)).refusal


async def running(lab: Lab, executor: Party, **spec: Any) -> Any:
    """A process that the executor runs."""
    process = await lab.submit(**spec)
    assert (await lab.assign(executor))["processid"] == process["processid"]
    return process


async def pass_time(clock: MockClock, seconds: float) -> None:
    """Let the clock go on and the node do what is due."""
    clock.jump(seconds)
    await settle()


async def test_a_closed_process_keeps_its_output_and_times(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    process = await running(lab, ann, env={"A": "b"})
    mock_clock.jump(2.5)
    await lab.close(ann, process, ["text", 1, None, {"a": [1.5]}])
    closed = await lab.get(process)
    assert (closed["state"], closed["out"], closed["errors"]) == (SUCCESS, ["text", 1, None, {"a": [1.5]}], [])
    assert (closed["isassigned"], closed["assignedexecutorid"]) == (True, ann.id)
    assert (closed["starttime"], closed["endtime"]) == ("2027-01-15T08:00:00Z", "2027-01-15T08:00:02.5Z")
    assert [attribute["state"] for attribute in closed["attributes"]] == [SUCCESS]


async def test_output_may_be_set_while_it_runs(lab: Lab) -> None:
    ann = await lab.join("ann")
    process = await running(lab, ann)
    for out, expected in ((["a"], ["a"]), (["b", 2], ["b", 2]), ([], ["b", 2]), (None, ["b", 2])):
        await lab.node.call(ann, "setoutputmsg", processid=process["processid"], out=out)
        assert (await lab.get(process))["out"] == expected
    await lab.close(ann, process)
    assert (await lab.get(process))["out"] == ["b", 2]
    assert await refusal(lab, ann, "setoutputmsg", process, out=["c"]) == (
        403,
        "Failed to set output, process is not running",
    )
    assert (await lab.get(process))["out"] == ["b", 2]


async def test_only_its_executor_says_how_a_process_ended(lab: Lab) -> None:
    ann, bob = await lab.join("ann"), await lab.join("bob")
    process = await running(lab, ann)
    before = lab.node.tables()
    for party in (bob, ALICE):
        for msgtype, outcome in (
            ("closesuccessfulmsg", "successful"),
            ("setoutputmsg", "successful"),
            ("closefailedmsg", "failed"),
        ):
            asked = await refusal(lab, party, msgtype, process, out=["stolen"], errors=["stolen"])
            assert asked == (403, NOT_YOURS.format(outcome))
    assert lab.node.tables() == before


async def test_a_waiting_process_cannot_be_closed(lab: Lab) -> None:
    ann = await lab.join("ann")
    process = await lab.submit()
    before = lab.node.tables()
    assert await refusal(lab, ann, "closesuccessfulmsg", process) == (403, NOT_ASSIGNED.format("successful"))
    assert await refusal(lab, ann, "closefailedmsg", process) == (403, NOT_ASSIGNED.format("failed"))
    assert await refusal(lab, ann, "setoutputmsg", process, out=["x"]) == (403, NOT_YOURS.format("successful"))
    assert lab.node.tables() == before


async def test_a_second_close_replaces_the_output_and_nothing_else(lab: Lab, mock_clock: MockClock) -> None:
    """DEVIATIONS 27."""
    ann = await lab.join("ann")
    await lab.node.call(ann, "addfunctionmsg", fun={"colonyname": "lab", "executorname": "ann", "funcname": "work"})
    process = await running(lab, ann)
    mock_clock.jump(1)
    await lab.close(ann, process, ["first"])
    closed, functions = await lab.get(process), lab.node.tables()["functions"]
    mock_clock.jump(1)
    await lab.close(ann, process, ["second"])
    assert await lab.get(process) == closed | {"out": ["second"]}
    await lab.close(ann, process)
    assert await lab.get(process) == closed | {"out": ["second"]}
    assert lab.node.tables()["functions"] == functions


async def test_a_refused_close_leaves_the_output_alone(lab: Lab) -> None:
    """DEVIATIONS 23."""
    ann = await lab.join("ann")
    process = await running(lab, ann)
    await lab.fail(ann, process, ["no"])
    asked = await refusal(lab, ann, "closesuccessfulmsg", process, out=["late"])
    assert asked == (400, "Tried to set failed process as successful")
    assert (await lab.get(process))["out"] == []


@pytest.mark.parametrize(("errors", "read_back"), [(["a", "b"], ["a", "b"]), ([], []), (None, [])])
async def test_a_failed_process_keeps_its_errors(lab: Lab, errors: list[str] | None, read_back: list[str]) -> None:
    ann = await lab.join("ann")
    process = await running(lab, ann, maxretries=3, env={"A": "b"})
    await lab.fail(ann, process, errors)
    failed = await lab.get(process)
    assert (failed["state"], failed["errors"], failed["retries"]) == (FAILED, read_back, 0)
    assert [attribute["state"] for attribute in failed["attributes"]] == [FAILED]


async def test_a_process_ends_once(lab: Lab) -> None:
    ann = await lab.join("ann")
    succeeded, failed, cancelled = [await running(lab, ann) for _ in range(3)]
    await lab.close(ann, succeeded)
    await lab.fail(ann, failed)
    await lab.node.call(ALICE, "cancelprocessmsg", processid=cancelled["processid"])
    before = lab.node.tables()
    for process, msgtype, text in (
        (failed, "closesuccessfulmsg", "Tried to set failed process as successful"),
        (cancelled, "closesuccessfulmsg", "Tried to set cancelled process as successful"),
        (succeeded, "closefailedmsg", "Tried to set successful process as failed"),
        (failed, "closefailedmsg", "Tried to set failed process as failed"),
        (cancelled, "closefailedmsg", "Tried to set cancelled process as failed"),
        (succeeded, "cancelprocessmsg", "Tried to cancel successful process"),
        (failed, "cancelprocessmsg", "Tried to cancel failed process"),
        (cancelled, "cancelprocessmsg", "Tried to cancel already cancelled process"),
    ):
        assert await refusal(lab, ann, msgtype, process) == (400, text)
    assert lab.node.tables() == before


@pytest.mark.parametrize("assigned", [False, True])
async def test_any_member_may_cancel_what_has_not_ended(lab: Lab, mock_clock: MockClock, assigned: bool) -> None:
    ann, bob = await lab.join("ann"), await lab.join("bob")
    process = await running(lab, ann) if assigned else await lab.submit()
    mock_clock.jump(1)
    await lab.node.call(bob, "cancelprocessmsg", processid=process["processid"])
    cancelled = await lab.get(process)
    assert (cancelled["state"], cancelled["endtime"]) == (CANCELLED, "2027-01-15T08:00:01Z")
    assert (cancelled["isassigned"], cancelled["assignedexecutorid"]) == (assigned, ann.id if assigned else "")
    asked = await lab.node.ask(ann, "assignprocessmsg", colonyname="lab", timeout=-1)
    assert asked.refusal == (404, "No process available for assignment")


@pytest.mark.parametrize("maxwaittime", [0, -1])
async def test_a_process_without_a_bound_waits_for_ever(lab: Lab, mock_clock: MockClock, maxwaittime: int) -> None:
    process = await lab.submit(maxwaittime=maxwaittime)
    await pass_time(mock_clock, 10 * 366 * 86_400)
    assert (await lab.get(process))["state"] == WAITING


async def test_a_process_that_nobody_takes_in_time_fails(lab: Lab, mock_clock: MockClock) -> None:
    process = await lab.submit(maxwaittime=10, env={"A": "b"})
    assert process["waitdeadline"] == "2027-01-15T08:00:10Z"
    await pass_time(mock_clock, 9.9)
    assert (await lab.get(process))["state"] == WAITING
    await pass_time(mock_clock, 1.2)
    failed = await lab.get(process)
    assert (failed["state"], failed["errors"]) == (FAILED, ["Maximum waiting time limit exceeded"])
    assert failed["endtime"] != NEVER
    assert (failed["isassigned"], failed["retries"]) == (False, 0)


async def test_a_process_taken_in_time_is_not_bound_by_the_wait_any_more(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    process = await running(lab, ann, maxwaittime=10)
    await pass_time(mock_clock, 100)
    assert (await lab.get(process))["state"] == RUNNING


@pytest.mark.parametrize("maxexectime", [0, -1])
async def test_a_process_without_a_bound_runs_for_ever(lab: Lab, mock_clock: MockClock, maxexectime: int) -> None:
    """DEVIATIONS 1: the reference kills a process with 0 after a second."""
    ann = await lab.join("ann")
    process = await running(lab, ann, maxexectime=maxexectime)
    assert (await lab.get(process))["execdeadline"] == NEVER
    await pass_time(mock_clock, 10 * 366 * 86_400)
    assert (await lab.get(process))["state"] == RUNNING


@pytest.mark.parametrize("name", ["maxwaittime", "maxexectime"])
@pytest.mark.parametrize("seconds", [-2, -(2**63), 2**63 - 1])
async def test_a_bound_below_unlimited_or_beyond_all_time_is_refused(lab: Lab, name: str, seconds: int) -> None:
    """DEVIATIONS 1."""
    before = lab.node.tables()
    spec = {"funcname": "f", "conditions": {"colonyname": "lab"}, name: seconds}
    refused = (await lab.node.ask(ALICE, "submitfuncspecmsg", spec=spec)).refusal
    assert refused is not None
    assert refused[0] == 400
    assert name in refused[1]
    assert lab.node.tables() == before


async def test_a_process_that_runs_too_long_fails_when_it_has_no_retries(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    process = await running(lab, ann, maxexectime=10)
    await pass_time(mock_clock, 9.9)
    assert (await lab.get(process))["state"] == RUNNING
    await pass_time(mock_clock, 1.2)
    failed = await lab.get(process)
    assert (failed["state"], failed["errors"], failed["retries"]) == (
        FAILED,
        ["Maximum execution time limit exceeded"],
        0,
    )
    assert await refusal(lab, ann, "closesuccessfulmsg", process, out=["late"]) == (
        400,
        "Tried to set failed process as successful",
    )


async def test_a_process_that_runs_too_long_is_tried_as_often_as_it_says(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    process = await running(lab, ann, maxexectime=10, maxretries=2, maxwaittime=60, env={"A": "b"})
    for attempt in (1, 2):
        await pass_time(mock_clock, 11)
        again = await lab.get(process)
        assert (again["state"], again["retries"]) == (WAITING, attempt)
        assert (again["isassigned"], again["assignedexecutorid"]) == (False, "")
        assert NEVER not in (again["starttime"], again["endtime"])
        assert again["waitdeadline"] > process["waitdeadline"]
        assert again["submissiontime"] == process["submissiontime"]
        assert again["prioritytime"] == process["prioritytime"]
        assert await refusal(lab, ann, "closesuccessfulmsg", process) == (403, NOT_ASSIGNED.format("successful"))
        assert (await lab.assign(ann))["retries"] == attempt
    await pass_time(mock_clock, 11)
    assert (await lab.get(process))["state"] == FAILED


async def test_negative_retries_are_without_end(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    process = await running(lab, ann, maxexectime=1, maxretries=-1)
    for attempt in range(1, 20):
        await pass_time(mock_clock, 2)
        assert (await lab.assign(ann))["retries"] == attempt
    assert (await lab.get(process))["state"] == RUNNING


async def test_after_a_retry_the_new_executor_alone_may_close(lab: Lab, mock_clock: MockClock) -> None:
    ann, bob = await lab.join("ann"), await lab.join("bob")
    process = await running(lab, ann, maxexectime=10, maxretries=1)
    await pass_time(mock_clock, 11)
    await lab.assign(bob)
    assert await refusal(lab, ann, "closesuccessfulmsg", process) == (403, NOT_YOURS.format("successful"))
    await lab.close(bob, process, ["done"])
    assert (await lab.get(process))["out"] == ["done"]


async def test_deadlines_that_passed_while_the_node_slept_are_all_met(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    for _ in range(600):
        await running(lab, ann, maxexectime=10)
    for _ in range(600):
        await lab.submit(maxwaittime=10, conditions={"executortype": "other"})
    await pass_time(mock_clock, 1000)  # long enough for the executor to count as silent too
    assert await lab.node.call(ALICE, "getprocessesmsg", colonyname="lab", count=1, state=RUNNING) is None
    stats = await lab.node.call(ALICE, "getcolonystatsmsg", colonyname="lab")
    assert stats["failedprocesses"] == 1200


async def test_what_a_removed_executor_ran_goes_to_another(lab: Lab, mock_clock: MockClock) -> None:
    ann, bob = await lab.join("ann"), await lab.join("bob")
    process = await running(lab, ann, maxexectime=100, maxwaittime=50)
    mock_clock.jump(1)
    await lab.node.call(OWNER, "removeexecutormsg", colonyname="lab", executorname="ann")
    back = await lab.get(process)
    assert (back["state"], back["isassigned"], back["assignedexecutorid"], back["retries"]) == (WAITING, False, "", 0)
    assert (back["starttime"], back["endtime"]) == (NEVER, NEVER)
    assert (await lab.assign(bob))["processid"] == process["processid"]
    asked = await refusal(lab, ann, "closesuccessfulmsg", process)
    assert asked == (403, "Access denied, not a member of Colony with name <lab>")


async def test_a_process_goes_with_its_attributes_but_its_log_stays(lab: Lab) -> None:
    ann = await lab.join("ann")
    process = await running(lab, ann, env={"A": "b"})
    assert await refusal(lab, ALICE, "removeprocessmsg", process) == (
        400,
        "Failed to remove process, cannot remove a running process",
    )
    await lab.node.call(ann, "addlogmsg", processid=process["processid"], message="hello")
    await lab.close(ann, process)
    await lab.node.call(ALICE, "removeprocessmsg", processid=process["processid"])
    assert await refusal(lab, ALICE, "getprocessmsg", process) == (404, "Failed to get process, process not found")
    assert lab.node.tables()["attributes"] == []
    log = await lab.node.call(ALICE, "getlogsmsg", colonyname="lab", executorname="ann", count=10)
    assert [entry["message"] for entry in log] == ["hello"]


@pytest.mark.parametrize(
    ("state", "left"), [(0, {1, 2, 3, 4}), (2, {0, 1, 3, 4}), (3, {0, 1, 2, 4}), (4, {0, 1, 2, 3}), (-1, set())]
)
async def test_all_processes_of_a_state_are_removed(lab: Lab, state: int, left: set[int]) -> None:
    ann = await lab.join("ann")
    await lab.run(ann, env={"A": "b"})
    await lab.fail(ann, await running(lab, ann, env={"A": "b"}))
    cancelled = await lab.submit(env={"A": "b"})
    await lab.node.call(ALICE, "cancelprocessmsg", processid=cancelled["processid"])
    await running(lab, ann, env={"A": "b"})
    await lab.submit(env={"A": "b"})
    await lab.node.call(OWNER, "removeallprocessesmsg", colonyname="lab", state=state)
    found = {
        of: await lab.node.call(ALICE, "getprocessesmsg", colonyname="lab", count=100, state=of) for of in range(5)
    }
    assert {of for of, processes in found.items() if processes} == left
    assert len(lab.node.tables()["attributes"]) == len(left)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (1, "Not possible to remove running processes"),
        (5, "Invalid state when deleting all processes"),
        (-2, "Invalid state when deleting all processes"),
    ],
)
async def test_some_states_cannot_be_removed(lab: Lab, state: int, text: str) -> None:
    await lab.submit()
    asked = await lab.node.ask(OWNER, "removeallprocessesmsg", colonyname="lab", state=state)
    assert asked.refusal == (400, text)
    assert len(lab.node.tables()["processes"]) == 1
