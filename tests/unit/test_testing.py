import jax
import jax.numpy as jnp
import numpy as np
import pytest

from platonic_jax import metrics, testing
from platonic_jax.metrics import CLOUD_PROPERTIES, PROPERTIES, TRANSFORMATIONS

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("name", "claim", "message"),
    [
        (
            "procrustes",
            {"invariances": PROPERTIES["procrustes"].invariances | {"linear"}},
            "declared invariant to linear",
        ),
        (
            "procrustes",
            {"invariances": PROPERTIES["procrustes"].invariances - {"scale"}},
            "not declared invariant to scale",
        ),
        ("procrustes", {"range": (0.0, 0.5)}, "must be the best value of its range"),
        ("procrustes", {"larger_is_more_similar": False}, "must be the best value of its range"),
        ("procrustes", {"symmetric": False}, "must be symmetric if, and only if"),
    ],
)
def test_a_false_claim_is_caught(monkeypatch, name, claim, message):
    monkeypatch.setitem(PROPERTIES, name, PROPERTIES[name]._replace(**claim))
    with pytest.raises(AssertionError, match=message):
        testing.check_measure(name)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"symmetric": True}, "must be symmetric if, and only if"),
        ({"invariances": PROPERTIES["gfre"].invariances | {"linear"}}, "declared invariant to linear"),
        ({"reaches_best": True, "range": (0.01, 1.0)}, "must be the best value of its range"),
        ({"range": (0.0, 0.1)}, "must lie in its range"),
    ],
)
def test_a_false_claim_of_a_measure_that_is_not_symmetric_is_caught(monkeypatch, claim, message):
    monkeypatch.setitem(PROPERTIES, "gfre", PROPERTIES["gfre"]._replace(**claim))
    with pytest.raises(AssertionError, match=message):
        testing.check_measure("gfre")


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"invariances": TRANSFORMATIONS.keys()}, "declared invariant to row_scale"),
        ({"invariances": frozenset()}, "not declared invariant to translation"),
        ({"range": (0.5, 1.0)}, "must lie in its range"),
    ],
)
def test_a_false_claim_of_a_measure_of_one_cloud_is_caught(monkeypatch, claim, message):
    declared = CLOUD_PROPERTIES["collapsed_fraction"]._replace(**claim)
    monkeypatch.setitem(CLOUD_PROPERTIES, "collapsed_fraction", declared)
    with pytest.raises(AssertionError, match=message):
        testing.check_cloud_measure("collapsed_fraction")


def test_properties_follow_the_settings():
    assert metrics.properties("procrustes", convention="angle").range == (0, np.pi / 2)
    assert not metrics.properties("procrustes", convention="angle").larger_is_more_similar
    assert "translation" in metrics.properties("mutual_knn", metric="l2", k=5).invariances
    for name, declared in PROPERTIES.items():
        assert metrics.properties(name, k=10) == declared


def test_every_claim_is_a_known_transformation():
    for name, declared in (PROPERTIES | CLOUD_PROPERTIES).items():
        assert declared.invariances <= set(TRANSFORMATIONS), name
        assert hasattr(metrics, name)
    with pytest.raises(ValueError, match="`name` must be one of 'translation'"):
        testing.transformed("reflection", jnp.ones((3, 2)), jnp.ones((3, 2)), key=KEY)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_a_transformation_is_of_one_cloud_or_of_both(name):
    x = testing.make_cloud(KEY).x
    moved, other = (np.asarray(cloud) for cloud in testing.transformed(name, x, x, key=KEY))
    assert moved.shape != x.shape or np.abs(moved - np.asarray(x)).max() > 0.1
    if name.startswith("common_"):
        np.testing.assert_array_equal(moved, other)
    else:
        np.testing.assert_array_equal(other, x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clouds_have_the_geometry_they_promise(dtype):
    with jax.enable_x64(dtype == "float64"):
        cloud = testing.make_cloud(KEY, n=2003, p=5, num_elements=3, spread=0.1, dtype=dtype)
        rotation = np.asarray(testing.random_rotation(KEY, 5, dtype=dtype))
        unrelated = np.asarray(testing.independent(cloud.x, key=KEY))
        perturbed = np.asarray(testing.noisy(cloud.x, noise=0.2, key=KEY))
    x, species = np.asarray(cloud.x), np.asarray(cloud.species)
    assert x.dtype == rotation.dtype == unrelated.dtype == perturbed.dtype == dtype
    assert set(species.tolist()) == {1, 2, 3}
    assert np.bincount(cloud.structure_index).tolist() == [5] * 400 + [3]
    within = np.concatenate([x[species == s] - x[species == s].mean(axis=0) for s in (1, 2, 3)]).std(axis=0)
    np.testing.assert_allclose(within, 0.1 * np.linspace(1.5, 0.5, 5), rtol=0.1)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(5), atol=testing.tolerance(dtype).rounding)
    np.testing.assert_allclose(unrelated.std(axis=0), x.std(axis=0), rtol=0.1)
    assert np.abs(np.corrcoef(x.T, unrelated.T)[:5, 5:]).max() < 0.1
    assert (perturbed - x).std() == pytest.approx(0.2, rel=0.05)
