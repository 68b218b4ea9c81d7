import itertools

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import ot
import pytest
from scipy.special import logsumexp

from platonic_jax import metrics, testing

X = np.asarray(testing.make_cloud(jax.random.key(0), n=40).x)
Y = np.asarray(testing.make_cloud(jax.random.key(1), n=40).x)


def plain_divergence(x, y, epsilon):
    """By a plain Sinkhorn in float64, from differences of rows; the value of the plan, not of its dual."""
    costs = lambda a, b: np.sum((a[:, None].astype(np.float64) - b[None]) ** 2, axis=2)
    blur = epsilon * costs(x, y).mean()

    def value(a, b):
        cost, g = costs(a, b), np.zeros(len(b))
        for _ in range(3000):
            f = -blur * logsumexp((g[None] - cost) / blur - np.log(len(b)), axis=1)
            g = -blur * logsumexp((f[:, None] - cost) / blur - np.log(len(a)), axis=0)
        log_ratio = (f[:, None] + g[None] - cost) / blur
        plan = np.exp(log_ratio) / cost.size
        return np.sum(plan * cost) + blur * np.sum(plan * log_ratio)

    return value(x, y) - (value(x, x) + value(y, y)) / 2


def test_it_agrees_with_a_plain_sinkhorn_also_for_clouds_of_unlike_size():
    y = Y[:30]
    mean_cost = float(np.mean(np.sum((X[:, None] - y[None]) ** 2, axis=2)))
    value, converged = metrics.sinkhorn_divergence_with_status(jnp.asarray(X), jnp.asarray(y))
    assert converged
    assert value == pytest.approx(plain_divergence(X, y, 0.05), abs=1e-5 * mean_cost)


@pytest.mark.parametrize("distance", [0.01, 1.0, 100.0])
def test_a_moved_cloud_is_as_far_as_it_was_moved(distance):
    x = jnp.asarray(X)
    moved = x + jnp.array([[distance, 0, 0, 0, 0, 0]], jnp.float32)
    mean_cost = distance**2 + 2 * float(np.var(X, axis=0).sum())
    assert metrics.sinkhorn_divergence(x, moved) == pytest.approx(distance**2, abs=1e-5 * mean_cost)


def test_equal_clouds_are_at_distance_zero_and_no_gradient_moves_them():
    x, mean_cost = jnp.asarray(X), 2 * np.var(X, axis=0).sum()
    value, gradient = jax.jit(jax.value_and_grad(metrics.sinkhorn_divergence))(x, x)
    assert abs(value) < 1e-5 * mean_cost
    assert np.abs(gradient).max() < 1e-3 * mean_cost / len(X)


def test_gradients_agree_with_finite_differences():
    with jax.enable_x64(True):
        divergence = jax.jit(
            lambda x, y: metrics.sinkhorn_divergence(jnp.asarray(x), jnp.asarray(y), threshold=1e-10, epsilon=0.2)
        )
        clouds = jnp.asarray(X[:8], jnp.float64), jnp.asarray(Y[:8], jnp.float64)
        jax.test_util.check_grads(divergence, clouds, order=1, modes=["rev"], atol=1e-6, rtol=1e-6, eps=1e-4)


def test_coinciding_and_identical_rows_have_finite_values_and_gradients():
    fn = jax.jit(jax.value_and_grad(metrics.sinkhorn_divergence, argnums=(0, 1)))
    for x, y in ((np.repeat(X[:20], 2, axis=0), Y), (np.ones_like(X), np.ones_like(Y)), (0 * X, Y)):
        value, gradients = fn(jnp.asarray(x), jnp.asarray(y))
        assert np.isfinite(value)
        assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("m", [40, 31])
@pytest.mark.parametrize("order", [1, 2])
def test_wasserstein_agrees_with_pot(order, m):
    y = Y[:m]
    cost = ot.dist(X.astype(np.float64), y.astype(np.float64), metric="euclidean" if order == 1 else "sqeuclidean")
    expected = ot.emd2([], [], cost) ** (1 / order)
    assert metrics.wasserstein(jnp.asarray(X), jnp.asarray(y), order=order) == pytest.approx(expected, rel=1e-5)
    assert metrics.wasserstein(jnp.asarray(y), jnp.asarray(X), order=order) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("order", [1, 2])
def test_wasserstein_of_a_moved_cloud_is_the_way_it_was_moved(order):
    moved = jnp.asarray(X + np.array([3, 0, 4, 0, 0, 0], np.float32))
    assert metrics.wasserstein(jnp.asarray(X), moved, order=order) == pytest.approx(5, rel=1e-5)


def scaled_distances(x):
    distance = np.linalg.norm(x[:, None].astype(np.float64) - x[None], axis=2)
    return distance / distance.mean()


