"""One model's embeddings in another model's energy readout."""

from platonic_jax.analyses import Estimate, ReadoutTransfer, Transfer
from platonic_jax.charts import Spec, dots, entries
from platonic_jax.report._table import Strong, Table, with_interval

NAME = "readout_transfer"
_MILLI = 1e-3
_ERRORS = {"mae": "Mean absolute error", "median": "Median error", "rmse": "Root mean square error"}


def title(result: ReadoutTransfer) -> str:
    """Return the heading."""
    return f"Readout transfer from {result.source} to {result.target}"


def intro(result: ReadoutTransfer) -> str:
    """Summarise the input in a sentence."""
    num = result.num
    return (
        f"Maps fitted on {num['fitted']:,} atoms, one chosen on {num['validated']:,} of other chemical systems, and "
        f"evaluated on {num['evaluated']:,} atoms of {num['structures']:,} structures of {num['systems']:,} "
        "more."
    )


def verdict(result: ReadoutTransfer) -> list[str]:
    """State the unexplained variance and the energy errors of the chosen map, beside anchors alone and baselines."""
    best, zero, element = result.methods[result.best], result.methods["zero-shot"], result.baselines["element"]
    text = (
        f"On unseen chemical systems the {result.best} map from {result.source}, chosen on others, leaves a fraction "
        f"of variance unexplained of {best.unexplained:.2f} of the embeddings of {result.target}; anchors alone leave "
        f"{zero.unexplained:.2f}, the element-only baseline {element.unexplained:.2f}."
    )
    if not result.readout:
        return [f"{text} The store of {result.target} has no readout, so energies were not evaluated."]
    composition = result.baselines["composition"]
    controls = {name: methods[result.chosen[name]] for name, methods in result.controls.items()}
    text += (
        f" The energy readout of {result.target} has an MAE of {_milli(best)} meV/atom on them, {_milli(zero)} with "
        f"anchors alone; the composition baseline has {_milli(composition)}"
        + "".join(f", {name} {_milli(entry)}" for name, entry in controls.items())
        + "."
    )
    rivals = [entry.mae for entry in (composition, element, *controls.values()) if entry.mae]
    if best.mae is None or not all(error.bounded for error in (best.mae, *rivals)):
        few = f"There are too few chemical systems ({result.num['systems']}) for a significant comparison."
        return [f"{text} {few}"]
    if best.mae.high < min(rival.low for rival in rivals):
        return [f"{text} The mapped embeddings beat every baseline."]
    return [f"{text} This is no significant improvement over the baselines."]


def _milli(figures: Transfer) -> str:
    return "undefined" if figures.mae is None else f"{figures.mae.scaled(1 / _MILLI):.0f}"


def _milli_cell(error: Estimate | None) -> str:
    return "–" if error is None else with_interval(error, unit=_MILLI)


def tables(result: ReadoutTransfer) -> list[Table]:
    """One row for each way to obtain the target's embeddings."""
    num = result.num
    entries = dict(result.methods)
    entries |= {
        f"{name}, {method}": entry
        for name, methods in result.controls.items()
        for method, entry in methods.items()
        if method in (result.chosen[name], "zero-shot")
    }
    entries |= {f"{name} alone": entry for name, entry in result.baselines.items()}
    rows = []
    for name, entry in entries.items():
        cells = [with_interval(entry.unexplained) if entry.unexplained else "–"]
        if result.readout:
            cells += [_milli_cell(error) for error in (entry.mae, entry.median, entry.rmse)]
        rows.append((Strong(name) if name == result.best else name, *cells))
    errors = ", ".join(f"{name.upper()} {with_interval(entry)}" for name, entry in result.reconstruction.items())
    energies = ("energy, MAE in meV/atom", "median", "RMSE") if result.readout else ()
    return [
        Table(
            f"{result.source} → {result.target}: {num['evaluated']} atoms of {num['structures']} structures, "
            f"{num['systems']} unseen chemical systems (95 % CI)",
            ("embeddings", "variance unexplained", *energies),
            rows,
            caption=f"{errors}; {result.settings['k']} anchors",
        )
    ]


def charts(result: ReadoutTransfer) -> list[Spec]:
    """Fraction of variance unexplained by each map, and the errors of the readout on the mapped embeddings."""
    caption = "Fraction of variance unexplained of the target's embeddings."
    axis, marks = "fraction of variance unexplained", {"constant mean": 1.0}
    specs = [dots(caption, *_errors(result, "unexplained"), axis=axis, marks=marks)]
    for figure, name in _ERRORS.items() if result.readout else ():
        caption = f"{name} of energies by the readout of {result.target} on the mapped embeddings."
        axis = f"{name} of energies, meV/atom"
        specs.append(dots(caption, *_errors(result, figure, unit=_MILLI), axis=axis, log=True))
    return specs


def _errors(result: ReadoutTransfer, figure: str, *, unit: float = 1.0) -> tuple[list[str], list[Spec]]:
    """Rows and series: maps of the source and of the controls, and baselines."""
    baselines = {f"{name} alone": entry for name, entry in result.baselines.items() if getattr(entry, figure)}
    rows = [*result.methods, *baselines]
    values_of = lambda transfers: [getattr(transfers[row], figure) if row in transfers else None for row in rows]
    series = [entries(result.source, values_of(result.methods), unit=unit)]
    series += [
        entries(name, values_of(transfers), style="random", unit=unit) for name, transfers in result.controls.items()
    ]
    return rows, [*series, entries("baselines", values_of(baselines), style="baseline", unit=unit)]
