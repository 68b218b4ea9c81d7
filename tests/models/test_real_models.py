"""SevenNet and CHGNet with real weights, in their real environments: one export each, and what must hold of it."""

import argparse
import time
from pathlib import Path

import inside
import jax.numpy as jnp
import numpy as np
import pytest
from platonic_adapters import cli, environments, reading, selftest, store, structures
from platonic_adapters.errors import StoreError

from platonic_jax import analyses, load, stitching

HERE = Path(__file__).parent
CI_500 = Path(__file__).parents[3] / "shared/data/main/ci_500.extxyz.gz"
MODELS = {"7net-0": "in_sevennet.py", "chgnet-0.3.0": "in_chgnet.py"}
OTHERS = ["7net-l3i5", "7net-0_22may2024", "chgnet-0.2.0", "chgnet-r2scan"]


def embed(*arguments):
    parser = argparse.ArgumentParser()
    cli.add_embed_arguments(parser)
    return environments.embed(parser.parse_args([str(a) for a in arguments]))


def crystals():
    """Small prototypes, some rattled, and a few real crystals where the shared data is at hand."""
    found, _ = reading.read("prototypes?max_atoms=12", limit=14)
    atoms = [found.atoms(i) for i in range(len(found))]
    if CI_500.exists():
        real, _ = reading.read(CI_500, limit=6)
        atoms += [real.atoms(i) for i in range(len(real))]
    rng = np.random.default_rng(1)
    for a in atoms[::2]:
        a.positions += 0.05 * rng.standard_normal(a.positions.shape)
    return [a for a in atoms if max(a.numbers) < 84]


def rotated(atoms, rng):
    return structures.turned(atoms, selftest._rotation(rng))


@pytest.fixture(scope="module")
def cases():
    """Every crystal as it is, rotated, and shuffled; and the shuffles."""
    rng = np.random.default_rng(2)
    plain = crystals()
    orders = [rng.permutation(len(a)) for a in plain]
    return plain, [rotated(a, rng) for a in plain], [a[o] for a, o in zip(plain, orders, strict=True)], orders


