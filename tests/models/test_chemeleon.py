"""Chemeleon-DNG, with random weights in the real architectures, in its own environment (`in_chemeleon.py`)."""

import inside
import pytest
from platonic_adapters import registry
from platonic_adapters.errors import UserError

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return inside.seen(
        "chemeleon-dng-mp20", "in_chemeleon.py", tmp_path_factory.mktemp("chemeleon"), PLATONIC_TRUST="1"
    )


@pytest.mark.parametrize(
    ("spelling", "name", "time"),
    [
        ("chemeleon-dng-mp20", "chemeleon-dng-mp20", "0"),
        ("chemeleon-dng-mp20?t=0", "chemeleon-dng-mp20", "0"),
        ("chemeleon-dng-mp20?t=10", "chemeleon-dng-mp20?t=10", "10"),
        ("random:chemeleon-dng-mp20?t=10", "random:chemeleon-dng-mp20?seed=0&t=10", "10"),
        ("random:chemeleon-dng-mp20?t=10&seed=2", "random:chemeleon-dng-mp20?seed=2&t=10", "10"),
    ],
)
def test_the_diffusion_time_is_part_of_the_name(spelling, name, time):
    spec = registry.resolve(spelling)
    assert (spec.name, spec.options) == (name, {"t": time})


@pytest.mark.parametrize("name", ["7net-0?t=1", "chemeleon-dng-mp20?seed=1", "random:7net-0?sed=1"])
def test_an_option_that_a_model_has_not_is_refused(name):
    with pytest.raises(UserError, match="is not an option of"):
        registry.resolve(name)


def test_rows_are_the_node_features_of_the_library_at_the_recorded_time(seen):
    assert seen["layers"] == {**{f"layer{i}": 512 for i in range(6)}, "node_features": 512}
    assert seen["library"] < 1e-6
    assert seen["time"] == [0, 100]
    assert seen["time_moves"] > 0.1


def test_rows_are_invariant_but_depend_on_the_cell(seen):
    deviations = inside.deviations(seen["self_test"], but=["supercell"])
    assert max(deviations.values()) < TOLERANCE, deviations
    assert min(seen["supercell_moves"], seen["self_test"]["supercell"]) > 100 * TOLERANCE


def test_weights_are_redrawn_from_the_seed(seen):
    assert seen["repeatable"]
    assert seen["redrawn"].startswith("random weights, seed 2")


def test_refusals_are_one_sentence(seen):
    assert "has no energy or forces; leave `--properties` out." in seen["properties"]
    assert seen["too_late"] == "UserError: the diffusion time `t` must be a whole number from 0 to 256, got 257."
    assert "periodic in all three directions" in seen["molecule"]
    assert seen["offline"].startswith("DownloadError: chemeleon-dng-mp20 needs `chemeleon_dng_mp_20_v0.0.2.ckpt`")
    assert seen["offline"].endswith("pass it as `chemeleon:PATH`.")
