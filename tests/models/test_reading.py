"""Reading: every form of input, and every bad one, each with what is taken of it and what is said."""

import bz2
import functools
import gzip
import io
import lzma
import os
import re
import socket
from fractions import Fraction
from itertools import product

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import covalent_radii
from ase.spacegroup import Spacegroup
from platonic_adapters import files, reading, soundness, store
from platonic_adapters.cif import crystals as crystals_of
from platonic_adapters.errors import InputError


def crystals():
    return [bulk("NaCl", "rocksalt", a=5.64), bulk("Cu", cubic=True), bulk("Ti"), molecule("H2O")]


def cif(atoms):
    file = io.BytesIO()
    ase.io.write(file, atoms, format="cif")
    return file.getvalue().decode()


def assert_same(found, expected, tolerance=0.0):
    assert found.num_atoms.tolist() == [len(a) for a in expected]
    for i, atoms in enumerate(expected):
        one = found.atoms(i)
        assert one.numbers.tolist() == atoms.numbers.tolist()
        assert np.array_equal(one.pbc, atoms.pbc)
        np.testing.assert_allclose(one.positions, atoms.positions, atol=tolerance)
        np.testing.assert_allclose(one.cell.array, atoms.cell.array, atol=tolerance)


def outcome(source, **options):
    """Formulas of what is taken, and the reasons for what is not; of a refusal, its one sentence."""
    try:
        found, skipped = reading.read(source, **{"duplicates": "keep", **options})
    except InputError as error:
        return [], [str(error)]
    return found.formulas, [entry["reason"] for entry in skipped]


def check(source, taken, *reasons):
    formulas, said = outcome(source)
    assert formulas == taken
    assert len(said) == len(reasons)
    for sentence, expected in zip(said, reasons, strict=True):
        assert "\n" not in sentence
        assert re.search(expected, sentence), sentence


@pytest.mark.parametrize("packed", [False, True])
def test_extended_xyz_plain_and_gzipped(tmp_path, packed):
    frames = crystals()
    frames[1].info["material_id"] = "mp-30"
    path = tmp_path / "set.extxyz"
    ase.io.write(path, frames)
    if packed:
        path = tmp_path / "set.extxyz.gz"
        path.write_bytes(gzip.compress((tmp_path / "set.extxyz").read_bytes()))
    found, skipped = reading.read(path)
    assert skipped == []
    assert found.ids == ["set:0", "mp-30", "set:2", "set:3"]
    assert found.formulas == ["NaCl", "Cu4", "Ti2", "H2O"]
    assert_same(found, frames, 1e-7)


@pytest.mark.parametrize(("name", "format_"), [("POSCAR", "vasp"), ("a.cif", "cif"), ("a.xyz", "extxyz")])
def test_files_of_one_structure(tmp_path, name, format_):
    ase.io.write(tmp_path / name, bulk("NaCl", "rocksalt", a=5.64), format=format_)
    found, _ = reading.read(str(tmp_path / name))
    assert (len(found), found.formulas, found.pbc.all()) == (1, ["NaCl"], True)


def test_database_of_ase(tmp_path):
    with ase.db.connect(tmp_path / "set.db") as database:
        for atoms in crystals():
            database.write(atoms)
    assert_same(reading.read(tmp_path / "set.db")[0], crystals())


def test_folder_of_cifs_in_the_order_of_names_skips_a_broken_one(tmp_path):
    for name, atoms in (("b", bulk("Cu")), ("a", bulk("NaCl", "rocksalt", a=5.64))):
        (tmp_path / f"{name}.cif").write_text(cif(atoms))
    (tmp_path / "c.cif").write_text("data_x\n_cell_length_a oops\n")
    found, skipped = reading.read(tmp_path)
    assert found.ids == ["a", "b"]
    assert (skipped[0]["id"], skipped[0]["reason"].startswith("c.cif: its CIF could not be read")) == ("c", True)


def test_csv_skips_a_broken_cif_and_names_its_row(tmp_path):
    whole = cif(bulk("NaCl", "rocksalt", a=5.64))
    cut = "\n".join(whole.strip().split("\n")[:-1])  # one atom short of its formula
    rows = [("mp-1", whole), ("mp-2", "not a cif"), ("mp-3", cut), ("mp-4", cif(bulk("Cu")))]
    quoted = [f'{i},"{text.replace(chr(34), chr(34) * 2)}"' for i, text in rows]
    (tmp_path / "mp20.csv").write_text("\n".join(["material_id,cif", *quoted]) + "\n")
    found, skipped = reading.read(tmp_path / "mp20.csv")
    assert found.ids == ["mp-1", "mp-4"]
    assert [(s["id"], s["reason"].split(":")[0]) for s in skipped] == [("mp-2", "row 2"), ("mp-3", "row 3")]
    assert "its atoms make Na, its formula says" in skipped[1]["reason"]


