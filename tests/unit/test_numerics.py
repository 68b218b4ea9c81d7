from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from platonic_jax import numerics, testing

SKLEARN_METRIC = {"cosine": "cosine", "l2": "euclidean"}


@cache
def cloud(n=60, seed=0):
    """Rows on the host: what is done to them here costs no compilation."""
    return np.asarray(testing.make_cloud(jax.random.key(seed), n=n).x)


METRICS = ("cosine", "l2", "inner")


def neighbours(x, **settings):
    queries = settings.pop("queries", None)
    queries = None if queries is None else jnp.asarray(queries)
    return jax.device_get(numerics.neighbours(jnp.asarray(x), queries=queries, **settings))


def brute_force(x, k, metric, queries=None, exclude=None):
    """Neighbours by the rule that is documented: float64 differences, self masked by index, ties to the lower row."""
    x = np.asarray(x, np.float64)
    rows = x if queries is None else np.asarray(queries, np.float64)
    if metric == "cosine":
        unit = lambda a: a / np.where((norm := np.linalg.norm(a, axis=1, keepdims=True)) > 0, norm, 1)
        x, rows = unit(x), unit(rows)
    distance = -rows @ x.T if metric == "inner" else np.sum((rows[:, None] - x[None]) ** 2, axis=2)
    if queries is None:
        exclude = np.arange(len(x)) if exclude is None else exclude
        distance[exclude[:, None] == exclude[None]] = np.inf
    return np.argsort(distance, axis=1, kind="stable")[:, :k]


def test_centring_removes_an_offset_a_million_times_the_spread():
    x = (np.random.default_rng(0).normal(size=(60, 6)) + 1e6).astype(np.float32)
    rounding_of_the_data = 0.07
    exact = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(numerics.centre(jnp.asarray(x)), exact, atol=rounding_of_the_data)


def test_weights_of_zero_and_one_centre_on_the_rows_of_weight_one():
    x = cloud()
    weights = np.arange(60) % 3 == 0
    centred = numerics.centre(jnp.asarray(x), weights=jnp.asarray(weights, jnp.float32))
    np.testing.assert_allclose(centred, x - x[weights].mean(axis=0), atol=1e-5)


def test_normalise_makes_unit_rows_and_keeps_zero_rows_also_under_grad():
    x = cloud().copy()
    x[3] = 0
    lengths = np.linalg.norm(np.asarray(numerics.normalise(jnp.asarray(x))), axis=1)
    np.testing.assert_allclose(lengths, np.where(np.arange(60) == 3, 0, 1), atol=1e-6)
    gradient = np.asarray(jax.grad(lambda x: jnp.sum(numerics.normalise(x)[:, 0]))(jnp.asarray(x)))
    assert np.isfinite(gradient).all()
    assert (gradient[3] == 0).all()


def test_the_norm_of_a_zero_vector_has_gradient_zero():
    assert not np.asarray(jax.grad(numerics.safe_norm)(jnp.zeros(4))).any()
    assert numerics.safe_norm(jnp.array([3.0, 4.0])) == 5
    assert np.isnan(numerics.safe_norm(jnp.array([3.0, jnp.nan])))


@pytest.mark.parametrize("metric", METRICS)
def test_neighbours_among_some_rows_are_those_of_a_cloud_of_them(metric):
    """Of all rows, the others as well; more are asked for than there are candidates beyond the list."""
    x, among = cloud(), np.arange(60) % 4 == 1
    index, distance = neighbours(x, num_neighbours=12, metric=metric, among=jnp.asarray(among))
    others, expected = neighbours(x[among], num_neighbours=12, metric=metric, queries=x[~among])
    np.testing.assert_array_equal(index[~among], np.flatnonzero(among)[others])
    np.testing.assert_allclose(distance[~among], expected, atol=1e-5)
    assert among[index].all()
    assert not (index == np.arange(60)[:, None]).any()
    index, few = neighbours(x, num_neighbours=20, metric=metric, among=jnp.asarray(among))
    assert np.isinf(few).sum(axis=1).tolist() == [6 if one_of_them else 5 for one_of_them in among]
    np.testing.assert_array_equal(index == -1, np.isinf(few))


