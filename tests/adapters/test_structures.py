"""Structures: every form of input, and every bad one."""

import gzip
import hashlib
import io
import json
import subprocess
import sys

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from platonic_adapters import store, structures
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


@pytest.mark.parametrize("packed", [False, True])
def test_extended_xyz_plain_and_gzipped(tmp_path, packed):
    frames = crystals()
    frames[1].info["material_id"] = "mp-30"
    path = tmp_path / "set.extxyz"
    ase.io.write(path, frames)
    if packed:
        path = tmp_path / "set.extxyz.gz"
        path.write_bytes(gzip.compress((tmp_path / "set.extxyz").read_bytes()))
    found, skipped = structures.read(path)
    assert skipped == []
    assert found.ids == ["set:0", "mp-30", "set:2", "set:3"]
    assert found.formulas == ["NaCl", "Cu4", "Ti2", "H2O"]
    assert_same(found, frames, 1e-7)


@pytest.mark.parametrize(("name", "format_"), [("POSCAR", "vasp"), ("a.cif", "cif"), ("a.xyz", "extxyz")])
def test_files_of_one_structure(tmp_path, name, format_):
    ase.io.write(tmp_path / name, bulk("NaCl", "rocksalt", a=5.64), format=format_)
    found, _ = structures.read(str(tmp_path / name))
    assert (len(found), found.formulas, found.pbc.all()) == (1, ["NaCl"], True)


def test_database_of_ase(tmp_path):
    with ase.db.connect(tmp_path / "set.db") as database:
        for atoms in crystals():
            database.write(atoms)
    assert_same(structures.read(tmp_path / "set.db")[0], crystals())


def test_folder_of_cifs_in_the_order_of_names_skips_a_broken_one(tmp_path):
    for name, atoms in (("b", bulk("Cu")), ("a", bulk("NaCl", "rocksalt", a=5.64))):
        (tmp_path / f"{name}.cif").write_text(cif(atoms))
    (tmp_path / "c.cif").write_text("data_x\n_cell_length_a oops\n")
    found, skipped = structures.read(tmp_path)
    assert found.ids == ["a", "b"]
    assert (skipped[0]["id"], skipped[0]["reason"].startswith("c.cif: its CIF could not be read")) == ("c", True)


def test_csv_skips_a_broken_cif_and_names_its_row(tmp_path):
    whole = cif(bulk("NaCl", "rocksalt", a=5.64))
    cut = "\n".join(whole.strip().split("\n")[:-1])  # one atom short of its formula
    rows = [("mp-1", whole), ("mp-2", "not a cif"), ("mp-3", cut), ("mp-4", cif(bulk("Cu")))]
    quoted = [f'{i},"{text.replace(chr(34), chr(34) * 2)}"' for i, text in rows]
    (tmp_path / "mp20.csv").write_text("\n".join(["material_id,cif", *quoted]) + "\n")
    found, skipped = structures.read(tmp_path / "mp20.csv")
    assert found.ids == ["mp-1", "mp-4"]
    assert [(s["id"], s["reason"].split(":")[0]) for s in skipped] == [("mp-2", "row 2"), ("mp-3", "row 3")]
    assert "its atoms make Na, its formula says" in skipped[1]["reason"]


