"""HIENet with its published weights, in its own environment (`in_hienet.py`)."""

import inside
import pytest

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return inside.seen("hienet-0", "in_hienet.py", tmp_path_factory.mktemp("hienet"))


def test_the_published_weights_have_their_energies(seen):
    assert seen["energies"] == pytest.approx({"NaCl": -3.386, "MgO": -5.974, "Si": -5.413}, abs=1e-3)
    assert seen["checkpoint"]["name"] == "HIENet-V3.pth"
    assert (seen["parameters"], seen["elements"]) == (7_510_463, 89)


def test_properties_are_those_of_the_librarys_calculator(seen):
    """Which runs in float32 throughout."""
    assert seen["largest"]["forces"] > 0.1  # else the comparison says nothing
    assert seen["library"]["energy"] < 1e-4
    assert seen["library"]["forces"] < 1e-4
    assert seen["library"]["stress"] < TOLERANCE


def test_a_left_handed_cell_does_not_turn_the_stress(seen):
    assert seen["largest"]["stress"] > 1e-3
    assert seen["left_handed"] < 1e-6


def test_embeddings_are_invariant(seen):
    deviations = inside.deviations(seen["self_test"], but=["reflection"])
    assert max(deviations.values()) < TOLERANCE, deviations
    assert TOLERANCE < seen["self_test"]["reflection"] < 1e-2  # irreps without parity


def test_layers_are_those_of_every_block_and_independent_of_the_batch(seen):
    assert seen["widths"] == {"layer0": 384, **{f"layer{i}": 512 for i in range(1, 5)}, "hidden": 256}
    assert seen["shapes"] == seen["widths"]
    assert max(seen["alone"].values()) < TOLERANCE, seen["alone"]


def test_the_readout_makes_the_energy_of_the_default_layer(seen):
    assert seen["readout"] < 1e-4


def test_molecules_and_lone_atoms_have_embeddings(seen):
    assert seen["molecule"] < TOLERANCE
    assert seen["far"] == [True, 0.0]


def test_random_weights_are_others_and_those_of_their_seed(seen):
    (again, other_seed, real), hashes = seen["random"]["apart"], seen["random"]["hashes"]
    assert again == 0
    assert min(other_seed, real) > 0.1
    assert hashes is True


def test_a_file_that_is_no_checkpoint_is_refused_in_one_sentence(seen):
    assert "broken.pth` is not a HIENet checkpoint that can be loaded" in seen["broken"]
