"""Importing either distribution is cheap: nothing heavy comes along until it is used."""

import inspect
import subprocess
import sys

import pytest
from commands import write_store

import platonic_jax

HEAVY = ("jax", "torch", "zarr", "ase", "pymatgen", "matplotlib", "plotly", "sklearn", "scipy", "ott", "flax", "rich")


def heavy_modules(statement):
    code = f"{statement}\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return run.stdout.split()


# What is printed is not read.
COMMAND = """
import contextlib, io
from platonic_jax import cli
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    cli.main({})
"""


@pytest.mark.parametrize(
    "statement",
    [
        "import platonic_jax",
        "import platonic_jax.cli",
        "import platonic_adapters",
        "import platonic_adapters.cli",
        *(COMMAND.format(line) for line in ([], ["--help"], ["compare", "--help"], ["embed", "--help"])),
    ],
)
def test_import_is_light(statement):
    assert heavy_modules(statement) == []


def test_models_are_listed_with_nothing_but_what_prints_a_table():
    assert heavy_modules(COMMAND.format(["models"])) == ["rich"]


# How many programs were compiled, and which libraries were imported.
COMPARED = """
import sys
import jax
from platonic_jax import cli
events = []
jax.monitoring.register_event_duration_secs_listener(lambda event, _, **__: events.append(event))
assert cli.main({}) == 0
print(events.count("/jax/core/compile/jaxpr_to_mlir_module_duration"))
print(*(name for name in ("ott", "matplotlib", "plotly", "flax", "sklearn", "scipy.stats") if name in sys.modules))
"""


def test_a_comparison_compiles_few_programs_and_imports_what_it_uses(tmp_path):
    stores = [write_store(tmp_path / f"{seed}.zarr", seed=seed, width=6 + seed, model=str(seed)) for seed in range(2)]
    draws = ["--num-permutations", "6", "--num-anchor-draws", "2", "-k", "8"]
    arguments = ["compare", *stores, *draws, "--measures", "procrustes,cka,mutual_knn"]
    run = subprocess.run(
        [sys.executable, "-c", COMPARED.format([*arguments, "--json", str(tmp_path / "out.json")])],
        check=True,
        capture_output=True,
        text=True,
    )
    number, imported = run.stdout.splitlines()[-2:]
    assert 20 < int(number) < 50  # Operation by operation there were 306.
    assert imported == ""


def test_the_light_import_test_can_fail():
    assert "jax" in heavy_modules("import platonic_jax; platonic_jax.numerics")


def test_the_jax_side_never_imports_torch_and_the_adapters_never_import_jax():
    assert "torch" not in heavy_modules("import platonic_jax; [getattr(platonic_jax, n) for n in platonic_jax.__all__]")
    assert "jax" not in heavy_modules("from platonic_adapters import store, structures, registry, export, selftest")


def test_an_unknown_name_is_an_attribute_error():
    import platonic_jax

    with pytest.raises(AttributeError, match="attribute nonsense"):
        _ = platonic_jax.nonsense


@pytest.mark.parametrize("module", sorted(name for name in dir(platonic_jax) if name.islower()))
def test_completion_shows_what_a_module_offers_and_nothing_else(module):
    public = getattr(platonic_jax, module)
    if not inspect.ismodule(public):
        return
    assert sorted(dir(public)) == sorted(public.__all__)
    assert all(hasattr(public, name) for name in public.__all__)
    assert not any(name.startswith("_") for name in public.__all__)
