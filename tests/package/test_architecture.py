"""Imports point down the list of layers, never up or sideways."""

import ast
import graphlib
from pathlib import Path

import pytest

import platonic_jax

ROOT = Path(platonic_jax.__file__).parent
LAYERS = [
    ["_typing", "_files", "_html", "_memory"],
    ["_checks", "labels"],
    ["numerics", "_ott", "tables", "probes"],
    ["_hsic"],
    ["anchors", "projection", "metrics", "statistics", "arithmetic"],
    ["stitching", "readouts"],
    ["learn", "diagnostics"],
    ["testing"],
    ["analyses"],
    ["charts"],
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


def layer_table() -> str:
    """The table of the README: every module of every layer with the first sentence of its docstring."""
    lines = ["| layer | module | content |", "|---|---|---|"]
    for level, layer in enumerate(LAYERS):
        for module in layer:
            path = ROOT / module / "__init__.py" if (ROOT / module).is_dir() else ROOT / f"{module}.py"
            text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
            name = f"{module}/" if path.name == "__init__.py" else module
            lines.append(f"| {level} | `{name}` | {' '.join(text.split(chr(10) * 2)[0].split())} |")
    return "\n".join(lines) + "\n"


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


def private_imports(here: str, source: str) -> list[str]:
    """Names and modules with an underscore that are imported from inside another package."""
    private = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("platonic_jax."):
            package, *rest = (node.module or "").split(".")[1:]
            names = [*rest, *(alias.name for alias in node.names)]
            if package != here and any(name.startswith("_") for name in names):
                private.append(f"{node.module}.{node.names[0].name}")
    return private


def faults(here: str, source: str) -> list[str]:
    wrong = [f"{here} imports the private {name}" for name in private_imports(here, source)]
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
        ("report", "from platonic_jax.analyses._result import plain"),
        ("report", "from platonic_jax.analyses import _intervals"),
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


def _dotted(path: Path) -> str:
    return ".".join(("platonic_jax", *path.relative_to(ROOT).with_suffix("").parts))


def module_imports(path: Path) -> set[str]:
    """Modules of the package that a module imports when it is imported itself; packages by their `__init__`."""
    known = set(map(_dotted, SOURCES))
    edges = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("platonic_jax"):
            for alias in node.names:
                candidates = (f"{node.module}.{alias.name}", str(node.module), f"{node.module}.__init__")
                edges |= {next((name for name in candidates if name in known), "")}
    return edges - {""}


def test_no_module_imports_itself_through_others():
    graph = {
        ".".join(("platonic_jax", *path.relative_to(ROOT).with_suffix("").parts)): module_imports(path)
        for path in SOURCES
    }
    assert sum(map(len, graph.values())) > 200
    graphlib.TopologicalSorter(graph).prepare()  # Raises CycleError.
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def test_the_readme_has_the_table_of_layers():
    table = layer_table()
    assert table in (ROOT / "README.md").read_text("utf-8"), f"put this table there:\n{table}"


def test_every_analysis_has_its_presenter_command_schema_guide_page_and_test():
    """What `ANALYSES` names exists, and nothing else does."""
    from platonic_jax import analyses, schemas
    from platonic_jax.analyses import ANALYSES, Result

    repository = ROOT.parent
    guide = "\n".join(path.read_text() for path in (repository / "notebooks/guide").glob("*.md"))
    tests = "\n".join(path.read_text() for path in (repository / "tests/analyses").rglob("test_*.py"))
    for analysis in ANALYSES:
        assert issubclass(analysis.record, Result)
        assert callable(analysis.run)
        assert {analysis.function, analysis.result} <= set(analyses.__all__), "a line in analyses/__init__.pyi"
        for name in ("NAME", "title", "intro", "verdict", "tables", "charts"):
            assert hasattr(analysis.presenter, name), (analysis, name)
        for name in ("DESCRIPTION", "TASK", "USAGE", "EXAMPLES", "add", "find"):
            assert hasattr(analysis.arguments, name), (analysis, name)
        assert schemas.schema(analysis.command)
        assert f"platonic {analysis.command}" in guide, f"no page of the guide shows `platonic {analysis.command}`"
        assert f"{analysis.function}(" in tests, f"no test of {analysis.function}"
    presenters = {path.stem for path in (ROOT / "report/presenters").glob("[a-z]*.py")}
    assert presenters == {analysis.module for analysis in ANALYSES}
