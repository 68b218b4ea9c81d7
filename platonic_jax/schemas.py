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

from platonic_jax import analyses
from platonic_jax.analyses import Comparison, Sweep, Training

__all__ = ["COMMANDS", "schema"]


class _Document(NamedTuple):
    """A record as a command writes it.

    Attributes:
        record: its class.
        without: fields that are for Python alone.
        also: properties that are written beside the fields.
        listed: whether the command writes a list of them.
    """

    record: type
    without: Sequence[str] = ()
    also: Sequence[str] = ()
    listed: bool = False


_VERDICT = ("verdict",)
_OF_MAPS = ("maps", "rows", "neighbours", "overlaps", "species", "structure_index", "atom_index", "structures")
_COMPARISON = (_Document(Comparison, without=_OF_MAPS),)
_DOCUMENTS: Mapping[str, Sequence[_Document]] = {
    "demo": _COMPARISON,
    "models": (_Document(Model, listed=True),),
    "embed": (_Document(Summary),),
    "verify": (_Document(Verification, also=("intact",), listed=True),),
    "compare": _COMPARISON,
    "sweep": (_Document(Sweep),),
    "learn": (_Document(Training, without=("anchors",)),),
    "symmetry": (_Document(analyses.Symmetry, also=_VERDICT, listed=True),),
    "phonons": (_Document(analyses.Phonons, also=_VERDICT),),
    "typicality": (_Document(analyses.Typicality, also=_VERDICT),),
    "calibrate": (_Document(analyses.ErrorRanking, also=_VERDICT),),
    "drift": (_Document(analyses.Drift, also=_VERDICT),),
    "arithmetic": tuple(
        _Document(record, also=_VERDICT)
        for record in (analyses.Expression, analyses.Analogies, analyses.Polymorphs, analyses.Reactions)
    ),
    "stitch": (_Document(analyses.ReadoutTransfer, without=("maps",), also=("best", *_VERDICT)),),
}
COMMANDS = tuple(_DOCUMENTS)

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
    if command not in _DOCUMENTS:
        raise ValueError(f"`command` must be among {', '.join(COMMANDS)}, got {command!r}.")
    definitions: dict[str, Any] = {}
    documents = [_root(document, definitions) for document in _DOCUMENTS[command]]
    body = documents[0] if len(documents) == 1 else {"anyOf": documents}
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
        "required": list(properties),
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
