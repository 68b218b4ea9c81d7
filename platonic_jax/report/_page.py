"""The page: parts of results, one below the other, and everything that it needs to be drawn."""

import base64
import hashlib
import html
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from importlib.metadata import version
from string import Template

from plotly.offline import get_plotlyjs

from platonic_jax import _html
from platonic_jax.report import _structures, _texts
from platonic_jax.report._part import Part, section

__all__ = ["page"]

_SCRIPTS = ("page.js", "charts.js", "picks.js", "maps.js")
_LONG = 400  # Letters of a verdict from which on it is set smaller.


def page(parts: Sequence[Part], *, title: str | None = None, day: str = "") -> str:
    """One HTML page that needs no network.

    Args:
        parts: what results put on it; one comparison at most, since its maps are linked.
        title: its heading, for several parts.
        day: when they were made.

    Returns:
        The page.

    Raises:
        ValueError: there are two comparisons, or two parts of one name.
    """
    names = [part.name for part in parts]
    if len(set(names)) < len(names):
        raise ValueError(f"`parts` must differ in their names, got {', '.join(names)}.")
    here = resources.files("platonic_jax.report")
    read = lambda name: here.joinpath(name).read_text(encoding="utf-8")
    heading = title or parts[0].title
    scripts = {"theme": read("theme.js"), "plotly": get_plotlyjs(), "script": "\n".join(map(read, _SCRIPTS))}
    viewer = _structures.viewer(next((part.structures for part in parts if part.structures), ""))
    return Template(read("page.html")).substitute(
        title=html.escape(heading),
        style=read("page.css"),
        body=_body(parts, heading, day),
        data=_data(parts),
        **scripts,
        viewer=viewer.html,
        scripts=" ".join(map(_allowed, [*scripts.values(), *viewer.scripts])),
    )


def _allowed(script: str) -> str:
    """The word of a content security policy that lets a browser run this very script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _data(parts: Sequence[Part]) -> str:
    """JSON data of the page's script, without `<`, so that no name in the data can end the element."""
    comparison = next((part.comparison for part in parts if part.comparison is not None), None)
    charts = {name: spec for part in parts for name, spec in part.charts.items()}
    data = {"comparison": comparison, "charts": charts}
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _body(parts: Sequence[Part], heading: str, day: str) -> str:
    alone = len(parts) == 1
    intro = parts[0].intro if alone else f"{len(parts)} results, each with its own numbers below."
    links = _links(parts[0]) if alone else {part.name: part.title for part in parts}
    return "\n".join([_header(heading, intro, links, day), *_content(parts), _citation()])


def _content(parts: Sequence[Part]) -> Iterator[str]:
    if len(parts) == 1:
        yield _verdict(parts[0])
        yield from _sections(parts[0])
        return
    entries = "".join(
        f'<div><dt><a href="#{part.name}">{_html.prose(part.title)}</a></dt>'
        f"<dd>{''.join(f'<p>{_html.prose(paragraph)}</p>' for paragraph in part.verdict)}</dd></div>"
        for part in parts
    )
    yield f'<section id="verdict"><h2>Verdicts</h2><dl class="answers">{entries}</dl></section>'
    for part in parts:
        links = "".join(f'<a href="#{name}">{_html.text(text)}</a>' for name, text in _links(part).items())
        head = f"<h1>{_html.prose(part.title)}</h1><p>{part.intro}</p><nav>{links}</nav>"
        # Its verdict stands on top.
        yield f'<article id="{part.name}">{head}{part.answers}'
        yield from _sections(part)
        yield "</article>"


def _links(part: Part) -> dict[str, str]:
    return {name: heading for name, (heading, _) in part.sections.items()}


def _sections(part: Part) -> Iterator[str]:
    for name, (heading, content) in part.sections.items():
        yield section(name, heading, content)


def _header(heading: str, intro: str, links: Mapping[str, str], day: str) -> str:
    anchors = {"verdict": "Verdict", **links, "cite": "How to cite"}
    nav = "".join(f'<a href="#{name}">{_html.text(text)}</a>' for name, text in anchors.items())
    date = f" · {_html.text(day)}" if day else ""
    return (
        f'<header><p class="eyebrow">platonic_jax · representations of interatomic potentials{date}</p>'
        f"<h1>{_html.prose(heading)}</h1><p>{intro}</p><nav>{nav}</nav></header>"
    )


def _verdict(part: Part) -> str:
    kind = "lead long" if sum(len(paragraph) for paragraph in part.verdict) > _LONG else "lead"
    paragraphs = "".join(f'<p class="{kind}">{_html.prose(paragraph)}</p>' for paragraph in part.verdict)
    return (
        f'<section id="verdict">{paragraphs}{part.answers}'
        "<noscript><p>The interactive figures need JavaScript; the numbers are in the tables below, and the figures "
        "in <code>figures/</code> next to this file.</p></noscript></section>"
    )


def _citation() -> str:
    software = version("platonic-jax")
    return section(
        "cite",
        "How to cite",
        "<p>The idea that potentials share a representation, which anchors reveal: Z. Li and A. Walsh, <i>Platonic "
        "representation of foundation machine learning interatomic potentials</i>, Nature Machine Intelligence "
        f'<b>8</b>, 830–840 (2026), <a href="{_texts.PAPER}">doi:10.1038/s42256-026-01235-7</a>. Software: '
        f"platonic_jax {_html.text(software)}. Cite the models as well, as their authors ask.</p>"
        "<pre>@article{li_walsh_2026,\n"
        "  author  = {Li, Z. and Walsh, A.},\n"
        "  title   = {Platonic representation of foundation machine learning interatomic potentials},\n"
        "  journal = {Nature Machine Intelligence},\n  volume  = {8},\n  pages   = {830--840},\n  year    = {2026},\n"
        "  doi     = {10.1038/s42256-026-01235-7}\n}\n"
        f"@software{{platonic_jax,\n  title   = {{platonic_jax}},\n  version = {{{_html.text(software)}}},\n"
        "  year    = {2026}\n}</pre>",
    )
