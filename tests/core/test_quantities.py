"""Amounts of processor and memory mean the same however they are written (DEVIATIONS 13)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonies_node.core.errors import BadRequest
from colonies_node.core.model.quantities import cpu_text, memory_bytes, memory_text, millicores


@pytest.mark.parametrize(
    ("text", "amount"),
    [("", 0), ("0", 0), ("0m", 0), ("1000m", 1000), ("2", 2000), ("1.5", 1500), ("0.25", 250), ("007m", 7)],
)
def test_processor_is_read_in_cores_and_thousandths(text: str, amount: int) -> None:
    assert millicores(text) == amount


@pytest.mark.parametrize("text", ["m", "1.5m", "-1", "-1m", "one", "1e3", "1 core", "0x10", "١", ".5", "1.", "NaN"])
def test_what_is_no_amount_of_processor_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        millicores(text)
    assert (refused.value.status, refused.value.message) == (400, "Error converting CPU to int")


KIB, KB = 1024, 1000


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("", 0),
        ("1048576", 1 << 20),
        *((f"3{unit}", 3 * KIB) for unit in ("Ki", "KiB", "ki")),
        *((f"3{unit}", 3 * KIB**2) for unit in ("Mi", "MiB", "mi")),
        *((f"3{unit}", 3 * KIB**3) for unit in ("Gi", "GiB", "gi")),
        *((f"3{unit}", 3 * KIB**4) for unit in ("Ti", "TiB", "ti")),
        *((f"3{unit}", 3 * KB) for unit in ("K", "k", "KB", "Kb")),
        *((f"3{unit}", 3 * KB**2) for unit in ("M", "m", "MB", "Mb")),
        *((f"3{unit}", 3 * KB**3) for unit in ("G", "g", "GB", "Gb")),
        *((f"3{unit}", 3 * KB**4) for unit in ("T", "t", "TB", "Tb")),
        ("1.5Gi", 3 * KIB**3 // 2),
        ("512 Mi", 512 << 20),
        ("7B", 7),
    ],
)
def test_memory_is_read_in_decimal_and_binary_units(text: str, amount: int) -> None:
    assert memory_bytes(text) == amount


@pytest.mark.parametrize(
    "text", ["Mi", "-1Mi", "1XB", "1i", "1iB", "1MiX", "10 10", "1,5G", "many", "inf", "1" + " " * 64 + "Mi"]
)
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        memory_bytes(text)
    assert refused.value.status == 400
    assert refused.value.message.startswith("error converting memory to int: strconv.ParseInt: parsing ")
    assert refused.value.message.endswith(": invalid syntax")


def test_amounts_are_read_back_as_clients_know_them() -> None:
    assert cpu_text(millicores("1.5")) == "1500m"
    assert memory_text(memory_bytes("1000M")) == "953Mi"
    assert memory_text(memory_bytes("4000G")) == "3814697Mi"
    assert (cpu_text(0), memory_text(0)) == ("0m", "0Mi")


@given(st.integers(0, 10**12 - 1))
def test_what_is_read_back_means_the_same(amount: int) -> None:
    assert millicores(cpu_text(amount)) == amount
    assert memory_text(memory_bytes(memory_text(amount))) == memory_text(amount)


@given(st.text(max_size=30))
def test_any_text_is_an_amount_of_64_bits_or_refused(text: str) -> None:
    for read in (millicores, memory_bytes):
        try:
            assert 0 <= read(text) < 1 << 63
        except BadRequest as refusal:
            assert refusal.status == 400
