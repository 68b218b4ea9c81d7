"""Learning from tables, on clouds that hold a common part under large parts of their own."""

import dataclasses
import itertools
import json

import jax
import numpy as np
import pytest
import reports
import schemed
from ase import Atoms
from platonic_adapters.structures import Structures
from sklearn.linear_model import Ridge

from platonic_jax import metrics, report
from platonic_jax.analyses import Estimate, compare, extend, read_targets, train
from platonic_jax.analyses._training._driver import _held_out
from platonic_jax.analyses._training._evaluation import RIDGES
from platonic_jax.anchors import Anchors
from platonic_jax.labels import chemical_systems
from platonic_jax.report.presenters import training
from platonic_jax.tables import EmbeddingTable

STRUCTURES, QUICK = 150, {"k": 20, "num_steps": 150, "num_rows": 100, "num_evaluated": 150, "num_neighbours": 5}
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
    return found.agreement["all"].spaces[space][measure].means[of]


def test_agreement_under_large_directions_is_learned_and_holds_on_new_chemistry(found):
    for measure, gain in (("procrustes", 0.2), ("mutual_knn", 0.2)):
        plain, learned = (mean(found, space, measure, "trained") for space in ("plain", "learned"))
        assert learned.low > plain.high
        assert learned.value > plain.value + gain
    excess = [mean(found, space, "mutual_knn", "excess") for space in ("plain", "learned")]
    assert excess[1].low > max(excess[0].high, 0.2)
    assert mean(found, "learned", "mutual_knn", "control").value < 0.15


def test_what_was_there_before_the_first_step_is_not_credited_to_learning(found):
    """The start by hand: half-whitened principal components, then similarities to the same anchors."""
    given = tables()
    rows = found.anchors.rows(KNOWN, KNOWN.structure_index)
    judged, chosen = _held_out(given[0], 0.2, split=fold(0), validation=fold(4))
    index = np.sort(np.asarray(jax.random.permutation(fold(3), np.flatnonzero(judged)))[:150])

    def at_start(x):
        own = x[~(judged | chosen)].astype(float)
        values, directions = np.linalg.eigh(np.cov(own.T))
        half = np.maximum(values, 1e-6 * values.max()) ** -0.25
        mapped = (x - own.mean(axis=0)) @ (directions * half)
        unit = mapped / np.linalg.norm(mapped, axis=1, keepdims=True)
        return unit[index] @ unit[rows].T

    expected = {
        "start": metrics.procrustes(*(at_start(of.x) for of in given[:2])),
        "raw": metrics.procrustes(*(of.x[index] for of in given[:2])),
    }
    for space, value in expected.items():
        assert found.agreement["all"].spaces[space]["procrustes"].pairs[0].value == pytest.approx(
            float(value), abs=1e-4
        )
        for kind in ("trained", "control", "excess"):
            gain = found.agreement["all"].gains[space]["mutual_knn"][kind]
            learned, before = (mean(found, of, "mutual_knn", kind).value for of in ("learned", space))
            assert gain.value == pytest.approx(learned - before)
            assert gain.low < gain.value < gain.high
    (said,) = (said for said in report.part(found).verdict if said.startswith("Shared nearest neighbours"))
    assert "at the start of the training" in said
    assert "in the raw embeddings without anchors" in said


def test_a_verdict_says_where_the_excess_over_the_control_falls():
    """As the Procrustes excess did: maps bring an untrained network nearer, too."""
    told = lambda *gain: training._gain_sentences({"start": one(*gain)})
    one = lambda value, half=0.01: Estimate.around(value, half)
    assert told(-0.14) == (
        "The excess falls under learning: a change of -0.140 (-0.150 to -0.130) from that at the start of the training."
    )
    assert told(0.1) == "Learning itself adds 0.100 (0.090 to 0.110) to the excess at its start."
    for value in (0.1, -0.1):
        assert told(value, 0.2).startswith("It is not certain that learning changes the excess from that at the start")


def fold(i):
    return jax.random.fold_in(jax.random.key(0), i)


def test_shuffled_rows_teach_nothing():
    null = train(tables(shuffled=True, control=False), **QUICK)
    plain, learned = (mean(null, space, "mutual_knn", "trained") for space in ("plain", "learned"))
    assert learned.value < plain.value + 0.05
    assert "excess" not in null.agreement["all"].spaces["learned"]["mutual_knn"].means


