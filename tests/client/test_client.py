"""The client of a colony, over real connections to a real server."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from colonies_node import Client
from colonies_node.client import watch
from colonies_node.client.client import Door
from colonies_node.client.errors import NotFinished, ProcessCancelled, ProcessFailed
from colonies_node.core import limits
from colonies_node.core.errors import LinkDown, Refused, SettingRefused, WrongServer
from tests.client.place import TYPE, Place, Worker
from tests.e2e.proxy import Proxy
from tests.node import ALICE, FAILED, SUCCESS, WAITING

DOORS = pytest.mark.parametrize("door", ["json", "cbor"])


@pytest.fixture
async def proxy(place: Place) -> AsyncIterator[Proxy]:
    """A line to the server that the test can cut."""
    proxy = Proxy(place.port, random.Random(1))
    proxy.bad = False
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.run)
        yield proxy
        nursery.cancel_scope.cancel()


class Asked:
    """Counts what a client asks the server."""

    def __init__(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times: list[str] = []
        call = client.wire.call

        async def counting(msgtype: str, /, **fields: Any) -> Any:
            self.times.append(msgtype)
            return await call(msgtype, **fields)

        monkeypatch.setattr(client.wire, "call", counting)


# -- one process


@DOORS
async def test_what_a_process_gives_is_a_plain_value(place: Place, worker: Worker, door: Door) -> None:
    async with place.client(door=door) as colony:
        for out, value in [((), None), ((5,), 5), (([1, 2],), [1, 2]), (("a", {"b": None}), ["a", {"b": None}])]:
            process = await colony.submit("f", type=TYPE)
            await worker.succeed(*out)
            assert await process.result() == value


async def test_options_say_all_that_a_function_spec_holds(place: Place) -> None:
    async with place.client() as colony:
        process = await colony.submit(
            "f",
            1,
            "two",
            type=TYPE,
            kwargs={"a": [1]},
            env={"X": "y"},
            executors=("worker",),
            location="attic",
            cpu="500m",
            mem="1Gi",
            priority=3,
            maxwaittime=60,
            maxexectime=61,
            maxretries=2,
            label="mine",
            channels=("talk",),
        )
        record = await process.get()
    spec = record.spec
    assert (record.state, record.ended, spec.funcname, spec.args, spec.kwargs) == (
        WAITING,
        False,
        "f",
        [1, "two"],
        {"a": [1]},
    )
    assert (spec.env, spec.priority, spec.label, spec.channels) == ({"X": "y"}, 3, "mine", ["talk"])
    assert (spec.maxwaittime, spec.maxexectime, spec.maxretries) == (60, 61, 2)
    where = spec.conditions
    assert (where.executornames, where.locationname, where.cpu, where.executortype) == (
        ["worker"],
        "attic",
        "500m",
        TYPE,
    )


async def test_what_is_no_option_or_no_json_is_said_before_anything_is_sent(place: Place) -> None:
    async with place.client() as colony:
        with pytest.raises(TypeError, match=r"there is no option 'second': .* kwargs="):
            await colony.submit("f", type=TYPE, second=1)  # type: ignore[call-arg]
        for odd in (object(), b"bytes", {1, 2}, float("nan")):
            with pytest.raises(TypeError, match="what f is given has no form in JSON"):
                await colony.submit("f", odd, type=TYPE)
        assert not await colony.call("getprocessesmsg", colonyname="lab", count=1, state=WAITING, executortype=TYPE)
        with pytest.raises(TypeError, match=r"an option of f is not right: .*priority"):
            await colony.submit("f", type=TYPE, priority="high")  # type: ignore[typeddict-item]


@DOORS
async def test_a_failure_is_an_error_with_the_errors_of_the_process(place: Place, worker: Worker, door: Door) -> None:
    async with place.client(door=door) as colony:
        process = await colony.submit("f", type=TYPE)
        await worker.fail("it broke", "badly")
        with pytest.raises(ProcessFailed) as failed:
            await process.result()
        record = await process.wait()
    assert failed.value.errors == ["it broke", "badly"]
    assert failed.value.message == "f failed: it broke; badly"
    assert record.state == FAILED


async def test_a_cancelled_process_has_no_result(place: Place) -> None:
    async with place.client() as colony:
        process = await colony.submit("f", type=TYPE)
        await process.cancel()
        with pytest.raises(ProcessCancelled, match="f was cancelled"):
            await process.result()


async def test_a_process_that_takes_too_long_is_told_so_and_goes_on(place: Place, worker: Worker) -> None:
    async with place.client() as colony:
        process = await colony.submit("f", type=TYPE)
        with pytest.raises(NotFinished, match=r"has not finished within 0\.1 s"):
            await process.wait(timeout=0.1)
        await worker.succeed(1)
        assert await process.result() == 1


async def test_an_unknown_process_is_refused(place: Place) -> None:
    async with place.client() as colony:
        with pytest.raises(Refused) as no:
            await colony.wait("f" * 64)
    assert no.value.status in (403, 404)


async def test_an_error_of_the_caller_comes_out_as_itself(place: Place) -> None:
    with pytest.raises(ZeroDivisionError):
        async with place.client() as colony:
            process = await colony.submit("f", type=TYPE)
            with trio.move_on_after(0.1):
                await process.wait()
            raise ZeroDivisionError


@DOORS
async def test_who_waits_asks_nothing_until_there_is_news(
    place: Place, worker: Worker, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.client(door=door) as colony:
        process = await colony.submit("f", type=TYPE)
        asked = Asked(colony, monkeypatch)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.wait)
            await listened(colony)
            asked.times.clear()
            await worker.succeed(1)
        assert asked.times == ["getprocessmsg"]


async def listened(colony: Client) -> None:
    """Return once the server tells the client of all that it waits for, and nothing else goes on."""
    while True:
        await trio.testing.wait_all_tasks_blocked(0.1)
        if any(line.connected and line.asked_for_all for line in colony.watch.lines):
            return


@DOORS
async def test_a_lost_line_is_waited_out(place: Place, worker: Worker, proxy: Proxy, door: Door) -> None:
    async with place.client(door=door, port=proxy.port, timeout=2.0) as colony, trio.open_nursery() as nursery:
        process = await colony.submit("f", type=TYPE)
        results: list[Any] = []

        async def wait() -> None:
            results.append(await process.result())

        nursery.start_soon(wait)
        await listened(colony)
        proxy.shut()
        await worker.succeed("done meanwhile")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert results == []
        proxy.open()
    assert results == ["done meanwhile"]


async def test_a_server_that_never_answered_is_no_lost_line(place: Place, proxy: Proxy) -> None:
    proxy.shut()
    async with place.client(door="json", port=proxy.port) as colony:
        with pytest.raises(LinkDown):
            await colony.wait("a" * 64)


async def test_without_websockets_it_asks_now_and_then(
    place: Place, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.client() as colony:

        def none() -> Any:
            raise LinkDown("no websocket here")

        monkeypatch.setattr(colony.wire, "listening", none)
        process = await colony.submit("f", type=TYPE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.succeed, 1)
            assert await process.result() == 1


@pytest.mark.parametrize(("has_cbor", "door"), [(True, "cbor"), (False, "json")])
async def test_the_door_is_cbor_where_the_server_has_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, has_cbor: bool, door: str
) -> None:
    async with place.client() as colony:

        async def found_out() -> bool:
            return has_cbor

        monkeypatch.setattr(colony.wire, "has_cbor", found_out)
        await colony.submit("f", type=TYPE)
        assert colony.wire.door == door


async def test_another_node_than_the_one_that_is_named_is_not_talked_to(place: Place) -> None:
    async with place.client(node_id="0" * 64) as colony:
        with pytest.raises(WrongServer):
            await colony.submit("f", type=TYPE)


async def test_a_client_is_used_inside_its_block(place: Place) -> None:
    colony = place.client()
    with pytest.raises(RuntimeError, match="inside `async with`"):
        await colony.submit("f", type=TYPE)


def test_what_is_not_given_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLONIES_CONFIG", "/dev/null")
    monkeypatch.setenv("COLONIES_SERVER_HOST", "there")
    monkeypatch.setenv("COLONIES_SERVER_PORT", "8080")
    monkeypatch.delenv("COLONIES_SERVER_HTTP_PORT", raising=False)
    monkeypatch.setenv("COLONIES_SERVER_TLS", "true")
    monkeypatch.delenv("COLONIES_TLS", raising=False)
    monkeypatch.setenv("COLONIES_COLONY_NAME", "lab")
    monkeypatch.setenv("COLONIES_PRVKEY", ALICE.key)
    colony = Client()
    assert (colony.wire.url, colony.colony) == ("https://there:8080", "lab")
    assert Client("http://[::1]:1").wire.url == "http://[::1]:1"
    with pytest.raises(SettingRefused, match="must be http://host:port"):
        Client("there")
    monkeypatch.delenv("COLONIES_PRVKEY")
    with pytest.raises(SettingRefused, match="set COLONIES_PRVKEY"):
        Client()


# -- many


@DOORS
async def test_a_map_gives_the_results_in_the_order_of_the_items(place: Place, worker: Worker, door: Door) -> None:
    async with place.client(door=door) as colony, trio.open_nursery() as nursery:
        nursery.start_soon(worker.echo, 45)
        found = [result async for result in colony.map("f", range(45), type=TYPE, at_once=10)]
    assert found == list(range(45))


async def test_a_map_takes_items_as_they_are_needed(place: Place, worker: Worker) -> None:
    drawn: list[int] = []

    def endless() -> Iterator[int]:
        n = 0
        while True:
            drawn.append(n)
            yield n
            n += 1

    async with place.client() as colony, trio.open_nursery() as nursery:
        nursery.start_soon(worker.echo, 30)
        results = colony.map("f", endless(), type=TYPE, at_once=8)
        for n in range(20):
            assert await anext(results) == n
            assert len(drawn) <= n + 1 + 8
        nursery.cancel_scope.cancel()


async def test_results_that_no_message_holds_together_come_in_several(
    place: Place, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [str(n) * 5_000 for n in range(8)]
    async with place.client(door="cbor") as colony:
        results = colony.map("f", words, type=TYPE)
        await results.add(results.draw())
        await worker.echo(8)
        monkeypatch.setattr(limits, "MAX_REPLY_BODY", 25_000)
        assert [result async for result in results] == words


async def test_an_item_that_cannot_be_submitted_ends_a_map_where_it_stands(place: Place, worker: Worker) -> None:
    async with place.client() as colony:
        results = colony.map("f", [1, b"2", 3], type=TYPE)
        with pytest.raises(TypeError, match="no form in JSON"):
            await anext(results)
        with pytest.raises(StopAsyncIteration):
            await anext(results)


async def test_the_first_failure_ends_a_map_and_cancels_what_is_behind_it(place: Place, worker: Worker) -> None:
    async with place.client() as colony, trio.open_nursery() as nursery:
        results = colony.map("f", range(10), type=TYPE, at_once=4)
        nursery.start_soon(worker.succeed, "first")
        assert await anext(results) == "first"
        nursery.start_soon(worker.fail, "no")
        with pytest.raises(ProcessFailed):
            await anext(results)
        with pytest.raises(StopAsyncIteration):
            await anext(results)
        waiting = await colony.call("getprocessesmsg", colonyname="lab", count=100, state=WAITING, executortype=TYPE)
        assert not waiting


async def test_a_map_may_give_failures_in_the_place_of_results(place: Place, worker: Worker) -> None:
    async with place.client() as colony, trio.open_nursery() as nursery:

        async def work() -> None:
            await worker.succeed(1)
            await worker.fail("no")
            await worker.succeed(3)

        nursery.start_soon(work)
        found = [result async for result in colony.map("f", "abc", type=TYPE, failures=True)]
    assert [result if isinstance(result, int) else result.errors for result in found] == [1, ["no"], 3]


async def test_more_can_be_waited_for_than_one_websocket_watches(
    place: Place, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MAX_WATCHED", 2)
    async with place.client() as colony, trio.open_nursery() as nursery:
        processes = [await colony.submit("f", n, type=TYPE) for n in range(5)]
        found: dict[int, Any] = {}

        async def wait(n: int) -> None:
            found[n] = await processes[n].result()

        for n in range(5):
            nursery.start_soon(wait, n)
        await listened(colony)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(colony.watch.lines) == 3
        nursery.start_soon(worker.echo, 5)
    assert found == {n: n for n in range(5)}


# -- workflows


@DOORS
async def test_a_workflow_runs_in_its_order_and_gives_results_by_name(place: Place, worker: Worker, door: Door) -> None:
    async with place.client(door=door) as colony, trio.open_nursery() as nursery:
        flow = colony.workflow()
        fetch = flow.add("fetch", "a", type=TYPE)
        again = flow.add("fetch", "b", type=TYPE)
        train = flow.add("train", "c", type=TYPE, name="learn", after=[fetch, again])
        await flow.submit()
        nursery.start_soon(worker.echo, 3)
        assert await flow.results() == {"fetch": "a", "fetch-2": "b", "learn": "c"}
        assert (await flow.get()).state == SUCCESS
        assert (await flow.processes())[train.name].spec.conditions.dependencies == ["fetch", "fetch-2"]
        assert await colony.workflow(flow.id).results() == await flow.results()


async def test_a_workflow_fails_with_the_error_of_the_node_that_failed(place: Place, worker: Worker) -> None:
    async with place.client() as colony, trio.open_nursery() as nursery:
        flow = colony.workflow()
        one = flow.add("one", type=TYPE)
        two = flow.add("two", type=TYPE, after=[one])
        flow.add("three", type=TYPE, after=[two])
        await flow.submit()

        async def work() -> None:
            await worker.succeed()
            await worker.fail("it broke")

        nursery.start_soon(work)
        with pytest.raises(ProcessFailed, match="two failed: it broke"):
            await flow.results()


async def test_a_cancelled_workflow_says_so(place: Place) -> None:
    async with place.client() as colony, trio.open_nursery() as nursery:
        flow = colony.workflow()
        flow.add("one", type=TYPE)
        await flow.submit()
        with pytest.raises(NotFinished):
            await flow.wait(timeout=0.1)
        nursery.start_soon(flow.cancel)
        with pytest.raises(ProcessCancelled):
            await flow.results()


async def test_a_workflow_is_built_before_it_is_submitted(place: Place) -> None:
    async with place.client() as colony:
        flow = colony.workflow()
        with pytest.raises(ValueError, match="has not been submitted"):
            await flow.get()
        node = flow.add("one", type=TYPE)
        with pytest.raises(ValueError, match="there is a node one already"):
            flow.add("two", type=TYPE, name="one")
        with pytest.raises(ValueError, match="one is no node of this workflow"):
            colony.workflow().add("two", type=TYPE, after=[node])
        await flow.submit()
        with pytest.raises(ValueError, match="has been submitted"):
            flow.add("two", type=TYPE)


# -- logs and channels


@DOORS
async def test_a_log_is_followed_until_the_process_has_ended(place: Place, worker: Worker, door: Door) -> None:
    async with place.client(door=door) as colony, trio.open_nursery() as nursery:
        process = await colony.submit("f", type=TYPE)
        assert [entry async for entry in process.logs(follow=False)] == []

        async def work() -> None:
            processid = await worker.take()
            for word in ("one", "two"):
                await worker.client.call("addlogmsg", processid=processid, message=word)
            await worker.succeed(process=processid)

        nursery.start_soon(work)
        assert [entry.message async for entry in process.logs()] == ["one", "two"]
        assert [entry.message async for entry in process.logs(follow=False)] == ["one", "two"]


@DOORS
async def test_both_parties_of_a_channel_hear_each_other_until_one_ends_it(
    place: Place, worker: Worker, door: Door
) -> None:
    async with place.client(door=door) as colony, trio.open_nursery() as nursery:
        process = await colony.submit("f", type=TYPE, channels=["talk"])
        channel = process.channel("talk")
        await channel.append("hello")
        number = await channel.append(b"\xff\x00", type="frame")

        async def work() -> None:
            processid = await worker.take()
            theirs = worker.client.channel(processid, "talk")
            heard = [message async for message in theirs]
            assert [(message.data, message.type) for message in heard] == [(b"hello", "data"), (b"\xff\x00", "frame")]
            await theirs.append("done", inreplyto=heard[-1].sequence)
            await theirs.end()

        nursery.start_soon(work)
        await channel.end()
        assert [(message.text, message.inreplyto) async for message in channel] == [("done", number)]
        mine = process.channel("talk", own=True)
        assert [message.text for message in [await anext(mine) for _ in range(2)]] == ["hello", "\ufffd\0"]


async def test_a_channel_ends_with_its_process(place: Place, worker: Worker) -> None:
    async with place.client() as colony, trio.open_nursery() as nursery:
        process = await colony.submit("f", type=TYPE, channels=["talk"])
        nursery.start_soon(worker.succeed, 1)
        assert [message async for message in process.channel("talk")] == []
        assert await process.result() == 1
        assert [message async for message in process.channel("talk")] == []


async def test_a_channel_that_there_is_not_is_refused(place: Place) -> None:
    async with place.client() as colony:
        process = await colony.submit("f", type=TYPE)
        with pytest.raises(Refused, match="Channel not found"):
            await anext(process.channel("talk"))


async def test_a_channel_goes_on_where_it_was_when_the_line_is_back(place: Place, worker: Worker, proxy: Proxy) -> None:
    async with place.client(port=proxy.port, timeout=5.0) as colony:
        process = await colony.submit("f", type=TYPE, channels=["talk"])
        theirs = worker.client.channel(await worker.take(), "talk")
        await theirs.append("one")
        channel = process.channel("talk")
        assert (await anext(channel)).text == "one"
        proxy.shut()
        await theirs.append("two")
        proxy.open()
        assert (await anext(channel)).text == "two"
        channel.close()
        with pytest.raises(StopAsyncIteration):
            await anext(channel)
