"""Figures for papers: the charts of results, and maps of atoms.

`charts(result)` are the charts of a result as data, the same that its report shows; `draw` draws one into the axes that
it is given or those of a new figure of column width, and returns them. Functions that end in `page` return a figure of
page width in one call. Nothing passes through pyplot, so no figure is left open and no global setting changes. Colours
stay apart under colour blindness, with a marker shape or a dash as second channel.

The counterpart of Figure 1 of the paper that this package follows (Li & Walsh 2026) is `raw_spaces_page`, that of the
unified space `shared_space_page`; those of its further results are a `page` of several results.

Example:
    >>> from platonic_jax.analyses import Estimate
    >>> from platonic_jax.charts import dots, entries
    >>> series = entries("7net-0", [Estimate(0.9, 0.8, 0.95), Estimate(0.5, 0.4, 0.6)])
    >>> chart = dots("AUROC of two sets.", ["strained", "relaxed"], [series], axis="AUROC")
    >>> figure, axes = subplots(1, 2, height=2.5)
    >>> draw(chart, ax=axes[0, 0]) is axes[0, 0]
    True
"""

from platonic_jax.plots._charts import draw
from platonic_jax.plots._maps import map
from platonic_jax.plots._pages import charts, page, raw_spaces_page, save_all, shared_space_page
from platonic_jax.plots._style import GROUPS, Group, element_groups, save, subplots, with_legend

__all__ = [
    "GROUPS",
    "Group",
    "charts",
    "draw",
    "element_groups",
    "map",
    "page",
    "raw_spaces_page",
    "save",
    "save_all",
    "shared_space_page",
    "subplots",
    "with_legend",
]


def __dir__() -> list[str]:
    return __all__
