import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans

from platonic_jax import anchors, testing

KEY = jax.random.key(0)
CLOUD = testing.make_cloud(KEY, n=2000, p=8, num_elements=30)
X = np.asarray(CLOUD.x)

METHODS = {
    "random": lambda x, k: anchors.random(x, k, key=KEY),
    "farthest_point": lambda x, k: anchors.farthest_point(x, k, key=KEY),
    "kmeans": lambda x, k: anchors.kmeans(x, k, key=KEY),
    "direct": anchors.direct,
}
with_every_method = pytest.mark.parametrize("choose", METHODS.values(), ids=METHODS.keys())


def distances(x, anchor_rows):
    return np.sqrt(np.min(np.sum((x[:, None] - anchor_rows[None]) ** 2, axis=2), axis=1))


@with_every_method
def test_anchors_are_different_rows(choose):
    rows = choose(CLOUD.x, 100)
    assert rows.dtype == jnp.int32
    assert len(set(rows.tolist())) == 100
    assert rows.min() >= 0
    assert rows.max() < 2000
    np.testing.assert_array_equal(rows, choose(CLOUD.x, 100))


@with_every_method
def test_all_rows_can_be_anchors_and_no_more(choose):
    x = CLOUD.x[:20]
    np.testing.assert_array_equal(np.sort(choose(x, 20)), np.arange(20))
    with pytest.raises(ValueError, match="`k` must be at most the number of rows n = 20, got 21: choose fewer anchors"):
        choose(x, 21)
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        choose(x, 0)


@with_every_method
def test_copies_fill_the_places_where_there_are_fewer_distinct_rows(choose):
    x = jnp.repeat(CLOUD.x[:6], 50, axis=0)
    rows = choose(x, 20)
    assert len(set(rows.tolist())) == 20
    if choose is not METHODS["random"]:
        assert len(np.unique(x[rows], axis=0)) == 6
    assert len(set(choose(jnp.ones((30, 3)), 10).tolist())) == 10


@pytest.mark.parametrize("method", [anchors.random, anchors.farthest_point, anchors.kmeans])
def test_a_raw_key_is_refused(method, as_users_call):
    with pytest.raises(TypeError, match="`key` must be a typed key"):
        method(CLOUD.x, 3, key=jnp.zeros(2, jnp.uint32))


def test_random_anchors_depend_on_the_key_alone():
    rows = anchors.random(CLOUD.x, 100, key=KEY)
    np.testing.assert_array_equal(rows, anchors.random(0 * CLOUD.x, 100, key=KEY))
    assert set(rows.tolist()) != set(anchors.random(CLOUD.x, 100, key=jax.random.key(1)).tolist())


def test_random_anchors_take_every_row_alike():
    draw = jax.vmap(lambda key: anchors.random(CLOUD.x[:20], 5, key=key))
    chosen = np.bincount(np.asarray(draw(jax.random.split(KEY, 2000))).ravel(), minlength=20)
    expected, deviation = 500, np.sqrt(2000 * 0.25 * 0.75)
    assert (np.abs(chosen - expected) < 4 * deviation).all()


@pytest.mark.parametrize("seed", range(5))
def test_farthest_points_reach_every_row_within_twice_the_optimum(seed):
    x = testing.make_cloud(jax.random.key(seed), n=14, p=2).x
    rows = np.asarray(anchors.farthest_point(x, 3, key=jax.random.key(seed)))
    x = np.asarray(x)
    optimum = min(distances(x, x[list(three)]).max() for three in itertools.combinations(range(14), 3))
    assert optimum <= distances(x, x[rows]).max() <= 2 * optimum


def test_each_farthest_point_is_the_farthest_from_all_before_it():
    rows = np.asarray(anchors.farthest_point(CLOUD.x, 10, key=KEY))
    for i in range(1, 10):
        assert rows[i] == np.argmax(distances(X, X[rows[:i]]))
    np.testing.assert_array_equal(rows[:4], anchors.farthest_point(CLOUD.x, 4, key=KEY))


