"""Changes of energies by element, beside displacements."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from platonic_jax import diagnostics
from platonic_jax.analyses._drift._record import EnergyChange
from platonic_jax.analyses._intervals import draw_weights, of_draws
from platonic_jax.numerics import map_rows
from platonic_jax.readouts import element_energies
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
) -> dict[str, EnergyChange]:
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
            per_element = element_energies(share[known], (energy - reference)[known])
            errors.append(np.abs(energy - reference - share @ per_element))
        changes["error_change"] = errors[1] - errors[0]
    draws = draw_weights(key, len(present), num_bootstraps=num_bootstraps)
    return {name: _ranked(change, count, total, symbols, draws) for name, change in changes.items()}


def _ranked(
    change: np.ndarray, count: np.ndarray, total: np.ndarray, symbols: Sequence[str], draws: np.ndarray
) -> EnergyChange:
    """Compute the mean of a change by element, and how well displacements rank the elements in its order."""
    known = np.isfinite(change)
    change, count, total = change[known], count[known], total[known]
    weights = np.concatenate([np.ones((1, len(change))), draws[:, known]])
    with np.errstate(invalid="ignore"):
        displaced = (weights @ total) / (weights @ count)
        changed = (weights @ (change[:, None] * (count > 0))) / (weights @ (count > 0))
    ranking, present = None, np.isfinite(displaced) & np.isfinite(changed)
    if present[0].sum() >= LEAST_ELEMENTS:
        arrays = (np.where(present, displaced, 0), np.where(present, changed, 0), present)
        correlation = np.asarray(_correlations(*(jnp.asarray(array, jnp.float32) for array in arrays)), float)
        correlation[present.sum(axis=1) < LEAST_ELEMENTS] = np.nan
        if np.isfinite(correlation[0]):
            ranking = of_draws(correlation[0], correlation[1:], scale="correlation", sizes=np.ones(len(change), int))
    elements = {symbol: float(mean) for symbol, mean in zip(symbols, changed[0], strict=True) if np.isfinite(mean)}
    return EnergyChange(elements, ranking)


@jax.jit
def _correlations(displaced: Array, changed: Array, present: Array) -> Array:
    """(d,) rank correlation over the elements that are present in each draw, all arrays (d, e)."""
    of_draw = lambda draw: diagnostics.rank_correlation(draw[0], draw[1], weights=draw[2])
    return map_rows(of_draw, (displaced, changed, present))
