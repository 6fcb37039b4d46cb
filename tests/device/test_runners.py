"""What a function name means here: programs and Python functions, run for real."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import trio

from colonies_node.core.errors import BadRequest, SettingRefused
from colonies_node.device.environment import inherited, wanted
from colonies_node.device.runners import MAX_OUTPUT, Runner
from colonies_node.device.runners.python import PythonRunner, describe, search_path
from colonies_node.device.runners.shell import ShellRunner, argument_text
from colonies_node.device.work import Work
from tests.device.colony import EXECUTOR_ID, FAILED, Colony
from tests.device.shop import live, registration, supervisor, workshop

HERE = "tests.device.offered"


async def run(tmp_path: Path, runner: Runner, funcname: str, *args: Any, **spec: Any) -> dict[str, Any]:
    """Run one process to its end; the process as the server has it then, with its log as `log`."""
    colony = Colony()
    await registration(colony).join()
    processid = colony.submit("p", funcname, *args, **spec)
    shop = workshop(colony, tmp_path, [runner], ["add", "later"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner.run)
        await live(Work(shop, colony.give_to(processid, EXECUTOR_ID)))
        nursery.cancel_scope.cancel()
    assert await shop.delivery.deliver_waiting()
    return {**colony.processes[processid], "log": colony.log_of(processid)}


async def shell(tmp_path: Path, program: str, *args: Any, **spec: Any) -> dict[str, Any]:
    return await run(tmp_path, ShellRunner(supervisor()), program, *args, **spec)


async def python(tmp_path: Path, name: str, *args: Any, **spec: Any) -> dict[str, Any]:
    offers = await describe([f"{HERE}:{name}"], search_path(), os.environ)
    return await run(tmp_path, PythonRunner(offers, search_path(), supervisor()), name, *args, **spec)


async def test_what_a_program_prints_is_its_output_and_its_log(tmp_path: Path) -> None:
    process = await shell(tmp_path, "printf", "%s\\n", "two words", 5, 1.5, True, {"a": 1})
    assert process["out"] == ['two words\n5\n1.5\ntrue\n{"a":1}']
    assert process["log"] == 'two words\n5\n1.5\ntrue\n{"a":1}\n'


async def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    process = await shell(tmp_path, "echo", "$(id)", "; ls", "*")
    assert process["out"] == ["$(id) ; ls *"]


async def test_a_program_that_prints_nothing_has_no_output(tmp_path: Path) -> None:
    assert (await shell(tmp_path, "true"))["out"] == []


async def test_an_exit_status_fails_the_process_with_the_end_of_its_complaints(tmp_path: Path) -> None:
    process = await shell(tmp_path, "sh", "-c", "echo first; echo 'it broke' >&2; exit 3")
    assert process["state"] == FAILED
    assert process["errors"] == ["sh exited with status 3: it broke"]
    assert sorted(process["log"].splitlines()) == ["first", "it broke"]


async def test_a_signal_fails_the_process_and_is_named(tmp_path: Path) -> None:
    assert (await shell(tmp_path, "sh", "-c", "kill -ABRT $$"))["errors"] == ["sh was killed by SIGABRT"]


async def test_a_program_that_is_not_there_fails_with_a_sentence(tmp_path: Path) -> None:
    process = await shell(tmp_path, "no-such-program")
    assert process["errors"] == ["There is no program 'no-such-program' on this executor."]


async def test_kwargs_of_a_program_are_refused_by_name(tmp_path: Path) -> None:
    process = await shell(tmp_path, "true", kwargs={"b": 1, "a": 2})
    assert process["errors"] == ["A program takes its arguments from args, not from kwargs. Found: a, b."]


async def test_a_nul_in_an_argument_is_refused(tmp_path: Path) -> None:
    process = await shell(tmp_path, "echo", "a\0b")
    assert process["errors"] == ["A program's name and arguments cannot hold a NUL character."]


async def test_arguments_beyond_what_the_system_takes_fail_with_its_words(tmp_path: Path) -> None:
    process = await shell(tmp_path, "echo", "x" * 4_000_000)
    assert process["errors"] == ["echo could not be run: Argument list too long."]


async def test_output_that_is_no_text_still_arrives(tmp_path: Path) -> None:
    assert (await shell(tmp_path, "printf", "a\\377b"))["out"] == ["a\N{REPLACEMENT CHARACTER}b"]


async def test_a_flood_is_cut_in_the_output_and_thinned_in_the_log(tmp_path: Path) -> None:
    process = await shell(tmp_path, "sh", "-c", "yes 0123456789 | head -c 40000000")
    (text,) = process["out"]
    kept, _, note = text.rpartition("\n")
    assert len(kept) == MAX_OUTPUT
    assert note == f"[cut here: {40_000_000 - MAX_OUTPUT} more bytes are in the log]"
    assert process["log"].startswith("0123456789\n")
    assert "lines are missing here" in process["log"]
    assert process["log"].endswith("0123456789\n0123456\n")
    assert len(process["log"]) < 20_000_000


async def test_a_program_runs_in_a_folder_of_its_own_with_the_variables_it_asked_for(tmp_path: Path) -> None:
    script = "echo $WORD $COLONIES_PROCESS_ID; pwd; ls -A"
    process = await shell(tmp_path, "sh", "-c", script, env={"WORD": "a b", "COLONIES_PROCESS_ID": "somebody else"})
    said, folder = process["out"][0].splitlines()
    assert said == f"a b {process['processid']}"
    assert folder == str(tmp_path / "work" / process["processid"] / "files")
    assert list((tmp_path / "work").iterdir()) == []


async def test_an_env_that_no_program_can_have_is_refused(tmp_path: Path) -> None:
    process = await shell(tmp_path, "true", env={"A=B": "x"})
    assert "'A=B'" in process["errors"][0]


@pytest.mark.parametrize(
    ("name", "args", "out"),
    [
        ("add", [1, 2], [3]),
        ("add", [1], [2]),
        ("nothing", [], []),
        ("several", [], ["a", 1, None]),
        ("pair", [], [1, 2]),
        ("record", [], [{"a": 1}]),
        ("later", ["word"], ["WORD"]),
    ],
)
async def test_what_a_function_returns_is_the_output(
    tmp_path: Path, name: str, args: list[Any], out: list[Any]
) -> None:
    assert (await python(tmp_path, name, *args))["out"] == out


async def test_a_function_takes_kwargs(tmp_path: Path) -> None:
    assert (await python(tmp_path, "add", 1, kwargs={"second": 41}))["out"] == [42]


async def test_what_a_function_prints_goes_to_the_log_only(tmp_path: Path) -> None:
    process = await python(tmp_path, "nothing")
    assert (process["log"], process["out"]) == ("done\n", [])


async def test_an_exception_fails_the_process_and_its_traceback_is_in_the_log(tmp_path: Path) -> None:
    process = await python(tmp_path, "fails")
    assert process["errors"] == ["LookupError: no such thing"]
    assert process["log"].startswith("Traceback (most recent call last):\n")
    assert process["log"].endswith("LookupError: no such thing\n")
    assert "child.py" not in process["log"]


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("add", [], "TypeError: add() missing 1 required positional argument: 'first'"),
        ("leaves", [], "SystemExit: enough"),
        ("drops", [], "drops exited with status 3"),
        ("unspeakable", [], "What unspeakable returned has no form in JSON: Object of type set is not JSON"),
        ("not_a_number", [], "What not_a_number returned has no form in JSON: Out of range float values"),
    ],
)
async def test_a_function_that_gives_no_output_fails_with_the_reason(
    tmp_path: Path, name: str, args: list[Any], error: str
) -> None:
    assert (await python(tmp_path, name, *args))["errors"][0].startswith(error)


async def test_a_function_that_is_not_offered_is_refused_naming_those_that_are(tmp_path: Path) -> None:
    process = await run(tmp_path, PythonRunner([], [], supervisor()), "nope")
    assert process["errors"] == ["This executor does not offer the function 'nope'. It offers: add, later."]


async def test_a_function_sees_its_folder_and_the_variables_of_its_spec(tmp_path: Path) -> None:
    process = await python(tmp_path, "environment", env={"WORD": "x", "PYTHONSTARTUP": "/etc/passwd"})
    (seen,) = process["out"]
    assert seen["WORD"] == "x"
    assert seen["COLONIES_PROCESS_ID"] == process["processid"]
    assert (await python(tmp_path / "b", "here"))["out"][0].endswith("files")


async def test_signature_and_docstring_describe_a_function() -> None:
    add, later = await describe([f"{HERE}:add", f"{HERE}:later"], search_path(), os.environ)
    assert (add.name, add.description) == ("add", "Add two numbers.")
    assert list(add.args) == [
        {"name": "first", "type": "int", "required": True},
        {"name": "second", "type": "int", "required": False},
    ]
    assert later.description == "Wait for a moment."


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (f"{HERE}:absent", "has no attribute 'absent'"),
        ("no.such.module:f", "ModuleNotFoundError: No module named 'no'"),
        (f"{HERE}:not_callable", "is not a function"),
    ],
)
async def test_a_function_that_cannot_be_offered_is_refused_at_the_start(target: str, words: str) -> None:
    with pytest.raises(SettingRefused, match=words):
        await describe([target], search_path(), os.environ)


async def test_two_functions_of_one_name_are_refused() -> None:
    with pytest.raises(SettingRefused, match="same name: add"):
        await describe([f"{HERE}:add", "operator:add"], search_path(), os.environ)


def test_programs_inherit_the_environment_without_anything_secret() -> None:
    environ = {
        "PATH": "/bin",
        "COLONIES_PRVKEY": "a" * 64,
        "COLONIES_COLONY_PRVKEY": "b" * 64,
        "AWS_S3_SECRETKEY": "c",
        "MY_COPY": f"key={'a' * 64}",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "120000000",
        "WATCHDOG_PID": "1",
        "LISTEN_FDS": "1",
        "CREDENTIALS_DIRECTORY": "/run/credentials/colonies-executor.service",
    }
    assert inherited(environ, ["a" * 64]) == {"PATH": "/bin"}


def test_an_env_that_is_no_map_is_refused() -> None:
    with pytest.raises(BadRequest, match="not a map"):
        wanted(["A"])
    assert wanted(None) == {}


@pytest.mark.parametrize("value", [None, True, 5, 1.5, "x", [1], {"a": "ä"}])
def test_an_argument_that_is_no_text_is_written_as_json(value: Any) -> None:
    text = argument_text(value)
    assert text == value if isinstance(value, str) else json.loads(text) == value