@pytest.fixture(scope="module", params=MODELS)
def exported(request, cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    plain, turned, shuffled, _ = cases
    everything, _ = reading.read([*plain, *turned, *shuffled], duplicates="keep")
    store.write_structures(folder / "in.zarr", everything, source="the tests")
    options = ["--layers", "all", "--properties", "energy,forces,stress"]
    assert embed(request.param, folder / "in.zarr", "-o", folder / "out.zarr", *options) == 0
    return request.param, store.open(folder / "out.zarr")


@pytest.fixture(scope="module")
def own(exported):
    name, found = exported
    return inside.seen(name, MODELS[name], name, found.path)


def deviation(x, y):
    x, y = x.astype(np.float64), y.astype(np.float64)
    return (np.linalg.norm(x - y, axis=-1) / np.linalg.norm(x, axis=-1)).max()


def test_rotation_leaves_every_row(exported, cases):
    _, found = exported
    n = sum(map(len, cases[0]))
    for layer in found.layers:
        x = found.layer(layer)
        assert deviation(x[:n], x[n : 2 * n]) < 1e-5, layer


def test_shuffled_atoms_are_shuffled_rows(exported, cases):
    _, found = exported
    plain, _, _, orders = cases
    offsets = np.cumsum([0, *map(len, plain)])
    order = np.concatenate([o + start for o, start in zip(orders, offsets[:-1], strict=True)])
    for layer in found.layers:
        x = found.layer(layer)
        assert deviation(x[: offsets[-1]][order], x[2 * offsets[-1] :]) < 1e-5, layer
        assert deviation(x[: offsets[-1]], x[: offsets[-1]][order]) > 1e-3, layer


def test_alone_or_in_a_batch_it_is_the_same(own):
    assert own["alone"] < 1e-5


def test_graphs_as_arrays_are_the_librarys_and_change_no_bit(own):
    if "as_the_library" not in own:
        pytest.skip("SevenNet builds its graphs itself")
    assert all(own["as_the_library"].values()), own["as_the_library"]


def test_the_models_own_read_out_of_our_rows_is_its_energy(exported, own):
    """So the default layer is the true last one; `hidden` too, where there is one."""
    _, found = exported
    np.testing.assert_allclose(own["from_last"], own["energy"], rtol=1e-5)
    np.testing.assert_allclose(own["from_readout"], own["energy"], rtol=1e-5)
    if "from_hidden" in own:
        np.testing.assert_allclose(own["from_hidden"], own["energy"], rtol=1e-5)
    if "atom_fea" in own:
        rows = np.concatenate(own["atom_fea"])
        np.testing.assert_allclose(found.layer("atom_fea", slice(len(rows))), rows, atol=2e-4)
        assert deviation(found.layer(rows=slice(len(rows))), rows) > 0.1  # the trap: it is not the last layer


def test_properties_are_those_of_the_models_own_calculator(exported, own):
    _, found = exported
    np.testing.assert_allclose(found.property("energy")[:4], own["energy"], rtol=1e-5)
    forces = np.concatenate(own["forces"])
    np.testing.assert_allclose(found.property("forces")[: len(forces)], forces, atol=2e-3)
    np.testing.assert_allclose(found.property("stress")[:4], own["stress"], atol=2e-4)


def test_the_store_brings_the_read_out_that_makes_energies_of_rows(exported):
    """Every structure's, to 1e-4 eV an atom, through the table and `stitching`."""
    table = load(exported[1].path)
    index = jnp.asarray(table.structure_index)
    found = stitching.energies(
        jnp.asarray(table.x),
        jnp.asarray(table.species),
        index,
        readout=table.readout,
        num_structures=int(index[-1]) + 1,
    )
    away = np.abs(np.asarray(found) - table.properties["energy"]) / np.bincount(table.structure_index)
    assert away.max() < 1e-4


def test_a_local_file_is_the_model_that_it_holds(own):
    if "local" not in own:
        pytest.skip("SevenNet's are tested in test_sevennet.py")
    assert own["local"]["adapter"] == pytest.approx(own["local"]["own"], abs=1e-4)
    assert abs(own["local"]["own"] - own["energy"][0]) > 0.01
    assert "broken.pth.tar` is not a CHGNet checkpoint that can be loaded" in own["local"]["refusal"]


def test_random_weights_are_others_and_those_of_their_seed(own):
    (again, other_seed, real), sizes = own["random"]["apart"], own["random"]["sizes"]
    assert again == 0
    assert min(other_seed, real) > 0.1
    assert own["random"]["hashes"] is True
    assert all(1e-3 < size < 1e6 for size in sizes)


def test_provenance_says_what_was_run(exported):
    name, found = exported
    provenance = found.provenance
    assert provenance["model"] == name
    assert provenance["source"]["name"] == "the tests"
    assert len(provenance["checkpoint"]["sha256"]) == 64
    assert provenance["packages"]["torch"].startswith("2.13.0")
    # SevenNet's irreps have no parity.
    test = inside.deviations(provenance["self_test"], but=["reflection"] if name == "7net-0" else [])
    assert max(test.values()) < 1e-5, test


def test_killed_and_resumed_is_bit_identical(exported, tmp_path):
    name, found = exported
    store.write_structures(tmp_path / "in.zarr", found.structures.select(slice(16)), source="the tests")
    inside.seen(name, "in_export.py", name, tmp_path / "in.zarr", tmp_path / "whole.zarr")
    killed = tmp_path / "killed.zarr"
    process = inside.start(name, "in_export.py", name, tmp_path / "in.zarr", killed)
    while not list(killed.glob("done/c/*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    process.kill()
    process.communicate()
    with pytest.raises(StoreError, match="incomplete"):
        store.open(killed)
    inside.seen(name, "in_export.py", name, tmp_path / "in.zarr", killed)
    layer = found.default_layer
    assert store.open(killed).layer(layer).tobytes() == store.open(tmp_path / "whole.zarr").layer(layer).tobytes()


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_weights_of_a_family_keep_its_symmetries(name, tmp_path):
    out = tmp_path / "o.zarr"
    assert embed(name, "prototypes?max_atoms=8", "--limit", 5, "-o", out, "--layers", "all", "--batch-atoms", 16) == 0
    found = store.open(out)
    test = inside.deviations(found.provenance["self_test"], but=["reflection"] if "7net" in name else [])
    assert max(test.values()) < 1e-5, test
    assert all(np.isfinite(found.layer(layer)).all() for layer in found.layers)
    assert "layer3" in found.layers or name == "chgnet-0.2.0"


@pytest.mark.parametrize("name", MODELS)
def test_molecules_slabs_and_lone_atoms_have_rows(name, tmp_path):
    """An open direction is a wide vacuum: a molecule is itself in any large box, far atoms do not see each other."""
    from ase import Atoms
    from ase.build import fcc111, molecule

    rng = np.random.default_rng(3)
    water, slab = molecule("CH3CH2OH"), fcc111("Cu", (1, 1, 2))
    boxed = water.copy()
    boxed.set_cell(np.eye(3) * 30)
    boxed.pbc = True
    far = Atoms("Cu2", positions=[[0, 0, 0], [20, 0, 0]])
    sources = [water, boxed, rotated(water, rng), slab, rotated(slab, rng), far, Atoms("Cu")]
    everything, _ = reading.read(sources)
    store.write_structures(tmp_path / "in.zarr", everything, source="the tests")
    assert embed(name, tmp_path / "in.zarr", "-o", tmp_path / "o.zarr", "--properties", "stress") == 0
    found = store.open(tmp_path / "o.zarr")
    parts = np.split(found.layer(), everything.offsets[1:-1])
    assert deviation(parts[0], parts[1]) < 1e-5
    assert deviation(parts[0], parts[2]) < 1e-5
    assert deviation(parts[3], parts[4]) < 1e-5
    assert deviation(parts[5], np.repeat(parts[6], 2, axis=0)) < 1e-5
    assert np.isfinite(found.property("stress")).all((1, 2)).tolist() == [False, True, *[False] * 5]


def test_a_model_that_ships_has_its_own_coordinates_in_the_atlas(tmp_path):
    assert embed("chgnet-0.2.0", "atlas", "-o", tmp_path / "o.zarr") == 0
    shipped, own = analyses.read_atlas().project(load(tmp_path / "o.zarr"))
    assert len(shipped.ids) == 250
    np.testing.assert_allclose(own, shipped.shared["chgnet-0.2.0"], atol=1e-3)
