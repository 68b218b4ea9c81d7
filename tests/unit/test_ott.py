import jax
import jax.numpy as jnp
import numpy as np
import ot
import pytest
from ott.geometry import pointcloud
from scipy.special import logsumexp

from platonic_jax import _ott

RNG = np.random.default_rng(0)
COST = np.sum((RNG.normal(size=(30, 1, 3)) - RNG.normal(size=(1, 20, 3)) * 0.7 - 0.5) ** 2, axis=2)


def plain_sinkhorn(cost, epsilon, a=None, b=None):
    """⟨P, C⟩ + ε KL(P | a ⊗ b), evaluated at the plan itself, in float64 and the log domain."""
    n, m = cost.shape
    a = np.full(n, 1 / n) if a is None else a
    b = np.full(m, 1 / m) if b is None else b
    f, g = np.zeros(n), np.zeros(m)
    for _ in range(3000):
        f = -epsilon * logsumexp((g[None] - cost) / epsilon + np.log(b)[None], axis=1)
        g = -epsilon * logsumexp((f[:, None] - cost) / epsilon + np.log(a)[:, None], axis=0)
    log_ratio = (f[:, None] + g[None] - cost) / epsilon
    plan = np.exp(log_ratio) * a[:, None] * b[None]
    return np.sum(plan * cost) + epsilon * np.sum(plan * log_ratio)


def entropic_cost(cost, epsilon, **settings):
    settings = {"symmetric": False, "threshold": 1e-4, "max_iterations": 10_000} | settings
    return _ott.entropic_cost(jnp.asarray(cost), epsilon=jnp.asarray(epsilon, cost.dtype), **settings)


@pytest.mark.parametrize("relative_epsilon", [0.02, 0.05, 0.5])
def test_the_cost_agrees_with_a_plain_sinkhorn_at_its_plan(relative_epsilon):
    epsilon = relative_epsilon * COST.mean()
    value, converged = entropic_cost(COST.astype(np.float32), epsilon)
    assert converged
    assert value == pytest.approx(plain_sinkhorn(COST, epsilon), abs=1e-5 * COST.mean())


def test_symmetric_updates_reach_the_same_cost():
    points = RNG.normal(size=(30, 3))
    cost = np.sum((points[:, None] - points[None]) ** 2, axis=2)
    expected = plain_sinkhorn(cost, 0.05 * cost.mean())
    for symmetric in (True, False):
        value, converged = entropic_cost(cost.astype(np.float32), 0.05 * cost.mean(), symmetric=symmetric)
        assert converged
        assert value == pytest.approx(expected, abs=1e-5 * cost.mean())


def test_the_derivatives_are_those_of_the_optimum():
    """With respect to the costs they are the plan, and with respect to ε the divergence: by finite differences."""
    direction = RNG.normal(size=COST.shape)
    epsilon, step = 0.05 * COST.mean(), 1e-5
    with jax.enable_x64(True):
        value = lambda cost, epsilon: _ott.entropic_cost(
            cost, epsilon=epsilon, symmetric=False, threshold=1e-10, max_iterations=10_000
        ).value
        slope_cost, slope_epsilon = jax.grad(value, argnums=(0, 1))(jnp.asarray(COST), jnp.asarray(epsilon))
    along = plain_sinkhorn(COST + step * direction, epsilon) - plain_sinkhorn(COST - step * direction, epsilon)
    assert np.sum(np.asarray(slope_cost) * direction) == pytest.approx(along / (2 * step), rel=1e-5)
    along = plain_sinkhorn(COST, epsilon + step) - plain_sinkhorn(COST, epsilon - step)
    assert slope_epsilon == pytest.approx(along / (2 * step), rel=1e-5)


# Of the rows and columns of the costs, 1 in all.
MASSES = [np.linspace(0.2, 2, size) / np.linspace(0.2, 2, size).sum() for size in COST.shape]


def test_rows_of_unlike_mass_and_those_of_none_have_the_cost_of_a_plain_sinkhorn():
    a, b = MASSES[0].copy(), MASSES[1].copy()
    a[[0, 7]], b[[3, -1]] = 0, 0
    a, b = a / a.sum(), b / b.sum()
    epsilon = 0.05 * COST.mean()
    expected = plain_sinkhorn(COST[a > 0][:, b > 0], epsilon, a[a > 0], b[b > 0])
    for symmetric in (False, True):
        value, converged = entropic_cost(
            COST.astype(np.float32),
            epsilon,
            a=jnp.asarray(a, jnp.float32),
            b=jnp.asarray(b, jnp.float32),
            symmetric=symmetric,
        )
        assert converged
        assert value == pytest.approx(expected, abs=1e-5 * COST.mean())
    assert abs(expected - plain_sinkhorn(COST, epsilon)) > 1e-2 * COST.mean()


def unbalanced(cost, a, b, epsilon, tau):
    """The value at the plan of POT."""
    rho = epsilon * tau / (1 - tau)
    plan = ot.unbalanced.sinkhorn_unbalanced(a, b, cost, epsilon, rho, reg_type="kl", numItermax=100_000, stopThr=1e-13)
    divergence = lambda p, q: np.sum(p * np.log(p / q) - p + q)
    marginals = divergence(plan.sum(axis=1), a) + divergence(plan.sum(axis=0), b)
    return np.sum(plan * cost) + epsilon * divergence(plan, a[:, None] * b[None]) + rho * marginals


