"""Does a score tell where a model errs? Against scipy and scikit-learn, and on orders that are known."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reports
import schemed
import scipy.stats
from sklearn.metrics import roc_auc_score

from platonic_jax import analyses, diagnostics
from platonic_jax.analyses._error_ranking import _composition_distance
from platonic_jax.tables import EmbeddingTable


@pytest.fixture
def drawn():
    """Scores with ties, and errors that follow them in part."""
    rng = np.random.default_rng(0)
    score = np.round(rng.gamma(2.0, size=300), 1).astype(np.float32)
    return score, (score * rng.uniform(0.1, 2, 300)).astype(np.float32)


def test_ranks_are_those_of_scipy(drawn):
    score, _ = drawn
    found = jax.jit(diagnostics.ranks)(jnp.asarray(score))
    np.testing.assert_allclose(found, (scipy.stats.rankdata(score) - 0.5) / len(score), atol=1e-6)


def test_ranks_within_groups_are_those_of_each_group_alone(drawn):
    score, _ = drawn
    groups = np.random.default_rng(1).integers(0, 7, len(score)).astype(np.int32)
    found = np.asarray(diagnostics.ranks(jnp.asarray(score), groups=jnp.asarray(groups)))
    for group in range(7):
        alone = score[groups == group]
        expected = (scipy.stats.rankdata(alone) - 0.5) / len(alone)
        np.testing.assert_allclose(found[groups == group], expected, atol=1e-6)


def test_rank_correlation_is_spearmans(drawn):
    score, error = drawn
    found = float(diagnostics.rank_correlation(jnp.asarray(score), jnp.asarray(error)))
    assert found == pytest.approx(scipy.stats.spearmanr(score, error).statistic, abs=1e-5)
    opposite = float(diagnostics.rank_correlation(jnp.asarray(-score), jnp.exp(jnp.asarray(error))))
    assert opposite == pytest.approx(-found, abs=1e-5)


def test_what_is_the_same_everywhere_has_no_rank_correlation(drawn):
    _, error = drawn
    assert np.isnan(diagnostics.rank_correlation(jnp.ones_like(jnp.asarray(error)), jnp.asarray(error)))


def test_auroc_is_that_of_scikit_learn(drawn):
    score, error = drawn
    positive = error > np.quantile(error, 0.9)
    found = float(jax.jit(diagnostics.auroc)(jnp.asarray(score), jnp.asarray(positive)))
    assert found == pytest.approx(roc_auc_score(positive, score), abs=1e-5)
    assert float(diagnostics.auroc(jnp.asarray(-score), jnp.asarray(positive))) == pytest.approx(1 - found, abs=1e-5)
    assert np.isnan(diagnostics.auroc(jnp.asarray(score), jnp.ones(len(score), bool)))


def test_the_curve_is_the_mean_error_of_what_is_kept(drawn):
    _, error = drawn
    score = np.random.default_rng(2).permutation(len(error)).astype(np.float32)
    found = diagnostics.error_against_coverage(jnp.asarray(score), jnp.asarray(error), num_points=10)
    kept = error[np.argsort(score)]
    np.testing.assert_allclose(found.error, [kept[: 30 * (i + 1)].mean() for i in range(10)], rtol=1e-5)
    np.testing.assert_allclose(found.coverage, np.arange(1, 11) / 10, rtol=1e-6)


def test_the_gain_is_one_for_a_perfect_order_and_none_for_a_score_that_tells_nothing(drawn):
    _, error = (jnp.asarray(values) for values in drawn)
    gain = lambda score: float(diagnostics.error_against_coverage(score, error).gain)
    assert gain(error) == pytest.approx(1, abs=1e-5)
    assert gain(jnp.zeros_like(error)) == pytest.approx(0, abs=1e-5)
    assert gain(-error) < -0.5
    by_chance = [gain(jax.random.uniform(jax.random.key(i), error.shape)) for i in range(30)]
    assert abs(np.mean(by_chance)) < 3 * np.std(by_chance) / np.sqrt(30)


@pytest.mark.parametrize("groups", [False, True])
def test_rows_of_a_weight_count_as_often(drawn, groups):
    """A bootstrap draw by weights is that of repeated rows, ranked anew."""
    score, error = drawn
    count = np.random.default_rng(3).integers(0, 4, len(score))
    label = np.random.default_rng(4).integers(0, 3, len(score)).astype(np.int32)
    positive = error > np.quantile(error, 0.8)

    def figures(index, weights):
        s, e, p = (jnp.asarray(values[index]) for values in (score, error, positive))
        w = None if weights is None else jnp.asarray(weights, jnp.float32)
        g = jnp.asarray(label[index]) if groups else None
        own = {"weights": w}
        return [
            diagnostics.rank_correlation(s, e, groups=g, **own),
            diagnostics.auroc(s, p, **own),
            diagnostics.prediction_rejection(s, e, **own),
        ]

    repeated = figures(np.repeat(np.arange(len(score)), count), None)
    weighted = figures(np.arange(len(score)), count)
    np.testing.assert_allclose(weighted[:2], repeated[:2], atol=2e-5)
    # Copies of a row leave the curve together, instead of one by one.
    np.testing.assert_allclose(weighted[2], repeated[2], atol=0.02)
    once = figures(np.arange(len(score)), np.ones(len(score)))
    np.testing.assert_allclose(once, figures(np.arange(len(score)), None), atol=2e-5)


def test_a_curve_has_no_more_points_than_rows():
    with pytest.raises(ValueError, match="`num_points` must be at most the number of rows n = 3, got 20"):
        diagnostics.error_against_coverage(jnp.ones(3), jnp.ones(3))


# ---- the study ---------------------------------------------------------------------------------------------------


STRUCTURES, ATOMS = 60, 4
NUMBER = STRUCTURES * ATOMS
SPECIES, INDEX = np.tile([8, 8, 26, 26], STRUCTURES), np.repeat(np.arange(STRUCTURES), ATOMS)


def model(name, errors, *, seed=0, x=None):
    """A model whose forces lie off by `errors`, along random directions, from forces of size 1."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(NUMBER, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    rows = rng.normal(size=(NUMBER, 6)) if x is None else x
    forces = TRUE["forces"] + errors[:, None] * direction
    energy = TRUE["energy"] + ATOMS * errors.reshape(STRUCTURES, ATOMS).mean(axis=1) * rng.choice([-1, 1], STRUCTURES)
    return EmbeddingTable.from_arrays(
        rows, SPECIES, INDEX, model=name, properties={"forces": forces, "energy": energy + 7 * ATOMS}
    )


