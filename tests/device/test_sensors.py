"""What a machine feels, from trees of /proc and /sys like those of real ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from colonies_node.core.rules import DEVICE, parse
from colonies_node.device import gpus, sensors
from tests.device.trees import ALL, DRONE, JETSON, LAPTOP, PI_4, PI_5, Tree, lay


@pytest.fixture(autouse=True)
def no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cards of the machine that runs the tests are not those of the trees."""
    monkeypatch.setattr(gpus, "PROGRAM", "no-such-program")


def felt(root: Path, tree: Tree) -> dict[str, float | bool | None]:
    """What is read from such a tree, but for the disk and the clock, which are real ones."""
    values = sensors.read(root, lay(root, tree))
    del values["disk"], values["clock"]
    return values


def pack(number: int, **files: object) -> dict[str, str]:
    folder = f"sys/class/power_supply/BAT{number}"
    return {f"{folder}/type": "Battery", **{f"{folder}/{name}": str(text) for name, text in files.items()}}


# -- machines --------------------------------------------------------------------------------------------------------


def test_a_pi_has_no_battery(tmp_path: Path) -> None:
    assert felt(tmp_path, PI_4) == {
        "battery": None,
        "charging": None,
        "load": pytest.approx(0.13),
        "temperature": 48.686,
        "memory": pytest.approx(75.0),
        "gpu_load": None,
    }


def test_of_a_pi_5_the_zone_counts_and_not_the_chip_beside_it(tmp_path: Path) -> None:
    assert felt(tmp_path, PI_5) == {
        "battery": None,
        "charging": None,
        "load": pytest.approx(0.26),
        "temperature": 52.35,
        "memory": pytest.approx(75.0),
        "gpu_load": None,
    }


def test_a_jetson_tells_how_busy_its_gpu_is_and_a_zone_that_is_off_does_not_count(tmp_path: Path) -> None:
    assert felt(tmp_path, JETSON) == {
        "battery": None,
        "charging": None,
        "load": pytest.approx(0.4),
        "temperature": 51.5,
        "memory": pytest.approx(50.0),
        "gpu_load": 73.4,
    }


def test_a_laptop_has_one_and_that_of_its_mouse_does_not_count(tmp_path: Path) -> None:
    assert felt(tmp_path, LAPTOP) == {
        "battery": 63,
        "charging": False,
        "load": pytest.approx(1.0),
        "temperature": 61,
        "memory": pytest.approx(75.0),
        "gpu_load": None,
    }


def test_of_a_drones_two_packs_the_larger_counts_more(tmp_path: Path) -> None:
    assert felt(tmp_path, DRONE) == {
        "battery": pytest.approx(40.0),
        "charging": False,
        "load": pytest.approx(3.1),
        "temperature": 71.5,
        "memory": None,
        "gpu_load": None,
    }


def test_a_machine_that_tells_nothing_has_nothing(tmp_path: Path) -> None:
    assert set(felt(tmp_path, {}).values()) == {None}


def test_this_machine_has_a_load_free_memory_and_a_disk(tmp_path: Path) -> None:
    values = sensors.read(tmp_path)
    assert values["load"] is not None and values["load"] >= 0
    for name in ("memory", "disk"):
        share = values[name]
        assert share is not None and 0 < share <= 100


def test_what_is_felt_is_what_rules_know_of_a_device_but_its_queue(tmp_path: Path) -> None:
    values = sensors.read(tmp_path, lay(tmp_path, DRONE))
    assert [*DEVICE] == ["queue", *values]
    assert parse("battery < 50% and not charging and temperature > 70 and disk >= 0").holds(values)


# -- garbage ---------------------------------------------------------------------------------------------------------

GARBAGE = (b"", b"\n", b"\xff\xfe\x00", b"nan", b"inf", b"-1", b"99999999999999999999", b"1e3", b"many words\n" * 9999)


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: repr(garbage[:12]))
@pytest.mark.parametrize("tree", ALL.values(), ids=ALL.keys())
def test_garbage_in_every_file_is_nothing(tmp_path: Path, tree: Tree, garbage: bytes) -> None:
    kept = {name: text for name, text in tree.items() if name.endswith(("/type", "/compatible"))}
    values = felt(tmp_path, {**dict.fromkeys(tree, garbage), **kept})
    values.pop("temperature" if garbage == b"-1" else "", None)  # -0.001 degrees is cold, not absurd
    assert set(values.values()) == {None}


@pytest.mark.parametrize("name", sorted({name for tree in ALL.values() for name in tree}))
def test_a_folder_where_a_file_belongs_harms_no_other_sensor(tmp_path: Path, name: str) -> None:
    tree = next(tree for tree in ALL.values() if name in tree)
    whole = felt(tmp_path / "whole", tree)
    root = lay(tmp_path / "broken", tree)
    file = (root / name).resolve()
    file.unlink()
    file.mkdir()
    values = sensors.read(tmp_path, root)
    changed = {sensor for sensor in whole if values[sensor] != whole[sensor]}
    assert len(changed - {"charging", "clock"}) <= 1


def test_a_class_that_is_a_file_has_nothing(tmp_path: Path) -> None:
    lay(tmp_path, {"sys/devices/x": "1"})
    (tmp_path / "sys/class").write_text("")
    assert set(felt(tmp_path, {}).values()) == {None}


