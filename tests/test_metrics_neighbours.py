import jax
import jax.numpy as jnp
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


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_permuting_neighbours_is_searching_among_permuted_rows(seed):
    order = jax.random.permutation(jax.random.key(seed), 60)
    index, _ = numerics.neighbours(jnp.asarray(Y), k=10)
    searched, _ = numerics.neighbours(jnp.asarray(Y)[order], k=10)
    np.testing.assert_array_equal(metrics.permuted_neighbours(index, order), searched)


def test_unrelated_clouds_share_neighbours_by_chance():
    x, y = jax.random.normal(jax.random.key(0), (2, 300, 6))
    assert metrics.mutual_knn(x, y) == pytest.approx(10 / 299, abs=0.01)


def test_more_neighbours_than_rows_are_refused():
    with pytest.raises(ValueError, match="`k` must be at most the number of other rows, n − 1 = 5, got 10"):
        metrics.mutual_knn(jnp.asarray(X[:6]), jnp.asarray(Y[:6]))
