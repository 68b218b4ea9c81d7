"""Statistical inference for similarity measures: permutation tests, and intervals from resampling structures.

Atoms come in crystals, and within an element nearly all of the variance of an embedding lies between crystals. So the
unit that a permutation exchanges is a *block*, the atoms of one element in one structure, and the unit that is
resampled is the structure.

A measure is handed over as a function of arrays, whichever it is; or, where it need not start afresh every time, the
draws themselves are: permutations, and how often each row is drawn. Draw i depends on `fold_in(key, i)` alone, so
results do not change with the number of draws asked for, nor with how many are computed at once.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from platonic_jax._checks import check_choice, check_count, check_fraction, check_key, check_paired
from platonic_jax._typing import AnyArray, Numeric, Scalar, TypedKey
from platonic_jax.numerics import as_float, map_rows, matmul, resampled_rows

__all__ = [
    "Bootstrap",
    "CombinedTest",
    "MaxTest",
    "PermutationTest",
    "bootstrap",
    "bootstrap_weights",
    "cluster_error",
    "combined_test",
    "fewest_permutations",
    "max_combined",
    "max_corrected",
    "movable_rows",
    "null_distribution",
    "permutation",
    "permutation_test",
    "permutations",
    "resample_index",
    "resample_weights",
    "subsample_index",
]


def __dir__() -> list[str]:
    return __all__


ALTERNATIVES = ("greater", "less")


class PermutationTest(NamedTuple):
    """Result of a permutation test.

    Attributes:
        value: () the measure of the rows as they are paired.
        null: (num_permutations,) the measure under permutations. With blocks and groups, those of all groups are
            exchanged at once.
        p_value: () from 1 / (1 + num_permutations) to 1; NaN where the measure is undefined, or too few blocks can move
            for a test.
        effect: () value − mean of the null: what is shared beyond what the permutations keep, in units of the measure.
        movable: () fraction of rows that a permutation can move, from 0 to 1.
    """

    value: Scalar
    null: Float[Array, " num_permutations"]
    p_value: Scalar
    effect: Scalar
    movable: Scalar


class CombinedTest(NamedTuple):
    """Result of one test of several groups, however the groups depend on each other.

    Attributes:
        value: () weighted mean over groups of the standardised values.
        null: (1 + num_permutations,) the same of the groups' equal-ranked values, falling.
        p_value: () from 1 / (1 + num_permutations) to 1.
        p_values: (g,) the p-value of each group by itself, not corrected for their number.
    """

    value: Scalar
    null: Float[Array, " draws"]
    p_value: Scalar
    p_values: Float[Array, " g"]


class Bootstrap(NamedTuple):
    """A value and its interval over samples of as many clusters.

    Attributes:
        value: () the statistic of the rows as they are.
        low: () lower end of the percentile interval.
        high: () upper end of the percentile interval.
        draws: (num_bootstraps,) the statistic of the resampled rows.
    """

    value: Scalar
    low: Scalar
    high: Scalar
    draws: Float[Array, " num_bootstraps"]


class MaxTest(NamedTuple):
    """Maximum over several alternatives, and its permutation null.

    Attributes:
        value: () the most extreme value.
        best: () place of the alternative that has it.
        null: (num_permutations,) the most extreme value of each draw.
        p_value: () share of draws whose most extreme value is at least as extreme, the given one among them.
        p_values: (l,) the same for every alternative: what each is worth, given that it was one of l.
    """

    value: Scalar
    best: Int[Array, ""]
    null: Float[Array, " num_permutations"]
    p_value: Scalar
    p_values: Float[Array, " l"]


class _Blocks(NamedTuple):
    """Rows laid out block by block: those of block b are `rows[start[b] : …]`; two of one kind may be exchanged."""

    rows: Int[Array, " n"]
    start: Int[Array, " n"]
    kind: Int[Array, " n"]
    block: Int[Array, " n"]
    place: Int[Array, " n"]


def _blocks(n: int, groups: Int[AnyArray, " n"] | None, blocks: Int[AnyArray, " n"] | None) -> _Blocks:
    """Arrays have one entry for each of at most n blocks; entries beyond the last block are of a kind of their own."""
    index = jnp.arange(n, dtype=jnp.int32)
    group = jnp.zeros(n, jnp.int32) if groups is None else jnp.asarray(groups)
    label = index if blocks is None else jnp.asarray(blocks)
    rows = jnp.lexsort((label, group)).astype(jnp.int32)
    new = (jnp.diff(group[rows]) != 0) | (jnp.diff(label[rows]) != 0)
    block = jnp.cumsum(jnp.concatenate([jnp.zeros(1, bool), new]), dtype=jnp.int32)
    size = jnp.zeros(n, jnp.int32).at[block].add(1)
    start = jnp.cumsum(size, dtype=jnp.int32) - size
    # Numbers for the kinds (group, size), by sorting the blocks; the sizes of entries without a block are 0.
    group_of_block = group[rows][jnp.minimum(start, n - 1)]
    order = jnp.lexsort((group_of_block, size))
    differs = (jnp.diff(group_of_block[order]) != 0) | (jnp.diff(size[order]) != 0)
    rank = jnp.cumsum(jnp.concatenate([jnp.zeros(1, bool), differs]), dtype=jnp.int32)
    return _Blocks(rows, start, jnp.zeros(n, jnp.int32).at[order].set(rank), block, index - start[block])


def _shuffled(key: TypedKey, labels: Int[Array, " n"]) -> Int[Array, " n"]:
    """A random order of indices that keeps the label at every place."""
    shuffled = jax.random.permutation(key, labels.shape[0]).astype(jnp.int32)
    # Sorted by label, the shuffled indices and the places list the same labels: match them one to one.
    places = jnp.argsort(labels, stable=True)
    return jnp.zeros_like(shuffled).at[places].set(shuffled[jnp.argsort(labels[shuffled], stable=True)])


def _permuted(key: TypedKey, layout: _Blocks) -> Int[Array, " n"]:
    source = _shuffled(key, layout.kind)
    index = layout.rows[layout.start[source[layout.block]] + layout.place]
    return jnp.zeros_like(index).at[layout.rows].set(index)


def permutation(
    key: TypedKey,
    *,
    n: int,
    groups: Int[AnyArray, " n"] | None = None,
    blocks: Int[AnyArray, " n"] | None = None,
) -> Int[Array, " {n}"]:
    """Draw one random order of n rows, uniform over all orders that keep groups and blocks.

    Args:
        key: Typed key.
        n: Number of rows (static).
        groups: Label of the group of each row, such as its element; no row leaves its group. One group when absent.
        blocks: Label of the block of each row, such as its structure. The rows of one group in one block move together,
            in their order, to the place of equally many rows of the group in another block. Every row by itself when
            absent.

    Returns:
        Row indices: `y[permutation]` is the permuted array.
    """
    check_key(key)
    if blocks is not None:
        return _permuted(key, _blocks(n, groups, blocks))
    if groups is None:
        return jax.random.permutation(key, n).astype(jnp.int32)
    return _shuffled(key, jnp.asarray(groups))


def permutations(
    key: TypedKey,
    *,
    n: int,
    groups: Int[AnyArray, " n"] | None = None,
    blocks: Int[AnyArray, " n"] | None = None,
    num_permutations: int,
    first: int | Int[Array, ""] = 0,
) -> Int[Array, "{num_permutations} {n}"]:
    """Draw the permutations of a null: the one place where they are made, so that all who ask get the same ones.

    Args:
        key: Typed key. Draw i uses `fold_in(key, i)`.
        n: Number of rows (static).
        groups: Labels within which rows are permuted; all rows together when absent.
        blocks: Labels of rows that move together, as in `permutation`.
        num_permutations: Number of draws (static).
        first: Number of the first draw. Where all of them would not fit, they can be made again a few at a time.

    Returns:
        Row indices, one permutation a row.
    """
    check_key(key)
    check_count("num_permutations", num_permutations)
    if blocks is None:
        draw = lambda i: permutation(jax.random.fold_in(key, i), n=n, groups=groups)
    else:
        layout = _blocks(n, groups, blocks)
        draw = lambda i: _permuted(jax.random.fold_in(key, i), layout)
    return map_rows(draw, first + jnp.arange(num_permutations, dtype=jnp.int32))


def movable_rows(
    n: int, *, groups: Int[AnyArray, " n"] | None = None, blocks: Int[AnyArray, " n"] | None = None
) -> Bool[Array, " {n}"]:
    """Mark the rows that a permutation can move: those whose block has another one of its kind.

    Args:
        n: Number of rows (static).
        groups: Labels within which rows are permuted; all rows together when absent.
        blocks: Labels of rows that move together, as in `permutation`.

    Returns:
        For each row, whether some permutation moves it.
    """
    layout = _blocks(n, groups, blocks)
    exists = jnp.zeros(n, jnp.int32).at[layout.block].set(1)
    partners = jnp.zeros(n, jnp.int32).at[layout.kind].add(exists)
    return jnp.zeros(n, bool).at[layout.rows].set(partners[layout.kind[layout.block]] > 1)


def null_distribution(
    statistic_fn: Callable[[Int[AnyArray, " n"]], Scalar],
    *,
    n: int,
    groups: Int[AnyArray, " n"] | None = None,
    blocks: Int[AnyArray, " n"] | None = None,
    num_permutations: int,
    key: TypedKey,
    batch_size: int = 1,
) -> Float[Array, " {num_permutations}"]:
    """Compute a statistic of random permutations: the general form, for one that need not start afresh every time.

    Args:
        statistic_fn: Function of a permutation of the rows, given as row indices.
        n: Number of rows (static).
        groups: Labels within which rows are permuted; all rows together when absent.
        blocks: Labels of rows that move together, as in `permutation`.
        num_permutations: Number of draws (static).
        key: Typed key. Draw i uses `fold_in(key, i)`.
        batch_size: Draws computed at once (static).

    Returns:
        The statistic of each draw.
    """
    check_key(key)
    check_count("num_permutations", num_permutations)
    layout = None if blocks is None else _blocks(n, groups, blocks)

    def draw(i: Int[Array, ""]) -> Scalar:
        one = jax.random.fold_in(key, i)
        return statistic_fn(permutation(one, n=n, groups=groups) if layout is None else _permuted(one, layout))

    return map_rows(draw, jnp.arange(num_permutations, dtype=jnp.int32), batch_size=batch_size)


def fewest_permutations(level: float) -> int:
    """Compute the number of permutations below which no p-value can be as small as a level.

    Args:
        level: Significance level, between 0 and 1.

    Returns:
        ⌈1 / level⌉ − 1.

    Example:
        >>> from platonic_jax import statistics
        >>> statistics.fewest_permutations(0.05)
        19
    """
    check_fraction("level", level)
    return math.ceil(round(1 / level, 9)) - 1


def permutation_test(
    fn: Callable[[Float[Array, "n p"], Float[Array, "n q"]], Scalar],
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "n q"],
    *,
    groups: Int[AnyArray, " n"] | None = None,
    blocks: Int[AnyArray, " n"] | None = None,
    num_permutations: int,
    key: TypedKey,
    alternative: str = "greater",
    level: float = 0.05,
    batch_size: int = 1,
) -> PermutationTest:
    """Test whether the pairing of the rows of two embeddings matters, by permuting the rows of one of them.

    A permutation must exchange what is exchangeable if the null hypothesis holds:

    - Neither labels: rows that are independent of each other.
    - `blocks=structure_index`: whole structures, among those with equally many rows. For embeddings of atoms, whose
      rows are not independent within a crystal.
    - `groups=species`: single rows within each group; only where rows of a group are independent. Embeddings of atoms
      are not: 96 % or more of their variance within an element lies between crystals.
    - Both: do the embeddings agree beyond the element? Within each element the atoms of one structure are exchanged
      with equally many of another. That is exact for one element. Elements of one crystal depend on each other, which
      exchanging them one by one does not keep: so `fn` is computed and tested for each group of rows by itself, and
      `combined_test` combines the groups, whatever their dependence. The labels must then be concrete arrays. `value`,
      `null` and `effect` are those of all rows.

    A measure that does not depend on the pairing (`metrics.sinkhorn_divergence`) is its own null.

    Args:
        fn: Measure, a function of `x` and `y`.
        x: First embedding.
        y: Second embedding of the same rows; its rows are permuted.
        groups: Labels within which rows are permuted; all rows together when absent.
        blocks: Labels of rows that move together.
        num_permutations: Number of draws (static).
        key: Typed key. Draw i uses `fold_in(key, i)`.
        alternative: Which values count as extreme (static): `"greater"` or `"less"`.
        level: Significance level that the p-value must be able to reach (static).
        batch_size: Draws computed at once (static).

    Returns:
        Value, null, p-value and effect. The p-value is (1 + number at least as extreme) / (1 + number of draws); NaN
        where the value or a draw is, or where fewer than 1 / level arrangements exist.

    Raises:
        ValueError: If no p-value of so few permutations can reach the level, or the rows do not pair.

    Reference:
        Phipson & Smyth, Permutation p-values should never be zero, Stat. Appl. Genet. Mol. Biol. 9, 39 (2010). Blocks:
        Winkler et al., Multi-level block permutation, NeuroImage 123, 253 (2015).
    """
    check_choice("alternative", alternative, ALTERNATIVES)
    x, y = as_float(x), as_float(y)
    check_paired(x, y)
    check_count("num_permutations", num_permutations)
    if num_permutations < (fewest := fewest_permutations(level)):
        raise ValueError(
            f"`num_permutations` = {num_permutations} permutations cannot reach p ≤ {level:g}; use at least {fewest}."
        )
    n = x.shape[0]
    value = fn(x, y)
    null = null_distribution(
        lambda order: fn(x, y[order]),
        n=n,
        groups=groups,
        blocks=blocks,
        num_permutations=num_permutations,
        key=key,
        batch_size=batch_size,
    )
    movable = jnp.mean(movable_rows(n, groups=groups, blocks=blocks).astype(null.dtype))
    if groups is None or blocks is None:
        p_value = _p_value(value, null, alternative=alternative)
        if not isinstance(blocks, Tracer) and not isinstance(groups, Tracer):
            p_value = jnp.where(_enough(n, groups, blocks, level), p_value, jnp.nan)
    else:
        p_value = _p_value_of_groups(
            fn, x, y, np.asarray(groups), np.asarray(blocks), num_permutations, key, alternative, level, batch_size
        )
    return PermutationTest(value, null, p_value, value - jnp.mean(null), movable)


def arrangements(groups: Int[np.ndarray, " n"], blocks: Int[np.ndarray, " n"]) -> dict[int, float]:
    """Count, for each group, the arrangements among which its permutations choose.

    Args:
        groups: Label of the group of each row.
        blocks: Label of the block of each row.

    Returns:
        Group → natural logarithm of the number of orders of its blocks.
    """
    pairs, sizes = np.unique(np.stack([groups, blocks]), axis=1, return_counts=True)
    kinds, counts = np.unique(np.stack([pairs[0], sizes]), axis=1, return_counts=True)
    logs = np.array([math.lgamma(count + 1) for count in counts.tolist()])
    return {int(group): float(logs[kinds[0] == group].sum()) for group in np.unique(groups).tolist()}


def _enough(n: int, groups: object, blocks: object, level: float) -> bool:
    """Test whether there are enough arrangements for a p-value as small as the level."""
    group = np.zeros(n, np.int64) if groups is None else np.asarray(groups)
    block = np.arange(n) if blocks is None else np.asarray(blocks)
    return sum(arrangements(group, block).values()) >= -math.log(level) - 1e-9


def _p_value_of_groups(
    fn: Callable[..., Scalar],
    x: Array,
    y: Array,
    groups: np.ndarray,
    blocks: np.ndarray,
    num_permutations: int,
    key: TypedKey,
    alternative: str,
    level: float,
    batch_size: int,
) -> Scalar:
    values, nulls, weights = [], [], []
    for group, log_number in arrangements(groups, blocks).items():
        rows = np.flatnonzero(groups == group)
        if log_number < -math.log(level) - 1e-9:
            continue
        try:
            value, null = _group_draws(
                x[rows],
                y[rows],
                jnp.asarray(np.unique(blocks[rows], return_inverse=True)[1].astype(np.int32)),
                jax.random.fold_in(key, int(rows[0])),
                fn=fn,
                num_permutations=num_permutations,
                batch_size=batch_size,
            )
        except ValueError as error:
            if "`" not in str(error):
                raise
            continue  # The measure refuses so few rows, such as fewer than neighbours are asked for.
        values.append(value)
        nulls.append(null)
        weights.append(len(np.unique(blocks[rows])))
    if not values:
        return jnp.full((), jnp.nan, x.dtype)
    sign = 1 if alternative == "greater" else -1
    values, null = sign * jnp.stack(values), sign * jnp.stack(nulls, axis=1)
    return combined_test(values, null, weights=jnp.asarray(weights, null.dtype)).p_value


# Compiled once for each measure and number of rows: elements that differ in both are compiled one by one.
@partial(jax.jit, static_argnames=("fn", "num_permutations", "batch_size"))
def _group_draws(
    x: Array, y: Array, blocks: Array, key: TypedKey, *, fn: Callable, num_permutations: int, batch_size: int
) -> tuple[Scalar, Array]:
    null = null_distribution(
        lambda order: fn(x, y[order]),
        n=x.shape[0],
        blocks=blocks,
        num_permutations=num_permutations,
        key=key,
        batch_size=batch_size,
    )
    return fn(x, y), null


def combined_test(
    values: Float[Array, " g"], null: Float[Array, "num_permutations g"], *, weights: Float[Array, " g"]
) -> CombinedTest:
    """Combine permutation tests of several groups that may depend on each other in any way.

    Each group is tested exactly by its own permutations, but the draws of different groups are independent of each
    other, and what is observed need not be: elements of one crystal share its lattice. So the groups' mean is compared
    with the most dispersed null that agrees with every group's: the comonotonic one, in which all groups have their
    largest value together, then their second largest, and so on. Values are standardised within each group by mean and
    standard deviation over the draws and the observed value, which are exchangeable under the null hypothesis.

    Exact where the groups rise and fall together, conservative where they are independent of each other; measured rates
    of false positives are in the guide.

    Args:
        values: Statistic of each group; larger is more extreme.
        null: The same of each draw. A group that is undefined, or constant over all draws, counts as 0.
        weights: Weight of each group in the mean, such as its number of blocks.

    Returns:
        The test of all groups, and the p-value of each.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from platonic_jax import statistics
        >>> null = jax.random.normal(jax.random.key(0), (99, 5))
        >>> round(float(statistics.combined_test(jnp.full(5, 4.0), null, weights=jnp.ones(5)).p_value), 4)
        0.01

    Reference:
        Comonotonic sums: Dhaene et al., The concept of comonotonicity in actuarial science and finance: theory,
        Insurance: Mathematics and Economics 31, 3 (2002), §5. Combining dependent tests otherwise: Liu & Xie, Cauchy
        combination test, J. Am. Stat. Assoc. 115, 393 (2020).
    """
    z = _standardised(jnp.concatenate([values[None], null]))
    p_values = jax.vmap(lambda value, draws: _p_value(value, draws, alternative="greater"))(values, null.T)
    mean = matmul(z, (weights / jnp.sum(weights))[:, None])[0, 0]
    comonotone = _comonotone(z, weights)
    return CombinedTest(mean, comonotone, _rank_p_value(mean, comonotone), p_values)


def max_combined(
    values: Float[Array, "l g"], null: Float[Array, "num_permutations l g"], *, weights: Float[Array, " g"]
) -> Float[Array, " l"]:
    """Test each of l alternatives, such as pairs of layers, in g groups, corrected for having chosen among them.

    The maximum over alternatives of the groups' mean is at most the groups' mean of their maxima, whose comonotonic
    null is that of `combined_test`.

    Args:
        values: Statistic of each alternative in each group; larger is more extreme.
        null: The same of each draw, the draw of a group being the same for all alternatives.
        weights: Weight of each group in the mean.

    Returns:
        Corrected p-value of each alternative.

    Reference:
        Westfall & Young, Resampling-based Multiple Testing (1993), §2.3: single step, max T.
    """
    z = _standardised(jnp.concatenate([values[None], null]))
    comonotone = _comonotone(jnp.max(z, axis=1), weights)
    means = matmul(z[0], (weights / jnp.sum(weights))[:, None])[:, 0]
    return jax.vmap(lambda mean: _rank_p_value(mean, comonotone))(means)


def _standardised(pooled: Float[Array, "d ..."]) -> Float[Array, "d ..."]:
    """Values and draws, the observed ones first, in standard deviations from their mean; 0 where that is undefined."""
    centred = pooled - jnp.mean(pooled, axis=0, keepdims=True)
    deviation = jnp.sqrt(jnp.mean(centred**2, axis=0, keepdims=True))
    # Draws that differ by rounding alone do not differ.
    resolution = 8 * jnp.finfo(pooled.dtype).eps * jnp.max(jnp.abs(pooled), axis=0, keepdims=True)
    defined = deviation > resolution
    return jnp.where(defined, centred / jnp.where(defined, deviation, 1), 0)


def _comonotone(z: Float[Array, "d g"], weights: Float[Array, " g"]) -> Float[Array, " draws"]:
    """Weighted means over groups of their values of equal rank, the largest first."""
    return matmul(jnp.sort(z, axis=0, descending=True), (weights / jnp.sum(weights))[:, None])[:, 0]


def _rank_p_value(value: Scalar, pooled: Float[Array, " draws"]) -> Scalar:
    """Fraction at least as large, of draws among which the observed one is counted."""
    tolerance = 1e-4 * jnp.max(jnp.abs(pooled))
    return jnp.mean((pooled >= value - tolerance).astype(pooled.dtype))


def _p_value(value: Scalar, null: Float[Array, " d"], *, alternative: str) -> Scalar:
    extreme = null >= value if alternative == "greater" else null <= value
    p_value = (1 + jnp.sum(extreme.astype(null.dtype))) / (1 + null.shape[0])
    return jnp.where(jnp.isnan(value) | jnp.any(jnp.isnan(null)), jnp.nan, p_value)


def max_corrected(
    values: Float[Array, " l"], null: Float[Array, "num_permutations l"], *, alternative: str = "greater"
) -> MaxTest:
    """Test the best of l alternatives, such as layers, against the maximum over all of them in each permutation.

    The best of many values is high by selection alone, so it is compared with the best value of each shuffled pairing.
    The alternatives must have been computed for the same permutations: then the correction takes their dependence into
    account, and costs little where they are alike. They are compared as they are, so one whose null lies higher than
    that of the others counts more in the maximum.

    Args:
        values: The measure of each alternative.
        null: The measure of each alternative under each permutation, as from `null_distribution` with the same key.
        alternative: Which values count as extreme (static): `"greater"` or `"less"`.

    Returns:
        The most extreme value, its null and its p-value, which is uniform where no alternative knows anything; and the
        p-value of every alternative, so corrected. NaN values make them NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import statistics
        >>> null = jnp.array([[0.1, 0.3], [0.2, 0.1], [0.4, 0.0]])
        >>> test = statistics.max_corrected(jnp.array([0.35, 0.2]), null)
        >>> int(test.best), float(test.p_value)
        (0, 0.5)

    Reference:
        Westfall & Young, Resampling-based Multiple Testing (1993), §2.3: single step, max T.
    """
    check_choice("alternative", alternative, ALTERNATIVES)
    greater = alternative == "greater"
    best = jnp.argmax(values) if greater else jnp.argmin(values)
    most = jnp.max(null, axis=1) if greater else jnp.min(null, axis=1)
    p_values = jax.vmap(lambda value: _p_value(value, most, alternative=alternative))(values)
    return MaxTest(values[best], best, most, p_values[best], p_values)


class _Clusters(NamedTuple):
    """Rows laid out cluster by cluster: those of cluster c are `order[start[c] : start[c] + size[c]]`."""

    order: Int[Array, " n"]
    start: Int[Array, " n"]
    size: Int[Array, " n"]
    number: Int[Array, ""]


def _lay_out(labels: Int[Array, " n"]) -> _Clusters:
    n, labels = labels.shape[0], jnp.asarray(labels)
    order = jnp.argsort(labels, stable=True).astype(jnp.int32)
    ordered = labels[order]
    rank = jnp.cumsum(jnp.concatenate([jnp.zeros(1, bool), ordered[1:] != ordered[:-1]]), dtype=jnp.int32)
    size = jnp.zeros(n, jnp.int32).at[rank].add(1)
    return _Clusters(order, jnp.cumsum(size, dtype=jnp.int32) - size, size, rank[-1] + 1)


def _resample(key: TypedKey, clusters: _Clusters) -> Int[Array, " n"]:
    n = clusters.order.shape[0]
    drawn = jax.random.randint(key, (n,), 0, clusters.number)  # Each has at least one row: enough to fill n rows.
    end = jnp.cumsum(clusters.size[drawn], dtype=jnp.int32)
    row = jnp.arange(n, dtype=jnp.int32)
    draw = jnp.searchsorted(end, row, side="right")
    offset = row - (end - clusters.size[drawn])[draw]
    return clusters.order[clusters.start[drawn[draw]] + offset]


def resample_index(key: TypedKey, clusters: Int[Array, " n"]) -> Int[Array, " n"]:
    """Rows of one bootstrap sample: whole clusters, drawn with replacement until as many rows are filled as there were.

    The number of rows stays fixed, so that everything compiles once; the last cluster drawn may be cut short.

    Args:
        key: Typed key.
        clusters: Label of the cluster of each row, such as its structure. Rows of a cluster need not be neighbours.

    Returns:
        Row indices: `x[index]` is the resampled array.
    """
    check_key(key)
    return _resample(key, _lay_out(clusters))


def resample_weights(key: TypedKey, clusters: Int[Array, " n"]) -> Float[Array, " n"]:
    """Count how often each row occurs in the bootstrap sample of `resample_index`.

    For a statistic that takes weights of its rows: no row is moved, so what was computed once for each stays valid.

    Args:
        key: Typed key.
        clusters: Label of the cluster of each row, such as its structure.

    Returns:
        Whole numbers whose sum is n, in the default float dtype: weighted by them, rows count as `x[index]` would.
    """
    return jnp.zeros(clusters.shape[0]).at[resample_index(key, clusters)].add(1)


def bootstrap_weights(
    key: TypedKey, clusters: Int[Array, " n"], *, num_bootstraps: int
) -> Float[Array, "{num_bootstraps} n"]:
    """Count how often each row occurs in each bootstrap sample, for statistics that are sums over rows.

    Args:
        key: Typed key. Draw i uses `fold_in(key, i)`.
        clusters: Label of the cluster of each row, such as its structure.
        num_bootstraps: Number of draws (static).

    Returns:
        The weights of `resample_weights`, one draw a row.
    """
    check_key(key)
    check_count("num_bootstraps", num_bootstraps)
    draw = lambda i: resample_weights(jax.random.fold_in(key, i), clusters)
    return map_rows(draw, jnp.arange(num_bootstraps))


def subsample_index(key: TypedKey, clusters: Int[Array, " n"], *, num_rows: int) -> Int[Array, " {num_rows}"]:
    """Rows of whole clusters, drawn without replacement until `num_rows` are filled; the last may be cut short.

    For measures of neighbours, which a bootstrap misleads: no row stands beside a copy of itself. With half of the
    rows, a statistic spreads over draws as it does over samples as large as the whole.

    Args:
        key: Typed key.
        clusters: Label of the cluster of each row, such as its structure.
        num_rows: Number of rows (static), at most n.

    Returns:
        Row indices, each at most once.

    Reference:
        Politis, Romano & Wolf, Subsampling (1999), §2; with half of the rows: Shao & Wu, A general theory for jackknife
        variance estimation, Ann. Stat. 17, 1176 (1989).
    """
    check_key(key)
    n = clusters.shape[0]
    check_count("num_rows", num_rows, most=n, bound="the number of rows n", fix="ask for fewer rows")
    layout = _lay_out(clusters)
    # A place in line for each cluster: those that hold no row come last.
    place = jax.random.permutation(key, n)
    place = jnp.where(layout.size > 0, place, n)
    rank_of_row = jnp.repeat(jnp.arange(n, dtype=jnp.int32), layout.size, total_repeat_length=n)
    return layout.order[jnp.argsort(place[rank_of_row], stable=True)][:num_rows]


def cluster_error(influence: Float[Array, " n"], *, clusters: Int[Array, " n"]) -> Scalar:
    """Standard error of a statistic over whole clusters, from one evaluation: the infinitesimal jackknife.

    With influence i the derivative of the statistic by the weight of row i, error = √(c / (c − 1) Σ (I − Ī)²), where I
    is the sum of influences over each of c clusters: what a bootstrap over clusters tends to for many of them, without
    its draws. The statistic must be smooth in the weights; for a mean over rows, influence i is (value i − mean) / n.

    Args:
        influence: Derivative of the statistic by the weight of each row, at weights of 1.
        clusters: Label of the cluster of each row, such as its structure.

    Returns:
        From 0 upwards, in units of the statistic. NaN for a single cluster.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import statistics
        >>> values = jnp.array([1.0, 1.0, 3.0, 3.0, 5.0, 5.0])
        >>> influence = (values - values.mean()) / 6
        >>> round(float(statistics.cluster_error(influence, clusters=jnp.array([0, 0, 1, 1, 2, 2]))), 4)
        1.1547

    Reference:
        Jaeckel, The infinitesimal jackknife, Bell Laboratories MM 72-1215-11 (1972); Davison & Hinkley, Bootstrap
        Methods and their Application (1997), §2.7.
    """
    layout = _lay_out(clusters)
    n = layout.order.shape[0]
    rank_of_row = jnp.repeat(jnp.arange(n, dtype=jnp.int32), layout.size, total_repeat_length=n)
    sums = jnp.zeros_like(influence).at[rank_of_row].add(influence[layout.order])
    number = layout.number.astype(influence.dtype)
    deviations = jnp.where(layout.size > 0, sums - jnp.sum(sums) / number, 0)
    return jnp.sqrt(number / (number - 1) * jnp.sum(deviations**2))


def bootstrap(
    fn: Callable[..., Scalar],
    *arrays: Array,
    clusters: Int[Array, " n"],
    num_bootstraps: int,
    key: TypedKey,
    level: float = 0.95,
    batch_size: int = 1,
) -> Bootstrap:
    """Percentile interval of a statistic of rows, from resampling whole clusters of them.

    The atoms of one crystal are not independent: resampled one by one they would promise an interval that is too
    narrow.

    For a measure that is a mean over rows, pass its per-row values and `jax.numpy.mean`. It is cheaper, and for
    measures of neighbours it is the only right way, others being refused: among resampled rows, an atom's nearest
    neighbours are its own copies.

    Args:
        fn: Function of the arrays, returning a scalar.
        *arrays: Arrays with the same n rows, resampled together.
        clusters: Label of the cluster of each row, such as its structure.
        num_bootstraps: Number of draws (static).
        key: Typed key. Draw i uses `fold_in(key, i)`.
        level: Share of the draws inside the interval (static), between 0 and 1.
        batch_size: Draws computed at once (static).

    Returns:
        Value, interval and draws. NaN draws make the interval NaN. A statistic that grows with repeated rows, as
        alignment does where columns are not few beside rows, is biased upwards in the draws, and so is its interval.

    Raises:
        ValueError: If `fn` searches for neighbours.

    Reference:
        Davison & Hinkley, Bootstrap Methods and their Application (1997), §3.8; Field & Welsh, Bootstrapping clustered
        data, J. R. Stat. Soc. B 69, 369 (2007).
    """
    check_key(key)
    check_count("num_bootstraps", num_bootstraps)
    check_fraction("level", level)
    layout = _lay_out(clusters)
    arrays = tuple(jnp.asarray(array) for array in arrays)

    def draw(i: Int[Array, ""]) -> Scalar:
        index = _resample(jax.random.fold_in(key, i), layout)
        return fn(*(array[index] for array in arrays))

    with resampled_rows("pass `metrics.mutual_knn_rows` of the rows as they are, and `jax.numpy.mean`, for example"):
        draws = map_rows(draw, jnp.arange(num_bootstraps), batch_size=batch_size)
    tail = (1 - level) / 2
    low, high = jnp.quantile(draws, jnp.array([tail, 1 - tail], draws.dtype))
    return Bootstrap(fn(*arrays), low, high, draws)
