import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from platonic_jax import metrics, testing

X = np.asarray(testing.make_cloud(jax.random.key(0), n=100).x)


def distances(x, k):
    return NearestNeighbors(n_neighbors=k).fit(x.astype(np.float64)).kneighbors()[0]


def direct_twonn(x, *, discard=0.1):
    """The published recipe, on distinct rows: the largest ratios discarded, a line through 0."""
    nearest = distances(np.unique(x, axis=0), 2)
    log_ratio = np.sort(np.log(nearest[:, 1] / nearest[:, 0]))
    used = int(len(nearest) * (1 - discard))
    target = -np.log(1 - np.arange(1, used + 1) / len(nearest))
    return np.linalg.lstsq(log_ratio[:used, None], target)[0][0]


def direct_mle(x, *, k=10):
    nearest = distances(np.unique(x, axis=0), k)
    return 1 / np.mean(np.log(nearest[:, -1:] / nearest[:, :-1]))


WITH_COPIES = np.concatenate([X, X[:13]])


@pytest.mark.parametrize("x", [X, WITH_COPIES], ids=["distinct", "with copies"])
def test_it_agrees_with_the_published_recipes(x):
    assert metrics.intrinsic_dimension(jnp.asarray(x)) == pytest.approx(direct_twonn(x), rel=1e-4)
    value = metrics.intrinsic_dimension(jnp.asarray(x), discard=0.3)
    assert value == pytest.approx(direct_twonn(x, discard=0.3), rel=1e-4)
    value = metrics.intrinsic_dimension(jnp.asarray(x), method="mle", num_neighbours=7)
    assert value == pytest.approx(direct_mle(x, k=7), rel=1e-4)


@pytest.mark.parametrize("method", ["twonn", "mle"])
@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_it_finds_the_dimension_of_a_cube_whatever_the_number_of_columns(dimension, method):
    cube = jax.random.uniform(jax.random.key(0), (2000, dimension), jnp.float32)
    embedded = jnp.pad(cube, ((0, 0), (0, 8 - dimension))) @ testing.random_rotation(jax.random.key(1), 8)
    expected = metrics.intrinsic_dimension(cube, method=method)
    assert expected == pytest.approx(dimension, rel=0.15)
    assert metrics.intrinsic_dimension(embedded, method=method) == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize("method", ["twonn", "mle"])
def test_copies_and_near_copies_change_nothing(method):
    """As neighbours they would give distances of rounding, and with 300 copies nothing but them."""
    rng = np.random.default_rng(0)
    plane = rng.uniform(size=(400, 2)).astype(np.float32)
    measure = jax.jit(lambda x: metrics.intrinsic_dimension(x, method=method))
    expected = measure(jnp.asarray(plane))
    assert expected == pytest.approx(2, rel=0.1)
    copies = np.concatenate([plane, *[plane[:200]] * 3])
    near = copies + 1e-5 * rng.normal(size=copies.shape).astype(np.float32)
    many = np.concatenate([plane, np.repeat(plane[:2], 300, axis=0)])
    for x in (copies, near, many):
        assert measure(jnp.asarray(x)) == pytest.approx(float(expected), rel=0.01)


def test_it_counts_what_has_collapsed():
    """26 of 113 rows: 13 and their copies."""
    assert metrics.collapsed_fraction(jnp.asarray(X)) == 0
    assert metrics.collapsed_fraction(jnp.asarray(WITH_COPIES)) == pytest.approx(26 / 113)
    nearly = WITH_COPIES.copy()
    nearly[:13] += np.float32(1e-3)
    assert metrics.collapsed_fraction(jnp.asarray(nearly)) == 0
    assert metrics.collapsed_fraction(jnp.asarray(nearly), tolerance=1e-2) >= 26 / 113
    assert metrics.collapsed_fraction(jnp.ones((10, 3), jnp.float32)) == 1


@pytest.mark.parametrize("method", ["twonn", "mle"])
def test_a_cloud_without_distances_has_no_dimension(method):
    assert np.isnan(metrics.intrinsic_dimension(jnp.ones((20, 3), jnp.float32), method=method))


@pytest.mark.parametrize("method", ["twonn", "mle"])
def test_gradients_agree_with_finite_differences_and_are_finite_where_rows_coincide(method):
    with jax.enable_x64(True):
        fn = jax.jit(lambda x: metrics.intrinsic_dimension(jnp.asarray(x), method=method, num_neighbours=5))
        x = jnp.asarray(X[:20], jnp.float64)
        jax.test_util.check_grads(fn, (x,), order=1, modes=["rev"], atol=1e-5, rtol=1e-5, eps=1e-6)
    gradient = jax.jit(jax.grad(lambda x: metrics.intrinsic_dimension(x, method=method)))
    for x in (WITH_COPIES, np.pad(X, ((0, 0), (0, 2))), X * (np.arange(100) > 9)[:, None]):
        assert np.isfinite(gradient(jnp.asarray(x))).all()


def test_faults_are_named(as_users_call):
    x = jnp.asarray(X)
    with pytest.raises(ValueError, match="`method` must be one of 'twonn', 'mle', got 'pca'"):
        metrics.intrinsic_dimension(x, method="pca")
    with pytest.raises(ValueError, match="`discard` must lie between 0 and 1, got 0"):
        metrics.intrinsic_dimension(x, discard=0)
    with pytest.raises(ValueError, match="`num_neighbours` must be at least 2, got 1"):
        metrics.intrinsic_dimension(x, method="mle", num_neighbours=1)
    with pytest.raises(ValueError, match="`tolerance` must not be negative, got -1"):
        metrics.collapsed_fraction(x, tolerance=-1)
