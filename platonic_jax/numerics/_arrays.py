"""Conversion, centring, norms, products and distances of rows, in blocks of rows and on many devices."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from platonic_jax import _memory
from platonic_jax._checks import check_count, check_same_width
from platonic_jax._typing import AnyArray, Flag, Numeric

ROWS = "rows"  # The axis of a mesh.


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
    return x - mean_row(x, weights=None if weights is None else as_float(weights))


def mean_row(x: Float[Array, "n p"], *, weights: Float[Array, " n"] | None = None) -> Float[Array, "1 p"]:
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
    mean = mean_row(y)
    x, y = x - mean, y - mean
    squares = squared_norm(x)[:, None] + squared_norm(y)[None, :]
    return jnp.maximum(squares - 2 * matmul(x, y.T), 0)


def row_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Devices in a line, among which rows are divided: all there are, of every process, when absent."""
    return Mesh(np.array(jax.devices() if devices is None else devices), (ROWS,))


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
    return jax.make_array_from_callback(x.shape, NamedSharding(mesh, PartitionSpec(ROWS)), lambda place: x[place])
