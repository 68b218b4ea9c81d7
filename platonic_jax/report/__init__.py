"""One self-contained HTML file from a comparison, with its figures and numbers beside it.

`report.html` needs no network: style, script, plotly and all data are inside. It opens on the verdict in plain
sentences, and goes from there to the measures with their nulls, the maps of every model, the anchors, and where every
number comes from.
"""

import html
from importlib import resources
from pathlib import Path
from string import Template

from plotly.offline import get_plotlyjs

from platonic_jax import plots
from platonic_jax._files import replacing
from platonic_jax.compare import Comparison
from platonic_jax.report import _data, _sections
from platonic_jax.report._texts import measure_text, number
from platonic_jax.report._verdict import Answer, Verdict, verdict

__all__ = ["Answer", "Verdict", "measure_text", "number", "verdict", "write"]


def write(comparison: Comparison, folder: str | Path) -> Path:
    """Write `report.html`, `compare.json` and the figures (`figures/*.png`); each file appears whole or not at all.

    Args:
        comparison: the result.
        folder: where to; made if absent.

    Returns:
        The path of `report.html`.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    comparison.save(folder / "compare.json")
    plots.save_all(comparison, folder / "figures")
    target = folder / "report.html"
    with replacing(target) as partial:
        partial.write_text(_page(comparison), encoding="utf-8")
    return target


def _page(comparison: Comparison) -> str:
    here = resources.files("platonic_jax.report")
    return Template(here.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(_sections.title(comparison)),
        style=here.joinpath("page.css").read_text(encoding="utf-8"),
        body=_sections.body(comparison, verdict(comparison)),
        data=_data.payload(comparison),
        plotly=get_plotlyjs(),
        script=here.joinpath("page.js").read_text(encoding="utf-8"),
    )
