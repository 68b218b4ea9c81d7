"""Loading of models, in the environment of their family."""

from __future__ import annotations

import importlib
import os

from platonic_adapters import trust
from platonic_adapters.averaging import OrbitAverage
from platonic_adapters.errors import ExportError
from platonic_adapters.families import Adapter
from platonic_adapters.registry import ModelSpec

__all__ = ["load"]


def load(spec: ModelSpec, *, device: str, threads: int | None) -> Adapter:
    """Load a model through its family's module; of a file that is not trusted, torch reads arrays alone.

    Args:
        spec: which.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads; as many as this process may use if None.

    Raises:
        ExportError: weights that are not the ones of this name.
    """
    # Before the library arrives: threads that spin while they wait make an export on a busy machine ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with trust.arrays_alone(active=spec.path is not None and not spec.trusted):
        adapter = importlib.import_module(spec.family.module).load(spec, device=device, threads=threads)
    known, digest = spec.model.sha256, adapter.checkpoint["sha256"]
    if known not in (None, digest) and not spec.random_weights:
        raise ExportError(
            f"`{adapter.checkpoint['name']}` is not the checkpoint of {spec.name}: its sha256 is {digest}, not {known};"
            " remove the file and try again."
        )
    return OrbitAverage(adapter, spec.orbit_average) if spec.orbit_average else adapter
