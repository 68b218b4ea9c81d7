import logging
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from platonic_jax import learn, metrics, testing
from platonic_jax.learn.objectives import agreement, sparsity, values, weighted

KEY = jax.random.key(0)
N, SIGNAL, WIDTH = 300, 4, 8
STRUCTURE = np.arange(N) // 5


def two_models(*, seed=0, shuffled=False):
    """A cloud that both see with a little noise, each turned its own way and beside larger directions of its own."""
    random = np.random.default_rng(seed)
    shared = random.normal(size=(N, SIGNAL))
    clouds = []
    for model in range(2):
        distracting = 6 * random.normal(size=(N, WIDTH - SIGNAL))
        cloud = np.concatenate([shared + 0.1 * random.normal(size=shared.shape), distracting], axis=1)
        if shuffled and model:
            cloud = random.permutation(cloud)
        rotation = np.asarray(testing.random_rotation(jax.random.key(model), WIDTH))
        clouds.append((cloud @ rotation).astype(np.float32))
    return clouds


def plain_space(data, *, k=24):
    mapped = [learn.Metric(cloud, whitening=0.0) for cloud in data.clouds]
    return learn.SharedSpace([cloud[:k] for cloud in data.clouds], metrics=mapped)


def agreeing(space, data):
    rows = space([jnp.asarray(cloud) for cloud in data.clouds])
    return float(metrics.procrustes(*rows)), float(metrics.mutual_knn(*rows, num_neighbours=5))


TRAIN, HELD_OUT = learn.Data(two_models(), STRUCTURE).split(STRUCTURE, fraction=0.4, key=KEY)
SETTINGS = {"key": KEY, "num_rows": 60, "learning_rate": 0.1}


def fitted(space=None, objective=None, data=TRAIN, **settings):
    objective = agreement("cka") if objective is None else objective
    return learn.fit(plain_space(TRAIN) if space is None else space, objective, data, **(SETTINGS | settings))


def leaves(space):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(space)]


def test_a_metric_finds_what_two_models_share_and_it_holds_on_other_structures():
    space = plain_space(TRAIN)
    before = leaves(space)
    # Where models hardly agree at first, a cold softmax has no slope that tells: it starts warm.
    objective = agreement("matching", temperatures=(0.5, 0.1))
    found = fitted(space, objective, validation=HELD_OUT, num_steps=80, check_every=20)
    (procrustes, mutual), (procrustes_before, mutual_before) = (
        agreeing(found.space, HELD_OUT),
        agreeing(space, HELD_OUT),
    )
    assert procrustes > 0.8 > 0.2 > procrustes_before
    assert mutual > 0.3 > 0.05 > mutual_before
    assert found.losses.shape == (80,)
    assert found.held_out[:, 0].tolist() == [20, 40, 60, 80]
    assert (np.diff(found.held_out[:, 1]) < 0).all()
    assert (found.best_step, found.stopped) == (80, "done")
    assert all((a == b).all() for a, b in zip(before, leaves(space), strict=True)), "where it started was changed"


def test_nothing_is_learned_from_rows_that_do_not_belong_together():
    """What is learned on shuffled rows says nothing about others; nor is it better there than what it started from."""
    data = learn.Data(two_models(shuffled=True), STRUCTURE)
    train, held_out = data.split(STRUCTURE, fraction=0.4, key=KEY)
    space = plain_space(train)
    found = fitted(space, agreement("procrustes"), train, num_steps=60, check_every=60)
    assert found.losses[-10:].mean() < found.losses[:10].mean()  # It does fit them.
    assert agreeing(found.space, held_out)[0] < agreeing(space, held_out)[0] + 0.1
    assert agreeing(found.space, held_out)[1] < 0.1


def test_sparse_weights_keep_the_anchors_that_both_models_know():
    """Of twelve anchors six are the same atoms in both, and six are different ones."""
    random = np.random.default_rng(0)
    x = random.normal(size=(N, 6)).astype(np.float32)
    y = x @ np.asarray(testing.random_rotation(KEY, 6))
    mixed = np.concatenate([y[:6], random.normal(size=(6, 6)).astype(np.float32)])
    space = learn.SharedSpace([x[:12], mixed], weights=learn.AnchorWeights(12))
    objective = weighted((1.0, agreement("procrustes")), (0.1, sparsity()))
    found = fitted(space, objective, learn.Data([x, y], STRUCTURE), num_steps=150, check_every=150)
    assert found.space.weights.kept(least=0.1).tolist() == list(range(6))


