"""Claimed properties of each measure; `testing.check_measure` tests every claim, and that no other holds."""

from math import inf, pi
from typing import Any, NamedTuple

TRANSFORMATIONS = {
    "translation": "moving one cloud",
    "rotation": "an orthogonal map of one cloud, reflections included",
    "scale": "multiplying one cloud by a positive number",
    "row_scale": "multiplying each row of one cloud by a positive number of its own",
    "linear": "an invertible linear map of one cloud",
    "padding": "adding zero columns to one cloud",
    "shuffling": "reordering the rows of one cloud",
    "common_translation": "moving both clouds by the same vector",
    "common_rotation": "the same orthogonal map of both clouds",
    "common_shuffling": "the same reordering of the rows of both clouds",
}
"""What may be done to clouds, by name, and what it is: that to which a measure may be invariant."""


class Properties(NamedTuple):
    """Properties of a measure of two embeddings.

    Attributes:
        larger_is_more_similar: Direction.
        range: Lowest and highest value it can take, over clouds of any size.
        symmetric: Whether exchanging the clouds leaves it as it is.
        same_space: Whether both clouds must lie in one space, column by column.
        invariances: The names in `TRANSFORMATIONS` that leave it as it is, whichever of the clouds is transformed.
        meaning: One sentence for the reader of a report.
        reaches_best: Whether a cloud and itself reach the best end of the range, or only come near it.
        iterative: Whether it is found by iterations, and so is exact to their tolerance only.
    """

    larger_is_more_similar: bool
    range: tuple[float, float]
    symmetric: bool
    same_space: bool
    invariances: frozenset[str]
    meaning: str
    reaches_best: bool = True
    iterative: bool = False


class CloudProperties(NamedTuple):
    """Properties of a measure of one embedding.

    Attributes:
        range: Lowest and highest value it can take.
        invariances: The names in `TRANSFORMATIONS`, of one cloud, that leave it as it is.
        meaning: One sentence for the reader of a report.
    """

    range: tuple[float, float]
    invariances: frozenset[str]
    meaning: str


_COMMON = frozenset({"common_rotation", "common_shuffling"})
_ROTATIONS = _COMMON | {"rotation", "scale", "padding"}
_SIMILARITY_TRANSFORMS = _ROTATIONS | {"translation", "common_translation"}
_SETS_IN_ONE_SPACE = _COMMON | {"shuffling", "common_translation"}

