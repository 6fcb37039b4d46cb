"""/metrics: what Prometheus reads of a node, and that reading it tells no secrets and costs little."""

from __future__ import annotations

import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock

from colonies_node.core import limits
from colonies_node.core.broker.table import TABLE
from colonies_node.core.errors import StoreError
from colonies_node.core.pressure import Sizes
from colonies_node.core.store.transaction import Transaction
from colonies_node.http.exposition import GAUGES
from colonies_node.http.json_door import JsonDoor
from colonies_node.http.metrics import Gauge, Metrics
from tests.cli.shell import PATIENCE_S, program
from tests.conftest import ROOT
from tests.lab import Lab
from tests.node import ALICE, SERVER, STRANGER, Answer, Exchange, request, settle

REFERENCE = {
    "colonies_server_colonies",
    "colonies_server_executors",
    *(f"colonies_server_processes_{state}" for state in ("waiting", "running", "successful", "failed")),
    *(f"colonies_server_workflows_{state}" for state in ("waiting", "running", "successful", "failed")),
}
"""The gauges of the reference's monitor (protocol/operations.md, section 6)."""

SPEC: Any = {"funcname": "f", "conditions": {"colonyname": "lab", "executortype": "worker"}}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """(name, labels) → value, as Prometheus' own parser reads the page."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Monitor:
    """Whoever reads the metrics of a node."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    async def ask(self, metrics: Metrics | None = None) -> Answer:
        """The answer of now, or that of an app which has answered before."""
        exchange = Exchange(b"", "GET", "/metrics")
        await exchange.run(metrics or Metrics(self.lab.node.service))
        assert exchange.answer is not None
        return exchange.answer

    async def look(self) -> Samples:
        """What the page shows now."""
        answer = await self.ask()
        assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        return samples(answer.body.decode())

    async def see(self, name: str, **labels: str) -> float | None:
        """One value of the page; None if it is not there."""
        return (await self.look()).get((name, frozenset(labels.items())))


@pytest.fixture
def monitor(lab: Lab) -> Monitor:
    return Monitor(lab)


async def test_the_gauges_of_the_reference_say_what_is_there(monitor: Monitor) -> None:
    lab = monitor.lab
    ann = await lab.join("ann")
    await lab.run(ann)
    await lab.submit()
    await lab.submit()
    await lab.assign(ann)
    node = {"nodename": "a", "funcname": "f", "conditions": {"executortype": "worker"}}
    await lab.node.call(ALICE, "submitworkflowspecmsg", spec={"colonyname": "lab", "functionspecs": [node]})
    seen = {name: value for (name, _), value in (await monitor.look()).items() if name.startswith("colonies_server_")}
    assert REFERENCE <= seen.keys() == {f"colonies_server_{name}" for name in GAUGES}
    assert {name.removeprefix("colonies_server_"): value for name, value in seen.items() if value} == {
        "colonies": 1,
        "executors": 1,
        "processes_waiting": 2,
        "processes_running": 1,
        "processes_successful": 1,
        "workflows_waiting": 1,
    }


async def test_they_are_those_of_the_statistics_message(monitor: Monitor) -> None:
    ann = await monitor.lab.join("ann")
    await monitor.lab.run(ann)
    await monitor.lab.submit()
    told = await monitor.lab.node.call(SERVER, "getstatisticsmsg")
    seen = await monitor.look()
    assert {field: seen[f"colonies_server_{name}", frozenset()] for name, field in GAUGES.items()} == {
        field: told[field] for field in GAUGES.values()
    }


async def test_requests_are_counted_by_type_and_status(monitor: Monitor) -> None:
    before = await monitor.look()
    await monitor.lab.submit()
    await monitor.lab.submit()
    await monitor.lab.node.ask(STRANGER, "getprocessesmsg", colonyname="lab", count=1, state=0)
    await monitor.lab.node.ask(STRANGER, "inventedmsg")
    await monitor.lab.node.post(b"no envelope")
    counted = {
        (labels["msgtype"], labels["status"]): value - before.get((name, pairs), 0)
        for (name, pairs), value in (await monitor.look()).items()
        if name == "colonies_requests_total" and (labels := dict(pairs))
    }
    assert {what: number for what, number in counted.items() if number} == {
        ("submitfuncspecmsg", "200"): 2,
        ("getprocessesmsg", "403"): 1,
        ("unknown", "403"): 1,
        ("unknown", "400"): 1,
    }


async def test_a_request_takes_as_long_as_it_waits(monitor: Monitor, mock_clock: MockClock) -> None:
    ann = await monitor.lab.join("ann")
    polling = await monitor.lab.poll(ann, timeout=30)
    assert await monitor.see("colonies_executors_polling") == 1
    mock_clock.jump(7)
    await monitor.lab.submit()
    await polling.done.wait()
    seen = await monitor.look()
    assert seen["colonies_executors_polling", frozenset()] == 0
    assert seen["colonies_request_seconds_sum", frozenset({("msgtype", "assignprocessmsg")})] == 7
    buckets = {
        dict(labels)["le"]: value
        for (name, labels), value in seen.items()
        if name == "colonies_request_seconds_bucket" and ("msgtype", "assignprocessmsg") in labels
    }
    assert [end for end, value in buckets.items() if value] == ["10.0", "60.0", "+Inf"]


