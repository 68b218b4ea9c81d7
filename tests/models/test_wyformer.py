"""WyFormer, with published weights where they are at hand, in its own environment (`in_wyformer.py`)."""

from pathlib import Path

import inside
import pytest

SHARED = Path(__file__).parents[3] / "shared"
DATA = [SHARED / "weights/wyformer", SHARED / "data/main/ci_500.extxyz.gz"]
TOLERANCE = 1e-5
pytestmark = pytest.mark.skipif(
    not all(path.exists() for path in DATA), reason="no weights of WyFormer, or no crystals of MP-20, in shared"
)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return inside.seen("wyformer-mp-20", "in_wyformer.py", SHARED, tmp_path_factory.mktemp("wyformer"))


def test_a_published_folder_is_that_model(seen):
    assert seen["name"] == "wyformer-mp-20"
    assert seen["layers"] == dict.fromkeys(["embedding", "layer0", "layer1", "layer2", "readout"], 40)
    assert (seen["parameters"], seen["elements"]) == (128_083, 89)


def test_the_network_predicts_the_orbits_of_real_crystals(seen):
    """So tokens, masks and heads are those of the training: untrained, or by frequencies alone, it is far worse."""
    trained, untrained, unigram = (seen["likelihood"][name] for name in ("trained", "untrained", "unigram"))
    assert 1.5 * trained < unigram < untrained


def test_all_atoms_of_an_orbit_have_its_row(seen):
    descriptions, orbits = seen["orbits"]
    assert descriptions == [2, 3]  # two origins, three orbits
    assert len(set(orbits[2:])) == 1
    assert sorted({orbits[0], orbits[1], orbits[2]}) == [0, 1, 2]
    assert seen["distinct"] == [3] * 5


def test_rows_depend_neither_on_the_origin_nor_on_the_cell(seen):
    assert seen["origin"] < TOLERANCE
    assert seen["supercell"] < TOLERANCE
    deviations = inside.deviations(seen["self_test"])
    assert max(deviations.values()) < TOLERANCE, deviations


def test_random_weights_are_others_and_those_of_their_seed(seen):
    again, other_seed, real = seen["random"]["apart"]
    assert again == 0
    assert min(other_seed, real) > 0.1
    assert seen["random"]["hashes"]


def test_what_has_no_tokens_is_left_out_with_the_reason(seen):
    assert seen["kept"] == 2
    assert seen["skipped"]["slab"] == "it needs a crystal, periodic in all three directions"
    assert seen["skipped"]["low"] == "it has more Wyckoff orbits than any crystal of the training data, 20"


def test_refusals_are_one_sentence(seen):
    assert "WyFormer generates crystals and has no energy; leave `--properties` out." in seen["energy"]
    assert "broken` is not a WyFormer checkpoint that can be loaded" in seen["broken"]
    assert "part` has no file `wyckoff_processor.json.gz`." in seen["part"]
    assert "must be a folder with `best_model_params.pt` and `wyckoff_processor.json.gz`." in seen["file"]
    assert seen["offline"].startswith(
        "DownloadError: wyformer-mp-20 needs `ioi8tycx`, published by its authors at https:"
    )
    assert seen["offline"].endswith("(OSError: no network); fetch it elsewhere and pass it as `wyformer:PATH`.")