def test_pymatgen_structures_and_molecules():
    pymatgen = pytest.importorskip("pymatgen.core")
    crystal = pymatgen.Structure(np.eye(3) * 4, ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]], properties={"id": "CsCl"})
    water = pymatgen.Molecule(["O", "H", "H"], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    found, _ = reading.read([crystal, water])
    assert found.ids == ["CsCl", "structure:1"]
    np.testing.assert_array_equal(found.positions[1], [2, 2, 2])
    assert found.pbc.tolist() == [[True] * 3, [False] * 3]
    mixed = pymatgen.Structure(np.eye(3) * 4, [{"Cs": 0.5, "K": 0.5}], [[0, 0, 0]])
    with pytest.raises(InputError, match="partially occupied"):
        reading.read(mixed)


def test_prototypes_are_unique_and_limited_in_size():
    found, skipped = reading.read("prototypes?max_atoms=6")
    assert skipped == []
    assert found.num_atoms.max() == 6
    assert len(set(found.hashes)) == len(set(found.ids)) == len(found) > 50
    assert found.ids[0] == "AB_hP6_154_a_b"
    assert reading.read("prototypes?max_atoms=6")[0].hashes == found.hashes
    with pytest.raises(InputError, match="max_atoms=20"):
        reading.read("prototypes?atoms=6")


def test_the_standard_set_of_the_atlas_has_every_element_in_several_structures():
    found, skipped = reading.read("atlas")
    assert skipped == []
    assert len(set(found.hashes)) == len(found) == 250
    assert found.num_atoms.max() <= 20
    elements = [set(found.atoms(i).numbers.tolist()) for i in range(len(found))]
    count = {z: sum(z in some for some in elements) for z in set.union(*elements)}
    assert len(count) == 88
    assert {z for z, number in count.items() if number < 6} == {2, 10}


def test_structures_travel_through_a_group_unchanged(tmp_path):
    frames = crystals()
    frames[0].positions += 1 / 3
    found, _ = reading.read(frames)
    store.write_structures(
        tmp_path / "s.zarr", found, source="mine", skipped=[{"id": "x", "hash": "", "reason": "why"}]
    )
    again, skipped = reading.read(tmp_path / "s.zarr")
    assert (again.ids, again.hashes, again.formulas) == (found.ids, found.hashes, found.formulas)
    assert_same(again, frames)
    assert skipped[0]["id"] == "x"
    assert reading.describe(tmp_path / "s.zarr") == "mine"
    assert reading.read(tmp_path / "s.zarr", limit=2)[0].ids == found.ids[:2]


def test_duplicates_are_refused_skipped_or_kept():
    frames = [bulk("Cu"), bulk("Al"), bulk("Cu"), bulk("Cu")]
    with pytest.raises(
        InputError, match=r"structures 0 \(structure:0\) and 2 \(structure:2\) are identical, .* 2 such"
    ):
        reading.read(frames)
    found, skipped = reading.read(frames, duplicates="skip")
    assert (len(found), [s["reason"] for s in skipped]) == (2, ["identical to structure:0"] * 2)
    assert len(reading.read(frames, duplicates="keep")[0]) == 4


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.xyz", b"", "is empty"),
        ("a.xyz.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("a.xyz.gz", b"plainly not gzip", "could not be read"),
        ("a.cif", b"data_x\n", "could not be read"),
        ("a.xyz", b"3\nthree\nH 0 0 0\n", "cut off"),
        ("a.unheard", b"something", "could not be read"),
        ("a.csv", b"material_id,formula\nmp-1,NaCl\n", r"no `cif` column \(its columns: material_id, formula\)"),
        ("a.csv", b"material_id,cif\nmp-1,x\n", "holds no structures: all 1 were left out, the first because row 1"),
    ],
)
def test_unreadable_files_are_one_sentence(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence) as error:
        reading.read(tmp_path / name)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


def test_a_slab_needs_no_third_vector():
    slab = Atoms("Cu", cell=[[2.5, 0, 0], [0, 2.5, 0], [0, 0, 0]], pbc=[True, True, False])
    assert_same(reading.read(slab)[0], [slab])


def triplet(rotation, translation):
    """An operation as CIF writes it."""
    rows = []
    for row, shift in zip(rotation, translation, strict=True):
        terms = "".join(f"{'-' if c < 0 else '+'}{axis}" for c, axis in zip(row, "xyz", strict=True) if c)
        rows.append(terms + (f"+{Fraction(float(shift)).limit_denominator(12)}" if shift else ""))
    return ", ".join(rows)


