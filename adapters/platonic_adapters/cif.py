"""Crystals of a CIF, accepted only if all stated information agrees with the atoms.

A CIF states the contents of its cell (formula × Z), and lists sites and symmetry operations, which make the atoms. ASE
makes them here. Where nothing that is stated confirms the result, pymatgen must make the same contents; and where the
result contradicts what is stated, or atoms coincide, it is made again with the tolerance that coordinates of three or
two digits need: 0.333 is no third, and its images by a sixfold axis do not meet.
"""

from __future__ import annotations

import io
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from platonic_adapters import spacegroups
from platonic_adapters.errors import first_line
from platonic_adapters.soundness import Unsound, fault, is_one

if TYPE_CHECKING:
    from ase import Atoms
    from ase.io.cif import CIFBlock

__all__ = ["crystals"]

FRACTIONS = [f"_atom_site_fract_{axis}" for axis in "xyz"]
UNKNOWN = ("?", ".", "", None)


class Rounding(NamedTuple):
    """Coordinates of so many decimals: the error of one, and how far images of a site may then lie apart."""

    decimals: int
    error: float
    images: float


ROUNDINGS = (None, Rounding(3, 0.00051, 0.006), Rounding(2, 0.0051, 0.06))
IMAGES = 0.001  # ASE's own tolerance, like the others in fractions of the cell


def crystals(text: str) -> Iterator[Atoms | str]:
    """Read every structure of a CIF.

    Args:
        text: the file.

    Yields:
        In the order of the file, ASE atoms, or the reason why a block gives none; of a file without any structure, one
        reason.
    """
    from ase.io.cif import parse_cif

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # ASE leaves out a row with more values than columns, with a warning: an atom would be gone.
        warnings.filterwarnings("error", message="Wrong number")
        try:
            blocks = list(parse_cif(io.StringIO(text)))
            texts = re.split(r"(?im)^(?=data_)", text)[1:]
            results: list[Atoms | str] = [
                _crystal_or_reason(block, texts[i] if len(texts) == len(blocks) else None)
                for i, block in enumerate(blocks)
                if block.has_structure()
            ]
        except Exception as error:  # noqa: BLE001 - a broken CIF breaks the parser in any way it likes
            results = [_reason(error)]
    yield from results or ["no structure in it"]


def _crystal_or_reason(block: CIFBlock, text: str | None) -> Atoms | str:
    try:
        return _crystal(block, text)
    except Exception as error:  # noqa: BLE001 - a broken CIF breaks the parsers in any way it likes
        return _reason(error)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, Unsound) else first_line(error)


def _crystal(block: CIFBlock, text: str | None) -> Atoms:
    """Make one block's atoms; `Unsound` says what does not agree."""
    _check_sites(block)
    stated = _Stated(block)
    if FRACTIONS[0] not in block:  # no symmetry applies to Cartesian positions
        atoms = block.get_atoms()
        stated.check(_contents(atoms))
        return atoms
    candidates = [_agreed(block, operations, stated, text) for operations in spacegroups.operations(block)]
    crystals = [one for one in candidates if not isinstance(one, str)]
    if not crystals:
        raise Unsound(candidates[0])
    if any(_different(crystals[0], other) for other in crystals[1:]):
        raise Unsound(
            "it lists no symmetry operations, and the settings of its space group make different crystals of it"
        )
    return crystals[0]


def _agreed(block: CIFBlock, operations: list[str], stated: _Stated, text: str | None) -> Atoms | str:
    """The atoms that nothing contradicts, or what contradicts them first."""
    reasons = []
    for rounding in ROUNDINGS:
        try:
            atoms = _made(block, operations, rounding)
            contents = _contents(atoms)
            stated.check(contents)
            if reason := fault(atoms):
                raise Unsound(reason)
            alone = len(operations) == 1 and len(atoms) == len(_column(block, FRACTIONS[0]))
            if not (stated.cells or (alone and not _names_more(block, operations))):
                _ask_pymatgen(contents, block, operations, rounding, text)
        except Exception as error:  # noqa: BLE001 - a broken CIF breaks the parsers in any way it likes
            reasons.append(_reason(error))
        else:
            return atoms
    return reasons[0]


