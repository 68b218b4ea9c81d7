"""What a value of a measure is worth: permutation nulls, and intervals from resampling whole clusters of rows.

A measure is handed over as a function of arrays, whichever it is; or, where it need not start afresh every time, the
draws themselves are: permutations, and how often each row is drawn. Draw i depends on `fold_in(key, i)` alone, so
results do not change with the number of draws asked for, nor with how many are computed at once.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from platonic_jax._checks import check_choice, check_count, check_fraction, check_key, check_paired
from platonic_jax._typing import Scalar, TypedKey
from platonic_jax.numerics import map_rows

__all__ = [
    "Bootstrap",
    "MaxTest",
    "PermutationTest",
    "bootstrap",
    "bootstrap_weights",
    "cluster_error",
    "max_corrected",
    "null_distribution",
    "permutation",
    "permutation_test",
    "permutations",
    "resample_index",
    "resample_weights",
    "subsample_index",
]

ALTERNATIVES = ("greater", "less")


class PermutationTest(NamedTuple):
    """A value beside what it would be by chance.

    Attributes:
        value: () the measure of the rows as they are paired.
        null: (num_permutations,) the measure of shuffled pairings.
        p_value: () share of pairings at least as extreme, the given one among them: from 1 / (1 + num_permutations)
            to 1.
    """

    value: Scalar
    null: Float[Array, " num_permutations"]
    p_value: Scalar


class Bootstrap(NamedTuple):
    """A value beside the interval in which it would fall for other samples of as many clusters.

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
    """The best of several alternatives, beside the best that chance would have offered.

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


def permutation(key: TypedKey, *, n: int, groups: Int[Array, " n"] | None = None) -> Int[Array, " {n}"]:
    """One random order of n rows, uniform over all orders, or over those that keep every row within its group.

    Args:
        key: Typed key.
        n: Number of rows (static).
        groups: Label of the group of each row, such as its element. One group when absent.

    Returns:
        Row indices: `y[permutation]` is the shuffled array.
    """
    check_key(key)
    shuffled = jax.random.permutation(key, n).astype(jnp.int32)
    if groups is None:
        return shuffled
    groups = jnp.asarray(groups)
    # Sorted by group, the shuffled rows and the rows in their places list the same groups: match them one to one.
    places = jnp.argsort(groups, stable=True)
    return jnp.zeros_like(shuffled).at[places].set(shuffled[jnp.argsort(groups[shuffled], stable=True)])


def permutations(
    key: TypedKey,
    *,
    n: int,
    groups: Int[Array, " n"] | None = None,
    num_permutations: int,
    first: int | Int[Array, ""] = 0,
) -> Int[Array, "{num_permutations} {n}"]:
    """The draws of a permutation null: the one place where they are made, so that all who ask get the same ones.

    Args:
        key: Typed key. Draw i uses `fold_in(key, i)`.
        n: Number of rows (static).
        groups: Labels within which rows are shuffled; all rows together when absent.
        num_permutations: Number of draws (static).
        first: Number of the first draw. Where all of them would not fit, they can be made again a few at a time.

    Returns:
        Row indices, one permutation a row.
    """
    check_key(key)
    check_count("num_permutations", num_permutations)
    draw = lambda i: permutation(jax.random.fold_in(key, i), n=n, groups=groups)
    return map_rows(draw, first + jnp.arange(num_permutations, dtype=jnp.int32))


def null_distribution(
    statistic_fn: Callable[[Int[Array, " n"]], Scalar],
    *,
    n: int,
    groups: Int[Array, " n"] | None = None,
    num_permutations: int,
    key: TypedKey,
    batch_size: int = 1,
) -> Float[Array, " {num_permutations}"]:
    """A statistic of random permutations: the general form, for a statistic that need not start afresh every time.

    Args:
        statistic_fn: Function of a permutation of the rows, given as row indices.
        n: Number of rows (static).
        groups: Labels within which rows are shuffled; all rows together when absent.
        num_permutations: Number of draws (static).
        key: Typed key. Draw i uses `fold_in(key, i)`.
        batch_size: Draws computed at once (static).

    Returns:
        The statistic of each draw.
    """
    check_count("num_permutations", num_permutations)

    def draw(i: Int[Array, ""]) -> Scalar:
        return statistic_fn(permutations(key, n=n, groups=groups, num_permutations=1, first=i)[0])

    return map_rows(draw, jnp.arange(num_permutations, dtype=jnp.int32), batch_size=batch_size)


def permutation_test(
    fn: Callable[[Float[Array, "n p"], Float[Array, "n q"]], Scalar],
    x: Float[Array, "n p"],
    y: Float[Array, "n q"],
    *,
    groups: Int[Array, " n"] | None = None,
    num_permutations: int,
    key: TypedKey,
    alternative: str = "greater",
    batch_size: int = 1,
) -> PermutationTest:
    """Is the pairing of the rows of two embeddings worth anything? Compares with shuffled pairings.

    Shuffled over all rows, the null is that the embeddings know nothing of each other. Shuffled within groups, it is
    that they agree on the groups and on nothing else: with `groups` the elements, two models that only tell the
    elements apart fall inside it. A measure that does not depend on the pairing (`metrics.sinkhorn_divergence`) is
    its own null.

    Args:
        fn: Measure, a function of `x` and `y`.
        x: First embedding.
        y: Second embedding of the same rows; its rows are shuffled.
        groups: Labels within which rows are shuffled; all rows together when absent.
        num_permutations: Number of draws (static).
        key: Typed key. Draw i uses `fold_in(key, i)`.
        alternative: Which values count as extreme (static): `"greater"` or `"less"`.
        batch_size: Draws computed at once (static).

    Returns:
        Value, null and p-value (1 + number at least as extreme) / (1 + number of draws). NaN values make it NaN.

    Reference:
        Phipson & Smyth, Permutation p-values should never be zero, Stat. Appl. Genet. Mol. Biol. 9, 39 (2010).
    """
    check_choice("alternative", alternative, ALTERNATIVES)
    check_paired(x, y)
    x, y = jnp.asarray(x), jnp.asarray(y)
    value = fn(x, y)
    null = null_distribution(
        lambda order: fn(x, y[order]),
        n=x.shape[0],
        groups=groups,
        num_permutations=num_permutations,
        key=key,
        batch_size=batch_size,
    )
    return PermutationTest(value, null, _p_value(value, null, alternative=alternative))


def _p_value(value: Scalar, null: Float[Array, " d"], *, alternative: str) -> Scalar:
    extreme = null >= value if alternative == "greater" else null <= value
    p_value = (1 + jnp.sum(extreme.astype(null.dtype))) / (1 + null.shape[0])
    return jnp.where(jnp.isnan(value) | jnp.any(jnp.isnan(null)), jnp.nan, p_value)


def max_corrected(
    values: Float[Array, " l"], null: Float[Array, "num_permutations l"], *, alternative: str = "greater"
) -> MaxTest:
    """Is the best of l alternatives, such as the layers of a network, better than the best that chance would offer?

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
    """How often each row stands in the bootstrap sample of `resample_index`.

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
    """How often each row stands in each sample of a bootstrap, for statistics that are sums over rows.

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
    check_count("num_rows", num_rows, most=n, of="the number of rows n", fix="ask for fewer rows")
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
    measures of neighbours it is the only right way: in a resampled cloud, an atom's nearest neighbours are its own
    copies.

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

    draws = map_rows(draw, jnp.arange(num_bootstraps), batch_size=batch_size)
    tail = (1 - level) / 2
    low, high = jnp.quantile(draws, jnp.array([tail, 1 - tail], draws.dtype))
    return Bootstrap(fn(*arrays), low, high, draws)