def test_what_learns_what_chooses_and_what_judges_share_no_chemistry(found):
    assert len(found.anchors) == 20
    assert list(found.anchors.metrics) == ["a", "b", "random:a?seed=0"]
    parts = found.settings["structures"]
    assert sum(parts.values()) == STRUCTURES
    assert min(parts.values()) > 5
    systems = chemical_systems(KNOWN)
    of_anchors = set(chemical_systems(found.anchors.structures))
    assert sum(np.isin(systems, list(of_anchors))) <= parts["learned"]


def test_what_was_learned_is_a_file_that_compare_takes(found, tmp_path):
    found.anchors.save(tmp_path / "learned.safetensors")
    settings = {"num_permutations": 9, "num_anchor_draws": 0, "measures": ["procrustes"]}
    given = tables()
    plain = compare(given, k=20, **settings).measures["procrustes"].value[0, 1]
    learned = compare(given, anchors=Anchors.load(tmp_path / "learned.safetensors"), **settings)
    assert learned.measures["procrustes"].value[0, 1] > plain + 0.2
    found.save(tmp_path / "learned.json")
    told = json.loads((tmp_path / "learned.json").read_text())
    schemed.check("learn", told)
    reports.check(found)
    assert told["agreement"]["all"]["spaces"]["learned"]["mutual_knn"]["means"]["trained"]["value"] == pytest.approx(
        mean(found, "learned", "mutual_knn", "trained").value
    )


def test_a_task_learns_anchors_and_weights_that_read_out_better_than_direct_ones():
    """Of two hundred directions, one holds the target: anchors that lean to it are worth more than any others."""
    given = tables()
    target = np.array([given[0].x[given[0].structure_index == i].mean() for i in range(STRUCTURES)])
    target[::10] = np.nan
    settings = QUICK | {"k": 4, "num_steps": 120, "num_rows": 400, "held_out": 0.3}
    parts = ["anchors", "weights"]
    found = train(given, objective=["task:e"], targets={"e": target}, parts=parts, **settings)
    assert found.settings["parts"] == ["anchors", "weights"]
    assert not found.anchors.metrics
    assert np.ptp(found.anchors.weights) > 0.1  # All were 1.
    task = found.tasks["e"]
    assert sum(task.num.values()) == np.isfinite(target).sum()
    assert set(found.agreement["all"].spaces) == {"raw", "plain", "direct", "start", "learned"}
    assert len(task.spaces["learned"].models) == 3
    assert task.spaces["learned"].means["trained"].value < task.spaces["plain"].means["trained"].value
    for space in ("raw", "plain", "direct", "start"):
        reduction = task.reduction[space]["trained"]
        ratio = task.spaces["learned"].means["trained"].value / task.spaces[space].means["trained"].value
        assert reduction.value == pytest.approx(1 - ratio)
        assert reduction.low < reduction.value
    excess = task.spaces["learned"].means["control"].value - task.spaces["learned"].means["trained"].value
    assert task.spaces["learned"].means["excess"].value == pytest.approx(excess)
    assert "at the start of the training" in reports.check(found).verdict[-1]
    assert reports.check(found).verdict[-1].startswith("e: mean absolute error")
    assert task.baselines["constant"].value > task.spaces["learned"].models[0].value


def test_the_read_out_is_a_ridge_regression_on_means_of_structures():
    given = tables(control=False)[:1]
    target = np.random.default_rng(0).normal(size=STRUCTURES)
    settings = QUICK | {"k": 5, "num_steps": 1, "num_rows": 400, "held_out": 0.3}
    found = train(given, objective=["task:e"], targets={"e": target}, parts=["weights"], **settings)
    assert found.agreement == {}  # One model agrees with none.
    rows = found.anchors.rows(KNOWN, KNOWN.structure_index)
    x = given[0].x.astype(float)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    means = (unit @ unit[rows].T * found.anchors.weights).reshape(STRUCTURES, 4, 5).mean(axis=1)
    judged, chosen = held_out_as_in_training(given[0], 0.3)
    learned = ~(judged | chosen)
    best = None
    for penalty in RIDGES:
        size = np.trace(np.cov(means[learned].T, ddof=0)) * learned.sum() / 5
        model = Ridge(alpha=penalty * size).fit(means[learned], target[learned])
        error = np.square(model.predict(means[chosen]) - target[chosen]).sum()
        if best is None or error < best[0]:
            best = error, np.abs(model.predict(means[judged]) - target[judged]).mean()
    assert best is not None
    assert found.tasks["e"].spaces["learned"].models[0].value == pytest.approx(best[1], rel=1e-3)


def held_out_as_in_training(given, fraction):
    return [rows[::4] for rows in _held_out(given, fraction, split=fold(0), validation=fold(4))]


