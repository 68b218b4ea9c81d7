"""What each measure is called and means, and how a number is written."""

import math
from typing import NamedTuple

__all__ = ["MeasureText", "measure_text", "number"]


class MeasureText(NamedTuple):
    """The title of a measure, and what its values mean."""

    title: str
    meaning: str


_MEASURES = {
    "procrustes": MeasureText(
        "Procrustes similarity",
        "How well one model's atoms can be laid over the other's by rotation and scaling alone. 1 is a perfect fit.",
    ),
    "cka": MeasureText(
        "Centred kernel alignment (CKA)",
        "Whether pairs of atoms that are similar to one model are similar to the other. 1 is full agreement, 0 none.",
    ),
    "mutual_knn": MeasureText(
        "Shared nearest neighbours",
        "The share of an atom's nearest neighbours that both models agree on. 1 is all of them.",
    ),
    "sinkhorn_divergence": MeasureText(
        "Optimal-transport distance",
        "What it costs to move one model's cloud of atoms onto the other's, in the shared space (Sinkhorn "
        "divergence). 0 is the same cloud.",
    ),
}


def measure_text(name: str) -> MeasureText:
    """The texts of a measure; one without a text of its own goes by its name."""
    return _MEASURES.get(name, MeasureText(name.replace("_", " "), ""))


def number(x: float) -> str:
    """Three decimals, the order of magnitude where these would say nothing, a dash for what is undefined."""
    if not math.isfinite(x):
        return "–"
    return f"{x:.3f}" if abs(x) >= 0.001 or x == 0 else f"{x:.0e}"
