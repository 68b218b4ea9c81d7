"""The only home of centring, normalising, matrix products, distances, neighbours and principal components.

Two rules are kept here so that no other module has to think of them:

- *Centre, then multiply, in full precision.* An embedding is often a small spread around a large offset, and the
  product of uncentred rows spends its digits on the offset; on a GPU, JAX's default float32 product keeps ten bits.
- *Nothing allocates n × n.* Work that is quadratic in the rows goes through `map_rows`, a block of rows at a time, and
  its result does not depend on the size of the block.

Rows may lie on many devices: those of `shard_rows` go through every function here and in `metrics` as other arrays do,
sums over rows being completed between devices; a search for neighbours is divided among them by its `mesh`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import cho_solve
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike

from platonic_jax import _memory
from platonic_jax._checks import check_choice, check_count, check_same_width
from platonic_jax._typing import AnyArray, Flag, Numeric, TypedKey

__all__ = [
    "PCA",
    "as_float",
    "centre",
    "is_degenerate",
    "map_rows",
    "matmul",
    "neighbours",
    "normalise",
    "pca",
    "polar_factor",
    "resampled_rows",
    "ridge_solve",
    "row_mesh",
    "rows_per_tile",
    "safe_norm",
    "safe_sqrt",
    "shard_rows",
    "squared_distances",
    "squared_norm",
]


def __dir__() -> list[str]:
    return __all__


METRICS = ("cosine", "l2", "inner")

_COLUMNS = 2**16  # Of the largest tile of a search for neighbours; its rows fill a block.
_SPARE = 24  # Candidates kept beyond those asked for, against the rounding of the coarse pass.
_GROUP = 64  # Columns that share one maximum in the coarse pass, at most; a power of two.
_ROWS = "rows"  # The axis of a mesh.
# Set while rows are resampled: what to do in place of searching them for neighbours.
_RESAMPLED: ContextVar[str | None] = ContextVar("resampled", default=None)


def as_float(x: Numeric[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
    """Convert to the dtype that everything here is computed in: float64 stays, all other real numbers become float32.

    Integers, booleans, bfloat16 and float16 are so computed, and returned, in float32. Without
    `jax_enable_x64` there is no float64, and numpy's becomes float32 as in all of JAX.

    Args:
        x: Real numbers or booleans, of JAX or numpy.

    Returns:
        The numbers, as a JAX array of float32 or float64.

    Raises:
        ValueError: If the numbers are complex.
    """
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise ValueError(f"Arrays must be real, got one of {x.dtype}: pass real and imaginary parts as columns.")
    return x if x.dtype in (jnp.float32, jnp.float64) else x.astype(jnp.float32)


def is_degenerate(x: Numeric[AnyArray, "n p"]) -> Flag:
    """Test whether rows have no geometry: one is not finite, or all are equal to within rounding.

    Neighbours, angles and alignments of such rows are those of rounding, and every measure of them is NaN.

    Args:
        x: Rows.

    Returns:
        True where a row is not finite, or no entry differs from that of the first row by more than 4 units in the last
        place of the largest entry.
    """
    x = as_float(x)
    spread, largest = jnp.max(jnp.abs(x - x[:1])), jnp.max(jnp.abs(x))
    return ~((spread > 4 * float(jnp.finfo(x.dtype).eps) * largest) & jnp.isfinite(largest))


def matmul(x: Numeric[AnyArray, "*batch n p"], y: Numeric[AnyArray, "*batch p m"]) -> Float[Array, "*batch n m"]:
    """Matrix product in the full precision of its dtype, on every device."""
    x, y = as_float(x), as_float(y)
    return jnp.matmul(x, y, precision=lax.Precision.HIGHEST)


def centre(x: Numeric[AnyArray, "n p"], *, weights: Numeric[AnyArray, " n"] | None = None) -> Float[Array, "n p"]:
    """Subtract the mean of the columns.

    Args:
        x: Rows to centre.
        weights: Non-negative weight of each row in the mean, of any sum above zero. All rows alike when absent.

    Returns:
        The rows, whose columns have a (weighted) mean of zero.
    """
    x = as_float(x)
    return x - _mean(x, weights=None if weights is None else as_float(weights))


def _mean(x: Float[Array, "n p"], *, weights: Float[Array, " n"] | None = None) -> Float[Array, "1 p"]:
    """Mean row, and the mean of what is left added: the first pass errs in proportion to the offset of the cloud."""
    mean = jnp.zeros((1, x.shape[1]), x.dtype)
    for _ in range(2):
        rest = x - mean
        if weights is None:
            mean = mean + jnp.mean(rest, axis=0, keepdims=True)
        else:
            mean = mean + matmul(weights[None], rest) / jnp.sum(weights)
    return mean


def safe_sqrt(x: Numeric[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """Square root of numbers ≥ 0, with gradient zero, rather than infinite, at zero; NaN stays NaN."""
    x = as_float(x)
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0 * x)


def squared_norm(x: Numeric[AnyArray, "*batch p"]) -> Float[Array, "*batch"]:
    """Sum of squares along the last axis: as a product, which a CPU does ten times faster than the plain sum."""
    x = as_float(x)
    return jnp.matmul(x * x, jnp.ones(x.shape[-1], x.dtype), precision=lax.Precision.HIGHEST)


def safe_norm(x: Numeric[AnyArray, "*batch p"]) -> Float[Array, "*batch"]:
    """Euclidean norm along the last axis, with gradient zero, rather than NaN, at the zero vector."""
    x = as_float(x)
    return safe_sqrt(squared_norm(x))


def normalise(x: Numeric[AnyArray, "n p"]) -> Float[Array, "n p"]:
    """Divide each row by its Euclidean norm; zero rows stay zero, with gradient zero; NaN stays NaN."""
    x = as_float(x)
    norm = safe_norm(x)[:, None]
    return jnp.where(norm == 0, 0, x / jnp.where(norm == 0, 1, norm))  # So that NaN stays NaN.


def map_rows(row_fn: Callable[..., Any], rows: Any, *, batch_size: int | None = None) -> Any:
    """Apply a function of single rows to all rows, `batch_size` rows at a time.

    Args:
        row_fn: Function of one row: of an array without its leading axis, or of a pytree of such.
        rows: Array, or pytree of arrays, with a common leading axis.
        batch_size: Rows handled at once (static); 1 when absent. It sets the memory used, not the result.

    Returns:
        What `row_fn` returns, with a leading axis added.
    """
    if batch_size is not None:
        check_count("batch_size", batch_size)
    return lax.map(row_fn, rows, batch_size=batch_size)


def rows_per_tile(width: int) -> int:
    """Compute how many rows of `width` float32 numbers fill a block, one at least: a good `batch_size`.

    A block has 64 MiB, or less under a budget of memory below 4 GiB.
    """
    return max(1, _memory.block_bytes() // (4 * width))


def squared_distances(x: Numeric[AnyArray, "n p"], y: Numeric[AnyArray, "m p"]) -> Float[Array, "n m"]:
    """Squared Euclidean distance of every row of `x` to every row of `y`, in units of the columns squared.

    Both are moved by the mean of `y` first, so a common offset costs no digits. The one function here that returns a
    matrix over pairs of rows: for anchors, and for clouds thinned to a few thousand rows.
    """
    x, y = as_float(x), as_float(y)
    check_same_width("x", x, "y", y)
    mean = _mean(y)
    x, y = x - mean, y - mean
    squares = squared_norm(x)[:, None] + squared_norm(y)[None, :]
    return jnp.maximum(squares - 2 * matmul(x, y.T), 0)


@contextmanager
def resampled_rows(instead: str) -> Iterator[None]:
    """Refuse searches for neighbours while rows stand beside copies of themselves, and name what to do instead."""
    token = _RESAMPLED.set(instead)
    try:
        yield
    finally:
        _RESAMPLED.reset(token)


def row_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Devices in a line, among which rows are divided: all there are, of every process, when absent."""
    return Mesh(np.array(jax.devices() if devices is None else devices), (_ROWS,))


