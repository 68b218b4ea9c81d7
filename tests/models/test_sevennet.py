"""SevenNet's two modalities, local files and downloads, in its own environment (`in_modalities.py`)."""

import inside
import pytest
from platonic_adapters import registry

BOTH = pytest.mark.parametrize("modality", ["PBE", "R2SCAN"])


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return inside.seen("7net-0", "in_modalities.py", tmp_path_factory.mktemp("sevennet"))


def test_two_modalities_are_relatives_with_their_own_names():
    pbe, r2scan = (registry.resolve(f"7net-mf-0:{modality}") for modality in ("pbe", "r2scan"))
    assert (pbe.name, pbe.options) == ("7net-mf-0:PBE", {"modality": "PBE"})
    assert pbe.model.relatives[r2scan.name] == "same weights"
    assert r2scan.model.relatives[pbe.name] == "same weights"
    assert registry.resolve("random:7net-mf-0:PBE?seed=2").name == "random:7net-mf-0:PBE?seed=2"


@BOTH
def test_a_modality_has_the_librarys_properties(seen, modality):
    assert seen[modality]["energy"] < 1e-4
    assert seen[modality]["forces"] < 1e-4
    assert seen[modality]["read_out"] < 1e-4


@BOTH
def test_rows_are_invariant(seen, modality):
    deviations = inside.deviations(seen[modality]["self_test"], but=["reflection"])
    assert max(deviations.values()) < 1e-5, deviations
    assert 1e-5 < seen[modality]["self_test"]["reflection"] < 1e-2  # irreps without parity
    assert seen[modality]["widths"] == [128] * 5 + [64]


def test_one_set_of_weights_gives_two_embeddings(seen):
    assert seen["PBE"]["sha256"] == seen["R2SCAN"]["sha256"]
    assert seen["apart"] > 0.01
    assert seen["drawn_alike"]


def test_a_local_file_is_the_model_that_it_holds(seen):
    assert seen["local"] == 0
    name, modality = seen["named"]
    assert name.startswith("sevennet:7net-mf-0:R2SCAN@mine.pth#")
    assert modality == "R2SCAN"


def test_refusals_are_one_sentence(seen):
    broken, without, needless, offline = seen["refusals"].values()
    assert "broken.pth` is not a SevenNet checkpoint that can be loaded" in broken
    assert "must be R2SCAN or PBE, got `none`; write `?modality=R2SCAN`." in without
    assert "`modality` of 7net-0?modality=PBE must be none, got `PBE`" in needless
    assert offline.startswith("DownloadError: 7net-omat needs `checkpoint_sevennet_omat.pth`, published by MDIL-SNU at")
    assert offline.endswith("(OSError: no network); fetch it elsewhere and pass it as `sevennet:7net-omat@PATH`.")
