"""What a machine has, from trees of /proc and /sys like those of real ones."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonies_node.core.model.executor import Capabilities
from colonies_node.core.model.quantities import memory_bytes, millicores
from colonies_node.core.model.wire import decode, encode
from colonies_node.core.rules import DEVICE
from colonies_node.core.rules.names import known
from colonies_node.device import clock, gpus, interfaces, machine, sensors
from colonies_node.device.clock import Discipline
from colonies_node.device.gpus import Gpu
from colonies_node.device.interfaces import Interface
from colonies_node.device.machine import Machine
from tests.device.trees import ALL, DRONE, JETSON, LAPTOP, PI_4, PI_5, Tree, interface, lay

GIB = 1 << 30


@pytest.fixture(autouse=True, scope="module")
def no_cards() -> Iterator[None]:
    """The cards of the machine that runs the tests are not those of the trees."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpus, "PROGRAM", "no-such-program")
        yield


def has(root: Path, tree: Tree) -> Machine:
    return machine.read(root, lay(root, tree))


def capabilities(found: Machine) -> dict[str, Any]:
    return {"hardware": [machine.hardware(found)], "software": []}


# -- machines ----------------------------------------------------------------------------------------------------------


def test_a_pi_4_says_its_model_and_its_cores_by_the_name_of_their_number(tmp_path: Path) -> None:
    pi = has(tmp_path, PI_4)
    assert (pi.model, pi.cpu, pi.cores) == ("Raspberry Pi 4 Model B Rev 1.4", "Arm Cortex-A72", 4)
    assert (pi.architecture, pi.kernel) == ("aarch64", "6.6.51+rpt-rpi-v8")
    assert (pi.memory, pi.available, pi.swap) == (3884268 << 10, 2913201 << 10, 524284 << 10)
    assert pi.network == (Interface("wlan0", "wifi", None),)
    assert pi.gpus == ()
    assert not pi.clock.battery


def test_a_pi_5_has_a_clock_of_its_own_and_its_containers_have_no_cables(tmp_path: Path) -> None:
    pi = has(tmp_path, PI_5)
    assert (pi.model, pi.cpu, pi.cores) == ("Raspberry Pi 5 Model B Rev 1.0", "Arm Cortex-A76", 4)
    assert pi.network == (Interface("eth0", "ethernet", 1000),)
    assert pi.clock.battery


def test_a_jetson_has_a_gpu_that_shares_the_memory(tmp_path: Path) -> None:
    jetson = has(tmp_path, JETSON)
    assert (jetson.model, jetson.cpu) == ("NVIDIA Jetson Orin Nano Developer Kit", "Arm Cortex-A78AE")
    assert jetson.gpus == (Gpu("NVIDIA Orin", 7802036 << 10, None, 73.4, None, shared=True),)
    assert jetson.network == (
        Interface("can0", "other", None),
        Interface("enP8p1s0", "ethernet", 1000),
        Interface("wwan0", "mobile", None),
    )


def test_a_laptop_says_what_its_firmware_says(tmp_path: Path) -> None:
    laptop = has(tmp_path, LAPTOP)
    assert laptop.model == "LENOVO 20Y5CTO1WW"
    assert laptop.cpu == "11th Gen Intel(R) Core(TM) i7-11800H @ 2.30GHz"
    assert (laptop.architecture, laptop.cores) == ("x86_64", 6)
    assert laptop.network == (Interface("wlp0s20f3", "wifi", None), Interface("wwan0", "mobile", None))


def test_a_machine_that_tells_nothing_has_a_disk_all_the_same(tmp_path: Path) -> None:
    bare = has(tmp_path, {})
    assert (bare.model, bare.cpu, bare.memory, bare.available, bare.swap, bare.kernel) == (None,) * 6
    assert (bare.gpus, bare.network, bare.clock.battery) == ((), (), False)
    assert bare.architecture == platform.machine()
    assert bare.disk is not None and 0 <= bare.disk.free <= bare.disk.total


def test_this_machine_has_a_processor_memory_and_a_kernel(tmp_path: Path) -> None:
    here = machine.read(tmp_path)
    assert here.cores and here.memory and here.memory > 1 << 26
    assert (here.platform, here.architecture, here.kernel) == (
        platform.system().lower(),
        platform.machine(),
        platform.release(),
    )


def test_a_data_folder_that_is_not_there_yet_will_be_on_the_disk_of_its_parent(tmp_path: Path) -> None:
    there, later = machine.read(tmp_path), machine.read(tmp_path / "not" / "yet")
    assert there.disk and later.disk and there.disk.total == later.disk.total


def test_what_a_machine_has_does_not_tell_which_one_it_is(tmp_path: Path) -> None:
    secrets = {
        "proc/sys/kernel/hostname": "secret",
        "sys/firmware/devicetree/base/serial-number": b"secret\0",
        "sys/class/dmi/id/product_serial": "secret",
        "sys/class/net/wlan0/address": "secret",
        "sys/class/net/wlan0/ifalias": "secret",
        "proc/cpuinfo": str(PI_4["proc/cpuinfo"]).replace("0000000000000000", "secret"),
    }
    assert "secret" not in repr(has(tmp_path, {**PI_4, **secrets}))