def _made(block: CIFBlock, operations: list[str], rounding: Rounding | None) -> Atoms:
    """ASE's atoms: the sites and their images by the operations."""
    from ase.io.cif import CIFBlock
    from ase.spacegroup import crystal

    tags = {name: value for name, value in block.items() if name.startswith(("_cell_", "_atom_site_"))}
    tags.pop("_atom_site_occupancy", None)
    for name in ("_atom_site_type_symbol", "_atom_site_label"):  # the parser knows D
        tags[name] = [re.sub(r"^T(?![a-z])", "H", str(value)) for value in _column(block, name)] or None
    tags = {name: value for name, value in tags.items() if value is not None}
    # The operations alone speak for the symmetry: names have many spellings, and the parser knows few.
    tags |= {"_space_group_symop_operation_xyz": operations, "_space_group_it_number": 1}
    if rounding is None:
        return CIFBlock(block.name, tags).get_atoms()
    for name in FRACTIONS:
        tags[name] = [_sixth(value, rounding) for value in _column(block, name)]
    sites = CIFBlock(block.name, tags)
    coarse = all(_decimals(value) <= rounding.decimals for name in FRACTIONS for value in _column(block, name))
    return crystal(
        sites.get_unsymmetrized_structure(),
        spacegroup=sites.get_spacegroup(subtrans_included=True),  # pyright: ignore[reportArgumentType]
        symprec=rounding.images if coarse else IMAGES,
    )


def _sixth(value: float, rounding: Rounding) -> float:
    """The third or sixth that a rounded coordinate stands for, or the coordinate."""
    nearest = round(value * 6) / 6
    return nearest if _decimals(value) <= rounding.decimals and abs(value - nearest) < rounding.error else value


def _decimals(value: float) -> int:
    return len(f"{value!r}".partition(".")[2])


def _ask_pymatgen(
    contents: Counter[str], block: CIFBlock, operations: list[str], rounding: Rounding | None, text: str | None
) -> None:
    """Refuse contents that pymatgen, where it is installed, does not make of the same text."""
    if _names_more(block, operations):
        raise Unsound(
            f"it lists {len(operations)} symmetry operations, its space group has {max(spacegroups.orders(block))}, and"
            " no Z says how many atoms its cell has"
        )
    try:
        from pymatgen.io.cif import CifParser
    except ImportError:
        return
    if text is None:
        return
    if not spacegroups.listed(block):
        text += "\nloop_\n _symmetry_equiv_pos_as_xyz\n" + "".join(f" '{operation}'\n" for operation in operations)
    # Its tolerance for thirds is relative.
    tolerances: dict[str, Any] = (
        {} if rounding is None else {"frac_tolerance": 3 * rounding.error, "site_tolerance": rounding.images}
    )
    try:
        (structure,) = CifParser.from_str(text, **tolerances).parse_structures(primitive=False)
        theirs = Counter(site.specie.symbol if site.specie.Z > 1 else "H" for site in structure)
    except Exception as error:
        raise Unsound(
            f"its atoms make {_written(contents)} by ASE, and pymatgen cannot read it ({first_line(error)})"
        ) from error
    if theirs != contents:
        raise Unsound(f"its atoms make {_written(contents)} by ASE, {_written(theirs)} by pymatgen")


def _names_more(block: CIFBlock, operations: list[str]) -> bool:
    """Test whether the named space group and the listed operations differ in number."""
    orders = spacegroups.orders(block)
    return bool(orders) and len(operations) not in orders


