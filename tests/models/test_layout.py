"""The modules of platonic_adapters import each other without circles, and a family only where it is loaded."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import platonic_adapters
import pytest

ROOT = Path(platonic_adapters.__file__).parent
PACKAGE = ROOT.name


def sources():
    """Source of every module, by name relative to the package; a package is called like its folder."""
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
    names = {path: ".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths}
    return {name: (ROOT / path).read_text("utf-8") for path, name in names.items() if name != "__init__"}


def graph(modules):
    """Modules that each one imports, anywhere in it: at its top, inside functions, or for type checkers alone."""
    edges = {}
    for name, source in modules.items():
        targets = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"relative import in {name}"
                targets |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        edges[name] = {target.removeprefix(f"{PACKAGE}.") for target in targets} & set(modules)
    return edges


def circle(modules):
    """The first circle of imports, if there is one."""
    try:
        graphlib.TopologicalSorter(graph(modules)).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def test_no_modules_import_each_other():
    assert circle(sources()) is None


@pytest.mark.parametrize(
    "line",
    [
        "from platonic_adapters import b",
        "from platonic_adapters.b import x",
        "def f():\n    import platonic_adapters.b",
        "if TYPE_CHECKING:\n    from platonic_adapters.b import X",
    ],
)
def test_a_circle_is_detected(line):
    assert circle({"a": line, "b": "from platonic_adapters import a"})
    assert circle({"a": line, "b": "import numpy"}) is None


def test_families_are_imported_by_name_alone():
    assert "families.mace" in graph(sources())  # so that an empty set means something
    importers = {
        name: families
        for name, targets in graph(sources()).items()
        if (families := {target for target in targets if target.startswith("families.")})
    }
    assert set(importers) == {name for name in sources() if name.startswith("families.")} - {"families._common"}
    assert all(target.startswith("families._") for target in set().union(*importers.values()))


@pytest.mark.parametrize("line", ["models", "--help"])
def test_the_list_of_models_imports_no_family(line):
    code = (
        f"import contextlib, io, sys\nfrom platonic_adapters import cli\n"
        f"with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    cli.main(['{line}'])\n"
        "print(*[m for m in sys.modules if m.startswith('platonic_adapters.families.') or m in ('torch', 'jax')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
