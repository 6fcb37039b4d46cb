"""A letter with anything in it, from a node that may be of another make, or broken: it is refused, or taken in as far
as it makes sense. It never stops the node, and never touches a process that the link has no part in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from colonies_node.core import limits
from colonies_node.core.broker.call import Call
from colonies_node.core.broker.sync import upstreams
from colonies_node.core.broker.table import TABLE
from colonies_node.core.errors import BadRequest, ColonyError, Conflict, Internal
from colonies_node.core.model.process import Attribute
from colonies_node.core.model.sync import Item, Letter, Line, Submitted, SyncMessage
from colonies_node.core.model.wire import Malformed, decode, encode
from colonies_node.core.store.transaction import Transaction
from tests.core.colony import SERVER, USER, executor_id
from tests.core.pair import Node, Pair
from tests.strategies import STRANGERS, fields

Path = tuple[str | int, ...]
EXTREMES = (2**63 - 1, -(2**63), 2, 3, 4, 5, "x" * 70_000, "0" * 64, "F" * 64, "offer", "revoke", "report", "history")
WITH_BEGINNING = (2, 4)
"""Of `items`, those whose process is not known: only there it is read."""
UNDONE = "this is only a try"

OTHER = "other"
"""A colony that the link has nothing to do with."""
OTHERS_OWNER, OTHERS_USER = "e" * 64, "d" * 64


@pytest.fixture
def pair(join: Callable[..., Pair]) -> Pair:
    """Each node has processes of its own, of both kinds that it shares, and records."""
    pair = join(accept=["cam"], record=True)
    for node in (pair.lower, pair.upper):
        node.hire("bob")
        node.submit(conditions={"executortype": "x"})
        node.submit()
        node.run("bob", 1, log="done")
        node.call(SERVER, "addcolonymsg", colony={"colonyid": OTHERS_OWNER, "name": OTHER})
        node.call(OTHERS_OWNER, "addusermsg", user={"colonyname": OTHER, "userid": OTHERS_USER, "name": "eve"})
        node.submit(OTHERS_USER, conditions={"colonyname": OTHER})
    pair.lower.submit(conditions={"executortype": "gpu"})
    pair.upper.submit(conditions={"executortype": "cam"})
    pair.lower.hire("cia", "cam")
    pair.settle()
    pair.lower.take("cia")
    return pair


def ids(node: Node) -> dict[str, str]:
    """The processes of a node by what the link has to do with them, or by their colony."""
    rows = node.rows("select role, colonyname, processes.processid from processes left join shares using (processid)")
    return {role or colonyname: processid for role, colonyname, processid in rows}


def items(known: dict[str, str]) -> list[dict[str, Any]]:
    """An item of each kind, with all that may be in it."""
    process = Submitted(waitleft=50, age=7)
    process.spec.conditions.executortype = "gpu"
    found = []
    for kind, processid, term in (
        ("report", known["given"], 1),
        ("report", known["taken"], 1),
        ("offer", "7" * 64, 1),
        ("offer", known["taken"], 2),
        ("history", "8" * 64, 0),
        ("history", known["heard"], 0),
        ("revoke", known["taken"], 3),
    ):
        attribute = Attribute(attributeid=f"{len(found)}".zfill(64), targetid=processid, key="k", attributetype=1)
        item = Item(
            kind=kind,
            processid=processid,
            term=term,
            state=2,
            attributes=[attribute],
            logs=[Line(position=1, message="x", timestamp=1)],
            process=process,
        )
        found.append(whole(item))
    return found


def whole(record: msgspec.Struct) -> Any:
    """A record as JSON has it, with every field."""
    shown = {}
    for field in msgspec.structs.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, msgspec.Struct):
            value = whole(value)
        elif isinstance(value, list):
            value = [whole(one) if isinstance(one, msgspec.Struct) else one for one in value]
        shown[field.encode_name] = value
    return shown


def places(record: type[msgspec.Struct], count: int) -> Iterator[Path]:
    """Every field of a letter and of what is in it."""
    yield from fields(record)
    for number in range(count):
        item = ("items", number)
        yield item
        for path in fields(Item):
            if number in WITH_BEGINNING or path[0] != "process" or len(path) == 1:
                yield (*item, *path)
        for name, inner in (("attributes", Attribute), ("logs", Line)):
            for path in fields(inner):
                yield (*item, name, 0, *path)


def with_value(message: Any, path: Path, value: Any) -> Any:
    """The message with another value in a place; of the items only the one that this is about."""
    match path:
        case ("items", int(number), *rest):
            message = message | {"items": [message["items"][number]]}
            path = ("items", 0, *rest)
    message = copy.deepcopy(message)
    target = message
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return message


def others(tx: Transaction) -> list[tuple[Any, ...]]:
    """What is over, or of another colony."""
    columns = "processid, state, away, origin, spec, input, out, errors, assignedexecutorid, endtime"
    return tx.all(f"select {columns} from processes where state > 1 or colonyname = '{OTHER}' order by seq")


def attempt(commit: Callable[[Any], Any], change: Callable[[Transaction], Any], note: object) -> bool:
    """Make a change and undo it; whether it was allowed."""

    def then(tx: Transaction) -> None:
        before = others(tx)
        encode(change(tx))
        after = others(tx)
        assert [row for row in after if row in before] == before, note
        raise Conflict(UNDONE)

    try:
        commit(then)
    except ColonyError as fault:
        assert not isinstance(fault, Internal), note
        return fault.message == UNDONE
    raise AssertionError("it was not undone")


def test_no_letter_from_below_breaks_the_node_or_touches_what_it_has_no_part_in(pair: Pair) -> None:
    known = ids(pair.upper)
    row = TABLE["syncmsg"]
    letter = whole(pair.write())
    letter |= {"msgtype": "syncmsg", "items": items(known), "room": 10_000, "batch": 9}
    taken = refused = 0
    for path in places(SyncMessage, len(letter["items"])):
        for value in (*STRANGERS, *EXTREMES, *known.values()):
            message = with_value(letter, path, value)
            try:
                record = row.read(encode(message)) if value != 10**400 else None
            except BadRequest:
                record = None
            if record is None:
                refused += 1
                continue
            call = Call(executor_id("low"), pair.upper.rules)
            taken += attempt(pair.upper.commit, lambda tx, r=record, c=call: row.run(tx, r, c), (path, value))
    assert taken > 1000 and refused > 1000


def test_no_answer_from_above_breaks_the_node_or_touches_what_it_has_no_part_in(pair: Pair) -> None:
    known = ids(pair.lower)
    known["heard"] = known["told"]
    answer = whole(pair.deliver(pair.write())) | {"items": items(known), "batch": 9}
    answer["offers"] = [whole(one) for one in pair.deliver(pair.write()).offers or ()]
    taken = refused = 0
    for path in places(Letter, len(answer["items"])):
        for value in (*STRANGERS, *EXTREMES, *known.values()):
            try:
                letter = decode(Letter, encode(with_value(answer, path, value))) if value != 10**400 else None
            except Malformed:
                letter = None
            if letter is None:
                refused += 1
                continue

            def hear(tx: Transaction, letter: Letter = letter) -> Any:
                return upstreams.answered(tx, pair.up, letter, pair.lower.id)

            taken += attempt(pair.lower.commit, hear, (path, value))
    assert taken > 1000 and refused > 1000


def test_a_letter_with_more_items_than_allowed_is_refused_whole(pair: Pair) -> None:
    before = pair.upper.dump()
    for field, value in (
        ("items", [Item(kind="revoke")] * (limits.MAX_LETTER_ITEMS + 1)),
        ("accept", ["cam"] * (limits.MAX_UPSTREAMS + 1)),
        ("node", "short"),
        ("timeline", ""),
    ):
        with pytest.raises(BadRequest, match="Failed to sync"):
            pair.deliver(msgspec.structs.replace(pair.write(), **{field: value}))
    assert pair.upper.dump() == before


def test_only_an_approved_executor_writes_letters(pair: Pair) -> None:
    letter = whole(pair.write())
    before = pair.upper.dump()
    for caller in (USER, "9" * 64):
        with pytest.raises(ColonyError) as refused:
            pair.upper.call(caller, "syncmsg", **{k: v for k, v in letter.items() if k != "msgtype"})
        assert refused.value.status == 403
    assert pair.upper.dump() == before
