"""Figures from a comparison: maps, matrices, nulls, dendrograms.

Each function draws into the axes it is given, or into a new figure of column width, and returns the axes. Nothing
passes through pyplot, so no figure is left open and no global setting changes. No title is baked in: that is the
caption's work. Elements are coloured by chemical group, with colours that stay apart under colour blindness and a
marker shape as second channel.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from pymatgen.core import Element
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from platonic_jax._files import replacing
from platonic_jax.compare import Comparison, Matrix
from platonic_jax.studies import Stitching, Typicality
from platonic_jax.sweep import PCA, Sweep

__all__ = [
    "GROUPS",
    "PAIR_KINDS",
    "Group",
    "dendrogram",
    "distances",
    "element_groups",
    "labels",
    "leaf_order",
    "linkage",
    "map",
    "mapped",
    "matrix",
    "null",
    "pairs",
    "ranked_pairs",
    "save",
    "save_all",
    "stitching",
    "sweep",
    "typicality",
    "window",
]

COLUMN = 3.5  # inches: one column of a two-column page
PAGE = 7.2
TEXT = 7  # points
_GREY = "#8f8f8f"


class Group(NamedTuple):
    """How a group of elements is drawn: its name, its colour, its marker in matplotlib and in plotly."""

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

# How a pair is drawn: two trained models, a pair with a random-weight control, a pair with the element alone.
PAIR_KINDS: Mapping[str, tuple[str, str]] = {
    "model": ("two models", "#0b7abf"),
    "random": ("with random weights", "#d55e00"),
    "element": ("with the element alone", "#85898f"),
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


def labels(comparison: Comparison) -> list[str]:
    """What each model is called wherever a person reads: a random-weight network never by the model's name alone."""
    return [_label(name, kind) for name, kind in zip(comparison.models, comparison.kinds, strict=True)]


def _label(name: str, kind: str) -> str:
    if kind == "element":
        return "element alone"
    if kind == "random":
        seeded = re.fullmatch(r"random:(.+)\?seed=(\d+)(.*)", name)
        return f"{seeded[1]}{seeded[3]} (random weights, seed {seeded[2]})" if seeded else f"{name} (random weights)"
    return name


def pairs(comparison: Comparison) -> list[tuple[int, int, str]]:
    """Every pair (i, j), i < j, and its kind, a key of `PAIR_KINDS`."""
    kinds = comparison.kinds
    found = []
    for i in range(len(kinds)):
        for j in range(i + 1, len(kinds)):
            both = {kinds[i], kinds[j]}
            found.append((i, j, next((kind for kind in ("element", "random") if kind in both), "model")))
    return found


def ranked_pairs(comparison: Comparison, measure: str) -> list[tuple[int, int, str]]:
    """`pairs`, the most similar first by one measure, those without a value last; both ways where these differ."""
    table = comparison.measures[measure]
    sign = -1 if table.settings["larger_is_more_similar"] else 1
    found = pairs(comparison)
    if not np.array_equal(table.value, table.value.T, equal_nan=True):
        found += [(j, i, kind) for i, j, kind in found]
    return sorted(found, key=lambda pair: np.nan_to_num(sign * table.value[pair[:2]], nan=np.inf))


