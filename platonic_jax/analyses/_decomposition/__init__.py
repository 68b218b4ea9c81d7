"""Decomposition of the agreement between models: which shared factor goes with more similarity?

Pairs of trained models are the observations. A comparison gives each pair its effect beyond a permutation null; a
factor says whether both models have it in common (training data, functional, network, …). A regression over pairs
estimates what sharing one factor adds while the others are held, and models are permuted to test it.
"""

from platonic_jax.analyses._decomposition._driver import decomposition
from platonic_jax.analyses._decomposition._factors import FACTORS, read_factors
from platonic_jax.analyses._decomposition._record import Decomposition, Explained, Omission

__all__ = ["FACTORS", "Decomposition", "Explained", "Omission", "decomposition", "read_factors"]
