"""Blueprints: generations and history follow a model of them, and specs are checked as their schema says."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from colonies_node.core.broker import schemas
from colonies_node.core.errors import BadRequest, Conflict, NotFound
from colonies_node.core.model.blueprint import Schema
from colonies_node.core.model.wire import decode
from tests.core.colony import NAME, OWNER, USER, Colony
from tests.strategies import blueprint_schemas, blueprint_specs, json_values

# -- schemas ----------------------------------------------------------------------------------------------------------


def refusal(schema: Any, spec: Any) -> str:
    """What a spec is refused with; empty if it is let in."""
    try:
        schemas.check(decode(Schema, json.dumps(schema).encode()), spec)
    except BadRequest as refused:
        assert refused.message.startswith("blueprint validation failed: ")
        return refused.message.removeprefix("blueprint validation failed: ")
    return ""


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


ENGINES = {"type": "string", "enum": ["postgres", "mysql"]}
DATABASE = {
    "type": "object",
    "properties": {"engine": ENGINES, "ports": {"type": "array", "items": {"type": "number"}}},
}


@pytest.mark.parametrize(
    ("schema", "spec", "text"),
    [
        ({"required": ["a", "b"]}, {"b": 1}, "required field 'a' is missing"),
        ({"required": ["a"]}, {"a": None}, ""),
        (of(a={"type": "string"}), {"a": 1}, "field 'a' must be a string, got float64"),
        (of(a={"type": "number"}), {"a": "1"}, "field 'a' must be a number, got string"),
        (of(a={"type": "number"}), {"a": True}, "field 'a' must be a number, got bool"),
        (of(a={"type": "number"}), {"a": 1.5}, ""),
        (of(a={"type": "boolean"}), {"a": 0}, "field 'a' must be a boolean, got float64"),
        (of(a={"type": "boolean"}), {"a": None}, "field 'a' must be a boolean, got <nil>"),
        (of(a={"type": "object"}), {"a": []}, "field 'a' must be an object, got []interface {}"),
        (of(a={"type": "array"}), {"a": {}}, "field 'a' must be an array, got map[string]interface {}"),
        (of(a={"type": "integer"}), {"a": "one"}, ""),
        (of(a={}), {"a": "one", "b": 1}, ""),
        (of(a={"type": "string", "enum": ["x", "y"]}), {"a": "z"}, "field 'a' must be one of [x y], got z"),
        (of(a={"enum": [1, 1.5, True, None]}), {"a": 3}, "field 'a' must be one of [1 1.5 true <nil>], got 3"),
        (of(a={"enum": [1]}), {"a": 1.0}, ""),
        (of(a={"enum": [1]}), {"a": True}, "field 'a' must be one of [1], got true"),
        (of(a={"enum": [{"x": 1, "y": [2]}]}), {"a": {"y": [2.0], "x": 1}}, ""),
        (of(a={"enum": [{"x": 1}]}), {"a": [1]}, "field 'a' must be one of [{\"x\":1}], got [1]"),
        (
            of(db=DATABASE),
            {"db": {"engine": "oracle"}},
            "field 'db.engine' must be one of [postgres mysql], got oracle",
        ),
        (of(db=DATABASE), {"db": {"ports": [1, "x"]}}, "field 'db.ports[1]' must be a number, got string"),
        (of(db={"type": "object", "required": ["engine"]}), {"db": {}}, ""),
        (of(a={"items": DATABASE}), {"a": [{}, {"engine": 1}]}, "field 'a[1].engine' must be a string, got float64"),
    ],
)
def test_a_refusal_says_what_clients_know(schema: Any, spec: Any, text: str) -> None:
    assert refusal(schema, spec) == text


def test_a_refusal_stays_short() -> None:
    many = of(a={"enum": [f"choice {n}" for n in range(10_000)]})
    assert len(refusal(many, {"a": "x" * 100_000})) < 500


def test_a_long_list_of_choices_is_read_once_for_all_elements() -> None:
    choices = [{"n": n} for n in range(2_000)]
    assert refusal(of(a={"items": {"enum": choices}}), {"a": choices * 10}) == ""


def fits(rule: dict[str, Any], value: Any) -> bool:
    """Whether a value is as a rule says, as one would put it in a few words."""
    kinds = {"string": (str,), "number": (int, float), "boolean": (bool,), "object": (dict,), "array": (list,)}
    wanted = kinds.get(rule.get("type", ""), (object,))
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted == (int, float)):
        return False
    if rule.get("enum") and not any(alike(value, choice) for choice in rule["enum"]):
        return False
    if isinstance(value, list) and rule.get("items") and not all(fits(rule["items"], item) for item in value):
        return False
    inner = rule.get("properties") or {}
    return not isinstance(value, dict) or all(fits(inner[key], value[key]) for key in inner.keys() & value.keys())


def alike(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; Python takes True for 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    return bool(one == other)


@settings(max_examples=500)
@given(blueprint_schemas, blueprint_specs)
def test_what_is_let_in_is_what_fits(schema: dict[str, Any], spec: dict[str, Any]) -> None:
    allowed = all(name in spec for name in schema.get("required", ())) and fits(schema | {"type": "object"}, spec)
    said = refusal(schema, spec)
    event("let in" if allowed else said.split("'")[0])
    assert (said == "") == allowed


@given(json_values, json_values)
def test_values_are_one_if_json_holds_them_to_be_equal(one: Any, other: Any) -> None:
    assert (schemas.canonical(one) == schemas.canonical(other)) == alike(one, other)
    assert schemas.canonical(one) == schemas.canonical(json.loads(json.dumps(one)))


# -- generations ------------------------------------------------------------------------------------------------------

names = st.sampled_from(("one", "two"))
places = st.sampled_from(("", "home", "sea"))
specs = st.sampled_from(({}, {"a": 1}, {"a": 1.0}, {"a": True}, {"a": {"b": None}}, {"a": {}, "b": []}))


class Blueprints(RuleBasedStateMachine):
    """A colony's blueprints beside a model: name → (spec, generation, place, status), and the history of each."""

    @initialize()
    def found(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.colony = Colony(Path(self.folder.name))
        self.there: dict[str, dict[str, Any]] = {}
        self.history: dict[str, list[tuple[int, Any, str]]] = {}
        self.submitted = 0
        spec = {"names": {"kind": "Lamp"}, "handler": {"executorType": "fixer", "functionName": "fix"}}
        definition = {"metadata": {"colonyname": NAME, "name": "lamps"}, "spec": spec}
        self.colony.call(OWNER, "addblueprintdefinitionmsg", blueprintdefinition=definition)

    def teardown(self) -> None:
        if hasattr(self, "colony"):
            self.colony.close()
            self.folder.cleanup()

    def message(self, name: str, spec: Any, place: str) -> dict[str, Any]:
        about = {"colonyname": NAME, "name": name, "locationname": place, "generation": 0}
        return {"kind": "Lamp", "metadata": about, "spec": spec}

    @rule(name=names, spec=specs, place=places, by=st.sampled_from((USER, OWNER)))
    def add(self, name: str, spec: Any, place: str, by: str) -> None:
        blueprint = self.message(name, spec, place)
        if name in self.there:
            with pytest.raises(Conflict):
                self.colony.call(by, "addblueprintmsg", blueprint=blueprint)
            return
        added = self.colony.call(by, "addblueprintmsg", blueprint=blueprint)
        self.there[name] = {"spec": spec, "generation": 0, "place": place, "status": {}, "id": added["blueprintid"]}
        self.history[name] = [(0, spec, "create")]
        self.submitted += 1

    @rule(name=names, spec=specs, place=places, force=st.booleans(), by=st.sampled_from((USER, OWNER)))
    def update(self, name: str, spec: Any, place: str, force: bool, by: str) -> None:
        change = {"blueprint": self.message(name, spec, place), "forcegeneration": force}
        if name not in self.there:
            with pytest.raises(NotFound):
                self.colony.call(by, "updateblueprintmsg", **change)
            return
        shown = self.colony.call(by, "updateblueprintmsg", **change)
        kept = self.there[name]
        raised = force or not alike(spec, kept["spec"])
        self.submitted += raised or place != kept["place"]
        kept |= {"spec": spec, "generation": kept["generation"] + raised, "place": place, "status": {}}
        assert shown["blueprintid"] == kept["id"]
        if raised:
            self.history[name].insert(0, (kept["generation"], spec, "update"))

    @rule(name=names, number=st.integers(0, 2))
    def report(self, name: str, number: int) -> None:
        if name in self.there:
            status = {"number": number} if number else {}
            self.colony.call(USER, "updateblueprintstatusmsg", colonyname=NAME, blueprintname=name, status=status)
            self.there[name]["status"] = status

    @rule(name=names, force=st.booleans())
    def reconcile(self, name: str, force: bool) -> None:
        if name in self.there:
            self.colony.call(USER, "reconcileblueprintmsg", namespace=NAME, name=name, force=force)
            self.there[name]["generation"] += force
            self.submitted += 1

    @rule(name=names)
    def remove(self, name: str) -> None:
        if name in self.there:
            self.colony.call(USER, "removeblueprintmsg", namespace=NAME, name=name)
            del self.there[name], self.history[name]
            self.submitted += 1

    @invariant()
    def what_is_shown_is_the_model(self) -> None:
        shown = self.colony.call(USER, "getblueprintsmsg", namespace=NAME)
        assert [
            (one["metadata"]["name"], one["metadata"].get("generation", 0), one["spec"], one.get("status", {}))
            for one in shown
        ] == [(name, kept["generation"], kept["spec"], kept["status"]) for name, kept in sorted(self.there.items())]
        for name, entries in self.history.items():
            found = self.colony.call(USER, "getblueprinthistorymsg", blueprintid=self.there[name]["id"])
            assert [(one["generation"], one["spec"], one["changetype"]) for one in found] == entries
        assert self.colony.rows("select count(*) from blueprinthistory") == [(sum(map(len, self.history.values())),)]

    @invariant()
    def every_place_with_a_blueprint_has_its_cron_and_no_other(self) -> None:
        crons = self.colony.call(USER, "getcronsmsg", colonyname=NAME, count=100)
        places = {kept["place"] for kept in self.there.values()}
        assert sorted(cron["name"] for cron in crons) == sorted(f"reconcile-Lamp-{p}".rstrip("-") for p in places)

    @invariant()
    def every_change_was_handed_to_a_reconciler(self) -> None:
        assert self.colony.rows("select count(*) from processes") == [(self.submitted,)]


TestBlueprints = Blueprints.TestCase
TestBlueprints.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
