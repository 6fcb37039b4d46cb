"""`device`: what a user sees of this machine."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from colonies_node.core.rules import DEVICE
from colonies_node.device import clock, gpus, machine, sensors
from tests.cli.shell import Shell
from tests.device.trees import JETSON, LAPTOP, PI_5, Tree, lay


def stand_in(shell: Shell, root: Path, tree: Tree) -> None:
    """Let the commands see another machine, with a clock that is right."""
    lay(root, tree)
    read_machine, read_sensors = machine.read, sensors.read
    shell.monkeypatch.setattr(gpus, "PROGRAM", "no-such-program")
    shell.monkeypatch.setattr(machine, "read", lambda data: read_machine(data, root))
    shell.monkeypatch.setattr(sensors, "read", lambda data, asked=None: read_sensors(data, root, asked))
    shell.monkeypatch.setattr(clock, "read", lambda root: clock.Clock(True, 0.0125, True))
    shell.monkeypatch.setattr(clock, "synchronised", lambda: True)
    shell.variables["COLUMNS"] = "120"


def rows(text: str) -> dict[str, str]:
    """First cell → second, of all tables."""
    lines = [line.strip("│").split("│") for line in text.splitlines() if line.startswith("│")]
    return {cells[0].strip(): cells[1].strip() for cells in lines}


def test_this_machine_shows_what_it_has_and_feels(shell: Shell, tmp_path: Path) -> None:
    shown = shell.out(f"device show --data {tmp_path}")
    assert platform.machine() in rows(shown)["processor"]
    assert f"of {tmp_path}" in shown
    assert DEVICE.keys() - {"queue"} <= rows(shown).keys()


def test_as_json_it_is_one_object_with_all_names(shell: Shell, tmp_path: Path) -> None:
    record = shell.record(f"device show --data {tmp_path / 'not' / 'yet'}")
    assert [*record] == ["has", "feels", "location", "position", "lock"]
    assert record["has"]["architecture"] == platform.machine()
    assert [*record["feels"]] == [name for name in DEVICE if name != "queue"]
    assert 0 < record["feels"]["disk"] <= 100, "the folder will be on the disk of its parent"


def test_a_pi_in_words(shell: Shell, tmp_path: Path) -> None:
    stand_in(shell, tmp_path, PI_5)
    shown = rows(shell.out("device show --location attic --position 65.58,22.15"))
    assert {name: shown[name] for name in shown if name not in ("disk", "system", "NAME")} == {
        "model": "Raspberry Pi 5 Model B Rev 1.0",
        "processor": "Arm Cortex-A76, 4 cores, aarch64",
        "memory": "75 %",
        "swap": "512.0 MiB",
        "network": "eth0: ethernet, 1000 Mbit/s",
        "clock": "yes",
        "hardware clock": "yes",
        "location": "attic",
        "position": "65.58, 22.15",
        "battery": "unknown",
        "charging": "unknown",
        "load": "0.26",
        "temperature": "52.35 °C",
        "gpu_load": "unknown",
    }


def test_a_jetson_in_words(shell: Shell, tmp_path: Path) -> None:
    stand_in(shell, tmp_path, JETSON)
    shown = shell.out("device show")
    assert "NVIDIA Orin, 7.4 GiB shared with the processor, 73.4 % busy" in shown
    assert "wrong by 0.0125 s at the most" in shown
    assert rows(shown)["gpu_load"] == "73.4 %"


def test_a_place_that_is_set_is_shown_as_json_too(shell: Shell, tmp_path: Path) -> None:
    shell.variables["COLONIES_EXECUTOR_POSITION"] = "-33.9,18.4"
    record = shell.record(f"device show --location cape --data {tmp_path}")
    assert (record["location"], record["position"]) == ("cape", {"latitude": -33.9, "longitude": 18.4})


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ("battery > 30 and temperature<75", "holds: battery (63) > 30 and temperature (61) < 75"),
        ("charging or gpu_load > 5", "does not hold: charging (no) or gpu_load (unknown) > 5"),
        ("not gpu_load > 5", "does not hold: not gpu_load (unknown) > 5"),
        ("clock", "holds: clock (yes)"),
    ],
)
def test_a_rule_is_shown_with_its_present_values(shell: Shell, tmp_path: Path, rule: str, answer: str) -> None:
    stand_in(shell, tmp_path, LAPTOP)
    assert shell.out("device show --when", rule) == answer
    when = shell.record("device show --when", rule)["when"]
    assert f"{'holds' if when['holds'] else 'does not hold'}: {when['now']}" == answer
    assert shell.out("device show --when", when["rule"]) == answer


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("batery < 3", "there is no name 'batery'; did you mean 'battery'?"),
        ("priority > 3", "there is no name 'priority'."),
        ("queue > 3", "there is no name 'queue'."),
        ("battery >", "expected a name, a number or a text in quotes, found the end"),
        ("", "expected a condition, found the end"),
    ],
)
def test_a_rule_that_is_none_is_refused_where_it_is_wrong(shell: Shell, rule: str, sentence: str) -> None:
    assert sentence in shell.refused("device show --when", rule)


def test_a_lock_shows_and_goes(shell: Shell, tmp_path: Path) -> None:
    data = f"--data {tmp_path}"
    assert shell.out(f"device lock --reason flight {data}") == "Locked: no new work is taken."
    assert "flight" in shell.out(f"device show {data}")
    assert shell.record(f"device show {data}")["lock"]["reason"] == "flight"
    assert shell.out(f"device unlock {data}") == "Unlocked."
    assert shell.out(f"device unlock {data}") == "It was not locked."
    assert shell.record(f"device show {data}")["lock"] is None
    assert shell.out(f"device lock --for 30m {data}") == "Locked for 30m: no new work is taken."


@pytest.mark.parametrize("flags", [("--for", "soon"), ("--for", "0"), ("--reason", "a\nb"), ("--reason", "x" * 201)])
def test_a_lock_that_makes_no_sense_is_refused(shell: Shell, tmp_path: Path, flags: tuple[str, str]) -> None:
    assert "must be" in shell.refused(f"device lock --data {tmp_path}", *flags, code=2)
    assert not (tmp_path / "lock.json").exists()
