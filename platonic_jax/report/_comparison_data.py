"""Data for the page's script to draw a comparison: numbers as base64 of little-endian arrays, texts as JSON."""

import base64
import html
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from matplotlib.markers import MarkerStyle

from platonic_jax import plots
from platonic_jax.analyses import Comparison, arrangement

__all__ = ["glyph", "payload", "values"]


def payload(comparison: Comparison) -> dict[str, Any]:
    """Collect the data that the script draws maps from, in JSON's own types."""
    names = [_axis_text(label) for label in arrangement.labels(comparison)]
    return {
        "symbols": chemical_symbols,
        "groups": [
            {"name": group.name, "colour": group.colour, "symbol": group.symbol, "glyph": glyph(group)}
            for group in plots.GROUPS
        ],
        "group_of": [0, *plots.element_groups(np.arange(1, len(chemical_symbols))).tolist()],
        "models": names,
        "atoms": _atoms(comparison),
        "maps": {i: _map(comparison, i) for i in arrangement.mapped(comparison)},
    }


def glyph(group: plots.Group) -> str:
    """A group's marker as the points of an SVG polygon in a box from −1 to 1, from the shape that the figures use."""
    style = MarkerStyle(group.marker)
    (points,) = style.get_path().transformed(style.get_transform()).to_polygons(width=0, height=0, closed_only=True)
    points = np.asarray(points) / np.abs(points).max()
    return " ".join(f"{x:.2f},{-y:.2f}" for x, y in points)


def values(comparison: Comparison) -> dict[str, np.ndarray]:
    """By name, a number for each atom in the maps, (r,)."""
    agreement = comparison.agreement
    return {"neighbours in common": agreement} if np.any(np.isfinite(agreement)) else {}


def _atoms(comparison: Comparison) -> dict[str, Any]:
    """Names of the atoms. Any row may be a neighbour, so all are named; structures by their first row."""
    structures, first_row = np.unique(comparison.structure_index, return_index=True)
    known = comparison.structures
    return {
        "species": _encode(comparison.species, np.uint8),
        "place": _encode_index(comparison.atom_index),
        "first_row": _encode_index(first_row),
        "ids": [str(i) if known is None else known.ids[i] for i in structures],
        "formulas": ["" if known is None else known.formulas[i] for i in structures],
        "rows": _encode_index(comparison.rows),
        "values": {name: _encode(array, np.float32) for name, array in values(comparison).items()},
    }


def _map(comparison: Comparison, model: int) -> dict[str, Any]:
    view = comparison.maps[model]
    spaces = {
        space: {
            "points": _encode_points(view[space]),
            "window": arrangement.window(view[space]).tolist(),
            "explained": [round(float(share), 4) for share in view[f"{space}_explained"]],
        }
        for space in ("raw", "shared")
    }
    return {**spaces, "neighbours": _encode_index(comparison.neighbours[model])}


def _axis_text(label: str) -> str:
    """Plotly reads a little HTML in its texts: escape it, and break a long label before its bracket."""
    return html.escape(label, quote=False).replace(" (", "<br>(")


def _encode(array: np.ndarray, dtype: type[np.generic]) -> dict[str, str]:
    values = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
    return {"type": np.dtype(dtype).name, "base64": base64.b64encode(values.tobytes()).decode()}


def _encode_points(points: np.ndarray) -> dict[str, Any]:
    """Coordinates in two bytes, where these place an atom within a 4000th of the frame; whole otherwise."""
    origin, extent = points.min(axis=0), np.ptp(points, axis=0)
    scale = extent / np.iinfo(np.uint16).max
    if np.any(scale > np.ptp(arrangement.window(points), axis=0) / 4000) or np.any(extent == 0):
        return _encode(points, np.float32)
    steps = _encode(np.round((points - origin) / scale), np.uint16)
    return {**steps, "origin": origin.astype(float).tolist(), "scale": scale.astype(float).tolist()}


def _encode_index(array: np.ndarray) -> dict[str, str]:
    """Row numbers in two bytes where they fit."""
    return _encode(array, np.uint16 if np.max(array, initial=0) < 2**16 else np.uint32)
