"""What monitors are told of a machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from colonies_node.device import gauges, gpus
from colonies_node.http.metrics import Gauge
from tests.conftest import ROOT
from tests.device.trees import JETSON, LAPTOP, Tree, lay


@pytest.fixture(autouse=True)
def no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cards of the machine that runs the tests are not those of the trees."""
    monkeypatch.setattr(gpus, "PROGRAM", "no-such-program")


def told(root: Path, tree: Tree) -> dict[str, float | None]:
    """What is told of a tree, but for the disk and the clock, which are real ones."""
    found = {gauge.name.removeprefix("colonies_device_"): gauge.value for gauge in gauges.read(root, lay(root, tree))}
    return {name: value for name, value in found.items() if not name.startswith(("disk", "clock"))}


def test_a_laptop_tells_of_its_battery(tmp_path: Path) -> None:
    assert told(tmp_path, LAPTOP) == {
        "battery_percent": 63,
        "charging": False,
        "temperature_celsius": 61,
        "load": pytest.approx(1.0),
        "memory_bytes": 3884268 << 10,
        "memory_available_bytes": 2913201 << 10,
        "gpu_load_percent": None,
    }


def test_a_jetson_tells_of_its_gpu(tmp_path: Path) -> None:
    assert told(tmp_path, JETSON)["gpu_load_percent"] == 73.4


def test_a_machine_that_tells_nothing_still_has_a_disk(tmp_path: Path) -> None:
    assert set(told(tmp_path, {}).values()) == {None}
    disk = {gauge.name: gauge.value for gauge in gauges.read(tmp_path, tmp_path) if "disk" in gauge.name}
    size, free = disk["colonies_device_disk_bytes"], disk["colonies_device_disk_free_bytes"]
    assert size is not None and free is not None and 0 <= free <= size


def test_the_manual_names_every_gauge(tmp_path: Path) -> None:
    everything: list[Gauge] = list(gauges.read(tmp_path))
    pages = {page: (ROOT / "docs" / page).read_text() for page in ("device.md", "serve.md")}
    for gauge in everything:
        assert f"`{gauge.name}`" in pages["device.md"]
        assert f"`{gauge.name.removeprefix('colonies_device_')}`" in pages["serve.md"]
    assert len(re.findall(r"`colonies_device_", pages["device.md"])) == len(everything)
