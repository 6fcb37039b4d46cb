"""GPUs: what nvidia-smi says, by a program of its name that gives good and ugly answers, and a Jetson's own."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonies_node.device import gpus
from colonies_node.device.gpus import Gpu, Latest
from tests.device.trees import JETSON, LAPTOP, PI_5, Tree, lay

MIB = 1 << 20
CARD = "NVIDIA GeForce RTX 3050 Ti Laptop GPU, 4096, 5, 37, 43"
TWO = "NVIDIA A100-SXM4-40GB, 40960, 38011, 98, 61\nNVIDIA A100-SXM4-40GB, 40960, 0, 0, 29\n"

Smi = Callable[[str], Path]


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Smi:
    """Puts a shell script on the PATH as nvidia-smi; gives the folder in which it runs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(script: str) -> Path:
        program = folder / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return tmp_path

    return put


def says(text: str) -> str:
    return f"cat <<'END'\n{text}\nEND"


# -- what the program says ---------------------------------------------------------------------------------------------


def test_a_card_is_what_nvidia_smi_says_of_it(smi: Smi, tmp_path: Path) -> None:
    smi(says(CARD))
    expected = Gpu("NVIDIA GeForce RTX 3050 Ti Laptop GPU", 4096 * MIB, 5 * MIB, 37, 43, shared=False)
    assert gpus.read(lay(tmp_path / "root", LAPTOP)) == (expected,)


def test_it_is_asked_for_what_is_read_and_knows_no_key(smi: Smi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLONIES_PRVKEY", "a" * 64)
    folder = smi(f'echo "$@" >asked; env >environment; {says(CARD)}')
    assert len(gpus.read(folder)) == 1
    asked = "--query-gpu=name,memory.total,memory.used,utilization.gpu,temperature.gpu --format=csv,noheader,nounits"
    assert (folder / "asked").read_text().strip() == asked
    assert "COLONIES" not in (folder / "environment").read_text()


def test_two_cards_are_two(smi: Smi, tmp_path: Path) -> None:
    smi(says(TWO))
    assert [(gpu.used, gpu.load) for gpu in gpus.read(tmp_path)] == [(38011 * MIB, 98), (0, 0)]
    assert gpus.busiest(gpus.read(tmp_path)) == 98


def test_of_two_cards_one_may_be_lost(smi: Smi, tmp_path: Path) -> None:
    lost = "Unable to determine the device handle for GPU0000:02:00.0: Unknown Error"
    smi(says(f"{CARD}\n{lost}") + "\nexit 255")
    assert [gpu.load for gpu in gpus.read(tmp_path)] == [37]


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("GB10, [N/A], [N/A], 12, 40", (None, None, 12, 40)),
        ("Quadro, 2048, 100, [Not Supported], 40", (2048 * MIB, 100 * MIB, None, 40)),
        ("GRID, 2048, 100, [N/A], [Unknown Error]", (2048 * MIB, 100 * MIB, None, None)),
        ("GRID, 2048, 100, N/A, N/A", (2048 * MIB, 100 * MIB, None, None)),
        ("Card, 99999999999, 1, 101, 500", None),
        ("Card, 999999999, 1, 101, 500", (None, MIB, None, None)),
    ],
)
def test_what_a_card_does_not_tell_is_none(line: str, known: tuple[object, ...] | None) -> None:
    found = [(gpu.memory, gpu.used, gpu.load, gpu.temperature) for gpu in gpus.parsed(line)]
    assert found == ([] if known is None else [known])


@pytest.mark.parametrize(
    "script",
    [
        "exit 9",
        "echo 'NVIDIA-SMI has failed because it could not communicate with the driver, which is missing.'; exit 9",
        "echo 'No devices were found'; exit 6",
        "echo 'Field \"memory.used\" is not a valid field to query.'; exit 2",
        "echo 'name, memory.total [MiB], memory.used [MiB], utilization.gpu [%], temperature.gpu'",
        says(", 1, 2, 3, 4\na, 1, 2, 3\na, 1, 2, 3, 4, 5\na, -1, 2, 3, 4\na, 1, 2 MiB, 3, 4\na, nan, 2, 3, 4"),
        "printf '\\377\\000\\033[31m, 1, 2, 3, 4\\n'",
        "head -c 300000 /dev/urandom",
        "kill -9 $$",
        "exec >&-",
    ],
    ids=["fails", "no driver", "no card", "old", "a header", "no lines", "no text", "noise", "killed", "silent"],
)
def test_an_ugly_answer_is_no_card(smi: Smi, tmp_path: Path, script: str) -> None:
    smi(script)
    assert gpus.read(tmp_path) == ()


def test_a_program_that_is_none_is_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.read(tmp_path) == ()
    program = tmp_path / "nvidia-smi"
    program.write_bytes(b"\x7fELF and then nothing")
    program.chmod(0o755)
    assert gpus.read(tmp_path) == ()


