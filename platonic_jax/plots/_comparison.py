"""A comparison and a sweep, one axes at a time: maps, matrices, nulls, dendrograms, curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from scipy.cluster import hierarchy

from platonic_jax.analyses import PCA, Comparison, Sweep
from platonic_jax.analyses.arrangement import labels, leaf_order, linkage, ranked_pairs, window
from platonic_jax.plots._style import (
    BLACK,
    COLUMN,
    FAINT,
    GREY,
    GROUPS,
    METHODS,
    PAIR_KINDS,
    TEXT,
    axes,
    element_groups,
    thin,
)

_ROOMY = 7  # Models of which a matrix has room for intervals.


def map(comparison: Comparison, model: int, *, space: str = "shared", ax: Axes | None = None) -> Axes:
    """The first two principal components of one model's atoms, coloured by chemical group.

    Args:
        comparison: the result.
        model: the place of the model in `comparison.models`.
        space: `raw`, the model's own space, or `shared`, the space of the anchors.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes, framed by `window`; `with_legend` names the groups.
    """
    ax = ax or axes(COLUMN, COLUMN)
    points, explained = comparison.maps[model][space], comparison.maps[model][f"{space}_explained"]
    groups = element_groups(comparison.species[comparison.rows])
    for i, group in enumerate(GROUPS):
        mine = points[groups == i]
        if len(mine):
            ax.scatter(
                *mine.T,
                s=7,
                marker=group.marker,
                c=group.colour,
                alpha=0.75,
                linewidths=0,
                label=group.name,
                zorder=2 + 1 / len(mine),  # The rarest on top.
                rasterized=len(points) > 2000,
            )
    for axis, share, k in zip((ax.xaxis, ax.yaxis), explained, (1, 2), strict=True):
        axis.set_label_text(f"PC {k} ({share:.0%} of variance)", fontsize=TEXT)
        axis.set_ticks([])
    low, high = window(points)
    middle, half = (low + high) / 2, np.max(high - low) / 2
    ax.set_xlim(middle[0] - half, middle[0] + half)
    ax.set_ylim(middle[1] - half, middle[1] + half)
    ax.set_aspect("equal")
    thin(ax)
    return ax


def matrix(
    comparison: Comparison,
    measure: str,
    *,
    order: Sequence[int] | None = None,
    intervals: bool | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Heat map of one measure over all pairs, with values and 95 % intervals; darker is always more similar.

    Args:
        comparison: the result.
        measure: a name in `comparison.measures`.
        order: places of the models from top to bottom; those of the dendrogram if left out.
        intervals: whether to write them below the values; of at most seven models if left out, since there is no room
            for more. `null` shows them too.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes.
    """
    ax = ax or axes(COLUMN, 0.7 * COLUMN)
    table = comparison.measures[measure]
    order = leaf_order(table) if order is None else list(order)
    intervals = len(order) <= _ROOMY if intervals is None else intervals
    names = [labels(comparison)[i].replace(" (", "\n(") for i in order]
    value, low, high = (a[np.ix_(order, order)] for a in (table.value, table.low, table.high))
    similar = table.settings["larger_is_more_similar"]
    top = 1.0 if similar else np.max(value, where=np.isfinite(value), initial=np.finfo(float).tiny)
    ax.set_anchor("E")  # Names need the room on the left.
    image = ax.imshow(value, cmap="Blues" if similar else "Blues_r", vmin=0, vmax=top)
    size = TEXT if len(order) <= _ROOMY else TEXT - 2
    digits = 2 if top < 10 else 0
    for i, j in np.ndindex(*value.shape):
        if not np.isfinite(value[i, j]):
            continue
        dark = image.cmap(image.norm(value[i, j]))[1] < 0.55
        below = intervals and i != j
        style: dict[str, Any] = {"ha": "center", "color": "white" if dark else BLACK}
        ax.text(
            j,
            i,
            f"{np.round(value[i, j], digits) + 0.0:.{digits}f}",
            va="bottom" if below else "center",
            fontsize=size,
            **style,
        )
        if below:
            ends = f"{low[i, j]:.{digits}f}–{high[i, j]:.{digits}f}"
            ax.text(j, i + 0.08, ends, va="top", fontsize=TEXT - 2.6, **style)
    # Symmetric: names once, numbers along the other side.
    ax.set_xticks(range(len(names)), [str(k + 1) for k in range(len(names))])
    ax.set_yticks(range(len(names)), [f"{name}  {k + 1}" for k, name in enumerate(names)])
    ax.tick_params(length=0, labelsize=size)
    ax.spines[:].set_visible(False)
    return ax


