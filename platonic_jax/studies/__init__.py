"""Diagnostics of a model: tables in, a record with a verdict out.

Each has structures of its own (`probes`), which are embedded as any other, and the same form: figures with what they
are to be read against, the atoms that they come from, and a verdict in plain words.
"""

from platonic_jax.studies._analogies import Analogies, analogies
from platonic_jax.studies._arithmetic import Arithmetic, arithmetic
from platonic_jax.studies._calibration import Calibration, calibration
from platonic_jax.studies._drift import Drift, drift
from platonic_jax.studies._merging import Merging, merging
from platonic_jax.studies._phonons import Phonons, phonons
from platonic_jax.studies._polymorphs import Polymorphs, polymorphs
from platonic_jax.studies._reactions import Reactions, reactions
from platonic_jax.studies._stitching import Stitching, stitching
from platonic_jax.studies._symmetry import Symmetry, symmetry
from platonic_jax.studies._terms import ARROW
from platonic_jax.studies._typicality import typicality
from platonic_jax.studies._typicality_record import Typicality

__all__ = [
    "ARROW",
    "Analogies",
    "Arithmetic",
    "Calibration",
    "Drift",
    "Merging",
    "Phonons",
    "Polymorphs",
    "Reactions",
    "Stitching",
    "Symmetry",
    "Typicality",
    "analogies",
    "arithmetic",
    "calibration",
    "drift",
    "merging",
    "phonons",
    "polymorphs",
    "reactions",
    "stitching",
    "symmetry",
    "typicality",
]
