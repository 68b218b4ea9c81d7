import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from scipy.spatial import procrustes as scipy_procrustes

from platonic_jax import metrics, testing

X = np.asarray(testing.make_cloud(jax.random.key(0)).x)
Y = np.asarray(testing.noisy(jnp.asarray(X), noise=0.5, key=jax.random.key(1)))[:, ::-1]
WIDE = np.concatenate([Y, Y**2], axis=1)


def direct_cka(x, y, *, debiased):
    """From the n × n matrices of the definition, in float64."""
    n = len(x)
    k, l = (a.astype(np.float64) @ a.T.astype(np.float64) for a in (x, y))
    if not debiased:
        centring = np.eye(n) - 1 / n
        hsic = lambda k, l: np.trace(centring @ k @ centring @ l)
    else:
        k, l = (a - np.diag(np.diag(a)) for a in (k, l))
        hsic = lambda k, l: (np.trace(k @ l) + k.sum() * l.sum() / (n - 1) / (n - 2) - 2 * (k @ l).sum() / (n - 2)) / (
            n * (n - 3)
        )
    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


@pytest.mark.parametrize("y", [Y, WIDE], ids=["same width", "wider"])
def test_procrustes_agrees_with_scipy(y):
    padded = np.pad(X, ((0, 0), (0, y.shape[1] - 6)))
    _, _, disparity = scipy_procrustes(padded.astype(np.float64), y.astype(np.float64))
    value = metrics.procrustes(jnp.asarray(X), jnp.asarray(y))
    assert value == pytest.approx(np.sqrt(1 - disparity), abs=1e-6)


@pytest.mark.parametrize("y", [Y, WIDE], ids=["same width", "wider"])
def test_the_conventions_are_functions_of_one_angle(y):
    x, y = jnp.asarray(X), jnp.asarray(y)
    cosine = float(metrics.procrustes(x, y))
    for one, other in ((x, y), (y, x)):
        assert metrics.procrustes(one, other, convention="angle") == pytest.approx(np.arccos(cosine), abs=1e-5)
        assert metrics.procrustes(one, other, convention="squared") == pytest.approx(cosine**2, abs=1e-5)


def test_a_small_angle_keeps_its_digits():
    """The arccosine of a float32 cosine is off by some 1e-4 here, or zero."""
    step = 1e-4 * np.eye(60, 6, dtype=np.float32)
    x, y = X.astype(np.float64), X.astype(np.float64) + step
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    cosine = np.linalg.svd(x.T @ y, compute_uv=False).sum() / np.linalg.norm(x) / np.linalg.norm(y)
    value = metrics.procrustes(jnp.asarray(X), jnp.asarray(X + step), convention="angle")
    assert value == pytest.approx(np.arccos(cosine), rel=1e-2)


@pytest.mark.parametrize("y", [Y, WIDE], ids=["same width", "wider"])
def test_what_rows_add_to_procrustes_is_the_value_on_average(y):
    x, y = jnp.asarray(X), jnp.asarray(y)
    for one, other in ((x, y), (y, x)):
        rows = metrics.procrustes_rows(one, other)
        assert rows.shape == (60,)
        assert rows.mean() == pytest.approx(float(metrics.procrustes(one, other)), abs=1e-5)


