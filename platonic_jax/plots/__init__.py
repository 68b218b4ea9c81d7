"""Figures for papers from results: maps, matrices, curves, studies.

Each function draws one axes, those that it is given or those of a new figure of column width, and returns it; those
that end in `_page` return a figure of page width in one call. Nothing passes through pyplot, so no figure is left open
and no global setting changes. No title is baked in: that is the caption's work. Elements are coloured by chemical
group, with colours that stay apart under colour blindness and a marker shape as second channel.

The counterpart of Figure 1 of the paper that this package follows (Li & Walsh 2026) is `raw_spaces_page`; those of its
further results, in their order, are `shared_space_page`, `failures_page` and `arithmetic_page`.

Example:
    >>> from platonic_jax.analyses import Estimate
    >>> figure, axes = subplots(1, 2, height=2.5)
    >>> estimates = {"first": Estimate(0.9, 0.8, 0.95), "second": Estimate(0.5, 0.4, 0.6)}
    >>> intervals({"7net-0": estimates}, ax=axes[0, 0]) is axes[0, 0]
    True
"""

from platonic_jax.plots._comparison import dendrogram, map, matrix, null, sweep
from platonic_jax.plots._pages import (
    arithmetic_page,
    failures_page,
    raw_spaces_page,
    readout_transfer_page,
    save_all,
    shared_space_page,
    sweep_page,
    typicality_page,
)
from platonic_jax.plots._probes import bands, images
from platonic_jax.plots._studies import (
    analogies,
    auroc,
    coverage,
    drift,
    gains,
    losses,
    p_values,
    polymorphs,
    reactions,
    readout_transfer,
    stitched_pairs,
)
from platonic_jax.plots._style import (
    GROUPS,
    PAIR_KINDS,
    Group,
    element_groups,
    intervals,
    save,
    subplots,
    with_legend,
)

__all__ = [
    "GROUPS",
    "PAIR_KINDS",
    "Group",
    "analogies",
    "arithmetic_page",
    "auroc",
    "bands",
    "coverage",
    "dendrogram",
    "drift",
    "element_groups",
    "failures_page",
    "gains",
    "images",
    "intervals",
    "losses",
    "map",
    "matrix",
    "null",
    "p_values",
    "polymorphs",
    "raw_spaces_page",
    "reactions",
    "save",
    "save_all",
    "shared_space_page",
    "stitched_pairs",
    "readout_transfer",
    "readout_transfer_page",
    "subplots",
    "sweep",
    "sweep_page",
    "typicality_page",
    "with_legend",
]


def __dir__() -> list[str]:
    return __all__
