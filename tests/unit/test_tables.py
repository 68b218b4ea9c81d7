"""Rows that cannot drift."""

import dataclasses
import sys
import types

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from platonic_adapters.structures import Structures

from platonic_jax.tables import (
    EmbeddingTable,
    as_tables,
    check_memory,
    element_baseline,
    is_bare,
    one_per_orbit,
    pair,
    read_labels,
)


def crystals(*, shift=0.0):
    cells = [bulk("NaCl", "rocksalt", a=5.64), bulk("Cu", cubic=True), bulk("SiC", "zincblende", a=4.36)]
    cells[1].positions[2, 0] += shift
    return cells


def table(cells, ids=("salt", "copper", "carbide"), *, model="a", width=4, skipped=()):
    structures = Structures.from_atoms(cells, list(ids))
    x = np.random.default_rng(0).normal(size=(len(structures.species), width))
    made = EmbeddingTable.from_arrays(
        x, structures.species, structures.structure_index, structures=structures, model=model
    )
    return dataclasses.replace(made, skipped=skipped)


def test_from_arrays_counts_atoms_within_structures():
    made = table(crystals())
    assert made.atom_index.tolist() == [0, 1, 0, 1, 2, 3, 0, 1]
    assert (made.num_structures, made.model, made.kind, made.x.dtype) == (3, "a", "model", np.float32)


def test_select_keeps_what_each_row_is():
    made = table(crystals())
    chosen = made.select(made.species == 29)
    assert chosen.structure_index.tolist() == [1] * 4
    assert chosen.structure_name(int(chosen.structure_index[0])) == "copper"
    np.testing.assert_array_equal(chosen.x, made.x[2:6])


def test_pair_returns_equal_tables_unchanged():
    a, b = table(crystals(), model="a"), table(crystals(), model="b", width=7)
    assert pair(a, b) == [a, b]


def test_the_last_bits_of_a_parser_make_no_other_structure():
    a, b = table(crystals()), table(crystals(shift=1e-9), model="b")
    assert a.structures.hashes[1] != b.structures.hashes[1]
    assert pair(a, b) == [a, b]


def test_pair_leaves_out_what_one_model_skipped():
    a = table(crystals())
    gone = {"id": "copper", "hash": a.structures.hashes[1], "reason": "Cu is unknown to b"}
    b = table(crystals()[::2], ["salt", "carbide"], model="b", skipped=[gone])
    left, right = pair(a, b)
    assert left.structures.ids == right.structures.ids == ["salt", "carbide"]
    np.testing.assert_array_equal(left.x, a.x[[0, 1, 6, 7]])
    np.testing.assert_array_equal(left.structure_index, right.structure_index)
    assert left.structure_index.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("cells", "ids", "message"),
    [
        (crystals()[:2], ["salt", "copper"], "first difference at structure 2: 'carbide' stands in one of them alone"),
        (crystals(shift=0.1), None, "first difference at structure 1: 'copper', whose atom 2 is displaced by 0.1 Å"),
        ([crystals()[0], bulk("Ag", cubic=True), crystals()[2]], None, "'copper', whose atom 0 is Cu and Ag"),
        ([crystals()[0], bulk("Cu"), crystals()[2]], None, "'copper', with 4 and 1 atoms"),
        ([crystals()[0], bulk("Cu", cubic=True, a=3.7), crystals()[2]], None, "'copper', whose cells differ by"),
        (crystals()[::-1], ["carbide", "copper", "salt"], "structure 0: 'salt' and 'carbide', whose atom 0 is Na and"),
    ],
)
def test_pair_says_what_differs_first(cells, ids, message):
    a, b = table(crystals()), table(cells, ids or ["salt", "copper", "carbide"], model="b")
    with pytest.raises(ValueError, match="the rows of a and b must be the same atoms") as caught:
        pair(a, b)
    assert message in str(caught.value)


def test_pair_of_bare_arrays_compares_the_rows_themselves():
    x = np.ones((4, 2))
    a = EmbeddingTable.from_arrays(x, [1, 1, 8, 8], [0, 0, 0, 1])
    b = EmbeddingTable.from_arrays(x, [1, 8, 8, 8], [0, 0, 0, 1])
    with pytest.raises(ValueError, match=r"`species` 1 and 8 at row 1 \(structure 0, atom 1\)"):
        pair(a, b)


def test_symmetry_copies_are_counted_once():
    cells = [bulk("NaCl", "rocksalt", a=5.64, cubic=True), bulk("Cu", cubic=True)]
    once = one_per_orbit(table(cells, ids=("salt", "copper")))
    assert once.species.tolist() == [11, 17, 29]
    assert (once.structure_index.tolist(), once.atom_index.tolist()) == ([0, 0, 1], [0, 1, 0])
    assert once.provenance["atoms"] == "one per symmetry orbit: 3 of 12"
    with pytest.raises(ValueError, match="must bring its structures"):
        one_per_orbit(EmbeddingTable.from_arrays(np.eye(2), [1, 1], [0, 0]))


