"""Objectives: pure differentiable functions of a space, the rows it gave, and the batch they came from.

An objective is any function `(space, rows, batch) -> scalar`; those here are made by functions that take its settings.
One of your own is a few lines:

    def short_rows(space, rows, batch):
        return sum(jnp.mean(x**2) for x in rows)

    objective = learn.objectives.weighted((1.0, learn.objectives.agreement("matching")), (0.1, short_rows))

Values are losses: the smaller, the better. Those of a task are errors on one half of the structures of a batch, of a
read-out that was solved in closed form on the other half, so that the gradient is that of a held-out error.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from platonic_jax import metrics
from platonic_jax._checks import check_choice, check_count, check_positive
from platonic_jax._typing import Scalar
from platonic_jax.learn._data import Batch
from platonic_jax.numerics import centre, matmul, normalise, squared_distances, squared_norm

__all__ = [
    "MEASURES",
    "Objective",
    "agreement",
    "classes",
    "conditioning",
    "coverage",
    "sparsity",
    "values",
    "weighted",
]


def __dir__() -> list[str]:
    return __all__


Objective = Callable[[Any, tuple[Array, ...], Batch], Scalar]
Temperatures = tuple[float, float]

MEASURES = ("matching", "neighbours", "procrustes", "cka", "sinkhorn_divergence")
PER = ("atom", "structure")


def weighted(*terms: tuple[float, Objective]) -> Objective:
    """The sum of objectives, each times its weight."""
    if not terms:
        raise ValueError("`terms` must be at least one (weight, objective), got none.")

    def total(space: Any, rows: tuple[Array, ...], batch: Batch) -> Scalar:
        return jnp.sum(jnp.stack([weight * term(space, rows, batch) for weight, term in terms]))

    return total


def agreement(measure: str = "matching", *, temperatures: Temperatures = (0.1, 0.01)) -> Objective:
    """Disagreement of models, averaged over all pairs of them.

    - `"matching"`: −log of the probability with which an atom of one model finds itself among all atoms of the other,
      by a softmax of squared distances over the temperature, over log n: 0 if it always does, 1 if all are as near,
      more if others are nearer. Atoms of its own structure, which may be its symmetric copies, are no wrong answers.
      What is near an atom in one model and far from it in the other is pushed away in both, so neighbourhoods come to
      agree, and so do coordinates.
    - `"neighbours"`: 1 − the overlap Σ_j √(p_ij q_ij) of the soft neighbourhoods of an atom in two models.
    - `"procrustes"`, `"cka"`: 1 − the measure of `metrics`.
    - `"sinkhorn_divergence"`: that of `metrics`, over the mean squared distance of the rows of both from their centre,
      so that smaller weights alone do not lower it. It does not look at which row is which.

    Args:
        measure: One of `MEASURES`.
        temperatures: At the beginning and at the end of training, of the softmax, in units of the mean squared distance
            from the centre; geometric in between.

    Returns:
        The objective.

    Reference:
        Matching: van den Oord et al., Representation learning with contrastive predictive coding (arXiv:1807.03748).
    """
    check_choice("measure", measure, MEASURES)
    for temperature in temperatures:
        check_positive("temperatures", temperature)
    begin, end = temperatures

    def disagreement(x: Array, y: Array, batch: Batch) -> Scalar:
        if measure in ("matching", "neighbours"):
            temperature = begin * (end / begin) ** batch.progress.astype(x.dtype)
            loss = _matching if measure == "matching" else _neighbours_missed
            return loss(_of_unit_spread(x), _of_unit_spread(y), batch.structure, temperature)
        if measure == "sinkhorn_divergence":
            return metrics.sinkhorn_divergence(x, y) / ((_spread(x) + _spread(y)) / 2)
        return 1 - getattr(metrics, measure)(x, y)

    def objective(space: Any, rows: tuple[Array, ...], batch: Batch) -> Scalar:
        if len(rows) < 2:
            raise ValueError(f"`agreement` must be of two or more models, got {len(rows)}.")
        # One pair after the other: each has matrices over all pairs of rows, made anew for the gradient.
        first, second = (jnp.asarray(loss) for loss in zip(*itertools.combinations(range(len(rows)), 2), strict=True))
        clouds = jnp.stack(rows)
        of_pair = jax.checkpoint(lambda x, y: disagreement(x, y, batch))
        return jnp.mean(jax.lax.map(lambda pair: of_pair(clouds[pair[0]], clouds[pair[1]]), (first, second)))

    return objective


def _spread(x: Float[Array, "n k"]) -> Scalar:
    """Mean squared distance from the centre; 1 if all rows coincide."""
    spread = jnp.mean(squared_norm(centre(x)))
    return jnp.where(spread > 0, spread, 1)


def _of_unit_spread(x: Float[Array, "n k"]) -> Float[Array, "n k"]:
    return centre(x) / jnp.sqrt(_spread(x))


def _matching(
    x: Float[Array, "n k"], y: Float[Array, "n k"], structure: Int[Array, " n"], temperature: Scalar
) -> Scalar:
    n = len(structure)
    closeness = -squared_distances(x, y) / temperature
    barred = (structure[:, None] == structure[None, :]) & ~jnp.eye(n, dtype=bool)
    closeness = jnp.where(barred, -jnp.inf, closeness)
    sought = jax.nn.logsumexp(closeness, axis=1) + jax.nn.logsumexp(closeness, axis=0)
    return jnp.mean(sought / 2 - jnp.diagonal(closeness)) / jnp.log(n)


def _neighbours_missed(
    x: Float[Array, "n k"], y: Float[Array, "n k"], structure: Int[Array, " n"], temperature: Scalar
) -> Scalar:
    itself = jnp.eye(len(structure), dtype=bool)

    def log_neighbourhood(x: Float[Array, "n k"]) -> Float[Array, "n n"]:
        return jax.nn.log_softmax(jnp.where(itself, -jnp.inf, -squared_distances(x, x) / temperature), axis=1)

    # The logarithm of √(p q) is taken first: √ has no gradient at 0, where most neighbourhoods are.
    overlap = jnp.exp((log_neighbourhood(x) + log_neighbourhood(y)) / 2)
    return 1 - jnp.mean(jnp.sum(overlap, axis=1))


def values(target: str, *, per: str = "structure", ridge: float = 1e-3) -> Objective:
    """Error of a linear readout of values, mean over models: Σ (y − ŷ)² / Σ (y − ȳ)² on held-out structures.

    Of every two structures in a batch the read-out, a ridge regression with an intercept, is fitted on one and judged
    on the other; ȳ is the mean of the former, which would give 1. Left out are structures without the value,
    and one that the batch cuts short.

    Args:
        target: A name in `Batch.targets`.
        per: `"structure"`, rows are averaged over each structure, as is right for energies per atom and moduli;
            `"atom"`, each row stands for itself.
        ridge: The penalty, in units of the mean eigenvalue of XᵀX, X the centred rows of the read-out.

    Returns:
        The objective.
    """
    check_choice("per", per, PER)
    check_positive("ridge", ridge)

    def objective(space: Any, rows: tuple[Array, ...], batch: Batch) -> Scalar:
        y, used, held_out = _target(batch, target, per)
        errors = [_read_out_error(_pooled(x, batch, per), y[:, None], used, held_out, ridge) for x in rows]
        return jnp.mean(jnp.stack(errors))

    return objective


def classes(target: str, *, num_classes: int, per: str = "atom", ridge: float = 1e-3) -> Objective:
    """Error of a linear readout of classes, ridge regression onto their indicators; otherwise as `values`.

    Args:
        target: A name in `Batch.targets`: classes as numbers from 0.
        num_classes: How many there are; a number that is not below it makes the loss NaN.
        per: `"atom"` or `"structure"`.
        ridge: As in `values`.

    Returns:
        The objective.
    """
    check_count("num_classes", num_classes)
    check_choice("per", per, PER)
    check_positive("ridge", ridge)

    def objective(space: Any, rows: tuple[Array, ...], batch: Batch) -> Scalar:
        label, used, held_out = _target(batch, target, per)
        label = jnp.round(label).astype(jnp.int32)
        # A class that is none of them is no class at all: the loss is NaN, which `fit` refuses.
        outside = used & ((label < 0) | (label >= num_classes))
        y = jnp.where(outside[:, None], jnp.nan, jax.nn.one_hot(label, num_classes, dtype=rows[0].dtype))
        errors = [_read_out_error(_pooled(x, batch, per), y, used, held_out, ridge) for x in rows]
        return jnp.mean(jnp.stack(errors))

    return objective


def _target(batch: Batch, name: str, per: str) -> tuple[Float[Array, " n"], Bool[Array, " n"], Bool[Array, " n"]]:
    """Return values (0 where unknown), the mask of known ones, and the mask of those the readout is evaluated on."""
    if name not in batch.targets:
        raise ValueError(f"`target` must be one of {', '.join(sorted(batch.targets)) or 'none'}, got {name!r}.")
    value, structure = batch.targets[name], batch.structure
    known = jnp.isfinite(value) & (structure >= 0)
    value = jnp.where(known, value, 0)
    if per == "structure":
        value, known = _means(value[:, None], structure, known)
        value, structure = value[:, 0], jnp.arange(len(structure))
    return value, known, known & (structure % 2 == 1)


def _pooled(x: Float[Array, "n k"], batch: Batch, per: str) -> Float[Array, "n k"]:
    """The rows that the targets belong to."""
    return x if per == "atom" else _means(x, batch.structure, batch.structure >= 0)[0]


def _means(
    x: Float[Array, "n k"], structure: Int[Array, " n"], known: Bool[Array, " n"]
) -> tuple[Float[Array, "n k"], Bool[Array, " n"]]:
    """Means over what is known of each structure, in as many rows as there are atoms; and which are of anything."""
    total = partial(jax.ops.segment_sum, segment_ids=structure, num_segments=len(structure))
    number = total(known.astype(x.dtype))
    return total(jnp.where(known[:, None], x, 0)) / jnp.maximum(number, 1)[:, None], number > 0


def _read_out_error(
    x: Float[Array, "n k"], y: Float[Array, "n c"], used: Bool[Array, " n"], held_out: Bool[Array, " n"], ridge: float
) -> Scalar:
    y = y.astype(x.dtype)
    fitted, judged_on = ((rows.astype(x.dtype)[:, None]) for rows in (used & ~held_out, held_out))

    def mean(a: Array) -> Array:
        return jnp.sum(fitted * a, axis=0, keepdims=True) / jnp.maximum(jnp.sum(fitted), 1)

    x, y = x - mean(x), y - mean(y)
    gram = matmul((fitted * x).T, x)
    size = jnp.trace(gram) / x.shape[1]
    gram = gram + (ridge * jnp.where(size > 0, size, 1)) * jnp.eye(x.shape[1], dtype=x.dtype)
    read_out = jax.scipy.linalg.solve(gram, matmul((fitted * x).T, y), assume_a="pos")
    left, whole = jnp.sum(judged_on * (y - matmul(x, read_out)) ** 2), jnp.sum(judged_on * y**2)
    return left / jnp.where(whole > 0, whole, 1)


def coverage(*, temperature: float = 0.05) -> Objective:
    """1 − how similar an atom is to the anchors most like it, Σ_j softmax(x / T)_j x_j; mean over atoms and models.

    For cosines without weights, from 0, where the anchors lie in the direction of every atom, to 2.

    Args:
        temperature: Of the soft maximum, in units of the similarity.
    """
    check_positive("temperature", temperature)

    def objective(space: Any, rows: tuple[Array, ...], batch: Batch) -> Scalar:
        # Not the logarithm of the sum of exponentials: two equal similarities are no more than one.
        return 1 - jnp.mean(jnp.stack([jnp.sum(jax.nn.softmax(x / temperature, axis=1) * x, axis=1) for x in rows]))

    return objective


def conditioning(*, ridge: float = 1e-4) -> Objective:
    """Redundancy of the anchors: −log det((G + ridge) / (1 + ridge)) / k of their cosines G, mean over models.

    From 0, where they are orthogonal, to about −log ridge, where all are equal.

    Args:
        ridge: What is added to the diagonal, so that two equal anchors cost a finite amount.
    """
    check_positive("ridge", ridge)

    def objective(space: Any, rows: tuple[Array, ...], batch: Batch) -> Scalar:
        def of(model: int) -> Scalar:
            a = normalise(space.anchor_rows(model, temperature=batch.temperature))
            gram = (matmul(a, a.T) + ridge * jnp.eye(len(a), dtype=a.dtype)) / (1 + ridge)
            return -2 * jnp.mean(jnp.log(jnp.diagonal(jnp.linalg.cholesky(gram))))

        return jnp.mean(jnp.stack([of(model) for model in range(space.num_models)]))

    return objective


def sparsity() -> Objective:
    """Sparsity of the anchor weights w: ‖w‖₁ / (√k ‖w‖₂), from 1 / √k (one anchor) to 1 (equal weights)."""

    def objective(space: Any, rows: tuple[Array, ...], batch: Batch) -> Scalar:
        if space.weights is None:
            raise ValueError("`sparsity` must see anchor weights, got a space without: give it `AnchorWeights`.")
        w = space.weights().astype(rows[0].dtype)
        return jnp.sum(normalise(w[None])) / jnp.sqrt(len(w))

    return objective
