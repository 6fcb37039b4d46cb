"""Payloads are read as Go's decoder would, which serves the clients that exist."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonies_node.core import limits
from colonies_node.core.broker.table import ROWS
from colonies_node.core.model.executor import Executor, Function
from colonies_node.core.model.members import User
from colonies_node.core.model.messages import AssignProcess, Message, SubmitFunctionSpec
from colonies_node.core.model.process import FunctionSpec
from colonies_node.core.model.wire import Malformed, Record, decode, encode
from tests.strategies import records

RECORDS = sorted({row.record for row in ROWS}, key=lambda record: record.__name__)
INT64 = (1 << 63) - 1


def swap_case(value: Any, kind: Any) -> Any:
    """The JSON of a record with the names of its fields in upper case, but nothing else."""
    if isinstance(kind, type) and issubclass(kind, Record) and isinstance(value, dict):
        hints = {field.encode_name: get_type_hints(kind)[field.name] for field in msgspec.structs.fields(kind)}
        return {name.upper(): swap_case(item, hints[name]) for name, item in value.items()}
    arguments = getattr(kind, "__args__", ())
    if getattr(kind, "__origin__", None) is dict:
        return {name: swap_case(item, arguments[1]) for name, item in value.items()}
    if isinstance(value, list) and arguments:
        inner = next((a for a in arguments if getattr(a, "__origin__", None) is list), kind)
        return [swap_case(item, inner.__args__[0]) if getattr(inner, "__args__", ()) else item for item in value]
    record = next((a for a in arguments if isinstance(a, type) and issubclass(a, Record)), None)
    return swap_case(value, record) if record else value


@pytest.mark.parametrize("kind", RECORDS)
@settings(max_examples=30)
@given(data=st.data())
def test_a_declared_payload_is_read_back_as_it_was(kind: type[Record], data: st.DataObject) -> None:
    record = data.draw(records(kind))
    assert decode(kind, encode(record)) == record


@pytest.mark.parametrize("kind", RECORDS)
@settings(max_examples=30)
@given(data=st.data())
def test_unknown_keys_change_nothing(kind: type[Record], data: st.DataObject) -> None:
    record = data.draw(records(kind))
    payload = msgspec.json.decode(encode(record)) | {"tag": "GetColony", "another": [1, {"x": None}]}
    assert decode(kind, msgspec.json.encode(payload)) == record


@pytest.mark.parametrize("kind", RECORDS)
@settings(max_examples=30)
@given(data=st.data())
def test_the_case_of_keys_does_not_matter(kind: type[Record], data: st.DataObject) -> None:
    record = data.draw(records(kind))
    payload = swap_case(msgspec.json.decode(encode(record)), kind)
    assert decode(kind, msgspec.json.encode(payload)) == record


@pytest.mark.parametrize("kind", RECORDS)
def test_null_in_every_field_is_the_zero_value(kind: type[Record]) -> None:
    nulls = {field.encode_name: None for field in msgspec.structs.fields(kind)}
    assert decode(kind, json.dumps(nulls).encode()) == decode(kind, b"{}") == kind()


def test_null_deep_inside_is_the_zero_value() -> None:
    payload = {
        "spec": {"priority": None, "conditions": {"gpu": None, "nodes": None, "executornames": None}, "label": None}
    }
    read = decode(SubmitFunctionSpec, json.dumps(payload).encode())
    assert read.spec == FunctionSpec()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"1",
        b'{"timeout":"1"}',
        b'{"timeout":1.5}',
        b'{"timeout":true}',
        b'{"timeout":9223372036854775808}',
        b'{"timeout":[1]}',
        b'{"colonyname":1}',
        b'{"colonyname":{}}',
        b'{"colonyname":"a"} trailing',
        b'{"colonyname":"\xff"}',
        b"{'colonyname':'a'}",
        b'{"colonyname":"a",}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_a_wrong_shape_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        decode(AssignProcess, payload)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (SubmitFunctionSpec, {"spec": []}),
        (SubmitFunctionSpec, {"spec": {"conditions": [], "x": 1}}),
        (SubmitFunctionSpec, {"spec": {"env": {"A": 1}}}),
        (SubmitFunctionSpec, {"spec": {"env": []}}),
        (SubmitFunctionSpec, {"spec": {"args": {}}}),
        (Executor, {"capabilities": {"hardware": [1]}}),
        (Executor, {"capabilities": {"hardware": "none"}}),
        (Function, {"counter": 0.5}),
        (User, {"name": ["a"]}),
    ],
)
def test_a_wrong_type_deep_inside_is_malformed(kind: type[Record], payload: Any) -> None:
    for extra in ({}, {"unknown": 1}):
        with pytest.raises(Malformed):
            decode(kind, json.dumps(payload | extra).encode())


def test_a_whole_number_may_stand_for_a_float() -> None:
    assert decode(Function, b'{"minwaittime":1,"unknown":0}').minwaittime == 1.0


def test_of_a_key_that_comes_twice_the_last_one_counts() -> None:
    assert decode(AssignProcess, b'{"timeout":1,"timeout":2}').timeout == 2
    assert decode(AssignProcess, b'{"timeout":1,"TIMEOUT":2}').timeout == 2


def nested(levels: int) -> bytes:
    """A spec whose args are this deep, itself two levels down."""
    return b'{"spec":{"args":' + b"[" * (levels - 2) + b"]" * (levels - 2) + b"}}"


def test_nesting_has_a_limit() -> None:
    assert decode(SubmitFunctionSpec, nested(limits.MAX_NESTING)).spec is not None
    with pytest.raises(Malformed):
        decode(SubmitFunctionSpec, nested(limits.MAX_NESTING + 1))
    with pytest.raises(Malformed):
        decode(SubmitFunctionSpec, nested(200_000))


def test_brackets_in_texts_are_no_nesting() -> None:
    payload = json.dumps({"colonyname": '[{"\\' * 1000}).encode()
    assert decode(AssignProcess, payload).colonyname == '[{"\\' * 1000


@given(st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_record_or_malformed(payload: bytes) -> None:
    with suppress(Malformed):
        assert isinstance(decode(Message, payload), Message)
