import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import Birch, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from platonic_jax import anchors, testing
from platonic_jax.anchors import _direct

X = np.asarray(testing.make_cloud(jax.random.key(0), n=2000, p=8, num_elements=30).x)


def direct(x, k, mode="fixed"):
    rows = np.asarray(anchors.direct(jnp.asarray(x), k, mode=mode))
    assert rows.dtype == np.int32
    return rows


def mean_distance_to_anchors(x, anchor_rows):
    return np.sqrt(np.min(np.sum((x[:, None] - anchor_rows[None]) ** 2, axis=2), axis=1)).mean()


def test_it_takes_one_row_from_each_of_well_separated_clusters():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 12, 1500)
    x = (rng.normal(size=(12, 8))[label] + 1e-3 * rng.normal(size=(1500, 8))).astype(np.float32)
    assert sorted(label[direct(x, 12)]) == list(range(12))


def test_it_takes_the_row_nearest_to_the_true_centroid():
    """Two clusters on a line, with the same number of rows: the centroids can be told without any method."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-1, 1, 301), 50 + rng.uniform(-1, 1, 301)])
    expected = [np.argmin(np.abs(x[half] - x[half].mean())) + half.start for half in (slice(0, 301), slice(301, 602))]
    assert sorted(direct(x[:, None].astype(np.float32), 2)) == expected


def test_it_does_not_see_scales_and_offsets_of_columns():
    x = np.round(X * 1024) / 1024  # Exact after scaling and moving too.
    np.testing.assert_array_equal(direct(x, 50), direct(x * 2.0 ** np.arange(8, dtype=np.float32) + 32, 50))


def test_it_covers_the_cloud_as_k_means_does_and_better_than_chance():
    x = _direct._reduced(X)
    centres = MiniBatchKMeans(50, random_state=0, n_init=3).fit(x).cluster_centers_
    nearest = np.array([np.argmin(np.sum((x - centre) ** 2, axis=1)) for centre in centres])
    by_chance = np.mean(
        [
            mean_distance_to_anchors(x, x[np.random.default_rng(seed).choice(2000, 50, replace=False)])
            for seed in range(5)
        ]
    )
    covered = mean_distance_to_anchors(x, x[direct(X, 50)])
    assert covered < 1.02 * mean_distance_to_anchors(x, x[nearest])
    assert covered < 0.9 * by_chance


def test_the_threshold_is_bisected_until_there_are_enough_subclusters_and_not_too_many():
    rows = _direct._reduced(X)
    for wanted, most in ((10, 40), (200, 400), (1900, 2000)):
        _, centres = _direct._bisected(rows, 0.3, 3.0, fewest=wanted, most=most)
        assert wanted <= len(centres) <= most


expecting_too_few_subclusters = pytest.mark.filterwarnings(
    "ignore:Number of subclusters found:sklearn.exceptions.ConvergenceWarning"
)


def maml_reference(x, k):
    """maml's DIRECTSampler(structure_encoder=None, BirchClustering(k, 0.3), SelectKFromClusters(1)), written out."""
    scaled = StandardScaler().fit_transform(x)
    pca = PCA().fit(scaled)
    kept = len([e for e in pca.explained_variance_ if e > 1])
    features = pca.transform(scaled)[:, :kept] * pca.explained_variance_ratio_[:kept]
    threshold = 0.3
    model = Birch(n_clusters=k, threshold=threshold).fit(features)
    while len(set(model.subcluster_labels_)) < k:
        threshold = threshold / k * len(set(model.subcluster_labels_))
        model = Birch(n_clusters=k, threshold=threshold).fit(features)
    labels = model.predict(features)
    centre_of = dict(zip(model.subcluster_labels_, model.subcluster_centers_, strict=True))
    selected = []
    for label in set(labels):
        members = np.where(label == labels)[0]
        distance = np.linalg.norm(features[members] - centre_of[label], axis=1)
        selected.append(members[np.argpartition(distance, [0])[[0]]][0])
    return np.array(selected), threshold


@expecting_too_few_subclusters
@pytest.mark.parametrize(("k", "p"), [(5, 8), (100, 8), (60, 24)])
@pytest.mark.parametrize("seed", [0, 1])
def test_mode_maml_takes_the_rows_that_maml_takes(k, p, seed):
    x = np.asarray(testing.make_cloud(jax.random.key(seed), n=1000, p=p, num_elements=30).x)
    x = np.concatenate([x, x[:100]])  # Symmetry-equivalent atoms have equal rows.
    expected, threshold = maml_reference(x, k)
    assert (threshold < 0.3) == (k > 5)
    np.testing.assert_array_equal(direct(x, k, "maml"), expected)
    assert len(np.setdiff1d(expected, direct(x, k))) > 0


@expecting_too_few_subclusters
def test_mode_maml_may_give_fewer_rows_as_maml_does():
    """The centres of subclusters drift as rows arrive, and may leave one to which no row is nearest."""
    x = np.random.default_rng(38).normal(size=(300, 2)).astype(np.float32)
    expected, _ = maml_reference(x, 100)
    assert len(expected) == 99
    np.testing.assert_array_equal(direct(x, 100, "maml"), expected)


def test_mode_maml_says_where_maml_would_fail(monkeypatch):
    with pytest.raises(ValueError, match=r"3 subclusters at some threshold, got 2 .* use `mode=\"fixed\"`"):
        direct(np.repeat([[0.0], [1.0]], 20, axis=0).astype(np.float32), 3, "maml")
    with pytest.raises(ValueError, match=r"component of variance above 1 for maml, got none: use `mode=\"fixed\"`"):
        direct(np.ones((30, 3), np.float32), 10, "maml")
    monkeypatch.setattr(_direct, "_MAML_MOST", 1000)
    with pytest.raises(ValueError, match=r"at most 1000 subclusters .*: use `mode=\"fixed\"`"):
        direct(X, 999, "maml")


def test_an_unknown_mode_is_named(as_users_call):
    with pytest.raises(ValueError, match="`mode` must be one of 'fixed', 'maml', got 'best'"):
        direct(X, 3, "best")
