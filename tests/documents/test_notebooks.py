"""Every notebook runs from its first cell to its last, on a small set; what is shown of it is what it says."""

import fcntl
import json
import os
import re
import subprocess
import sys

import documents
import jupytext
import pytest

FOLDER = documents.REPOSITORY / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.py"))
SMALL = {
    "PLATONIC_STRUCTURES": documents.CRYSTALS,
    "PLATONIC_MODELS": "7net-0 chgnet-0.3.0 random:7net-0?seed=0",
    "PLATONIC_ANCHORS": "30",
    "PLATONIC_STEPS": "5",
    "MPLBACKEND": "agg",
}
# Each start of a model's environment takes seconds: few models, few runs.
OWN = {
    "03_symmetry_and_phonons": {"PLATONIC_MODELS": "chgnet-0.3.0 random:7net-0?seed=0", "PLATONIC_LIMIT": "2"},
    "04_drift": {"PLATONIC_RUNS": "naive rows"},
    "06_geometry_and_error": {"PLATONIC_LIMIT": "6"},
}


def shown(notebook):
    """The executed notebook beside its source."""
    return json.loads(notebook.with_suffix(".ipynb").read_text())


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, tmp_path, tmp_path_factory):
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    shared = tmp_path_factory.getbasetemp().parent if parallel else tmp_path_factory.getbasetemp()
    own = OWN.get(notebook.stem, {})
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PLATONIC_STORES")}
    variables |= {**SMALL, **own, "PATH": documents.environment()["PATH"]}
    if "stores.tables(" in notebook.read_text():  # They begin with the same stores, made once.
        variables["PLATONIC_STORES"] = str(shared / "prototypes")
        begin = f"import stores; stores.tables({SMALL['PLATONIC_MODELS']!r})"
        with (shared / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (shared / "prototypes").exists():
                subprocess.run([sys.executable, "-c", begin], cwd=FOLDER, env=variables, check=True)
    done = subprocess.run(
        [sys.executable, str(notebook)], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("results/*/*.png"))
    assert list(tmp_path.glob("results/*/*.json"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_an_executed_notebook_is_that_of_its_source(notebook):
    source, executed = jupytext.read(notebook), jupytext.read(notebook.with_suffix(".ipynb"))
    cells = [[(cell.cell_type, cell.source) for cell in of.cells] for of in (source, executed)]
    assert cells[0] == cells[1], "run `make notebooks`"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_shown_is_small_whole_and_of_no_one_machine(notebook):
    assert notebook.with_suffix(".ipynb").stat().st_size < 1_000_000
    outputs = [output for cell in shown(notebook)["cells"] for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert all(output["output_type"] != "error" and output.get("name") != "stderr" for output in outputs)
    for output in outputs:
        data = output.get("data", {})
        told = "".join([*output.get("text", []), *data.get("text/plain", []), *data.get("text/html", [])])
        assert not re.search(r"(?<![\w/])/(home|root|tmp|work|Users|var)/", told)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_what_one_will_learn_and_what_to_try_next(notebook):
    cells = jupytext.read(notebook).cells
    assert cells[0].cell_type == cells[-1].cell_type == "markdown"
    assert "**You will learn**" in cells[0].source
    assert "**To try next**" in cells[-1].source


def test_the_quickstart_is_fifteen_lines_of_code():
    code = [cell.source for cell in jupytext.read(FOLDER / "00_quickstart.py").cells if cell.cell_type == "code"]
    assert sum(bool(line.strip()) for source in code for line in source.splitlines()) <= 15
