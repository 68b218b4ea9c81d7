"""The measures that the driver offers, and how it draws those that need a thinned cloud.

Procrustes, CKA and mutual neighbours see every row, by `_pairs`. A measure that needs all pairs of rows sees some of
them, the same for every pair of models, and is added by its line in `THINNED`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
from jaxtyping import Array, Float, Int

from platonic_jax import metrics, numerics
from platonic_jax._typing import Scalar
from platonic_jax.analyses import _pairs

TRANSPORT = "sinkhorn_divergence"
EPSILON = 0.05

Measure = Callable[[Float[Array, "t p"], Float[Array, "t q"]], Scalar]


class Thinned(NamedTuple):
    """A measure of two clouds of a few hundred rows.

    Attributes:
        value: the measure.
        drawn: the same for draws, where a coarser one serves: its error is far below their spread.
        paired: whether it uses which row is which. Otherwise pairing enters through the anchors, and its null permutes
            those in place of the rows.
    """

    value: Measure
    drawn: Measure | None = None
    paired: bool = True


_sinkhorn = partial(metrics.sinkhorn_divergence, epsilon=EPSILON)

THINNED: Mapping[str, Thinned] = {
    TRANSPORT: Thinned(_sinkhorn, drawn=partial(_sinkhorn, threshold=1e-3), paired=False),
    "wasserstein": Thinned(metrics.wasserstein, paired=False),
    "gromov_wasserstein": Thinned(metrics.gromov_wasserstein, paired=False),
    "cknna": Thinned(metrics.cknna),
    "information_imbalance": Thinned(metrics.information_imbalance),
    "distance_correlation": Thinned(metrics.distance_correlation),
    "gfre": Thinned(metrics.gfre),
    "lfre": Thinned(metrics.lfre),
}
MEASURES = (*_pairs.MEASURES, *THINNED)
"""Every measure that a comparison offers."""
DEFAULT_MEASURES = (*_pairs.MEASURES, TRANSPORT)
"""Those that it makes if not told otherwise: `procrustes`, `cka`, `mutual_knn`, `sinkhorn_divergence`."""


@partial(jax.jit, static_argnames="measure")
def thinned_value(x: Array, y: Array, *, measure: Measure) -> Array:
    """The measure of two clouds."""
    return measure(x, y)


@partial(jax.jit, static_argnames="measure")
def thinned_samples(x: Array, y: Array, samples: Int[Array, "d r"], *, measure: Measure) -> Array:
    """The measure of each of several choices of rows."""
    return numerics.map_rows(lambda rows: measure(x[rows], y[rows]), samples)


@partial(jax.jit, static_argnames="measure")
def thinned_each(xs: Array, ys: Array, *, measure: Measure) -> Array:
    """The measure of each of several pairs of clouds."""
    return numerics.map_rows(lambda pair: measure(*pair), (xs, ys))


def properties(name: str) -> metrics.Properties:
    """Properties of a measure that a comparison offers."""
    if name == "mutual_knn_other_structures":
        return metrics.properties("mutual_knn")._replace(
            meaning="share of the nearest atoms of other structures that both models have in common"
        )
    return metrics.properties(name)
