"""The order of a channel, against a plain model: entries as they came, those of one sender by their numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonies_node.core.store import channels
from colonies_node.core.store.channels import IN_ORDER, LATER, OLDEST, ChannelRow, EntryRow
from colonies_node.core.store.sqlite import Store
from colonies_node.core.store.transaction import Transaction

ENTRIES = st.lists(st.tuples(st.sampled_from("ab"), st.integers(-3, 6)), max_size=25)


Log = list[tuple[str, int, int]]
"""(sender, number, arrival)."""


def ordered(log: Log, said: Log) -> Log:
    """Each stands before the first of its sender with a higher number, else last."""
    log = list(log)
    for entry in said:
        later = (place for place, other in enumerate(log) if other[0] == entry[0] and other[1] > entry[1])
        log.insert(next(later, len(log)), entry)
    return log


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"), lambda: 1, "normal")


@settings(max_examples=200)
@given(said=ENTRIES, drop=st.integers(0, 5), more=ENTRIES)
def test_a_channel_is_in_order_whatever_comes_late_and_whatever_makes_room(
    store: Store, said: list[tuple[str, int]], drop: int, more: list[tuple[str, int]]
) -> None:
    channel = ChannelRow(process=1, name="c", entries=0, dropped=0, size=0, paced=0)
    arrived = [(sender, number, arrival) for arrival, (sender, number) in enumerate([*said, *more])]
    first, second = arrived[: len(said)], arrived[len(said) :]

    def stored(tx: Transaction) -> Log:
        return [(row.senderid, row.sequence, row.timestamp) for row in channels.in_order(tx, channel, 0, -1)]

    def talk(tx: Transaction) -> None:
        tx.run("delete from channelentries")
        for sender, number, arrival in first:
            channels.add(tx, channel, EntryRow(number, 0, sender, "data", arrival, None))
        log = ordered([], first)
        assert stored(tx) == log
        for _ in log[:drop]:
            channels.drop_oldest(tx, channel)
        assert stored(tx) == log[drop:]
        for sender, number, arrival in second:
            channels.add(tx, channel, EntryRow(number, 0, sender, "data", arrival, None))
        assert stored(tx) == ordered(log[drop:], second)

    store.write(talk)


@pytest.mark.parametrize(
    ("query", "values", "index"),
    [
        (
            LATER,
            (1, "c", "a", 1),
            "COVERING INDEX channelentries_by_sender (process=? AND name=? AND senderid=? AND sequence>?)",
        ),
        (OLDEST, (1, "c"), "INDEX channelentries_in_order (process=? AND name=?)"),
        (IN_ORDER, (1, "c", 10, 5), "INDEX channelentries_in_order (process=? AND name=?)"),
    ],
)
def test_a_channel_is_read_by_its_index_alone(store: Store, query: str, values: tuple[object, ...], index: str) -> None:
    plan = store.read(lambda tx: [row[3] for row in tx.all(f"explain query plan {query}", values)])
    assert plan == [f"SEARCH channelentries USING {index}"]
