"""Common style of all figures: widths, colours, markers, legends, and writing to files."""

import io
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from pymatgen.core import Element

from platonic_jax._files import replacing
from platonic_jax.charts import Spec

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

# Series take these colours in turn, those of the page, with a marker as second channel.
COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4b3f72", "#8a7a00")
RANDOM, BASELINE = "#c65300", "#777c83"
_MARKERS = ("o", "s", "D", "^", "P", "v", "*", "X")

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
    """A logarithmic axis, `x` or `y`, with plain numbers at its large steps alone, if any number is positive."""
    if not np.isfinite(getattr(ax.dataLim, f"minpos{which}")):
        return
    getattr(ax, f"set_{which}scale")("log")
    axis = ax.xaxis if which == "x" else ax.yaxis
    low, high = axis.get_view_interval()
    # Less than two decades would show one number or none.
    few = high / low < 100
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=8))
    axis.set_minor_formatter(NullFormatter())
    if few or (low > 1e-4 and high < 1e5):
        axis.set_major_formatter("{x:g}")


def marks_of(series: Sequence[Spec]) -> list[dict[str, Any]]:
    """Style of each series of a chart: its colour, its marker and its line, as on the page."""
    styles, models, nulls = [], 0, 0
    for place, one in enumerate(series):
        style: dict[str, Any] = {"lw": 1.1, "ms": 3.4}
        if one["style"] == "ring":
            style |= {"color": BLACK, "marker": "o", "mfc": "none", "ms": 8, "mew": 0.8, "ls": "none"}
        elif one["style"] == "null":
            style |= {
                "color": GREY,
                "marker": "D" if nulls else "|",
                "mfc": "none",
                "ms": 3.4 if nulls else 7,
                "ls": ":",
            }
            nulls += 1
        elif one["style"] == "baseline":
            style |= {"color": BASELINE, "marker": "s", "mfc": "none", "ls": "-."}
        elif one["style"] == "random":
            style |= {"color": RANDOM, "marker": _MARKERS[place % len(_MARKERS)], "mfc": "none", "ls": "--"}
        else:
            again = models // len(COLOURS) % 2
            dash = "--" if one.get("dash") else ":" if again else "-"
            colour, marker = COLOURS[models % len(COLOURS)], _MARKERS[models % len(_MARKERS)]
            style |= {"color": colour, "marker": marker, "ls": dash}
            models += 1
        styles.append(style)
    return styles


def legend_rows(names: Collection[str], width: float) -> int:
    """Number of rows of a legend in a figure of some width in inches."""
    return -(-len(names) // _columns(names, width)) if names else 0


def _columns(names: Iterable[str], width: float) -> int:
    return max(1, int(width / (0.38 + 0.048 * max(map(len, names)))))


def with_legend(*drawn: Axes, on: Figure | None = None) -> Figure:
    """Explain what is labelled in some axes, once, below them.

    Args:
        *drawn: axes of one figure, or of one part of it.
        on: the figure or the part that the legend stands below; that of the first axes if left out.

    Returns:
        The figure.
    """
    part, figure = (drawn[0].get_figure(root=root) for root in (False, True))
    part = on or part
    assert part is not None
    assert isinstance(figure, Figure)
    named: dict[str, Any] = {}
    for ax in drawn:
        handles, names = ax.get_legend_handles_labels()
        named |= {name: handle for name, handle in zip(names, handles, strict=True) if name not in named}
    if named:
        width = part.bbox.width / figure.dpi
        style = {"ncols": _columns(named, width), "fontsize": TEXT - 0.5, "frameon": False, "columnspacing": 1.2}
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
