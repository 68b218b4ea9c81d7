"""Models of matgl, with published weights where they are at hand, in their own environment (`in_matgl.py`)."""

from pathlib import Path

import inside
import pytest
from platonic_adapters import registry

WEIGHTS = Path(__file__).parents[3] / "shared/weights/matgl"
FOLDERS = {spec.name: WEIGHTS / spec.model.checkpoint for spec in registry.models() if spec.family.name == "matgl"}
TOLERANCE = 1e-5
pytestmark = pytest.mark.skipif(not WEIGHTS.exists(), reason="no weights of matgl in shared/weights/matgl")
every_model = pytest.mark.parametrize("name", FOLDERS)
both_networks = pytest.mark.parametrize("name", ["tensornet-matpes-pbe", "m3gnet-matpes-pbe"])


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return inside.seen("m3gnet-matpes-pbe", "in_matgl.py", WEIGHTS, tmp_path_factory.mktemp("matgl"))


@every_model
def test_a_published_folder_is_that_model(name):
    assert registry.resolve(f"matgl:{FOLDERS[name]}").name == name
    assert registry.resolve(f"random:matgl:{FOLDERS[name]}").name == f"random:{name}?seed=0"


@every_model
def test_published_weights_give_the_published_energies_and_every_layer(seen, name):
    found = seen["models"][name]  # loaded, so the energies of known crystals are right
    assert found["energies"] == ["MgO", "NaCl", "Si"]
    assert found["parameters"] == registry.resolve(name).model.parameters
    tensors = {"embedding": 384, "layer0": 384, "layer1": 384, "readout": 128}
    assert found["layers"] == (tensors if "tensor" in name else {f"layer{i}": 64 for i in range(3)})
    assert found["default"] == list(found["layers"])[-1]
    assert found["finite"]
    assert found["alone"] < TOLERANCE  # also beside an atom without neighbours and one without angles


@every_model
def test_rows_are_invariant(seen, name):
    deviations = inside.deviations(seen["models"][name]["self_test"])
    assert max(deviations.values()) < TOLERANCE, deviations


def test_the_interactions_of_dgl_hand_on_nothing_of_other_atoms(seen):
    reach = seen["reach"]
    assert reach.pop("tensornetdgl-matpes-pbe") == 0
    assert min(reach.values()) > 2e-5


@both_networks
def test_by_the_librarys_convention_everything_is_as_in_the_library(seen, name):
    away = seen["library"][name]
    assert min(away["largest"].values()) > 1e-3  # else the comparison says nothing
    assert away["rows"] < TOLERANCE
    assert away["energy"] < 1e-4
    assert away["forces"] < 1e-4
    assert away["stress"] < 1e-5


@both_networks
def test_published_weights_are_refused_by_another_convention(seen, name):
    forced = seen["forced"][name]
    assert forced.startswith(
        f"ExportError: {name}?convention=3 is refused: with the matgl installed here it gives NaCl"
    )
    assert "so its weights are used by another convention than they were trained by" in forced


def test_a_file_of_ones_own_says_its_convention_or_is_asked_for_it(seen):
    assert seen["own"]["tensornet"] < 1e-3  # the energy of its origin
    assert seen["own"]["tensornetdgl"] < 1e-3
    assert "does not tell which version of matgl its M3GNet was trained with; write" in seen["own"]["asked"]
    assert seen["own"]["m3gnet"] < 1e-3
    assert seen["own"]["unknown"].endswith("must be auto, 2, 3 or dgl, got `4`.")


def test_random_weights_are_others_and_those_of_their_seed(seen):
    for drawn in seen["random"]:
        assert drawn["hashes"]
        same, other_seed, real = drawn["apart"]
        assert same == 0
        assert min(other_seed, real) > 0.1
    assert all(seen["by_path"])  # whether the architecture is that of the name or that of the file


def test_refusals_are_one_sentence(seen):
    assert "must hold a TensorNet or M3GNet, got Popen." in seen["refusals"]["class"]
    assert "is not a matgl checkpoint that can be loaded" in seen["refusals"]["broken"]
    offline = seen["refusals"]["offline"]
    assert offline.startswith("DownloadError: tensornet-matpes-pbe needs `TensorNet-MatPES-PBE-v2025.1-PES`, published")
    assert offline.endswith("(OSError: no network); fetch it elsewhere and pass it as `matgl:PATH`.")
