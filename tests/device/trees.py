"""Machines as Linux shows them: what stands in /proc and /sys, path → text, or bytes where there are NULs.

They follow the device trees and drivers of the kernel: what a Raspberry Pi 4 and 5 and a Jetson Orin Nano say of
themselves, a PC's firmware, and how each driver names its files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

Tree = Mapping[str, str | bytes]

MEMORY = """\
MemTotal:        3884268 kB
MemFree:          154676 kB
MemAvailable:    2913201 kB
Buffers:           60308 kB
SwapTotal:        524284 kB
"""


def interface(name: str, kind: int, state: str, *, device: bool = True, **files: str) -> dict[str, str | bytes]:
    """What stands in /sys/class/net about one interface."""
    place = f"sys/class/net/{name}"
    tree: dict[str, str | bytes] = {f"{place}/type": str(kind), f"{place}/operstate": state}
    if device:
        tree[f"{place}/device/uevent"] = "DRIVER=some"
    return tree | {f"{place}/{file}": text for file, text in files.items()}


def zones(*heats: tuple[str, str]) -> dict[str, str | bytes]:
    """Thermal zones: (type, temperature in thousandths of a degree)."""
    tree: dict[str, str | bytes] = {}
    for number, (name, heat) in enumerate(heats):
        tree[f"sys/class/thermal/thermal_zone{number}/type"] = name
        tree[f"sys/class/thermal/thermal_zone{number}/temp"] = heat
    return tree


def arm(count: int, part: str, *more: str) -> str:
    """/proc/cpuinfo of an Arm processor: the name of a core is a number."""
    lines = ["BogoMIPS\t: 108.00", "Features\t: fp asimd evtstrm aes pmull", "CPU implementer\t: 0x41"]
    lines += ["CPU architecture: 8", "CPU variant\t: 0x0", f"CPU part\t: {part}", "CPU revision\t: 3"]
    core = "\n".join([*more, *lines])
    return "".join(f"processor\t: {number}\n{core}\n\n" for number in range(count))


LOOPBACK = interface("lo", 772, "unknown", device=False, carrier="1")

PI_4: Tree = {
    "proc/loadavg": "0.52 0.58 0.59 1/211 12345",
    "proc/meminfo": MEMORY,
    "proc/cpuinfo": arm(4, "0xd08") + "Revision\t: c03114\nSerial\t\t: 0000000000000000\nModel\t\t: Raspberry Pi 4\n",
    "proc/sys/kernel/arch": "aarch64",
    "proc/sys/kernel/osrelease": "6.6.51+rpt-rpi-v8",
    "sys/firmware/devicetree/base/model": b"Raspberry Pi 4 Model B Rev 1.4\0",
    "sys/firmware/devicetree/base/compatible": b"raspberrypi,4-model-b\0brcm,bcm2711\0",
    "sys/devices/system/cpu/online": "0-3",
    **zones(("cpu-thermal", "48686")),
    "sys/class/thermal/cooling_device0/type": "gpio-fan",
    "sys/class/hwmon/hwmon0/temp1_input": "48199",
    "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0",
    **LOOPBACK,
    **interface("eth0", 1, "down", speed="-1"),
    **interface("wlan0", 1, "up", uevent="DEVTYPE=wlan\nINTERFACE=wlan0\nIFINDEX=3"),
}

PI_5: Tree = {
    "proc/loadavg": "1.04 0.71 0.32 2/188 2002",
    "proc/meminfo": MEMORY.replace("3884268", "8256288").replace("2913201", "6192216"),
    "proc/cpuinfo": arm(4, "0xd0b"),
    "proc/sys/kernel/arch": "aarch64",
    "proc/sys/kernel/osrelease": "6.12.34+rpt-rpi-2712",
    "sys/firmware/devicetree/base/model": b"Raspberry Pi 5 Model B Rev 1.0\0",
    "sys/firmware/devicetree/base/compatible": b"raspberrypi,5-model-b\0brcm,bcm2712\0",
    "sys/devices/system/cpu/online": "0-3",
    **zones(("cpu-thermal", "52350")),
    "sys/class/hwmon/hwmon0/name": "cpu_thermal",
    "sys/class/hwmon/hwmon0/temp1_input": "52350",
    "sys/class/hwmon/hwmon1/name": "rp1_adc",
    "sys/class/hwmon/hwmon1/in1_input": "1471",
    "sys/class/hwmon/hwmon1/temp1_input": "54310",
    "sys/class/hwmon/hwmon2/name": "pwmfan",
    "sys/class/hwmon/hwmon2/fan1_input": "0",
    "sys/class/hwmon/hwmon3/name": "rpi_volt",
    "sys/class/hwmon/hwmon3/in0_lcrit_alarm": "0",
    "sys/class/rtc/rtc0/name": "rpi-rtc soc:rpi_rtc",
    **LOOPBACK,
    **interface("eth0", 1, "up", speed="1000"),
    **interface("wlan0", 1, "down", uevent="DEVTYPE=wlan"),
    **interface("docker0", 1, "up", device=False, speed="10000", uevent="DEVTYPE=bridge"),
    **interface("veth1a2b3c4", 1, "up", device=False, speed="10000"),
}

JETSON: Tree = {
    "proc/loadavg": "2.40 2.00 1.80 3/402 7070",
    "proc/meminfo": MEMORY.replace("3884268", "7802036").replace("2913201", "3901018"),
    "proc/cpuinfo": arm(6, "0xd42", "model name\t: ARMv8 Processor rev 1 (v8l)"),
    "proc/sys/kernel/osrelease": "5.15.148-tegra",
    "sys/firmware/devicetree/base/model": b"NVIDIA Jetson Orin Nano Developer Kit\0",
    "sys/firmware/devicetree/base/compatible": b"nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0",
    "sys/devices/system/cpu/online": "0-5",
    "sys/devices/platform/bus@0/17000000.gpu/load": "734",
    **zones(
        ("cpu-thermal", "50343"),
        ("gpu-thermal", "51500"),
        ("cv0-thermal", ""),  # off: to read it is an error
        ("soc0-thermal", "49250"),
        ("tj-thermal", "51500"),
    ),
    "sys/class/hwmon/hwmon1/name": "ina3221",
    "sys/class/hwmon/hwmon1/in1_input": "5016",
    "sys/class/rtc/rtc0/name": "nvvrs_pseq_rtc",
    "sys/class/rtc/rtc1/name": "tegra-rtc c2a0000.rtc",
    **LOOPBACK,
    **interface("can0", 280, "up"),
    **interface("enP8p1s0", 1, "up", speed="1000"),
    **interface("l4tbr0", 1, "up", device=False, uevent="DEVTYPE=bridge"),
    **interface("usb0", 1, "down"),
    **interface("wwan0", 519, "unknown", device=False, carrier="1", uevent="DEVTYPE=wwan"),
}

LAPTOP: Tree = {
    "proc/loadavg": "6.00 3.11 2.02 7/1402 99871",
    "proc/meminfo": MEMORY,
    "proc/cpuinfo": "processor\t: 0\nmodel\t\t: 141\nmodel name\t: 11th Gen Intel(R) Core(TM) i7-11800H @ 2.30GHz\n\n"
    * 2,
    "proc/sys/kernel/arch": "x86_64",
    "proc/sys/kernel/osrelease": "6.8.0-45-generic",
    "sys/class/dmi/id/sys_vendor": "LENOVO",
    "sys/class/dmi/id/product_name": "20Y5CTO1WW",
    "sys/devices/system/cpu/online": "0-3,6-7",
    "sys/bus/pci/drivers/nvidia/0000:01:00.0/power/runtime_status": "active",
    **zones(("INT3400 Thermal", "27800"), ("x86_pkg_temp", "61000"), ("iwlwifi_1", "-274000")),
    "sys/class/power_supply/AC/type": "Mains",
    "sys/class/power_supply/AC/online": "0",
    "sys/class/power_supply/BAT0/type": "Battery",
    "sys/class/power_supply/BAT0/present": "1",
    "sys/class/power_supply/BAT0/status": "Discharging",
    "sys/class/power_supply/BAT0/capacity": "63",
    "sys/class/power_supply/BAT0/energy_full": "47520000",
    "sys/class/power_supply/BAT0/energy_now": "29930000",
    "sys/class/power_supply/hid-00-battery/type": "Battery",
    "sys/class/power_supply/hid-00-battery/scope": "Device",
    "sys/class/power_supply/hid-00-battery/status": "Full",
    "sys/class/power_supply/hid-00-battery/capacity": "100",
    "sys/class/rtc/rtc0/name": "rtc_cmos rtc_cmos",
    **LOOPBACK,
    **interface("enp0s31f6", 1, "down", speed="-1"),
    **interface("wlp0s20f3", 1, "up", uevent="DEVTYPE=wlan"),
    **interface("wwan0", 65534, "unknown", carrier="1", uevent="DEVTYPE=wwan"),
    **interface("wg0", 65534, "unknown", device=False, carrier="1", uevent="DEVTYPE=wireguard"),
}

DRONE: Tree = {
    "proc/loadavg": "3.10 2.90 2.70 4/320 4411",
    "sys/devices/system/cpu/online": "0",
    "sys/class/hwmon/hwmon0/temp1_input": "71500",
    "sys/class/hwmon/hwmon0/temp2_input": "-12000",
    "sys/class/power_supply/bq27441-0/type": "Battery",
    "sys/class/power_supply/bq27441-0/status": "Discharging",
    "sys/class/power_supply/bq27441-0/capacity": "20",
    "sys/class/power_supply/bq27441-0/charge_full": "9000000",
    "sys/class/power_supply/bq27441-1/type": "Battery",
    "sys/class/power_supply/bq27441-1/status": "Full",
    "sys/class/power_supply/bq27441-1/charge_full": "3000000",
    "sys/class/power_supply/bq27441-1/charge_now": "3000000",
}

ALL: Mapping[str, Tree] = {"pi4": PI_4, "pi5": PI_5, "jetson": JETSON, "laptop": LAPTOP, "drone": DRONE}


def lay(root: Path, tree: Tree) -> Path:
    """The tree as files; what is in a class of /sys is a link to the device, as the kernel has it."""
    for name, text in tree.items():
        path = root / name
        if name.startswith("sys/class/"):
            _, _, group, entry, file = name.split("/", 4)
            device = root / "sys/devices/platform" / group / entry
            device.mkdir(parents=True, exist_ok=True)
            (root / "sys/class" / group).mkdir(parents=True, exist_ok=True)
            if not (link := root / "sys/class" / group / entry).is_symlink():
                link.symlink_to(os.path.relpath(device, link.parent))
            path = device / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.rstrip("\n").encode() + b"\n")
    return root
