"""Stitching maps from the space of one model to that of another, and readouts applied to mapped embeddings.

| method         | the map, of rows x to rows y                                               | fitted                |
|----------------|----------------------------------------------------------------------------|-----------------------|
| `"orthogonal"` | y ≈ ȳ + s (x − x̄) R, R with orthonormal columns (rows, where p < q)        | R and s, to all pairs |
| `"affine"`     | y ≈ ȳ + (x − x̄) W, least squares                                           | W, to all pairs       |
| `"ridge"`      | the same with a penalty on W, chosen by leaving out each row               | W, to all pairs       |
| `"relative"`   | y ≈ ȳ + (r(x) − r̄) W, r the similarities of x to its anchors               | W, to all pairs       |
| `"curved"`     | the sum of the two: y ≈ ȳ + (x − x̄) V + (r(x) − r̄) W                       | V, W, to all pairs    |
| `"anchors"`    | the row y whose similarities to y's anchors are those of x to x's          | nothing               |

The last is zero-shot: of which row of x belongs to which of y it knows the anchors alone.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from platonic_jax import metrics, projection
from platonic_jax._checks import check_choice, check_count, check_paired, check_positive
from platonic_jax._typing import AnyArray, Flag, Numeric, Scalar
from platonic_jax.numerics import (
    as_float,
    centre,
    map_rows,
    matmul,
    pca,
    polar_factor,
    ridge_solve,
    safe_norm,
    safe_sqrt,
    squared_norm,
)

__all__ = ["METHODS", "Consensus", "Map", "apply", "consensus", "energies", "fit"]


def __dir__() -> list[str]:
    return __all__


METHODS = ("orthogonal", "affine", "ridge", "relative", "curved", "anchors")
"""How a map may be fitted."""
ZERO_SHOT = ("cosine", "rbf", "whitened")  # Similarities that tell a row, once its length is known.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda x: x,
    "silu": jax.nn.silu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Map:
    """A map from rows (n, p) to rows (n, q); a pytree.

    Attributes:
        centre: (c,) what is taken from the rows, from their similarities to `anchors`, or from both side by side.
        matrix: (c, q) what that is multiplied by.
        offset: (q,) what is added then.
        ridge: () the penalty on `matrix`, relative to the sum of squares of what is multiplied; 0 if there is none.
        anchors: (k, p) rows whose similarities are taken; None where the rows themselves are.
        reference: (2 p, p) rows that mean and covariance of such similarities are taken from, or None.
        similarity: of rows to anchors (static), or None.
        with_rows: whether the rows themselves stand before their similarities (static).
    """

    centre: Any
    matrix: Any
    offset: Any
    ridge: Any
    anchors: Any = None
    reference: Any = None
    similarity: str | None = dataclasses.field(default=None, metadata={"static": True})
    with_rows: bool = dataclasses.field(default=False, metadata={"static": True})


def fit(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "n q"],
    *,
    method: str = "ridge",
    anchors: Int[AnyArray, " k"] | None = None,
    similarity: str = "whitened",
    ridge: float | None = None,
    num_components: int | None = None,
) -> Map:
    """A map from the rows of one embedding to those of another of the same atoms.

    All but `"relative"` and `"curved"` are linear. All but `"relative"` are exact where y is x turned, scaled and moved
    (`"anchors"` if the anchors span the space), and all but `"orthogonal"` where y is any linear image of x
    (`"anchors"` if that is invertible and the similarity `"whitened"`).

    `"anchors"` takes the cosines of a row of x to x's anchors for those of a row of y to y's (`projection.inverse`),
    and its length, in units of the anchors' mean length, for that of the other: which makes it linear. Mean and
    covariance of each cloud are its own, and need no pairs. Where the clouds only resemble each other it needs many
    anchors for every column, so with real models keep few principal components, of each cloud its own.

    An error on the training rows is optimistically biased: hold out whole structures, or chemistries.

    Args:
        x: Embedding to map from.
        y: Embedding of the same rows to map to.
        method: `"orthogonal"`, `"affine"`, `"ridge"`, `"relative"`, `"curved"` or `"anchors"` (static).
        anchors: Rows that are anchors, for the last three.
        similarity: Of rows to anchors (static): one of `projection.relative`; for `"anchors"` `"cosine"` (of centred
            rows), `"rbf"` or `"whitened"`.
        ridge: Penalty of `"ridge"`, `"relative"` and `"curved"`, relative to the sum of squares of what is multiplied
            (static). When absent, of one a decade up to 1 the one by which rows left out are predicted best.
        num_components: Leading principal components of each cloud that `"anchors"` keeps (static); all when absent.

    Returns:
        The map, for `apply`. Differentiable, the choice of the penalty held fixed; with `num_components` where
        variances differ.

    Raises:
        ValueError: If `method` or `similarity` is unknown, anchors are missing, or the rows do not pair.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from platonic_jax import stitching
        >>> x = jax.random.normal(jax.random.key(0), (100, 4))
        >>> y = 2 * x[:, ::-1] + 1
        >>> found = stitching.fit(x, y, method="orthogonal")
        >>> bool(jnp.allclose(stitching.apply(found, x), y, atol=1e-4))
        True

    Reference:
        Moschella et al., Relative representations enable zero-shot latent space communication, ICLR 2023
        (arXiv:2209.15430); Maiorana et al., Latent space translation via inverse relative projection, 2024
        (arXiv:2406.15057); maps: Maiorca et al., Latent space translation via semantic alignment, NeurIPS 2023
        (arXiv:2311.00664).
    """
    x, y = as_float(x), as_float(y)
    check_choice("method", method, METHODS)
    check_paired(x, y)
    if ridge is not None:
        check_positive("ridge", ridge)
    if method in ("orthogonal", "affine", "ridge"):
        if method == "orthogonal":
            return _orthogonal(x, y)
        return _ridge(x, y, ridge=_least(x) if method == "affine" else ridge)
    if anchors is None:
        raise ValueError(f'`anchors` must be given for method "{method}", got none: choose rows with `anchors`.')
    anchors = jnp.asarray(anchors)
    check_choice("similarity", similarity, ZERO_SHOT if method == "anchors" else projection.INVARIANCES)
    if method == "anchors":
        return _zero_shot(x, y, anchors, similarity=similarity, num_components=num_components)
    return _of_similarities(x, y, anchors, similarity=similarity, ridge=ridge, with_rows=method == "curved")


def apply(map: Map, x: Numeric[AnyArray, "n p"]) -> Float[Array, "n q"]:
    """Rows in the space that a map leads to.

    Args:
        map: From `fit`.
        x: Rows of the embedding that it was fitted from: the same atoms, or others.

    Returns:
        One row for each.
    """
    x = as_float(x)
    if map.similarity is not None:
        seen = projection.relative(x, map.anchors, similarity=map.similarity, reference=map.reference)
        x = jnp.concatenate([x, seen], axis=1) if map.with_rows else seen
    return matmul(x - map.centre[None], map.matrix) + map.offset[None]


def _orthogonal(x: Float[Array, "n p"], y: Float[Array, "n q"]) -> Map:
    rotation = metrics.procrustes_rotation(x, y)
    around_x, around_y = centre(x), centre(y)
    turned = matmul(around_x, rotation)
    size = jnp.sum(squared_norm(turned))
    scale = jnp.sum(turned * around_y) / jnp.where(size > 0, size, 1)
    return Map(_mean(x, around_x), scale * rotation, _mean(y, around_y), jnp.zeros((), x.dtype))


def _ridge(x: Float[Array, "n p"], y: Float[Array, "n q"], *, ridge: float | None) -> Map:
    around_x, around_y = centre(x), centre(y)
    gram, target = matmul(around_x.T, around_x), matmul(around_x.T, around_y)
    if ridge is None:
        chosen = _best_penalty(*lax.stop_gradient((around_x, around_y, gram, target)))
    else:
        chosen = jnp.asarray(ridge, x.dtype)
    return Map(_mean(x, around_x), ridge_solve(gram, target, ridge=chosen), _mean(y, around_y), chosen)


def _of_similarities(
    x: Float[Array, "n p"],
    y: Float[Array, "n q"],
    anchors: Int[Array, " k"],
    *,
    similarity: str,
    ridge: float | None,
    with_rows: bool,
) -> Map:
    """A ridge map of similarities, or of rows and similarities: these of equal variance, so that neither is spared."""
    seen, reference = x[anchors], _summary(x) if similarity in ("rbf", "whitened") else None
    features = projection.relative(x, seen, similarity=similarity, reference=reference)
    units = jnp.ones(features.shape[1], x.dtype)
    if with_rows:
        sizes = [safe_sqrt(jnp.sum(squared_norm(centre(part)))) for part in (x, features)]
        units = jnp.concatenate(
            [
                jnp.full(part.shape[1], 1 / jnp.where(size > 0, size, 1), x.dtype)
                for part, size in zip((x, features), sizes, strict=True)
            ]
        )
        features = jnp.concatenate([x, features], axis=1)
    ridge_map = _ridge(features * units[None], y, ridge=ridge)
    return dataclasses.replace(
        ridge_map,
        centre=ridge_map.centre / units,
        matrix=ridge_map.matrix * units[:, None],
        anchors=seen,
        reference=reference,
        similarity=similarity,
        with_rows=with_rows,
    )


def _best_penalty(
    x: Float[Array, "n p"], y: Float[Array, "n q"], gram: Float[Array, "p p"], target: Float[Array, "p q"]
) -> Scalar:
    """The penalty of the least error of rows left out one by one, (y − ŷ) / (1 − h), h what a row weighs in ŷ."""
    variance, directions = jnp.linalg.eigh(gram)
    variance, trace = jnp.maximum(variance, 0), jnp.trace(gram)
    scores, seen = matmul(x, directions), matmul(directions.T, target)
    least = math.log10(_least(x))
    penalties = 10 ** jnp.linspace(least, 0, 1 + math.ceil(-least), dtype=x.dtype)

    def error(penalty: Scalar) -> Scalar:
        shrunk = variance + jnp.where(trace > 0, penalty * trace, 1)
        weight = matmul(scores**2, (1 / shrunk)[:, None])[:, 0] + 1 / x.shape[0]
        left = (y - matmul(scores, seen / shrunk[:, None])) / (1 - weight)[:, None]
        return jnp.mean(squared_norm(left))

    return penalties[jnp.argmin(map_rows(error, penalties))]


def _least(x: Float[Array, "n p"]) -> float:
    """The weakest penalty that the digits of the dtype allow: of directions with less variance nothing is known."""
    return x.shape[1] * float(jnp.finfo(x.dtype).eps)


def _mean(x: Float[Array, "n p"], around: Float[Array, "n p"]) -> Float[Array, " p"]:
    """Return the offset that was subtracted from each row."""
    return x[0] - around[0]


def _summary(x: Float[Array, "n p"]) -> Float[Array, "_ p"]:
    """2 p rows with the mean and the covariance of all."""
    around = centre(x)
    p = x.shape[1]
    covariance = matmul(around.T, around) / x.shape[0]
    lower = jnp.linalg.cholesky(covariance + _least(x) * jnp.trace(covariance) * jnp.eye(p, dtype=x.dtype))
    return _mean(x, around)[None] + math.sqrt(p) * jnp.concatenate([lower.T, -lower.T])


def _zero_shot(
    x: Float[Array, "n p"],
    y: Float[Array, "n q"],
    anchors: Int[Array, " k"],
    *,
    similarity: str,
    num_components: int | None,
) -> Map:
    """Fit a linear map from the images of the origin and of unit vectors."""
    around_x, around_y = centre(x), centre(y)
    mean_x, mean_y = _mean(x, around_x), _mean(y, around_y)
    if num_components is not None:
        c = min(num_components, x.shape[1], y.shape[1])
        check_count("num_components", num_components)
        (seen_x, into, _), (seen_y, out, _) = (pca(around, num_components=c) for around in (around_x, around_y))
        inner = _zero_shot(seen_x, seen_y, anchors, similarity=similarity, num_components=None)
        matrix = matmul(matmul(into.T, inner.matrix), out)
        offset = matmul((inner.offset - matmul(inner.centre[None], inner.matrix)[0])[None], out)[0]
        return Map(mean_x, matrix, mean_y + offset, inner.ridge)
    seen_x, seen_y = around_x[anchors], around_y[anchors]
    p = x.shape[1]
    size = safe_sqrt(jnp.mean(squared_norm(around_x)))
    unit = jnp.where(size > 0, size, 1)
    probes = unit * jnp.eye(p + 1, p, k=-1, dtype=x.dtype)
    similarities = projection.relative(probes, seen_x, similarity=similarity, reference=around_x)
    images = projection.inverse(similarities, seen_y, similarity=similarity, reference=around_y).rows
    if similarity != "rbf":
        ratio = _mean_length(seen_y, around_y, similarity) / _mean_length(seen_x, around_x, similarity)
        images = images * (ratio * _lengths(probes, around_x, similarity))[:, None]
    return Map(mean_x, (images[1:] - images[:1]) / unit, mean_y + images[0], jnp.zeros((), x.dtype))


def _lengths(rows: Float[Array, "m p"], around: Float[Array, "n p"], similarity: str) -> Float[Array, " m"]:
    """Norms of rows in the metric of the similarity: that of the covariance if it is whitened."""
    if similarity == "cosine":
        return safe_norm(rows)
    covariance = matmul(around.T, around) / around.shape[0]
    return safe_sqrt(jnp.sum(rows * ridge_solve(covariance, rows.T, ridge=_least(around)).T, axis=1))


def _mean_length(rows: Float[Array, "k p"], around: Float[Array, "n p"], similarity: str) -> Scalar:
    return jnp.mean(_lengths(rows, around, similarity))


def energies(
    x: Numeric[AnyArray, "n p"],
    species: Int[AnyArray, " n"],
    structure_index: Int[AnyArray, " n"],
    *,
    readout: Any,
    num_structures: int,
) -> Float[Array, " {num_structures}"]:
    """Energies of a model's readout from embeddings: E_s = Σ_i scale(z_i) f(x_i) + shift(z_i) over the atoms of s.

    f is the read-out's dense layers, with its activation between them. The rows may be the model's own, which give its
    own energies, or rows of another model that were mapped to its space.

    Args:
        x: Rows in the space that the read-out reads.
        species: Atomic numbers.
        structure_index: The structure of each atom.
        readout: Record of `weights`, `biases`, `activation`, `scale` and `shift` by atomic number:
            `EmbeddingTable.readout`.
        num_structures: Number of structures (static).

    Returns:
        The energy of each structure in eV; 0 of one without atoms, NaN of one with an element that the model does not
        know.

    Raises:
        ValueError: If the activation is unknown, or the rows are not as wide as those the read-out reads.
    """
    x = as_float(x)
    check_choice("readout.activation", readout.activation, ACTIVATIONS)
    if x.shape[1] != readout.weights[0].shape[0]:
        raise ValueError(
            f"`x` must have the {readout.weights[0].shape[0]} columns that the read-out reads, got {x.shape[1]}: map "
            "the rows to its model first."
        )
    as_x = lambda values: jnp.asarray(values).astype(x.dtype)
    activation, last = ACTIVATIONS[readout.activation], len(readout.weights) - 1
    for i, (weights, bias) in enumerate(zip(readout.weights, readout.biases, strict=True)):
        x = matmul(x, as_x(weights)) + as_x(bias)[None]
        x = x if i == last else activation(x)
    of_atoms = as_x(readout.scale)[species] * x[:, 0] + as_x(readout.shift)[species]
    return jax.ops.segment_sum(of_atoms, structure_index, num_segments=num_structures)


class Consensus(NamedTuple):
    """The mean of several clouds of the same atoms, as shapes.

    Attributes:
        mean: (n, c) centred, of norm 1 in all, in the orientation of the first cloud, c the widest cloud's columns.
        distances: (m,) angle between each cloud and the mean after the best rotation, in radians, from 0 to π/2.
        maps: for each cloud the map to the space of the mean, for `apply`: new rows of every model, mapped and
            averaged, are rows of the mean.
        change: () how far the mean moved in the last step, relative to its norm.
        converged: () whether that is less than 1e-3.
    """

    mean: Float[Array, "n c"]
    distances: Float[Array, " m"]
    maps: tuple[Map, ...]
    change: Scalar
    converged: Flag


def consensus(xs: Sequence[Numeric[AnyArray, "n _"]], *, num_steps: int = 30) -> Consensus:
    """Fréchet mean of clouds as shapes (generalised Procrustes): M of norm 1 that minimises Σ_i ‖X_i R_i − M‖².

    X_i are centred and of norm 1, R_i orthogonal, reflections allowed. Turn by turn every cloud is turned onto the
    mean, and the mean taken of the turned clouds. It does not change if clouds are turned, moved, scaled or padded with
    columns of zeros, but for its own orientation, which is that of the first.

    Args:
        xs: Embeddings of the same atoms, such as similarities to the same anchors.
        num_steps: Number of steps (static).

    Returns:
        The mean, the distance of each cloud to it, and the maps; differentiable.

    Raises:
        ValueError: If there are fewer than two clouds, or their rows do not pair.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from platonic_jax import stitching
        >>> x = jax.random.normal(jax.random.key(0), (50, 3))
        >>> found = stitching.consensus([x, 2 * x[:, ::-1], x + 1])
        >>> bool(found.converged), bool((found.distances < 1e-3).all())
        (True, True)

    Reference:
        Gower, Generalized Procrustes analysis, Psychometrika 40, 33 (1975); Williams et al., Generalized shape metrics
        on neural representations, NeurIPS 2021 (arXiv:2110.14739).
    """
    if len(xs) < 2:
        raise ValueError(f"`xs` must be at least two clouds, got {len(xs)}.")
    check_count("num_steps", num_steps)
    xs = [as_float(x) for x in xs]
    for x in xs[1:]:
        check_paired(xs[0], x)
    width = max(x.shape[1] for x in xs)
    padded = [jnp.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in xs]
    around = [centre(x) for x in padded]
    sizes = [safe_sqrt(jnp.sum(squared_norm(x))) for x in around]
    shapes = jnp.stack([x / jnp.where(size > 0, size, 1) for x, size in zip(around, sizes, strict=True)])
    # Rotations follow from products of the clouds alone, whatever the number of rows: (m, m, c, c).
    products = jax.vmap(lambda x: jax.vmap(lambda y: matmul(x.T, y))(shapes))(shapes)

    def seen(turns: Array) -> Array:
        """For each cloud Xᵢᵀ Σⱼ Xⱼ Rⱼ: the sum of all as they are turned, seen by its columns."""
        return jax.vmap(lambda row: jnp.sum(matmul(row, turns), axis=0))(products)

    def size(turns: Array) -> Scalar:
        """‖Σⱼ Xⱼ Rⱼ‖."""
        return safe_sqrt(jnp.maximum(jnp.sum(turns * seen(turns)), 0))

    def step(turns: Array, _: None) -> tuple[Array, Scalar]:
        new = jax.vmap(polar_factor)(seen(turns))
        norm = size(new)
        return new, size(new - turns) / jnp.where(norm > 0, norm, 1)

    turns, changes = lax.scan(step, jax.vmap(polar_factor)(products[:, 0]), None, length=num_steps)
    total = jnp.sum(matmul(shapes, turns), axis=0)
    norm = safe_sqrt(jnp.sum(squared_norm(total)))
    unit = jnp.where(norm > 0, norm, 1)
    mean = total / unit
    distances = jnp.stack([metrics.procrustes(x, mean, convention="angle") for x in xs])

    def to_mean(given: Array, x: Array, at: Array, size: Scalar, turn: Array) -> Map:
        p = given.shape[1]
        scale = len(xs) / unit / jnp.where(size > 0, size, 1)
        return Map(_mean(x, at)[:p], scale * turn[:p], jnp.zeros(width, mean.dtype), jnp.zeros((), mean.dtype))

    maps = tuple(to_mean(*space) for space in zip(xs, padded, around, sizes, turns, strict=True))
    return Consensus(mean, distances, maps, changes[-1], changes[-1] < 1e-3)