def means_within(comparison: Comparison, grouping: str, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Of each group of `Comparison.resolved[grouping]`, (g,): the mean over pairs of models, and of their nulls.

    The pairs are those of trained models, where there are two of them, and all otherwise.
    """
    found = pairs(comparison)
    chosen = [(i, j) for i, j, kind in found if kind == "model"] or [(i, j) for i, j, _ in found]
    first, second = np.array(chosen).T
    of = comparison.resolved[grouping].measures[measure]
    value, null = (of[field][:, first, second].mean(axis=1) for field in ("value", "null_within_element"))
    return value, null


def mapped(comparison: Comparison) -> list[int]:
    """The models whose maps are worth a look: a one-hot of the element has no arrangement."""
    return [i for i, kind in enumerate(comparison.kinds) if kind != "element"]


def distances(measure: Matrix) -> np.ndarray:
    """How far apart the models are by one measure: 1 − similarity, or the divergence itself.

    Args:
        measure: one entry of `Comparison.measures`.

    Returns:
        (m, m) symmetric, non-negative, zero diagonal; a pair without a value counts as the farthest.
    """
    value = 1 - measure.value if measure.settings["larger_is_more_similar"] else measure.value
    value = np.clip((value + value.T) / 2, 0, None)
    value = np.where(np.isfinite(value), value, np.max(value, where=np.isfinite(value), initial=1.0))
    np.fill_diagonal(value, 0)
    return value


def linkage(measure: Matrix) -> np.ndarray:
    """Average linkage of the models by `distances`, (m − 1, 4) in scipy's form; neighbouring leaves are near."""
    return hierarchy.linkage(squareform(distances(measure), checks=False), method="average", optimal_ordering=True)


def leaf_order(measure: Matrix) -> list[int]:
    """The models from left to right under the dendrogram."""
    return [int(i) for i in hierarchy.leaves_list(linkage(measure))]


def window(points: np.ndarray) -> np.ndarray:
    """The frame of a map: a few atoms far from all others should not shrink these to a dot.

    Args:
        points: (r, 2).

    Returns:
        (2, 2), the lower and the upper corner: the central 96 % of the atoms on each axis and half as much again on
        either side, or less where no atom lies so far out.
    """
    low, high = np.quantile(points, [0.02, 0.98], axis=0)
    margin = 0.5 * np.max(high - low)
    rim = 0.04 * (np.minimum(high + margin, points.max(0)) - np.maximum(low - margin, points.min(0)))
    return np.stack([np.maximum(low - margin, points.min(0)) - rim, np.minimum(high + margin, points.max(0)) + rim])


def matrix(comparison: Comparison, measure: str, *, ax: Axes | None = None) -> Axes:
    """Heat map of one measure over all pairs, with values and 95 % intervals; darker is always more similar.

    Args:
        comparison: the result.
        measure: a name in `comparison.measures`.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes.
    """
    ax = ax or _axes(COLUMN, COLUMN)
    table, order = comparison.measures[measure], leaf_order(comparison.measures[measure])
    names = [labels(comparison)[i].replace(" (", "\n(") for i in order]
    value, low, high = (a[np.ix_(order, order)] for a in (table.value, table.low, table.high))
    similar = table.settings["larger_is_more_similar"]
    top = 1.0 if similar else np.max(value, where=np.isfinite(value), initial=np.finfo(float).tiny)
    image = ax.imshow(value, cmap="Blues" if similar else "Blues_r", vmin=0, vmax=top)
    for i, j in np.ndindex(*value.shape):
        if not np.isfinite(value[i, j]):
            continue
        dark = image.cmap(image.norm(value[i, j]))[1] < 0.55
        colour = "white" if dark else "#222222"
        if i == j:
            ax.text(j, i, f"{value[i, j]:.2f}", ha="center", va="center", fontsize=TEXT, color=colour)
            continue
        interval = f"{low[i, j]:.2f}–{high[i, j]:.2f}"
        ax.text(j, i, f"{value[i, j]:.2f}", ha="center", va="bottom", fontsize=TEXT, color=colour)
        ax.text(j, i + 0.08, interval, ha="center", va="top", fontsize=TEXT - 2.6, color=colour)
    # Symmetric: names once, numbers along the other side.
    ax.set_xticks(range(len(names)), [str(k + 1) for k in range(len(names))])
    ax.set_yticks(range(len(names)), [f"{name}  {k + 1}" for k, name in enumerate(names)])
    ax.tick_params(length=0, labelsize=TEXT)
    ax.spines[:].set_visible(False)
    return ax


def map(comparison: Comparison, model: int, *, space: str = "shared", ax: Axes | None = None) -> Axes:
    """The first two principal components of one model's atoms, coloured by chemical group.

    Args:
        comparison: the result.
        model: the place of the model in `comparison.models`.
        space: `raw`, the model's own space, or `shared`, the space of the anchors.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes, framed by `window`; `ax.legend()` names the groups.
    """
    ax = ax or _axes(COLUMN, COLUMN)
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
    _thin(ax)
    return ax


def null(comparison: Comparison, measure: str, *, ax: Axes | None = None) -> Axes:
    """Value and 95 % interval of every pair, beside what chance gives: atoms shuffled, freely and within elements.

    Args:
        comparison: the result.
        measure: a name in `comparison.measures`.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes, the most similar pair on top; `ax.legend()` says what the marks are.
    """
    table, names = comparison.measures[measure], labels(comparison)
    found = ranked_pairs(comparison, measure)
    ax = ax or _axes(COLUMN, 0.8 + 0.2 * len(found))
    at = np.array([pair[:2] for pair in found]).T
    rows = np.arange(len(found))
    ax.plot(table.null[*at], rows, "|", ms=7, mew=1.2, color=_GREY, label="shuffled")
    ax.plot(table.null_within_element[*at], rows, "D", ms=3.4, mfc="none", color=_GREY, label="shuffled within element")
    for kind, (what, colour) in PAIR_KINDS.items():
        mine = np.array([pair[2] == kind for pair in found])
        if mine.any():
            ax.hlines(rows[mine], table.low[*at][mine], table.high[*at][mine], color=colour, lw=1.6)
            ax.plot(table.value[*at][mine], rows[mine], "o", ms=4, color=colour, label=what)
    ax.set_yticks(range(len(found)), [f"{names[i]} – {names[j]}" for i, j, _ in found])
    ax.set_ylim(len(found) - 0.5, -0.5)
    ax.set_xlabel(measure.replace("_", " "), fontsize=TEXT)
    ax.tick_params(labelsize=TEXT - 1)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", lw=0.4, color="#dddddd")
    ax.set_axisbelow(True)
    _thin(ax)
    return ax


def dendrogram(comparison: Comparison, measure: str, *, ax: Axes | None = None) -> Axes:
    """Which models stand nearest each other by one measure: average linkage of 1 − similarity, or of the divergence.

    Args:
        comparison: the result.
        measure: a name in `comparison.measures`.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes.
    """
    ax = ax or _axes(COLUMN, 0.7 + 0.25 * len(comparison.models))
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
    ax.tick_params(labelsize=TEXT)
    _thin(ax)
    ax.spines["right"].set_visible(False)
    ax.spines["left"].set_visible(False)
    return ax


# How a way to choose anchors is drawn: its colour, which those of `PAIR_KINDS` are not, and its marker.
_METHODS: Mapping[str, tuple[str, str]] = {
    "random": ("#0b7abf", "o"),
    "direct": ("#d55e00", "s"),
    "kmeans": ("#048b69", "^"),
    "farthest_point": ("#9a4fb0", "D"),
    PCA: ("#555555", "x"),
}
_STABLE = "stable from here"


def sweep(found: Sweep) -> Figure:
    """Each measure against the number of anchors, for each way to choose them; the mean over pairs of models.

    Bars are 95 % intervals over structures; the band behind a line is one standard deviation over choices of anchors;
    a ring marks the number from which on the value is stable. Thin lines are single pairs, where there are few.

    Args:
        found: the result.

    Returns:
        The figure, of page width.
    """
    figure = Figure(figsize=(PAGE, 2.7), layout="constrained")
    panels = figure.subplots(1, len(found.curves), squeeze=False)[0]
    methods = list(next(iter(found.curves.values())))
    for ax, (name, curves) in zip(panels, found.curves.items(), strict=True):
        for place, method in enumerate(methods):
            curve, (colour, marker) = curves[method], _METHODS[method]
            # Side by side, or the bars would hide each other.
            k = np.asarray(found.ks) * 1.05 ** (place - (len(methods) - 1) / 2)
            value = curve.value[:, -1]
            if 1 < len(found.pairs) <= 6:
                ax.plot(k, curve.value[:, :-1], color=colour, lw=0.4, alpha=0.35)
            if np.isfinite(curve.spread).all():
                spread = curve.spread[:, -1]
                ax.fill_between(k, value - spread, value + spread, color=colour, alpha=0.15, lw=0)
            ax.vlines(k, curve.low[:, -1], curve.high[:, -1], color=colour, lw=0.9)
            what = "no anchors: K principal components" if method == PCA else method.replace("_", " ")
            style = "--" if method == PCA else "-"
            ax.plot(k, value, style, marker=marker, ms=3.2, lw=1.1, color=colour, label=what)
            if curve.stable_from[-1]:
                at = found.ks.index(curve.stable_from[-1])
                ax.plot(k[at], value[at], "o", ms=8, mfc="none", mec="#222222", mew=0.8, label=_STABLE)
        ax.set_xscale("log")
        ax.set_xticks(found.ks, [str(k) for k in found.ks])
        ax.minorticks_off()
        ax.set_xlabel("number of anchors K", fontsize=TEXT)
        ax.set_ylabel(name.replace("_", " "), fontsize=TEXT)
        ax.tick_params(labelsize=TEXT)
        ax.grid(axis="y", lw=0.4, color="#dddddd")
        ax.set_axisbelow(True)
        _thin(ax)
    named = {}
    for ax in panels:
        handles, names = ax.get_legend_handles_labels()
        named |= dict(zip(names, handles, strict=True))
    ring = {_STABLE: named.pop(_STABLE)} if _STABLE in named else {}
    named |= ring  # Last.
    figure.legend(named.values(), named, loc="outside lower center", ncols=6, fontsize=TEXT - 0.5, frameon=False)
    return figure


def typicality(found: Typicality, *, reference: str | None = None) -> Figure:
    """How far each set lies from a reference, and the p-values of its structures.

    On the left the AUROC against held-out structures of the reference, with its 95 % interval, of each model; on the
    right the share of structures with a p-value of at most so much: held-out ones follow the dashed line.

    Args:
        found: the result.
        reference: which of the references; the first if left out.

    Returns:
        The figure, of page width.
    """
    reference = reference or found.references[0]
    names = found.ranked(reference)
    figure = Figure(figsize=(PAGE, 1.6 + 0.25 * max(4, len(names))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    models = list(found.queries[names[0]].against[reference])
    for place, model in enumerate(models):
        colour = "#222222" if model == found.judge else f"C{place}"
        auroc = [found.queries[name].against[reference][model].auroc for name in names]
        rows = np.arange(len(names)) + 0.2 * (place - (len(models) - 1) / 2)
        value, low, high = (np.array([entry[field] for entry in auroc]) for field in ("value", "low", "high"))
        left.hlines(rows, low, high, color=colour, lw=1.2)
        left.plot(value, rows, "o", ms=3.2, color=colour, label=model)
    left.axvline(0.5, color=_GREY, lw=0.8, ls="--")
    left.set_yticks(range(len(names)), names)
    left.set_ylim(len(names) - 0.5, -0.5)
    left.set_xlabel("AUROC against held-out structures", fontsize=TEXT)
    if len(models) > 1:
        left.legend(fontsize=TEXT - 0.5, frameon=False)
    sets = {"held out": found.held_out[reference], **{name: found.queries[name] for name in names}}
    for place, (name, judged) in enumerate(sets.items()):
        p_values = np.sort(judged.against[reference][found.judge].p_value)
        p_values = p_values[np.isfinite(p_values)]
        style = {"color": "#222222", "lw": 1.8}
        if place:  # Ten colours, then the same broken.
            style = {"color": f"C{(place - 1) % 10}", "lw": 1.0, "ls": "-" if place <= 10 else "--"}  # noqa: PLR2004
        right.step(p_values, np.arange(1, len(p_values) + 1) / max(1, len(p_values)), where="post", label=name, **style)
    uniform = np.geomspace(0.001, 1, 100)
    right.plot(uniform, uniform, color=_GREY, lw=0.8, ls=":", label="uniform")
    right.axvline(found.settings["level"], color=_GREY, lw=0.6, ls=":")
    right.set(xscale="log", xlim=(0.001, 1), ylim=(0, 1))
    right.set_xlabel(f"p-value against {reference}, {found.judge}", fontsize=TEXT)
    right.set_ylabel("share of structures", fontsize=TEXT)
    right.legend(fontsize=TEXT - 1, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    for ax in (left, right):
        ax.tick_params(labelsize=TEXT)
        _thin(ax)
    return figure


def stitching(found: Stitching) -> Figure:
    """What a model's rows miss of another's by each map, and how far its read-out is off on them, with 95 % intervals.

    Args:
        found: the result.

    Returns:
        The figure, of page width, or half of it where the target has no read-out.
    """
    groups = {found.source: found.methods, **found.controls}
    names = [*found.methods, *(f"{name} alone" for name in found.baselines)]
    figures = {"left": (1, "share of variance missed")}
    if found.read_out:
        figures["mae"] = (1000, f"energy by the read-out of {found.target}, MAE in meV/atom")
    width = COLUMN * len(figures)
    figure = Figure(figsize=(width, 0.9 + 0.26 * len(names)), layout="constrained")
    for ax, (field, (unit, text)) in zip(
        figure.subplots(1, len(figures), squeeze=False)[0], figures.items(), strict=True
    ):
        for place, (name, methods) in enumerate(groups.items()):
            shown = {method: entry[field] for method, entry in methods.items()}
            if place == 0:
                shown |= {f"{what} alone": of[field] for what, of in found.baselines.items() if field in of}
            at = [names.index(method) + 0.22 * (place - (len(groups) - 1) / 2) for method in shown]
            value, low, high = (
                unit * np.array([entry[end] for entry in shown.values()]) for end in ("value", "low", "high")
            )
            colour = "#222222" if place == 0 else f"C{place - 1}"
            ax.hlines(at, low, high, color=colour, lw=1.2)
            ax.plot(value, at, "o" if place == 0 else "s", ms=3.2, color=colour, label=name)
        if field == "mae":
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_yticks(range(len(names)), names if field == "left" else [])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlabel(text, fontsize=TEXT)
        ax.grid(axis="x", lw=0.3, color="#dddddd")
        ax.tick_params(labelsize=TEXT)
        _thin(ax)
    if found.controls:
        figure.legend(
            *figure.axes[0].get_legend_handles_labels(),
            loc="outside upper right",
            ncols=len(groups),
            fontsize=TEXT,
            frameon=False,
        )
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure, whole or not at all; fonts are embedded as TrueType, so that text in a PDF stays text."""
    with replacing(path) as partial, mpl.rc_context({"pdf.fonttype": 42, "svg.fonttype": "none"}):
        figure.savefig(partial, dpi=300)


def save_all(comparison: Comparison, folder: str | Path) -> list[Path]:
    """Write every figure as PNG: the maps of each model, and for each measure its matrix, nulls and dendrogram.

    Args:
        comparison: the result.
        folder: where to; made if absent.

    Returns:
        The files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {f"map-{i + 1}-{_slug(comparison.models[i])}": _both_maps(comparison, i) for i in mapped(comparison)}
    for name in comparison.measures:
        for draw in (matrix, null, dendrogram):
            figures[f"{draw.__name__}-{_slug(name)}"] = _with_legend(draw(comparison, name), ncols=2)
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")
    return [folder / f"{name}.png" for name in figures]


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")


def _both_maps(comparison: Comparison, model: int) -> Figure:
    raw, shared = Figure(figsize=(PAGE, 3.9), layout="constrained").subplots(1, 2)
    map(comparison, model, space="raw", ax=raw)
    return _with_legend(map(comparison, model, space="shared", ax=shared), ncols=5)


def _with_legend(ax: Axes, *, ncols: int) -> Figure:
    """The figure of the axes, what is labelled in them explained below."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    handles, names = ax.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=ncols, fontsize=TEXT - 0.5, frameon=False)
    return figure


def _axes(width: float, height: float) -> Axes:
    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def _thin(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[:].set_linewidth(0.6)
    ax.tick_params(width=0.6)
