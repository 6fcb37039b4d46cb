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

command = Noun("device", help="Show what this machine has and feels, and lock it.")


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
    from colonies_node.device import gate, machine, sensors

    rule = _rule(text) if text is not None else None
    found = machine.read(settings.data)
    lock = gate.locked(settings.data)
    felt: dict[str, Value] = {**sensors.read(machine.nearest(settings.data), asked=found.gpus)}
    if as_json:
        when = {"when": _answer(rule, felt)} if rule is not None else {}
        held = {"lock": dataclasses.asdict(lock) if lock else None}
        return print_json({"has": dataclasses.asdict(found), "feels": felt, **_place(settings), **held, **when})
    if rule is not None:
        click.echo(f"{'holds' if rule.holds(felt) else 'does not hold'}: {rule.explain(felt)}")
        return
    locked = {"locked": (lock.reason or "yes") if lock else ""}
    click.echo(card({**_has(found, settings.data), **_stands(settings), **locked}, settings.cli_ascii))
    click.echo(table(("Name", "Now", "What it is"), _feels(felt), settings.cli_ascii, flexible=("What it is",)))


@command.verb(
    "lock",
    "device",
    "colonies-node device lock --reason flight\ncolonies-node device lock --reason update --for 30m",
)
@click.option("--reason", default="", metavar="TEXT", help="Why, for those who look at the executor from afar.")
@click.option("--for", "duration", metavar="TIME", help="Unlock by itself after so long: 90, 10m or 1h30m.")
def lock(settings: Settings, reason: str, duration: str | None) -> None:
    """Have the executor of this machine take no new work; what runs is finished.

    The lock holds until `device unlock`, through restarts too. The colony sees it among the executor's software.
    """
    from colonies_node.core.model import durations
    from colonies_node.device import gate

    seconds = durations.seconds(duration) if duration is not None else 0
    if seconds is None or (duration is not None and seconds <= 0):
        raise click.UsageError(f"--for must be a time such as 90, 10m or 1h30m, not {duration!r}.")
    if len(reason) > gate.MAX_REASON or not reason.isprintable():
        raise click.UsageError(f"--reason must be one line of at most {gate.MAX_REASON} characters.")
    gate.lock(settings.data, reason, seconds)
    click.echo(f"Locked{f' for {durations.spoken(int(seconds))}' if seconds else ''}: no new work is taken.")


@command.verb("unlock", "device", "colonies-node device unlock")
def unlock(settings: Settings) -> None:
    """Have the executor of this machine take work again."""
    from colonies_node.device import gate

    click.echo("Unlocked." if gate.unlock(settings.data) else "It was not locked.")


def _rule(text: str) -> Rule:
    """The rule that a text means. A process is not at hand here, and the queue is that of a node."""
    from colonies_node.core.rules import MACHINE, parse

    return parse(text, MACHINE)


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
