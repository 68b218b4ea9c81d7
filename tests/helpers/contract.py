"""The contract of every public array function: what a call of each is, and which promises it keeps.

`CONTRACT` is checked by `test_contract.py` and printed in the guide, where the same test keeps it up to date.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from platonic_jax import anchors, arithmetic, diagnostics, metrics, numerics, projection, stitching

MODULES = (numerics, projection, anchors, metrics, arithmetic, stitching, diagnostics)
KEY = jax.random.key(0)
LABELS = lambda x: jnp.arange(x.shape[0], dtype=jnp.int32) // 3

EXEMPT = {
    "numerics.as_float": "the conversion itself",
    "numerics.map_rows": "applies a function that is given",
    "numerics.resampled_rows": "a context",
    "numerics.row_mesh": "of devices",
    "numerics.rows_per_tile": "of sizes",
    "numerics.shard_rows": "places rows as they are",
    "metrics.properties": "of names",
    "metrics.gromov_wasserstein_with_status": "`gromov_wasserstein` and a flag",
    "metrics.sinkhorn_divergence_with_status": "`sinkhorn_divergence` and a flag",
    "metrics.permuted_neighbours": "of indices",
    "metrics.neighbour_overlap": "of indices",
    "anchors.published": "reads a file",
    **dict.fromkeys(
        [
            f"diagnostics.{name}"
            for name in (
                "acoustic_violation",
                "asymmetry",
                "bands",
                "difference",
                "force_constants",
                "loaded",
                "mesh",
                "splitting",
                "summed",
                "symmetrised",
            )
        ],
        "of force constants, on the host",
    ),
}
"""Public functions that are not of real arrays, and what they are of."""


class Case(NamedTuple):
    """One public function.

    Attributes:
        takes: kinds of its arrays, a letter each: `x` (n, 4), `y` (n, 3), `r` (n, 6), `v` and `w` (n,) rows;
            `a` (6, 4), `m` (4, 4) and positive `g` (4, 4), which have no rows of the cloud; `b` (n,) booleans, which
            stay booleans.
        call: the function, of those.
        traced: whether it can be compiled and batched; else it runs on the host.
        gradient: `finite`, or the reason for which there is none.
        nan: what a row that is not finite makes `NaN`: `all` of the result, its own `row`, or a reason.
        constant: result for rows that are all equal: `NaN`, or a reason.
        rows: number of rows that it is run on; 0 where its time or memory is quadratic, and it is traced alone.
    """

    takes: str
    call: Callable[..., Any]
    traced: bool = True
    gradient: str = "finite"
    nan: str = "all"
    constant: str = "finite"
    rows: int = 50_000


def of_two(name: str, *, gradient: str = "finite", constant: str = "NaN", rows: int = 0, **settings: Any) -> Case:
    """A measure of two embeddings."""
    return Case("xy", lambda x, y: getattr(metrics, name)(x, y, **settings), True, gradient, "all", constant, rows)


STEPS = "none: piecewise constant"
INDICES = "none: returns indices"
HOST = "none: on the host"

CONTRACT = {
    "numerics.centre": Case("x", numerics.centre),
    "numerics.is_degenerate": Case("x", numerics.is_degenerate, gradient="none: a flag", nan="true", constant="true"),
    "numerics.matmul": Case("xm", numerics.matmul, nan="row"),
    "numerics.neighbours": Case("x", lambda x: numerics.neighbours(x, num_neighbours=5, exclude=LABELS(x)), rows=0),
    "numerics.normalise": Case("x", numerics.normalise, nan="row"),
    "numerics.pca": Case("x", lambda x: numerics.pca(x, num_components=2).scores),
    "numerics.nuclear_norm": Case("x", numerics.nuclear_norm),
    "numerics.polar_factor": Case("x", numerics.polar_factor),
    "numerics.ridge_solve": Case("gm", lambda g, m: numerics.ridge_solve(g, m, ridge=1e-3), nan="row", constant="–"),
    "numerics.safe_norm": Case("x", numerics.safe_norm, nan="row"),
    "numerics.safe_sqrt": Case("x", numerics.safe_sqrt, nan="row"),
    "numerics.squared_distances": Case("xa", numerics.squared_distances, nan="row"),
    "numerics.squared_norm": Case("x", numerics.squared_norm, nan="row"),
    "projection.inverse": Case("ra", lambda r, a: projection.inverse(r, a, similarity="l2").rows, nan="row"),
    "projection.relative": Case(
        "xa", lambda x, a: projection.relative(x, a, similarity=tuple(projection.INVARIANCES)), nan="row"
    ),
    "anchors.diagnose": Case("x", lambda x: tuple(anchors.diagnose(x, jnp.arange(3) * 3))[:3], constant="finite"),
    "anchors.direct": Case("x", lambda x: anchors.direct(x, 5), False, HOST, "an error", "copies", 2000),
    "anchors.farthest_point": Case(
        "x", lambda x: anchors.farthest_point(x, 5, key=KEY), True, INDICES, "nothing: indices", "copies"
    ),
    "anchors.kmeans": Case("x", lambda x: anchors.kmeans(x, 5, key=KEY), False, HOST, "an error", "copies", 2000),
    "anchors.random": Case("x", lambda x: anchors.random(x, 5, key=KEY), True, INDICES, "nothing: indices", "any rows"),
    "anchors.stratified": Case(
        "x",
        lambda x: anchors.stratified(anchors.random, x, 6, groups=np.arange(len(x)) % 2, key=KEY),
        False,
        HOST,
        "nothing: indices",
        "any rows",
    ),
    "metrics.cka": of_two("cka", rows=50_000),
    "metrics.cknna": of_two("cknna", num_neighbours=5),
    "metrics.cknna_rows": of_two("cknna_rows", num_neighbours=5),
    "metrics.collapsed_fraction": Case("x", metrics.collapsed_fraction, gradient=STEPS, constant="1", rows=0),
    "metrics.distance_correlation": of_two("distance_correlation"),
    "metrics.gfre": of_two("gfre", rows=50_000),
    "metrics.gfre_rows": of_two("gfre_rows", rows=50_000),
    "metrics.gromov_wasserstein": of_two("gromov_wasserstein"),
    "metrics.information_imbalance": of_two("information_imbalance", gradient=STEPS),
    "metrics.information_imbalance_rows": of_two("information_imbalance_rows", gradient=STEPS),
    "metrics.intrinsic_dimension": Case("x", metrics.intrinsic_dimension, constant="NaN", rows=0),
    "metrics.lfre": of_two("lfre", num_neighbours=8, ridge=1e-3),
    "metrics.lfre_rows": of_two("lfre_rows", num_neighbours=8, ridge=1e-3),
    "metrics.mutual_knn": of_two("mutual_knn", num_neighbours=5, gradient=STEPS),
    "metrics.mutual_knn_rows": of_two("mutual_knn_rows", num_neighbours=5, gradient=STEPS),
    "metrics.procrustes": of_two("procrustes", rows=50_000),
    "metrics.procrustes_rotation": of_two("procrustes_rotation", constant="any completion", rows=50_000),
    "metrics.procrustes_rows": of_two("procrustes_rows", rows=50_000),
    "metrics.sinkhorn_divergence": Case("xa", metrics.sinkhorn_divergence, constant="that of a point", rows=0),
    "metrics.wasserstein": Case("xx", metrics.wasserstein, constant="that of a point", rows=0),
    "arithmetic.analogy": Case("mx", lambda m, x: arithmetic.analogy(m, m[0], x), constant="0: all lie at the origin"),
    "arithmetic.cloud_distances": Case(
        "x",
        lambda x: arithmetic.cloud_distances(*_clouds(x), *_clouds(x), _pairs(x)).value,
        constant="0",
        rows=0,
    ),
    "arithmetic.pool": Case(
        "x",
        lambda x: arithmetic.pool(x, LABELS(x), how="covariance", num_structures=-(-x.shape[0] // 3)),
        nan="row",
        constant="finite",
    ),
    "arithmetic.ranks": Case(
        "xx",
        lambda x, y: tuple(arithmetic.ranks(x, y, jnp.arange(x.shape[0], dtype=jnp.int32))),
        gradient=INDICES,
        nan="nothing: counts",
        constant="all tied",
        rows=0,
    ),
    "arithmetic.reaction": Case("xm", lambda x, m: arithmetic.reaction(m, x), nan="row"),
    "stitching.apply": Case("x", lambda x: stitching.apply(MAP, x), nan="row"),
    "stitching.consensus": Case("xy", lambda x, y: stitching.consensus([x, y], num_steps=3).distances, constant="NaN"),
    "stitching.energies": Case(
        "x",
        lambda x: stitching.energies(x, LABELS(x) % 5, LABELS(x), readout=READOUT, num_structures=-(-x.shape[0] // 3)),
        nan="row",
    ),
    "stitching.fit": Case("xy", lambda x, y: stitching.fit(x, y, ridge=1e-3).matrix, constant="0: nothing to map"),
    "diagnostics.auroc": Case("vb", diagnostics.auroc, gradient=STEPS, constant="1/2"),
    "diagnostics.conformal_p_values": Case("vw", diagnostics.conformal_p_values, gradient=STEPS, nan="row"),
    "diagnostics.density_ratio": Case("xa", lambda x, a: diagnostics.density_ratio(x, a), nan="row"),
    "diagnostics.displacement": Case(
        "xy", lambda x, y: diagnostics.displacement(x, y, jnp.arange(4, dtype=jnp.int32) * 5), nan="row"
    ),
    "diagnostics.error_against_coverage": Case(
        "vw", lambda v, w: diagnostics.error_against_coverage(w, v, num_points=6).error, constant="flat"
    ),
    "diagnostics.exchange_test": Case(
        "x",
        lambda x: diagnostics.exchange_test(numerics.as_float(x).T @ numerics.as_float(x)),
        gradient=STEPS,
    ),
    "diagnostics.image_distances": Case(
        "x", lambda x: diagnostics.image_distances(x, jnp.arange(x.shape[0], dtype=jnp.int32)[::-1]), nan="row"
    ),
    "diagnostics.mahalanobis": Case("xa", lambda x, a: diagnostics.mahalanobis(x, a), nan="row"),
    "diagnostics.neighbour_distance": Case("xa", lambda x, a: diagnostics.neighbour_distance(x, a), nan="row"),
    "diagnostics.neighbour_spacing": Case("x", diagnostics.neighbour_spacing, constant="0", rows=0),
    "diagnostics.orbits": Case(
        "x",
        lambda x: diagnostics.orbits(x, LABELS(x), LABELS(x) // 2, num_orbits=-(-x.shape[0] // 3), most=2).within,
        nan="row",
    ),
    "diagnostics.plane_residual": Case(
        "xa",
        lambda x, a: diagnostics.plane_residual(x, a, num_neighbours=5, rank=2),
        gradient="none: directions of a plane",
        nan="row",
    ),
    "diagnostics.prediction_rejection": Case("vw", lambda v, w: diagnostics.prediction_rejection(w, v), constant="NaN"),
    "diagnostics.rank_correlation": Case("vw", diagnostics.rank_correlation, gradient=STEPS, constant="NaN"),
    "diagnostics.ranks": Case("v", diagnostics.ranks, gradient=STEPS, nan="row", constant="1/2"),
    "diagnostics.typicality": Case(
        "xa",
        lambda x, a: diagnostics.typicality(
            np.asarray(x),
            np.ones(len(x), int),
            reference=np.asarray(x),
            reference_species=np.ones(len(x), int),
            reference_structures=np.arange(len(x)) // 2,
            key=KEY,
            scores=("mahalanobis",),
        ),
        False,
        HOST,
        "all",
        "finite",
        2000,
    ),
}
"""Every public function of real arrays."""


def _clouds(x: Any) -> tuple[Any, Any]:
    return x.reshape(-1, 3, 4), np.full((x.shape[0] // 3, 3), 1 / 3, np.float32)


def _pairs(x: Any) -> Any:
    number = x.shape[0] // 3
    return jnp.stack([jnp.arange(2, dtype=jnp.int32), jnp.full(2, number - 1, jnp.int32)], axis=1)


MAP = stitching.Map(np.ones(4, np.float32), np.ones((4, 2), np.float32), np.ones(2, np.float32), np.float32(0))
READOUT = SimpleNamespace(
    weights=[np.ones((4, 2), np.float32), np.ones((2, 1), np.float32)],
    biases=[np.ones(2, np.float32), np.ones(1, np.float32)],
    activation="silu",
    scale=np.ones(9, np.float32),
    shift=np.ones(9, np.float32),
)


def table() -> str:
    """The contract as the guide prints it."""
    lines = [
        "| function | jit, vmap | gradient | a row of NaN gives NaN in | all rows equal give | run on, rows |",
        "|---|---|---|---|---|---|",
    ]
    for name, case in CONTRACT.items():
        cells = (
            f"`{name}`",
            "yes" if case.traced else "host",
            case.gradient,
            case.nan,
            case.constant,
            f"{case.rows:,}" if case.rows else "quadratic",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())  # noqa: T201
