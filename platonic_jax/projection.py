"""Relative representations: each row described by how similar it is to a shared set of anchor rows.

Two models see the same atom in spaces of different width and orientation. Described by its similarities to the same
anchor *atoms*, each seen in the model's own space, it has the same k coordinates in both.
"""

from jaxtyping import Array, Float

from platonic_jax._checks import check_choice, check_same_width
from platonic_jax.numerics import matmul, normalise

__all__ = ["SIMILARITIES", "relative"]


def _cosine(x: Float[Array, "n p"], anchors: Float[Array, "k p"]) -> Float[Array, "n k"]:
    return matmul(normalise(x), normalise(anchors).T)


SIMILARITIES = {"cosine": _cosine}


def relative(
    x: Float[Array, "n p"],
    anchors: Float[Array, "k p"],
    *,
    similarity: str = "cosine",
    weights: Float[Array, " k"] | None = None,
) -> Float[Array, "n k"]:
    """Similarity of every row to every anchor: r_ij = w_j sim(x_i, a_j).

    Not invariant to translation: the cosine is taken from the origin of the embedding, without centring, as in the
    paper. Invariant to rotations of the embedding, and to the length of each row and of each anchor.

    Args:
        x: Rows to describe.
        anchors: Anchor rows, in the same space: `x[anchor_index]`.
        similarity: `"cosine"` (static): the cosine of the angle between row and anchor, from −1 to 1, and 0 where
            either of them is a zero row.
        weights: What each column is multiplied by, as is (no square root is taken). All 1 when absent.

    Returns:
        One row of k similarities for each row of `x`, without units.

    Raises:
        ValueError: If `similarity` is unknown, or the widths of `x` and `anchors` differ.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import projection
        >>> x = jnp.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
        >>> projection.relative(x, x[:2]).round(3).tolist()
        [[1.0, 0.0], [0.0, 1.0], [0.7070000171661377, 0.7070000171661377]]

    Reference:
        Moschella et al., Relative representations enable zero-shot latent space communication, ICLR 2023
        (arXiv:2209.15430).
    """
    check_choice("similarity", similarity, SIMILARITIES)
    check_same_width("x", x, "anchors", anchors)
    r = SIMILARITIES[similarity](x, anchors)
    return r if weights is None else r * weights[None, :]
