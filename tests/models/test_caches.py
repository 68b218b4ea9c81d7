"""Where weights are, found out without a library, a download or an environment."""

import hashlib

import pytest
from platonic_adapters import caches, registry

ORB = (
    "https://orbitalmaterials-public-models.s3.us-west-1.amazonaws.com/forcefields/orb-v3/"
    "orb-v3-direct-inf-omat-20250404.ckpt"
)
# As the libraries name what they fetch.
CACHED = {
    "mace-mp-0-small": ".cache/mace/20231210mace128L0_energy_epoch249model",
    "orb-v3-direct-inf-omat": f".cache/cached_path/{hashlib.sha256(ORB.encode()).hexdigest()}.0a",
    "uma-s-1p1": ".cache/fairchem/models--facebook--UMA/snapshots/0/checkpoints/uma-s-1p1.pt",
    "esen-sm-conserving-all-oc25": ".cache/fairchem/models--facebook--OC25/snapshots/0/checkpoints/esen_sm_conserve.pt",
    "7net-omat": ".cache/sevennet/SevenNet_omat/checkpoint_sevennet_omat.pth",
    "nequix-mp-1": ".cache/nequix/models/nequix-mp-1.nqx",
    "mattersim-1m": ".local/mattersim/pretrained_models/mattersim-v1.0.0-1M.pth",
    "chemeleon-dng-mp20": "ours/checkpoints/chemeleon_dng_mp_20_v0.0.2.ckpt",
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


def test_packages_bring_the_weights_of_two_families(home):
    packaged = {spec.name for spec in registry.models() if caches.weights_state(spec) == "in the package"}
    assert packaged == {s.name for s in registry.models() if s.family.name in ("sevennet", "chgnet")} - {"7net-omat"}


def test_a_path_is_a_local_file(tmp_path):
    (tmp_path / "my.model").write_bytes(b"x")
    assert caches.weights_state(registry.resolve(f"mace:{tmp_path / 'my.model'}", trust=True)) == "local file"
