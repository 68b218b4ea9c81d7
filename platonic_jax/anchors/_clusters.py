"""Helpers of the methods that take one row from each of k clusters; in numpy, a tile of rows at a time."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from platonic_jax._checks import check_count
from platonic_jax._typing import AnyArray, Numeric
from platonic_jax.numerics import as_float

_TILE = 10_000  # Rows handled at once.


def check_number(k: int, n: int) -> None:
    """Refuse a number of anchors that n rows cannot give."""
    check_count("k", k, most=n, bound="the number of rows n", fix="choose fewer anchors or embed more atoms")


def finite_rows(x: Numeric[AnyArray, "n p"]) -> np.ndarray:
    """The rows on the host, as floats; refused if a number is not finite, which has no place in a cluster."""
    rows = np.asarray(as_float(x))
    if not (finite := np.isfinite(rows).all(axis=1)).all():
        first = int(np.argmin(finite))
        raise ValueError(f"`x` must be finite, got NaN or infinity in {(~finite).sum()} rows, first in row {first}.")
    return rows


def tiles(rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The rows in consecutive tiles, each with its place."""
    for start in range(0, len(rows), _TILE):
        tile = slice(start, start + _TILE)
        yield tile, rows[tile]


def centroids(rows: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Mean of the rows of each cluster that has rows, in float64, in increasing order of clusters."""
    by_cluster = np.argsort(cluster, kind="stable")
    _, starts, size = np.unique(cluster[by_cluster], return_index=True, return_counts=True)
    return np.add.reduceat(rows[by_cluster], starts, axis=0, dtype=np.float64) / size[:, None]


def representatives(rows: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """The row nearest to the mean of its cluster, for each cluster that has rows; of equally near ones the first."""
    centre = centroids(rows, cluster)
    _, cluster = np.unique(cluster, return_inverse=True)
    distance = np.concatenate([np.sum((tile - centre[cluster[where]]) ** 2, axis=1) for where, tile in tiles(rows)])
    by_distance = np.lexsort((distance, cluster))
    return by_distance[np.unique(cluster[by_distance], return_index=True)[1]]


def k_means(rows: np.ndarray, k: int, *, sample_weight: np.ndarray | None = None, **settings: Any) -> np.ndarray:
    """Cluster of each row, by Lloyd's algorithm; of fewer than k clusters where there are fewer distinct rows."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(k, **settings).fit_predict(rows, sample_weight=sample_weight)


def filled(rows: np.ndarray, chosen: np.ndarray, k: int) -> np.ndarray:
    """The rows chosen, and as many more as are missing from k: each the farthest from all before it."""
    if len(chosen) == k:
        return chosen
    taken = chosen.tolist()
    distance = np.full(len(rows), np.inf)
    for row in taken:
        distance = np.minimum(distance, np.sum((rows - rows[row]) ** 2, axis=1))
    while len(taken) < k:
        distance[taken] = -1.0
        taken.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.sum((rows - rows[taken[-1]]) ** 2, axis=1))
    return np.array(taken)
