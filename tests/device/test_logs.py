"""How lines reach the process log."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, memory_stream_one_way_pair

from colonies_node.core.errors import LinkDown, Refused
from colonies_node.device.logs import INTERVAL_S, LogQueue, LogStream


def drain(queue: LogQueue) -> list[str]:
    messages = []
    while (message := queue.oldest()) is not None:
        messages.append(message)
        queue.confirm()
    return messages


def test_lines_gather_into_one_message(tmp_path: Path) -> None:
    queue = LogQueue(tmp_path)
    queue.write("one")
    queue.write("two")
    assert drain(queue) == ["one\ntwo\n"]


def test_a_message_stays_until_it_is_confirmed(tmp_path: Path) -> None:
    queue = LogQueue(tmp_path)
    queue.write("one")
    assert queue.oldest() == "one\n"
    queue.write("two")
    assert queue.oldest() == "one\n"
    queue.confirm()
    assert queue.oldest() == "two\n"


def test_what_cannot_be_sent_waits_on_disk_and_survives_a_restart(tmp_path: Path) -> None:
    queue = LogQueue(tmp_path, message=4)
    for line in ("one", "two", "six"):
        queue.write(line)
    queue.oldest()
    queue.write("t")
    queue.save()
    assert drain(LogQueue(tmp_path)) == ["one\n", "two\n", "six\n", "t\n"]
    assert list(tmp_path.iterdir()) == []


def test_a_message_under_way_at_the_end_keeps_its_place(tmp_path: Path) -> None:
    queue = LogQueue(tmp_path, message=4)
    queue.write("a")
    queue.oldest()
    for line in ("two", "six"):
        queue.write(line)
    queue.save()
    assert drain(LogQueue(tmp_path)) == ["a\n", "two\n", "six\n"]


def test_too_much_loses_the_middle_and_says_so(tmp_path: Path) -> None:
    queue = LogQueue(tmp_path, message=4, stored=2, newest=2)
    for number in range(100, 110):
        queue.write(str(number))
    assert len(list(tmp_path.iterdir())) == 2
    first, second, note, *last = drain(queue)
    assert (first, second, last) == ("100\n", "101\n", ["108\n", "109\n"])
    assert note == "[6 lines are missing here: they came faster than they could be sent or kept]\n"


def test_after_the_gap_the_disk_is_used_again(tmp_path: Path) -> None:
    queue = LogQueue(tmp_path, message=4, stored=1, newest=1)
    for number in range(100, 110):
        queue.write(str(number))
    drain(queue)
    queue.write("111")
    assert len(list(tmp_path.iterdir())) == 1
    assert drain(queue) == ["111\n"]


def test_a_full_disk_loses_no_line_that_memory_can_hold(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    queue = LogQueue(blocked / "log", message=4)
    queue.write("one")
    queue.write("two")
    assert drain(queue) == ["one\n", "two\n"]


@settings(max_examples=50)
@given(st.lists(st.one_of(st.text("ab", min_size=1, max_size=6), st.none()), max_size=40))
def test_every_line_is_either_delivered_in_order_or_counted_as_missing(
    tmp_path_factory: Any, steps: list[str | None]
) -> None:
    queue = LogQueue(tmp_path_factory.mktemp("log"), message=8, stored=2, newest=1)
    sent, lines, missing = [], [], 0
    for step in steps:
        if step is None:
            sent += [queue.oldest()]
            queue.confirm()
        else:
            queue.write(step)
            lines.append(step)
    delivered = [line for message in [*sent, *drain(queue)] if message for line in message.splitlines()]
    for line in delivered:
        if line.startswith("["):
            missing += int(line[1:].split()[0])
    kept = iter(line for line in delivered if not line.startswith("["))
    assert len(delivered) - sum(line.startswith("[") for line in delivered) + missing == len(lines)
    position = 0
    for line in kept:
        position = lines.index(line, position) + 1


def test_a_flood_on_a_cut_link_needs_little_memory_and_little_disk(tmp_path: Path) -> None:
    queue, line = LogQueue(tmp_path, stored=8), "x" * 1023
    tracemalloc.start()
    for _ in range(20_000):
        queue.write(line)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 9 * 64 * 1024


class Server:
    """Takes messages; refuses or drops them as told."""

    def __init__(self) -> None:
        self.messages: list[tuple[float, str]] = []
        self.fault: Exception | None = None

    async def take(self, message: str) -> None:
        await trio.lowlevel.checkpoint()
        if self.fault:
            raise self.fault
        self.messages.append((trio.current_time(), message))


async def test_the_first_line_leaves_at_once_and_the_next_ones_together(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    server = Server()
    stream = LogStream(LogQueue(tmp_path), server.take, lambda: None)
    started = trio.current_time()
    sender, receiver = memory_stream_one_way_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.run)
        nursery.start_soon(stream.read, receiver)
        await sender.send_all(b"first\n")
        await trio.testing.wait_all_tasks_blocked()
        await sender.send_all(b"second\nthird\n")
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert server.messages == [(started, "first\n"), (started + INTERVAL_S, "second\nthird\n")]


async def test_a_cut_link_delays_lines_and_loses_none(tmp_path: Path, autojump_clock: MockClock) -> None:
    server = Server()
    server.fault = LinkDown("cut")
    stream = LogStream(LogQueue(tmp_path), server.take, lambda: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.run)
        stream.write("before")
        await trio.sleep(3600)
        server.fault = None
        stream.write("after")
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert "".join(message for _, message in server.messages) == "before\nafter\n"


async def test_a_refusal_raises_a_doubt_and_drops_the_message(tmp_path: Path, autojump_clock: MockClock) -> None:
    server, doubts = Server(), []
    server.fault = Refused(403, "Failed to set output, process is not running")
    stream = LogStream(LogQueue(tmp_path), server.take, lambda: doubts.append(True))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.run)
        stream.write("too late")
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert doubts == [True]
    assert stream.queue.oldest() is None