def unbalanced_cost(cost, a, b, epsilon, *, tau):
    return _ott.entropic_cost(
        cost, a=a, b=b, epsilon=epsilon, tau=tau, symmetric=False, threshold=1e-10, max_iterations=20_000
    )


def test_the_unbalanced_cost_is_that_of_the_plan_of_pot():
    """Also where masses in all are unlike."""
    epsilon = 0.2 * COST.mean()
    for factor in (1, 1.5):
        a, b = MASSES[0], factor * MASSES[1]
        with jax.enable_x64(True):
            value, converged = unbalanced_cost(*map(jnp.asarray, (COST, a, b, epsilon)), tau=0.8)
        assert converged
        assert value == pytest.approx(unbalanced(COST, a, b, epsilon, 0.8), rel=1e-6)
    value, converged = entropic_cost(
        COST.astype(np.float32), epsilon, a=jnp.asarray(a, jnp.float32), b=jnp.asarray(b, jnp.float32), tau=0.8
    )
    assert converged
    assert value == pytest.approx(unbalanced(COST, a, b, epsilon, 0.8), abs=1e-3 * COST.mean())


def test_the_firmer_the_masses_the_nearer_the_unbalanced_cost_is_to_the_balanced_one():
    epsilon = 0.2 * COST.mean()
    balanced = plain_sinkhorn(COST, epsilon, *MASSES)
    with jax.enable_x64(True):
        arguments = [jnp.asarray(argument) for argument in (COST, *MASSES, epsilon)]
        costs = [float(unbalanced_cost(*arguments, tau=tau).value) for tau in (0.8, 0.9999)]
    assert costs[0] < costs[1] < balanced
    assert costs[1] == pytest.approx(balanced, rel=1e-3)


def test_the_derivatives_of_the_unbalanced_cost_are_those_of_its_optimum():
    """With respect to costs, masses and ε, where ρ grows with ε: by finite differences of the value at the plan."""
    arguments = [COST, *MASSES, 0.2 * COST.mean()]
    value = lambda *arguments: unbalanced_cost(*arguments, tau=0.8).value
    with jax.enable_x64(True):
        slopes = jax.grad(value, argnums=(0, 1, 2, 3))(*map(jnp.asarray, arguments))
    for place, slope in enumerate(slopes):
        direction = RNG.normal(size=slope.shape) * arguments[place]
        ahead, behind = (
            unbalanced(*arguments[:place], arguments[place] + step * direction, *arguments[place + 1 :], 0.8)
            for step in (1e-4, -1e-4)
        )
        assert np.sum(np.asarray(slope) * direction) == pytest.approx((ahead - behind) / 2e-4, rel=1e-4)


@pytest.mark.parametrize("tau", [1.0, 0.8])
def test_rows_without_mass_leave_all_derivatives_finite(tau):
    a, b = (np.where(np.arange(len(mass)) < 3, 0, mass) for mass in MASSES)
    with jax.enable_x64(True):
        value = lambda *arguments: unbalanced_cost(*arguments, tau=tau).value
        arguments = (COST, a / a.sum(), b / b.sum(), 0.2 * COST.mean())
        slopes = jax.grad(value, argnums=(0, 1, 2, 3))(*map(jnp.asarray, arguments))
    for name, slope in zip(("cost", "a", "b", "epsilon"), slopes, strict=True):
        assert np.isfinite(slope).all(), name
    assert not np.any(slopes[0][:3])
    assert not np.any(slopes[0][:, :3])


def test_too_few_iterations_are_reported():
    value, converged = entropic_cost(COST.astype(np.float32), 0.01 * COST.mean(), max_iterations=10)
    assert not converged
    assert np.isfinite(value)


def scaled_distances(points):
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    return jnp.asarray(distance / distance.mean(), jnp.float32)


def test_the_gromov_plan_meets_its_marginals_and_beats_the_plan_that_knows_nothing():
    cost_x, cost_y = scaled_distances(RNG.normal(size=(30, 3))), scaled_distances(RNG.normal(size=(20, 5)))
    plan, converged = _ott.entropic_gromov_plan(cost_x, cost_y, epsilon=0.02, threshold=1e-3, max_iterations=100)
    assert converged
    np.testing.assert_allclose(np.sum(plan, axis=0), 1 / 20, rtol=0.05)
    np.testing.assert_allclose(np.sum(plan, axis=1), 1 / 30, rtol=0.05)
    overlap = lambda plan: np.sum(np.asarray(cost_x) @ plan @ np.asarray(cost_y) * plan)
    assert overlap(np.asarray(plan)) > overlap(np.full((30, 20), 1 / 600)) + 0.01


def test_too_few_gromov_iterations_are_reported():
    cost_x, cost_y = scaled_distances(RNG.normal(size=(30, 3))), scaled_distances(RNG.normal(size=(20, 5)))
    assert not _ott.entropic_gromov_plan(cost_x, cost_y, epsilon=0.02, threshold=1e-3, max_iterations=1).converged


def test_the_online_mode_of_ott_is_still_broken():
    """A canary for ott-jax/ott#700: once this fails, `_ott` may compute costs block by block, and its note can go."""
    points = jnp.ones((4, 2))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        online = pointcloud.PointCloud(points, points, batch_size=2)
        with pytest.raises(AttributeError, match="is_vmappable"):
            online.apply_lse_kernel(jnp.zeros(4), jnp.zeros(4), 1.0, axis=1)
