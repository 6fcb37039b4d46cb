"""Files as the broker keeps them: revisions, labels and snapshots against a model, and what a reply may hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonies_node.core import limits
from colonies_node.core.broker import files as broker
from colonies_node.core.errors import BadRequest, Internal, NotFound, Rejected
from colonies_node.core.model import messages as m
from colonies_node.core.model.wire import encode
from tests.core.colony import NAME, USER, Colony
from tests.core.test_store_plans import steps_of

OF = {"colonyname": NAME}
LABELS = ("/a", "/a/b", "/a/b/c", "/ab", "/a!", "/a/", "/A", "/é")
NAMES = ("f", "g", "h")


@pytest.fixture
def colony(tmp_path: Path) -> Iterator[Colony]:
    colony = Colony(tmp_path)
    yield colony
    colony.close()


def add(colony: Colony, label: str, name: str, **more: Any) -> str:
    file = {**OF, "label": label, "name": name, **more}
    fileid: str = colony.call(USER, "addfilemsg", file=file)["fileid"]
    return fileid


def fill(colony: Colony, number: int, label: str = "'/a'", name: str = "'f'", ref: str = "'{}'") -> None:
    """Store so many revisions at once; `i` counts them in the SQL expressions."""
    colony.commit(
        lambda tx: tx.run(
            f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {number})"
            " insert into files (fileid, colonyname, label, name, size, checksum, checksumalg, ref, added)"
            f" select lower(hex(randomblob(32))), '{NAME}', {label}, {name}, 1, '', '', {ref}, 1 from n"
        )
    )


# -- against a model --------------------------------------------------------------------------------------------------

files = st.tuples(st.sampled_from(LABELS), st.sampled_from(NAMES))
steps = st.one_of(
    st.tuples(st.just("add"), files),
    st.tuples(st.just("add"), files),
    st.tuples(st.just("remove one"), st.integers(0, 30)),
    st.tuples(st.just("remove"), files),
    st.tuples(st.just("snapshot"), st.sampled_from(LABELS)),
    st.tuples(st.just("remove snapshot"), st.integers(0, 5)),
)


class Model:
    """What a colony should know: (label, name) → ids of its revisions, oldest first; snapshot → its ids."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], list[str]] = {}
        self.snapshots: dict[str, list[str]] = {}

    def labels(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for (label, _), revisions in self.files.items():
            found[label] = found.get(label, 0) + len(revisions)
        return found

    def forget(self, fileid: str) -> None:
        for key, revisions in list(self.files.items()):
            if fileid in revisions:
                revisions.remove(fileid)
            if not revisions:
                del self.files[key]

    def below(self, label: str) -> list[str]:
        """What a snapshot of the label has, by label and name."""
        if label not in self.labels():
            return []
        return [
            revisions[-1]
            for (of, _), revisions in sorted(self.files.items())
            if of == label or of.startswith(label + "/")
        ]


@settings(max_examples=60, deadline=None)
@given(history=st.lists(steps, max_size=40))
def test_a_colony_knows_of_its_files_what_a_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, Any]]
) -> None:
    colony = Colony(tmp_path_factory.mktemp("colony"))
    model = Model()
    added: list[str] = []
    try:
        for number, (step, what) in enumerate(history):
            if step == "add":
                added.append(add(colony, *what, ref={"s3object": {"object": str(number)}}))
                model.files.setdefault(what, []).append(added[-1])
            elif step == "remove one" and added:
                fileid = added[what % len(added)]
                colony.call(USER, "removefilemsg", **OF, fileid=fileid)
                model.forget(fileid)
            elif step == "remove":
                colony.call(USER, "removefilemsg", **OF, label=what[0], name=what[1])
                model.files.pop(what, None)
            elif step == "snapshot":
                name = f"s{number}"
                colony.call(USER, "createsnapshotmsg", **OF, label=what, name=name)
                model.snapshots[name] = model.below(what.removesuffix("/"))
            elif step == "remove snapshot" and model.snapshots:
                name = sorted(model.snapshots)[what % len(model.snapshots)]
                colony.call(USER, "removesnapshotmsg", **OF, name=name)
                del model.snapshots[name]
            colony.now += 1
        agree(colony, model)
    finally:
        colony.close()


