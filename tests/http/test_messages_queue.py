"""Which process an executor gets, and how a submitted process reads back (protocol/core.md, 3.4, 5.1 and 5.2)."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from tests.lab import Lab
from tests.node import ALICE, DAY, NEVER, OWNER, RUNNING, SERVER, START, WAITING, Node, Party

NOTHING = (404, "No process available for assignment")


async def assigned(lab: Lab, executor: Party, **free: Any) -> str:
    """The id of what the executor gets, or the text of the refusal."""
    answer = await lab.node.ask(executor, "assignprocessmsg", colonyname=lab.name, timeout=-1, **free)
    if answer.refusal:
        assert answer.refusal == NOTHING
        return "nothing"
    processid: str = answer.payload["processid"]
    return processid


async def test_the_oldest_process_comes_first(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    submitted = []
    for _ in range(5):
        submitted.append((await lab.submit())["processid"])
        mock_clock.jump(0.001)
    assert [await assigned(lab, ann) for _ in submitted] == submitted


async def test_processes_of_the_same_instant_keep_their_order(lab: Lab) -> None:
    ann = await lab.join("ann")
    submitted = [(await lab.submit())["processid"] for _ in range(20)]
    assert [await assigned(lab, ann) for _ in submitted] == submitted


async def test_a_step_of_priority_is_worth_a_day_of_age(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    old = await lab.submit()
    mock_clock.jump(86_399)
    urgent = await lab.submit(priority=1)
    lazy = await lab.submit(priority=-1)
    most = await lab.submit(priority=50_000)
    least = await lab.submit(priority=-50_000)
    order = [await assigned(lab, ann) for _ in range(5)]
    assert order == [p["processid"] for p in (most, urgent, old, lazy, least)]
    assert old["prioritytime"] == START
    assert urgent["prioritytime"] == START + 86_399 * 1_000_000_000 - DAY


@pytest.mark.parametrize("priority", [50_001, -50_001, 2**62])
async def test_priority_has_a_range(lab: Lab, priority: int) -> None:
    spec = {"funcname": "f", "priority": priority, "conditions": {"colonyname": "lab"}}
    answer = await lab.node.ask(ALICE, "submitfuncspecmsg", spec=spec)
    assert answer.refusal == (400, "Failed to submit function spec, priority outside range [-50000, 50000]")


async def test_the_type_must_be_equal_in_every_letter(lab: Lab) -> None:
    ann, bob, cia = await lab.join("ann", "Worker"), await lab.join("bob", ""), await lab.join("cia")
    typed, untyped = await lab.submit(), await lab.submit(conditions={"executortype": ""})
    assert await assigned(lab, ann) == "nothing"
    assert await assigned(lab, bob) == untyped["processid"]
    assert await assigned(lab, bob) == "nothing"
    assert await assigned(lab, cia) == typed["processid"]


async def test_work_of_one_colony_never_goes_to_another(node: Node, lab: Lab) -> None:
    other = await Lab(node, "other", Party("the owner of other"), Party("bea")).found()
    stranger = await other.join("ann")
    await lab.submit()
    assert await assigned(other, stranger) == "nothing"
    answer = await node.ask(stranger, "assignprocessmsg", colonyname="lab", timeout=-1)
    assert answer.refusal == (403, "Access denied, not a member of Colony with name <lab>")


@pytest.mark.parametrize(
    ("names", "ann_gets_it"),
    [
        (None, True),
        ([], True),
        (["*"], True),
        (["ann"], True),
        (["bob", "ann"], True),
        (["bob"], False),
        (["Ann"], False),
    ],
)
async def test_names_choose_among_executors(lab: Lab, names: list[str] | None, ann_gets_it: bool) -> None:
    ann = await lab.join("ann")
    process = await lab.submit(conditions={"executornames": names})
    assert process["spec"]["conditions"]["executornames"] == ([] if names == ["*"] else names)
    assert await assigned(lab, ann) == (process["processid"] if ann_gets_it else "nothing")


async def test_a_name_gives_no_precedence(lab: Lab) -> None:
    ann = await lab.join("ann")
    order = [
        (await lab.submit(conditions={"executornames": names}))["processid"]
        for names in (["ann", "bob"], None, ["ann"], ["*"], ["cia", "ann"])
    ]
    assert [await assigned(lab, ann) for _ in order] == order


@pytest.mark.parametrize(
    ("place", "executor_at", "fits"),
    [
        ("", "", True),
        ("", "Home", True),
        ("home", "Home", True),
        ("HOME", "home", True),
        ("home", "", False),
        ("home", "homes", False),
    ],
)
async def test_a_place_must_be_the_executors_in_any_case(lab: Lab, place: str, executor_at: str, fits: bool) -> None:
    ann = await lab.join("ann", locationname=executor_at)
    process = await lab.submit(conditions={"locationname": place})
    assert process["spec"]["conditions"].get("locationname", "") == place
    assert await assigned(lab, ann) == (process["processid"] if fits else "nothing")


@pytest.mark.parametrize(
    ("asked", "free", "fits"),
    [
        ({"cpu": "1000m"}, {}, True),
        ({"cpu": "1000m"}, {"availablecpu": "1000m"}, True),
        ({"cpu": "1"}, {"availablecpu": "999m"}, False),
        ({"cpu": "1.5"}, {"availablecpu": "2"}, True),
        ({"cpu": "1m"}, {"availablecpu": "0m"}, False),
        ({}, {"availablecpu": "0m", "availablemem": "0Mi"}, True),
        ({"mem": "1Gi"}, {}, True),
        ({"mem": "1Gi"}, {"availablemem": "1024Mi"}, True),
        ({"mem": "1Gi"}, {"availablemem": "1GB"}, False),
        ({"mem": "1GB"}, {"availablemem": "1Gi"}, True),
        ({"mem": "1048577"}, {"availablemem": "1Mi"}, False),
        ({"storage": "1000T", "walltime": 1, "gpu": {"count": 8}}, {"availablecpu": "1", "availablemem": "1Mi"}, True),
        ({"nodes": 127, "processes": 127, "processespernode": 127}, {}, True),
        ({"nodes": 128}, {}, False),
        ({"processes": 128}, {}, False),
        ({"processespernode": 128}, {}, False),
    ],
)
async def test_what_is_asked_must_be_free(lab: Lab, asked: dict[str, Any], free: dict[str, Any], fits: bool) -> None:
    ann = await lab.join("ann")
    process = await lab.submit(conditions=asked)
    assert await assigned(lab, ann, **free) == (process["processid"] if fits else "nothing")


async def test_what_does_not_fit_holds_up_nothing_behind_it(lab: Lab) -> None:
    ann = await lab.join("ann")
    large = await lab.submit(conditions={"cpu": "4"}, priority=5)
    small = await lab.submit(conditions={"cpu": "1"})
    assert await assigned(lab, ann, availablecpu="2") == small["processid"]
    assert await assigned(lab, ann, availablecpu="2") == "nothing"
    assert await assigned(lab, ann, availablecpu="4") == large["processid"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"availablecpu": "many"}, "Error converting CPU to int"),
        ({"availablemem": "1X"}, 'error converting memory to int: strconv.ParseInt: parsing "1X": invalid syntax'),
    ],
)
async def test_what_is_free_must_be_an_amount(lab: Lab, fields: dict[str, str], text: str) -> None:
    ann = await lab.join("ann")
    answer = await lab.node.ask(ann, "assignprocessmsg", colonyname="lab", timeout=-1, **fields)
    assert answer.refusal == (400, text)


@pytest.mark.parametrize("timeout", [0, None])
async def test_a_timeout_must_be_given(lab: Lab, timeout: int | None) -> None:
    ann = await lab.join("ann")
    for party in (ann, ALICE):
        answer = await lab.node.ask(party, "assignprocessmsg", colonyname="lab", timeout=timeout)
        assert answer.refusal == (400, "Invalid timeout value, timeout cannot be zero")


async def test_a_user_gets_no_work(lab: Lab) -> None:
    await lab.submit()
    for timeout in (-1, 10):
        answer = await lab.node.ask(ALICE, "assignprocessmsg", colonyname="lab", timeout=timeout)
        assert answer.refusal == (500, "Failed to assign process, executor not found")


async def test_a_new_process_reads_back_whole(lab: Lab) -> None:
    process = await lab.submit()
    assert process == await lab.get(process)
    processid = process.pop("processid")
    assert len(processid) == 64
    assert process == {
        "initiatorid": ALICE.id,
        "initiatorname": "alice",
        "assignedexecutorid": "",
        "isassigned": False,
        "state": WAITING,
        "prioritytime": START,
        "submissiontime": "2027-01-15T08:00:00Z",
        "starttime": NEVER,
        "endtime": NEVER,
        "waitdeadline": NEVER,
        "execdeadline": NEVER,
        "retries": 0,
        "attributes": [],
        "spec": {
            "nodename": "",
            "funcname": "work",
            "args": [],
            "kwargs": {},
            "priority": 0,
            "maxwaittime": 0,
            "maxexectime": 0,
            "maxretries": 0,
            "conditions": {
                "colonyname": "lab",
                "executornames": None,
                "executortype": "worker",
                "dependencies": [],
                "nodes": 0,
                "cpu": "0m",
                "processes": 0,
                "processespernode": 0,
                "mem": "0Mi",
                "storage": "0Mi",
                "gpu": {"name": "", "mem": "0Mi", "count": 0, "nodecount": 0},
                "walltime": 0,
            },
            "label": "",
            "fs": {"mount": "", "snapshots": None, "dirs": None},
            "env": {},
        },
        "waitforparents": False,
        "parents": [],
        "children": [],
        "processgraphid": "",
        "in": [],
        "out": [],
        "errors": [],
    }


async def test_amounts_read_back_in_one_unit(lab: Lab) -> None:
    asked = {
        "cpu": "1.5",
        "mem": "1000M",
        "storage": "4000G",
        "gpu": {"name": "a", "mem": "8GB", "count": 2, "nodecount": 3},
    }
    process = await lab.submit(conditions=asked)
    conditions = process["spec"]["conditions"]
    assert [conditions[name] for name in ("cpu", "mem", "storage")] == ["1500m", "953Mi", "3814697Mi"]
    assert conditions["gpu"] == {"name": "a", "mem": "7629Mi", "count": 2, "nodecount": 0}


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"cpu": "m"}, "Error converting CPU to int"),
        *(
            ({where: "1X"}, 'error converting memory to int: strconv.ParseInt: parsing "1X": invalid syntax')
            for where in ("mem", "storage")
        ),
        ({"gpu": {"mem": "x"}}, 'error converting memory to int: strconv.ParseInt: parsing "x": invalid syntax'),
    ],
)
async def test_what_is_asked_must_be_an_amount(lab: Lab, asked: dict[str, Any], text: str) -> None:
    before = lab.node.tables()
    spec = {"funcname": "f", "conditions": {"colonyname": "lab"} | asked}
    assert (await lab.node.ask(ALICE, "submitfuncspecmsg", spec=spec)).refusal == (400, text)
    assert lab.node.tables() == before


async def test_a_rich_spec_reads_back_as_it_was_sent(lab: Lab) -> None:
    spec = {
        "nodename": "n",
        "label": "a <label> & more",
        "args": [1, 2**53 + 1, -(2**70), 1.5, "två", None, True, {"b": [1], "a": {}}, []],
        "kwargs": {"k": "v", "deep": {"x": [None]}},
        "maxwaittime": 10,
        "maxexectime": 20,
        "maxretries": 3,
        "channels": ["chat", "logs"],
        "fs": {
            "mount": "/cfs",
            "snapshots": [{"snapshotid": "s", "label": "/l", "dir": "/d", "keepfiles": True, "keepsnapshot": False}],
            "dirs": [
                {
                    "label": "/l",
                    "dir": "/d",
                    "keepfiles": False,
                    "onconflicts": {"onstart": {"keeplocal": True}, "onclose": {"keeplocal": False}},
                }
            ],
        },
    }
    process = await lab.submit(**spec)
    assert {name: process["spec"][name] for name in spec} == spec
    assert process == await lab.get(process)


async def test_the_environment_reads_back_and_shows_as_attributes(lab: Lab) -> None:
    env = {"PATH": "/bin", "EMPTY": "", "": "no name", "Ö": "<&>"}
    process = await lab.submit(env=env, channels=["after"])
    assert process["spec"]["env"] == env
    assert process["spec"]["channels"] == ["after"]
    assert {a["key"]: a["value"] for a in process["attributes"]} == env
    assert {(a["attributetype"], a["targetid"]) for a in process["attributes"]} == {(3, process["processid"])}


async def test_an_env_attribute_added_later_joins_the_environment(lab: Lab) -> None:
    ann = await lab.join("ann")
    process = await lab.submit(env={"A": "1"})
    await lab.assign(ann)
    attribute = {"targetid": process["processid"], "key": "B", "value": "2", "attributetype": 3}
    await lab.node.call(ann, "addattributemsg", attribute=attribute)
    assert (await lab.get(process))["spec"]["env"] == {"A": "1", "B": "2"}


async def test_an_attribute_is_never_overwritten(lab: Lab) -> None:
    ann = await lab.join("ann")
    process = await lab.submit()
    await lab.assign(ann)
    attribute = {"targetid": process["processid"], "key": "k", "value": "1", "attributetype": 1}
    await lab.node.call(ann, "addattributemsg", attribute=attribute)
    status, text = (await lab.node.ask(ann, "addattributemsg", attribute=attribute | {"value": "2"})).refusal or (0, "")
    assert status == 400
    assert text.startswith("pq: duplicate key value violates unique constraint")
    await lab.node.call(ann, "addattributemsg", attribute=attribute | {"attributetype": 0})
    assert [(a["attributetype"], a["value"]) for a in (await lab.get(process))["attributes"]] == [(0, "1"), (1, "1")]


async def test_only_the_executor_of_a_running_process_adds_attributes(lab: Lab) -> None:
    ann, bob = await lab.join("ann"), await lab.join("bob")
    process = await lab.submit()
    attribute = {"targetid": process["processid"], "key": "k", "value": "1"}
    asked = await lab.node.ask(ann, "addattributemsg", attribute=attribute)
    assert asked.refusal == (403, "Failed to add attribute, process is not running")
    await lab.assign(ann)
    for party in (bob, ALICE):
        asked = await lab.node.ask(party, "addattributemsg", attribute=attribute)
        assert asked.refusal == (
            403,
            f"Failed to add attribute, only executor with id <{ann.id}> is allowed to set attributes",
        )


async def test_an_assigned_process_shows_its_executor_and_start(lab: Lab, mock_clock: MockClock) -> None:
    ann = await lab.join("ann")
    await lab.submit(maxexectime=20)
    mock_clock.jump(5)
    process = await lab.assign(ann)
    assert (process["state"], process["isassigned"], process["assignedexecutorid"]) == (RUNNING, True, ann.id)
    assert process["submissiontime"] == "2027-01-15T08:00:00Z"
    assert process["starttime"] == "2027-01-15T08:00:05Z"
    assert process["execdeadline"] == "2027-01-15T08:00:25Z"
    assert process == await lab.get(process)


@pytest.mark.parametrize("party", [OWNER, SERVER])
async def test_owners_submit_nothing(lab: Lab, party: Party) -> None:
    spec = {"funcname": "f", "conditions": {"colonyname": "lab"}}
    answer = await lab.node.ask(party, "submitfuncspecmsg", spec=spec)
    assert answer.refusal == (403, "Access denied, not a member of Colony with name <lab>")
