"""The manual: what it says of settings and commands is what the program does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from colonies_node.cli.config import manual
from colonies_node.cli.main import root

DOCS = Path(__file__).resolve().parents[2] / "docs"
START, END = "<!-- settings: made by `colonies-node config show --markdown` -->", "<!-- end of settings -->"


def test_the_table_of_settings_is_the_one_that_the_program_prints() -> None:
    _, _, rest = (DOCS / "configuration.md").read_text().partition(START)
    assert rest.partition(END)[0].strip() == manual()


def commands_in(text: str) -> list[str]:
    text = re.sub(r"^sudo ", "", text, flags=re.M)
    found = re.findall(
        r"^colonies-node [^\n]*|`colonies-node [^`\n]*`|<\(colonies-node [^)]*\)|\$\(colonies-node [^)]*\)", text, re.M
    )
    return [line.strip("`<$()") for line in found]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_every_command_of_the_manual_exists_with_its_flags(page: Path) -> None:
    lines = commands_in(page.read_text())
    assert lines
    for line in lines:
        line = re.sub(r"\$\([^)]*\)", "ID", line)
        words = shlex.split(line, comments=True)[1:]
        command: click.Command | None = root
        while words and isinstance(command, click.Group) and words[0] != "COMMAND" and not words[0].startswith("-"):
            command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, line
        flags = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)} | {"--help"}
        before = words[: words.index("--")] if "--" in words else words
        given = {word.partition("=")[0] for word in before if word.startswith("--")}
        assert given <= flags, f"{line}: {given - flags}"
