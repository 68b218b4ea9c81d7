"""Choosing anchor rows: the atoms whose similarities to all others make up the shared space.

A method looks at one cloud and returns row indices. The same rows then serve every model, each in its own space.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from platonic_jax._checks import check_choice, check_count, check_key
from platonic_jax._typing import TypedKey

__all__ = ["direct", "random"]

MODES = ("fixed",)

_TILE = 10_000  # Rows handled at once.
_SAMPLE = 20_000  # Rows on which the threshold is sought before all are used.
_FINEST = 1e-6  # Smallest threshold tried, relative to the radius of the cloud.


def random(x: Float[Array, "n p"], k: int, *, key: TypedKey) -> Int[Array, " {k}"]:
    """Choose k different rows, all sets of them alike.

    Args:
        x: Rows to choose from; only their number matters.
        k: Number of anchors (static), at most n.
        key: Typed key.

    Returns:
        Row indices (int32).

    Raises:
        ValueError: If `k` exceeds the number of rows.
    """
    check_key(key)
    _check_number(k, x.shape[0])
    return jax.random.permutation(key, x.shape[0])[:k].astype(jnp.int32)


def direct(x: Float[Array, "n p"], k: int, *, mode: str = "fixed") -> Int[Array, " {k}"]:
    """One row from each of k clusters of the cloud: DIRECT, dimensionality reduction and stratified sampling.

    Columns are standardised and reduced to the principal components of variance above 1 (Kaiser's rule), each weighted
    by the fraction of variance it explains. BIRCH gathers the rows into subclusters, Ward linkage merges these into k
    clusters, and each gives the row nearest to its centroid. Runs on the host, in float64, not under jit: it needs no
    key and gives the same rows every time, but another order of the rows may give others.

    Args:
        x: Rows to choose from.
        k: Number of anchors, at most n.
        mode: `"fixed"` is the one mode there is. It departs from maml's implementation where that one breaks: the
            threshold of BIRCH is bisected until the subclusters are no fewer than k and no more than a linkage can hold
            (maml shrinks it until, in a large cloud, every row is alone), and centroids are means of all rows of a
            cluster (maml takes the last subcluster for the whole). Where a cloud has fewer than k distinct clusters,
            the rows farthest from all anchors so far fill the places.

    Returns:
        Indices of k different rows (int32), in the order of the clusters.

    Raises:
        ValueError: If `k` exceeds the number of rows, or `mode` is unknown.

    Reference:
        Qi et al., Robust training of machine learning interatomic potentials with dimensionality reduction and
        stratified sampling, npj Comput. Mater. 10, 43 (2024).
    """
    check_choice("mode", mode, MODES)
    _check_number(k, x.shape[0])
    rows = _reduced(np.asarray(x))
    centres = _subclusters(rows, wanted=k)
    cluster = _merged(centres, k)[_nearest(rows, centres)]
    return jnp.asarray(_filled(rows, _representatives(rows, cluster), k), jnp.int32)


def _check_number(k: int, n: int) -> None:
    check_count("k", k, most=n, of="the number of rows n", fix="choose fewer anchors or embed more atoms")


def _tiles(rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    for start in range(0, len(rows), _TILE):
        tile = slice(start, start + _TILE)
        yield tile, rows[tile]


def _reduced(x: np.ndarray) -> np.ndarray:
    """Standardised rows along the components of variance above 1, weighted by the fraction each explains."""
    mean = np.mean(x, axis=0, dtype=np.float64)
    deviation = np.sqrt(sum(np.sum((tile - mean) ** 2, axis=0) for _, tile in _tiles(x)) / len(x))
    scale = np.where(deviation > 0, deviation, 1.0)
    correlation = sum(((tile - mean) / scale).T @ ((tile - mean) / scale) for _, tile in _tiles(x)) / len(x)
    variance, directions = np.linalg.eigh(correlation)
    variance, directions = variance[::-1], directions[:, ::-1]
    kept = max(1, int(np.sum(variance > 1)))
    weights = variance[:kept] / max(variance.sum(), np.finfo(np.float64).tiny)
    return np.concatenate([(tile - mean) / scale @ (directions[:, :kept] * weights) for _, tile in _tiles(x)])


def _subclusters(rows: np.ndarray, *, wanted: int) -> np.ndarray:
    """Centres of BIRCH subclusters, no fewer than `wanted` where there are as many distinct rows."""
    most = max(4000, 4 * wanted)  # Ward linkage holds most² / 2 numbers.
    radius = float(np.sqrt(np.mean(np.sum((rows - rows.mean(axis=0)) ** 2, axis=1)))) or 1.0
    sample = rows[:: -(-len(rows) // _SAMPLE)]
    threshold, _ = _bisected(sample, radius / 4, radius, fewest=min(2 * wanted, len(sample)), most=most // 2)
    _, centres = _bisected(rows, threshold, radius, fewest=wanted, most=most)
    return centres


def _bisected(rows: np.ndarray, threshold: float, radius: float, *, fewest: int, most: int) -> tuple[float, np.ndarray]:
    """Bisects the threshold, from the given one, until it gives between `fewest` and `most` subclusters.

    Ends with fewer only where the finest threshold gives fewer, for want of distinct rows.
    """
    too_fine, too_coarse = 0.0, 2 * radius
    coarse_centres = rows.mean(axis=0, keepdims=True)
    while True:
        centres = _birch(rows, threshold, most=most)
        if centres is None:
            too_fine = threshold
        elif len(centres) < fewest and threshold > _FINEST * radius:
            too_coarse, coarse_centres = threshold, centres
        else:
            return threshold, centres
        if too_fine and too_coarse < too_fine * (1 + 1e-3):  # The number jumps over the range: take too few.
            return too_coarse, coarse_centres
        threshold = np.sqrt(too_fine * too_coarse) if too_fine else threshold / 4


def _birch(rows: np.ndarray, threshold: float, *, most: int) -> np.ndarray | None:
    """Centres of the subclusters of one pass over the rows; nothing, and early, if they grow beyond `most`."""
    from sklearn.cluster import Birch

    birch = Birch(threshold=threshold, n_clusters=None, compute_labels=False)  # pyright: ignore[reportArgumentType]
    for _, tile in _tiles(rows):
        birch.partial_fit(tile)
        if len(birch.subcluster_centers_) > most:
            return None
    return birch.subcluster_centers_


def _merged(centres: np.ndarray, k: int) -> np.ndarray:
    """Cluster of each subcluster, after Ward linkage to k of them."""
    from sklearn.cluster import AgglomerativeClustering

    if len(centres) <= k:
        return np.arange(len(centres))
    return AgglomerativeClustering(n_clusters=k).fit_predict(centres)


def _nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index of the centre nearest to each row."""
    half_squares = np.sum(centres**2, axis=1) / 2
    return np.concatenate([np.argmin(half_squares - tile @ centres.T, axis=1) for _, tile in _tiles(rows)])


def _representatives(rows: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """The row nearest to the mean of its cluster, for each cluster that has rows."""
    _, cluster, size = np.unique(cluster, return_inverse=True, return_counts=True)
    total = np.zeros((len(size), rows.shape[1]))
    np.add.at(total, cluster, rows)
    distance = np.sum((rows - (total / size[:, None])[cluster]) ** 2, axis=1)
    by_cluster_then_distance = np.lexsort((distance, cluster))
    return by_cluster_then_distance[np.cumsum(size) - size]


def _filled(rows: np.ndarray, chosen: np.ndarray, k: int) -> np.ndarray:
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
