"""Where weights are, found out without a library, a download or an environment."""

import dataclasses
import hashlib
import re

import pytest
from platonic_adapters import caches, registry

ORB = "https://orbitalmaterials-public-models.s3.us-west-1.amazonaws.com/forcefields/orb-v3/{}-20250404.ckpt"


def orb_file(name):
    return hashlib.sha256(ORB.format(name).encode()).hexdigest()


# As the libraries name what they fetch.
CACHED = {
    "mace-mp-0-small": ".cache/mace/20231210mace128L0_energy_epoch249model",
    "orb-v3-direct-inf-omat": f".cache/cached_path/{orb_file('orb-v3-direct-inf-omat')}.0a",
    "uma-s-1p1": ".cache/fairchem/models--facebook--UMA/snapshots/0/checkpoints/uma-s-1p1.pt",
    "esen-sm-conserving-all-oc25": ".cache/fairchem/models--facebook--OC25/snapshots/0/checkpoints/esen_sm_conserve.pt",
    "7net-omat": ".cache/sevennet/SevenNet_omat/checkpoint_sevennet_omat.pth",
    "nequix-mp-1": ".cache/nequix/models/nequix-mp-1.nqx",
    "mattersim-1m": ".local/mattersim/pretrained_models/mattersim-v1.0.0-1M.pth",
    "chemeleon-dng-mp20": "ours/checkpoints/chemeleon_dng_mp_20_v0.0.2.ckpt",
    "crystal-twins-epoch-5": "ours/checkpoints/barlow-epoch-5.pth",
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLATONIC_CACHE", str(tmp_path / "ours"))
    for name in ("XDG_CACHE_HOME", "CACHED_PATH_CACHE_ROOT", "FAIRCHEM_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("name", CACHED)
def test_what_has_to_be_fetched_is_cached_once_it_is_there(home, name):
    spec = registry.resolve(name)
    assert caches.weights_state(spec) == "to be downloaded"
    file = home / CACHED[name]
    file.parent.mkdir(parents=True)
    file.touch()
    assert caches.weights_state(spec) == "cached"
    others = [s for s in registry.models() if s.model.checkpoint != spec.model.checkpoint and not s.model.packaged]
    assert {caches.weights_state(other) for other in others} == {"to be downloaded"}


@pytest.mark.parametrize(
    ("variable", "name", "file"),
    [
        ("XDG_CACHE_HOME", "mace-mpa-0", "mace/macempa0mediummodel"),
        ("CACHED_PATH_CACHE_ROOT", "orb-v3-direct-20-mpa", f"{orb_file('orb-v3-direct-20-mpa')}.0a"),
        ("FAIRCHEM_CACHE_DIR", "uma-m-1p1", "models--facebook--UMA/snapshots/0/checkpoints/uma-m-1p1.pt"),
    ],
)
def test_variables_of_the_libraries_move_their_caches(home, monkeypatch, variable, name, file):
    path = home / "[elsewhere]" / file
    path.parent.mkdir(parents=True)
    path.touch()
    assert caches.weights_state(registry.resolve(name)) == "to be downloaded"
    monkeypatch.setenv(variable, str(home / "[elsewhere]"))
    assert caches.weights_state(registry.resolve(name)) == "cached"


def test_names_of_cached_files_follow_from_those_of_the_checkpoints():
    specs = registry.models()
    maces = {s.model.file: s.model.checkpoint.rsplit("/")[-1] for s in specs if s.family.name == "mace"}
    assert {file: re.sub(r"[^\w]", "", name) for file, name in maces.items()} == {file: file for file in maces}
    orbs = {s.model.file: orb_file(s.name) for s in specs if s.family.name == "orb"}
    assert orbs == {file: file for file in orbs}
    assert len(orbs) == 8


def test_a_family_of_another_package_states_where_its_weights_are(home):
    family = registry.Family("f", module="m", library="l", requirements=(), cache=("$NOT_SET/a", "~/b"), files="*/{}.x")
    model = registry.Model("m-1", "f", "MIT", "nothing", "invariant, conservative", "w")
    assert caches.weights_state(registry.ModelSpec(model, family)) == "to be downloaded"
    (home / "b" / "0").mkdir(parents=True)
    (home / "b" / "0" / "w.x").touch()
    assert caches.weights_state(registry.ModelSpec(model, family)) == "cached"
    silent = dataclasses.replace(family, cache=())
    assert caches.weights_state(registry.ModelSpec(model, silent)) == "unknown"
    assert (
        caches.weights_state(registry.ModelSpec(dataclasses.replace(model, packaged=True), silent)) == "in the package"
    )


def test_packages_bring_the_weights_of_some_families(home):
    packaged = {spec.name for spec in registry.models() if caches.weights_state(spec) == "in the package"}
    assert {"7net-0", "chgnet-0.3.0", "diep-matpes-r2scan"} <= packaged
    assert not {"7net-omat", "mace-mp-0-small", "tensornet-matpes-pbe"} & packaged


def test_a_path_is_a_local_file(tmp_path):
    (tmp_path / "my.model").write_bytes(b"x")
    assert caches.weights_state(registry.resolve(f"mace:{tmp_path / 'my.model'}", trust=True)) == "local file"
