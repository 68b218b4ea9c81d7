"""Schemas say all that documents hold, and nothing else. Real documents are checked where they are made (`schemed`)."""

import dataclasses
import json
from copy import deepcopy

import comparisons
import numpy as np
import pytest
import schemed
from jsonschema import Draft202012Validator
from platonic_adapters import caches

from platonic_jax import cli, schemas
from platonic_jax.analyses import ANALYSES, Resolved


@pytest.fixture(scope="module")
def document():
    one = np.array([1])
    resolved = Resolved(["O"], one, one, {"cka": {"value": np.ones((1, 5, 5))}}, {"He": 3}, {"num_permutations": 20})
    made = dataclasses.replace(comparisons.make(), resolved={"element": resolved})
    return json.loads(json.dumps(made.to_json()))


def properties(schema):
    """Every named property, however deep."""
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from properties(part)
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).items()


@pytest.mark.parametrize("command", schemas.COMMANDS)
def test_every_schema_is_one_and_every_name_has_a_meaning(command):
    schema = schemas.schema(command)
    Draft202012Validator.check_schema(schema)
    named = dict(properties(schema))
    assert len(named) > 5
    assert [name for name, of in named.items() if not of["description"]] == []


def test_every_command_that_writes_json_has_one():
    writing = {
        name
        for name, parser in cli._parser().get_default("parsers").items()
        if any("--json" in action.option_strings for action in parser._actions)
    }
    assert writing - {"run", "schema"} == set(schemas.COMMANDS)


def test_a_comparison_and_the_list_of_models_obey(document):
    schemed.check("compare", document)
    schemed.check("demo", document)
    schemed.check("models", json.loads(json.dumps(caches.described_models())))


@pytest.mark.parametrize("name", [*schemas.schema("compare")["properties"], "surplus"])
def test_a_broken_document_does_not(document, name):
    broken = deepcopy(document)
    if name in broken:
        broken[name] = 1
        assert schemed.faults("compare", broken)
        del broken[name]
    else:
        broken[name] = 1
    assert schemed.faults("compare", broken)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("measures", "procrustes", "value"), 0.5),
        (("measures", "procrustes", "value", 0, 0), {}),
        (("measures", "procrustes", "surplus"), 1),
        (("resolved", "element", "num_atoms"), "1"),
        (("resolved", "element", "left_out", "He"), 3.5),
        (("models", 0), 7),
    ],
)
def test_a_document_broken_inside_does_not(document, path, value):
    broken = deepcopy(document)
    inner = broken
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    assert schemed.faults("compare", broken)


def test_every_analysis_has_its_schema():
    assert {analysis.command for analysis in ANALYSES} < set(schemas.COMMANDS)
    for command in schemas.COMMANDS:
        assert schemas.schema(command)["title"] == f"platonic {command} --json"


def test_an_unknown_command_is_one_sentence():
    with pytest.raises(ValueError, match="`command` must be among demo, models, .* got 'completion'"):
        schemas.schema("completion")
