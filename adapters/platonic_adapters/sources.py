"""Sources of structures: files of any format, folders, tables, named sets, and what is in memory, as ASE atoms."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import numpy as np

from platonic_adapters import cif
from platonic_adapters.errors import InputError, first_line
from platonic_adapters.files import PACKINGS, encoding, irregular, unpacked, unreadable
from platonic_adapters.structures import content_hash
from platonic_adapters.terminal import printable

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Item", "carried", "identifier", "items"]

# An id, and atoms or the reason why there are none.
Item = tuple[str, "Atoms | str"]
ID_KEYS = ("material_id", "id", "name")
ATLAS = Path(__file__).parent / "atlas.extxyz.gz"  # 250 crystals of MP-20 (Materials Project, CC BY 4.0)


def items(source: Any) -> Iterator[Item]:
    """Yield an id, and atoms or the reason why there are none, for each structure of any source."""
    if not isinstance(source, str | Path):
        members = source if isinstance(source, list | tuple) else [source]
        yield from _named("structure", map(_as_atoms, members))
        return
    path = Path(source)
    word, _, query = str(source).partition("?")
    if word == "prototypes" and not path.exists():
        yield from _prototypes(query)
    elif str(source) == "atlas" and not path.exists():
        yield from _file(ATLAS)
    elif path.is_dir():
        yield from _folder(path)
    elif not path.exists():
        wrong = f"is {kind}" if (kind := irregular(path)) else "does not exist"
        raise InputError(
            f"`{path}` {wrong}; give a file, a folder of CIFs, a CSV, a store, or the word `prototypes` or `atlas`."
        )
    elif kind := irregular(path):
        raise InputError(f"`{path}` is {kind}, which is not read; give a file, a folder of CIFs, a CSV or a store.")
    else:
        yield from _file(path)


def _file(path: Path) -> Iterator[Item]:
    with unpacked(path) as plain:
        if plain.stat().st_size == 0:
            raise InputError(f"`{path}` is empty.")
        stem = path.name.removesuffix(path.suffix if path.suffix in PACKINGS else "").rsplit(".", 1)[0]
        if plain.suffix.lower() == ".csv":
            yield from _csv(plain, path)
            return
        kind = _format(plain)
        if kind == "cif":
            frames = map(_as_cif, cif.crystals(plain.read_text(encoding(plain), errors="replace")))
        elif kind in ("xyz", "extxyz"):
            frames = _xyz(plain)
        else:
            frames = _ase_file(plain, path, kind)
        yield from _named(stem, frames)


def _named(stem: str, frames: Iterable[Atoms | str]) -> Iterator[Item]:
    """Number what has no id of its own."""
    for i, atoms in enumerate(frames):
        own: dict[str, Any] = {} if isinstance(atoms, str) else carried(atoms)
        given = (identifier(own[key]) for key in ID_KEYS if own.get(key) is not None)
        yield next(filter(None, given), f"{identifier(stem)}:{i}"), atoms


def carried(atoms: Atoms) -> dict[str, Any]:
    """All that atoms bring with them, by name: `info`, columns, results of a calculator, and pairs of a database."""
    values = {**atoms.arrays, **(atoms.calc.results if atoms.calc else {}), **atoms.info}
    for more in ("key_value_pairs", "data"):
        if isinstance(extra := values.get(more), Mapping):
            values |= extra
    return {name: value for name, value in values.items() if isinstance(name, str)}


def identifier(value: Any) -> str:
    """The text of an id of any type, on one line, of printable characters, 200 at most."""
    if isinstance(value, np.ndarray | list | tuple):
        value = " ".join(map(str, np.ravel(np.asarray(value, dtype=object))))
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return printable(" ".join(str(value).split()))[:200]


def _format(plain: Path) -> str:
    """ASE's name of a file's format; empty where it knows none."""
    from ase.io.formats import UnknownFileTypeError, filetype

    if plain.suffix.lower() in (".xyz", ".extxyz", ".cif"):  # whatever their first bytes look like
        return plain.suffix.lower()[1:]
    try:
        return filetype(str(plain))
    except (UnknownFileTypeError, OSError, ValueError):
        return ""


def _ase_file(plain: Path, path: Path, kind: str) -> Iterator[Atoms | str]:
    """The frames of any other format."""
    import ase.io

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind in ("db", "json"):
                yield from _database(plain, kind)
            else:
                yield from ase.io.iread(plain, index=":", do_not_split_by_at_sign=True)
    except Exception as error:  # noqa: BLE001 - ASE's hundred parsers raise anything
        raise unreadable(path, error) from error


def _database(plain: Path, kind: str) -> Iterator[Atoms | str]:
    import ase.db

    for row in ase.db.connect(plain, type=kind, serial=True).select():
        try:
            yield row.toatoms(add_additional_information=True)
        except Exception as error:  # noqa: BLE001 - whatever a row of any age or hand may hold
            yield f"row {row.id} could not be read ({first_line(error)})"


def _xyz(plain: Path) -> Iterator[Atoms | str]:
    """Each frame by itself, so that one that cannot be read does not cost the others."""
    with plain.open(encoding=encoding(plain), errors="replace") as file:
        number = 0
        for line in file:
            number += 1
            if not line.strip():
                continue
            try:
                num_atoms = int(line)
            except ValueError:
                num_atoms = -1
            if num_atoms < 0:
                reason = f"line {number} must be the number of atoms of a frame, got `{line.strip()[:40]}`"
                yield f"{reason}; nothing beyond it was read"
                return
            frame = [line]
            for line in file:
                frame.append(line)
                if len(frame) == num_atoms + 2:
                    break
            yield _xyz_frame(frame, num_atoms, number)
            number += len(frame) - 1


def _xyz_frame(frame: list[str], num_atoms: int, number: int) -> Atoms | str:
    from ase.data import atomic_numbers
    from ase.io.extxyz import read_xyz

    where = f"the frame at line {number}"
    if len(frame) < num_atoms + 2:
        return f"{where} is cut off: it should have {num_atoms} atoms and has {max(0, len(frame) - 2)}"
    labels = [line.split(maxsplit=1)[0] if line.strip() else "" for line in frame[2:]]
    try:
        try:
            return next(iter(read_xyz(io.StringIO("".join(frame)), 0)))
        except KeyError:
            heavy = {i for i, label in enumerate(labels) if label.upper() in ("D", "T")}
            for i in heavy:
                frame[i + 2] = frame[i + 2].replace(labels[i], "H", 1)
            unknown = [i for i, label in enumerate(labels) if label.capitalize() not in atomic_numbers]
            for i in set(unknown) - heavy:
                return f"{where}: atom {i} is labelled `{labels[i]}`, which is no element (a ghost or dummy atom?)"
            return next(iter(read_xyz(io.StringIO("".join(frame)), 0)))
    except Exception as error:  # noqa: BLE001 - the parser raises anything
        return f"{where} could not be read ({first_line(error)})"


def _folder(folder: Path) -> Iterator[Item]:
    endings = [".cif", *(f".cif{packing}" for packing in PACKINGS)]
    paths = sorted(path for path in folder.iterdir() if path.name.lower().endswith(tuple(endings)))
    if not paths:
        raise InputError(f"`{folder}` holds no `.cif` file.")
    for path in paths:
        id_ = identifier(path.name[: path.name.lower().rindex(".cif")])
        try:
            if kind := irregular(path):
                yield id_, f"{path.name} is {kind}, not a file"
                continue
            with unpacked(path) as plain:
                crystals = list(cif.crystals(plain.read_text(encoding(plain), errors="replace")))
        except (InputError, OSError) as error:
            yield id_, f"{path.name} could not be read ({first_line(error)})"
            continue
        yield from ((id_, _as_cif(one, f"{path.name}: ")) for one in crystals)


def _csv(plain: Path, path: Path) -> Iterator[Item]:
    csv.field_size_limit(10**9)
    with plain.open(newline="", encoding=encoding(plain), errors="replace") as file:
        rows = csv.DictReader(file)
        try:
            columns = [str(column).strip() for column in rows.fieldnames or []]
        except csv.Error as error:
            raise unreadable(path, error) from error
        rows.fieldnames = columns
        if "cif" not in columns:
            names = ", ".join(column or "(no name)" for column in columns)
            raise InputError(
                f"`{path}` has no `cif` column (its columns: {names}); a CSV needs the columns `material_id` and `cif`."
            )
        number = 0
        try:
            for number, row in enumerate(rows, start=1):
                id_ = identifier(row.get("material_id") or f"{path.stem}:{number}")
                for crystal in cif.crystals(row["cif"] or ""):
                    yield id_, _as_cif(crystal, f"row {number}: ")
        except csv.Error as error:
            yield (
                f"{path.stem}:{number + 1}",
                f"row {number + 1} could not be read ({first_line(error)}), nor any beyond it",
            )


def _as_cif(crystal: Atoms | str, where: str = "") -> Atoms | str:
    return f"{where}its CIF could not be read ({crystal})" if isinstance(crystal, str) else crystal


def _prototypes(query: str) -> Iterator[Item]:
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


def _as_atoms(thing: Any) -> Atoms | str:
    """ASE atoms as they are; a pymatgen structure or molecule, recognised without importing pymatgen."""
    from ase import Atoms

    if isinstance(thing, Atoms):
        return thing
    if not hasattr(thing, "cart_coords"):
        raise InputError(f"a structure must be ASE atoms or a pymatgen structure, got {type(thing).__name__}.")
    if not getattr(thing, "is_ordered", True):
        return f"the pymatgen structure {thing.formula} has partially occupied sites; order it first"
    lattice = getattr(thing, "lattice", None)
    numbers = [getattr(site.specie, "Z", 0) for site in thing]
    atoms = _make_atoms(
        numbers, thing.cart_coords, getattr(lattice, "matrix", None), pbc=getattr(lattice, "pbc", False)
    )
    atoms.info.update({k: v for k, v in (thing.properties or {}).items() if k in ID_KEYS})
    # A crystal's `charge` is the sum of its oxidation states unless it was given; a molecule's always is.
    atoms.info["charge"] = vars(thing).get("_charge")
    if lattice is None:
        atoms.info["spin"] = thing.spin_multiplicity
    return atoms


def _make_atoms(species: Any, positions: Any, cell: Any, *, pbc: Any) -> Atoms:
    from ase import Atoms

    return Atoms(species, positions=np.asarray(positions), cell=cell, pbc=pbc)
