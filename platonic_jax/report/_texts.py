"""Titles and meanings of measures, and the format of numbers."""

from collections.abc import Sequence
from typing import NamedTuple

from platonic_jax._html import number
from platonic_jax.analyses import Groups

__all__ = ["PAPER", "MeasureText", "independent_groups", "listed", "many", "measure_text", "number", "series"]

PAPER = "https://doi.org/10.1038/s42256-026-01235-7"


class MeasureText(NamedTuple):
    """Title of a measure, and the meaning of its values."""

    title: str
    meaning: str


_MEASURES = {
    "procrustes": MeasureText(
        "Procrustes similarity",
        "Overlap of the two embeddings after optimal rotation and scaling. 1 is a perfect fit.",
    ),
    "cka": MeasureText(
        "Centred kernel alignment (CKA)",
        "Agreement of the similarities between all pairs of atoms. 1 is full agreement, 0 none.",
    ),
    "mutual_knn": MeasureText(
        "Shared nearest neighbours",
        "The share of an atom's nearest neighbours that both models have in common. 1 is all of them.",
    ),
    "mutual_knn_other_structures": MeasureText(
        "Shared nearest neighbours in other structures",
        "The same among the atoms of other structures: most neighbours that two models share are atoms of the same "
        "crystal. 1 is all of them.",
    ),
    "sinkhorn_divergence": MeasureText(
        "Optimal-transport distance",
        "Sinkhorn divergence between the two point clouds of atoms in the shared space, regardless of which atom is "
        "which. 0 is the same cloud.",
    ),
    "wasserstein": MeasureText(
        "Wasserstein distance",
        "Exact optimal-transport distance between the two point clouds of atoms in the shared space. 0 is the same "
        "cloud.",
    ),
    "gromov_wasserstein": MeasureText(
        "Gromov-Wasserstein distance",
        "Mismatch of the distances within the two point clouds, under the best assignment of atoms. 0 is the same "
        "shape.",
    ),
    "cknna": MeasureText(
        "Local kernel alignment (CKNNA)",
        "Kernel alignment counted only where two atoms are near neighbours to both models. 1 is full agreement.",
    ),
    "gfre": MeasureText(
        "Global reconstruction error (GFRE)",
        "Error of the second model's embeddings predicted from the first by a linear map, on held-out atoms. 0 is "
        "perfect; the two directions differ.",
    ),
    "lfre": MeasureText(
        "Local reconstruction error (LFRE)",
        "The same with a separate linear map for every atom, fitted to its neighbours. 0 is perfect; the two "
        "directions differ.",
    ),
    "information_imbalance": MeasureText(
        "Information imbalance",
        "Mean rank of the first model's nearest neighbour in the second model, scaled so that 0 is the nearest and 1 "
        "is chance; the two directions differ.",
    ),
    "distance_correlation": MeasureText(
        "Distance correlation",
        "Correlation of the distances between atoms in the two models. 0 is independence, 1 the same shape.",
    ),
}


def measure_text(name: str) -> MeasureText:
    """Texts of a measure; without texts of its own, its name is its title."""
    return _MEASURES.get(name, MeasureText(name.replace("_", " "), ""))


def listed(names: Sequence[str], *, most: int) -> str:
    """Join the first names by commas, and an ellipsis where there are more."""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def series(items: Sequence[str], word: str = "and") -> str:
    """Join names as in a sentence: `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {word} {items[-1]}"


def many(count: int, what: str) -> str:
    """Write a number of things."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def independent_groups(groups: Groups) -> str:
    """Say how many independent groups intervals rest on, or why there are none."""
    if not groups.enough:
        return f"too few for intervals: the effective number of independent groups is {groups.effective:.1f}"
    return f"the effective number of independent groups is {groups.effective:.1f}"
