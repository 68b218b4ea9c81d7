"""Measures of all pairs of embeddings of the same rows, for many draws; what draws share is computed once.

Procrustes and CKA need the products of the centred rows and their norms; mutual neighbours need lists of neighbours. A
permutation moves rows and lists, a weight counts rows more or less, and neither needs more than one product for a pair:
each value equals that of the measure in `metrics` on the permuted, or the repeated, rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int
from threadpoolctl import threadpool_limits

from platonic_jax import metrics, numerics
from platonic_jax._hsic import debiased_hsic, hsic_of_sums
from platonic_jax._typing import Scalar, TypedKey
from platonic_jax.numerics import centre, matmul, squared_norm

__all__ = [
    "MEASURES",
    "NEIGHBOURS",
    "Cloud",
    "compared",
    "influences",
    "make_cloud",
    "neighbour_lists",
    "permuted",
    "permuted_pairs",
    "serial_lapack",
    "single",
    "weighted",
]

NEIGHBOURS = ("mutual_knn", "mutual_knn_other_structures")
MEASURES = ("procrustes", "cka", *NEIGHBOURS)


class Cloud(NamedTuple):
    """An embedding matrix, and what is computed from it once.

    Attributes:
        rows: (n, p) centred under the weights.
        norms: (n,) squared norm of each row.
        hsic: () its alignment with itself, as CKA needs it.
        neighbours: for each measure of `NEIGHBOURS`, (n, j) rows nearest to each.
    """

    rows: Float[Array, "n p"]
    norms: Float[Array, " n"]
    hsic: Scalar
    neighbours: Mapping[str, Int[Array, "n j"]]


def neighbour_lists(
    x: Float[Array, "n p"],
    structures: Int[Array, " n"],
    *,
    num_neighbours: int,
    key: TypedKey,
    among: Bool[Array, " n"] | None = None,
    measures: Sequence[str] = NEIGHBOURS,
) -> dict[str, Int[Array, "n {num_neighbours}"]]:
    """Find the nearest rows of each row: among all, and among those of other structures.

    Args:
        x: rows.
        structures: structure of each row.
        num_neighbours: neighbours of each row (static).
        key: breaks ties; one of its own for each model, so that ties never create agreement.
        among: which rows may be neighbours.
        measures: those of `NEIGHBOURS` whose lists are needed (static); others are left out.

    Returns:
        Measure → rows nearest to each.
    """
    excluded = {"mutual_knn": None, "mutual_knn_other_structures": structures}
    return {
        name: numerics.neighbours(x, num_neighbours=num_neighbours, among=among, exclude=labels, key=key)[0]
        for name, labels in excluded.items()
        if name in measures
    }


def make_cloud(x: Float[Array, "n p"], nearest: Mapping[str, Array], weights: Float[Array, " n"]) -> Cloud:
    """Centre a cloud under weights of its rows, and keep what all of its pairs share."""
    rows = centre(x, weights=weights)
    norms = squared_norm(rows)
    cross = matmul((rows * weights[:, None]).T, rows)
    return Cloud(rows, norms, debiased_hsic(cross, norms, norms, weights=weights), nearest)


def weighted(cloud: Cloud, weights: Float[Array, " n"]) -> Cloud:
    """The cloud whose rows are repeated as often as their weights say."""
    return make_cloud(cloud.rows, cloud.neighbours, weights)


def permuted(cloud: Cloud, permutation: Int[Array, " n"]) -> Cloud:
    """The cloud whose rows are in another order; weights must not differ between rows that change places."""
    return Cloud(
        cloud.rows[permutation],
        cloud.norms[permutation],
        cloud.hsic,
        {name: metrics.permuted_neighbours(index, permutation) for name, index in cloud.neighbours.items()},
    )


def single(cloud: Cloud) -> Cloud:
    """The cloud in single precision, for draws."""
    narrowed = {name: getattr(cloud, name).astype(jnp.float32) for name in ("rows", "norms", "hsic")}
    return cloud._replace(**narrowed)


def compared(
    left: Sequence[Cloud],
    right: Sequence[Cloud],
    pairs: Sequence[tuple[int, int]],
    weights: Float[Array, " n"] | None = None,
    *,
    measures: Sequence[str] = MEASURES,
) -> dict[str, Float[Array, " pairs"]]:
    """Each measure of each pair (i, j): of cloud i on the left with cloud j on the right.

    Args:
        left: Clouds centred under the weights.
        right: Clouds centred under the weights, such as the same ones permuted.
        pairs: Which to compare (static).
        weights: Weight of each row, the same on both sides; all 1 when absent, and then no copy of the rows is made.
        measures: Names from `MEASURES` (static).

    Returns:
        For each measure, one value a pair.
    """
    similarities, cross = {}, jnp.zeros((0, 0, 0))
    if {"procrustes", "cka"} & set(measures):
        loaded = {i: left[i].rows if weights is None else left[i].rows * weights[:, None] for i, _ in pairs}
        cross = jnp.stack([matmul(loaded[i].T, right[j].rows) for i, j in pairs])
    weights = jnp.ones_like(left[0].norms) if weights is None else weights
    if "procrustes" in measures:
        scale = [jnp.sum(weights * left[i].norms) * jnp.sum(weights * right[j].norms) for i, j in pairs]
        similarities["procrustes"] = numerics.nuclear_norm(cross) / jnp.sqrt(jnp.stack(scale))
    if "cka" in measures:
        hsic = [
            debiased_hsic(product, left[i].norms, right[j].norms, weights=weights)
            for product, (i, j) in zip(cross, pairs, strict=True)
        ]
        scale = [left[i].hsic * right[j].hsic for i, j in pairs]
        similarities["cka"] = jnp.stack(hsic) / jnp.sqrt(jnp.stack(scale))
    for name in NEIGHBOURS:
        if name in measures:
            overlaps = [
                metrics.neighbour_overlap(left[i].neighbours[name], right[j].neighbours[name]) for i, j in pairs
            ]
            similarities[name] = jnp.stack(
                [jnp.sum(weights * overlap.astype(weights.dtype)) / jnp.sum(weights) for overlap in overlaps]
            )
    return similarities


def permuted_pairs(
    left: Sequence[Cloud],
    right: Sequence[Cloud],
    order: Int[Array, " n"],
    pairs: Sequence[tuple[int, int]],
    weights: Float[Array, " n"] | None = None,
    *,
    measures: Sequence[str] = MEASURES,
) -> dict[str, Float[Array, " pairs"]]:
    """Compute each measure of each pair with the rows of the right side in another order: one draw of a null."""
    return compared(left, [permuted(cloud, order) for cloud in right], pairs, weights, measures=measures)


def influences(
    a: Cloud, b: Cloud, weights: Float[Array, " n"], *, measures: Sequence[str] = MEASURES
) -> tuple[dict[str, Scalar], dict[str, Float[Array, " n"]]]:
    """Each measure of one pair, and its derivative by the weight of every row, as `statistics.cluster_error` takes it.

    Args:
        a: First cloud.
        b: Second cloud.
        weights: Weight of each row: 1, or 0 for rows that only fill up an array.
        measures: Names from `MEASURES` (static).

    Returns:
        Values and influences; the influence of rows of weight 0 is 0.
    """
    aligned = tuple(name for name in measures if name not in NEIGHBOURS)
    values, slopes = {}, {}
    if aligned:
        values, slope_of = jax.vjp(partial(_aligned, a.rows, b.rows, measures=aligned), weights)
        chosen = {
            name: {other: jnp.full_like(value, other == name) for other, value in values.items()} for name in values
        }
        slopes = {name: slope_of(one)[0] for name, one in chosen.items()}
    for name in NEIGHBOURS:
        if name in measures:
            overlap = metrics.neighbour_overlap(a.neighbours[name], b.neighbours[name]).astype(weights.dtype)
            values[name] = jnp.sum(weights * overlap) / jnp.sum(weights)
            slopes[name] = (overlap - values[name]) / jnp.sum(weights)
    return values, {name: jnp.where(weights > 0, slope, 0) for name, slope in slopes.items()}


def _aligned(
    x: Float[Array, "n p"], y: Float[Array, "n q"], weights: Float[Array, " n"], *, measures: Sequence[str]
) -> dict[str, Scalar]:
    """Compute Procrustes and CKA of weighted rows whose offset is small against their spread.

    They follow from sums over rows. These go by blocks, whose intermediate results are computed anew for the slopes: a
    plain derivative by the weights would keep twenty arrays of the size of the rows.
    """
    n = x.shape[0]
    size = min(n, numerics.rows_per_tile(x.shape[1] + y.shape[1]))
    total = jnp.sum(weights)
    means = [matmul(weights[None], rows) / total for rows in (x, y)]

    @jax.checkpoint
    def sums(index: Int[Array, " b"], weights: Float[Array, " b"], means: Sequence[Array]) -> dict[str, Array]:
        a, b = (rows[index] - mean for rows, mean in zip((x, y), means, strict=True))
        k, l = squared_norm(a), squared_norm(b)
        cross = {"ab": (a, b), "aa": (a, a), "bb": (b, b)}
        return {name: matmul((left * weights[:, None]).T, right) for name, (left, right) in cross.items()} | {
            "k": jnp.sum(weights * k),
            "l": jnp.sum(weights * l),
            "kl": jnp.sum(weights * k * l),
            "kk": jnp.sum(weights * k * k),
            "ll": jnp.sum(weights * l * l),
        }

    filling = -n % size
    index = jnp.minimum(jnp.arange(n + filling, dtype=jnp.int32), n - 1).reshape(-1, size)
    blocks = (index, jnp.pad(weights, (0, filling)).reshape(-1, size))
    start = jax.tree.map(
        lambda one: jnp.zeros(one.shape, one.dtype), jax.eval_shape(sums, index[0], weights[:size], means)
    )
    add = lambda so_far, block: (jax.tree.map(jnp.add, so_far, sums(*block, means)), None)
    totals = jax.lax.scan(add, start, blocks)[0]
    values = {}
    if "procrustes" in measures:
        values["procrustes"] = numerics.nuclear_norm(totals["ab"]) / jnp.sqrt(totals["k"] * totals["l"])
    if "cka" in measures:
        between, within_a, within_b = (
            hsic_of_sums(totals[cross], totals[k], totals[l], totals[kl], n=total)
            for cross, k, l, kl in (("ab", "k", "l", "kl"), ("aa", "k", "k", "kk"), ("bb", "l", "l", "ll"))
        )
        values["cka"] = between / jnp.sqrt(within_a * within_b)
    return values


@contextmanager
def serial_lapack() -> Iterator[None]:
    """Decompositions of small matrices on one thread each.

    OpenBLAS would give each to all cores, which then wait for each other: with other work on the machine, hundreds of
    times slower. Only a library that is loaded can be limited, and JAX loads SciPy's at its first decomposition.
    """
    import scipy.linalg.lapack  # noqa: F401

    with threadpool_limits(1, user_api="blas"):
        yield
