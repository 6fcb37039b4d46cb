"""Marked functions: what the colony is told of them, and what becomes of the arguments of a call."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonies_node import function
from colonies_node.core.errors import SettingRefused
from colonies_node.device.runners import Offer
from colonies_node.device.runners.python import PythonRunner, describe, search_path
from colonies_node.fitting import MAX_DIGITS
from colonies_node.functions import Misfit, described, first_paragraph, marked
from tests.client import marked as ours
from tests.device.shop import supervisor
from tests.device.test_runners import run

ROOT = Path(__file__).resolve().parents[2]
HERE = "tests.client.marked"


async def offers(*functions: str) -> dict[str, Offer]:
    return {offer.name: offer for offer in await describe(functions, search_path(), os.environ)}


async def call(tmp_path: Path, name: str, *args: Any, **spec: Any) -> dict[str, Any]:
    """Run a function of the module as an executor does; the process."""
    found = (await offers(HERE)).values()
    return await run(tmp_path, PythonRunner(list(found), search_path(), supervisor()), name, *args, **spec)


def fit(target: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    mark = marked(target)
    assert mark is not None
    fitted, named = mark.fit(target, args, kwargs)
    return (*fitted, *named.values())


# -- what the colony is told


async def test_an_argument_is_told_with_its_type_description_choices_and_whether_it_is_required() -> None:
    offer = (await offers(f"{HERE}:train"))["train"]
    assert offer.description == "Train a model on the data."
    assert offer.args == [
        {"name": "data", "type": "str", "required": True, "description": "where the data is"},
        {"name": "epochs", "type": "int", "required": False, "description": "how often to go through the data"},
        {"name": "rate", "type": "float | None", "required": False, "description": "the learning rate"},
        {"name": "colour", "type": "str", "required": False, "enum": ["red", "green"]},
        {"name": "mode", "type": "str", "required": False, "enum": ["fast", "exact"]},
        {"name": "sizes", "type": "list[int]", "required": False},
    ]


async def test_a_module_offers_the_functions_that_are_marked_in_it() -> None:
    found = await offers(HERE)
    assert list(found) == ["train", "sum", "words", "both", "later", "breaks", "unresolved", "double"]
    assert found["sum"].target == f"{HERE}:total"
    assert found["sum"].description == "Add up numbers."


async def test_a_module_is_also_found_by_the_path_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("WORD = 'hello'\n")
    file = tmp_path / "speech.py"
    file.write_text(
        "from beside import WORD\nfrom colonies_node import function\n\n@function\ndef say(): return WORD\n"
    )
    found = await offers(str(file))
    assert found["say"].target == f"{file}:say"
    process = await run(tmp_path / "data", PythonRunner(list(found.values()), search_path(), supervisor()), "say")
    assert process["out"] == ["hello"]


async def test_a_file_whose_name_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("from colonies_node import function\n@function\ndef f(): ...\n")
    with pytest.raises(SettingRefused, match=r"another module has the name of json\.py: rename the file"):
        await offers(str(tmp_path / "json.py"))


async def test_a_module_without_marked_functions_is_refused() -> None:
    with pytest.raises(SettingRefused, match=r"tests\.device\.offered cannot be offered: .*marked with @function"):
        await offers("tests.device.offered")


async def test_an_annotation_that_cannot_be_resolved_is_told_as_it_is_written() -> None:
    assert [arg["type"] for arg in (await offers(HERE))["unresolved"].args] == ["Decimal", "Level"]


def test_the_function_stays_what_it_is() -> None:
    assert ours.train("here", epochs=2)["epochs"] == 2
    assert ours.total(1, 2) == 3
    assert ours.words.__name__ == "words"


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (int, "@function marks a function, not <class 'int'>"),
        (5, "@function marks a function, not 5"),
        (math.sqrt, "sqrt cannot be marked: write a function around it"),
    ],
)
def test_what_is_no_function_of_python_cannot_be_marked(target: Any, says: str) -> None:
    with pytest.raises(TypeError) as refused:
        function(target)
    assert str(refused.value) == says


def test_marking_needs_nothing_but_the_standard_library() -> None:
    code = "import sys; from colonies_node import function, execute; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.append({str(ROOT)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    roots = {name.partition(".")[0] for name in ran.stdout.split()}
    assert not roots & {"trio", "msgspec", "click", "httpx2", "apsw", "cbor2", "hypercorn"}


def test_the_package_alone_imports_nothing_of_its_own() -> None:
    code = "import colonies_node; print(*[name for name in sys.modules if name.startswith('colonies_node')])"
    ran = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.append({str(ROOT)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["colonies_node"]


def test_the_names_of_the_package_are_there_and_no_module_hides_one() -> None:
    import colonies_node

    assert set(colonies_node.__all__) <= set(dir(colonies_node))
    for name in ("Client", "SyncClient", "execute", "function"):
        assert callable(getattr(colonies_node, name))
        assert not (ROOT / "colonies_node" / f"{name}.py").exists()
        assert not (ROOT / "colonies_node" / name).exists()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = colonies_node.nothing


@given(st.text())
def test_any_docstring_can_be_read(text: str) -> None:
    assert "\n" not in first_paragraph(text)
    assert all(isinstance(says, str) for says in described(f"Args:\n{text}").values())


# -- the arguments of a call


def takes(annotation: Any) -> Callable[[Any], Any]:
    @function
    def f(x: Any) -> Any:
        return x

    f.__annotations__["x"] = annotation
    return f


@pytest.mark.parametrize(
    ("annotation", "given", "taken"),
    [
        (int, 2, 2),
        (int, "2", 2),
        (int, "-07", -7),
        (int, 2.0, 2),
        (float, 2, 2.0),
        (float, "1.5e3", 1500.0),
        (float, ".5", 0.5),
        (bool, True, True),
        (bool, "False", False),
        (str, "2", "2"),
        (int | None, None, None),
        (int | None, "2", 2),
        (int | str, "2", "2"),
        (str | int, 2, 2),
        (float | int, 2, 2),
        (list[int], ["1", 2], [1, 2]),
        (list, ["1", 2], ["1", 2]),
        (dict[str, float], {"a": "1"}, {"a": 1.0}),
        (tuple[int, str], ["1", "a"], (1, "a")),
        (tuple[int, ...], ["1", 2, 3], (1, 2, 3)),
        (Literal["a", 2], "2", 2),
        (Literal[True, 1], 1, 1),
        (ours.Colour, "green", ours.Colour.GREEN),
        (ours.Level, "2", ours.Level.HIGH),
        (bytes, "left as it is", "left as it is"),
        (Any, {"a": [1]}, {"a": [1]}),
        (list[dict[str, Any]], [{"a": 1}], [{"a": 1}]),
    ],
)
def test_what_fits_is_taken_and_text_becomes_what_it_says(annotation: Any, given: Any, taken: Any) -> None:
    (found,) = fit(takes(annotation), given)
    assert (found, type(found)) == (taken, type(taken))


@pytest.mark.parametrize(
    ("annotation", "given", "says"),
    [
        (int, "two", "f: x must be a whole number, not 'two'"),
        (int, 2.5, "f: x must be a whole number, not 2.5"),
        (int, True, "f: x must be a whole number, not true"),
        (int, "1_000", "f: x must be a whole number, not '1_000'"),
        (int, "", "f: x must be a whole number, not ''"),
        (int, None, "f: x must be a whole number, not null"),
        (int, "9" * (MAX_DIGITS + 1), f"f: x must be a whole number, not '{'9' * 76}..."),
        (float, "nan", "f: x must be a number, not 'nan'"),
        (float, "1e999", "f: x must be a number, not '1e999'"),
        (float, False, "f: x must be a number, not false"),
        (bool, 1, "f: x must be true or false, not 1"),
        (bool, "yes", "f: x must be true or false, not 'yes'"),
        (str, 5, "f: x must be a text, not 5"),
        (int | None, "x", "f: x must be a whole number or null, not 'x'"),
        (list[int], "1,2", "f: x must be a list, not '1,2'"),
        (list[int], [1, "b"], "f: x[1] must be a whole number, not 'b'"),
        (dict[str, list[bool]], {"k": [True, 0]}, "f: x['k'][1] must be true or false, not 0"),
        (tuple[int, int], [1], "f: x must be a list of 2, not [1]"),
        (Literal["a", "b"], "c", "f: x must be one of 'a', 'b', not 'c'"),
        (Literal["a", 1], True, "f: x must be one of 'a', 1, not true"),
        (ours.Colour, "blue", "f: x must be one of 'red', 'green', not 'blue'"),
    ],
)
def test_a_misfit_is_an_error_that_names_the_argument(annotation: Any, given: Any, says: str) -> None:
    with pytest.raises(Misfit) as no:
        fit(takes(annotation), given)
    assert str(no.value) == says


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {}, "train: missing a required argument: 'data'"),
        (("a",), {"data": "b"}, "train: multiple values for argument 'data'"),
        (("a", 1, 1, "red", "fast", [], 7), {}, "train: too many positional arguments"),
    ],
)
def test_arguments_that_do_not_match_the_signature_are_an_error(args: Any, kwargs: Any, says: str) -> None:
    with pytest.raises(Misfit) as no:
        fit(ours.train, *args, **kwargs)
    assert str(no.value) == says


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_ANNOTATIONS = (
    int,
    float,
    bool,
    str,
    int | None,
    str | int,
    list[int],
    dict[str, float],
    tuple[int, ...],
    Literal["a", 1],
    ours.Colour,
)


@given(_JSON, st.sampled_from(_ANNOTATIONS))
def test_whatever_comes_it_fits_or_is_refused_and_what_fits_stays_as_it_is(value: Any, annotation: Any) -> None:
    try:
        (taken,) = fit(takes(annotation), value)
    except Misfit as no:
        assert str(no).startswith("f: x")
        return
    if annotation is not ours.Colour:
        (again,) = fit(takes(annotation), json.loads(json.dumps(taken)))
        assert (again, type(again)) == (taken, type(taken))


@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_what_a_command_line_writes_is_what_python_reads(whole: int, number: float, truth: bool) -> None:
    assert fit(takes(int), str(whole)) == (whole,)
    assert fit(takes(float), repr(number)) == (number,)
    assert fit(takes(bool), json.dumps(truth)) == (truth,)


# -- a call, in an interpreter of its own


async def test_texts_of_a_command_line_arrive_as_what_the_annotations_say(tmp_path: Path) -> None:
    process = await call(tmp_path, "train", "here", "3", kwargs={"rate": "0.5", "colour": "green", "note": "x"})
    (out,) = process["out"]
    assert (out["epochs"], out["rate"], out["colour"], out["note"]) == (3, 0.5, "green", "x")


async def test_a_misfit_fails_the_process_with_one_sentence_and_no_traceback(tmp_path: Path) -> None:
    process = await call(tmp_path, "sum", 1, "two")
    assert process["errors"] == ["sum: numbers must be a whole number, not 'two'"]
    assert process["log"] == ""


async def test_an_error_of_the_function_is_told_with_its_traceback(tmp_path: Path) -> None:
    process = await call(tmp_path, "breaks", "4")
    assert process["errors"] == ["LookupError: no such thing as 4"]
    assert "Traceback" in process["log"]


async def test_a_list_is_one_output_and_a_tuple_is_several(tmp_path: Path) -> None:
    assert (await call(tmp_path / "a", "words", "one"))["out"] == [["one"]]
    assert (await call(tmp_path / "b", "both"))["out"] == [1, "two"]


async def test_an_async_function_and_a_wrapped_one_run_too(tmp_path: Path) -> None:
    assert (await call(tmp_path / "a", "later", "now"))["out"] == ["NOW"]
    assert (await call(tmp_path / "b", "double", "3"))["out"] == [12]


async def test_a_function_that_is_not_marked_gets_its_arguments_as_they_came(tmp_path: Path) -> None:
    found = await describe(["tests.device.offered:add"], search_path(), os.environ)
    process = await run(tmp_path, PythonRunner(found, search_path(), supervisor()), "add", "1", "2")
    assert process["out"] == ["12"]
