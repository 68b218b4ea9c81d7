"""Search for neighbours: of the tiles of rows that can hold one, and of all rows where that is not enough."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import sequential_vmap
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from platonic_jax._checks import check_choice, check_count, check_same_width
from platonic_jax._typing import AnyArray, Numeric, TypedKey
from platonic_jax.numerics import _tiles
from platonic_jax.numerics._arrays import (
    ROWS,
    as_float,
    map_rows,
    matmul,
    mean_row,
    normalise,
    rows_per_tile,
    safe_sqrt,
    squared_norm,
)
from platonic_jax.numerics._tiles import Queries, Searched, TiledQueries, Tiles

METRICS = ("cosine", "l2", "inner")

_COLUMNS = 2**16  # Of the largest block of a search of all rows.
_SPARE = 24  # Candidates kept beyond those asked for, against the rounding of the coarse pass.
_GROUP = 64  # Columns that share one maximum in the coarse pass, at most; a power of two.
# Set while rows are resampled: what to do in place of searching them for neighbours.
_RESAMPLED: ContextVar[str | None] = ContextVar("resampled", default=None)


@contextmanager
def resampled_rows(instead: str) -> Iterator[None]:
    """Refuse searches for neighbours while rows stand beside copies of themselves, and name what to do instead."""
    token = _RESAMPLED.set(instead)
    try:
        yield
    finally:
        _RESAMPLED.reset(token)


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

    Two passes. The coarse one keeps 24 candidates more than asked for, by float32 distances between centred rows. The
    second orders the candidates by distances evaluated as differences in the dtype of `x`, so the result does not
    depend on `batch_size`. A neighbour could be missed only where more than 24 other rows lie as close as it does to
    within the rounding of the first pass: about 1e-7 of the squared spread of the whole cloud. Which of more than 24
    rows at exactly equal distances are taken is decided by that rounding too, hence at random only with a `key`.

    The coarse pass visits every row, or, from about 16,000 rows on, only those tiles of rows that can hold a neighbour,
    as long as these are few: rows of atoms come in clusters. The neighbours are the same.

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
        batch_size: Rows handled at once (static) where every row is visited, against blocks of 65,536 rows of `x`; by
            default those that fill 64 MiB, 256, and fewer under a budget of memory below 4 GiB; on an accelerator 16
            times as many.
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
        batch_size=_queries_at_once() if batch_size is None else batch_size,
        mesh=mesh,
    )


def _queries_at_once() -> int:
    """Queries of a block of work; an accelerator is idle between blocks of 64 MiB."""
    return rows_per_tile(_COLUMNS) * (1 if jax.default_backend() == "cpu" else 16)


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
        mean = mean_row(x)
        x, rows = x - mean, rows - mean
    allowed = jnp.ones(n, bool) if among is None else jnp.asarray(among)
    order = None if key is None else jax.random.permutation(key, n).astype(jnp.int32)
    if order is not None:
        x, labels, allowed = x[order], labels[order], allowed[order]
        if queries is None:
            rows, own = x, labels
    coarse = lax.stop_gradient(x).astype(jnp.float32)
    # Half the squared distance, less what is the same for all candidates of a row: ½|b|² − a·b.
    half_squares = jnp.zeros(n, jnp.float32) if metric == "inner" else squared_norm(coarse) / 2
    find = partial(
        _candidates,
        num_neighbours=num_neighbours,
        num_candidates=min(num_neighbours + _SPARE, most),
        inner=metric == "inner",
        batch_size=batch_size,
        mesh=mesh,
    )
    # One after the other under `vmap`: in step, each search would take as long as the longest.
    candidates = sequential_vmap(find)(
        Searched(coarse, jnp.where(allowed, half_squares, jnp.inf), labels),
        None if queries is None else Queries(lax.stop_gradient(rows).astype(jnp.float32), own),
    )

    def distances(row_and_candidates: tuple[Array, Array]) -> tuple[Array, Array]:
        row, candidates = row_and_candidates
        if metric == "inner":
            distance = -jnp.sum(x[candidates] * row[None], axis=1)
        else:
            distance = jnp.sum((x[candidates] - row[None]) ** 2, axis=1)
        distance = jnp.where(candidates < 0, jnp.inf, distance)
        distance = jnp.where(jnp.any(jnp.isnan(distance)), jnp.nan, distance)
        distance, candidates = lax.sort((distance, candidates), num_keys=2)
        return candidates[:num_neighbours], distance[:num_neighbours]

    index, distance = map_rows(
        distances, (rows, candidates), batch_size=min(rows.shape[0], rows_per_tile(candidates.shape[1] * x.shape[1]))
    )
    if order is not None:
        index = order[index]
        if queries is None:
            back = jnp.zeros_like(order).at[order].set(jnp.arange(n, dtype=order.dtype))
            index, distance = index[back], distance[back]
    if among is not None or exclude is not None:
        index = jnp.where(distance == jnp.inf, -1, index)
    if metric == "cosine":
        distance = distance / 2
    if metric == "l2":
        distance = safe_sqrt(distance)
    return index, distance


def _candidates(
    searched: Searched,
    queries: Queries | None,
    *,
    num_neighbours: int,
    num_candidates: int,
    inner: bool,
    batch_size: int,
    mesh: Mesh | None,
) -> Int[Array, "m {num_candidates}"]:
    """Indices of the rows nearest to each query, or to each row; −1 where there are fewer."""
    parts = 1 if mesh is None else mesh.size
    own = Queries(searched.rows, searched.labels) if queries is None else queries
    m = own.rows.shape[0]
    if _tiles.worthwhile(searched.rows.shape[0], num_candidates):
        tiles, asked, place = _tiles.cut(searched, queries, inner=inner, parts=parts)
    else:
        place = jnp.arange(-(-m // parts) * parts, dtype=jnp.int32)[:, None]
        tiles, asked = None, Queries(*(part[jnp.minimum(place[:, 0], m - 1)] for part in own))

    def search(searched: Searched, tiles: Tiles | None, asked: Queries | TiledQueries) -> Array:
        listed = jnp.full((asked.rows.shape[0], num_candidates), -1, jnp.int32)
        complete = jnp.zeros(listed.shape[0], bool)
        if tiles is not None and isinstance(asked, TiledQueries):
            listed, complete = _tiles.search(
                tiles, asked, size=place.shape[1], num_neighbours=num_neighbours, num_candidates=num_candidates
            )
        return _search_all(searched, asked.rows, asked.labels, listed, complete, batch_size=batch_size)

    if mesh is not None:
        everywhere, divided = PartitionSpec(), PartitionSpec(ROWS)
        search = jax.shard_map(
            search, mesh=mesh, in_specs=(everywhere, everywhere, divided), out_specs=divided, check_vma=False
        )
    listed = search(searched, tiles, asked)
    return jnp.zeros((m, num_candidates), jnp.int32).at[place.reshape(-1)].set(listed, mode="drop")


def _search_all(
    searched: Searched,
    rows: Float[Array, "m p"],
    labels: Int[Array, " m"],
    listed: Int[Array, "m c"],
    complete: Bool[Array, " m"],
    *,
    batch_size: int,
) -> Int[Array, "m c"]:
    """Candidates from all rows for those queries that have none yet, `batch_size` queries at a time."""
    (n, _), (m, num_candidates) = searched.rows.shape, listed.shape
    num_blocks = -(-n // _COLUMNS)
    width = -(-n // (num_blocks * _GROUP)) * _GROUP
    filling = (0, num_blocks * width - n)
    blocks = (
        jnp.pad(searched.rows, (filling, (0, 0))).reshape(num_blocks, width, -1),
        jnp.pad(searched.half_squares, filling, constant_values=jnp.inf).reshape(num_blocks, width),
        jnp.pad(searched.labels, filling).reshape(num_blocks, width),
        jnp.minimum(jnp.arange(num_blocks * width, dtype=jnp.int32), n - 1).reshape(num_blocks, width),
    )

    def nearest(row: Array, own: Array) -> Array:
        def search_block(block: tuple[Array, ...]) -> tuple[Array, Array]:
            others, half_squares, theirs, columns = block
            closeness = jnp.where(theirs == own, -jnp.inf, matmul(row[None], others.T)[0] - half_squares)
            largest, place = _largest(closeness, min(num_candidates, width))
            return largest, columns[place]

        closeness, candidates = (largest.reshape(-1) for largest in lax.map(search_block, blocks))
        if num_blocks > 1:
            closeness, place = lax.top_k(closeness, num_candidates)
            candidates = candidates[place]
        return jnp.where(closeness == -jnp.inf, -1, candidates)

    batch_size = min(m, batch_size)
    count = jnp.sum(~complete, dtype=jnp.int32)
    left = jnp.nonzero(~complete, size=m + batch_size, fill_value=m)[0].astype(jnp.int32)

    def search_next(state: tuple[Array, Array]) -> tuple[Array, Array]:
        done, listed = state
        chosen = lax.dynamic_slice(left, (done,), (batch_size,))
        row = jnp.minimum(chosen, m - 1)
        nearer = jax.vmap(nearest)(rows[row], labels[row])
        return done + batch_size, listed.at[chosen].set(nearer, mode="drop")

    return lax.while_loop(lambda state: state[0] < count, search_next, (jnp.int32(0), listed))[1]


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
