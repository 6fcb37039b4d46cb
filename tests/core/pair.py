"""Two nodes and the link between them, without event loop or network: letters go when the test carries them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec

from colonies_node.core.broker.call import Rules
from colonies_node.core.broker.sync import upstreams
from colonies_node.core.broker.sync.handout import Look
from colonies_node.core.broker.sync.upstreams import Wish
from colonies_node.core.model.sync import Item, Letter, SyncMessage, Upstream
from colonies_node.core.model.times import SECOND
from colonies_node.core.model.wire import decode, encode
from colonies_node.core.rules import parse
from colonies_node.core.store import links
from colonies_node.core.store.links import LinkRow
from colonies_node.core.store.sqlite import Store
from tests.core.colony import NAME, SERVER, USER, Colony, executor_id

WAITING, RUNNING, SUCCESS, FAILED, CANCELLED = range(5)
ROOM = 16 << 10


class Node(Colony):
    """A colony on a node of its own."""

    def __init__(self, folder: Path, name: str, **rules: Any) -> None:
        folder = folder / name
        folder.mkdir()
        self.name = name
        self.id = name.encode().hex().ljust(64, "f")
        super().__init__(
            folder, Rules(nodeid=self.id, **{"stale_executor_duration": 10**8, **rules}), durability="normal"
        )
        self.commit(links.begin_timeline)

    def copy(self) -> Path:
        """Make a backup."""
        place = self.store.path.with_name("copy.db")
        place.unlink(missing_ok=True)
        self.store._reader.execute("vacuum into ?", (str(place),)).fetchall()
        return place

    def restart(self, copy: Path | None = None) -> None:
        """End and start again, with a backup in the place of the store if there is one."""
        self.close()
        if copy is not None:
            shutil.copy(copy, self.store.path)
        self.store = Store(self.store.path.parent, lambda: self.now, "normal")
        self.commit(links.begin_timeline)

    def run(self, executor: str, *out: Any, log: str = "") -> str:
        """Take the next process as this executor and close it; its id."""
        process = self.take(executor)
        if log:
            self.call(executor_id(executor), "addlogmsg", processid=process, message=log)
        self.call(executor_id(executor), "closesuccessfulmsg", processid=process, out=list(out))
        return process

    def take(self, executor: str) -> str:
        """Take the next process as this executor; its id."""
        process = self.assign(executor_id(executor))
        assert process is not None, "there is work"
        return process.processid

    def state(self, processid: str) -> int:
        """The state of a process."""
        state: int = self.process(processid)["state"]
        return state

    def out(self, processid: str) -> Any:
        """The output of a process."""
        return self.process(processid)["out"]

    def logs(self, processid: str) -> list[str]:
        """What a process logged, in its order."""
        found = self.call(USER, "getlogsmsg", colonyname=NAME, processid=processid, count=100)
        return [entry["message"] for entry in found]

    def notes(self, processid: str) -> dict[str, str]:
        """The attributes of a process, by key."""
        return {one["key"]: one["value"] for one in self.process(processid)["attributes"]}

    def ids(self) -> set[str]:
        """All processes."""
        return {processid for (processid,) in self.rows("select processid from processes")}


class Pair:
    """Two nodes, of which the lower one has the upper as its upstream, set as `settings` say."""

    def __init__(self, lower: Node, upper: Node, **settings: Any) -> None:
        self.lower = lower
        self.upper = upper
        upper.hire(lower.name, "node")
        self.change(**settings)
        self.need: list[str] = []

    def change(self, **settings: Any) -> None:
        """Link them as `settings` say."""
        given = {
            "name": self.upper.name,
            "url": f"http://{self.upper.name}",
            "colonyname": NAME,
            "executorname": self.lower.name,
            "offload": ["missing"],
            **settings,
        }
        self.upstream = msgspec.convert(self.lower.call(SERVER, "addupstreammsg", upstream=given), Upstream)
        self.look = Look(tuple(parse(rule) for rule in self.upstream.offload or ()), self.upstream.window)

    @property
    def up(self) -> LinkRow:
        """The link as the lower node has it."""
        link = self.lower.store.read(lambda tx: links.upstream(tx, self.upper.name))
        assert link is not None, "added by this"
        return link

    @property
    def down(self) -> LinkRow:
        """The link as the upper node has it."""
        link = self.upper.store.read(lambda tx: links.named(tx, links.DOWN, NAME, self.lower.name))
        assert link is not None, "the lower node has written"
        return link

    def write(self, room: int = ROOM, history: int | None = None) -> SyncMessage:
        """The lower node's next letter."""
        wish = Wish(room, history, need=self.need)
        self.need = []
        letter: SyncMessage = self.lower.commit(
            lambda tx: upstreams.compose(tx, self.up, self.upstream, self.lower.id, self.look, wish)
        )
        return letter

    def deliver(self, letter: SyncMessage) -> Letter:
        """Bring a letter to the upper node; its answer."""
        fields = msgspec.to_builtins(letter)
        del fields["msgtype"]
        return decode(Letter, encode(self.upper.call(executor_id(self.lower.name), "syncmsg", **fields)))

    def hear(self, answer: Letter) -> None:
        """Bring an answer to the lower node."""
        answer = decode(Letter, encode(answer))
        self.need = self.lower.commit(lambda tx: upstreams.answered(tx, self.up, answer, self.lower.id))

    def exchange(self, **wish: Any) -> tuple[list[Item], list[Item]]:
        """One letter and its answer: what went up, what came down."""
        letter = self.write(**wish)
        answer = self.deliver(letter)
        self.hear(answer)
        return letter.items or [], answer.items or []

    def settle(self) -> None:
        """Exchange letters until neither node has anything to tell."""
        quiet = 0
        for _ in range(20):
            went, came = self.exchange()
            # After a loss one exchange tells of it, and the next makes up for it.
            quiet = 0 if went or came or self.need else quiet + 1
            if quiet == 2:
                return
        raise AssertionError(f"they do not come to an end: {went}, {came}, {self.need}")

    def tell(self, *items: Item, **fields: Any) -> Letter:
        """Bring the upper node a letter with just these items, as a lower node of another make might write it."""
        letter = self.write()
        return self.deliver(msgspec.structs.replace(letter, items=[*(letter.items or ()), *items], **fields))

    def later(self, seconds: float) -> None:
        """Let time pass on both nodes."""
        for node in (self.lower, self.upper):
            node.now += round(seconds * SECOND)
            node.fire()