@pytest.mark.parametrize(
    ("x", "species", "index", "message"),
    [
        (np.ones((2, 2)), [1], [0, 0], "`species` must have one entry a row"),
        (np.ones((2, 2)), [1, 1], [1, 0], "`structure_index` must not decrease, got 0 after 1 at row 1"),
        (np.array([[1.0], [np.nan]]), [1, 1], [0, 0], "`x` must be finite, got 1 rows that are not, first row 1"),
        (np.ones((0, 2)), [], [], "`x` must have at least one row"),
    ],
)
def test_bad_arrays_are_refused_where_the_table_is_built(x, species, index, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingTable.from_arrays(x, species, index)


def test_a_mask_that_is_no_mask_is_refused():
    with pytest.raises(ValueError, match="`mask` must be 8 booleans"):
        table(crystals()).select(np.array([0, 1]))


def test_the_element_baseline_knows_the_element_and_nothing_else():
    made = element_baseline(table(crystals()))
    assert (made.kind, made.x.shape) == ("element", (8, 5))
    same = made.species[:, None] == made.species[None]
    np.testing.assert_array_equal(made.x @ made.x.T, same)


def test_predicted_properties_follow_the_rows():
    made = dataclasses.replace(
        table(crystals()), properties={"forces": np.arange(24.0).reshape(8, 3), "energy": np.arange(3.0)}
    )
    np.testing.assert_array_equal(made.select(made.species == 6).properties["forces"], [[21.0, 22.0, 23.0]])
    gone = {"id": "copper", "hash": made.structures.hashes[1], "reason": "Cu is unknown to b"}
    b = table(crystals()[::2], ["salt", "carbide"], model="b", skipped=[gone])
    common, _ = pair(made, b)
    np.testing.assert_array_equal(common.properties["energy"], [0, 2])
    np.testing.assert_array_equal(common.properties["forces"][:, 0], [0, 3, 18, 21])
    with pytest.raises(ValueError, match="`properties` must be among forces, energy, stress, got 'charge'"):
        dataclasses.replace(made, properties={"charge": np.zeros(8)})
    with pytest.raises(ValueError, match=r"`properties\['forces'\]` must have one entry a row, got 3 for 8 rows"):
        dataclasses.replace(made, properties={"forces": np.zeros((3, 3))})


def test_labels_are_found_by_the_content_of_structures(tmp_path):
    known = [atoms.copy() for atoms in crystals()[::-1]]  # In another order, under other names.
    for i, atoms in enumerate(known[:2]):
        forces = np.full((len(atoms), 3), i + 0.5)
        atoms.calc = SinglePointCalculator(atoms, energy=-float(i), **({"forces": forces} if i else {}))
    write(tmp_path / "dft.extxyz", known)
    found = read_labels(tmp_path / "dft.extxyz", table(crystals()))
    np.testing.assert_array_equal(found["energy"], [np.nan, -1, 0])
    np.testing.assert_array_equal(found["forces"][:, 0], [np.nan] * 2 + [1.5] * 4 + [np.nan] * 2)
    part = table(crystals()).select(table(crystals()).species == 29)
    np.testing.assert_array_equal(read_labels(tmp_path / "dft.extxyz", part)["forces"], np.full((4, 3), 1.5))
    with pytest.raises(ValueError, match="which has none of them: give the file that was embedded"):
        read_labels(tmp_path / "dft.extxyz", table([bulk("Ag")], ["silver"]))
    write(tmp_path / "bare.extxyz", crystals())
    with pytest.raises(ValueError, match="must bring energies or forces of its structures, got none"):
        read_labels(tmp_path / "bare.extxyz", table(crystals()))
    with pytest.raises(ValueError, match="`table` must bring its structures"):
        read_labels(tmp_path / "dft.extxyz", EmbeddingTable.from_arrays(np.ones((1, 1)), [1], [0]))


def test_a_table_is_indexed_as_numpy_indexes_its_rows():
    made = table(crystals())
    assert len(made) == 8
    for atoms in (3, slice(2, 5), [0, 7], made.species == 29):
        np.testing.assert_array_equal(made[atoms].x, np.atleast_2d(made.x[atoms]))
    assert made[[0, 7]].structure_name(int(made[[0, 7]].structure_index[1])) == "carbide"
    with pytest.raises(ValueError, match="takes rising numbers of atoms"):
        made[[3, 1]]
    with pytest.raises(IndexError):
        made[8]


def test_a_frame_and_an_anndata_hold_every_atom(monkeypatch):
    made = table(crystals())
    frame = made.to_frame()
    assert frame["structure"].tolist() == ["salt"] * 2 + ["copper"] * 4 + ["carbide"] * 2
    assert frame["element"].tolist() == ["Na", "Cl", *["Cu"] * 4, "Si", "C"]
    np.testing.assert_array_equal(frame[[f"x{i}" for i in range(4)]].to_numpy(), made.x)
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(ImportError, match="needs the package anndata: pip install anndata"):
        made.to_anndata()
    monkeypatch.setitem(sys.modules, "anndata", types.SimpleNamespace(AnnData=lambda **given: given))
    given = made.to_anndata()
    np.testing.assert_array_equal(given["X"], made.x)
    assert given["obs"].index.tolist() == [str(i) for i in range(8)]
    assert given["uns"]["model"] == "a"


def test_species_may_be_symbols():
    made = EmbeddingTable.from_arrays(np.eye(3), ["Na", "Cl", "U"], [0, 0, 1])
    assert made.species.tolist() == [11, 17, 92]
    with pytest.raises(ValueError, match="atomic numbers or chemical symbols, got 'Xx'"):
        EmbeddingTable.from_arrays(np.eye(3), ["Na", "Xx", "U"], [0, 0, 1])


def test_what_is_no_table_is_one_sentence(as_users_call):
    made = table(crystals())
    for call in (lambda: pair(made, "b.zarr"), lambda: check_memory([made.x], "the drift", copies=1)):
        with pytest.raises(TypeError, match="expected embedding tables, got .*: read a store with"):
            call()
    with pytest.raises(TypeError, match=r"got str 'a.zarr' for array 1: read a store with `platonic_jax.load` first"):
        as_tables(["a.zarr", "b.zarr"])
    with pytest.raises(TypeError, match="must be a list of embedding tables or of arrays, got EmbeddingTable"):
        as_tables(made)
    assert [one.model for one in as_tables({"a": made.x, "b": made.x})] == ["a", "b"]
    assert [is_bare(one) for one in as_tables([made, made.x])] == [False, True]
