"""`device`: this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from colonies_node.cli.table import amount, card, print_json, table
from colonies_node.cli.verb import Noun, as_json
from colonies_node.config import Settings

if TYPE_CHECKING:
    from colonies_node.core.rules import Rule, Value
    from colonies_node.device.gpus import Gpu
    from colonies_node.device.interfaces import Interface
    from colonies_node.device.machine import Machine

command = Noun("device", help="Show what this machine has and feels.")


@command.verb(
    "show",
    "device",
    "colonies-node device show\n"
    "colonies-node device show --json\n"
    "colonies-node device show --when 'battery > 30 and temperature < 75'",
)
@click.option("--when", "text", metavar="RULE", help="Show whether a rule about this machine holds now.")
@as_json
def show(settings: Settings, text: str | None, as_json: bool) -> None:
    """Show what this machine has, and what it feels now.

    What it lacks is left out, or null with --json. What it feels has the names that rules use.
    """
    from colonies_node.device import machine, sensors

    rule = _rule(text) if text is not None else None
    found = machine.read(settings.data)
    felt: dict[str, Value] = {**sensors.read(machine.nearest(settings.data), asked=found.gpus)}
    if as_json:
        when = {"when": _answer(rule, felt)} if rule is not None else {}
        return print_json({"has": dataclasses.asdict(found), "feels": felt, **_place(settings), **when})
    if rule is not None:
        click.echo(f"{'holds' if rule.holds(felt) else 'does not hold'}: {rule.explain(felt)}")
        return
    click.echo(card({**_has(found, settings.data), **_stands(settings)}, settings.cli_ascii))
    click.echo(table(("Name", "Now", "What it is"), _feels(felt), settings.cli_ascii, flexible=("What it is",)))


def _rule(text: str) -> Rule:
    """The rule that a text means. A process is not at hand here, and the queue is that of a node."""
    from colonies_node.core.rules import DEVICE, parse

    return parse(text, [name for name in DEVICE if name != "queue"])


def _answer(rule: Rule, felt: dict[str, Value]) -> dict[str, Any]:
    return {"rule": str(rule), "holds": rule.holds(felt), "now": rule.explain(felt)}


def _place(settings: Settings) -> dict[str, Any]:
    """Where it stands, as it was set."""
    position = dict(zip(("latitude", "longitude"), settings.position, strict=True)) if settings.position else None
    return {"location": settings.location or None, "position": position}


def _stands(settings: Settings) -> dict[str, str]:
    """The same in words."""
    position = ", ".join(map(str, settings.position or ()))
    return {"location": settings.location, "position": position}


def _has(found: Machine, data: Path) -> dict[str, str | None]:
    """What it has, in words."""
    disk, error = found.disk, found.clock.error
    return {
        "model": found.model,
        "processor": ", ".join(_of_processor(found)),
        "system": f"{found.platform} {found.kernel or ''}".strip(),
        "memory": amount(found.memory) if found.memory is not None else None,
        "swap": amount(found.swap) if found.swap else None,
        "disk": f"{amount(disk.total)}, {amount(disk.free)} free, of {data}" if disk else None,
        "gpu": "\n".join(", ".join(_of_gpu(gpu)) for gpu in found.gpus),
        "network": "\n".join(_of_interface(interface) for interface in found.network),
        "clock": f"wrong by {error:.3g} s at the most" if error is not None else None,
        "hardware clock": "yes" if found.clock.battery else "none",
    }


def _of_processor(found: Machine) -> Iterator[str]:
    if found.cpu is not None:
        yield found.cpu
    if found.cores is not None:
        yield f"{found.cores} core{'s' if found.cores > 1 else ''}"
    yield found.architecture


def _of_gpu(gpu: Gpu) -> Iterator[str]:
    yield gpu.name
    if gpu.memory is not None:
        used = f" ({amount(gpu.used)} used)" if gpu.used is not None else ""
        yield f"{amount(gpu.memory)}{' shared with the processor' if gpu.shared else used}"
    if gpu.load is not None:
        yield f"{gpu.load:g} % busy"
    if gpu.temperature is not None:
        yield f"{gpu.temperature:g} °C"


def _of_interface(interface: Interface) -> str:
    speed = f", {interface.speed} Mbit/s" if interface.speed else ""
    return f"{interface.name}: {interface.kind}{speed}"


def _feels(felt: dict[str, Value]) -> Iterator[tuple[str, str, str]]:
    """The names of rules with what they are now."""
    from colonies_node.core.rules.names import DEVICE, Kind, told

    units = {Kind.PERCENT: " %", Kind.CELSIUS: " °C"}
    for name, value in felt.items():
        meaning = DEVICE[name]
        unit = units.get(meaning.kind, "") if value is not None else ""
        yield name, told(value, meaning.kind) + unit, meaning.words