@pytest.mark.parametrize("metric", ["l2", "inner"])
def test_neighbours_of_another_label_are_found_behind_thousands_of_the_same(metric):
    """The rows nearest to one of a large structure are of that structure: masked by index they would fill the pass."""
    rng = np.random.default_rng(0)
    label = np.concatenate([np.zeros(1500, np.int32), rng.integers(1, 40, 500).astype(np.int32)])
    x = (rng.normal(size=(40, 5))[label] + 0.1 * rng.normal(size=(2000, 5))).astype(np.float32)
    order = rng.permutation(2000)
    x, label = x[order], label[order]
    settings = {"num_neighbours": 8, "metric": metric, "exclude": jnp.asarray(label)}
    for key in (None, jax.random.key(3)):
        index, distance = neighbours(x, key=key, **settings)
        np.testing.assert_array_equal(index, brute_force(x, 8, metric, exclude=label))
        assert (np.diff(distance, axis=1) >= 0).all()
    divided, _ = neighbours(x, mesh=numerics.row_mesh(jax.devices()[:1]), **settings)
    np.testing.assert_array_equal(divided, index)


def test_places_without_a_row_of_another_label_are_empty():
    label = np.repeat([0, 1], [57, 3]).astype(np.int32)
    index, distance = neighbours(cloud(), num_neighbours=5, metric="l2", exclude=jnp.asarray(label))
    assert (index[:57, 3:] == -1).all()
    assert np.isinf(distance[:57, 3:]).all()
    assert (np.sort(index[:57, :3], axis=1) == [57, 58, 59]).all()
    assert (index[57:] >= 0).all()
    with pytest.raises(ValueError, match="`exclude` must not come with `queries`"):
        neighbours(cloud(), num_neighbours=5, exclude=jnp.asarray(label), queries=cloud())


def test_a_key_breaks_ties_at_random_and_changes_nothing_else():
    x = cloud(300)
    plain, keyed = neighbours(x, num_neighbours=7), neighbours(x, num_neighbours=7, key=jax.random.key(1))
    np.testing.assert_array_equal(plain[0], keyed[0])
    np.testing.assert_allclose(plain[1], keyed[1], atol=1e-6)
    x = np.eye(3, dtype=np.float32)[np.arange(900) % 3]
    taken = np.concatenate([neighbours(x, num_neighbours=10, key=jax.random.key(i))[0][:3].ravel() for i in range(12)])
    assert (taken.reshape(-1, 3, 10) % 3 == np.arange(3)[None, :, None]).all()
    assert abs(taken.mean() / 450 - 1) < 0.2  # Rows from everywhere, not from the beginning.


def test_map_rows_does_not_depend_on_the_size_of_the_block():
    x = cloud()
    for batch_size in (None, 7, 100):
        doubled, total = numerics.map_rows(lambda row: (row * 2, row.sum()), jnp.asarray(x), batch_size=batch_size)
        np.testing.assert_array_equal(doubled, 2 * x)
        np.testing.assert_allclose(total, x.sum(axis=1), atol=1e-5)
    with pytest.raises(ValueError, match="`batch_size` must be at least 1, got 0"):
        numerics.map_rows(jnp.sum, jnp.asarray(x), batch_size=0)


def test_squared_distances_hold_at_an_offset_a_hundred_times_the_spread():
    x, y = cloud(), cloud(seed=1)
    for offset, rounding in ((0, 1e-5), (100, 2e-3)):
        found = numerics.squared_distances(jnp.asarray(x + offset), jnp.asarray(y + offset))
        exact = np.sum((x.astype(np.float64)[:, None] - y.astype(np.float64)[None]) ** 2, axis=2)
        np.testing.assert_allclose(found, exact, atol=rounding)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_neighbours_agree_with_scikit_learn(metric):
    x, queries = cloud(), cloud(seed=1)
    search = NearestNeighbors(n_neighbors=10, algorithm="brute", metric=SKLEARN_METRIC[metric]).fit(x)
    for asked in (None, queries):
        index, distance = neighbours(x, num_neighbours=10, metric=metric, queries=asked)
        expected_distance, expected = search.kneighbors(asked)
        np.testing.assert_array_equal(index, expected)
        np.testing.assert_allclose(distance, expected_distance, atol=2e-6)
        assert index.dtype == np.int32
        assert distance.dtype == x.dtype


