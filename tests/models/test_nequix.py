"""Nequix, with published weights where they are at hand, in its own environment (`in_nequix.py`)."""

from pathlib import Path

import inside
import pytest
from platonic_adapters import registry

WEIGHTS = Path(__file__).parents[3] / "shared/weights/nequix"
TOLERANCE = 1e-5
needs_weights = pytest.mark.skipif(not WEIGHTS.exists(), reason="no weights of Nequix in shared/weights/nequix")


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    # Most of the time goes into compiling, which need not optimise for so little.
    quick = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
    folder = tmp_path_factory.mktemp("nequix")
    return inside.seen("nequix-mp-1", "in_nequix.py", WEIGHTS / "nequix-mp-1.nqx", folder, **quick)


@needs_weights
@pytest.mark.parametrize("name", ["nequix-mp-1", "nequix-omat-1"])
def test_a_published_file_is_that_model(name):
    assert registry.resolve(f"nequix:{name}@{WEIGHTS / name}.nqx").name == name


@needs_weights
def test_layers_are_the_scalars_of_each_convolution(seen):
    assert seen["name"] == "nequix-mp-1"
    assert seen["layers"] == {f"layer{i}": 128 for i in range(4)}
    assert seen["finite"]
    assert seen["distinct"] > 0.01


@needs_weights
def test_the_models_own_read_out_of_our_rows_is_its_calculators_energy(seen):
    assert seen["away"]["read_out"] < 1e-4
    assert seen["away"]["arrays"] < 1e-4
    assert seen["away"]["layers"] < 1e-4  # whether or not forces were asked for


@needs_weights
def test_properties_are_those_of_the_calculator(seen):
    assert min(seen["largest"].values()) > 1e-2  # else the comparison says nothing
    assert seen["away"]["energy"] < 1e-4
    assert seen["away"]["forces"] < 1e-4
    assert seen["away"]["stress"] < 1e-5


@needs_weights
def test_rows_are_invariant(seen):
    deviations = inside.deviations(seen["self_test"])
    assert max(deviations.values()) < TOLERANCE, deviations


@needs_weights
def test_random_weights_are_others_and_those_of_their_seed(seen):
    zero, again, one = seen["hashes"]
    assert zero == again != one
    same, other_seed, real = seen["apart"]
    assert same == 0
    assert min(other_seed, real) > 0.1


@needs_weights
def test_refusals_are_one_sentence(seen):
    assert "broken.nqx` is not a Nequix checkpoint that can be loaded" in seen["broken"]
    assert seen["offline"].startswith(
        "DownloadError: nequix-oam-1 needs `nequix-oam-1.nqx`, published by its authors at"
    )
    assert seen["offline"].endswith(
        "(OSError: no network); fetch it elsewhere and pass it as `nequix:nequix-oam-1@PATH`."
    )
