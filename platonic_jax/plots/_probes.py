"""Symmetry and phonons, one axes at a time."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from platonic_jax.analyses import Phonons, Symmetry
from platonic_jax.plots._style import BLACK, COLUMN, FAINT, GREY, SERIES, TEXT, axes, thin

_LEAST = 1e-9  # Parts of a norm: what is nothing at all has to stand somewhere on a logarithmic axis.


def images(results: Sequence[Symmetry], space: str = "raw", *, ax: Axes | None = None) -> Axes:
    """The largest distance of an image to its atom, in parts of the atom's norm, by kind of image and by model.

    Args:
        results: results of models on the same images.
        space: `raw` or `shared`.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes; the grey line is the tolerance, the dotted one what storing rows rounds; `with_legend` names the
        models.
    """
    ax = ax or axes(COLUMN, 2.8)
    kinds = list(results[0].images[space])
    for place, model in enumerate(results):
        colour, marker = SERIES[place % len(SERIES)]
        largest = [max(model.images[space][kind].largest, _LEAST) for kind in kinds]
        at = np.arange(len(kinds)) + 0.16 * (place - (len(results) - 1) / 2)
        ax.plot(at, largest, marker, ms=3.2, color=colour, label=model.model)
    ax.axhline(results[0].noise["storage"], color=GREY, lw=0.8, ls=":")
    ax.axhline(results[0].noise["tolerance"], color=GREY, lw=0.8)
    ax.set_yscale("log")
    ax.set_xticks(range(len(kinds)), [kind.replace(" ", "\n") for kind in kinds])
    ax.set_ylabel(f"largest distance, {space} space,\nrelative to the norm", fontsize=TEXT)
    thin(ax)
    ax.tick_params(axis="x", length=0, labelsize=TEXT - 1.7)
    return ax


def bands(result: Phonons, *, ax: Axes | None = None) -> Axes:
    """Phonon bands of a model, over those of DFT where there are any; imaginary frequencies are negative.

    Args:
        result: the result.
        ax: the axes to draw into; a new figure of column width if left out.

    Returns:
        The axes; `with_legend` names the two.
    """
    ax = ax or axes(COLUMN, 2.6)
    path = result.bands["model"]
    for which, colour, name in (("reference", GREY, "DFT"), ("model", SERIES[0][0], result.model)):
        if which in result.bands:
            lines = ax.plot(result.bands[which].distances, result.bands[which].frequencies, color=colour, lw=0.9)
            lines[0].set_label(name)
    for tick in path.ticks:
        ax.axvline(tick, color=FAINT, lw=0.6, zorder=0)
    ax.axhline(0, color=BLACK, lw=0.4)
    ax.set_xticks(path.ticks, path.labels)
    ax.set_xlim(path.distances[0], path.distances[-1])
    ax.set_ylabel(f"{result.crystal['formula']} by {result.model}:\nfrequency / THz", fontsize=TEXT)
    thin(ax)
    return ax
