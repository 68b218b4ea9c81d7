"""Orb: real architectures with random weights in Orb's own environment (`in_orb.py`)."""

import argparse
import subprocess
import sys
from pathlib import Path

import inside
import pytest
from platonic_adapters import cli, environments, registry, store

TOLERANCE = 1e-5
DIRECT, CONSERVATIVE = "orb-v3-direct-inf-omat", "orb-v3-conservative-inf-omat"
BOTH = pytest.mark.parametrize("model", [DIRECT, CONSERVATIVE])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("orb")


@pytest.fixture(scope="module")
def seen(folder):
    return inside.seen(DIRECT, "in_orb.py", folder)


def test_every_model_is_the_one_that_the_library_publishes(seen):
    ours = {spec.name for spec in registry.models() if spec.family.name == "orb"}
    assert len(ours) == 8
    assert set(seen["settings"]) == ours
    assert all(f"/{name}-20250404.ckpt" in address for name, address in seen["settings"].items())


@BOTH
def test_layers_are_the_steps_of_the_network(seen, model):
    found = seen[model]
    assert found["layers"] == {f"layer{i}": 256 for i in range(5)}
    assert found["saved"] == 0
    assert found["distinct"] > 0.01
    assert found["node_features"] < 1e-6


@BOTH
def test_properties_are_those_of_the_library(seen, model):
    assert seen[model]["largest_force"] > 1e-3  # else the comparison says nothing
    for name in ("energy", "forces", "stress"):
        assert seen[model][name] < 1e-4


@BOTH
def test_a_small_network_is_read_from_its_file(seen, model):
    found = seen["small"][model]
    assert found["layers"] == found["redrawn"] == {f"layer{i}": 16 for i in range(3)}
    assert found["forces"] < 1e-5 < found["size"]
    assert found["published"] == 256


@BOTH
def test_all_symmetries_hold_but_the_rotation(seen, model):
    found = dict(seen[model]["self_test"])
    assert found.pop("rotation") > 1e-3
    deviations = [found[name] for name in ("translation", "permutation", "batch_vs_single")]
    assert max(deviations) < TOLERANCE, found


def test_an_average_over_the_cube_does_not_turn(seen):
    found = seen["orbit"]
    assert found["plain, random"] > 1e-2
    assert found["plain, quarter"] > 1e-2
    assert found["spread"] > 1e-2
    assert max(found["averaged, random"], found["averaged, quarter"], found["oxygens"]) < 1e-5, found


def test_a_molecule_stays_one(seen):
    assert seen["molecule"] == {f"layer{i}": [3, 256] for i in range(5)}


def test_refusals_are_one_sentence(seen):
    assert f"broken.ckpt` does not hold the weights of {DIRECT} (" in seen["broken"]
    assert seen["broken"].count("\n") == 0
    assert seen["offline"].startswith(
        f"DownloadError: {CONSERVATIVE} needs `{CONSERVATIVE}-20250404.ckpt`, published by Orbital Materials at https://"
    )
    assert seen["offline"].endswith(f"fetch it elsewhere and pass it as `orb:{CONSERVATIVE}@PATH`.")


def test_a_checkpoint_becomes_a_store_that_says_how_far_it_turns(seen, folder):
    parser = argparse.ArgumentParser()
    cli.add_embed_arguments(parser)
    options = [f"orb:{DIRECT}@{folder / f'{DIRECT}.ckpt'}", "prototypes?max_atoms=4", "--limit", "20"]
    assert environments.embed(parser.parse_args([*options, "--output", str(folder / "orb.zarr")])) == 0
    made = store.open(folder / "orb.zarr")
    assert made.provenance["model"] == seen[DIRECT]["name"]
    assert made.provenance["checkpoint"] == seen[DIRECT]["checkpoint"]
    assert made.layer("layer4").shape[1] == 256
    found = made.provenance["self_test"]
    assert found["rotation"] > 1e-3
    assert max(found[name] for name in ("translation", "permutation", "batch_vs_single")) < TOLERANCE


def test_a_distilled_network_does_not_depend_on_interruptions(seen, folder):
    program = Path(__file__).parents[2] / "notebooks" / "distil_orb.py"
    frames = [sys.executable, program, "frames", folder / "frames.extxyz", "--number", "8"]
    subprocess.run(frames, check=True, capture_output=True)
    parser = argparse.ArgumentParser()
    cli.add_embed_arguments(parser)
    teacher = [f"orb:{DIRECT}@{folder / 'small-direct.ckpt'}", str(folder / "frames.extxyz")]
    options = ["--properties", "energy,forces,stress", "--output", str(folder / "labels.zarr")]
    assert environments.embed(parser.parse_args([*teacher, *options])) == 0
    found = inside.seen(DIRECT, "in_distil_orb.py", folder)
    assert found["same"]
    assert found["steps before it stopped"] == 2
    record = found["record"]
    assert record["teacher"].startswith(f"orb:{DIRECT}@small-direct.ckpt#")
    assert record["frames"]["training"] == 7
    assert set(record["errors"]) == {"as is", "turned"}
    assert found["turned"]["size of stress"] > 1e-4
    assert max(found["turned"][name] for name in ("edges", "forces", "stress")) < 1e-5, found["turned"]
