from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from platonic_jax import learn, metrics, testing
from platonic_jax.learn.objectives import MEASURES, agreement, classes, conditioning, coverage, sparsity, values

X = np.asarray(testing.make_cloud(jax.random.key(0)).x)
Y = np.asarray(testing.noisy(jnp.asarray(X), noise=0.3, key=jax.random.key(1)))
Z = np.asarray(testing.noisy(jnp.asarray(X), noise=1.0, key=jax.random.key(2)))
N = len(X)
STRUCTURE = np.arange(N) // 5
SHUFFLED = np.random.default_rng(0).permutation(N)

OBJECTIVES = {
    **{measure: agreement(measure) for measure in MEASURES},
    "values": values("energy"),
    "values of atoms": values("energy", per="atom"),
    "classes": classes("element", num_classes=4),
    "coverage": coverage(),
    "conditioning": conditioning(),
    "sparsity": sparsity(),
}


def batch_of(*clouds, structure=STRUCTURE, progress=1.0, temperature=1.0, **targets):
    targets = {name: jnp.asarray(found, jnp.float32) for name, found in targets.items()}
    scalars = (jnp.asarray(number, jnp.float32) for number in (progress, temperature))
    return learn.Batch(tuple(map(jnp.asarray, clouds)), jnp.asarray(structure, jnp.int32), targets, *scalars)


@cache
def compiled(objective):
    return jax.jit(partial(objective, None))


def value(objective, *rows, space=None, **batch):
    of = compiled(objective) if space is None else partial(objective, space)
    return float(of(tuple(map(jnp.asarray, rows)), batch_of(*rows, **batch)))


def unit_spread(x):
    x = x.astype(np.float64) - x.mean(axis=0)
    return x / np.sqrt(np.mean(np.sum(x**2, axis=1)))


def test_matching_is_the_probability_of_finding_oneself():
    closeness = -cdist(unit_spread(X), unit_spread(Y), "sqeuclidean") / 0.05
    same = STRUCTURE[:, None] == STRUCTURE[None, :]
    closeness[same & ~np.eye(N, dtype=bool)] = -np.inf
    missed = [np.mean(logsumexp(closeness, axis=axis) - np.diag(closeness)) / np.log(N) for axis in (0, 1)]
    assert value(agreement("matching", temperatures=(0.05, 0.05)), X, Y) == pytest.approx(np.mean(missed), abs=1e-5)


def test_matching_of_known_clouds():
    cold, hot = (agreement("matching", temperatures=(t, t)) for t in (1e-3, 1e3))
    assert value(cold, X, X) < 0.01
    assert value(cold, X, X[SHUFFLED]) > 1
    for other in (X, Z, X[SHUFFLED]):
        assert value(hot, X, other, structure=np.arange(N)) == pytest.approx(1, abs=0.01)


