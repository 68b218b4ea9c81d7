"""Verdict on a comparison in plain sentences, each with its numbers.

Only pairs of trained models are tested, against four baselines: permutation of whole structures, permutation within
each element, the element-only baseline, and an untrained network.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from platonic_jax import _html, statistics
from platonic_jax.analyses import Comparison, Matrix, arrangement
from platonic_jax.report._texts import series

__all__ = ["Answer", "answers"]

SIGNIFICANT = 0.05

# Measures of global geometry, of which the first one present is used, and the meaning of a value of 1.
_GLOBAL = {
    "procrustes": ("Procrustes similarity", "1 would be the same arrangement of atoms, up to rotation and scale"),
    "cka": ("CKA", "1 would be the same similarities between all atoms"),
}


class Answer(NamedTuple):
    """One question of the verdict: the short answer, the sentences behind it, and a command to run where one helps."""

    question: str
    answer: str
    detail: str
    command: str = ""

    @property
    def html(self) -> str:
        """The answer, its sentences and the command as HTML."""
        command = f"<pre>{_html.text(self.command)}</pre>" if self.command else ""
        return f"<p><b>{_html.prose(self.answer)}</b> {_html.prose(self.detail)}</p>{command}"


def answers(comparison: Comparison) -> tuple[str, list[Answer]]:
    """Summarise a comparison in plain sentences, for a reader who has not seen its figures.

    Args:
        comparison: the result.

    Returns:
        The leading sentences, and the answers that support them; plain text throughout.
    """
    trained = [(i, j) for i, j, kind in arrangement.pairs(comparison) if kind == "model"]
    if not trained:
        lead = "Fewer than two trained models are compared, so the numbers below show controls, not agreement."
        return lead, []
    names = arrangement.labels(comparison)
    elements, untrained = ([i for i, kind in enumerate(comparison.kinds) if kind == k] for k in ("element", "random"))
    lead, supporting = [], []
    chosen = next((name for name in _GLOBAL if name in comparison.measures), None)
    if chosen:
        measure = comparison.measures[chosen]
        beyond = _beyond_nulls(measure, trained)
        supporting += [_extremes(measure, trained, names, chosen), *_relatives(comparison, trained, names)]
        supporting.append(_against_exchange(measure, trained))
        if _drawn(measure, "null_within_element"):
            supporting.append(_against_element(measure, trained, elements))
        if untrained:
            beyond["an untrained network"] = _above(measure, trained, untrained)
            supporting.append(_against_random(measure, trained, untrained, names, beyond["an untrained network"]))
        lead.append(f"In global geometry, {_claim(beyond, trained, names)}.")
    if not untrained:
        supporting.append(_no_control(comparison))
    if "mutual_knn" in comparison.measures:
        measure = comparison.measures["mutual_knn"]
        beyond = _beyond_nulls(measure, trained)
        if untrained:
            beyond["an untrained network"] = _above(measure, trained, untrained)
        supporting.append(_neighbours(measure, trained, names, untrained, beyond))
        lead.append(f"In nearest neighbours, {_claim(beyond, trained, names)}.")
    if "mutual_knn_other_structures" in comparison.measures:
        measure = comparison.measures["mutual_knn_other_structures"]
        beyond = _beyond_nulls(measure, trained)
        if untrained:
            beyond["an untrained network"] = _above(measure, trained, untrained)
        supporting.append(_neighbours(measure, trained, names, untrained, beyond, others=True))
    return " ".join(lead) or "Neither global geometry nor neighbours were compared; see the figures.", supporting


def _drawn(measure: Matrix, null: str) -> bool:
    return null in measure.settings.get("exchange", {})


def _beyond_nulls(measure: Matrix, trained: list[tuple[int, int]]) -> dict[str, int | None]:
    """The pairs that agree beyond the element, or beyond permuted structures where elements are unknown."""
    if _drawn(measure, "null") and not _drawn(measure, "null_within_element"):
        return {"permuted structures": _beyond(measure, trained, "")}
    return {"the element": _beyond(measure, trained, "_within_element")}


def _beyond(measure: Matrix, trained: list[tuple[int, int]], suffix: str) -> int | None:
    """The pairs that agree beyond a null: p ≤ 0.05, and an effect whose interval excludes 0; None where untested."""
    if not _tested(measure, trained, suffix):
        return None
    sign = 1 if measure.settings["larger_is_more_similar"] else -1
    end = "low" if sign > 0 else "high"
    effect, end, p = (getattr(measure, f"{name}{suffix}") for name in ("effect", f"effect_{end}", "p"))
    return sum(bool(p[pair] <= SIGNIFICANT and sign * effect[pair] > 0 and sign * end[pair] > 0) for pair in trained)


def _tested(measure: Matrix, trained: list[tuple[int, int]], suffix: str) -> bool:
    enough = measure.settings["num_permutations"] >= statistics.fewest_permutations(SIGNIFICANT)
    return enough and any(np.isfinite(getattr(measure, f"p{suffix}")[pair]) for pair in trained)


def _untested(measure: Matrix) -> str:
    """Explain why there is no test."""
    fewest = statistics.fewest_permutations(SIGNIFICANT)
    if (number := measure.settings["num_permutations"]) < fewest:
        return f"{number} permutations cannot reach p ≤ {SIGNIFICANT:g}; use at least {fewest}."
    return "Too few structures can be exchanged for a test."


def _effect(
    measure: Matrix, trained: list[tuple[int, int]], suffix: str, *, scale: float = 1.0, digits: int = 2
) -> str:
    """The effects of the pairs, with the interval where it is one pair."""
    value, low, high = (scale * getattr(measure, f"effect{end}{suffix}") for end in ("", "_low", "_high"))
    if len(trained) > 1:
        return _span(value, trained, digits=digits)
    pair = trained[0]
    return f"{value[pair]:.{digits}f} (95 % CI {low[pair]:.{digits}f} to {high[pair]:.{digits}f})"


def _moved(measure: Matrix, null: str) -> str:
    """Describe the number of atoms that permutations can move."""
    exchange = measure.settings.get("exchange", {}).get(null)
    if not exchange:
        return ""
    text = f"{exchange['num_movable_atoms']:,} of {exchange['num_atoms']:,} atoms can be exchanged"
    if "num_groups" in exchange:
        text += f", {exchange['num_tested_groups']} of {exchange['num_groups']} elements tested"
    return f"; {text}"


def _claim(counts: Mapping[str, int | None], trained: list[tuple[int, int]], names: list[str]) -> str:
    """State the nulls that the agreement exceeds, and for how many of the pairs."""
    total = len(trained)
    untested = [what for what, count in counts.items() if count is None]
    beyond = {what: count for what, count in counts.items() if count is not None}
    if untested:
        unknown = f"whether models agree beyond {series(untested)} cannot be tested"
        return f"{unknown}; {_claim(beyond, trained, names)}" if beyond else unknown
    if total == 1:
        i, j = trained[0]
        yes = [f"beyond {what}" for what, count in beyond.items() if count]
        no = [f"beyond {what}" for what, count in beyond.items() if not count]
        if not yes:
            return f"{names[i]} and {names[j]} do not agree {series(no, 'or')}"
        return f"{names[i]} and {names[j]} agree {series(yes)}" + (f", but not {series(no, 'or')}" if no else "")
    (what, count), *others = beyond.items()
    first = f"{_count(count, total)} of models {'agree' if count else 'agrees'} beyond {what}"
    return "; ".join([first, *(f"{_count(count, total)} beyond {what}" for what, count in others)])


def _extremes(measure: Matrix, trained: list[tuple[int, int]], names: list[str], chosen: str) -> Answer:
    title, meaning = _GLOBAL[chosen]
    trained = [pair for pair in trained if np.isfinite(measure.value[pair])]
    if not trained:
        return Answer("How far do they agree?", "Undefined.", f"{title} is undefined if all embeddings are equal.")
    most, least = _most_and_least(measure, trained)
    first = f"{names[most[0]]} and {names[most[1]]}"
    text = f"{title} {measure.value[most]:.2f} (95 % CI {measure.low[most]:.2f} to {measure.high[most]:.2f})"
    if len(trained) == 1:
        return Answer("How far do they agree?", f"{measure.value[most]:.2f}.", f"{first}: {text}; {meaning}.")
    last = (
        f"The least: {names[least[0]]} and {names[least[1]]}, {measure.value[least]:.2f} "
        f"({measure.low[least]:.2f} to {measure.high[least]:.2f})."
    )
    return Answer("Which models agree most?", f"{first}.", f"{text}; {meaning}. {last}")


def _against_exchange(measure: Matrix, trained: list[tuple[int, int]]) -> Answer:
    question = "Beyond permuted structures?"
    if not _tested(measure, trained, ""):
        return Answer(question, "Cannot be tested.", _untested(measure))
    count = sum(bool(measure.p[pair] <= SIGNIFICANT) for pair in trained)
    return Answer(
        question,
        _yes(count, len(trained)),
        f"The mean similarity under permutation of whole structures is {_span(measure.null, trained)}, an effect of "
        f"{_effect(measure, trained, '')} (p = {_span(measure.p, trained, digits=3)}{_moved(measure, 'null')}).",
    )


def _against_element(measure: Matrix, trained: list[tuple[int, int]], controls: list[int]) -> Answer:
    question = "Beyond the element?"
    baseline = ""
    if controls:
        reached = _span(measure.value, _with(controls, trained))
        baseline = f" The element-only baseline reaches {reached} with the models."
    count = _beyond(measure, trained, "_within_element")
    if count is None:
        return Answer(question, "Cannot be tested.", _untested(measure) + baseline)
    return Answer(
        question,
        _yes(count, len(trained)),
        "The mean similarity under permutation within each element is "
        f"{_span(measure.null_within_element, trained)}, an effect of "
        f"{_effect(measure, trained, '_within_element')} (p = {_span(measure.p_within_element, trained, digits=3)}"
        f"{_moved(measure, 'null_within_element')}).{baseline}",
    )


def _against_random(
    measure: Matrix, trained: list[tuple[int, int]], controls: list[int], names: list[str], count: int
) -> Answer:
    reached = _span(measure.value, _with(controls, trained))
    who = series([names[i] for i in controls])
    return Answer(
        "More than an untrained network?",
        _yes(count, len(trained)),
        f"Without training, {who} reaches {reached} with the models: this much is explained by architecture and input. "
        "A pair counts as above.",
    )


def _no_control(comparison: Comparison) -> Answer:
    model = comparison.models[comparison.kinds.index("model")]
    return Answer(
        "More than an untrained network?",
        "Not tested.",
        "The comparison has no untrained control, so agreement from training cannot be separated from agreement by "
        "architecture. Embed the same structures with one, and compare again:",
        f'platonic embed "random:{model}?seed=0" INPUT -o random.zarr',
    )


def _neighbours(
    measure: Matrix,
    trained: list[tuple[int, int]],
    names: list[str],
    untrained: list[int],
    beyond: dict[str, int | None],
    *,
    others: bool = False,
) -> Answer:
    most, least = _most_and_least(measure, trained)

    def share(pair: tuple[int, int]) -> str:
        value, low, high = (100 * a[pair] for a in (measure.value, measure.low, measure.high))
        return f"{names[pair[0]]} and {names[pair[1]]} share {value:.0f} % (95 % CI {low:.0f} to {high:.0f} %)"

    shares = share(most) + ("" if len(trained) == 1 else f", {share(least)}")
    among = " in other structures" if others else ""
    detail = (
        f"Of the {measure.settings['num_neighbours']} nearest neighbours of an atom{among}, of "
        f"{measure.settings['num_rows']:,} atoms, {shares}."
    )
    if "the element" in beyond and beyond["the element"] is None:
        detail += f" {_untested(measure)}"
    elif "the element" in beyond:
        detail += (
            f" Under permutation within each element the share is "
            f"{_span(100 * measure.null_within_element, trained, digits=0)} %, an effect of "
            f"{_effect(measure, trained, '_within_element', scale=100.0, digits=0)} percentage points "
            f"(p = {_span(measure.p_within_element, trained, digits=3)})."
        )
    if untrained:
        reached = _span(100 * measure.value, _with(untrained, trained), digits=0)
        detail += f" An untrained control shares {reached} % with the models."
    total = len(trained)
    short = {
        what: "cannot be tested"
        if count is None
        else ("yes" if count else "no")
        if total == 1
        else _count(count, total)
        for what, count in beyond.items()
    }
    answer = "; ".join(f"beyond {what}: {count}" for what, count in short.items())
    question = "Do neighbours in other structures agree?" if others else "Do nearest neighbours agree?"
    return Answer(question, f"{answer.capitalize()}.", detail)


def _relatives(comparison: Comparison, trained: list[tuple[int, int]], names: list[str]) -> list[Answer]:
    related = _related(comparison, trained)
    if not related:
        return []
    pairs = series([f"{names[i]} and {names[j]}" for i, j in related])
    reason = "share weights, data or code (for example, one is a fine-tune of the other)"
    return [
        Answer(
            "Independent models?", "Not all.", f"{pairs} {reason}, so their agreement is no evidence of convergence."
        )
    ]


def _related(comparison: Comparison, trained: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pairs of which one names the other as a relative: not independent of each other."""
    stores = [comparison.provenance["stores"][name] for name in comparison.models]
    return [
        (i, j)
        for i, j in trained
        if stores[j].get("model") in stores[i].get("relatives", ())
        or stores[i].get("model") in stores[j].get("relatives", ())
    ]


