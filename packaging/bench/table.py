"""The figures as people and programs read them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from figures import Figure, Reading

Result = Reading | str
"""A reading, or the sentence that says why there is none."""


def as_json(results: Mapping[str, Result], facts: Mapping[str, object]) -> str:
    """One object: a number per key (null where there is none), and the facts under `machine`."""
    numbers = {key: _number(result) for key, result in results.items()}
    return json.dumps({**numbers, "machine": facts})


def _number(result: Result) -> float | None:
    return None if isinstance(result, str) or result.value is None else float(f"{result.value:.4g}")


def as_text(figures: Mapping[str, Figure], results: Mapping[str, Result], facts: Mapping[str, object]) -> str:
    """A line per figure: key, figure, goal, whether it is reached, what it is; and the facts below."""
    rows = [("key", "figure", "goal", "", "what it is")]
    for key, result in results.items():
        figure = figures[key]
        rows.append((key, _shown(result), _goal(figure), _verdict(figure, result), _what(figure, result)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for key, value, goal, verdict, what in rows:
        line = f"{key:<{widths[0]}}  {value:>{widths[1]}}  {goal:>{widths[2]}}  {verdict:<{widths[3]}}  {what}"
        lines.append(line)
    return "\n".join([*lines, "", ", ".join(f"{name} {value}" for name, value in facts.items())])


def _shown(result: Result) -> str:
    number = _number(result)
    if number is None:
        return "-"
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    return f"{'≥' if figure.at_least else '≤'} {figure.goal:g}"


def _verdict(figure: Figure, result: Result) -> str:
    if isinstance(result, str):
        return "failed"
    if result.value is None or figure.goal is None:
        return ""
    return "ok" if figure.is_reached(result.value) else "missed"


def _what(figure: Figure, result: Result) -> str:
    remark = result if isinstance(result, str) else result.remark
    return f"{figure.what} ({remark})" if remark else figure.what
