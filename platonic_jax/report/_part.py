"""Page content of one result."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from platonic_jax import _html
from platonic_jax.charts import LONG

__all__ = ["Part", "defined", "figure", "plain", "plain_settings", "section", "undefined"]


@dataclasses.dataclass(frozen=True)
class Part:
    """A result as pieces of HTML and data, in JSON's own types: what is kept can be put on another page.

    Attributes:
        name: of the result, such as `symmetry`.
        title: its heading.
        intro: what was looked at; HTML.
        verdict: sentences; the first paragraph leads.
        sections: by name, unique on a page, the heading that links to it and its content; HTML.
        charts: by name, what the script draws.
        comparison: the maps and matrices of a comparison, which no other result has.
        structures: those in its maps, packed for the viewer; empty where there are none.
        answers: HTML that stands below the verdict.
    """

    name: str
    title: str
    intro: str
    verdict: Sequence[str]
    sections: Mapping[str, Sequence[str]]
    charts: Mapping[str, Mapping[str, Any]]
    comparison: Mapping[str, Any] | None = None
    structures: str = ""
    answers: str = ""


# A number that is none, not a part of a name; with its unit; in brackets, an interval.
_NAN = re.compile(r"(?<![\w.-])nan(?: %| THz)?(?![\w-]|\.\w)")
_BRACKETS = re.compile(r" ?\([^()]*\)")
_REASON = "Values are undefined where too few atoms are left, or where their embeddings are equal."


def undefined(text: str) -> bool:
    """Test whether a text contains an undefined number (NaN)."""
    return bool(_NAN.search(text))


def defined(text: str) -> str:
    """Replace undefined numbers in a paragraph of a verdict by words, and add the reason."""
    if not undefined(text):
        return text
    text = _BRACKETS.sub(lambda match: " (no interval)" if undefined(match[0]) else match[0], text)
    return f"{_NAN.sub('an undefined value', text)} {_REASON}"


def section(name: str, heading: str, content: str) -> str:
    """A section that links can arrive at."""
    return f'<section id="{name}"><h2>{_html.text(heading)}</h2>\n{content}\n</section>'


def figure(name: str, spec: Mapping[str, Any]) -> str:
    """Placeholder of a chart under its caption, with the height that its content needs."""
    height = 400
    if spec["kind"] == "dots":
        above = 14 * (max(map(len, spec["rows"]), default=0) > LONG)
        height = 110 + len(spec["rows"]) * (16 + 12 * spec["lanes"] + above)
    elif spec["kind"] == "matrix":
        height = 90 + 46 * len(spec["rows"])
    return (
        f"<figure><figcaption>{_html.prose(spec['caption'])}</figcaption>"
        f'<div data-figure="chart" data-chart="{_html.text(name)}" data-name="{spec["kind"]}" '
        f'style="height:{height}px"></div></figure>'
    )


def plain_settings(settings: Mapping[str, Any]) -> str:
    """Names and values of settings, however deep, as a list of facts."""
    return _html.facts(
        (name.removeprefix("num_").replace("_", " "), _html.text(plain(value))) for name, value in settings.items()
    )


def plain(value: Any) -> str:
    """A setting as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(entry) for entry in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