def test_words_are_classes_and_some_targets_are_known_from_structures():
    given = tables(control=False)
    side = np.where(np.arange(STRUCTURES) % 2, "odd", "even")
    side[::7] = ""
    settings = QUICK | {"num_steps": 5, "num_rows": 400, "held_out": 0.3}
    wanted = ["task:side", "0.5*task:element_group", "task:coordination"]
    found = train(given, objective=wanted, targets={"side": side}, **settings)
    assert found.tasks["side"].labels == ("even", "odd")
    assert found.tasks["element_group"].labels == ("11", "12", "13", "14", "16", "4", "8")
    assert [found.tasks[name].per for name in found.tasks] == ["structure", "atom", "atom"]
    for name, task in found.tasks.items():
        assert task.unit == ("mean absolute error" if name == "coordination" else "share of wrong classes")
        assert 0 <= task.spaces["learned"].models[0].value <= task.baselines["constant"].value + 0.2
    # What the composition alone tells: the group of every element.
    assert found.tasks["element_group"].baselines["composition"].value < 0.3


def test_a_model_that_took_no_part_is_given_a_map_whatever_its_coordinates(found, tmp_path):
    rng, own = np.random.default_rng(7), tables()[0].x
    turned = 3 * own @ np.linalg.qr(rng.normal(size=(9, 9)))[0].astype(np.float32) + 2
    extended = extend(found.anchors, [table(own, model="c"), table(turned, model="d")])
    assert list(extended.metrics) == [*found.anchors.metrics, "c", "d"]
    extended.save(tmp_path / "extended.safetensors")
    extended = Anchors.load(tmp_path / "extended.safetensors")
    rows, cosines = extended.rows(KNOWN, KNOWN.structure_index), []
    for x, model in ((own, "c"), (turned, "d")):
        mapped = extended.mapped(x, model=model, layer=found.anchors.metrics["a"].layer)
        unit = mapped / np.linalg.norm(mapped, axis=1, keepdims=True)
        cosines.append(unit @ unit[rows].T)
    np.testing.assert_allclose(*cosines, atol=1e-3)
    with pytest.raises(ValueError, match="must be of models without a map, got c"):
        extend(extended, [table(own, model="c")])
    with pytest.raises(ValueError, match="`anchors` must have metrics, got none"):
        extend(dataclasses.replace(extended, metrics={}), [table(own, model="e")])


def test_what_unseen_models_gain_is_told_beside_the_trained_ones():
    """A third model of the same latent cloud, which is judged with a map from its own rows."""
    a, b, control = tables()
    rng = np.random.default_rng(5)
    third = table(np.hstack([a.x, 4 * rng.normal(size=(len(a.x), 2))]), model="c")
    found = train([a, third, b, control], unseen=["c"], **QUICK)
    assert found.models == ["a", "b", "c", "random:a?seed=0"]
    assert (found.num_trained, found.num_unseen) == (2, 1)
    assert sorted(found.pairs) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)]
    judged = found.agreement["all"].spaces["learned"]["procrustes"]
    assert judged.means["unseen"].value == pytest.approx(np.mean([judged.pairs[i].value for i in (1, 3)]))
    assert list(found.anchors.metrics) == ["a", "b", "c", "random:a?seed=0"]
    alone = train([a, b, control], **QUICK)
    same = [np.concatenate([one.anchors.metrics[name].matrix.ravel() for name in "ab"]) for one in (found, alone)]
    np.testing.assert_array_equal(*same)  # It took no part.
    with pytest.raises(ValueError, match="`unseen` must be among a, b, got 'd'"):
        train([a, b], unseen=["d"], **QUICK)


