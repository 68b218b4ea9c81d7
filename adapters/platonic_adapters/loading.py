"""Loading of models, in the environment of their family."""

from __future__ import annotations

import importlib
import os

from platonic_adapters import trust
from platonic_adapters.averaging import OrbitAverage
from platonic_adapters.errors import ExportError
from platonic_adapters.families import Adapter
from platonic_adapters.registry import ModelSpec

__all__ = ["CRYSTALS", "check_energies", "load"]

# The crystals of `Model.energies`: structure of ASE's `bulk`, and its lattice constant in Å.
CRYSTALS = {"NaCl": ("rocksalt", 5.64), "MgO": ("rocksalt", 4.21), "Si": ("diamond", 5.43)}
ENERGY_TOLERANCE = 5e-3  # eV/atom


def load(spec: ModelSpec, *, device: str, threads: int | None) -> Adapter:
    """Load a model through its family's module; of a file that is not trusted, torch reads arrays alone.

    Args:
        spec: which.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads; as many as this process may use if None.

    Raises:
        ExportError: weights that are not the ones of this name, or that the library in use takes for others.
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
    if not spec.random_weights:
        check_energies(spec, adapter)
    return OrbitAverage(adapter, spec.orbit_average) if spec.orbit_average else adapter


def check_energies(spec: ModelSpec, adapter: Adapter) -> None:
    """Check that a model gives known crystals the energies that its authors' code gives them.

    A library that changed a convention since the weights were made may load them without a word.

    Args:
        spec: with `Model.energies`.
        adapter: the model as loaded.

    Raises:
        ExportError: it does not.
    """
    if not spec.model.energies:
        return
    from ase.build import bulk  # half a second, which most models do without

    for name, expected in spec.model.energies:
        structure, a = CRYSTALS[name]
        crystal = bulk(name, structure, a=a)
        check, unit = getattr(adapter, "check", None), ""
        if check is not None:
            value = check(crystal)
        else:
            energy = adapter.embed([adapter.prepare(crystal)], ("energy",))[1]["energy"][0]
            value, unit = float(energy) / len(crystal), " eV/atom"
        if not abs(value - expected) <= ENERGY_TOLERANCE:
            raise ExportError(
                f"{spec.name} is refused: with the {spec.family.library} installed here it gives {name}"
                f" {value:.3f} instead of {expected:.3f}{unit}, so its weights are used by another convention than"
                f" they were trained by; install {', '.join(spec.family.requirements)}, or let `platonic embed` make"
                " the environment."
            )