def null(comparison: Comparison, measure: str, *, ax: Axes | None = None) -> Axes:
    """Value and 95 % interval of every pair, beside its nulls: structures exchanged, as a whole and within elements.

    Args:
        comparison: the result.
        measure: a name in `comparison.measures`.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes, the most similar pair on top; `with_legend` says what the marks are.
    """
    table, names = comparison.measures[measure], labels(comparison)
    triples = ranked_pairs(comparison, measure)
    ax = ax or axes(COLUMN, 0.8 + 0.2 * len(triples))
    at = np.array([pair[:2] for pair in triples]).T
    rows = np.arange(len(triples))
    ax.plot(table.null[*at], rows, "|", ms=7, mew=1.2, color=GREY, label="structures exchanged")
    ax.plot(table.null_within_element[*at], rows, "D", ms=3.4, mfc="none", color=GREY, label="exchanged within element")
    for kind, (what, colour) in PAIR_KINDS.items():
        mine = np.array([pair[2] == kind for pair in triples])
        if mine.any():
            ax.hlines(rows[mine], table.low[*at][mine], table.high[*at][mine], color=colour, lw=1.6)
            ax.plot(table.value[*at][mine], rows[mine], "o", ms=4, color=colour, label=what)
    ax.set_yticks(range(len(triples)), [f"{names[i]} – {names[j]}" for i, j, _ in triples])
    ax.set_ylim(len(triples) - 0.5, -0.5)
    ax.set_xlabel(measure.replace("_", " "), fontsize=TEXT)
    thin(ax)
    ax.tick_params(axis="y", length=0, labelsize=TEXT - 1)
    ax.grid(axis="x", lw=0.4, color=FAINT)
    return ax


def dendrogram(comparison: Comparison, measure: str, *, ax: Axes | None = None) -> Axes:
    """Dendrogram of the models by one measure: average linkage of 1 − similarity, or of the divergence.

    Args:
        comparison: the result.
        measure: a name in `comparison.measures`.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes.
    """
    ax = ax or axes(COLUMN, 0.7 + 0.25 * len(comparison.models))
    hierarchy.dendrogram(
        linkage(comparison.measures[measure]),
        labels=[name.replace(" (", "\n(") for name in labels(comparison)],
        orientation="left",
        color_threshold=0,
        above_threshold_color="#444444",
        leaf_font_size=TEXT,
        ax=ax,
    )
    for branches in ax.collections:
        branches.set_linewidth(0.9)
    similar = comparison.measures[measure].settings["larger_is_more_similar"]
    name = measure.replace("_", " ")
    ax.set_xlabel(f"1 − {name}" if similar else name, fontsize=TEXT)
    thin(ax)
    ax.spines["right"].set_visible(False)
    ax.spines["left"].set_visible(False)
    return ax


def sweep(result: Sweep, measure: str, *, ax: Axes | None = None) -> Axes:
    """One measure against the number of anchors, for each way to choose them; the mean over pairs of models.

    Bars are 95 % intervals over structures; the band behind a line is one standard deviation over choices of anchors;
    a ring marks the number from which on the value is stable. Thin lines are single pairs, where there are few.

    Args:
        result: the result.
        measure: a name in `found.curves`.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes; `with_legend` names the ways to choose.
    """
    ax = ax or axes(COLUMN, 2.6)
    curves, rings = result.curves[measure], []
    for place, (method, curve) in enumerate(curves.items()):
        colour, marker = METHODS[method]
        # Side by side, or the bars would hide each other.
        k = np.asarray(result.ks) * 1.05 ** (place - (len(curves) - 1) / 2)
        value = curve.value[:, -1]
        if 1 < len(result.pairs) <= 6:
            ax.plot(k, curve.value[:, :-1], color=colour, lw=0.4, alpha=0.35)
        if np.isfinite(curve.spread).all():
            spread = curve.spread[:, -1]
            ax.fill_between(k, value - spread, value + spread, color=colour, alpha=0.15, lw=0)
        ax.vlines(k, curve.low[:, -1], curve.high[:, -1], color=colour, lw=0.9)
        what = "no anchors: K principal components" if method == PCA else method.replace("_", " ")
        style = "--" if method == PCA else "-"
        ax.plot(k, value, style, marker=marker, ms=3.2, lw=1.1, color=colour, label=what)
        if curve.stable_from[-1]:
            at = result.ks.index(curve.stable_from[-1])
            rings.append((k[at], value[at]))
    if rings:
        ax.plot(*zip(*rings, strict=True), "o", ms=8, mfc="none", mec=BLACK, mew=0.8, label="stable from here")
    ax.set_xscale("log")
    ax.set_xticks(result.ks, [str(k) for k in result.ks])
    ax.minorticks_off()
    ax.set_xlabel("number of anchors K", fontsize=TEXT)
    ax.set_ylabel(measure.replace("_", " "), fontsize=TEXT)
    ax.grid(axis="y", lw=0.4, color=FAINT)
    thin(ax)
    return ax
