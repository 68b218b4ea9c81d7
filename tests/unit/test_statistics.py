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
        statistics.permutation_test(correlation, x, y, num_permutations=19, key=jax.random.PRNGKey(0))
    with pytest.raises(ValueError, match="`key` must be a single key"):
        statistics.permutation_test(correlation, x, y, num_permutations=19, key=jax.random.split(key))
    with pytest.raises(ValueError, match="`alternative` must be one of 'greater', 'less', got 'both'"):
        statistics.permutation_test(correlation, x, y, num_permutations=19, key=key, alternative="both")
    with pytest.raises(ValueError, match="`num_permutations` must be at least 1, got 0"):
        statistics.permutation_test(correlation, x, y, num_permutations=0, key=key)
    with pytest.raises(ValueError, match="`x` and `y` must have the same rows, got 40 and 39"):
        statistics.permutation_test(correlation, x, y[1:], num_permutations=19, key=key)
    with pytest.raises(ValueError, match="`level` must lie between 0 and 1, got 95"):
        statistics.bootstrap(correlation, x, y, clusters=jnp.arange(40), num_bootstraps=9, key=key, level=95)
    with pytest.raises(ValueError, match="10 permutations cannot reach p ≤ 0.05; use at least 19"):
        statistics.permutation_test(correlation, x, y, num_permutations=10, key=key)
    with pytest.raises(ValueError, match="cannot reach p ≤ 0.01; use at least 99"):
        statistics.permutation_test(correlation, x, y, num_permutations=98, key=key, level=0.01)


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


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_permutation_of_blocks_moves_the_rows_of_a_group_in_a_block_together(seed):
    rng = np.random.default_rng(seed)
    groups, blocks = rng.integers(0, 3, 120), rng.integers(0, 25, 120)
    order = np.asarray(
        statistics.permutation(jax.random.key(seed), n=120, groups=jnp.asarray(groups), blocks=jnp.asarray(blocks))
    )
    np.testing.assert_array_equal(np.sort(order), np.arange(120))
    np.testing.assert_array_equal(groups[order], groups)
    moved = set()
    for group, block in set(zip(groups.tolist(), blocks.tolist(), strict=True)):
        rows = np.flatnonzero((groups == group) & (blocks == block))
        (source,) = np.unique(blocks[order[rows]])
        np.testing.assert_array_equal(order[rows], np.flatnonzero((groups == group) & (blocks == source)))
        moved |= {int(row) for row in rows if source != block}
    movable = np.asarray(statistics.movable_rows(120, groups=jnp.asarray(groups), blocks=jnp.asarray(blocks)))
    assert len(moved) > 40
    assert movable[sorted(moved)].all()
    sizes = np.array([np.sum((groups == g) & (blocks == b)) for g, b in zip(groups, blocks, strict=True)])
    alone = [len(set(blocks[(groups == g) & (sizes == size)])) == 1 for g, size in zip(groups, sizes, strict=True)]
    np.testing.assert_array_equal(movable, ~np.array(alone))


def test_permutations_of_blocks_are_uniform():
    groups, blocks = jnp.array([0, 0, 1, 0, 1, 1, 0]), jnp.array([5, 5, 5, 7, 8, 9, 7])
    orders = np.asarray(
        statistics.permutations(jax.random.key(0), n=7, groups=groups, blocks=blocks, num_permutations=6000)
    )
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 2 * 6  # Two blocks of two rows in one group, three of one row in the other.
    assert stats.chisquare(counts).pvalue > 1e-3


def test_arrangements_are_counted():
    groups, blocks = np.array([0, 0, 1, 0, 1, 1, 0]), np.array([5, 5, 5, 7, 8, 9, 7])
    assert statistics.arrangements(groups, blocks) == pytest.approx({0: np.log(2), 1: np.log(6)})


