"""Executors join, are heard, fall silent and come back; what they have and offer (core.md, 4.3, 4.4, 5.8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from colonies_node.core.broker.call import Rules
from tests.lab import TYPE, Lab
from tests.node import (
    ALICE,
    APPROVED,
    NEVER,
    OWNER,
    PENDING,
    REJECTED,
    RUNNING,
    SERVER,
    UNREGISTERED,
    WAITING,
    Node,
    Party,
    open_node,
    settle,
)

NOT_MEMBER = (403, "Access denied, not a member of Colony with name <lab>")
ANN = Party("ann of lab")


async def executor(lab: Lab, name: str = "ann") -> Any:
    return await lab.node.call(ALICE, "getexecutormsg", colonyname="lab", executorname=name)


async def pass_time(clock: MockClock, seconds: float) -> None:
    clock.jump(seconds)
    await settle()


async def test_a_new_executor_waits_for_approval(lab: Lab, mock_clock: MockClock) -> None:
    mock_clock.jump(1)
    wanted = {"state": 1, "commissiontime": "2020-01-01T00:00:00Z", "requirefuncreg": True}
    await lab.apply("ann", **wanted)
    assert await executor(lab) == {
        "executorid": ANN.id,
        "executortype": TYPE,
        "executorname": "ann",
        "colonyname": "lab",
        "state": PENDING,
        "requirefuncreg": True,
        "commissiontime": "2027-01-15T08:00:01Z",
        "lastheardfromtime": NEVER,
        "capabilities": {"hardware": None, "software": None},
        "allocations": {"projects": None},
    }
    assert (await lab.node.ask(ANN, "assignprocessmsg", colonyname="lab", timeout=-1)).refusal == NOT_MEMBER


async def test_an_owner_may_change_her_mind(lab: Lab) -> None:
    await lab.apply("ann")
    for what, state in (
        ("approve", APPROVED),
        ("reject", REJECTED),
        ("approve", APPROVED),
        ("remove", UNREGISTERED),
        ("approve", APPROVED),
    ):
        reply = await lab.node.call(OWNER, f"{what}executormsg", colonyname="lab", executorname="ann")
        assert reply == {}
        assert (await executor(lab))["state"] == state
        refused = (await lab.node.ask(ANN, "assignprocessmsg", colonyname="lab", timeout=-1)).refusal
        assert (refused != NOT_MEMBER) == (state == APPROVED)


async def test_a_rejected_executor_keeps_its_process_but_may_not_close_it(lab: Lab) -> None:
    ann = await lab.join("ann")
    process = await lab.submit()
    await lab.assign(ann)
    await lab.node.call(OWNER, "rejectexecutormsg", colonyname="lab", executorname="ann")
    asked = await lab.node.ask(ann, "closesuccessfulmsg", processid=process["processid"])
    assert asked.refusal == NOT_MEMBER
    assert (await lab.get(process))["state"] == RUNNING


async def test_a_name_stays_taken(lab: Lab) -> None:
    await lab.join("ann")
    taken = (400, "Executor with name <ann> in Colony <lab> already exists")
    new = {"executorid": "1" * 64, "executorname": "ann", "executortype": "x", "colonyname": "lab"}
    assert (await lab.node.ask(OWNER, "addexecutormsg", executor=new)).refusal == taken
    await lab.node.call(OWNER, "removeexecutormsg", colonyname="lab", executorname="ann")
    assert (await lab.node.ask(OWNER, "addexecutormsg", executor=new)).refusal == taken
    assert (await executor(lab))["executorid"] == ANN.id


@pytest.fixture
async def open_lab(tmp_path: Path, mock_clock: MockClock) -> AsyncIterator[Lab]:
    """A lab on a node that lets executors take the place of others."""
    async with open_node(tmp_path / "open", mock_clock, Rules(allow_executor_reregister=True)) as node:
        yield await Lab(node).found()


async def test_with_reregistration_a_new_executor_takes_the_place_and_must_be_approved(
    open_lab: Lab, mock_clock: MockClock
) -> None:
    lab = open_lab
    ann = await lab.join("ann", requirefuncreg=True)
    await lab.node.call(ann, "addfunctionmsg", fun={"colonyname": "lab", "executorname": "ann", "funcname": "f"})
    process = await lab.submit()
    await lab.assign(ann)
    mock_clock.jump(5)
    new = Party("ann with a new key")
    await lab.node.call(
        OWNER,
        "addexecutormsg",
        executor={
            "executorid": new.id,
            "executorname": "ann",
            "executortype": "other",
            "colonyname": "lab",
            "locationname": "here",
            "capabilities": {"software": [{"name": "s"}]},
        },
    )
    found = await executor(lab)
    assert (found["executorid"], found["executortype"], found["locationname"]) == (new.id, "other", "here")
    assert (found["state"], found["requirefuncreg"]) == (PENDING, True)
    assert (found["commissiontime"], found["lastheardfromtime"]) == ("2027-01-15T08:00:05Z", NEVER)
    assert await lab.node.call(ALICE, "getfunctionsmsg", colonyname="lab", executorname="ann") is None
    assert (await lab.get(process))["state"] == WAITING
    for party in (ann, new):
        asked = await lab.node.ask(party, "assignprocessmsg", colonyname="lab", timeout=-1)
        assert asked.refusal == NOT_MEMBER


async def test_a_silent_executor_is_removed_and_its_place_stays(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    await lab.node.call(ann, "addfunctionmsg", fun={"colonyname": "lab", "executorname": "ann", "funcname": "f"})
    await pass_time(mock_clock, 599)
    assert (await executor(lab))["state"] == APPROVED
    await pass_time(mock_clock, 62)
    assert (await executor(lab))["state"] == UNREGISTERED
    assert await lab.node.call(ALICE, "getfunctionsmsg", colonyname="lab") is None
    assert (await lab.node.ask(ann, "assignprocessmsg", colonyname="lab", timeout=-1)).refusal == NOT_MEMBER


async def test_an_executor_that_was_never_heard_is_not_silent(lab: Lab, mock_clock: MockClock) -> None:
    await lab.join("ann")
    await pass_time(mock_clock, 10_000)
    assert (await executor(lab))["state"] == APPROVED


async def test_a_sign_of_life_given_at_the_start_counts(lab: Lab, mock_clock: MockClock) -> None:
    await lab.join("ann", lastheardfromtime="2027-01-15T07:59:00+00:00")
    assert (await executor(lab))["lastheardfromtime"] == "2027-01-15T07:59:00Z"
    await pass_time(mock_clock, 700)
    assert (await executor(lab))["state"] == UNREGISTERED


@pytest.mark.parametrize(
    ("msgtype", "fields"),
    [
        ("assignprocessmsg", {"colonyname": "lab", "timeout": -1}),
        ("getcolonymsg", {"colonyname": "lab"}),
        ("getprocessesmsg", {"colonyname": "lab", "count": 1, "state": 0}),
        ("addexecutorlogmsg", {"colonyname": "lab", "executorname": "ann", "message": "alive"}),
    ],
)
async def test_any_signed_message_is_a_sign_of_life(
    lab: Lab, mock_clock: MockClock, msgtype: str, fields: dict[str, Any]
) -> None:
    """DEVIATIONS 12."""
    ann = await lab.join("ann")
    for _ in range(3):
        await pass_time(mock_clock, 500)
        await lab.node.ask(ann, msgtype, **fields)
    found = await executor(lab)
    assert (found["state"], found["lastheardfromtime"]) == (APPROVED, "2027-01-15T08:25:00Z")


async def test_a_pending_long_poll_is_a_sign_of_life(lab: Lab, mock_clock: MockClock) -> None:
    """DEVIATIONS 12."""
    poll = await lab.poll(await lab.join("ann"), timeout=3600)
    for _ in range(50):
        await pass_time(mock_clock, 60)
    assert (await executor(lab))["state"] == APPROVED
    process = await lab.submit()
    await settle()
    assert poll.answer is not None
    assert poll.answer.payload["processid"] == process["processid"]


@pytest.mark.parametrize(("maxexectime", "state"), [(0, APPROVED), (3000, APPROVED), (100, UNREGISTERED)])
async def test_an_executor_at_work_inside_its_deadline_is_not_silent(
    lab: Lab, mock_clock: MockClock, maxexectime: int, state: int
) -> None:
    """DEVIATIONS 12."""
    ann = await lab.join("ann")
    await lab.submit(maxexectime=maxexectime)
    await lab.assign(ann)
    for _ in range(25):
        await pass_time(mock_clock, 60)
    assert (await executor(lab))["state"] == state


async def test_an_executor_that_had_work_is_noticed_when_it_does_not_come_back_after_a_restart(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with open_node(tmp_path, mock_clock) as node:
        lab = await Lab(node).found()
        ann = await lab.join("ann")
        process = await lab.submit(maxexectime=100, maxretries=-1)
        await lab.assign(ann)
    async with open_node(tmp_path, mock_clock) as node:
        await pass_time(mock_clock, 599)
        assert (await executor(Lab(node)))["state"] == APPROVED
        await pass_time(mock_clock, 2)
        assert (await executor(Lab(node)))["state"] == UNREGISTERED
        assert (await Lab(node).get(process))["state"] == WAITING


async def test_the_absence_of_the_server_is_no_silence_of_executors(tmp_path: Path, mock_clock: MockClock) -> None:
    async with open_node(tmp_path, mock_clock) as node:
        lab = await Lab(node).found()
        await lab.join("ann", lastheardfromtime="2027-01-15T08:00:00Z")
    mock_clock.jump(100_000)
    async with open_node(tmp_path, mock_clock) as node:
        await pass_time(mock_clock, 300)
        assert (await executor(Lab(node)))["state"] == APPROVED
        await pass_time(mock_clock, 400)
        assert (await executor(Lab(node)))["state"] == UNREGISTERED


HARDWARE = {
    "model": "pi",
    "nodes": 1,
    "cpu": "4000m",
    "cores": 4,
    "mem": "8Gi",
    "storage": "64G",
    "gpu": {"name": "", "mem": "", "count": 0, "nodecount": 0},
    "platform": "linux",
    "architecture": "aarch64",
    "network": ["eth0"],
}
SOFTWARE = {"name": "python", "type": "interpreter", "version": "3.11"}


@pytest.mark.parametrize(
    "capabilities",
    [
        {"hardware": [HARDWARE, HARDWARE | {"network": None}], "software": [SOFTWARE]},
        {"hardware": [], "software": []},
        {"hardware": None, "software": None},
        {"hardware": HARDWARE, "software": SOFTWARE},
        {"hardware": HARDWARE, "software": [SOFTWARE]},
    ],
)
@pytest.mark.parametrize("extra", [{}, {"location": {"long": 1.5, "lat": 2, "desc": "here"}}])
async def test_capabilities_are_read_in_the_shape_in_which_they_were_sent(
    lab: Lab, capabilities: dict[str, Any], extra: dict[str, Any]
) -> None:
    """Clients of version 1.8 send objects instead of lists, and fields that nobody knows any more (clients.md, 3.7)."""
    ann = await lab.join("ann", capabilities=capabilities, **extra)
    assert (await executor(lab))["capabilities"] == capabilities
    other = {"hardware": [HARDWARE], "software": SOFTWARE}
    await lab.node.call(ann, "updateexecutormsg", colonyname="lab", executorname="ann", capabilities=other)
    (found,) = await lab.node.call(ann, "getexecutorsmsg", colonyname="lab")
    assert found["capabilities"] == other


async def test_allocations_are_replaced(lab: Lab) -> None:
    ann = await lab.join("ann", allocations={"projects": {"old": {"usedcpu": 1}}})
    empty = dict.fromkeys(("allocatedcpu", "usedcpu", "allocatedgpu", "usedgpu", "allocatedstorage", "usedstorage"), 0)
    assert (await executor(lab))["allocations"] == {"projects": {"old": empty | {"usedcpu": 1}}}
    new = {"projects": {"p": empty | {"allocatedgpu": 2**62}}}
    await lab.node.call(ann, "reportallocationmsg", colonyname="lab", executorname="ann", allocations=new)
    assert (await executor(lab))["allocations"] == new


@pytest.mark.parametrize(
    ("msgtype", "text"),
    [
        ("reportallocationmsg", "Only an executor can report allocations to itself"),
        ("updateexecutormsg", "Only an executor can update its own capabilities"),
    ],
)
async def test_only_an_executor_speaks_of_itself(lab: Lab, msgtype: str, text: str) -> None:
    await lab.join("ann")
    bob = await lab.join("bob")
    for party in (bob, ALICE):
        asked = await lab.node.ask(party, msgtype, colonyname="lab", executorname="ann")
        assert asked.refusal == (400, text)
        asked = await lab.node.ask(party, msgtype, colonyname="lab", executorname="cia")
        assert asked.refusal == (400, "Executor with name <cia> does not exist")


async def test_functions_are_offered_listed_and_withdrawn(lab: Lab) -> None:
    ann, bob = await lab.join("ann", locationname="here"), await lab.join("bob")
    argument = {"name": "a", "type": "int", "description": "d", "required": True, "enum": ["1"]}
    fun = {"colonyname": "lab", "executorname": "ann", "funcname": "f", "description": "d", "args": [argument]}
    added = await lab.node.call(ann, "addfunctionmsg", fun=fun)
    assert len(added["functionid"]) == 64
    assert added["args"] == [argument]
    assert (added["description"], added["locationname"], added["counter"]) == ("d", "here", 0)
    own = await lab.node.call(ann, "addfunctionmsg", fun=fun | {"functionid": "mine", "counter": 5, "avgwaittime": 0.5})
    assert (own["functionid"], own["counter"], own["avgwaittime"]) == ("mine", 5, 0.5)
    await lab.node.call(bob, "addfunctionmsg", fun={"colonyname": "lab", "executorname": "bob", "funcname": "g"})
    assert await functions(lab, "ann") == ["f", "f"]
    assert await functions(lab) == ["f", "f", "g"]
    assert await lab.node.call(ALICE, "getfunctionsmsg", colonyname="lab", executorname="cia") is None
    assert (await lab.node.ask(ann, "addfunctionmsg", fun=fun | {"functionid": "mine"})).status == 500
    asked = await lab.node.ask(bob, "removefunctionmsg", functionid="mine")
    assert asked.refusal == (403, "Not allowed to remove a function from another executor")
    await lab.node.call(ann, "removefunctionmsg", functionid="mine")
    asked = await lab.node.ask(ann, "removefunctionmsg", functionid="mine")
    assert asked.refusal == (404, "Failed to remove function, function does not exist")
    await lab.node.call(OWNER, "removeexecutormsg", colonyname="lab", executorname="ann")
    assert await functions(lab) == ["g"]


async def functions(lab: Lab, executorname: str = "") -> list[str]:
    found = await lab.node.call(ALICE, "getfunctionsmsg", colonyname="lab", executorname=executorname)
    return sorted(function["funcname"] for function in found)


async def test_an_executor_offers_only_for_itself(lab: Lab) -> None:
    await lab.join("ann")
    bob = await lab.join("bob")
    fun = {"colonyname": "lab", "executorname": "ann", "funcname": "f"}
    for party in (bob, ALICE):
        asked = await lab.node.ask(party, "addfunctionmsg", fun=fun)
        assert asked.refusal == (403, "Not allowed to add a function to another executor")
    asked = await lab.node.ask(bob, "addfunctionmsg", fun=fun | {"executorname": "cia"})
    assert asked.refusal == (400, "Failed to add function, Executor with name <cia> does not exist")


async def test_successful_runs_are_counted_with_their_times(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    await lab.node.call(ann, "addfunctionmsg", fun={"colonyname": "lab", "executorname": "ann", "funcname": "work"})
    for waited, ran in ((4, 1), (2, 3), (3, 9)):
        process = await lab.submit()
        mock_clock.jump(waited)
        await lab.assign(ann)
        mock_clock.jump(ran)
        await lab.close(ann, process)
    for funcname, end in (("work", "fail"), ("other", "close")):
        process = await lab.submit(funcname=funcname)
        await lab.assign(ann)
        await getattr(lab, end)(ann, process)
    (function,) = await lab.node.call(ALICE, "getfunctionsmsg", colonyname="lab", executorname="ann")
    assert {name: function[name] for name in function if name.endswith(("time", "counter"))} == {
        "counter": 3,
        "minwaittime": 2.0,
        "maxwaittime": 4.0,
        "avgwaittime": 3.0,  # ((4 + 2) / 2 + 3) / 2: the reference's running mean
        "minexectime": 1.0,
        "maxexectime": 9.0,
        "avgexectime": 5.5,
    }


async def test_an_executor_takes_a_new_key_and_keeps_what_it_runs(lab: Lab) -> None:
    """The reference leaves the running process with the old key, so that nobody can close it."""
    ann = await lab.join("ann")
    process = await lab.submit()
    await lab.assign(ann)
    new = Party("ann with a new key")
    asked = {"colonyname": "lab", "executorid": new.id}
    assert await lab.node.call(ann, "changeexecutoridmsg", **asked) == asked | {"msgtype": "changeexecutoridmsg"}
    assert (await lab.node.ask(ann, "closesuccessfulmsg", processid=process["processid"])).refusal == NOT_MEMBER
    await lab.close(new, process, ["done"])
    assert (await lab.get(process))["out"] == ["done"]


async def test_a_user_and_a_colony_and_the_server_take_new_keys(lab: Lab) -> None:
    node = lab.node
    new = {name: Party(f"new {name}") for name in ("user", "colony", "server")}
    asked = {"colonyname": "lab", "userid": new["user"].id}
    assert await node.call(ALICE, "changeuseridmsg", **asked) == asked | {"msgtype": "changeuseridmsg"}
    assert (await node.ask(ALICE, "getcolonymsg", colonyname="lab")).refusal == NOT_MEMBER
    await node.call(new["user"], "getcolonymsg", colonyname="lab")

    asked = {"colonyname": "lab", "colonyid": new["colony"].id}
    assert await node.call(OWNER, "changecolonyidmsg", **asked) == asked | {"msgtype": "changecolonyidmsg"}
    asked_again = await node.ask(OWNER, "pauseassignmentsmsg", colonyname="lab")
    assert asked_again.refusal == (403, "Access denied, not colony owner")
    await node.call(new["colony"], "pauseassignmentsmsg", colonyname="lab")

    asked = {"serverid": new["server"].id}
    assert await node.call(SERVER, "changeserveridmsg", **asked) == asked | {"msgtype": "changeserveridmsg"}
    assert (await node.ask(SERVER, "getcoloniesmsg")).refusal == (403, "Access denied, not server owner")
    await node.call(new["server"], "getcoloniesmsg")


async def test_a_new_id_has_64_characters_and_belongs_to_who_asks(lab: Lab) -> None:
    ann = await lab.join("ann")
    before = lab.node.tables()
    for party, msgtype, fields, text in (
        (ALICE, "changeuseridmsg", {"userid": "short"}, "Failed to change user Id, new user Id is not 64 characters"),
        (ann, "changeuseridmsg", {"userid": "1" * 64}, "Failed to change user Id, user not found"),
        (
            ann,
            "changeexecutoridmsg",
            {"executorid": "1" * 65},
            "Failed to change executor Id, new executor Id is not 64 characters",
        ),
        (ALICE, "changeexecutoridmsg", {"executorid": "1" * 64}, "Failed to change executor Id, executor not found"),
        (
            OWNER,
            "changecolonyidmsg",
            {"colonyid": "1"},
            "Failed to change colony Id, new colony Id is not 64 characters",
        ),
        (
            SERVER,
            "changeserveridmsg",
            {"serverid": "1"},
            "Failed to change server Id, new server Id is not 64 characters",
        ),
    ):
        assert (await lab.node.ask(party, msgtype, colonyname="lab", **fields)).refusal == (400, text)
    assert lab.node.tables() == before


async def test_one_key_may_be_an_executor_in_two_colonies(node: Node, lab: Lab) -> None:
    """The reference finds an executor by its id alone and then denies one of the two (clients.md, 3.8)."""
    other = await Lab(node, "other", Party("the owner of other"), Party("bea")).found()
    key = Party("one key")
    for colony in (lab, other):
        await colony.apply("ann", executorid=key.id)
        await node.call(colony.owner, "approveexecutormsg", colonyname=colony.name, executorname="ann")
        process = await colony.submit()
        assert (await colony.assign(key))["processid"] == process["processid"]
        await colony.close(key, process)
    await node.call(lab.owner, "removeexecutormsg", colonyname="lab", executorname="ann")
    found = await node.call(Party("bea"), "getexecutorbyidmsg", colonyname="other", executorid=key.id)
    assert (found["colonyname"], found["state"]) == ("other", APPROVED)
