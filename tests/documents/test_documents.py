"""The documentation: it builds, its links arrive, its blocks run, and it says of measures what the registry says."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import documents
import pytest
from ase.build import bulk
from ase.io import write
from documents import PAGES

import platonic_jax
from platonic_jax import cli
from platonic_jax.metrics import CLOUD_PROPERTIES, PROPERTIES, CloudProperties, Properties

NOTEBOOKS = documents.REPOSITORY / "notebooks"
HERE = "https://here/"


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.places |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag in ("img", "script", "source", "iframe") and given.get("src"):
            self.loads.append(given["src"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload") and given.get("href"):
            self.loads.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages of the site, by their addresses."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", ".mkdocs.yml", "-d", str(folder)]
    done = subprocess.run(
        command,
        cwd=documents.REPOSITORY,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "JUPYTER_PLATFORM_DIRS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(folder).as_posix(): Page(path) for path in folder.rglob("*.html")}
    assert len(pages) > 40
    return folder, pages


def _arrives(folder, pages, address):
    """The file of the site that an address means, and whether the place in it is there."""
    parts = urlsplit(address)
    path = unquote(parts.path).lstrip("/")
    path = f"{path}index.html" if path.endswith("/") or not path else path
    if path in pages:
        return not parts.fragment or unquote(parts.fragment) in pages[path].places
    return (folder / path).is_file()


def test_every_link_and_anchor_of_the_site_arrives(site):
    folder, pages = site
    lost = []
    for name, page in pages.items():
        if name == "404.html":  # Its addresses are those of the place where the site will be.
            continue
        for link in page.links:
            address = urljoin(HERE + name, link)
            if address.startswith(HERE):
                if not _arrives(folder, pages, address):
                    lost.append((name, link))
            elif not re.fullmatch(r"https?://[\w.-]+\.\w+(/[^\s]*)?", address):
                lost.append((name, link))
    assert lost == []


def test_the_site_loads_nothing_from_elsewhere(site):
    folder, pages = site
    for name, page in pages.items():
        loads = [load for load in page.loads if not load.startswith("data:")]
        assert [load for load in loads if urlsplit(load).scheme or load.startswith("//")] == [], name
        if name != "404.html":
            assert all(_arrives(folder, pages, urljoin(HERE + name, load)) for load in loads), name


def test_every_public_name_is_in_the_reference(site):
    _, pages = site
    modules = [name for name in platonic_jax.__all__ if inspect.ismodule(getattr(platonic_jax, name))]
    assert len(modules) > 10
    missing = [
        f"{module}.{name}"
        for module in modules
        for name in importlib.import_module(f"platonic_jax.{module}").__all__
        if f"platonic_jax.{module}.{name}" not in pages[f"guide/reference/{module}/index.html"].places
    ]
    assert missing == []


def test_every_block_says_what_runs_it():
    for page in PAGES:
        for block in documents.blocks((documents.GUIDE / page).read_text()):
            assert block.language in ("sh", "python", "toml"), (page, block)
            assert block.title or block.language != "toml", (page, block)


def test_what_cannot_run_here_is_at_least_understood():
    """Blocks for larger machines: by bash, and every command by its own parser."""
    found = [
        block
        for page in PAGES
        for block in documents.blocks((documents.GUIDE / page).read_text())
        if not documents.runs(block)
    ]
    assert found
    for block in found:
        subprocess.run(["bash", "-n", "-c", block.code], check=True)
        commands = [line.split() for line in block.code.splitlines() if line.startswith("platonic ")]
        assert commands, block
        for words in commands:
            cli._parser().parse_args(words[1:])


def test_every_block_of_the_guide_and_of_the_readme_runs(tmp_path):
    guide, readme = (tmp_path / name for name in ("guide", "readme"))
    guide.mkdir()
    readme.mkdir()
    write(readme / "generated.cif", bulk("Cu", "fcc", a=3.0, cubic=True))
    documents.follow(tmp_path)
    for made in ("report/report.html", "sweep/report.html", "anchors.safetensors", "study/report.html", "study.lock"):
        assert (guide / made).is_file(), made
    for folder in ("demo", "report", "sweep", "typicality"):
        assert (readme / folder / "report.html").is_file(), folder


# ---- measures ----------------------------------------------------------------------------------------------------

WORDS = {
    "translation": "translation",
    "rotation": "rotation",
    "scale": "scaling",
    "row_scale": "rescaling each embedding",
    "linear": "linear maps",
    "padding": "zero columns",
    "shuffling": "permuting atoms",
}
MEASURES = {**PROPERTIES, **CLOUD_PROPERTIES}


def section(name):
    """What the page says of a measure."""
    text = (documents.GUIDE / "measures.md").read_text()
    return re.search(rf"^### `{name}` {{ #{name} }}\n(.*?)(?=^##)", text, flags=re.MULTILINE | re.DOTALL)[1]


def facts(declared: Properties | CloudProperties) -> str:
    """The line of facts of a measure, from what the registry claims."""
    low, high = (f"{end:g}".replace("-", "−") for end in declared.range)
    line = f"**Range** {low} upwards" if high == "inf" else f"**Range** {low} to {high}"
    if isinstance(declared, Properties):
        line += f" · **Direction** {'larger' if declared.larger_is_more_similar else 'smaller'} is more similar"
        line += f" · **Exchanging the arguments** {'no change' if declared.symmetric else 'another value'}"
    kept = [words for name, words in WORDS.items() if name in declared.invariances]
    both = [
        f"{words} of both together"
        for name, words in WORDS.items()
        if f"common_{name}" in declared.invariances and name not in declared.invariances
    ]
    return f"{line} · **Invariant under** {', '.join(kept + both)}"


@pytest.mark.parametrize("name", MEASURES)
def test_the_page_says_of_a_measure_what_the_registry_claims(name):
    said = section(name)
    assert facts(MEASURES[name]) in said.splitlines()
    assert f"](../results/09/{name}.png)" in said
    assert (NOTEBOOKS / "results" / "09" / f"{name}.png").is_file()
    assert "*When it misleads.*" in said


def _numbers(record):
    if isinstance(record, dict):
        record = list(record.values())
    if isinstance(record, list):
        return {number for entry in record for number in _numbers(entry)}
    return {f"{abs(record):.2f}"}


@pytest.mark.parametrize("name", MEASURES)
def test_the_notebook_measured_every_figure_of_the_page(name):
    record = json.loads((NOTEBOOKS / "results" / "09" / "measures.json").read_text())
    said = set(re.findall(r"\b\d\.\d\d\b", section(name)))
    assert said
    assert said <= _numbers(record), name


# ---- peers -------------------------------------------------------------------------------------------------------


def test_every_cell_about_a_peer_has_its_source():
    text = (documents.GUIDE / "peers.md").read_text()
    sources = dict(re.findall(r"^\[(\w+)\]: (\S+)$", text, flags=re.MULTILINE))
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    head, *rows = rows
    assert len(rows) > 9
    for project, *cells in rows:
        assert len(cells) == len(head) - 1, project
        for cell in cells:
            (source,) = re.findall(r"\[(?:README|docs|source|page)\]\[(\w+)\]$", cell)
            address = sources[source]
            assert re.match(r"https://github\.com/[\w-]+/[\w-]+", address) or (documents.GUIDE / address).is_file()
