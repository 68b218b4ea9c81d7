"""How far an atom lies from the atoms of its element in a reference, and what that is worth.

A score is large where the reference is far, in whatever unit. Two steps make it a statement. `typicality` puts the
scores of all elements on one scale, from the reference alone. `conformal_p_values` compares them with atoms, or
structures, that the reference did not see but that are of its kind: the share of these that lie as far or farther. For
one more of their kind it is 5 % or less in 5 % of cases, whatever the score and its distribution.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from platonic_jax import numerics, statistics
from platonic_jax._checks import check_choice, check_count, check_positive, check_same_width
from platonic_jax._typing import TypedKey

_BLOCK = 256  # Rows scored at once; an element's reference is filled up to a power of two: few shapes to compile.
_LEAST = 64
_SAME_ORBIT = 1e-3  # Atoms of a structure nearer than this part of the element's spread count as one.
_PRIOR = 20  # Atoms' worth of evidence for the scale of an average element.
_FLOOR = 1e-3  # A score below this part of the typical one is rounding.


def neighbour_distance(
    x: Float[Array, "n p"], reference: Float[Array, "m p"], *, k: int = 5, among: Bool[Array, " m"] | None = None
) -> Float[Array, " n"]:
    """Mean distance to the k nearest rows of a reference: 1/k Σ ‖x − r‖.

    Not invariant to the scale of the space, nor to anything that changes distances; invariant to rotation and shift.

    Args:
        x: Rows to judge.
        reference: Rows that they are judged by.
        k: Number of neighbours (static), at most m.
        among: Which rows of the reference count; all when absent.

    Returns:
        From 0 upwards, in units of the columns; larger is less typical. Infinite where fewer than k rows count.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> reference = jnp.array([[0.0], [1.0], [2.0]])
        >>> diagnostics.neighbour_distance(jnp.array([[0.0], [5.0]]), reference, k=2).tolist()
        [0.5, 3.5]

    Reference:
        Ramaswamy, Rastogi & Shim, Efficient algorithms for mining outliers from large data sets, SIGMOD 2000.
    """
    return jnp.mean(numerics.neighbours(reference, k=k, metric="l2", queries=x, among=among)[1], axis=1)


def density_ratio(
    x: Float[Array, "n p"], reference: Float[Array, "m p"], *, k: int = 5, among: Bool[Array, " m"] | None = None
) -> Float[Array, " n"]:
    """How much thinner the reference is around a row than around its neighbours: the local outlier factor, simplified.

    Mean distance of the row to its k nearest rows of the reference, over the mean distance of these to theirs. Unlike
    `neighbour_distance` it does not call a row atypical for lying where the reference is thin everywhere.

    Args:
        x: Rows to judge.
        reference: Rows that they are judged by.
        k: Number of neighbours (static), below m.
        among: Which rows of the reference count, more than k; all when absent.

    Returns:
        From 0 upwards; about 1 where the row lies as the reference does, larger is less typical.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> reference = jnp.array([[0.0], [1.0], [2.0], [3.0]])
        >>> diagnostics.density_ratio(jnp.array([[5.0]]), reference, k=1).tolist()
        [2.0]

    Reference:
        Breunig et al., LOF: identifying density-based local outliers, SIGMOD 2000; with plain distances: Schubert,
        Zimek & Kriegel, Data Min. Knowl. Discov. 28, 190 (2014).
    """
    index, distance = numerics.neighbours(reference, k=k, metric="l2", queries=x, among=among)
    near = reference[index].reshape(-1, reference.shape[1])
    # A row of the reference is its own nearest, at distance 0: what is left of k + 1 distances are those to others.
    _, around = numerics.neighbours(reference, k=k + 1, metric="l2", queries=near, among=among)
    spacing = jnp.sum(around.reshape(len(x), -1), axis=1) / k**2
    return jnp.mean(distance, axis=1) / jnp.maximum(spacing, jnp.finfo(x.dtype).tiny)


def mahalanobis(
    x: Float[Array, "n p"],
    reference: Float[Array, "m p"],
    *,
    shrinkage: float = 1e-3,
    among: Bool[Array, " m"] | None = None,
) -> Float[Array, " n"]:
    """Distance from the mean of a reference in units of its spread: √((x − μ)ᵀ (Σ + λ tr Σ / p)⁻¹ (x − μ)).

    One ellipsoid for all: it does not see holes in the reference. Invariant to rotation, shift and scale; to other
    linear maps only without shrinkage.

    Args:
        x: Rows to judge.
        reference: Rows that μ and Σ are taken from.
        shrinkage: λ (static), above 0: variance added in every direction, in parts of the mean variance.
        among: Which rows of the reference count; all when absent.

    Returns:
        From 0 upwards; larger is less typical. All 0 where the reference has no spread.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> reference = jnp.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> diagnostics.mahalanobis(jnp.array([[0.0, 2.0]]), reference, shrinkage=1.0).tolist()
        [2.0]

    Reference:
        Lee et al., A simple unified framework for detecting out-of-distribution samples and adversarial attacks,
        NeurIPS 2018 (arXiv:1807.03888).
    """
    check_positive("shrinkage", shrinkage)
    check_same_width("x", x, "reference", reference)
    counts = jnp.ones(len(reference), x.dtype) if among is None else among.astype(x.dtype)
    centred = numerics.centre(reference, weights=counts)
    mean = reference[:1] - centred[:1]
    covariance = numerics.matmul((centred * counts[:, None]).T, centred) / jnp.sum(counts)
    p = x.shape[1]
    added = shrinkage * jnp.trace(covariance) / p
    lower = jnp.linalg.cholesky(covariance + jnp.where(added > 0, added, 1) * jnp.eye(p, dtype=x.dtype))
    whitened = jax.scipy.linalg.solve_triangular(lower, (x - mean).T, lower=True).T
    return jnp.where(added > 0, numerics.safe_norm(whitened), 0)


def plane_residual(
    x: Float[Array, "n p"],
    reference: Float[Array, "m p"],
    *,
    k: int = 20,
    rank: int = 5,
    among: Bool[Array, " m"] | None = None,
) -> Float[Array, " n"]:
    """Distance from the plane in which the reference lies nearby: the residual of local principal components.

    The plane goes through the mean of the k nearest rows, along their `rank` leading principal directions: a move that
    the reference makes as well costs nothing. Invariant to rotation and shift. No gradient.

    Args:
        x: Rows to judge.
        reference: Rows that they are judged by.
        k: Number of neighbours (static), at most m.
        rank: Directions of the plane (static), below k and below the number of columns.
        among: Which rows of the reference count; all when absent.

    Returns:
        From 0 upwards, in units of the columns; larger is less typical. Infinite where fewer than k rows count.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> line = jnp.stack([jnp.arange(9.0), jnp.zeros(9)], axis=1)
        >>> diagnostics.plane_residual(jnp.array([[4.0, 3.0]]), line, k=5, rank=1).tolist()
        [3.0]

    Reference:
        Kambhatla & Leen, Dimension reduction by local principal component analysis, Neural Comput. 9, 1493 (1997).
    """
    check_count("rank", rank, most=k - 1, of="`k` − 1", fix="ask for fewer directions, or more neighbours")
    check_count("rank", rank, most=x.shape[1] - 1, of="the columns but one", fix="no residual is left of all of them")
    index, distance = numerics.neighbours(reference, k=k, metric="l2", queries=x, among=among)

    def residual(row_and_index: tuple[Array, Array]) -> Array:
        row, index = row_and_index
        near = reference[index]
        mean = jnp.mean(near, axis=0, keepdims=True)
        near, rest = near - mean, (row[None] - mean).T
        variance, directions = jnp.linalg.eigh(numerics.matmul(near, near.T))
        variance, directions = variance[-rank:], directions[:, -rank:]
        # What neighbours that coincide, or lie in a smaller plane, do not span is no direction.
        spanned = variance > len(near) * jnp.finfo(x.dtype).eps * variance[-1]
        length = jnp.sqrt(jnp.where(spanned, variance, 1))
        axes = jnp.where(spanned[None], numerics.matmul(near.T, directions) / length[None], 0)
        return numerics.safe_norm((rest - numerics.matmul(axes, numerics.matmul(axes.T, rest)))[:, 0])

    found = numerics.map_rows(residual, (x, index), batch_size=_BLOCK)
    return jnp.where(jnp.isfinite(distance[:, -1]), found, jnp.inf)


SCORES: Mapping[str, Callable[..., Array]] = {
    "distance": neighbour_distance,
    "density": density_ratio,
    "mahalanobis": mahalanobis,
    "residual": plane_residual,
}
# The least number of atoms of an element that a score can be taken from.
LEAST_ATOMS: Mapping[str, int] = {"distance": 5, "density": 6, "mahalanobis": 5, "residual": 20}


def conformal_p_values(
    scores: Float[Array, " n"],
    calibration: Float[Array, " m"],
    *,
    weights: Float[Array, " m"] | None = None,
    groups: Int[Array, " n"] | None = None,
    calibration_groups: Int[Array, " m"] | None = None,
) -> Float[Array, " n"]:
    """Share of calibration scores that are as large or larger, the score itself among them: p = (1 + Σ w) / (1 + W).

    Σ w goes over calibration scores of the same group that are at least as large, W over all of the group. If a score
    and those of the calibration are exchangeable, P(p ≤ α) ≤ α for every α, whatever their distribution. Where scores
    come in clusters, as atoms in structures, give those of a cluster in a group weights that sum to 1: then the same
    holds for an atom drawn at random from one more structure, however many atoms structures have. Ties count against
    the score, so that equal scores have equal p-values.

    Args:
        scores: Scores to judge, larger less typical; NaN where there is none.
        calibration: Scores of what is known to be typical, and had no part in how scores are made.
        weights: Of the calibration scores; all 1 when absent.
        groups: Label of each score; all in one group when absent.
        calibration_groups: Label of each calibration score.

    Returns:
        From 1 / (1 + W), the least that so many can show, to 1; NaN where there is no score.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> diagnostics.conformal_p_values(jnp.array([0.0, 2.5, 9.0]), jnp.array([1.0, 2.0, 3.0])).tolist()
        [1.0, 0.5, 0.25]

    Reference:
        Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World (2005); as a test for outliers: Bates et al.,
        Ann. Stat. 51, 149 (2023); for clusters: Lee, Barber & Willett, arXiv:2306.06342.
    """
    n, m = len(scores), len(calibration)
    weights = jnp.ones(m, scores.dtype) if weights is None else weights
    groups = jnp.zeros(n, jnp.int32) if groups is None else groups
    calibration_groups = jnp.zeros(m, jnp.int32) if calibration_groups is None else calibration_groups
    group = jnp.concatenate([groups, calibration_groups])
    weight = jnp.concatenate([jnp.zeros_like(scores), weights])
    # Group by group, the largest score first, and of equal ones those of the calibration.
    is_score = jnp.arange(n + m) < n
    order = jnp.lexsort((is_score, -jnp.concatenate([scores, calibration]), group))
    begin = jnp.searchsorted(group[order], group[order])
    above = jnp.concatenate([jnp.zeros(1, weight.dtype), jnp.cumsum(weight[order])])
    larger = jnp.zeros(n + m, weight.dtype).at[order].set(above[1:] - above[begin])
    total = jax.ops.segment_sum(weight[order], begin, n + m)
    total = jnp.zeros(n + m, weight.dtype).at[order].set(total[begin])
    return jnp.where(jnp.isnan(scores), jnp.nan, ((1 + larger) / (1 + total))[:n])


def typicality(
    x: np.ndarray,
    species: np.ndarray,
    *,
    reference: np.ndarray,
    reference_species: np.ndarray,
    reference_structures: np.ndarray,
    key: TypedKey,
    score: str = "residual",
    most: int = 16384,
) -> np.ndarray:
    """How far atoms lie from the atoms of their element in a reference, on a scale that all elements share.

    z = (log s − m) / w, where s is the score and m and w are median and spread (1.48 times the median absolute
    deviation) of log s over atoms of the reference, each judged by that half of its structures to which it does not
    belong. Elements with few atoms borrow from the average element. Of the atoms that symmetry makes equal in a
    structure of the reference, one counts, so neither a supercell of a structure of the reference nor one among those
    judged changes anything, but by rounding. Host-side: one element after the other.

    Args:
        x: (n, p) rows to judge.
        species: (n,) their elements.
        reference: (m, p) rows that they are judged by.
        reference_species: (m,) their elements.
        reference_structures: (m,) the structure of each, not decreasing.
        key: Typed key, for the order of structures: every other one is in the same half, and of an element with too
            many atoms those of the first remain.
        score: One of `SCORES`.
        most: Atoms of an element that are kept of the reference, at most.

    Returns:
        (n,) of either sign, of the dtype of `x`; 0 and 1 are about the median and one standard deviation above it.
        NaN where the reference has fewer atoms of the element than the score needs: no reference.

    Raises:
        ValueError: An unknown score, or rows of another width than the reference: another model, or other anchors.
    """
    check_choice("score", score, SCORES)
    check_count("most", most)
    if x.shape[1] != reference.shape[1]:
        raise ValueError(
            f"`x` and `reference` must have the same columns, got {x.shape[1]} and {reference.shape[1]}: bring both "
            "into the space of the same anchors."
        )
    structures = np.unique(reference_structures, return_inverse=True)[1]
    place = np.asarray(statistics.permutation(key, n=int(structures.max()) + 1))[structures]
    found, expected = {}, {}
    for element in np.unique(species).tolist():
        rows = np.flatnonzero(reference_species == element)
        rows = rows[_representatives(reference[rows], structures[rows])]
        rows = rows[np.argsort(place[rows], kind="stable")[:most]]
        if len(rows) < LEAST_ATOMS[score]:
            continue
        judged = np.flatnonzero(species == element)
        found[element] = judged, _scored(x[judged], reference[rows], score=score)
        expected[element] = _expected(reference[rows], place[rows] % 2, score=score)

    z = np.full(len(x), np.nan, x.dtype)
    centre, spread = _scales(expected)
    for element, (judged, scores) in found.items():
        lowest = centre[element] + np.log(_FLOOR)
        logarithm = np.maximum(np.log(np.maximum(scores, np.finfo(scores.dtype).tiny)), lowest)
        z[judged] = (logarithm - centre[element]) / spread[element]
    return z


def _representatives(x: np.ndarray, structures: np.ndarray) -> np.ndarray:
    """(n,) whether a row is the first of those in its structure that it coincides with."""
    first = np.ones(len(x), bool)
    tolerance = _SAME_ORBIT * np.sqrt(np.mean(np.sum((x - x.mean(axis=0)) ** 2, axis=1))) if len(x) else 0.0
    for lag in range(1, len(x)):
        rows = lag + np.flatnonzero(structures[lag:] == structures[:-lag])
        if not len(rows):
            break
        first[rows] &= np.linalg.norm(x[rows] - x[rows - lag], axis=1) > tolerance
    return first


def _expected(reference: np.ndarray, half: np.ndarray, *, score: str) -> np.ndarray:
    """Scores of some rows of each half, judged by the other; none where a half is too small."""
    halves = reference[half == 0], reference[half == 1]
    if min(len(rows) for rows in halves) < LEAST_ATOMS[score]:
        return np.empty(0, reference.dtype)
    a, b = halves
    return np.concatenate([_scored(a[:_BLOCK], b, score=score), _scored(b[:_BLOCK], a, score=score)])


def _scales(expected: Mapping[int, np.ndarray]) -> tuple[dict[int, float], dict[int, float]]:
    """Centre and spread of log scores of each element; those of the average element count as so many atoms more."""
    centre, spread = {}, {}
    for element, scores in expected.items():
        if len(scores):
            logarithm = np.log(np.maximum(scores, np.finfo(scores.dtype).tiny))
            centre[element] = float(np.median(logarithm))
            spread[element] = float(1.4826 * np.median(np.abs(logarithm - centre[element])))
    mean_centre = float(np.mean(list(centre.values()))) if centre else 0.0
    mean_spread = float(np.mean(list(spread.values()))) if centre else 1.0
    mean_spread = mean_spread or 1.0
    for element, scores in expected.items():
        share = len(scores) / (len(scores) + _PRIOR)
        centre[element] = share * centre.get(element, 0.0) + (1 - share) * mean_centre
        spread[element] = share * spread.get(element, 0.0) + (1 - share) * mean_spread
    return centre, spread


def _scored(x: np.ndarray, reference: np.ndarray, *, score: str) -> np.ndarray:
    """Scores of rows of one element, in blocks of one size, by a reference of one of few sizes."""
    size = max(_LEAST, 1 << (len(reference) - 1).bit_length())
    filled = jnp.asarray(reference[np.arange(size) % len(reference)])
    among = jnp.asarray(np.arange(size) < len(reference))
    scores = []
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        rows = jnp.asarray(block[np.arange(_BLOCK) % len(block)])
        scores.append(np.asarray(_score(rows, filled, among, score=score))[: len(block)])
    return np.concatenate(scores)


@partial(jax.jit, static_argnames="score")
def _score(x: Array, reference: Array, among: Array, *, score: str) -> Array:
    return SCORES[score](x, reference, among=among)
