"""How far atoms have moved between two versions of a model, and whether noise moves them as far."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from platonic_jax import projection, statistics
from platonic_jax._checks import check_paired
from platonic_jax._typing import AnyArray, Numeric, TypedKey
from platonic_jax.numerics import as_float, map_rows, safe_norm
from platonic_jax.statistics import MaxTest


def displacement(
    before: Numeric[AnyArray, "n p"],
    after: Numeric[AnyArray, "n q"],
    anchors: Int[AnyArray, " k"],
    *,
    similarity: str = "cosine",
) -> Float[Array, " n"]:
    """How far each atom moves in the space of the same anchor atoms: root mean square over anchors of r'_ij − r_ij.

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


def exchange_test(values: Numeric[AnyArray, "s g c"], *, num_permutations: int, key: TypedKey) -> MaxTest:
    """Is the first of c repeats larger than the others, structure by structure? For g groups at once.

    Within a structure the c values are ranked, ρ from −(c − 1)/2 to (c − 1)/2; the statistic of a group is
    z = Σ ρ_first / √(Σ ⟨ρ²⟩), sums over its structures. Under the null the first is any one of the c: it is drawn anew
    for each structure, the same for all groups, so that atoms of one structure stay together. With c = 2 it is the sign
    test. Invariant to anything that keeps the order within a structure; the structures must be independent.

    Args:
        values: Of each structure in each group, such as the mean displacement of an element; NaN where a structure
            has no atom of the group. The first of the last axis is what is judged, the others are the null.
        num_permutations: Number of draws (static).
        key: Typed key. Draw i uses `fold_in(key, i)`.

    Returns:
        The largest z of the groups, and p-values of all groups, corrected for their number. A group that no structure
        tells anything about has z = 0.

    Raises:
        ValueError: If there is nothing to rank the first among.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> values = jnp.stack([jnp.ones((9, 1)), jnp.zeros((9, 1))], axis=2)  # Larger in nine structures of nine.
        >>> test = diagnostics.exchange_test(values, num_permutations=999, key=jax.random.key(0))
        >>> float(test.value), bool(test.p_value < 0.01)
        (3.0, True)

    Reference:
        Good, Permutation, Parametric and Bootstrap Tests of Hypotheses (2005), §6.1, matched pairs and blocks; over
        groups: Westfall & Young, Resampling-based Multiple Testing (1993), §2.3.
    """
    values = as_float(values)
    number = values.shape[2]
    if number < 2:
        raise ValueError("`values` must have two repeats at least, got 1: the first is ranked among the others.")
    ahead = jnp.sign(values[..., :, None] - values[..., None, :])
    rank = jnp.nan_to_num(jnp.sum(ahead, axis=3) / 2)
    variance = jnp.sum(jnp.mean(rank**2, axis=2), axis=0)
    scale = jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1)), 1)

    def statistic(chosen: Int[Array, " s"]) -> Float[Array, " g"]:
        return jnp.sum(jnp.take_along_axis(rank, chosen[:, None, None], axis=2)[..., 0], axis=0) / scale

    def draw(i: Int[Array, ""]) -> Float[Array, " g"]:
        return statistic(jax.random.randint(jax.random.fold_in(key, i), values.shape[:1], 0, number))

    null = map_rows(draw, jnp.arange(num_permutations, dtype=jnp.int32))
    return statistics.max_corrected(statistic(jnp.zeros(values.shape[0], jnp.int32)), null)
