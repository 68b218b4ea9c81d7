"""Common style of all figures: widths, colours, markers, legends, and writing to files."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from pymatgen.core import Element

from platonic_jax._files import replacing
from platonic_jax.analyses import PCA, Estimate

COLUMN = 3.5  # inches: one column of a two-column page
PAGE = 7.2
TEXT = 7  # points
BLACK, GREY, FAINT = "#222222", "#8f8f8f", "#dddddd"


class Group(NamedTuple):
    """Style of a group of elements: its name, its colour, its marker in matplotlib and in plotly."""

    name: str
    colour: str
    marker: str
    symbol: str


# Chosen so that every two differ by at least 18 (CIE 1976) to normal, deuteranopic, protanopic and tritanopic eyes.
GROUPS: tuple[Group, ...] = (
    Group("alkali metal", "#ff89ab", "<", "triangle-left"),
    Group("alkaline earth", "#a65300", "s", "square"),
    Group("transition metal", "#5f56c0", "o", "circle"),
    Group("lanthanide", "#048b69", "^", "triangle-up"),
    Group("actinide", "#ad2237", "v", "triangle-down"),
    Group("post-transition metal", "#009eff", "D", "diamond"),
    Group("metalloid", "#cbafeb", "p", "pentagon"),
    Group("non-metal", "#6b6080", "X", "x"),
    Group("halogen", "#e5b444", "*", "star"),
    Group("noble gas", "#a6c477", "P", "cross"),
)
"""The chemical groups of elements, with their colours and markers."""

# How a pair is drawn: two trained models, a pair with a random-weight control, a pair with the element alone.
PAIR_KINDS: Mapping[str, tuple[str, str]] = {
    "model": ("two models", "#0b7abf"),
    "random": ("with random weights", "#d55e00"),
    "element": ("with the element alone", "#85898f"),
}
"""Of two trained models, with random weights, with the element alone: what each pair is called, and its colour."""

# What has no colour of its own takes these in turn, with a marker as second channel.
SERIES: tuple[tuple[str, str], ...] = (
    ("#0b7abf", "o"),
    ("#d55e00", "s"),
    ("#048b69", "^"),
    ("#9a4fb0", "D"),
    ("#b8860b", "v"),
    ("#555555", "P"),
    ("#ff89ab", "X"),
)
# How a way to choose anchors is drawn.
METHODS: Mapping[str, tuple[str, str]] = {
    "random": SERIES[0],
    "direct": SERIES[1],
    "kmeans": SERIES[2],
    "farthest_point": SERIES[3],
    PCA: ("#555555", "x"),
}

_NON_METALS = {1, 6, 7, 8, 15, 16, 34}


def element_groups(species: np.ndarray) -> np.ndarray:
    """The chemical group of each atom.

    Args:
        species: (n,) atomic numbers.

    Returns:
        (n,) indices into `GROUPS`.
    """
    numbers, row = np.unique(species, return_inverse=True)
    names = [group.name for group in GROUPS]
    return np.array([names.index(_group_of(int(number))) for number in numbers])[row]


def _group_of(number: int) -> str:
    if number == 0:  # Of bare arrays no element is known.
        return "non-metal"
    element = Element.from_Z(number)
    # The f-block first: pymatgen counts La and Ac among the transition metals as well.
    tests = (
        ("lanthanide", element.is_lanthanoid),
        ("actinide", element.is_actinoid),
        ("alkali metal", element.is_alkali),
        ("alkaline earth", element.is_alkaline),
        ("post-transition metal", element.is_post_transition_metal),
        ("metalloid", element.is_metalloid),
        ("halogen", element.is_halogen),
        ("noble gas", element.is_noble_gas),
        ("non-metal", number in _NON_METALS),
    )
    return next((name for name, holds in tests if holds), "transition metal")


class _Shown(Figure):
    """A figure that notebooks display without pyplot."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def subplots(rows: int = 1, columns: int = 1, *, width: float = PAGE, height: float) -> tuple[Figure, np.ndarray]:
    """A figure outside pyplot, and its (rows, columns) axes.

    Args:
        rows: how many axes stand above each other.
        columns: how many stand side by side.
        width: of the figure in inches; that of a page if left out.
        height: of the figure in inches.

    Returns:
        The figure, which notebooks show as it is, and the axes, a matrix in any case.
    """
    figure = blank(width, height)
    return figure, figure.subplots(rows, columns, squeeze=False)