PROPERTIES = {
    "procrustes": Properties(
        larger_is_more_similar=True,
        range=(0.0, 1.0),
        symmetric=True,
        same_space=False,
        invariances=_SIMILARITY_TRANSFORMS,
        meaning="cosine of the angle between the clouds after the best rotation of one onto the other",
    ),
    "cka": Properties(
        larger_is_more_similar=True,
        range=(-1.0, 1.0),
        symmetric=True,
        same_space=False,
        invariances=_SIMILARITY_TRANSFORMS,
        meaning="correlation of the two clouds' inner products over all pairs of rows",
    ),
    "distance_correlation": Properties(
        larger_is_more_similar=True,
        range=(0.0, 1.0),
        symmetric=True,
        same_space=False,
        invariances=_SIMILARITY_TRANSFORMS,
        meaning="root of the correlation of the two clouds' distances over all pairs of rows, doubly centred",
    ),
    "mutual_knn": Properties(
        larger_is_more_similar=True,
        range=(0.0, 1.0),
        symmetric=True,
        same_space=False,
        invariances=_ROTATIONS | {"row_scale"},
        meaning="share of the nearest rows that both clouds have in common, averaged over rows",
    ),
    "cknna": Properties(
        larger_is_more_similar=True,
        range=(-1.0, 1.0),
        symmetric=False,
        same_space=False,
        invariances=_ROTATIONS | {"row_scale"},
        meaning="correlation of the two clouds' cosines over the pairs of rows that are near in both",
    ),
    "information_imbalance": Properties(
        larger_is_more_similar=False,
        range=(0.0, 2.0),
        symmetric=False,
        same_space=False,
        invariances=_SIMILARITY_TRANSFORMS,
        meaning="mean rank in the second cloud of the rows nearest in the first, 1 by chance",
        reaches_best=False,
    ),
    "gfre": Properties(
        larger_is_more_similar=False,
        range=(0.0, inf),
        symmetric=False,
        same_space=False,
        invariances=_SIMILARITY_TRANSFORMS - {"common_shuffling"},
        meaning="error of the second cloud as a linear map of the first, relative to its spread, on rows left out",
        reaches_best=False,
    ),
    "lfre": Properties(
        larger_is_more_similar=False,
        range=(0.0, inf),
        symmetric=False,
        same_space=False,
        invariances=_SIMILARITY_TRANSFORMS - {"common_shuffling"},
        meaning="error of the second cloud as a linear map of each neighbourhood of the first, on rows left out",
        reaches_best=False,
    ),
    "sinkhorn_divergence": Properties(
        larger_is_more_similar=False,
        range=(0.0, inf),
        symmetric=True,
        same_space=True,
        invariances=_SETS_IN_ONE_SPACE,
        meaning="squared distance between the clouds as distributions, by entropic optimal transport",
        iterative=True,
    ),
    "wasserstein": Properties(
        larger_is_more_similar=False,
        range=(0.0, inf),
        symmetric=True,
        same_space=True,
        invariances=_SETS_IN_ONE_SPACE,
        meaning="distance between the clouds as distributions, by exact optimal transport",
    ),
    "gromov_wasserstein": Properties(
        larger_is_more_similar=False,
        range=(0.0, inf),
        symmetric=True,
        same_space=False,
        invariances=_SIMILARITY_TRANSFORMS | {"shuffling"},
        meaning="mean squared difference of the distances within the clouds, their rows matched at best",
        iterative=True,
    ),
}
"""What each measure of two clouds claims about itself, by its name."""

CLOUD_PROPERTIES = {
    "intrinsic_dimension": CloudProperties(
        range=(0.0, inf),
        invariances=frozenset({"translation", "rotation", "scale", "padding", "shuffling"}),
        meaning="number of directions that a neighbourhood fills",
    ),
    "collapsed_fraction": CloudProperties(
        range=(0.0, 1.0),
        invariances=frozenset({"translation", "rotation", "scale", "linear", "padding", "shuffling"}),
        meaning="share of rows that coincide with another row",
    ),
}
"""What each measure of one cloud claims about itself, by its name."""

# What settings other than the defaults change: for each measure, the setting and the fields that it replaces.
_VARIANTS: dict[str, list[tuple[str, Any, dict[str, Any]]]] = {
    "procrustes": [
        (
            "convention",
            "angle",
            {
                "larger_is_more_similar": False,
                "range": (0.0, pi / 2),
                "meaning": "angle between the clouds, in radians, after the best rotation of one onto the other",
            },
        ),
        (
            "convention",
            "squared",
            {"meaning": "share of one cloud's spread that the best rotation and scaling of the other explains"},
        ),
    ],
    "cka": [("debiased", False, {"range": (0.0, 1.0)})],
    "distance_correlation": [
        (
            "debiased",
            True,
            {
                "range": (-1.0, 1.0),
                "meaning": "correlation of the two clouds' distances over all pairs of rows, doubly centred",
            },
        )
    ],
    "mutual_knn": [
        ("metric", "l2", {"invariances": _SIMILARITY_TRANSFORMS}),
        ("metric", "inner", {"invariances": _ROTATIONS}),
    ],
    "cknna": [
        (
            "metric",
            "inner",
            {
                "invariances": _ROTATIONS,
                "meaning": "correlation of the two clouds' inner products over the pairs of rows that are near in both",
            },
        )
    ],
}


def properties(name: str, **settings: Any) -> Properties:
    """Return the claimed properties of a measure of two embeddings under given settings.

    Args:
        name: Name of the measure, as in `PROPERTIES`.
        **settings: Keyword arguments of the measure, where they are not its defaults.

    Returns:
        Its properties.
    """
    claimed = PROPERTIES[name]
    for setting, value, changes in _VARIANTS.get(name, []):
        if setting in settings and settings[setting] == value:
            claimed = claimed._replace(**changes)
    return claimed
