"""Links to upstream nodes in node.toml: the same options as the flags of `sync add`, read and refused alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest

from colonies_node import config
from colonies_node.core.broker.sync import names
from colonies_node.core.errors import SettingRefused
from colonies_node.core.model.sync import Upstream
from colonies_node.settings import Settings
from colonies_node.upstream import OPTIONS, Option
from tests.cli.shell import Shell

FULL = """
    colony_name = "lab"
    [upstream.base]
    url = "https://base:50080"
    upstream_colony = "big"
    key = "keys/pi.key"
    as = "pi1"
    type = "pi"
    offload = ["missing", "waited > 10m and not charging"]
    accept = ["gpu"]
    record = true
    order = "priority"
    budget = "5M"
    window = 7
    free = 3
    node = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
    protocol = "cbor"
    tls_verify = "ca.pem"
"""

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Read a node.toml with a text, for a command."""

    def read(text: str, command: str = "serve", environ: dict[str, str] | None = None) -> Settings:
        path = tmp_path / "node.toml"
        path.write_text("\n".join(line.strip() for line in text.splitlines()))
        return config.load(command, {}, environ or {}, path)

    return read


def test_a_table_says_all_that_flags_can_say(load: Load, tmp_path: Path) -> None:
    (one,) = load(FULL).upstreams
    assert one == Upstream(
        name="base",
        url="https://base:50080",
        colonyname="lab",
        upstreamcolony="big",
        keyfile=str(tmp_path / "keys/pi.key"),
        executorname="pi1",
        executortype="pi",
        offload=["missing", "waited > 10m and not charging"],
        accept=["gpu"],
        record=True,
        order="priority",
        budget=5_000_000,
        window=7,
        free=3,
        nodeid="d" * 64,
        protocol="cbor",
        tlsverify=str(tmp_path / "ca.pem"),
    )


def test_every_field_of_a_link_has_an_option_of_its_own() -> None:
    assert sorted(option.field for option in OPTIONS.values()) == sorted(
        field for field in Upstream.__struct_fields__ if field != "name"
    )
    assert len({option.flags for option in OPTIONS.values()}) == len(OPTIONS)


def test_what_a_table_leaves_out_has_its_default(load: Load) -> None:
    (one,) = load("[upstream.base]\nurl = 'http://base'\ncolony = 'lab'").upstreams
    assert (one.executortype, one.offload, one.keyfile) == ("node", ["missing"], "")
    assert one.executorname == config.machine_name()
    (other,) = load("[upstream.base]\nurl = 'http://base'\ncolony = 'lab'\naccept = 'gpu'").upstreams
    assert not other.offload and other.accept == ["gpu"]


def test_tables_stand_in_the_order_of_the_file(load: Load) -> None:
    tables = "\n".join(f"[upstream.{name}]\nurl = 'http://{name}'\ncolony = 'lab'" for name in ("b", "a", "c"))
    assert [one.name for one in load(tables).upstreams] == ["b", "a", "c"]


def test_the_colony_is_that_of_the_setting_unless_the_table_names_one(load: Load) -> None:
    table = "[upstream.base]\nurl = 'http://base'"
    assert load(f"colony_name = 'lab'\n{table}").upstreams[0].colonyname == "lab"
    environ = {"COLONIES_COLONY_NAME": "dev"}
    assert load(f"colony_name = 'lab'\n{table}", environ=environ).upstreams[0].colonyname == "dev"
    assert load(f"colony_name = 'lab'\n{table}\ncolony = 'own'").upstreams[0].colonyname == "own"


@pytest.mark.parametrize("command", ["execute", "member", "server owner"])
def test_only_nodes_read_what_the_tables_say(load: Load, command: str) -> None:
    assert load("[upstream.base]\nurl = 5", command).upstreams == ()
    with pytest.raises(SettingRefused, match="url of"):
        load("[upstream.base]\nurl = 5", "dev")


@pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda option: option.name)
def test_a_wrong_value_is_refused_by_the_key_and_the_table(load: Load, option: Option) -> None:
    with pytest.raises(SettingRefused) as refusal:
        load(f"[upstream.base]\n{option.name} = {{}}")
    assert f"{option.name} of [upstream.base] in node.toml must be {option.kind.expected}" in str(refusal.value)


