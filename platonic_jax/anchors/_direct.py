"""DIRECT: anchors from clusters of the principal components; on the host, in numpy and scikit-learn."""

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from platonic_jax._checks import check_choice
from platonic_jax._typing import AnyArray, Numeric
from platonic_jax.anchors._clusters import centroids, check_number, filled, finite_rows, k_means, representatives, tiles

if TYPE_CHECKING:
    from sklearn.cluster import Birch

MODES = ("fixed", "maml")

_SAMPLE = 20_000  # Rows on which the threshold is sought before all are used.
_STARTS = 10  # Of the k-means that merges subclusters: they are few, so the best of many starts costs little.
_FINEST = 1e-6  # Smallest threshold tried, relative to the radius of the cloud.
_MAML_THRESHOLD = 0.3  # The paper's `threshold_init`.
_MAML_MOST = 20_000  # Subclusters that maml's linkage is given at most: its m² / 2 distances are 1.6 GB then.


def direct(x: Numeric[AnyArray, "n p"], k: int, *, mode: str = "fixed") -> Int[Array, " _"]:
    """One row from each of k clusters of the cloud: DIRECT, dimensionality reduction and stratified sampling.

    Columns are standardised and reduced to the principal components of variance above 1 (Kaiser's rule), each weighted
    by the fraction of variance it explains. BIRCH gathers the rows into subclusters, these are merged into k clusters,
    and each cluster gives the row nearest to its centre. Runs on the host, not under jit: it needs no key and gives the
    same rows every time, but another order of the rows may give others.

    Not invariant to rotations: columns are standardised. Invariant to the scale and the offset of each column.

    Args:
        x: Rows to choose from.
        k: Number of anchors, at most n.
        mode: `"maml"` does what maml does, to reproduce anchors that were chosen with it: the threshold of BIRCH starts
            at 0.3 and is multiplied by m / k as long as there are m < k subclusters, however many there are then; Ward
            linkage merges them, whatever number of rows each has; and the centre of the *last* subcluster of a cluster
            stands for the whole. In the dtype of `x`.
            `"fixed"` departs from it where that breaks. The threshold is bisected until the subclusters are no fewer
            than k and no more than a few thousand. k-means merges them, each with the weight of its rows, and goes on
            with the rows themselves until these settle. Centres are means of all rows of a cluster. In float64.

    Returns:
        Row indices (int32), in the order of the clusters. In mode `"fixed"` k different rows: where a cloud has fewer
        than k distinct clusters, the rows farthest from all anchors so far fill the places. In mode `"maml"` fewer,
        where no row is nearest to a subcluster of some cluster.

    Raises:
        ValueError: If `k` exceeds the number of rows, a row is not finite, or `mode` is unknown.
            In mode `"maml"` also where maml itself would fail: no component above variance 1, a threshold that never
            gives k subclusters, or one that leaves more than 20,000 of them, whose linkage needs memory in proportion
            to their square.

    Reference:
        Qi et al., Robust training of machine learning interatomic potentials with dimensionality reduction and
        stratified sampling, npj Comput. Mater. 10, 43 (2024).
    """
    check_choice("mode", mode, MODES)
    check_number(k, x.shape[0])
    x = finite_rows(x)
    rows = _fixed(x, k) if mode == "fixed" else _as_maml(x, k)
    return jnp.asarray(rows, jnp.int32)


def _fixed(x: np.ndarray, k: int) -> np.ndarray:
    rows = _reduced(x)
    centres = _subclusters(rows, wanted=k)
    cluster = _nearest(rows, centres)
    if len(centres) > k:
        size = np.bincount(cluster, minlength=len(centres))
        merged = k_means(centres, k, sample_weight=size, n_init=_STARTS, random_state=0)
        start = centroids(rows, merged[cluster])
        cluster = k_means(rows, len(start), init=start, n_init=1)
    return filled(rows, representatives(rows, cluster), k)


def _reduced(x: np.ndarray) -> np.ndarray:
    """Standardised rows along the components of variance above 1, weighted by the fraction each explains."""
    mean = np.mean(x, axis=0, dtype=np.float64)
    deviation = np.sqrt(sum(np.sum((tile - mean) ** 2, axis=0) for _, tile in tiles(x)) / len(x))
    scale = np.where(deviation > 0, deviation, 1.0)
    correlation = sum(((tile - mean) / scale).T @ ((tile - mean) / scale) for _, tile in tiles(x)) / len(x)
    variance, directions = np.linalg.eigh(correlation)
    variance, directions = variance[::-1], directions[:, ::-1]
    directions = directions * np.sign(directions[np.argmax(np.abs(directions), axis=0), np.arange(len(variance))])
    kept = max(1, int(np.sum(variance > 1)))
    weights = variance[:kept] / max(variance.sum(), np.finfo(np.float64).tiny)
    return np.concatenate([(tile - mean) / scale @ (directions[:, :kept] * weights) for _, tile in tiles(x)])