# -- one fact at a time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("maker", "product", "model"),
    [
        ("LENOVO", "20Y5CTO1WW", "LENOVO 20Y5CTO1WW"),
        ("HP", "HP EliteBook 840 G8", "HP EliteBook 840 G8"),
        ("To Be Filled By O.E.M.", "X570 Pro4", "X570 Pro4"),
        ("System manufacturer", "System Product Name", None),
        ("Dell  Inc.", "", "Dell Inc."),
        (None, None, None),
        ("\x1b[31mred", "PC", "PC"),
        ("x" * 101, "PC", "PC"),
    ],
)
def test_the_model_of_a_pc_is_its_maker_and_product(
    tmp_path: Path, maker: str | None, product: str | None, model: str | None
) -> None:
    files = {"sys_vendor": maker, "product_name": product}
    tree = {f"sys/class/dmi/id/{name}": text for name, text in files.items() if text is not None}
    assert has(tmp_path, tree).model == model


def cores(*parts: tuple[str, str]) -> str:
    return "\n".join(f"processor\t: 0\nCPU implementer\t: {maker}\nCPU part\t: {part}\n" for maker, part in parts)


@pytest.mark.parametrize(
    ("info", "cpu"),
    [
        (cores(*[("0x41", "0xd03")] * 4, *[("0x41", "0xd08")] * 2), "Arm Cortex-A53 + Arm Cortex-A72"),
        (cores(("0x4e", "0x004")), "NVIDIA Carmel"),
        (cores(("0x41", "0xfff")), None),
        ("model name\t: ARMv7 Processor rev 5 (v7l)\nCPU implementer\t: 0x61\n", "ARMv7 Processor rev 5 (v7l)"),
        ("processor\t: 0\nhart\t\t: 1\nuarch\t\t: sifive,u74-mc\n", "sifive,u74-mc"),
        ("model name\t:\n", None),
        ("", None),
    ],
)
def test_a_processor_is_named_once_for_each_kind_of_core(tmp_path: Path, info: str, cpu: str | None) -> None:
    assert has(tmp_path, {"proc/cpuinfo": info}).cpu == cpu


@pytest.mark.parametrize(
    ("tree", "kind"),
    [
        (interface("x", 1, "up"), "ethernet"),
        (interface("x", 1, "up", **{"wireless/status": "0"}), "wifi"),
        (interface("x", 1, "up", uevent="INTERFACE=x\nDEVTYPE=wlan"), "wifi"),
        (interface("x", 512, "unknown", device=False, carrier="1"), "mobile"),
        (interface("x", 1, "up", uevent="DEVTYPE=wwan"), "mobile"),
        (interface("x", 32, "up"), "other"),
        (interface("x", 1, "unknown", carrier="1"), "ethernet"),
        (interface("x", 1, "unknown", carrier="0"), None),
        (interface("x", 1, "dormant"), None),
        (interface("x", 1, "down"), None),
        (interface("x", 1, "up", device=False), None),
        (interface("lo", 772, "unknown", device=False, carrier="1"), None),
    ],
)
def test_an_interface_is_what_its_driver_says(tmp_path: Path, tree: Tree, kind: str | None) -> None:
    found = interfaces.read(lay(tmp_path, tree))
    assert [interface.kind for interface in found] == ([] if kind is None else [kind])


@pytest.mark.parametrize(
    ("speed", "known"), [("2500", 2500), ("-1", None), ("0", None), ("4294967295", None), ("", None)]
)
def test_a_speed_that_cannot_be_is_none(tmp_path: Path, speed: str, known: int | None) -> None:
    (found,) = interfaces.read(lay(tmp_path, interface("eth0", 1, "up", speed=speed)))
    assert found.speed == known


def test_the_clock_is_what_the_kernel_says(tmp_path: Path) -> None:
    assert clock.read(tmp_path, lambda: Discipline(True, 0.012)) == clock.Clock(True, 0.012, False)
    assert clock.read(tmp_path, lambda: Discipline(False, 16.0)) == clock.Clock(False, None, False)
    assert clock.read(tmp_path, lambda: None) == clock.Clock(None, None, False)


def test_the_kernel_of_this_machine_says_how_good_its_clock_is_or_may_not_be_asked(tmp_path: Path) -> None:
    here = clock.read(tmp_path)
    assert here.synchronised is clock.synchronised()
    # include/linux/timex.h, NTP_PHASE_LIMIT: with a larger error it calls itself unsynchronised.
    assert (here.error is not None) == (here.synchronised is True)
    assert here.error is None or 0 <= here.error <= 16


# -- for the colony ----------------------------------------------------------------------------------------------------


def test_a_colony_is_told_in_the_shape_of_the_wire(tmp_path: Path) -> None:
    told = capabilities(has(tmp_path, PI_5))
    storage = told["hardware"][0].pop("storage")
    assert storage == f"{sensors.disk(tmp_path)[0] // GIB}Gi"  # type: ignore[index]
    assert told == {
        "hardware": [
            {
                "model": "Raspberry Pi 5 Model B Rev 1.0",
                "nodes": 1,
                "cpu": "4000m",
                "cores": 4,
                "mem": "8062Mi",
                "gpu": {"name": "", "mem": "0Mi", "count": 0, "nodecount": 0},
                "platform": "linux",
                "architecture": "aarch64",
                "network": ["ethernet"],
            }
        ],
        "software": [],
    }


