from functools import partial

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_similarity

from platonic_jax import projection, testing
from platonic_jax.metrics import TRANSFORMATIONS

CLOUD = np.asarray(testing.make_cloud(jax.random.key(0)).x)
ROWS = np.array([3, 17, 40, 41, 59])
MANY = np.arange(0, 60, 6)  # Anchors that span the six columns, with an offset too.
SIMILARITIES = tuple(projection.INVARIANCES)

compiled = jax.jit(projection.relative, static_argnames="similarity")
inverted = jax.jit(projection.inverse, static_argnames="similarity")
with_every_similarity = pytest.mark.parametrize("similarity", SIMILARITIES)


def relative(x, anchors, **settings):
    return np.asarray(compiled(jnp.asarray(x), jnp.asarray(anchors), **settings))


def by_definition(x, anchors):
    """Every similarity, written out in numpy."""
    x, anchors = x.astype(np.float64), anchors.astype(np.float64)
    cosine = cosine_similarity(x, anchors)
    distance = cdist(x, anchors)
    variance, directions = np.linalg.eigh(np.cov(x.T))
    whiten = directions / np.sqrt(variance)
    return {
        "cosine": cosine,
        "angular": 1 - np.arccos(np.clip(cosine, -1, 1)) / np.pi,
        "l2": -distance,
        "rbf": np.exp(-(distance**2) / (2 * np.mean(distance**2))),
        "whitened": cosine_similarity((x - x.mean(axis=0)) @ whiten, (anchors - x.mean(axis=0)) @ whiten),
    }


@with_every_similarity
def test_similarities_are_what_their_definitions_say(similarity):
    r = relative(CLOUD, CLOUD[ROWS], similarity=similarity)
    assert r.dtype == np.float32
    # Angles and distances of a row and itself are resolved to the root of the resolution alone; whitening has a floor.
    atol = 3e-3 if similarity in ("angular", "l2") else 1e-4
    np.testing.assert_allclose(r, by_definition(CLOUD, CLOUD[ROWS])[similarity], atol=atol)
    with jax.enable_x64(True):
        x = jnp.asarray(CLOUD, jnp.float64)
        r = compiled(x, x[ROWS], similarity=similarity)
        np.testing.assert_allclose(r, by_definition(CLOUD, CLOUD[ROWS])[similarity], atol=1e-7)
        assert r.dtype == jnp.float64


@with_every_similarity
def test_every_row_is_most_similar_to_itself(similarity):
    r = relative(CLOUD, CLOUD[ROWS], similarity=similarity)
    np.testing.assert_array_equal(np.argmax(r, axis=0), ROWS)
    np.testing.assert_allclose(r[ROWS, np.arange(5)], 0 if similarity == "l2" else 1, atol=3e-3)


@with_every_similarity
@pytest.mark.parametrize("transformation", ["translation", "rotation", "scale", "row_scale", "linear", "padding"])
def test_what_is_declared_leaves_it_as_it_is_and_nothing_else_does(similarity, transformation):
    assert transformation in TRANSFORMATIONS
    with jax.enable_x64(True):
        x = jnp.asarray(CLOUD, jnp.float64)
        after, _ = testing.transformed(transformation, x, x, key=jax.random.key(1))
        difference = compiled(x, x[ROWS], similarity=similarity) - compiled(after, after[ROWS], similarity=similarity)
    if transformation in projection.INVARIANCES[similarity]:
        assert np.abs(difference).max() < 1e-6
    else:
        assert np.abs(difference).max() > 0.02


def test_several_similarities_stand_side_by_side_with_the_weight_of_each_anchor():
    weights = np.array([0, 1, 2, -1, 0.5], np.float32)
    names = ("cosine", "l2", "cosine")
    together = relative(CLOUD, CLOUD[ROWS], similarity=names, weights=jnp.asarray(weights))
    alone = [relative(CLOUD, CLOUD[ROWS], similarity=name) * weights for name in names]
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1), atol=1e-6)