@functools.cache
def operations(number, setting=1):
    return tuple(triplet(*operation) for operation in Spacegroup(number, setting).get_symop())


HEXAGONAL, SILICON = (3.16, 3.16, 12.3, 90, 90, 120), (5.431, 5.431, 5.431, 90, 90, 90)
MOLYBDENITE = ("Mo Mo 0.33333 0.66667 0.25", "S S 0.33333 0.66667 0.621")


MIRRORS = operations(194)


def crystal(*sites, cell=HEXAGONAL, symmetry=MIRRORS, columns=(), **tags):
    """The text of a CIF; `tags` by what follows the underscore, hyphens as two underscores."""
    names = [f"length_{axis}" for axis in "abc"] + [f"angle_{angle}" for angle in ("alpha", "beta", "gamma")]
    lines = ["data_x", *(f"_cell_{name} {value}" for name, value in zip(names, cell, strict=True))]
    lines += [f"_{name.replace('__', '-')} {value}" for name, value in tags.items()]
    if symmetry:
        lines += ["loop_", "_space_group_symop_operation_xyz", *(f"'{operation}'" for operation in symmetry)]
    heads = ("label", "type_symbol", *(f"fract_{axis}" for axis in "xyz"), *columns)
    return "\n".join([*lines, "loop_", *(f"_atom_site_{head}" for head in heads), *(sites or MOLYBDENITE), ""])


def silicon(position="0.125 0.125 0.125", symmetry=(), z=8, **tags):
    units = {"cell_formula_units_Z": z} if z else {}
    return crystal(f"Si Si {position}", cell=SILICON, symmetry=symmetry, chemical_formula_sum="Si", **units, **tags)


def magnesium(position, formula="Mg", z=2, **options):
    units = {"cell_formula_units_Z": z} if z else {}
    stated = {"chemical_formula_sum": formula} if formula else {}
    cell = (3.21, 3.21, 5.21, 90, 90, 120)
    return crystal(f"Mg Mg {position}", cell=cell, **stated, **units, **options)


def stated(formula="'Mo S2'", z=2, **options):
    return crystal(chemical_formula_sum=formula, cell_formula_units_Z=z, **options)


