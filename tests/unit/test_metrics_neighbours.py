import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from platonic_jax import metrics, numerics, testing

X = np.asarray(testing.make_cloud(jax.random.key(0)).x)
Y = np.asarray(testing.noisy(jnp.asarray(X), noise=0.5, key=jax.random.key(1)))


def test_it_agrees_with_scikit_learn():
    expected_of = lambda x, metric: NearestNeighbors(n_neighbors=10, metric=metric).fit(x).kneighbors()[1]
    for metric, name in (("cosine", "cosine"), ("l2", "euclidean")):
        lists = zip(expected_of(X, name), expected_of(Y, name), strict=True)
        expected = [len(set(a) & set(b)) / 10 for a, b in lists]
        rows = metrics.mutual_knn_rows(jnp.asarray(X), jnp.asarray(Y), metric=metric)
        np.testing.assert_allclose(rows, expected, atol=1e-6)
        assert rows.dtype == jnp.float32
        value = metrics.mutual_knn(jnp.asarray(X), jnp.asarray(Y), metric=metric)
        assert value == pytest.approx(np.mean(expected), abs=1e-6)


def test_overlap_counts_neighbours_whatever_their_order():
    x, y = jnp.array([[1, 2, 3], [0, 2, 3]]), jnp.array([[3, 1, 9], [5, 6, 7]])
    np.testing.assert_allclose(metrics.neighbour_overlap(x, y), [2 / 3, 0], atol=1e-6)


def test_empty_places_are_never_shared():
    x, y = jnp.array([[1, 2, -1], [-1, -1, -1]]), jnp.array([[2, -1, -1], [-1, -1, -1]])
    np.testing.assert_allclose(metrics.neighbour_overlap(x, y), [1 / 3, 0], atol=1e-6)
    moved = metrics.permuted_neighbours(jnp.array([[1, -1], [2, 0], [-1, -1]]), jnp.array([2, 0, 1]))
    np.testing.assert_array_equal(moved, [[-1, -1], [2, -1], [0, 1]])


def test_neighbours_of_other_structures_alone_agree_with_brute_force():
    structure, weights = np.repeat(np.arange(12), 5), np.linspace(1, 2, 60).astype(np.float32)

    def lists(x):
        distance = np.linalg.norm(x[:, None].astype(float) - x[None], axis=2)
        distance[structure[:, None] == structure] = np.inf
        return np.argsort(distance, axis=1)[:, :6]

    pairs = zip(lists(X), lists(Y), strict=True)
    expected = np.array([len(set(a) & set(b)) / 6 for a, b in pairs])
    settings = {"num_neighbours": 6, "metric": "l2", "exclude": jnp.asarray(structure)}
    np.testing.assert_allclose(metrics.mutual_knn_rows(jnp.asarray(X), jnp.asarray(Y), **settings), expected, atol=1e-6)
    value = metrics.mutual_knn(jnp.asarray(X), jnp.asarray(Y), weights=jnp.asarray(weights), **settings)
    assert value == pytest.approx(np.average(expected, weights=weights), abs=1e-6)


