"""`install-service`: what the unit says, what systemd says of the unit, and what the command does and refuses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from colonies_node.cli import install_service, systemd
from colonies_node.cli.install_service import closed_to
from colonies_node.core.errors import SettingRefused
from colonies_node.unit import Syntax, Unit, check_name, plain, quoted
from tests.cli.shell import Shell

KEY = "4" * 64
KINDS = [
    ("serve", True, ""),
    ("serve", True, "daemon"),
    ("execute", True, ""),
    ("execute", True, "daemon"),
    ("serve", False, ""),
    ("execute", False, ""),
]


def unit(command: str, system: bool, run_as: str = "", **more: object) -> Unit:
    """A unit with something of everything in it."""
    facts: dict[str, object] = {
        "program": ["/bin/sh", "/bin/true"],
        "arguments": ["--name=a b", Syntax("--data=%S/some")],
        "credentials": {"colony_prvkey": Path("/etc/lab's key")} if system else {},
        "environment": {"PYTHONPATH": "/some where"},
        "folder": Path("/usr/share"),
        "grace": 30,
        "systemd": 0,
    }
    return Unit(name="some", command=command, system=system, run_as=run_as, **(facts | more))  # type: ignore[arg-type]


def lines(text: str) -> list[str]:
    """The lines of a unit that are no comments."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


# -- the text ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_unit_waits_for_no_network_and_never_gives_up(kind: tuple[str, bool, str]) -> None:
    said = lines(unit(*kind).text())
    assert not any("network-online" in line or line.startswith(("Wants=", "Requires=")) for line in said)
    assert {"Restart=always", "StartLimitIntervalSec=0", "Type=notify", "NotifyAccess=main", "WatchdogSec=2min"} <= {
        *said
    }


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_unit_says_each_thing_once(kind: tuple[str, bool, str]) -> None:
    names = [line.partition("=")[0] for line in lines(unit(*kind).text())]
    assert {name for name in names if names.count(name) > 1} <= {"Environment", "SystemCallFilter"}


def test_an_executor_has_more_time_to_stop_than_its_grace_and_last_delivery() -> None:
    said = lines(unit("execute", True, grace=3600).text())
    assert {"KillMode=mixed", "TimeoutStopSec=3660"} <= {*said}


def test_programs_of_an_executor_may_take_what_its_user_may() -> None:
    """Each of these lines would break programs: setuid helpers, containers, compilers, hardware."""
    for kind in (("execute", True, "daemon"), ("execute", False, "")):
        said = " ".join(lines(unit(*kind).text()))
        for name in (
            "NoNewPrivileges",
            "SystemCallFilter",
            "PrivateDevices",
            "RestrictNamespaces",
            "LimitCORE",
            "UMask",
        ):
            assert name not in said
        assert "Delegate=yes" in said


def test_a_port_of_root_is_the_one_right_that_a_server_can_get() -> None:
    said = lines(unit("serve", True, low_port=True).text())
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in said
    assert "PrivateUsers=yes" not in said  # the right would count for nothing in a user namespace
    assert "CapabilityBoundingSet=" in lines(unit("serve", True).text())


def test_growing_pauses_are_for_a_systemd_that_knows_them() -> None:
    assert "RestartSteps=6" in lines(unit("serve", True, systemd=254).text())
    assert "RestartSteps" not in unit("serve", True, systemd=252).text()


def read_back(written: str) -> str:
    """A word of a command line as systemd takes it: quotes and escapes, then specifiers, then variables."""
    if written.startswith('"'):
        assert written.endswith('"')
        inner = written[1:-1]
        assert not re.search(r'(?<!\\)(?:\\\\)*"', inner)
        written = re.sub(r"\\(?:x([0-9a-f]{2})|(.))", lambda got: chr(int(got[1], 16)) if got[1] else got[2], inner)
    else:
        assert not re.search(r"[\s\"'\\;]", written)
    assert not re.search(r"%(?!%)", written.replace("%%", ""))
    written = written.replace("%%", "%")
    assert "$" not in written.replace("$$", "")
    return written.replace("$$", "$")


@given(some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_word_of_the_command_line_is_read_back_as_it_was(word: str) -> None:
    written = quoted(word)
    assert "\n" not in written
    assert written
    assert read_back(written) == word


@given(some.text())
def test_a_value_to_the_end_of_the_line_is_one_line_or_refused(text: str) -> None:
    try:
        written = plain(text)
    except SettingRefused:
        return
    assert written.splitlines() == ([written] if text else [])
    assert written.replace("%%", "%") == text


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "a@b", "-a", "%n", "a" * 65])
def test_what_is_no_name_of_a_service_is_refused(name: str) -> None:
    with pytest.raises(SettingRefused, match="no name for a service"):
        check_name(name)


# -- what systemd says of it ---------------------------------------------------------------------------------

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here: install the package systemd"
)


