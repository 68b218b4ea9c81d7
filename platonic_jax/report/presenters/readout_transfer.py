"""One model's embeddings in another model's energy readout."""

from collections.abc import Mapping
from typing import Any

from platonic_jax.analyses import ReadoutTransfer
from platonic_jax.report import _charts
from platonic_jax.report._table import Strong, Table, with_interval

NAME = "stitching"
_MILLI = 1e-3


def title(result: ReadoutTransfer) -> str:
    """Return the heading."""
    return f"Readout transfer from {result.source} to {result.target}"


def intro(result: ReadoutTransfer) -> str:
    """Summarise the input in a sentence."""
    num = result.num
    return (
        f"Maps fitted on {num['fitted']:,} atoms, one of them chosen on {num['validated']:,} of other chemical "
        f"systems, and evaluated on {num['judged']:,} atoms of {num['structures']:,} structures of {num['systems']:,} "
        "more."
    )


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
        cells = [with_interval(entry["left"]) if "left" in entry else "–"]
        if result.read_out:
            cells += [with_interval(entry[figure], unit=_MILLI) for figure in ("mae", "median", "rmse")]
        rows.append((Strong(name) if name == result.best else name, *cells))
    errors = ", ".join(f"{name.upper()} {with_interval(entry)}" for name, entry in result.reconstruction.items())
    energies = ("energy, MAE in meV/atom", "median", "RMSE") if result.read_out else ()
    return [
        Table(
            f"{result.source} → {result.target}: {num['judged']} atoms of {num['structures']} structures, "
            f"{num['systems']} unseen chemical systems [95 % CI]",
            ("embeddings", "variance unexplained", *energies),
            rows,
            caption=f"{errors}; {result.settings['k']} anchors",
        )
    ]


def charts(result: ReadoutTransfer) -> list[tuple[str, _charts.Spec]]:
    """Fraction of variance unexplained by each map, and the error of the readout on the mapped embeddings."""
    specs = [
        (
            "Fraction of variance unexplained of the target's embeddings.",
            _chart(result, "left", axis="fraction of variance unexplained", marks={"constant mean": 1.0}),
        )
    ]
    if result.read_out:
        caption = f"Errors of the energy readout of {result.target} on the mapped embeddings."
        axis = "mean absolute error of energies, meV/atom"
        specs.append((caption, _chart(result, "mae", axis=axis, unit=_MILLI, log=True)))
    return specs


def _chart(
    result: ReadoutTransfer,
    figure: str,
    *,
    axis: str,
    unit: float = 1.0,
    log: bool = False,
    marks: Mapping[str, float] | None = None,
) -> Any:
    baselines = {f"{name} alone": entry for name, entry in result.baselines.items() if figure in entry}
    rows = [*result.methods, *baselines]
    values_of = lambda entries: [entries[row][figure] if row in entries else None for row in rows]
    series = [_charts.entries(result.source, values_of(result.methods), unit=unit)]
    series += [
        _charts.entries(name, values_of(entries), style="random", unit=unit)
        for name, entries in result.controls.items()
    ]
    series.append(_charts.entries("baselines", values_of(baselines), style="baseline", unit=unit))
    return _charts.dots(rows, series, axis=axis, log=log, marks=marks)
