import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from platonic_jax import statistics

RNG = np.random.default_rng(0)


def correlation(x, y):
    return jnp.corrcoef(x[:, 0], y[:, 0])[0, 1]


def data(n=40, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(2, n, 1)), jnp.float32)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_permutation_within_groups_keeps_every_row_in_its_group(seed):
    groups = RNG.integers(0, 5, 200) * 7 - 3
    order = np.asarray(statistics.permutation(jax.random.key(seed), n=200, groups=jnp.asarray(groups)))
    np.testing.assert_array_equal(np.sort(order), np.arange(200))
    np.testing.assert_array_equal(groups[order], groups)
    assert (order != np.arange(200)).sum() > 100


def test_permutations_within_groups_are_uniform():
    groups = jnp.array([1, 0, 1, 0, 1])
    draw = jax.vmap(lambda key: statistics.permutation(key, n=5, groups=groups))
    orders = np.asarray(draw(jax.random.split(jax.random.key(0), 6000)))
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6 * 2
    assert stats.chisquare(counts).pvalue > 1e-3


def test_draws_depend_neither_on_their_number_nor_on_the_block():
    x, y = data()
    run = lambda num, batch_size: statistics.null_distribution(
        lambda order: correlation(x, y[order]), n=40, num_permutations=num, key=jax.random.key(3), batch_size=batch_size
    )
    all_draws = np.asarray(run(23, 1))
    np.testing.assert_allclose(run(10, 4), all_draws[:10], atol=1e-6)
    resample = lambda num, batch_size: statistics.bootstrap(
        correlation,
        x,
        y,
        clusters=jnp.arange(40) // 4,
        num_bootstraps=num,
        key=jax.random.key(3),
        batch_size=batch_size,
    )
    np.testing.assert_allclose(resample(10, 4).draws, resample(23, 1).draws[:10], atol=1e-6)
    assert len(np.unique(all_draws)) == 23


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_p_values_are_uniform_under_the_null(seed):
    x, y = jnp.asarray(np.random.default_rng(seed).normal(size=(2, 200, 20, 1)), jnp.float32)
    groups = jnp.arange(20) % 2
    test = lambda x, y, key: statistics.permutation_test(
        correlation, x, y, groups=groups, num_permutations=39, key=key
    ).p_value
    p_values = jax.jit(jax.vmap(test))(x, y, jax.random.split(jax.random.key(seed), 200))
    assert stats.kstest(np.asarray(p_values), stats.uniform(0, 1).cdf).pvalue > 1e-3


def test_the_p_value_counts_the_given_pairing():
    x, y = data()
    paired = statistics.permutation_test(correlation, x, x, num_permutations=19, key=jax.random.key(0))
    assert paired.value == pytest.approx(1)
    assert paired.null.shape == (19,)
    assert paired.p_value == pytest.approx(1 / 20)
    less = statistics.permutation_test(
        correlation, x, x, num_permutations=19, key=jax.random.key(0), alternative="less"
    )
    assert less.p_value == 1
    greater = statistics.permutation_test(correlation, x, y, num_permutations=19, key=jax.random.key(0))
    assert greater.p_value == pytest.approx((1 + np.sum(np.asarray(greater.null) >= float(greater.value))) / 20)
    undefined = statistics.permutation_test(correlation, x * jnp.nan, y, num_permutations=19, key=jax.random.key(0))
    assert np.isnan(undefined.p_value)


