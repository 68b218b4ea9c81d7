"""The structures behind the maps in 3-D, with atoms coloured by the agreement of the models.

Twice: as a file for chemiscope, a viewer that the field knows (https://chemiscope.org), with every map in it; and
inside the report, where chemiscope's own script is stored compressed, and unpacked only when a reader asks for it.
"""

import base64
import gzip
import importlib.util
import json
from importlib import metadata, resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from platonic_jax import plots
from platonic_jax._files import replacing
from platonic_jax.analyses import Comparison, arrangement
from platonic_jax.report import _texts

__all__ = ["FILE", "embedded", "note", "viewer", "write"]

FILE = "report.chemiscope.json.gz"
COLOUR = "neighbours in common"
CUTOFF = 3.5  # Å, how far the surroundings of a picked atom are shown: chemiscope's own choice.
INSTALL = 'pip install "platonic-jax[report]"'


def write(comparison: Comparison, path: str | Path) -> bool:
    """Write the structures in the maps as a file for chemiscope, whole or not at all.

    Every atom brings its atomic number, its chemical group, the share of neighbours that the models have in common,
    and its place in each model's two maps.

    Args:
        comparison: the result.
        path: the file, `….json.gz`.

    Returns:
        Whether there was something to write, and chemiscope to write it with; `note` says what was wanting.

    Raises:
        OSError: the file cannot be written.
    """
    if note(comparison):
        return False
    first = arrangement.mapped(comparison)[0]
    names = arrangement.labels(comparison)
    properties = {
        **_agreement(comparison),
        "atomic number": comparison.species[comparison.rows],  # Chemiscope takes few different words, and no symbols.
        "chemical group": [plots.GROUPS[i].name for i in plots.element_groups(comparison.species[comparison.rows])],
    }
    for i in arrangement.mapped(comparison):
        for space, label in (("raw", "own space"), ("shared", "shared space")):
            for axis, points in enumerate(comparison.maps[i][space].T, start=1):
                properties[_axis(names[i], label, axis)] = _rounded(points, 5)
    shown = {axis: {"property": _axis(names[first], "shared space", k)} for k, axis in enumerate("xy", start=1)}
    settings = {"map": {**shown, "color": _colour(properties), "symbol": "chemical group"}}
    content = _dataset(comparison, properties, settings)
    with replacing(path) as partial:
        partial.write_bytes(_packed(content))
    return True


def embedded(comparison: Comparison) -> str:
    """The structures in the maps as the report's own viewer takes them.

    Args:
        comparison: the result.

    Returns:
        JSON, compressed, in base64; empty where there is nothing to show, or no chemiscope to show it with.
    """
    if note(comparison):
        return ""
    dataset = _dataset(comparison, _agreement(comparison), {})
    everywhere = np.unique(comparison.structure_index)
    content = {
        "dataset": dataset,
        # Where each structure stands among all that the page knows, which may be more than its maps show.
        "places": np.searchsorted(everywhere, _shown(comparison)).tolist(),
        "rows": comparison.rows.tolist(),
        "told": _told(comparison),
        "file": FILE,
    }
    return base64.b64encode(_packed(content)).decode()


class Viewer(NamedTuple):
    """Page content for the 3-D viewer of structures.

    Attributes:
        html: Scripts and a style.
        scripts: The text of every script that runs.
    """

    html: str = ""
    scripts: tuple[str, ...] = ()


def viewer(payload: str) -> Viewer:
    """Write the viewer of structures.

    Args:
        payload: as `embedded` gives it.

    Returns:
        The viewer; empty for an empty payload.
    """
    if not payload:
        return Viewer()
    here = resources.files("platonic_jax.report")
    source = resources.files("chemiscope").joinpath("sphinx", "static", "chemiscope.min.js").read_bytes()
    licence = metadata.distribution("chemiscope").read_text("licenses/LICENSE") or ""
    script = f"/*! chemiscope {metadata.version('chemiscope')}\n\n{licence}*/\n".encode() + source
    packed = base64.b64encode(gzip.compress(script, mtime=0)).decode()
    opening = here.joinpath("viewer.js").read_text(encoding="utf-8")
    html = (
        f"<style>\n{here.joinpath('viewer.css').read_text(encoding='utf-8')}</style>\n"
        f'<script type="text/plain" id="structures">{payload}</script>\n'
        f'<script type="text/plain" id="chemiscope">{packed}</script>\n'
        f"<script>{opening}</script>"
    )
    return Viewer(html, (opening, script.decode()))


def note(comparison: Comparison) -> str:
    """Explain why no structure can be shown, and what to do about it; empty if they can be shown."""
    if comparison.structures is None:
        return "Structures are not shown, because the tables have none."
    if importlib.util.find_spec("chemiscope") is None:
        return f"To see structures in 3-D, install chemiscope and write the report again: {INSTALL}"
    return ""