@pytest.mark.parametrize("metric", ["cosine", "l2", "inner"])
def test_neighbours_follow_the_rule_whatever_the_block_and_the_offset(metric):
    x = np.round(cloud(300) * 8) / 8 + (0 if metric == "inner" else 100)  # A grid: the offset costs no digits.
    results = [neighbours(x, num_neighbours=10, metric=metric, batch_size=b)[0] for b in (1, 7, 1000)]
    for index in results:
        np.testing.assert_array_equal(index, results[0])
    expected = brute_force(x, 10, metric)
    if metric == "cosine":  # Its ties are broken by the rounding of the unit vectors: compare the distances.
        unit = x / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
        found, best = (np.linalg.norm(unit[:, None] - unit[index], axis=2) for index in (results[0], expected))
        np.testing.assert_allclose(found, best, atol=1e-6)
    else:
        np.testing.assert_array_equal(results[0], expected)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_four_copies_of_each_point_find_each_other_and_never_themselves(metric):
    x = np.tile(cloud(300), (4, 1))
    row = np.arange(1200)[:, None]
    for batch_size in (64, None):
        index, distance = neighbours(x, num_neighbours=5, metric=metric, batch_size=batch_size)
        assert (index != row).all()
        np.testing.assert_array_equal(index[:, :3] % 300, np.repeat(row % 300, 3, axis=1))
        assert (distance[:, :3] == 0).all()
        assert (np.diff(index[:, :3], axis=1) > 0).all()


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_many_copies_of_few_points_go_to_the_lower_row(metric):
    """The rows of the element baseline: far more copies of each than there are candidates."""
    x = np.eye(7, dtype=np.float32)[np.random.default_rng(0).integers(0, 7, 2500)]
    expected = brute_force(x, 10, "l2")
    for batch_size in (33, None):
        np.testing.assert_array_equal(
            neighbours(x, num_neighbours=10, metric=metric, batch_size=batch_size)[0], expected
        )


def test_more_columns_than_one_group_of_the_coarse_pass():
    x = cloud(3000, seed=2)
    np.testing.assert_array_equal(neighbours(x, num_neighbours=3, metric="l2")[0], brute_force(x, 3, "l2"))


def test_all_other_rows_can_be_neighbours_and_no_more():
    x = cloud()
    index, _ = neighbours(x, num_neighbours=59, metric="l2")
    np.testing.assert_array_equal(np.sort(index, axis=1), [[j for j in range(60) if j != i] for i in range(60)])
    with pytest.raises(ValueError, match="`num_neighbours` must be at most the number of other rows, n − 1 = 59, got"):
        neighbours(x, num_neighbours=60)
    with pytest.raises(ValueError, match="`metric` must be one of 'cosine', 'l2', 'inner', got 'L2'"):
        neighbours(x, num_neighbours=2, metric="L2")


@pytest.mark.parametrize("metric", ["cosine", "l2", "inner"])
def test_distances_of_neighbours_have_a_gradient_also_where_rows_coincide(metric):
    x = np.tile(cloud()[:30], (2, 1))
    x[7] = 0
    gradient = jax.grad(lambda x: jnp.sum(numerics.neighbours(x, num_neighbours=3, metric=metric)[1]))(jnp.asarray(x))
    assert np.isfinite(gradient).all()
    assert np.abs(np.asarray(gradient)).max() > 0


def test_double_precision_is_not_lost_in_the_float32_pass():
    rng = np.random.default_rng(0)
    points = np.repeat(rng.normal(size=(100, 5)), 10, axis=0)
    x = points + 1e-9 * rng.normal(size=points.shape)
    with jax.enable_x64(True):
        index, distance = neighbours(x, num_neighbours=5, metric="l2")
    np.testing.assert_array_equal(index, brute_force(x, 5, "l2"))
    assert distance.dtype == np.float64


