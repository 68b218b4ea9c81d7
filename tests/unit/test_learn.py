import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from platonic_jax import learn, projection, testing
from platonic_jax.learn._data import rows_of_batch

KEY = jax.random.key(0)
# An offset and unlike variances: else no metric matters.
X = np.asarray(testing.make_cloud(KEY, n=200).x) * np.geomspace(5, 0.2, 6, dtype=np.float32) + 1
Y = X[:, ::-1] @ np.asarray(testing.random_rotation(KEY, 6))
ROWS = np.array([3, 50, 120, 199])


def cosines(x, anchors=None):
    anchors = x if anchors is None else anchors
    unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)
    return unit(np.asarray(x)) @ unit(np.asarray(anchors)).T


def relative(x, rows=ROWS, **settings):
    return projection.relative(jnp.asarray(x), jnp.asarray(x[rows]), **settings)


@pytest.mark.parametrize("kind", ["spectral", "linear"])
def test_an_unwhitened_metric_leaves_cosines_as_they_are(kind):
    plain = learn.Metric(X, kind=kind, whitening=0.0, origin="zero")(jnp.asarray(X))
    np.testing.assert_allclose(cosines(plain), cosines(X), atol=1e-5)
    centred = learn.Metric(X, kind=kind, whitening=0.0, origin="mean")(jnp.asarray(X))
    np.testing.assert_allclose(cosines(centred), cosines(X - X.mean(axis=0)), atol=1e-4)
    assert np.abs(cosines(centred) - cosines(X)).max() > 0.1


@pytest.mark.parametrize("kind", ["spectral", "linear"])
def test_a_whitening_metric_makes_all_directions_alike(kind):
    metric = learn.Metric(X, kind=kind, whitening=1.0)
    covariance = np.cov(metric(jnp.asarray(X)).T)
    np.testing.assert_allclose(covariance / covariance[0, 0], np.eye(6), atol=1e-3)
    with jax.enable_x64(True):  # What `relative` adds to every variance is a matter of the dtype.
        x = jnp.asarray(X, jnp.float64)
        space = learn.SharedSpace([x[ROWS]], metrics=[learn.Metric(x, kind=kind, whitening=1.0)])
        expected = projection.relative(x, x[ROWS], similarity="whitened")
        np.testing.assert_allclose(space([x])[0], expected, atol=1e-6)


def test_both_kinds_of_metric_start_at_one_place_and_learn_different_things():
    spectral, linear = (learn.Metric(X, kind=kind, whitening=0.3, rank=4) for kind in ("spectral", "linear"))
    assert spectral.matrix.shape == (6, 4)
    np.testing.assert_allclose(spectral.matrix, linear.matrix, atol=1e-6)
    learned = [[leaf.shape for leaf in jax.tree.leaves(nnx.state(metric, nnx.Param))] for metric in (spectral, linear)]
    assert learned == [[(4,)], [(6, 4)]]


def test_a_metric_of_lower_rank_keeps_the_first_directions():
    kept = learn.Metric(X, whitening=0.0, rank=2)(jnp.asarray(X))
    centred = X - X.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(kept @ kept.T, centred @ directions[:2].T @ directions[:2] @ centred.T, atol=1e-2)


def test_directions_without_variance_are_not_blown_up():
    flat = np.concatenate([X, np.ones((200, 1), np.float32)], axis=1)
    assert np.isfinite(learn.Metric(flat, whitening=1.0).matrix).all()
    assert np.isfinite(learn.Metric(np.ones((20, 3), np.float32), whitening=1.0).matrix).all()


