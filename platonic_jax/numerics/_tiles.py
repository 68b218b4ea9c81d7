"""Exact search for neighbours that visits only the tiles of rows that can hold one.

Atoms come in tight clusters. The leaves of a k-d tree over the leading principal components are tiles of rows that lie
together. How near a row of a tile can be to a query is bounded by the tile's extent along these components, and along
the norm of what they leave. A tile of queries visits its nearest tiles, and then those alone whose bound is below the
distance of its farthest candidate.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from platonic_jax.numerics._arrays import matmul, squared_norm

_ROWS = 64  # Of a tile, at least; below twice as many.
_COMPONENTS = 8  # That bounds are taken along: more visit hardly less, and cost more.
_SPARE = 12  # Candidates beyond those asked for: rows of more ties than these are searched among all.
_FIRST, _NEXT = 24, 24  # Tiles visited at once: before there are distances to beat, and after.
_TOGETHER = 64  # Tiles of queries searched at once on an accelerator, where a step should be large.
_TRIAL, _MOST = 4, 0.3  # After so many tiles of queries, the largest part visited that is faster than all rows.
_LEAST = 256  # Tiles, below which a search of all rows is as fast.
_ROUNDING = 8 * float(jnp.finfo(jnp.float32).eps)


class Searched(NamedTuple):
    """Rows to search: coarse rows, half of their squared norms (infinite where not allowed), and labels."""

    rows: Float[Array, "n p"]
    half_squares: Float[Array, " n"]
    labels: Int[Array, " n"]


class Queries(NamedTuple):
    """Rows to find neighbours for, and labels, which no neighbour shares."""

    rows: Float[Array, "m p"]
    labels: Int[Array, " m"]


class TiledQueries(NamedTuple):
    """Queries in the order of their tiles, their features, and the squares that turn closeness into distance.

    The squared distance is the square less twice the closeness.
    """

    rows: Float[Array, "m p"]
    labels: Int[Array, " m"]
    features: Float[Array, "m features"]
    squares: Float[Array, " m"]


class Tiles(NamedTuple):
    """Rows to search in tiles, with the index of each, and the ends of each tile's extent along each feature."""

    rows: Float[Array, "tiles rows p"]
    half_squares: Float[Array, "tiles rows"]
    labels: Int[Array, "tiles rows"]
    place: Int[Array, "tiles rows"]
    low: Float[Array, "features tiles"]
    high: Float[Array, "features tiles"]


def worthwhile(num_rows: int, num_candidates: int) -> bool:
    """Test whether there are enough tiles, and few enough candidates, to leave tiles out."""
    return _num_tiles(num_rows) >= _LEAST and num_candidates <= num_rows // _LEAST


def _together() -> int:
    """Tiles of queries that are searched at once."""
    return 1 if jax.default_backend() == "cpu" else _TOGETHER


def cut(
    searched: Searched, queries: Queries | None, *, inner: bool, parts: int
) -> tuple[Tiles, TiledQueries, Int[Array, "tiles rows"]]:
    """Order rows and queries into tiles.

    Args:
        searched: Rows to search.
        queries: Rows to find neighbours for; the rows to search when None.
        inner: Whether closeness is the inner product itself (static).
        parts: Number that is to divide the tiles of queries (static).

    Returns:
        Both in tiles, those of the queries end to end, and the query at each place of the latter: their number or more
        where a place is not needed.
    """
    points = searched.rows
    targets, labels = Queries(searched.rows, searched.labels) if queries is None else queries
    squares = squared_norm(targets)
    if inner:
        # With a coordinate that gives all rows one norm r, and queries none of it, |q − b|² is |q|² + r² − 2 q·b.
        norms = squared_norm(points)
        largest = jnp.max(norms)
        points = jnp.concatenate([points, jnp.sqrt(jnp.maximum(largest - norms, 0))[:, None]], axis=1)
        squares = squares + largest
    axes = jnp.linalg.eigh(matmul(points.T, points))[1][:, ::-1][:, :_COMPONENTS]
    features = _features(points, axes)
    place = _order(features)
    index = jnp.minimum(place, points.shape[0] - 1)
    tiles = Tiles(
        rows=searched.rows[index],
        half_squares=jnp.where(place < points.shape[0], searched.half_squares[index], jnp.inf),
        labels=searched.labels[index],
        place=index,
        low=jnp.min(features[index], axis=1).T,
        high=jnp.max(features[index], axis=1).T,
    )
    if inner or queries is not None:
        features = _features(jnp.pad(targets, ((0, 0), (0, points.shape[1] - targets.shape[1]))), axes)
        place = _order(features)
    m = targets.shape[0]
    place = jnp.pad(place, ((0, -place.shape[0] % parts), (0, 0)), constant_values=m)
    index = jnp.minimum(place.reshape(-1), m - 1)
    return tiles, TiledQueries(targets[index], labels[index], features[index], squares[index]), place


