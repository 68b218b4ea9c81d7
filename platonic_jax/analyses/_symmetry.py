"""Invariance of embeddings under rigid motions, supercells and crystal symmetry, from a table of transformed copies."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import chemical_symbols
from jaxtyping import Array, Float

from platonic_jax import anchors, diagnostics, numerics, projection
from platonic_jax.analyses._result import Result
from platonic_jax.analyses._run import provenance
from platonic_jax.probes import IMAGES, Images
from platonic_jax.tables import EmbeddingTable

__all__ = ["TOLERANCE", "Symmetry", "symmetry"]

# Of the norm of a row: what a deep network of float32 loses by rounding, and nothing that was ever learned.
TOLERANCE = 1e-5
_ROTATIONS = ("cube rotation", "rotation", "reflection")
_SPACES = ("raw", "shared")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageDistances:
    """Distances between atoms and their images of one kind.

    Attributes:
        num_structures: Number of transformed copies.
        num_atoms: Number of images.
        median: Median distance of an image to its atom, relative to the atom's norm.
        largest: Largest of these.
        median_against: Median distance, relative to the distance between different environments.
        largest_against: Largest of these.
        misassigned: Share of images that lie farther from their atom than half way to the next environment.
        broken: Share of images beyond the tolerance.
        worst: `structure`, `atom` and `element` of the atom of `largest`.
    """

    num_structures: int
    num_atoms: int
    median: float
    largest: float
    median_against: float
    largest_against: float
    misassigned: float
    broken: float
    worst: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class OrbitSpread:
    """Spread of symmetry-equivalent atoms.

    Attributes:
        num_orbits: Number of orbits of several atoms.
        collapsed: Share of them that lies within the tolerance.
        largest: Largest distance to an orbit's mean, relative to its norm.
        within: Root mean square distance within an orbit.
        between: Root mean square distance between orbits.
        ratio: `within` / `between`.
        worst: An atom of the orbit of `largest`, and the orbit's `num_atoms`; None without such orbits.
    """

    num_orbits: int = 0
    collapsed: float = np.nan
    largest: float = np.nan
    within: float = np.nan
    between: float = np.nan
    ratio: float = np.nan
    worst: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Symmetry(Result):
    """Distances between atoms and their transformed copies, and the spread of equivalent atoms.

    Attributes:
        model: its name.
        kind: `model`, or `random` (re-drawn weights).
        layer: the layer that was looked at.
        images: by space, `raw` or `shared`, by kind of image.
        orbits: by space.
        atoms: for every atom of the originals `structure`, `atom`, `element`, and `median` and `largest`: the median
            and the largest distance of its rotations and reflections, in parts of its norm, in raw space.
        elements: the same over the atoms of each element, the most sensitive element first.
        noise: what distances are read against: `storage`, ε of the stored rows, `rounding`, the largest distance under
            a mere change of order, and the `tolerance`.
        symmetrized: Å by which atoms were moved to make a structure exactly symmetric, where that is 1e-6 or more.
        fallback_scale: structures that are one orbit or whose orbits are unknown: for these, the distance between
            different environments is that of all structures given.
        settings: how it was made.
        provenance: of the table.
    """

    model: str
    kind: str
    layer: str
    images: Mapping[str, Mapping[str, ImageDistances]]
    orbits: Mapping[str, OrbitSpread]
    atoms: Mapping[str, np.ndarray]
    elements: Mapping[str, Mapping[str, Any]]
    noise: Mapping[str, float]
    symmetrized: Mapping[str, float]
    fallback_scale: list[str]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def broken(self) -> list[str]:
        """The kinds of image under which some atom moves by more than the tolerance in raw space."""
        return [kind for kind, entry in self.images["raw"].items() if entry.largest > TOLERANCE]


def symmetry(table: EmbeddingTable, images: Images, *, k: int = 100, seed: int = 0) -> Symmetry:
    """Test the invariance of a model from its embeddings of symmetry-transformed copies.

    Args:
        table: a model's table of `images.structures`; structures that it skipped are left out.
        images: as from `probes.images`.
        k: atoms of the originals that are anchors of the shared space, at most; all of them if they are fewer.
        seed: the choice of anchors follows from it.

    Returns:
        The figures, and a verdict.

    Raises:
        ValueError: a table of other structures, `k` below one.

    Example:
        >>> import numpy as np
        >>> from ase.build import bulk
        >>> from platonic_adapters.reading import read
        >>> from platonic_jax import EmbeddingTable, analyses, probes
        >>> images = probes.images(read(bulk("NaCl", "rocksalt", a=5.64))[0], seed=0)
        >>> known = images.structures
        >>> table = EmbeddingTable.from_arrays(
        ...     np.eye(17)[known.species - 1], known.species, known.structure_index, structures=known, model="element"
        ... )
        >>> analyses.symmetry(table, images).broken
        []
    """
    if k < 1:
        raise ValueError(f"`k` must be at least 1, got {k}.")
    images = _matching(table, images)
    known = images.structures
    originals = np.repeat(images.kind == "original", known.num_atoms)
    number = int(originals.sum())
    name = [f"{known.ids[i]}" for i in table.structure_index[:number]]
    symbols = np.array(chemical_symbols)[table.species[:number]]
    kinds = images.kind[table.structure_index]
    key = jax.random.key(seed)
    orbit, home, most = _compact(images.orbit[:number], table.structure_index[:number])

    def label(row: int) -> dict[str, Any]:
        return {"structure": name[row], "atom": int(table.atom_index[row]), "element": str(symbols[row])}

    per_space, collapse, relative = {}, {}, {}
    with jax.enable_x64(True):  # noqa: FBT003
        x = jnp.asarray(table.x)
        rows = np.asarray(anchors.random(x[:number], min(k, number), key=key))
        for space in _SPACES:
            seen = x if space == "raw" else _shared(x, jnp.asarray(rows))
            distance, norm = (np.asarray(values) for values in _distances(seen, jnp.asarray(images.image_of)))
            relative[space] = distance / np.where(norm > 0, norm, 1)
            scale, nearest, collapse[space] = _scales(seen, number, orbit, home, most, label)
            per_space[space] = {
                kind: _summary(
                    np.flatnonzero(kinds == kind),
                    relative[space],
                    distance,
                    scale,
                    nearest,
                    images.image_of,
                    label,
                    num_structures=int((images.kind == kind).sum()),
                )
                for kind in IMAGES
                if (kinds == kind).any()
            }

    rotated = np.isin(kinds, _ROTATIONS)
    atoms = _by_atom(relative["raw"][rotated], images.image_of[rotated], number)
    return Symmetry(
        model=table.model,
        kind=table.kind,
        layer=table.layer,
        images=per_space,
        orbits=collapse,
        atoms={"structure": np.array(name), "atom": table.atom_index[:number], "element": symbols, **atoms},
        elements=_by_element(symbols, atoms),
        noise={
            "storage": float(np.finfo(np.float32).eps),
            "rounding": per_space["raw"]["permutation"].largest,
            "tolerance": TOLERANCE,
        },
        symmetrized={known.ids[i]: float(shift) for i, shift in enumerate(images.moved) if shift >= 1e-6},
        fallback_scale=_without_scale(images, home),
        settings={
            **images.settings,
            "k": len(rows),
            "similarity": "cosine",
            "interval": "none: of the images that were made every one counts, and the largest is of these",
        },
        provenance=provenance([table], [table], [table.model], seed=seed),
    )


@jax.jit
def _distances(x: Float[Array, "n p"], image_of: Array) -> tuple[Array, Array]:
    return diagnostics.image_distances(x, image_of), numerics.safe_norm(x)[image_of]


@jax.jit
def _shared(x: Float[Array, "n p"], rows: Array) -> Float[Array, "n k"]:
    """In float64, a few rows at a time: single precision would round by more than the model does."""
    anchor_rows = x[rows].astype(jnp.float64)
    similar = lambda row: projection.relative(row[None].astype(jnp.float64), anchor_rows)[0]
    return numerics.map_rows(similar, x, batch_size=numerics.rows_per_tile(x.shape[1] + len(rows)))


_orbits = partial(jax.jit, static_argnames=("num_orbits", "most"))(diagnostics.orbits)


def _matching(table: EmbeddingTable, images: Images) -> Images:
    """The images that the table has rows of."""
    if table.structures is None:
        raise ValueError("`table` must have structures, got bare arrays: images and originals are matched by them.")
    known = images.among(table.structures.ids)
    if known.structures.hashes != table.structures.hashes:
        raise ValueError("`table` must be of `images.structures`, got other structures: embed those.")
    return known


def _compact(orbit: np.ndarray, structure: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Orbits numbered without gaps, −1 as before; the structure of each; the most in one structure."""
    known = orbit >= 0
    first, number = np.unique(orbit[known], return_inverse=True)
    compact = np.full(len(orbit), -1, np.int32)
    compact[known] = number
    home = structure[first]
    return compact, home, int(np.bincount(home).max()) if len(home) else 0


