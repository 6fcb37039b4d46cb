"""Times that lie ahead, and flags in seconds that take `10m` too."""

from __future__ import annotations

import re
import time

import click

from colonies_node.cli.table import moment, when
from colonies_node.core.model.durations import seconds, spoken


def ahead(text: object, now: float | None = None) -> str:
    """A time of the wire that lies ahead, with how far: `2026-11-24 12:00:00 (in 4m 10s)`; empty for "never"."""
    shown = when(text)
    if not shown:
        return ""
    left = round(moment(text).timestamp() - (time.time() if now is None else now))
    return f"{shown} ({f'in {spoken(left, 2)}' if left > 0 else 'now'})"


def ago(text: object, now: float | None = None) -> str:
    """A time of the wire that is over, with how long: `2026-11-24 12:00:00 (4m 10s ago)`; empty for "never"."""
    shown = when(text)
    if not shown:
        return ""
    over = round((time.time() if now is None else now) - moment(text).timestamp())
    return f"{shown} ({f'{spoken(over, 2)} ago' if over > 0 else 'now'})"


class Duration(click.ParamType[int]):
    """A flag in seconds that takes `10m` too; -1 stands for "none"."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seconds."""
        text = str(value)
        found = int(text) if re.fullmatch("-1|[0-9]{1,12}", text) else seconds(text)
        if found is None:
            self.fail(f"{text!r} must be seconds, or a duration such as 10m or 1h30m.", param, ctx)
        return found
