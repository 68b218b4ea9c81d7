"""For the tests of commands: stores as an export would write them, and what a mistake must look like."""

import numpy as np
from ase import Atoms
from platonic_adapters import store
from platonic_adapters.structures import Structures


def write_store(path, *, width=6, seed=0, model="a", species=("Fe", "O"), number=24, complete=True, **provenance):
    """A store of 24 structures of five atoms, or the first of them, as an export would have written it."""
    numbers = np.random.default_rng(0).choice(species, size=(24, 5))[:number]
    atoms = [Atoms(list(row), positions=3.0 * np.eye(5, 3, k=-1), cell=[9, 9, 9], pbc=True) for row in numbers]
    structures = Structures.from_atoms(atoms, [f"s{i}" for i in range(number)])
    rng = np.random.default_rng(seed)
    element = rng.normal(size=(119, width))[structures.species]
    x = np.float32(element + 0.5 * rng.normal(size=(5 * number, width)))
    writer = store.create(
        path,
        structures,
        layers={"last": {"width": width, "what": "made up"}},
        default_layer="last",
        provenance={"model": model, "random_weights": False, **provenance},
    )
    for block in writer.pending():
        writer.write(block, {"last": x[writer.rows(block)]}, {})
    if complete:
        writer.finish()
    return str(path)


def one_sentence(capsys):
    """What stands on stderr, which must be one sentence of ours."""
    said = capsys.readouterr().err
    assert said.startswith("platonic: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said
    return said
