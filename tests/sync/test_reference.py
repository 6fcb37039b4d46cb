"""A reference server upstream: work goes there and comes from there, once, whatever is lost on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock as Clock

from colonies_node.core.broker.sync import handout, upstreams
from colonies_node.core.broker.sync.handout import Look
from colonies_node.core.broker.sync.upstreams import Wish
from colonies_node.core.errors import LinkDown, Refused
from colonies_node.core.store import links, processes
from colonies_node.core.store.transaction import Transaction
from tests.node import CANCELLED, FAILED, RUNNING, SERVER, SUCCESS, WAITING, Party
from tests.sync.outpost import NODEID, Outpost, open_outpost

GPU, CAM = {"executortype": "gpu"}, {"executortype": "cam"}

PLAIN = {
    "addattributemsg",
    "addlogmsg",
    "assignprocessmsg",
    "cancelprocessmsg",
    "closefailedmsg",
    "closesuccessfulmsg",
    "getexecutorsmsg",
    "getlogsmsg",
    "getprocessesmsg",
    "getprocesshistmsg",
    "getprocessmsg",
    "submitfuncspecmsg",
}


@pytest.fixture
async def outpost(tmp_path: Path, autojump_clock: Clock) -> AsyncIterator[Outpost]:
    async with open_outpost(tmp_path, autojump_clock) as outpost:
        yield outpost


async def test_a_process_that_nobody_here_can_run_is_run_there(outpost: Outpost, autojump_clock: Clock) -> None:
    await outpost.hire(outpost.there, "big", "gpu")
    await outpost.start()
    process = await outpost.here.submit(conditions=GPU, args=["a"], label="mine", env={"K": "v"})
    ended = await outpost.ended(outpost.here, process)
    assert (ended["state"], ended["out"]) == (SUCCESS, ["a done"])
    assert await outpost.lines(outpost.here, process) == ["a 0", "a 1"]
    (copy,) = await outpost.copies(process)
    assert copy["spec"]["env"] == {"K": "v", "COLONIES_LABEL": "mine"}
    assert copy["spec"]["maxexectime"] == -1
    where = {one["key"]: one["value"] for one in ended["attributes"]}
    assert where["sync.where"] == "up/big"
    assert outpost.ran == {"a": 1}
    assert set(outpost.door.calls) <= PLAIN


async def test_a_process_of_the_server_is_run_here(outpost: Outpost, autojump_clock: Clock) -> None:
    await outpost.hire(outpost.here, "eye", "cam")
    await outpost.start()
    await trio.sleep(5)
    process = await outpost.there.submit(conditions=CAM, args=["b"])
    ended = await outpost.ended(outpost.there, process, 30)
    assert (ended["state"], ended["out"]) == (SUCCESS, ["b done"])
    assert await outpost.lines(outpost.there, process) == ["b 0", "b 1"]
    mirror = await outpost.ended(outpost.here, process)
    assert (mirror["state"], mirror["out"]) == (SUCCESS, ["b done"])
    assert set(outpost.door.calls) <= PLAIN


@pytest.mark.parametrize("happened", [False, True], ids=["request", "answer"])
@pytest.mark.parametrize("dies", [False, True], ids=["lost", "killed"])
async def test_whatever_call_is_lost_everything_is_done_once(
    tmp_path: Path, autojump_clock: Clock, happened: bool, dies: bool
) -> None:
    number = 0
    calls = 1
    while number < calls:
        number += 1
        async with open_outpost(tmp_path / str(number), autojump_clock) as outpost:
            calls = await play(outpost, number, happened, dies)
    assert number > 30


async def play(outpost: Outpost, number: int, happened: bool, dies: bool) -> int:
    """Work in both directions with the call `number` lost; how many calls it took."""

    async def fault(call: int, effective: bool) -> None:
        if call != number or effective != happened:
            return
        if dies:
            outpost.stop()
            outpost.nursery.start_soon(outpost.start)
            await trio.sleep_forever()
        raise LinkDown("lost")

    await outpost.hire(outpost.there, "big", "gpu")
    await outpost.hire(outpost.here, "eye", "cam")
    await outpost.there.join("idle", "tape")
    outpost.door.fault = fault
    up = await outpost.here.submit(conditions=GPU, args=["up"])
    gone = await outpost.here.submit(conditions={"executortype": "tape"}, args=["gone"])
    await outpost.start()
    await trio.sleep(1)
    down = await outpost.there.submit(conditions=CAM, args=["down"])
    await sent(outpost, gone)
    await outpost.edge.call(outpost.here.user, "cancelprocessmsg", processid=gone["processid"])
    for lab, process in ((outpost.here, up), (outpost.there, down)):
        await outpost.ended(lab, process)
    await trio.sleep(5)
    calls = len(outpost.door.calls)
    await trio.sleep(70)
    seen = outpost.door.calls[number - 2 : number + 1]
    for process, word in ((up, "up"), (down, "down")):
        for lab in (outpost.here, outpost.there):
            one = process if word == "down" or lab is outpost.here else (await found(outpost, process))
            ended = await lab.get(one)
            assert (ended["state"], ended["out"]) == (SUCCESS, [f"{word} done"]), seen
            assert await outpost.lines(lab, one) == [f"{word} 0", f"{word} 1"], seen
        assert outpost.ran[word] == 1, seen
        notes = [one["key"] for one in (await outpost.here.get(process))["attributes"]]
        assert "sync.late" not in notes, seen
    assert [one["state"] for one in await outpost.copies(gone)] == [CANCELLED], seen
    return calls


async def sent(outpost: Outpost, process: Any) -> None:
    """Come back when the process is there."""
    for _ in range(300):
        if await outpost.copies(process):
            return
        await trio.sleep(1)
    raise AssertionError("it was never sent")


async def found(outpost: Outpost, process: Any) -> Any:
    """The copy of a process there."""
    (copy,) = await outpost.copies(process)
    return copy


async def begin(outpost: Outpost) -> None:
    """Start the link, and come back when it is up."""
    await outpost.start()
    await trio.sleep(3)


async def taken(outpost: Outpost, **spec: Any) -> tuple[Any, Party]:
    """A process of the server that runs here, at an executor that does nothing by itself."""
    eye = await outpost.here.join("eye", "cam")
    await begin(outpost)
    process = await outpost.there.submit(conditions=CAM, args=["b"], **spec)
    assigned = await outpost.here.assign(eye, 60)
    assert assigned["processid"] == process["processid"]
    return assigned, eye


async def test_a_process_with_an_input_stays_here(outpost: Outpost, autojump_clock: Clock) -> None:
    await outpost.there.join("big", "gpu")
    await begin(outpost)
    eye = await outpost.here.join("eye", "cam")
    specs = [
        {"nodename": "a", "funcname": "f", "conditions": CAM},
        {"nodename": "b", "funcname": "f", "conditions": GPU | {"dependencies": ["a"]}},
    ]
    graph = await outpost.edge.call(
        outpost.here.user, "submitworkflowspecmsg", spec={"colonyname": "lab", "functionspecs": specs}
    )
    await outpost.here.close(eye, await outpost.here.assign(eye), ["seen"])
    await trio.sleep(60)
    (child,) = [one for one in graph["processids"] if (await outpost.here.get({"processid": one}))["state"] == WAITING]
    assert await outpost.copies({"processid": child}) == []
    assert outpost.live.connected


async def test_a_process_with_an_input_that_was_meant_for_a_node_waits_here_again(
    outpost: Outpost, autojump_clock: Clock
) -> None:
    process = await outpost.here.submit(conditions=GPU)
    post = outpost.make_post()
    link = outpost.edge.store.read(lambda tx: links.upstream(tx, "up"))
    assert link is not None

    def give(tx: Transaction) -> None:
        row = processes.find(tx, process["processid"])
        assert row is not None
        handout.give(tx, link, processes.give_away(tx, processes.set_input(tx, row, "[1]"), link.seq))

    await outpost.edge.service.write(give)
    letter = outpost.edge.store.write(
        lambda tx: upstreams.compose(tx, link, outpost.upstream, NODEID, Look((), 0), Wish(10_000))
    )
    assert [item.kind for item in letter.items or ()] == ["offer"]
    answer = await post.exchange(letter, 60)
    assert answer.have.batch == letter.batch
    assert outpost.door.number("submitfuncspecmsg") == 0
    big = await outpost.here.join("big", "gpu")
    assert (await outpost.here.assign(big))["in"] == [1]


async def test_what_the_server_refuses_to_take_fails_here_with_its_words(
    outpost: Outpost, autojump_clock: Clock
) -> None:
    await outpost.there.join("big", "gpu")
    await begin(outpost)

    def refuse(message: dict[str, Any]) -> Any:
        raise Refused(400, "Error converting CPU to int")

    outpost.door.answers["submitfuncspecmsg"] = refuse
    ended = await outpost.ended(outpost.here, await outpost.here.submit(conditions=GPU))
    assert (ended["state"], ended["errors"]) == (FAILED, ["up refused it: Error converting CPU to int"])
    assert outpost.live.connected


async def test_a_process_of_ours_that_is_cancelled_or_removed_there_is_cancelled_here(
    outpost: Outpost, autojump_clock: Clock
) -> None:
    await outpost.there.join("big", "gpu")
    await begin(outpost)
    first, second = await outpost.here.submit(conditions=GPU), await outpost.here.submit(conditions=GPU)
    await sent(outpost, second)
    call = outpost.server.call
    (copy,) = await outpost.copies(first)
    await call(outpost.there.user, "cancelprocessmsg", processid=copy["processid"])
    (copy,) = await outpost.copies(second)
    await call(outpost.there.user, "removeprocessmsg", processid=copy["processid"])
    assert (await outpost.ended(outpost.here, first, 60))["state"] == CANCELLED
    ended = await outpost.ended(outpost.here, second, 60)
    assert (ended["state"], ended["errors"]) == (CANCELLED, ["It was removed there"])


async def test_a_server_that_does_not_know_us_any_more_has_not_removed_anything(
    outpost: Outpost, autojump_clock: Clock
) -> None:
    await outpost.there.join("big", "gpu")
    await begin(outpost)
    process = await outpost.here.submit(conditions=GPU)
    await sent(outpost, process)
    await outpost.server.call(SERVER, "removecolonymsg", colonyname="lab")
    await trio.sleep(300)
    assert (await outpost.here.get(process))["state"] == WAITING
    assert not outpost.live.connected
    assert "lab" in outpost.live.why


async def test_what_is_cancelled_there_is_taken_from_whoever_runs_it_here(
    outpost: Outpost, autojump_clock: Clock
) -> None:
    process, eye = await taken(outpost)
    await outpost.server.call(outpost.there.user, "cancelprocessmsg", processid=process["processid"])
    ended = await outpost.ended(outpost.here, process, 60)
    assert (ended["state"], ended["errors"]) == (CANCELLED, ["up took it back"])
    with pytest.raises(Refused):
        await outpost.here.close(eye, process)


async def test_a_result_that_comes_after_the_server_gave_the_work_to_somebody_else_is_kept_as_late(
    outpost: Outpost, autojump_clock: Clock
) -> None:
    process, eye = await taken(outpost)
    other = await outpost.there.join("other", "cam")
    outpost.stop()
    await outpost.server.call(outpost.there.owner, "removeexecutormsg", colonyname="lab", executorname="edge")
    await outpost.there.assign(other)
    await outpost.server.call(outpost.there.owner, "approveexecutormsg", colonyname="lab", executorname="edge")
    await outpost.here.close(eye, process, ["late"])
    await begin(outpost)
    await trio.sleep(60)
    here, there = await outpost.here.get(process), await outpost.there.get(process)
    assert (here["state"], here["out"]) == (SUCCESS, ["late"])
    notes = {one["key"]: one["value"] for one in here["attributes"]}
    assert "given it to somebody else" in notes["sync.late"]
    assert (there["state"], there["assignedexecutorid"]) == (RUNNING, other.id)


async def test_a_process_that_the_server_took_back_and_gives_again_runs_here_again(
    outpost: Outpost, autojump_clock: Clock
) -> None:
    process, eye = await taken(outpost)
    owner, call = outpost.there.owner, outpost.server.call
    other = await outpost.there.join("other", "cam")
    outpost.stop()
    await call(owner, "removeexecutormsg", colonyname="lab", executorname="edge")
    assert (await outpost.there.assign(other))["processid"] == process["processid"]
    await call(owner, "approveexecutormsg", colonyname="lab", executorname="edge")
    await outpost.start()
    assert (await outpost.ended(outpost.here, process, 60))["state"] == CANCELLED
    await call(owner, "removeexecutormsg", colonyname="lab", executorname="other")
    again = await outpost.here.assign(eye, 120)
    assert again["processid"] == process["processid"]
    await outpost.here.close(eye, again, ["done"])
    ended = await outpost.ended(outpost.there, process, 60)
    assert (ended["state"], ended["out"]) == (SUCCESS, ["done"])


async def test_what_fails_or_is_cancelled_here_fails_there(outpost: Outpost, autojump_clock: Clock) -> None:
    process, eye = await taken(outpost)
    second = await outpost.there.submit(conditions=CAM)
    await outpost.here.fail(eye, process, ["no light"])
    ended = await outpost.ended(outpost.there, process, 60)
    assert (ended["state"], ended["errors"]) == (FAILED, ["no light"])
    await outpost.here.assign(eye, 60)
    await outpost.edge.call(outpost.here.user, "cancelprocessmsg", processid=second["processid"])
    ended = await outpost.ended(outpost.there, second, 60)
    assert (ended["state"], ended["errors"]) == (FAILED, ["It was cancelled at edge"])


async def test_a_type_for_which_there_is_no_executor_is_said_with_what_to_do(
    outpost: Outpost, autojump_clock: Clock
) -> None:
    outpost.upstream.accept = ["cam", "mic"]
    await begin(outpost)
    assert not outpost.live.connected
    assert "executor edge-mic (mic) is not approved" in outpost.live.why
    assert "colonies-node executor add --name edge-mic --type mic --executorid" in outpost.live.why


async def test_the_owners_key_lets_in_an_executor_for_each_type(outpost: Outpost, autojump_clock: Clock) -> None:
    outpost.upstream.accept = ["cam", "mic"]
    outpost.owner = outpost.there.owner.signer
    await outpost.hire(outpost.here, "eye", "cam")
    await outpost.hire(outpost.here, "ear", "mic")
    await begin(outpost)
    for executortype in ("mic", "cam"):
        process = await outpost.there.submit(conditions={"executortype": executortype}, args=[executortype])
        assert (await outpost.ended(outpost.there, process, 60))["state"] == SUCCESS
    assert outpost.ran == {"mic": 1, "cam": 1}


async def test_no_more_is_taken_than_there_is_room_for(outpost: Outpost, autojump_clock: Clock) -> None:
    outpost.upstream.free = 2
    for _ in range(5):
        await outpost.there.submit(conditions=CAM)
    await outpost.here.join("eye", "cam")
    await begin(outpost)
    await trio.sleep(1000)
    running = await outpost.server.call(outpost.there.user, "getprocessesmsg", colonyname="lab", count=9, state=RUNNING)
    assert len(running) == 2


async def test_an_idle_link_asks_for_work_once_a_minute_and_nothing_else(
    outpost: Outpost, autojump_clock: Clock
) -> None:
    await begin(outpost)
    await trio.sleep(60)
    before = Counter(outpost.door.calls)
    await trio.sleep(600)
    asked = Counter(outpost.door.calls) - before
    assert set(asked) == {"assignprocessmsg", "getexecutorsmsg"}
    assert asked["assignprocessmsg"] <= 22
    assert asked["getexecutorsmsg"] <= 11


async def test_a_process_that_waits_there_for_long_is_asked_about_twice_a_minute(
    outpost: Outpost, autojump_clock: Clock
) -> None:
    await outpost.there.join("big", "gpu")
    await begin(outpost)
    await outpost.here.submit(conditions=GPU)
    await trio.sleep(120)
    before = outpost.door.number("getprocessmsg")
    await trio.sleep(600)
    assert 15 <= outpost.door.number("getprocessmsg") - before <= 22


async def test_a_long_log_comes_whole_before_the_end_of_its_process(outpost: Outpost, autojump_clock: Clock) -> None:
    big = await outpost.there.join("big", "gpu")
    await begin(outpost)
    process = await outpost.here.submit(conditions=GPU)
    copy = await outpost.there.assign(big, 60)
    outpost.stop()
    lines = [f"line {number}" for number in range(1200)]
    for line in lines:
        await outpost.server.call(big, "addlogmsg", processid=copy["processid"], message=line)
    await outpost.there.close(big, copy, ["done"])
    await outpost.start()
    ended = await outpost.ended(outpost.here, process, 60)
    assert (ended["state"], ended["out"]) == (SUCCESS, ["done"])
    stored = outpost.edge.store.read(
        lambda tx: tx.all("select message from logs where processid = ? order by seq", (process["processid"],))
    )
    assert [message for (message,) in stored] == lines


async def test_a_node_restored_from_a_time_before_it_sent_a_process_finds_it_there(
    outpost: Outpost, autojump_clock: Clock
) -> None:
    await outpost.hire(outpost.there, "big", "gpu")
    process = await outpost.here.submit(conditions=GPU, args=["a"])
    await begin(outpost)
    await sent(outpost, process)
    outpost.stop()

    def restore(tx: Transaction) -> None:
        tx.run("delete from shares")
        tx.run("update processes set away = 0, state = 0, assignedexecutorid = ''")
        tx.run("update links set confirmed = 0")

    await outpost.edge.service.write(restore)
    await outpost.start()
    ended = await outpost.ended(outpost.here, process)
    assert (ended["state"], ended["out"]) == (SUCCESS, ["a done"])
    assert len(await outpost.copies(process)) == 1
    assert outpost.ran == {"a": 1}


async def test_null_lists_and_times_of_another_zone_are_read_as_the_reference_sends_them(
    outpost: Outpost, autojump_clock: Clock
) -> None:
    recorded = {
        "processid": "43f30780c30dc3ac20c3ab04fa52b4269e3db1e81a68e28ac7519d6450b01c19",
        "initiatorid": "edac05ff2edffa4513a9cea16d941511f976e07c9754b291a2cb19e18df66d84",
        "initiatorname": "eva",
        "assignedexecutorid": "edac05ff2edffa4513a9cea16d941511f976e07c9754b291a2cb19e18df66d84",
        "isassigned": True,
        "state": FAILED,
        "prioritytime": 1795261276498727063,
        "submissiontime": "2026-11-22T12:41:16.498727+01:00",
        "starttime": "2026-11-22T12:41:16.531760061+01:00",
        "endtime": "2026-11-22T12:41:17+01:00",
        "waitdeadline": "0001-01-01T01:12:12+01:12",
        "execdeadline": "0001-01-01T01:12:12+01:12",
        "retries": 0,
        "attributes": None,
        "spec": {"funcname": "f", "conditions": {"executornames": None, "gpu": {"name": ""}}, "fs": {"dirs": None}},
        "waitforparents": False,
        "parents": None,
        "children": None,
        "processgraphid": "",
        "in": None,
        "out": None,
        "errors": None,
        "something": "new",
    }
    await outpost.there.join("big", "gpu")
    outpost.door.answers |= {"getprocessmsg": lambda _: recorded, "getlogsmsg": lambda _: None}
    await begin(outpost)
    ended = await outpost.ended(outpost.here, await outpost.here.submit(conditions=GPU), 60)
    assert (ended["state"], ended["out"], ended["errors"]) == (FAILED, [], [])
    assert ended["starttime"].startswith("2026-11-22T11:41:16.53176")
    assert outpost.live.connected


async def test_an_answer_that_is_none_takes_the_link_down_and_breaks_nothing(
    outpost: Outpost, autojump_clock: Clock
) -> None:
    outpost.door.answers["getexecutorsmsg"] = lambda _: {"no": "list"}
    await begin(outpost)
    assert not outpost.live.connected
    assert "not as the protocol says" in outpost.live.why
    del outpost.door.answers["getexecutorsmsg"]
    await trio.sleep(60)
    assert outpost.live.connected