def test_sparse_weights_leave_fewer_anchors():
    settings = QUICK | {"num_steps": 400, "k": 30}
    found = train(tables(control=False), objective=["agreement:cka", "3*sparsity"], parts=["weights"], **settings)
    assert len(found.anchors) == len(found.anchors.weights) < 30
    assert found.anchors.weights.min() >= 0.01 * found.anchors.weights.max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": ["taste"]}, "`objective` must be among agreement, agreement:MEASURE, task:e, .* got 'taste'"),
        ({"objective": ["agreement:taste"]}, "got 'agreement:taste'"),
        ({"objective": ["-1*sparsity"]}, r"got '-1\*sparsity'"),
        ({"objective": []}, "got none"),
        ({"objective": ["task:x"]}, "got 'task:x'"),
        ({"parts": ["soul"]}, "`parts` must be among metric, anchors, weights, got 'soul'"),
        (
            {"objective": ["task:e"], "targets": {"e": np.zeros(3)}},
            r"`targets\['e'\]` must have a value for each of 150 structures or 600 atoms",
        ),
        (
            {"objective": ["task:e"], "targets": {"e": np.full(STRUCTURES, np.nan)}},
            r"`targets\['e'\]` must be known of some structures here, got none",
        ),
        (
            {"objective": ["task:e"], "targets": {"e": np.where(np.arange(STRUCTURES) < 2, 1.0, np.nan)}},
            "known of structures in the training, validation and test set, got 2, 0, 0",
        ),
        ({"num_neighbours": 200}, "must leave more than `num_neighbours` = 200 held-out atoms, got 1"),
        ({"k": 10_000}, "`k` must be at most the number of atoms to learn from"),
    ],
)
def test_a_mistake_is_told_before_training(change, message):
    with pytest.raises(ValueError, match=message):
        train(tables(control=False), **{"targets": {"e": np.zeros(STRUCTURES)}} | QUICK | change)


def test_two_trained_models_and_their_structures_are_needed():
    a, _, control = tables()
    with pytest.raises(ValueError, match="2 or more trained models, got 1"):
        train([a, control])
    with pytest.raises(ValueError, match="`tables` must be of different models, got a"):
        train([a, a])
    bare = [EmbeddingTable.from_arrays(t.x, t.species, t.structure_index, model=t.model) for t in tables()[:2]]
    with pytest.raises(ValueError, match="`tables` must bring their structures"):
        train(bare)


@pytest.mark.parametrize("missing", ["", "n/a", "N/A", "NA", "NaN", "nan", "null", "None", "-", "?", " "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_missing_targets_are_missing_in_any_encoding(tmp_path, missing, encoding):
    (tmp_path / "t.csv").write_bytes(f",id,e,ü\n0,s2,-1.5,x\n1,s0,{missing},{missing}\n2,s1,.5e1\n".encode(encoding))
    found = read_targets(tmp_path / "t.csv", tables()[0])
    np.testing.assert_array_equal(found["e"][:3], [np.nan, 5, -1.5])
    assert found["ü"][:3].tolist() == ["", "", "x"]
    assert list(found) == ["e", "ü"]


def test_targets_are_read_by_id(tmp_path):
    path = tmp_path / "energies.csv"
    path.write_text("material_id,e,word\ns2,-1.5,x\ns0,,y\nelsewhere,7,z\n")
    found = read_targets(path, tables()[0])
    assert list(found) == ["e", "word"]
    assert found["word"][[0, 1, 2]].tolist() == ["y", "", "x"]
    assert found["e"][2] == -1.5
    assert np.isnan(found["e"][[0, 1]]).all()
    for text, message in (
        ("name,e\ns2,1\n", "must have a column `id` or `material_id`, got name, e"),
        ("id,e\nother,1\n", "must hold structures of the stores, such as 's0', got none"),
        ("id\ns2\n", "must have a column of values or classes, got id alone"),
        ("id,e\ns0,1,2\ns1,1\n", "row 1 has 3 fields, its heading has 2"),
        ("id,e\ns0,1\ns1,1,5\n", "row 2 has 3 fields.*write decimals with a point"),
        ('id,e\ns0,1\ns1,"1,5"\n', "column `e` must hold numbers or words, got 1 .*'1,5' in row 2; write decimals"),
        ('id,e\ns0,"0,1"\ns1,"1,5"\n', "column `e` must have decimals with a point, got '0,1' in row 1"),
        ("id,e\ns0,1\ns1,2\ns2,high\n", "got 2 numbers and 1 others, 'high' in row 3"),
        ("id,e\ns0,high\ns1,2\ns2,high\n", "got 1 numbers and 2 others, '2' in row 2"),
        ("id,e\ns0,1\ns1,1_0\n", "'1_0' in row 2"),
        ("id,e\ns0,inf\n", "must hold finite numbers, got 'inf' in row 1"),
        ("id,e\ns0,1e39\n", "must hold finite numbers, got '1e39' in row 1"),
        ("id,e\ns0,1\ns1,2\ns0,3\n", "one row for each structure, got 's0' in rows 1 and 3"),
        ("id,e,e\ns0,1,2\n", "has two columns `e`"),
        ("", "must have a column `id` or `material_id`, got nothing"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_targets(path, tables()[0])
    with pytest.raises(ValueError, match="which does not exist"):
        read_targets(tmp_path / "absent.csv", tables()[0])
