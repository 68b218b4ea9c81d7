"""MACE: its name forms, and real architectures with random weights in MACE's own environment (`in_mace.py`)."""

import argparse
import pickle
from pathlib import Path

import inside
import numpy as np
import pytest
from platonic_adapters import cli, environments, registry, store
from platonic_adapters.errors import DownloadError, UserError

TOLERANCE = 1e-5
WEIGHTS = Path(__file__).parents[3] / "shared/weights/mace-solvents"
SOLVENTS = {
    "mace01_swa.model": "mace-solvents-01",
    "mace02_com1_swa.model": "mace-solvents-02-com1",
    "mace02_com2_swa.model": "mace-solvents-02-com2",
    "mace02_com3_swa.model": "mace-solvents-02-com3",
    "mace02_com1_gen1_swa.model": "mace-solvents-02-com1-gen1",
}
needs_weights = pytest.mark.skipif(not WEIGHTS.exists(), reason="no weights of MACE in shared/weights/mace-solvents")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mace")


@pytest.fixture(scope="module")
def seen(folder):
    return inside.seen("mace-mp-0-small", "in_mace.py", folder, WEIGHTS, PLATONIC_TRUST="1")


def test_a_local_file_is_named_by_its_content(tmp_path):
    first, second = tmp_path / "a" / "my.model", tmp_path / "b" / "my.model"
    for path, content in ((first, b"one"), (second, b"two")):
        path.parent.mkdir()
        path.write_bytes(content)
    one, two = (
        registry.resolve(f"{family}:{path}", trust=True) for family, path in (("mace", first), ("MACE", second))
    )
    assert one.name == "mace:my.model#7692c3ad"  # sha256 of b"one"
    assert one.name != two.name
    assert (one.path, one.family.name, one.model.architecture) == (first, "mace", "equivariant, conservative")
    assert registry.resolve(f"random:mace:{first}?seed=2", trust=True).name == "random:mace:my.model#7692c3ad?seed=2"


def test_a_local_file_can_stand_in_for_a_model_without_bearing_its_name_alone(tmp_path):
    path = tmp_path / "fetched.model"
    path.write_bytes(b"one")
    spec = registry.resolve(f"mace:mace-mp-0-small@{path}", trust=True)
    assert spec.name == "mace:mace-mp-0-small@fetched.model#7692c3ad"
    assert spec.model.fine_tuned_from == "mace-mp-0-small"
    assert spec.model.relatives["mace-mp-0-small"] == "fine-tune"
    assert spec.model.training_data == "MPtrj, as far as the file is mace-mp-0-small's own"


def test_a_local_file_with_the_hash_of_a_model_is_that_model(tmp_path, monkeypatch):
    path = tmp_path / "fetched.model"
    path.write_bytes(b"one")
    known = registry.resolve("mace-mp-0-small").model
    content = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    monkeypatch.setitem(registry._registered()[1], known.name, registry.replace(known, sha256=content))
    spec = registry.resolve(f"mace:mace-mp-0-small@{path}")
    assert (spec.name, spec.path, spec.model.training_data) == ("mace-mp-0-small", path, "MPtrj")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mace:/nowhere/x.model", "there is no file `/nowhere/x.model`"),
        ("orb:/nowhere/x.ckpt", "must say whose architecture the file holds, as `orb:NAME@PATH`"),
        ("mace:7net-0@/nowhere/x", "write `sevennet:7net-0@/nowhere/x`"),
    ],
)
def test_a_form_that_cannot_be_is_refused_with_the_fix(name, sentence):
    with pytest.raises(UserError, match="family|file") as error:
        registry.resolve(name)
    assert sentence in str(error.value)


def test_a_download_that_failed_says_the_same_after_it_travelled():
    error = DownloadError("m", "m.model", "a publisher", "mace:PATH", OSError("no network"))
    sentence = "m needs `m.model`, published by a publisher, which could not be downloaded (OSError: no network);"
    assert str(error) == f"{sentence} fetch it elsewhere and pass it as `mace:PATH`."
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_layers_are_the_descriptors_of_the_library(seen):
    assert seen["layers"] == {"layer0": 128, "layer1": 128, "invariants": 256}
    assert seen["parameters"] == 3_847_696
    assert seen["saved"] == 0
    assert seen["descriptors"] < 1e-6
    assert seen["all_descriptors"] < 1e-6


