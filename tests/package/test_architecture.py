"""Imports point down the list of layers, never up or sideways."""

import ast
from pathlib import Path

import pytest

import platonic_jax

ROOT = Path(platonic_jax.__file__).parent
LAYERS = [
    ["_typing", "_files", "_html", "_memory"],
    ["_checks", "labels"],
    ["numerics", "_ott", "tables", "probes"],
    ["anchors", "projection", "metrics", "statistics", "arithmetic"],
    ["stitching"],
    ["learn", "diagnostics"],
    ["testing"],
    ["analyses"],
    ["plots", "schemas"],
    ["report"],
    ["cli"],
]
LEVEL = {module: level for level, layer in enumerate(LAYERS) for module in layer}
HOST_SIDE = {"tables", "probes"}  # Known to the drivers alone: algorithms take arrays.
MAY_USE_HOST_SIDE = {"analyses", "plots", "report", "cli", "testing"}
ONLY_IMPORTER = {
    "ott": {"_ott"},
    "platonic_adapters": {"_files", "tables", "probes", "anchors", "analyses", "cli", "schemas"},
}


def module_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(source: str) -> list[str]:
    """Every imported module, with the names taken from the package itself resolved to its modules."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            module = node.module or ""
            found += [f"{module}.{alias.name}" for alias in node.names] if module == "platonic_jax" else [module]
        elif isinstance(node, ast.ImportFrom):
            raise AssertionError("relative import: say `from platonic_jax…`")
    return found


def faults(here: str, source: str) -> list[str]:
    wrong = []
    for name in imports(source):
        package, _, rest = name.partition(".")
        if package == "torch":
            wrong.append(f"{here} imports torch")
        if package in ONLY_IMPORTER and here not in ONLY_IMPORTER[package]:
            wrong.append(f"{here} imports {package}")
        target = rest.partition(".")[0]
        if package != "platonic_jax" or target == here or target not in LEVEL:
            continue
        if LEVEL[target] >= LEVEL[here]:
            wrong.append(f"{here} imports {target}, which is not below it")
        if target in HOST_SIDE and here not in MAY_USE_HOST_SIDE:
            wrong.append(f"{here} takes arrays, and may not import {target}")
    return wrong


SOURCES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    assert module_of(path) in LEVEL, "a new module needs a place in LAYERS"
    assert faults(module_of(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("here", "source"),
    [
        ("numerics", "from platonic_jax import metrics"),
        ("metrics", "from platonic_jax import statistics"),
        ("metrics", "from platonic_jax.tables import load"),
        ("projection", "import ott"),
        ("analyses", "import torch"),
    ],
)
def test_the_architecture_test_can_fail(here, source):
    assert faults(here, source)


def test_the_adapters_never_import_jax():
    import platonic_adapters

    for path in Path(platonic_adapters.__file__).parent.rglob("*.py"):
        packages = {name.partition(".")[0] for name in imports(path.read_text())}
        assert not packages & {"platonic_jax"}, path
        if path.stem != "nequix":  # Its model is a JAX model, run in its own environment.
            assert "jax" not in packages, path
