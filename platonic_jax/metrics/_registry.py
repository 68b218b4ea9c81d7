"""What each measure claims about itself; `testing.check_measure` holds it to every claim, and to nothing more."""

from typing import NamedTuple

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


class Properties(NamedTuple):
    """What to expect of the value of a measure.

    Attributes:
        larger_is_more_similar: Direction.
        range: Lowest and highest value it can take.
        symmetric: Whether exchanging the clouds leaves it as it is.
        same_space: Whether both clouds must lie in one space, column by column.
        invariances: The names in `TRANSFORMATIONS` that leave it as it is.
        meaning: One sentence for the reader of a report.
    """

    larger_is_more_similar: bool
    range: tuple[float, float]
    symmetric: bool
    same_space: bool
    invariances: frozenset[str]
    meaning: str


_COMMON = {"common_rotation", "common_shuffling"}
_SIMILARITY_TRANSFORMS = {"translation", "rotation", "scale", "padding", "common_translation"} | _COMMON

PROPERTIES = {
    "procrustes": Properties(
        larger_is_more_similar=True,
        range=(0.0, 1.0),
        symmetric=True,
        same_space=False,
        invariances=frozenset(_SIMILARITY_TRANSFORMS),
        meaning="cosine of the angle between the clouds after the best rotation of one onto the other",
    ),
    "cka": Properties(
        larger_is_more_similar=True,
        range=(-1.0, 1.0),
        symmetric=True,
        same_space=False,
        invariances=frozenset(_SIMILARITY_TRANSFORMS),
        meaning="correlation of the two clouds' inner products over all pairs of rows",
    ),
    "mutual_knn": Properties(
        larger_is_more_similar=True,
        range=(0.0, 1.0),
        symmetric=True,
        same_space=False,
        invariances=frozenset({"rotation", "scale", "row_scale", "padding"} | _COMMON),
        meaning="share of the nearest rows that both clouds have in common, averaged over rows",
    ),
    "sinkhorn_divergence": Properties(
        larger_is_more_similar=False,
        range=(0.0, float("inf")),
        symmetric=True,
        same_space=True,
        invariances=frozenset({"shuffling", "common_translation"} | _COMMON),
        meaning="squared distance between the clouds as distributions, by entropic optimal transport",
    ),
}

# Where a setting other than the default changes what a measure is invariant to.
_VARIANTS = {
    ("mutual_knn", "l2"): frozenset(_SIMILARITY_TRANSFORMS),
    ("mutual_knn", "inner"): frozenset({"rotation", "scale", "padding"} | _COMMON),
}


def properties(name: str, *, metric: str | None = None, debiased: bool = True) -> Properties:
    """What a measure claims about itself under given settings.

    Args:
        name: Name of the measure, as in `PROPERTIES`.
        metric: The metric of `mutual_knn`, where it is not the default.
        debiased: The setting of `cka`.

    Returns:
        Its properties.
    """
    claimed = PROPERTIES[name]
    if metric is not None and (name, metric) in _VARIANTS:
        return claimed._replace(invariances=_VARIANTS[name, metric])
    if name == "cka" and not debiased:
        return claimed._replace(range=(0.0, 1.0))
    return claimed
