"""Similarity measures of two embeddings, and dimension and duplicates of a single one.

All but the last two take `x: (n, p)` and `y: (n, q)`, two embeddings of the same n atoms, and return a number; all but
those that count neighbours can be differentiated. None of them means anything alone: compare it with its permutation
null (`statistics.permutation_test`), within each element too, since knowing the elements is enough to look aligned, and
give its bootstrap interval. Where a measure is a mean over rows, `…_rows` has what each row adds to it.

`procrustes`, from 0 to 1, larger is more similar
    Is one cloud a rotation of the other? The whole shape counts, each direction in proportion to its variance.
    Unchanged by moving, rotating and scaling either cloud. It misleads where columns are not few beside rows: a
    rotation of p dimensions can bring even unrelated clouds to about √(p/n). And it misleads where one direction,
    often the element, carries most of the variance: all else can differ and the value still be high. The field prints
    the cosine, the angle (from 0, which is best, to π/2) and the squared cosine, which is 1 − disparity: see
    `convention`.

`cka`, from −1 to 1, larger is more similar
    Do the same pairs of rows have the same inner products? Unchanged by moving, rotating and scaling either cloud. It
    counts directions by their variance squared, so it is ruled by the largest ones even more than Procrustes is. The
    plain estimate is lifted above zero by few rows; the default one is not.

`distance_correlation`, from 0 to 1, larger is more similar
    Do the same pairs of rows have the same distances? It sees dependence of any form, not only linear. Unchanged by
    moving, rotating and scaling either cloud. It misleads as the plain `cka` does: with few rows beside columns
    unrelated clouds come near to 1, unless it is debiased (then it is a square, from −1 to 1). Large distances rule
    it, so it sees how clusters lie more than what is in them.

`mutual_knn`, from 0 to 1, larger is more similar
    Are the same rows near? Local: it sees neither how near they are nor how the neighbourhoods lie to each other, so
    two clouds cut in pieces and reassembled are alike. With the cosine metric it is unchanged by rotations and by the
    lengths of the rows, but not by moving a cloud. It misleads where near rows are near for a trivial reason (the same
    structure, which `exclude` leaves out, or the same element). Ties create no agreement: they are broken at random,
    independently for the two clouds, so a cloud of which many rows coincide does not reach 1 with itself.

`cknna`, from −1 to 1, larger is more similar
    Are the same rows near, and equally near? Between `mutual_knn` and `cka`: the kernels of the clouds, on mutual
    neighbours only. Unchanged as `mutual_knn` is. It misleads as that does; and since all neighbours have cosines near
    1 in a cloud far from the origin, there it says no more than that. Exchanging the clouds changes it slightly.

`information_imbalance`, from 0 to 2, smaller is more similar, 1 by chance
    Does nearness in `x` predict nearness in `y`? Not symmetric, which is the point of it: of two clouds it tells the
    one that knows more. Unchanged by moving, rotating and scaling either cloud. Its best value is (j + 1) / n for j
    neighbours rather than 0. It misleads where noise rules the very nearest rows, which are all that it asks about.
    Rows that are equally near in `y` share the mean of their ranks.

`gfre`, from 0 upwards, smaller is more similar, 1 by chance
    Can a linear map of `x` give `y`? Not symmetric: a rich cloud gives a poor one. Unchanged by moving, rotating and
    scaling either cloud, and a linear map of `x` matters little; it counts the directions of `y` by their variance.
    Fitted to some rows and judged on others, so it needs many more rows than columns. It misleads where rows on both
    sides of the split belong to one structure: this leaks training structures into the test set.

`lfre`, from 0 upwards, smaller is more similar, 1 by chance
    Can a linear map of each neighbourhood of `x` give `y`? What `gfre` misses and this finds is curved. Not symmetric,
    unchanged as `gfre` is. It misleads where neighbours are fewer than the dimensions of the cloud: they do not
    determine the map, and not even a cloud and itself reach 0.

`sinkhorn_divergence`, from 0 upwards, smaller is more similar
    Do the clouds fill the same regions of one common space? It does not know which row is which, so it compares sets of
    atoms that need not pair, and a permutation null says nothing of it. Unchanged only by what is done to both
    clouds. It misleads where the space is not in truth common, and below the blur of its entropy.

`wasserstein`, from 0 upwards, smaller is more similar
    The same question, answered exactly: how far must the rows of one cloud be carried to fill the places of the other?
    In units of the columns, and a distance in the strict sense. Unchanged, and misleading, as the Sinkhorn divergence
    is, but for the blur; in many dimensions two samples of one and the same distribution are far apart, since no two of
    their rows are near, so compare with two halves of one cloud.

`gromov_wasserstein`, from 0 upwards, smaller is more similar
    Have the clouds the same shape, whichever row is which, and in whatever space? Unchanged by moving, rotating,
    scaling and reordering either cloud. It is the least of the local minima that were found: an upper bound, which is
    tight for clouds of like shape and loose for unlike ones, so large values are not worth comparing closely. It
    misleads where the shape has symmetries: it finds a match, not the true one.

`intrinsic_dimension`, from 0 upwards, of one cloud
    How many directions does a neighbourhood fill, whatever the number of columns? Unchanged by moving, rotating and
    scaling. It misleads where noise is as large as the distance of neighbours, whose dimension is that of the columns,
    and so does noise on copies: of rows that coincide, or nearly so, one is kept.

`collapsed_fraction`, from 0 to 1, of one cloud
    How many rows coincide with another? Atoms that symmetry makes equivalent do in a model that respects it, and all
    others mark a collapse. Unchanged by any invertible linear map. It depends on what counts as coinciding.

What each measure claims here (direction, range, symmetry, invariances) is held in `PROPERTIES`, and for one cloud in
`CLOUD_PROPERTIES`, as data, and tested both ways: what it claims must hold, and what it does not claim must fail on an
example (`testing.check_measure`, `testing.check_cloud_measure`).
"""