MO2S4 = ["Mo2S4"]
CIFS = {
    # thirds rounded
    "five digits": (magnesium("0.33333 0.66667 0.25"), ["Mg2"]),
    "three digits": (magnesium("0.333 0.667 0.25"), ["Mg2"]),
    "three digits beside a long one": (magnesium("0.333 0.667 0.250001", symmetry=operations(187)), ["Mg2"]),
    "three digits, no Z": (magnesium("0.333 0.667 0.25", z=None), ["Mg2"]),
    "three digits, nothing stated": (magnesium("0.333 0.667 0.25", formula=None, z=None), ["Mg2"]),
    "two digits": (magnesium("0.33 0.67 0.25"), ["Mg2"]),
    "images of a site of three digits": (
        crystal("O O 0.123 0.247 0.25", chemical_formula_sum="O", cell_formula_units_Z=6),
        ["O6"],
    ),
    "Z contradicts": (magnesium("0.33333 0.66667 0.25", z=3), [], "atoms make Mg2, its formula and Z say Mg3"),
    "Z of decimals": (stated(z="2.0"), MO2S4),
    "Z with an error": (stated(z="2(0)"), MO2S4),
    "Z unknown": (stated(z="?"), MO2S4),
    "Z beside the formula of the cell": (stated("'Mo2 S4'", 2), MO2S4),
    # symmetry
    "Hall symbol": (silicon(space_group_name_Hall="'-F 4vw 2vw 3'"), ["Si8"]),
    "Hall symbol of the first origin": (silicon(space_group_name_Hall="'F 4d 2 3 -1d'", z=16), ["Si16"]),
    "name with origin": (silicon(**{"space_group_name_H__M_alt": "'F d -3 m :2'"}), ["Si8"]),
    "name with ICSD's origin": (silicon(**{"symmetry_space_group_name_H__M": "'F d -3 m Z'"}), ["Si8"]),
    "name in Schoenflies' spaces": (silicon(**{"symmetry_space_group_name_H__M": "Fd-3m"}), ["Si8"]),
    "name and number": (
        silicon(**{"symmetry_space_group_name_H__M": "'F d -3 m'", "symmetry_Int_Tables_number": 227}),
        ["Si8"],
    ),
    "number": (silicon(symmetry_Int_Tables_number=227), ["Si8"]),
    "number, first origin": (silicon("0 0 0", symmetry_Int_Tables_number=227), ["Si8"]),
    "number, origin unknown": (silicon(symmetry_Int_Tables_number=227, z=None), [], "settings .* different crystals"),
    "unknown name": (silicon(**{"symmetry_space_group_name_H__M": "'X x x x'"}), [], "X x x x.* is not known"),
    "group that the cell has not": (
        crystal("Si Si 0 0 0", symmetry=(), space_group_IT_number=225),
        [],
        "does not fit its cell",
    ),
    "name with an underscore, operations listed": (stated(**{"symmetry_space_group_name_H__M": "P6_3/mmc"}), MO2S4),
    "origin in the name, operations listed": (
        silicon(symmetry=operations(227, 2), **{"symmetry_space_group_name_H__M": "'F d -3 m :2'"}),
        ["Si8"],
    ),
    "unknown name, operations listed": (stated(**{"symmetry_space_group_name_H__M": "?"}), MO2S4),
    "centring not listed, no Z": (
        crystal("Cu Cu 0 0 0", cell=(3.6,) * 3 + (90,) * 3, symmetry=operations(221), space_group_IT_number=225),
        [],
        "lists 48 symmetry operations, its space group has 192",
    ),
    "no symmetry": (
        crystal("Na Na 0 0 0", "Cl Cl 0.5 0.5 0.5", cell=(4,) * 3 + (90,) * 3, symmetry=()),
        ["NaCl"],
    ),
    # formulas
    "formula ?": (crystal(chemical_formula_sum="?"), MO2S4),
    "formula .": (crystal(chemical_formula_sum="."), MO2S4),
    "formula empty": (crystal(chemical_formula_sum="''"), MO2S4),
    "formula with decimals": (crystal(chemical_formula_sum="'Mo1 S2.0'"), MO2S4),
    "formula without spaces": (crystal(chemical_formula_sum="MoS2"), MO2S4),
    "formula with charge": (crystal(chemical_formula_sum="'Mo S2 2-'"), MO2S4),
    "formula that is none": (crystal(chemical_formula_sum="'see text'"), MO2S4),
    "formula of another compound": (crystal(chemical_formula_sum="'W S2'"), [], "make Mo2S4, its formula says WS2"),
    "an atom short of its formula": (
        crystal(MOLYBDENITE[0], chemical_formula_sum="'Mo S2'"),
        [],
        "make Mo2, its formula says MoS2",
    ),
    # isotopes
    "deuterium in both": (
        crystal(
            "D D 0 0 0",
            "Li Li 0.5 0.5 0.5",
            cell=(4.07,) * 3 + (90,) * 3,
            symmetry=operations(225),
            chemical_formula_sum="'D Li'",
        ),
        ["Li4H4"],
    ),
    "tritium on a site": (crystal("T1 T 0 0 0", "Li Li 0.5 0.5 0.5", symmetry=("x, y, z",)), ["LiH"]),
    "tritium by its label": (
        crystal("T1 T1 0 0 0", "Li1 Li1 0.5 0.5 0.5", symmetry=("x, y, z",)).replace(
            "_atom_site_type_symbol", "_atom_site_note"
        ),
        ["LiH"],
    ),
    "titanium is none": (crystal("Ti1 Ti 0 0 0", symmetry=("x, y, z",)), ["Ti"]),
    "tritium in the formula": (
        crystal(
            "H H 0 0 0",
            "Li Li 0.5 0.5 0.5",
            cell=(4.07,) * 3 + (90,) * 3,
            symmetry=operations(225),
            chemical_formula_sum="'Li T'",
        ),
        ["Li4H4"],
    ),
    # sites
    "occupancy 0.5": (
        crystal(*(f"{site} 0.5" for site in MOLYBDENITE), columns=["occupancy"]),
        [],
        "partially occupied .occupancy 0.5",
    ),
    "occupancy above 1": (
        crystal(*(f"{site} 2" for site in MOLYBDENITE), columns=["occupancy"]),
        [],
        "partially occupied",
    ),
    "occupancy unknown": (crystal(*(f"{site} ?" for site in MOLYBDENITE), columns=["occupancy"]), MO2S4),
    "occupancy with an error": (crystal(*(f"{site} 1.00(2)" for site in MOLYBDENITE), columns=["occupancy"]), MO2S4),
    "two elements in one site": (
        crystal("A Mo 0 0 0", "B W 0 0 0", symmetry=("x, y, z",)),
        [],
        "",
    ),
    "a mixed type": (crystal("M1 Mo,W 0 0 0", symmetry=("x, y, z",)), [], "a site holds `Mo,W`"),
    "a type of two atoms": (crystal("O1 OH 0 0 0", symmetry=("x, y, z",)), [], "a site holds `OH`"),
    "a row too long": (crystal(*MOLYBDENITE, "S2 S 0 0 0 9"), [], "Wrong number"),
    "coordinates unknown": (crystal("Mo Mo ? ? ?"), [], "could not be read"),
    # cells
    "no lengths": (stated(cell=(0, 0, 0, 60, 60, 60)), [], "cell has no volume"),
    "a length unknown": (stated(cell=("?", 3.16, 12.3, 90, 90, 120)), [], "cell has no volume"),
    "a length of Ångström times a billion": (stated(cell=(3e9, 3.16, 12.3, 90, 90, 120)), [], "lattice vector"),
    "angles that close no cell": (crystal(cell=(3, 3, 3, 10, 10, 170), symmetry=("x, y, z",)), [], "could not be read"),
    "atoms coincide": (
        crystal("Na Na 0 0 0", "Na Na 0.01 0 0", cell=(4,) * 3 + (90,) * 3, symmetry=("x, y, z",)),
        [],
        "atoms 0 .Na. and 1 .Na. lie 0.04 Å apart",
    ),
    "thousands of operations": (stated(symmetry=operations(194) * 50), [], "1200 symmetry operations"),
}


