"""Lattice vibrations from forces in displaced supercells; host-side, on arrays, through phonopy.

Frequencies are in THz, imaginary ones negative. `phonon` is a `phonopy.Phonopy` throughout: the crystal and its
displacements; it is never changed: shallow copies are loaded with what is computed, since a fresh one would look for
the symmetry of the supercell again, which takes longer than all the rest.
"""

import copy
import warnings
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

# Modes nearer than this in a symmetrised crystal are degenerate by symmetry; below this they are acoustic at Γ.
_DEGENERATE, _ACOUSTIC = 1e-5, 0.1  # THz


def force_constants(phonon: Any, forces: Float[np.ndarray, "d n 3"]) -> Float[np.ndarray, "n n 3 3"]:
    """Second derivatives of the energy, as the forces give them: no sum rule is imposed.

    Args:
        phonon: The crystal with d displacements.
        forces: eV/Å, on the n atoms of the supercell under each displacement.

    Returns:
        Φ_ij = −∂F_j / ∂u_i in eV/Å². Of a crystal with symmetry, forces are first averaged over the symmetry of the
        displaced site, as phonopy does.
    """
    copied = copy.copy(phonon)
    copied.dataset = {
        "natom": len(phonon.supercell),
        "first_atoms": [
            {"number": first["number"], "displacement": first["displacement"], "forces": np.asarray(force, float)}
            for first, force in zip(phonon.dataset["first_atoms"], forces, strict=True)
        ],
    }
    copied.produce_force_constants(show_drift=False)
    return copied.force_constants


def acoustic_violation(constants: Float[np.ndarray, "n n 3 3"]) -> float:
    """Violation of the acoustic sum rule: max |Σ_j Φ_ij|, in eV/Å²; 0 if translational invariance holds.

    Args:
        constants: Force constants that no sum rule was imposed on.

    Returns:
        The largest entry of the sums over either atom. Over the atoms that respond, it tells of forces that do not add
        up to zero; over the atoms displaced, of forces that are not linear in the displacements.

    Example:
        >>> import numpy as np
        >>> from platonic_jax import diagnostics
        >>> spring = np.array([[1.0, -1.0], [-1.0, 1.2]])[:, :, None, None] * np.eye(3)
        >>> round(diagnostics.acoustic_violation(spring), 3)
        0.2
    """
    return float(max(np.abs(constants.sum(axis=axis)).max() for axis in (0, 1)))


def symmetrised(phonon: Any, constants: Float[np.ndarray, "n n 3 3"]) -> Float[np.ndarray, "n n 3 3"]:
    """The same force constants, averaged over the space group of the crystal, with the acoustic sum rule."""
    calculation = loaded(phonon, constants)
    calculation.symmetrize_force_constants_by_space_group(show_drift=False)
    calculation.symmetrize_force_constants(show_drift=False)
    return calculation.force_constants


def summed(phonon: Any, constants: Float[np.ndarray, "n n 3 3"]) -> Float[np.ndarray, "n n 3 3"]:
    """The same force constants with the acoustic sum rule, and symmetric under exchange of the two atoms."""
    calculation = loaded(phonon, constants)
    calculation.symmetrize_force_constants(show_drift=False)
    return calculation.force_constants


def loaded(phonon: Any, constants: Float[np.ndarray, "n n 3 3"], *, polar: bool = False) -> Any:
    """A copy with these force constants, and with the long-range forces of its Born charges where `polar`."""
    calculation = copy.copy(phonon)
    calculation.nac_params = phonon.nac_params if polar else None
    calculation.force_constants = np.array(constants, dtype=float)
    return calculation


class Mesh(NamedTuple):
    """Frequencies of a crystal on a mesh of q-points that symmetry leaves over.

    Attributes:
        qpoints: (q, 3) in reciprocal lattice vectors of the primitive cell.
        weights: (q,) how many points of the full mesh each stands for, of sum 1.
        frequencies: (q, b) THz, in increasing order.
    """

    qpoints: Float[np.ndarray, "q 3"]
    weights: Float[np.ndarray, " q"]
    frequencies: Float[np.ndarray, "q b"]


