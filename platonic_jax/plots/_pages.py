"""Whole figures in one call: the charts of results, and the maps of a comparison."""

import importlib
import re
import string
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from platonic_jax.analyses import Comparison, Result
from platonic_jax.analyses.arrangement import labels, mapped
from platonic_jax.charts import LONG, Spec
from platonic_jax.plots._charts import draw, height
from platonic_jax.plots._maps import map as draw_map
from platonic_jax.plots._style import COLUMN, PAGE, TEXT, blank, legend_rows, save, subplots, with_legend

_MATRICES = ("procrustes", "mutual_knn", "sinkhorn_divergence", "wasserstein", "cka")
_MANY = 12  # Rows that are many.
_MANY_CELLS = 10  # Rows of a matrix that are many.
_LETTER = 0.053  # Inches, of a caption.
_LINE = 0.13


def charts(result: Result | Sequence[Result]) -> list[Spec]:
    """Return the charts of a result, as data: those of its report.

    Args:
        result: A result; of symmetry, also a list of them, one a model.
    """
    # Words are the business of a layer above, as in `Result.verdict`.
    return importlib.import_module("platonic_jax.report.presenters").charts(result)


def page(*shown: Result | Sequence[Result] | Spec, columns: int = 2, captions: bool = True) -> Figure:
    """Draw all charts of results side by side, each with its letter, its caption and its own legend.

    Args:
        *shown: Results, lists of results of symmetry, or charts.
        columns: Number of charts in a row.
        captions: Whether each chart has its caption.

    Returns:
        The figure, of page width; of column width for a single chart.

    Raises:
        ValueError: There is no chart.
    """
    specs = [spec for one in shown for spec in ([one] if isinstance(one, Mapping) else charts(one))]
    if not specs:
        raise ValueError("`page` needs at least one chart: give results that have some.")
    columns = min(columns, len(specs))
    width = PAGE if columns > 1 else COLUMN
    widths = [width / (1 if _is_wide(spec) else columns) for spec in specs]
    titles = [_title(spec, i if len(specs) > 1 else None, widths[i], captions=captions) for i, spec in enumerate(specs)]
    # One legend for all, where they are the same.
    shared = len(specs) > 1 and bool(_legend(specs[0])) and all(_legend(spec) == _legend(specs[0]) for spec in specs)

    def needed(i: int) -> float:
        title = titles[i].count("\n") + bool(titles[i])
        legend = 0 if shared else legend_rows(_legend(specs[i]), widths[i])
        return height(specs[i], widths[i]) + _LINE * (title + legend)

    rows = _rows(specs, columns)
    heights = [max(map(needed, row)) for row in rows]
    figure = blank(width, sum(heights) + shared * (0.1 + _LINE * legend_rows(_legend(specs[0]), width)))
    axes = []
    for part, row in zip(
        figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0], rows, strict=True
    ):
        panels = part.subfigures(1, round(width / widths[row[0]]), squeeze=False)[0]
        for panel, i in zip(panels, row, strict=False):
            panel.suptitle(titles[i], x=0.01, ha="left", fontsize=TEXT)
            axes.append(draw(specs[i], ax=panel.subplots()))
            if not shared:
                with_legend(axes[-1])
    if shared:
        with_legend(*axes, on=figure)
    return figure


def _rows(specs: Sequence[Spec], columns: int) -> list[list[int]]:
    """Places of the charts in each row of a page; those that take its width have a row of their own."""
    rows: list[list[int]] = []
    for i, spec in enumerate(specs):
        if not rows or len(rows[-1]) == columns or _is_wide(specs[rows[-1][0]]) or _is_wide(spec):
            rows.append([])
        rows[-1].append(i)
    return rows


def _is_wide(spec: Spec) -> bool:
    """Test whether a chart has many rows with long names, or many cells, and so takes a page's width."""
    if spec["kind"] == "matrix":
        return len(spec["rows"]) > _MANY_CELLS
    return spec["kind"] == "dots" and len(spec["rows"]) > _MANY and max(map(len, spec["rows"])) > LONG


def _legend(spec: Spec) -> dict[str, tuple[str, str]]:
    """Names that the legend of a chart explains, each with what it looks like."""
    names = {one["name"]: (spec["kind"], one["style"]) for one in spec["series"]} if len(spec["series"]) > 1 else {}
    return names | {mark["name"]: (spec["kind"], "mark") for mark in spec["lines"] if mark.get("name")}