def test_soft_anchors_choose_the_candidates_that_tell():
    """Two values depend on a plane, in which a sixth of the candidates lie."""
    random = np.random.default_rng(0)
    x = random.normal(size=(N, 12)).astype(np.float32)
    candidates = random.normal(size=(48, 12)).astype(np.float32)
    informative = np.arange(0, 48, 6)
    candidates[:, :2] = 0
    candidates[informative] = 0
    candidates[informative, :2] = random.normal(size=(8, 2))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    data = learn.Data([x], STRUCTURE, targets={"first": unit[:, 0], "second": unit[:, 1]})
    space = learn.SharedSpace([candidates], anchors=learn.SoftAnchors(48, 4, key=jax.random.key(2)))
    objective = weighted((0.5, values("first", per="atom")), (0.5, values("second", per="atom")))
    found = fitted(space, objective, data, num_steps=150, check_every=150, num_rows=150)
    assert not np.isin(space.chosen(), informative).any()
    assert np.isin(found.space.chosen(), informative).sum() >= 2  # They span the plane.
    assert found.losses[-1] < 0.01 < 0.9 < found.losses[0]


def test_the_same_key_gives_the_same_result_bit_for_bit():
    first, second = (fitted(num_steps=6) for _ in range(2))
    other = fitted(num_steps=6, key=jax.random.key(1))
    assert all((a == b).all() for a, b in zip(leaves(first.space), leaves(second.space), strict=True))
    np.testing.assert_array_equal(first.losses, second.losses)
    assert (first.losses != other.losses).any()


class Killed(Exception):
    pass