def mesh(phonon: Any, constants: Float[np.ndarray, "n n 3 3"], *, density: float = 30.0, polar: bool = False) -> Mesh:
    """Frequencies on a mesh centred at Γ.

    Args:
        phonon: The crystal.
        constants: Its force constants, in eV/Å².
        density: Å: as many points along a reciprocal vector as make this length (phonopy's `mesh`).
        polar: Whether the long-range forces of Born charges are added.
    """
    calculation = loaded(phonon, constants, polar=polar)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # That a mesh was adapted to the symmetry of the cell.
        calculation.run_mesh(density, is_gamma_center=True)
    result = calculation.mesh
    return Mesh(result.qpoints, result.weights / result.weights.sum(), result.frequencies)


class Difference(NamedTuple):
    """Frequencies against reference frequencies, over all modes of a mesh, in THz.

    Attributes:
        mean_absolute: mean |ω − ω′|.
        mean: mean ω − ω′; negative: too soft.
        largest: largest |ω − ω′|.
        slope: the factor by which the reference frequencies come nearest, in least squares; below 1: too soft.
        rescaled: mean |ω / slope − ω′|: what is left where softness, one factor for all modes, is taken out.
        null: mean |ω̄′ − ω′|: the error of who knows nothing but the mean frequency.
    """

    mean_absolute: float
    mean: float
    largest: float
    slope: float
    rescaled: float
    null: float


def difference(a: Mesh, b: Mesh) -> Difference:
    """Compare two crystals' frequencies on the same mesh, in order at every q-point; the second is the reference.

    Example:
        >>> import numpy as np
        >>> from platonic_jax.diagnostics import Mesh, difference
        >>> soft, true = (Mesh(np.zeros((1, 3)), np.ones(1), np.array([w])) for w in ([0.9, 1.8], [1.0, 2.0]))
        >>> found = difference(soft, true)
        >>> round(found.mean_absolute, 3), round(found.slope, 3), round(found.rescaled, 3)
        (0.15, 0.9, 0.0)
    """
    weights = np.broadcast_to(a.weights[:, None] / a.frequencies.shape[1], a.frequencies.shape)
    error = a.frequencies - b.frequencies
    slope = float((weights * a.frequencies * b.frequencies).sum() / (weights * b.frequencies**2).sum())
    return Difference(
        mean_absolute=float((weights * np.abs(error)).sum()),
        mean=float((weights * error).sum()),
        largest=float(np.abs(error).max()),
        slope=slope,
        rescaled=float((weights * np.abs(a.frequencies / slope - b.frequencies)).sum()),
        null=float((weights * np.abs(b.frequencies - (weights * b.frequencies).sum())).sum()),
    )


class Splitting(NamedTuple):
    """Modes that symmetry makes degenerate, and how far apart they are.

    Attributes:
        qpoint: (s,) the number of the q-point of each set of modes.
        frequency: (s,) THz, of the symmetrised crystal.
        splitting: (s,) THz, between the lowest and the highest mode of the set; 0 where symmetry is kept.
    """

    qpoint: np.ndarray
    frequency: Float[np.ndarray, " s"]
    splitting: Float[np.ndarray, " s"]