@pytest.mark.parametrize("similarity", ["rbf", "whitened"])
def test_new_rows_are_described_as_those_of_the_reference(similarity):
    r = relative(CLOUD, CLOUD[ROWS], similarity=similarity)
    anchors, reference = jnp.asarray(CLOUD[ROWS]), jnp.asarray(CLOUD)
    few = relative(CLOUD[:9], anchors, similarity=similarity, reference=reference)
    np.testing.assert_allclose(few, r[:9], atol=1e-5)
    assert np.abs(relative(CLOUD[:9], anchors, similarity=similarity) - r[:9]).max() > 1e-3


def test_whitening_does_without_directions_that_have_no_variance():
    flat = np.concatenate([CLOUD, CLOUD[:, :2] - CLOUD[:, 2:4]], axis=1)
    np.testing.assert_allclose(
        relative(flat, flat[ROWS], similarity="whitened"),
        relative(CLOUD, CLOUD[ROWS], similarity="whitened"),
        atol=1e-3,
    )


@with_every_similarity
def test_gradients_agree_with_finite_differences(similarity):
    with jax.enable_x64(True):
        x, anchors = jnp.asarray(CLOUD[:8], jnp.float64), jnp.asarray(CLOUD[ROWS], jnp.float64)
        weights = jnp.arange(5, dtype=jnp.float64)
        weighted = lambda x, anchors: jnp.sum(compiled(x, anchors, similarity=similarity, weights=weights))
        modes = ["fwd", "rev"] if similarity == "cosine" else ["rev"]
        jax.test_util.check_grads(
            lambda x, anchors: weighted(jnp.asarray(x), jnp.asarray(anchors)),
            (x, anchors),
            order=1,
            modes=modes,
            atol=1e-6,
            rtol=1e-6,
        )


@with_every_similarity
def test_gradients_are_finite_at_zero_rows_coinciding_points_and_columns_of_zeros(similarity):
    @jax.jit
    @partial(jax.grad, argnums=(0, 1))
    def slope(x, anchors):
        return jnp.sum(projection.relative(x, anchors, similarity=similarity) ** 2)

    usual = np.pad(CLOUD, ((0, 0), (0, 3)))
    with_zeros = usual.copy()
    with_zeros[:9] = 0
    for x in (usual, with_zeros, 0 * usual, 0 * usual + 1):
        assert all(np.isfinite(gradient).all() for gradient in slope(jnp.asarray(x), jnp.asarray(x[ROWS])))


@with_every_similarity
def test_compiled_and_batched_calls_give_the_same(similarity):
    x = jnp.asarray(CLOUD)
    function = partial(projection.relative, similarity=similarity)
    r = relative(CLOUD, CLOUD[ROWS], similarity=similarity)
    np.testing.assert_allclose(jax.jit(jax.vmap(function))(x[None], x[None, ROWS])[0], r, atol=3e-3)
    if similarity == "cosine":
        np.testing.assert_allclose(function(x, x[ROWS]), r, atol=1e-6)


def recovered(similarity, anchors, *, x=CLOUD):
    with jax.enable_x64(True):
        x, anchors = jnp.asarray(x, jnp.float64), jnp.asarray(anchors, jnp.float64)
        r = compiled(x, anchors, similarity=similarity)
        found = inverted(r, anchors, similarity=similarity, reference=x)
        again = compiled(found.rows, anchors, similarity=similarity, reference=x)
        return np.asarray(found.rows), np.asarray(found.residual), np.abs(r - again).max()


@with_every_similarity
def test_anchors_that_span_the_space_give_the_rows_back(similarity):
    rows, residual, difference = recovered(similarity, CLOUD[MANY])
    assert residual.max() < 1e-5
    assert difference < 1e-6
    if similarity in ("l2", "rbf"):
        np.testing.assert_allclose(rows, CLOUD, atol=1e-5)
    elif similarity != "whitened":
        np.testing.assert_allclose(rows, CLOUD / np.linalg.norm(CLOUD, axis=1, keepdims=True), atol=1e-5)


