"""JSON Schema (draft 2020-12) of the JSON output of commands.

Schemas are made of the records themselves: names and types from the fields, their meaning from the `Attributes` of the
docstrings. Nothing is written down twice, and so nothing can say what is no longer so.
"""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from platonic_adapters.export import Summary
from platonic_adapters.registry import Model
from platonic_adapters.store import Verification

from platonic_jax.analyses import ANALYSES, Analysis, Estimate

__all__ = ["COMMANDS", "schema"]


def __dir__() -> list[str]:
    return __all__


class _Document(NamedTuple):
    """A record as a command writes it.

    Attributes:
        record: Its class.
        without: Fields that are not written.
        also: Properties that are written beside the fields.
        listed: Whether the command writes a list of them.
    """

    record: type
    without: Sequence[str] = ()
    also: Sequence[str] = ()
    listed: bool = False


def _document(analysis: Analysis) -> _Document:
    record = analysis.record
    several = getattr(analysis.presenter, "SEVERAL", False)
    return _Document(record, tuple(record.UNSAVED), (*record.DERIVED, "verdict"), listed=several)


_COMPUTED = {analysis.command: analysis for analysis in ANALYSES}
_OTHERS: Mapping[str, _Document] = {
    "models": _Document(Model, listed=True, also=("relatives",)),
    "embed": _Document(Summary),
    "verify": _Document(Verification, also=("intact",), listed=True),
}
COMMANDS = ("demo", *_OTHERS, *_COMPUTED)

# What is not finite is written as null.
_NUMBER = {"type": ["number", "null"]}
_PLAIN = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    types.NoneType: {"type": "null"},
}
_ARRAY = {
    "description": "A list, or a list of lists.",
    "type": "array",
    "items": {"anyOf": [{"type": ["number", "string", "boolean", "null"]}, {"$ref": "#/$defs/array"}]},
}


def schema(command: str) -> dict[str, Any]:
    """Return the JSON Schema of a command's output.

    Args:
        command: its name, one of `COMMANDS`.

    Returns:
        A JSON Schema, as dictionaries and lists; every name that a document may have, with its type and its meaning.

    Raises:
        ValueError: no such command, or one that writes no JSON.

    Example:
        >>> schema("drift")["properties"]["before"]
        {'type': 'string', 'description': 'name of the earlier model.'}
    """
    if command not in COMMANDS:
        raise ValueError(f"`command` must be among {', '.join(COMMANDS)}, got {command!r}.")
    definitions: dict[str, Any] = {}
    document = _OTHERS.get(command) or _document(_COMPUTED["compare" if command == "demo" else command])
    body = _root(document, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"platonic {command} --json",
        **body,
        "$defs": definitions,
    }


def _root(document: _Document, definitions: dict[str, Any]) -> dict[str, Any]:
    body = _object(document.record, definitions, without=document.without)
    for name in document.also:
        derived = inspect.getattr_static(document.record, name).fget
        description = inspect.cleandoc(derived.__doc__).partition("\n")[0]
        body["properties"][name] = {
            **_type(typing.get_type_hints(derived)["return"], definitions),
            "description": description,
        }
        body["required"].append(name)
    if document.record is Model:  # Where the weights are depends on the machine, and is no field of the model.
        body["properties"]["weights"] = {**_PLAIN[str], "description": "where they are on this machine."}
        body["required"].append("weights")
    return {"type": "array", "items": body} if document.listed else body


def _object(record: type, definitions: dict[str, Any], *, without: Sequence[str] = ()) -> dict[str, Any]:
    """Schema of a record, all of whose fields are required."""
    hints, descriptions = typing.get_type_hints(record), _attributes(record)
    properties = {
        name: {**_type(hints[name], definitions), "description": descriptions[name]}
        for name in _fields(record)
        if name not in without
    }
    return {
        "description": inspect.cleandoc(record.__doc__ or "").partition("\n")[0],
        "type": "object",
        "properties": properties,
        # What an estimate lacks is not written.
        "required": [name for name in properties if record is not Estimate or hints[name] is float],
        "additionalProperties": False,
    }


def _fields(record: type) -> Sequence[str]:
    if dataclasses.is_dataclass(record):
        return [field.name for field in dataclasses.fields(record)]
    return record._fields  # type: ignore[attr-defined]


def _attributes(record: type) -> dict[str, str]:
    """Descriptions of the fields: the entries of `Attributes` in the docstring."""
    section = inspect.cleandoc(record.__doc__ or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _type(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of an annotation; records are defined once."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return {}
    if kind is float:
        return dict(_NUMBER)
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if getattr(kind, "array_type", kind) is np.ndarray:
        definitions["array"] = _ARRAY
        return {"$ref": "#/$defs/array"}
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [_type(entry, definitions) for entry in inner]}
    if origin is tuple and inner[-1] is not Ellipsis:
        entries = [_type(entry, definitions) for entry in inner]
        return {"type": "array", "prefixItems": entries, "items": False, "minItems": len(entries)}
    if origin in (list, tuple, Sequence):
        return {"type": "array", "items": _type(inner[0], definitions)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _type(inner[1], definitions)}
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # Known before its fields are, which may name it.
        definitions[kind.__name__] = _object(kind, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}