def test_the_null_within_groups_sees_through_agreement_on_the_groups_alone():
    groups = np.arange(60) % 3
    x, y = jnp.asarray(groups[None, :, None] + 0.1 * RNG.normal(size=(2, 60, 1)), jnp.float32)
    everywhere, within = (
        statistics.permutation_test(correlation, x, y, groups=g, num_permutations=99, key=jax.random.key(0)).p_value
        for g in (None, jnp.asarray(groups))
    )
    assert everywhere == pytest.approx(0.01)
    assert within > 0.05


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_resample_is_made_of_whole_clusters(seed):
    clusters = np.repeat(RNG.permutation(12), RNG.integers(1, 9, 12))
    shuffled = RNG.permutation(len(clusters))
    index = np.asarray(statistics.resample_index(jax.random.key(seed), jnp.asarray(clusters[shuffled])))
    assert len(index) == len(clusters)
    label, position = clusters[shuffled][index], 0
    while position < len(index):
        rows = np.flatnonzero(clusters[shuffled] == label[position])
        taken = index[position : position + len(rows)]
        np.testing.assert_array_equal(taken, rows[: len(taken)])  # Cut short only at the end.
        position += len(rows)


def test_one_cluster_has_nothing_to_say_about_the_spread():
    x, _ = data()
    result = statistics.bootstrap(
        jnp.mean, x, clusters=jnp.zeros(40, jnp.int32), num_bootstraps=5, key=jax.random.key(0)
    )
    assert result.low == result.high == result.value


def test_the_interval_of_a_mean_is_that_of_the_classical_cluster_bootstrap():
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 12, 80)
    clusters = np.repeat(np.arange(80), sizes)
    values = (rng.normal(size=80)[clusters] + 0.3 * rng.normal(size=len(clusters))).astype(np.float32)
    sums = np.bincount(clusters, values)
    drawn = rng.integers(0, 80, (4000, 80))
    expected = np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [0.05, 0.95])
    result = statistics.bootstrap(
        jnp.mean,
        jnp.asarray(values),
        clusters=jnp.asarray(clusters),
        num_bootstraps=2000,
        key=jax.random.key(0),
        level=0.9,
        batch_size=100,
    )
    width = expected[1] - expected[0]
    np.testing.assert_allclose([result.low, result.high], expected, atol=0.06 * width)
    row_by_row = 2 * 1.645 * values.std() / np.sqrt(len(values))
    assert width > 1.5 * row_by_row
    assert result.value == pytest.approx(values.mean(), abs=1e-6)


def test_faults_are_named(as_users_call):
    x, y = data()
    key = jax.random.key(0)
    with pytest.raises(TypeError, match="`key` must be a typed key"):
        statistics.permutation_test(correlation, x, y, num_permutations=9, key=jax.random.PRNGKey(0))
    with pytest.raises(ValueError, match="`key` must be a single key"):
        statistics.permutation_test(correlation, x, y, num_permutations=9, key=jax.random.split(key))
    with pytest.raises(ValueError, match="`alternative` must be one of 'greater', 'less', got 'both'"):
        statistics.permutation_test(correlation, x, y, num_permutations=9, key=key, alternative="both")
    with pytest.raises(ValueError, match="`num_permutations` must be at least 1, got 0"):
        statistics.permutation_test(correlation, x, y, num_permutations=0, key=key)
    with pytest.raises(ValueError, match="`x` and `y` must have the same rows, got 40 and 39"):
        statistics.permutation_test(correlation, x, y[1:], num_permutations=9, key=key)
    with pytest.raises(ValueError, match="`level` must lie between 0 and 1, got 95"):
        statistics.bootstrap(correlation, x, y, clusters=jnp.arange(40), num_bootstraps=9, key=key, level=95)


