"""Presenter of learned anchors and their results on held-out structures."""

import itertools
from collections.abc import Mapping

import numpy as np

from platonic_jax.analyses import Agreement, Estimate, Task, Training
from platonic_jax.charts import Spec, curve, dots, entries, lines, points, scattered
from platonic_jax.report._table import Table, with_interval
from platonic_jax.report._texts import measure_text

NAME = "learn"
_KINDS = {
    "trained": "trained models",
    "unseen": "with an unseen model",
    "control": "with an untrained control",
    "excess": "excess of trained models",
}
_MODELS = {
    "trained": "trained models",
    "unseen": "unseen models",
    "control": "untrained controls",
    "excess": "excess error of controls",
}
_SPACES = {
    "raw": "raw embeddings, no anchors",
    "plain": "random anchors",
    "direct": "DIRECT anchors",
    "start": "start of the training",
    "learned": "learned",
}
_BASELINES = {"constant": "constant-mean baseline", "composition": "composition baseline"}
_GAINS = {"start": "gain: learned − start", "raw": "gain: learned − raw embeddings"}
_STYLES = {"raw": "baseline", "plain": "random", "direct": "model", "start": "model", "learned": "model"}
# How verdicts name the spaces that a learned one is compared with.
_COMPARED = {
    "start": "at the start of the training",
    "plain": "with random anchors",
    "direct": "with DIRECT anchors",
    "raw": "in the raw embeddings without anchors",
}


def title(result: Training) -> str:
    """Return the heading."""
    return f"A learned space for {', '.join(result.models[: result.num_trained])}"


def intro(result: Training) -> str:
    """Summarise the input in a sentence."""
    # Anchors have a file of their own, and are absent from a result that was read from JSON.
    anchors = "" if result.anchors is None else f"{len(result.anchors)} anchors; "
    return f"{anchors}training ended: {result.stopped}."


def verdict(result: Training) -> list[str]:
    """State what learning adds, a paragraph for each measure of agreement and one for each task."""
    paragraphs = [
        _agreement_verdict(result.agreement[place], name, place_text)
        for place, place_text in result.places.items()
        for name in result.agreement[place].spaces["learned"]
    ]
    paragraphs += [_task_verdict(task, name) for name, task in result.tasks.items()]
    return paragraphs or ["Nothing was evaluated: agreement needs two trained models, and a task its targets."]


def _agreement_verdict(agreement: Agreement, measure: str, place_text: str) -> str:
    title = measure_text(measure).title
    spaces = agreement.spaces
    figures = {space: spaces[space][measure].means for space in ("learned", *_COMPARED) if space in spaces}
    text = (
        f"{title} of trained models on unseen chemical systems, {place_text}: "
        f"{_series({space: figure['trained'] for space, figure in figures.items()})}."
    )
    if "excess" not in figures["learned"]:
        return f"{text} No untrained control is among the stores, so what any network would share is unknown."
    gains = {space: agreement.gains[space][measure]["excess"] for space in figures if space != "learned"}
    excess = {space: figure["excess"] for space, figure in figures.items()}
    return f"{text} Excess over the untrained control: {_series(excess)}. {_gain_sentences(gains)}"


def _task_verdict(task: Task, name: str) -> str:
    figures = {space: task.spaces[space].means for space in ("learned", *_COMPARED)}
    change, baseline = -task.reduction["start"]["trained"], with_interval(task.baselines["composition"])
    text = (
        f"{name}: {task.unit} of a linear readout of trained models on unseen chemical systems: "
        f"{_series({space: figure['trained'] for space, figure in figures.items()})}; composition baseline {baseline}. "
        f"Learning itself changes the error at its start by {change:+.0%}."
    )
    if not task.gains:
        return text
    excess = {space: figure["excess"] for space, figure in figures.items()}
    gains = {space: task.gains[space] for space in _COMPARED}
    return f"{text} Excess of the untrained control's error: {_series(excess)}. {_gain_sentences(gains)}"


def _series(entries: Mapping[str, Estimate]) -> str:
    """The learned space's figure, then those of the others."""
    others = [f"{with_interval(entry)} {_COMPARED[space]}" for space, entry in entries.items() if space != "learned"]
    return f"{with_interval(entries['learned'])} after learning; {', '.join(others)}"


def _gain_sentences(gains: Mapping[str, Estimate]) -> str:
    """Sentences on what learning adds to the excess over the control, and where the excess falls."""
    sentences = []
    if gains["start"].low > 0:
        sentences.append(f"Learning itself adds {with_interval(gains['start'])} to the excess at its start.")
    falls = {space: gain for space, gain in gains.items() if gain.high < 0}
    if falls:
        changes = " and ".join(f"{with_interval(gain)} from that {_COMPARED[space]}" for space, gain in falls.items())
        sentences.append(f"The excess falls under learning: a change of {changes}.")
    unsure = {space: gain for space, gain in gains.items() if not (gain.low > 0 or gain.high < 0)}
    if unsure:
        changes = ", ".join(f"{_COMPARED[space]} (change {with_interval(gain)})" for space, gain in unsure.items())
        sentences.append(f"It is not certain that learning changes the excess from that {changes}.")
    return " ".join(sentences)