@pytest.mark.parametrize("tree", [{}, *ALL.values()], ids=["nothing", *ALL])
def test_a_server_gives_back_what_it_was_told(tmp_path: Path, tree: Tree) -> None:
    told = capabilities(has(tmp_path, tree))
    assert json.loads(encode(decode(Capabilities, json.dumps(told).encode()))) == told


def card(name: str, gib: int | None) -> Gpu:
    return Gpu(name, None if gib is None else gib * GIB, None, None, None, shared=False)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([card("A100", 40), card("A100", 40)], ("A100", "40960Mi", 2)),
        ([card("T400", 4), card("A6000", 48)], ("A6000", "49152Mi", 1)),
        ([card("T400", 4), card("T400", 4), card("A6000", 48)], ("T400", "4096Mi", 2)),
        ([card("GB10", None)], ("GB10", "0Mi", 1)),
    ],
)
def test_of_several_kinds_of_gpus_a_colony_hears_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: list[Gpu], told: tuple[str, str, int]
) -> None:
    monkeypatch.setattr(gpus, "read", lambda root: tuple(found))
    gpu = machine.hardware(has(tmp_path, LAPTOP))["gpu"]
    assert (gpu["name"], gpu["mem"], gpu["count"]) == told
    assert gpu["nodecount"] == gpu["count"]


# -- garbage -----------------------------------------------------------------------------------------------------------


def assert_sane(found: Machine, felt: dict[str, Any]) -> None:
    """Every value is one of its kind, or not known."""
    for words in (found.model, found.cpu, found.kernel, found.architecture):
        assert words is None or (words.isprintable() and words.strip() == words != "")
    assert found.cores is None or found.cores > 0
    for size in (found.memory, found.available, found.swap):
        assert size is None or 0 <= size < 1 << 63
    for gpu in found.gpus:
        assert gpu.name.isprintable()
        assert gpu.load is None or 0 <= gpu.load <= 100
    for one in found.network:
        assert one.kind in ("ethernet", "wifi", "mobile", "other")
        assert one.speed is None or one.speed > 0
    assert felt.keys() == DEVICE.keys() - {"queue"}
    for name, value in felt.items():
        assert value is None or known(value, DEVICE[name].kind)
    for percent in ("battery", "memory", "disk", "gpu_load"):
        assert felt[percent] is None or 0 <= felt[percent] <= 100
    told = decode(Capabilities, json.dumps(capabilities(found)).encode())
    (hardware,) = told.hardware  # type: ignore[misc, union-attr]
    assert millicores(hardware.cpu) == hardware.cores * 1000
    assert memory_bytes(hardware.mem) <= max(found.memory or 0, 0)


@contextmanager
def replaced(root: Path, files: dict[str, bytes]) -> Iterator[None]:
    """Other bytes in some files of a tree."""
    before = {name: (root / name).read_bytes() for name in files}
    for name, garbage in files.items():
        (root / name).write_bytes(garbage)
    yield
    for name, content in before.items():
        (root / name).write_bytes(content)


ALMOST = st.sampled_from(
    (b"-1", b"0", b"99999999999999999999", b"nvidia,tegra999\0", b"MemTotal: 999999999999999 kB\n", b"0-99999", b"1\0")
)


@pytest.fixture(
    scope="module", params=[PI_4, PI_5, JETSON, LAPTOP, DRONE], ids=["pi4", "pi5", "jetson", "laptop", "drone"]
)
def laid(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tree]:
    return lay(tmp_path_factory.mktemp("tree"), request.param), request.param


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_stands_in_the_files_nothing_is_raised_and_nothing_absurd_is_told(
    laid: tuple[Path, Tree], data: st.DataObject
) -> None:
    root, tree = laid
    garbage = st.one_of(st.binary(max_size=200), ALMOST)
    files = data.draw(st.dictionaries(st.sampled_from(sorted(tree)), garbage, min_size=1, max_size=6))
    with replaced(root, files):
        assert_sane(machine.read(root, root), dict(sensors.read(root, root)))


@pytest.mark.parametrize("name", sorted({name for tree in ALL.values() for name in tree}))
def test_a_folder_where_a_file_belongs_harms_few_other_facts(tmp_path: Path, name: str) -> None:
    tree = next(tree for tree in ALL.values() if name in tree)
    whole = has(tmp_path / "whole", tree)
    root = lay(tmp_path / "broken", tree)
    file = (root / name).resolve()
    file.unlink()
    file.mkdir()
    broken = machine.read(tmp_path / "whole", root)
    changed = [fact for fact, other in zip(astuple(whole), astuple(broken), strict=True) if fact != other]
    memory = 4  # memory, what is free of it, swap, and the memory of a Jetson's GPU stand in one file
    assert len(changed) <= (memory if name == "proc/meminfo" else 2)