def test_symmetric_copies_in_a_structure_are_no_wrong_answers():
    twins = np.repeat(X[:30], 2, axis=0)
    cold = agreement("matching", temperatures=(1e-4, 1e-4))
    assert value(cold, twins, twins, structure=np.arange(N) // 2) == pytest.approx(0, abs=1e-4)
    assert value(cold, twins, twins, structure=np.arange(N)) == pytest.approx(np.log(2) / np.log(N), abs=1e-4)
    cut = np.append(np.arange(N - 2) // 2, [-1, -1])  # The last structure does not fit: its atoms are still one's own.
    assert value(cold, twins, twins, structure=cut) == pytest.approx(0, abs=1e-4)


def test_neighbours_are_the_overlap_of_soft_neighbourhoods():
    def neighbourhood(x):
        closeness = -cdist(unit_spread(x), unit_spread(x), "sqeuclidean") / 0.05
        np.fill_diagonal(closeness, -np.inf)
        return np.exp(closeness - logsumexp(closeness, axis=1, keepdims=True))

    overlap = np.mean(np.sum(np.sqrt(neighbourhood(X) * neighbourhood(Y)), axis=1))
    objective = agreement("neighbours", temperatures=(0.05, 0.05))
    assert value(objective, X, Y) == pytest.approx(1 - overlap, abs=1e-5)
    assert value(objective, X, X) == pytest.approx(0, abs=1e-5)
    assert value(objective, X, X[SHUFFLED]) > 0.7


@pytest.mark.parametrize("measure", ["matching", "neighbours"])
def test_the_temperature_falls_geometrically(measure):
    annealed, halfway = agreement(measure, temperatures=(0.4, 0.1)), agreement(measure, temperatures=(0.2, 0.2))
    assert value(annealed, X, Y, progress=0.5) == pytest.approx(value(halfway, X, Y), rel=1e-5)
    assert value(annealed, X, Y, progress=0.0) != pytest.approx(value(halfway, X, Y), rel=1e-2)


def test_other_agreements_are_those_of_metrics():
    pairs = [[jnp.asarray(cloud) for cloud in pair] for pair in ((X, Y), (X, Z), (Y, Z))]
    for measure in (metrics.procrustes, metrics.cka):
        found = value(agreement(measure.__name__), X, Y, Z)
        assert found == pytest.approx(np.mean([1 - float(measure(x, y)) for x, y in pairs]), abs=1e-6)
    spread = lambda x: float(jnp.mean(jnp.sum((x - jnp.mean(x, axis=0, keepdims=True)) ** 2, axis=1)))
    divergences = [float(metrics.sinkhorn_divergence(x, y)) / ((spread(x) + spread(y)) / 2) for x, y in pairs]
    found = value(agreement("sinkhorn_divergence"), X / 10, Y / 10, Z / 10)  # Small weights alone lower nothing.
    assert found == pytest.approx(np.mean(divergences), abs=1e-4)


def read_out_error(x, y, used, judged, ridge):
    """Plain ridge regression with an intercept, in float64."""
    x, y, fitted = x.astype(np.float64), y.astype(np.float64), used & ~judged
    x, y = x - x[fitted].mean(axis=0), y - y[fitted].mean(axis=0)
    gram = x[fitted].T @ x[fitted]
    penalty = ridge * np.trace(gram) / len(gram) * np.eye(len(gram))
    left = y - x @ np.linalg.solve(gram + penalty, x[fitted].T @ y[fitted])
    return np.sum(left[judged] ** 2) / np.sum(y[judged] ** 2)


def test_the_error_of_values_is_that_of_a_plain_ridge_regression():
    """Over the structures that are whole and have the value, each by the atoms that have it."""
    place = np.append(STRUCTURE[:-3], [-1] * 3)
    target = X[:, 0] + 0.1 * np.arange(N) % 7
    target[place == 3] = np.nan
    target[N - 12] = np.nan
    whole = np.unique(place[(place >= 0) & (place != 3)])
    means = lambda a: np.stack([np.nanmean(a[place == s], axis=0) for s in whole])
    expected = [read_out_error(means(x), means(target[:, None]), whole >= 0, whole % 2 == 1, 0.1) for x in (X, Z)]
    found = value(values("energy", ridge=0.1), X, Z, structure=place, energy=target)
    assert found == pytest.approx(np.mean(expected), rel=1e-4)

    used = (place >= 0) & np.isfinite(target)
    judged = used & (place % 2 == 1)
    expected = read_out_error(X, np.nan_to_num(target)[:, None], used, judged, 0.1)
    found = value(values("energy", per="atom", ridge=0.1), X, structure=place, energy=target)
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_error_of_classes_is_that_of_their_indicators():
    species = np.asarray(testing.make_cloud(jax.random.key(0)).species) - 1.0
    species[7] = np.nan
    used, judged = np.isfinite(species), np.isfinite(species) & (STRUCTURE % 2 == 1)
    indicators = np.eye(4)[np.nan_to_num(species).astype(int)]
    found = value(classes("element", num_classes=4), X, element=species)
    assert found == pytest.approx(read_out_error(X, indicators, used, judged, 1e-3), rel=1e-3)
    of_structures = classes("element", num_classes=4, per="structure")
    label = np.array([0, 3, 1, 2, 0, 1, 3, 2, 1, 0, 2, 3])
    means = X.reshape(12, 5, -1).mean(axis=1)
    expected = read_out_error(means, np.eye(4)[label], label >= 0, np.arange(12) % 2 == 1, 1e-3)
    assert value(of_structures, X, element=np.repeat(label, 5)) == pytest.approx(expected, rel=1e-2)


def test_what_can_be_read_out_costs_nothing_and_what_cannot_costs_one():
    x = np.random.default_rng(0).normal(size=(800, 6)).astype(np.float32)
    noise = np.random.default_rng(1).normal(size=800)
    structure = np.arange(800) // 2
    for per in ("atom", "structure"):
        assert value(values("energy", per=per), x, structure=structure, energy=x @ np.arange(6.0)) < 0.01
        assert value(values("energy", per=per), x, structure=structure, energy=noise) == pytest.approx(1, abs=0.1)
    apart = np.repeat(np.eye(4, 6), 200, axis=0) + 0.01 * x
    of_four = classes("element", num_classes=4)
    alternating = np.arange(800) % 2  # Atoms of all four classes on both sides.
    assert value(of_four, apart, structure=alternating, element=np.arange(800) // 200) < 0.01
    assert value(of_four, x, structure=alternating, element=np.arange(800) // 200) == pytest.approx(1, abs=0.1)


def test_a_class_that_is_none_makes_the_loss_nan():
    assert np.isnan(value(classes("element", num_classes=3), X, element=np.arange(N) % 4))
    assert np.isfinite(value(classes("element", num_classes=4), X, element=np.arange(N) % 4))


def test_coverage_lies_between_its_bounds():
    assert value(coverage(), np.ones((9, 4), np.float32)) == pytest.approx(0, abs=1e-6)
    assert value(coverage(), -np.ones((9, 4), np.float32)) == pytest.approx(2, abs=1e-6)
    one = np.eye(9, 4, dtype=np.float32)[:4]  # A second anchor that is as near as the first adds nothing.
    assert value(coverage(), one) == pytest.approx(0, abs=1e-6)
    assert value(coverage(), np.concatenate([one, one], axis=1)) == pytest.approx(0, abs=1e-6)


def test_conditioning_is_zero_for_orthogonal_anchors_alone():
    def of(rows, **batch):
        return value(conditioning(), X, space=learn.SharedSpace([jnp.asarray(rows, jnp.float32)]), **batch)

    assert of(3 * np.eye(4, 6)) == pytest.approx(0, abs=1e-5)
    cosine = np.array([[1, 0], [0.6, 0.8]])
    assert of(cosine) == pytest.approx(-np.log(1 - 0.36) / 2, rel=1e-3)
    assert of(np.ones((100, 6))) == pytest.approx(-0.99 * np.log(1e-4), rel=0.02)


def test_conditioning_sees_the_mixtures_at_their_temperature():
    space = learn.SharedSpace([jnp.eye(6)], anchors=learn.SoftAnchors(6, 3, key=jax.random.key(0)))
    assert value(conditioning(), X, space=space, temperature=1e-3) == pytest.approx(0, abs=1e-5)
    assert value(conditioning(), X, space=space, temperature=1.0) > 0.05


def test_sparsity_lies_between_its_bounds():
    space = learn.SharedSpace([jnp.asarray(X[:16])], weights=learn.AnchorWeights(16))
    assert value(sparsity(), X, space=space) == pytest.approx(1, abs=1e-6)
    space.weights.raw[...] = jnp.full(16, -200.0).at[3].set(1.0)
    assert value(sparsity(), X, space=space) == pytest.approx(1 / 4, abs=1e-6)


def test_objectives_are_freely_summed():
    both = learn.objectives.weighted((2.0, agreement("cka")), (0.5, coverage()))
    apart = 2 * value(agreement("cka"), X, Y) + value(coverage(), X, Y) / 2
    assert value(both, X, Y) == pytest.approx(apart, rel=1e-5)


def learnable(*clouds):
    """A space all of whose parts are learned, and the loss of an objective as a function of what is learned."""
    mapped = [learn.Metric(cloud) for cloud in clouds]
    mixed = learn.SoftAnchors(len(clouds[0]), 5, key=jax.random.key(0))
    space = learn.SharedSpace(clouds, anchors=mixed, metrics=mapped, weights=learn.AnchorWeights(5))
    space.weights.raw[...] = jnp.linspace(0, 1, 5)
    definition, learned, fixed = nnx.split(space, nnx.Param, ...)

    def loss(objective, learned, batch):
        joined = nnx.merge(definition, learned, fixed)
        return objective(joined, joined(batch.clouds, temperature=batch.temperature), batch)

    return learned, loss


quickly_compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def of_all(objectives, loss, way, learned, batch):
    """Of each objective its value or its gradient: together, so that one compilation serves all."""
    return {name: way(partial(loss, objective))(learned, batch) for name, objective in objectives.items()}


ENERGY, ELEMENT = np.sin(np.arange(N)), np.arange(N) // 3 % 4


def test_gradients_agree_with_finite_differences():
    """Along a direction drawn at random."""
    with jax.enable_x64(True):
        clouds = [jnp.asarray(cloud[:24], jnp.float64) for cloud in (X, Y[:, :4])]
        learned, loss = learnable(*clouds)
        batch = batch_of(*clouds, structure=STRUCTURE[:24], progress=0.5, energy=ENERGY[:24], element=ELEMENT[:24])
        values, slopes = (quickly_compiled(partial(of_all, OBJECTIVES, loss, way)) for way in (lambda f: f, jax.grad))
        random = np.random.default_rng(0)
        direction = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)), learned)
        moved = lambda step: values(jax.tree.map(lambda a, d: a + step * d, learned, direction), batch)
        ahead, behind = moved(1e-4), moved(-1e-4)
        for name, slope in slopes(learned, batch).items():
            products = jax.tree.map(lambda a, d: float(jnp.sum(a * d)), slope, direction)
            found, expected = sum(jax.tree.leaves(products)), float(ahead[name] - behind[name]) / 2e-4
            # The derivatives of a solver err in proportion to its threshold.
            assert found == pytest.approx(expected, rel=2e-2 if name == "sinkhorn_divergence" else 1e-5), name
            assert abs(found) > 1e-3, f"{name} has no gradient: the above says nothing"
            assert ahead[name].dtype == jnp.float64


ISOTROPIC = np.tile(np.eye(6, dtype=np.float32), (N // 6, 1)) * np.repeat([1, -1], N // 2)[:, None].astype(np.float32)
DEGENERATE = {
    "coinciding atoms": (np.concatenate([X[:30], X[:30]]), np.concatenate([Y[:30], Y[:30]])),
    "all atoms coincide": (np.tile(X[:1], (N, 1)), Y),
    "zero rows": (X * (np.arange(N) % 3 > 0)[:, None].astype(np.float32), Y),
    "repeated singular values": (ISOTROPIC, ISOTROPIC[:, ::-1]),
}
UNDEFINED = {("all atoms coincide", "procrustes"), ("all atoms coincide", "cka")}  # By the convention of `metrics`.


def test_gradients_stay_finite():
    """Also at temperatures near zero, of the objectives and of the mixtures."""
    learned, loss = learnable(jnp.asarray(X), jnp.asarray(Y))
    cold = {name: agreement(name, temperatures=(0.1, 1e-6)) for name in ("matching", "neighbours")}
    slopes = quickly_compiled(partial(of_all, OBJECTIVES | cold, loss, jax.grad))
    targets = {"energy": ENERGY, "element": ELEMENT}

    def check(case, batch):
        for name, slope in slopes(learned, batch).items():
            finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
            assert finite or (case, name) in UNDEFINED, (case, name)

    for case, clouds in DEGENERATE.items():
        check(case, batch_of(*clouds, **targets))
    check("temperature", batch_of(X, Y, temperature=1e-6, **targets))
    check("no targets", batch_of(X, Y, energy=np.full(N, np.nan), element=np.full(N, np.nan)))
    learned["weights"]["raw"][...] = jnp.full(5, -200.0).at[0].set(1.0)
    check("zero weights", batch_of(X, Y, **targets))


@pytest.mark.usefixtures("as_users_call")
def test_wrong_use_says_what_is_wrong():
    wrong = {
        "`measure` must be one of 'matching'": lambda: agreement("mutual"),
        "`temperatures` must be positive, got 0": lambda: agreement("matching", temperatures=(0.1, 0)),
        "`per` must be one of": lambda: values("energy", per="element"),
        "`ridge` must be positive": lambda: values("energy", ridge=0.0),
        "`num_classes` must be at least 1": lambda: classes("element", num_classes=0),
        "`temperature` must be positive": lambda: coverage(temperature=0.0),
        "`terms` must be at least one": lambda: learn.objectives.weighted(),
        "`agreement` must be of two or more models, got 1": lambda: value(agreement(), X),
        "`target` must be one of element, got 'energy'": lambda: value(values("energy"), X, element=ELEMENT),
        "`sparsity` must see anchor weights": lambda: value(
            sparsity(), X, space=learn.SharedSpace([jnp.asarray(X[:5])])
        ),
    }
    for message, call in wrong.items():
        with pytest.raises(ValueError, match=message.replace("(", r"\(")):
            call()
