"""The third-party adapter of adapters/README.md, taken from there, installed and used as its reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from platonic_adapters import registry, store

ADAPTERS = Path(registry.__file__).parents[1]
README = (ADAPTERS / "README.md").read_text()


@pytest.fixture
def run(tmp_path):
    (code,) = re.findall(r"```python\n(\"\"\"my_descriptor.*?)```", README, re.S)
    (declared,) = re.findall(r"```toml\n\[project.entry-points.(platonic_adapters)\]\n(.*?)```", README, re.S)
    assert len(code.splitlines()) <= 45
    (tmp_path / "my_descriptor.py").write_text(code)
    info = tmp_path / "my_descriptor-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-descriptor\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{declared[0]}]\n{declared[1]}".replace('"', ""))
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ADAPTERS)])}

    def call(*arguments):
        line = [sys.executable, "-m", "platonic_adapters", *map(str, arguments)]
        return subprocess.run(line, env=variables, capture_output=True, text=True, check=False)

    return call


def test_the_example_embeds(run, tmp_path):
    done = run("radial-16", "prototypes?max_atoms=8", "-o", tmp_path / "r.zarr")
    assert done.returncode == 0, done.stderr
    found = store.open(tmp_path / "r.zarr")
    assert found.layer().shape == (found.num_rows, 16)
    assert np.ptp(found.layer()) > 0.1
    figures = found.provenance["self_test"]
    assert max(x for name, x in figures.items() if name != "structures") < 1e-5, figures
    other = run("random:radial-16?seed=3", "prototypes?max_atoms=8", "-o", tmp_path / "s.zarr")
    assert other.returncode == 0, other.stderr
    assert np.abs(store.open(tmp_path / "s.zarr").layer() - found.layer()).max() > 0.1


def test_an_example_that_breaks_costs_itself_alone_and_is_named_where_it_is_asked_for(run, tmp_path):
    (tmp_path / "my_descriptor.py").write_text("import not_there\n")
    done = run("7net-omat", "/nowhere", "-o", tmp_path / "r.zarr")
    assert "my-descriptor" not in done.stderr
    done = run("radial-16", "prototypes", "-o", tmp_path / "r.zarr")
    assert done.returncode == 2
    assert "the adapter `radial` of the package `my-descriptor 1.0` cannot be loaded (ModuleNotFound" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert run("models").returncode == 0


@pytest.mark.parametrize("entry_points", ["[platonic_adapters]\nno line of the format\n", None])
def test_models_are_listed_without_code_of_others(run, tmp_path, entry_points):
    (tmp_path / "my_descriptor.py").write_text("raise SystemExit('code of others was run')\n")
    if entry_points:
        other = tmp_path / "other-1.0.dist-info"
        other.mkdir()
        (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
        (other / "entry_points.txt").write_text(entry_points)
    done = run("models")
    assert (done.returncode, done.stderr) == (0, "")
    assert "7net-0" in done.stdout
    assert "the family radial of the package my-descriptor 1.0" in done.stdout