@needs_systemd
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_systemd_finds_nothing_to_say_against_a_unit(kind: tuple[str, bool, str], tmp_path: Path) -> None:
    path = tmp_path / "some.service"
    path.write_text(unit(*kind).text())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *([] if kind[1] else ["--user"]), str(path)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("low_port", [False, True])
def test_systemd_counts_the_server_among_the_well_protected_services(low_port: bool, tmp_path: Path) -> None:
    path = tmp_path / "some.service"
    path.write_text(unit("serve", True, low_port=low_port).text())
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(path)], capture_output=True, text=True, check=False
    )
    found = re.search(r"exposure level for some.service: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= 2.0  # of 10; sshd has 9.6


# -- the command ---------------------------------------------------------------------------------------------


@dataclass
class Machine:
    """A machine with a systemd whose systemctl writes down what it is told."""

    shell: Shell
    units: Path
    calls: Path

    def install(self, *arguments: str) -> str:
        return self.shell.out("install-service", *arguments)

    def refused(self, *arguments: str, code: int = 1) -> str:
        return self.shell.refused("install-service", *arguments, code=code)

    def called(self) -> list[str]:
        """What systemctl was told since the last look."""
        said = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return [line for line in said if line != "--version"]


@pytest.fixture
def machine(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    (tmp_path / "bin").mkdir()
    calls = tmp_path / "calls"
    fake = tmp_path / "bin" / "systemctl"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n[ "$1" != --version ] || echo "systemd 252 (252.1)"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setattr(systemd, "RUNNING", tmp_path)
    monkeypatch.setattr(systemd, "SYSTEM_UNITS", tmp_path / "system")
    monkeypatch.setattr(systemd, "PACKAGED_UNITS", (tmp_path / "packaged",))
    return Machine(shell, tmp_path / "config" / "systemd" / "user", calls)


def test_it_writes_the_unit_and_starts_it(machine: Machine) -> None:
    said = machine.install("serve", "--user", "--", "--port", "0")
    path = machine.units / "colonies-node.service"
    assert f"Wrote {path}." in said
    assert path.stat().st_mode & 0o777 == 0o644
    assert machine.called() == ["--user daemon-reload", "--user enable --now colonies-node.service"]
    assert re.search(r"^ExecStart=\S+ -m colonies_node serve --port=0 --data=/\S+/share/colonies-node/serve$",
                     path.read_text(), re.M)  # fmt: skip


def test_once_more_changes_nothing_and_another_flag_is_shown(machine: Machine) -> None:
    machine.install("serve", "--user", "--", "--port", "1111")
    before = (machine.units / "colonies-node.service").read_text()
    assert "is as it should be" in machine.install("serve", "--user", "--", "--port", "1111")
    assert (machine.units / "colonies-node.service").read_text() == before
    machine.called()
    said = machine.install("serve", "--user", "--", "--port", "2222")
    changed = [line for line in said.splitlines() if line.startswith(("  -", "  +"))]
    assert len(changed) == 2 and "1111" in changed[0] and "2222" in changed[1]
    assert "systemctl --user restart colonies-node" in said
    assert not any("restart" in call for call in machine.called())  # running work is the user's to end
    assert os.listdir(machine.units) == ["colonies-node.service"]


def test_not_enabled_it_is_only_made_known(machine: Machine) -> None:
    assert "enable --now colonies-node" in machine.install("serve", "--user", "--no-enable")
    assert machine.called() == ["--user daemon-reload"]


def test_remove_stops_it_and_takes_the_unit_away(machine: Machine) -> None:
    machine.install("serve", "--user", "--name", "other")
    machine.called()
    assert "data stays" in machine.install("serve", "--user", "--name", "other", "--remove")
    assert machine.called() == ["--user disable --now other.service", "--user daemon-reload"]
    assert not list(machine.units.iterdir())
    assert "There is no" in machine.refused("serve", "--user", "--name", "other", "--remove")


@pytest.mark.parametrize("flag", ["--enable", "--remove"])
def test_a_unit_of_somebody_else_is_left_alone(machine: Machine, flag: str) -> None:
    machine.units.mkdir(parents=True)
    foreign = machine.units / "web.service"
    foreign.write_text("[Service]\nExecStart=/bin/true\n")
    assert "was not made by install-service" in machine.refused("serve", "--user", "--name", "web", flag)
    assert foreign.read_text() == "[Service]\nExecStart=/bin/true\n"
    assert machine.called() == []


def test_a_service_of_the_system_is_not_shadowed(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "packaged").mkdir()
    (tmp_path / "packaged" / "ssh.service").touch()
    assert "is a service of the system" in machine.refused("serve", "--user", "--name", "ssh")


def test_what_systemctl_says_against_it_is_told(machine: Machine, tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "systemctl"
    fake.write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    _, said = machine.shell.run("install-service serve --user", code=1)
    assert said == "Error: `systemctl --user daemon-reload` failed: Failed to connect to bus\n"


def test_without_systemd_it_says_what_else_there_is(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "RUNNING", tmp_path / "nowhere")
    said = machine.refused("serve", "--user")
    assert "systemd does not run this machine" in said and "--print" in said and "--path" in said
    target = tmp_path / "made.service"
    assert f"Wrote {target}" in machine.install("serve", "--system", "--path", str(target))
    assert target.read_text() == machine.install("serve", "--system", "--print") + "\n"
    assert machine.called() == []


def test_no_key_gets_into_a_unit(machine: Machine, tmp_path: Path) -> None:
    lab = ("--colony", "lab", "--shell")
    said = machine.refused("execute", "--print", "--", *lab, "--colony-prvkey", KEY)
    assert "name a key file" in said and KEY not in said
    machine.shell.variables["COLONIES_COLONY_PRVKEY"] = KEY
    out, err = machine.shell.run("install-service", "execute", "--print", "--", *lab)
    assert KEY not in out + err
    assert "COLONIES_COLONY_PRVKEY of this shell does not reach the service" in err


def test_a_key_file_reaches_a_service_of_the_machine_as_a_credential(machine: Machine, tmp_path: Path) -> None:
    key = tmp_path / "lab.key"
    key.write_text(KEY)
    key.chmod(0o600)
    flags = ("--", "--colony", "lab", "--shell", "--colony-prvkey", str(key))
    text = machine.install("execute", "--system", "--print", *flags)
    assert f"LoadCredential=colony_prvkey:{key}" in text
    assert "--colony-prvkey=${CREDENTIALS_DIRECTORY}/colony_prvkey" in text
    own = machine.install("execute", "--user", "--print", *flags)
    assert f"--colony-prvkey={key}" in own and "LoadCredential" not in own


def test_node_toml_goes_along_and_its_key_files_too(machine: Machine, tmp_path: Path) -> None:
    key = tmp_path / "lab.key"
    key.write_text(KEY)
    key.chmod(0o600)
    toml = tmp_path / "node.toml"
    toml.write_text('colony_name = "lab"\nshell = true\ngrace = 100\ncolony_prvkey = "lab.key"\n')
    text = machine.install("execute", "--system", "--print", "--", "--config", str(toml))
    assert f"--config={toml} " in text
    assert f"LoadCredential=colony_prvkey:{key}" in text
    assert "TimeoutStopSec=160" in text


def test_paths_and_odd_values_stand_whole_in_the_unit(machine: Machine, tmp_path: Path) -> None:
    flags = ("--colony", "a $b %c", "--no-shell", "--fn", "a:b", "--fn", "c.d:e", "--location", "-x")
    text = machine.install("execute", "--user", "--print", "--", *flags, "--data", "here")
    (start,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    for word in (
        '"--colony=a $$b %%c"',
        "--no-shell",
        "--fn=a:b",
        "--fn=c.d:e",
        "--location=-x",
        f"--data={Path.cwd()}/here",
    ):
        assert f" {word}" in start
    assert f"WorkingDirectory={Path.cwd()}" in text  # where the modules of the functions are looked for


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("execute", "--print"), "nothing to offer", 1),
        (("execute", "--print", "--", "--shell"), "Name of the colony is missing", 1),
        (("serve", "--print", "--", "--port", "x"), "--port must be", 1),
        (("serve", "--print", "--", "--shell"), "No such option", 2),
        (("serve", "--user", "--run-as", "daemon"), "--run-as goes with --system", 2),
        (("serve", "--print", "--remove"), "Give one of", 2),
        (("serve", "--system", "--print", "--", "--data", "/srv/x"), "give --run-as USER", 1),
        (("serve", "--system", "--run-as", "nobody-of-this-name"), "There is no user", 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_no_unit_can_be_made_of_is_refused(
    machine: Machine, arguments: tuple[str, ...], words: str, code: int
) -> None:
    assert words in machine.refused(*arguments, code=code)
    assert machine.called() == []


def test_a_program_that_the_service_would_not_see_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_service, "program", lambda: ["/home/ada/python", "-m", "colonies_node"])
    assert "is in a folder that the service does not see" in machine.refused("serve", "--system")


@pytest.mark.parametrize(("mode", "closed"), [(0o644, False), (0o640, True), (0o604, False)])
def test_a_reader_is_kept_out_by_permissions(mode: int, closed: bool) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder, path = Path(name), Path(name, "node.toml")
        folder.chmod(0o755)
        path.touch()
        path.chmod(mode)
        assert closed_to(path, -1, set()) == (path if closed else None)
        assert closed_to(path, 0, set()) is None
        assert closed_to(folder / "missing", 0, set()) == folder / "missing"
        folder.chmod(0o700)
        assert closed_to(path, -1, set()) == folder
        assert closed_to(path, os.geteuid(), set()) is None


def test_a_credential_is_a_key_file_although_a_group_seems_to_read_it(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "colony_prvkey"
    key.write_text(KEY)
    key.chmod(0o440)
    assert "Others may read" in shell.refused("key id", str(key))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert len(shell.out("key id", str(key))) == 64
    key.chmod(0o444)
    assert "Others may read" in shell.refused("key id", str(key))