class _Stated:
    """Stated contents of a block: `formula`, and `cells`, the possible contents; None and empty if unknown."""

    def __init__(self, block: CIFBlock) -> None:
        self.formula = _formula(block.get("_chemical_formula_sum"))
        self.cells: list[Counter[str]] = []
        units = block.get("_cell_formula_units_z")
        if self.formula is None or not isinstance(units, int | float) or units < 1 or units != int(units):
            return
        self.cells.append(Counter({element: number * int(units) for element, number in self.formula.items()}))
        counts = np.array(list(self.formula.values()))
        if (counts == counts.round()).all() and np.gcd.reduce(counts.astype(int)) == units:
            self.cells.append(self.formula)  # Some programs write the formula of the whole cell, and Z beside it.

    def check(self, contents: Counter[str]) -> None:
        """Refuse contents of a cell that are not the ones stated."""
        if self.cells and not any(_same(contents, cell) for cell in self.cells):
            raise Unsound(f"its atoms make {_written(contents)}, its formula and Z say {_written(self.cells[0])}")
        if self.formula and not _proportional(contents, self.formula):
            raise Unsound(f"its atoms make {_written(contents)}, its formula says {_written(self.formula)}")


def _formula(value: Any) -> Counter[str] | None:
    """Elements and numbers of a sum formula, D and T as H; None where it is unknown or not one."""
    from ase.data import atomic_numbers

    if value in UNKNOWN:
        return None
    text = re.sub(r"\s+\d*[+-]$", "", str(value).strip())  # the charge
    if not re.fullmatch(r"(?:[A-Z][a-z]?(?:\d+\.?\d*|\.\d+)?[\s,]*)+", text):
        return None
    counts: Counter[str] = Counter()
    for element, number in re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", text):
        counts["H" if element in ("D", "T") else element] += float(number or 1)  # pyright: ignore[reportArgumentType]
    return counts if all(element in atomic_numbers for element in counts) and min(counts.values()) > 0 else None


def _check_sites(block: CIFBlock) -> None:
    """Refuse a block without a cell, and sites that are not one whole atom of one element."""
    cell = block.get_cellpar()
    if cell is None:
        raise Unsound("it has no cell")
    if not all(isinstance(length, int | float) and length > 0 for length in cell):
        raise Unsound(f"its cell has no volume (lengths and angles {', '.join(map(str, cell))})")
    for occupancy in _column(block, "_atom_site_occupancy"):
        if occupancy not in UNKNOWN and not is_one(occupancy):
            raise Unsound(f"sites are partially occupied (occupancy {occupancy})")
    for symbol in _column(block, "_atom_site_type_symbol"):
        if len(re.findall("[A-Z][a-z]?", str(symbol))) > 1:
            raise Unsound(f"a site holds `{symbol}`, which is not one element")


def _column(block: CIFBlock, name: str) -> list[Any]:
    values: Any = block.get(name, [])
    return values if isinstance(values, list) else [values]


def _contents(atoms: Atoms) -> Counter[str]:
    return Counter(map(str, atoms.symbols))


def _same(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return one.keys() == other.keys() and all(abs(one[element] - other[element]) < 0.1 for element in one)


def _proportional(contents: Mapping[str, float], formula: Mapping[str, float]) -> bool:
    """Test whether a cell holds any number of formula units; exactly, unless the formula has decimals."""
    if contents.keys() != formula.keys():
        return False
    units = np.array([contents[element] / formula[element] for element in formula])
    whole = all(number == int(number) for number in formula.values())
    return bool(np.ptp(units) <= (1e-9 if whole else 0.01) * units.max())


def _written(contents: Mapping[str, float]) -> str:
    return "".join(f"{element}{number:g}" if number != 1 else element for element, number in contents.items())


def _different(one: Atoms, other: Atoms) -> bool:
    """Test whether two cells hold different crystals, by all their distances."""
    if _contents(one) != _contents(other):
        return True
    apart = [np.sort(atoms.get_all_distances(mic=True), axis=None) for atoms in (one, other)]
    return not np.allclose(*apart, atol=0.01)
