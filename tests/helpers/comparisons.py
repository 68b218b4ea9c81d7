"""A small comparison made by hand, for the tests of what people see."""

import dataclasses

import numpy as np
from platonic_adapters.structures import Structures

from platonic_jax.analyses import Comparison, Matrix

MODELS = ("7net-0", "chgnet-0.3.0", "chgnet-r2scan", "random:7net-0?seed=0", "element")
KINDS = ("model", "model", "model", "random", "element")
ELEMENTS = (3, 12, 26, 57, 92, 13, 14, 8, 17, 18)  # One of each chemical group.

# Procrustes: 7net-0 and chgnet-r2scan agree most; the control reaches 0.7 at most, the element 0.6.
PROCRUSTES = [
    [1.00, 0.80, 0.90, 0.70, 0.60],
    [0.80, 1.00, 0.65, 0.50, 0.55],
    [0.90, 0.65, 1.00, 0.64, 0.58],
    [0.70, 0.50, 0.64, 1.00, 0.52],
    [0.60, 0.55, 0.58, 0.52, 1.00],
]


def beside(value, null, p, suffix):
    """A null, its p-value, and the effect with its interval."""
    effect = value - null
    return {
        f"null{suffix}": null,
        f"p{suffix}": p,
        f"effect{suffix}": effect,
        f"effect_low{suffix}": effect - 0.02,
        f"effect_high{suffix}": effect + 0.02,
    }


def matrix(value, *, null, null_within_element, similar=True, **settings):
    value = np.asarray(value, dtype=float)
    off = ~np.eye(len(value), dtype=bool)
    everywhere = lambda x: np.where(off, x, np.nan)
    return Matrix(
        value=value,
        low=np.where(off, value - 0.02, value),
        high=np.where(off, value + 0.03, value),
        error_structures=everywhere(0.01),
        error_anchors=everywhere(0.005),
        **beside(value, everywhere(null), everywhere(0.005), ""),
        **beside(value, everywhere(null_within_element), everywhere(0.01), "_within_element"),
        settings={
            "larger_is_more_similar": similar,
            "range": [0, 1],
            "num_permutations": 199,
            "num_rows": 60,
            "exchange": {
                "null": {"num_movable_atoms": 55, "num_atoms": 60},
                "null_within_element": {
                    "num_movable_atoms": 50,
                    "num_atoms": 60,
                    "num_groups": 10,
                    "num_tested_groups": 8,
                },
            },
            **settings,
        },
    )


def overlaps(m, r):
    """(m, m, r) tenths, the same both ways, 1 on the diagonal."""
    tenths = np.random.default_rng(1).integers(0, 11, size=(m, m, r)).astype(np.float32) / 10
    both = np.triu(np.ones((m, m)), 1)[:, :, None].astype(np.float32) * tenths
    return both + both.transpose(1, 0, 2) + np.eye(m, dtype=np.float32)[:, :, None]


def make(*, models=MODELS, kinds=KINDS, num_structures=20, shown=None, ids=None, formulas=None, stores=None):
    """`num_structures` structures of five atoms; the first `shown` atoms stand in the maps."""
    rng = np.random.default_rng(0)
    m, n = len(models), 5 * num_structures
    species = np.resize(ELEMENTS, n).astype(np.int32)
    structure_index = np.repeat(np.arange(num_structures), 5).astype(np.int32)
    atom_index = np.tile(np.arange(5), num_structures).astype(np.int32)
    ids = ids or [f"mp-{i}" for i in range(num_structures)]
    rows = np.arange(shown or n, dtype=np.int32)
    points = rng.normal(size=(m, 2, len(rows), 2)).astype(np.float32)
    explained = np.array([0.4, 0.2])
    anchor_rows = [1, 7, 12]
    value = np.asarray(PROCRUSTES)[:m, :m]
    provenance = {
        "model": "?",
        "family": "sevennet",
        "licence": "MIT",
        "checkpoint": {"name": "weights", "sha256": "ab" * 32},
        "layer": "layer4",
        "layers": {"layer4": {"width": 128, "what": "scalars before the read-out"}},
        "self_test": {"rotation": 1.5e-6, "structures": ["mp-0"]},
    }
    return Comparison(
        models=list(models),
        kinds=list(kinds),
        anchors={
            "method": "direct",
            "k": 3,
            "model": models[0],
            "row": anchor_rows,
            "structure": [ids[structure_index[row]] for row in anchor_rows],
            "atom": [int(atom_index[row]) for row in anchor_rows],
        },
        measures={
            "procrustes": matrix(value, null=0.05, null_within_element=0.4),
            "mutual_knn": matrix(value / 2, null=0.01, null_within_element=0.2, num_neighbours=10),
            "sinkhorn_divergence": matrix(1 - value, null=0.9, null_within_element=0.7, similar=False),
        },
        maps=[
            {"raw": raw, "shared": shared, "raw_explained": explained, "shared_explained": explained}
            for raw, shared in points
        ],
        rows=rows,
        neighbours=[rng.integers(0, n, size=(len(rows), 5)) for _ in range(m)],
        overlaps=overlaps(m, len(rows)),
        species=species,
        structure_index=structure_index,
        atom_index=atom_index,
        structures=Structures(
            ids=ids,
            hashes=[f"{i:064x}" for i in range(num_structures)],
            num_atoms=np.full(num_structures, 5),
            formulas=formulas or ["Fe2O3"] * num_structures,
            species=species,
            positions=rng.uniform(0, 6, size=(n, 3)),
            cells=np.tile(6 * np.eye(3), (num_structures, 1, 1)),
            pbc=np.ones((num_structures, 3), dtype=bool),
        ),
        provenance={
            "seed": 7,
            "created": "2026-11-20T10:00:00+00:00",
            "left_out": {"mp-99": "chgnet-0.3.0 does not know Cf"},
            "subsampling": {"sinkhorn_divergence": f"60 of {n} atoms"},
            "packages": {"jax": "0.10.1"},
            "num_neighbours": 10,
            "stores": {name: {**provenance, "model": name, **(stores or {}).get(name, {})} for name in models},
        },
    )


def with_measure(comparison, name, **fields):
    """The same comparison, with fields of one measure replaced."""
    measures = {**comparison.measures, name: dataclasses.replace(comparison.measures[name], **fields)}
    return dataclasses.replace(comparison, measures=measures)
