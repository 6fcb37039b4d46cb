"""The plain face of the client: the same methods, and the same results without trio."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio

from colonies_node import Client, SyncClient
from colonies_node.client import channel, logs, plain, process, results, workflow
from colonies_node.client.errors import NotFinished, ProcessFailed
from colonies_node.core.errors import Refused
from tests.client.place import TYPE, Place, Worker, working
from tests.node import ALICE

FACES = [
    (Client, SyncClient),
    (process.Process, plain.SyncProcess),
    (workflow.Workflow, plain.SyncWorkflow),
    (channel.Channel, plain.SyncChannel),
    (logs.Lines, plain.SyncLines),
    (results.Results, plain.SyncResults),
]
INSIDE = {Client: {"watch", "tend"}, results.Results: {"draw", "add", "take"}}
"""What the parts of the client need of each other, and no program."""

ASYNC = {"__aenter__": "__enter__", "__aexit__": "__exit__", "__aiter__": "__iter__", "__anext__": "__next__"}


def methods(face: type) -> dict[str, Any]:
    found = {name: member for name, member in vars(face).items() if callable(member) or isinstance(member, property)}
    own = {name: member for name, member in found.items() if not name.startswith("_") or name in ASYNC.values()}
    return own | {ASYNC[name]: member for name, member in found.items() if name in ASYNC}


@pytest.mark.parametrize(("face", "other"), FACES, ids=lambda face: face.__name__)
def test_both_faces_have_the_same_methods_with_the_same_parameters(face: type, other: type) -> None:
    ours = {name: member for name, member in methods(face).items() if name not in INSIDE.get(face, ())}
    theirs = methods(other)
    assert set(ours) == set(theirs) - ({"id"} if face is workflow.Workflow else set())
    for name, member in ours.items():
        same = [signature(member), signature(theirs[name])]
        assert same[0] == same[1], name
        if name not in ASYNC.values():
            assert theirs[name].__doc__.startswith(f"As {face.__name__}.{name}.")


def test_both_faces_are_made_of_the_same() -> None:
    assert signature(Client.__init__) == signature(SyncClient.__init__)


def signature(member: Any) -> list[tuple[str, Any, Any, str]]:
    """Parameters and result of a method, the names of the faces being one."""
    assert not isinstance(member, property)
    shown = inspect.signature(member)
    parameters = [(p.name, p.kind, p.default, str(p.annotation)) for p in shown.parameters.values()]
    parameters.append(("returns", None, None, str(shown.return_annotation)))
    return [(name, kind, default, said.replace("Sync", "")) for name, kind, default, said in parameters]


def test_every_method_says_what_it_gives() -> None:
    for pair in FACES:
        for face in pair:
            found = {name: member for name, member in methods(face).items() if name not in ASYNC.values()}
            assert [name for name, member in found.items() if not member.__doc__] == []
            assert [name for name, member in found.items() if "return" not in hints(member)] == []


def hints(member: Any) -> dict[str, Any]:
    return (member.fget if isinstance(member, property) else member).__annotations__  # type: ignore[no-any-return]


@contextmanager
def at_work(place: Place, task: Any, *args: Any) -> Iterator[None]:
    """A worker in a thread of its own, which does one thing meanwhile."""

    async def work() -> None:
        async with working(place) as worker:
            await task(worker, *args)

    thread = threading.Thread(target=trio.run, args=(work,))
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def colony(server: Place) -> Iterator[SyncClient]:
    trio.run(server.clear)
    with SyncClient(server.url, colony="lab", prvkey=ALICE.key) as colony:
        yield colony


def test_a_process_runs_and_gives_its_result(server: Place, colony: SyncClient) -> None:
    with at_work(server, Worker.succeed, 5):
        submitted = colony.submit("f", type=TYPE)
        assert submitted.result(timeout=20) == 5
    assert colony.get(submitted).ended
    assert [entry.message for entry in submitted.logs()] == []


def test_an_error_is_raised_where_the_call_was_made(server: Place, colony: SyncClient) -> None:
    with at_work(server, Worker.fail, "it broke"), pytest.raises(ProcessFailed, match="it broke"):
        colony.run("f", type=TYPE, timeout=20)
    with pytest.raises(Refused):
        colony.get("f" * 64)
    with pytest.raises(NotFinished):
        colony.submit("f", type=TYPE).wait(timeout=0.05)


def test_a_map_takes_its_items_in_the_thread_of_its_caller(server: Place, colony: SyncClient) -> None:
    threads = set()

    def items() -> Iterator[int]:
        for n in range(10):
            threads.add(threading.current_thread())
            yield n

    with at_work(server, Worker.echo, 10):
        assert list(colony.map("f", items(), type=TYPE, at_once=4)) == list(range(10))
    assert threads == {threading.current_thread()}


def test_a_workflow_is_built_and_run(server: Place, colony: SyncClient) -> None:
    flow = colony.workflow()
    one = flow.add("one", 1, type=TYPE)
    flow.add("two", 2, type=TYPE, after=[one])
    with at_work(server, Worker.echo, 2):
        assert len(flow.submit()) == 64
        assert flow.results(timeout=20) == {"one": 1, "two": 2}
    assert set(flow.processes()) == {"one", "two"}


def test_a_channel_is_heard(server: Place, colony: SyncClient) -> None:
    async def shout(worker: Worker) -> None:
        processid = await worker.take()
        theirs = worker.client.channel(processid, "talk")
        async for message in theirs:
            await theirs.append(message.text.upper())
        await theirs.end()

    with at_work(server, shout):
        ours = colony.submit("f", type=TYPE, channels=["talk"]).channel("talk")
        ours.append("hello")
        assert next(ours).text == "HELLO"
        ours.end()
        assert list(ours) == []
        ours.close()


def test_a_client_that_is_closed_says_so(server: Place) -> None:
    with SyncClient(server.url, colony="lab", prvkey=ALICE.key) as colony:
        waiting = colony.submit("f", type=TYPE)
        faults: list[BaseException] = []

        def wait() -> None:
            try:
                waiting.wait()
            except RuntimeError as fault:
                faults.append(fault)

        thread = threading.Thread(target=wait)
        thread.start()
        colony.get(waiting)
    thread.join(30)
    assert [str(fault) for fault in faults] in (["the client was closed"], ["a SyncClient is used inside `with`"])
    with pytest.raises(RuntimeError, match="inside `with`"):
        colony.get(waiting)