@pytest.fixture(scope="module")
def errors():
    """Those of oxygen are ten times those of iron: what knows the element alone knows that."""
    return np.random.default_rng(5).gamma(2, size=NUMBER) * np.where(SPECIES == 8, 0.1, 0.01)


_unit = np.random.default_rng(6).normal(size=(NUMBER, 3))
TRUE = {"forces": _unit / np.linalg.norm(_unit, axis=1, keepdims=True), "energy": np.linspace(-9, 0, STRUCTURES)}


def test_a_score_that_is_the_error_is_perfect_and_one_by_chance_tells_nothing(errors):
    scores = {"oracle": {"a": errors**2}, "chance": {"a": np.random.default_rng(1).random(NUMBER)}}
    found = analyses.error_ranking([model("a", errors)], TRUE, scores=scores, num_bootstraps=20)
    assert found.num_atoms == NUMBER
    assert found.errors["a"]["force"]["mean"] == pytest.approx(errors.mean(), rel=1e-3)
    for place in ("atoms", "within"):
        oracle, chance = (found.scores["a"][name][place] for name in ("oracle", "chance"))
        for figure in ("rank_correlation", "worst_auroc"):
            assert getattr(oracle, figure).value == pytest.approx(1, abs=1e-3)
        assert oracle.prediction_rejection.value == pytest.approx(1, abs=1e-3)
        for figure, by_chance in found.settings["null"].items():
            if told := getattr(chance, figure):
                assert abs(told.value - by_chance) < 1.5 * (told.high - told.low)
    assert found.scores["a"]["oracle"]["structures"].rank_correlation.value > 0.5
    assert "disagreement" not in found.scores["a"]  # One model alone.


def test_figures_are_those_of_the_algorithms(errors):
    score = np.round(np.random.default_rng(8).random(NUMBER) + errors, 1)  # With ties.
    found = analyses.error_ranking([model("a", errors)], TRUE, scores={"s": {"a": score}}, num_bootstraps=20)
    entry = found.scores["a"]["s"]["atoms"]
    given, true = jnp.asarray(score, jnp.float32), jnp.asarray(errors, jnp.float32)
    assert entry.rank_correlation.value == pytest.approx(float(diagnostics.rank_correlation(given, true)), abs=1e-3)
    worst = true > jnp.quantile(true, 0.9)
    assert entry.worst_auroc.value == pytest.approx(float(diagnostics.auroc(given, worst)), abs=1e-3)
    gain = diagnostics.error_against_coverage(given, true).gain
    assert entry.prediction_rejection.value == pytest.approx(float(gain), abs=1e-3)


def test_what_knows_the_element_alone_tells_nothing_within_elements(errors):
    scores = {"element": {"a": (SPECIES == 8) + 0.0}}
    found = analyses.error_ranking([model("a", errors)], TRUE, scores=scores, num_bootstraps=20).scores["a"]["element"]
    assert found["atoms"].rank_correlation.value > 0.7
    assert np.isnan(found["within"].rank_correlation.value)


def test_a_score_that_is_the_size_of_the_force_adds_nothing_to_it(errors):
    given = model("a", errors)
    scores = {"size": {"a": np.linalg.norm(given.properties["forces"], axis=1)}, "oracle": {"a": errors}}
    found = analyses.error_ranking([given], TRUE, scores=scores, num_bootstraps=20).scores["a"]
    assert found["size"]["within"].given_force_size.value == pytest.approx(0, abs=1e-3)
    assert found["oracle"]["within"].given_force_size.value > 0.9