def agree(colony: Colony, model: Model) -> None:
    """Every question about files is answered as the model would."""
    ask = colony.call
    labels = model.labels()

    def told(name: str, exact: bool) -> dict[str, int]:
        found = ask(USER, "getfilelabelsmsg", **OF, name=name, exact=exact)
        assert found == sorted(found, key=lambda label: str(label["name"]))
        return {label["name"]: label["files"] for label in found}

    assert told("", False) == labels
    for label in LABELS:
        assert told(label, False) == {name: count for name, count in labels.items() if name.startswith(label)}
        below = {name: count for name, count in labels.items() if name == label or name.startswith(label + "/")}
        assert told(label, True) == (below if label in labels else {})
        current = ask(USER, "getfilesmsg", **OF, label=label)
        assert [file["name"] for file in current] == sorted(name for of, name in model.files if of == label)
        for name in NAMES:
            revisions = model.files.get((label, name), [])[::-1]
            one = {**OF, "label": label, "name": name}
            if not revisions:
                with pytest.raises(NotFound, match="Failed to get file"):
                    ask(USER, "getfilemsg", **one)
                continue
            found = ask(USER, "getfilemsg", **one)
            assert [file["fileid"] for file in found] == revisions
            assert ask(USER, "getfilemsg", **one, latest=True) == found[:1]
            shown = next(file for file in current if file["name"] == name)
            assert shown["s3filename"] == found[0]["ref"]["s3object"]["object"]
    snapshots = ask(USER, "getsnapshotsmsg", **OF)
    assert [snapshot["name"] for snapshot in snapshots] == sorted(model.snapshots, key=lambda name: -int(name[1:]))
    assert {snapshot["name"]: snapshot["fileids"] or [] for snapshot in snapshots} == model.snapshots


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_a_list_that_no_reply_can_hold_is_refused_not_cut(colony: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who syncs or removes by a list that misses some does harm."""
    for label, name in (("/a", "f"), ("/a", "f"), ("/a", "g"), ("/b", "f")):
        add(colony, label, name)
    for name in ("s1", "s2"):
        colony.call(USER, "createsnapshotmsg", **OF, label="/a", name=name)
    asked: tuple[tuple[str, dict[str, Any]], ...] = (
        ("getfilemsg", {"label": "/a", "name": "f"}),
        ("getfilesmsg", {"label": "/a"}),
        ("getfilelabelsmsg", {"name": ""}),
        ("getfilelabelsmsg", {"name": "/"}),
        ("getsnapshotsmsg", {}),
    )
    for msgtype, fields in asked:
        reply = colony.call(USER, msgtype, **OF, **fields)
        assert len(reply) > 1
        size = sum(len(encode(one)) for one in reply)
        with monkeypatch.context() as patch:
            patch.setattr(limits, "MAX_REPLY", size)
            assert colony.call(USER, msgtype, **OF, **fields) == reply
            patch.setattr(limits, "MAX_REPLY", size - 1)
            with pytest.raises(BadRequest, match=r"^Failed to get .*, more than 0 MiB to tell: "):
                colony.call(USER, msgtype, **OF, **fields)


def test_a_refused_list_costs_no_more_when_the_rest_of_it_is_longer(
    colony: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_REPLY", 10_000)
    fill(colony, 500)
    fill(colony, 500, label="'/l/' || i")
    fill(colony, 500, label="'/n'", name="'f' || i")

    def cost(msgtype: str, **fields: Any) -> int:
        def ask() -> None:
            with pytest.raises(Rejected, match="to tell"):
                colony.call(USER, msgtype, **OF, **fields)

        return steps_of(colony.store._writer, ask)

    asked = (
        ("getfilemsg", {"label": "/a", "name": "f"}),
        ("getfilesmsg", {"label": "/n"}),
        ("getfilelabelsmsg", {"name": "/l"}),
    )
    before = [cost(msgtype, **fields) for msgtype, fields in asked]
    fill(colony, 5_000)
    fill(colony, 5_000, label="'/l/' || (1000 + i)")
    fill(colony, 5_000, label="'/n'", name="'g' || i")
    after = [cost(msgtype, **fields) for msgtype, fields in asked]
    assert all(0 < late <= 1.1 * early for early, late in zip(before, after, strict=True)), (before, after)


def test_the_latest_of_a_file_and_a_new_one_cost_the_same_behind_many(colony: Colony) -> None:
    def cost() -> list[int]:
        one = {**OF, "label": "/a", "name": "f"}
        return [
            steps_of(colony.store._writer, lambda: colony.call(USER, "getfilemsg", **one, latest=True)),
            steps_of(colony.store._writer, lambda: add(colony, "/a", "f")),
        ]

    fill(colony, 10)
    before = cost()
    fill(colony, 5_000)
    fill(colony, 5_000, label="'/b'")
    assert all(late <= 1.1 * early for early, late in zip(before, cost(), strict=True))


def test_a_snapshot_reads_ids_of_its_own_label_and_no_more_than_it_may_hold(
    colony: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_SNAPSHOT", 100)
    numbers = iter(range(100))

    def take(label: str) -> Any:
        return colony.call(USER, "createsnapshotmsg", **OF, label=label, name=f"s{next(numbers)}")

    fill(colony, 60, name="'f' || i")
    fill(colony, 40, label="'/a/' || i")
    assert len(take("/a")["fileids"]) == 100
    fits = steps_of(colony.store._writer, lambda: take("/a"))
    fill(colony, 5_000, label="'/ab'", name="'f' || i")
    fill(colony, 5_000, label="'/'", name="'f' || i")
    assert steps_of(colony.store._writer, lambda: take("/a")) <= 1.1 * fits
    fill(colony, 5_000, label="'/a/' || (1000 + i)")

    def refused() -> None:
        with pytest.raises(BadRequest, match=r"^A snapshot must have at most 100 files, /a has more$"):
            take("/a")

    assert steps_of(colony.store._writer, refused) <= 1.1 * fits


def test_a_snapshot_has_a_name_of_its_own(colony: Colony) -> None:
    colony.call(USER, "createsnapshotmsg", **OF, label="/a", name="s")
    before = colony.dump()
    with pytest.raises(BadRequest, match="Failed to create snapshot, it has no name"):
        colony.call(USER, "createsnapshotmsg", **OF, label="/a", name="")
    with pytest.raises(Internal, match="already exists"):
        colony.call(USER, "createsnapshotmsg", **OF, label="/b", name="s")
    assert colony.dump() == before


def test_what_may_touch_many_revisions_is_not_done_between_other_requests() -> None:
    assert broker.wants_all(m.GetFile(label="/a", name="f"))
    assert broker.wants_all(m.RemoveFile(label="/a", name="f"))
    assert not broker.wants_all(m.GetFile(label="/a", name="f", latest=True))
    assert not broker.wants_all(m.GetFile(fileid="1"))
    assert not broker.wants_all(m.RemoveFile(fileid="1"))
