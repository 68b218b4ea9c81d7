"""The registry: names, nearest names, and that what it asks uv for is what pyproject offers."""

import dataclasses
import importlib.util
import re
import tomllib
import typing
from pathlib import Path

import pytest
from platonic_adapters import environments, registry
from platonic_adapters.errors import UnknownModelError


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
                leaves = [leaf for entry in value for leaf in (entry if field.name == "options" else [entry])]
                assert all(isinstance(leaf, str) for leaf in leaves), field.name
            else:
                assert isinstance(value, kinds[field.name]), field.name
    for spec in registry.models():
        features, forces = spec.model.architecture.split(", ")
        assert features in ("equivariant", "invariant", "unconstrained")
        assert forces in ("conservative", "direct", "generative")
        assert spec.model.sha256 is None or re.fullmatch("[0-9a-f]{64}", spec.model.sha256)
        assert set(dict(spec.model.options)) <= set(dict(spec.family.options))
        assert spec.model.packaged or spec.family.cache


def test_relatives_and_modules_exist():
    names = {spec.name for spec in registry.models()}
    for spec in registry.models():
        assert set(spec.model.relatives) <= names - {spec.name}
        assert importlib.util.find_spec(spec.family.module)


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
