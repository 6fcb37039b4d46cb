"""The compact form of CBOR says exactly what JSON says, and its numbers never change their meaning."""

from __future__ import annotations

import typing
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonies_node.core import limits
from colonies_node.core.broker.table import ROWS, TABLE
from colonies_node.core.model import cbor, compact
from colonies_node.core.model.channel import Entry
from colonies_node.core.model.messages import ChannelAppend
from colonies_node.core.model.numbers import FIELD_NUMBERS, FIELDS, MESSAGE_TYPES, TYPE_NUMBERS
from colonies_node.core.model.process import Process
from colonies_node.core.model.wire import Malformed, Record, decode, encode
from tests.strategies import json_values, records


def inside(kind: Any) -> set[type[Record]]:
    """The records that a type holds, however deep."""
    found: set[type[Record]] = set()

    def visit(kind: Any) -> None:
        for part in (*typing.get_args(kind), *getattr(kind, "__metadata__", ())):
            visit(part)
        if isinstance(kind, type) and issubclass(kind, Record) and kind not in found:
            found.add(kind)
            for hint in typing.get_type_hints(kind, include_extras=True).values():
                visit(hint)

    visit(kind)
    return found


MESSAGES = sorted({row.record for row in ROWS}, key=lambda record: record.__name__)
RECORDS = sorted({record for row in ROWS for kind in (row.record, row.gives) for record in inside(kind)}, key=str)


@pytest.mark.parametrize("kind", RECORDS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_what_is_packed_and_unpacked_is_what_json_says(kind: type[Record], data: st.DataObject) -> None:
    plain = msgspec.json.decode(encode(data.draw(records(kind))))
    packed = compact.pack(kind, plain)
    assert compact.unpack(kind, cbor.loads(cbor.dumps(packed))) == plain


@pytest.mark.parametrize("kind", MESSAGES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_message_is_read_as_over_json(kind: type[Record], data: st.DataObject) -> None:
    payload = encode(data.draw(records(kind)))
    plain = msgspec.json.decode(payload)
    plain["msgtype"] = "x"
    read = compact.read(kind, cbor.loads(cbor.dumps(compact.pack(kind, plain))), "x")
    assert read == decode(kind, encode(plain))


@given(json_values)
def test_what_belongs_to_users_passes_as_it_is(value: Any) -> None:
    assert compact.unpack(object, cbor.loads(cbor.dumps(compact.pack(object, value)))) == value


def test_a_list_of_records_is_packed_record_by_record() -> None:
    entry = {"sequence": 1, "timestamp": "2027-01-15T08:00:00Z", "senderid": "a" * 64, "payload": "aGk="}
    assert compact.pack(list[Entry], [entry]) == [
        {
            FIELD_NUMBERS["sequence"]: 1,
            FIELD_NUMBERS["timestamp"]: 1_800_000_000_000_000,
            FIELD_NUMBERS["senderid"]: b"\xaa" * 32,
            FIELD_NUMBERS["payload"]: b"hi",
        }
    ]


def test_zeros_are_left_out_all_the_way_down() -> None:
    spec = {"funcname": "f", "conditions": {"executortype": "", "gpu": {"count": 0}}, "priority": 0, "args": []}
    assert compact.pack(TABLE["submitfuncspecmsg"].record, {"spec": spec}) == {
        FIELD_NUMBERS["spec"]: {FIELD_NUMBERS["funcname"]: "f"}
    }


def test_bytes_may_be_sent_as_numbers_too() -> None:
    message = compact.read(ChannelAppend, {FIELD_NUMBERS["payload"]: [104, 105]}, "channelappendmsg")
    assert message.payload == [104, 105]


@pytest.mark.parametrize(
    "body",
    [
        {"spec": {"args": [b"x"]}},
        {"spec": {"kwargs": {1: 2}}},
        {"spec": {"kwargs": {"a": {b"b": 1}}}},
        {"spec": {"env": {"a": b"b"}}},
        {"spec": {"funcname": 1}},
        {"spec": {"priority": 1 << 63}},
        {"spec": {"priority": 1.5}},
        {"spec": {"priority": True}},
        {"spec": {"args": {}}},
        {"spec": []},
        {"spec": {"conditions": {"executornames": "x"}}},
    ],
)
def test_a_wrong_type_is_refused(body: Any) -> None:
    with pytest.raises(Malformed):
        compact.read(TABLE["submitfuncspecmsg"].record, body, "submitfuncspecmsg")


@pytest.mark.parametrize("raw", [b"x" * 31, b"", b"x" * 33])
def test_an_id_has_32_bytes(raw: bytes) -> None:
    with pytest.raises(Malformed):
        compact.read(TABLE["getprocessmsg"].record, {"processid": raw}, "getprocessmsg")


@pytest.mark.parametrize("micros", [1 << 62, -(1 << 62), (1 << 64) - 1])
def test_a_time_that_no_calendar_has_is_refused(micros: int) -> None:
    with pytest.raises(Malformed):
        compact.unpack(Process, {FIELD_NUMBERS["starttime"]: micros})


# -- CBOR itself


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x01",
        b"\x18",
        b"\x82\x01",
        b"\xa1\x01",
        b"\x62a",
        b"\x62\xff\xff",
        b"\x9f\x01\xff",
        b"\x5f\x41a\xff",
        b"\x7f\x61a\xff",
        b"\xbf\xff",
        b"\xff",
        b"\xf7",
        b"\xe0",
        b"\xf8\x20",
        b"\x1c",
        b"\xa2\x01\x01\x01\x02",
        b"\xa1\xf9\x7e\x00",
        cbor2.dumps(cbor2.CBORTag(32, "http://x")),
        b"\xc0\x6a2027-01-15",
        b"\xd8\x1c\x81\xd8\x1d\x00",
        b"\xc2\x81\x01",
        b"\xc2\x59\xff\xff",
        b"\xc2\x5f\x41a\xff",
        b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x81" * (limits.MAX_NESTING + 1) + b"\x01",
        b"\x9a\x00\x07\xa1\x21" + b"\x80" * 500_001,
        b"\xc2\x59\x06\xfa" + b"\xff" * 1_786,
    ],
    ids=lambda data: data[:8].hex(),
)
def test_what_is_not_taken_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        compact.unpack(object, cbor.loads(data))


