"""MatterSim, with random weights in the real architectures, in its own environment (`in_mattersim.py`)."""

import inside
import pytest

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return inside.seen("mattersim-1m", "in_mattersim.py", tmp_path_factory.mktemp("mattersim"))


def test_architectures_have_the_size_of_the_published_ones(seen):
    assert seen["layers"] == {"layer0": 128, "layer1": 128, "layer2": 128}
    assert seen["parameters"] == [890_034, 4_548_930]


def test_the_energy_is_the_librarys_read_out_of_the_rows(seen):
    assert seen["readout"] < 1e-4


def test_properties_are_those_of_the_library(seen):
    assert seen["largest_force"] > 1e-4  # else the comparison says nothing
    assert seen["away"]["energy"] < TOLERANCE
    assert seen["away"]["forces"] < 1e-7
    assert seen["away"]["stress"] < 1e-7


def test_rows_are_invariant(seen):
    deviations = inside.deviations(seen["self_test"])
    assert max(deviations.values()) < TOLERANCE, deviations


def test_refusals_are_one_sentence(seen):
    assert "broken.pth` is not a MatterSim checkpoint" in seen["broken"]
    assert seen["redrawn"].startswith("random weights, seed 2")
    assert seen["offline"].startswith(
        "DownloadError: mattersim-5m needs `mattersim-v1.0.0-5M.pth`, published by Microsoft"
    )
    assert seen["offline"].endswith("fetch it elsewhere and pass it as `mattersim:PATH`.")