def _above(measure: Matrix, trained: list[tuple[int, int]], controls: list[int]) -> int:
    """The pairs whose whole interval lies above what either of the two reaches with any of the controls."""
    return sum(
        bool(measure.low[i, j] > max(measure.value[model, control] for model in (i, j) for control in controls))
        for i, j in trained
    )


def _with(controls: list[int], trained: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(model, control) for model in sorted({i for pair in trained for i in pair}) for control in controls]


def _most_and_least(measure: Matrix, trained: list[tuple[int, int]]) -> tuple[tuple[int, int], tuple[int, int]]:
    ranked = sorted(trained, key=lambda pair: -measure.value[pair])
    return ranked[0], ranked[-1]


def _span(values: np.ndarray, where: list[tuple[int, int]], *, digits: int = 2) -> str:
    """`0.55`, or `0.55 to 0.70` where pairs differ."""
    chosen = [values[pair] for pair in where if np.isfinite(values[pair])]
    if not chosen:
        return "undefined"
    ends = dict.fromkeys(f"{end + 0.0:.{digits}f}" for end in (np.min(chosen), np.max(chosen)))
    return " to ".join(ends)


def _count(count: int, total: int) -> str:
    return f"all {total} pairs" if count == total else f"{count} of {total} pairs" if count else "no pair"


def _yes(count: int, total: int) -> str:
    if total == 1:
        return "Yes." if count else "No."
    return f"Yes, {_count(count, total)}." if count == total else f"{_count(count, total).capitalize()}."