def tables(result: Training) -> list[Table]:
    """Agreement in every space, on held-out atoms of all elements and of one; then the errors of tasks."""
    return [
        *(_agreement(result, place, place_text) for place, place_text in result.places.items()),
        *(_task(result, name) for name in result.tasks),
    ]


def _agreement(result: Training, place: str, place_text: str) -> Table:
    agreement = result.agreement[place]
    spaces = agreement.spaces
    shown = [kind for kind in _KINDS if kind in spaces["learned"]["procrustes"].means]
    rows = [
        (measure_text(name).title, text, *(with_interval(figures[kind]) for kind in shown))
        for name in spaces["learned"]
        for text, figures in (
            *((_SPACES[space], spaces[space][name].means) for space in _spaces(agreement)),
            *((_GAINS[space], agreement.gains[space][name]) for space in _GAINS),
        )
    ]
    alone = "No untrained control is among the stores: what any network would share is unknown."
    return Table(
        f"{agreement.num_atoms} held-out atoms, {place_text}: mean over pairs of models (95 % CI)",
        ("measure", "space", *(_KINDS[kind] for kind in shown)),
        rows,
        words=(0, 1),
        caption="" if "control" in shown else alone,
    )


def _task(result: Training, name: str) -> Table:
    task = result.tasks[name]
    shown = [kind for kind in _MODELS if kind in task.spaces["learned"].means]

    def row(text: str, figures: Mapping[str, Estimate]) -> tuple[str, ...]:
        return (text, *(with_interval(figures[kind]) if kind in figures else "" for kind in shown))

    rows = [row(text, task.spaces[space].means) for space, text in _SPACES.items()]
    rows += [row(f"reduction, learned from {_SPACES[space]}", entry) for space, entry in task.reduction.items()]
    of_models = [kind for kind in _MODELS if kind != "excess"]
    rows += [row(_BASELINES[which], dict.fromkeys(of_models, entry)) for which, entry in task.baselines.items()]
    title = f"{name}: {task.unit} of a linear readout, {task.num['evaluated']} held out (95 % CI)"
    return Table(title, ("space", *(_MODELS[kind] for kind in shown)), rows)


def charts(result: Training) -> list[Spec]:
    """Agreement in every space, of all trained models and of each pair, and the course of training."""
    specs = []
    for place, place_text in result.places.items():
        agreement = result.agreement[place]
        names = list(agreement.spaces["learned"])
        series = [
            entries(
                _SPACES[space],
                [agreement.spaces[space][name].means["trained"] for name in names],
                style=_STYLES[space],
            )
            for space in _spaces(agreement)
        ]
        rows = [measure_text(name).title for name in names]
        caption = f"Agreement of trained models on held-out atoms, {place_text}."
        specs.append(dots(caption, rows, series, axis="mean over pairs of models"))
        specs += [_pairs(result, agreement, name, place_text) for name in names]
    losses = np.asarray(result.losses)
    validation = np.asarray(result.validation_losses)
    series = [curve("training", np.arange(1, len(losses) + 1), losses)]
    if len(validation):
        series.append(curve("held-out chemical systems", *validation.T, markers=True))
    return [*specs, lines("Training and validation loss.", series, x="step", y="loss")]


def _pairs(result: Training, agreement: Agreement, measure: str, place_text: str) -> Spec:
    """Each pair of models in the learned space, and at the start of its training."""
    before, learned = (agreement.spaces[space][measure].pairs for space in ("start", "learned"))
    # Models stand in this order, and so does the later one of a pair.
    ends = np.cumsum([result.num_trained, result.num_unseen])
    kinds = np.searchsorted(ends, [j for _, j in result.pairs], side="right")
    names = [f"{result.models[i]} – {result.models[j]}" for i, j in result.pairs]
    series = [
        scattered(
            _KINDS[kind],
            *(list(itertools.compress(values, kinds == i)) for values in (before, learned)),
            text=list(itertools.compress(names, kinds == i)),
            style="random" if kind == "control" else "model",
        )
        for i, kind in enumerate(("trained", "unseen", "control"))
        if np.any(kinds == i)
    ]
    title = measure_text(measure).title
    caption = (
        f"{title} of each pair of models on held-out atoms, {place_text}: above the line it has grown by learning."
    )
    return points(caption, series, x=f"{title}, start of the training", y=f"{title}, learned", diagonal=True)


def _spaces(agreement: Agreement) -> list[str]:
    return [space for space in _SPACES if space in agreement.spaces]
