"""Maps of atoms, coloured by chemical group."""

import numpy as np
from matplotlib.axes import Axes

from platonic_jax.analyses import Comparison
from platonic_jax.analyses.arrangement import window
from platonic_jax.plots._style import COLUMN, GROUPS, TEXT, axes, element_groups, thin


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
