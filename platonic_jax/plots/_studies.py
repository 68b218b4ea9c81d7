"""Studies of what a model knows, one axes at a time: typicality, errors, drift, sums, read-outs, learned spaces."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from platonic_jax._checks import check_choice
from platonic_jax.plots._style import BLACK, COLUMN, FAINT, GREY, SERIES, TEXT, axes, intervals, logarithmic, thin
from platonic_jax.studies import Analogies, Calibration, Drift, Polymorphs, Reactions, Stitching, Typicality
from platonic_jax.training import Trained

_HALO = withStroke(linewidth=2, foreground="white")  # Names among points stay readable.
_MILLI = 1000.0  # meV/atom for eV/atom.
_DARK = 150  # meV/atom, from where on a matrix of errors needs white numbers.


def auroc(found: Typicality, *, reference: str | None = None, ax: Axes | None = None) -> Axes:
    """How far each set lies from a reference: AUROC against its held-out structures, by each model.

    Args:
        found: the result.
        reference: which of the references; the first if left out.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes, the set that lies farthest on top; `with_legend` names the models.
    """
    reference = reference or found.references[0]
    names = found.ranked(reference)
    of = {name: found.queries[name].against[reference] for name in names}
    series = {model: {name: of[name][model].auroc for name in names} for model in of[names[0]]}
    ax = intervals(series, rows=names, colours={found.judge: BLACK}, ax=ax)
    ax.axvline(0.5, color=GREY, lw=0.8, ls="--")
    ax.set_xlabel("AUROC against held-out structures", fontsize=TEXT)
    return ax


def p_values(found: Typicality, *, reference: str | None = None, ax: Axes | None = None) -> Axes:
    """The share of each set's structures with a p-value of at most so much; held-out ones follow the dotted line.

    Args:
        found: the result.
        reference: which of the references; the first if left out.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes, by the judgement of all models; `with_legend` names the sets.
    """
    reference = reference or found.references[0]
    ax = ax or axes(COLUMN, COLUMN)
    sets = {"held out": found.held_out[reference], **{name: found.queries[name] for name in found.ranked(reference)}}
    for place, (name, judged) in enumerate(sets.items()):
        p_values = np.sort(judged.against[reference][found.judge].p_value)
        p_values = p_values[np.isfinite(p_values)]
        style = {"color": BLACK, "lw": 1.8}
        if place:  # Ten colours, then the same broken.
            style = {"color": f"C{(place - 1) % 10}", "lw": 1.0, "ls": "-" if place <= 10 else "--"}
        ax.step(p_values, np.arange(1, len(p_values) + 1) / max(1, len(p_values)), where="post", label=name, **style)
    uniform = np.geomspace(0.001, 1, 100)
    ax.plot(uniform, uniform, color=GREY, lw=0.8, ls=":", label="uniform")
    ax.axvline(found.settings["level"], color=GREY, lw=0.6, ls=":")
    ax.set(xscale="log", xlim=(0.001, 1), ylim=(0, 1))
    ax.set_xlabel(f"p-value against {reference}, {found.judge}", fontsize=TEXT)
    ax.set_ylabel("share of structures", fontsize=TEXT)
    thin(ax)
    return ax


def coverage(found: Calibration, model: str, *, ax: Axes | None = None) -> Axes:
    """The mean force error of the atoms that are left when those of the highest scores are left out.

    Args:
        found: the result.
        model: a name in `found.models`.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes; scores that need no geometry are broken lines, the thin line is the mean of all atoms.
    """
    ax = ax or axes(COLUMN, 2.6)
    for place, (score, entry) in enumerate(found.scores[model].items()):
        curve = entry["atoms"]["curve"]
        style = "--" if score in found.baselines else "-"
        colour = SERIES[place % len(SERIES)][0]
        ax.plot(100 * curve["coverage"], curve["error"], style, lw=1.1, color=colour, label=score)
    ax.axhline(found.errors[model]["force"]["mean"], color=GREY, lw=0.6)
    ax.set_xlabel("% of atoms kept, the lowest scores first", fontsize=TEXT)
    ax.set_ylabel(f"mean force error of {model} / eV Å⁻¹", fontsize=TEXT)
    thin(ax)
    return ax


def drift(found: Mapping[str, Drift], *, named: Sequence[str] = (), ax: Axes | None = None) -> Axes:
    """How far the atoms of each element moved, and by how much energies of structures that hold it changed.

    Args:
        found: by the name of a run, the result; each has energies.
        named: symbols of the elements to write beside their points.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes: a point for every element that was not fine-tuned on; `with_legend` names the runs.
    """
    ax = ax or axes(COLUMN, 2.8)
    for (name, one), (colour, marker) in zip(found.items(), SERIES, strict=False):
        unseen = [symbol for symbol, entry in one.elements.items() if not entry["seen"]]
        moved = [one.elements[symbol]["displacement"]["value"] for symbol in unseen]
        change = [_MILLI * one.energy["change"]["elements"][symbol] for symbol in unseen]
        ax.plot(moved, change, marker, ms=2.6, mew=0, alpha=0.8, color=colour, label=name)
        for symbol, x, y in zip(unseen, moved, change, strict=True):
            if symbol in named:
                ax.plot(x, y, marker, ms=5, mec=BLACK, mew=0.8, color=colour)
                style = {"fontsize": TEXT, "fontweight": "bold", "color": BLACK, "path_effects": [_HALO]}
                ax.annotate(symbol, (x, y), xytext=(4, 3), textcoords="offset points", **style)
    for which in ("x", "y"):
        logarithmic(ax, which)
    ax.set_xlabel("moved, in distances between neighbours", fontsize=TEXT)
    ax.set_ylabel("change of energy / meV per atom", fontsize=TEXT)
    thin(ax)
    return ax


def analogies(found: Analogies, figure: str = "hit_1", *, ax: Axes | None = None) -> Axes:
    """How often a sum of crystals finds its answer, by each kind of vector; the dashed line is chance.

    Args:
        found: the result.
        figure: a figure of `found.found`: `hit_1`, `hit_10`, `median_rank` or `phase`.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes.
    """
    ax = intervals({figure: {name: entry[figure] for name, entry in found.found.items()}}, ax=ax)
    ax.axvline(found.chance[figure], color=GREY, lw=0.8, ls="--")
    told = {"hit_1": "right answer first", "hit_10": "right answer among ten", "phase": "right phase of the answer"}
    ax.set_xlabel(told.get(figure, "median rank of the right answer"), fontsize=TEXT)
    return ax


def polymorphs(found: Polymorphs, figure: str = "separation", *, ax: Axes | None = None) -> Axes:
    """What is left of the phase of a crystal, by model, in means of its atoms and in clouds; the dashed line is chance.

    Args:
        found: the result.
        figure: a figure of `found.within`: `identity`, `separation` (which needs copies) or `energy`.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes; `with_legend` names the models.
    """
    series = {model: {how: entry[figure] for how, entry in of.items()} for model, of in found.within.items()}
    ax = intervals(series, ax=ax)
    if figure in found.chance:
        ax.axvline(found.chance[figure], color=GREY, lw=0.8, ls="--")
    told = {"identity": "nearest crystal has the same formula", "separation": "phases told from copies, AUROC"}
    ax.set_xlabel(told.get(figure, "rank correlation with differences of energy"), fontsize=TEXT)
    return ax


def reactions(found: Reactions, *, ax: Axes | None = None) -> Axes:
    """How long the vector of each reaction is, beside its energy, or in order of length where none is known.

    Args:
        found: the result.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes; `with_legend` names the models.
    """
    ax = ax or axes(COLUMN, 2.6)
    known = np.isfinite(found.energies)
    for (model, norm), (colour, marker) in zip(found.norms.items(), SERIES, strict=False):
        x, y = (np.abs(found.energies[known]), norm[known]) if known.any() else (np.arange(len(norm)), np.sort(norm))
        ax.plot(x, y, marker, ms=2.6, mew=0, alpha=0.8, color=colour, label=model)
    ax.set_xlabel("|ΔE| as written / eV" if known.any() else "reactions, shortest first", fontsize=TEXT)
    ax.set_ylabel("length per atom", fontsize=TEXT)
    thin(ax)
    return ax


def stitching(found: Stitching, figure: str = "left", *, ax: Axes | None = None) -> Axes:
    """What a model's rows miss of another's by each map, or how far its read-out is off on them.

    Args:
        found: the result.
        figure: `left`, the fraction of variance unexplained; or, where the target has a read-out, `mae`, `median`
            or `rmse`, of energies.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes, with the baselines below the maps; `with_legend` names the source and the controls.
    """
    rows = [*found.methods, *(f"{name} alone" for name in found.baselines)]
    alone = {f"{name} alone": of[figure] for name, of in found.baselines.items() if figure in of}
    series = {found.source: {method: entry[figure] for method, entry in found.methods.items()} | alone}
    for name, methods in found.controls.items():
        series[name] = {method: entry[figure] for method, entry in methods.items()}
    ax = intervals(series, unit=1.0 if figure == "left" else _MILLI, rows=rows, colours={found.source: BLACK}, ax=ax)
    told = "fraction of variance unexplained"
    if figure != "left":
        logarithmic(ax, "x")
        what = {"mae": "mean absolute", "median": "median", "rmse": "root mean square"}[figure]
        told = f"energy by the read-out of {found.target}:\n{what} error / meV per atom"
    ax.set_xlabel(told, fontsize=TEXT)
    return ax


def stitched_pairs(found: Sequence[Stitching], method: str = "best", *, ax: Axes | None = None) -> Axes:
    """Median error of each model's read-out on each other model's rows, by one map; darker is worse.

    Args:
        found: results of pairs whose targets have a read-out.
        method: a name in their `methods` or `baselines`; `best`, the map chosen on the validation set.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes, in meV/atom; pairs without a result stay empty.
    """
    sources = list(dict.fromkeys(one.source for one in found))
    # In the same order, so that a model and itself meet on the diagonal.
    places = {name: place for place, name in enumerate(sources)}
    targets = sorted({one.target for one in found}, key=lambda name: (places.get(name, len(places)), name))
    ax = ax or axes(COLUMN, 0.9 + 0.35 * len(sources))
    value = np.full((len(sources), len(targets)), np.nan)
    for one in found:
        of = {**one.methods, **one.baselines}[one.best if method == "best" else method]
        value[sources.index(one.source), targets.index(one.target)] = _MILLI * of["median"]["value"]
    ax.imshow(np.log10(np.maximum(value, 1)), cmap="Oranges", vmin=1, vmax=3, aspect="auto")
    for (i, j), number in np.ndenumerate(value):
        if np.isfinite(number):
            dark = number > _DARK
            ax.text(j, i, f"{number:.0f}", ha="center", va="center", fontsize=TEXT, color="white" if dark else BLACK)
    ax.set_xticks(range(len(targets)), targets, rotation=30, ha="right")
    ax.set_yticks(range(len(sources)), sources)
    ax.set_xlabel("read-out of", fontsize=TEXT)
    ax.set_ylabel("rows of", fontsize=TEXT)
    ax.tick_params(length=0, labelsize=TEXT)
    ax.spines[:].set_visible(False)
    return ax


def losses(found: Trained, *, ax: Axes | None = None) -> Axes:
    """The loss of every step of training, and that on chemical systems which neither learn nor judge.

    Args:
        found: the result.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes; `with_legend` names the two.
    """
    ax = ax or axes(COLUMN, 2.6)
    steps, values = np.asarray(found.validation_losses).T
    ax.plot(np.arange(1, len(found.losses) + 1), found.losses, lw=0.5, color=GREY, label="batches")
    ax.plot(steps, values, "o-", ms=2.6, lw=1.1, color=SERIES[0][0], label="validation")
    ax.set_xlabel("step", fontsize=TEXT)
    ax.set_ylabel("loss", fontsize=TEXT)
    thin(ax)
    return ax


_BEFORE = {"start": "start of the training", "plain": "random anchors", "raw": "raw embeddings"}


def gains(
    found: Trained, where: str = "all", measure: str = "mutual_knn", *, before: str = "start", ax: Axes | None = None
) -> Axes:
    """Draw the agreement of each pair of models on held-out atoms in the learned space against that in another one.

    Args:
        found: the result.
        where: `all` atoms, or those `within` one element.
        measure: a name in `found.judged[where]["learned"]`.
        before: the other space: `start` of the training, `plain` (random anchors) or `raw` (embeddings, no anchors).
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes: a pair above the diagonal has gained; `with_legend` tells controls apart.
    """
    ax = ax or axes(COLUMN, COLUMN)
    check_choice("before", before, _BEFORE)
    first, learned = (found.judged[where][space][measure]["pairs"] for space in (before, "learned"))
    # Models stand in this order, and so does the later one of a pair.
    ends = np.cumsum([found.num_trained, found.num_unseen])
    kind = np.searchsorted(ends, [j for _, j in found.pairs], side="right")
    ax.plot([0, 1], [0, 1], color=FAINT, lw=0.8)
    for place, name in enumerate(("trained models", "with an unseen model", "with random weights")):
        colour, marker = SERIES[place]
        if (which := kind == place).any():
            (x, x_error), (y, y_error) = (_with_ends(entry, which) for entry in (first, learned))
            bars = {"xerr": x_error, "yerr": y_error, "lw": 0.8, "ms": 3.2}
            ax.errorbar(x, y, fmt=marker, color=colour, label=name, **bars)
    told = f"{measure.replace('_', ' ')}, {found.places[where]}"
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.set_xlabel(f"{told}: {_BEFORE[before]}", fontsize=TEXT)
    ax.set_ylabel("learned", fontsize=TEXT)
    thin(ax)
    return ax


def _with_ends(entry: Mapping[str, np.ndarray], which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values of some pairs, and how far the interval reaches below and above each."""
    value, low, high = (np.asarray(entry[end])[which] for end in ("value", "low", "high"))
    return value, np.maximum([value - low, high - value], 0)
