"""Strict promotion everywhere: what relaxes it says so, and does it locally."""

import jax

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
