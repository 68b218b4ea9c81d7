"""Writing a result: its page, its numbers and its figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from platonic_jax import plots
from platonic_jax._files import replacing
from platonic_jax.analyses import Comparison, plain
from platonic_jax.report import _structures
from platonic_jax.report._json import save
from platonic_jax.report._page import page
from platonic_jax.report.presenters import part


def write(result: Any, folder: str | Path) -> Path:
    """Write `report.html` and what stands beside it (`write_files`); each file appears whole or not at all.

    Args:
        result: a result of an analysis; of symmetry, a list of them, one a model.
        folder: where to; made if absent.

    Returns:
        The path of `report.html`.

    Raises:
        TypeError: it is no result.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    section = part(result)
    write_files(result, folder, name=section.name)
    target = folder / "report.html"
    with replacing(target) as partial:
        partial.write_text(page([section], day=_day(result)), encoding="utf-8")
    return target


def write_files(result: Any, folder: str | Path, *, name: str) -> None:
    """Write what stands beside a report: the result as `NAME.json`, its figures, and the structures of a comparison.

    Args:
        result: as in `write`.
        folder: where to; made if absent.
        name: of the JSON file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save(result, folder / f"{name}.json")
    plots.save_all(result, folder / "figures", name=name)
    if isinstance(result, Comparison):
        _structures.write(result, folder / _structures.FILE)


def _day(result: Any) -> str:
    one = result[0] if isinstance(result, Sequence) else result
    return str(plain(one.provenance).get("created", ""))[:10]
