"""Relative representations: similarities of each embedding to those of a shared set of anchors.

Two models see the same atom in spaces of different width and orientation. Described by its similarities to the same
anchor *atoms*, each seen in the model's own space, it has the same k coordinates in both.

The similarity decides what the coordinates do not see: what may be done to the cloud, its anchors included, without a
change. In all of them larger is more similar, and columns of zeros may be added.

| similarity   | of row x and anchor a                   | range  | unchanged by                                  |
|--------------|-----------------------------------------|--------|-----------------------------------------------|
| `"cosine"`   | cos θ, θ the angle between x and a      | −1 … 1 | rotation, scale, the length of each row       |
| `"angular"`  | 1 − θ / π                               | 0 … 1  | rotation, scale, the length of each row       |
| `"l2"`       | −‖x − a‖, in units of the columns       | −∞ … 0 | rotation, translation                         |
| `"rbf"`      | exp(−‖x − a‖² / 2σ²)                    | 0 … 1  | rotation, translation, scale                  |
| `"whitened"` | cosine of Σ^−½ (x − μ) and Σ^−½ (a − μ) | −1 … 1 | translation, scale, any invertible linear map |

The last two look at the whole cloud: σ² is the mean of ‖x − a‖² over rows and anchors, μ and Σ are mean and covariance
of the rows. To describe new rows in the coordinates of an earlier cloud, pass that cloud as `reference`.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from platonic_jax._checks import check_choice, check_same_width
from platonic_jax._typing import AnyArray, Numeric, Scalar
from platonic_jax.numerics import as_float, centre, matmul, normalise, safe_norm, safe_sqrt, squared_distances

__all__ = ["INVARIANCES", "Inverse", "inverse", "relative"]


def __dir__() -> list[str]:
    return __all__


_COMMON = {"rotation", "padding"}
# The table above, in the words of `metrics.TRANSFORMATIONS`; the tests hold it both ways.
INVARIANCES: Mapping[str, frozenset[str]] = {
    "cosine": frozenset({"scale", "row_scale"} | _COMMON),
    "angular": frozenset({"scale", "row_scale"} | _COMMON),
    "l2": frozenset({"translation"} | _COMMON),
    "rbf": frozenset({"translation", "scale"} | _COMMON),
    "whitened": frozenset({"translation", "scale", "linear"} | _COMMON),
}
"""For each similarity, the maps of a cloud and its anchors that leave the projection as it is."""


def relative(
    x: Numeric[AnyArray, "n p"],
    anchors: Numeric[AnyArray, "k p"],
    *,
    similarity: str | tuple[str, ...] = "cosine",
    weights: Numeric[AnyArray, " k"] | None = None,
    reference: Numeric[AnyArray, "m p"] | None = None,
) -> Float[Array, "n _"]:
    """Similarity of every row to every anchor: r_ij = w_j sim(x_i, a_j).

    The cosine, the default and the paper's choice, is taken from the origin of the embedding, without centring: it is
    not invariant to translation. The head of this module says what each similarity is, and what it is invariant to.

    Differentiable; the gradient is zero, not NaN, where a row is zero (cosines) and where row and anchor coincide
    (distances and angles). Angles and distances of nearly coinciding rows are resolved to about √ε of a right angle
    and of the radius of the cloud, ε the resolution of the dtype: a few 1e-4 in float32.

    Args:
        x: Rows to describe.
        anchors: Anchor rows, in the same space: `x[anchor_index]`.
        similarity: `"cosine"`, `"angular"`, `"l2"`, `"rbf"` or `"whitened"` (static), or several in a tuple, side by
            side: first all anchors by the first similarity, then all by the second, and so on. Cosines are 0 where row
            or anchor is zero. To the variance of every direction `"whitened"` adds p ε of the total variance, so that
            a direction with far less than that counts for little, and one without any for nothing.
        weights: What the column of each anchor is multiplied by, in every similarity, as is (no square root is taken).
            All 1 when absent.
        reference: Rows that σ, μ and Σ are taken from; `x` itself when absent.

    Returns:
        One row of k similarities for each row of `x`, or of k for each name in the tuple.

    Raises:
        ValueError: If `similarity` is unknown or empty, or the widths of `x`, `anchors` and `reference` differ.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import projection
        >>> x = jnp.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
        >>> projection.relative(x, x[:2]).round(3).tolist()
        [[1.0, 0.0], [0.0, 1.0], [0.7070000171661377, 0.7070000171661377]]
        >>> projection.relative(x, x[2:], similarity=("cosine", "l2")).shape
        (3, 2)

    Reference:
        Moschella et al., Relative representations enable zero-shot latent space communication, ICLR 2023
        (arXiv:2209.15430); several similarities: Cannistraci et al., From bricks to bridges: product of invariances to
        enhance latent space communication, ICLR 2024 (arXiv:2310.01211).
    """
    x, anchors = as_float(x), as_float(anchors)
    names = (similarity,) if isinstance(similarity, str) else similarity
    if not names:
        raise ValueError("`similarity` must be a name or a tuple of names, got an empty tuple.")
    for name in names:
        check_choice("similarity", name, _SIMILARITIES)
    reference = x if reference is None else as_float(reference)
    check_same_width("x", x, "anchors", anchors)
    check_same_width("x", x, "reference", reference)
    columns = [_SIMILARITIES[name](x, anchors, reference) for name in names]
    if weights is not None:
        columns = [column * as_float(weights).astype(column.dtype)[None, :] for column in columns]
    return jnp.concatenate(columns, axis=1)


def _cosine(x: Float[Array, "n p"], anchors: Float[Array, "k p"], _: Array | None = None) -> Float[Array, "n k"]:
    """Rows are divided by their length after the product, in the pass that writes it: no copy of `x` is made."""
    norm = safe_norm(x)
    inverse_norm = jnp.where(norm > 0, 1 / jnp.where(norm > 0, norm, 1), 0)
    return matmul(x, normalise(anchors).T) * inverse_norm[:, None]


def _angular(x: Float[Array, "n p"], anchors: Float[Array, "k p"], _: Array) -> Float[Array, "n k"]:
    cosine = _cosine(x, anchors)
    inside = jnp.abs(cosine) < 1  # At the ends the slope of the arc cosine is infinite.
    angle = jnp.where(inside, jnp.arccos(jnp.where(inside, cosine, 0)), jnp.where(cosine > 0, 0, jnp.pi))
    return 1 - angle / jnp.pi


def _l2(x: Float[Array, "n p"], anchors: Float[Array, "k p"], _: Array) -> Float[Array, "n k"]:
    return -safe_sqrt(squared_distances(x, anchors))


def _rbf(x: Float[Array, "n p"], anchors: Float[Array, "k p"], reference: Float[Array, "m p"]) -> Float[Array, "n k"]:
    return jnp.exp(-squared_distances(x, anchors) / (2 * _mean_squared_distance(reference, anchors)))


def _mean_squared_distance(x: Float[Array, "n p"], anchors: Float[Array, "k p"]) -> Scalar:
    """Mean of ‖x − a‖² over all pairs, from the distances to the mean anchor; 1 if all rows and anchors coincide."""
    mean = jnp.mean(anchors, axis=0, keepdims=True)
    squares = sum(jnp.mean(jnp.sum((rows - mean) ** 2, axis=1)) for rows in (x, anchors))
    return jnp.where(squares > 0, squares, 1)


def _whitened(
    x: Float[Array, "n p"], anchors: Float[Array, "k p"], reference: Float[Array, "m p"]
) -> Float[Array, "n k"]:
    mean, whiten, _ = _whitening(reference)
    return _cosine(matmul(x - mean, whiten), matmul(anchors - mean, whiten))


def _whitening(
    reference: Float[Array, "m p"],
) -> tuple[Float[Array, "1 p"], Float[Array, "p p"], Float[Array, "p p"]]:
    """Mean, the map that makes every variance 1, and its inverse: up to a rotation, which no cosine sees.

    By Cholesky, not by eigenvectors, whose gradient is NaN where variances repeat, as in columns of zeros.
    """
    mean = jnp.mean(reference, axis=0, keepdims=True)
    rows = reference - mean
    covariance = matmul(rows.T, rows) / rows.shape[0]
    p = rows.shape[1]
    floor = p * float(jnp.finfo(rows.dtype).eps) * jnp.trace(covariance)
    identity = jnp.eye(p, dtype=rows.dtype)
    lower = jnp.linalg.cholesky(covariance + jnp.where(floor > 0, floor, 1) * identity)
    return mean, solve_triangular(lower, identity, lower=True).T, lower.T


_SIMILARITIES: Mapping[str, Callable[[Array, Array, Array], Array]] = {
    "cosine": _cosine,
    "angular": _angular,
    "l2": _l2,
    "rbf": _rbf,
    "whitened": _whitened,
}


class Inverse(NamedTuple):
    """Rows recovered from their similarities to anchors.

    Attributes:
        rows: (n, p) the rows, as far as the anchors span the space.
        residual: (n,) ‖A u − b‖ / ‖b‖ of the least squares problem that row u solves: from 0, where some row has
            exactly these similarities, to 1, where they have nothing to do with the anchors.
    """

    rows: Float[Array, "n p"]
    residual: Float[Array, " n"]


def inverse(
    r: Numeric[AnyArray, "n k"],
    anchors: Numeric[AnyArray, "k p"],
    *,
    similarity: str = "cosine",
    reference: Numeric[AnyArray, "m p"] | None = None,
) -> Inverse:
    """From similarities back to rows: those whose similarities to the anchors are nearest to `r`, in least squares.

    The anchors may be of another model than the similarities: a row of one model is so carried into the space of the
    other. Of several solutions it is the one of smallest norm, so the component outside the anchors' span is left out.

    - `"cosine"`, `"angular"`: minimises ‖A u − cos θ‖, A the anchors scaled to length 1. A row of length 1, less its
      component outside the span: 1 − ‖u‖² is what the anchors do not see. Lengths are lost for good.
    - `"whitened"`: the same in the whitened space, then mapped back: the ray from μ through the row.
    - `"l2"`, `"rbf"`: trilateration, u − ā from ‖x − a‖² less its mean over the anchors, which is linear in the row:
      the row itself, less what is outside the plane through the anchors, of which ā is the mean.

    Exact, with residual 0, if r are similarities of rows and the anchors span the space (as a plane, for distances).
    How noise in r is amplified is told by `anchors.diagnose(…).condition`.

    Args:
        r: Similarities of one kind, without weights.
        anchors: Anchor rows.
        similarity: What `r` is (static), one of those of `relative`.
        reference: Rows that σ, μ and Σ were taken from; needed for `"rbf"` and `"whitened"`.

    Returns:
        The rows, and the relative residual of each.

    Raises:
        ValueError: If `similarity` is unknown, `reference` is missing, or the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import projection
        >>> x, anchors = jnp.array([[3.0, 4.0]]), jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
        >>> r = projection.relative(x, anchors)
        >>> projection.inverse(r, anchors).rows.round(3).tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """
    r, anchors = as_float(r), as_float(anchors)
    check_choice("similarity", similarity, _SIMILARITIES)
    if r.shape[1] != anchors.shape[0]:
        raise ValueError(
            f"`r` must have one column for each of {anchors.shape[0]} anchors, got {r.shape[1]}: "
            "invert similarities side by side one at a time."
        )
    if reference is None:
        if similarity in ("rbf", "whitened"):
            raise ValueError(
                f'`reference` must be given for similarity "{similarity}", got none: pass the rows that `relative` saw.'
            )
        reference = anchors  # The others do not look at it.
    reference = as_float(reference)
    check_same_width("anchors", anchors, "reference", reference)
    return _INVERSES[similarity](r, anchors, reference)


def _from_cosine(r: Float[Array, "n k"], anchors: Float[Array, "k p"], _: Array) -> Inverse:
    return _solved(normalise(anchors), r)


def _from_angular(r: Float[Array, "n k"], anchors: Float[Array, "k p"], _: Array) -> Inverse:
    return _solved(normalise(anchors), jnp.cos((1 - r) * jnp.pi))


def _from_l2(r: Float[Array, "n k"], anchors: Float[Array, "k p"], _: Array) -> Inverse:
    return _trilaterated(anchors, r**2)


def _from_rbf(r: Float[Array, "n k"], anchors: Float[Array, "k p"], reference: Float[Array, "m p"]) -> Inverse:
    smallest = float(jnp.finfo(r.dtype).tiny)  # What was rounded to 0 is at least as far as this.
    exponent = jnp.log(jnp.maximum(r, smallest))
    return _trilaterated(anchors, -2 * _mean_squared_distance(reference, anchors) * exponent)


def _from_whitened(r: Float[Array, "n k"], anchors: Float[Array, "k p"], reference: Float[Array, "m p"]) -> Inverse:
    mean, whiten, unwhiten = _whitening(reference)
    rows, residual = _solved(normalise(matmul(anchors - mean, whiten)), r)
    return Inverse(mean + matmul(rows, unwhiten), residual)


def _solved(a: Float[Array, "k p"], b: Float[Array, "n k"]) -> Inverse:
    """Rows u of smallest norm among those that minimise ‖a u − b‖."""
    rows = matmul(b, jnp.linalg.pinv(a).T)
    norm = safe_norm(b)
    return Inverse(rows, safe_norm(matmul(rows, a.T) - b) / jnp.where(norm > 0, norm, 1))


def _trilaterated(anchors: Float[Array, "k p"], squared: Float[Array, "n k"]) -> Inverse:
    """With anchors a centred at ā, and u = x − ā: a·u = (‖a‖² − ‖x − a‖²) / 2, less its mean over the anchors."""
    a = centre(anchors)
    twice = jnp.sum(a * a, axis=1)[None, :] - squared
    rows, residual = _solved(a, centre(twice.T).T / 2)
    return Inverse(jnp.mean(anchors, axis=0, keepdims=True) + rows, residual)


_INVERSES: Mapping[str, Callable[[Array, Array, Array], Inverse]] = {
    "cosine": _from_cosine,
    "angular": _from_angular,
    "l2": _from_l2,
    "rbf": _from_rbf,
    "whitened": _from_whitened,
}
