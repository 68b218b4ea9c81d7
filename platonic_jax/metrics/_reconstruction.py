"""Reconstruction of one embedding by linear maps of the other: one global map, or one per neighbourhood."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from platonic_jax import numerics
from platonic_jax._checks import check_count, check_paired, check_positive
from platonic_jax._typing import AnyArray, Numeric, Scalar
from platonic_jax.numerics import as_float, centre, map_rows, matmul, ridge_solve, rows_per_tile, safe_norm


def gfre(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "n q"],
    *,
    train: Bool[AnyArray, " n"] | None = None,
    ridge: float = 1e-6,
) -> Scalar:
    """Global feature reconstruction error: GFRE(x → y) = √⟨‖y_i − x_i W‖²⟩, W the ridge regression of y on x.

    Both clouds are centred, and scaled to a variance of one in all, by their training rows; W is fitted to those, and
    the mean is over the others. Not symmetric: low from a rich embedding to a poor one. Not invariant to linear maps:
    one of x changes it only as far as the ridge is felt, one of y weighs its directions anew.

    Args:
        x: Embedding to reconstruct from.
        y: Embedding of the same rows that is reconstructed.
        train: Which rows to fit; keep the atoms of a crystal on one side. When absent, the first half of the rows: of
            atoms in order of structure it cuts one structure at most.
        ridge: Strength of the penalty on W, relative to the sum of squares of the training rows of x (static).
            Directions with a smaller share of the variance of x are lost; float64 allows far smaller ones than the
            default.

    Returns:
        From 0 upwards: 0 means that y is a linear map of x, 1 is the error of predicting the mean of y. NaN if all
        training rows of a cloud are equal, or the ridge is too weak for the digits of the dtype.

    Raises:
        ValueError: If `ridge` is not positive, or the rows do not pair.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from platonic_jax import metrics
        >>> x = jax.random.normal(jax.random.key(0), (200, 4))
        >>> y = x[:, :2]  # Half of what x knows.
        >>> round(float(metrics.gfre(x, y)), 2), round(float(metrics.gfre(y, x)), 1)
        (0.0, 0.7)

    Reference:
        Goscinski, Fraux, Imbalzano & Ceriotti, The role of feature space in atomistic learning, Mach. Learn.: Sci.
        Technol. 2, 025028 (2021); `skmatter.metrics.global_reconstruction_error`.
    """
    errors = gfre_rows(x, y, train=train, ridge=ridge)
    return _root_mean_square(errors, ~_train_rows(errors.shape[0], train))


def gfre_rows(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "n q"],
    *,
    train: Bool[AnyArray, " n"] | None = None,
    ridge: float = 1e-6,
) -> Float[Array, " n"]:
    """The error of each row, ‖y_i − x_i W‖: `gfre` is its root mean square over the rows that were not fitted.

    Args:
        x: Embedding to reconstruct from.
        y: Embedding of the same rows that is reconstructed.
        train: Which rows to fit; the first half when absent.
        ridge: Strength of the penalty, relative to the sum of squares of the training rows of x (static).

    Returns:
        For each row, from 0 upwards, in units of the spread of y; errors on training rows are optimistically biased.
    """
    x, y = as_float(x), as_float(y)
    check_paired(x, y)
    check_positive("ridge", ridge)
    train = _train_rows(x.shape[0], train)
    x, y = _standardised(x, train), _standardised(y, train)
    fitted = jnp.where(train[:, None], x, 0)
    return safe_norm(y - matmul(x, ridge_solve(matmul(fitted.T, x), matmul(fitted.T, y), ridge=ridge)))


def lfre(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "n q"],
    *,
    num_neighbours: int = 20,
    train: Bool[AnyArray, " n"] | None = None,
    ridge: float = 1e-6,
    batch_size: int | None = None,
) -> Scalar:
    """Local feature reconstruction error: GFRE with a map of its own for each row, fitted to its nearest rows in x.

    LFRE(x → y) = √⟨‖y_i − ȳ − (x_i − x̄) W_i‖²⟩, where x̄, ȳ and W_i belong to the training rows nearest to x_i. What it
    recovers and `gfre` does not is curved. With no more neighbours than columns, a row lies outside of what its
    neighbours span, and a cloud does not even reconstruct itself. Not symmetric; not invariant to linear maps.

    Args:
        x: Embedding to reconstruct from.
        y: Embedding of the same rows that is reconstructed.
        num_neighbours: Number of neighbours (static), fewer than the training rows.
        train: Which rows may be neighbours; keep the atoms of a crystal on one side. When absent, the first half of
            the rows: of atoms in order of structure it cuts one structure at most.
        ridge: Strength of the penalty on W_i, relative to the sum of squares of the centred neighbours (static).
        batch_size: Rows handled at once (static).

    Returns:
        From 0 upwards: 0 means that y is a locally linear function of x, 1 is the error of predicting the mean of y.
        NaN if all training rows of a cloud are equal, they are fewer than `num_neighbours`, or the ridge is too weak
        for the digits of the dtype. Differentiable where no neighbours change places.

    Raises:
        ValueError: If `ridge` is not positive, `num_neighbours` exceeds the rows there are, or the rows do not pair.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from platonic_jax import metrics
        >>> x = jax.random.uniform(jax.random.key(0), (400, 1), minval=-1)
        >>> y = jnp.abs(x)
        >>> float(metrics.gfre(x, y)) > 0.9, float(metrics.lfre(x, y)) < 0.1
        (True, True)

    Reference:
        Goscinski, Fraux, Imbalzano & Ceriotti, The role of feature space in atomistic learning, Mach. Learn.: Sci.
        Technol. 2, 025028 (2021); `skmatter.metrics.local_reconstruction_error`.
    """
    errors = lfre_rows(x, y, num_neighbours=num_neighbours, train=train, ridge=ridge, batch_size=batch_size)
    return _root_mean_square(errors, ~_train_rows(errors.shape[0], train))


def lfre_rows(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "n q"],
    *,
    num_neighbours: int = 20,
    train: Bool[AnyArray, " n"] | None = None,
    ridge: float = 1e-6,
    batch_size: int | None = None,
) -> Float[Array, " n"]:
    """The error of each row after its local map: `lfre` is its root mean square over the rows that are not in `train`.

    Args:
        x: Embedding to reconstruct from.
        y: Embedding of the same rows that is reconstructed.
        num_neighbours: Number of neighbours (static).
        train: Which rows may be neighbours; the first half when absent.
        ridge: Strength of the penalty, relative to the sum of squares of the centred neighbours (static).
        batch_size: Rows handled at once (static).

    Returns:
        For each row, from 0 upwards, in units of the spread of y. No row is its own neighbour, so those of `train`
        count as much as the others.
    """
    x, y = as_float(x), as_float(y)
    check_paired(x, y)
    check_positive("ridge", ridge)
    n = x.shape[0]
    if train is None:
        check_count(
            "num_neighbours",
            num_neighbours,
            most=n // 2 - 1,
            bound="the training rows n // 2 less one",
            fix="ask for fewer neighbours",
        )
    train = _train_rows(n, train)
    x, y = _standardised(x, train), _standardised(y, train)
    nearest, distance = numerics.neighbours(
        x, num_neighbours=num_neighbours, metric="l2", among=train, batch_size=batch_size
    )
    errors = _local_errors(x, y, nearest, ridge=ridge, batch_size=batch_size)
    return jnp.where(jnp.isfinite(distance[:, -1]), errors, jnp.nan)


# Compiled here, once per shape: called as it is, the loop inside would be compiled anew every time.
@partial(jax.jit, static_argnames=("ridge", "batch_size"))
def _local_errors(
    x: Float[Array, "n p"], y: Float[Array, "n q"], nearest: Int[Array, "n j"], *, ridge: float, batch_size: int | None
) -> Float[Array, " n"]:
    (n, j), width = nearest.shape, max(x.shape[1], y.shape[1])

    def error(row: tuple[Array, Array, Array]) -> Scalar:
        x_i, y_i, index = row
        mean_x, mean_y = jnp.mean(x[index], axis=0), jnp.mean(y[index], axis=0)
        around_x, around_y = x[index] - mean_x[None], y[index] - mean_y[None]
        offset = (x_i - mean_x)[None]
        if j <= x.shape[1]:  # The form of a kernel: j × j however wide the clouds are.
            overlap = matmul(around_x, offset.T)
            offset_y = matmul(ridge_solve(matmul(around_x, around_x.T), overlap, ridge=ridge).T, around_y)
        else:
            local_map = ridge_solve(matmul(around_x.T, around_x), matmul(around_x.T, around_y), ridge=ridge)
            offset_y = matmul(offset, local_map)
        return safe_norm(y_i - mean_y - offset_y[0])

    batch_size = min(n, rows_per_tile(j * width)) if batch_size is None else batch_size
    return map_rows(error, (x, y, nearest), batch_size=batch_size)


def _train_rows(n: int, train: Bool[AnyArray, " n"] | None) -> Bool[Array, " n"]:
    return jnp.arange(n) < n // 2 if train is None else jnp.asarray(train)


def _standardised(x: Float[Array, "n p"], train: Bool[Array, " n"]) -> Float[Array, "n p"]:
    """Centred, and divided by the root of the sum of the variances of the columns, both of the training rows."""
    weights = train.astype(x.dtype)
    x = centre(x, weights=weights)
    return x / jnp.sqrt(jnp.sum(weights[:, None] * x * x) / jnp.sum(weights))


def _root_mean_square(errors: Float[Array, " n"], rows: Bool[Array, " n"]) -> Scalar:
    mean = jnp.sum(jnp.where(rows, errors**2, 0)) / jnp.sum(rows).astype(errors.dtype)
    return numerics.safe_sqrt(mean)
