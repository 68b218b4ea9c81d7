"""Per-atom embeddings of foundation interatomic potentials: one extraction contract, one file format, every family.

The light core (numpy, ase, zarr, platformdirs) reads structures, knows the models and owns the store. The models
themselves are imported by one small module a family, and only in that family's environment. Importing this package
loads none of it; submodules arrive on first use.
"""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"
_MODULES = [
    "cli",
    "environments",
    "errors",
    "export",
    "loading",
    "reading",
    "readout",
    "registry",
    "selftest",
    "store",
    "structures",
]


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