def test_a_loop_of_ones_own_over_steps_is_fit():
    space, objective, optimiser = plain_space(TRAIN), learn.objectives.agreement(), optax.adam(1e-2)
    whole = learn.fit(space, objective, TRAIN, key=KEY, num_steps=5, num_rows=60, optimiser=optimiser)
    take = jax.jit(partial(learn.step, objective=objective, optimiser=optimiser))
    own, state, losses = space, optimiser.init(learn.parameters(space)), []
    for i in range(5):
        batch = TRAIN.batch(i, key=KEY, num_rows=60, progress=i / 5)
        assert learn.loss(own, objective, batch) == pytest.approx(float(take(own, state, batch).loss), rel=1e-5)
        own, state, loss, finite = take(own, state, batch)
        assert finite
        losses.append(float(loss))
    np.testing.assert_allclose(losses, whole.losses, rtol=1e-5)
    for mine, theirs in zip(leaves(own), leaves(whole.space), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def killed_after(step):
    def progress(done, of, loss):
        if done == step:
            raise Killed

    return progress


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path):
    settings = {"num_steps": 12, "check_every": 4, "validation": HELD_OUT}
    whole = fitted(**settings)
    with pytest.raises(Killed):
        fitted(**settings, checkpoints=tmp_path / "run", progress=killed_after(8))
    steps = []
    resumed = fitted(**settings, checkpoints=tmp_path / "run", progress=lambda done, of, loss: steps.append(done))
    assert steps == [12]  # From the last checkpoint.
    for one, other in zip(whole[1:], resumed[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    assert all((a == b).all() for a, b in zip(leaves(whole.space), leaves(resumed.space), strict=True))
    again = fitted(**settings, checkpoints=tmp_path / "run", progress=killed_after(1))  # Nothing is left to do.
    np.testing.assert_array_equal(whole.losses, again.losses)
    for name, other in {
        "key": {"key": jax.random.key(1)},
        "num_steps": {"num_steps": 13},
        "data": {"data": HELD_OUT},
        "validation": {"validation": TRAIN},
        "space": {"space": plain_space(TRAIN, k=20)},
        "optimiser": {"optimiser": optax.sgd(0.1)},
        "learning_rate, temperatures": {"learning_rate": 0.2, "temperatures": (1.0, 0.5)},
    }.items():
        with pytest.raises(ValueError, match=f"`checkpoints` must be .* same arguments, got one with other {name}"):
            fitted(**(settings | other), checkpoints=tmp_path / "run")


def test_training_stops_where_it_gets_no_better():
    never_better = lambda space, rows, batch: batch.progress + 0 * jnp.sum(rows[0])
    found = fitted(objective=never_better, num_steps=20, check_every=2, patience=3)
    assert len(found.losses) == 20  # Nothing is held out: there is no better and no worse.
    found = fitted(objective=never_better, num_steps=20, check_every=2, patience=3, validation=HELD_OUT)
    assert (found.best_step, found.stopped, len(found.losses)) == (2, "no better", 8)
    assert found.held_out[:, 0].tolist() == [2, 4, 6, 8]


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("held_out", [None, HELD_OUT], ids=["nothing held out", "held out"])
def test_a_loss_that_is_not_finite_stops_at_the_last_good_state(what, held_out):
    def breaks(space, rows, batch):
        loss = jnp.mean(rows[0] ** 2)
        broken = (batch.progress > 0.44) & (batch.progress < 1)  # From step 6 of 10.
        if what == "loss":
            return jnp.where(broken, jnp.nan, loss)
        return loss + jnp.sqrt(jnp.where(broken, 0 * loss, 1))

    found = fitted(objective=breaks, num_steps=10, check_every=2, validation=held_out)
    assert found.stopped == f"the {what} of step 6 was not finite: the space is the best before it"
    assert len(found.losses) == 5
    assert all(np.isfinite(leaf).all() for leaf in leaves(found.space))
    assert found.best_step == (5 if held_out is None else 4)
    with pytest.raises(ValueError, match=f"`objective` must have a finite {what} on the first batch"):
        fitted(objective=lambda space, rows, batch: breaks(space, rows, batch._replace(progress=0.5)), num_steps=10)


def test_nothing_is_compiled_after_the_first_step(caplog):
    compiled = []

    def progress(done, of, loss):
        compiled.append(sum("Compiling jit(_steps)" in record.getMessage() for record in caplog.records))

    soft, weights = learn.SoftAnchors(24, 6, key=KEY), learn.AnchorWeights(6)
    mapped = [learn.Metric(cloud) for cloud in TRAIN.clouds]
    space = learn.SharedSpace([cloud[:24] for cloud in TRAIN.clouds], anchors=soft, metrics=mapped, weights=weights)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        fitted(space, num_steps=4, check_every=2, validation=HELD_OUT, progress=progress)
    assert compiled == [1, 1]
    assert sum("Compiling jit(loss)" in record.getMessage() for record in caplog.records) == 1


def test_an_objective_of_ones_own_is_a_few_lines():
    def short_rows(space, rows, batch):
        return sum(jnp.mean(x**2) for x in rows)

    objective = weighted((1.0, agreement("cka")), (10.0, short_rows))
    space = learn.SharedSpace([cloud[:9] for cloud in TRAIN.clouds], weights=learn.AnchorWeights(9))
    assert fitted(space, objective, num_steps=20).space.weights().max() < 0.6


@pytest.mark.usefixtures("as_users_call")
def test_wrong_use_says_what_is_wrong():
    space, loss = plain_space(TRAIN), agreement("cka")
    narrow = learn.Data([cloud[:, :5] for cloud in TRAIN.clouds], TRAIN.structure_index)
    alone = learn.Data(HELD_OUT.clouds[:1], HELD_OUT.structure_index)
    wrong = {
        r"`data` must be of the models of `space`, of \[8, 8\] columns, got \[5, 5\]": {"data": narrow},
        r"`validation` must be of the models of `space`, of \[8, 8\] columns, got \[8\]": {"validation": alone},
        "`num_steps` must be at least 1": {"num_steps": 0},
        "`num_rows` must be at least 1": {"num_rows": 0},
        "`check_every` must be at least 1": {"check_every": 0},
        "`patience` must be at least 1": {"patience": 0},
        "`temperatures` must be positive": {"temperatures": (1.0, 0.0)},
        "`target` must be one of none, got 'energy'": {"objective": values("energy")},
    }
    for message, settings in wrong.items():
        with pytest.raises(ValueError, match=message):
            fitted(**({"space": space, "objective": loss} | settings))
    with pytest.raises(TypeError, match="`key` must be a typed key"):
        fitted(key=0)
