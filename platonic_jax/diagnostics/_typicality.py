"""Distances of atoms from the atoms of their element in a reference set, and their conformal p-values.

A score is large where the reference is far, in whatever unit. Two steps make it a statement. `typicality` puts the
scores of all elements on one scale, from the reference alone. `conformal_p_values` compares them with atoms, or
structures, that the reference did not see but that are of its kind: the share of these that lie as far or farther. For
one more of their kind it is 5 % or less in 5 % of cases, whatever the score and its distribution.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from platonic_jax import numerics, statistics
from platonic_jax._checks import check_choice, check_count, check_positive, check_same_width
from platonic_jax._typing import AnyArray, Numeric, TypedKey
from platonic_jax.numerics import as_float

_BLOCK = 256  # Rows scored at once; an element's reference is filled up to a power of two: few shapes to compile.
_LEAST = 64
_SAME_ORBIT = 1e-3  # Atoms of a structure nearer than this part of the element's spread count as one.
_PRIOR = 20  # Atoms' worth of evidence for the scale of an average element.
_FLOOR = 1e-3  # A score below this part of the typical one is rounding.


def neighbour_distance(
    x: Numeric[AnyArray, "n p"],
    reference: Numeric[AnyArray, "m p"],
    *,
    num_neighbours: int = 5,
    among: Bool[AnyArray, " m"] | None = None,
) -> Float[Array, " n"]:
    """Mean distance to the nearest rows of a reference: mean of ‖x − r‖.

    Not invariant to the scale of the space, nor to anything that changes distances; invariant to rotation and shift.

    Args:
        x: Rows to judge.
        reference: Rows that they are judged by.
        num_neighbours: Number of neighbours (static), at most m.
        among: Which rows of the reference count; all when absent.

    Returns:
        From 0 upwards, in units of the columns; larger is less typical. Infinite where fewer rows count.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> reference = jnp.array([[0.0], [1.0], [2.0]])
        >>> diagnostics.neighbour_distance(jnp.array([[0.0], [5.0]]), reference, num_neighbours=2).tolist()
        [0.5, 3.5]

    Reference:
        Ramaswamy, Rastogi & Shim, Efficient algorithms for mining outliers from large data sets, SIGMOD 2000.
    """
    x, reference = as_float(x), as_float(reference)
    return jnp.mean(
        numerics.neighbours(reference, num_neighbours=num_neighbours, metric="l2", queries=x, among=among)[1], axis=1
    )


def density_ratio(
    x: Numeric[AnyArray, "n p"],
    reference: Numeric[AnyArray, "m p"],
    *,
    num_neighbours: int = 5,
    among: Bool[AnyArray, " m"] | None = None,
    spacing: Numeric[AnyArray, " m"] | None = None,
) -> Float[Array, " n"]:
    """Simplified local outlier factor: neighbour spacing around a row over that around its neighbours.

    Mean distance of the row to its nearest rows of the reference, over the mean distance of these to theirs. Unlike
    `neighbour_distance` it calls no row atypical for lying where the reference is thin everywhere, and none typical
    for being near, in the measure of other places, to rows that are much nearer to each other.

    Args:
        x: Rows to judge.
        reference: Rows that they are judged by.
        num_neighbours: Number of neighbours (static), below m.
        among: Which rows of the reference count, more than `num_neighbours`; all when absent.
        spacing: Mean distance of each row of the reference to its own nearest, from `neighbour_spacing`, where it is
            known already.

    Returns:
        From 0 upwards; about 1 where the row lies as the reference does, larger is less typical.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> reference = jnp.array([[0.0], [1.0], [2.0], [3.0]])
        >>> diagnostics.density_ratio(jnp.array([[5.0]]), reference, num_neighbours=1).tolist()
        [2.0]

    Reference:
        Breunig et al., LOF: identifying density-based local outliers, SIGMOD 2000; with plain distances: Schubert,
        Zimek & Kriegel, Data Min. Knowl. Discov. 28, 190 (2014).
    """
    x, reference = as_float(x), as_float(reference)
    index, distance = numerics.neighbours(reference, num_neighbours=num_neighbours, metric="l2", queries=x, among=among)
    if spacing is None:
        spacing = neighbour_spacing(reference, num_neighbours=num_neighbours, among=among)
    spacing = as_float(spacing)
    around = jnp.mean(spacing[index], axis=1)
    return jnp.mean(distance, axis=1) / jnp.maximum(around, jnp.finfo(x.dtype).tiny)


def neighbour_spacing(
    reference: Numeric[AnyArray, "m p"], *, num_neighbours: int = 5, among: Bool[AnyArray, " m"] | None = None
) -> Float[Array, " m"]:
    """Mean distance of every row of a reference to its nearest others: how thin the reference is there.

    Args:
        reference: Rows.
        num_neighbours: Number of neighbours (static), below m.
        among: Which rows may be neighbours; all when absent.

    Returns:
        From 0 upwards, in units of the columns.
    """
    reference = as_float(reference)
    return jnp.mean(numerics.neighbours(reference, num_neighbours=num_neighbours, metric="l2", among=among)[1], axis=1)


def mahalanobis(
    x: Numeric[AnyArray, "n p"],
    reference: Numeric[AnyArray, "m p"],
    *,
    shrinkage: float = 1e-3,
    among: Bool[AnyArray, " m"] | None = None,
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
    x, reference = as_float(x), as_float(reference)
    check_positive("shrinkage", shrinkage)
    check_same_width("x", x, "reference", reference)
    counts = jnp.ones(len(reference), x.dtype) if among is None else jnp.asarray(among).astype(x.dtype)
    centred = numerics.centre(reference, weights=counts)
    mean = reference[:1] - centred[:1]
    covariance = numerics.matmul((centred * counts[:, None]).T, centred) / jnp.sum(counts)
    p = x.shape[1]
    added = shrinkage * jnp.trace(covariance) / p
    lower = jnp.linalg.cholesky(covariance + jnp.where(added > 0, added, 1) * jnp.eye(p, dtype=x.dtype))
    whitened = jax.scipy.linalg.solve_triangular(lower, (x - mean).T, lower=True).T
    return jnp.where(added == 0, 0, numerics.safe_norm(whitened))


def plane_residual(
    x: Numeric[AnyArray, "n p"],
    reference: Numeric[AnyArray, "m p"],
    *,
    num_neighbours: int = 20,
    rank: int = 5,
    among: Bool[AnyArray, " m"] | None = None,
) -> Float[Array, " n"]:
    """Distance from the plane in which the reference lies nearby: the residual of local principal components.

    The plane goes through the mean of the nearest rows, along their `rank` leading principal directions: a move that
    the reference makes as well costs nothing. Invariant to rotation and shift. No gradient.

    Args:
        x: Rows to judge.
        reference: Rows that they are judged by.
        num_neighbours: Number of neighbours (static), at most m.
        rank: Directions of the plane (static), below `num_neighbours` and below the number of columns.
        among: Which rows of the reference count; all when absent.

    Returns:
        From 0 upwards, in units of the columns; larger is less typical. Infinite where fewer rows count.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> line = jnp.stack([jnp.arange(9.0), jnp.zeros(9)], axis=1)
        >>> diagnostics.plane_residual(jnp.array([[4.0, 3.0]]), line, num_neighbours=5, rank=1).tolist()
        [3.0]

    Reference:
        Kambhatla & Leen, Dimension reduction by local principal component analysis, Neural Comput. 9, 1493 (1997).
    """
    x, reference = as_float(x), as_float(reference)
    check_count(
        "rank",
        rank,
        most=num_neighbours - 1,
        bound="`num_neighbours` − 1",
        fix="ask for fewer directions, or more neighbours",
    )
    check_count(
        "rank", rank, most=x.shape[1] - 1, bound="the columns but one", fix="no residual is left of all of them"
    )
    index, distance = numerics.neighbours(reference, num_neighbours=num_neighbours, metric="l2", queries=x, among=among)

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

    residuals = numerics.map_rows(residual, (x, index), batch_size=_BLOCK)
    last = distance[:, -1]  # Infinite where too few rows count, NaN where the row is not finite.
    return jnp.where(jnp.isfinite(last), residuals, last)


SCORES: Mapping[str, Callable[..., Array]] = {
    "distance": neighbour_distance,
    "density": density_ratio,
    "mahalanobis": mahalanobis,
    "residual": plane_residual,
}
"""The scores of typicality by name: functions of rows and of those of a reference."""
DEFAULT_SCORES = ("residual", "density", "mahalanobis")
"""Scores that are combined by default: they separate most sets in the notebook on typicality."""
LEAST_ATOMS: Mapping[str, int] = {"distance": 5, "density": 6, "mahalanobis": 5, "residual": 20}
"""The least number of atoms of an element that each score can be taken from."""


def conformal_p_values(
    scores: Numeric[AnyArray, " n"],
    calibration: Numeric[AnyArray, " m"],
    *,
    weights: Numeric[AnyArray, " m"] | None = None,
    groups: Int[AnyArray, " n"] | None = None,
    calibration_groups: Int[AnyArray, " m"] | None = None,
) -> Float[Array, " n"]:
    """Share of calibration scores that are as large or larger, the score itself among them: p = (1 + Σ w) / (1 + W).

    Σ w goes over calibration scores of the same group that are at least as large, W over all of the group. If a score
    and those of the calibration are exchangeable, P(p ≤ α) ≤ α for every α, whatever their distribution. Where scores
    come in clusters, as atoms in structures, give those of a cluster in a group weights that sum to 1: then the same
    holds for an atom drawn at random from one more structure, however many atoms structures have. Ties count against
    the score, so that equal scores have equal p-values.

    Args:
        scores: Scores to judge, larger less typical; NaN where there is none.
        calibration: Scores of what is known to be typical, and had no part in how scores are made; NaN does not count.
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
    scores, calibration = as_float(scores), as_float(calibration)
    n, m = len(scores), len(calibration)
    weights = jnp.ones(m, scores.dtype) if weights is None else as_float(weights).astype(scores.dtype)
    weights = jnp.where(jnp.isnan(calibration), 0, weights)
    groups = jnp.zeros(n, jnp.int32) if groups is None else jnp.asarray(groups)
    calibration_groups = jnp.zeros(m, jnp.int32) if calibration_groups is None else jnp.asarray(calibration_groups)
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
    scores: Sequence[str] = DEFAULT_SCORES,
    most: int = 16384,
) -> np.ndarray:
    """Distances of atoms from the reference atoms of their element, on a scale common to all elements.

    z = (log s − m) / w, where s is a score and m and w are median and spread (1.48 times the median absolute deviation)
    of log s over atoms of the reference, each judged by that half of its structures to which it does not belong; of
    several scores, the mean z. Elements with few atoms borrow from the average element. Of the atoms that symmetry
    makes equal in a structure of the reference, one counts, so neither a supercell of a structure of the reference nor
    one among those judged changes anything, but by rounding. Host-side: one element after the other.

    Args:
        x: (n, p) rows to judge.
        species: (n,) their elements.
        reference: (m, p) rows that they are judged by.
        reference_species: (m,) their elements.
        reference_structures: (m,) the structure of each, not decreasing.
        key: Typed key, for the order of structures: every other one is in the same half, and of an element with too
            many atoms those of the first remain.
        scores: Names from `SCORES`.
        most: Atoms of an element that are kept of the reference, at most.

    Returns:
        (n,) of either sign, of the dtype of `x`; 0 and 1 are about the median and one standard deviation above it.
        NaN where the reference has fewer atoms of the element than a score needs: no reference.

    Raises:
        ValueError: An unknown score, or rows of another width than the reference: another model, or other anchors.
    """
    if not scores:
        raise ValueError("`scores` must name a score at least, got none.")
    for score in scores:
        check_choice("scores", score, SCORES)
    check_count("most", most)
    if x.shape[1] != reference.shape[1]:
        raise ValueError(
            f"`x` and `reference` must have the same columns, got {x.shape[1]} and {reference.shape[1]}: bring both "
            "into the space of the same anchors."
        )
    x, reference = (a if a.dtype == np.float64 else np.asarray(as_float(a)) for a in (x, reference))
    structures = np.unique(reference_structures, return_inverse=True)[1]
    place = np.asarray(statistics.permutation(key, n=int(structures.max()) + 1))[structures]
    least, names = max(LEAST_ATOMS[score] for score in scores), tuple(scores)
    per_element, expected = {}, {}
    for element in np.unique(species).tolist():
        rows = np.flatnonzero(reference_species == element)
        rows = rows[_representatives(reference[rows], structures[rows])]
        rows = rows[np.argsort(place[rows], kind="stable")[:most]]
        if len(rows) < least:
            continue
        index = np.flatnonzero(species == element)
        per_element[element] = index, _logarithms(x[index], reference[rows], scores=names)
        halves = [reference[rows][place[rows] % 2 == half] for half in (0, 1)]
        expected[element] = np.empty((len(names), 0), x.dtype)
        if min(len(half) for half in halves) >= least:
            a, b = halves
            crossed = [_logarithms(one[:_BLOCK], other, scores=names) for one, other in ((a, b), (b, a))]
            expected[element] = np.concatenate(crossed, axis=1)

    z = np.full(len(x), np.nan, x.dtype)
    scales = _scales(expected)
    for element, (index, logarithms) in per_element.items():
        centre, spread = scales[element]
        lowest = centre + np.log(_FLOOR)
        z[index] = np.mean((np.maximum(logarithms, lowest) - centre) / spread, axis=0)
    return z