def blank(width: float, height: float) -> Figure:
    """A figure without axes."""
    return _Shown(figsize=(width, height), dpi=120, layout="constrained")


def axes(width: float, height: float) -> Axes:
    """The axes of a new figure."""
    return subplots(width=width, height=height)[1][0, 0]


def thin(ax: Axes) -> None:
    """Two thin spines, small numbers."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[:].set_linewidth(0.6)
    ax.tick_params(width=0.6, labelsize=TEXT)
    ax.set_axisbelow(True)


def logarithmic(ax: Axes, which: str) -> None:
    """A logarithmic axis, `x` or `y`, with plain numbers at its large steps alone."""
    getattr(ax, f"set_{which}scale")("log")
    axis = ax.xaxis if which == "x" else ax.yaxis
    low, high = axis.get_view_interval()
    # Less than two decades would show one number or none.
    few = high / low < 100
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=8))
    axis.set_minor_formatter(NullFormatter())
    if few or (low > 1e-4 and high < 1e5):
        axis.set_major_formatter("{x:g}")


def intervals(
    series: Mapping[str, Mapping[str, Estimate]],
    *,
    unit: float = 1.0,
    rows: list[str] | None = None,
    colours: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Values with their intervals, one row a name, the series of a row close above each other.

    Args:
        series: by series, by name of the row, estimates. A series need not have every row.
        unit: what every number is multiplied by.
        rows: names from top to bottom; those of the series, as they come, if left out.
        colours: of series; others take their turn.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes; `with_legend` names the series.
    """
    rows = rows or list(dict.fromkeys(name for entries in series.values() for name in entries))
    ax = ax or axes(COLUMN, 0.7 + 0.26 * len(rows))
    step = min(0.22, 0.8 / max(1, len(series)))
    for place, (name, entries) in enumerate(series.items()):
        colour, marker = SERIES[place % len(SERIES)]
        colour = (colours or {}).get(name, colour)
        at = np.array([rows.index(row) for row in entries]) + step * (place - (len(series) - 1) / 2)
        value, low, high = unit * np.array([(entry.value, entry.low, entry.high) for entry in entries.values()]).T
        ax.hlines(at, low, high, color=colour, lw=1.2)
        ax.plot(value, at, marker, ms=3.2, color=colour, label=name)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    thin(ax)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", lw=0.3, color=FAINT)
    return ax


def with_legend(*drawn: Axes, ncols: int = 3) -> Figure:
    """The figure of some axes, what is labelled in them explained once, below.

    Args:
        *drawn: axes of one figure, or of one part of it.
        ncols: columns of the legend.

    Returns:
        The figure.
    """
    part, figure = (drawn[0].get_figure(root=root) for root in (False, True))
    assert part is not None
    assert isinstance(figure, Figure)
    named: dict[str, Any] = {}
    for ax in drawn:
        handles, names = ax.get_legend_handles_labels()
        named |= {name: handle for name, handle in zip(names, handles, strict=True) if name not in named}
    if named:
        style = {"ncols": ncols, "fontsize": TEXT - 0.5, "markerscale": 1.4, "frameon": False}
        part.legend(named.values(), named, loc="outside lower center", **style)
    return figure


def save(figure: Figure, path: str | Path) -> Figure:
    """Write a figure, whole or not at all; fonts are embedded as TrueType, so that text in a PDF stays text.

    Args:
        figure: the figure.
        path: where to; its ending says in which form.

    Returns:
        The figure, for a notebook to show.
    """
    with replacing(path) as partial, mpl.rc_context({"pdf.fonttype": 42, "svg.fonttype": "none"}):
        figure.savefig(partial, dpi=300)
    return figure
