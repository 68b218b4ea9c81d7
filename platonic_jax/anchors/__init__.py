"""Anchors: the atoms whose similarities to all others define the shared space.

Choosing
    `random`, `farthest_point`, `kmeans` and `direct` look at one cloud and return row indices; `stratified` applies any
    of them within each element. The same rows then serve every model, each in its own space.

Keeping
    `Anchors` holds the chosen *atoms*, as atoms of structures, so that they can be saved, read back, found among the
    rows of another table, and embedded with another model; with what was learned about them (`learn`), their weights
    and a `LinearMap` for each model. `published` are the 100 of Li & Walsh.

Judging
    `diagnose` says how well a set of anchors covers a cloud, and which of them add nothing to the others.
"""

from platonic_jax.anchors._choose import farthest_point, kmeans, random, stratified
from platonic_jax.anchors._diagnose import Diagnosis, diagnose
from platonic_jax.anchors._direct import direct
from platonic_jax.anchors._published import published
from platonic_jax.anchors._record import Anchors, LinearMap

__all__ = [
    "Anchors",
    "Diagnosis",
    "LinearMap",
    "diagnose",
    "direct",
    "farthest_point",
    "kmeans",
    "published",
    "random",
    "stratified",
]


def __dir__() -> list[str]:
    return __all__
