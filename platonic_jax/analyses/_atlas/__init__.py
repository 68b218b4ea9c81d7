"""The atlas of models: which published model is a model most like, and where does it differ from all of them?

The shared-space coordinates of published models on a small standard set ship with the package (`atlas.npz`), so that a
model needs to embed that set alone. One atom of each symmetry orbit counts.
"""

from platonic_jax.analyses._atlas._coordinates import Coordinates, build_atlas, read_atlas
from platonic_jax.analyses._atlas._driver import atlas
from platonic_jax.analyses._atlas._record import Atlas, Deviation, Element, Place

__all__ = ["Atlas", "Coordinates", "Deviation", "Element", "Place", "atlas", "build_atlas", "read_atlas"]
