"""Decomposition of agreement by shared factors: planted effects, false positives, coverage, and what is refused."""

import dataclasses

import comparisons
import numpy as np
import pytest
from platonic_adapters import registry
from sklearn.linear_model import LinearRegression

from platonic_jax import analyses
from platonic_jax.analyses._decomposition import _regression

LEVELS = {"training_data": 3, "functional": 2, "network": 4}


def shared(levels):
    return (np.asarray(levels)[:, None] == np.asarray(levels)[None, :]).astype(float)


def drawn(n, rng, *, effect, node=1.0):
    """Levels of three separable factors, and a matrix in which sharing the first adds `effect`, the third 0.8.

    Errors of pairs that have a model in common are dependent: each model has an effect of its own.
    """
    while True:
        levels = {name: rng.integers(0, number, n) for name, number in LEVELS.items()}
        factors = np.stack([shared(column) for column in levels.values()])
        pairs = _regression.pairs_of(n, np.ones((n, n), bool))
        if all(_regression.tolerances(factors, pairs=pairs) > 0.1):
            break
    own, error = node * rng.normal(size=n), np.tril(rng.normal(size=(n, n)), -1)
    y = effect * factors[0] + 0.8 * factors[2] + own[:, None] + own[None, :] + error + error.T
    return levels, factors, pairs, y


def made(y, *, models, kinds=None, stores=None, similar=True):
    """A comparison of one measure."""
    comparison = comparisons.make(models=models, kinds=kinds or ["model"] * len(models), stores=stores)
    matrix = comparisons.matrix(y, null=0.1, null_within_element=0.2, similar=similar)
    return dataclasses.replace(comparison, measures={"procrustes": matrix})


@pytest.fixture(scope="module")
def planted():
    """Twelve models: sharing the data adds 0.1, sharing the network nothing; the functional follows from the data."""
    rng = np.random.default_rng(3)
    names = [f"m{i}" for i in range(12)]
    data = [f"D{i % 3}" for i in range(12)]
    network = [f"A{i // 3}" for i in range(12)]
    error = 0.02 * rng.normal(size=(12, 12))
    y = 0.3 + 0.1 * shared(data) + (error + error.T) / 2
    factors = {"training_data": data, "network": network, "code": [level.lower() for level in network]}
    return made(y, models=names), {name: dict(zip(names, column, strict=True)) for name, column in factors.items()}


def test_the_regression_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    _, factors, pairs, y = drawn(9, rng, effect=1.0)
    fit = LinearRegression().fit(np.stack([pairs.of(f) for f in factors], axis=1), pairs.of(y))
    orders = _regression.orders(9, number=99, rng=rng)
    for f in range(3):
        others = np.delete(factors, f, axis=0)
        one = _regression.coefficient(y, factors[f], others, pairs=pairs, orders=orders)
        np.testing.assert_allclose(one.value, fit.coef_[f], rtol=1e-10)
        np.testing.assert_allclose(_regression.slope(y, factors[f], others, pairs=pairs), fit.coef_[f], rtol=1e-10)
        assert one.low < one.value < one.high
    shares = _regression.shares(y, factors, pairs=pairs, groups=[[0], [1], [2]])
    r2 = fit.score(np.stack([pairs.of(f) for f in factors], axis=1), pairs.of(y))
    np.testing.assert_allclose(shares.sum(), r2, rtol=1e-10)
    alone = _regression.shares(y, factors[:1], pairs=pairs, groups=[[0]])
    np.testing.assert_allclose(alone, np.corrcoef(pairs.of(factors[0]), pairs.of(y))[0, 1] ** 2, rtol=1e-10)


def test_few_models_are_permuted_in_every_way():
    orders = _regression.orders(5, number=4999, rng=np.random.default_rng(0))
    assert orders.shape == (119, 5)
    assert len({tuple(order) for order in orders}) == 119
    assert tuple(range(5)) not in {tuple(order) for order in orders}


def test_false_positives_power_and_coverage_with_twelve_models():
    # 200 repeats each: the rates of 2,000 repeats (see the guide) within two standard errors, seeds fixed.
    rng = np.random.default_rng(0)
    rejected, covered = {0.0: 0, 1.0: 0}, {0.0: 0, 1.0: 0}
    for effect in rejected:
        for _ in range(200):
            _, factors, pairs, y = drawn(12, rng, effect=effect)
            orders = _regression.orders(12, number=199, rng=rng)
            one = _regression.coefficient(y, factors[0], factors[1:], pairs=pairs, orders=orders)
            rejected[effect] += one.p <= 0.05
            covered[effect] += one.low <= effect <= one.high
    assert 0.03 <= rejected[0.0] / 200 <= 0.07
    assert rejected[1.0] / 200 >= 0.5
    assert min(covered.values()) / 200 >= 0.92


