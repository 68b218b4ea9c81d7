"""Diagnostics of a model: tables in, a record with a verdict out.

Each has structures of its own (`probes`), which are embedded as any other, and the same form: figures with what they
are to be read against, the atoms that they come from, and a verdict in plain words.
"""

from platonic_jax.studies._calibration import Calibration, calibration
from platonic_jax.studies._drift import Drift, drift
from platonic_jax.studies._phonons import Phonons, phonons
from platonic_jax.studies._symmetry import Symmetry, symmetry
from platonic_jax.studies._typicality import Typicality, typicality

__all__ = [
    "Calibration",
    "Drift",
    "Phonons",
    "Symmetry",
    "Typicality",
    "calibration",
    "drift",
    "phonons",
    "symmetry",
    "typicality",
]
