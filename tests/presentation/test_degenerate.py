"""Embeddings that are zero, or the same for all atoms: every command says that nothing can be computed, and why."""

import re

import numpy as np
import pytest
from ase import Atoms
from platonic_adapters import store
from platonic_adapters.structures import Structures

from platonic_jax.cli import main
from platonic_jax.report import Table
from platonic_jax.report._part import defined
from platonic_jax.report.presenters import _defined_table

NAN = re.compile(r"\bnan\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """By name: embeddings that vary, that are zero, constant, or constant but for rounding."""
    folder = tmp_path_factory.mktemp("degenerate")
    rng = np.random.default_rng(0)
    atoms = [
        Atoms(rng.choice(["Fe", "O"], 5), 3.0 * np.eye(5, 3, k=-1), cell=[9, 9, 9 + i], pbc=True) for i in range(24)
    ]
    structures = Structures.from_atoms(atoms, [f"s{i}" for i in range(24)])
    rounding = 1 + 1e-7 * rng.integers(-1, 2, (120, 6))
    found = {
        "good": rng.normal(size=(120, 6)),
        "zero": np.zeros((120, 6)),
        "constant": np.full((120, 6), 0.7),
        "rounded": 0.7 * rounding,
    }
    for name, x in found.items():
        writer = store.create(
            folder / f"{name}.zarr",
            structures,
            layers={"last": {"width": 6, "what": "made up"}},
            default_layer="last",
            provenance={"model": name, "random_weights": False},
        )
        for block in writer.pending():
            writer.write(block, {"last": np.float32(x)[writer.rows(block)]}, {})
        writer.finish()
    return folder


@pytest.mark.parametrize("bad", ["zero", "constant", "rounded"])
@pytest.mark.parametrize(
    "line",
    [
        "compare {good} {bad}",
        "compare {bad} {good}",
        "sweep {good} {bad}",
        "learn {good} {bad} --save {folder}/a.safetensors",
        "stitch {good} {bad}",
        "stitch {bad} {good}",
        "stitch {good} {good} --control {bad}",
        "typicality --reference {bad} {good}",
        "rank-errors {good} {bad} --labels none.extxyz",
        "consensus {good} {bad} --targets none.csv",
        "drift {good} {bad} --seen Fe",
        "drift {bad} {good} --seen Fe",
        "atlas {bad}",
        "arithmetic polymorphs {bad}",
        "arithmetic analogies {bad}",
    ],
)
def test_atoms_that_do_not_differ_are_refused_with_the_reason(stores, capsys, line, bad):
    places = {"good": stores / "good.zarr", "bad": stores / f"{bad}.zarr", "folder": stores}
    assert main(line.format(**places).split()) == 2
    out, said = capsys.readouterr()
    assert not NAN.search(out + said)
    assert f"cannot be computed because layer `last` of {bad} is {'zero' if bad == 'zero' else 'the same'}" in said


def test_what_is_undefined_is_said_to_be():
    said = defined("The map misses nan % (nan to nan) of 7net-0; nan-0 and mp.nan share 2 % (nan to nan %), or nan.")
    assert said.startswith("The map misses an undefined value (no interval) of 7net-0; nan-0 and mp.nan share 2 % (no")
    assert said.endswith(
        "or an undefined value. Values are undefined where too few atoms are left, or where their embeddings are equal."
    )
    assert defined("Nanometres of nan-1 (1 to 2).") == "Nanometres of nan-1 (1 to 2)."
    table = _defined_table(Table("t", ("name", "value"), [("nan", "nan"), ("b", "nan [nan to nan]"), ("c", "1.0")]))
    assert table.rows == [["nan", "–"], ["b", "–"], ["c", "1.0"]]
