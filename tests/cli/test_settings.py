"""Settings: where a value comes from, what is refused, and that one table tells it all."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from colonies_node import config
from colonies_node.core.errors import SettingRefused
from colonies_node.settings import (
    BOOL,
    COMMANDS,
    CONDITION,
    CONTAINER,
    DURABILITY,
    FUNCTIONS,
    ID,
    KEY,
    NAME,
    NETWORK,
    NODES,
    PATH,
    PLACE,
    POSITION,
    SETTINGS,
    SLURM_CONTAINER,
    SLURM_MODULES,
    SLURM_NAME,
    SLURM_OPTIONS,
    TEXT,
    VERIFY,
    Row,
    Settings,
)

ROWS = list(SETTINGS.values())
A, B, C = "a" * 64, "b" * 64, "c" * 64

VALUES: dict[object, tuple[str, str, str]] = {
    TEXT: ("one", "two", '"three"'),
    NAME: ("one", "two", '"three"'),
    BOOL: ("true", "false", "true"),
    PATH: ("/one", "/two", '"/three"'),
    ID: (A, B, f'"{C}"'),
    KEY: (A, B, '"/three"'),
    VERIFY: ("/one", "false", '"/three"'),
    PLACE: ("true", "false", '"127.0.0.1:9100"'),
    DURABILITY: ("full", "normal", '"full"'),
    CONTAINER: ("auto", "podman", '"docker"'),
    NETWORK: ("asked", "never", '"always"'),
    SLURM_NAME: ("one", "two", '"three"'),
    SLURM_OPTIONS: ("--qos=long", "--exclusive --qos=short", '["--qos=long"]'),
    SLURM_MODULES: ("gcc", "gcc,mpi/4.1", '["gcc"]'),
    SLURM_CONTAINER: ("apptainer", "podman", '"ch-run"'),
    CONDITION: ("charging", "load < 1", '"battery > 30"'),
    FUNCTIONS: ("a:b", "c:d,e:f", '["g:h"]'),
    POSITION: ("65.5,22", "-90, 180", "[0.5, -1]"),
}
"""Kind → a value for the flag, for the variable, and for node.toml; other kinds are whole numbers."""


def picked(row: Row, flags: dict[str, object], environ: dict[str, str], toml: dict[str, object]) -> tuple[str, object]:
    found = config.given(row, flags, environ, toml)
    assert found is not None
    return found.source, config.read(row, found, Path("/etc/node.toml"), open_key=str)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(row: Row) -> None:
    import tomllib

    flag, variable, line = VALUES.get(row.kind, ("11", "12", "13"))
    toml = tomllib.loads(f"{row.name} = {line}")
    flags: dict[str, object] = {row.name: (flag,) if row.kind is FUNCTIONS else flag}
    environ = dict.fromkeys(row.env, variable)

    assert picked(row, flags, environ, toml)[0] == "flag"
    assert picked(row, {}, environ, toml)[0] == f"environment {row.env[0]}"
    assert picked(row, {}, {}, toml)[0] == "node.toml"
    assert config.given(row, {}, {}, {}) is None
    read = {str(picked(row, *sources)[1]) for sources in ((flags, environ, toml), ({}, environ, toml))}
    assert len(read) == 2, "the two values are different, so it is the value that was picked, not only its name"


@pytest.mark.parametrize("row", [row for row in ROWS if len(row.env) > 1], ids=lambda row: row.name)
def test_the_first_named_variable_wins_over_the_second(row: Row) -> None:
    flag, variable, _ = VALUES.get(row.kind, ("11", "12", "13"))
    first, second = row.env[:2]
    assert picked(row, {}, {first: flag, second: variable}, {})[0] == f"environment {first}"
    assert picked(row, {}, {first: "", second: variable}, {})[0] == f"environment {second}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_value_that_cannot_be_read_is_refused_by_the_name_it_was_given_under(row: Row) -> None:
    bad = {TEXT: 5, PATH: 5, KEY: 5, VERIFY: 5}.get(row.kind, "not: any of it")
    for flags, environ, toml, name in (
        ({row.name: bad}, {}, {}, row.flags[0]),
        ({}, {}, {row.name: bad}, f"{row.name} in node.toml"),
    ):
        with pytest.raises(SettingRefused, match=name) as refusal:
            picked(row, flags, environ, toml)
        assert row.kind.expected in str(refusal.value)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_gets_the_defaults_when_nothing_is_set(command: str) -> None:
    settings = config.load(command, {}, {})
    for item in fields(Settings):
        if item.name not in (*config.DERIVED, "sources"):
            assert getattr(settings, item.name) == item.default
    assert {settings.source(name) for name in SETTINGS} == {"default"}


def test_each_command_keeps_its_data_apart() -> None:
    folders = {config.load(command, {}, {"XDG_DATA_HOME": "/d"}).data for command in ("serve", "dev", "execute")}
    assert folders == {Path(f"/d/colonies-node/{command}") for command in ("serve", "dev", "execute")}


def test_the_device_is_that_of_the_executor() -> None:
    assert config.load("device", {}, {"XDG_DATA_HOME": "/d"}).data == Path("/d/colonies-node/execute")


@pytest.mark.parametrize("text", ["", "65", "65,22,0", "91,0", "0,181", "-90.1,0", "nan,0", "1e1,2", "north,east", ","])
def test_a_position_is_a_place_on_earth(text: str) -> None:
    with pytest.raises(SettingRefused, match="--position must be a latitude and a longitude"):
        config.load("device", {"position": text}, {})


def test_a_command_reads_only_the_settings_that_it_takes() -> None:
    """A bad key in COLONIES_COLONY_PRVKEY is no reason to refuse a command that does not use it."""
    environ = {"COLONIES_COLONY_PRVKEY": "nonsense", "COLONIES_RETENTION": "nonsense"}
    assert config.load("member", {}, environ).colony_prvkey is None


def test_every_flag_and_variable_of_the_table_is_told_once_per_command() -> None:
    for command in COMMANDS:
        flags = [flag for row in ROWS if command in row.commands for flag in row.flags]
        assert len(flags) == len(set(flags)), command
    assert all(row.help.endswith(".") for row in ROWS)
    assert all(row.env and row.flags and row.commands for row in ROWS)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("TRUE", True), ("1", True), ("t", True), ("yes", True), ("false", False), ("0", False)],
)
def test_truth_is_written_as_in_the_reference_and_a_little_more(text: str, value: bool) -> None:
    assert config.load("serve", {}, {"COLONIES_ALLOW_EXECUTOR_REREGISTER": text}).allow_executor_reregister is value


def test_an_empty_variable_counts_as_not_set() -> None:
    settings = config.load("member", {}, {"COLONIES_SERVER_HOST": "", "COLONIES_TLS": ""})
    assert (settings.server_host, settings.tls) == ("localhost", False)


def test_retention_without_an_age_refuses_to_start() -> None:
    with pytest.raises(SettingRefused, match="--retention-policy"):
        config.load("serve", {}, {"COLONIES_RETENTION": "true"})
    settings = config.load("serve", {"retention_policy": "60"}, {"COLONIES_RETENTION": "true"})
    assert (settings.retention, settings.retention_policy) == (True, 60)


@pytest.fixture
def pem(tmp_path: Path) -> dict[str, object]:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    return {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}


def test_a_certificate_with_its_key_turns_on_tls(pem: dict[str, object]) -> None:
    assert config.load("serve", pem, {}).tls
    assert config.load("serve", pem, {"COLONIES_TLS": "false"}).tls, "flags are stronger than variables"


def test_no_tls_means_none_even_if_variables_name_files(pem: dict[str, object]) -> None:
    environ = {"COLONIES_TLSCERT": str(pem["tls_cert"]), "COLONIES_TLSKEY": str(pem["tls_key"])}
    settings = config.load("serve", {"tls": False}, environ)
    assert (settings.tls, settings.tls_cert, settings.tls_key) == (False, None, None)


@pytest.mark.parametrize(
    ("flags", "environ", "says"),
    [
        ({"tls_cert": "/x"}, {}, "--tls-key"),
        ({"tls_key": "/x"}, {}, "--tls-cert"),
        ({}, {"COLONIES_TLS": "true"}, "COLONIES_TLS"),
        ({"tls_cert": "/x", "tls_key": "/y"}, {}, "Failed to load TLS Cert: /x"),
    ],
)
def test_half_a_tls_configuration_refuses_to_start(
    flags: dict[str, object], environ: dict[str, str], says: str
) -> None:
    with pytest.raises(SettingRefused, match=says):
        config.load("serve", flags, environ)


def test_a_file_of_certificates_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingRefused, match="/nowhere"):
        config.load("member", {"tls_verify": "/nowhere"}, {})


def test_the_file_is_found_by_flag_then_variable_then_at_home(tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert config.toml_file(None, home) is None
    own = tmp_path / "colonies-node" / "node.toml"
    own.parent.mkdir()
    own.touch()
    assert config.toml_file(None, home) == own
    assert config.toml_file(None, home | {"COLONIES_CONFIG": "/b"}) == Path("/b")
    assert config.toml_file("/a", home | {"COLONIES_CONFIG": "/b"}) == Path("/a")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prot = 1", "did you mean 'port'"),
        ("zzzzzzzz = 1", "config show"),
        ("verify_cert = 1", "config show"),
        ("colour = 1", "config show"),
        ("version = 1", "config show"),
        ("port = 'x'", "port in node.toml must be"),
        ("port = true", "port in node.toml must be"),
        ("port =", "is not TOML"),
        (f"prvkey = '{A}'", "must name a key file"),
    ],
)
def test_a_wrong_line_of_the_file_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(text)
    with pytest.raises(SettingRefused, match=says):
        config.load("serve", {}, {}, path)
        config.load("member", {}, {}, path)


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingRefused, match="No such file"):
        config.load("serve", {}, {}, tmp_path / "none.toml")


def test_paths_in_the_file_stand_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text("data = 'd'\nprvkey = 'my.key'")
    assert config.load("serve", {}, {}, path).data == tmp_path / "d"
    assert config.load("member", {}, {}, path, open_key=str).prvkey == str(tmp_path / "my.key")


def test_a_relative_path_is_made_absolute_because_work_runs_in_other_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").touch()
    (tmp_path / "node.toml").write_text("data = 'd'\ntls_verify = 'ca.pem'")
    for command in ("serve", "dev", "execute"):
        assert config.load(command, {"data": "x1"}, {}).data == tmp_path / "x1"
        assert config.load(command, {}, {"COLONIES_DATA": "x1"}).data == tmp_path / "x1"
        assert config.load(command, {}, {}, Path("node.toml")).data == tmp_path / "d"
        assert config.load(command, {}, {"XDG_DATA_HOME": "x1"}).data.is_absolute()
    assert config.load("member", {"tls_verify": "ca.pem"}, {}).tls_verify == str(tmp_path / "ca.pem")
    assert config.load("member", {}, {}, Path("node.toml")).tls_verify == str(tmp_path / "ca.pem")


def test_a_function_that_cannot_be_read_is_shown_as_it_was_given() -> None:
    with pytest.raises(SettingRefused, match=r"^--fn must be .*, not 'sums:'\.$"):
        config.load("execute", {"functions": ("sums:",)}, {})


def test_keys_never_show_in_a_repr_or_a_refusal() -> None:
    settings = config.load("member", {"prvkey": A}, {})
    assert settings.prvkey == A
    assert A not in repr(settings)
    with pytest.raises(SettingRefused) as refusal:
        config.load("member", {"prvkey": A + "0"}, {})
    assert A not in str(refusal.value)


def test_a_missing_setting_is_asked_for_by_its_variable_and_flag() -> None:
    settings = config.load("member", {}, {})
    with pytest.raises(SettingRefused, match="set COLONIES_COLONY_NAME or give --colony"):
        config.need(settings, "colony_name")


def test_the_url_puts_brackets_around_an_ipv6_host() -> None:
    settings = config.load("member", {"server_host": "::1", "tls": True}, {})
    assert settings.server_url == "https://[::1]:50080"


def test_only_nodes_and_clients_take_settings() -> None:
    assert set(NODES) < set(COMMANDS)
    assert {command for row in ROWS for command in row.commands} == set(COMMANDS)
