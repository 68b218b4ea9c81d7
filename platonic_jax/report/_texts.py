"""Titles and meanings of measures, and the format of numbers."""

from typing import NamedTuple

from platonic_jax._html import number

__all__ = ["PAPER", "MeasureText", "measure_text", "number"]

PAPER = "https://doi.org/10.1038/s42256-026-01235-7"


class MeasureText(NamedTuple):
    """Title of a measure, and the meaning of its values."""

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
    "mutual_knn_other_structures": MeasureText(
        "Shared nearest neighbours in other structures",
        "The same among the atoms of other structures: most neighbours that two models share are atoms of the same "
        "crystal. 1 is all of them.",
    ),
    "sinkhorn_divergence": MeasureText(
        "Optimal-transport distance",
        "What it costs to move one model's cloud of atoms onto the other's, in the shared space (Sinkhorn "
        "divergence). 0 is the same cloud.",
    ),
    "wasserstein": MeasureText(
        "Wasserstein distance",
        "The least mean distance that atoms of one model's cloud travel to become the other's, exactly, in the shared "
        "space. 0 is the same cloud.",
    ),
    "gromov_wasserstein": MeasureText(
        "Gromov-Wasserstein distance",
        "How far the distances within one cloud can be matched to those within the other, whichever atom is which. 0 "
        "is the same shape.",
    ),
    "cknna": MeasureText(
        "Local kernel alignment (CKNNA)",
        "Kernel alignment counted only where two atoms are near neighbours to both models. 1 is full agreement.",
    ),
    "gfre": MeasureText(
        "Global reconstruction error (GFRE)",
        "What a linear map of the first model's space fails to say about the second's, on atoms it was not fitted to. "
        "0 is nothing lost; not the same both ways.",
    ),
    "lfre": MeasureText(
        "Local reconstruction error (LFRE)",
        "The same with a map of its own for every atom, fitted to its neighbours. 0 is nothing lost; not the same both "
        "ways.",
    ),
    "information_imbalance": MeasureText(
        "Information imbalance",
        "How far down the second model's list of neighbours the first model's nearest neighbour stands. 0 is at its "
        "top, 1 is anywhere; not the same both ways.",
    ),
    "distance_correlation": MeasureText(
        "Distance correlation",
        "Correlation of the distances between atoms in the two models. 0 is independence, 1 the same shape.",
    ),
}


def measure_text(name: str) -> MeasureText:
    """Texts of a measure; without texts of its own, its name is its title."""
    return _MEASURES.get(name, MeasureText(name.replace("_", " "), ""))