def test_a_planted_factor_is_recovered_and_two_that_are_one_are_named(planted):
    comparison, factors = planted
    result = analyses.decomposition(comparison, factors=factors, num_permutations=999)
    assert result.inseparable == [["network", "code"]]
    for explained in result.measures["procrustes"].values():
        assert list(explained.coefficients) == ["training_data"]
        one = explained.coefficients["training_data"]
        assert one.low < 0.1 < one.high
        assert one.p == pytest.approx(0.001)
        assert explained.shares["training_data"].low > 0.4
        assert explained.shares["network and code"].value < 0.1
        assert explained.omissions["training_data"].low > 0.08
        assert explained.means["training_data"][0] > explained.means["nothing"][0]
        assert explained.ceiling is None
    assert "sharing the training data changes the similarity by +0.1" in result.verdict
    assert "cannot be separated: network and code" in result.verdict


def test_a_distance_is_negated_and_twins_are_a_ceiling(planted):
    comparison, factors = planted
    value = comparison.measures["procrustes"].value
    factors = {"training_data": factors["training_data"], "half": {f"m{i}": str(i % 2) for i in range(12)}}
    result = analyses.decomposition(
        made(1 - value, models=comparison.models, similar=False), factors=factors, num_permutations=199
    )
    explained = result.measures["procrustes"]["structures exchanged"]
    assert explained.coefficients["training_data"].value == pytest.approx(0.1, abs=0.02)
    assert ["m0", "m6"] in result.twins
    assert explained.ceiling.value == pytest.approx(explained.means["training_data, half"][0])


def test_models_that_share_weights_are_no_pair_and_the_registry_knows_the_factors(tmp_path):
    names = [
        "7net-0",
        "7net-0_22may2024",
        "7net-mf-0:PBE",
        "7net-mf-0:R2SCAN",
        "chgnet-0.3.0",
        "nequix-mp-1",
        "chgnet-r2scan",
        "random:7net-0?seed=0",
    ]
    rng = np.random.default_rng(1)
    y = rng.uniform(size=(8, 8))
    stores = {}
    for name in names:
        model = registry.resolve(name).model
        stores[name] = {"model": name, "architecture": model.architecture, "training_data": model.training_data}
    comparison = made((y + y.T) / 2, models=names, kinds=["model"] * 7 + ["random"], stores=stores)
    result = analyses.decomposition(
        comparison, factors=("training_data", "features", "supervision"), num_permutations=99
    )
    assert result.models == [*names[:3], *names[4:7]]
    assert result.repeated == ["7net-mf-0:R2SCAN"]
    assert result.dependent == [["chgnet-0.3.0", "chgnet-r2scan"]]
    assert result.num["pairs"] == 14
    assert result.factors["features"] == ["equivariant"] * 3 + ["invariant", "equivariant", "invariant"]
    result.save(tmp_path / "decomposition.json")
    assert analyses.Decomposition.load(tmp_path / "decomposition.json").to_json() == result.to_json()


def test_a_factor_that_too_many_permutations_leave_as_it_is_cannot_be_tested(planted):
    names = [f"m{i}" for i in range(6)]
    halves = {"half": {name: str(i // 3) for i, name in enumerate(names)}}
    y = shared([0, 0, 0, 1, 1, 1]) + 0.01 * shared([0, 1, 0, 1, 0, 1])
    explained = analyses.decomposition(made(y, models=names), factors=halves).measures["procrustes"]
    one = explained["structures exchanged"]
    assert np.isnan(one.coefficients["half"].p)
    assert np.isnan(one.adjusted["half"])
    assert not one.coefficients["half"].bounded
    assert one.total > 0.9


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"factors": {"a": {}}}, "must give a level of a for every model, got none for 'm0'"),
        ({"factors": ("colour",)}, "must be among training_data, functional, .*, got 'colour'"),
        ({"factors": {"a": {f"m{i}": "x" for i in range(12)}}}, "must vary over the pairs"),
        ({"measures": ["cka"]}, "must be among those of the comparison, procrustes, got 'cka'"),
        ({"num_permutations": 10}, "cannot reach p"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(planted, change, sentence):
    comparison, factors = planted
    with pytest.raises(ValueError, match=sentence) as error:
        analyses.decomposition(comparison, **{"factors": factors, **change})
    assert "\n" not in str(error.value)


def test_four_models_are_too_few(planted):
    names = [f"m{i}" for i in range(4)]
    with pytest.raises(ValueError, match="at least 5 trained models that do not repeat each other, got 4"):
        analyses.decomposition(made(np.eye(4), models=names), factors=planted[1])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("name,a\nm0,x\n", "must have a column `model`"), ("model,a\nm0,\n", "must give a level of a for m0")],
)
def test_a_wrong_table_of_factors_is_refused(tmp_path, text, sentence):
    (tmp_path / "factors.csv").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        analyses.read_factors(tmp_path / "factors.csv")
    (tmp_path / "factors.csv").write_text("model,a\nm0, x\nm1,y\n")
    assert analyses.read_factors(tmp_path / "factors.csv") == {"a": {"m0": "x", "m1": "y"}}
