"""Structures in: whatever holds atoms becomes one checked record, and what cannot be taken is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from platonic_adapters.errors import InputError
from platonic_adapters.soundness import Unsound, fault, partial_occupancy
from platonic_adapters.sources import carried, identifier, items
from platonic_adapters.structures import Structures, content_hash
from platonic_adapters.terminal import printable

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["describe", "read", "read_labels"]

CHARGE_KEYS = ("charge", "total_charge")
SPIN_KEYS = ("spin", "spin_multiplicity", "multiplicity")
MAX_STATE = 100  # of a charge or a spin multiplicity: the size of models' tables
MAX_REASON = 300  # characters
# Names of labels, in the order of preference: where a file has several, the reference is preferred to the others.
LABEL_KEYS = {
    "energy": ("REF_energy", "DFT_energy", "energy_ref", "energy_dft", "energy", "total_energy", "TotEnergy",
               "potential_energy", "free_energy"),
    "forces": ("REF_forces", "REF_force", "DFT_forces", "DFT_force", "forces_ref", "forces_dft", "forces", "force"),
}  # fmt: skip


def read(
    source: Any, *, limit: int | None = None, duplicates: Literal["refuse", "skip", "keep"] = "refuse"
) -> tuple[Structures, list[dict[str, str]]]:
    """Read structures from anything that holds them, check each, and hash it.

    A structure that cannot be read, or that no model could take (`soundness.fault`), is left out and named; it never
    costs the others.

    Args:
        source: a path to a file that ASE reads (extended XYZ, CIF, POSCAR, ASE database, …; also packed by gzip, bzip2
            or xz), a folder of CIFs, a CSV with the columns `material_id` and `cif`, a store (`*.zarr`); the word
            `prototypes` (the AFLOW prototypes that pymatgen ships; `prototypes?max_atoms=20` limits their size)
            or `atlas` (250 crystals of MP-20 that this package ships, the standard set of `platonic atlas`); ASE
            atoms or a pymatgen structure, or a list of them.
        limit: read only the first so many structures.
        duplicates: what to do with a structure identical to an earlier one: `refuse` raises, `skip` leaves it out,
            `keep` keeps it.

    Returns:
        The structures, and what was left out: a list of `{"id", "hash", "reason"}`.

    Raises:
        InputError: nothing there, nothing readable, no structure left, or duplicates.
    """
    if limit is not None and limit < 1:
        raise InputError(f"`limit` must be at least 1, got {limit}.")
    if isinstance(source, str | Path) and Path(source).suffix == ".zarr":
        from platonic_adapters import store

        # Checked when it was written: neither the sense of the structures nor their duplicates are questioned again.
        structures, skipped = store.read_structures(source)
        return structures.select(slice(limit)), skipped

    name, skipped = describe(source), []
    atoms, ids = [], []
    for id_, item in items(source):
        sound, reason = (None, item) if isinstance(item, str) else _sound(item)
        if sound is None or reason:
            hash_ = content_hash(sound) if sound else ""
            skipped.append({"id": id_, "hash": hash_, "reason": printable(str(reason))[:MAX_REASON]})
            continue
        atoms.append(sound)
        ids.append(id_)
        if len(atoms) == limit:
            break
    if not atoms:
        left_out = f": all {len(skipped)} were left out, the first because {skipped[0]['reason']}" if skipped else ""
        raise InputError(f"`{name}` holds no structures{left_out}.")
    return _without_duplicates(Structures.from_atoms(atoms, ids), skipped, name, duplicates)


def read_labels(source: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """Read the energies and forces that a file brings with its structures, such as those of density functional theory.

    Args:
        source: a path to a file that ASE reads, with labels under one of their usual names (`LABEL_KEYS`, in any case).

    Returns:
        By the content hash of a structure, what is known of it: `energy` () eV, `forces` (n, 3) eV/Å, NaN for an atom
        without. Of identical structures, the first.

    Raises:
        InputError: nothing there, nothing readable, or no energy and no forces anywhere.
    """
    labels: dict[str, dict[str, np.ndarray]] = {}
    names: set[str] = set()
    for _, atoms in items(source):
        if isinstance(atoms, str):
            continue
        brought = carried(atoms)
        names |= set(brought) - {"numbers", "positions"}
        known = {name: value for name in LABEL_KEYS if (value := _label(brought, name, len(atoms))) is not None}
        if known:
            with suppress(Unsound):
                labels.setdefault(content_hash(_plain(atoms, brought)), known)
    if not labels:
        sought = "; ".join(f"{name}: {', '.join(keys)}" for name, keys in LABEL_KEYS.items())
        there = f"the names {', '.join(sorted(map(printable, names)))}" if names else "none"
        raise InputError(
            f"`{source}` must bring energies or forces of its structures, got {there}; no number stands under the names"
            f" sought ({sought})."
        )
    return labels


def describe(source: Any) -> str:
    """The user's own name of a source: its path or word, or what kind of object it is."""
    if isinstance(source, str | Path):
        from platonic_adapters import store

        return store.source_of(source) if Path(source).suffix == ".zarr" else str(source)
    return f"{len(source)} structures in memory" if isinstance(source, list | tuple) else "a structure in memory"


