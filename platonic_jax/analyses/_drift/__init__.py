"""Effect of further training on embeddings: which elements moved, how far, and what it costs."""

from platonic_jax.analyses._drift._driver import drift
from platonic_jax.analyses._drift._record import AtomDrift, Drift, EnergyChange, Runs

__all__ = ["AtomDrift", "Drift", "EnergyChange", "Runs", "drift"]
