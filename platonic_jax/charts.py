"""Charts of results as data, which the page draws with plotly and `plots.draw` with matplotlib.

`dots` sets values with their intervals beside each other, a row for each thing; `lines` draws curves, `points` one
number against another, `matrix` a heat map. They hold numbers and words, no colours: a series is drawn as its style
says, `model`, `random` weights, `baseline`, `null`, or `ring` around values of the others.

Example:
    >>> from platonic_jax.analyses import Estimate
    >>> series = entries("7net-0", [Estimate(0.9, 0.8, 0.95), Estimate(0.5, 0.4, 0.6)])
    >>> dots("AUROC of two sets.", ["strained", "relaxed"], [series], axis="AUROC")["rows"]
    ['strained', 'relaxed']
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from platonic_jax.analyses import Estimate

__all__ = ["Spec", "curve", "dots", "entries", "lines", "matrix", "overlay", "points", "scattered"]

LONG = 30  # Letters of a label from which on it stands above its row of `dots`.
Spec = dict[str, Any]
"""A chart, or a series of one, in JSON's own types."""


def __dir__() -> list[str]:
    return __all__


def dots(
    caption: str,
    rows: Sequence[str],
    series: Sequence[Spec],
    *,
    axis: str,
    log: bool = False,
    marks: Mapping[str, float] | None = None,
) -> Spec:
    """Set values with intervals beside each other, a row for each label.

    Series lie in lanes below each other; those that share no row share a lane, and nulls lie in the first.

    Args:
        caption: What is shown, in a sentence.
        rows: Labels, from top to bottom.
        series: Made by `entries`, with as many values as there are labels.
        axis: What the values are, with their unit.
        log: Whether the axis is logarithmic.
        marks: By name, values that a line across the rows marks.
    """
    lines = [{"x": value, "name": name} for name, value in (marks or {}).items()]
    shared = {"kind": "dots", "caption": caption, "lines": lines, **_in_lanes(series)}
    return {**shared, "axis": axis, "log": log, "rows": list(rows)}


def _in_lanes(series: Sequence[Spec]) -> Spec:
    """Give each series of `dots` its lane, and count the lanes."""
    lanes: list[set[int]] = []  # The rows that are taken in each.
    placed = []
    for one in series:
        lane, rows = 0, {row for row, value in enumerate(one["value"]) if value is not None}
        if one["style"] != "null":
            lane = next((i for i, taken in enumerate(lanes) if not taken & rows), len(lanes))
            lanes += [set()] if lane == len(lanes) else []
            lanes[lane] |= rows
        placed.append({**one, "lane": lane})
    return {"series": placed, "lanes": max(1, len(lanes))}


def entries(
    name: str,
    estimates: Sequence[Estimate | float | None],
    *,
    style: str = "model",
    unit: float = 1.0,
    text: Sequence[str] | None = None,
) -> Spec:
    """Make a series of `dots`: estimates, bare values, or None where there is none, in units of `unit`.

    Args:
        name: Its name.
        estimates: A value for each row.
        style: Its style.
        unit: The unit in which they are shown.
        text: What the page shows of each value, beside the value itself.
    """
    return {"name": name, "style": style, **_ends(estimates, unit), "text": None if text is None else list(text)}


def lines(
    caption: str,
    series: Sequence[Spec],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    ticks: tuple[Sequence[float], Sequence[str]] | None = None,
    marks: Sequence[Mapping[str, Any]] = (),
) -> Spec:
    """Draw curves.

    Args:
        caption: What is shown, in a sentence.
        series: Made by `curve`.
        x: Quantity of the horizontal axis, with its unit.
        y: Quantity of the vertical axis, with its unit.
        log_x: Whether the horizontal axis is logarithmic.
        log_y: Whether the vertical axis is.
        ticks: Places on the horizontal axis and their names.
        marks: Straight lines at an `x` or a `y`, with a `name`.
    """
    named = None if ticks is None else [_numbers(ticks[0]), list(ticks[1])]
    shared = {"kind": "lines", "caption": caption, "lines": list(marks), "series": list(series)}
    return {**shared, "x": x, "y": y, "log_x": log_x, "log_y": log_y, "ticks": named}


def curve(
    name: str,
    x: Any,
    y: Any,
    *,
    low: Any = None,
    high: Any = None,
    spread: Any = None,
    strands: Any = (),
    style: str = "model",
    dash: bool = False,
    markers: bool = False,
) -> Spec:
    """Make a series of `lines`; None or NaN in `y` breaks it.

    Args:
        name: Its name.
        x: Where it is known.
        y: Its values.
        low: Lower ends of their intervals, drawn as bars.
        high: Upper ends.
        spread: Half the width of a band around it, such as a standard deviation.
        strands: Values of the curves that it is the mean of, drawn thinly.
        style: Its style.
        dash: Whether its line is dashed.
        markers: Whether each value has a marker.
    """
    given = {"x": x, "y": y, "low": low, "high": high, "spread": spread}
    values = {field: None if numbers is None else _numbers(numbers) for field, numbers in given.items()}
    thin = [_numbers(strand) for strand in strands]
    return {"name": name, "style": style, **values, "strands": thin, "dash": dash, "markers": markers}