@pytest.mark.parametrize(("timeout", "status"), [(-1, "404"), (1, "404"), (60, "499")])
async def test_polls_that_end_without_work_are_counted_as_what_they_are(
    monitor: Monitor, mock_clock: MockClock, timeout: int, status: str
) -> None:
    ann = await monitor.lab.join("ann")
    polling = await monitor.lab.poll(ann, timeout=timeout)
    if timeout == 60:
        polling.hang_up()
    else:
        mock_clock.jump(2)
    await polling.done.wait()
    assert await monitor.see("colonies_requests_total", msgtype="assignprocessmsg", status=status) == 1


async def test_a_request_that_never_came_whole_has_no_latency(monitor: Monitor) -> None:
    exchange = Exchange(b"", headers=())
    exchange.hang_up()
    await exchange._told.receive()
    await exchange.run(monitor.lab.node.door)
    seen = await monitor.look()
    assert seen["colonies_requests_total", frozenset({("msgtype", "unknown"), ("status", "499")})] == 1
    assert ("colonies_request_seconds_count", frozenset({("msgtype", "unknown")})) not in seen


async def test_commits_are_counted_with_the_changes_that_share_them(monitor: Monitor) -> None:
    async def numbers() -> tuple[float, float, float]:
        seen = await monitor.look()
        commits = (seen["colonies_commit_seconds_count", frozenset({("kind", kind)})] for kind in ("shared", "bulk"))
        return (*commits, seen["colonies_changes_total", frozenset()])

    shared, bulk, changes = await numbers()
    exchanges = [await monitor.lab.node.begin(ALICE, "submitfuncspecmsg", spec=SPEC) for _ in range(3)]
    for exchange in exchanges:
        await exchange.done.wait()
    owner = monitor.lab.owner
    await monitor.lab.node.call(owner, "removeallprocessesmsg", colonyname="lab", state=-1)
    later = await numbers()
    assert later[1:] == (bulk + 1, changes + 4)
    assert shared < later[0] <= shared + 3


async def test_the_queue_is_as_old_as_the_oldest_process_that_could_be_taken(
    monitor: Monitor, mock_clock: MockClock
) -> None:
    lab = monitor.lab
    assert await monitor.see("colonies_queue_age_seconds") == 0
    ann = await lab.join("ann")
    await lab.submit()
    mock_clock.jump(100)
    await lab.submit(priority=5)
    seen = await monitor.look()
    assert (seen["colonies_queue_ready", frozenset()], seen["colonies_queue_age_seconds", frozenset()]) == (2, 100)
    for _ in range(2):
        await lab.close(ann, await lab.assign(ann))
    after = {"executortype": "worker", "dependencies": ["a"]}
    nodes = [SPEC | {"nodename": "a"}, SPEC | {"nodename": "b", "conditions": after}]
    await lab.node.call(ALICE, "submitworkflowspecmsg", spec={"colonyname": "lab", "functionspecs": nodes})
    assert await monitor.see("colonies_queue_ready") == 1, "the child waits for its parent"


async def test_open_websockets_are_counted(monitor: Monitor) -> None:
    node = monitor.lab.node
    assert await monitor.see("colonies_subscribers") == 0
    listeners = [await node.open() for _ in range(3)]
    assert await monitor.see("colonies_subscribers") == 3
    await listeners[0].hang_up()
    assert await monitor.see("colonies_subscribers") == 2


async def test_the_store_and_the_process_have_sizes(monitor: Monitor) -> None:
    seen = await monitor.look()
    path = monitor.lab.node.store.path
    assert seen["colonies_store_bytes", frozenset({("part", "file")})] == path.stat().st_size
    assert seen["colonies_store_bytes", frozenset({("part", "log")})] > 0
    assert seen["colonies_store_free_bytes", frozenset()] > 0
    assert seen["process_resident_memory_bytes", frozenset()] > 1e7
    assert seen["process_cpu_seconds_total", frozenset()] > 0


async def test_the_machine_is_told_as_it_is_at_each_look_and_what_is_not_known_is_not(
    monitor: Monitor, mock_clock: MockClock
) -> None:
    heats = iter((41.5, 42))

    def device() -> Iterator[Gauge]:
        yield Gauge("colonies_device_temperature_celsius", "How hot it is", next(heats))
        yield Gauge("colonies_device_charging", "Whether it is", False)
        yield Gauge("colonies_device_battery_percent", "How full it is", None)

    metrics = Metrics(monitor.lab.node.service, device=device)
    for heat in (41.5, 42):
        page = (await monitor.ask(metrics)).body.decode()
        seen = {name: value for (name, _), value in samples(page).items() if "device" in name}
        assert seen == {"colonies_device_temperature_celsius": heat, "colonies_device_charging": 0}
        assert "battery" not in page
        mock_clock.jump(limits.METRICS_KEPT_S)