def splitting(phonon: Any, constants: Float[np.ndarray, "n n 3 3"], qpoints: Float[np.ndarray, "q 3"]) -> Splitting:
    """Splitting of degenerate modes, in first order of what breaks the symmetry.

    Sets of degenerate modes are those of the symmetrised force constants; within each, the plain dynamical matrix is
    diagonalised. So a set stays a set where levels cross. Acoustic modes at Γ are left to `acoustic_violation`.

    Args:
        phonon: The crystal, with its symmetry.
        constants: Force constants that symmetry was not imposed on.
        qpoints: Where to look, in reciprocal lattice vectors of the primitive cell.
    """
    from phonopy.phonon.degeneracy import degenerate_sets

    matrices = loaded(phonon, summed(phonon, constants)).run_qpoints(qpoints, with_dynamical_matrices=True)
    ideal = loaded(phonon, symmetrised(phonon, constants)).run_qpoints(qpoints, with_eigenvectors=True)
    unit = phonon.unit_conversion_factor
    levels_of = []
    for number, (frequencies, modes, matrix) in enumerate(
        zip(ideal.frequencies, ideal.eigenvectors, matrices.dynamical_matrices, strict=True)
    ):
        for members in degenerate_sets(frequencies, cutoff=_DEGENERATE):
            middle = float(np.mean(frequencies[members]))
            if len(members) < 2 or abs(middle) < _ACOUSTIC:
                continue
            chosen = modes[:, members]
            squares = np.linalg.eigvalsh(chosen.conj().T @ matrix @ chosen)
            levels = np.sign(squares) * np.sqrt(np.abs(squares)) * unit
            levels_of.append((number, middle, float(levels.max() - levels.min())))
    columns = np.array(levels_of).reshape(-1, 3)
    return Splitting(columns[:, 0].astype(int), columns[:, 1], columns[:, 2])


def asymmetry(phonon: Any, constants: Float[np.ndarray, "n n 3 3"]) -> Float[np.ndarray, " a"]:
    """Symmetry-forbidden part of each atom's force constants: ‖Φ_i − Φ̄_i‖ / ‖Φ̄_i‖, Φ̄ averaged over the group.

    Args:
        phonon: The crystal, with its symmetry.
        constants: Force constants that symmetry was not imposed on.

    Returns:
        One number for each of the a atoms of the primitive cell: 0 where symmetry is kept.
    """
    mean, rows = symmetrised(phonon, constants), phonon.primitive.p2s_map
    apart = summed(phonon, constants)[rows] - mean[rows]
    return np.linalg.norm(apart.reshape(len(rows), -1), axis=1) / np.linalg.norm(
        mean[rows].reshape(len(rows), -1), axis=1
    )


class Bands(NamedTuple):
    """Frequencies along the path of high symmetry that seekpath recommends.

    Attributes:
        distances: (p,) along the path, in 1/Å.
        frequencies: (p, b) THz.
        ticks: places of the points of high symmetry along the path.
        labels: their names; two where the path jumps.
    """

    distances: Float[np.ndarray, " p"]
    frequencies: Float[np.ndarray, "p b"]
    ticks: list[float]
    labels: list[str]


def bands(phonon: Any, constants: Float[np.ndarray, "n n 3 3"], *, num_points: int = 31, polar: bool = False) -> Bands:
    """Frequencies along seekpath's path, `num_points` between two points of high symmetry.

    Reference:
        Hinuma, Pizzi, Kumagai, Oba & Tanaka, Band structure diagram paths based on crystallography, Comput. Mater. Sci.
        128, 140 (2017).
    """
    from phonopy.phonon.band_structure import get_band_qpoints_by_seekpath

    calculation = loaded(phonon, constants, polar=polar)
    path, names, connected = get_band_qpoints_by_seekpath(calculation.primitive, num_points)
    calculation.run_band_structure(path, path_connections=connected, labels=names)
    band_structure = calculation.band_structure
    ends = [float(band_structure.distances[0][0]), *(float(segment[-1]) for segment in band_structure.distances)]
    plain = [name.replace("$", "").replace("\\Gamma", "Γ").replace("\\mathrm", "").strip("{}") for name in names]
    labels, place = [plain[0]], 1
    for joined in connected:
        labels.append(plain[place] if joined or place + 1 >= len(plain) else f"{plain[place]}|{plain[place + 1]}")
        place += 1 if joined else 2
    return Bands(np.concatenate(band_structure.distances), np.concatenate(band_structure.frequencies), ends, labels)