def points(
    caption: str,
    series: Sequence[Spec],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    diagonal: bool = False,
    named: Sequence[str] = (),
) -> Spec:
    """Draw one number against another.

    Args:
        caption: What is shown, in a sentence.
        series: Made by `scattered`.
        x: Quantity of the horizontal axis, with its unit.
        y: Quantity of the vertical axis, with its unit.
        log_x: Whether the horizontal axis is logarithmic.
        log_y: Whether the vertical axis is.
        diagonal: Whether a line shows where both are the same.
        named: Points whose names are written beside them.
    """
    shared = {"kind": "points", "caption": caption, "lines": [], "series": list(series), "named": list(named)}
    return {**shared, "x": x, "y": y, "log_x": log_x, "log_y": log_y, "diagonal": diagonal}


def scattered(name: str, x: Any, y: Any, *, text: Sequence[str], style: str = "model") -> Spec:
    """Make a series of `points`, numbers or estimates, each with its name in `text`."""
    both = {"x": _ends(list(x), 1.0), "y": _ends(list(y), 1.0)}
    ends = {f"{axis}_{end}": values for axis, ends in both.items() for end, values in ends.items()}
    ends |= {axis: ends.pop(f"{axis}_value") for axis in ("x", "y")}
    return {"name": name, "style": style, **ends, "text": list(text)}


def matrix(
    caption: str,
    rows: Sequence[str],
    value: Any,
    *,
    columns: Sequence[str] | None = None,
    low: Any = None,
    high: Any = None,
    larger_is_darker: bool = True,
    top: float | None = None,
    order: Sequence[int] | None = None,
    tree: Mapping[str, Any] | None = None,
    text: Sequence[Sequence[str]] | None = None,
) -> Spec:
    """Draw a heat map with its values.

    Args:
        caption: What is shown, in a sentence.
        rows: Labels, from top to bottom.
        value: Values, (rows, columns).
        columns: Labels from left to right; if left out, they are those of the rows, by their numbers.
        low: Lower ends of intervals.
        high: Upper ends.
        larger_is_darker: Whether the largest value is the darkest, or the smallest.
        top: End of the scale of colours, which begins at 0; the largest value if left out.
        order: Order in which rows and columns are drawn.
        tree: Dendrogram of the columns: `x` (leaves at 5, 15, …) and `y`, four numbers a joint, and the `name` of `y`.
        text: What the page shows of each value, beside the value itself.
    """
    values = {"value": value, "low": low, "high": high}
    cells = {field: None if array is None else [_numbers(row) for row in array] for field, array in values.items()}
    known = [entry for row in cells["value"] or [] for entry in row if entry is not None]
    return {
        "kind": "matrix",
        "caption": caption,
        "lines": [],
        "series": [],
        "rows": list(rows),
        "columns": None if columns is None else list(columns),
        **cells,
        "larger_is_darker": larger_is_darker,
        "top": float(top or max(known, default=0.0) or 1.0),
        "order": list(range(len(rows))) if order is None else list(order),
        "tree": None if tree is None else dict(tree),
        "text": None if text is None else [list(row) for row in text],
    }


def overlay(charts: Mapping[str, Spec]) -> Spec:
    """Draw charts of several results in one: each series is named after its result, and its own name if it has several.

    Args:
        charts: By the name of the result, charts of the same kind and, of `dots`, the same rows.
    """
    first = next(iter(charts.values()))
    several = any(len(chart["series"]) > 1 for chart in charts.values())
    named = [
        {**series, "name": f"{name}, {series['name']}" if several else name}
        for name, chart in charts.items()
        for series in chart["series"]
    ]
    return {**first, **(_in_lanes(named) if first["kind"] == "dots" else {"series": named})}


def _ends(estimates: Sequence[Estimate | float | None], unit: float) -> dict[str, list[float | None]]:
    """Values and ends of intervals; a bare value has none."""
    ends = {end: [getattr(one, end) if isinstance(one, Estimate) else None for one in estimates] for end in _ENDS}
    ends["value"] = [one.value if isinstance(one, Estimate) else one for one in estimates]
    return {end: _numbers(None if one is None else one / unit for one in values) for end, values in ends.items()}


_ENDS = ("value", "low", "high")


def _numbers(values: Any) -> list[float | None]:
    """Six digits are more than a screen shows; what is undefined has no place on it."""
    return [float(f"{value:.6g}") if value is not None and np.isfinite(value) else None for value in values]