def test_too_few_blocks_cannot_be_tested():
    x, y = data()
    key = jax.random.key(0)
    settings = {"num_permutations": 19, "key": key}
    few = statistics.permutation_test(correlation, x, x, blocks=jnp.arange(40) // 20, **settings)
    assert np.isnan(few.p_value)
    assert few.movable == 1
    assert few.effect == pytest.approx(float(few.value - few.null.mean()))
    many = statistics.permutation_test(correlation, x, x, blocks=jnp.arange(40) // 4, **settings)
    assert many.p_value == pytest.approx(0.05)
    unequal = np.repeat(np.arange(8), np.arange(1, 9))[:36]
    stuck = statistics.permutation_test(
        correlation, x[:36], y[:36], blocks=unequal, groups=np.zeros(36, int), **settings
    )
    assert np.isnan(stuck.p_value)
    assert stuck.movable == 0


def test_what_only_crystals_share_is_no_agreement_and_what_models_share_is():
    """Rows of a crystal are alike in both models; shuffled one by one they would seem to agree."""
    rng = np.random.default_rng(3)
    groups, blocks = np.tile([1, 8], 60), np.repeat(np.arange(30), 4)
    crystal = lambda: rng.normal(size=(30, 2, 1))[blocks, groups // 8] + 0.1 * rng.normal(size=(120, 1))
    x, y, settings = crystal(), crystal(), {"num_permutations": 99, "key": jax.random.key(0)}
    agreement = lambda x, y: jnp.abs(correlation(x, y))
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    assert statistics.permutation_test(agreement, x, y, groups=groups, blocks=blocks, **settings).p_value > 0.05
    shared = y + x
    assert statistics.permutation_test(agreement, x, shared, groups=groups, blocks=blocks, **settings).p_value == 0.01


def test_the_combination_of_groups_is_exact_where_they_rise_and_fall_together():
    rng = np.random.default_rng(4)
    pooled = np.repeat(rng.normal(size=(2000, 40, 1)), 6, axis=2).astype(np.float32)
    test = jax.jit(
        jax.vmap(lambda all: statistics.combined_test(all[0], all[1:], weights=jnp.ones(6, jnp.float32)).p_value)
    )
    p_values = np.asarray(test(jnp.asarray(pooled)))
    counts = np.histogram(np.round(40 * p_values), bins=np.arange(0.5, 41, 4))[0]
    assert stats.chisquare(counts).pvalue > 1e-3
    independent = np.asarray(test(jnp.asarray(rng.normal(size=(2000, 40, 6)), jnp.float32)))
    assert np.mean(independent <= 0.05) < 0.02  # Conservative.


def test_a_group_that_says_nothing_counts_as_nothing():
    null = jnp.asarray(np.random.default_rng(5).normal(size=(19, 3)), jnp.float32)
    constant = statistics.combined_test(jnp.ones(2), jnp.ones((19, 2)), weights=jnp.ones(2))
    assert constant.p_value == 1
    undefined = statistics.combined_test(
        jnp.array([9.0, jnp.nan, 9.0], jnp.float32),
        null.at[:, 1].set(jnp.nan),
        weights=jnp.array([1.0, 5.0, 1.0], jnp.float32),
    )
    assert undefined.p_value == pytest.approx(0.05)


def test_the_corrected_p_value_of_alternatives_in_groups_holds_for_the_best_of_them():
    rng = np.random.default_rng(6)
    pooled = (rng.normal(size=(1000, 40, 1, 1)) + rng.normal(size=(1000, 40, 5, 4))).astype(np.float32)
    test = jax.jit(
        jax.vmap(lambda all: jnp.min(statistics.max_combined(all[0], all[1:], weights=jnp.ones(4, jnp.float32))))
    )
    assert np.mean(np.asarray(test(jnp.asarray(pooled))) <= 0.05) < 0.065
    signal = pooled.copy()
    signal[:, 0, 2] += 5
    assert np.mean(np.asarray(test(jnp.asarray(signal))) <= 0.05) > 0.9


def test_a_bootstrap_of_a_neighbour_search_is_refused(as_users_call):
    from platonic_jax import metrics

    x, y = (jnp.asarray(RNG.normal(size=(40, 3)), jnp.float32) for _ in range(2))
    settings = {"clusters": jnp.arange(40) // 4, "num_bootstraps": 20, "key": jax.random.key(0)}
    for fn in (metrics.mutual_knn, lambda x, y: metrics.cknna(x, y, num_neighbours=5)):
        with pytest.raises(ValueError, match="nearest neighbours would be copies: pass `metrics.mutual_knn_rows`"):
            statistics.bootstrap(fn, x, y, **settings)
    rows = metrics.mutual_knn_rows(x, y)
    found = statistics.bootstrap(jnp.mean, rows, **settings)
    assert found.low < metrics.mutual_knn(x, y) < found.high