def test_compositions_of_the_reference_are_at_distance_zero(errors):
    x = np.random.default_rng(4).normal(size=(12, 6))
    # The composition of the first structure; then an element that none has.
    own = model("a", errors)
    some = own.species[own.structure_index == 0]
    known = EmbeddingTable.from_arrays(x[: len(some)], some, np.zeros(len(some), int), model="a")
    found = _composition_distance(own, known)
    assert found[own.structure_index == 0] == pytest.approx(0, abs=1e-6)
    gold = EmbeddingTable.from_arrays(x[:1], [79], [0], model="a")
    np.testing.assert_allclose(_composition_distance(own, gold), 2.0)
    judged = analyses.error_ranking([own], TRUE, reference=known, num_bootstraps=20)
    assert judged.baselines == ["force size", "composition distance"]


def test_neighbours_that_another_model_does_not_see_are_a_disagreement(errors):
    x = np.random.default_rng(3).normal(size=(NUMBER, 6))
    same = [model("a", errors, x=x), model("b", errors[::-1].copy(), seed=1, x=2 * x)]
    found = analyses.error_ranking(same, TRUE, num_bootstraps=20)
    assert np.isnan(found.scores["a"]["disagreement"]["atoms"].rank_correlation.value)  # None at all.
    assert found.baselines == ["force size", "force spread"]
    assert found.scores["a"]["force spread"]["atoms"].rank_correlation.value > 0.2
    other = analyses.error_ranking([same[0], model("b", errors, seed=2)], TRUE, num_bootstraps=20)
    assert abs(other.scores["a"]["disagreement"]["within"].rank_correlation.value) < 0.2


def test_the_worst_atoms_are_named_and_the_record_is_written(errors, tmp_path):
    given = model("a", errors)
    found = analyses.error_ranking([given], TRUE, scores={"oracle": {"a": errors}}, num_bootstraps=20)
    worst = found.worst["a"][0]
    assert (worst["structure"], worst["atom"]) == (str(errors.argmax() // ATOMS), errors.argmax() % ATOMS)
    assert worst["element"] == "O"
    assert worst["ranks"]["oracle"] > 0.99
    found.save(tmp_path / "calibration.json")
    told = json.loads((tmp_path / "calibration.json").read_text())
    schemed.check("rank-errors", told)
    reports.check(found)
    assert told["verdict"] == found.verdict
    assert "oracle, with a rank correlation of 1.00" in found.verdict


def test_labels_that_are_missing_are_left_out(errors):
    partly = {"forces": TRUE["forces"].copy(), "energy": TRUE["energy"].copy()}
    partly["forces"][INDEX < 10] = np.nan
    partly["energy"][:20] = np.nan
    found = analyses.error_ranking([model("a", errors)], partly, num_bootstraps=20)
    assert (found.num_atoms, found.num_structures) == (NUMBER - 10 * ATOMS, STRUCTURES - 10)
    assert np.isfinite(found.scores["a"]["force size"]["structures"].rank_correlation.value)


def test_atoms_without_a_score_are_left_out_and_counted(errors):
    score = np.where((SPECIES == 26) & (INDEX < 15), np.nan, errors)
    found = analyses.error_ranking([model("a", errors)], TRUE, scores={"typicality": {"a": score}}, num_bootstraps=20)
    assert found.left_out == {"typicality": {"Fe": 30}}
    assert found.num_atoms == NUMBER - 30
    assert found.scores["a"]["typicality"]["atoms"].rank_correlation.value == pytest.approx(1, abs=1e-3)
    assert found.verdict.startswith("30 atoms without a value of typicality are left out (Fe).")
    reports.check(found)


def test_intervals_stay_in_range_where_the_worst_are_told_almost_perfectly(errors):
    """AUROC 0.99: without new ranks the interval ended above 1."""
    score = errors * np.exp(0.05 * np.random.default_rng(2).normal(size=NUMBER))
    found = analyses.error_ranking([model("a", errors)], TRUE, scores={"s": {"a": score}}, num_bootstraps=50)
    for place in ("atoms", "within"):
        entry = found.scores["a"]["s"][place]
        assert 0.95 < entry.worst_auroc.value <= 1
        for figure in ("worst_auroc", "rank_correlation", "prediction_rejection"):
            estimate = getattr(entry, figure)
            assert estimate.low < estimate.value <= estimate.high <= 1


def test_mistakes_are_told(errors):
    given = model("a", errors)
    with pytest.raises(ValueError, match="`tables` must have forces, got none of a: embed with `--properties"):
        analyses.error_ranking([dataclasses.replace(given, properties={})], TRUE)
    with pytest.raises(ValueError, match=r"`labels\['forces'\]` must be \(240, 3\), got \(3, 3\)"):
        analyses.error_ranking([given], {"forces": np.zeros((3, 3))})
    with pytest.raises(ValueError, match="`labels` must have forces of more than 50 atoms, got 0"):
        analyses.error_ranking([given], {"forces": np.full((NUMBER, 3), np.nan)})