async def test_nothing_of_a_colony_is_on_the_page_and_its_labels_are_bounded(monitor: Monitor) -> None:
    lab = Lab(monitor.lab.node, "secretcolony", ALICE, STRANGER)
    await lab.found()
    executor = await lab.join("secretexecutor", "secrettype")
    await lab.submit(conditions={"executortype": "secrettype"}, funcname="secretfunction", label="secretlabel")
    await lab.assign(executor)
    for number in range(20):
        await lab.node.ask(STRANGER, f"secret{number}msg")
    page = (await monitor.ask()).body.decode()
    assert "secret" not in page
    for party in (lab.owner, lab.user, executor):
        assert party.id not in page
    labels = {
        (key, value) for (name, pairs) in samples(page) if name.startswith("colonies_requests") for key, value in pairs
    }
    assert {value for key, value in labels if key == "msgtype"} <= TABLE.keys() | {"unknown"}


async def test_the_manual_names_every_metric(monitor: Monitor) -> None:
    manual = (ROOT / "docs" / "serve.md").read_text()
    named = set(re.findall(r"`([a-z_]+)(…?)`", manual))
    page = (await monitor.ask()).body.decode()
    for family in text_string_to_metric_families(page):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert (name, "") in named or any(name.startswith(part) for part, more in named if more), name


async def test_who_asks_again_at_once_gets_the_same_page(monitor: Monitor, mock_clock: MockClock) -> None:
    metrics = Metrics(monitor.lab.node.service)
    first = await monitor.ask(metrics)
    await monitor.lab.submit()
    assert (await monitor.ask(metrics)).body == first.body
    mock_clock.jump(limits.METRICS_KEPT_S)
    assert (await monitor.ask(metrics)).body != first.body


async def test_the_node_answers_while_somebody_looks(monitor: Monitor) -> None:
    """The look is made in a thread: here it lasts until the node has answered somebody else."""
    service = monitor.lab.node.service
    answered = threading.Event()
    size = service.store.size

    def slow(tx: Transaction) -> Sizes:
        assert answered.wait(PATIENCE_S)
        return size(tx)

    service.store.size = slow  # type: ignore[method-assign]
    exchange = Exchange(b"", "GET", "/metrics")
    monitor.lab.node.nursery.start_soon(exchange.run, Metrics(service))
    await settle()
    await monitor.lab.submit()
    assert not exchange.done.is_set()
    answered.set()
    await exchange.done.wait()
    assert exchange.answer is not None and exchange.answer.status == 200


async def test_a_store_that_cannot_be_read_is_told(monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise StoreError("the store failed: of a test")

    monkeypatch.setattr(monitor.lab.node.store, "read", fail)
    answer = await monitor.ask()
    assert (answer.status, answer.body) == (500, b"the store failed: of a test")


async def test_all_other_paths_are_served_by_the_rest(monitor: Monitor) -> None:
    node = monitor.lab.node
    node.door = JsonDoor(node.service, Metrics(node.service))
    assert (await node.post(b"", method="GET", path="/metrics")).status == 200
    assert (await node.post(b"", method="POST", path="/metrics")).status == 404
    assert (await node.post(b"", method="GET", path="/metrics/")).status == 404
    assert (await node.post(request(ALICE, "versionmsg"))).status == 200
    assert (await node.post(b"", method="GET", path="/health")).status == 200


@pytest.mark.parametrize("where", ["true", "false", "apart"])
def test_a_server_shows_them_where_it_is_told_to(tmp_path: Path, where: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        there = f"127.0.0.1:{taken.getsockname()[1]}"
    options = ("--data", str(tmp_path / "data"), "--port", "0", "--metrics", there if where == "apart" else where)
    with program("serve", *options, stderr=tmp_path / "log") as child:
        assert child.stdout is not None
        url = child.stdout.readline().split(" on ")[1].split(",")[0]
        with httpx2.Client() as client:
            page = client.get(f"{url}/metrics")
            assert page.status_code == (200 if where == "true" else 404)
            if where == "apart":
                page = client.get(f"http://{there}/metrics")
                assert client.post(f"http://{there}/api", content=b"{}").status_code == 404
                assert client.get(f"http://{there}/health").status_code == 404
        if where != "false":
            seen = samples(page.text)
            assert seen["colonies_server_colonies", frozenset()] == 0
            assert seen["colonies_device_memory_bytes", frozenset()] > 1 << 26
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE_S) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_place_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        there = f"127.0.0.1:{taken.getsockname()[1]}"
        options = ("--data", str(tmp_path / "data"), "--port", "0", "--metrics", there)
        with program("serve", *options, stderr=tmp_path / "log") as child:
            assert child.wait(PATIENCE_S) == 1
    assert f"Error: cannot listen on {there}" in (tmp_path / "log").read_text()