def test_pca_agrees_with_numpy_and_fixes_its_signs():
    x = cloud()
    result = jax.device_get(numerics.pca(jnp.asarray(x), num_components=3))
    _, s, vt = np.linalg.svd(x - x.mean(axis=0, dtype=np.float64), full_matrices=False)
    largest = vt[np.arange(6), np.argmax(np.abs(vt), axis=1)]
    np.testing.assert_allclose(result.components, (vt * np.sign(largest)[:, None])[:3], atol=1e-3)
    np.testing.assert_allclose(result.explained, (s**2 / np.sum(s**2))[:3], atol=1e-5)
    np.testing.assert_allclose(np.var(result.scores, axis=0) * 60, s[:3] ** 2, rtol=1e-4)
    assert not np.asarray(numerics.pca(jnp.ones((60, 6)), num_components=3).explained).any()
    with pytest.raises(ValueError, match="`num_components` must be at most the number of columns p = 6, got 7"):
        numerics.pca(jnp.asarray(x), num_components=7)


def with_singular_values(values, p=60, q=50):
    rng = np.random.default_rng(2)
    u, v = (np.linalg.qr(rng.normal(size=(n, n)))[0][:, : len(values)] for n in (p, q))
    return (u * np.asarray(values)) @ v.T


@pytest.mark.parametrize(
    "values",
    [
        np.ones(50),
        np.geomspace(1, 1e-8, 50),
        [1, *np.full(49, 1e-4)],
        1e-12 * np.linspace(1, 2, 50),
        [1e12],
        [3, 3, 2, 2],
        [0],
    ],
)
def test_the_nuclear_norm_is_the_sum_of_singular_values_whatever_they_are(values):
    matrix = with_singular_values(values)
    many = jnp.asarray(np.stack([matrix, -2 * matrix]))
    assert many.dtype == jnp.result_type(float)
    np.testing.assert_allclose(numerics.nuclear_norm(many), [np.sum(values), 2 * np.sum(values)], rtol=1e-6)
    np.testing.assert_allclose(numerics.nuclear_norm(many[0].T), np.sum(values), rtol=1e-6)


def test_the_gradient_of_the_nuclear_norm_is_the_polar_factor_also_where_values_repeat():
    matrix = with_singular_values([3, 3, 2, 2, 1, 0.5], p=6, q=6)
    u, _, vt = np.linalg.svd(matrix)
    gradient = jax.grad(numerics.nuclear_norm)(jnp.asarray(matrix))
    np.testing.assert_allclose(gradient, u @ vt, atol=1e-5)
    assert np.isnan(numerics.nuclear_norm(jnp.full((3, 2), jnp.nan)))
    assert not np.asarray(jax.grad(numerics.nuclear_norm)(jnp.zeros((3, 2), jnp.float32))).any()


@pytest.mark.parametrize("shape", [(5, 5), (5, 3), (3, 5)])
def test_the_polar_factor_is_orthogonal_and_its_derivative_right(shape):
    matrix, tangent = np.random.default_rng(0).normal(size=(2, *shape))
    with jax.enable_x64(True):
        factor, derivative = jax.jvp(numerics.polar_factor, (jnp.asarray(matrix),), (jnp.asarray(tangent),))
        step = 1e-6
        ahead, behind = (np.asarray(numerics.polar_factor(jnp.asarray(matrix + h * tangent))) for h in (step, -step))
    factor = np.asarray(factor)
    gram = factor.T @ factor if shape[0] >= shape[1] else factor @ factor.T
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-12)
    np.testing.assert_allclose(derivative, (ahead - behind) / (2 * step), atol=1e-8)


@pytest.mark.parametrize(
    "matrix", [np.eye(4), np.diag([2.0, 1, 1, 0]), np.zeros((4, 4))], ids=["repeated", "singular", "zero"]
)
def test_the_polar_factor_has_finite_gradients_where_u_and_v_have_none(matrix):
    weights = jnp.arange(16, dtype=jnp.float32).reshape(4, 4)
    gradient = jax.grad(lambda m: jnp.sum(weights * numerics.polar_factor(m)))(jnp.asarray(matrix, jnp.float32))
    assert np.isfinite(gradient).all()