def shard_rows(x: ArrayLike, mesh: Mesh) -> Array:
    """Place equal parts of the rows of an array on the devices of a mesh.

    Args:
        x: Array whose first axis is rows; in every process the same.
        mesh: From `row_mesh`.

    Returns:
        The same array, distributed.

    Raises:
        ValueError: If the devices do not divide the rows.
    """
    x = np.asarray(x)
    if rest := x.shape[0] % mesh.size:
        raise ValueError(
            f"`x` must have a number of rows that {mesh.size} devices divide, got {x.shape[0]}: leave out {rest} rows, "
            "or use fewer devices."
        )
    return jax.make_array_from_callback(x.shape, NamedSharding(mesh, PartitionSpec(_ROWS)), lambda place: x[place])


def neighbours(
    x: Numeric[AnyArray, "n p"],
    *,
    num_neighbours: int,
    metric: str = "cosine",
    queries: Numeric[AnyArray, "m p"] | None = None,
    among: Bool[AnyArray, " n"] | None = None,
    exclude: Int[AnyArray, " n"] | None = None,
    key: TypedKey | None = None,
    batch_size: int | None = None,
    mesh: Mesh | None = None,
) -> tuple[Int[Array, "rows {num_neighbours}"], Float[Array, "rows {num_neighbours}"]]:
    """Find the rows of `x` nearest to each row of `x`, or to each of `queries`, nearest first.

    A row is never its own neighbour. It is masked by its index, so that an atom keeps the symmetry-equivalent atoms
    whose embeddings equal its own, unless `exclude` gives them its label.

    Among equal distances the lower row index comes first; with a `key`, the row that comes first in a random order of
    the rows, one order for the whole search. Lists of two embeddings are compared only under two independent keys:
    where more rows are equally near than the list has places, one order for both would make them agree.

    Two passes. The coarse one keeps 24 candidates more than asked for, from tiles of float32 distances between centred
    rows (a product and a partial sort; `lax.top_k` of float64 is a full sort on a CPU). The second orders the
    candidates by distances evaluated as differences in the dtype of `x`, so the result does not depend on
    `batch_size`. A neighbour could be missed only where more than 24 other rows lie as close as it does to within the
    rounding of the first pass: about 1e-7 of the squared spread of the whole cloud. Which of more than 24 rows at
    exactly equal distances are taken is decided by that rounding too, hence at random only with a `key`.

    Args:
        x: Rows to search.
        num_neighbours: Number of neighbours (static), at most n − 1, or n with `queries`.
        metric: `"cosine"`: 1 − cosine of the angle, from 0 to 2; a zero row is at distance 1/2 from all other rows.
            `"l2"`: Euclidean distance, in units of the columns. `"inner"`: minus the inner product, in their square; it
            is neither centred nor a distance, and depends on the origin.
        queries: Rows to find neighbours for; the rows of `x` themselves when absent.
        among: Which rows of `x` may be neighbours; all when absent.
        exclude: Label of each row, such as its structure; rows of the same label are not neighbours. Without `queries`
            only.
        key: Typed key of the order that breaks ties.
        batch_size: Rows handled at once (static), against tiles of 65,536 rows of `x`; by default those that fill a
            block of 64 MiB, 256, and fewer under a budget of memory below 4 GiB.
        mesh: Devices that share the work (static), from `row_mesh`: each searches all of `x` for a part of the rows.
            One device does it all when absent.

    Returns:
        Row indices of the neighbours (int32), and their distances, in increasing order of distance. Where `among` and
        `exclude` leave fewer rows than asked for, the last places hold index −1 and distance infinity. A row that has
        a NaN makes all distances NaN.

    Raises:
        ValueError: If `num_neighbours` exceeds the rows there are, `metric` is unknown, `exclude` comes with
            `queries`, or the rows are those of a bootstrap, whose nearest neighbours are their own copies.
    """
    if instead := _RESAMPLED.get():
        raise ValueError(f"a bootstrap repeats rows, and the nearest neighbours would be copies: {instead}.")
    return _neighbours(
        x,
        num_neighbours=num_neighbours,
        metric=metric,
        queries=queries,
        among=among,
        exclude=exclude,
        key=key,
        batch_size=rows_per_tile(_COLUMNS) if batch_size is None else batch_size,
        mesh=mesh,
    )


