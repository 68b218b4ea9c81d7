"""Hook of the documentation: the page of the atlas, from the numbers that `platonic atlas --build … --json` wrote."""

from pathlib import Path

from mkdocs.structure.files import File

from platonic_jax import report
from platonic_jax.analyses import Atlas

NUMBERS = Path(__file__).parents[1] / "results" / "atlas" / "atlas.json"


def on_files(files, config):
    """Add the page beside that of the guide."""
    page = report.page([report.part(Atlas.load(NUMBERS))])
    files.append(File.generated(config, "guide/atlas/report.html", content=page))
    return files
