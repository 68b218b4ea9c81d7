import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from platonic_jax import metrics, testing

X = np.asarray(testing.make_cloud(jax.random.key(0)).x)
Y = np.asarray(testing.noisy(jnp.asarray(X), noise=0.5, key=jax.random.key(1)))[:, ::-1]
WIDE = np.concatenate([Y, Y**2], axis=1)


def direct_distance_correlation(x, y, *, debiased):
    """From the n × n matrices of the definition, in float64."""
    n = len(x)
    a, b = (np.linalg.norm(c[:, None].astype(np.float64) - c[None], axis=2) for c in (x, y))
    if not debiased:
        centred = lambda a: a - a.mean(axis=0) - a.mean(axis=1, keepdims=True) + a.mean()
        product = lambda a, b: np.mean(centred(a) * centred(b))
        return np.sqrt(product(a, b) / np.sqrt(product(a, a) * product(b, b)))
    outside = ~np.eye(n, dtype=bool)
    centred = lambda a: a - (a.sum(axis=0) + a.sum(axis=1, keepdims=True)) / (n - 2) + a.sum() / (n - 1) / (n - 2)
    product = lambda a, b: np.sum((centred(a) * centred(b))[outside]) / n / (n - 3)
    return product(a, b) / np.sqrt(product(a, a) * product(b, b))


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("offset", [0, 100])
def test_it_agrees_with_its_definition(debiased, offset):
    x = (X + offset).astype(np.float32)
    value = metrics.distance_correlation(jnp.asarray(x), jnp.asarray(WIDE), debiased=debiased, batch_size=7)
    assert value == pytest.approx(direct_distance_correlation(x, WIDE, debiased=debiased), abs=1e-5)


def test_it_sees_what_a_correlation_does_not():
    x = jax.random.normal(jax.random.key(0), (300, 1))
    assert metrics.cka(x, x**2) < 0.1
    assert metrics.distance_correlation(x, x**2, debiased=True) > 0.2


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_debiased_estimate_of_unrelated_clouds_is_zero_on_average(seed):
    draws = jax.random.normal(jax.random.key(seed), (200, 2, 12, 8))
    plain, debiased = (
        np.asarray(jax.jit(jax.vmap(lambda xy, d=d: metrics.distance_correlation(xy[0], xy[1], debiased=d)))(draws))
        for d in (False, True)
    )
    assert plain.mean() > 0.5
    assert abs(debiased.mean()) < 4 * debiased.std() / np.sqrt(200)


@pytest.mark.parametrize("debiased", [True, False])
def test_gradients_agree_with_finite_differences(debiased):
    with jax.enable_x64(True):
        x, y = jnp.asarray(X[:12], jnp.float64), jnp.asarray(Y[:12], jnp.float64)
        fn = jax.jit(lambda x, y: metrics.distance_correlation(jnp.asarray(x), jnp.asarray(y), debiased=debiased))
        jax.test_util.check_grads(fn, (x, y), order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("debiased", [True, False])
def test_gradients_are_finite_where_rows_coincide(debiased):
    fn = jax.jit(jax.grad(lambda x, y: metrics.distance_correlation(x, y, debiased=debiased), argnums=(0, 1)))
    coinciding, padded = np.repeat(X[:30], 2, axis=0), np.pad(X, ((0, 0), (0, 2)))
    for x, y in ((coinciding, coinciding), (X * (np.arange(60) > 9)[:, None], Y), (padded, X), (X, X)):
        assert all(np.isfinite(g).all() for g in fn(jnp.asarray(x), jnp.asarray(y)))


def test_a_cloud_of_equal_rows_has_no_distances():
    assert np.isnan(metrics.distance_correlation(jnp.ones((60, 6), jnp.float32), jnp.asarray(X)))


def test_the_scale_of_float32_is_not_left():
    for scale in (1e-8, 1e8):
        value = metrics.distance_correlation(jnp.asarray(scale * X, jnp.float32), jnp.asarray(Y))
        expected = float(metrics.distance_correlation(jnp.asarray(X), jnp.asarray(Y)))
        assert value == pytest.approx(expected, abs=1e-5)


def test_too_few_rows_are_refused(as_users_call):
    with pytest.raises(ValueError, match="`x` and `y` must have at least 4 rows, got 3"):
        metrics.distance_correlation(jnp.asarray(X[:3]), jnp.asarray(Y[:3]), debiased=True)