# -- one sensor at a time --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packs", "level"),
    [
        ([{"capacity": 0}], 0),
        ([{"capacity": 101}], None),
        ([{"capacity": -1}], None),
        ([{"capacity": 50, "present": 0}], None),
        ([{"energy_now": 30, "energy_full": 40}], 75),
        ([{"energy_now": 30, "energy_full": 0}], None),
        ([{"energy_now": 50, "energy_full": 40}], None),
        ([{"capacity": 10, "energy_full": 30}, {"capacity": 50, "energy_full": 10}], 20),
        ([{"capacity": 10, "energy_full": 30}, {"capacity": 50, "charge_full": 10}], 30),
        ([{"capacity": 10, "energy_full": 30}, {"capacity": 50}], 30),
        ([{"capacity": 10, "energy_full": 30}, {"capacity": "broken", "energy_full": 10}], 10),
    ],
)
def test_batteries_are_as_full_as_all_packs_together(
    tmp_path: Path, packs: list[dict[str, object]], level: float | None
) -> None:
    tree: dict[str, str] = {}
    for number, files in enumerate(packs):
        tree |= pack(number, **files)
    assert felt(tmp_path, tree)["battery"] == (None if level is None else pytest.approx(level))


@pytest.mark.parametrize(
    ("statuses", "charging"),
    [
        (["Charging"], True),
        (["Full"], True),
        (["Discharging"], False),
        (["Not charging"], False),
        (["Unknown"], None),
        ([""], None),
        (["Charging", "Unknown"], True),
        (["Full", "Charging"], True),
        (["Full", "Full"], True),
        (["Full", "Discharging"], False),
    ],
)
def test_batteries_are_charged_when_one_is_or_all_are_full(
    tmp_path: Path, statuses: list[str], charging: bool | None
) -> None:
    tree: dict[str, str] = {}
    for number, status in enumerate(statuses):
        tree |= pack(number, status=status, capacity=50)
    assert felt(tmp_path, tree)["charging"] is charging


@pytest.mark.parametrize(
    ("online", "load"), [("0", 6), ("0-1", 3), ("0,2", 3), ("0-1,4", 2), ("0-2,4-6", 1), ("0-11", 0.5)]
)
def test_the_load_is_that_of_each_core(tmp_path: Path, online: str, load: float) -> None:
    tree = {"proc/loadavg": "6.00 1.00 1.00 1/100 9", "sys/devices/system/cpu/online": online}
    assert felt(tmp_path, tree)["load"] == pytest.approx(load)


def test_a_load_that_cannot_be_is_none(tmp_path: Path) -> None:
    assert felt(tmp_path, {"proc/loadavg": "184467.44 1.00 1.00 1/100 9"})["load"] is None


@pytest.mark.parametrize("online", [None, "", "3-0", "all"])
def test_where_the_tree_does_not_count_the_cores_python_does(tmp_path: Path, online: str | None) -> None:
    tree = {"proc/loadavg": "6.00 1.00 1.00 1/100 9"}
    if online is not None:
        tree["sys/devices/system/cpu/online"] = online
    assert felt(tmp_path, tree)["load"] == pytest.approx(6 / (os.cpu_count() or 1))


@pytest.mark.parametrize(
    ("zones", "chips", "heat"),
    [
        (["40000", "50000"], ["90000"], 50),
        (["-274000"], ["90000"], 90),
        (["127000", "45500"], [], 45.5),
        ([], ["-20000", "-30000"], -20),
        ([], [], None),
        (["broken"], ["broken"], None),
    ],
)
def test_the_temperature_is_that_of_the_hottest_zone_or_else_chip(
    tmp_path: Path, zones: list[str], chips: list[str], heat: float | None
) -> None:
    tree = {f"sys/class/thermal/thermal_zone{number}/temp": text for number, text in enumerate(zones)}
    tree |= {f"sys/class/hwmon/hwmon{number}/temp1_input": text for number, text in enumerate(chips)}
    assert felt(tmp_path, tree)["temperature"] == heat


@pytest.mark.parametrize(
    ("total", "free", "share"), [("1000", "250", 25), ("1000", "1000", 100), ("1000", "1001", None), ("0", "0", None)]
)
def test_free_memory_is_a_share_of_all(tmp_path: Path, total: str, free: str, share: float | None) -> None:
    text = f"MemTotal: {total} kB\nMemFree: 5 kB\nMemAvailable:   {free} kB\n"
    assert felt(tmp_path, {"proc/meminfo": text})["memory"] == share


def test_the_disk_is_that_of_the_data_folder_as_df_counts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def room(blocks: int, free: int, available: int) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, blocks, free, available, 0, 0, 0, 0, 255))

    rooms = {tmp_path: room(1000, 450, 400), tmp_path / "none": room(0, 0, 0), tmp_path / "odd": room(10, 900, 5)}
    monkeypatch.setattr(os, "statvfs", rooms.__getitem__)
    assert sensors.read(tmp_path)["disk"] == pytest.approx(400 / 950 * 100)
    for absurd in ("none", "odd"):
        assert sensors.read(tmp_path / absurd)["disk"] is None


def test_a_data_folder_that_is_gone_has_no_disk(tmp_path: Path) -> None:
    assert sensors.read(tmp_path / "gone")["disk"] is None
