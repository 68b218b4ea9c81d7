"""Structure generators for symmetry and phonon tests: symmetry-transformed copies, displaced supercells.

Host-side. A probe is a list of structures, to be embedded as any other, with the record of what each of them is. Draw i
of anything random depends on the seed and on i alone.
"""

import dataclasses
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from platonic_adapters.averaging import rotations
from platonic_adapters.structures import Structures, turned

__all__ = ["IMAGES", "Displaced", "Images", "crystal", "displaced", "images", "read_phonopy"]


def __dir__() -> list[str]:
    return __all__


IMAGES = ("cube rotation", "rotation", "reflection", "translation", "permutation", "supercell")
"""The kinds of images that structures may have."""
# Of the images that are drawn at random, one stream each.
_ROTATION, _REFLECTION, _TRANSLATION, _PERMUTATION = range(4)
_LONGEST_SHIFT = 5.0  # Å
# How a displaced supercell is seen: as it is, shifted, which tells the noise, reflected; and then rotated.
AS_IS, SHIFTED, REFLECTED = 0, 1, 2


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """Structures and their images, of which every atom is some atom of an original.

    Attributes:
        structures: the s originals first, then all images.
        kind: for each structure `original`, or one of `IMAGES`.
        image_of: (n,) int32, the row of the original atom of every atom; of an original atom, its own row.
        orbit: (n,) int32, for every atom of an original the first row among the atoms that the symmetry of the crystal
            makes equivalent to it; −1 for atoms of images, and where the structure is not a crystal.
        moved: (s,) Å, how far the atom that moved most was moved to make a nearly symmetric original symmetric.
        settings: how the images were made.
    """

    structures: Structures
    kind: np.ndarray
    image_of: np.ndarray
    orbit: np.ndarray
    moved: np.ndarray
    settings: dict[str, Any]

    def among(self, ids: Collection[str]) -> "Images":
        """Restrict to the structures with these ids, each original with its images.

        Raises:
            ValueError: an image is left without its original.
        """
        keep = np.isin(self.structures.ids, list(ids))
        rows = np.repeat(keep, self.structures.num_atoms)
        if not rows[self.image_of[rows]].all():
            raise ValueError("`ids` must hold the original of every image, got images without it.")
        number = (np.cumsum(rows) - 1).astype(np.int32)
        orbit = self.orbit[rows]
        return Images(
            structures=self.structures.select(keep),
            kind=self.kind[keep],
            image_of=number[self.image_of[rows]],
            orbit=np.where(orbit < 0, orbit, number[orbit]),
            moved=self.moved[keep[: len(self.moved)]],
            settings=self.settings,
        )


