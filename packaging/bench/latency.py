"""How long an executor that waits has to wait."""

from __future__ import annotations

import select
import statistics
import time

from figures import Figure, Reading
from load import BenchFailed, Connection
from stage import Stage
from wire import process_in

PARKED = 0.01  # seconds without a reply after which the long poll surely waits


def submit_to_assigned_ms(stage: Stage) -> Reading:
    count = stage.amounts.latencies
    with stage.node(executors=1) as node:
        colony, (executor,) = node.colony, node.colony.executors
        waiting, submitting = Connection(node.server.address), Connection(node.server.address)
        assign, took = colony.assign(executor), []
        for request in colony.submits(count):
            waiting.send(assign)
            if select.select([waiting], [], [], PARKED)[0]:
                raise BenchFailed("The node answered a long poll although nothing was submitted.")
            began = time.perf_counter()
            submitting.send(request)
            while (reply := waiting.receive()) is None:
                pass
            took.append((time.perf_counter() - began) * 1000)
            while submitting.receive() is None:
                pass
            waiting.ask(colony.close(executor, process_in(reply)))
        waiting.close()
        submitting.close()
    worst = sorted(took)[int(len(took) * 0.95)]
    return Reading(statistics.median(took), f"median of {count}; 95 % within {worst:.1f} ms")


FIGURES = (
    Figure("submit_to_assigned_ms", 4.0, "from submit until a waiting executor has it, ms", submit_to_assigned_ms),
)