@pytest.mark.parametrize("name", CIFS)
def test_a_crystal_is_taken_where_contents_atoms_and_distances_agree(tmp_path, name):
    text, taken, *reasons = CIFS[name]
    (tmp_path / "good.cif").write_text(cif(bulk("Cu")))
    (tmp_path / "other.cif").write_text(text)
    check(tmp_path, ["Cu", *taken], *reasons)
    check(tmp_path / "other.cif", taken, *reasons)


def test_rounded_thirds_make_the_same_positions_as_exact_ones():
    exact, rounded = (next(crystals_of(magnesium(at))) for at in ("0.33333 0.66667 0.25", "0.333 0.667 0.25"))
    np.testing.assert_allclose(rounded.positions, exact.positions, atol=2e-5)
    assert rounded.numbers.tolist() == exact.numbers.tolist()


def test_a_file_of_several_blocks_loses_only_the_broken_one(tmp_path):
    (tmp_path / "a.cif").write_text(
        stated() + "data_text\n_note x\n" + stated(z=5) + silicon(symmetry_Int_Tables_number=227)
    )
    check(tmp_path / "a.cif", ["Mo2S4", "Si8"], "formula and Z say Mo5S10")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_texts_are_read_in_any_encoding(tmp_path, encoding):
    text = stated(publ_author_name="'Müller, Å.'").replace("'Müller", "'Müller")
    (tmp_path / "a.cif").write_bytes(text.encode(encoding))
    (tmp_path / "a.csv").write_bytes(f'material_id,cif\nmü-1,"{text}"\n'.encode(encoding))
    (tmp_path / "a.xyz").write_bytes("2\nname=mü\nO 0 0 0\nH 0.97 0 0\n".encode(encoding))
    assert outcome(tmp_path / "a.cif") == outcome(tmp_path) == (["Mo2S4"], [])
    assert reading.read(tmp_path / "a.csv")[0].ids == ["mü-1"]
    assert reading.read(tmp_path / "a.xyz")[0].ids == ["mü"]


GOOD = "2\nname=good\nO 0 0 0\nH 0.97 0 0\n"
HEAD = 'Lattice="{} 0 0 0 {} 0 0 0 {}" Properties=species:S:1:pos:R:3 pbc="{}"'


def boxed(*atoms, box=(4, 4, 4), pbc="T T T", more=""):
    return "\n".join([str(len(atoms)), HEAD.format(*box, pbc) + more, *atoms, ""])


