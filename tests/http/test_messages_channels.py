"""Channels over the wire: who may say and hear what, in which order, how much, and until when."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from colonies_node.core import limits
from tests.lab import Lab
from tests.node import ALICE, NEVER, OWNER, SERVER, STRANGER, Node, Party, Socket, open_node, settle

END = {"sequence": 0, "timestamp": NEVER, "senderid": "", "payload": "", "type": "end"}
TOO_SLOW = {
    "sequence": 0,
    "timestamp": NEVER,
    "senderid": "",
    "payload": None,
    "error": "subscriber disconnected: buffer full",
}


class Talk:
    """A process with the channel `chat`, submitted by ALICE."""

    def __init__(self, lab: Lab, process: Any) -> None:
        self.node = lab.node
        self.channel = {"processid": process["processid"], "name": "chat"}
        self.process = process

    async def say(self, party: Party, *texts: str, first: int = 1, **more: Any) -> None:
        """Append, with rising numbers."""
        for number, text in enumerate(texts, first):
            payload = base64.b64encode(text.encode()).decode()
            await self.node.call(party, "channelappendmsg", **self.channel, sequence=number, payload=payload, **more)

    async def heard(self, afterseq: int = 0, limit: int = 0) -> list[str]:
        """What is on the channel."""
        entries = await self.node.call(ALICE, "channelreadmsg", **self.channel, afterseq=afterseq, limit=limit)
        return texts(entries)

    async def listen(self, party: Party = ALICE, **more: Any) -> Socket:
        """A stream of the channel."""
        return await self.node.subscribe(party, "subscribechannelmsg", **self.channel, **more)


def texts(entries: list[Any]) -> list[str]:
    return [base64.b64decode(entry["payload"]).decode() for entry in entries]


def said(socket: Socket) -> list[list[str]]:
    """The frames of a stream since the last look."""
    found = socket.take()
    assert {payloadtype for payloadtype, _ in found} <= {"subscribechannelmsg"}
    return [texts(entries) for _, entries in found]


@pytest.fixture
async def talk(lab: Lab) -> Talk:
    return Talk(lab, await lab.submit(channels=["chat"]))


async def test_both_parties_hear_what_both_said(lab: Lab, talk: Talk) -> None:
    ann = await lab.join("ann")
    await talk.say(ALICE, "before anybody took it")
    await lab.assign(ann)
    await talk.say(ann, "here", inreplyto=1)
    await lab.node.call(ann, "channelappendmsg", **talk.channel, sequence=2, payload=[0, 255], payloadtype="error")
    await lab.node.call(ann, "channelappendmsg", **talk.channel, sequence=3)
    entries = await lab.node.call(ann, "channelreadmsg", **talk.channel)
    assert [{k: v for k, v in entry.items() if k != "timestamp"} for entry in entries] == [
        {"sequence": 1, "senderid": ALICE.id, "payload": "YmVmb3JlIGFueWJvZHkgdG9vayBpdA==", "type": "data"},
        {"sequence": 1, "inreplyto": 1, "senderid": ann.id, "payload": "aGVyZQ==", "type": "data"},
        {"sequence": 2, "senderid": ann.id, "payload": "AP8=", "type": "error"},
        {"sequence": 3, "senderid": ann.id, "payload": None, "type": "data"},
    ]
    assert all(entry["timestamp"].startswith("2027-") for entry in entries)


async def test_a_reader_skips_what_it_has_read(talk: Talk) -> None:
    assert await talk.heard() == []
    await talk.say(ALICE, "a", "b", "c", "d")
    assert await talk.heard(afterseq=2) == ["c", "d"]
    assert await talk.heard(afterseq=1, limit=2) == ["b", "c"]
    assert await talk.heard(afterseq=-5, limit=-1) == ["a", "b", "c", "d"]
    assert await talk.heard(afterseq=2**63 - 1, limit=2**63 - 1) == []


async def test_entries_of_one_sender_stand_in_the_order_of_their_numbers(lab: Lab, talk: Talk) -> None:
    ann = await lab.join("ann")
    await lab.assign(ann)
    await talk.say(ALICE, "a5", first=5)
    await talk.say(ann, "b1", first=1)
    await talk.say(ALICE, "a3", first=3)
    await talk.say(ALICE, "a4", first=4)
    await talk.say(ALICE, "a5 again", first=5)
    assert await talk.heard() == ["a3", "a4", "a5", "b1", "a5 again"]


async def test_only_the_parties_have_a_say(lab: Lab, talk: Talk) -> None:
    ann, bob = await lab.join("ann"), await lab.join("bob")
    carl = Party("carl")
    await lab.node.call(OWNER, "addusermsg", user={"colonyname": "lab", "name": "carl", "userid": carl.id})
    await lab.assign(ann)
    for party in (bob, carl):
        for msgtype, what in (("channelappendmsg", "write to"), ("channelreadmsg", "read from")):
            refused = (await lab.node.ask(party, msgtype, **talk.channel, sequence=1)).refusal
            assert refused == (403, f"Not authorized to {what} channel")
        socket = await talk.listen(party)
        assert socket.take() == [(403, "Not authorized to subscribe to channel")]
    assert await talk.heard() == []


async def test_with_the_work_the_channel_goes_to_the_next_executor(lab: Lab, talk: Talk) -> None:
    ann = await lab.join("ann")
    await lab.assign(ann)
    await talk.say(ann, "from ann")
    stream = await talk.listen(ann)
    await lab.node.call(OWNER, "rejectexecutormsg", colonyname="lab", executorname="ann")
    await lab.node.call(OWNER, "removeexecutormsg", colonyname="lab", executorname="ann")
    await settle()
    assert stream.take()[-2:] == [("subscribechannelmsg", [END]), ("subscribechannelmsg", [])]
    bob = await lab.join("bob")
    await lab.assign(bob)
    await talk.say(bob, "from bob")
    assert await talk.heard() == ["from ann", "from bob"]
    assert (await lab.node.ask(ann, "channelreadmsg", **talk.channel)).refusal == (
        403,
        "Access denied, not a member of Colony with name <lab>",
    )


async def test_a_channel_is_there_only_if_the_spec_names_it(lab: Lab, talk: Talk) -> None:
    ask = lab.node.ask
    unknown = talk.channel | {"name": "other"}
    for msgtype in ("channelappendmsg", "channelreadmsg"):
        assert (await ask(ALICE, msgtype, **unknown)).refusal == (404, "Channel not found")
        assert (await ask(ALICE, msgtype, processid="0" * 64, name="chat")).refusal == (404, "Process not found")
        assert (await ask(STRANGER, msgtype, **unknown)).refusal == (
            403,
            "Access denied, not a member of Colony with name <lab>",
        )


async def test_a_process_has_a_hundred_channels_at_most(lab: Lab) -> None:
    names = [f"c{number}" for number in range(150)]
    process = await lab.submit(channels=[*names, *names])
    found = []
    for name in names:
        answer = await lab.node.ask(ALICE, "channelreadmsg", processid=process["processid"], name=name)
        if answer.refusal is None:
            found.append(name)
    assert found == names[:100]


@pytest.mark.parametrize("how", ["close", "fail", "cancel", "remove", "expire"])
async def test_with_the_end_of_its_process_a_channel_ends(
    node: Node, lab: Lab, mock_clock: MockClock, how: str
) -> None:
    ann = await lab.join("ann")
    talk = Talk(lab, await lab.submit(channels=["chat", "more"], maxexectime=5, maxretries=0))
    processid = talk.channel["processid"]
    stream = await talk.listen(timeout=20)
    if how == "remove":
        await node.call(ALICE, "removeprocessmsg", processid=processid)
    elif how == "cancel":
        await talk.say(ALICE, "bye")
        await node.call(ALICE, "cancelprocessmsg", processid=processid)
    else:
        await lab.assign(ann)
        await talk.say(ann, "bye")
        if how == "expire":
            mock_clock.jump(6)
        else:
            await (lab.close if how == "close" else lab.fail)(ann, talk.process)
    await settle()
    if how == "remove":
        mock_clock.jump(20)
        await settle()
        assert stream.take() == [("subscribechannelmsg", [])]
    else:
        (_, (bye,)), *last = stream.take()
        assert (texts([bye]), last) == (["bye"], [("subscribechannelmsg", [END]), ("subscribechannelmsg", [])])
    assert not stream.over.is_set()
    assert (node.tables()["channels"], node.tables()["channelentries"]) == ([], [])
    if how != "remove":
        assert (await node.ask(ALICE, "channelappendmsg", **talk.channel)).refusal == (404, "Channel not found")


async def test_with_all_waiting_processes_of_a_colony_their_channels_go(node: Node, lab: Lab, talk: Talk) -> None:
    await talk.say(ALICE, "x")
    nodes = [{"nodename": "a", "funcname": "f", "conditions": {"executortype": "worker"}, "channels": ["c"]}]
    workflow = {"colonyname": "lab", "functionspecs": nodes}
    graph = await node.call(ALICE, "submitworkflowspecmsg", spec=workflow)
    assert len(node.tables()["channels"]) == 2
    await node.call(OWNER, "removeallprocessesmsg", colonyname="lab", state=-1)
    assert len(node.tables()["channels"]) == 1
    await node.call(ALICE, "removeprocessgraphmsg", processgraphid=graph["processgraphid"])
    assert (node.tables()["channels"], node.tables()["channelentries"]) == ([], [])
    await node.call(SERVER, "removecolonymsg", colonyname="lab")


async def test_what_was_said_survives_a_restart(tmp_path: Path, mock_clock: MockClock) -> None:
    async with open_node(tmp_path, mock_clock) as node:
        lab = await Lab(node).found()
        talk = Talk(lab, await lab.submit(channels=["chat"]))
        await talk.say(ALICE, "a", "b")
    async with open_node(tmp_path, mock_clock) as node:
        talk.node = node
        assert await talk.heard() == ["a", "b"]
        await talk.say(ALICE, "c", first=3)
        assert await talk.heard(afterseq=2) == ["c"]


async def test_in_a_full_channel_the_oldest_make_room_and_readers_go_on_where_they_were(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_ENTRIES", 3)
    await talk.say(ALICE, "1", "2", "3", "4", "5")
    assert await talk.heard() == ["3", "4", "5"]
    assert await talk.heard(afterseq=1) == ["3", "4", "5"]
    assert await talk.heard(afterseq=4) == ["5"]
    assert await talk.heard(afterseq=5) == []
    await talk.say(ALICE, "6", first=6)
    assert await talk.heard(afterseq=5) == ["6"]


async def test_a_channel_keeps_a_bounded_number_of_bytes(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CHANNEL", 10)
    await talk.say(ALICE, "aaaa", "bbbb", "cccc", "")
    assert await talk.heard() == ["bbbb", "cccc", ""]
    await talk.say(ALICE, "x" * 20, first=5)
    assert await talk.heard() == ["x" * 20]
    await talk.say(ALICE, "y", first=6)
    assert await talk.heard() == ["y"]


async def test_a_reply_is_bounded_and_the_reader_goes_on_behind_it(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    await talk.say(ALICE, "aaaa", "bbbb", "cccc")
    monkeypatch.setattr(limits, "MAX_REPLY", 18)
    assert await talk.heard() == ["aaaa", "bbbb"]
    assert await talk.heard(afterseq=2) == ["cccc"]
    monkeypatch.setattr(limits, "MAX_REPLY", 2)
    assert await talk.heard(afterseq=1) == ["bbbb"]


async def test_the_largest_entry_fits_and_a_larger_one_is_refused(talk: Talk) -> None:
    largest = base64.b64encode(b"x" * limits.MAX_ENTRY).decode()
    assert await talk.node.call(ALICE, "channelappendmsg", **talk.channel, sequence=1, payload=largest) == {}
    larger = base64.b64encode(b"x" * (limits.MAX_ENTRY + 1)).decode()
    before = talk.node.tables()
    answer = await talk.node.ask(ALICE, "channelappendmsg", **talk.channel, sequence=2, payload=larger)
    assert answer.refusal == (500, "message payload exceeds maximum size")
    assert talk.node.tables() == before


@pytest.mark.parametrize("payload", ["a", "YQ", "YQ==YQ==", "?", [256], [-1], ["a"], [[1]], 1, True, {"a": 1}])
async def test_a_payload_is_bytes(talk: Talk, payload: Any) -> None:
    before = talk.node.tables()
    answer = await talk.node.ask(ALICE, "channelappendmsg", **talk.channel, sequence=1, payload=payload)
    assert answer.refusal is not None
    assert answer.refusal[0] == 400
    assert answer.refusal[1].startswith("Failed to append to channel, invalid JSON")
    assert talk.node.tables() == before


@pytest.mark.parametrize("payload", ["aGVs\r\nbG8=\n", [104, 101, 108, 108, 111]])
async def test_bytes_come_as_base64_or_as_numbers(talk: Talk, payload: Any) -> None:
    await talk.node.call(ALICE, "channelappendmsg", **talk.channel, sequence=1, payload=payload)
    assert await talk.heard() == ["hello"]


async def test_a_type_has_a_bounded_length(talk: Talk) -> None:
    answer = await talk.node.ask(ALICE, "channelappendmsg", **talk.channel, sequence=1, payloadtype="x" * 257)
    assert answer.refusal == (400, "The type of an entry must have at most 256 characters, got 257")


async def test_a_process_takes_a_burst_and_then_a_hundred_entries_a_second(
    node: Node, lab: Lab, mock_clock: MockClock
) -> None:
    process = await lab.submit(channels=["a", "b"])

    async def burst(count: int) -> int:
        taken = 0
        for number in range(count):
            answer = await node.ask(
                ALICE, "channelappendmsg", processid=process["processid"], name="ab"[number % 2], sequence=number
            )
            assert answer.refusal in (None, (500, "rate limit exceeded"))
            taken += answer.refusal is None
        return taken

    assert await burst(510) == 500
    mock_clock.jump(0.5)
    assert await burst(60) == 50
    mock_clock.jump(3600)
    assert await burst(510) == 500


async def test_a_clock_that_was_set_back_does_not_silence_a_process(
    tmp_path: Path, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_node(tmp_path, mock_clock) as node:
        lab = await Lab(node).found()
        talk = Talk(lab, await lab.submit(channels=["chat"]))
        for number in range(500):
            await talk.say(ALICE, "x", first=number)
    monkeypatch.setattr("tests.node.START", 1_000_000_000 * 10**9)
    async with open_node(tmp_path, mock_clock) as node:
        talk.node = node
        await talk.say(ALICE, "y", first=1000)
        assert (await talk.heard())[-1] == "y"


async def test_a_stream_brings_first_the_old_and_then_each_new_entry(lab: Lab, talk: Talk) -> None:
    ann = await lab.join("ann")
    await lab.assign(ann)
    await talk.say(ALICE, "a", "b", "c")
    whole, rest, deaf = await talk.listen(), await talk.listen(ann, afterseq=2), await talk.listen(afterseq=3)
    assert (said(whole), said(rest), said(deaf)) == ([["a", "b", "c"]], [["c"]], [])
    await talk.say(ann, "d")
    await talk.say(ALICE, "too late", first=0)
    await settle()
    for socket in (whole, rest, deaf):
        assert said(socket) == [["d"], ["too late"]]


async def test_other_channels_are_not_heard(lab: Lab) -> None:
    process = await lab.submit(channels=["chat", "other"])
    stream = await Talk(lab, process).listen()
    await lab.node.call(ALICE, "channelappendmsg", processid=process["processid"], name="other", sequence=1)
    await settle()
    assert stream.take() == []


async def test_what_is_old_comes_in_parts_as_fast_as_it_is_taken(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKLOG_PART", 10)
    await talk.say(ALICE, "aaaa", "bbbb", "cccc", "dddd", "eeee")
    socket = await talk.node.open()
    socket.stop_reading()
    await socket.ask(ALICE, "subscribechannelmsg", **talk.channel, timeout=60)
    await talk.say(ALICE, "ffff", first=6)
    socket.reading.set()
    await settle()
    await talk.say(ALICE, "gggg", first=7)
    await settle()
    assert said(socket) == [["aaaa", "bbbb"], ["cccc", "dddd"], ["eeee", "ffff"], ["gggg"]]


async def test_who_is_no_member_any_more_hears_no_more_of_a_channel(lab: Lab, talk: Talk) -> None:
    ann = await lab.join("ann")
    await lab.assign(ann)
    mine, hers = await talk.listen(), await talk.listen(ann)
    new = Party("new ann")
    await lab.node.call(ann, "changeexecutoridmsg", colonyname="lab", executorid=new.id)
    await lab.node.call(OWNER, "removeusermsg", colonyname="lab", name="alice")
    await settle()
    await talk.say(new, "secret")
    await settle()
    for socket in (mine, hers):
        assert socket.take() == [("subscribechannelmsg", [END]), ("subscribechannelmsg", [])]


async def test_a_process_that_ends_while_old_entries_are_sent_ends_the_stream(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKLOG_PART", 4)
    await talk.say(ALICE, "aaaa", "bbbb", "cccc")
    socket = await talk.node.open()
    socket.stop_reading()
    await socket.ask(ALICE, "subscribechannelmsg", **talk.channel, timeout=60)
    await talk.node.call(ALICE, "cancelprocessmsg", processid=talk.channel["processid"])
    socket.reading.set()
    await settle()
    first, *last = socket.take()
    assert texts(first[1]) == ["aaaa"]
    assert last == [("subscribechannelmsg", [END]), ("subscribechannelmsg", [])]


async def test_a_stream_ends_with_its_time_and_the_connection_serves_the_next(
    talk: Talk, mock_clock: MockClock
) -> None:
    socket = await talk.listen(timeout=5)
    await socket.ask(ALICE, "subscribechannelmsg", **talk.channel)
    await talk.say(ALICE, "a")
    mock_clock.jump(4)
    await settle()
    assert said(socket) == [["a"]]
    mock_clock.jump(2)
    await settle()
    assert said(socket) == [[], ["a"]]
    mock_clock.jump(29)
    await settle()
    assert said(socket) == []
    mock_clock.jump(2)
    await settle()
    assert said(socket) == [[]]
    mock_clock.jump(limits.IDLE_S - 1)
    await settle()
    assert not socket.over.is_set()
    mock_clock.jump(2)
    await settle()
    assert socket.over.is_set()


@pytest.mark.parametrize("timeout", [-1, -(2**63)])
async def test_a_negative_time_gives_what_is_there(talk: Talk, timeout: int) -> None:
    await talk.say(ALICE, "a")
    assert said(await talk.listen(timeout=timeout)) in ([["a"], []], [[]])


async def test_a_long_stream_keeps_its_connection_and_a_subscription_beside_it_too(
    lab: Lab, talk: Talk, mock_clock: MockClock
) -> None:
    socket = await talk.listen(timeout=3600)
    await socket.ask(ALICE, "subscribeprocessesmsg", colonyname="lab", executortype="worker", state=0, timeout=7200)
    mock_clock.jump(3500)
    await lab.submit()
    await talk.say(ALICE, "a")
    await settle()
    assert [payloadtype for payloadtype, _ in socket.take()] == ["subscribeprocessmsg", "subscribechannelmsg"]
    mock_clock.jump(3600)
    await settle()
    assert (said(socket), socket.over.is_set()) == ([[]], False)
    mock_clock.jump(101)
    await settle()
    assert socket.over.is_set()


async def test_a_listener_who_does_not_read_loses_its_stream_and_nobody_else_does(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_UNSENT_FRAMES", 3)
    good, slow = await talk.listen(), await talk.listen()
    slow.stop_reading()
    await talk.say(ALICE, *"abcdefgh")
    await settle()
    assert said(good) == [[letter] for letter in "abcdefgh"]
    slow.reading.set()
    await settle()
    *heard, (_, last) = slow.take()
    assert [texts(entries) for _, entries in heard] == [["a"], ["b"], ["c"], ["d"]]
    assert (last, slow.over.is_set()) == ([TOO_SLOW], False)


async def test_a_client_that_goes_leaves_no_stream_behind(talk: Talk) -> None:
    socket = await talk.listen()
    await socket.hang_up()
    assert socket.over.is_set()
    await talk.say(ALICE, "a")
    assert len(talk.node.service.subscribers) == 0