def _subclusters(rows: np.ndarray, *, wanted: int) -> np.ndarray:
    """Centres of BIRCH subclusters, no fewer than `wanted` where there are as many distinct rows."""
    most = max(4000, 4 * wanted)
    radius = float(np.sqrt(np.mean(np.sum((rows - rows.mean(axis=0)) ** 2, axis=1)))) or 1.0
    sample = rows[:: -(-len(rows) // _SAMPLE)]
    threshold, _ = _bisected(sample, radius / 4, radius, fewest=min(2 * wanted, len(sample)), most=most // 2)
    _, centres = _bisected(rows, threshold, radius, fewest=wanted, most=most)
    return centres[np.lexsort(centres.T)]  # BIRCH's own order hangs on the last bits, and k-means starts from an order.


def _bisected(rows: np.ndarray, threshold: float, radius: float, *, fewest: int, most: int) -> tuple[float, np.ndarray]:
    """Bisects the threshold, from the given one, until it gives between `fewest` and `most` subclusters.

    Ends with fewer only where the finest threshold gives fewer, for want of distinct rows.
    """
    too_fine, too_coarse = 0.0, 2 * radius
    coarse_centres = rows.mean(axis=0, keepdims=True)
    while True:
        birch = _birch(rows, threshold, most=most)
        if birch is None:
            too_fine = threshold
        elif len(birch.subcluster_centers_) < fewest and threshold > _FINEST * radius:
            too_coarse, coarse_centres = threshold, birch.subcluster_centers_
        else:
            return threshold, birch.subcluster_centers_
        if too_fine and too_coarse < too_fine * (1 + 1e-3):  # The number jumps over the range: take too few.
            return too_coarse, coarse_centres
        threshold = np.sqrt(too_fine * too_coarse) if too_fine else threshold / 4


def _birch(rows: np.ndarray, threshold: float, *, most: int) -> "Birch | None":
    """Subclusters from one pass over the rows, not merged; nothing, and early, if they grow beyond `most`."""
    from sklearn.cluster import Birch

    birch = Birch(threshold=threshold, n_clusters=None, compute_labels=False)  # pyright: ignore[reportArgumentType]
    for _, tile in tiles(rows):
        birch.partial_fit(tile)
        if len(birch.subcluster_centers_) > most:
            return None
    return birch


def _nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index of the centre nearest to each row."""
    half_squares = np.sum(centres**2, axis=1) / 2
    return np.concatenate([np.argmin(half_squares - tile @ centres.T, axis=1) for _, tile in tiles(rows)])


def _as_maml(x: np.ndarray, k: int) -> np.ndarray:
    from sklearn.cluster import AgglomerativeClustering

    rows = _reduced_as_maml(x)
    birch = _birch_as_maml(rows, k)
    centres = birch.subcluster_centers_
    cluster_of_centre = AgglomerativeClustering(k).fit_predict(centres)
    cluster = cluster_of_centre[birch.predict(rows)]
    last_centre = dict(zip(cluster_of_centre, centres, strict=True))  # Later ones replace earlier ones.
    chosen = []
    for i in np.unique(cluster):
        members = np.flatnonzero(cluster == i)
        distance = np.linalg.norm(rows[members] - last_centre[i], axis=1)
        chosen.append(members[np.argpartition(distance, 0)[0]])  # Not argmin: it may take another of equal rows.
    return np.array(chosen)


def _reduced_as_maml(x: np.ndarray) -> np.ndarray:
    """As `_reduced`, with the variance of the components taken over n − 1, and in the dtype of `x`."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(x)
    with np.errstate(invalid="ignore"):  # A cloud of equal rows, refused below.
        pca = PCA().fit(scaled)
    kept = int(np.sum(pca.explained_variance_ > 1))
    if kept == 0:
        raise ValueError(
            '`x` must have a principal component of variance above 1 for maml, got none: use `mode="fixed"`.'
        )
    return pca.transform(scaled)[:, :kept] * pca.explained_variance_ratio_[:kept]


def _birch_as_maml(rows: np.ndarray, k: int) -> "Birch":
    """The first of the thresholds, which fall from 0.3 in proportion to what is missing, that gives at least k."""
    threshold, num_subclusters = _MAML_THRESHOLD, 0
    finest = np.finfo(rows.dtype).eps * float(np.abs(rows).max())  # The rounding of the rows: no more come below it.
    while threshold > finest:
        birch = _birch(rows, threshold, most=max(_MAML_MOST, k))
        if birch is None:
            raise ValueError(
                f"`x` must give maml at most {max(_MAML_MOST, k)} subclusters to link, got more at its threshold "
                f'{threshold:.3g}, too many for the memory: use `mode="fixed"`.'
            )
        num_subclusters = len(birch.subcluster_centers_)
        if num_subclusters >= k:
            return birch
        threshold = threshold / k * num_subclusters
    raise ValueError(
        f"`x` must give maml {k} subclusters at some threshold, got {num_subclusters} at the finest: choose fewer "
        'anchors, or use `mode="fixed"`.'
    )
