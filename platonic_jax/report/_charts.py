"""Charts of results, as data that the page's script draws: numbers and words, no colours.

`dots` sets values with their intervals beside each other, a row for each thing; `lines` draws curves, `points` one
number against another. A series is drawn as its style says: `model`, `random` weights, `baseline` or `null`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from platonic_jax.analyses import Estimate

__all__ = ["curve", "dots", "entries", "lines", "points", "scattered"]

Spec = dict[str, Any]


def dots(
    rows: Sequence[str],
    series: Sequence[Spec],
    *,
    axis: str,
    log: bool = False,
    marks: Mapping[str, float] | None = None,
) -> Spec:
    """Values with intervals, a row for each label.

    Args:
        rows: labels, from top to bottom.
        series: made by `entries`, with as many values as there are labels.
        axis: what the values are, with their unit.
        log: whether the axis is logarithmic.
        marks: by name, values that a line across the rows marks.
    """
    lines = [{"value": value, "name": name} for name, value in (marks or {}).items()]
    return {"kind": "dots", "axis": axis, "log": log, "rows": list(rows), "lines": lines, "series": list(series)}


def entries(
    name: str, estimates: Sequence[Estimate | float | None], *, style: str = "model", unit: float = 1.0
) -> Spec:
    """A series of `dots`: estimates, bare values, or None where there is none."""
    end_of = lambda entry, end: getattr(entry, end) if isinstance(entry, Estimate) else entry
    ends = {end: _numbers(end_of(entry, end) for entry in estimates) for end in ("value", "low", "high")}
    return {"name": name, "style": style, **{end: _in(values, unit) for end, values in ends.items()}}


def lines(
    series: Sequence[Spec],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    ticks: tuple[Sequence[float], Sequence[str]] | None = None,
    marks: Sequence[Mapping[str, Any]] = (),
) -> Spec:
    """Curves.

    Args:
        series: made by `curve`.
        x: what runs along the horizontal axis, with its unit.
        y: what runs along the vertical axis, with its unit.
        log_x: whether the horizontal axis is logarithmic.
        log_y: whether the vertical axis is.
        ticks: places on the horizontal axis and their names.
        marks: straight lines at an `x` or a `y`, with a `name`.
    """
    named = None if ticks is None else [_numbers(ticks[0]), list(ticks[1])]
    axes = {"x": x, "y": y, "log_x": log_x, "log_y": log_y}
    return {"kind": "lines", **axes, "ticks": named, "lines": list(marks), "series": list(series)}


def curve(
    name: str,
    x: Any,
    y: Any,
    *,
    low: Any = None,
    high: Any = None,
    style: str = "model",
    dash: bool = False,
    markers: bool = False,
) -> Spec:
    """A series of `lines`; None or NaN in `y` breaks it."""
    ends = {end: None if values is None else _numbers(values) for end, values in (("low", low), ("high", high))}
    shown = {"dash": dash, "markers": markers}
    return {"name": name, "style": style, "x": _numbers(x), "y": _numbers(y), **ends, **shown}


def points(
    series: Sequence[Spec], *, x: str, y: str, log_x: bool = False, log_y: bool = False, diagonal: bool = False
) -> Spec:
    """One number against another; `diagonal` draws where both are the same."""
    axes = {"x": x, "y": y, "log_x": log_x, "log_y": log_y, "diagonal": diagonal}
    return {"kind": "points", **axes, "series": list(series)}


def scattered(name: str, x: Any, y: Any, *, text: Sequence[str], style: str = "model") -> Spec:
    """A series of `points`, each with what it is."""
    return {"name": name, "style": style, "x": _numbers(x), "y": _numbers(y), "text": list(text)}


def _numbers(values: Any) -> list[float | None]:
    """Six digits are more than a screen shows; what is undefined has no place on it."""
    return [float(f"{value:.6g}") if value is not None and np.isfinite(value) else None for value in values]


def _in(values: list[float | None], unit: float) -> list[float | None]:
    return [None if value is None else value / unit for value in values]
