"""Building blocks of HTML for records and pages.

Whatever comes from data passes through `text` or `prose`; what the others take is HTML already.
"""

import html
import math
import re
from collections.abc import Iterable, Sequence

__all__ = ["facts", "number", "prose", "record", "table", "text"]


def text(content: object) -> str:
    """Anything, escaped."""
    return html.escape(str(content))


def number(x: float) -> str:
    """Three decimals, the order of magnitude where these would say nothing, a dash for what is undefined."""
    if not math.isfinite(x):
        return "–"
    return f"{x:.3f}" if abs(x) >= 0.001 or x == 0 else f"{x:.0e}"


def prose(content: str) -> str:
    """Escaped, with lines that break neither inside a name such as 7net-0 nor before a percent sign."""
    whole = r'<span class="whole">\g<0></span>'
    return re.sub(r"[^\s(]*\w[-–]\w[^\s,;:)]*", whole, text(content)).replace(" %", "&nbsp;%")


def facts(entries: Iterable[tuple[str, str]]) -> str:
    """Names and their values, which are HTML; what is empty is left out."""
    rows = "".join(f"<dt>{text(name)}</dt><dd>{value}</dd>" for name, value in entries if value)
    return f'<dl class="facts">{rows}</dl>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = (), caption: str = "") -> str:
    """A table of cells that are HTML; the columns in `numbers` are set flush right."""
    mark = [' class="number"' if i in numbers else "" for i in range(len(head))]
    top = "".join(f'<th scope="col"{mark[i]}>{name}</th>' for i, name in enumerate(head))
    lines = "".join(f"<tr>{''.join(f'<td{mark[i]}>{cell}</td>' for i, cell in enumerate(row))}</tr>" for row in rows)
    caption_html = f"<caption>{caption}</caption>" if caption else ""
    return f'<div class="scroll"><table>{caption_html}<thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def record(name: str, *parts: str) -> str:
    """Render a result as HTML for a notebook: its name above its parts; colours are inherited from the notebook."""
    return f"<div><p><strong>{text(name)}</strong></p>{''.join(parts)}</div>"
