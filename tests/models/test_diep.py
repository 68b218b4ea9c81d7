"""DIEP in its own environment (`in_diep.py`)."""

import inside
import pytest
from platonic_adapters import registry

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return inside.seen("diep-matpes-r2scan", "in_diep.py", tmp_path_factory.mktemp("diep"))


def test_rows_and_properties_are_the_librarys(seen):
    away = seen["away"]
    assert min(seen["largest"].values()) > 1e-2  # else the comparison says nothing
    assert away["rows"] < 1e-4  # its geometry is in float32
    assert away["energy"] < 1e-4
    assert away["forces"] < 1e-3
    assert away["stress"] < 1e-3


def test_layers_are_the_atoms_behind_each_block(seen):
    assert seen["layers"] == {f"layer{i}": 64 for i in range(3)}
    assert seen["parameters"] == registry.resolve("diep-matpes-r2scan").model.parameters
    assert seen["finite"]
    assert seen["alone"] < TOLERANCE


def test_rows_are_invariant(seen):
    deviations = inside.deviations(seen["self_test"])
    assert max(deviations.values()) < TOLERANCE, deviations


def test_distances_that_differ_by_the_tolerance_of_ties_are_ordered_alike_however_a_molecule_lies(seen):
    assert seen["turned"] < TOLERANCE


def test_a_folder_of_ones_own_is_read_and_random_weights_are_those_of_their_seed(seen):
    assert seen["name"] == "diep-matpes-r2scan"
    assert seen["random"]["hashes"]
    same, other_seed, real = seen["random"]["apart"]
    assert same == 0
    assert min(other_seed, real) > 0.1


def test_a_network_of_another_kind_is_refused_in_one_sentence(seen):
    assert "must hold a DIEP of triplets in canonical frames on a grid, as diep_fold1 is." in seen["refused"]
