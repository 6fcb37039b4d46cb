"""The messages of a node's owner about upstreams: what is stored, what is told, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from colonies_node.core.broker.call import Rules
from colonies_node.core.broker.sync import upstreams
from colonies_node.core.errors import BadRequest, Conflict, Denied
from colonies_node.core.events import LinkChanged, ProcessChanged
from colonies_node.core.model.sync import Upstream
from colonies_node.core.model.times import SECOND
from tests.core.colony import NAME, OWNER, SERVER, USER, Colony
from tests.core.pair import FAILED, RUNNING, SUCCESS, WAITING, Pair


@pytest.fixture
def colony(tmp_path: Path) -> Colony:
    return Colony(tmp_path, Rules(nodeid="7" * 64))


def upstream(**more: Any) -> dict[str, Any]:
    return {"name": "base", "url": "http://base", "colonyname": "dev", **more}


def test_the_owner_of_the_node_is_told_who_the_node_is_to_others(colony: Colony) -> None:
    colony.call(SERVER, "addupstreammsg", upstream=upstream())
    (one,) = colony.call(SERVER, "getupstreamsmsg")
    assert (one["ownid"], one["nodeid"]) == ("7" * 64, "")


def test_only_the_owner_of_the_node_links_it(colony: Colony) -> None:
    with pytest.raises(Denied):
        colony.call(OWNER, "addupstreammsg", upstream=upstream())
    assert colony.call(SERVER, "getupstreamsmsg") == []


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"name": ""}, "An upstream needs a name"),
        ({"keyfile": "e" * 64}, "must be the whole path of a key file"),
        ({"keyfile": "pi.key"}, "must be the whole path of a key file"),
    ],
)
def test_an_upstream_without_a_name_or_with_a_key_is_refused(colony: Colony, more: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says) as refusal:
        colony.call(SERVER, "addupstreammsg", upstream=upstream(**more))
    assert "e" * 64 not in refusal.value.message
    assert colony.call(SERVER, "getupstreamsmsg") == []


# -- the end of a link ------------------------------------------------------------------------------------------------


def given(pair: Pair) -> dict[str, str]:
    """A process that waits above, one that runs there, one that ended there, and one from there; by what they are."""
    pair.upper.hire("ann", "gpu")
    found = {what: pair.lower.submit(conditions={"executortype": "gpu"}) for what in ("ended", "running", "waiting")}
    found["taken"] = pair.upper.submit(conditions={"executortype": "cam"})
    pair.settle()
    assert pair.upper.run("ann", 1) == found["ended"]
    assert pair.upper.take("ann") == found["running"]
    pair.settle()
    assert [pair.lower.state(found[what]) for what in ("ended", "running", "waiting")] == [SUCCESS, RUNNING, WAITING]
    return found


def test_a_link_over_which_work_is_shared_is_not_removed_unasked(join: Callable[..., Pair]) -> None:
    pair = join(accept=["cam"])
    given(pair)
    before = pair.lower.dump()
    with pytest.raises(Conflict, match="2 processes are at high and 1 of its run here"):
        pair.lower.call(SERVER, "removeupstreammsg", name="high")
    assert pair.lower.dump() == before


def test_what_an_upstream_has_waits_here_again_when_it_is_removed_by_force(join: Callable[..., Pair]) -> None:
    """Whoever waits for work is told, and what ended stays as it is."""
    pair = join(accept=["cam"])
    pair.lower.hire("bob", "gpu")
    found = given_by_rule(pair)
    pair.lower.call(SERVER, "removeupstreammsg", name="high", force=True)
    told = {
        event.process.processid: event.process.state
        for event in pair.lower.events
        if isinstance(event, ProcessChanged) and not event.process.away
    }
    assert told == {found["running"]: WAITING, found["waiting"]: WAITING}
    assert LinkChanged("high") in pair.lower.events
    assert pair.lower.state(found["ended"]) == SUCCESS
    assert {pair.lower.take("bob"), pair.lower.take("bob")} == {found["running"], found["waiting"]}
    assert (pair.lower.call(SERVER, "getupstreamsmsg"), pair.lower.rows("select * from shares")) == ([], [])


def given_by_rule(pair: Pair) -> dict[str, str]:
    """As `given`, of what could run here too."""
    pair.change(offload=["type == 'gpu'"], accept=["cam"])
    return given(pair)


def test_what_came_from_an_upstream_goes_on_here_when_that_is_removed_by_force(join: Callable[..., Pair]) -> None:
    pair = join(accept=["cam"])
    pair.lower.hire("cia", "cam")
    processid = given(pair)["taken"]
    pair.lower.call(SERVER, "removeupstreammsg", name="high", force=True)
    assert pair.lower.run("cia", "x") == processid
    assert pair.lower.out(processid) == ["x"]


def test_the_deadline_of_what_comes_back_by_force_holds_again(join: Callable[..., Pair]) -> None:
    pair = join()
    processid = pair.lower.submit(conditions={"executortype": "gpu"}, maxwaittime=100)
    pair.exchange()
    pair.lower.call(SERVER, "removeupstreammsg", name="high", force=True)
    pair.lower.now += 101 * SECOND
    assert 0 < pair.lower.alarm <= pair.lower.now
    pair.lower.fire()
    assert pair.lower.state(processid) == FAILED


def test_a_workflow_goes_on_with_what_comes_back_by_force(join: Callable[..., Pair]) -> None:
    pair = join(offload=["type == 'gpu'"])
    for node in (pair.lower, pair.upper):
        node.hire("ann", "gpu")
    nodes = [
        {"nodename": name, "funcname": "f", "conditions": {"executortype": "gpu", "dependencies": after}}
        for name, after in (("a", []), ("b", ["a"]))
    ]
    graph = pair.lower.call(USER, "submitworkflowspecmsg", spec={"colonyname": NAME, "functionspecs": nodes})
    pair.settle()
    pair.upper.take("ann")
    pair.settle()
    pair.lower.call(SERVER, "removeupstreammsg", name="high", force=True)
    assert [pair.lower.run("ann", name) for name in ("a", "b")] == graph["processids"]
    assert pair.lower.call(USER, "getprocessgraphmsg", processgraphid=graph["processgraphid"])["state"] == SUCCESS


# -- what a file says -------------------------------------------------------------------------------------------------


def say(colony: Colony, *names: str, source: str = "node.toml") -> dict[str, tuple[bool, str, str]]:
    """Start with a file that has these upstreams; the upstreams then: whether they are paused, their source, a note."""
    told = [msgspec.convert(upstream(name=name), Upstream) for name in names]
    colony.commit(lambda tx: upstreams.put_all(tx, told, source))
    found = colony.call(SERVER, "getupstreamsmsg")
    return {one["upstream"]["name"]: (one["paused"], one["source"], one["note"]) for one in found}


def test_an_upstream_that_left_the_file_is_paused_and_says_why(colony: Colony) -> None:
    say(colony, "a", "b")
    note = "it is not in node.toml any more, and so is paused"
    assert say(colony, "b") == {"a": (True, "node.toml", note), "b": (False, "node.toml", "")}


def test_an_upstream_that_is_in_the_file_again_goes_on(colony: Colony) -> None:
    say(colony, "a", "b")
    say(colony, "b")
    assert say(colony, "a", "b") == dict.fromkeys(("a", "b"), (False, "node.toml", ""))


def test_what_its_owner_paused_stays_so_whatever_the_file_says(colony: Colony) -> None:
    say(colony, "a")
    colony.call(SERVER, "pauseupstreammsg", name="a")
    assert say(colony, "a") == {"a": (True, "node.toml", "")}


def test_an_upstream_that_left_the_file_can_be_resumed(colony: Colony) -> None:
    say(colony, "a")
    say(colony)
    colony.call(SERVER, "resumeupstreammsg", name="a")
    (one,) = colony.call(SERVER, "getupstreamsmsg")
    assert (one["paused"], one["note"]) == (False, "")


def test_an_upstream_that_no_file_has_named_is_left_as_it_is(colony: Colony) -> None:
    colony.call(SERVER, "addupstreammsg", upstream=upstream(name="hand"))
    say(colony, "other", source="other.toml")
    found = say(colony, "a")
    assert (found["hand"], found["other"]) == ((False, "", ""), (False, "other.toml", ""))


def test_a_file_that_says_the_same_again_changes_nothing_stored(colony: Colony) -> None:
    say(colony, "a", "b")
    before = colony.dump()
    say(colony, "a", "b")
    assert colony.dump() == before


def test_a_file_that_cannot_be_followed_changes_nothing(colony: Colony) -> None:
    """It names an upstream of another colony."""
    say(colony, "a")
    before = colony.dump()
    told = [msgspec.convert(upstream(name=name, colonyname=of), Upstream) for name, of in (("b", NAME), ("a", "else"))]
    with pytest.raises(Conflict, match="There is an upstream a for colony dev: remove it first"):
        colony.commit(lambda tx: upstreams.put_all(tx, told, "node.toml"))
    assert colony.dump() == before