FRAMES = {
    "two atoms at one place": (boxed("Na 0 0 0", "Na 0 0 0"), r"atoms 0 \(Na\) and 1 \(Na\) lie 0.00 Å apart"),
    "atoms that overlap across the boundary": (boxed("Na 0.1 0 0", "Cl 3.9 0 4"), "lie 0.20 Å apart"),
    "atoms that overlap, molecule": ("2\n\nO 0 0 0\nH 0.1 0 0\n", r"atoms 0 \(O\) and 1 \(H\) lie 0.10 Å apart"),
    "a cell of 0.3 Å": (boxed("Na 0 0 0", box=(0.3,) * 3), "0.027 Å³ an atom"),
    "a chain of 0.3 Å": (boxed("Na 0 0 0", box=(0.3, 9, 9), pbc="T F F"), "0.30 Å from its own periodic image"),
    "a cell nearly singular": (
        '1\nLattice="4 0 0 4 1e-5 0 0 0 4" pbc="T T T"\nNa 0 0 0\n',
        "Å³ an atom",
    ),
    "a slab nearly singular": (
        '1\nLattice="4 0 0 4 1e-5 0 0 0 4" pbc="T T F"\nNa 0 0 0\n',
        "own periodic image",
    ),
    "a cell of no volume": ('1\nLattice="4 0 0 4 0 0 0 0 4" pbc="T T T"\nNa 0 0 0\n', "its cell has no volume"),
    "a periodic direction without a vector": (boxed("Na 0 0 0", box=(4, 4, 0)), "its cell has no volume"),
    "a cell that is not finite": (boxed("Na 0 0 0", box=("nan", 4, 4)), "cell is not finite"),
    "a cell without bounds": (boxed("Na 0 0 0", box=(1e300, 4, 4)), "lattice vector of 1e.300 Å"),
    "a cell of 20,000 Å": (boxed("Na 0 0 0", box=(2e4, 4, 4)), "lattice vector"),
    "an empty cell": (boxed("Na 0 0 0", box=(900, 900, 900)), "Å³ an atom"),
    "an atom at 1e8 Å": (boxed("Na 1e8 0 0", "Cl 2 2 2"), "atom 0 has a coordinate of 1e.08 Å"),
    "an atom at 1e300 Å": ("2\n\nNa 0 0 0\nCl 1e300 0 0\n", "atom 1 has a coordinate of 1e.300 Å"),
    "a molecule at 20,000 Å": ("1\n\nNa 2e4 0 0\n", "atom 0 lies 2e.04 Å from the origin"),
    "a slab at 20,000 Å": (boxed("Na 0 0 2e4", pbc="T T F"), "atom 0 lies 2e.04 Å from the origin"),
    "a position that is no number": (boxed("Na nan 0 0"), r"not finite numbers \(atom 0\)"),
    "an infinite position": (boxed("Na 0 0 0", "Na inf 0 0"), r"not finite numbers \(atom 1\)"),
    "element 119": (
        "1\nProperties=Z:I:1:pos:R:3\n119 0 0 0\n",
        "atom 0 has the atomic number 119, which is no element",
    ),
    "element -1": ("1\nProperties=Z:I:1:pos:R:3\n-1 0 0 0\n", "atomic number -1"),
    "a dummy X": ("2\n\nO 0 0 0\nX 3 0 0\n", "atom 1 has the atomic number 0, that of a ghost or dummy atom"),
    "a ghost Bq": ("2\n\nO 0 0 0\nBq 3 0 0\n", "atom 1 is labelled `Bq`, which is no element"),
    "a ghost GH": ("2\n\nO 0 0 0\nGH 3 0 0\n", "labelled `GH`"),
    "a label": ("2\n\nO1 0 0 0\nH1 0.97 0 0\n", "atom 0 is labelled `O1`"),
    "no atoms": ("0\n\n", "no atoms"),
    "a word for a coordinate": ("1\n\nNa 0 0 zero\n", "could not be read"),
    "a coordinate missing": ("1\n\nNa 0 0\n", "could not be read"),
    "partial occupancy in info": (
        boxed("Na 0 0 0", more=' occupancy="_JSON {\\"0\\": {\\"Na\\": 0.5}}"'),
        "partially occupied",
    ),
    "partial occupancy in a column": (
        "1\nProperties=species:S:1:pos:R:3:occupancy:R:1\nNa 0 0 0 0.9\n",
        "occupancy 0.9",
    ),
    "half a charge": ("1\ncharge=0.5\nNa 0 0 0\n", "its charge is '0.5'; it must be a whole number"),
    "a charge in words": ("1\ncharge=plus\nNa 0 0 0\n", "its charge is 'plus'"),
    "a charge of a thousand": ("1\ncharge=1000\nNa 0 0 0\n", "its charge is '1000'"),
    "a negative multiplicity": ("1\nspin=-1\nNa 0 0 0\n", "spin multiplicity is -1"),
    "cut off": ("3\n\nO 0 0 0\n", "cut off: it should have 3 atoms and has 1"),
    "no number of atoms": ("O 0 0 0\n", "must be the number of atoms of a frame, got `O 0 0 0`"),
    "a negative number of atoms": ("-2\n", "must be the number of atoms"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_that_no_model_could_take_is_named_and_never_costs_the_others(tmp_path, name):
    text, reason = FRAMES[name]
    last = name in ("cut off", "no number of atoms", "a negative number of atoms")  # where the next begins is unknown
    (tmp_path / "a.extxyz").write_text(GOOD + text + ("" if last else "\n" + GOOD))
    check(tmp_path / "a.extxyz", ["HO"] * (1 if last else 2), reason)
    (tmp_path / "b.extxyz").write_text(text)
    check(tmp_path / "b.extxyz", [], f"holds no structures: all 1 were left out, the first because .*{reason}")


def test_isotopes_in_frames_are_hydrogen(tmp_path):
    (tmp_path / "a.xyz").write_text("3\n\nO 0 0 0\nD 0.97 0 0\nT -0.2 0.93 0\n")
    check(tmp_path / "a.xyz", ["H2O"])


def test_overlaps_are_those_of_all_images():
    """In cells of any skew, along any periodic directions, against the distances to hundreds of images."""
    rng, seen = np.random.default_rng(1), 0
    for _ in range(60):
        cell = np.diag(rng.uniform(3, 5, 3)) + rng.normal(size=(3, 3)) / 3
        pbc = rng.random(3) < 0.7
        atoms = Atoms("CsOCsH", scaled_positions=rng.uniform(-2, 3, (4, 3)), cell=cell, pbc=pbc)
        steps = np.array(list(product(*[range(-6, 7) if periodic else (0,) for periodic in pbc])))
        apart = atoms.positions[:, None, None] - atoms.positions[:, None] - (steps @ cell)
        away = np.linalg.norm(apart, axis=-1)
        away[range(4), range(4), len(steps) // 2] = np.inf
        limits = soundness.OVERLAP * covalent_radii[atoms.numbers]
        relative = away.min(axis=-1) / (limits[:, None] + limits)
        found = soundness.overlap(atoms)
        assert (found is None) == (relative.min() >= 1)
        if found:
            seen += 1
            np.testing.assert_allclose(found[2], away.min(axis=-1)[found[:2]])
            assert relative[found[:2]] == pytest.approx(relative.min())
    assert 5 < seen < 55


def disordered():
    atoms = bulk("Cu")
    atoms.info["occupancy"] = {"0": {"Cu": 0.5, "Au": 0.5}}
    return atoms


def write_database(path, frames):
    with ase.db.connect(path) as database:
        for atoms in frames:
            database.write(atoms, data={k: v for k, v in atoms.info.items() if k == "occupancy"})


@pytest.mark.parametrize(
    "door", ["atoms", "pymatgen", "extxyz", "db", "json", ".cif", ".cif.gz", ".cif.bz2", ".cif.xz"]
)
def test_partial_occupancy_is_refused_through_every_door(tmp_path, door):
    whole, partial = bulk("Al"), disordered()
    path = tmp_path / f"a{door}"
    if door == "atoms":
        path = [whole, partial]
    elif door == "pymatgen":
        pymatgen = pytest.importorskip("pymatgen.core")
        path = [whole, pymatgen.Structure(np.eye(3) * 4, [{"Cs": 0.5, "K": 0.5}], [[0, 0, 0]])]
    elif door == "extxyz":
        ase.io.write(tmp_path / "a.extxyz", [whole, partial])
        path = tmp_path / "a.extxyz"
    elif door in ("db", "json"):
        path = tmp_path / f"a.{door}"
        write_database(path, [whole, partial])
    else:
        text = cif(whole) + cif(bulk("Cu")).replace("1.0000", "0.5000")
        pack = {".cif": bytes, ".cif.gz": gzip.compress, ".cif.bz2": bz2.compress, ".cif.xz": lzma.compress}[door]
        path.write_bytes(pack(text.encode()))
    check(path, ["Al"], "partially occupied")


def test_charge_and_spin_under_their_usual_names(tmp_path):
    given = [{"charge": 1, "spin": 2}, {"total_charge": -1.0, "spin_multiplicity": "3"}, {"charge": None, "spin": True},
             {"charge": np.nan}, {}]  # fmt: skip
    frames = [Atoms("OH", positions=[[0, 0, 0], [0.9 + 0.01 * i, 0, 0]], info=info) for i, info in enumerate(given)]
    found, _ = reading.read(frames)
    assert (found.charge.tolist(), found.spin.tolist()) == ([1, -1, 0, 0, 0], [2, 3, 0, 0, 0])
    ase.io.write(tmp_path / "a.extxyz", frames[:2])
    again, _ = reading.read(tmp_path / "a.extxyz")
    assert (again.charge.tolist(), again.spin.tolist()) == ([1, -1], [2, 3])
    neutral, ion = (Atoms("OH", positions=[[0, 0, 0], [0.97, 0, 0]], info=info) for info in ({}, {"charge": -1}))
    assert len(reading.read([neutral, ion], duplicates="skip")[0]) == 2
    pymatgen = pytest.importorskip("pymatgen.core")
    hydroxide = pymatgen.Molecule(["O", "H"], [[0, 0, 0], [0.97, 0, 0]], charge=-1)
    assert reading.read([hydroxide])[0].hashes == reading.read([ion])[0].hashes


@pytest.mark.parametrize(
    ("given", "id_"),
    [
        ("mp-1", "mp-1"),
        (7, "7"),
        (0, "0"),
        (None, "structure:0"),
        ("", "structure:0"),
        (np.array([1, 2, 3]), "1 2 3"),
        (np.array(["a", "b"]), "a b"),
        (["a", 1], "a 1"),
        (b"bytes", "bytes"),
        (1.5, "1.5"),
        ("two\nlines\tand tabs", "two lines and tabs"),
        ("red \x1b[31m", "red \\x1b[31m"),
        ("right\u202eleft", "right\\u202eleft"),
        ("x" * 999, "x" * 200),
    ],
)
def test_ids_of_any_type_become_text_that_a_terminal_may_show(given, id_):
    assert reading.read([Atoms("H", info={"material_id": given})])[0].ids == [id_]


def test_what_is_no_file_is_named_and_passed_over(tmp_path):
    (tmp_path / "good.cif").write_text(cif(bulk("Cu")))
    (tmp_path / "folder.cif").mkdir()
    (tmp_path / "dangling.cif").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.cif").symlink_to(tmp_path / "loop.cif")
    (tmp_path / "linked.cif").symlink_to(tmp_path / "good.cif")
    (tmp_path / "device.cif").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.cif")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.cif"))
    found, skipped = reading.read(tmp_path, duplicates="keep")
    assert found.ids == ["good", "linked"]
    kinds = {"dangling": "a link that leads nowhere", "device": "a device", "folder": "a folder",
             "loop": "a link that leads nowhere", "pipe": "a named pipe", "socket": "a socket"}  # fmt: skip
    assert {entry["id"]: entry["reason"] for entry in skipped} == {
        name: f"{name}.cif is {kind}, not a file" for name, kind in kinds.items()
    }
    check(tmp_path / "pipe.cif", [], "is a named pipe")
    check(tmp_path / "dangling.cif", [], "is a link that leads nowhere")


def test_a_packed_file_that_grows_without_bound_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "UNPACKED_BYTES", 1 << 20)
    (tmp_path / "a.xyz.gz").write_bytes(gzip.compress(bytes(1 << 22)))
    check(tmp_path / "a.xyz.gz", [], "unpacks to more than 200 times its size")