def test_mixtures_become_atoms_as_the_temperature_falls():
    soft = learn.SoftAnchors(30, 5, key=KEY)
    for temperature in (10.0, 1.0, 1e-6):
        np.testing.assert_allclose(np.sum(soft.mixture(temperature), axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(soft.mixture(1.0).max(axis=1), 0.5, atol=1e-5)
    np.testing.assert_array_equal(soft.mixture(1e-3), np.eye(30)[soft.chosen()])
    assert len(set(soft.chosen().tolist())) == 5
    slope = jax.grad(lambda temperature: jnp.sum(soft.mixture(temperature) ** 2))(1e-6)
    assert np.isfinite(slope)


def test_atoms_chosen_are_all_different_even_where_mixtures_agree():
    soft = learn.SoftAnchors(4, 4, key=KEY)
    soft.logits[...] = jnp.asarray([[9.0, 1, 0, 0], [8, 5, 0, 0], [8, 0, 6, 0], [7, 0, 0, 0]])
    assert soft.chosen().tolist() == [0, 1, 2, 3]  # The largest sum, not row after row.
    assert learn.SoftAnchors(1, 1, key=KEY).chosen().tolist() == [0]


def test_weights_are_one_at_first_and_always_positive():
    weights = learn.AnchorWeights(3)
    np.testing.assert_allclose(weights(), 1, atol=1e-6)
    weights.raw[...] = jnp.asarray([-8.0, 2.0, -30.0])
    assert (np.asarray(weights()) > 0).all()
    assert weights.kept().tolist() == [1]
    assert weights.kept(least=1e-4).tolist() == [0, 1]


def test_a_shared_space_is_the_weighted_projection():
    weights = learn.AnchorWeights(4)
    weights.raw[...] = jnp.asarray([1.0, 0.0, -1.0, 3.0])
    for similarity in ("cosine", "angular", "l2"):
        space = learn.SharedSpace([X[ROWS], Y[ROWS]], weights=weights, similarity=similarity)
        for cloud, rows in zip((X, Y), space([jnp.asarray(X), jnp.asarray(Y)]), strict=True):
            np.testing.assert_allclose(rows, relative(cloud, similarity=similarity, weights=weights()), atol=1e-5)


def test_every_model_sees_the_same_mixture_of_its_own_rows():
    soft = learn.SoftAnchors(200, 4, key=KEY)
    space = learn.SharedSpace([X, Y], anchors=soft, metrics=[learn.Metric(X), learn.Metric(Y)])
    for model, cloud in enumerate((X, Y)):
        mixed = np.asarray(soft.mixture(0.7)) @ np.asarray(space.mapped(model, jnp.asarray(cloud)))
        np.testing.assert_allclose(space.anchor_rows(model, temperature=0.7), mixed, atol=1e-4)


def test_a_hardened_space_is_the_space_at_a_low_temperature():
    parts = {"metrics": [learn.Metric(X, origin="zero")], "weights": learn.AnchorWeights(4)}
    space = learn.SharedSpace([X], anchors=learn.SoftAnchors(200, 4, key=KEY), **parts)
    hardened, x = space.hardened(), [jnp.asarray(X)]
    np.testing.assert_allclose(hardened(x)[0], space(x, temperature=1e-3)[0], atol=1e-5)
    assert np.abs(hardened(x)[0] - space(x, temperature=1.0)[0]).max() > 0.05
    assert hardened.chosen().tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(hardened.candidates[0][...], X[space.chosen()])


def test_rows_do_not_see_each_other_and_keep_their_dtype():
    with jax.enable_x64(True):
        x = jnp.asarray(X, jnp.float64)
        soft = learn.SoftAnchors(4, 3, key=KEY)
        space = learn.SharedSpace([x[ROWS]], anchors=soft, metrics=[learn.Metric(x)], weights=learn.AnchorWeights(3))
        rows = space([x], temperature=jnp.float32(0.5))[0]
        assert rows.dtype == jnp.float64
        np.testing.assert_allclose(space([x[:7]], temperature=0.5)[0], rows[:7], atol=1e-12)


def test_batches_hold_whole_structures_and_mark_the_one_cut_short():
    sizes = [3, 5, 2, 4]
    first, size = jnp.array([0, 3, 8, 10]), jnp.array(sizes)
    listed = lambda order, num_rows: jax.device_get(rows_of_batch(first, size, jnp.array(order), num_rows=num_rows))
    rows, place = listed([3, 1, 0, 2], 10)
    assert rows.tolist() == [10, 11, 12, 13, 3, 4, 5, 6, 7, 0]
    assert place.tolist() == [0] * 4 + [1] * 5 + [-1]
    rows, place = listed([3, 1, 0, 2], 9)  # Two of them fit as a whole.
    assert place.tolist() == [0] * 4 + [1] * 5
    rows, place = listed(range(4), 14)
    assert rows.tolist() == list(range(14))
    assert place.tolist() == np.repeat(range(4), sizes).tolist()


def test_every_batch_draws_whole_structures_of_its_own():
    data = learn.Data([X, 2 * X], np.repeat(np.arange(40) * 3, 5), targets={"row": np.arange(200)})
    assert data.num_structures == 40
    batches = [data.batch(number, key=KEY, num_rows=52) for number in (0, 1, 0)]
    rows = [np.asarray(batch.targets["row"]).astype(int) for batch in batches]
    np.testing.assert_array_equal(rows[0], rows[2])
    assert set(rows[0]) != set(rows[1])
    for batch, row in zip(jax.device_get(batches), rows, strict=True):
        np.testing.assert_array_equal(batch.clouds[1], 2 * X[row])
        assert (batch.structure[:50] == np.repeat(np.arange(10), 5)).all()
        assert (batch.structure[50:] == -1).all()
        assert (row[:50].reshape(10, 5) == row[:50:5, None] + np.arange(5)).all()
    assert len(data.batch(0, key=KEY, num_rows=500).structure) == 200


def test_a_split_shares_no_group():
    systems = np.random.default_rng(0).integers(0, 10, 40)[np.arange(200) // 5]
    data = learn.Data([X], np.arange(200) // 5, targets={"system": systems})
    train, held_out = data.split(systems, fraction=0.3, key=KEY)
    assert len(train) + len(held_out) == 200
    assert len(np.unique(held_out.targets["system"])) == 3
    assert not np.isin(held_out.targets["system"], train.targets["system"]).any()
    np.testing.assert_array_equal(train.clouds[0], X[np.isin(systems, train.targets["system"])])


def test_targets_are_counted_where_they_are_known():
    energy = np.repeat(np.arange(40.0), 5)
    energy[:12] = np.nan  # Of three structures, one of which has it at other atoms.
    data = learn.Data([X], np.arange(200) // 5, targets={"energy": energy, "species": np.ones(200)})
    assert data.num_known == {"energy": 38, "species": 40}


class Reader(nnx.Module):
    """A user's own model: the anchor projection is one of its layers."""

    def __init__(self, x, *, rngs):
        self.space = learn.SharedSpace([x[:20]], weights=learn.AnchorWeights(20))
        self.hidden = nnx.Linear(20, 8, rngs=rngs)
        self.out = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x):
        (rows,) = self.space([x])
        return self.out(jnp.tanh(self.hidden(rows)))[:, 0]


def test_a_layer_of_a_users_own_model_is_trained_with_it_over_seeds_at_once():
    x, y = jnp.asarray(X), jnp.asarray(X[:, 4] / X[:, 4].std())
    optimiser = optax.adam(1e-2)

    def trained(seed):
        definition, learned, fixed = nnx.split(Reader(x, rngs=nnx.Rngs(jax.random.key(seed))), nnx.Param, ...)
        loss = lambda learned: jnp.mean((nnx.merge(definition, learned, fixed)(x) - y) ** 2)

        def step(now, _):
            learned, state = now
            value, slope = jax.value_and_grad(loss)(learned)
            change, state = optimiser.update(slope, state, learned)
            return (optax.apply_updates(learned, change), state), value

        (learned, _), losses = jax.lax.scan(step, (learned, optimiser.init(learned)), length=150)
        return losses, learned["space"]["weights"]["raw"][...]

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # Of the layers of flax.
        losses, raw = jax.jit(jax.vmap(trained))(jnp.arange(3))
    assert losses.shape == (3, 150)
    assert (losses[:, -1] < 0.5 * losses[:, 0]).all()
    assert (np.ptp(raw, axis=1) > 0.01).all()  # The weights were learned too,
    assert (np.ptp(raw, axis=0) > 0.001).all()  # and for each seed its own.


@pytest.mark.usefixtures("as_users_call")
def test_wrong_use_says_what_is_wrong():
    index = np.arange(200) // 5
    data, soft, weights = learn.Data([X], index), learn.SoftAnchors(9, 3, key=KEY), learn.AnchorWeights(3)
    wrong = {
        "`kind` must be one of 'spectral', 'linear', got 'full'": lambda: learn.Metric(X, kind="full"),
        "`origin` must be one of": lambda: learn.Metric(X, origin="first"),
        "`whitening` must lie from 0 to 1, got 1.5": lambda: learn.Metric(X, whitening=1.5),
        "`rank` must be at least 1, got 0": lambda: learn.Metric(X, rank=0),
        "`rank` must be at most the number of columns p = 6, got 7": lambda: learn.Metric(X, rank=7),
        "`k` must be at most the number of candidates = 3, got 4": lambda: learn.SoftAnchors(3, 4, key=KEY),
        "`k` must be at least 1, got 0": lambda: learn.AnchorWeights(0),
        "`least` must be positive": lambda: weights.kept(least=0.0),
        "`similarity` must be one of": lambda: learn.SharedSpace([X], similarity="whitened"),
        "`candidates` must be the same atoms for every model": lambda: learn.SharedSpace([X, Y[:9]]),
        "`anchors` must mix 200 candidates, got a mixture of 9": lambda: learn.SharedSpace([X], anchors=soft),
        "`weights` must be of 200 anchors, got those of 3": lambda: learn.SharedSpace([X], weights=weights),
        "`metrics` must be one for each of 2 models, got 1": lambda: learn.SharedSpace(
            [X, Y], metrics=[learn.Metric(X)]
        ),
        r"`metrics\[0\]` must take rows of 6 columns, got one of 5": lambda: learn.SharedSpace(
            [X], metrics=[learn.Metric(X[:, :5])]
        ),
        "`clouds` must be one for each of 1 models, got 2": lambda: learn.SharedSpace([X])([X, Y]),
        "`clouds` must hold at least one model, got none": lambda: learn.Data([], index),
        "`structure_index` must hold at least one atom": lambda: learn.Data([X[:0]], index[:0]),
        "`structure_index` must not decrease": lambda: learn.Data([X], index[::-1]),
        r"`clouds\[1\]` must have a row for each of the 200 atoms, got 9": lambda: learn.Data([X, X[:9]], index),
        r"`targets\['e'\]` must have a row": lambda: learn.Data([X], index, targets={"e": np.zeros(40)}),
        "`groups` must have a label for each of 200 atoms, got 40": lambda: data.split(
            np.arange(40), fraction=0.5, key=KEY
        ),
        "`groups` must be at least two, got one": lambda: data.split(np.zeros(200), fraction=0.5, key=KEY),
    }
    for message, call in wrong.items():
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="`key` must be a typed key"):
        learn.SoftAnchors(9, 3, key=jax.random.PRNGKey(0))


def test_what_is_frozen_maps_as_before_and_is_not_learned():
    x = jnp.asarray(X)
    metric = learn.Metric(x, kind="linear", rank=3)
    held = learn.frozen(metric)
    np.testing.assert_array_equal(held(x), metric(x))
    space = learn.SharedSpace([x[:5], x[:5]], metrics=[held, metric])
    learned = jax.tree.leaves(nnx.state(space, nnx.Param))
    assert [leaf.shape for leaf in learned] == [(6, 3)]
    assert isinstance(metric.directions, nnx.Param)