def _scales(
    seen: Array, number: int, orbit: np.ndarray, home: np.ndarray, most: int, label: Any
) -> tuple[np.ndarray, np.ndarray, OrbitSpread]:
    """Distance between environments and to the nearest one, for every original atom; and the collapse of orbits."""
    scale, nearest = np.full(number, np.nan), np.full(number, np.nan)
    known = np.flatnonzero(orbit >= 0)
    if not known.size:
        return scale, nearest, OrbitSpread()
    members = orbit[known]
    spread = _orbits(seen[known], jnp.asarray(members), jnp.asarray(home[members]), num_orbits=len(home), most=most)
    within, largest, between, closest, norm = (np.asarray(values, float) for values in spread)
    size, first = np.bincount(members), known[np.unique(members, return_index=True)[1]]
    everywhere = _apart(np.asarray(seen[first], float))
    scale[:] = everywhere
    scale[known] = np.where(np.isfinite(between), between, everywhere)[members]
    nearest[known] = closest[members]
    several = size > 1
    if not several.any():
        return scale, nearest, OrbitSpread(between=everywhere)
    part = np.where(several, largest / np.where(norm > 0, norm, 1), -1)
    inside = float(np.sqrt(np.mean(within[several] ** 2)))
    outside = float(np.sqrt(np.nanmean(between**2))) if np.isfinite(between).any() else everywhere
    return (
        scale,
        nearest,
        OrbitSpread(
            num_orbits=int(several.sum()),
            collapsed=float(np.mean(part[several] <= TOLERANCE)),
            largest=float(part.max()),
            within=inside,
            between=outside,
            ratio=inside / outside if outside > 0 else np.nan,
            worst={**label(int(first[part.argmax()])), "num_atoms": int(size[part.argmax()])},
        ),
    )