def test_of_a_cosine_comes_back_what_lies_in_the_span_of_the_anchors():
    anchors, unit = CLOUD[ROWS[:3]], CLOUD / np.linalg.norm(CLOUD, axis=1, keepdims=True)
    rows, residual, _ = recovered("cosine", anchors)
    basis = np.linalg.svd(anchors, full_matrices=False)[2]
    np.testing.assert_allclose(rows, unit @ basis.T @ basis, atol=1e-6)
    unseen = np.sum((unit - rows) ** 2, axis=1)
    np.testing.assert_allclose(1 - np.sum(rows**2, axis=1), unseen, atol=1e-6)
    assert unseen.max() > 0.1
    assert residual.max() < 1e-6


def test_of_distances_comes_back_what_lies_in_the_plane_of_the_anchors():
    anchors = CLOUD[ROWS[:4]] + 5
    rows, residual, _ = recovered("l2", anchors, x=CLOUD + 5)
    plane = np.linalg.svd(anchors - anchors.mean(axis=0), full_matrices=False)[2][:3]
    expected = anchors.mean(axis=0) + (CLOUD + 5 - anchors.mean(axis=0)) @ plane.T @ plane
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert residual.max() < 1e-6


def test_the_residual_is_that_of_least_squares():
    noisy = relative(CLOUD, CLOUD[MANY]) + np.random.default_rng(0).normal(size=(60, 10)).astype(np.float32)
    rows, residual = inverted(jnp.asarray(noisy), jnp.asarray(CLOUD[MANY]))
    unit = CLOUD[MANY] / np.linalg.norm(CLOUD[MANY], axis=1, keepdims=True)
    expected, squares, *_ = np.linalg.lstsq(unit.astype(np.float64), noisy.T.astype(np.float64), rcond=None)
    np.testing.assert_allclose(rows, expected.T, atol=1e-4)
    np.testing.assert_allclose(residual, np.sqrt(squares) / np.linalg.norm(noisy, axis=1), atol=1e-4)
    assert 0.2 < residual.mean() < 1


def test_a_row_is_carried_into_the_space_of_another_model():
    turn = np.asarray(testing.random_rotation(jax.random.key(1), 6))
    r = relative(CLOUD, CLOUD[MANY])
    carried = inverted(jnp.asarray(r), jnp.asarray(CLOUD[MANY] @ turn))
    np.testing.assert_allclose(relative(carried.rows, CLOUD @ turn)[np.arange(60), np.arange(60)], 1, atol=1e-4)


@with_every_similarity
def test_the_inverse_can_be_differentiated(similarity):
    r = relative(CLOUD, CLOUD[MANY], similarity=similarity)

    def total(r, anchors):
        found = projection.inverse(r, anchors, similarity=similarity, reference=jnp.asarray(CLOUD))
        return jnp.sum(found.rows) + jnp.sum(found.residual)

    for gradient in jax.jit(jax.grad(total, argnums=(0, 1)))(jnp.asarray(r), jnp.asarray(CLOUD[MANY])):
        assert np.isfinite(gradient).all()


def test_faults_are_named(as_users_call):
    with pytest.raises(ValueError, match="`similarity` must be one of 'cosine', .*, 'whitened', got 'cosines'"):
        relative(CLOUD, CLOUD[ROWS], similarity=("cosine", "cosines"))
    with pytest.raises(ValueError, match="`similarity` must be a name or a tuple of names, got an empty tuple"):
        relative(CLOUD, CLOUD[ROWS], similarity=())
    with pytest.raises(ValueError, match="`x` and `anchors` must have the same columns, got 6 and 5"):
        relative(CLOUD, CLOUD[ROWS, :5])
    with pytest.raises(ValueError, match="`x` and `reference` must have the same columns, got 6 and 5"):
        relative(CLOUD, CLOUD[ROWS], reference=jnp.asarray(CLOUD[:, :5]))
    r, anchors = jnp.asarray(relative(CLOUD, CLOUD[ROWS])), jnp.asarray(CLOUD[ROWS])
    with pytest.raises(ValueError, match="`similarity` must be one of .*, got 'cosines'"):
        projection.inverse(r, anchors, similarity="cosines")
    with pytest.raises(ValueError, match="`r` must have one column for each of 5 anchors, got 4: invert similarities"):
        projection.inverse(r[:, :4], anchors)
    with pytest.raises(ValueError, match='`reference` must be given for similarity "rbf", got none: pass the rows'):
        projection.inverse(r, anchors, similarity="rbf")
