"""What the node measures as Prometheus reads it. Imported when it is first asked for: its library is not needed before.

The names of `colonies_server_*` are the reference's (protocol/operations.md, section 6). No label holds anything that
belongs to a colony, because whoever reaches the page may read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from colonies_node import __version__
from colonies_node.core.broker.server import Stock
from colonies_node.core.pressure import Level, Sizes
from colonies_node.http.meter import BOUNDS, Histogram, Meter

if TYPE_CHECKING:
    from colonies_node.http.metrics import Gauge

GAUGES: Final = {
    "colonies": "colonies",
    "executors": "executors",
    "processes_waiting": "waitingprocesses",
    "processes_running": "runningprocesses",
    "processes_successful": "successfulprocesses",
    "processes_failed": "failedprocesses",
    "processes_cancelled": "cancelledprocesses",
    "workflows_waiting": "waitingworkflows",
    "workflows_running": "runningworkflows",
    "workflows_successful": "successfulworkflows",
    "workflows_failed": "failedworkflows",
    "workflows_cancelled": "cancelledworkflows",
}
"""Gauge, without `colonies_server_` → field of the server's statistics."""

_ENDS: Final = (*map(str, BOUNDS), "+Inf")


def render(
    meter: Meter, stock: Stock, sizes: Sizes, crowd: tuple[int, int], level: Level, device: Iterable[Gauge] = ()
) -> bytes:
    """The page. `crowd` is the executors that wait for work and the open websockets, `level` what the disk allows,
    `device` what the machine says.

    Made in a thread while the meter goes on: each number is right, though two may be of different moments.
    """
    registry = CollectorRegistry()
    registry.register(_Families(meter, stock, sizes, crowd, level))
    registry.register(_Device(device))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, meter: Meter, stock: Stock, sizes: Sizes, crowd: tuple[int, int], level: Level) -> None:
        self._meter = meter
        self._stock = stock
        self._sizes = sizes
        self._polling, self._subscribers = crowd
        self._level = level

    def describe(self) -> list[Metric]:
        """Nothing: all names come from here alone, none has to be checked against another collector's."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family, but those of the operating system's process."""
        stock, sizes = self._stock, self._sizes
        for name, field in GAUGES.items():
            text = f"Number of {' '.join(reversed(name.split('_')))}"
            yield _gauge(f"colonies_server_{name}", text, getattr(stock.statistics, field))
        yield _gauge("colonies_queue_ready", "Processes that wait for nothing but an executor", stock.ready)
        yield _gauge("colonies_queue_age_seconds", "Time since the oldest of these was submitted", stock.age)
        yield _gauge("colonies_executors_polling", "Executors that wait for work in a long poll", self._polling)
        yield _gauge("colonies_subscribers", "Connections on the websocket", self._subscribers)
        store = GaugeMetricFamily("colonies_store_bytes", "Size of the store: its file and its log", labels=["part"])
        store.add_metric(["file"], sizes.file)
        store.add_metric(["log"], sizes.log)
        yield store
        yield _gauge("colonies_store_free_bytes", "Free space on the disk of the store", sizes.free)
        yield _gauge("colonies_store_spare_bytes", "Free space inside the file of the store", sizes.spare)
        text = "What of new work is refused for want of room: 0 nothing, 1 that of a low priority, 2 all"
        yield _gauge("colonies_disk_pressure", text, self._level)
        text = "Processes that were deleted to make room; an upstream node has them"
        yield CounterMetricFamily("colonies_reclaimed_processes", text, value=self._meter.reclaimed)
        yield from _requests(self._meter)
        yield from _commits(self._meter)
        yield InfoMetricFamily("colonies_build", "The program", value={"version": __version__})


class _Device(Collector):
    def __init__(self, device: Iterable[Gauge]) -> None:
        self._device = device

    def describe(self) -> list[Metric]:
        """Nothing, as above."""
        return []

    def collect(self) -> Iterator[Metric]:
        """What is known of the machine."""
        for gauge in self._device:
            if gauge.value is not None:
                yield _gauge(gauge.name, gauge.text, gauge.value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _requests(meter: Meter) -> Iterator[Metric]:
    text = "Requests by message type and status; 499: the client hung up before it had its answer"
    requests = CounterMetricFamily("colonies_requests", text, labels=["msgtype", "status"])
    # To sort is to copy in one step: the meter may meet a new type meanwhile.
    for (msgtype, status), number in sorted(meter.requests.items()):
        requests.add_metric([msgtype, str(status)], number)
    yield requests
    text = "Time from a whole request to the end of its answer; that of assignprocessmsg is mostly waiting for work"
    latency = HistogramMetricFamily("colonies_request_seconds", text, labels=["msgtype"])
    for msgtype, histogram in sorted(meter.latency.items()):
        latency.add_metric([msgtype], *_told(histogram))
    yield latency


def _commits(meter: Meter) -> Iterator[Metric]:
    text = "Time of a commit, by kind: shared by many callers, or bulk for one long change"
    commits = HistogramMetricFamily("colonies_commit_seconds", text, labels=["kind"])
    for bulk, histogram in meter.commits.items():
        commits.add_metric(["bulk" if bulk else "shared"], *_told(histogram))
    yield commits
    yield CounterMetricFamily("colonies_changes", "Changes that were put on disk by commits", value=meter.changes)


def _told(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Buckets as Prometheus counts them, each with all below it, and the sum."""
    return list(zip(_ENDS, map(float, accumulate(histogram.counts)), strict=True)), histogram.total
