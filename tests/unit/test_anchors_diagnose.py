import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics.pairwise import cosine_similarity

from platonic_jax import anchors, testing

CLOUD = testing.make_cloud(jax.random.key(0), n=300, p=8)
X, SPECIES = np.asarray(CLOUD.x), np.asarray(CLOUD.species)
ROWS = np.array([3, 17, 40, 141, 259])
compiled = jax.jit(anchors.diagnose)


def test_coverage_is_the_distance_to_the_nearest_anchor():
    found = anchors.diagnose(CLOUD.x, ROWS, species=CLOUD.species)
    distance = 1 - cosine_similarity(X, X[ROWS]).max(axis=1)
    np.testing.assert_allclose(found.mean_distance, distance.mean(), atol=1e-6)
    np.testing.assert_allclose(found.worst_distance, distance.max(), atol=1e-6)
    assert found.elements.tolist() == sorted(set(SPECIES.tolist()))
    for i, element in enumerate(found.elements.tolist()):
        of_element = distance[element == SPECIES]
        np.testing.assert_allclose(found.element_mean_distance[i], of_element.mean(), atol=1e-6)
        np.testing.assert_allclose(found.element_worst_distance[i], of_element.max(), atol=1e-6)


def test_nothing_by_element_without_elements_and_the_rest_compiled():
    plain = compiled(CLOUD.x, ROWS)
    assert plain.elements is None
    assert plain.element_mean_distance is None
    # The sensitivity is a small difference of large numbers, and keeps the fewest digits in single precision.
    for value, other in zip(plain[:5], anchors.diagnose(CLOUD.x, ROWS, species=SPECIES)[:5], strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-2, atol=1e-6)
        assert value.dtype == jnp.float32


def test_condition_and_redundancy_are_those_of_the_matrix_of_cosines():
    found = compiled(CLOUD.x, ROWS)
    gram = cosine_similarity(X[ROWS].astype(np.float64))
    np.testing.assert_allclose(found.condition, np.linalg.cond(gram), rtol=1e-3)
    np.testing.assert_allclose(found.redundancy, np.abs(gram - np.eye(5)).max(axis=1), atol=1e-6)


def test_sensitivity_is_what_a_regression_on_the_other_columns_leaves():
    found = compiled(CLOUD.x, ROWS)
    columns = cosine_similarity(X, X[ROWS]).astype(np.float64)
    for i in range(5):
        others = np.delete(columns, i, axis=1)
        explained = LinearRegression().fit(others, columns[:, i]).score(others, columns[:, i])
        np.testing.assert_allclose(found.sensitivity[i], 1 - explained, rtol=1e-2)


def test_orthogonal_anchors_are_ideal():
    x = jnp.concatenate([jnp.eye(4), -jnp.eye(4)])
    found = compiled(x, jnp.arange(4))
    np.testing.assert_allclose(found.condition, 1, rtol=1e-5)
    np.testing.assert_allclose(found.redundancy, np.zeros(4), atol=1e-6)
    np.testing.assert_allclose(found.sensitivity, np.ones(4), rtol=1e-5)
    np.testing.assert_allclose(found.worst_distance, 1, rtol=1e-5)


def test_a_copy_of_an_anchor_adds_nothing():
    x = jnp.concatenate([CLOUD.x, -2 * CLOUD.x[ROWS[:1]]])
    found = compiled(x, np.append(ROWS, 300))
    assert found.condition == jnp.inf
    np.testing.assert_allclose(found.redundancy[jnp.array([0, 5])], 1, atol=1e-6)
    assert (found.sensitivity[jnp.array([0, 5])] < 1e-4).all()
    assert (found.sensitivity[1:5] > 1e-3).all()


def test_more_anchors_than_columns_are_dependent_and_more_anchors_cover_more():
    few, many = (compiled(CLOUD.x, np.arange(k)) for k in (8, 30))
    assert few.condition < jnp.inf
    assert many.condition == jnp.inf
    assert many.mean_distance < few.mean_distance


@pytest.mark.parametrize("transformation", ["rotation", "row_scale", "translation"])
def test_rotations_and_lengths_do_not_matter_and_translations_do(transformation):
    moved, _ = testing.transformed(transformation, CLOUD.x, CLOUD.x, key=jax.random.key(1))
    before, after = (compiled(x, ROWS) for x in (CLOUD.x, moved))
    alike = [np.allclose(a, b, rtol=2e-2, atol=1e-5) for a, b in zip(before[:5], after[:5], strict=True)]
    assert not any(alike) if transformation == "translation" else all(alike)


def test_zero_rows_and_a_single_anchor_are_no_accident():
    x = CLOUD.x.at[7].set(0)
    found = anchors.diagnose(x, ROWS[:1], species=CLOUD.species)
    assert found.redundancy.tolist() == [0.0]
    np.testing.assert_allclose(found.sensitivity, 1, rtol=1e-5)
    assert all(np.isfinite(value).all() for value in found)
    constant = compiled(jnp.ones((5, 3)), np.arange(2))  # No column tells one row from another.
    np.testing.assert_allclose(constant.sensitivity, 0, atol=1e-4)
