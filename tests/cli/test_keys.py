"""Keys on disk: only the owner reads them, nothing is overwritten, and every command takes them."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from colonies_node.core.identity import id_of
from tests.cli.shell import Shell

KEY = "ddf7f7791208083b6a9ed975a72684f6406a269cfa36f1b1c32045c0a71fff05"
ID = "3fc05cf3df4b494e95d6a3d297a34f19938f7daa7422ab0d4f794454133341ac"


def key_file(path: Path, text: str = KEY + "\n", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_generated_key_is_new_and_belongs_to_its_id(shell: Shell) -> None:
    one, two = shell.record("key generate"), shell.record("key generate")
    assert one["prvkey"] != two["prvkey"]
    assert id_of(one["prvkey"]) == one["id"]


def test_json_may_stand_before_the_command_as_in_the_reference(shell: Shell) -> None:
    assert json.loads(shell.out("--json key id --prvkey", KEY)) == {"id": ID}


def test_a_key_file_is_readable_by_its_owner_only_and_never_overwritten(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "my.key"
    made = shell.record("key generate --out", str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert "prvkey" not in made
    assert shell.out("key id", str(path)) == made["id"]
    before = path.read_text()
    for more in ("", " --encrypt"):
        assert "never overwritten" in shell.refused(f"key generate{more} --out", str(path))
    assert path.read_text() == before


def test_a_link_in_the_place_of_a_new_key_file_is_not_followed(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    shell.refused("key generate --out", str(tmp_path / "link"))
    assert not (tmp_path / "elsewhere").exists()


def test_an_encrypted_key_tells_its_id_without_its_passphrase(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "my.key"
    shell.variables["COLONIES_KEY_PASSPHRASE_FILE"] = str(key_file(tmp_path / "pass", "correct horse\n"))
    made = shell.record("key generate --encrypt --out", str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    shell.variables.clear()
    assert shell.out("key id", str(path)) == made["id"]


def test_an_encrypted_key_that_others_may_read_is_accepted(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "my.key"
    shell.variables["COLONIES_KEY_PASSPHRASE"] = "correct horse"
    shell.run("key generate --encrypt --out", str(path))
    path.chmod(0o644)
    assert "no answer from http://localhost:1" in shell.refused("colony ls --port 1 --server-prvkey", str(path))


def test_an_encrypted_key_without_its_passphrase_is_named_once(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my.key"
    shell.variables["COLONIES_KEY_PASSPHRASE"] = "correct horse"
    shell.run("key generate --encrypt --out", str(path))
    shell.variables = {"COLONIES_SERVER_PRVKEY": str(path)}
    monkeypatch.setattr("sys.stdin", io.StringIO())
    said = shell.refused("colony ls")
    assert said.count(str(path)) == 1
    assert "is encrypted: give its passphrase" in said


def test_others_may_not_read_a_plain_key_or_a_passphrase(shell: Shell, tmp_path: Path) -> None:
    path = key_file(tmp_path / "my.key", mode=0o640)
    assert f"chmod 600 {path}" in shell.refused("key id", str(path))
    shell.variables["COLONIES_KEY_PASSPHRASE_FILE"] = str(key_file(tmp_path / "pass", "x\n", 0o644))
    assert "chmod 600" in shell.refused("key generate --encrypt --out", str(tmp_path / "new.key"))
    assert not (tmp_path / "new.key").exists()


@pytest.mark.parametrize("text", ["", "hello\n", KEY[:-1], KEY + KEY, "x" * 100_000, "\u20ac" * 64])
def test_a_file_that_is_no_key_file_is_told_as_such_whoever_may_read_it(
    shell: Shell, tmp_path: Path, text: str
) -> None:
    path = key_file(tmp_path / "other", text, 0o644)
    assert "is not a key file" in shell.refused("key id", str(path))


def test_what_may_be_a_mistyped_key_is_never_shown(shell: Shell) -> None:
    for wrong in (KEY[:-1], KEY + "0", "0x" + KEY, "z" * 64):
        said = shell.refused("key id", wrong)
        assert wrong not in said
        assert re.search("64 hexadecimal", said)


def test_the_id_of_the_key_that_is_set_is_the_default(shell: Shell) -> None:
    shell.variables["COLONIES_PRVKEY"] = KEY.upper()
    assert shell.out("key id") == ID


def test_config_show_tells_where_values_came_from_and_shows_no_key(shell: Shell, tmp_path: Path) -> None:
    shell.variables |= {"COLONIES_PRVKEY": KEY, "COLONIES_SERVER_PORT": "1234", "COLONIES_COLONY_PRVKEY": "lab.key"}
    (tmp_path / "node.toml").write_text("parallel = 3\n")
    found = shell.record("config show --config", str(tmp_path / "node.toml"))
    assert found["server_port"] == {"value": 1234, "source": "environment COLONIES_SERVER_PORT"}
    assert found["parallel"] == {"value": 3, "source": "node.toml"}
    assert found["prvkey"] == {"value": "a key (not shown)", "source": "environment COLONIES_PRVKEY"}
    assert found["colony_prvkey"]["value"] == "key file lab.key"
    assert found["tls"]["source"] == "default"
    for line in ("config show", "config show --json"):
        assert KEY not in shell.out(line)
