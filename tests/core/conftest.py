"""What the tests of links between nodes share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.pair import Node, Pair


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    """Makes a pair: node `low` under node `high`, or under others, set as the arguments say."""
    nodes: dict[str, Node] = {}

    def node(name: str) -> Node:
        if name not in nodes:
            nodes[name] = Node(tmp_path, name)
        return nodes[name]

    def join(lower: str = "low", upper: str = "high", **settings: Any) -> Pair:
        return Pair(node(lower), node(upper), **settings)

    yield join
    for one in nodes.values():
        one.close()