def _dataset(comparison: Comparison, properties: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Chemiscope's own form: structures, environments, and properties of atoms.

    The structures are `_shown`, in that order; the environments are the comparison's rows.
    """
    import chemiscope

    shown = _shown(comparison)
    index, atom = comparison.structure_index[comparison.rows], comparison.atom_index[comparison.rows]
    place = np.searchsorted(shown, index)
    structure = {
        "unitCell": True,
        "supercell": [2, 2, 2],
        "environments": {"activated": True, "bgColor": "property", "bgStyle": "ball-stick", "cutoff": CUTOFF},
    }
    dataset = chemiscope.create_input(
        [comparison.structures.atoms(i) for i in shown],
        metadata={
            "name": ", ".join(arrangement.labels(comparison)),
            "description": _description(comparison),
            "references": [_texts.PAPER],
        },
        properties={name: {"target": "atom", "values": values} for name, values in properties.items()},
        environments=[(int(i), int(j), CUTOFF) for i, j in zip(place, atom, strict=True)],
        settings={**settings, "target": "atom", "structure": [{**structure, "color": _colour(properties)}]},
    )
    if COLOUR in properties:
        dataset["properties"][COLOUR]["description"] = _told(comparison)
    for entry, i in zip(dataset["structures"], shown, strict=True):
        # Chemiscope reads past these two; whoever reads the file otherwise finds its structures again.
        entry |= {"id": str(comparison.structures.ids[i]), "formula": str(comparison.structures.formulas[i])}
        for axis in "xyz":
            entry[axis] = [round(value, 4) for value in entry[axis]]
        if "cell" in entry:
            entry["cell"] = [round(float(value), 5) for value in entry["cell"]]
    return dataset


def _shown(comparison: Comparison) -> list[int]:
    """The structures that have an atom in the maps."""
    return np.unique(comparison.structure_index[comparison.rows]).tolist()


def _agreement(comparison: Comparison) -> dict[str, list[float]]:
    """Values that atoms are coloured by; nothing without two trained models."""
    agreement = comparison.agreement
    return {} if np.isnan(agreement).any() else {COLOUR: _rounded(agreement, 3)}


def _colour(properties: dict[str, Any]) -> dict[str, Any]:
    if COLOUR not in properties:
        return {"property": "element"}
    return {"property": COLOUR, "min": 0, "max": 1, "palette": "viridis"}


def _told(comparison: Comparison) -> str:
    """Explain the colour scale and its nulls."""
    pairs = [(i, j) for i, j, kind in arrangement.pairs(comparison) if kind == "model"]
    if not pairs:
        return "Atoms are coloured by their element: no two trained models are compared."
    k = comparison.provenance["num_neighbours"]
    sentence = f"Atoms are coloured by the share of their {k} nearest neighbours that two models have in common"
    sentence += f", mean over {len(pairs)} pairs of models" if len(pairs) > 1 else ""
    if "mutual_knn" not in comparison.measures:
        return f"{sentence}. Without mutual_knn among the measures, there is no null."
    measure = comparison.measures["mutual_knn"]
    free, within = (np.mean([null[i, j] for i, j in pairs]) for null in (measure.null, measure.null_within_element))
    chance = [f"{value:.2g} {how}" for value, how in ((free, "as a whole"), (within, "within each element"))]
    drawn = [text for text, value in zip(chance, (free, within), strict=True) if np.isfinite(value)]
    return f"{sentence}. Mean under permutation of structures: {', '.join(drawn) or 'not drawn'}."


def _description(comparison: Comparison) -> str:
    """Describe the origin of the numbers in a sentence or two."""
    run = comparison.provenance
    versions = ", ".join(f"{name} {version}" for name, version in run["packages"].items())
    checkpoints = [
        f"{name} ({entry['checkpoint']['sha256'][:12]})" if entry.get("checkpoint") else name
        for name, entry in run["stores"].items()
    ]
    return (
        f"{len(comparison.rows)} of {len(comparison.species)} atoms, in the space of {comparison.anchors['k']} anchors "
        f"chosen by {comparison.anchors['method']}, seed {run['seed']}. Models, with the SHA-256 of their weights: "
        f"{', '.join(checkpoints)}. Made {run['created']} by {versions}."
    )


def _axis(model: str, space: str, axis: int) -> str:
    return f"PC {axis} of {model}, {space}"


def _rounded(values: np.ndarray, digits: int) -> list[float]:
    return [float(f"{value:.{digits}g}") for value in values.tolist()]


def _packed(content: dict[str, Any]) -> bytes:
    """The same bytes for the same content."""
    return gzip.compress(json.dumps(content, separators=(",", ":"), allow_nan=False).encode(), mtime=0)
