"""Reliability diagnostics from the geometry of a model's embeddings: algorithms on arrays.

Symmetry
    `image_distances`, `orbits`: does an atom stay where it is when the crystal is turned, and do atoms coincide that
    the symmetry of the crystal makes equivalent?

Phonons
    `force_constants`, `summed`, `symmetrised`, `mesh`, `bands`, `difference`, `splitting`, `asymmetry`,
    `acoustic_violation`: what forces in displaced supercells say of lattice vibrations. Host-side, through phonopy.

Calibration
    `rank_correlation`, `auroc`, `prediction_rejection`, `error_against_coverage`, `ranks`: whether a
    score ranks errors.

Typicality
    `neighbour_distance`, `density_ratio`, `mahalanobis`, `plane_residual`: how far a row lies from a reference;
    `typicality`: on a scale that elements share; `conformal_p_values`: how many typical ones lie as far.

Drift
    `displacement`: how far an atom moves between two versions of a model; `exchange_test`: whether one
    run of training lies farther from the others than they do.

The drivers, from tables to verdicts, live in `studies`.
"""

from platonic_jax.diagnostics._calibration import (
    Coverage,
    auroc,
    error_against_coverage,
    prediction_rejection,
    rank_correlation,
    ranks,
)
from platonic_jax.diagnostics._drift import displacement, exchange_test
from platonic_jax.diagnostics._phonons import (
    Bands,
    Difference,
    Mesh,
    Splitting,
    acoustic_violation,
    asymmetry,
    bands,
    difference,
    force_constants,
    loaded,
    mesh,
    splitting,
    summed,
    symmetrised,
)
from platonic_jax.diagnostics._symmetry import Orbits, image_distances, orbits
from platonic_jax.diagnostics._typicality import (
    DEFAULT_SCORES,
    LEAST_ATOMS,
    SCORES,
    conformal_p_values,
    density_ratio,
    mahalanobis,
    neighbour_distance,
    neighbour_spacing,
    plane_residual,
    typicality,
)

__all__ = [
    "DEFAULT_SCORES",
    "LEAST_ATOMS",
    "SCORES",
    "Bands",
    "Coverage",
    "Difference",
    "Mesh",
    "Orbits",
    "Splitting",
    "acoustic_violation",
    "asymmetry",
    "auroc",
    "bands",
    "conformal_p_values",
    "density_ratio",
    "difference",
    "displacement",
    "error_against_coverage",
    "exchange_test",
    "force_constants",
    "image_distances",
    "loaded",
    "mahalanobis",
    "mesh",
    "neighbour_distance",
    "neighbour_spacing",
    "orbits",
    "plane_residual",
    "prediction_rejection",
    "rank_correlation",
    "ranks",
    "splitting",
    "summed",
    "symmetrised",
    "typicality",
]


def __dir__() -> list[str]:
    return __all__
