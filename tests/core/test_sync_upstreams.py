"""Which nodes can be linked, and what a link says of itself."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from colonies_node.core.errors import Conflict
from tests.core.colony import NAME, OWNER, SERVER, executor_id
from tests.core.pair import Pair

Join = Callable[..., Pair]


def test_a_node_that_is_its_own_upstream_is_refused_with_a_sentence(join: Join) -> None:
    pair = join()
    pair.settle()
    before = pair.lower.dump(), pair.upper.dump()
    letter = pair.write()
    with pytest.raises(Conflict, match="a node cannot be its own upstream"):
        pair.deliver(msgspec.structs.replace(letter, node=pair.upper.id))
    answer = pair.deliver(letter)
    with pytest.raises(Conflict, match="This upstream is the node itself"):
        pair.hear(msgspec.structs.replace(answer, node=pair.lower.id))
    after = pair.lower.dump(), pair.upper.dump()
    for now, then in zip(after, before, strict=True):
        assert [name for name in now if now[name] != then[name]] == ["links"]


def test_links_that_close_a_circle_are_refused_with_a_sentence(join: Join) -> None:
    first, second = join("a", "b"), join("b", "c")
    second.settle()
    first.settle()
    third = join("c", "a")
    processid = third.lower.submit(conditions={"executortype": "gpu"})
    letter = third.write()
    answer = third.deliver(letter)
    before = third.lower.dump()
    with pytest.raises(Conflict, match="the links would close a circle"):
        third.hear(answer)
    assert third.lower.dump() == before
    assert third.lower.state(processid) == 0


def test_a_node_tells_who_is_above_it(join: Join) -> None:
    first, second = join("a", "b"), join("b", "c")
    second.exchange()
    answer = first.deliver(first.write())
    assert answer.ancestors == [first.upper.id, second.upper.id]


def test_a_node_tells_what_can_be_run_above_it(join: Join) -> None:
    first, second = join("a", "b"), join("b", "c")
    second.upper.hire("ann", "gpu")
    first.upper.hire("bob", "cam")
    second.exchange()
    answer = first.deliver(first.write())
    assert {(one.executortype, one.executorname) for one in answer.offers or ()} == {
        ("cam", "bob"),
        ("gpu", "ann"),
        ("node", "a"),
        ("node", "b"),
    }


def test_what_can_be_run_above_is_told_when_it_has_changed_and_not_again(join: Join) -> None:
    pair = join()
    assert pair.deliver(pair.write()).offers is not None
    pair.exchange()
    assert pair.deliver(pair.write()).offers is None
    pair.upper.hire("ann", "gpu")
    assert pair.deliver(pair.write()).offers is not None
    pair.exchange()
    pair.upper.call(OWNER, "removeexecutormsg", colonyname=NAME, executorname="ann")
    offers = pair.deliver(pair.write()).offers
    assert offers is not None and [one.executorname for one in offers] == ["low"]


def test_another_node_at_the_address_of_the_upstream_is_told_everything_anew(join: Join) -> None:
    """The machine was replaced, and the new one knows nothing."""
    pair = join(record=True)
    pair.lower.hire("bob")
    done = pair.lower.submit()
    pair.lower.run("bob", "x")
    away = pair.lower.submit(conditions={"executortype": "gpu"})
    pair.settle()
    other = join("other", "new")
    other.upper.hire("low", "node")
    pair.upper, name = other.upper, pair.upper.name
    other.upper.name = name
    pair.settle()
    assert pair.upper.ids() == {done, away}
    assert pair.up.nodeid == pair.upper.id


def test_another_lower_node_under_the_same_key_is_given_what_the_first_one_had(join: Join) -> None:
    """The device was replaced, with its key."""
    pair = join(accept=["cam"])
    processid = pair.upper.submit(conditions={"executortype": "cam"})
    pair.settle()
    other = join("new", "other")
    other.lower.name = pair.lower.name
    again = Pair.__new__(Pair)
    again.__dict__.update(pair.__dict__, lower=other.lower)
    again.change(accept=["cam"])
    other.lower.hire("bob", "cam")
    again.settle()
    assert again.lower.run("bob", "x") == processid
    again.settle()
    assert again.upper.out(processid) == ["x"]


def test_a_link_says_what_waits_and_what_is_away(join: Join) -> None:
    pair = join(accept=["cam"])
    pair.lower.submit(conditions={"executortype": "gpu"})
    pair.upper.submit(conditions={"executortype": "cam"})
    pair.exchange()

    def status() -> tuple[int, int, int]:
        (one,) = pair.lower.call(SERVER, "getupstreamsmsg")
        return one["waiting"], one["away"], one["taken"]

    pair.settle()
    assert status() == (0, 1, 1)
    pair.lower.hire("bob", "cam")
    pair.lower.run("bob", "x")
    assert status() == (1, 1, 0)
    pair.settle()
    assert status() == (0, 1, 0)


def test_a_link_that_is_set_anew_keeps_what_it_knows(join: Join) -> None:
    pair = join()
    pair.lower.submit(conditions={"executortype": "gpu"})
    pair.settle()
    before = pair.up
    pair.change(window=7)
    assert (pair.up.seq, pair.up.confirmed, pair.up.batch) == (before.seq, before.confirmed, before.batch)
    assert pair.exchange() == ([], [])


def test_who_may_not_write_is_told_so_and_nothing_is_lost(join: Join) -> None:
    pair = join()
    pair.upper.call(OWNER, "rejectexecutormsg", colonyname=NAME, executorname="low")
    processid = pair.lower.submit(conditions={"executortype": "gpu"})
    letter = pair.write()
    with pytest.raises(Exception, match="denied") as refused:
        pair.deliver(letter)
    assert getattr(refused.value, "status", 0) == 403
    pair.upper.call(OWNER, "approveexecutormsg", colonyname=NAME, executorname="low")
    pair.settle()
    assert pair.upper.ids() == {processid}
    assert pair.upper.rows("select executorid from links") == [(executor_id("low"),)]
