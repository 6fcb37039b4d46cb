"""A colony in a store of its own, whose clock only the test moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from colonies_node.core import timers
from colonies_node.core.broker import access, work
from colonies_node.core.broker.call import DONE, Call, Rules
from colonies_node.core.broker.table import TABLE
from colonies_node.core.events import Event, Waiter
from colonies_node.core.model.quantities import memory_bytes, millicores
from colonies_node.core.model.times import SECOND
from colonies_node.core.model.wire import decode, encode
from colonies_node.core.pressure import Pressure
from colonies_node.core.store import members
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.sqlite import Store
from colonies_node.core.store.transaction import Change, Transaction

START = 1_800_000_000 * SECOND
"""When the tests' time begins, Unix nanoseconds."""

NAME = "dev"
SERVER, OWNER, USER, STRANGER = ("5" * 64, "c" * 64, "a" * 64, "9" * 64)


def executor_id(name: str) -> str:
    """The id of the executor with this name: nobody signs anything here."""
    return name.encode().hex().ljust(64, "0")


class Colony:
    """The broker's functions as the doors use them: rights first, everything in one commit.

    `events` is what the last commit told, `alarm` when the node would look at its deadlines next (0 for never).
    """

    def __init__(self, folder: Path, rules: Rules | None = None, **store: Any) -> None:
        self.now = START
        self.rules = rules or Rules(stale_executor_duration=10**8)
        self.events: list[Event] = []
        self.alarm = 0
        self.store = Store(folder, lambda: self.now, **store)
        self.sweeps = timers.Sweeps(started=self.now)
        self.heard: dict[str, int] = {}
        self.pressure = Pressure()
        self.commit(lambda tx: members.set_server_id(tx, SERVER))
        self.call(SERVER, "addcolonymsg", colony={"colonyid": OWNER, "name": NAME})
        self.call(OWNER, "addusermsg", user={"colonyname": NAME, "userid": USER, "name": "eva"})

    def commit(self, change: Change) -> Any:
        """Make one change; raises what it raised."""
        (outcome,) = self.store.commit([change])
        self.events = outcome.events
        if outcome.error is not None:
            raise outcome.error
        if self.store.alarm and (not self.alarm or self.store.alarm < self.alarm):
            self.alarm = self.store.alarm
        return outcome.value

    def call(self, caller: str, msgtype: str, **message: Any) -> Any:
        """Send a message as `caller`; the decoded reply. Raises ColonyError."""
        row = TABLE[msgtype]
        record = decode(row.record, encode({"msgtype": msgtype, **message}))
        if row.check is not None:
            row.check(record)

        def decide(tx: Transaction) -> Any:
            call = Call(caller, self.rules, self.heard, pressure=self.pressure)
            reply = row.run(tx, record, call)
            return None if reply is DONE else msgspec.json.decode(encode(reply))

        return self.commit(decide)

    def hire(self, name: str, executortype: str = "cli", locationname: str = "", approve: bool = True) -> str:
        """Add an executor and approve it; its id."""
        executor = {
            "executorid": executor_id(name),
            "executorname": name,
            "executortype": executortype,
            "colonyname": NAME,
            "locationname": locationname,
        }
        self.call(OWNER, "addexecutormsg", executor=executor)
        if approve:
            self.call(OWNER, "approveexecutormsg", colonyname=NAME, executorname=name)
        return executor_id(name)

    def submit(self, caller: str = USER, **spec: Any) -> str:
        """Submit a function spec; the id of its process."""
        given = {"executortype": "cli", "colonyname": NAME, **spec.pop("conditions", {})}
        process = self.call(caller, "submitfuncspecmsg", spec={"funcname": "f", "conditions": given, **spec})
        processid: str = process["processid"]
        return processid

    def assign(self, caller: str, cpu: str = "", mem: str = "", gpu: int | None = None) -> ProcessRow | None:
        """One attempt to get work, as http/service.py makes it; None when there is none or the colony is paused."""

        def take(tx: Transaction) -> ProcessRow | None:
            call = Call(caller, self.rules, self.heard)
            access.require_member(tx, call, NAME)
            if call.executor is None or members.paused(tx, NAME):
                return None
            waiter = Waiter(
                colonyname=NAME,
                executortype=call.executor.executortype,
                executorname=call.executor.executorname,
                executorid=caller,
                locationname=call.executor.locationname,
                cpu=millicores(cpu) if cpu else None,
                mem=memory_bytes(mem) if mem else None,
                gpu=gpu,
            )
            return work.assign(tx, waiter)

        taken: ProcessRow | None = self.commit(take)
        return taken

    def fire(self) -> int:
        """Do what is due now; the next instant."""
        self.alarm = self.commit(lambda tx: timers.fire(tx, self.rules, self.sweeps, self.heard, self.pressure))
        return self.alarm

    def next_due(self) -> int:
        """When something is due, by the store."""
        return self.store.read(lambda tx: timers.next_due(tx, self.rules, self.sweeps, self.heard, self.pressure))

    def process(self, processid: str) -> Any:
        """A process as its colony's members see it."""
        return self.call(USER, "getprocessmsg", processid=processid)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What is committed."""
        return self.store.read(lambda tx: tx.all(query))

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that is committed, by table."""
        tables = self.rows("select name from sqlite_schema where type = 'table' and name not like 'sqlite%'")
        return {name: self.rows(f"select * from {name} order by 1, 2") for (name,) in tables}

    def close(self) -> None:
        """Close the store."""
        self.store.close()
