"""Row-by-row alignment of two embeddings, up to rotations (Procrustes) or linear maps (CKA)."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from platonic_jax._checks import check_choice, check_paired
from platonic_jax._hsic import debiased_hsic, sum_of_squares
from platonic_jax._typing import AnyArray, Numeric, Scalar
from platonic_jax.numerics import as_float, centre, matmul, nuclear_norm, polar_factor, safe_sqrt, squared_norm

CONVENTIONS = ("cosine", "angle", "squared")


def procrustes(x: Numeric[AnyArray, "n p"], y: Numeric[AnyArray, "n q"], *, convention: str = "cosine") -> Scalar:
    """Procrustes similarity: cos θ = ‖XᵀY‖_* / (‖X‖_F ‖Y‖_F), with centred columns.

    The cosine between the clouds after the best rotation of one onto the other; the narrower is padded with zeros in
    effect. Not invariant to linear maps other than rotations, nor to shuffling the rows of one cloud.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.
        convention: Which function of the angle to return (static): `"cosine"`, cos θ; `"angle"`, θ in radians, which is
            a metric; `"squared"`, cos² θ, which is 1 − the disparity of `scipy.spatial.procrustes`.

    Returns:
        From 0 to 1, where 1 means equal up to translation, rotation and scale; of the angle, from 0, which means equal,
        to π/2. NaN if all rows of a cloud are equal. The cosine never vanishes for finite clouds: unrelated ones of n
        rows and isotropic width p reach about √(p / n), so compare with a null.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import metrics
        >>> x = jnp.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
        >>> y = jnp.array([[5.0, 5.0], [5.0, 1.0], [3.0, 5.0]])  # x, turned, doubled and moved.
        >>> round(float(metrics.procrustes(x, y)), 5)
        1.0

    Reference:
        Williams et al., Generalized shape metrics on neural representations, NeurIPS 2021 (arXiv:2110.14739).
    """
    x, y = as_float(x), as_float(y)
    check_choice("convention", convention, CONVENTIONS)
    check_paired(x, y)
    x, y = _of_unit_norm(centre(x)), _of_unit_norm(centre(y))
    if convention == "angle":
        return _angle(x, y)
    cosine = nuclear_norm(matmul(x.T, y))
    return cosine**2 if convention == "squared" else cosine


def _angle(x: Float[Array, "n p"], y: Float[Array, "n q"]) -> Scalar:
    """θ = 2 arcsin(½ ‖X R − Y‖) of centred clouds of unit norm: what is left over after the best rotation R.

    The arccosine of a cosine near 1 keeps half of its digits, and its gradient is infinite at 1. R is held fixed: at
    its optimum the derivative with respect to it vanishes.
    """
    if x.shape[1] > y.shape[1]:  # The narrower is turned into the wider, where it keeps its length.
        x, y = y, x
    rotation = polar_factor(lax.stop_gradient(matmul(x.T, y)))
    left_over = safe_sqrt(sum_of_squares(matmul(x, rotation) - y))
    return 2 * jnp.arcsin(left_over / 2)


def procrustes_rows(x: Numeric[AnyArray, "n p"], y: Numeric[AnyArray, "n q"]) -> Float[Array, " n"]:
    """Contribution of each row to the Procrustes similarity: n ⟨x_i R, y_i⟩ / (‖X‖_F ‖Y‖_F), with centred columns.

    R is `procrustes_rotation`. A row far from the centre weighs more than one near it.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.

    Returns:
        For each row a number of either sign, whose mean over rows is the cosine of `procrustes`; where the clouds are
        equal it is the share of the row in the spread of the cloud, times n.
    """
    x, y = as_float(x), as_float(y)
    rotation = procrustes_rotation(x, y)
    x, y = _of_unit_norm(centre(x)), _of_unit_norm(centre(y))
    return x.shape[0] * jnp.sum(matmul(x, rotation) * y, axis=1)


def procrustes_rotation(x: Numeric[AnyArray, "n p"], y: Numeric[AnyArray, "n q"]) -> Float[Array, "p q"]:
    """Map with orthonormal columns (rows, where p < q) that rotates centred x onto centred y: R = polar(XᵀY).

    It maximises ⟨X R, Y⟩, reflections allowed. Differentiable, also at repeated and at vanishing singular values; along
    directions that one of the clouds does not fill it is arbitrary, and its derivative is zero there.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.

    Returns:
        The map, with `centre(x) @ rotation` closest in direction to `centre(y)`.
    """
    x, y = as_float(x), as_float(y)
    check_paired(x, y)
    return polar_factor(matmul(centre(x).T, centre(y)))


def cka(x: Numeric[AnyArray, "n p"], y: Numeric[AnyArray, "n q"], *, debiased: bool = True) -> Scalar:
    """Linear centred kernel alignment: CKA = HSIC(X, Y) / √(HSIC(X, X) HSIC(Y, Y)).

    The correlation of the two clouds' inner products, over pairs of rows, computed from p × q products and from the
    norms of the rows, exactly. Not invariant to linear maps other than rotations; a few directions of large variance
    decide it.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.
        debiased: Whether to estimate each HSIC without bias (static). The plain estimate of unrelated clouds is above
            zero, by about p / n; the unbiased one is zero on average, and so may be slightly negative.

    Returns:
        From −1 to 1 (0 to 1 if not debiased); 1 means equal up to translation, rotation and scale. NaN if all rows of a
        cloud are equal.

    Raises:
        ValueError: If there are fewer than four rows (two, if not debiased), or the rows do not pair.

    Example:
        >>> import jax
        >>> from platonic_jax import metrics
        >>> x, y = jax.random.normal(jax.random.key(0), (2, 50, 20))
        >>> round(float(metrics.cka(x, y, debiased=False)), 1), abs(float(metrics.cka(x, y))) < 0.1
        (0.3, True)

    Reference:
        Kornblith et al., Similarity of neural network representations revisited, ICML 2019 (arXiv:1905.00414); without
        bias: Song et al., Feature selection via dependence maximization, JMLR 13, 1393 (2012), eq. 5; Nguyen et al., Do
        wide and deep networks learn the same things?, ICLR 2021 (arXiv:2010.15327).
    """
    x, y = as_float(x), as_float(y)
    check_paired(x, y, least=4 if debiased else 2)
    # CKA does not see the scale, and the fourth powers below would leave the range of float32 without this.
    x, y = _of_unit_norm(centre(x)), _of_unit_norm(centre(y))

    def hsic(x: Float[Array, "n p"], y: Float[Array, "n q"]) -> Scalar:
        cross = matmul(x.T, y)
        if not debiased:
            return sum_of_squares(cross)  # tr(K L) with K = X Xᵀ, L = Y Yᵀ, up to a factor common to all clouds.
        return debiased_hsic(cross, squared_norm(x), squared_norm(y))

    return hsic(x, y) / jnp.sqrt(hsic(x, x) * hsic(y, y))


def _of_unit_norm(x: Float[Array, "n p"]) -> Float[Array, "n p"]:
    return x / jnp.sqrt(sum_of_squares(x))
