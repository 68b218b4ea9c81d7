"""Draws that reuse what does not change equal the measures computed afresh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from platonic_jax import metrics, statistics
from platonic_jax.analyses import _pairs

N, K = 90, 8
MEASURED = {
    "procrustes": metrics.procrustes,
    "cka": metrics.cka,
    "mutual_knn": lambda x, y: metrics.mutual_knn(x, y, num_neighbours=5),
    "mutual_knn_other_structures": lambda x, y: metrics.mutual_knn(
        x, y, num_neighbours=5, exclude=jnp.arange(len(x), dtype=jnp.int32) // 3
    ),
}


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, K)) + 2.0
    y = x @ rng.normal(size=(K, K)) + rng.normal(size=(N, K))
    return [jnp.asarray(cloud, jnp.float32) for cloud in (x, y, rng.normal(size=(N, K)))]


def lists(x, **options):
    """Neighbours, among all rows and among those of other structures of three rows."""
    structures = jnp.arange(len(x), dtype=jnp.int32) // 3
    return _pairs.neighbour_lists(x, structures, num_neighbours=5, key=jax.random.key(0), **options)


def prepared(clouds, weights=None):
    weights = jnp.ones(len(clouds[0]), jnp.float32) if weights is None else weights
    return [_pairs.make_cloud(x, lists(x), weights) for x in clouds]


PAIRS = ((0, 1), (0, 2), (1, 2))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_permuted_pair_is_the_measure_of_the_permuted_rows(clouds, seed):
    order = statistics.permutation(jax.random.key(seed), n=N, blocks=jnp.arange(N) // 3)  # Of whole structures.
    left = prepared(clouds)
    right = [_pairs.permuted(cloud, order) for cloud in left]
    found = _pairs.compared(left, right, PAIRS)
    for name, measure in MEASURED.items():
        expected = [measure(clouds[i], clouds[j][order]) for i, j in PAIRS]
        np.testing.assert_allclose(found[name], expected, atol=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_weighted_pair_is_the_measure_of_the_repeated_rows(clouds, seed):
    structures = jnp.arange(N) // 4
    key = jax.random.key(seed)
    index = statistics.resample_index(key, structures)
    weights = statistics.resample_weights(key, structures).astype(jnp.float32)
    np.testing.assert_array_equal(weights, np.bincount(index, minlength=N))
    loaded = [_pairs.weighted(cloud, weights) for cloud in prepared(clouds)]
    found = _pairs.compared(loaded, loaded, PAIRS, weights)
    for name in ("procrustes", "cka"):
        expected = [MEASURED[name](clouds[i][index], clouds[j][index]) for i, j in PAIRS]
        np.testing.assert_allclose(found[name], expected, atol=1e-5)
    # Neighbours are those of the whole cloud: the interval resamples the overlaps of rows.
    overlap = metrics.mutual_knn_rows(clouds[0], clouds[1], num_neighbours=5)
    assert found["mutual_knn"][0] == pytest.approx(float(jnp.mean(overlap[index])), abs=1e-6)


def test_rows_of_weight_zero_change_nothing(clouds):
    few = [x[:60] for x in clouds]
    expected = _pairs.compared(prepared(few), prepared(few), PAIRS, jnp.ones(60, jnp.float32))
    weights = jnp.asarray(np.arange(N) < 60, jnp.float32)
    among = [lists(x, among=weights > 0) for x in clouds]
    filled = [_pairs.make_cloud(x, nearest, weights) for x, nearest in zip(clouds, among, strict=True)]
    found = _pairs.compared(filled, filled, PAIRS, weights)
    for name in MEASURED:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_influences_are_slopes_by_the_weights_of_rows(clouds):
    a, b, _ = prepared(clouds)
    values, slopes = _pairs.influences(a, b, jnp.ones(N, jnp.float32))
    step = 0.05
    for row in (0, 17, 80):
        moved = []
        for sign in (1, -1):
            weights = jnp.ones(N, jnp.float32).at[row].add(sign * step)
            loaded = [_pairs.weighted(cloud, weights) for cloud in (a, b)]
            moved.append(_pairs.compared(loaded, loaded, ((0, 1),), weights))
        for name, slope in slopes.items():
            difference = (moved[0][name][0] - moved[1][name][0]) / (2 * step)
            assert slope[row] == pytest.approx(float(difference), abs=2e-5), name
    for name, measure in MEASURED.items():
        assert values[name] == pytest.approx(float(measure(clouds[0], clouds[1])), abs=1e-5)


def test_the_error_from_influences_is_the_spread_of_the_bootstrap():
    rng = np.random.default_rng(3)
    n = 1200
    shift = np.repeat(rng.normal(size=(n // 4, 4)), 4, axis=0)
    x = jnp.asarray(shift + rng.normal(size=(n, 4)), jnp.float32)
    y = jnp.asarray(np.asarray(x) + 1.5 * np.repeat(rng.normal(size=(n // 4, 4)), 4, axis=0), jnp.float32)
    structures = jnp.arange(n) // 4
    a, b = prepared([x, y])
    _, slopes = _pairs.influences(a, b, jnp.ones(n, jnp.float32))

    def draw(key):
        weights = statistics.resample_weights(key, structures).astype(jnp.float32)
        loaded = [_pairs.weighted(cloud, weights) for cloud in (a, b)]
        return _pairs.compared(loaded, loaded, ((0, 1),), weights)

    draws = jax.lax.map(draw, jax.random.split(jax.random.key(0), 400))
    for name, slope in slopes.items():
        error = statistics.cluster_error(slope, clusters=structures)
        assert float(error) == pytest.approx(float(jnp.std(draws[name])), rel=0.15), name
        assert float(statistics.cluster_error(slope, clusters=jnp.arange(n))) < float(error)


def test_only_what_is_asked_for_is_computed(clouds):
    left = prepared(clouds)
    assert set(_pairs.compared(left, left, PAIRS, jnp.ones(N, jnp.float32), measures=("cka",))) == {"cka"}