@pytest.mark.parametrize(
    "value",
    [
        -(1 << 63),
        (1 << 64) - 1,
        -(1 << 64),
        1 << 100,
        -(1 << 100),
        256**limits.MAX_INTEGER - 1,
        1.5,
        float("inf"),
        [[]],
        {"": None},
        "\u20ac" * 100_000,
    ],
)
def test_what_json_can_say_is_taken(value: Any) -> None:
    assert cbor.loads(cbor.dumps(value)) == value


def test_nesting_is_taken_as_deep_as_in_json() -> None:
    data = b"\x81" * limits.MAX_NESTING + b"\x01"
    assert cbor.loads(data)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_a_value_or_malformed(data: bytes) -> None:
    try:
        value = cbor.loads(data)
    except Malformed:
        return
    assert cbor2.loads(cbor2.dumps(value)) == value or value != value or "nan" in repr(value)


# -- numbers


def test_every_name_has_a_number() -> None:
    names = {field.encode_name for record in RECORDS for field in msgspec.structs.fields(record)}
    assert names - FIELD_NUMBERS.keys() == set(), "append these to FIELDS in core/model/numbers.py"
    assert TABLE.keys() - TYPE_NUMBERS.keys() == set(), "append these to MESSAGE_TYPES in core/model/numbers.py"


def test_no_name_has_two_numbers() -> None:
    assert len(FIELD_NUMBERS) == len(FIELDS)
    assert len(TYPE_NUMBERS) == len(MESSAGE_TYPES)


def test_a_record_has_no_two_names_that_differ_in_case_only() -> None:
    for record in RECORDS:
        names = [field.encode_name.lower() for field in msgspec.structs.fields(record)]
        assert len(set(names)) == len(names)
