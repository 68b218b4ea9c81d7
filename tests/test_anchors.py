import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans

from platonic_jax import anchors, testing

CLOUD = testing.make_cloud(jax.random.key(0), n=2000, p=8, num_elements=30)
X = np.asarray(CLOUD.x)


def direct(x, k):
    rows = np.asarray(anchors.direct(jnp.asarray(x), k))
    assert rows.dtype == np.int32
    assert len(set(rows.tolist())) == k
    return rows


def mean_distance_to_anchors(x, anchor_rows):
    return np.sqrt(np.min(np.sum((x[:, None] - anchor_rows[None]) ** 2, axis=2), axis=1)).mean()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_anchors_are_different_rows_and_depend_on_the_key_alone(seed):
    rows = np.asarray(anchors.random(CLOUD.x, 100, key=jax.random.key(seed)))
    assert len(set(rows.tolist())) == 100
    assert rows.min() >= 0
    assert rows.max() < 2000
    np.testing.assert_array_equal(rows, anchors.random(0 * CLOUD.x, 100, key=jax.random.key(seed)))
    assert set(rows.tolist()) != set(np.asarray(anchors.random(CLOUD.x, 100, key=jax.random.key(seed + 1))).tolist())


def test_random_anchors_take_every_row_alike():
    draw = jax.vmap(lambda key: anchors.random(CLOUD.x[:20], 5, key=key))
    chosen = np.bincount(np.asarray(draw(jax.random.split(jax.random.key(0), 2000))).ravel(), minlength=20)
    expected, deviation = 500, np.sqrt(2000 * 0.25 * 0.75)
    assert (np.abs(chosen - expected) < 4 * deviation).all()


def test_all_rows_can_be_anchors_and_no_more():
    x = jnp.asarray(X[:20])
    for rows in (anchors.random(x, 20, key=jax.random.key(0)), anchors.direct(x, 20)):
        np.testing.assert_array_equal(np.sort(rows), np.arange(20))
    for choose in (lambda: anchors.random(x, 21, key=jax.random.key(0)), lambda: anchors.direct(x, 21)):
        with pytest.raises(
            ValueError, match="`k` must be at most the number of rows n = 20, got 21: choose fewer anchors"
        ):
            choose()
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        anchors.direct(x, 0)


def test_a_raw_key_is_refused(as_users_call):
    with pytest.raises(TypeError, match="`key` must be a typed key"):
        anchors.random(CLOUD.x, 3, key=jnp.zeros(2, jnp.uint32))


def test_direct_takes_one_row_from_each_of_well_separated_clusters():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 12, 1500)
    x = (rng.normal(size=(12, 8))[label] + 1e-3 * rng.normal(size=(1500, 8))).astype(np.float32)
    assert sorted(label[direct(x, 12)]) == list(range(12))


def test_direct_takes_the_row_nearest_to_the_true_centroid():
    """Two clusters on a line, with the same number of rows: the centroids can be told without any method."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-1, 1, 301), 50 + rng.uniform(-1, 1, 301)])
    expected = [np.argmin(np.abs(x[half] - x[half].mean())) + half.start for half in (slice(0, 301), slice(301, 602))]
    assert sorted(direct(x[:, None].astype(np.float32), 2)) == expected


def test_direct_is_deterministic_and_does_not_see_scales_and_offsets_of_columns():
    rows = direct(X, 50)
    np.testing.assert_array_equal(rows, direct(X, 50))
    np.testing.assert_array_equal(rows, direct(X * 4 + 2, 50))


def test_direct_covers_the_cloud_nearly_as_k_means_does_and_better_than_chance():
    x = anchors._reduced(X)
    centres = MiniBatchKMeans(50, random_state=0, n_init=3).fit(x).cluster_centers_
    nearest = np.array([np.argmin(np.sum((x - centre) ** 2, axis=1)) for centre in centres])
    by_chance = np.mean(
        [
            mean_distance_to_anchors(x, x[np.random.default_rng(seed).choice(2000, 50, replace=False)])
            for seed in range(5)
        ]
    )
    covered = mean_distance_to_anchors(x, x[direct(X, 50)])
    assert covered < 1.15 * mean_distance_to_anchors(x, x[nearest])
    assert covered < 0.9 * by_chance


def test_direct_gives_k_rows_also_of_fewer_distinct_ones():
    x = np.repeat(X[:6], 50, axis=0)
    rows = direct(x, 20)
    assert len(np.unique(x[rows], axis=0)) == 6
    assert len(direct(np.ones((30, 3), np.float32), 10)) == 10


def test_the_threshold_is_bisected_until_the_subclusters_can_be_linked():
    rows = anchors._reduced(X)
    for wanted, most in ((10, 40), (200, 400), (1900, 2000)):
        _, centres = anchors._bisected(rows, 0.3, 3.0, fewest=wanted, most=most)
        assert wanted <= len(centres) <= most
