"""Values against the number of anchors."""

from collections.abc import Iterator

from platonic_jax.report import _charts
from platonic_jax.report._table import Table
from platonic_jax.report._texts import measure_text, number
from platonic_jax.sweep import PCA, Layers, Sweep

NAME = "sweep"


def title(found: Sweep) -> str:
    """The heading."""
    return f"How many anchors are enough for {len(found.models)} models?"


def intro(found: Sweep) -> str:
    """What was looked at."""
    return (
        f"Means over {len(found.pairs)} pair{'' if len(found.pairs) == 1 else 's'} of models, of "
        f"{', '.join(found.models)}, with {', '.join(str(k) for k in found.ks)} anchors."
    )


def verdicts(found: Sweep) -> list[str]:
    """A paragraph a measure."""
    return [" ".join(_told(found, name)) for name in found.curves]


def _told(found: Sweep, name: str) -> Iterator[str]:
    most = found.ks[-1]
    for method, curve in found.curves[name].items():
        if method == PCA:
            continue
        value, low, high = (getattr(curve, end)[-1, -1] for end in ("value", "low", "high"))
        stable = curve.stable_from[-1]
        told = f"{measure_text(name).title} with {most} anchors, {_method(method)}"
        says = f"the same from {stable} anchors on" if stable else "not the same with fewer: take more to be sure"
        yield f"{told}: {value:.2f} (95 % interval {low:.2f} to {high:.2f}), {says}."


def tables(found: Sweep) -> list[Table]:
    """One table a measure: the mean over pairs; then layer against layer, where that was asked for."""
    made = []
    for name, curves in found.curves.items():
        rows = []
        for method, curve in curves.items():
            stable = curve.stable_from[-1]
            chance = method in found.settings["chance"]
            rows.append(
                (
                    _method(method),
                    *(number(value) for value in curve.value[:, -1]),
                    f"{number(curve.low[-1, -1])} to {number(curve.high[-1, -1])}",
                    f"± {number(curve.spread[-1, -1])}" if chance else "–",
                    f"K = {stable}" if stable else "–",
                )
            )
        made.append(
            Table(
                f"{measure_text(name).title}, mean over pairs of models",
                ("anchors", *(f"K = {k}" for k in found.ks), "95 % interval", "over choices", "stable from"),
                rows,
                caption="interval and spread are those at the largest K",
            )
        )
    return [*made, *(_layers(entry) for entry in found.layers)]


def _layers(found: Layers) -> Table:
    rows = []
    for name, entry in found.measures.items():
        first, second = entry["best"]
        rows.append(
            (
                measure_text(name).title,
                f"{found.names[0][first]} – {found.names[1][second]}",
                number(entry["best_value"]),
                f"{number(entry['low'])} to {number(entry['high'])}",
                number(entry["best_effect"]),
                number(entry["p_of_best"]),
            )
        )
    return Table(
        f"Layers of {found.models[0]} and {found.models[1]}: the pair that agrees most beyond the element",
        ("measure", "layers", "value", "95 % CI", "effect beyond the element", "p, corrected"),
        rows,
        words=(0, 1),
    )


def charts(found: Sweep) -> list[tuple[str, _charts.Spec]]:
    """One chart a measure: a curve for each way to choose anchors."""
    made = []
    for name, curves in found.curves.items():
        series = [
            _charts.curve(
                _method(method),
                found.ks,
                curve.value[:, -1],
                low=curve.low[:, -1],
                high=curve.high[:, -1],
                style="baseline" if method == PCA else "model",
                dash=method == PCA,
                markers=True,
            )
            for method, curve in curves.items()
        ]
        ticks = ([float(k) for k in found.ks], [str(k) for k in found.ks])
        caption = f"{measure_text(name).title}, mean over pairs of models, with 95 % intervals."
        spec = _charts.lines(series, x="number of anchors K", y=name.replace("_", " "), log_x=True, ticks=ticks)
        made.append((caption, spec))
    return made


def _method(method: str) -> str:
    return "none: K principal components" if method == PCA else method.replace("_", " ")
