"""What commands write, against its schema: for the tests of records, each of which has a real one at hand."""

from functools import cache

from jsonschema import Draft202012Validator

from platonic_jax import schemas


@cache
def validator(command):
    return Draft202012Validator(schemas.schema(command))


def faults(command, document):
    """What is wrong with a document, and where."""
    return [f"{error.json_path}: {error.message[:200]}" for error in validator(command).iter_errors(document)]


def check(command, document):
    found = faults(command, document)
    assert not found, found