def images(structures: Structures, *, seed: int, num_draws: int = 4, tolerance: float = 0.01) -> Images:
    """Generate copies under operations that must not change an atom: rotations, reflections, translations, supercells.

    Every structure is first made exactly symmetric, if it nearly is, so that equivalent atoms differ by the model's
    doing alone. Its images are the 23 turns of a cube (rotations that a grid aligned with the axes survives, and a
    network may too), random rotations, reflections in random planes, random shifts wrapped back into the cell, random
    orders of the atoms, and cells doubled along each periodic direction.

    Args:
        structures: The originals.
        seed: Everything random follows from it.
        num_draws: How many random rotations, reflections, shifts and orders of each structure.
        tolerance: Å, by which positions may fail a symmetry of the crystal (spglib's `symprec`).

    Returns:
        Originals and images, with the map from the atoms of these to those.

    Raises:
        ValueError: If `num_draws` is below one, or `tolerance` not positive.

    Example:
        >>> from ase.build import bulk
        >>> from platonic_adapters.reading import read
        >>> from platonic_jax import probes
        >>> made = probes.images(read(bulk("NaCl", "rocksalt", a=5.64))[0], seed=0)
        >>> len(made.structures), str(made.kind[-1]), made.image_of[-4:].tolist()
        (43, 'supercell', [0, 1, 0, 1])

    Reference:
        Symmetry of crystals: Togo, Shinohara & Tanaka, Spglib: a software library for crystal symmetry search, Sci.
        Technol. Adv. Mater. Meth. 4, 2384822 (2024).
    """
    if num_draws < 1:
        raise ValueError(f"`num_draws` must be at least 1, got {num_draws}.")
    if not tolerance > 0:
        raise ValueError(f"`tolerance` must be positive, got {tolerance}.")
    originals, orbits, moved = [], [], []
    for i in range(len(structures)):
        atoms, orbit, shift = _symmetrised(structures.atoms(i), tolerance)
        originals.append(atoms)
        orbits.append(np.where(orbit < 0, orbit, orbit + structures.offsets[i]))
        moved.append(shift)
    copies, ids, kinds = list(originals), list(structures.ids), ["original"] * len(originals)
    maps = [
        np.arange(offset, offset + len(atoms)) for offset, atoms in zip(structures.offsets, originals, strict=False)
    ]
    for i, atoms in enumerate(originals):
        count = Counter()
        for kind, image, order in _images_of(atoms, [seed, i], num_draws):
            copies.append(image)
            ids.append(f"{structures.ids[i]}, {kind} {count[kind]}")
            kinds.append(kind)
            maps.append(maps[i][order])
            count[kind] += 1
    image_of, orbit = np.concatenate(maps), np.concatenate(orbits)
    return Images(
        structures=Structures.from_atoms(copies, ids),
        kind=np.array(kinds),
        image_of=image_of.astype(np.int32),
        orbit=np.concatenate([orbit, np.full(len(image_of) - len(orbit), -1)]).astype(np.int32),
        moved=np.array(moved),
        settings={"seed": seed, "num_draws": num_draws, "tolerance": tolerance},
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Displaced:
    """Supercells of a crystal with one atom displaced in each, and the same ones shifted, reflected and rotated.

    Attributes:
        structures: the supercells.
        phonon: the crystal, its supercell and the displacements that symmetry leaves over, as phonopy keeps them; with
            the forces of a reference, if it brought any.
        unreduced: the same crystal without its symmetry: every atom of the primitive cell is displaced both ways along
            each axis.
        role: for each supercell `perfect`, `reduced` (a displacement of `phonon`) or `every` (of `unreduced`).
        view: for each supercell 0 as it is, 1 shifted, 2 reflected, from 3 on rotated.
        turns: (v, 3, 3) the orthogonal map of each view.
        settings: how they were made.
    """

    structures: Structures
    phonon: Any
    unreduced: Any
    role: np.ndarray
    view: np.ndarray
    turns: np.ndarray
    settings: dict[str, Any]

    @property
    def reference(self) -> np.ndarray | None:
        """(d, n, 3) eV/Å, the forces that came with the displacements of `phonon`, or None."""
        return _forces(self.phonon)


def crystal(structures: Structures, *, min_length: float = 10.0, distance: float = 0.01) -> Any:
    """A crystal made exactly symmetric, a supercell of it, and the displacements that symmetry leaves over.

    Args:
        structures: The crystal, alone.
        min_length: Å, the least length of the supercell along each lattice vector.
        distance: Å, of each displacement.

    Returns:
        A `phonopy.Phonopy`.

    Raises:
        ValueError: If there are several structures, or one that is not periodic in all directions.

    Example:
        >>> from ase.build import bulk
        >>> from platonic_adapters.reading import read
        >>> from platonic_jax import probes
        >>> phonon = probes.crystal(read(bulk("NaCl", "rocksalt", a=5.64))[0])
        >>> len(phonon.supercell), len(phonon.supercells_with_displacements)
        (54, 2)
        >>> made = probes.displaced(phonon, seed=0)
        >>> [int((made.role == role).sum()) for role in ("perfect", "reduced", "every")]
        [4, 8, 12]
    """
    if len(structures) != 1:
        raise ValueError(f"`structures` must be one crystal, got {len(structures)} structures: give them one by one.")
    if not structures.pbc.all():
        raise ValueError(
            f"`structures` must be periodic in all three directions, got {structures.pbc[0].tolist()} for "
            f"{structures.ids[0]}: a molecule or a slab has vibrations, but no phonons of a crystal."
        )
    for name, value in (("min_length", min_length), ("distance", distance)):
        if not value > 0:
            raise ValueError(f"`{name}` must be positive, got {value}.")
    phonopy = _phonopy()
    from phonopy.structure.atoms import PhonopyAtoms

    atoms, _, _ = _symmetrised(structures.atoms(0), 0.01)
    unitcell = PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell.array, positions=atoms.positions)
    repeats = np.ceil(min_length / atoms.cell.lengths() - 1e-6).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # That the primitive cell is sought, unlike in phonopy 3.
        phonon = phonopy.Phonopy(unitcell, np.diag(repeats))
    phonon.generate_displacements(distance=distance)
    return phonon