def _title(spec: Spec, place: int | None, width: float, *, captions: bool) -> str:
    """Letter and caption of a panel, in lines of its width."""
    letter = "" if place is None else f"({string.ascii_lowercase[place] if place < 26 else place + 1}) "
    return "\n".join(textwrap.wrap(f"{letter}{spec['caption'] if captions else ''}", int((width - 0.1) / _LETTER)))


def raw_spaces_page(comparison: Comparison) -> Figure:
    """Every model's own space: the first two principal components of its atoms, by chemical group.

    The counterpart of Figure 1 of Li & Walsh (2026). There it is seven models and all atoms of MP-20, here the models
    and the atoms of the comparison; groups have a marker of their own as well as a colour, and axes tell the share of
    variance.

    Args:
        comparison: the result.

    Returns:
        The figure, of page width.

    Reference:
        Li & Walsh, Platonic representation of foundation machine learning interatomic potentials, Nat. Mach. Intell. 8,
        830 (2026).
    """
    return _maps(comparison, "raw")


def shared_space_page(comparison: Comparison) -> Figure:
    """The shared space: every model's map in it, and the agreement of models there.

    The counterpart of the figure of Li & Walsh (2026) on the unified space and its measures. Values have intervals, a
    network with random weights and the element alone stand beside the models where the comparison has them, and
    optimal transport is a Sinkhorn divergence or exact, whichever the comparison was asked for.

    Args:
        comparison: the result.

    Returns:
        The figure, of page width: maps above, matrices of at most three measures below.
    """
    drawn = dict(zip(comparison.measures, charts(comparison)[::2], strict=True))
    return _maps(comparison, "shared", matrices=[drawn[name] for name in _MATRICES if name in drawn][:3])


def _maps(comparison: Comparison, space: str, *, matrices: Sequence[Spec] = ()) -> Figure:
    """The maps of all models in one space, four a row, and matrices of measures in one order below."""
    shown = mapped(comparison)
    columns = min(4, max(2, len(shown)))
    rows = -(-len(shown) // columns)
    # Names of models take an inch and a half, once.
    heights = [rows * (PAGE / columns + 0.1) + 0.8, min(3.2, (PAGE - 1.5) / max(1, len(matrices))) + 0.5]
    heights = heights[: 1 + bool(matrices)]
    figure = blank(PAGE, sum(heights))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    grid = parts[0].subplots(rows, columns, squeeze=False)
    for ax, model in zip(grid.flat, shown, strict=False):
        draw_map(comparison, model, space=space, ax=ax)
        ax.set_title(labels(comparison)[model].replace(" (", "\n("), loc="left", fontsize=TEXT)
    for ax in grid.flat[len(shown) :]:
        ax.remove()
    if matrices:
        panels = parts[1].subplots(1, len(matrices), squeeze=False)[0]
        for place, (ax, chart) in enumerate(zip(panels, matrices, strict=True)):
            draw({**chart, "order": matrices[0]["order"], "tree": None}, ax=ax)
            ax.set_xlabel(chart["caption"].partition(":")[0], fontsize=TEXT)
            ax.tick_params(labelleft=place == 0)
    return with_legend(*grid.flat[: len(shown)])


def save_all(result: Any, folder: str | Path, *, name: str) -> list[Path]:
    """Write the charts of a result as PNG; of a comparison a page for each measure, and the maps of each model.

    Args:
        result: the result.
        folder: where to; made if absent and needed.
        name: of the file.

    Returns:
        The files.
    """
    drawn = charts(result)
    if not isinstance(result, Comparison):
        figures = {name: page(*drawn)} if drawn else {}
    else:
        pages = {measure: page(*drawn[2 * i : 2 * i + 2]) for i, measure in enumerate(result.measures)}
        models = () if result.maps is None else mapped(result)
        figures = {**pages, **{f"map-{i + 1}-{result.models[i]}": _both_maps(result, i) for i in models}}
    paths = [Path(folder) / f"{re.sub(r'[^A-Za-z0-9.]+', '-', file).strip('-.')}.png" for file in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        save(figure, path)
    return paths


def _both_maps(comparison: Comparison, model: int) -> Figure:
    _, panels = subplots(1, 2, height=3.9)
    for ax, space in zip(panels[0], ("raw", "shared"), strict=True):
        draw_map(comparison, model, space=space, ax=ax)
    return with_legend(*panels[0])
