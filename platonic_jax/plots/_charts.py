"""Charts of `platonic_jax.charts`, drawn with matplotlib."""

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from platonic_jax.charts import Spec
from platonic_jax.plots._style import BLACK, COLUMN, FAINT, GREY, TEXT, axes, logarithmic, marks_of, thin

_HALO = withStroke(linewidth=2, foreground="white")  # Names among points stay readable.
_DASHES = (":", "--", "-.", (0, (1, 3)))
_LETTER = 0.05  # Inches, of a name.
_MANY = 100  # Points of which each is small.
_TALL = 14  # Rows of a matrix from which on a row has room for one line.
_ROOMY = 7  # Columns of a matrix that has room for intervals.
_WIDE = 5  # Columns of one that has room for them in a line.


def draw(chart: Spec, *, ax: Axes | None = None) -> Axes:
    """Draw a chart.

    Args:
        chart: Made by a function of `platonic_jax.charts`, or one of `charts(result)`.
        ax: The axes to draw into; a new figure of column width if left out.

    Returns:
        The axes; `with_legend` names the series.
    """
    ax = ax or axes(COLUMN, height(chart, COLUMN))
    _KINDS[chart["kind"]](chart, ax)
    thin(ax)
    for place, mark in enumerate(chart["lines"]):
        style = {"color": GREY, "lw": 0.8, "ls": _DASHES[place % len(_DASHES)], "zorder": 1}
        line = ax.axvline if "x" in mark else ax.axhline
        line(mark["x"] if "x" in mark else mark["y"], label=mark.get("name"), **style)
    ax.autoscale_view()  # A mark may lie at the rim.
    return ax


def height(chart: Spec, width: float) -> float:
    """Height in inches that the axes of a chart of some width need, with their labels."""
    if chart["kind"] == "dots":
        return 0.65 + len(chart["rows"]) * (0.1 + 0.11 * chart["lanes"] + 0.14 * _are_above(chart["rows"], width))
    if chart["kind"] == "matrix":
        cells = len(chart["columns"] or chart["rows"])
        lines = [line for name in _broken(chart["rows"]) for line in name.split("\n")]
        letters = 4 + max(map(len, lines))  # With the number of the row.
        # Square cells are as high as there is width for them.
        least, most = 0.25 if chart["columns"] else 0.15, 0.55 if cells <= _ROOMY else 0.35
        side = max(least, min(most, (width - 0.4 - _LETTER * letters) / cells))
        return 0.5 + side * len(chart["rows"]) * (1.25 if chart["tree"] else 1.0)
    return 2.5


def _broken(names: Sequence[str]) -> list[str]:
    """Names of rows that are broken before their brackets, unless the rows are too many for two lines each."""
    return [name.replace(" (", "\n(") for name in names] if len(names) <= _TALL else list(names)


def _are_above(rows: Sequence[str], width: float) -> bool:
    """Test whether the names of rows take too much of the width, and so stand above their marks."""
    return _LETTER * max(map(len, rows), default=0) > 0.45 * width


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array(values, dtype=float)


def _named_series(chart: Spec) -> list[tuple[Spec, dict[str, Any]]]:
    """Each series with its style, and with a name where there are several."""
    styles = marks_of(chart["series"])
    label = lambda one: one["name"] if len(chart["series"]) > 1 else None
    return [(one, {"label": label(one), **style}) for one, style in zip(chart["series"], styles, strict=True)]


def _dots(chart: Spec, ax: Axes) -> None:
    rows, lanes, figure = chart["rows"], chart["lanes"], ax.get_figure(root=True)
    assert figure is not None
    box = ax.get_window_extent()
    roomy = float(box.height) > 0.25 * figure.dpi * len(rows)
    above = roomy and _are_above(rows, 1.25 * float(box.width) / figure.dpi)
    down, step = (0.22, 0.42 / lanes) if above else (0.0, 0.6 / lanes)  # Below the row's name.
    for one, style in _named_series(chart):
        value, low, high = (_numbers(one[end]) for end in ("value", "low", "high"))
        y = np.arange(len(rows)) + down + (one["lane"] - (lanes - 1) / 2) * step
        if np.isfinite(low).any():
            ax.hlines(y, low, high, color=style["color"], lw=1.2)
        ax.plot(value, y, **{**style, "ls": "none"})
    ax.set_yticks(range(len(rows)), rows)
    if above:
        ax.tick_params(labelleft=False)
        for place, row in enumerate(rows):
            ax.text(0.01, place - 0.47, row, transform=ax.get_yaxis_transform(), va="top", fontsize=TEXT)
    ax.set_ylim(len(rows) - 0.5 + down / 2, -0.5)
    for place in range(1, len(rows)):
        ax.axhline(place - 0.5, color=FAINT, lw=0.3, zorder=0)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", lw=0.3, color=FAINT)
    ax.set_xlabel(_wrapped(chart["axis"]), fontsize=TEXT)
    if chart["log"]:
        logarithmic(ax, "x")


