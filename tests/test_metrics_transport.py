import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
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
