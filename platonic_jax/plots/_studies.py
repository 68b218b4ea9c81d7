"""Figures of studies, one axes at a time: typicality, errors, drift, sums, readouts, learned spaces."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from platonic_jax._checks import check_choice
from platonic_jax.analyses import (
    Analogies,
    Drift,
    ErrorRanking,
    Estimate,
    Polymorphs,
    Reactions,
    ReadoutTransfer,
    Training,
    Transfer,
    Typicality,
)
from platonic_jax.plots._style import BLACK, COLUMN, FAINT, GREY, SERIES, TEXT, axes, intervals, logarithmic, thin

_HALO = withStroke(linewidth=2, foreground="white")  # Names among points stay readable.
_MILLI = 1000.0  # meV/atom for eV/atom.
_DARK = 150  # meV/atom, from where on a matrix of errors needs white numbers.


def auroc(result: Typicality, *, reference: str | None = None, ax: Axes | None = None) -> Axes:
    """AUROC of each set against the held-out structures of a reference, by each model.

    Args:
        result: the result.
        reference: which of the references; the first if left out.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes, the set that lies farthest on top; `with_legend` names the models.
    """
    reference = reference or result.references[0]
    names = result.ranked(reference)
    entries = {name: result.queries[name].against[reference] for name in names}
    series = {
        model: {name: entries[name][model].auroc or Estimate(np.nan) for name in names} for model in entries[names[0]]
    }
    ax = intervals(series, rows=names, colours={result.combined: BLACK}, ax=ax)
    ax.axvline(0.5, color=GREY, lw=0.8, ls="--")
    ax.set_xlabel("AUROC against held-out structures", fontsize=TEXT)
    return ax


def p_values(result: Typicality, *, reference: str | None = None, ax: Axes | None = None) -> Axes:
    """Cumulative distribution of each set's p-values; held-out structures follow the dotted line.

    Args:
        result: the result.
        reference: which of the references; the first if left out.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes, by the judgement of all models; `with_legend` names the sets.
    """
    reference = reference or result.references[0]
    ax = ax or axes(COLUMN, COLUMN)
    sets = {"held out": result.held_out[reference], **{name: result.queries[name] for name in result.ranked(reference)}}
    for place, (name, query) in enumerate(sets.items()):
        p_values = np.sort(query.against[reference][result.combined].p_value)
        p_values = p_values[np.isfinite(p_values)]
        style = {"color": BLACK, "lw": 1.8}
        if place:  # Ten colours, then the same broken.
            style = {"color": f"C{(place - 1) % 10}", "lw": 1.0, "ls": "-" if place <= 10 else "--"}
        ax.step(p_values, np.arange(1, len(p_values) + 1) / max(1, len(p_values)), where="post", label=name, **style)
    uniform = np.geomspace(0.001, 1, 100)
    ax.plot(uniform, uniform, color=GREY, lw=0.8, ls=":", label="uniform")
    ax.axvline(result.settings["level"], color=GREY, lw=0.6, ls=":")
    ax.set(xscale="log", xlim=(0.001, 1), ylim=(0, 1))
    ax.set_xlabel(f"p-value against {reference}, {result.combined}", fontsize=TEXT)
    ax.set_ylabel("share of structures", fontsize=TEXT)
    thin(ax)
    return ax


def coverage(result: ErrorRanking, model: str, *, ax: Axes | None = None) -> Axes:
    """Risk-coverage curves: mean force error of the atoms kept when those of the highest scores are left out.

    Args:
        result: the result.
        model: a name in `result.models`.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes; scores that need no geometry are broken lines, the thin line is the mean of all atoms.
    """
    ax = ax or axes(COLUMN, 2.6)
    for place, (score, entry) in enumerate(result.scores[model].items()):
        ranking = entry["atoms"]
        style = "--" if score in result.baselines else "-"
        colour = SERIES[place % len(SERIES)][0]
        ax.plot(100 * ranking.coverage, ranking.risk, style, lw=1.1, color=colour, label=score)
    ax.axhline(result.errors[model]["force"]["mean"], color=GREY, lw=0.6)
    ax.set_xlabel("% of atoms kept, the lowest scores first", fontsize=TEXT)
    ax.set_ylabel(f"mean force error of {model} / eV Å⁻¹", fontsize=TEXT)
    thin(ax)
    return ax


def drift(results: Mapping[str, Drift], *, named: Sequence[str] = (), ax: Axes | None = None) -> Axes:
    """Displacement of the atoms of each element against the change of energy of structures that contain it.

    Args:
        results: by the name of a run, the result; each has energies.
        named: symbols of the elements to write beside their points.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes: a point for every element that was not fine-tuned on; `with_legend` names the runs.
    """
    ax = ax or axes(COLUMN, 2.8)
    for (name, one), (colour, marker) in zip(results.items(), SERIES, strict=False):
        unseen = [symbol for symbol, entry in one.elements.items() if not entry.seen]
        moved = [one.elements[symbol].displacement.value for symbol in unseen]
        change = [_MILLI * one.energy["change"].elements[symbol] for symbol in unseen]
        ax.plot(moved, change, marker, ms=2.6, mew=0, alpha=0.8, color=colour, label=name)
        for symbol, x, y in zip(unseen, moved, change, strict=True):
            if symbol in named:
                ax.plot(x, y, marker, ms=5, mec=BLACK, mew=0.8, color=colour)
                style = {"fontsize": TEXT, "fontweight": "bold", "color": BLACK, "path_effects": [_HALO]}
                ax.annotate(symbol, (x, y), xytext=(4, 3), textcoords="offset points", **style)
    for which in ("x", "y"):
        logarithmic(ax, which)
    ax.set_xlabel("displacement / median distance between environments", fontsize=TEXT)
    ax.set_ylabel("change of energy / meV per atom", fontsize=TEXT)
    thin(ax)
    return ax


def analogies(result: Analogies, figure: str = "hit_1", *, ax: Axes | None = None) -> Axes:
    """Fraction of analogies answered correctly, by each kind of vector; the dashed line is chance level.

    Args:
        result: the result.
        figure: a key of `result.figures[…]`: `hit_1`, `hit_10`, `median_rank` or `phase`.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes.
    """
    ax = intervals({figure: {name: entry[figure] for name, entry in result.figures.items()}}, ax=ax)
    ax.axvline(result.chance[figure], color=GREY, lw=0.8, ls="--")
    labels = {"hit_1": "right answer first", "hit_10": "right answer among ten", "phase": "right phase of the answer"}
    ax.set_xlabel(labels.get(figure, "median rank of the right answer"), fontsize=TEXT)
    return ax


def polymorphs(result: Polymorphs, figure: str = "separation", *, ax: Axes | None = None) -> Axes:
    """Identification of phases by mean vectors and by point clouds, by model; the dashed line is chance level.

    Args:
        result: the result.
        figure: a key of `result.within[…][…]`: `identity`, `separation` (which needs copies) or `energy`.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes; `with_legend` names the models.
    """
    series = {model: {how: entry[figure] for how, entry in entries.items()} for model, entries in result.within.items()}
    ax = intervals(series, ax=ax)
    if figure in result.chance:
        ax.axvline(result.chance[figure], color=GREY, lw=0.8, ls="--")
    labels = {"identity": "nearest crystal has the same formula", "separation": "phases against copies, AUROC"}
    ax.set_xlabel(labels.get(figure, "rank correlation with differences of energy"), fontsize=TEXT)
    return ax


def reactions(result: Reactions, *, ax: Axes | None = None) -> Axes:
    """Norm of each reaction vector against its energy, or sorted where no energy is known.

    Args:
        result: the result.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes; `with_legend` names the models.
    """
    ax = ax or axes(COLUMN, 2.6)
    known = np.isfinite(result.energies)
    for (model, norm), (colour, marker) in zip(result.norms.items(), SERIES, strict=False):
        x, y = (np.abs(result.energies[known]), norm[known]) if known.any() else (np.arange(len(norm)), np.sort(norm))
        ax.plot(x, y, marker, ms=2.6, mew=0, alpha=0.8, color=colour, label=model)
    ax.set_xlabel("|ΔE| as written / eV" if known.any() else "reactions, shortest first", fontsize=TEXT)
    ax.set_ylabel("norm per atom", fontsize=TEXT)
    thin(ax)
    return ax


def readout_transfer(result: ReadoutTransfer, figure: str = "unexplained", *, ax: Axes | None = None) -> Axes:
    """Fraction of variance unexplained by each map, or error of the target's readout on the mapped embeddings.

    Args:
        result: the result.
        figure: `unexplained`, the fraction of variance; or, where the target has a readout, `mae`, `median` or `rmse`,
            of energies.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes, with the baselines below the maps; `with_legend` names the source and the controls.
    """
    rows = [*result.methods, *(f"{name} alone" for name in result.baselines)]
    alone = {f"{name} alone": figures for name, figures in result.baselines.items()}
    series = {result.source: _figures({**result.methods, **alone}, figure)}
    series |= {name: _figures(methods, figure) for name, methods in result.controls.items()}
    ax = intervals(
        series, unit=1.0 if figure == "unexplained" else _MILLI, rows=rows, colours={result.source: BLACK}, ax=ax
    )
    label = "fraction of variance unexplained"
    if figure != "unexplained":
        logarithmic(ax, "x")
        what = {"mae": "mean absolute", "median": "median", "rmse": "root mean square"}[figure]
        label = f"energy by the readout of {result.target}:\n{what} error / meV per atom"
    ax.set_xlabel(label, fontsize=TEXT)
    return ax


def _figures(methods: Mapping[str, Transfer], figure: str) -> dict[str, Estimate]:
    estimates = {method: getattr(figures, figure) for method, figures in methods.items()}
    return {method: estimate for method, estimate in estimates.items() if estimate is not None}


def stitched_pairs(results: Sequence[ReadoutTransfer], method: str = "best", *, ax: Axes | None = None) -> Axes:
    """Median error of each model's readout on each other model's embeddings, by one map; darker is worse.

    Args:
        results: results of pairs whose targets have a readout.
        method: a name in their `methods` or `baselines`; `best`, the map chosen on the validation set.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes, in meV/atom; pairs without a result stay empty.
    """
    sources = list(dict.fromkeys(one.source for one in results))
    # In the same order, so that a model and itself meet on the diagonal.
    places = {name: place for place, name in enumerate(sources)}
    targets = sorted({one.target for one in results}, key=lambda name: (places.get(name, len(places)), name))
    ax = ax or axes(COLUMN, 0.9 + 0.35 * len(sources))
    value = np.full((len(sources), len(targets)), np.nan)
    for one in results:
        entry = {**one.methods, **one.baselines}[one.best if method == "best" else method]
        if entry.median is not None:
            value[sources.index(one.source), targets.index(one.target)] = _MILLI * entry.median.value
    ax.imshow(np.log10(np.maximum(value, 1)), cmap="Oranges", vmin=1, vmax=3, aspect="auto")
    for (i, j), number in np.ndenumerate(value):
        if np.isfinite(number):
            dark = number > _DARK
            ax.text(j, i, f"{number:.0f}", ha="center", va="center", fontsize=TEXT, color="white" if dark else BLACK)
    ax.set_xticks(range(len(targets)), targets, rotation=30, ha="right")
    ax.set_yticks(range(len(sources)), sources)
    ax.set_xlabel("readout of", fontsize=TEXT)
    ax.set_ylabel("embeddings of", fontsize=TEXT)
    ax.tick_params(length=0, labelsize=TEXT)
    ax.spines[:].set_visible(False)
    return ax


def losses(result: Training, *, ax: Axes | None = None) -> Axes:
    """Loss of every training step, and that on the chemical systems of the validation set.

    Args:
        result: the result.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes; `with_legend` names the two.
    """
    ax = ax or axes(COLUMN, 2.6)
    steps, values = np.asarray(result.validation_losses).T
    ax.plot(np.arange(1, len(result.losses) + 1), result.losses, lw=0.5, color=GREY, label="batches")
    ax.plot(steps, values, "o-", ms=2.6, lw=1.1, color=SERIES[0][0], label="validation")
    ax.set_xlabel("step", fontsize=TEXT)
    ax.set_ylabel("loss", fontsize=TEXT)
    thin(ax)
    return ax


_BEFORE = {"start": "start of the training", "plain": "random anchors", "raw": "raw embeddings"}


def gains(
    result: Training, where: str = "all", measure: str = "mutual_knn", *, before: str = "start", ax: Axes | None = None
) -> Axes:
    """Draw the agreement of each pair of models on held-out atoms in the learned space against that in another one.

    Args:
        result: the result.
        where: `all` atoms, or those `within` one element.
        measure: a name in `result.agreement[where].spaces["learned"]`.
        before: the other space: `start` of the training, `plain` (random anchors) or `raw` (embeddings, no anchors).
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes: a pair above the diagonal has gained; `with_legend` tells controls apart.
    """
    ax = ax or axes(COLUMN, COLUMN)
    check_choice("before", before, _BEFORE)
    first, learned = (result.agreement[where].spaces[space][measure].pairs for space in (before, "learned"))
    # Models stand in this order, and so does the later one of a pair.
    ends = np.cumsum([result.num_trained, result.num_unseen])
    kind = np.searchsorted(ends, [j for _, j in result.pairs], side="right")
    ax.plot([0, 1], [0, 1], color=FAINT, lw=0.8)
    for place, name in enumerate(("trained models", "with an unseen model", "with random weights")):
        colour, marker = SERIES[place]
        if (which := kind == place).any():
            (x, x_error), (y, y_error) = (_with_ends(entry, which) for entry in (first, learned))
            bars = {"xerr": x_error, "yerr": y_error, "lw": 0.8, "ms": 3.2}
            ax.errorbar(x, y, fmt=marker, color=colour, label=name, **bars)
    label = f"{measure.replace('_', ' ')}, {result.places[where]}"
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.set_xlabel(f"{label}: {_BEFORE[before]}", fontsize=TEXT)
    ax.set_ylabel("learned", fontsize=TEXT)
    thin(ax)
    return ax


def _with_ends(estimates: Sequence[Estimate], which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values of some pairs, and the lengths of their intervals below and above."""
    value, low, high = np.array([(entry.value, entry.low, entry.high) for entry in estimates]).T[:, which]
    return value, np.maximum([value - low, high - value], 0)