# Compiled here, once per shape: called as it is, the loop inside would be compiled anew every time.
@partial(jax.jit, static_argnames=("num_neighbours", "metric", "batch_size", "mesh"))
def _neighbours(
    x: Numeric[AnyArray, "n p"],
    *,
    num_neighbours: int,
    metric: str,
    queries: Numeric[AnyArray, "m p"] | None,
    among: Bool[AnyArray, " n"] | None,
    exclude: Int[AnyArray, " n"] | None,
    key: TypedKey | None,
    batch_size: int,
    mesh: Mesh | None,
) -> tuple[Int[Array, "rows {num_neighbours}"], Float[Array, "rows {num_neighbours}"]]:
    check_choice("metric", metric, METRICS)
    x = as_float(x)
    n = x.shape[0]
    most, bound = (n - 1, "the number of other rows, n − 1") if queries is None else (n, "the number of rows n")
    check_count("num_neighbours", num_neighbours, most=most, bound=bound, fix="ask for fewer neighbours")
    labels = jnp.arange(n, dtype=jnp.int32) if exclude is None else jnp.asarray(exclude)
    if queries is None:
        rows, own = x, labels
    elif exclude is None:
        rows = as_float(queries)
        check_same_width("x", x, "queries", rows)
        own = jnp.full(rows.shape[0], -1, jnp.int32)
    else:
        raise ValueError(
            "`exclude` must not come with `queries`, which have no labels: mark the rows that may be neighbours in "
            "`among`, or search `x` among itself."
        )
    if metric == "cosine":
        x, rows = normalise(x), normalise(rows)
    if metric != "inner":
        mean = _mean(x)
        x, rows = x - mean, rows - mean
    allowed = jnp.ones(n, bool) if among is None else jnp.asarray(among)
    order = None if key is None else jax.random.permutation(key, n).astype(jnp.int32)
    if order is not None:
        x, labels, allowed = x[order], labels[order], allowed[order]

    coarse = lax.stop_gradient(x).astype(jnp.float32)
    # Half the squared distance, less what is the same for all candidates of a row: ½|b|² − a·b.
    half_squares = jnp.zeros(n, jnp.float32) if metric == "inner" else squared_norm(coarse) / 2
    half_squares = jnp.where(allowed, half_squares, jnp.inf)
    num_tiles = -(-n // _COLUMNS)
    width = -(-n // (num_tiles * _GROUP)) * _GROUP
    filling = num_tiles * width - n
    tiles = (
        jnp.pad(coarse, ((0, filling), (0, 0))).reshape(num_tiles, width, -1),
        jnp.pad(half_squares, (0, filling), constant_values=jnp.inf).reshape(num_tiles, width),
        jnp.pad(labels, (0, filling)).reshape(num_tiles, width),
        jnp.minimum(jnp.arange(num_tiles * width, dtype=jnp.int32), n - 1).reshape(num_tiles, width),
    )
    num_candidates = min(num_neighbours + _SPARE, most)

    def nearest(x: Array, tiles: tuple[Array, ...], row_and_label: tuple[Array, Array]) -> tuple[Array, Array]:
        row, own = row_and_label
        low = lax.stop_gradient(row).astype(jnp.float32)[None]

        def search_tile(tile: tuple[Array, ...]) -> tuple[Array, Array]:
            rows, half_squares, labels, columns = tile
            closeness = jnp.where(labels == own, -jnp.inf, matmul(low, rows.T)[0] - half_squares)
            largest, place = _largest(closeness, min(num_candidates, width))
            return largest, columns[place]

        closeness, candidates = (largest.reshape(-1) for largest in lax.map(search_tile, tiles))
        if num_tiles > 1:
            closeness, place = lax.top_k(closeness, num_candidates)
            candidates = candidates[place]
        if metric == "inner":
            distance = -jnp.sum(x[candidates] * row[None], axis=1)
        else:
            distance = jnp.sum((x[candidates] - row[None]) ** 2, axis=1)
        if among is not None or exclude is not None:
            distance = jnp.where(closeness == -jnp.inf, jnp.inf, distance)
        distance = jnp.where(jnp.any(jnp.isnan(distance)), jnp.nan, distance)
        distance, index = lax.sort((distance, candidates), num_keys=2)
        return index[:num_neighbours], distance[:num_neighbours]

    def search(x: Array, tiles: tuple[Array, ...], rows: Array, own: Array) -> tuple[Array, Array]:
        return map_rows(partial(nearest, x, tiles), (rows, own), batch_size=batch_size)

    if mesh is None:
        index, distance = search(x, tiles, rows, own)
    else:
        everywhere, divided = PartitionSpec(), PartitionSpec(_ROWS)
        divide = jax.shard_map(
            search, mesh=mesh, in_specs=(everywhere, everywhere, divided, divided), out_specs=divided, check_vma=False
        )
        filling = (0, -rows.shape[0] % mesh.size)
        index, distance = divide(x, tiles, jnp.pad(rows, (filling, (0, 0))), jnp.pad(own, filling))
        index, distance = index[: rows.shape[0]], distance[: rows.shape[0]]
    if order is not None:
        index = order[index]
    if among is not None or exclude is not None:
        index = jnp.where(distance == jnp.inf, -1, index)
    if metric == "cosine":
        distance = distance / 2
    if metric == "l2":
        distance = safe_sqrt(distance)
    return index, distance


def _largest(values: Float[Array, " n"], count: int) -> tuple[Float[Array, " {count}"], Int[Array, " {count}"]]:
    """The `count` largest values and their indices, largest first; of equal ones, those with the lower index first.

    The largest values lie in those groups of consecutive columns whose maxima are largest, so only these groups need
    sorting: an exact result for a small part of the work. Groups are put back in order to keep the rule for ties.
    """
    size = _GROUP
    while size * size > 2 * values.shape[0] / count:  # About as many members to sort as maxima.
        size //= 2
    groups = -(-values.shape[0] // size)
    if groups <= count:
        return lax.top_k(values, count)
    padding = (0, groups * size - values.shape[0])
    grouped = jnp.pad(values, padding, constant_values=-jnp.inf).reshape(groups, size)
    chosen = jnp.sort(lax.top_k(jnp.max(grouped, axis=1), count)[1])
    members = (chosen[:, None] * size + jnp.arange(size, dtype=jnp.int32)[None]).reshape(-1)
    largest, place = lax.top_k(grouped[chosen].reshape(-1), count)
    return largest, members[place]


class PCA(NamedTuple):
    """Principal components of a cloud.

    Attributes:
        scores: (n, c) coordinates of the rows along the components, in units of the columns.
        components: (c, p) orthonormal directions, of falling variance, the largest entry of each positive.
        explained: (c,) fraction of the total variance along each, between 0 and 1; 0 for a cloud of equal rows.
    """

    scores: Float[Array, "n c"]
    components: Float[Array, "c p"]
    explained: Float[Array, " c"]


def pca(x: Numeric[AnyArray, "n p"], *, num_components: int) -> PCA:
    """Principal component analysis, from the p × p covariance of the centred rows.

    Args:
        x: Rows to analyse.
        num_components: Number of components (static), at most the number of columns.

    Returns:
        Scores, components and explained fractions. The signs are fixed, so equal input gives equal output; components
        of equal variance are any basis of their plane.
    """
    x = as_float(x)
    check_count(
        "num_components",
        num_components,
        most=x.shape[1],
        bound="the number of columns p",
        fix="ask for fewer components",
    )
    x = centre(x)
    variance, directions = jnp.linalg.eigh(matmul(x.T, x))
    components = directions[:, ::-1][:, :num_components].T
    largest = jnp.take_along_axis(components, jnp.argmax(jnp.abs(components), axis=1)[:, None], axis=1)
    components = jnp.where(largest < 0, -components, components)
    variance = jnp.maximum(variance[::-1], 0)
    total = jnp.sum(variance)
    explained = jnp.where(total > 0, variance[:num_components] / jnp.where(total > 0, total, 1), 0)
    return PCA(matmul(x, components.T), components, explained)


def ridge_solve(
    gram: Numeric[AnyArray, "d d"], target: Numeric[AnyArray, "d t"], *, ridge: float | Numeric[AnyArray, ""]
) -> Float[Array, "d t"]:
    """(G + ridge tr(G) 1)⁻¹ T; zero where G vanishes.

    Args:
        gram: Symmetric matrix without negative eigenvalues, such as XᵀX.
        target: Right-hand sides, such as XᵀY.
        ridge: Strength of the penalty, relative to the trace.

    Returns:
        The solutions; NaN where the ridge is too weak for the digits of the dtype.
    """
    gram, target = as_float(gram), as_float(target)
    trace = jnp.trace(gram)
    penalty = jnp.where(trace > 0, ridge * trace, 1)
    factor = jnp.linalg.cholesky(gram + penalty * jnp.eye(gram.shape[0], dtype=gram.dtype), symmetrize_input=False)
    return cho_solve((factor, True), target)


def polar_factor(x: Numeric[AnyArray, "p q"]) -> Float[Array, "p q"]:
    """Orthogonal factor U Vᵀ of a matrix with singular value decomposition U S Vᵀ.

    Its derivative is taken in the singular basis, where it divides by s_i + s_j. Through U and V themselves it would
    divide by s_i − s_j, and repeated singular values, as of isotropic or zero-padded clouds, would make it NaN.
    Directions in which the matrix vanishes have no polar factor of their own: there U Vᵀ is one of the possible
    completions, and the derivative is zero.

    Args:
        x: Any real matrix.

    Returns:
        The nearest matrix with orthonormal columns (rows, where p < q). Differentiable once.
    """
    return _polar_factor(as_float(x))


@jax.custom_jvp
def _polar_factor(x: Float[Array, "p q"]) -> Float[Array, "p q"]:
    u, _, vt = jnp.linalg.svd(x, full_matrices=False)
    return matmul(u, vt)


@_polar_factor.defjvp
def _polar_factor_jvp(
    primals: tuple[Float[Array, "p q"]], tangents: tuple[Float[Array, "p q"]]
) -> tuple[Float[Array, "p q"], Float[Array, "p q"]]:
    (x,), (dx,) = primals, tangents
    u, s, vt = jnp.linalg.svd(x, full_matrices=False)
    floor = s[0] * max(x.shape) * jnp.finfo(x.dtype).eps

    def over(numerator: Array, denominator: Array) -> Array:
        regular = denominator > floor
        return jnp.where(regular, numerator / jnp.where(regular, denominator, 1), 0)

    within = matmul(matmul(u.T, dx), vt.T)
    tangent = matmul(matmul(u, over(within - within.T, s[:, None] + s[None, :])), vt)
    # For a matrix that is not square, the part of dx outside its column space, and outside its row space.
    outside_columns = matmul(dx - matmul(u, matmul(u.T, dx)), vt.T)
    outside_rows = matmul(u.T, dx - matmul(matmul(dx, vt.T), vt))
    tangent = tangent + matmul(over(outside_columns, s[None, :]), vt) + matmul(u, over(outside_rows, s[:, None]))
    return matmul(u, vt), tangent
