"""The decomposition: from a comparison to what each shared factor explains of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from platonic_adapters import registry
from platonic_adapters.errors import UserError
from scipy import stats

from platonic_jax.analyses._comparison import Comparison, Matrix
from platonic_jax.analyses._decomposition import _regression
from platonic_jax.analyses._decomposition._factors import DEFAULT, TOLERANCE, given_factors, inseparable, known_factors
from platonic_jax.analyses._decomposition._factors import shared as shared_by
from platonic_jax.analyses._decomposition._record import Decomposition, Explained, Omission
from platonic_jax.analyses._decomposition._regression import Pairs
from platonic_jax.analyses._nulls import check_permutations
from platonic_jax.analyses._result import Estimate

FEWEST_MODELS = 5
NULLS = {"structures exchanged": "effect", "exchanged within element": "effect_within_element"}
_DEPENDENT = ("same weights", "fine-tune")
_SHARE_DRAWS = 200  # Of the null of shares, of which only the mean is used.


def decomposition(
    comparison: Comparison,
    *,
    factors: Sequence[str] | Mapping[str, Mapping[str, str]] = DEFAULT,
    measures: Sequence[str] | None = None,
    num_permutations: int = 4999,
    seed: int = 0,
) -> Decomposition:
    """Explain the agreement between trained models by the factors that they share.

    For each measure and null, effect_ij = b₀ + Σ_f b_f [models i and j share factor f] + error, over all pairs of
    trained models that depend on each other neither by their weights nor by fine-tuning.

    Args:
        comparison: Of at least five trained models.
        factors: Names among `analyses.FACTORS`, or factor → model → level.
        measures: Names of measures of the comparison; all of them if None.
        num_permutations: Permutations of the models; all there are, if they are fewer.
        seed: Seed of the permutations.

    Returns:
        Coefficients with intervals and p-values, shares of the variance, their stability, and a verdict. Intervals of
        coefficients hold those values that the permutation test does not reject; intervals of shares are by the
        delete-one-model jackknife, and cover more often than 95 % with few models.

    Raises:
        ValueError: Fewer than five trained models, unknown factors or measures, no factor that varies, or too few
            permutations for a p-value of 0.05.
    """
    check_permutations(num_permutations)
    if unknown := [name for name in measures or () if name not in comparison.measures]:
        raise ValueError(
            f"`measures` must be among those of the comparison, {', '.join(comparison.measures)}, got {unknown[0]!r}."
        )
    index = [i for i, kind in enumerate(comparison.kinds) if kind == "model"]
    models = [comparison.models[i] for i in index]
    stores = [comparison.provenance["stores"][name] for name in models]
    levels = given_factors(factors, models) if isinstance(factors, Mapping) else known_factors(stores, factors)
    dependent = _dependent(stores)
    kept = _without_repeats(stores, dependent, levels)
    repeated = [name for i, name in enumerate(models) if i not in kept]
    index, models = [index[i] for i in kept], [models[i] for i in kept]
    levels = {name: [column[i] for i in kept] for name, column in levels.items()}
    dependent = dependent[np.ix_(kept, kept)]
    if len(models) < FEWEST_MODELS:
        raise ValueError(
            f"`comparison` must be of at least {FEWEST_MODELS} trained models that do not repeat each other, got "
            f"{len(models)}: with fewer, permuting models cannot tell any factor from chance."
        )
    pairs = _regression.pairs_of(len(models), ~dependent)
    matrices = {name: shared_by(column) for name, column in levels.items()}
    constant = [name for name, matrix in matrices.items() if np.ptp(pairs.of(matrix)[pairs.used]) == 0]
    varying = [name for name in matrices if name not in constant]
    if not varying:
        raise ValueError(
            "`factors` must vary over the pairs of models, got only factors that all pairs share, or none."
        )
    if (freedom := int(pairs.used.sum()) - len(varying) - 1) < 2:
        raise ValueError(
            f"`factors` must be fewer than the {int(pairs.used.sum())} pairs of models allow, got {len(varying)}, "
            f"which leaves {freedom} degrees of freedom: choose fewer factors, or compare more models."
        )
    together = inseparable(varying, [matrices[name] for name in varying], pairs=pairs)
    twins = np.all([matrix > 0 for matrix in matrices.values()], axis=0) & ~dependent & ~np.eye(len(models), dtype=bool)
    rng = np.random.default_rng(seed)
    orders = _regression.orders(len(models), number=num_permutations, rng=rng)
    explained: dict[str, dict[str, Explained]] = {}
    undefined: dict[str, str] = {}
    for measure in measures or comparison.measures:
        matrix = comparison.measures[measure]
        for null, field in NULLS.items():
            y = _similarity(matrix, field, index)
            if not np.isfinite(pairs.of(y)[pairs.used]).all():
                undefined[f"{measure}, {null}"] = "the comparison has no effect for some pair"
            elif np.ptp(pairs.of(y)[pairs.used]) == 0:
                undefined[f"{measure}, {null}"] = "all pairs have the same effect"
            else:
                explained.setdefault(measure, {})[null] = _explain(
                    y, {name: matrices[name] for name in varying}, together, pairs, orders, models, twins
                )
    listed = lambda mask: [[models[i], models[j]] for i, j in zip(*np.nonzero(np.triu(mask, 1)), strict=True)]
    return Decomposition(
        models=models,
        factors=levels,
        measures=explained,
        constant=constant,
        inseparable=together,
        repeated=repeated,
        dependent=listed(dependent),
        twins=listed(twins),
        undefined=undefined,
        num={"models": len(models), "pairs": int(pairs.used.sum()), "permutations": len(orders)},
        settings={
            "test": "residuals of each factor on the others, models permuted, statistic t (double semi-partialing), "
            "two-sided",
            "interval": "95 %; of coefficients, by inversion of the test; of shares, value ± t standard errors by the "
            "delete-one-model jackknife",
            "shares": "averaged over the orders of the factors (LMG)",
            "tolerance": TOLERANCE,
            "sign": "a positive coefficient means more similar models; distances are negated",
        },
        provenance={**comparison.provenance, "decomposition_seed": seed},
    )


def _similarity(matrix: Matrix, field: str, index: Sequence[int]) -> np.ndarray:
    """Effects among some models, symmetric, and larger where two are more similar."""
    effect = np.asarray(getattr(matrix, field), float)[np.ix_(index, index)]
    sign = 1.0 if matrix.settings.get("larger_is_more_similar", True) else -1.0
    return sign * (effect + effect.T) / 2


def _without_repeats(
    stores: Sequence[Mapping[str, Any]], dependent: np.ndarray, levels: Mapping[str, Sequence[str]]
) -> list[int]:
    """Indices of models of which none repeats another: of checkpoints of one training, the registry's first stays."""
    order = {spec.name: i for i, spec in enumerate(registry.models())}
    ranked = sorted(range(len(stores)), key=lambda i: (order.get(str(stores[i].get("model")), len(order)), i))
    kept: list[int] = []
    for i in ranked:
        if not any(dependent[i, j] and all(column[i] == column[j] for column in levels.values()) for j in kept):
            kept.append(i)
    return sorted(kept)