def test_properties_are_those_of_the_library(seen):
    assert seen["largest_force"] > 1e-3  # else the comparison says nothing
    for name in ("energy", "forces", "stress", "energy_alone"):
        assert seen[name] < TOLERANCE


@pytest.mark.parametrize("which", ["self_test", "vector_self_test"])
def test_embeddings_are_invariant(seen, which):
    deviations = {name: x for name, x in seen[which].items() if name != "structures"}
    assert max(deviations.values()) < TOLERANCE, deviations


def test_the_default_layer_feeds_every_readout(seen):
    assert seen["default_layers"] == ["invariants", "layer1", "layer0"]


def test_channels_that_turn_are_left_out(seen):
    assert seen["vector_layers"] == {"layer0": 8, "layer1": 8, "invariants": 16}


@needs_weights
@pytest.mark.parametrize("file", SOLVENTS)
def test_published_weights_are_what_the_librarys_calculator_makes_of_them(seen, file):
    spec, found = registry.resolve(f"mace:{WEIGHTS / file}"), seen["solvents"][file]  # no word of trust is needed
    assert (spec.name, spec.path, spec.trusted) == (SOLVENTS[file], WEIGHTS / file, True)
    assert (found["elements"], found["parameters"]) == ([1, 6, 8], spec.model.parameters)
    assert found["largest_force"] > 1
    for name in ("descriptors", "all_descriptors", "energy", "forces", "energy_alone"):
        assert found[name] < TOLERANCE, name
    deviations = inside.deviations(found["self_test"], but=["supercell"])  # molecules have none
    assert max(deviations.values()) < TOLERANCE, deviations
    assert found["random"]  # the parameters of the control have the same shapes


def test_weights_of_a_local_architecture_are_redrawn(seen):
    name, repeatable, checkpoint = seen["redrawn"]
    assert name.startswith("random:mace:vectors.model#")
    assert name.endswith("?seed=3")
    assert repeatable
    assert checkpoint.startswith("random weights, seed 3")
    assert seen["redrawn_moves"] > 0.01


def test_refusals_are_one_sentence(seen):
    assert "broken.model` is not a MACE checkpoint" in seen["broken"]
    assert "must hold a whole MACE model" in seen["state"]
    assert seen["offline"].startswith(
        "DownloadError: mace-mp-0-large needs `2024-01-07-mace-128-L2_epoch-199.model`, published by ACEsuit at https://"
    )
    assert seen["offline"].endswith("(OSError: no network); fetch it elsewhere and pass it as `mace:PATH`.")
    assert "published by imagdau at https://github.com/imagdau/Tutorials/raw/main/" in seen["offline_elsewhere"]
    assert seen["other_weights"].startswith("ExportError: `small.model` is not the checkpoint of mace-mp-0-small")


def test_a_checkpoint_becomes_a_store(seen, folder):
    parser = argparse.ArgumentParser()
    cli.add_embed_arguments(parser)
    options = [
        "--trust",
        f"mace:{folder / 'small.model'}",
        "prototypes?max_atoms=4",
        "--limit",
        "20",
        "--layers",
        "paper",
    ]
    assert environments.embed(parser.parse_args([*options, "--output", str(folder / "small.zarr")])) == 0
    made = store.open(folder / "small.zarr")
    assert made.provenance["model"] == seen["name"]
    assert made.provenance["checkpoint"] == seen["checkpoint"]
    assert {s["reason"].rsplit(" ", 1)[0] for s in made.skipped} == {f"{seen['name']} does not know"}  # Cf, Po
    assert (len(made.structures), len(made.skipped), made.default_layer) == (18, 2, "invariants")
    assert (list(made.layers), made.provenance["paper_layer"]) == (["layer0", "invariants"], "layer0")
    first, every = made.layer("paper"), made.layer()
    assert (first.shape[1], every.shape[1]) == (128, 256)
    np.testing.assert_array_equal(every[:, :128], first)
    deviations = {name: x for name, x in made.provenance["self_test"].items() if isinstance(x, float)}
    assert max(deviations.values()) < TOLERANCE, deviations
