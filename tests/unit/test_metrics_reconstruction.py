import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from sklearn.linear_model import Ridge
from skmatter.metrics import pointwise_global_reconstruction_error, pointwise_local_reconstruction_error

from platonic_jax import metrics, testing

X = np.asarray(testing.make_cloud(jax.random.key(0), n=80).x)
Y = np.asarray(testing.noisy(jnp.asarray(X), noise=0.5, key=jax.random.key(1)))[:, ::-1]
WIDE = np.concatenate([Y, Y**2], axis=1)
TRAIN = np.arange(80) // 5 % 3 > 0  # Two structures of three.


class RelativeRidge(Ridge):
    """A plain ridge regression, without intercept, whose penalty is relative to the sum of squares of its rows."""

    def __init__(self, relative):
        super().__init__(fit_intercept=False, solver="cholesky")
        self.relative = relative

    def fit(self, x, y):
        self.alpha = self.relative * np.sum(x**2)
        return super().fit(x, y)


def root_mean_square(errors):
    return np.sqrt(np.mean(np.square(errors)))


@pytest.mark.parametrize("ridge", [1e-5, 1e-2])
@pytest.mark.parametrize("train", [None, TRAIN], ids=["default split", "by structure"])
def test_gfre_agrees_with_scikit_matter(train, ridge):
    rows = np.arange(80) < 40 if train is None else train
    expected = pointwise_global_reconstruction_error(
        X.astype(np.float64),
        WIDE.astype(np.float64),
        train_idx=np.flatnonzero(rows),
        test_idx=np.flatnonzero(~rows),
        estimator=RelativeRidge(ridge),
    )
    settings = {"train": None if train is None else jnp.asarray(train), "ridge": ridge}
    errors = metrics.gfre_rows(jnp.asarray(X), jnp.asarray(WIDE), **settings)
    np.testing.assert_allclose(np.asarray(errors)[~rows], expected, atol=1e-5)
    value = metrics.gfre(jnp.asarray(X), jnp.asarray(WIDE), **settings)
    assert value == pytest.approx(root_mean_square(expected), abs=1e-5)


@pytest.mark.parametrize("k", [5, 15])
@pytest.mark.parametrize("y", [Y, WIDE], ids=["same width", "wider"])
@pytest.mark.parametrize("train", [None, TRAIN], ids=["default split", "by structure"])
def test_lfre_agrees_with_scikit_matter(train, y, k):
    """With fewer neighbours than columns, and with more: in the form of a kernel, and in that of a map."""
    rows = np.arange(80) < 40 if train is None else train
    expected = pointwise_local_reconstruction_error(
        X.astype(np.float64),
        y.astype(np.float64),
        k,
        train_idx=np.flatnonzero(rows),
        test_idx=np.flatnonzero(~rows),
        estimator=RelativeRidge(1e-3),
    )
    settings = {"train": None if train is None else jnp.asarray(train), "ridge": 1e-3, "num_neighbours": k}
    errors = metrics.lfre_rows(jnp.asarray(X), jnp.asarray(y), batch_size=7, **settings)
    np.testing.assert_allclose(np.asarray(errors)[~rows], expected, rtol=3e-5, atol=1e-5)
    value = metrics.lfre(jnp.asarray(X), jnp.asarray(y), **settings)
    assert value == pytest.approx(root_mean_square(expected), abs=3e-5)


def test_no_row_is_its_own_neighbour():
    """A training row that counted itself would be reconstructed better than it deserves."""
    x, noise = jax.random.normal(jax.random.key(0), (2, 400, 2))
    errors = np.asarray(metrics.lfre_rows(x, noise, num_neighbours=10))
    assert root_mean_square(errors[:200]) == pytest.approx(root_mean_square(errors[200:]), rel=0.15)


def test_a_linear_map_is_reconstructed_and_its_loss_is_not():
    x = jax.random.normal(jax.random.key(0), (300, 4))
    part = x[:, :2]
    assert metrics.gfre(x, part) < 1e-4
    assert metrics.gfre(part, x) == pytest.approx(np.sqrt(1 / 2), abs=0.1)
    bent = jnp.concatenate([x[:, :1], x[:, :1] ** 2], axis=1)
    assert metrics.lfre(x[:, :1], bent) < 0.3 * metrics.gfre(x[:, :1], bent)


MEASURES = {
    "gfre": lambda x, y: metrics.gfre(x, y, ridge=1e-3),
    "lfre": lambda x, y: metrics.lfre(x, y, num_neighbours=9, ridge=1e-3),
    "lfre of few": lambda x, y: metrics.lfre(x, y, num_neighbours=4, ridge=1e-3),
}


@pytest.mark.parametrize("name", MEASURES)
def test_gradients_agree_with_finite_differences(name):
    with jax.enable_x64(True):
        x, y = jnp.asarray(X[:24], jnp.float64), jnp.asarray(Y[:24], jnp.float64)
        fn = jax.jit(lambda x, y: MEASURES[name](jnp.asarray(x), jnp.asarray(y)))
        jax.test_util.check_grads(fn, (x, y), order=1, modes=["rev"], atol=1e-6, rtol=1e-6, eps=1e-5)


@pytest.mark.parametrize("name", ["gfre", "lfre"])
def test_values_and_gradients_are_finite_where_clouds_are_degenerate(name):
    """With the default ridge: all neighbours of a row may coincide, columns may vanish, rows repeat."""
    fn = jax.jit(jax.value_and_grad(getattr(metrics, name), argnums=(0, 1)))
    copies, padded = np.tile(X[:2], (40, 1)), np.pad(X, ((0, 0), (0, 3)))
    for x, y in ((copies, Y), (padded, Y), (X * (np.arange(80) % 4 > 0)[:, None], padded), (X, X)):
        value, gradients = fn(jnp.asarray(x), jnp.asarray(y))
        assert np.isfinite(value)
        assert all(np.isfinite(g).all() for g in gradients)


def test_without_enough_to_fit_there_is_no_number():
    x, y, few = jnp.asarray(X), jnp.asarray(Y), jnp.arange(80) < 10
    assert np.isfinite(metrics.lfre(x, y, num_neighbours=10, train=jnp.arange(80) < 11))
    assert np.isnan(metrics.lfre(x, y, num_neighbours=11, train=few))
    for measure in (metrics.gfre, metrics.lfre):
        assert np.isnan(measure(x.at[:40].set(1), y))


def test_faults_are_named(as_users_call):
    x = jnp.asarray(X)
    for measure in (metrics.gfre, metrics.lfre):
        with pytest.raises(ValueError, match="`x` and `y` must have the same rows, got 80 and 79"):
            measure(x, x[1:])
        with pytest.raises(ValueError, match="`ridge` must be positive, got 0"):
            measure(x, x, ridge=0)
    with pytest.raises(
        ValueError, match="`num_neighbours` must be at most the training rows n // 2 less one = 39, got"
    ):
        metrics.lfre(x, x, num_neighbours=40)
