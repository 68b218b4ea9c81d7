"""Names, order and frames of models, pairs and atoms in figures and tables."""

import re

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from platonic_jax.analyses import Atlas, Comparison, Matrix

__all__ = [
    "distances",
    "labels",
    "leaf_order",
    "linkage",
    "mapped",
    "means_within",
    "pairs",
    "ranked_pairs",
    "tree",
    "window",
]


def __dir__() -> list[str]:
    return __all__


def labels(comparison: Comparison | Atlas) -> list[str]:
    """Display name of each model; untrained networks are always marked as such."""
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
    triples = []
    for i in range(len(kinds)):
        for j in range(i + 1, len(kinds)):
            both = {kinds[i], kinds[j]}
            triples.append((i, j, next((kind for kind in ("element", "random") if kind in both), "model")))
    return triples


def ranked_pairs(comparison: Comparison, measure: str) -> list[tuple[int, int, str]]:
    """`pairs`, the most similar first by one measure, those without a value last; both ways where these differ."""
    table = comparison.measures[measure]
    sign = -1 if table.settings["larger_is_more_similar"] else 1
    triples = pairs(comparison)
    if not np.array_equal(table.value, table.value.T, equal_nan=True):
        triples += [(j, i, kind) for i, j, kind in triples]
    return sorted(triples, key=lambda pair: np.nan_to_num(sign * table.value[pair[:2]], nan=np.inf))


def means_within(comparison: Comparison, grouping: str, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Of each group of `Comparison.resolved[grouping]`, (g,): the mean over pairs of models, and of their nulls.

    The pairs are those of trained models, where there are two of them, and all otherwise.
    """
    triples = pairs(comparison)
    chosen = [(i, j) for i, j, kind in triples if kind == "model"] or [(i, j) for i, j, _ in triples]
    first, second = np.array(chosen).T
    matrices = comparison.resolved[grouping].measures[measure]
    value, null = (matrices[field][:, first, second].mean(axis=1) for field in ("value", "null_within_element"))
    return value, null


def mapped(comparison: Comparison) -> list[int]:
    """Models whose maps are shown: a one-hot encoding of the element has no geometry to show."""
    return [i for i, kind in enumerate(comparison.kinds) if kind != "element"]


def distances(measure: Matrix) -> np.ndarray:
    """Distances between models by one measure: 1 − similarity, or the divergence itself.

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


def tree(measure: Matrix) -> dict[str, list[list[float]]]:
    """Lines of the dendrogram: of each joint four `x`, where leaves stand at 5, 15, …, and four `y`, distances."""
    drawn = hierarchy.dendrogram(linkage(measure), no_plot=True)
    return {"x": drawn["icoord"], "y": drawn["dcoord"]}


def window(points: np.ndarray) -> np.ndarray:
    """Axis limits of a map, such that a few distant atoms do not shrink the others to a dot.

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
