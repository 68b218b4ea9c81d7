"""One model's embeddings in another model's energy readout."""

from collections.abc import Mapping
from typing import Any

from platonic_jax.report import _charts
from platonic_jax.report._table import Strong, Table, with_interval
from platonic_jax.studies import Stitching

NAME = "stitching"
_MILLI = 1e-3


def title(found: Stitching) -> str:
    """The heading."""
    return f"Readout transfer from {found.source} to {found.target}"


def intro(found: Stitching) -> str:
    """What was looked at."""
    num = found.num
    return (
        f"Maps fitted on {num['fitted']:,} atoms, one of them chosen on {num['validated']:,} of other chemical "
        f"systems, and evaluated on {num['judged']:,} atoms of {num['structures']:,} structures of {num['systems']:,} "
        "more."
    )


def tables(found: Stitching) -> list[Table]:
    """A row for each way to make the target's rows."""
    num = found.num
    of = dict(found.methods)
    of |= {
        f"{name}, {method}": entry
        for name, methods in found.controls.items()
        for method, entry in methods.items()
        if method in (found.chosen[name], "zero-shot")
    }
    of |= {f"{name} alone": entry for name, entry in found.baselines.items()}
    rows = []
    for name, entry in of.items():
        cells = [with_interval(entry["left"]) if "left" in entry else "–"]
        if found.read_out:
            cells += [with_interval(entry[figure], unit=_MILLI) for figure in ("mae", "median", "rmse")]
        rows.append((Strong(name) if name == found.best else name, *cells))
    errors = ", ".join(f"{name.upper()} {with_interval(entry)}" for name, entry in found.reconstruction.items())
    energies = ("energy, MAE in meV/atom", "median", "RMSE") if found.read_out else ()
    return [
        Table(
            f"{found.source} → {found.target}: {num['judged']} atoms of {num['structures']} structures, "
            f"{num['systems']} unseen chemical systems [95 % CI]",
            ("embeddings", "variance unexplained", *energies),
            rows,
            caption=f"{errors}; {found.settings['k']} anchors",
        )
    ]


def charts(found: Stitching) -> list[tuple[str, _charts.Spec]]:
    """What each map misses, and how far the read-out is off on it."""
    made = [
        (
            "Fraction of variance unexplained of the target's embeddings.",
            _chart(found, "left", axis="fraction of variance unexplained", marks={"constant mean": 1.0}),
        )
    ]
    if found.read_out:
        caption = f"Errors of the energy readout of {found.target} on them."
        axis = "mean absolute error of energies, meV/atom"
        made.append((caption, _chart(found, "mae", axis=axis, unit=_MILLI, log=True)))
    return made


def _chart(
    found: Stitching,
    figure: str,
    *,
    axis: str,
    unit: float = 1.0,
    log: bool = False,
    marks: Mapping[str, float] | None = None,
) -> Any:
    baselines = {f"{name} alone": entry for name, entry in found.baselines.items() if figure in entry}
    rows = [*found.methods, *baselines]
    of = lambda entries: [entries[row][figure] if row in entries else None for row in rows]
    series = [_charts.entries(found.source, of(found.methods), unit=unit)]
    series += [
        _charts.entries(name, of(entries), style="random", unit=unit) for name, entries in found.controls.items()
    ]
    series.append(_charts.entries("without rows", of(baselines), style="baseline", unit=unit))
    return _charts.dots(rows, series, axis=axis, log=log, marks=marks)
