"""What a user gets: both distributions as wheels, installed in an environment of their own, outside the checkout."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import schemed
import uv

ROOT = Path(__file__).parents[2]
PACKAGES = {"platonic_jax": ROOT, "platonic_adapters": ROOT / "adapters"}
# uv does not read pip's settings: hand it the same folder of local wheels, where there is one.
FIND_LINKS = {"UV_FIND_LINKS": os.environ["PIP_FIND_LINKS"]} if "PIP_FIND_LINKS" in os.environ else {}
LOOK = """
import json, platonic_adapters, platonic_jax
from importlib.resources import files
print(json.dumps({
    "places": [platonic_jax.__file__, platonic_adapters.__file__],
    "typed": [files(package).joinpath("py.typed").is_file() for package in ("platonic_jax", "platonic_adapters")],
    "page": [entry.name for entry in files("platonic_jax.report").iterdir()],
}))
"""


def run(*command, cwd, **more):
    """A command as a user's shell would run it: nothing of this checkout or its environment is known there."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env = {**kept, **FIND_LINKS, **more}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the wheel and the source distribution of both."""
    folder = tmp_path_factory.mktemp("dist")
    for place in PACKAGES.values():
        run(uv.find_uv_bin(), "build", "--quiet", "--out-dir", folder, cwd=place)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The commands of a fresh environment."""
    folder = tmp_path_factory.mktemp("user")
    run(uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, folder / "env", cwd=folder)
    ours, adapters = (next(built.glob(f"{package}-*.whl")) for package in PACKAGES)
    wanted = (f"platonic-jax[report] @ {ours.as_uri()}", adapters)
    python = folder / "env" / "bin" / "python"
    run(uv.find_uv_bin(), "pip", "install", "--quiet", "--python", python, *wanted, cwd=folder)
    return python.parent


def sources(package):
    folder = PACKAGES[package] / package
    return {f"{package}/{path.relative_to(folder)}" for path in folder.rglob("*.*") if "__pycache__" not in path.parts}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_holds_the_package_and_nothing_else(built, package):
    names = set(zipfile.ZipFile(next(built.glob(f"{package}-*.whl"))).namelist())
    assert {name for name in names if ".dist-info/" not in name} == sources(package)
    assert f"{package}/py.typed" in names


@pytest.mark.parametrize("package", PACKAGES)
def test_a_source_distribution_holds_the_package_and_what_it_is_built_from(built, package):
    with tarfile.open(next(built.glob(f"{package}-*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    papers = {"CHANGELOG.md", "CITATION.cff"} if package == "platonic_jax" else set()
    always = {".gitignore", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert names == sources(package) | always | papers


def test_what_is_installed_is_whole_and_stands_alone(installed, tmp_path):
    found = json.loads(run(installed / "python", "-c", LOOK, cwd=tmp_path))
    assert all(Path(place).is_relative_to(installed.parent) for place in found["places"])
    assert found["typed"] == [True, True]
    assert {"page.css", "page.html", "page.js", "viewer.css", "viewer.js"} <= set(found["page"])
    assert "platonic demo" in run(installed / "platonic", cwd=tmp_path)


def test_the_steps_of_the_demo_run_where_it_is_installed(installed, tmp_path):
    for name, model in (("a", "7net-0"), ("b", "random:7net-0?seed=0")):
        run(installed / "platonic", "embed", model, "prototypes?max_atoms=2", "-o", f"{name}.zarr", cwd=tmp_path)
    few = ("-k", "20", "--measures", "mutual_knn", "--num-permutations", "3", "--num-anchor-draws", "2")
    run(installed / "platonic", "compare", "a.zarr", "b.zarr", *few, "-o", "report", cwd=tmp_path)
    schemed.check("compare", json.loads((tmp_path / "report" / "compare.json").read_text()))
    page = (tmp_path / "report" / "report.html").read_text()
    assert "7net-0 (random weights, seed 0)" in page
    assert '<script type="text/plain" id="chemiscope">' in page
    assert (tmp_path / "report" / "report.chemiscope.json.gz").is_file()