def labelled(**labels):
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    for name, value in labels.items():
        (atoms.arrays if np.ndim(value) == 2 else atoms.info)[name] = value
    return atoms


@pytest.mark.parametrize("energy", ["energy", "REF_energy", "dft_energy", "TotEnergy", "Energy", "ref_energy"])
@pytest.mark.parametrize("forces", ["forces", "REF_forces", "dft_forces", "force", "REF_force"])
def test_labels_are_found_under_their_usual_names(tmp_path, energy, forces):
    ase.io.write(tmp_path / "a.extxyz", labelled(**{energy: -6.0, forces: np.ones((2, 3))}), format="extxyz")
    (known,) = reading.read_labels(tmp_path / "a.extxyz").values()
    assert known["energy"] == -6
    np.testing.assert_array_equal(known["forces"], np.ones((2, 3)))


def test_labels_that_are_not_numbers_are_missing(tmp_path):
    part = np.array([[1.0, 2, 3], [np.nan] * 3])
    frames = [
        labelled(energy=-6.0, forces=np.full((2, 3), np.nan)),
        labelled(energy=np.nan, REF_forces=part),
        labelled(),
    ]
    frames[1].positions += 0.1
    ase.io.write(tmp_path / "a.extxyz", frames)
    first, second = reading.read_labels(tmp_path / "a.extxyz").values()
    assert list(first) == ["energy"]
    assert list(second) == ["forces"]
    np.testing.assert_array_equal(second["forces"], part)
    ase.io.write(tmp_path / "b.extxyz", labelled(bandgap=1.0, energy=np.nan))
    with pytest.raises(InputError, match=r"got the names bandgap, energy; .* sought \(energy: REF_energy, "):
        reading.read_labels(tmp_path / "b.extxyz")


def test_the_reference_is_preferred_to_another_label(tmp_path):
    ase.io.write(tmp_path / "a.extxyz", labelled(energy=-1.0, REF_energy=-6.0))
    (known,) = reading.read_labels(tmp_path / "a.extxyz").values()
    assert known == {"energy": -6.0}
