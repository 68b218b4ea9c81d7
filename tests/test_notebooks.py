"""Every notebook runs from its first cell to its last, on a small set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("[0-9]*.py"))
SMALL = {
    "PLATONIC_STRUCTURES": "prototypes?max_atoms=8",
    "PLATONIC_MODELS": "7net-0 chgnet-0.3.0 random:7net-0?seed=0",
    "PLATONIC_ANCHORS": "30",
    "PLATONIC_STEPS": "20",
    "PLATONIC_FAMILIES": "chgnet",
    "MPLBACKEND": "agg",
}


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, tmp_path, tmp_path_factory):
    shared = tmp_path_factory.getbasetemp()
    variables = {**os.environ, **SMALL, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    variables = {name: value for name, value in variables.items() if not name.startswith("PLATONIC_STORES")}
    variables["JAX_COMPILATION_CACHE_DIR"] = str(shared / "compiled")
    if "import stores" in notebook.read_text():  # They begin with the same stores.
        variables["PLATONIC_STORES"] = str(shared / "prototypes")
    done = subprocess.run(
        [sys.executable, str(notebook)], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("results/*/*.png"))
    assert list(tmp_path.glob("results/*/*.json"))
