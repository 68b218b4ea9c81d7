"""Quality of a set of anchors for a representation: condition, coverage and redundancy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from platonic_jax._typing import AnyArray, Numeric, Scalar
from platonic_jax.numerics import as_float, centre, matmul, normalise


class Diagnosis(NamedTuple):
    """Quality of k anchors for a representation; all similarities are cosines, as in the shared space.

    The distance of a row to an anchor is 1 − cosine, from 0 (same direction) over 1 (orthogonal) to 2.

    Attributes:
        condition: () condition number of the anchors' matrix of cosines, from 1 (orthogonal) to infinity (one is a
            combination of the others, as always where k > p). What is lost when cosines are turned back into rows.
        mean_distance: () distance to the nearest anchor, averaged over rows.
        worst_distance: () the largest of them.
        redundancy: (k,) largest |cosine| to another anchor, from 0 to 1 (a copy, up to length and sign); 0 for k = 1.
        sensitivity: (k,) 1 − R² of the anchor's column of similarities, predicted from the other columns by least
            squares: from 0 (nothing is lost without this anchor) to 1 (no other knows anything of it).
        elements: (e,) int32, the labels of `species` in increasing order, or None.
        element_mean_distance: (e,) `mean_distance` over the rows of each element, or None.
        element_worst_distance: (e,) `worst_distance` over the rows of each element, or None.
    """

    condition: Scalar
    mean_distance: Scalar
    worst_distance: Scalar
    redundancy: Float[Array, " k"]
    sensitivity: Float[Array, " k"]
    elements: Int[Array, " e"] | None = None
    element_mean_distance: Float[Array, " e"] | None = None
    element_worst_distance: Float[Array, " e"] | None = None


def diagnose(
    x: Numeric[AnyArray, "n p"],
    rows: Int[AnyArray, " k"],
    *,
    species: Int[AnyArray, " n"] | None = None,
) -> Diagnosis:
    """Condition, coverage, redundancy and leave-one-out sensitivity of anchors.

    With C the covariance of the columns of similarities, 1 − R²_i = 1 / (C_ii (C⁻¹)_ii), so no anchor is in truth left
    out. Eigenvalues of the columns' correlation below k ε of the largest, ε the resolution of the dtype, count as that
    much: `sensitivity` cannot be told from 0 below about k² ε.

    Invariant to rotations and to the lengths of rows; not to translations. Without `species` it may be jitted; with
    it, the elements are found on the host. Takes memory for n × k similarities.

    Args:
        x: The cloud.
        rows: Which rows of it are anchors.
        species: Atomic number of each row, for coverage by element.

    Returns:
        The diagnosis.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import anchors
        >>> x = jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 2.0]])
        >>> found = anchors.diagnose(x, jnp.array([0, 1]))
        >>> float(found.condition), float(found.worst_distance), found.redundancy.tolist()
        (1.0, 1.0, [0.0, 0.0])
    """
    x = as_float(x)
    rows = jnp.asarray(rows)
    unit = normalise(x)
    similarity = matmul(unit, unit[rows].T)
    cosines = similarity[rows]
    among_others = jnp.where(jnp.eye(len(rows), dtype=bool), 0, jnp.abs(cosines))
    distance = jnp.maximum(1 - jnp.max(similarity, axis=1), 0)
    diagnosis = Diagnosis(
        condition=_condition(cosines),
        mean_distance=jnp.mean(distance),
        worst_distance=jnp.max(distance),
        redundancy=jnp.minimum(jnp.max(among_others, axis=1), 1),
        sensitivity=_unexplained(similarity),
    )
    if species is None:
        return diagnosis
    elements, element = np.unique(np.asarray(species), return_inverse=True)
    total = jax.ops.segment_sum(distance, element, num_segments=len(elements))
    return diagnosis._replace(
        elements=jnp.asarray(elements, jnp.int32),
        element_mean_distance=total / jnp.asarray(np.bincount(element), distance.dtype),
        element_worst_distance=jax.ops.segment_max(distance, element, num_segments=len(elements)),
    )


def _condition(gram: Float[Array, "k k"]) -> Scalar:
    """Largest over smallest eigenvalue; infinite where the smallest is rounding."""
    eigenvalues = jnp.linalg.eigvalsh(gram)
    smallest, largest = eigenvalues[0], eigenvalues[-1]
    regular = smallest > _rounding(gram) * largest
    rest = jnp.where(jnp.isnan(smallest), jnp.nan, jnp.inf)
    return jnp.where(regular, largest / jnp.where(regular, smallest, 1), rest)


def _unexplained(columns: Float[Array, "n k"]) -> Float[Array, " k"]:
    """1 − R² of each column, predicted from the others with an offset."""
    scaled = normalise(centre(columns).T)
    eigenvalues, directions = jnp.linalg.eigh(matmul(scaled, scaled.T))
    eigenvalues = jnp.maximum(eigenvalues, _rounding(scaled) * jnp.maximum(eigenvalues[-1], 1))
    return jnp.clip(1 / jnp.sum(directions**2 / eigenvalues[None, :], axis=1), 0, 1)


def _rounding(matrix: Float[Array, "k _"]) -> float:
    return matrix.shape[0] * float(jnp.finfo(matrix.dtype).eps)
