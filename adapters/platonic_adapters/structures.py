"""Structures in: whatever holds atoms becomes one flat, hashed, checked record."""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import io
import json
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs

import numpy as np

from platonic_adapters.errors import InputError, first_line

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["InputError", "Structures", "content_hash", "content_hashes", "read", "read_labels"]

ID_KEYS = ("material_id", "id", "name")


@dataclass(frozen=True, eq=False)
class Structures:
    """An ordered list of s structures with n atoms in all, laid out flat.

    Attributes:
        ids: s unique names.
        hashes: s content hashes (`content_hash`).
        num_atoms: (s,) int64, atoms of each structure.
        formulas: s chemical formulas of the whole cell.
        species: (n,) int32, atomic numbers.
        positions: (n, 3) float64, Å.
        cells: (s, 3, 3) float64, Å, one lattice vector a row.
        pbc: (s, 3) bool, periodic along each lattice vector.
        charge: (s,) int64, total charge in units of e; 0 where none is given.
        spin: (s,) int64, spin multiplicity 2S + 1; 0 where none is given.
    """

    ids: list[str]
    hashes: list[str]
    num_atoms: np.ndarray
    formulas: list[str]
    species: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    pbc: np.ndarray
    charge: np.ndarray = None  # pyright: ignore[reportAssignmentType]
    spin: np.ndarray = None  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        for name in ("charge", "spin"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.zeros(len(self.ids), dtype=np.int64))

    @classmethod
    def from_atoms(cls, atoms: Sequence[Atoms], ids: Sequence[str]) -> Structures:
        """Lay out ASE atoms flat; repeated ids get `:1`, `:2`, … appended.

        Charge and spin multiplicity are those in `atoms.info["charge"]` and `atoms.info["spin"]`.
        """
        return cls(
            ids=_unique(ids),
            hashes=[content_hash(a) for a in atoms],
            num_atoms=np.array([len(a) for a in atoms], dtype=np.int64),
            formulas=[a.get_chemical_formula("metal") for a in atoms],
            species=np.concatenate([a.numbers for a in atoms] or [[]]).astype(np.int32),
            positions=np.concatenate([a.positions for a in atoms] or [np.empty((0, 3))]).astype(np.float64),
            cells=np.array([a.cell.array for a in atoms], dtype=np.float64).reshape(-1, 3, 3),
            pbc=np.array([a.pbc for a in atoms], dtype=bool).reshape(-1, 3),
            charge=np.array([a.info.get("charge", 0) for a in atoms], dtype=np.int64),
            spin=np.array([a.info.get("spin", 0) for a in atoms], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def offsets(self) -> np.ndarray:
        """(s + 1,) int64: the rows of structure i are `offsets[i]:offsets[i + 1]`."""
        return np.concatenate([[0], np.cumsum(self.num_atoms)])

    @property
    def structure_index(self) -> np.ndarray:
        """(n,) int32, non-decreasing: the structure of each atom."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.num_atoms)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the list of content hashes: what makes two inputs the same."""
        return hashlib.sha256("\n".join(self.hashes).encode()).hexdigest()

    def atoms(self, i: int) -> Atoms:
        """Structure i as ASE atoms; its charge and spin multiplicity, where given, are in their `info`."""
        from ase import Atoms

        rows = slice(self.offsets[i], self.offsets[i + 1])
        given = {"charge": int(self.charge[i]), "spin": int(self.spin[i])}
        info = {name: value for name, value in given.items() if value}
        return Atoms(self.species[rows], positions=self.positions[rows], cell=self.cells[i], pbc=self.pbc[i], info=info)

    def rows(self, index: Sequence[int] | np.ndarray) -> np.ndarray:
        """(m,) int64: the rows of some structures, in the order of `index`."""
        spans = [np.arange(int(self.offsets[i]), int(self.offsets[i + 1])) for i in index]
        return np.concatenate(spans) if spans else np.empty(0, dtype=np.int64)

    def select(self, which: np.ndarray | slice | Sequence[int]) -> Structures:
        """The structures chosen by a boolean mask, a slice or indices, in that order."""
        index = np.arange(len(self))[which]
        rows = self.rows(index)
        return Structures(
            ids=[self.ids[i] for i in index],
            hashes=[self.hashes[i] for i in index],
            num_atoms=self.num_atoms[index],
            formulas=[self.formulas[i] for i in index],
            species=self.species[rows],
            positions=self.positions[rows],
            cells=self.cells[index],
            pbc=self.pbc[index],
            charge=self.charge[index],
            spin=self.spin[index],
        )


def read(
    source: Any, *, limit: int | None = None, duplicates: Literal["refuse", "skip", "keep"] = "refuse"
) -> tuple[Structures, list[dict[str, str]]]:
    """Read structures from anything that holds them, check each, and hash it.

    Args:
        source: a path to a file that ASE reads (extended XYZ, CIF, POSCAR, ASE database, …; also gzipped), a folder of
            CIFs, a CSV with the columns `material_id` and `cif`, a store (`*.zarr`); the word `prototypes` (the AFLOW
            prototypes that pymatgen ships; `prototypes?max_atoms=20` limits their size); ASE atoms or a pymatgen
            structure, or a list of them.
        limit: read only the first so many structures.
        duplicates: what to do with a structure identical to an earlier one: `refuse` raises, `skip` leaves it out,
            `keep` keeps it.

    Returns:
        The structures, and what was left out: a list of `{"id", "hash", "reason"}`.

    Raises:
        InputError: nothing there, nothing readable, a structure that makes no sense, or duplicates.
    """
    if limit is not None and limit < 1:
        raise InputError(f"`limit` must be at least 1, got {limit}.")
    if isinstance(source, str | Path) and Path(source).suffix == ".zarr":
        from platonic_adapters import store

        # Checked when it was written: neither the sense of the structures nor their duplicates are questioned again.
        structures, skipped = store.read_structures(source)
        return structures.select(slice(limit)), skipped

    name = describe(source)
    skipped: list[dict[str, str]] = []
    atoms, ids = [], []
    for i, (id_, frame) in enumerate(islice(_frames(source, limit, skipped), limit)):
        _check(frame, f"structure {i} ({id_}) of `{name}`")
        atoms.append(frame)
        ids.append(id_)
    if not atoms:
        left_out = f": all {len(skipped)} were left out, the first because {skipped[0]['reason']}" if skipped else ""
        raise InputError(f"`{name}` holds no structures{left_out}.")
    structures = Structures.from_atoms(atoms, ids)
    return _without_duplicates(structures, skipped, name, duplicates)


def read_labels(source: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """Energies and forces that a file brings with its structures, such as those of density functional theory.

    Args:
        source: a path to a file that ASE reads, with results of a calculator: extended XYZ with `energy=`, forces, ….

    Returns:
        By the content hash of a structure, what is known of it: `energy` () eV, `forces` (n, 3) eV/Å. Of identical
        structures, the first.

    Raises:
        InputError: nothing there, nothing readable, or no energy and no forces anywhere.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for _, atoms in _frames(source, None, []):
        results = {} if atoms.calc is None else atoms.calc.results
        known = {name: np.asarray(results[name], float) for name in ("energy", "forces") if name in results}
        if known:
            found.setdefault(content_hash(atoms), known)
    if not found:
        raise InputError(f"`{source}` must bring energies or forces of its structures, got none.")
    return found


def describe(source: Any) -> str:
    """The user's own name of a source: its path or word, or what kind of object it is."""
    if isinstance(source, str | Path):
        from platonic_adapters import store

        return store.source_of(source) if Path(source).suffix == ".zarr" else str(source)
    return f"{len(source)} structures in memory" if isinstance(source, list | tuple) else "a structure in memory"


def turned(atoms: Atoms, turn: np.ndarray) -> Atoms:
    """A copy, cell and positions turned (or reflected) by an orthogonal (3, 3) matrix."""
    copy = atoms.copy()
    copy.set_cell(copy.cell.array @ turn.T)
    copy.positions = copy.positions @ turn.T
    return copy


def _frames(source: Any, limit: int | None, skipped: list[dict[str, str]]) -> Iterator[tuple[str, Atoms]]:
    """Yield (id, atoms) from any source; what cannot be read but may be left out goes to `skipped`."""
    if not isinstance(source, str | Path):
        members = source if isinstance(source, list | tuple) else [source]
        yield from _named("structure", (_as_atoms(m) for m in members))
        return
    path = Path(source)
    word, _, query = str(source).partition("?")
    if word == "prototypes" and not path.exists():
        yield from _prototypes(query)
    elif not path.exists():
        raise InputError(
            f"`{path}` does not exist; give a file, a folder of CIFs, a CSV, a store or the word `prototypes`."
        )
    elif path.is_dir():
        yield from _cif_folder(path, skipped)
    else:
        with _decompressed(path) as (plain, suffix):
            if plain.stat().st_size == 0:
                raise InputError(f"`{path}` is empty.")
            if suffix == ".csv":
                yield from _csv(plain, path, skipped)
            else:
                yield from _named(path.name.removesuffix(".gz").rsplit(".", 1)[0], _ase_file(plain, path, limit))


def _named(stem: str, frames: Iterable[Atoms]) -> Iterator[tuple[str, Atoms]]:
    for i, atoms in enumerate(frames):
        found = next((atoms.info[key] for key in ID_KEYS if atoms.info.get(key) not in (None, "")), f"{stem}:{i}")
        yield " ".join(str(found).split()), atoms


@contextmanager
def _decompressed(path: Path) -> Iterator[tuple[Path, str]]:
    """The plain file behind a gzipped one, and its suffix: ASE seeks to each frame, quadratic inside a gzip stream."""
    if path.suffix != ".gz":
        yield path, path.suffix.lower()
        return
    with tempfile.TemporaryDirectory(prefix="platonic-") as folder:
        plain = Path(folder) / path.stem
        try:
            with gzip.open(path, "rb") as packed, plain.open("wb") as out:
                shutil.copyfileobj(packed, out, 1 << 20)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise _unreadable(path, error) from error
        yield plain, plain.suffix.lower()


def _ase_file(plain: Path, path: Path, limit: int | None) -> list[Atoms]:
    import ase.io

    try:
        if plain.suffix.lower() == ".cif":
            return _parse_cif(plain.read_text())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = ase.io.read(plain, index=slice(limit), do_not_split_by_at_sign=True)
    except Exception as error:  # noqa: BLE001 - ASE's hundred parsers raise anything
        raise _unreadable(path, error) from error
    return found if isinstance(found, list) else [found]


def _cif_folder(folder: Path, skipped: list[dict[str, str]]) -> Iterator[tuple[str, Atoms]]:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".cif")
    if not files:
        raise InputError(f"`{folder}` holds no `.cif` file.")
    for path in files:
        yield from _cif_or_skip(path.read_text(), path.stem, path.name, skipped)


def _csv(plain: Path, path: Path, skipped: list[dict[str, str]]) -> Iterator[tuple[str, Atoms]]:
    csv.field_size_limit(10**9)
    with plain.open(newline="") as file:
        rows = csv.DictReader(file)
        columns = rows.fieldnames or []
        if "cif" not in columns:
            names = ", ".join(str(c) or "(no name)" for c in columns)
            raise InputError(
                f"`{path}` has no `cif` column (its columns: {names}); a CSV needs the columns `material_id` and `cif`."
            )
        for number, row in enumerate(rows, start=1):
            yield from _cif_or_skip(
                row["cif"] or "", row.get("material_id") or f"{path.stem}:{number}", f"row {number}", skipped
            )


def _cif_or_skip(text: str, id_: str, where: str, skipped: list[dict[str, str]]) -> Iterator[tuple[str, Atoms]]:
    try:
        found = _parse_cif(text)
    except Exception as error:  # noqa: BLE001 - a broken CIF breaks the parser in any way it likes
        skipped.append({"id": id_, "hash": "", "reason": f"{where}: its CIF could not be read ({first_line(error)})"})
    else:
        yield from ((id_, atoms) for atoms in found)


def _parse_cif(text: str) -> list[Atoms]:
    """Every structure of a CIF; refuses a disordered one, and one whose atoms are not its formula (a cut-off file)."""
    from ase.formula import Formula
    from ase.io.cif import parse_cif

    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in parse_cif(io.StringIO(text)):
            if not block.has_structure():
                continue
            occupancies: Any = block.get("_atom_site_occupancy") or []
            if any(isinstance(o, int | float) and o < 1 for o in occupancies):
                raise ValueError("sites are partially occupied")
            atoms = block.get_atoms()
            formula = block.get("_chemical_formula_sum")
            if formula:
                declared, read_ = Formula(str(formula).replace(" ", "")).reduce()[0], atoms.symbols.formula.reduce()[0]
                if declared.count() != read_.count():
                    raise ValueError(f"its atoms make {read_}, its formula says {declared}")
            found.append(atoms)
    if not found:
        raise ValueError("no structure in it")
    return found


def _prototypes(query: str) -> Iterator[tuple[str, Atoms]]:
    """The AFLOW prototypes that pymatgen ships, in its order, without repeats."""
    options = parse_qs(query)
    unknown = set(options) - {"max_atoms"}
    if unknown or (query and not options.get("max_atoms", [""])[0].isdigit()):
        raise InputError(f"`prototypes?{query}` must have the form `prototypes?max_atoms=20`.")
    largest = int(options["max_atoms"][0]) if options else None
    package = importlib.util.find_spec("pymatgen")
    places = [
        Path(p) / "analysis/prototypes/aflow_prototypes.json.gz"
        for p in (package.submodule_search_locations or [] if package else [])
    ]
    file = next((p for p in places if p.exists()), None)
    if file is None:
        raise InputError("`prototypes` come with pymatgen, which is not installed here; run `pip install pymatgen`.")
    seen = set()
    with gzip.open(file, "rt") as packed:
        for entry in json.load(packed):
            lattice, sites = entry["snl"]["lattice"]["matrix"], entry["snl"]["sites"]
            ordered = all(len(s["species"]) == 1 and s["species"][0]["occu"] == 1 for s in sites)
            if not ordered or (largest is not None and len(sites) > largest):
                continue
            atoms = _make_atoms(
                [s["species"][0]["element"] for s in sites], [s["xyz"] for s in sites], lattice, pbc=True
            )
            if (hash_ := content_hash(atoms)) not in seen:
                seen.add(hash_)
                yield entry["tags"]["aflow"], atoms


def _as_atoms(thing: Any) -> Atoms:
    """ASE atoms as they are; a pymatgen structure or molecule, recognised without importing pymatgen."""
    from ase import Atoms

    if isinstance(thing, Atoms):
        return thing
    if not hasattr(thing, "cart_coords"):
        raise InputError(f"a structure must be ASE atoms or a pymatgen structure, got {type(thing).__name__}.")
    if not getattr(thing, "is_ordered", True):
        raise InputError(f"the pymatgen structure {thing.formula} has partially occupied sites; order it first.")
    lattice = getattr(thing, "lattice", None)
    numbers = [site.specie.Z for site in thing]
    atoms = _make_atoms(
        numbers, thing.cart_coords, getattr(lattice, "matrix", None), pbc=getattr(lattice, "pbc", False)
    )
    atoms.info.update({k: v for k, v in (thing.properties or {}).items() if k in ID_KEYS})
    return atoms


def _make_atoms(species: Sequence[Any], positions: Any, cell: Any, *, pbc: Any) -> Atoms:
    from ase import Atoms

    return Atoms(species, positions=np.asarray(positions), cell=cell, pbc=pbc)


def content_hash(atoms: Atoms) -> str:
    """Compute what makes two structures the same: a hex SHA-256, in atom order.

    It covers species, positions, cell and pbc as little-endian float64 (−0.0 counts as 0.0), then charge and spin
    multiplicity in the same form, these two only where the charge is not 0 or the multiplicity not 1.
    """
    charge, spin = atoms.info.get("charge", 0), atoms.info.get("spin", 0)
    state = [charge, spin] if charge or spin not in (0, 1) else []
    numbers = np.concatenate([atoms.numbers, atoms.positions.ravel(), atoms.cell.array.ravel(), atoms.pbc, state])
    return hashlib.sha256((numbers.astype("<f8") + 0.0).tobytes()).hexdigest()


def content_hashes(structures: Structures) -> list[str]:
    """The `content_hash` of every structure, from the arrays: quicker than one by one."""
    counts, charge, spin = structures.num_atoms, structures.charge, structures.spin
    has_state = (charge != 0) | ((spin != 0) & (spin != 1))
    # Numbers of each structure, and where its own begin: species, positions, cell, pbc, charge and spin.
    ends = np.cumsum(4 * counts + 12 + 2 * has_state)
    starts = ends - (4 * counts + 12 + 2 * has_state)
    numbers = np.empty(ends[-1] if len(ends) else 0, dtype="<f8")
    atom = np.arange(len(structures.species)) - np.repeat(structures.offsets[:-1], counts)
    numbers[np.repeat(starts, counts) + atom] = structures.species
    numbers[(np.repeat(starts + counts, counts) + 3 * atom)[:, None] + np.arange(3)] = structures.positions
    rest = starts + 4 * counts
    numbers[rest[:, None] + np.arange(9)] = structures.cells.reshape(-1, 9)
    numbers[rest[:, None] + np.arange(9, 12)] = structures.pbc
    numbers[rest[has_state, None] + np.arange(12, 14)] = np.stack([charge, spin], axis=1)[has_state]
    data = memoryview((numbers + 0.0).tobytes())
    return [
        hashlib.sha256(data[a:b]).hexdigest() for a, b in zip((8 * starts).tolist(), (8 * ends).tolist(), strict=True)
    ]


def _check(atoms: Atoms, where: str) -> None:
    if not len(atoms):
        raise InputError(f"{where} has no atoms; remove it.")
    bad = np.flatnonzero(~np.isfinite(atoms.positions).all(1))
    if bad.size:
        raise InputError(f"{where} has positions that are not finite numbers (atom {bad[0]}); correct or remove it.")
    lattice = atoms.cell.array[atoms.pbc]
    if not np.isfinite(atoms.cell.array).all():
        raise InputError(f"{where} has a cell that is not finite; correct or remove it.")
    if lattice.size and np.linalg.svd(lattice, compute_uv=False)[-1] < 1e-6:
        raise InputError(f"{where} is periodic but its cell has no volume; give its lattice vectors or set pbc to F.")


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


def _unique(ids: Sequence[str]) -> list[str]:
    taken, result = set(ids), []
    seen: dict[str, int] = {}
    for id_ in ids:
        count = seen[id_] = seen.get(id_, -1) + 1
        name = id_
        while count and (name := f"{id_}:{count}") in taken:
            count += 1
        seen[id_] = count
        taken.add(name)
        result.append(name)
    return result


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"`{path}` could not be read ({first_line(error)}); give a file that ASE reads, such as extended XYZ or CIF."
    )
