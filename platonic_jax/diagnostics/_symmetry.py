"""Distances between atoms and their images, and spread within orbits of equivalent atoms."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from platonic_jax._typing import AnyArray, Numeric
from platonic_jax.numerics import as_float, map_rows, rows_per_tile, safe_norm, safe_sqrt, squared_norm


class Orbits(NamedTuple):
    """The orbits of symmetry-equivalent atoms of many structures, in units of the columns.

    Attributes:
        within: (o,) root mean square distance of an orbit's atoms to their mean; 0 for collapsed orbits.
        largest: (o,) the largest of these distances.
        between: (o,) root mean square distance of the orbit's mean to those of the other orbits of its structure; NaN
            where it has no other.
        nearest: (o,) the smallest of these distances; NaN where there is none.
        mean_norm: (o,) norm of the orbit's mean: what `largest` is large or small against.
    """

    within: Float[Array, " o"]
    largest: Float[Array, " o"]
    between: Float[Array, " o"]
    nearest: Float[Array, " o"]
    mean_norm: Float[Array, " o"]


def image_distances(x: Numeric[AnyArray, "n p"], image_of: Int[AnyArray, " n"]) -> Float[Array, " n"]:
    """Distance of every row to the row of the atom that it is an image of: ‖x_i − x_f(i)‖.

    Rounding alone makes it about ε ‖x_i‖, ε the resolution of the dtype that the rows were computed in. Not invariant
    to the scale of the columns.

    Args:
        x: Rows of originals and images.
        image_of: f, the row of each row's original.

    Returns:
        Distances in units of the columns, 0 or more; 0 where nothing changed.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> diagnostics.image_distances(jnp.array([[1.0, 2.0], [4.0, 6.0]]), jnp.array([0, 0])).tolist()
        [0.0, 5.0]
    """
    x = as_float(x)
    return safe_norm(x - x[image_of])


def orbits(
    x: Numeric[AnyArray, "n p"],
    orbit: Int[AnyArray, " n"],
    structure: Int[AnyArray, " n"],
    *,
    num_orbits: int,
    most: int,
) -> Orbits:
    """Spread within orbits of symmetry-equivalent atoms, and between the orbits of a structure.

    An invariant model gives all atoms of an orbit the same row. Not invariant to the scale of the columns: read one
    spread against the other.

    Args:
        x: Rows.
        orbit: Orbit of each row, from 0 to `num_orbits` − 1, increasing from structure to structure.
        structure: Structure of each row.
        num_orbits: Number o of orbits (static).
        most: The most orbits that a structure has (static), or more.

    Returns:
        Spreads of all orbits.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> x = jnp.array([[0.0], [2.0], [5.0]])
        >>> found = diagnostics.orbits(x, jnp.array([0, 0, 1]), jnp.zeros(3, int), num_orbits=2, most=2)
        >>> found.within.tolist(), found.between.tolist()
        ([1.0, 0.0], [4.0, 4.0])
    """
    x = as_float(x)
    n, dtype = x.shape[0], x.dtype
    # From its first member, not from the origin: rows that are equal then have a spread of 0, not of rounding.
    first = jax.ops.segment_min(jnp.arange(n), orbit, num_orbits)
    from_first = x - x[first[orbit]]
    count = jax.ops.segment_sum(jnp.ones(n, dtype), orbit, num_orbits)
    offset = jax.ops.segment_sum(from_first, orbit, num_orbits) / count[:, None]
    squared = squared_norm(from_first - offset[orbit])
    mean = x[first] + offset
    home = jax.ops.segment_max(structure, orbit, num_orbits)
    places = jnp.arange(num_orbits, dtype=jnp.int32)
    begin = jnp.searchsorted(home, home).astype(jnp.int32)

    def others(i: Array) -> tuple[Array, Array]:
        place = begin[i] + jnp.arange(most, dtype=jnp.int32)
        other = jnp.minimum(place, num_orbits - 1)
        valid = (place < num_orbits) & (home[other] == home[i]) & (other != i)
        apart = squared_norm(mean[other] - mean[i][None])
        number = jnp.sum(valid.astype(dtype))
        average = jnp.sum(jnp.where(valid, apart, 0)) / jnp.where(number > 0, number, jnp.nan)
        least = jnp.where(number > 0, jnp.min(jnp.where(valid, apart, jnp.inf)), jnp.nan)
        return safe_sqrt(average), safe_sqrt(least)

    between, nearest = map_rows(others, places, batch_size=rows_per_tile(most * x.shape[1]))
    return Orbits(
        within=safe_sqrt(jax.ops.segment_sum(squared, orbit, num_orbits) / count),
        largest=safe_sqrt(jax.ops.segment_max(squared, orbit, num_orbits)),
        between=between,
        nearest=nearest,
        mean_norm=safe_norm(mean),
    )
