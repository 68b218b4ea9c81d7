"""Whole figures in one call: of one result, of every result, and of what a paper shows."""

import re
import string
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from platonic_jax.analyses import (
    Analogies,
    Comparison,
    Drift,
    ErrorRanking,
    Phonons,
    Polymorphs,
    Reactions,
    ReadoutTransfer,
    Sweep,
    Symmetry,
    Typicality,
)
from platonic_jax.analyses.arrangement import labels, leaf_order, mapped
from platonic_jax.plots import _comparison, _probes, _studies
from platonic_jax.plots._style import COLUMN, PAGE, TEXT, blank, save, subplots, with_legend

_MATRICES = ("procrustes", "mutual_knn", "sinkhorn_divergence", "wasserstein", "cka")
_FEW = 5  # Models of which three matrices side by side have room for intervals.


def sweep_page(result: Sweep) -> Figure:
    """Every measure against the number of anchors, side by side: `sweep` for each.

    Args:
        result: the result.

    Returns:
        The figure, of page width.
    """
    _, panels = subplots(1, len(result.curves), height=2.7)
    return with_legend(
        *(_comparison.sweep(result, name, ax=ax) for name, ax in zip(result.curves, panels[0], strict=True))
    )


def typicality_page(result: Typicality, *, reference: str | None = None) -> Figure:
    """AUROC of each set against a reference, and the p-values of its structures: `auroc` and `p_values`.

    Args:
        result: the result.
        reference: which of the references; the first if left out.

    Returns:
        The figure, of page width.
    """
    _, panels = subplots(1, 2, height=1.4 + 0.24 * max(6, len(result.queries)))
    left = _studies.auroc(result, reference=reference, ax=panels[0, 0])
    right = _studies.p_values(result, reference=reference, ax=panels[0, 1])
    right.legend(fontsize=TEXT - 1, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    if len(left.get_legend_handles_labels()[1]) > 1:
        left.legend(fontsize=TEXT - 1, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return panels[0, 0].get_figure(root=True)


def readout_transfer_page(result: ReadoutTransfer) -> Figure:
    """Errors of each map, in embeddings and in energies: `readout_transfer` for both.

    Args:
        result: the result.

    Returns:
        The figure, of page width, or half of it where the target has no readout.
    """
    figures = ("unexplained", "mae") if result.readout else ("unexplained",)
    height = 1.1 + 0.26 * (len(result.methods) + len(result.baselines))
    _, panels = subplots(1, len(figures), width=COLUMN * len(figures), height=height)
    drawn = [_studies.readout_transfer(result, name, ax=ax) for name, ax in zip(figures, panels[0], strict=True)]
    for ax in drawn[1:]:
        ax.tick_params(labelleft=False)
    return with_legend(*drawn)


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
    chosen = [name for name in _MATRICES if name in comparison.measures][:3]
    return _maps(comparison, "shared", matrices=chosen)


def failures_page(
    *,
    symmetry: Sequence[Symmetry] = (),
    phonons: Sequence[Phonons] = (),
    typicality: Typicality | None = None,
    drift: dict[str, Drift] | None = None,
    error_ranking: ErrorRanking | None = None,
    named: Sequence[str] = (),
) -> Figure:
    """Failure modes of one model: symmetry, phonons, outliers, displacement by training, force errors.

    The counterpart of the figure of Li & Walsh (2026) on physical failures and on typicality. Each distortion stands
    beside what rounding or chance gives.

    Args:
        symmetry: of models on the same images; a panel of its own.
        phonons: one panel for each.
        typicality: one panel, against its first reference.
        drift: by the name of a run, with energies; one panel.
        error_ranking: one panel for each of its models.
        named: symbols of elements that the panel of drift names.

    Returns:
        The figure, of page width, with those panels that something was given for.

    Raises:
        ValueError: nothing was given.
    """
    panels: list[_Panel] = []
    if symmetry:
        panels.append(partial(_probes.images, symmetry))
    panels += [partial(_probes.bands, one) for one in phonons]
    if typicality is not None:
        panels.append(partial(_studies.auroc, typicality))
    if drift:
        panels.append(partial(_studies.drift, drift, named=named))
    if error_ranking is not None:
        panels += [partial(_studies.coverage, error_ranking, name) for name in error_ranking.models]
    return _lettered(panels)


def arithmetic_page(
    *,
    analogies: Analogies | None = None,
    polymorphs: Polymorphs | None = None,
    reactions: Reactions | None = None,
    readout_transfer: ReadoutTransfer | None = None,
) -> Figure:
    """Arithmetic and transfer: sums of crystals, phases, reactions, and one model's embeddings in another's readout.

    The counterpart of the figure of Li & Walsh (2026) on arithmetic and stitching. Beside every model stands what its
    composition alone would do, or chance.

    Args:
        analogies: two panels, of right answers and of right phases.
        polymorphs: one panel, of phases and copies, or of formulas where no copies were given.
        reactions: one panel.
        readout_transfer: one panel, of energies, or of embeddings where the target has no readout.

    Returns:
        The figure, of page width, with those panels that something was given for.

    Raises:
        ValueError: nothing was given.
    """
    panels: list[_Panel] = []
    if analogies is not None:
        panels += [partial(_studies.analogies, analogies, name) for name in ("hit_1", "phase")]
    if polymorphs is not None:
        copies = "separation" in next(iter(polymorphs.within.values()))["mean"]
        figure = "separation" if copies else "identity"
        panels.append(partial(_studies.polymorphs, polymorphs, figure))
    if reactions is not None:
        panels.append(partial(_studies.reactions, reactions))
    if readout_transfer is not None:
        panels.append(
            partial(_studies.readout_transfer, readout_transfer, "mae" if readout_transfer.readout else "unexplained")
        )
    return _lettered(panels)


_Panel = Callable[..., Axes]


def _lettered(panels: Sequence[_Panel]) -> Figure:
    """Panels two a row, each with its letter and its own legend."""
    if not panels:
        raise ValueError("at least one result must be given, got none: each panel shows one.")
    rows, columns = (len(panels) + 1) // 2, min(2, len(panels))
    figure, grid = subplots(rows, columns, width=PAGE if columns > 1 else COLUMN, height=2.9 * rows)
    for ax, draw, letter in zip(grid.flat, panels, string.ascii_lowercase, strict=False):
        draw(ax=ax)
        ax.set_title(letter, loc="left", fontsize=TEXT + 2, fontweight="bold")
        if len(ax.get_legend_handles_labels()[1]) > 1:
            where = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
            ax.legend(fontsize=TEXT - 1, frameon=False, ncols=3, columnspacing=1, handletextpad=0.3, **where)
    for ax in grid.flat[len(panels) :]:
        ax.remove()
    return figure


def _maps(comparison: Comparison, space: str, *, matrices: Sequence[str] = ()) -> Figure:
    """The maps of all models in one space, four a row, and matrices of measures below."""
    shown = mapped(comparison)
    columns = min(4, max(2, len(shown)))
    rows = -(-len(shown) // columns)
    # Names of models take an inch and a half, once.
    heights = [rows * (PAGE / columns + 0.1) + 0.7, min(3.2, (PAGE - 1.5) / max(1, len(matrices))) + 0.5]
    heights = heights[: 1 + bool(matrices)]
    figure = blank(PAGE, sum(heights))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    grid = parts[0].subplots(rows, columns, squeeze=False)
    for ax, model in zip(grid.flat, shown, strict=False):
        _comparison.map(comparison, model, space=space, ax=ax)
        ax.set_title(labels(comparison)[model].replace(" (", "\n("), loc="left", fontsize=TEXT)
    for ax in grid.flat[len(shown) :]:
        ax.remove()
    if matrices:
        order = leaf_order(comparison.measures[matrices[0]])
        for place, (ax, name) in enumerate(
            zip(parts[1].subplots(1, len(matrices), squeeze=False)[0], matrices, strict=True)
        ):
            _comparison.matrix(comparison, name, order=order, intervals=len(order) <= _FEW, ax=ax)
            ax.set_xlabel(name.replace("_", " "), fontsize=TEXT)
            ax.tick_params(labelleft=place == 0)
    return with_legend(*grid.flat[: len(shown)], ncols=5)


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
        for draw in (_comparison.matrix, _comparison.null, _comparison.dendrogram):
            figures[f"{draw.__name__}-{_slug(name)}"] = with_legend(draw(comparison, name), ncols=2)
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")
    return [folder / f"{name}.png" for name in figures]


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")


def _both_maps(comparison: Comparison, model: int) -> Figure:
    _, panels = subplots(1, 2, height=3.9)
    for ax, space in zip(panels[0], ("raw", "shared"), strict=True):
        _comparison.map(comparison, model, space=space, ax=ax)
    return with_legend(*panels[0], ncols=5)