def test_a_row_that_is_out_of_place_adds_least():
    moved = X.copy()
    moved[17] = 2 * X.mean(axis=0) - X[17]
    assert np.argmin(metrics.procrustes_rows(jnp.asarray(X), jnp.asarray(moved))) == 17


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("offset", [0, 100])
def test_cka_agrees_with_its_definition(debiased, offset):
    value = metrics.cka(jnp.asarray(X + offset), jnp.asarray(WIDE), debiased=debiased)
    assert value == pytest.approx(direct_cka(X, WIDE, debiased=debiased), abs=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_debiased_estimate_of_unrelated_clouds_is_zero_on_average(seed):
    draws = jax.random.normal(jax.random.key(seed), (200, 2, 12, 8))
    plain, debiased = (
        np.asarray(jax.vmap(lambda xy, d=d: metrics.cka(xy[0], xy[1], debiased=d))(draws)) for d in (False, True)
    )
    assert plain.mean() > 0.3
    assert abs(debiased.mean()) < 4 * debiased.std() / np.sqrt(200)


def test_the_scale_of_float32_is_not_left():
    for scale in (1e-8, 1e8):
        x, y = jnp.asarray(scale * X), jnp.asarray(Y)
        assert metrics.cka(x, y) == pytest.approx(float(metrics.cka(jnp.asarray(X), y)), abs=1e-5)
        assert metrics.procrustes(x, y) == pytest.approx(float(metrics.procrustes(jnp.asarray(X), y)), abs=1e-5)


def test_a_cloud_of_equal_rows_has_no_alignment():
    constant = jnp.ones((60, 6), jnp.float32)
    assert np.isnan(metrics.procrustes(constant, jnp.asarray(X)))
    assert np.isnan(metrics.cka(constant, jnp.asarray(X)))


def test_the_rotation_recovers_the_one_that_was_applied():
    rotation = testing.random_rotation(jax.random.key(2), 6)
    turned = 3 * X @ np.asarray(rotation) + 5
    np.testing.assert_allclose(metrics.procrustes_rotation(jnp.asarray(X), jnp.asarray(turned)), rotation, atol=1e-5)


def test_the_rotation_reaches_the_value_of_procrustes():
    x, y = X - X.mean(axis=0), WIDE - WIDE.mean(axis=0)
    rotation = np.asarray(metrics.procrustes_rotation(jnp.asarray(X), jnp.asarray(WIDE)))
    reached = np.sum(x @ rotation * y) / np.linalg.norm(x) / np.linalg.norm(y)
    assert reached == pytest.approx(float(metrics.procrustes(jnp.asarray(X), jnp.asarray(WIDE))), abs=1e-5)


MEASURES = {
    "procrustes": metrics.procrustes,
    "angle": lambda x, y: metrics.procrustes(x, y, convention="angle"),
    "rows": lambda x, y: jnp.sum(jnp.sin(metrics.procrustes_rows(x, y))),
    "cka": metrics.cka,
    "biased cka": lambda x, y: metrics.cka(x, y, debiased=False),
    "rotation": lambda x, y: jnp.sum(jnp.sin(metrics.procrustes_rotation(x, y))),
}


@pytest.mark.parametrize("name", MEASURES)
def test_gradients_agree_with_finite_differences(name):
    with jax.enable_x64(True):
        x, y = jnp.asarray(X[:12], jnp.float64), jnp.asarray(Y[:12], jnp.float64)
        fn = jax.jit(lambda x, y: MEASURES[name](jnp.asarray(x), jnp.asarray(y)))
        jax.test_util.check_grads(fn, (x, y), order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", MEASURES)
def test_gradients_are_finite_where_naive_ones_are_not(name):
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, 8).T.astype(np.float32)
    repeated = np.concatenate(
        [signs, np.zeros((8, 3), np.float32)], axis=1
    )  # Repeated, and vanishing, singular values.
    coinciding = np.repeat(repeated[:4], 2, axis=0)
    gradient = jax.jit(jax.grad(MEASURES[name], argnums=(0, 1)))
    for x, y in ((repeated, repeated), (repeated, coinciding), (coinciding, coinciding)):
        assert all(np.isfinite(g).all() for g in gradient(jnp.asarray(x), jnp.asarray(y)))


def test_faults_are_named(as_users_call):
    x = jnp.asarray(X)
    for measure in (metrics.procrustes, metrics.cka, metrics.procrustes_rotation):
        with pytest.raises(ValueError, match="`x` and `y` must have the same rows, got 60 and 59"):
            measure(x, x[1:])
    with pytest.raises(ValueError, match="`x` and `y` must have at least 4 rows, got 3"):
        metrics.cka(x[:3], x[:3])
    with pytest.raises(ValueError, match="`convention` must be one of 'cosine', 'angle', 'squared', got 'distance'"):
        metrics.procrustes(x, x, convention="distance")
