"""Typicality of structures among references, with conformal p-values."""

from platonic_jax.analyses._typicality._driver import typicality
from platonic_jax.analyses._typicality._record import Typicality

__all__ = ["Typicality", "typicality"]
