"""Help: every command explains itself, and it comes fast."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from colonies_node.cli.main import COMMANDS, root
from tests.cli.shell import Shell


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


EVERY = dict(commands(root))
LEAVES = [path for path, command in EVERY.items() if not isinstance(command, click.Group)]


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_explains_itself(shell: Shell, path: tuple[str, ...]) -> None:
    out = shell.out(" ".join((*path, "--help")))
    assert out.startswith(f"Usage: colonies-node {' '.join(path)}")
    assert not any(len(line) > 110 for line in out.splitlines())


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_shows_an_example_of_itself(shell: Shell, path: tuple[str, ...]) -> None:
    _, _, examples = shell.out(" ".join((*path, "-h"))).partition("Examples:\n")
    assert f"colonies-node {' '.join(path)}" in examples


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    for name, says in COMMANDS.items():
        assert (EVERY[(name,)].help or "").splitlines()[0] == says


def test_every_command_that_asks_a_server_prints_json_when_asked_to() -> None:
    asking = [path for path in LEAVES if any(option.name == "server_host" for option in EVERY[path].params)]
    asking.remove(("execute",))
    assert len(asking) > 30
    assert [path for path in asking if not any("--json" in option.opts for option in EVERY[path].params)] == []


def test_every_option_says_what_it_is_for() -> None:
    for path, command in EVERY.items():
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.help, f"{path} {option.name}"


@pytest.mark.parametrize(
    "line", [("--help",), ("--version",), ("process", "--help"), ("serve", "--help")], ids=" ".join
)
def test_help_loads_no_more_than_it_shows(line: tuple[str, ...]) -> None:
    """On a small machine each of these costs a noticeable part of a second."""
    script = (
        "import sys; from colonies_node.cli.main import main; code = main(sys.argv[1:]); "
        "heavy = {'quart', 'hypercorn', 'apsw', 'Crypto', 'coincurve', 'trio', 'httpx2'} & set(sys.modules); "
        "heavy |= {'colonies_node.settings'} & set(sys.modules) if len(sys.argv) == 2 else set(); "
        "sys.exit(f'loaded: {heavy}' if heavy else code)"
    )
    ended = subprocess.run([sys.executable, "-c", script, *line], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_wrong_command_is_a_sentence_and_exit_code_2(shell: Shell) -> None:
    assert "No such command 'proces'" in shell.refused("proces", code=2)


def test_second_spellings_lead_to_the_same_commands(shell: Shell) -> None:
    for alias, name in (
        ("process rm", "process remove"),
        ("executor list", "executor ls"),
        ("server stats", "server statistics"),
        ("security generate", "key generate"),
    ):
        assert shell.out(f"{alias} --help").splitlines()[2:] == shell.out(f"{name} --help").splitlines()[2:]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_the_shell(shell: Shell, name: str) -> None:
    assert "_COLONIES_NODE_COMPLETE" in shell.out(f"completion {name}")


def test_a_reader_that_goes_away_is_no_error() -> None:
    script = f"{sys.executable} -m colonies_node config show --json | head -c 1"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, check=False)
    assert ended.stderr == ""