def _num_tiles(num_rows: int) -> int:
    """A power of two, so that a tree of halves has as many leaves."""
    return 2 ** max(0, math.floor(math.log2(num_rows / _ROWS)))


def _features(points: Float[Array, "n p"], axes: Float[Array, "p c"]) -> Float[Array, "n features"]:
    """Coordinates along the axes, and the norm of what they leave: distances between these are never larger."""
    along = matmul(points, axes)
    rest = points - matmul(along, axes.T)
    return jnp.concatenate([along, jnp.sqrt(squared_norm(rest))[:, None]], axis=1)


def _order(features: Float[Array, "n features"]) -> Int[Array, "tiles rows"]:
    """Leaves of a tree that halves rows at the median of the feature that varies most; equal rows keep their order.

    Indices from n onwards stand for the last row again, where the tiles have more places than there are rows.
    """
    n = features.shape[0]
    num_tiles = _num_tiles(n)
    places = num_tiles * -(-n // num_tiles)

    def halve(level: Array, order: Array) -> Array:
        size = places >> level
        node = jnp.arange(places, dtype=jnp.int32) // size
        chosen = features[jnp.minimum(order, n - 1)]
        total = lambda values: jax.ops.segment_sum(values, node, num_segments=num_tiles, indices_are_sorted=True)
        mean = total(chosen) / size.astype(features.dtype)
        widest = jnp.argmax(total((chosen - mean[node]) ** 2), axis=1)
        along = jnp.take_along_axis(chosen, widest[node][:, None], axis=1)[:, 0]
        return lax.sort((node, along, order), num_keys=2)[2]

    order = lax.fori_loop(0, num_tiles.bit_length() - 1, halve, jnp.arange(places, dtype=jnp.int32))
    return order.reshape(num_tiles, -1)


def search(
    tiles: Tiles, queries: TiledQueries, *, size: int, num_neighbours: int, num_candidates: int
) -> tuple[Int[Array, "places {num_candidates}"], Bool[Array, " places"]]:
    """Find candidates for the neighbours of each query, as long as that visits few tiles.

    Args:
        tiles: Rows to search.
        queries: Rows to find neighbours for, from `cut`.
        size: Queries of a tile (static).
        num_neighbours: Number of neighbours (static).
        num_candidates: Number of candidates (static).

    Returns:
        Indices of the candidates in the searched rows, −1 where there are fewer, and which queries have them. A query
        has none where the tiles visited before it were too many, or where the last candidate is as near as the last
        neighbour to within rounding: which of such rows are neighbours is not for the order of tiles to decide.
    """
    rows, labels, features, squares = (part.reshape(-1, size, *part.shape[1:]) for part in queries)
    num_tiles, width, _ = tiles.rows.shape
    first = min(num_tiles, max(_FIRST, -(-2 * num_candidates // width)))
    tolerance = _ROUNDING * jnp.sqrt(jnp.max(squares))
    kept = min(num_candidates, num_neighbours + _SPARE)

    def visit(query: Array, own: Array, best: tuple[Array, Array], chosen: Array, used: Array) -> tuple[Array, Array]:
        """The nearest of the candidates so far and the rows of some tiles."""
        candidates, theirs, index = (
            part[chosen].reshape(-1, *part.shape[2:]) for part in (tiles.rows, tiles.labels, tiles.place)
        )
        half_squares = jnp.where(used[:, None], tiles.half_squares[chosen], jnp.inf).reshape(-1)
        closeness = matmul(query, candidates.T) - half_squares[None]
        closeness = jnp.where(theirs[None] == own[:, None], -jnp.inf, closeness)
        closeness = jnp.concatenate([best[0], closeness], axis=1)
        index = jnp.concatenate([best[1], jnp.broadcast_to(index[None], (query.shape[0], index.shape[0]))], axis=1)
        closeness, place = lax.top_k(closeness, kept)
        return closeness, jnp.take_along_axis(index, place, axis=1)

    def neighbours_of(tile: Array) -> tuple[Array, Array, Array]:
        query, own, feature, square = (part[tile] for part in (rows, labels, features, squares))
        # Squared distance to the extent of each tile, one feature after the other: so it runs along the tiles.
        bound = jnp.zeros((query.shape[0], num_tiles), query.dtype)
        for low, high, along in zip(tiles.low, tiles.high, feature.T, strict=True):
            gap = jnp.maximum(low[None] - along[:, None], along[:, None] - high[None]) - tolerance
            bound = bound + jnp.maximum(gap, 0) ** 2
        bound = bound * (1 - 1e-5)  # The axes are orthonormal to within rounding.

        chosen = lax.top_k(-jnp.min(bound, axis=0), first)[1].astype(jnp.int32)
        none = (
            jnp.full((query.shape[0], kept), -jnp.inf, query.dtype),
            jnp.full((query.shape[0], kept), -1, jnp.int32),
        )
        best = visit(query, own, none, chosen, jnp.ones(first, bool))
        # The minimum and no slice, of which XLA would make a sort of all candidates.
        reach = square - 2 * jnp.min(best[0], axis=1)
        needed = jnp.any(bound <= reach[:, None], axis=0).at[chosen].set(False)
        count = jnp.sum(needed, dtype=jnp.int32)
        listed = jnp.nonzero(needed, size=num_tiles + _NEXT, fill_value=0)[0].astype(jnp.int32)

        def visit_next(state: tuple[Array, tuple[Array, Array]]) -> tuple[Array, tuple[Array, Array]]:
            done, best = state
            chosen = lax.dynamic_slice(listed, (done,), (_NEXT,))
            used = done + jnp.arange(_NEXT, dtype=jnp.int32) < count
            return done + _NEXT, visit(query, own, best, chosen, used)

        _, (closeness, index) = lax.while_loop(lambda state: state[0] < count, visit_next, (jnp.int32(0), best))
        last = jnp.min(closeness, axis=1)
        rounding = _ROUNDING * jnp.maximum(square, square - 2 * last)
        complete = (last == -jnp.inf) | (closeness[:, num_neighbours - 1] - last > rounding)
        return jnp.where(closeness == -jnp.inf, -1, index), complete, (first + count).astype(query.dtype) / num_tiles

    num_queries = rows.shape[0]
    together = _together()
    # Steps of about the golden section, so that the tiles visited first stand for all; their products stay in int32.
    step = min(int(0.618 * num_queries), 2**30 // num_queries) + 1
    while math.gcd(step, num_queries) > 1:
        step += 1

    def search_next(state: tuple[Array, ...]) -> tuple[Array, ...]:
        done, visited, index, complete = state
        chosen = (done + jnp.arange(together, dtype=jnp.int32)) * step % num_queries
        best, known, part = jax.vmap(neighbours_of)(chosen)
        return done + together, visited + jnp.sum(part), index.at[chosen].set(best), complete.at[chosen].set(known)

    def goes_on(state: tuple[Array, ...]) -> Array:
        done, visited, *_ = state
        return (done < num_queries) & ((done < _TRIAL) | (visited <= _MOST * done.astype(rows.dtype)))

    start = (
        jnp.int32(0),
        jnp.zeros((), rows.dtype),
        jnp.full((num_queries, size, kept), -1, jnp.int32),
        jnp.zeros((num_queries, size), bool),
    )
    _, _, index, complete = lax.while_loop(goes_on, search_next, start)
    index = jnp.pad(index.reshape(-1, kept), ((0, 0), (0, num_candidates - kept)), constant_values=-1)
    return index, complete.reshape(-1)
