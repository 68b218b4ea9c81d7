"""Phonons of a crystal from a model's forces in displaced supercells, with tests of symmetry and accuracy.

One chain is followed: a rotated or reflected crystal must have the same rows, so the same forces, so the same
frequencies. Beside each link stands its noise: the same crystal, only shifted.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymatgen.core import Composition

from platonic_jax import diagnostics
from platonic_jax.analyses._result import Result
from platonic_jax.analyses._run import provenance
from platonic_jax.analyses._symmetry import TOLERANCE
from platonic_jax.diagnostics import Bands, Difference, Mesh
from platonic_jax.probes import AS_IS, REFLECTED, SHIFTED, Displaced
from platonic_jax.tables import EmbeddingTable

__all__ = ["Phonons", "phonons"]

# What each link of the chain may lose before it counts as broken: parts of a row's norm, parts of the forces, THz; and
# the figure that decides.
TOLERANCES = {"rows": TOLERANCE, "forces": 1e-3, "frequencies": 0.01}
DECIDING = {"rows": "largest", "forces": "relative", "frequencies": "largest"}
IMAGINARY = -0.1  # THz; acoustic modes near Γ come as low by the shortness of a supercell.


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """Comparison with reference forces in the same supercells.

    Attributes:
        plain: Differences of frequencies on the mesh.
        polar: The same with the Born charges of the reference on both sides; None where there are none.
        lowest: Lowest frequency of the reference, THz.
        imaginary: Whether that is imaginary.
        constants: For each atom of the primitive cell ‖Φ − Φ′‖ / ‖Φ′‖ of its force constants.
    """

    plain: Difference
    polar: Difference | None
    lowest: float
    imaginary: bool
    constants: list[float]


@dataclasses.dataclass(frozen=True, eq=False)
class Phonons(Result):
    """A crystal's lattice vibrations by a model; frequencies in THz, imaginary ones negative.

    Attributes:
        model: its name.
        kind: `model`, or `random` (re-drawn weights).
        crystal: formula of the primitive cell, its `elements` atom by atom.
        chain: for `rows`, `forces` and `frequencies` how much they change where the crystal is `rotated`, `reflected`,
            and, for comparison, only `shifted`: `median` and `largest` of rows, in parts of their norm; `relative` of
            forces, root mean square in parts of theirs, and `largest`, eV/Å; `mean` and `largest` of frequencies, THz;
            the `tolerance`, and under which of these the link is `broken`.
        symmetry: of force constants that symmetry was not imposed on: `splitting`, the largest of degenerate modes, its
            `frequency` and `qpoint`, and the `mean` over the sets; `asymmetry` of each atom of the primitive cell, what
            part of its force constants symmetry forbids, and the `worst` atom.
        acoustic: `violation` of the sum rule in eV/Å², `relative` to the force constants of an atom with itself; and
            the three `frequencies` at Γ nearest to zero, which should vanish. Both are None where atoms were displaced
            only where symmetry does not do it.
        residual: the `largest` force of the perfect crystal, eV/Å, and the atom it acts on.
        lowest: the lowest frequency on the mesh, its `qpoint`, whether it is `imaginary`, and the `share` that each
            atom of the primitive cell has in that mode.
        mesh: q-points, weights and frequencies.
        bands: along seekpath's path, by `model`, and by `reference` where there is one.
        reference: comparison with DFT, or None.
        settings: how it was made.
        provenance: of the table.
    """

    model: str
    kind: str
    crystal: Mapping[str, Any]
    chain: Mapping[str, Mapping[str, Any]]
    symmetry: Mapping[str, Any] | None
    acoustic: Mapping[str, Any] | None
    residual: Mapping[str, Any]
    lowest: Mapping[str, Any]
    mesh: Mesh
    bands: Mapping[str, Bands]
    reference: Reference | None
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]


def phonons(table: EmbeddingTable, displaced: Displaced, *, density: float = 30.0) -> Phonons:
    """Evaluate a model's lattice vibrations from its forces.

    Args:
        table: a model's table of `displaced.structures`, with the forces that it predicts.
        displaced: as from `probes.displaced`.
        density: Å, of the mesh of q-points: as many along a reciprocal vector as make this length.

    Returns:
        The figures, and a verdict.

    Raises:
        ValueError: a table of other structures, or without forces, or with some that are not finite.

    Example:
        >>> import numpy as np
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> from platonic_adapters.reading import read
        >>> from platonic_jax import EmbeddingTable, analyses, probes
        >>> displaced = probes.displaced(probes.crystal(read(bulk("Cu"))[0], min_length=5.0), seed=0)
        >>> known = displaced.structures
        >>> forces = np.concatenate([EMT().get_forces(known.atoms(i)) for i in range(len(known))])
        >>> table = EmbeddingTable.from_arrays(
        ...     known.species[:, None],
        ...     known.species,
        ...     known.structure_index,
        ...     structures=known,
        ...     properties={"forces": forces},
        ... )
        >>> found = analyses.phonons(table, displaced)
        >>> found.lowest["imaginary"], found.chain["frequencies"]["broken"]
        (False, [])

    Reference:
        Togo, First-principles phonon calculations with phonopy and phono3py, J. Phys. Soc. Jpn. 92, 012001 (2023).
    """
    forces = _forces(table, displaced)
    phonon, size = displaced.phonon, len(displaced.phonon.supercell)
    at_home = forces.reshape(-1, size, 3).astype(float) @ displaced.turns[displaced.view]
    rows = table.x.reshape(len(at_home), size, -1).astype(float)

    def of(role: str, view: int) -> np.ndarray:
        return at_home[(displaced.role == role) & (displaced.view == view)]

    views = range(len(displaced.turns))
    raw = [diagnostics.force_constants(phonon, of("reduced", view)) for view in views]
    summed = [diagnostics.summed(phonon, constants) for constants in raw]
    meshes = [diagnostics.mesh(phonon, constants, density=density) for constants in summed]
    every = None
    if (displaced.role == "every").any():
        every = diagnostics.force_constants(displaced.unreduced, of("every", AS_IS))
    polar = phonon.nac_params is not None
    mesh = diagnostics.mesh(phonon, summed[AS_IS], density=density, polar=polar) if polar else meshes[AS_IS]
    elements = list(phonon.primitive.symbols)
    bands, reference = {"model": diagnostics.bands(phonon, summed[AS_IS], polar=polar)}, None
    if displaced.reference is not None:
        truth = diagnostics.summed(phonon, diagnostics.force_constants(phonon, displaced.reference))
        bands["reference"] = diagnostics.bands(phonon, truth, polar=polar)
        reference = _against(phonon, summed[AS_IS], truth, meshes[AS_IS], mesh if polar else None, density)
    perfect = np.linalg.norm(of("perfect", AS_IS)[0], axis=1)
    return Phonons(
        model=table.model,
        kind=table.kind,
        crystal={"formula": Composition("".join(elements)).reduced_formula, "elements": elements},
        chain=_chain(displaced, rows, at_home, meshes),
        symmetry=None if every is None else _symmetry(phonon, every, meshes[AS_IS].qpoints, elements),
        acoustic=None if every is None else _acoustic(phonon, every),
        residual={
            "largest": float(perfect.max()),
            "atom": int(perfect.argmax()),
            "element": phonon.supercell.symbols[int(perfect.argmax())],
        },
        lowest=_lowest(phonon, summed[AS_IS], mesh, polar=polar),
        mesh=mesh,
        bands=bands,
        reference=reference,
        settings={
            **displaced.settings,
            "density": density,
            "polar": polar,
            "sum_rule": "imposed on force constants wherever frequencies are computed, but for `acoustic`",
            "interval": "none: all modes of the mesh count, and the forces are not drawn",
        },
        provenance=provenance([table], [table], [table.model], seed=displaced.settings["seed"]),
    )


def _forces(table: EmbeddingTable, displaced: Displaced) -> np.ndarray:
    if table.structures is None or table.structures.hashes != displaced.structures.hashes:
        raise ValueError("`table` must be of `displaced.structures`, got other structures: embed those, all of them.")
    if "forces" not in table.properties:
        raise ValueError("`table` must have forces, got none: embed with `--properties forces`.")
    forces = table.properties["forces"]
    if not np.isfinite(forces).all():
        raise ValueError("`table` must have finite forces, got NaN or infinity.")
    return forces


def _chain(displaced: Displaced, rows: np.ndarray, forces: np.ndarray, meshes: list[Mesh]) -> dict[str, Any]:
    """Changes of embeddings, forces and frequencies under rotation, reflection and translation."""
    shown = [(displaced.role != "every") & (displaced.view == view) for view in range(len(displaced.turns))]
    norm = np.linalg.norm(rows[shown[AS_IS]], axis=2)
    size = np.sqrt(np.mean(forces[shown[AS_IS]] ** 2))

    def changed(views: Sequence[int]) -> dict[str, dict[str, float]]:
        moved = [np.linalg.norm(rows[shown[view]] - rows[shown[AS_IS]], axis=2) / norm for view in views]
        pulled = [forces[shown[view]] - forces[shown[AS_IS]] for view in views]
        tuned = [diagnostics.difference(meshes[view], meshes[AS_IS]) for view in views]
        return {
            "rows": {"median": float(np.median(moved)), "largest": float(np.max(moved))},
            "forces": {
                "relative": float(np.sqrt(np.mean(np.square(pulled))) / size) if size > 0 else np.nan,
                "largest": float(np.linalg.norm(pulled, axis=3).max()),
            },
            "frequencies": {
                "mean": max(difference.mean_absolute for difference in tuned),
                "largest": max(difference.largest for difference in tuned),
            },
        }

    rotated = range(REFLECTED + 1, len(displaced.turns))
    changes = {"rotated": changed(rotated), "reflected": changed([REFLECTED]), "shifted": changed([SHIFTED])}
    return {
        link: {
            **{way: entry[link] for way, entry in changes.items()},
            "tolerance": tolerance,
            "broken": [way for way, entry in changes.items() if entry[link][DECIDING[link]] > tolerance],
        }
        for link, tolerance in TOLERANCES.items()
    }


def _symmetry(phonon: Any, every: np.ndarray, qpoints: np.ndarray, elements: list[str]) -> dict[str, Any]:
    splitting, asymmetry = diagnostics.splitting(phonon, every, qpoints), diagnostics.asymmetry(phonon, every)
    atom = int(asymmetry.argmax())
    worst = int(splitting.splitting.argmax()) if len(splitting.splitting) else None
    return {
        "num_sets": len(splitting.splitting),
        "splitting": np.nan if worst is None else float(splitting.splitting[worst]),
        "frequency": np.nan if worst is None else float(splitting.frequency[worst]),
        "qpoint": None if worst is None else qpoints[splitting.qpoint[worst]].tolist(),
        "mean": np.nan if worst is None else float(splitting.splitting.mean()),
        "asymmetry": asymmetry.tolist(),
        "worst": {"atom": atom, "element": elements[atom], "asymmetry": float(asymmetry[atom])},
    }


def _acoustic(phonon: Any, every: np.ndarray) -> dict[str, Any]:
    at_gamma = diagnostics.loaded(phonon, every).run_qpoints([[0, 0, 0]]).frequencies[0]
    own = np.linalg.norm(np.einsum("iiab->iab", every), axis=(1, 2)).max()
    violation = diagnostics.acoustic_violation(every)
    return {
        "violation": violation,
        "relative": violation / own,
        "frequencies": sorted(at_gamma, key=abs)[:3],
    }


def _lowest(phonon: Any, constants: np.ndarray, mesh: Mesh, *, polar: bool) -> dict[str, Any]:
    point = int(mesh.frequencies[:, 0].argmin())
    modes = diagnostics.loaded(phonon, constants, polar=polar).run_qpoints(
        mesh.qpoints[[point]], with_eigenvectors=True
    )
    share = (np.abs(modes.eigenvectors[0][:, 0].reshape(-1, 3)) ** 2).sum(axis=1)
    frequency = float(mesh.frequencies[point, 0])
    return {
        "frequency": frequency,
        "qpoint": mesh.qpoints[point].tolist(),
        "imaginary": frequency < IMAGINARY,
        "share": share.tolist(),
    }


def _against(
    phonon: Any, constants: np.ndarray, truth: np.ndarray, plain_mesh: Mesh, polar_mesh: Mesh | None, density: float
) -> Reference:
    """The model's force constants against those of the reference, in the same supercells."""
    plain_truth = diagnostics.mesh(phonon, truth, density=density)
    polar_truth = None if polar_mesh is None else diagnostics.mesh(phonon, truth, density=density, polar=True)
    rows = phonon.primitive.p2s_map
    error, size = (np.linalg.norm(part[rows].reshape(len(rows), -1), axis=1) for part in (constants - truth, truth))
    lowest = float((polar_truth or plain_truth).frequencies.min())
    return Reference(
        plain=diagnostics.difference(plain_mesh, plain_truth),
        polar=polar_mesh and polar_truth and diagnostics.difference(polar_mesh, polar_truth),
        lowest=lowest,
        imaginary=lowest < IMAGINARY,
        constants=(error / size).tolist(),
    )
