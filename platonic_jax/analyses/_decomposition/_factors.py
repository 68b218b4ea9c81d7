"""Factors of models: what is known of each, and which pairs share it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from platonic_adapters import registry
from platonic_adapters.errors import UserError

from platonic_jax.analyses._decomposition import _regression
from platonic_jax.analyses._decomposition._regression import Pairs

FACTORS = ("training_data", "functional", "network", "features", "supervision", "body_order")
"""Factors that the registry of models knows."""
DEFAULT = FACTORS[:-1]
TOLERANCE = 0.1  # Least share of a factor's variance that the others must leave unexplained.


def known_factors(stores: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[str]]:
    """Look up factors of models in the provenance of their stores, and in the registry where an older store lacks them.

    Args:
        stores: Provenance of each model.
        names: Factors among `FACTORS`.

    Raises:
        ValueError: Another factor, or a model of which one is not known.
    """
    if unknown := [name for name in names if name not in FACTORS]:
        raise ValueError(f"`factors` must be among {', '.join(FACTORS)}, got {unknown[0]!r}; give others as a table.")
    levels: dict[str, list[str]] = {name: [] for name in names}
    for store in stores:
        facts = _facts(store)
        for name in names:
            level = str(facts.get(name) or "")
            if not level and name != "functional":
                raise ValueError(
                    f"`factors`: {name} of {store.get('model', 'a model without provenance')} is not known: give a "
                    "table with the levels of every model."
                )
            levels[name].append(level or "none")
    return levels


def _facts(store: Mapping[str, Any]) -> dict[str, Any]:
    if "network" not in store:
        try:
            model = registry.resolve(str(store.get("model", ""))).model
        except UserError:
            pass
        else:
            store = {**{name: getattr(model, name, None) for name in FACTORS}, **store}
    return {**store, "features": str(store.get("architecture") or "").partition(",")[0]}


def read_factors(path: str | Path) -> dict[str, dict[str, str]]:
    """Read factors from a CSV file with a column `model` and one for each factor.

    Args:
        path: The file.

    Returns:
        Factor → model → level.

    Raises:
        ValueError: It has no such columns, or a model or level is missing.
    """
    import pandas as pd

    table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    if "model" not in table.columns or len(table.columns) < 2:
        raise ValueError(
            f"{str(path)!r} must have a column `model` and one for each factor, got {', '.join(table.columns)}."
        )
    table = table.set_index("model")
    for name in table.columns:
        if empty := [model for model in table.index if not str(table[name][model]).strip()]:
            raise ValueError(f"{str(path)!r} must give a level of {name} for {empty[0]}: the field is empty.")
    return {str(name): {str(model): str(level) for model, level in table[name].items()} for name in table.columns}


def given_factors(factors: Mapping[str, Mapping[str, str]], models: Sequence[str]) -> dict[str, list[str]]:
    """Put the levels of a table of one's own in the order of the models.

    Raises:
        ValueError: A model has no level.
    """
    for name, levels in factors.items():
        if missing := [model for model in models if model not in levels]:
            raise ValueError(f"`factors` must give a level of {name} for every model, got none for {missing[0]!r}.")
    return {name: [str(levels[model]) for model in models] for name, levels in factors.items()}


def shared(levels: Sequence[str]) -> Float[np.ndarray, "n n"]:
    """Return the matrix of pairs that share a level: 1 where they do, else 0."""
    column = np.asarray(levels)
    return (column[:, None] == column[None, :]).astype(float)


def inseparable(names: Sequence[str], matrices: Sequence[np.ndarray], *, pairs: Pairs) -> list[list[str]]:
    """Find sets of factors of which one is nearly a linear combination of the others over the pairs.

    Args:
        names: Of the factors, none of them constant.
        matrices: Which pairs share each.
        pairs: The pairs that take part.
    """

    def tolerance(f: int, others: Sequence[int]) -> float:
        return _regression.tolerances(np.stack([matrices[g] for g in (f, *others)]), pairs=pairs)[0]

    sets: list[set[str]] = []
    for f, name in enumerate(names):
        others = [g for g in range(len(names)) if g != f]
        if not others or tolerance(f, others) >= TOLERANCE:
            continue
        for g in list(others):  # only those are left without which the factor would be separable
            fewer = [other for other in others if other != g]
            if fewer and tolerance(f, fewer) < TOLERANCE:
                others = fewer
        joint = {name, *(names[g] for g in others)}
        overlapping = [one for one in sets if one & joint]
        sets = [one for one in sets if not one & joint] + [joint.union(*overlapping)]
    return [[name for name in names if name in one] for one in sets]