def _apart(means: np.ndarray) -> float:
    """Root mean square distance between all rows; NaN for a single one."""
    o = len(means)
    return float(np.sqrt(2 * o / (o - 1) * means.var(axis=0).sum())) if o > 1 else np.nan


def _summary(
    rows: np.ndarray,
    relative: np.ndarray,
    distance: np.ndarray,
    scale: np.ndarray,
    nearest: np.ndarray,
    image_of: np.ndarray,
    label: Any,
    *,
    num_structures: int,
) -> ImageDistances:
    """Of the images of one kind, whose rows are given."""
    atom = image_of[rows]
    parts, sited, scaled = relative[rows], np.isfinite(nearest[atom]), scale[atom] > 0
    against = distance[rows][scaled] / scale[atom][scaled]
    return ImageDistances(
        num_structures=num_structures,
        num_atoms=len(rows),
        median=float(np.median(parts)),
        largest=float(parts.max()),
        median_against=float(np.median(against)) if scaled.any() else np.nan,
        largest_against=float(against.max()) if scaled.any() else np.nan,
        misassigned=float(np.mean(distance[rows][sited] > nearest[atom][sited] / 2)) if sited.any() else np.nan,
        broken=float(np.mean(parts > TOLERANCE)),
        worst=label(int(atom[parts.argmax()])),
    )


def _by_atom(relative: np.ndarray, atom: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """Median and largest of the images of each atom; every atom has as many of them."""
    by_atom = relative[np.argsort(atom, kind="stable")].reshape(number, -1)
    return {"median": np.median(by_atom, axis=1), "largest": by_atom.max(axis=1)}


def _by_element(symbols: np.ndarray, atoms: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    elements = {
        str(element): {
            "num_atoms": int((symbols == element).sum()),
            "median": float(np.median(atoms["median"][symbols == element])),
            "largest": float(atoms["largest"][symbols == element].max()),
        }
        for element in np.unique(symbols)
    }
    return dict(sorted(elements.items(), key=lambda entry: -entry[1]["median"]))


def _without_scale(images: Images, home: np.ndarray) -> list[str]:
    number = int((images.kind == "original").sum())
    return [images.structures.ids[i] for i in np.flatnonzero(np.bincount(home, minlength=number) < 2)]