def _representatives(x: np.ndarray, structures: np.ndarray) -> np.ndarray:
    """(n,) mask of the first row of each set of coinciding rows of a structure."""
    first = np.ones(len(x), bool)
    tolerance = _SAME_ORBIT * np.sqrt(np.mean(np.sum((x - x.mean(axis=0)) ** 2, axis=1))) if len(x) else 0.0
    for lag in range(1, len(x)):
        rows = lag + np.flatnonzero(structures[lag:] == structures[:-lag])
        if not len(rows):
            break
        first[rows] &= np.linalg.norm(x[rows] - x[rows - lag], axis=1) > tolerance
    return first


def _scales(expected: Mapping[int, np.ndarray]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Centre and spread of the logarithms of each element; those of the average element count as so many atoms more."""
    own = {}
    for element, logarithms in expected.items():
        if logarithms.shape[1]:
            centre = np.median(logarithms, axis=1, keepdims=True)
            own[element] = np.stack([centre, 1.4826 * np.median(abs(logarithms - centre), axis=1, keepdims=True)])
    average = np.mean(list(own.values()), axis=0) if own else np.array([[[0.0]], [[1.0]]])
    average[1] = np.where(average[1] > 0, average[1], 1)
    scales = {}
    for element, logarithms in expected.items():
        share = logarithms.shape[1] / (logarithms.shape[1] + _PRIOR)
        centre, spread = share * own.get(element, average) + (1 - share) * average
        scales[element] = centre, spread
    return scales


def _logarithms(x: np.ndarray, reference: np.ndarray, *, scores: tuple[str, ...]) -> np.ndarray:
    """(scores, n) of rows of one element, in blocks of one size, by a reference of one of few sizes."""
    size = max(_LEAST, 1 << (len(reference) - 1).bit_length())
    filled = jnp.asarray(reference[np.arange(size) % len(reference)])
    among = jnp.asarray(np.arange(size) < len(reference))
    spacing = _spacing(filled, among) if "density" in scores else None
    blocks = []
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        rows = jnp.asarray(block[np.arange(_BLOCK) % len(block)])
        blocks.append(np.asarray(_scored(rows, filled, among, spacing, scores=scores))[:, : len(block)])
    logarithms = np.concatenate(blocks, axis=1)
    return np.log(np.maximum(logarithms, np.finfo(logarithms.dtype).tiny))


_spacing = jax.jit(lambda reference, among: neighbour_spacing(reference, among=among))


@partial(jax.jit, static_argnames="scores")
def _scored(x: Array, reference: Array, among: Array, spacing: Array | None, *, scores: tuple[str, ...]) -> Array:
    known = {"density": {"spacing": spacing}}
    return jnp.stack([SCORES[name](x, reference, among=among, **known.get(name, {})) for name in scores])
