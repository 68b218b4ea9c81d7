"""What the page's script needs to draw: numbers as base64 of little-endian arrays, texts as JSON."""

import base64
import html
import json
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from matplotlib.markers import MarkerStyle
from scipy.cluster import hierarchy

from platonic_jax import plots
from platonic_jax.compare import Comparison
from platonic_jax.report import _texts

__all__ = ["glyph", "payload"]


def payload(comparison: Comparison) -> str:
    """The page's data as JSON that is safe inside a script element.

    Args:
        comparison: the result.

    Returns:
        JSON without `<`, so that no name in the data can end the element.
    """
    names = [_axis_text(label) for label in plots.labels(comparison)]
    data = {
        "symbols": chemical_symbols,
        "groups": [{"name": group.name, "colour": group.colour, "symbol": group.symbol} for group in plots.GROUPS],
        "kinds": [{"kind": kind, "name": name, "colour": colour} for kind, (name, colour) in plots.PAIR_KINDS.items()],
        "models": names,
        "atoms": _atoms(comparison),
        "maps": {i: _map(comparison, i) for i in plots.mapped(comparison)},
        "measures": [_measure(comparison, name) for name in comparison.measures],
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def glyph(group: plots.Group) -> str:
    """A group's marker as the points of an SVG polygon in a box from −1 to 1, from the shape that the figures use."""
    style = MarkerStyle(group.marker)
    (points,) = style.get_path().transformed(style.get_transform()).to_polygons(width=0, height=0, closed_only=True)
    points = np.asarray(points) / np.abs(points).max()
    return " ".join(f"{x:.2f},{-y:.2f}" for x, y in points)


def _atoms(comparison: Comparison) -> dict[str, Any]:
    """Who the atoms are. Neighbours may be any row, so all are named; a structure by the row at which it begins."""
    structures, first_row = np.unique(comparison.structure_index, return_index=True)
    known = comparison.structures
    return {
        "species": _encode(comparison.species, np.uint8),
        "group": _encode(plots.element_groups(comparison.species), np.uint8),
        "place": _encode_index(comparison.atom_index),
        "first_row": _encode_index(first_row),
        "ids": [str(i) if known is None else known.ids[i] for i in structures],
        "formulas": ["" if known is None else known.formulas[i] for i in structures],
        "rows": _encode_index(comparison.rows),
    }


def _map(comparison: Comparison, model: int) -> dict[str, Any]:
    view = comparison.maps[model]
    spaces = {
        space: {
            "points": _encode(view[space], np.float32),
            "window": plots.window(view[space]).tolist(),
            "explained": [round(float(share), 4) for share in view[f"{space}_explained"]],
        }
        for space in ("raw", "shared")
    }
    return {**spaces, "neighbours": _encode_index(comparison.neighbours[model])}


def _measure(comparison: Comparison, name: str) -> dict[str, Any]:
    table = comparison.measures[name]
    order = plots.leaf_order(table)
    tree = hierarchy.dendrogram(plots.linkage(table), no_plot=True)
    fields = ("value", "low", "high", "null", "null_within_element", "p_value", "p_value_within_element")
    return {
        "name": _texts.measure_text(name).title,
        "similar": table.settings["larger_is_more_similar"],
        "order": order,
        "tree": {"x": tree["icoord"], "y": tree["dcoord"]},
        "pairs": [{"i": i, "j": j, "kind": kind} for i, j, kind in plots.ranked_pairs(comparison, name)],
        **{field: _finite(getattr(table, field)) for field in fields},
    }


def _finite(array: np.ndarray) -> list[list[float | None]]:
    return [[float(f"{number:.6g}") if np.isfinite(number) else None for number in row] for row in array]


def _axis_text(label: str) -> str:
    """Plotly reads a little HTML in its texts: escape it, and break a long label before its bracket."""
    return html.escape(label, quote=False).replace(" (", "<br>(")


def _encode(array: np.ndarray, dtype: type[np.generic]) -> dict[str, str]:
    values = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
    return {"type": np.dtype(dtype).name, "base64": base64.b64encode(values.tobytes()).decode()}


def _encode_index(array: np.ndarray) -> dict[str, str]:
    """Row numbers in two bytes where they fit."""
    return _encode(array, np.uint16 if np.max(array, initial=0) < 2**16 else np.uint32)
