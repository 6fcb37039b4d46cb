"""What a rule may speak of: each name, what it is counted in and what it means. docs/rules.md tells it to people."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from colonies_node.core.errors import BadRequest
from colonies_node.core.model import durations, quantities

Value = float | str | bool | None
"""A number, a text, or yes or no; None is "not known"."""

_PLAIN = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?")


class Kind(Enum):
    """What a value is, as the manual says it."""

    FLAG = "yes or no"
    TEXT = "text"
    NUMBER = "number"
    CORES = "cores"
    BYTES = "bytes"
    SECONDS = "seconds"
    PERCENT = "percent"
    CELSIUS = "degrees Celsius"


EXAMPLES: Final = {
    Kind.NUMBER: "5 or 0.9",
    Kind.CORES: "1.5 or 500m",
    Kind.BYTES: "1048576, 512Mi or 8G",
    Kind.SECONDS: "90, 10m or 1h30m",
    Kind.PERCENT: "30 or 30%",
    Kind.CELSIUS: "75 or -5",
}
"""How an amount of each kind is written."""


@dataclass(frozen=True)
class Meaning:
    """One name of the table."""

    kind: Kind
    words: str


PROCESS: Final = {
    "type": Meaning(Kind.TEXT, "the type of executor that it asks for"),
    "name": Meaning(Kind.TEXT, "the name of its function"),
    "location": Meaning(Kind.TEXT, "the place that it asks for"),
    "label": Meaning(Kind.TEXT, "its label"),
    "cpu": Meaning(Kind.CORES, "the processor that it asks for"),
    "mem": Meaning(Kind.BYTES, "the memory that it asks for"),
    "gpu": Meaning(Kind.NUMBER, "how many GPUs it asks for"),
    "priority": Meaning(Kind.NUMBER, "its priority, from -50000 to 50000"),
    "waited": Meaning(Kind.SECONDS, "how long ago it was submitted"),
    "walltime": Meaning(Kind.SECONDS, "how long it says that it takes; unknown if it does not say"),
    "maxexectime": Meaning(Kind.SECONDS, "how long it may run; unknown if it may run for ever"),
    "missing": Meaning(Kind.FLAG, "nothing here can run it"),
}
"""What is known of the process that a rule is asked about."""

DEVICE: Final = {
    "queue": Meaning(Kind.NUMBER, "how many processes wait here"),
    "battery": Meaning(Kind.PERCENT, "how full the batteries are"),
    "charging": Meaning(Kind.FLAG, "the batteries are being charged, or full"),
    "load": Meaning(Kind.NUMBER, "the load of the last minute for each core: 1 is busy"),
    "temperature": Meaning(Kind.CELSIUS, "how hot the hottest part is"),
    "memory": Meaning(Kind.PERCENT, "how much memory is free"),
    "disk": Meaning(Kind.PERCENT, "how much room is free on the disk of the data folder"),
    "gpu_load": Meaning(Kind.PERCENT, "how busy the busiest GPU is"),
    "clock": Meaning(Kind.FLAG, "the clock is synchronised"),
}
"""What is known of this machine."""

MACHINE: Final = {name: meaning for name, meaning in DEVICE.items() if name != "queue"}
"""What is known of a machine on which no node runs."""

NAMES: Final = PROCESS | DEVICE


def amount(text: str, kind: Kind) -> float | None:
    """The number that a text such as `8Gi` stands for where this kind is meant; None if it is none of this kind."""
    if kind is Kind.PERCENT:
        text = text.removesuffix("%")
    if _PLAIN.fullmatch(text):
        return float(text)
    if kind is Kind.SECONDS:
        return durations.seconds(text)
    try:
        if kind is Kind.CORES:
            return quantities.millicores(text) / 1000
        if kind is Kind.BYTES:
            return quantities.memory_bytes(text)
    except BadRequest:
        pass
    return None


def known(value: Value, kind: Kind) -> bool:
    """Whether this is a value of its kind; everything else counts as not known."""
    if kind is Kind.FLAG:
        return isinstance(value, bool)
    if kind is Kind.TEXT:
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


def told(value: Value, kind: Kind) -> str:
    """A present value for people: `yes`, `'gpu'`, `1h 30m`, `512Mi`, `0.25`; `unknown`."""
    if not known(value, kind):
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if kind is Kind.BYTES and value >= 1 << 20:
            return quantities.memory_text(int(value))
        if kind is Kind.SECONDS and value >= 60:
            return durations.spoken(int(value))
        return f"{round(value, 2):.12g}"
    return repr(value)