def _lines(chart: Spec, ax: Axes) -> None:
    for one, style in _named_series(chart):
        x, y, color = _numbers(one["x"]), _numbers(one["y"]), style["color"]
        if one["spread"] is not None:
            spread = _numbers(one["spread"])
            ax.fill_between(x, y - spread, y + spread, color=color, alpha=0.15, lw=0)
        for strand in one["strands"]:
            ax.plot(x, _numbers(strand), color=color, lw=0.4, alpha=0.35)
        if one["low"] is not None:
            ax.vlines(x, _numbers(one["low"]), _numbers(one["high"]), color=color, lw=0.9)
        look: dict[str, Any] = style if one["markers"] else {**style, "marker": ""}
        ax.plot(x, y, **look)
    if chart["log_x"]:
        logarithmic(ax, "x")
    if chart["log_y"]:
        logarithmic(ax, "y")
    if chart["ticks"]:
        places, names = chart["ticks"]
        ax.set_xticks(places, names)
        ax.minorticks_off()
        if not chart["log_x"]:  # The corners of a path.
            ax.set_xlim(places[0], places[-1])
            ax.grid(axis="x", lw=0.6, color=FAINT)
    _labelled(chart, ax)


def _points(chart: Spec, ax: Axes) -> None:
    many = max((len(one["x"]) for one in chart["series"]), default=0) > _MANY
    for one, style in _named_series(chart):
        x, y = _numbers(one["x"]), _numbers(one["y"])
        for line, at, axis in ((ax.hlines, y, "x"), (ax.vlines, x, "y")):
            low, high = _numbers(one[f"{axis}_low"]), _numbers(one[f"{axis}_high"])
            if np.isfinite(low).any():
                line(at, low, high, color=style["color"], lw=0.8)
        ax.plot(x, y, **style | {"ls": "none", "alpha": 0.8, "ms": 2.4 if many else 3.4})
        for place, text in enumerate(one["text"]):
            if text in chart["named"]:
                ax.plot(x[place], y[place], style["marker"], ms=5, mec=BLACK, mew=0.8, color=style["color"])
                look = {"fontsize": TEXT, "fontweight": "bold", "color": BLACK, "path_effects": [_HALO]}
                ax.annotate(text, (x[place], y[place]), xytext=(4, 3), textcoords="offset points", **look)
    if chart["log_x"]:
        logarithmic(ax, "x")
    if chart["log_y"]:
        logarithmic(ax, "y")
    if chart["diagonal"]:
        ends = [min(*ax.dataLim.min), max(*ax.dataLim.max)]
        ax.plot(ends, ends, color=GREY, lw=0.8, ls=":", zorder=1)
    _labelled(chart, ax)


def _labelled(chart: Spec, ax: Axes) -> None:
    ax.set_xlabel(_wrapped(chart["x"]), fontsize=TEXT)
    ax.set_ylabel(_wrapped(chart["y"], letters=38), fontsize=TEXT)
    ax.grid(axis="y", lw=0.3, color=FAINT)


def _wrapped(text: str, *, letters: int = 44) -> str:
    return "\n".join(textwrap.wrap(text, letters))


def _matrix(chart: Spec, ax: Axes) -> None:
    order, darker, top = chart["order"], chart["larger_is_darker"], chart["top"]
    rows = [_broken(chart["rows"])[i] for i in order]
    columns = chart["columns"] or [str(i + 1) for i in range(len(rows))]
    cells = np.ix_(order, order if chart["columns"] is None else range(len(columns)))
    value = np.array(chart["value"], dtype=float)[cells]
    ends = None if chart["low"] is None else [np.array(chart[end], dtype=float)[cells] for end in ("low", "high")]
    ax.set_anchor("E")  # Names need the room on the left.
    # What is above or beside the cells is laid out before they would be made square.
    aspect = "auto" if chart["columns"] or chart["tree"] else "equal"
    image = ax.imshow(value, cmap="Blues" if darker else "Blues_r", vmin=0, vmax=top, aspect=aspect)
    size = TEXT if len(columns) <= _ROOMY else TEXT - 2
    digits = 2 if top < 10 else 0
    written = lambda number: f"{np.round(number, digits) + 0.0:.{digits}f}"
    for (i, j), number in np.ndenumerate(value):
        if not np.isfinite(number):
            continue
        style: dict[str, Any] = {
            "ha": "center",
            "color": "white" if image.cmap(image.norm(number))[1] < 0.55 else BLACK,
        }
        below = ends is not None and len(columns) <= _ROOMY and ends[0][i, j] < ends[1][i, j]
        ax.text(j, i, written(number), va="bottom" if below else "center", fontsize=size, **style)
        if below and ends is not None:
            to = " to " if len(columns) <= _WIDE else " to\n"
            low, high = (written(end[i, j]) for end in ends)
            ax.text(j, i + 0.08, f"{low}{to}{high}", va="top", fontsize=TEXT - 3, linespacing=0.9, **style)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows if chart["columns"] else [f"{name}  {k + 1}" for k, name in enumerate(rows)])
    ax.tick_params(length=0)
    if chart["columns"]:
        ax.tick_params(axis="x", rotation=30)
    ax.spines[:].set_visible(False)
    if chart["tree"]:
        _tree(chart["tree"], ax, leaves=len(rows))


def _tree(tree: Spec, ax: Axes, *, leaves: int) -> None:
    """The dendrogram above a matrix, with its scale."""
    above = ax.inset_axes((0, 1.03, 1, 0.25))
    for x, y in zip(tree["x"], tree["y"], strict=True):
        above.plot(x, y, color="#444444", lw=0.9)
    above.set_xlim(0, 10 * leaves)
    above.set_ylim(0, None)
    above.set_xticks([])
    thin(above)
    above.spines["bottom"].set_visible(False)
    above.set_ylabel(_wrapped(tree["name"], letters=20), rotation=0, ha="right", va="center", fontsize=TEXT)


_KINDS: dict[str, Callable[[Spec, Axes], None]] = {
    "dots": _dots,
    "lines": _lines,
    "points": _points,
    "matrix": _matrix,
}
