"""Generators: every packed argument reaches exactly one workflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonies_node.core.errors import BadRequest
from colonies_node.core.model.times import SECOND
from tests.core.colony import NAME, USER, Colony


@pytest.fixture
def colony(tmp_path: Path) -> Iterator[Colony]:
    colony = Colony(tmp_path)
    yield colony
    colony.close()


def workflow(**more: Any) -> str:
    nodes = [
        {"nodename": name, "funcname": "f", "args": ["own"], "kwargs": {"k": 1}, "conditions": conditions, **more}
        for name, conditions in (
            ("root", {"executortype": "cli"}),
            ("leaf", {"executortype": "cli", "dependencies": ["root"]}),
        )
    ]
    return json.dumps({"colonyname": "another", "functionspecs": nodes})


def add(colony: Colony, **more: Any) -> str:
    generator = {"name": "g", "colonyname": NAME, "trigger": 3, "timeout": -1, "workflowspec": workflow(), **more}
    generatorid: str = colony.call(USER, "addgeneratormsg", generator=generator)["generatorid"]
    return generatorid


def pack(colony: Colony, generatorid: str, *args: str) -> None:
    for arg in args:
        colony.call(USER, "packgeneratormsg", generatorid=generatorid, arg=arg)


def started(colony: Colony) -> list[Any]:
    """The arguments of the first process of each workflow."""
    rows = colony.rows("select spec from processes where nodename = 'root' and colonyname = 'dev' order by seq")
    return [json.loads(spec)["args"] for (spec,) in rows]


def test_enough_arguments_start_a_workflow_and_the_rest_waits(colony: Colony) -> None:
    generatorid = add(colony)
    pack(colony, generatorid, "a", "b")
    assert colony.fire() == 0
    assert started(colony) == []
    pack(colony, generatorid, "c", "d")
    assert colony.alarm == colony.now
    colony.fire()
    assert started(colony) == [["a", "b", "c"]]
    shown = colony.call(USER, "getgeneratormsg", generatorid=generatorid)
    assert (shown["queuesize"], shown["checkerperiod"]) == (1, 1000)
    (leaf,) = colony.rows("select spec from processes where nodename = 'leaf'")
    assert (json.loads(leaf[0])["args"], json.loads(leaf[0])["kwargs"]) == (["own"], {"k": 1})
    (root,) = colony.rows("select spec from processes where nodename = 'root'")
    assert json.loads(root[0])["kwargs"] == {}


def test_the_timeout_starts_a_workflow_with_what_there_is(colony: Colony) -> None:
    generatorid = add(colony, timeout=10)
    pack(colony, generatorid, "a")
    assert colony.alarm == colony.now + 10 * SECOND
    colony.now = colony.alarm
    assert colony.fire() == 0
    assert started(colony) == [["a"]]
    colony.now += 20 * SECOND
    pack(colony, generatorid, "b")
    colony.fire()
    assert started(colony) == [["a"], ["b"]]


def test_a_workflow_that_cannot_start_keeps_its_arguments_and_is_tried_again(colony: Colony) -> None:
    generatorid = add(colony, trigger=1, workflowspec=workflow(priority=10**6))
    pack(colony, generatorid, "a")
    assert colony.fire() == colony.now + 60 * SECOND
    assert started(colony) == []
    assert colony.rows("select count(*) from processgraphs") == [(0,)]
    assert colony.rows("select arg from generatorargs") == [("a",)]


def test_a_generator_is_found_by_name_and_goes_with_its_arguments(colony: Colony) -> None:
    generatorid = add(colony)
    pack(colony, generatorid, "a")
    assert colony.call(USER, "resolvegeneratormsg", colonyname=NAME, generatorname="g")["generatorid"] == generatorid
    colony.call(USER, "removegeneratormsg", generatorid=generatorid)
    assert colony.rows("select * from generatorargs") == []


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"trigger": 0}, "trigger must be between 1 and"),
        ({"trigger": -1}, "trigger must be between 1 and"),
        ({"name": "a:b"}, "must not contain a colon"),
        ({"workflowspec": "[]"}, "The workflow spec is not valid"),
        ({"name": "taken"}, "Generator with name <taken> in Colony <dev> already exists"),
    ],
)
def test_what_cannot_be_a_generator_is_refused(colony: Colony, more: dict[str, Any], text: str) -> None:
    add(colony, name="taken")
    before = colony.dump()
    with pytest.raises(BadRequest, match=text):
        add(colony, **more)
    assert colony.dump() == before


@settings(max_examples=40, deadline=None)
@given(trigger=st.integers(1, 5), steps=st.lists(st.sampled_from(("pack", "pack", "fire", "wait")), max_size=40))
def test_every_argument_is_used_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, trigger: int, steps: list[str]
) -> None:
    colony = Colony(tmp_path_factory.mktemp("colony"))
    try:
        generatorid = add(colony, trigger=trigger, timeout=5)
        packed = 0
        for step in steps:
            if step == "pack":
                pack(colony, generatorid, str(packed))
                packed += 1
            elif step == "wait":
                colony.now += 6 * SECOND
            else:
                while 0 < colony.fire() <= colony.now:
                    pass
        used = [arg for args in started(colony) for arg in args]
        waiting = [arg for (arg,) in colony.rows("select arg from generatorargs order by seq")]
        assert used + waiting == [str(number) for number in range(packed)]
        assert all(len(args) <= trigger for args in started(colony))
        assert colony.rows("select queuesize from generators") == [(len(waiting),)]
    finally:
        colony.close()
