"""Displacement of atoms between two versions of a model, and a test among runs of its training."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from platonic_jax import projection
from platonic_jax._checks import check_paired
from platonic_jax._typing import AnyArray, Numeric
from platonic_jax.numerics import as_float, safe_norm


def displacement(
    before: Numeric[AnyArray, "n p"],
    after: Numeric[AnyArray, "n q"],
    anchors: Int[AnyArray, " k"],
    *,
    similarity: str = "cosine",
) -> Float[Array, " n"]:
    """Compute how far each atom moves in the space of the same anchors: root mean square over anchors of r'_ij − r_ij.

    Each version of the model sees the anchors in its own coordinates, so rotating or scaling one of them moves nothing.
    It is a change relative to the anchors: where these move, an atom that stays is displaced too. Not invariant to what
    the similarity is not invariant to (`projection`).

    Args:
        before: Rows of the earlier model.
        after: Rows of the later model, of the same atoms; it may have another width.
        anchors: Row indices of the anchors.
        similarity: Of rows to anchors (static), as in `projection.relative`.

    Returns:
        From 0, for atoms that stay; in units of the similarity, so of cosines at most 2.

    Raises:
        ValueError: If the rows do not pair, or the similarity is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> before = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> after = jnp.array([[0.0, 2.0], [2.0, 0.0], [0.0, 2.0]])  # Turned, but for the last atom.
        >>> diagnostics.displacement(before, after, jnp.array([0, 1])).round(3).tolist()
        [0.0, 0.0, 1.0]

    Reference:
        The space: Moschella et al., Relative representations enable zero-shot latent space communication, ICLR 2023
        (arXiv:2209.15430).
    """
    before, after = as_float(before), as_float(after)
    check_paired(before, after)
    earlier, later = (projection.relative(x, x[jnp.asarray(anchors)], similarity=similarity) for x in (before, after))
    return safe_norm(later - earlier) / math.sqrt(earlier.shape[1])


def exchange_test(distances: Numeric[AnyArray, "m m"]) -> Float[Array, " m"]:
    """Test of each of m models whether it lies farther from the others than they do.

    The statistic of a model is its mean distance to all others. If the models are exchangeable, as repeated runs of one
    training are, each of them is the farthest with the same probability; so the p-value holds whatever the distances,
    and is no smaller than 1 / m. Atoms and structures, however many, are no replicates of a training run.

    Args:
        distances: Distance of every model to every other; the diagonal is not read.

    Returns:
        For each model the share of models, itself among them, whose mean distance is at least as large; NaN where a
        distance is NaN.

    Raises:
        ValueError: If there are fewer than two models.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> distances = jnp.array([[0.0, 3.0, 3.0], [3.0, 0.0, 1.0], [3.0, 1.0, 0.0]])
        >>> diagnostics.exchange_test(distances).round(2).tolist()
        [0.33, 1.0, 1.0]

    Reference:
        Lehmann & Romano, Testing Statistical Hypotheses (2005), §15.2: randomization tests.
    """
    distances = as_float(distances)
    number = distances.shape[0]
    if number < 2:
        raise ValueError(f"`distances` must be between at least two models, got {number}: give another run.")
    away = jnp.sum(jnp.where(jnp.eye(number, dtype=bool), 0, distances), axis=1)
    p_values = jnp.mean((away[None, :] >= away[:, None]).astype(distances.dtype), axis=1)
    return jnp.where(jnp.any(jnp.isnan(away)), jnp.nan, p_values)
