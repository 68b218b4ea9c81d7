"""Principal components, ridge regression and the polar factor: decompositions of small matrices."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float

from platonic_jax._checks import check_count
from platonic_jax._typing import AnyArray, Numeric
from platonic_jax.numerics._arrays import as_float, centre, matmul

_COARSE, _FINE = 10, 6  # Steps of the polar iteration: singular values from about 1e-5 of the norm on reach 1.


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
    return _pca(x, num_components=num_components)


@partial(jax.jit, static_argnames="num_components")
def _pca(x: Float[Array, "n p"], *, num_components: int) -> PCA:
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


def nuclear_norm(x: Numeric[AnyArray, "*batch p q"]) -> Float[Array, "*batch"]:
    """Sum of the singular values of a matrix, or of each of many.

    In float32 it is tr(Pᵀ X), with the polar factors P of an iteration on all of the matrices at once: nine times
    faster than singular value decompositions, which devices make of small matrices one after the other. In float64 it
    is by these.

    Args:
        x: Any real matrices.

    Returns:
        Each sum, at least 0, to a relative precision of 1e-6 in float32. Its gradient is P, also where singular values
        repeat; along directions in which a matrix vanishes it is one of the possible ones.
    """
    return _nuclear_norm(as_float(x))


@jax.custom_jvp
def _nuclear_norm(x: Float[Array, "*batch p q"]) -> Float[Array, "*batch"]:
    if x.dtype == jnp.float32:
        return jnp.sum(_polar_iteration(x) * x, axis=(-2, -1))
    return jnp.sum(jnp.linalg.svd(x, compute_uv=False), axis=-1)


@_nuclear_norm.defjvp
def _nuclear_norm_jvp(
    primals: tuple[Float[Array, "*batch p q"]], tangents: tuple[Float[Array, "*batch p q"]]
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    (x,), (dx,) = primals, tangents
    if x.dtype == jnp.float32:
        polar = _polar_iteration(x)
        return jnp.sum(polar * x, axis=(-2, -1)), jnp.sum(polar * dx, axis=(-2, -1))
    polar = jnp.vectorize(_polar_factor, signature="(p,q)->(p,q)")(x)
    return _nuclear_norm(x), jnp.sum(polar * dx, axis=(-2, -1))


def _polar_iteration(x: Float[Array, "*batch p q"]) -> Float[Array, "*batch p q"]:
    """Polar factors by matrix products alone; singular values far below 1e-5 of the norm keep less than 1.

    Each step takes every singular value through an odd polynomial. That of the coarse steps lifts small ones by 3.4
    and leaves large ones near 1 (K. Jordan et al., Muon, 2024); that of the fine steps is Newton-Schulz, which doubles
    the digits.
    """
    norm = jnp.sqrt(jnp.sum(x**2, axis=(-2, -1), keepdims=True))
    x = jnp.where(norm == 0, 0, x / jnp.where(norm == 0, 1, norm))

    def lift(_: Array, x: Array) -> Array:
        square = matmul(jnp.swapaxes(x, -2, -1), x)
        return 3.4445 * x + matmul(x, 2.0315 * matmul(square, square) - 4.775 * square)

    def settle(_: Array, x: Array) -> Array:
        return 1.5 * x - 0.5 * matmul(x, matmul(jnp.swapaxes(x, -2, -1), x))

    return lax.fori_loop(0, _FINE, settle, lax.fori_loop(0, _COARSE, lift, x))
