"""CGCNN and Crystal Twins, with published weights where they are at hand, in their own environment (`in_cgcnn.py`)."""

from pathlib import Path

import inside
import pytest

WEIGHTS = Path(__file__).parents[3] / "shared/weights"
TOLERANCE = 1e-5
TWINS = ["crystal-twins", *(f"crystal-twins-epoch-{n}" for n in (1, 5, 10, 19))]
PROPERTIES = ["cgcnn-final-energy", "cgcnn-formation-energy", "cgcnn-band-gap"]
pytestmark = pytest.mark.skipif(
    not (WEIGHTS / "cgcnn").exists(), reason="no weights of CGCNN in shared/weights/cgcnn and crystal-twins"
)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return inside.seen("cgcnn-band-gap", "in_cgcnn.py", WEIGHTS, tmp_path_factory.mktemp("cgcnn"))


@pytest.mark.parametrize(
    ("model", "crystal", "value"),
    [
        ("cgcnn-final-energy", "MgO", -6.014),
        ("cgcnn-formation-energy", "MgO", -3.066),
        ("cgcnn-formation-energy", "NaCl", -2.115),
        ("cgcnn-band-gap", "MgO", 3.963),
    ],
)
def test_predictions_are_those_of_the_original(seen, model, crystal, value):
    assert seen["models"][model]["checks"][crystal] == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize("name", [*PROPERTIES, *TWINS])
def test_a_published_file_is_that_model_and_its_rows_are_invariant(seen, name):
    model = seen["models"][name]
    assert model["name"] == name
    convolutions = 4 if name in PROPERTIES else 3
    assert model["widths"] == dict.fromkeys(["embedding", *(f"layer{i}" for i in range(convolutions))], 64)
    deviations = inside.deviations(model["self_test"])
    assert max(deviations.values()) < TOLERANCE, deviations


def test_a_shell_that_is_cut_counts_in_parts_whatever_the_order_of_atoms(seen):
    assert seen["shares"] == [0.666667, 1.0]  # four places for six atoms at the same distance
    assert seen["places"] == pytest.approx(12)
    assert max(seen["equal"].values()) < TOLERANCE


def test_only_the_model_of_energies_has_an_energy(seen):
    magnesia, salt = seen["energies"]
    assert magnesia == pytest.approx(2 * seen["models"]["cgcnn-final-energy"]["checks"]["MgO"])
    assert salt == pytest.approx(16 * -3.3, rel=0.1)
    refusals = [seen["models"][name]["energy"] for name in ("cgcnn-band-gap", "crystal-twins")]
    assert "`band-gap.pth.tar` predicts band_gap, not energy; leave `--properties` out." in refusals[0]
    assert "`barlow.pth` predicts nothing that is stated, not energy" in refusals[1]


def test_random_weights_are_others_and_those_of_their_seed(seen):
    again, other_seed, real = seen["random"]["apart"]
    assert again == 0
    assert min(other_seed, real) > 0.1
    assert seen["random"]["hashes"]
    assert seen["finite"]  # also of a lone atom, without neighbours
    assert seen["parameters"] == [96_641, 130_240]


def test_refusals_are_one_sentence(seen):
    assert "broken.pth` is not a CGCNN checkpoint that can be loaded" in seen["broken"]
    assert "other.pth` is not a CGCNN checkpoint that can be loaded" in seen["other"]
    assert seen["offline"].startswith("DownloadError: crystal-twins-epoch-5 needs `barlow-epoch-5.pth`, published by")
    assert seen["offline"].endswith("(OSError: no network); fetch it elsewhere and pass it as `cgcnn:PATH`.")