def test_permutations_are_the_draws_of_the_null_whatever_their_number():
    key, groups = jax.random.key(4), jnp.arange(30) % 3
    draws = statistics.permutations(key, n=30, groups=groups, num_permutations=7)
    weighed = statistics.null_distribution(
        lambda order: jnp.sum(order * jnp.arange(30, dtype=jnp.int32)).astype(jnp.float32),
        n=30,
        groups=groups,
        num_permutations=7,
        key=key,
    )
    np.testing.assert_allclose(weighed, np.asarray(draws) @ np.arange(30))
    later = statistics.permutations(key, n=30, groups=groups, num_permutations=2, first=3)
    np.testing.assert_array_equal(later, draws[3:5])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_p_value_of_the_best_is_uniform_under_the_null_and_that_of_one_chosen_afterwards_is_not(seed):
    """Eight alternatives that know nothing, and are not independent."""
    rng = np.random.default_rng(seed)
    common, own = rng.normal(size=(400, 20, 1)), rng.normal(size=(400, 20, 8))
    x, y = jnp.asarray(0.5 * common + own, jnp.float32), jnp.asarray(rng.normal(size=(400, 20)), jnp.float32)

    def test(x, y, key):
        statistic = lambda order: jnp.abs(y[order] @ (x - jnp.mean(x, axis=0, keepdims=True)))
        orders = statistics.permutations(key, n=20, num_permutations=39)
        values, null = statistic(jnp.arange(20)), jax.vmap(statistic)(orders)
        best = statistics.max_corrected(values, null)
        alone = (1 + jnp.sum(null[:, best.best] >= best.value)) / 40
        return best.p_value, alone

    corrected, alone = jax.jit(jax.vmap(test))(x, y, jax.random.split(jax.random.key(seed), 400))
    # Ranks among 40: all alike.
    counts = np.histogram(np.round(40 * np.asarray(corrected)), bins=np.arange(0.5, 41, 4))[0]
    assert stats.chisquare(counts).pvalue > 1e-3
    assert np.mean(np.asarray(alone) <= 0.05) > 0.15


def test_the_corrected_p_values_in_both_directions():
    null = jnp.array([[0.1, 0.3], [0.2, 0.1], [0.4, 0.0]])
    greater = statistics.max_corrected(jnp.array([0.35, 0.2]), null)
    assert (int(greater.best), float(greater.value)) == (0, pytest.approx(0.35))
    np.testing.assert_allclose(greater.null, [0.3, 0.2, 0.4])
    np.testing.assert_allclose(greater.p_values, [2 / 4, 4 / 4])
    less = statistics.max_corrected(-jnp.array([0.35, 0.2]), -null, alternative="less")
    np.testing.assert_allclose(less.p_values, greater.p_values)
    assert np.isnan(statistics.max_corrected(jnp.array([0.1]), jnp.array([[jnp.nan]])).p_value)


def test_the_cluster_error_of_a_mean_is_the_classical_one():
    rng = np.random.default_rng(2)
    sizes = rng.integers(1, 9, 50)
    clusters = np.repeat(rng.permutation(50), sizes)
    values = rng.normal(size=len(clusters)) + rng.normal(size=50)[clusters]
    deviations = np.bincount(clusters, values - values.mean()) / len(values)
    expected = np.sqrt(50 / 49 * np.sum(deviations**2))
    influence = jnp.asarray((values - values.mean()) / len(values), jnp.float32)
    assert float(statistics.cluster_error(influence, clusters=jnp.asarray(clusters))) == pytest.approx(
        expected, rel=1e-4
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_a_subsample_is_made_of_whole_clusters_each_once(seed):
    clusters = RNG.permutation(np.repeat(np.arange(12) * 5, 3))
    index = np.asarray(statistics.subsample_index(jax.random.key(seed), jnp.asarray(clusters, jnp.int32), num_rows=20))
    assert len(np.unique(index)) == 20
    sizes = np.unique(clusters[index], return_counts=True)[1]
    assert sorted(sizes)[1:] == [3] * 6
    assert sorted(sizes)[0] == 2


def test_half_of_the_clusters_spread_as_much_as_samples_of_all():
    rng = np.random.default_rng(1)
    values = jnp.asarray(np.repeat(rng.normal(size=200), 4) + 0.2 * rng.normal(size=800), jnp.float32)
    clusters = jnp.arange(800) // 4
    draw = lambda key: jnp.mean(values[statistics.subsample_index(key, clusters, num_rows=400)])
    spread = jnp.std(jax.lax.map(draw, jax.random.split(jax.random.key(0), 1000)))
    influence = (values - jnp.mean(values)) / 800
    assert float(spread) == pytest.approx(float(statistics.cluster_error(influence, clusters=clusters)), rel=0.1)
