"""Amounts of processor and memory as people write them: `500m`, `2`, `1.5`, `512Mi`, `10GB`, `1048576`.

The reference reads some of these, some only at random, and takes others for zero; here every unit works, always the
same (DEVIATIONS 13). Inside, processor is integer millicores and memory integer bytes; read-back has the reference's
form.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import Final

from colonies_node.core.errors import BadRequest

_CPU = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(m?)", re.ASCII)
_MEMORY = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*([A-Za-z]*)", re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_INT64 = (1 << 63) - 1

KEPT: Final = 1_000
"""Amounts that were read and are kept: nearly all processes ask for one of a few."""

LONGEST: Final = 64
"""Characters of an amount."""


def millicores(text: str) -> int:
    """`"1500m"`, `"2"` and `"1.5"` in thousandths of a core; empty is 0. BadRequest for anything else."""
    if not text:
        return 0
    if len(text) > LONGEST:
        raise BadRequest("Error converting CPU to int")
    return _millicores(text)


@lru_cache(KEPT)
def _millicores(text: str) -> int:
    match = _CPU.fullmatch(text.strip())
    if match is None or (match[2] and "." in match[1]):
        raise BadRequest("Error converting CPU to int")
    amount = Decimal(match[1])
    return min(int(amount if match[2] else amount * 1000), _INT64)


def memory_bytes(text: str) -> int:
    """Bytes of `"512Mi"` (powers of 1024 with an i), `"10GB"` or `"10G"` (powers of 1000), `"1048576"`; empty is 0."""
    if not text:
        return 0
    if len(text) > LONGEST:
        raise _no_memory(text)
    return _memory_bytes(text)


@lru_cache(KEPT)
def _memory_bytes(text: str) -> int:
    match = _MEMORY.fullmatch(text.strip())
    if match is not None:
        unit = match[2].lower().removesuffix("b")
        base = 1024 if unit.endswith("i") else 1000
        power = _POWERS.get(unit.removesuffix("i"))
        if power is not None and unit != "i":
            return min(int(Decimal(match[1]) * base**power), _INT64)
    raise _no_memory(text)


def _no_memory(text: str) -> BadRequest:
    return BadRequest(f'error converting memory to int: strconv.ParseInt: parsing "{text[:LONGEST]}": invalid syntax')


def cpu_text(amount: int) -> str:
    """Millicores as they are read back: `1500m`."""
    return f"{amount}m"


def memory_text(amount: int) -> str:
    """Bytes as they are read back: whole mebibytes, rounded down, `512Mi`."""
    return f"{amount >> 20}Mi"