def test_pymatgen_structures_and_molecules():
    pymatgen = pytest.importorskip("pymatgen.core")
    crystal = pymatgen.Structure(np.eye(3) * 4, ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]], properties={"id": "CsCl"})
    water = pymatgen.Molecule(["O", "H", "H"], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    found, _ = structures.read([crystal, water])
    assert found.ids == ["CsCl", "structure:1"]
    np.testing.assert_array_equal(found.positions[1], [2, 2, 2])
    assert found.pbc.tolist() == [[True] * 3, [False] * 3]
    mixed = pymatgen.Structure(np.eye(3) * 4, [{"Cs": 0.5, "K": 0.5}], [[0, 0, 0]])
    with pytest.raises(InputError, match="partially occupied"):
        structures.read(mixed)


def test_prototypes_are_unique_and_limited_in_size():
    found, skipped = structures.read("prototypes?max_atoms=6")
    assert skipped == []
    assert found.num_atoms.max() == 6
    assert len(set(found.hashes)) == len(set(found.ids)) == len(found) > 50
    assert found.ids[0] == "AB_hP6_154_a_b"
    assert structures.read("prototypes?max_atoms=6")[0].hashes == found.hashes
    with pytest.raises(InputError, match="max_atoms=20"):
        structures.read("prototypes?atoms=6")


def test_structures_travel_through_a_group_unchanged(tmp_path):
    frames = crystals()
    frames[0].positions += 1 / 3
    found, _ = structures.read(frames)
    store.write_structures(
        tmp_path / "s.zarr", found, source="mine", skipped=[{"id": "x", "hash": "", "reason": "why"}]
    )
    again, skipped = structures.read(tmp_path / "s.zarr")
    assert (again.ids, again.hashes, again.formulas) == (found.ids, found.hashes, found.formulas)
    assert_same(again, frames)
    assert skipped[0]["id"] == "x"
    assert structures.describe(tmp_path / "s.zarr") == "mine"
    assert structures.read(tmp_path / "s.zarr", limit=2)[0].ids == found.ids[:2]


def test_content_hash_is_the_documented_one():
    atoms = bulk("Cu")
    numbers = [29.0, *atoms.positions.ravel(), *atoms.cell.array.ravel(), 1.0, 1.0, 1.0]
    expected = hashlib.sha256(np.array(numbers, dtype="<f8").tobytes()).hexdigest()
    assert structures.read(atoms)[0].hashes == [expected]
    atoms.positions = -atoms.positions  # -0.0
    assert structures.read(atoms)[0].hashes == [expected]
    atoms.positions[0, 0] = np.nextafter(0, 1)
    assert structures.read(atoms)[0].hashes != [expected]


def test_select_takes_masks_slices_and_indices():
    found, _ = structures.read(crystals())
    assert_same(found.select(np.array([False, True, False, True])), [crystals()[1], crystals()[3]])
    assert_same(found.select([2, 0]), [crystals()[2], crystals()[0]])
    assert_same(found.select(slice(1)), crystals()[:1])
    assert found.structure_index.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3]


def test_repeated_ids_become_unique():
    frames = [Atoms("H", positions=[[x, 0, 0]], info={"id": i}) for x, i in enumerate(["a", "a", "a:1", "a"])]
    assert structures.read(frames)[0].ids == ["a", "a:2", "a:1", "a:3"]


def test_duplicates_are_refused_skipped_or_kept():
    frames = [bulk("Cu"), bulk("Al"), bulk("Cu"), bulk("Cu")]
    with pytest.raises(
        InputError, match=r"structures 0 \(structure:0\) and 2 \(structure:2\) are identical, .* 2 such"
    ):
        structures.read(frames)
    found, skipped = structures.read(frames, duplicates="skip")
    assert (len(found), [s["reason"] for s in skipped]) == (2, ["identical to structure:0"] * 2)
    assert len(structures.read(frames, duplicates="keep")[0]) == 4


def broken(change):
    atoms = bulk("Cu", cubic=True)
    change(atoms)
    return [bulk("Al"), atoms]


def with_nan(atoms):
    atoms.positions[2, 1] = np.nan


def flat(atoms):
    atoms.cell[2] = atoms.cell[0]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (broken(with_nan), r"structure 1 \(structure:1\) of .* not finite numbers \(atom 2\); correct or remove it"),
        (broken(flat), r"structure 1 \(structure:1\) of .* periodic but its cell has no volume"),
        (Atoms("Cu", pbc=True), "periodic but its cell has no volume"),
        ([], "holds no structures"),
        (Atoms(), "has no atoms"),
        (3, "must be ASE atoms or a pymatgen structure, got int"),
        ("nowhere.xyz", "`nowhere.xyz` does not exist"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(source, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        structures.read(source)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.xyz", b"", "is empty"),
        ("a.xyz.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("a.xyz.gz", b"plainly not gzip", "could not be read"),
        ("a.cif", b"data_x\n", "could not be read"),
        ("a.xyz", b"3\nthree\nH 0 0 0\n", "could not be read"),
        ("a.unheard", b"something", "could not be read"),
        ("a.csv", b"material_id,formula\nmp-1,NaCl\n", r"no `cif` column \(its columns: material_id, formula\)"),
        ("a.csv", b"material_id,cif\nmp-1,x\n", "holds no structures: all 1 were left out, the first because row 1"),
    ],
)
def test_unreadable_files_are_one_sentence(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence) as error:
        structures.read(tmp_path / name)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


def test_a_slab_needs_no_third_vector():
    slab = Atoms("Cu", cell=[[2.5, 0, 0], [0, 2.5, 0], [0, 0, 0]], pbc=[True, True, False])
    assert_same(structures.read(slab)[0], [slab])


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, json, platonic_adapters as p; {}; print(json.dumps([m for m in {} if m in sys.modules]))"
    heavy = ["torch", "jax", "zarr", "ase", "numpy"]
    for touch, expected in (("p.__version__", []), ("p.store", ["zarr", "numpy"])):
        done = subprocess.run([sys.executable, "-c", code.format(touch, heavy)], capture_output=True, check=True)
        assert json.loads(done.stdout) == expected