from platonic_jax.metrics._alignment import cka, procrustes, procrustes_rotation, procrustes_rows
from platonic_jax.metrics._dependence import distance_correlation
from platonic_jax.metrics._dimension import collapsed_fraction, intrinsic_dimension
from platonic_jax.metrics._neighbours import (
    cknna,
    cknna_rows,
    information_imbalance,
    information_imbalance_rows,
    mutual_knn,
    mutual_knn_rows,
    neighbour_overlap,
    permuted_neighbours,
)
from platonic_jax.metrics._reconstruction import gfre, gfre_rows, lfre, lfre_rows
from platonic_jax.metrics._registry import (
    CLOUD_PROPERTIES,
    PROPERTIES,
    TRANSFORMATIONS,
    CloudProperties,
    Properties,
    properties,
)
from platonic_jax.metrics._transport import (
    TransportCost,
    gromov_wasserstein,
    gromov_wasserstein_with_status,
    sinkhorn_divergence,
    sinkhorn_divergence_with_status,
    wasserstein,
)

__all__ = [
    "CLOUD_PROPERTIES",
    "PROPERTIES",
    "TRANSFORMATIONS",
    "CloudProperties",
    "Properties",
    "TransportCost",
    "cka",
    "cknna",
    "cknna_rows",
    "collapsed_fraction",
    "distance_correlation",
    "gfre",
    "gfre_rows",
    "gromov_wasserstein",
    "gromov_wasserstein_with_status",
    "information_imbalance",
    "information_imbalance_rows",
    "intrinsic_dimension",
    "lfre",
    "lfre_rows",
    "mutual_knn",
    "mutual_knn_rows",
    "neighbour_overlap",
    "permuted_neighbours",
    "procrustes",
    "procrustes_rotation",
    "procrustes_rows",
    "properties",
    "sinkhorn_divergence",
    "sinkhorn_divergence_with_status",
    "wasserstein",
]


def __dir__() -> list[str]:
    return __all__
