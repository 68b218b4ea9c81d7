"""Learning from tables, on clouds that hold a common part under large parts of their own."""

import itertools
import json

import numpy as np
import pytest
from ase import Atoms
from platonic_adapters.structures import Structures

from platonic_jax import groups
from platonic_jax.anchors import Anchors
from platonic_jax.compare import compare
from platonic_jax.tables import EmbeddingTable
from platonic_jax.training import read_targets, train

pytestmark = pytest.mark.slow
STRUCTURES, QUICK = 150, {"k": 20, "num_steps": 150, "num_rows": 100, "num_judged": 150, "num_neighbours": 5}
SYSTEMS = list(itertools.combinations(["O", "Fe", "Ti", "Si", "Cu", "Zn", "S", "Al"], 2))


def structures():
    """Of four atoms, two elements each; no two alike."""
    cells = [
        Atoms([*SYSTEMS[i % len(SYSTEMS)]] * 2, positions=(2 + 0.01 * i) * np.eye(4, 3, k=-1), cell=[9, 9, 9], pbc=True)
        for i in range(STRUCTURES)
    ]
    return Structures.from_atoms(cells, [f"s{i}" for i in range(STRUCTURES)])


KNOWN = structures()


def table(x, *, model, **provenance):
    return EmbeddingTable.from_arrays(
        x, KNOWN.species, KNOWN.structure_index, structures=KNOWN, model=model, provenance=provenance
    )


def tables(*, shuffled=False, control=True):
    """Two models of one latent cloud, each with larger directions of its own, and one that knows nothing of it."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(len(KNOWN.species), 4))

    def seen(part, width):
        own = 4 * rng.normal(size=(len(part), 3))
        return np.hstack([part, own]) @ np.linalg.qr(rng.normal(size=(width, width)))[0][:7] + 5

    other = rng.permutation(latent) if shuffled else latent
    made = [table(seen(latent, 9), model="a"), table(seen(other, 12), model="b")]
    if control:
        noise = rng.normal(size=latent.shape)
        made.append(table(seen(noise, 8), model="random:a?seed=0", random_weights=True))
    return made


@pytest.fixture(scope="module")
def found():
    return train(tables(), **QUICK)


def mean(found, space, measure, of):
    return found.judged["all"][space][measure][of]


def test_agreement_under_large_directions_is_learned_and_holds_on_new_chemistry(found):
    for measure, gain in (("procrustes", 0.2), ("mutual_knn", 0.2)):
        plain, learned = (mean(found, space, measure, "trained") for space in ("plain", "learned"))
        assert learned["low"] > plain["high"]
        assert learned["value"] > plain["value"] + gain
    excess = [mean(found, space, "mutual_knn", "excess") for space in ("plain", "learned")]
    assert excess[1]["low"] > max(excess[0]["high"], 0.2)
    assert mean(found, "learned", "mutual_knn", "control")["value"] < 0.15


def test_shuffled_rows_teach_nothing():
    null = train(tables(shuffled=True, control=False), **QUICK)
    plain, learned = (mean(null, space, "mutual_knn", "trained") for space in ("plain", "learned"))
    assert learned["value"] < plain["value"] + 0.05
    assert "excess" not in null.judged["all"]["learned"]["mutual_knn"]


def test_what_learns_what_chooses_and_what_judges_share_no_chemistry(found):
    assert len(found.anchors) == 20
    assert list(found.anchors.metrics) == ["a", "b", "random:a?seed=0"]
    parts = found.settings["structures"]
    assert sum(parts.values()) == STRUCTURES
    assert min(parts.values()) > 5
    systems = groups.chemical_systems(KNOWN)
    of_anchors = set(groups.chemical_systems(found.anchors.structures))
    assert sum(np.isin(systems, list(of_anchors))) <= parts["learned"]


def test_what_was_learned_is_a_file_that_compare_takes(found, tmp_path):
    found.anchors.save(tmp_path / "learned.safetensors")
    settings = {"num_permutations": 9, "num_bootstraps": 9, "measures": ["procrustes"]}
    given = tables()
    plain = compare(given, k=20, **settings).measures["procrustes"].value[0, 1]
    learned = compare(given, anchors=Anchors.load(tmp_path / "learned.safetensors"), **settings)
    assert learned.measures["procrustes"].value[0, 1] > plain + 0.2
    found.save(tmp_path / "learned.json")
    told = json.loads((tmp_path / "learned.json").read_text())
    assert told["judged"]["all"]["learned"]["mutual_knn"]["trained"]["value"] == pytest.approx(
        mean(found, "learned", "mutual_knn", "trained")["value"]
    )


def test_a_task_learns_anchors_and_weights():
    given = tables(control=False)
    rng = np.random.default_rng(3)
    target = np.array([given[0].x[given[0].structure_index == i].mean() for i in range(STRUCTURES)])
    target[rng.random(STRUCTURES) < 0.1] = np.nan
    settings = QUICK | {"num_steps": 20, "num_rows": 400, "held_out": 0.3}
    found = train(given, objective=["task:e"], targets={"e": target}, **settings)
    assert found.settings["parts"] == ["anchors", "weights"]
    assert not found.anchors.metrics
    assert found.anchors.weights.shape == (20,)
    assert np.ptp(found.anchors.weights) > 0.1  # All were 1.
    assert np.isfinite(found.losses).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": ["taste"]}, "`objective` must be among agreement, task:e, got 'taste'"),
        ({"objective": ["task:x"]}, "got 'task:x'"),
        ({"parts": ["soul"]}, "`parts` must be among metric, anchors, weights, got 'soul'"),
        (
            {"targets": {"e": np.zeros(3)}},
            r"`targets\['e'\]` must have a value for each of 150 structures or 600 atoms",
        ),
        ({"num_neighbours": 200}, "must leave more than `num_neighbours` = 200 atoms to judge on, got 1"),
        ({"k": 10_000}, "`k` must be at most the number of atoms to learn from"),
    ],
)
def test_a_mistake_is_told_before_training(change, message):
    with pytest.raises(ValueError, match=message):
        train(tables(control=False), **{"targets": {"e": np.zeros(STRUCTURES)}} | QUICK | change)


def test_two_trained_models_and_their_structures_are_needed():
    a, _, control = tables()
    with pytest.raises(ValueError, match="two trained models at least, got 1"):
        train([a, control])
    with pytest.raises(ValueError, match="`tables` must be of different models, got a"):
        train([a, a])
    bare = [EmbeddingTable.from_arrays(t.x, t.species, t.structure_index, model=t.model) for t in tables()[:2]]
    with pytest.raises(ValueError, match="`tables` must bring their structures"):
        train(bare)


def test_targets_are_read_by_id(tmp_path):
    path = tmp_path / "energies.csv"
    path.write_text("material_id,e,word\ns2,-1.5,x\ns0,,y\nelsewhere,7,z\n")
    found = read_targets(path, tables()[0])
    assert list(found) == ["e"]
    assert found["e"][2] == -1.5
    assert np.isnan(found["e"][[0, 1]]).all()
    for text, message in (
        ("name,e\ns2,1\n", "must have a column `id` or `material_id`, got name, e"),
        ("id,e\nother,1\n", "must hold structures of the stores, such as 's0', got none"),
        ("id,word\ns2,x\n", "must have a column of numbers, got id, word"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_targets(path, tables()[0])
    with pytest.raises(ValueError, match="which does not exist"):
        read_targets(tmp_path / "absent.csv", tables()[0])