def _dependent(stores: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Pairs that share weights, or of which one was fine-tuned from the other."""
    relatives = [_relatives(store) for store in stores]
    one_way = np.array([[known.get(str(other.get("model"))) in _DEPENDENT for other in stores] for known in relatives])
    return one_way | one_way.T


def _relatives(store: Mapping[str, Any]) -> Mapping[str, str]:
    """Relatives of a model and their relations, by the registry where an older store gives the names alone."""
    relatives = store.get("relatives")
    if isinstance(relatives, Mapping):
        return relatives
    try:
        return registry.resolve(str(store.get("model"))).model.relatives
    except UserError:
        return dict.fromkeys(relatives or (), "same weights")


def _explain(
    y: np.ndarray,
    matrices: Mapping[str, np.ndarray],
    together: Sequence[Sequence[str]],
    pairs: Pairs,
    orders: np.ndarray,
    models: Sequence[str],
    twins: np.ndarray,
) -> Explained:
    """Explain one matrix of similarities."""
    names = list(matrices)
    joint = {name for group in together for name in group}
    alone = [name for name in names if name not in joint]
    stack = np.stack([matrices[name] for name in names])
    others = {name: stack[[other != name for other in names]] for name in alone}
    fitted = {
        name: _regression.coefficient(y, matrices[name], others[name], pairs=pairs, orders=orders) for name in alone
    }
    groups = [[names.index(name)] for name in alone] + [[names.index(name) for name in group] for group in together]
    labels = [*alone, *(" and ".join(group) for group in together)]
    shares = _shares(y, stack, groups, pairs, orders)
    values = pairs.of(y)[pairs.used]
    twin = values[pairs.of(twins.astype(float))[pairs.used] > 0]
    return Explained(
        coefficients={
            name: Estimate(one.value, one.low, one.high, p=one.p, method="inversion of the permutation test")
            for name, one in fitted.items()
        },
        adjusted=dict(zip(alone, _holm([one.p for one in fitted.values()]), strict=True)),
        partial={name: one.partial for name, one in fitted.items()},
        shares=dict(zip(labels, shares, strict=True)),
        total=float(sum(share.value for share in shares)),
        omissions={name: _omissions(y, matrices[name], others[name], pairs, models) for name in alone},
        means=_means(values, {name: pairs.of(matrix)[pairs.used] for name, matrix in matrices.items()}),
        ceiling=Estimate(float(twin.mean()), float(twin.min()), float(twin.max()), method="range")
        if len(twin)
        else None,
    )


def _shares(
    y: np.ndarray, stack: np.ndarray, groups: list[list[int]], pairs: Pairs, orders: np.ndarray
) -> list[Estimate]:
    """Shares of the variance, with jackknife intervals over models and their means under permutation."""
    split = lambda matrix, chosen: _regression.shares(matrix, stack, pairs=chosen, groups=groups)
    value = split(y, pairs)
    n = len(y)
    without = np.stack([split(y, pairs._replace(used=pairs.used & (pairs.i != k) & (pairs.j != k))) for k in range(n)])
    error = np.sqrt((n - 1) / n * np.sum((without - without.mean(axis=0)) ** 2, axis=0))
    null = np.mean([split(y[np.ix_(order, order)], pairs) for order in orders[:_SHARE_DRAWS]], axis=0)
    half = stats.t.ppf(0.975, n - 1) * error
    return [
        Estimate.around(
            float(value[g]), float(half[g]), limits=(0.0, 1.0), null=float(null[g]), method="delete-one-model jackknife"
        )
        for g in range(len(groups))
    ]


def _omissions(y: np.ndarray, factor: np.ndarray, others: np.ndarray, pairs: Pairs, models: Sequence[str]) -> Omission:
    """Coefficients of a factor without one model after the other."""
    slopes = {}
    for k, model in enumerate(models):
        fewer = pairs._replace(used=pairs.used & (pairs.i != k) & (pairs.j != k))
        if np.nan_to_num(_regression.tolerances(np.stack([factor, *others]), pairs=fewer)[0]) >= TOLERANCE:
            slopes[model] = _regression.slope(y, factor, others, pairs=fewer)
    undefined = tuple(model for model in models if model not in slopes)
    if not slopes:
        return Omission(np.nan, np.nan, "", "", undefined)
    low, high = min(slopes, key=slopes.__getitem__), max(slopes, key=slopes.__getitem__)
    return Omission(slopes[low], slopes[high], low, high, undefined)


def _means(values: np.ndarray, columns: Mapping[str, np.ndarray]) -> dict[str, tuple[float, int]]:
    """Mean effect of the pairs that share the same factors."""
    patterns: dict[str, list[float]] = {}
    for m, value in enumerate(values):
        common = [name for name, column in columns.items() if column[m] > 0]
        patterns.setdefault(", ".join(common) or "nothing", []).append(float(value))
    ranked = sorted(patterns.items(), key=lambda entry: -float(np.mean(entry[1])))
    return {name: (float(np.mean(entries)), len(entries)) for name, entries in ranked}


def _holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number, by Holm's method; those that are NaN do not count."""
    order = [i for i in np.argsort(p_values) if np.isfinite(p_values[i])]
    stepped = np.maximum.accumulate([(len(order) - rank) * p_values[i] for rank, i in enumerate(order)])
    adjusted = np.full(len(p_values), np.nan)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()
