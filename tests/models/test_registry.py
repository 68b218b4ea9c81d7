"""The registry: names, nearest names, and that what it asks uv for is what pyproject offers."""

import dataclasses
import importlib.util
import re
import tomllib
import typing
from pathlib import Path

import numpy as np
import pytest
from platonic_adapters import caches, environments, loading, registry
from platonic_adapters.errors import ExportError, UnknownModelError, UserError
from platonic_adapters.loading import CRYSTALS


def test_every_model_resolves_to_itself():
    names = [spec.name for spec in registry.models()]
    assert len(set(names)) == len(names)
    for name in names:
        assert registry.resolve(name).name == registry.resolve(name.upper()).name == name
        spec = registry.resolve(name)
        assert spec.family in registry.families()
        assert spec.model.licence
        assert spec.model.training_data
        assert spec.random_weights is False


def test_the_data_are_of_the_types_of_the_records():
    for record in [*registry.families(), *(spec.model for spec in registry.models())]:
        kinds = typing.get_type_hints(type(record))
        for field in dataclasses.fields(record):
            value = getattr(record, field.name)
            if typing.get_origin(kinds[field.name]) is tuple:
                assert isinstance(value, tuple), field.name
                pairs = field.name in ("options", "energies")
                leaves = [leaf for entry in value for leaf in (entry if pairs else [entry])]
                kind = (str, float) if field.name == "energies" else str
                assert all(isinstance(leaf, kind) for leaf in leaves), field.name
            else:
                assert isinstance(value, kinds[field.name]), field.name
    for spec in registry.models():
        features, forces = spec.model.architecture.split(", ")
        assert features in ("equivariant", "invariant", "unconstrained")
        assert forces in ("conservative", "direct", "no forces")
        assert {name for name, _ in spec.model.energies} <= set(CRYSTALS)
        assert spec.model.network
        assert spec.model.supervision
        assert spec.model.body_order in (0, 2, 3, 4)
        assert spec.model.parameters or not spec.model.packaged
        assert spec.model.sha256 is None or re.fullmatch("[0-9a-f]{64}", spec.model.sha256)
        assert set(dict(spec.model.options)) <= set(dict(spec.family.options))
        assert spec.model.packaged or spec.family.cache


def test_modules_exist_and_relatives_are_mutual():
    models = {spec.name: spec.model for spec in registry.models()}
    for spec in registry.models():
        assert importlib.util.find_spec(spec.family.module)
        assert spec.model.fine_tuned_from in ("", *models)
        for name, relation in spec.model.relatives.items():
            assert models[name].relatives[spec.name] == relation


@pytest.mark.parametrize(
    ("one", "other", "relation"),
    [
        ("7net-mf-0:PBE", "7net-mf-0:R2SCAN", "same weights"),
        ("chgnet-r2scan", "chgnet-0.3.0", "fine-tune"),
        ("uma-s-1p2p1-ft-d4rev", "uma-s-1p2p1-ft-r2scan", "fine-tune"),
        ("mace-mp-0-small", "mace-mp-0-large", "same data and code"),
        ("7net-0", "7net-l3i5", "same data and code"),
        ("7net-0", "7net-0_22may2024", None),
        ("7net-0", "chgnet-0.3.0", None),
    ],
)
def test_relations_follow_from_what_the_registry_says_of_each_model(one, other, relation):
    assert registry.resolve(one).model.relatives.get(registry.resolve(other).name) == relation


def test_models_are_chosen_by_words():
    names = [model["name"] for model in caches.described_models(["MPTRJ", "equivariant", "offline"])]
    assert {"7net-0", "7net-l3i5"} <= set(names)
    assert not {"chgnet-0.3.0", "7net-0_22may2024"} & set(names)
    assert caches.described_models(["no such word"]) == []


def test_weights_that_miss_the_known_energies_are_refused():
    class Wrong:
        prepare = staticmethod(lambda atoms: atoms)
        embed = staticmethod(lambda prepared, properties: ({}, {"energy": np.array([-2.30 * len(prepared[0])])}))

    spec = registry.resolve("7net-0")
    spec = dataclasses.replace(spec, model=dataclasses.replace(spec.model, energies=(("MgO", -5.864),)))
    with pytest.raises(ExportError, match=r"gives MgO -2\.300 instead of -5\.864 eV/atom"):
        loading.check_energies(spec, Wrong())
    Right = type("Right", (), {"check": staticmethod(lambda atoms: -5.862)})
    loading.check_energies(spec, Right())


def test_a_known_file_is_the_published_model_and_a_folder_is_digested_by_its_files(tmp_path, monkeypatch):
    (folder := tmp_path / "weights").mkdir()
    for name in ("model.json", "state.pt", "README.md"):
        (folder / name).write_text(name)
    files = ("state.pt", "model.json")
    before = registry.digest(folder, files)
    (folder / "README.md").write_text("other words")
    assert registry.digest(folder, files) == before
    spec = registry.resolve("7net-0")
    family = dataclasses.replace(spec.family, folder=files)
    model = dataclasses.replace(spec.model, sha256=before)
    monkeypatch.setattr(registry, "_registered", lambda: ({"sevennet": family}, {"7net-0": model}))
    found = registry.resolve(f"sevennet:{folder}")
    assert (found.name, found.path, found.model.training_data) == ("7net-0", folder, "MPtrj")
    (folder / "state.pt").unlink()
    with pytest.raises(UserError, match=r"the folder `.*weights` has no file `state.pt`"):
        registry.resolve(f"sevennet:{folder}")


@pytest.mark.parametrize(
    ("given", "name", "seed"),
    [
        ("random:7net-0", "random:7net-0?seed=0", 0),
        ("random:7NET-0?seed=12", "random:7net-0?seed=12", 12),
        ("7net-0", "7net-0", None),
    ],
)
def test_random_weights_have_one_name_for_every_spelling(given, name, seed):
    spec = registry.resolve(given)
    assert (spec.name, spec.seed, spec.random_weights) == (name, seed, seed is not None)


@pytest.mark.parametrize(
    ("given", "near"), [("7net0", "7net-0"), ("chgnet", "chgnet-0.3.0"), ("random:7net-1", "7net-0"), ("zzz", "")]
)
def test_an_unknown_name_is_offered_its_neighbours(given, near):
    with pytest.raises(UnknownModelError, match=f"`{re.escape(given)}` is not a known model") as error:
        registry.resolve(given)
    assert near in str(error.value)
    assert "\n" not in str(error.value)


def test_extras_of_the_distribution_are_the_requirements_of_the_families():
    settings = tomllib.loads((Path(registry.__file__).parents[1] / "pyproject.toml").read_text())
    project = settings["project"]
    extras = project["optional-dependencies"]
    assert tuple(project["dependencies"]) == environments.CORE
    assert {f.name: list(f.requirements) for f in registry.families()} == {
        name: extra for name, extra in extras.items() if name not in ("environments", "dask")
    }
    assert tuple(extras["dask"]) == environments.DASK
    (conflicts,) = settings["tool"]["uv"]["conflicts"]
    assert [c["extra"] for c in conflicts] == [family.name for family in registry.families()]
