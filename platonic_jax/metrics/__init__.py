"""Measures of how alike two embeddings are.

All take `x: (n, p)` and `y: (n, q)`, two embeddings of the same n atoms, and return a number; all but the neighbours
can be differentiated. None of them means anything alone: compare it with its permutation null
(`statistics.permutation_test`), within each element too, since knowing the elements is enough to look aligned, and
give its bootstrap interval.

`procrustes`, from 0 to 1, larger is more similar
    Is one cloud a rotation of the other? The whole shape counts, each direction in proportion to its variance.
    Unchanged by moving, rotating and scaling either cloud. It misleads where columns are not few beside rows: a
    rotation of p dimensions can bring even unrelated clouds to about √(p/n). And it misleads where one direction,
    often the element, carries most of the variance: all else can differ and the value still be high.

`cka`, from −1 to 1, larger is more similar
    Do the same pairs of rows have the same inner products? Unchanged by moving, rotating and scaling either cloud. It
    counts directions by their variance squared, so it is ruled by the largest ones even more than Procrustes is. The
    plain estimate is lifted above zero by few rows; the default one is not.

`mutual_knn`, from 0 to 1, larger is more similar
    Are the same rows near? Local: it sees neither how near they are nor how the neighbourhoods lie to each other, so
    two clouds cut in pieces and reassembled are alike. With the cosine metric it is unchanged by rotations and by the
    lengths of the rows, but not by moving a cloud. It misleads where near rows are near for a trivial reason (the same
    structure, the same element) and where many rows coincide: ties go to the lower row index in both clouds alike.

`sinkhorn_divergence`, from 0 upwards, smaller is more similar
    Do the clouds fill the same regions of one common space? It does not know which row is which, so it compares sets of
    atoms that need not pair, and a permutation null says nothing of it. Unchanged only by what is done to both
    clouds. It misleads where the space is not in truth common, and below the blur of its entropy.

What each measure claims here (direction, range, symmetry, invariances) is held in `PROPERTIES` as data, and tested both
ways: what it claims must hold, and what it does not claim must fail on an example (`testing.check_measure`).
"""

from platonic_jax.metrics._alignment import cka, procrustes, procrustes_rotation
from platonic_jax.metrics._neighbours import mutual_knn, mutual_knn_rows, neighbour_overlap, permuted_neighbours
from platonic_jax.metrics._registry import PROPERTIES, TRANSFORMATIONS, Properties, properties
from platonic_jax.metrics._transport import TransportCost, sinkhorn_divergence, sinkhorn_divergence_with_status

__all__ = [
    "PROPERTIES",
    "TRANSFORMATIONS",
    "Properties",
    "TransportCost",
    "cka",
    "mutual_knn",
    "mutual_knn_rows",
    "neighbour_overlap",
    "permuted_neighbours",
    "procrustes",
    "procrustes_rotation",
    "properties",
    "sinkhorn_divergence",
    "sinkhorn_divergence_with_status",
]
