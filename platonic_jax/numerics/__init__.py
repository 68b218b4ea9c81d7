"""The only home of centring, normalising, matrix products, distances, neighbours and principal components.

Two rules are kept here so that no other module has to think of them:

- *Centre, then multiply, in full precision.* An embedding is often a small spread around a large offset, and the
  product of uncentred rows spends its digits on the offset; on a GPU, JAX's default float32 product keeps ten bits.
- *Nothing allocates n × n.* Work that is quadratic in the rows goes a block of rows at a time, through `map_rows` or a
  loop, and its result does not depend on the size of the block.

Rows may lie on many devices: those of `shard_rows` go through every function here and in `metrics` as other arrays do,
sums over rows being completed between devices; a search for neighbours is divided among them by its `mesh`.
"""

from platonic_jax.numerics._arrays import (
    as_float,
    centre,
    is_degenerate,
    map_rows,
    matmul,
    normalise,
    row_mesh,
    rows_per_tile,
    safe_norm,
    safe_sqrt,
    shard_rows,
    squared_distances,
    squared_norm,
)
from platonic_jax.numerics._decompositions import PCA, nuclear_norm, pca, polar_factor, ridge_solve
from platonic_jax.numerics._neighbours import neighbours, resampled_rows

__all__ = [
    "PCA",
    "as_float",
    "centre",
    "is_degenerate",
    "map_rows",
    "matmul",
    "neighbours",
    "normalise",
    "nuclear_norm",
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
