"""What /metrics tells of this machine: the names that monitors know, from what the sensors say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from colonies_node.device import kernel, sensors
from colonies_node.http.metrics import Gauge


def read(data: Path, root: Path = Path("/")) -> Iterator[Gauge]:
    """The gauges as they are now, None for what is not known. `data` is the data folder, `root` where proc and sys are.

    It does not wait for GPUs (see gpus.Latest).
    """
    felt = sensors.read(data, root)
    sizes = kernel.sizes(root / "proc/meminfo")
    total, free = sensors.disk(data) or (None, None)
    for name, text, value in (
        ("battery_percent", "How full the batteries are", felt["battery"]),
        ("charging", "1 if the batteries are being charged, or full", felt["charging"]),
        ("temperature_celsius", "How hot the hottest part is", felt["temperature"]),
        ("load", "Load of the last minute for each core: 1 is busy", felt["load"]),
        ("memory_bytes", "Memory of the machine", sizes.get("MemTotal")),
        ("memory_available_bytes", "Memory that programs could have", sizes.get("MemAvailable")),
        ("disk_bytes", "Size of the disk of the data folder", total),
        ("disk_free_bytes", "Free space on the disk of the data folder", free),
        ("gpu_load_percent", "How busy the busiest GPU is", felt["gpu_load"]),
        ("clock_synchronised", "1 if the clock is synchronised", felt["clock"]),
    ):
        yield Gauge(f"colonies_device_{name}", text, value)
