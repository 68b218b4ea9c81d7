"""One measure over all pairs of models, from the estimates of single pairs."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from platonic_jax.analyses import _measures, _pairs
from platonic_jax.analyses._comparison._record import Matrix
from platonic_jax.analyses._jackknife import half_width

Part = tuple[float, int]


class Estimated(NamedTuple):
    """Interval, nulls, effects and p-values of one pair.

    Attributes:
        errors: standard errors over structures and over anchors; the latter NaN where they were given.
        parts: independent standard errors of the value, with their degrees of freedom.
        nulls: null → its mean.
        p_values: null → p-value, NaN where it cannot be tested.
        effect_parts: null → the same as `parts`, of value − mean of the null.
    """

    errors: tuple[float, float]
    parts: Sequence[Part]
    nulls: Mapping[str, float]
    p_values: Mapping[str, float]
    effect_parts: Mapping[str, Sequence[Part]]


def matrix_of(
    name: str,
    values: Mapping[tuple[int, int], float],
    entries: Mapping[tuple[int, int], Estimated],
    *,
    m: int,
    settings: Mapping[str, Any],
) -> Matrix:
    """Lay the pairs out as (m, m) matrices; a model and itself has a value and nothing beside it."""
    properties = _measures.properties(name)
    optional = [field.name for field in dataclasses.fields(Matrix) if field.name.endswith("_coordination")]
    drawn = {null for entry in entries.values() for null in entry.nulls}
    fields = [field.name for field in dataclasses.fields(Matrix) if field.name != "settings"]
    if "null_within_coordination" not in drawn:
        fields = [field for field in fields if field not in optional]
    out = {field: np.full((m, m), np.nan) for field in fields}
    same = {(i, i): 1.0 for i in range(m)} if properties.range[1] == 1 and name in _pairs.MEASURES else {}
    for (i, j), value in {**same, **values}.items():
        numbers = {"value": value, "low": value, "high": value}
        if (i, j) in entries:
            numbers |= _of_pair(value, entries[i, j], properties.range)
        for field, number in numbers.items():
            out[field][i, j] = number
            if properties.symmetric:
                out[field][j, i] = number
    common = {"larger_is_more_similar": properties.larger_is_more_similar, "range": list(properties.range)}
    return Matrix(**out, settings={**common, **settings})


def _of_pair(value: float, entry: Estimated, limits: tuple[float, float]) -> dict[str, float]:
    low, high = _interval(value, float(half_width(*_arrays(entry.parts))), limits)
    numbers = {"low": low, "high": high, "error_structures": entry.errors[0], "error_anchors": entry.errors[1]}
    for null, mean in entry.nulls.items():
        suffix, effect = null.removeprefix("null"), value - mean
        half = float(half_width(*_arrays(entry.effect_parts[null])))
        numbers |= {
            null: mean,
            f"p{suffix}": entry.p_values[null],
            f"effect{suffix}": effect,
            f"effect_low{suffix}": effect - half,
            f"effect_high{suffix}": effect + half,
        }
    return numbers


def _interval(value: float, half: float, limits: tuple[float, float]) -> tuple[float, float]:
    """Ends of an interval within limits; of a measure that ends at 1, on Fisher's scale, where it is not skewed."""
    slope = 1 - value**2
    if limits[1] == 1 and slope > 0 and half > 0:
        z = np.arctanh(value)
        low, high = np.tanh([z - half / slope, z + half / slope])
    else:
        low, high = value - half, value + half
    return max(low, limits[0]), min(high, limits[1])


def _arrays(parts: Sequence[Part]) -> list[tuple[np.ndarray, int]]:
    return [(np.asarray(error), freedom) for error, freedom in parts]