def element_alone(seed, n=600):
    """Two embeddings that are one random vector per element, and the share of neighbours that chance gives them."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, 13)
    species = rng.choice(12, size=n, p=share / share.sum())
    size = np.bincount(species, minlength=12)
    # Of the size − 1 others of an element, all equally near, either list holds ten: a hypergeometric overlap.
    expected = np.sum(size * np.minimum(1, 10 / np.maximum(size - 1, 1))) / n
    return *(jnp.asarray(v[species], jnp.float32) for v in rng.normal(size=(2, 12, 16))), expected


def test_ties_create_no_agreement():
    x, y, expected = element_alone(0)
    keys = jax.random.split(jax.random.key(0), 12)
    values = jax.vmap(lambda key: metrics.mutual_knn(x, y, key=key))(keys)
    assert expected < 0.25
    assert np.mean(values) == pytest.approx(expected, abs=0.03)
    assert metrics.mutual_knn(x, y) == pytest.approx(expected, abs=0.1)
    assert metrics.mutual_knn(x, x) == pytest.approx(expected, abs=0.1)
    assert abs(metrics.cknna(x, y)) < 0.4
    assert metrics.mutual_knn(x, y) == metrics.mutual_knn(x, y)


def test_ranks_of_coinciding_rows_are_shared():
    """Nearest in x is the next row; in y the rows are all at distance 0 or all at the same distance above it."""
    half = jnp.repeat(jnp.array([0.0, 1.0], jnp.float32), 30)[:, None]
    line = jnp.arange(60, dtype=jnp.float32)[:, None]
    rows = np.asarray(metrics.information_imbalance_rows(line, half))
    np.testing.assert_allclose(np.delete(rows, [29, 30]), 2 / 60 * 15, atol=1e-6)  # Ranks 1 to 29.
    x, y, _ = element_alone(0)
    assert metrics.information_imbalance(x, y) > 0.1


@pytest.mark.parametrize("measure", [metrics.mutual_knn, metrics.cknna, metrics.information_imbalance])
def test_what_is_not_defined_is_nan(measure):
    measure = jax.jit(measure)
    x, y = jnp.asarray(X), jnp.asarray(Y)
    nan, ones = jnp.full_like(x, jnp.nan), jnp.ones_like(x)
    for a, b in (
        (nan, nan),
        (x.at[7].set(jnp.nan), y),
        (x, y.at[7, 0].set(jnp.inf)),
        (ones, 0 * x),
        (x, ones),
        (ones, y),
    ):
        assert np.isnan(measure(a, b))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_permuting_neighbours_is_searching_among_permuted_rows(seed):
    order = jax.random.permutation(jax.random.key(seed), 60)
    index, _ = numerics.neighbours(jnp.asarray(Y), num_neighbours=10)
    searched, _ = numerics.neighbours(jnp.asarray(Y)[order], num_neighbours=10)
    np.testing.assert_array_equal(metrics.permuted_neighbours(index, order), searched)


def test_unrelated_clouds_share_neighbours_by_chance():
    x, y = jax.random.normal(jax.random.key(0), (2, 300, 6))
    assert metrics.mutual_knn(x, y) == pytest.approx(10 / 299, abs=0.01)


def direct_cknna(x, y, k, *, cosine):
    """From the n × n matrices of the definition, in float64."""
    n = len(x)

    def kernel(x):
        x = x.astype(np.float64)
        x = x / np.linalg.norm(x, axis=1, keepdims=True) if cosine else x
        return x @ x.T

    def mask(kernel):
        order = np.argsort(np.diag(np.full(n, np.inf)) - kernel, axis=1, kind="stable")[:, :k]
        marked = np.zeros((n, n))
        np.put_along_axis(marked, order, 1, axis=1)
        return marked

    def hsic(k, l):
        ones = np.ones(n)
        rest = k.sum() * l.sum() / (n - 1) / (n - 2) - 2 * ones @ k @ l @ ones / (n - 2)
        return (np.trace(k @ l) + rest) / n / (n - 3)

    k_x, k_y = kernel(x), kernel(y)
    m_x, m_y = mask(k_x), mask(k_y)
    between, of_x, of_y = (hsic(m * k, m * l) for m, k, l in ((m_x * m_y, k_x, k_y), (m_x, k_x, k_x), (m_y, k_y, k_y)))
    return between / np.sqrt(of_x * of_y)


@pytest.mark.parametrize("k", [2, 10, 59])
@pytest.mark.parametrize("metric", ["cosine", "inner"])
def test_cknna_agrees_with_its_definition(metric, k):
    x, y = X + 1, Y - 0.5
    value = metrics.cknna(jnp.asarray(x), jnp.asarray(y), num_neighbours=k, metric=metric)
    assert value == pytest.approx(direct_cknna(x, y, k, cosine=metric == "cosine"), abs=1e-5, nan_ok=True)
    rows = metrics.cknna_rows(jnp.asarray(x), jnp.asarray(y), num_neighbours=k, metric=metric, batch_size=7)
    np.testing.assert_allclose(np.mean(rows), value, atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_cknna_of_unrelated_clouds_is_their_share_of_common_neighbours(seed):
    x, y = jax.random.normal(jax.random.key(seed), (2, 300, 6))
    assert metrics.cknna(x, y) == pytest.approx(10 / 299, abs=0.02)


def direct_ranks(x):
    """Rank of every row j from every row i, 1 for the nearest, self infinitely far; lower indices first."""
    distance = np.linalg.norm(x[:, None].astype(np.float64) - x[None], axis=2) + np.diag(np.full(len(x), np.inf))
    return np.argsort(np.argsort(distance, axis=1, kind="stable"), axis=1) + 1


@pytest.mark.parametrize("k", [1, 4])
def test_information_imbalance_agrees_with_its_definition(k):
    ranks_x, ranks_y = direct_ranks(X), direct_ranks(Y)
    conditional = np.array([r_y[r_x <= k] for r_x, r_y in zip(ranks_x, ranks_y, strict=True)])
    rows = metrics.information_imbalance_rows(jnp.asarray(X), jnp.asarray(Y), num_neighbours=k, batch_size=7)
    np.testing.assert_allclose(rows, conditional.mean(axis=1) * 2 / 60, atol=1e-6)
    value = metrics.information_imbalance(jnp.asarray(X), jnp.asarray(Y), num_neighbours=k)
    assert value == pytest.approx(conditional.mean() / 30, abs=1e-6)


def test_information_imbalance_tells_which_cloud_knows_more():
    x = jax.random.normal(jax.random.key(0), (300, 4))
    part = x[:, :2]
    assert metrics.information_imbalance(x, part) < metrics.information_imbalance(part, x) - 0.2
    assert metrics.information_imbalance(x, x, num_neighbours=3) == pytest.approx(4 / 300)
    unrelated = jax.random.normal(jax.random.key(1), (300, 4))
    assert metrics.information_imbalance(x, unrelated) == pytest.approx(1, abs=0.15)


def test_cknna_has_the_gradient_of_finite_differences():
    with jax.enable_x64(True):
        x, y = jnp.asarray(X[:12], jnp.float64), jnp.asarray(Y[:12], jnp.float64)
        fn = jax.jit(lambda x, y: metrics.cknna(jnp.asarray(x), jnp.asarray(y), num_neighbours=3))
        jax.test_util.check_grads(fn, (x, y), order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


def test_cknna_has_finite_gradients_at_coinciding_and_at_zero_rows():
    coinciding, with_zeros = np.repeat(X[:30], 2, axis=0), X * (np.arange(60) > 9)[:, None]
    gradient = jax.jit(jax.grad(metrics.cknna, argnums=(0, 1)))
    for x, y in ((coinciding, coinciding), (with_zeros, Y), (with_zeros, with_zeros), (np.pad(X, ((0, 0), (0, 2))), Y)):
        assert all(np.isfinite(g).all() for g in gradient(jnp.asarray(x), jnp.asarray(y)))


def test_faults_are_named(as_users_call):
    x = jnp.asarray(X)
    with pytest.raises(ValueError, match="`metric` must be one of 'cosine', 'inner', got 'l2'"):
        metrics.cknna(x, x, metric="l2")
    with pytest.raises(ValueError, match="`num_neighbours` must be at least 2, got 1"):
        metrics.cknna(x, x, num_neighbours=1)
    for measure in (metrics.cknna, metrics.information_imbalance):
        with pytest.raises(ValueError, match="`x` and `y` must have the same rows, got 60 and 59"):
            measure(x, x[1:])


def test_more_neighbours_than_rows_are_refused():
    with pytest.raises(ValueError, match="`num_neighbours` must be at most the number of other rows, n − 1 = 5, got"):
        metrics.mutual_knn(jnp.asarray(X[:6]), jnp.asarray(Y[:6]))