def _sound(atoms: Atoms) -> tuple[Atoms | None, str | None]:
    """The atoms as a model may see them, if they can be seen so, and the reason why no model should."""
    try:
        plain = _plain(atoms, carried(atoms))
        return plain, fault(plain)
    except Unsound as error:
        return None, str(error)


def _plain(atoms: Atoms, brought: Mapping[str, Any]) -> Atoms:
    """The atoms with nothing but what a model may see, their charge and spin multiplicity as whole numbers."""
    from ase import Atoms

    if partial := partial_occupancy(brought):
        raise Unsound(f"sites are partially occupied ({partial})")
    state = {"charge": _state(brought, CHARGE_KEYS), "spin": _state(brought, SPIN_KEYS)}
    if state["spin"] < 0:
        raise Unsound(f"its spin multiplicity is {state['spin']}; it must be at least 1")
    given = {name: value for name, value in state.items() if value}
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=given)


def _state(brought: Mapping[str, Any], keys: Iterable[str]) -> int:
    """Charge or spin multiplicity; 0 where not given, as a flag, or as a missing value."""
    name = next((key for key in keys if brought.get(key) is not None), None)
    value = brought[name] if name else None
    if value is None or isinstance(value, bool | np.bool_) or str(value).strip() == "":
        return 0
    try:
        number = float(value)
        if np.isnan(number):
            return 0
        if number == round(number) and abs(number) <= MAX_STATE:
            return round(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise Unsound(f"its {name} is {identifier(value)[:40]!r}; it must be a whole number of at most {MAX_STATE}")


def _label(brought: Mapping[str, Any], label: str, num_atoms: int) -> np.ndarray | None:
    """The first number or column under one of a label's names; None where there is none but NaN."""
    lower = {name.lower(): value for name, value in brought.items()}
    shape = () if label == "energy" else (num_atoms, 3)
    for key in LABEL_KEYS[label]:
        try:
            value = np.asarray(lower.get(key.lower()), dtype=float)
        except (TypeError, ValueError):
            continue
        if value.shape in (shape, (*shape, 1)[: len(shape) or 1]) and np.isfinite(value).any():
            return np.where(np.isfinite(value), value, np.nan).reshape(shape)
    return None


def _without_duplicates(
    structures: Structures, skipped: list[dict[str, str]], name: str, duplicates: str
) -> tuple[Structures, list[dict[str, str]]]:
    first: dict[str, int] = {}
    copies = [(first[h], i) for i, h in enumerate(structures.hashes) if first.setdefault(h, i) != i]
    if not copies or duplicates == "keep":
        return structures, skipped
    if duplicates == "refuse":
        a, b = copies[0]
        raise InputError(
            f"`{name}`: structures {a} ({structures.ids[a]}) and {b} ({structures.ids[b]}) are identical, the first of"
            f" {len(copies)} such repeats; pass `--duplicates skip` to use each once or `--duplicates keep` for all."
        )
    skipped += [
        {"id": structures.ids[b], "hash": structures.hashes[b], "reason": f"identical to {structures.ids[a]}"}
        for a, b in copies
    ]
    kept = np.ones(len(structures), dtype=bool)
    kept[[b for _, b in copies]] = False
    return structures.select(kept), skipped