def read_phonopy(path: str | Path) -> Any:
    """A crystal with displaced supercells and their forces, as phonopy writes them: a reference.

    Args:
        path: A folder with `phonopy_disp.yaml`, `FORCE_SETS` and perhaps `BORN`; or a file `phonopy_params.yaml`.

    Returns:
        A `phonopy.Phonopy` with displacements and forces.

    Raises:
        ValueError: If there is nothing of the kind.
    """
    path, phonopy = Path(path), _phonopy()
    files = {"phonopy_yaml": path}
    if path.is_dir():
        names = {"phonopy_yaml": "phonopy_disp.yaml", "force_sets_filename": "FORCE_SETS", "born_filename": "BORN"}
        files = {option: path / name for option, name in names.items() if (path / name).exists()}
    if "phonopy_yaml" not in files or not files["phonopy_yaml"].is_file():
        raise ValueError(f"`path` must hold phonopy_disp.yaml and FORCE_SETS, or be a phonopy_params.yaml, got {path}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        phonon = phonopy.load(**files, produce_fc=False)
    if _forces(phonon) is None:
        raise ValueError(f"`path` must bring the forces on single displaced atoms (FORCE_SETS), got none in {path}.")
    return phonon


def displaced(phonon: Any, *, seed: int, num_rotations: int = 1, unreduced: bool = True) -> Displaced:
    """Generate the displaced supercells of a phonon calculation, and copies that reveal broken invariance.

    Args:
        phonon: A `phonopy.Phonopy` with displacements, as from `crystal` or `read_phonopy`.
        seed: The shift, the plane of reflection and the rotations follow from it.
        num_rotations: Random rotations in which the supercells are seen besides.
        unreduced: Whether every atom is displaced besides, as if the crystal had no symmetry: most of the work, and the
            only way to see what symmetry would hide.

    Returns:
        The supercells: the perfect one, those of `phonon`, those without symmetry; then the first two kinds shifted,
        reflected, and in every rotation.

    Raises:
        ValueError: If `num_rotations` is below one.
    """
    if num_rotations < 1:
        raise ValueError(f"`num_rotations` must be at least 1, got {num_rotations}.")
    from ase import Atoms

    plain = _phonopy().Phonopy(phonon.unitcell, phonon.supercell_matrix, phonon.primitive_matrix, is_symmetry=False)
    lengths = [np.linalg.norm(first["displacement"]) for first in phonon.dataset["first_atoms"]]
    plain.generate_displacements(distance=float(np.mean(lengths)), is_plusminus=True)
    cells = {
        "perfect": [phonon.supercell],
        "reduced": phonon.supercells_with_displacements,
        "every": plain.supercells_with_displacements if unreduced else [],
    }
    rotated = [_rotation([seed, _ROTATION, draw]) for draw in range(num_rotations)]
    turns = np.stack([np.eye(3), np.eye(3), _reflection([seed, _REFLECTION]), *rotated])
    shift = np.random.default_rng([seed, _TRANSLATION]).uniform(-_LONGEST_SHIFT, _LONGEST_SHIFT, 3)
    supercells, ids, roles, views = [], [], [], []
    for view, turn in enumerate(turns):
        for role in ("perfect", "reduced", "every") if view == AS_IS else ("perfect", "reduced"):
            for number, cell in enumerate(cells[role]):
                atoms = Atoms(cell.numbers, cell=cell.cell, positions=cell.positions, pbc=True)
                if view == SHIFTED:
                    atoms.positions = atoms.positions + shift
                    atoms.wrap()
                supercells.append(turned(atoms, turn) if view > SHIFTED else atoms)
                ids.append(f"{role} {number}, view {view}")
                roles.append(role)
                views.append(view)
    return Displaced(
        structures=Structures.from_atoms(supercells, ids),
        phonon=phonon,
        unreduced=plain,
        role=np.array(roles),
        view=np.array(views),
        turns=turns,
        settings={
            "seed": seed,
            "num_rotations": num_rotations,
            "supercell": np.asarray(phonon.supercell_matrix).tolist(),
            "num_atoms": len(phonon.supercell),
            "distance": float(np.mean(lengths)),
        },
    )


def _forces(phonon: Any) -> np.ndarray | None:
    displacements = (phonon.dataset or {}).get("first_atoms", [])
    forces = [entry["forces"] for entry in displacements if "forces" in entry]
    return np.array(forces) if forces else None


def _phonopy() -> Any:
    """The library, which is an optional one."""
    try:
        import phonopy
    except ImportError as error:
        raise ValueError('phonons need `phonopy` and `seekpath`: run `pip install "platonic-jax[phonons]"`.') from error
    return phonopy


def _rotation(seed: list[int]) -> np.ndarray:
    """(3, 3) a proper rotation, drawn uniformly."""
    from scipy.spatial.transform import Rotation

    return Rotation.random(None, np.random.default_rng(seed)).as_matrix()


def _reflection(seed: list[int]) -> np.ndarray:
    """(3, 3) the reflection in a plane whose normal is drawn uniformly."""
    normal = _rotation(seed)[0]
    return np.eye(3) - 2 * np.outer(normal, normal)


def _images_of(atoms: Any, seed: list[int], num_draws: int) -> Iterator[tuple[str, Any, np.ndarray]]:
    """The kind of an image, the image, and for each of its atoms the atom of the original that it is."""
    same = np.arange(len(atoms))
    for turn in rotations(24):
        if not np.allclose(turn, np.eye(3)):
            yield "cube rotation", turned(atoms, turn), same
    for draw in range(num_draws):
        yield "rotation", turned(atoms, _rotation([*seed, _ROTATION, draw])), same
    for draw in range(num_draws):
        yield "reflection", turned(atoms, _reflection([*seed, _REFLECTION, draw])), same
    for draw in range(num_draws):
        shifted = atoms.copy()
        shift = np.random.default_rng([*seed, _TRANSLATION, draw]).uniform(-_LONGEST_SHIFT, _LONGEST_SHIFT, 3)
        shifted.positions = shifted.positions + shift
        shifted.wrap()
        yield "translation", shifted, same
    for draw in range(num_draws):
        order = np.random.default_rng([*seed, _PERMUTATION, draw]).permutation(len(atoms))
        yield "permutation", atoms[order], order
    for axis in np.flatnonzero(atoms.pbc):
        yield "supercell", atoms.repeat([2 if axis == other else 1 for other in range(3)]), np.tile(same, 2)


def _symmetrised(atoms: Any, tolerance: float) -> tuple[Any, np.ndarray, float]:
    """Atoms on the positions that their symmetry wants, the first atom of each one's orbit, and the longest way in Å.

    What is not periodic in all directions, or not understood, stays as it is, without orbits.
    """
    from ase.spacegroup.symmetrize import refine_symmetry
    from spglib import get_symmetry_dataset

    refined, cell = atoms.copy(), (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Of spglib, about how it will tell failure one day.
        known = atoms.pbc.all() and get_symmetry_dataset(cell, symprec=tolerance) is not None
        dataset = refine_symmetry(refined, symprec=tolerance) if known else None
    if dataset is None:
        return atoms, np.full(len(atoms), -1), 0.0
    moved = float(np.abs(refined.positions - atoms.positions).max())
    return refined, np.asarray(dataset.equivalent_atoms), moved
