"""Vector arithmetic on crystals: pooling of atoms, sums and differences, and distances between crystals.

Pooled, a crystal is one vector, and vectors can be added: `TiO2 - Ti + Zr` is a place, and the crystals nearest to it
are an answer (`analogy`, `ranks`); products less reactants are a vector too (`reaction`). What pooling loses is which
atom is which: two crystals as clouds of atoms, not pooled, are compared by `cloud_distances`.

| pooling        | vector of a crystal                                     | of a supercell of m cells | width        |
|----------------|---------------------------------------------------------|---------------------------|--------------|
| `"sum"`        | Σ x                                                     | m times the vector        | p            |
| `"mean"`       | Σ w x / Σ w                                             | the same                  | p            |
| `"covariance"` | that mean, and the covariance about it, each entry once | the same                  | p + p(p+1)/2 |
| `"elements"`   | the mean of each element's atoms, side by side          | the same                  | elements × p |

None depends on the order of the atoms. Differences of crystals are differences of compositions first of all: what a
benchmark reaches with the elements alone belongs beside it.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from platonic_jax import _ott
from platonic_jax._checks import check_choice, check_count, check_positive, check_same_width
from platonic_jax._ott import TransportCost
from platonic_jax._typing import AnyArray, Numeric, Scalar
from platonic_jax.numerics import as_float, map_rows, matmul, normalise, rows_per_tile, squared_distances

__all__ = [
    "POOLINGS",
    "Ranks",
    "analogy",
    "cloud_distances",
    "pool",
    "ranks",
    "reaction",
]


def __dir__() -> list[str]:
    return __all__


POOLINGS = ("sum", "mean", "covariance", "elements")
"""How the rows of a crystal become one; `covariance` is about the mean, `elements` a mean for each element."""
# Similarities that differ by less than this are equal: twins differ by rounding.
_TIE = 1e-6


def pool(
    x: Numeric[AnyArray, "n p"],
    structure_index: Int[AnyArray, " n"],
    *,
    how: str = "mean",
    num_structures: int | None = None,
    weights: Numeric[AnyArray, " n"] | None = None,
    species: Int[AnyArray, " n"] | None = None,
    elements: tuple[int, ...] = (),
) -> Float[Array, "s _"]:
    """One vector for each crystal from those of its atoms; the head of this module says which.

    Means and the covariance are the same for a supercell, the sum is not. Entries of the covariance off the diagonal
    are multiplied by √2, so that distances between vectors are those between matrices (Frobenius).

    Args:
        x: Rows of atoms.
        structure_index: The crystal of each atom, from 0.
        how: `"sum"`, `"mean"`, `"covariance"` or `"elements"` (static).
        num_structures: s (static); one more than the largest index when absent, which `jax.jit` cannot know.
        weights: From 0 upwards, how much each atom counts, such as those of `learn.Attention`; all alike when absent.
        species: Atomic number of each atom, for `"elements"`.
        elements: Atomic numbers that `"elements"` lists (static); zeros where a crystal has none.

    Returns:
        (s, width) vectors, in units of the columns, for covariances squared; zeros for a crystal without atoms.

    Raises:
        ValueError: Unknown `how`, an index without a place for each row, or `"elements"` without species.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import arithmetic
        >>> x = jnp.array([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
        >>> arithmetic.pool(x, jnp.array([0, 0, 1])).tolist()
        [[2.0, 0.0], [0.0, 5.0]]
    """
    x = as_float(x)
    check_choice("how", how, POOLINGS)
    structure_index = jnp.asarray(structure_index)
    if structure_index.shape != x.shape[:1]:
        raise ValueError(
            f"`structure_index` must have one entry a row of `x`, got {structure_index.shape[0]} for {x.shape[0]} rows."
        )
    if num_structures is None:
        try:
            num_structures = int(jnp.max(structure_index)) + 1
        except jax.errors.ConcretizationTypeError:
            raise ValueError("`num_structures` must be given inside `jax.jit`, got none.") from None
    check_count("num_structures", num_structures)
    total = partial(jax.ops.segment_sum, segment_ids=structure_index, num_segments=num_structures)
    ones = jnp.ones(x.shape[0], x.dtype)
    w = ones if weights is None else as_float(weights).astype(x.dtype)
    if how == "sum":
        return total(x * w[:, None])
    if how == "elements":
        if species is None or not elements:
            raise ValueError('`species` and `elements` must be given where `how` is "elements", got none.')
        own = [w * (species == element).astype(x.dtype) for element in elements]
        return jnp.concatenate([_over(total(x * weight[:, None]), total(weight)) for weight in own], axis=1)
    mean = _over(total(x * w[:, None]), total(w))
    if how == "mean":
        return mean
    rows = x - mean[structure_index]
    # One column of every matrix at a time: (n, p) numbers, not (n, p, p).
    columns = map_rows(lambda column: total(rows * (w * column)[:, None]), rows.T)
    p = x.shape[1]
    upper = np.triu_indices(p)
    entries = jnp.transpose(columns[upper[0], :, upper[1]])
    twice = jnp.asarray(np.where(upper[0] == upper[1], 1.0, np.sqrt(2.0)), x.dtype)
    return jnp.concatenate([mean, _over(entries * twice[None, :], total(w))], axis=1)


def _over(total: Float[Array, "s p"], weight: Float[Array, " s"]) -> Float[Array, "s p"]:
    return total / jnp.where(weight > 0, weight, 1)[:, None]


def analogy(
    terms: Numeric[AnyArray, "t p"],
    coefficients: Numeric[AnyArray, " t"],
    candidates: Numeric[AnyArray, "m p"],
    *,
    origin: Numeric[AnyArray, " p"] | None = None,
) -> Float[Array, " m"]:
    """Cosine of each candidate with a sum of vectors: cos(Σ c_t (v_t − o), v − o).

    The cosine is taken from an origin in the midst of the candidates: seen from zero, all crystals lie in one
    direction. `A − A + B` is `B`, with similarity 1. Invariant under rotation, scale, and the order of the terms.

    Args:
        terms: Vectors of crystals.
        coefficients: What each is multiplied by.
        candidates: Vectors of the crystals that may be the answer.
        origin: Where the cosine is taken from; the mean of the candidates when absent.

    Returns:
        (m,) from −1 to 1; 0 where the sum, or the candidate, lies at the origin.

    Raises:
        ValueError: Widths, or numbers of terms, that do not agree.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import arithmetic
        >>> kings = jnp.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> arithmetic.analogy(kings[:3], jnp.array([-1.0, 1.0, 1.0]), kings).round(3).tolist()
        [-1.0, 0.0, 0.0, 1.0]

    Reference:
        Mikolov, Yih & Zweig, Linguistic regularities in continuous space word representations, NAACL 2013.
    """
    terms, coefficients, candidates = as_float(terms), as_float(coefficients), as_float(candidates)
    check_same_width("terms", terms, "candidates", candidates)
    if coefficients.shape[0] != terms.shape[0]:
        raise ValueError(f"`coefficients` must be one a term, got {coefficients.shape[0]} for {terms.shape[0]} terms.")
    origin = jnp.mean(candidates, axis=0) if origin is None else as_float(origin)
    target = matmul(coefficients.astype(terms.dtype)[None, :], terms - origin[None, :])
    return matmul(normalise(candidates - origin[None, :]), normalise(target).T)[:, 0]


class Ranks(NamedTuple):
    """Ranks of answers among candidates.

    Attributes:
        better: (n,) candidates that lie nearer than the answer.
        tied: (n,) other candidates that lie as near, to 1e-6 of the cosine.
    """

    better: Int[Array, " n"]
    tied: Int[Array, " n"]

    @property
    def rank(self) -> Float[Array, " n"]:
        """(n,) from 1, the best; in the middle of those that are tied."""
        return (2 + 2 * self.better + self.tied) / 2

    def hits(self, k: int) -> Float[Array, " n"]:
        """(n,) probability, 0 to 1, of being among the first k, with ties broken uniformly at random."""
        return jnp.clip((k - self.better) / (1 + self.tied), 0, 1)


def ranks(
    targets: Numeric[AnyArray, "n p"],
    candidates: Numeric[AnyArray, "m p"],
    answers: Int[AnyArray, " n"],
    *,
    left_out: Int[AnyArray, "n e"] | None = None,
    origin: Numeric[AnyArray, " p"] | None = None,
) -> Ranks:
    """Rank the right answer among all candidates, by the cosine of `analogy`, for many targets at once.

    Nothing of size n × m is kept: candidates are counted tile by tile.

    Args:
        targets: Sums of vectors.
        candidates: Vectors of the crystals that may be the answer.
        answers: Which candidate is the right one.
        left_out: Candidates that may not be an answer to a target, such as its own terms; an entry equal to the answer
            counts for nothing. None when absent.
        origin: Where the cosine is taken from; the mean of the candidates when absent.

    Returns:
        How many candidates lie nearer, and how many as near.
    """
    targets, candidates = as_float(targets), as_float(candidates)
    check_same_width("targets", targets, "candidates", candidates)
    n, m = targets.shape[0], candidates.shape[0]
    origin = jnp.mean(candidates, axis=0) if origin is None else as_float(origin)
    cosine_to = normalise(candidates - origin[None, :]).T
    answers = jnp.asarray(answers, jnp.int32)
    left_out = jnp.full((n, 1), -1, jnp.int32) if left_out is None else jnp.asarray(left_out, jnp.int32)
    size = min(n, rows_per_tile(4 * m))
    blocks = -(-n // size)
    in_blocks = lambda rows: jnp.concatenate([rows, rows[:1].repeat(blocks * size - n, axis=0)]).reshape(
        blocks, size, *rows.shape[1:]
    )

    def block(rows: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        target, answer, out = rows
        cosine = matmul(normalise(target - origin[None, :]), cosine_to)
        place = jnp.arange(size)
        of_answer = cosine[place, answer][:, None]
        # Counted as neither: the answer itself, and what is left out.
        out = jnp.where((out >= 0) & (out != answer[:, None]), out, m)
        counts = jnp.ones((size, m), bool).at[place[:, None], out].set(False, mode="drop")
        counts = counts.at[place, answer].set(False)
        nearer = counts & (cosine > of_answer + _TIE)
        tied = counts & (jnp.abs(cosine - of_answer) <= _TIE)
        return jnp.sum(nearer, axis=1, dtype=jnp.int32), jnp.sum(tied, axis=1, dtype=jnp.int32)

    better, tied = map_rows(block, (in_blocks(targets), in_blocks(answers), in_blocks(left_out)))
    return Ranks(better.reshape(-1)[:n], tied.reshape(-1)[:n])


def reaction(x: Numeric[AnyArray, "s p"], coefficients: Numeric[AnyArray, "r s"]) -> Float[Array, "r p"]:
    """Products less reactants: Σ ν_s x_s, of the sum-pooled vectors of the formula units.

    Where the equation is balanced, whatever the rows of all atoms of an element have in common cancels: what is left is
    the change of environments. It is zero where both sides are the same.

    Args:
        x: Vectors of formula units, sums over their atoms.
        coefficients: Of each reaction, how many of each: products positive, reactants negative, zero elsewhere.

    Returns:
        (r, p) one vector a reaction, in units of the columns.

    Raises:
        ValueError: Coefficients for another number of formula units.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import arithmetic
        >>> units = jnp.array([[1.0, 0.0], [0.0, 2.0], [1.5, 1.0]])  # Mg, O2, MgO
        >>> arithmetic.reaction(units, jnp.array([[-2.0, -1.0, 2.0]])).tolist()
        [[1.0, 0.0]]
    """
    x, coefficients = as_float(x), as_float(coefficients)
    if coefficients.shape[1] != x.shape[0]:
        raise ValueError(
            f"`coefficients` must have one column a vector of `x`, got {coefficients.shape[1]} for {x.shape[0]}."
        )
    return matmul(coefficients.astype(x.dtype), x)


def cloud_distances(
    x: Numeric[AnyArray, "s a p"],
    mass_x: Numeric[AnyArray, "s a"],
    y: Numeric[AnyArray, "t b p"],
    mass_y: Numeric[AnyArray, "t b"],
    pairs: Int[AnyArray, "n 2"],
    *,
    epsilon: float = 0.01,
    scale: Scalar | None = None,
    tau: float = 1.0,
    threshold: float = 1e-3,
    max_iterations: int = 2000,
) -> TransportCost:
    """Sinkhorn divergences between crystals as point clouds of unpooled atoms, for many pairs at once.

    S = OT_ε(x, y) − ½ OT_ε(x, x) − ½ OT_ε(y, y) + ε/2 (Σ mass_x − Σ mass_y)², with squared Euclidean costs. With masses
    that sum to 1 a crystal and its supercell are the same cloud, and atoms of one row may be given once, with the sum
    of their masses. Not invariant to moving or turning one cloud: bring both into a shared space first.

    Args:
        x: Clouds, filled up to one number of atoms.
        mass_x: How much each atom counts; 0 for what only fills up.
        y: The clouds that they are compared with; may be `x`.
        mass_y: The same for these.
        pairs: Rows of `x` and of `y` that are compared.
        epsilon: Entropic blur, in units of `scale` (static): details of a cloud finer than √(ε scale) are not seen.
        scale: A squared distance; the mean of those between atoms of all clouds when absent. Give one where calls are
            to be compared.
        tau: From 0 to 1, how firmly masses must be met (static): at 1 all of it is carried; below, mass that would have
            to go far is dropped, at the price of ε τ / (1 − τ) times the relative entropy.
        threshold: Deviation of the marginals at which the iterations stop (static).
        max_iterations: Number of iterations after which they give up (static).

    Returns:
        (n,) from 0 upwards, but for rounding, in units of the columns squared, NaN where not converged; and the flags.

    Raises:
        ValueError: Widths that differ, or an `epsilon` or `tau` out of range.

    Reference:
        Séjourné, Feydy, Vialard, Trouvé & Peyré, Sinkhorn divergences for unbalanced optimal transport
        (arXiv:1910.12958); solved by ott-jax (arXiv:2201.12324).
    """
    x, mass_x, y, mass_y = as_float(x), as_float(mass_x), as_float(y), as_float(mass_y)
    if x.shape[2] != y.shape[2]:
        raise ValueError(f"`x` and `y` must have the same columns, got {x.shape[2]} and {y.shape[2]}.")
    check_positive("epsilon", epsilon)
    check_positive("tau", tau)
    check_count("max_iterations", max_iterations)
    if tau > 1:
        raise ValueError(f"`tau` must be at most 1, got {tau}.")
    rows = jnp.concatenate([x.reshape(-1, x.shape[2]), y.reshape(-1, y.shape[2])])
    mass = jnp.concatenate([mass_x.reshape(-1), mass_y.reshape(-1)])
    scale = jax.lax.stop_gradient(2 * _variance(rows, mass)) if scale is None else jnp.asarray(scale, x.dtype)
    blur = epsilon * jnp.where(scale > 0, scale, 1)

    def cost(one: Array, of_one: Array, other: Array, of_other: Array, *, symmetric: bool) -> TransportCost:
        return _ott.entropic_cost(
            squared_distances(one, other),
            a=of_one,
            b=of_other,
            tau=tau,
            epsilon=blur,
            symmetric=symmetric,
            threshold=threshold,
            max_iterations=max_iterations,
        )

    def own(clouds: Array, masses: Array) -> TransportCost:
        alone = lambda cloud: cost(cloud[0], cloud[1], cloud[0], cloud[1], symmetric=True)
        return map_rows(alone, (clouds, masses), batch_size=rows_per_tile(16 * clouds.shape[1] ** 2))

    def between(pair: Array) -> TransportCost:
        i, j = pair
        return cost(x[i], mass_x[i], y[j], mass_y[j], symmetric=False)

    of_x, of_y = own(x, mass_x), own(y, mass_y)
    both = map_rows(between, pairs, batch_size=rows_per_tile(16 * x.shape[1] * y.shape[1]))
    i, j = pairs[:, 0], pairs[:, 1]
    surplus = jnp.sum(mass_x, axis=1)[i] - jnp.sum(mass_y, axis=1)[j]
    value = both.value - (of_x.value[i] + of_y.value[j]) / 2 + blur / 2 * surplus**2
    converged = both.converged & of_x.converged[i] & of_y.converged[j]
    return TransportCost(jnp.where(converged, value, jnp.nan), converged)


def _variance(x: Float[Array, "n p"], mass: Float[Array, " n"]) -> Scalar:
    """Half the mean squared distance between two atoms, drawn by mass."""
    share = mass / jnp.sum(mass)
    mean = jnp.sum(share[:, None] * x, axis=0)
    return jnp.sum(share * jnp.sum((x - mean[None, :]) ** 2, axis=1))
