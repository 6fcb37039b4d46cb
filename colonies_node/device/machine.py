"""What this machine has: its model, processor, memory, disk, GPUs, network and clock, read from /proc and /sys.

What it feels at the moment is told by sensors.py. Nothing here tells who or where the machine is: no host name, serial
number or address.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from colonies_node.core.model.quantities import cpu_text, memory_text
from colonies_node.device import clock, gpus, interfaces, kernel, sensors
from colonies_node.device.clock import Clock
from colonies_node.device.gpus import Gpu
from colonies_node.device.interfaces import Interface

_CPUINFO: Final = 1 << 16  # bytes: an Arm core takes some 300, and the kinds of a mixed chip are within the first tens

_ARM: Final = {
    "0x41": {
        "0xb76": "Arm ARM1176",
        "0xc07": "Arm Cortex-A7",
        "0xc08": "Arm Cortex-A8",
        "0xc09": "Arm Cortex-A9",
        "0xd03": "Arm Cortex-A53",
        "0xd04": "Arm Cortex-A35",
        "0xd05": "Arm Cortex-A55",
        "0xd07": "Arm Cortex-A57",
        "0xd08": "Arm Cortex-A72",
        "0xd09": "Arm Cortex-A73",
        "0xd0a": "Arm Cortex-A75",
        "0xd0b": "Arm Cortex-A76",
        "0xd0c": "Arm Neoverse-N1",
        "0xd40": "Arm Neoverse-V1",
        "0xd41": "Arm Cortex-A78",
        "0xd42": "Arm Cortex-A78AE",
        "0xd46": "Arm Cortex-A510",
        "0xd47": "Arm Cortex-A710",
        "0xd49": "Arm Neoverse-N2",
        "0xd4f": "Arm Neoverse-V2",
    },
    "0x4e": {"0x003": "NVIDIA Denver 2", "0x004": "NVIDIA Carmel"},
}
"""Implementer → part → name. An Arm processor tells only numbers (arch/arm64/include/asm/cputype.h)."""

_NO_PRODUCT: Final = {"default string", "system manufacturer", "system product name", "to be filled by o.e.m.", "none"}
"""What a board says whose maker left the fields of its firmware as they were."""


@dataclass(frozen=True)
class Disk:
    """The disk that holds a folder."""

    total: int
    """Bytes, without what is kept for root."""
    free: int
    """Bytes."""


@dataclass(frozen=True)
class Machine:
    """What a machine has. What is not known is None, or an empty tuple."""

    model: str | None
    """Maker and product, such as `Raspberry Pi 5 Model B Rev 1.0`."""
    cpu: str | None
    """The processor; kinds of cores that differ are joined by ` + `."""
    architecture: str
    """As `uname -m` says it: `aarch64`, `x86_64`."""
    cores: int | None
    """Processors that are online."""
    memory: int | None
    """Bytes."""
    available: int | None
    """Bytes of it that programs could have now."""
    swap: int | None
    """Bytes; 0 if there is none."""
    disk: Disk | None
    """Where the data folder is, or will be."""
    gpus: tuple[Gpu, ...]
    network: tuple[Interface, ...]
    clock: Clock
    platform: str
    """`linux`."""
    kernel: str | None
    """Its release."""


def read(data: Path, root: Path = Path("/")) -> Machine:
    """What the machine has now. `data` is the data folder; `root` is where proc and sys are.

    It may take gpus.PATIENCE_S, where there are cards that do not answer.
    """
    sizes = kernel.sizes(root / "proc/meminfo")
    room = sensors.disk(nearest(data))
    return Machine(
        model=_model(root),
        cpu=_cpu(kernel.text(root / "proc/cpuinfo", _CPUINFO) or ""),
        architecture=kernel.name(root / "proc/sys/kernel/arch") or platform.machine(),
        cores=sensors.cores(root),
        memory=sizes.get("MemTotal"),
        available=sizes.get("MemAvailable"),
        swap=sizes.get("SwapTotal"),
        disk=Disk(*room) if room else None,
        gpus=gpus.read(root),
        network=interfaces.read(root),
        clock=clock.read(root),
        platform=platform.system().lower(),
        kernel=kernel.name(root / "proc/sys/kernel/osrelease"),
    )


def nearest(folder: Path) -> Path:
    """The folder, or that in which it will be made."""
    return next((place for place in (folder, *folder.absolute().parents) if os.path.exists(place)), folder)


def _model(root: Path) -> str | None:
    """As the device tree says it, which boards have; else as the firmware of a PC does."""
    if board := kernel.name(root / "sys/firmware/devicetree/base/model"):
        return board
    place = root / "sys/class/dmi/id"
    words = [kernel.name(place / file) for file in ("sys_vendor", "product_name")]
    maker, product = (word if word and word.lower() not in _NO_PRODUCT else None for word in words)
    if maker and product and not product.lower().startswith(maker.lower()):
        return f"{maker} {product}"
    return product or maker


def _cpu(info: str) -> str | None:
    """The kinds of processors in /proc/cpuinfo, each once, in their order."""
    return " + ".join(dict.fromkeys(_cpus(info))) or None


def _cpus(info: str) -> Iterator[str]:
    for block in re.split(r"\n[ \t]*\n", info):
        lines = dict(re.findall(r"^([A-Za-z ]+?)[ \t]*: (.*)$", block, re.MULTILINE))
        part = _ARM.get(lines.get("CPU implementer", ""), {}).get(lines.get("CPU part", ""))
        told = part or lines.get("model name") or lines.get("uarch") or ""
        if (name := kernel.plain(told)) is not None:
            yield name


# -- for the colony ----------------------------------------------------------------------------------------------------


def hardware(machine: Machine) -> dict[str, Any]:
    """The machine as an executor tells it to its colony (core/model/executor.py, Hardware)."""
    cores = machine.cores or 0
    return {
        "model": machine.model or "",
        "nodes": 1,
        "cpu": cpu_text(1000 * cores),
        "cores": cores,
        "mem": memory_text(machine.memory or 0),
        "storage": f"{(machine.disk.total if machine.disk else 0) >> 30}Gi",
        "gpu": _gpu(machine.gpus),
        "platform": machine.platform,
        "architecture": machine.architecture,
        "network": list(dict.fromkeys(interface.kind for interface in machine.network)),
    }


def _gpu(found: tuple[Gpu, ...]) -> dict[str, Any]:
    """There is room for one kind of GPU: that of which there are most, of several the one with the most memory."""
    if not found:
        return {"name": "", "mem": "0Mi", "count": 0, "nodecount": 0}
    names = [gpu.name for gpu in found]
    best = max(found, key=lambda gpu: (names.count(gpu.name), gpu.memory or 0))
    count = names.count(best.name)
    return {"name": best.name, "mem": memory_text(best.memory or 0), "count": count, "nodecount": count}