def test_farthest_points_are_the_same_under_vmap_and_far_from_the_origin():
    rows = anchors.farthest_point(CLOUD.x, 10, key=KEY)
    batched = jax.vmap(lambda key: anchors.farthest_point(CLOUD.x, 10, key=key))(jax.random.split(KEY, 3))
    np.testing.assert_array_equal(batched[1], anchors.farthest_point(CLOUD.x, 10, key=jax.random.split(KEY, 3)[1]))
    on_a_grid = jnp.round(CLOUD.x * 256) / 256  # Differences of such rows are exact, wherever they are.
    rows = anchors.farthest_point(on_a_grid, 10, key=KEY)
    np.testing.assert_array_equal(rows, anchors.farthest_point(on_a_grid + 1024, 10, key=KEY))


def test_k_means_takes_the_row_nearest_to_each_centroid_of_separated_clusters():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 6, 600)
    x = (20 * rng.normal(size=(6, 4))[label] + rng.normal(size=(600, 4))).astype(np.float32)
    centroids = np.array([x[label == i].mean(axis=0) for i in range(6)])
    expected = [np.argmin(np.sum((x - centroid) ** 2, axis=1)) for centroid in centroids]
    assert sorted(anchors.kmeans(jnp.asarray(x), 6, key=KEY).tolist()) == sorted(expected)


def test_k_means_covers_the_cloud_as_scikit_learn_does_and_better_than_chance():
    reference = MiniBatchKMeans(50, random_state=0, n_init=3).fit(X).cluster_centers_
    nearest = np.array([np.argmin(np.sum((X - centre) ** 2, axis=1)) for centre in reference])
    covered = distances(X, X[anchors.kmeans(CLOUD.x, 50, key=KEY)]).mean()
    assert covered < 1.05 * distances(X, X[nearest]).mean()
    assert covered < 0.9 * distances(X, X[anchors.random(CLOUD.x, 50, key=KEY)]).mean()


def first_rows(x, k):
    return jnp.arange(k)


def places(k, species):
    rows = anchors.stratified(first_rows, jnp.zeros((len(species), 1)), k, groups=np.asarray(species))
    assert len(set(rows.tolist())) == k
    return np.unique(np.asarray(species)[rows], return_counts=True)


@pytest.mark.parametrize("k", [3, 4, 17, 60, 111])
def test_every_element_gets_a_place_and_the_others_in_proportion(k):
    species = [1] + 10 * [8] + 100 * [26]
    elements, count = places(k, species)
    assert elements.tolist() == [1, 8, 26]
    assert count[0] == 1
    proportion = (k - 3) * np.array([9, 99]) / 108
    assert (np.abs(count[1:] - 1 - proportion) < 1).all()


def test_with_fewer_places_than_elements_the_common_ones_get_them():
    elements, count = places(2, [1] + 10 * [8] + 100 * [26] + 90 * [40])
    assert elements.tolist() == [26, 40]
    assert count.tolist() == [1, 1]


@with_every_method
def test_a_stratified_method_chooses_within_each_element_as_it_would_alone(choose):
    species = np.asarray(CLOUD.species) % 3
    rows = anchors.stratified(lambda x, k: choose(x, k), CLOUD.x, 30, groups=species)
    assert rows.dtype == jnp.int32
    for element in range(3):
        members = np.flatnonzero(species == element)
        ours = np.asarray(rows)[species[rows] == element]
        np.testing.assert_array_equal(ours, members[choose(CLOUD.x[members], len(ours))])


def test_every_element_has_randomness_of_its_own_and_settings_reach_the_method():
    x, species = jnp.zeros((40, 1)), np.repeat([1, 2], 20)
    first, second = anchors.stratified(anchors.random, x, 20, groups=species, key=KEY).reshape(2, 10)
    assert set(first.tolist()) != set((second - 20).tolist())
    with pytest.raises(ValueError, match="`mode` must be one of 'fixed', 'maml', got 'other'"):
        anchors.stratified(anchors.direct, x, 20, groups=species, mode="other")
