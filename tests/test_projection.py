import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from platonic_jax import projection, testing

CLOUD = np.asarray(testing.make_cloud(jax.random.key(0)).x)
ROWS = np.array([3, 17, 40, 41, 59])


def relative(x, anchors, **settings):
    return np.asarray(projection.relative(jnp.asarray(x), jnp.asarray(anchors), **settings))


def test_cosine_agrees_with_scikit_learn_and_anchors_see_themselves():
    r = relative(CLOUD, CLOUD[ROWS])
    np.testing.assert_allclose(r, cosine_similarity(CLOUD, CLOUD[ROWS]), atol=1e-6)
    np.testing.assert_allclose(r[ROWS, np.arange(5)], 1, atol=1e-6)
    assert r.dtype == np.float32


def test_rotations_and_lengths_do_not_change_it_and_translations_do():
    r = relative(CLOUD, CLOUD[ROWS])
    turned = CLOUD @ np.asarray(testing.random_rotation(jax.random.key(1), 6))
    lengths = np.random.default_rng(0).uniform(0.1, 10, (60, 1)).astype(np.float32)
    np.testing.assert_allclose(relative(turned, turned[ROWS]), r, atol=1e-5)
    np.testing.assert_allclose(relative(lengths * CLOUD, (lengths * CLOUD)[ROWS]), r, atol=1e-5)
    assert np.abs(relative(CLOUD + 1, CLOUD[ROWS] + 1) - r).max() > 0.1


def test_weights_multiply_the_columns_as_they_are():
    weights = np.array([0, 1, 2, -1, 0.5], np.float32)
    r = relative(CLOUD, CLOUD[ROWS], weights=jnp.asarray(weights))
    np.testing.assert_allclose(r, relative(CLOUD, CLOUD[ROWS]) * weights, atol=1e-6)


def test_gradients_agree_with_finite_differences_and_are_finite_at_zero_rows():
    with jax.enable_x64(True):
        x, anchors = jnp.asarray(CLOUD[:8], jnp.float64), jnp.asarray(CLOUD[ROWS], jnp.float64)
        weights = jnp.arange(5, dtype=jnp.float64)
        weighted = jax.jit(
            lambda x, anchors: jnp.sum(projection.relative(jnp.asarray(x), jnp.asarray(anchors), weights=weights))
        )
        jax.test_util.check_grads(weighted, (x, anchors), order=1, modes=["fwd", "rev"], atol=1e-7, rtol=1e-7)
        at_zero = jax.grad(weighted, argnums=(0, 1))(x * 0, anchors * 0)
    assert all(np.isfinite(gradient).all() for gradient in at_zero)


def test_compiled_and_batched_calls_give_the_same():
    x = jnp.asarray(CLOUD)
    r = relative(CLOUD, CLOUD[ROWS])
    np.testing.assert_allclose(jax.jit(projection.relative)(x, x[ROWS]), r, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(projection.relative)(x[None], x[None, ROWS])[0], r, atol=1e-6)


def test_faults_are_named(as_users_call):
    with pytest.raises(ValueError, match="`similarity` must be one of 'cosine', got 'cosines'"):
        relative(CLOUD, CLOUD[ROWS], similarity="cosines")
    with pytest.raises(ValueError, match="`x` and `anchors` must have the same columns, got 6 and 5"):
        relative(CLOUD, CLOUD[ROWS, :5])