BASE = "[upstream.base]\nurl = 'http://base'\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BASE + "urll = 1", r"\[upstream.base\] has no option 'urll': did you mean 'url'\?"),
        (BASE + "colour = 1", r"\[upstream.base\] has no option 'colour': .*offload"),
        ("upstream = 1", r"each upstream has a table of its own, \[upstream.NAME\]"),
        ("[upstream]\nurl = 'http://base'", r"each upstream has a table of its own"),
        ("[[upstream]]\nurl = 'http://base'", r"each upstream has a table of its own"),
        ("[upstrem.base]", "has no setting 'upstrem': did you mean 'upstream'"),
        (BASE, r"\[upstream.base\] in node.toml: An upstream needs the name of the colony here"),
        (BASE + "colony = 'lab'\nurl2 = ''", "has no option 'url2'"),
        ("[upstream.base]\ncolony = 'lab'", r"\[upstream.base\] in node.toml: The address of an upstream must begin"),
        ("[upstream.'a:b']\ncolony = 'lab'", "must not contain a colon"),
        ("[upstream.'']\ncolony = 'lab'", "An upstream needs a name"),
        (BASE + "colony = 'lab'\noffload = 'batery < 30'", r"\[upstream.base\] in node.toml: .*batery"),
        (BASE + "budget = -1", "budget of .* must be bytes"),
        (BASE + "budget = true", "budget of .* must be bytes"),
        (BASE + "budget = '5P'", "budget of .* must be bytes"),
        (BASE + "window = 0", "window of .* must be a whole number from 1"),
        (BASE + "accept = ['']", "accept of .* must be one or more types"),
    ],
)
def test_a_wrong_table_is_refused(load: Load, text: str, says: str) -> None:
    with pytest.raises(SettingRefused, match=says):
        load(text)


def test_a_wrong_name_in_a_table_is_refused_by_every_command(load: Load) -> None:
    for command in ("serve", "execute", "member"):
        with pytest.raises(SettingRefused, match="did you mean 'url'"):
            load("[upstream.base]\nurll = 1", command)


def test_a_key_itself_is_no_option_and_is_not_shown(load: Load) -> None:
    with pytest.raises(SettingRefused) as refusal:
        load(f"[upstream.base]\nkey = '{'e' * 64}'")
    assert "must name a key file" in str(refusal.value) and "e" * 64 not in str(refusal.value)


@pytest.mark.parametrize(("given", "amount"), [("5M", 5_000_000), ("512Ki", 512 << 10), (700, 700), (0, 0)])
def test_a_budget_is_written_as_people_do(load: Load, given: Any, amount: int) -> None:
    (one,) = load(f"{BASE}colony = 'lab'\nbudget = {msgspec.json.encode(given).decode()}").upstreams
    assert one.budget == amount


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sync.md").read_text()


def test_the_example_of_the_manual_is_read_as_it_says(load: Load, tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.S)
    assert example
    (one,) = load(example[1]).upstreams
    assert (one.name, one.keyfile, one.record, one.budget) == ("base", str(tmp_path / "base.key"), True, 5_000_000)


def test_the_manual_explains_the_notes_that_nodes_write_on_processes() -> None:
    assert set(re.findall(r"^\| `(sync\.\w+)` \|", PAGE, re.M)) == {names.WHERE, names.ORIGIN, names.LATE}


def test_a_file_without_tables_has_no_upstreams(load: Load) -> None:
    assert load("port = 1").upstreams == ()
    assert load("[upstream]").upstreams == ()
    assert next(field.default for field in fields(Settings) if field.name == "upstreams") == ()


def test_the_settings_that_are_shown_have_the_upstreams_of_the_file(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(FULL)
    shown = shell.record("config show --config", str(path))
    assert shown["upstream.base"] == {"value": "https://base:50080", "source": "node.toml"}
    path.write_text(FULL.replace("window = 7", "window = 0"))
    assert "window of [upstream.base] in node.toml must be" in shell.refused("config show --config", str(path))