@pytest.mark.parametrize("before", ["", f"echo '{CARD}'"], ids=["silent", "after a line"])
def test_a_program_that_hangs_is_ended_with_all_that_it_started(
    smi: Smi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    monkeypatch.setattr(gpus, "PATIENCE_S", 1.0)
    os.mkfifo(tmp_path / "held")
    reader = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    smi(f"exec 7>held\ntrap '' TERM\n{before}\nsleep 600 &\nwait")
    began = time.monotonic()
    assert len(gpus.read(tmp_path)) == (1 if before else 0)
    assert time.monotonic() - began < 10
    assert select.select([reader], [], [], 10)[0], "somebody still holds the pipe"
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_of_a_program_that_does_not_end_only_so_much_is_read(smi: Smi, tmp_path: Path) -> None:
    smi(f"yes '{CARD}'")
    assert len(gpus.read(tmp_path)) == gpus.MOST_CARDS


@given(st.one_of(st.text(), st.lists(st.sampled_from((*", \n[]", "A", "1", "N/A", "[N/A]", "101"))).map("".join)))
def test_whatever_the_program_says_a_card_is_sane(answer: str) -> None:
    for gpu in gpus.parsed(answer):
        assert gpu.name.isprintable() and gpu.name.strip() == gpu.name != ""
        for amount, most in ((gpu.memory, 1 << 44), (gpu.used, 1 << 44), (gpu.load, 100), (gpu.temperature, 150)):
            assert amount is None or 0 <= amount <= most


# -- the one inside a Jetson -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        "sys/devices/gpu.0/load",
        "sys/devices/57000000.gpu/load",
        "sys/devices/17000000.gv11b/load",
        "sys/devices/platform/17000000.ga10b/load",
        "sys/devices/platform/bus@0/17000000.gpu/load",
    ],
)
def test_a_jetsons_load_is_found_where_each_release_has_it(tmp_path: Path, place: str) -> None:
    tree = {name: text for name, text in JETSON.items() if not name.endswith("/load")}
    (gpu,) = gpus.read(lay(tmp_path, {**tree, place: "1000"}))
    assert gpu.load == 100


@pytest.mark.parametrize(
    ("compatible", "name"),
    [
        (b"nvidia,p2972-0000\0nvidia,tegra194\0", "NVIDIA Xavier"),
        (b"nvidia,tegra999\0", "NVIDIA tegra999"),
        (b"nvidia,dgx\0", None),
        (b"raspberrypi,5-model-b\0brcm,bcm2712\0", None),
        (b"nvidia,tegra\0", None),
        (b"", None),
    ],
)
def test_a_jetson_is_known_by_its_device_tree(tmp_path: Path, compatible: bytes, name: str | None) -> None:
    gpu = gpus.integrated(lay(tmp_path, {"sys/firmware/devicetree/base/compatible": compatible}))
    assert (gpu and gpu.name) == name


def test_a_jetsons_gpu_counts_once_and_a_card_beside_it_too(smi: Smi, tmp_path: Path) -> None:
    smi(says(f"Orin (nvgpu), [N/A], [N/A], [N/A], [N/A]\n{CARD}"))
    found = gpus.read(lay(tmp_path / "root", JETSON))
    assert [(gpu.name, gpu.shared) for gpu in found] == [
        ("NVIDIA Orin", True),
        ("NVIDIA GeForce RTX 3050 Ti Laptop GPU", False),
    ]


# -- without waiting ---------------------------------------------------------------------------------------------------


def after_it_was_asked() -> None:
    """Wait for the thread that asks."""
    for thread in threading.enumerate():
        if thread.name == gpus.PROGRAM:
            thread.join(30)
            assert not thread.is_alive()


def count(folder: Path) -> int:
    """How often the program ran."""
    return len((folder / "runs").read_text().splitlines()) if (folder / "runs").exists() else 0


def test_who_cannot_wait_gets_what_was_said_last(smi: Smi, tmp_path: Path) -> None:
    folder = smi(f"echo >>runs; {says(CARD)}")
    root, latest = lay(tmp_path / "root", LAPTOP), Latest()
    assert latest.load(root) is None, "nothing has been said yet"
    after_it_was_asked()
    assert [latest.load(root) for _ in range(5)] == [37] * 5
    after_it_was_asked()
    assert count(folder) == 1, "it is new enough"


def test_what_was_said_long_ago_is_asked_again_and_does_not_count(
    smi: Smi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = smi(f"echo >>runs; {says(CARD)}")
    latest = Latest()
    latest.load(tmp_path)
    after_it_was_asked()
    monkeypatch.setattr(gpus, "AGAIN_S", -1)
    assert latest.load(tmp_path) == 37
    after_it_was_asked()
    monkeypatch.setattr(gpus, "STALE_S", -1)
    assert latest.load(tmp_path) is None
    after_it_was_asked()
    assert count(folder) == 3


def test_a_program_that_hangs_is_not_asked_by_two_and_holds_nobody_up(smi: Smi, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    folder = smi(f"echo >>runs; cat go; {says(CARD)}")
    latest = Latest()
    assert [latest.load(tmp_path) for _ in range(20)] == [None] * 20
    (folder / "go").write_text("")
    after_it_was_asked()
    assert (latest.load(tmp_path), count(folder)) == (37, 1)


def test_cards_that_sleep_are_not_busy_and_not_woken(smi: Smi, tmp_path: Path) -> None:
    folder = smi(f"echo >>runs; {says(CARD)}")
    asleep = {name: "suspended" if name.endswith("/runtime_status") else text for name, text in LAPTOP.items()}
    latest = Latest()
    assert latest.load(lay(tmp_path / "root", asleep)) == 0
    after_it_was_asked()
    assert count(folder) == 0


@pytest.mark.parametrize(("tree", "load"), [(JETSON, 73.4), (PI_5, None)], ids=["jetson", "pi"])
def test_where_there_are_no_cards_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree: Tree, load: float | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Latest().load(lay(tmp_path, tree)) == load
    assert all(thread.name != gpus.PROGRAM for thread in threading.enumerate())
