"""Typicality of structures among references, with conformal p-values."""

from platonic_jax.analyses._typicality._driver import typicality
from platonic_jax.analyses._typicality._record import ALL, NONE, UNKNOWN, Against, QuerySet, Typicality

__all__ = ["ALL", "NONE", "UNKNOWN", "Against", "QuerySet", "Typicality", "typicality"]
