"""A colony in memory that answers the executor's messages as core.md says, records them, and can be cut off."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import Any

import trio

from colonies_node.core.errors import LinkDown, Refused

EXECUTOR_ID = "e" * 64
OWNER_ID = "0" * 64
ZERO_TIME = "0001-01-01T00:00:00Z"
WAITING, RUNNING, SUCCESS, FAILED, CANCELLED = range(5)


def process_id(word: str) -> str:
    """An id as real ones look."""
    return hashlib.sha3_256(word.encode()).hexdigest()


class Colony:
    """One colony with any number of executors. `down` makes every call end as on a cut link."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.down = False
        self.lose_answers = False
        self.executors: dict[str, dict[str, Any]] = {}
        self.functions: list[dict[str, Any]] = []
        self.processes: dict[str, dict[str, Any]] = {}
        self.logs: list[tuple[str, str]] = []
        self.refusals: dict[str, Refused] = {}
        self._queue: deque[str] = deque()
        self._changed = trio.Event()

    def caller(self, callerid: str) -> Caller:
        """A client under a key."""
        return Caller(self, callerid)

    def submit(self, word: str, funcname: str, *args: Any, **spec: Any) -> str:
        """Put a process in the queue."""
        processid = process_id(word)
        self.processes[processid] = {
            "processid": processid,
            "state": WAITING,
            "assignedexecutorid": "",
            "starttime": ZERO_TIME,
            "out": [],
            "errors": [],
            "spec": {"funcname": funcname, "args": list(args), "kwargs": {}, "env": {}, "maxexectime": -1, **spec},
        }
        self._queue.append(processid)
        self.change()
        return processid

    def give_to(self, processid: str, executorid: str) -> dict[str, Any]:
        """Assign a process."""
        self._queue = deque(one for one in self._queue if one != processid)
        process = self.processes[processid]
        process.update(state=RUNNING, assignedexecutorid=executorid)
        self.change()
        return process

    def log_of(self, processid: str) -> str:
        """All that was logged for a process."""
        return "".join(message for owner, message in self.logs if owner == processid)

    def count(self, msgtype: str) -> int:
        """How often a message came."""
        return sum(1 for called, _ in self.calls if called == msgtype)

    def change(self) -> None:
        """Wake whoever waits for something to happen here."""
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, processid: str, state: int) -> dict[str, Any]:
        """Wait until a process has a state."""
        while self.processes[processid]["state"] != state:
            await self._changed.wait()
        return self.processes[processid]

    async def until_logged(self, processid: str, words: str) -> None:
        """Wait until the log of a process holds the words."""
        while words not in self.log_of(processid):
            await self._changed.wait()

    async def until_called(self, msgtype: str, times: int = 1) -> None:
        """Wait until a message has come so many times."""
        while self.count(msgtype) < times:
            await self._changed.wait()

    async def answer(self, callerid: str, msgtype: str, fields: dict[str, Any]) -> Any:
        """What the server says."""
        self.calls.append((msgtype, fields))
        self.change()
        if msgtype in self.refusals:
            raise self.refusals[msgtype]
        if msgtype not in ("addexecutormsg", "approveexecutormsg"):
            self._member(callerid, any_state=msgtype == "getexecutorsmsg")
        elif callerid != OWNER_ID:
            raise Refused(403, "Access denied, not colony owner")
        done = await getattr(self, msgtype.removesuffix("msg"))(callerid, **fields)
        self.change()
        return done

    def _member(self, callerid: str, *, any_state: bool) -> None:
        executor = self.executors.get(callerid)
        if executor is None or not (any_state or executor["state"] == 1):
            raise Refused(403, "Access denied, not a member of Colony with name <lab>")

    async def addexecutor(self, callerid: str, executor: dict[str, Any]) -> Any:
        if any(known["executorname"] == executor["executorname"] for known in self.executors.values()):
            raise Refused(400, f"Executor with name <{executor['executorname']}> in Colony <lab> already exists")
        self.executors[executor["executorid"]] = {**executor, "state": 0}
        return self.executors[executor["executorid"]]

    async def approveexecutor(self, callerid: str, colonyname: str, executorname: str) -> Any:
        for executor in self.executors.values():
            if executor["executorname"] == executorname:
                executor["state"] = 1
        return {}

    async def updateexecutor(self, callerid: str, colonyname: str, executorname: str, capabilities: Any) -> Any:
        if self.executors[callerid]["executorname"] != executorname:
            raise Refused(400, "Only an executor can update its own capabilities")
        self.executors[callerid]["capabilities"] = capabilities
        return {}

    async def reportallocation(self, callerid: str, colonyname: str, executorname: str, allocations: Any) -> Any:
        self.executors[callerid]["allocations"] = allocations
        return {}

    async def getexecutors(self, callerid: str, colonyname: str) -> Any:
        return list(self.executors.values()) or None

    async def getfunctions(self, callerid: str, colonyname: str, executorname: str) -> Any:
        return [fun for fun in self.functions if fun["executorname"] == executorname] or None

    async def addfunction(self, callerid: str, fun: dict[str, Any]) -> Any:
        self.functions.append({**fun, "functionid": f"{len(self.calls):064x}"})
        return self.functions[-1]

    async def removefunction(self, callerid: str, functionid: str) -> Any:
        self.functions = [fun for fun in self.functions if fun["functionid"] != functionid]
        return {}

    async def getprocesshist(self, callerid: str, colonyname: str, executorid: str, seconds: int, state: int) -> Any:
        found = [
            process
            for process in self.processes.values()
            if process["state"] == state and process["assignedexecutorid"] == executorid
        ]
        return [dict(process) for process in found] or None

    async def assignprocess(
        self, callerid: str, colonyname: str, timeout: int, availablecpu: str, availablemem: str, availablegpu: int = 0
    ) -> Any:
        with trio.move_on_after(timeout):
            while not self._queue:
                await self._changed.wait()
        if not self._queue:
            raise Refused(404, "No process available for assignment")
        process = dict(self.give_to(self._queue[0], callerid))
        if self.lose_answers:
            self.down = True
            raise LinkDown("cut")
        return process

    async def getprocess(self, callerid: str, processid: str) -> Any:
        if processid not in self.processes:
            raise Refused(404, "Failed to get process, process not found")
        return dict(self.processes[processid])

    async def addlog(self, callerid: str, processid: str, message: str) -> Any:
        self._held(callerid, processid, "add log")
        self.logs.append((processid, message))
        return {}

    async def closesuccessful(self, callerid: str, processid: str, out: list[Any]) -> Any:
        self._held(callerid, processid, "close process as successful")
        self.processes[processid].update(state=SUCCESS, out=out)
        return {}

    async def closefailed(self, callerid: str, processid: str, errors: list[str]) -> Any:
        self._held(callerid, processid, "close process as failed")
        self.processes[processid].update(state=FAILED, errors=errors)
        return {}

    def _held(self, callerid: str, processid: str, what: str) -> None:
        process = self.processes.get(processid)
        if process is None:
            raise Refused(500, f"Failed to {what}, process is nil")
        if process["assignedexecutorid"] != callerid:
            raise Refused(403, f"Failed to {what}, not allowed to {what}")
        if process["state"] != RUNNING:
            state = ("waiting", "", "successful", "failed", "cancelled")[process["state"]]
            raise Refused(400, f"Tried to set {state} process as something else")


class Caller:
    """What `http.client.Client` is to the executor."""

    def __init__(self, colony: Colony, callerid: str) -> None:
        self.colony, self.callerid = colony, callerid

    async def call(self, msgtype: str, /, *, _timeout: float | None = None, **fields: Any) -> Any:
        """Ask the colony, over a link that may be cut before the question or before the answer."""
        await trio.lowlevel.checkpoint()
        if self.colony.down:
            raise LinkDown("cut")
        answer = await self.colony.answer(self.callerid, msgtype, fields)
        await trio.lowlevel.checkpoint()
        if self.colony.down:
            raise LinkDown("cut")
        return answer
