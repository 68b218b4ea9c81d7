"""Whether energies changed where a model has moved: changes by element, beside displacements."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.stats import spearmanr

from platonic_jax import statistics
from platonic_jax.tables import EmbeddingTable

LEAST_ELEMENTS = 4  # To rank them.


def changes_of_energy(
    before: EmbeddingTable,
    after: EmbeddingTable,
    labels: Mapping[str, Any] | None,
    moved: np.ndarray,
    structure: np.ndarray,
    symbols: Sequence[str],
    element: np.ndarray,
    num_bootstraps: int,
    key: Array,
) -> dict[str, dict[str, Any]]:
    """Changes of energies, by element, and whether displacements rank the elements as they do."""
    if any("energy" not in table.properties for table in (before, after)):
        return {}
    present = np.unique(before.structure_index)
    count = np.zeros((len(present), len(symbols)))
    np.add.at(count, (structure, element), 1)
    total = np.zeros_like(count)
    np.add.at(total, (structure, element), moved)
    number = count.sum(axis=1)
    earlier, later = (table.properties["energy"][present].astype(float) / number for table in (before, after))
    changes = {"change": np.abs(later - earlier)}
    if labels is not None and np.isfinite(np.asarray(labels["energy"])[present]).any():
        reference = np.asarray(labels["energy"], float)[present] / number
        known, share = np.isfinite(reference), count / number[:, None]
        errors = []
        for energy in (earlier, later):
            per_element = np.linalg.lstsq(share[known], (energy - reference)[known], rcond=None)[0]
            errors.append(np.abs(energy - reference - share @ per_element))
        changes["error_change"] = errors[1] - errors[0]
    draws = np.asarray(_weights(key, jnp.arange(len(present)), num_bootstraps=num_bootstraps), float)
    return {name: _ranked(change, count, total, symbols, draws) for name, change in changes.items()}


_weights = jax.jit(statistics.bootstrap_weights, static_argnames="num_bootstraps")


def _ranked(
    change: np.ndarray, count: np.ndarray, total: np.ndarray, symbols: Sequence[str], draws: np.ndarray
) -> dict[str, Any]:
    """Of a change in each structure: its mean by element, and how its order agrees with that of displacements."""
    known = np.isfinite(change)
    change, count, total = change[known], count[known], total[known]

    def by_element(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        holds = weights @ (count > 0)
        with np.errstate(invalid="ignore"):
            return (weights @ total) / (weights @ count), ((weights * change) @ (count > 0)) / holds

    def correlation(weights: np.ndarray) -> tuple[float, float]:
        displaced, changed = by_element(weights)
        both = np.isfinite(displaced) & np.isfinite(changed)
        if both.sum() < LEAST_ELEMENTS or np.ptp(displaced[both]) == 0 or np.ptp(changed[both]) == 0:
            return np.nan, np.nan
        ranked, p_value = np.asarray(spearmanr(displaced[both], changed[both]))
        return float(ranked), float(p_value)

    whole = np.ones(len(change))
    value, p_value = correlation(whole)
    ranking = {}
    if np.isfinite(value):
        low, high = np.nanquantile([correlation(weights[known])[0] for weights in draws], [0.025, 0.975])
        ranking = {"value": value, "low": float(low), "high": float(high), "p_value": p_value}
    of_elements = zip(symbols, by_element(whole)[1], strict=True)
    return {
        "elements": {symbol: float(entry) for symbol, entry in of_elements if np.isfinite(entry)},
        "rank_correlation": ranking,
    }
