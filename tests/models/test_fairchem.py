"""fairchem's eSEN and UMA, with random weights in the real architectures, in its own environment (`in_fairchem.py`)."""

import inside
import pytest
from platonic_adapters import registry

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return inside.seen("uma-s-1p1", "in_fairchem.py", tmp_path_factory.mktemp("fairchem"), PLATONIC_TRUST="1")


@pytest.mark.parametrize(
    ("spelling", "name", "task"),
    [
        ("uma-s-1p1", "uma-s-1p1", "omat"),
        ("uma-s-1p1?task=omat", "uma-s-1p1", "omat"),
        ("uma-s-1p1?task=omc", "uma-s-1p1?task=omc", "omc"),
        ("esen-sm-conserving-all-omol", "esen-sm-conserving-all-omol", "omol"),
    ],
)
def test_the_task_is_part_of_the_name(spelling, name, task):
    spec = registry.resolve(spelling)
    assert (spec.name, spec.options) == (name, {"task": task})


def test_rows_are_the_scalars_of_the_librarys_embedding(seen):
    assert seen["layers"] == {**{f"layer{i}": 128 for i in range(4)}, "node_embedding": 128}
    assert seen["parameters"] == 6_310_785
    assert seen["tasks"] == ["omol", "omat", "omc"]
    assert max(away["rows"] for away in seen["away"].values()) < TOLERANCE
    assert seen["task_moves"] > 100 * TOLERANCE


def test_properties_are_those_of_the_predict_unit(seen):
    assert seen["largest_force"] > 1e-3  # else the comparison says nothing
    assert set(seen["away"]["uma"]) == {"energy", "forces", "stress", "rows"}
    assert max(x for away in seen["away"].values() for x in away.values()) < TOLERANCE


@pytest.mark.parametrize("which", ["esen", "uma"])
def test_rows_are_invariant(seen, which):
    deviations = inside.deviations(seen["self_test"][which])
    assert max(deviations.values()) < TOLERANCE, deviations


def test_charge_and_spin_reach_the_models_of_molecules(seen):
    assert seen["charged"] == [True, False]
    assert seen["charge_moves"] > 1e-3  # and agree with the library: "away" is of ions


def test_the_same_batch_gives_the_same_bits(seen):
    assert seen["same_bits"]


def test_refusals_are_one_sentence(seen):
    assert seen["redrawn"] == ["random weights, seed 3, in the architecture of esen-sm-direct-all-omol", 128]
    assert "gives no stress; leave it out of `--properties`." in seen["no_stress"]
    assert "has no task `omat`; it has omol" in seen["no_task"]
    assert "broken.pt` is not a fairchem checkpoint" in seen["broken"]
    assert seen["offline"].startswith("DownloadError: uma-s-1p2p1 needs `uma-s-1p2p1.pt`, published by FAIR")
    assert seen["offline"].endswith("fetch it elsewhere and pass it as `fairchem:uma-s-1p2p1@PATH`.")