@pytest.mark.parametrize("m", [40, 31])
def test_gromov_wasserstein_is_no_worse_than_pot(m):
    """POT descends from the plan that knows nothing alone."""
    y = Y[:m]
    expected = ot.gromov.gromov_wasserstein2(scaled_distances(X), scaled_distances(y))
    value, converged = metrics.gromov_wasserstein_with_status(jnp.asarray(X), jnp.asarray(y))
    assert converged
    assert 0 < float(value) <= expected + 1e-5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gromov_wasserstein_finds_the_minimum_over_all_pairings(seed):
    x, y = np.random.default_rng(seed).normal(size=(2, 6, 3)).astype(np.float32)
    within_x, within_y = scaled_distances(x), scaled_distances(y)
    energies = [np.mean((within_x - within_y[np.ix_(p, p)]) ** 2) for p in itertools.permutations(range(6))]
    least = min(energies)
    value = metrics.gromov_wasserstein(jnp.asarray(x), jnp.asarray(y))
    assert least - 1e-5 <= float(value) <= 1.5 * least


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gromov_wasserstein_finds_back_a_reordered_copy(seed):
    order = np.random.default_rng(seed).permutation(40)
    turned = X @ np.asarray(testing.random_rotation(jax.random.key(seed), 6)) * 3 + 1
    assert metrics.gromov_wasserstein(jnp.asarray(X), jnp.asarray(turned[order])) < 1e-6
    wide = np.pad(turned[order][:35], ((0, 0), (0, 2)))
    assert metrics.gromov_wasserstein(jnp.asarray(X), jnp.asarray(wide)) < 0.06


EXACT = {
    "wasserstein": metrics.wasserstein,
    "wasserstein of order 2": lambda x, y: metrics.wasserstein(x, y, order=2),
    "gromov_wasserstein": metrics.gromov_wasserstein,
}


@pytest.mark.parametrize("m", [10, 8])
@pytest.mark.parametrize("name", EXACT)
def test_exact_transport_has_the_gradient_of_finite_differences(name, m):
    with jax.enable_x64(True):
        fn = jax.jit(lambda x, y: EXACT[name](jnp.asarray(x), jnp.asarray(y)))
        clouds = jnp.asarray(X[:10], jnp.float64), jnp.asarray(Y[:m], jnp.float64)
        jax.test_util.check_grads(fn, clouds, order=1, modes=["rev"], atol=1e-6, rtol=1e-6, eps=1e-5)


@pytest.mark.parametrize("name", EXACT)
def test_exact_transport_has_finite_gradients_where_rows_coincide(name):
    fn = jax.jit(jax.value_and_grad(EXACT[name], argnums=(0, 1)))
    for x, y in ((X, X), (np.repeat(X[:20], 2, axis=0), Y), (np.ones_like(X), np.ones_like(Y)), (0 * X, Y)):
        value, gradients = fn(jnp.asarray(x), jnp.asarray(y))
        without_scale = "gromov" in name and np.ptp(x) == 0
        assert np.isnan(value) if without_scale else np.isfinite(value)
        assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("name", EXACT)
def test_rows_that_are_not_finite_give_no_number(name):
    spoilt = X.copy()
    spoilt[3, 2] = np.nan
    assert np.isnan(EXACT[name](jnp.asarray(spoilt), jnp.asarray(Y)))
    assert np.isnan(EXACT[name](jnp.asarray(spoilt), jnp.asarray(Y[:30])))


def test_gromov_wasserstein_without_convergence_is_no_number():
    value, converged = metrics.gromov_wasserstein_with_status(jnp.asarray(X), jnp.asarray(Y), max_iterations=1)
    assert not converged
    assert np.isnan(value)


def test_without_convergence_there_is_no_number():
    value, converged = metrics.sinkhorn_divergence_with_status(jnp.asarray(X), jnp.asarray(Y), max_iterations=1)
    assert not converged
    assert np.isnan(value)


def test_faults_are_named(as_users_call):
    x, y = jnp.asarray(X), jnp.asarray(Y)
    with pytest.raises(ValueError, match="`x` and `y` must have the same columns, got 6 and 5"):
        metrics.sinkhorn_divergence(x, y[:, :5])
    with pytest.raises(ValueError, match="`epsilon` must be positive, got 0"):
        metrics.sinkhorn_divergence(x, y, epsilon=0)
    with pytest.raises(ValueError, match="`max_iterations` must be at least 1, got 0"):
        metrics.sinkhorn_divergence(x, y, max_iterations=0)
    with pytest.raises(ValueError, match="`order` must be 1 or 2, got 3"):
        metrics.wasserstein(x, y, order=3)
    with pytest.raises(ValueError, match="`epsilon` must be positive, got 0"):
        metrics.gromov_wasserstein(x, y, epsilon=0)
    many = jnp.zeros((600, 6), jnp.float32)
    for measure in (metrics.wasserstein, metrics.gromov_wasserstein):
        with pytest.raises(
            ValueError, match="`x` and `y` must have equally many rows, or at most 262144 pairs of them"
        ):
            measure(many, many[:500])
