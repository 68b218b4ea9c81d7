"""Strict promotion everywhere: what relaxes it says so, and does it locally."""

import gc
import os
import signal
from pathlib import Path

# To be set before JAX is imported. What one worker, subprocess or run compiles, no other compiles again.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache/compiled"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# Tests compile much and compute little: less than half of the time without XLA's optimisations. `XLA_FLAGS= make unit`
# tests the programs that users run, as the workflow on GitHub does.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA takes its own tuning flags for features that are missing.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # Sources are compiled once, too.

import jax
import jaxtyping
import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # A shell starts its background jobs so, and children inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.set_threshold(50_000, 20, 100)  # Traces are many small objects, which live as long as their programs.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def as_users_call():
    """Without the checking of annotations, which is there in tests alone: for the errors that users see."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True, scope="module")
def _few_programs():
    """Drop compiled programs before they exhaust the process's memory maps: beyond 65,530 XLA's compiler crashes."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()
