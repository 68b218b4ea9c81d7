"""The record of structures: laid out flat, hashed, selected, handed out as atoms."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from platonic_adapters.structures import Structures, content_hash, wrapped


def crystals():
    return [bulk("NaCl", "rocksalt", a=5.64), bulk("Cu", cubic=True), bulk("Ti"), molecule("H2O")]


def laid_out(frames):
    return Structures.from_atoms(frames, [f"structure:{i}" for i in range(len(frames))])


def test_content_hash_is_the_documented_one():
    atoms = bulk("Cu")
    numbers = [29.0, *atoms.positions.ravel(), *atoms.cell.array.ravel(), 1.0, 1.0, 1.0]
    expected = hashlib.sha256(np.array(numbers, dtype="<f8").tobytes()).hexdigest()
    assert content_hash(atoms) == expected
    atoms.positions = -atoms.positions  # -0.0
    assert content_hash(atoms) == expected
    atoms.positions[0, 0] = np.nextafter(0, 1)
    assert content_hash(atoms) != expected


def test_select_takes_masks_slices_and_indices():
    found = laid_out(crystals())
    assert found.select(np.array([False, True, False, True])).formulas == ["Cu4", "H2O"]
    assert found.select([2, 0]).atoms(1) == crystals()[0]
    assert found.select(slice(1)).hashes == found.hashes[:1]
    assert found.structure_index.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3]


def test_repeated_ids_become_unique():
    frames = [Atoms("H", positions=[[x, 0, 0]]) for x in range(4)]
    assert Structures.from_atoms(frames, ["a", "a", "a:1", "a"]).ids == ["a", "a:2", "a:1", "a:3"]


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 0, 1), (0, 0, 0)])
def test_atoms_far_outside_the_cell_are_wrapped_along_periodic_directions(pbc):
    """Those inside or in the next cells keep every bit."""
    rng = np.random.default_rng(0)
    plain = Atoms("NaClNaCl", scaled_positions=rng.uniform(-0.4, 1.4, (4, 3)), cell=[[5, 0, 1], [2, 6, 0], [0, 1, 7]])
    plain.pbc = pbc
    moved = plain.copy()
    moved.positions[1:3] += (rng.integers(-2000, 2000, (2, 3)) * plain.pbc) @ plain.cell.array
    np.testing.assert_array_equal(wrapped(plain).positions, plain.positions)
    inside = wrapped(moved)
    np.testing.assert_array_equal(inside.positions[[0, 3]], plain.positions[[0, 3]])
    apart = (inside.positions - plain.positions) @ np.linalg.inv(plain.cell.array)
    np.testing.assert_allclose(apart, np.round(apart), atol=1e-9)
    assert np.abs(apart).max() < 3


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, json, platonic_adapters as p; {}; print(json.dumps([m for m in {} if m in sys.modules]))"
    heavy = ["torch", "jax", "zarr", "ase", "numpy"]
    for touch, expected in (("p.__version__", []), ("p.store", ["zarr", "numpy"])):
        done = subprocess.run([sys.executable, "-c", code.format(touch, heavy)], capture_output=True, check=True)
        assert json.loads(done.stdout) == expected
