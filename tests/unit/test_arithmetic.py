from functools import cache, partial

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import optax
import pytest
from flax import nnx
from scipy.optimize import linear_sum_assignment, minimize
from scipy.special import xlogy

from platonic_jax import arithmetic, learn, metrics, testing

RNG = np.random.default_rng(0)
# Crystals of 4, 3, 0 and 5 atoms, not in order; an offset, as embeddings have one.
INDEX = np.array([1, 0, 3, 3, 0, 1, 3, 0, 3, 1, 0, 3], np.int32)
SPECIES = np.array([8, 22, 8, 22, 8, 8, 12, 8, 8, 22, 22, 12], np.int32)
X = (RNG.normal(size=(12, 3)) * [2, 1, 0.3] + 1).astype(np.float32)
WEIGHTS = RNG.uniform(0.2, 2, size=12).astype(np.float32)
ELEMENTS = (12, 8, 22, 99)

_pool = jax.jit(arithmetic.pool, static_argnames=("how", "num_structures", "elements"))


def pool(x, index=INDEX, *, species=SPECIES, **settings):
    return np.asarray(_pool(x, index, species=species, elements=ELEMENTS, num_structures=4, **settings))


@pytest.mark.parametrize("how", arithmetic.POOLINGS)
def test_the_order_of_atoms_does_not_matter(how):
    order = RNG.permutation(12)
    permuted = pool(X[order], INDEX[order], species=SPECIES[order], weights=WEIGHTS[order], how=how)
    np.testing.assert_allclose(permuted, pool(X, weights=WEIGHTS, how=how), atol=1e-5)


@pytest.mark.parametrize("how", arithmetic.POOLINGS)
def test_a_supercell_of_eight_cells_is_the_same_but_for_the_sum(how):
    eight = [np.tile(rows, (8, 1)[: rows.ndim]) for rows in (X, INDEX, SPECIES)]
    factor = 8 if how == "sum" else 1
    np.testing.assert_allclose(
        pool(eight[0], eight[1], species=eight[2], how=how), factor * pool(X, how=how), rtol=1e-5
    )


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_pooling_agrees_with_numpy_crystal_by_crystal(weights):
    sums, means, covariances, elements = (pool(X, weights=weights, how=how) for how in arithmetic.POOLINGS)
    assert covariances.shape == (4, 3 + 6)
    assert elements.shape == (4, 4 * 3)
    for crystal in (0, 1, 3):
        of = crystal == INDEX
        x, w = X[of].astype(np.float64), np.ones(of.sum()) if weights is None else weights[of]
        np.testing.assert_allclose(sums[crystal], w @ x, atol=1e-5)
        np.testing.assert_allclose(means[crystal], np.average(x, axis=0, weights=w), atol=1e-5)
        covariance = np.cov(x.T, aweights=w, ddof=0)
        entries = [covariance[i, j] * (1 if i == j else np.sqrt(2)) for i in range(3) for j in range(i, 3)]
        np.testing.assert_allclose(covariances[crystal], [*means[crystal], *entries], atol=1e-5)
        for place, element in enumerate(ELEMENTS):
            its = SPECIES[of] == element
            expected = np.average(x[its], axis=0, weights=w[its]) if its.any() else np.zeros(3)
            np.testing.assert_allclose(elements[crystal, 3 * place : 3 * place + 3], expected, atol=1e-5)
    for vectors in (sums, means, covariances, elements):
        assert not vectors[2].any()  # A crystal without atoms.


def test_distances_between_covariances_are_those_between_matrices():
    vectors = pool(X, how="covariance")
    matrices = [np.cov(X[crystal == INDEX].T, ddof=0) for crystal in (0, 1)]
    expected = np.linalg.norm(matrices[0] - matrices[1])
    assert np.linalg.norm(vectors[0, 3:] - vectors[1, 3:]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("how", arithmetic.POOLINGS)
def test_equal_weights_are_none_and_an_atom_of_weight_zero_is_absent(how):
    equal = np.full(12, 1 if how == "sum" else 2.5, np.float32)
    np.testing.assert_allclose(pool(X, weights=equal, how=how), pool(X, how=how), atol=1e-5)
    absent = np.isin(np.arange(12), [1, 2, 9])
    elsewhere = X + 100 * absent[:, None].astype(np.float32)
    without = pool(elsewhere, weights=np.where(absent, 0, WEIGHTS), how=how)
    there = ~absent
    left = pool(X[there], INDEX[there], species=SPECIES[there], weights=WEIGHTS[there], how=how)
    np.testing.assert_allclose(without, left, atol=1e-5)


@pytest.mark.parametrize("how", arithmetic.POOLINGS)
def test_gradients_of_pooling_agree_with_finite_differences(how):
    with jax.enable_x64(True):
        pooled = lambda x, weights: _pool(
            x, INDEX, weights=weights, how=how, num_structures=4, species=SPECIES, elements=ELEMENTS
        )
        arguments = jnp.asarray(X, jnp.float64), jnp.asarray(WEIGHTS, jnp.float64)
        assert pooled(*arguments).dtype == jnp.float64
        jax.test_util.check_grads(pooled, arguments, order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


def test_the_number_of_crystals_is_counted_where_it_can_be():
    counted = arithmetic.pool(jnp.asarray(X), jnp.asarray(INDEX))
    assert counted.dtype == jnp.float32
    np.testing.assert_allclose(counted, pool(X, how="mean"), atol=1e-5)
    assert pool(X, how="mean").shape == (4, 3)
    with pytest.raises(ValueError, match=r"`num_structures` must be given inside `jax.jit`, got none"):
        jax.jit(arithmetic.pool)(X, INDEX)


# --- Sums and differences of crystals

# Rows 20 to 29 are twins of the first ten.
CANDIDATES = np.concatenate([(rows := RNG.normal(size=(20, 4)) + 3), rows[:10]]).astype(np.float32)
TERMS = [2, 2, 5]


def cosines(targets, candidates):
    """From the mean of the candidates, in float64."""
    unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)
    origin = candidates.astype(np.float64).mean(axis=0)
    return unit(targets - origin) @ unit(candidates - origin).T


_analogy = jax.jit(arithmetic.analogy)


def analogy(candidates, terms=TERMS, coefficients=(1.0, -1.0, 1.0), **settings):
    candidates = jnp.asarray(candidates, jnp.float32)
    rows, factors = candidates[np.array(terms)], jnp.asarray(coefficients, jnp.float32)
    return np.asarray(_analogy(rows, factors, candidates, **settings))


def test_a_crystal_less_itself_and_another_is_the_other():
    similarity = analogy(CANDIDATES[:20])
    assert similarity.argmax() == 5
    assert similarity[5] == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(similarity, cosines(CANDIDATES[5:6], CANDIDATES[:20])[0], atol=1e-5)


def test_an_analogy_agrees_with_its_formula():
    origin = CANDIDATES.astype(np.float64).mean(axis=0)
    moved = CANDIDATES - origin
    target = 2 * moved[1] - 0.5 * moved[4] + moved[7]
    expected = moved @ target / np.linalg.norm(moved, axis=1) / np.linalg.norm(target)
    np.testing.assert_allclose(analogy(CANDIDATES, [1, 4, 7], [2, -0.5, 1]), expected, atol=1e-5)
    target = CANDIDATES[1] - CANDIDATES[4] + CANDIDATES[7]
    expected = CANDIDATES @ target / np.linalg.norm(CANDIDATES, axis=1) / np.linalg.norm(target)
    from_zero = analogy(CANDIDATES, [1, 4, 7], [1, -1, 1], origin=jnp.zeros(4, jnp.float32))
    np.testing.assert_allclose(from_zero, expected, atol=1e-5)


def test_an_analogy_does_not_see_rotation_scale_place_or_the_order_of_terms():
    terms, coefficients = [1, 4, 7], [2, -0.5, 1]
    expected = analogy(CANDIDATES, terms, coefficients)
    rotation = np.asarray(testing.random_rotation(jax.random.key(0), 4))
    for changed in (CANDIDATES @ rotation, 1000 * CANDIDATES, CANDIDATES + 5):
        np.testing.assert_allclose(analogy(changed, terms, coefficients), expected, atol=1e-5)
    np.testing.assert_allclose(analogy(CANDIDATES, [7, 1, 4], [1, 2, -0.5]), expected, atol=1e-5)


def test_at_the_origin_there_is_no_direction():
    origin = jnp.asarray(CANDIDATES[3])
    assert analogy(CANDIDATES[:20], origin=origin)[3] == 0
    assert not analogy(CANDIDATES[:20], [4, 4], [1, -1]).any()
    slope = jax.jit(jax.grad(lambda x: jnp.sum(arithmetic.analogy(x[:1], jnp.ones(1, x.dtype), x, origin=x[0]))))
    assert np.isfinite(slope(jnp.asarray(CANDIDATES[:20]))).all()


TARGETS = (RNG.normal(size=(17, 4)) + 3).astype(np.float32)
ANSWERS = RNG.integers(30, size=17).astype(np.int32)
LEFT_OUT = RNG.integers(-1, 30, size=(17, 5)).astype(np.int32)
# The answer itself counts for nothing there; its twin does.
LEFT_OUT[:6, 0] = ANSWERS[:6]
LEFT_OUT[3:9, 1] = (ANSWERS[3:9] + 20) % 30
LEFT_OUT[9, :] = -1


def ranks(targets=TARGETS, answers=ANSWERS, *, left_out=None):
    compiled_anew = jax.jit(lambda *arrays, left_out: arithmetic.ranks(*arrays, left_out=left_out))
    return compiled_anew(targets, CANDIDATES, answers, left_out=left_out)


def counted(left_out):
    """A plain count, one target at a time."""
    better, tied = [], []
    for row, answer, out in zip(cosines(TARGETS, CANDIDATES), ANSWERS, left_out, strict=True):
        others = [c for c in range(30) if c != answer and c not in out]
        better.append(sum(row[c] > row[answer] + 1e-6 for c in others))
        tied.append(sum(abs(row[c] - row[answer]) <= 1e-6 for c in others))
    return better, tied


@pytest.mark.parametrize("rows", [None, 4])
def test_ranks_agree_with_a_plain_count_in_tiles_of_any_size(rows, monkeypatch):
    if rows is not None:
        monkeypatch.setattr(arithmetic, "rows_per_tile", lambda width: rows)
    for left_out in (None, LEFT_OUT):
        better, tied = ranks(left_out=left_out)
        expected = counted(np.full((17, 1), -1) if left_out is None else left_out)
        np.testing.assert_array_equal(better, expected[0])
        np.testing.assert_array_equal(tied, expected[1])
        assert np.unique(tied).tolist() == [0, 1]


def test_the_places_of_all_candidates_fill_the_list():
    """With each candidate in turn as the answer, ranks sum to 1 + 2 + … + m, and k of them are among the first k."""
    places = ranks(np.repeat(TARGETS[:1], 30, axis=0), np.arange(30, dtype=np.int32))
    assert np.count_nonzero(places.tied) == 20
    for k in (1, 2, 5, 29, 30, 40):
        assert np.sum(places.hits(k)) == pytest.approx(min(k, 30), abs=1e-5)
    assert np.sum(places.rank) == pytest.approx(30 * 31 / 2)
    np.testing.assert_allclose(places.rank, 1 + np.asarray(places.better) + np.asarray(places.tied) / 2)


def test_the_similarities_that_are_ranked_are_those_of_analogies():
    origin = np.zeros(4, np.float32)
    similarity = analogy(CANDIDATES[:20], [1, 4, 7], [1, -1, 1], origin=origin)
    target = CANDIDATES[1] - CANDIDATES[4] + CANDIDATES[7]
    repeated, answers = np.repeat(target[None], 20, axis=0), np.arange(20, dtype=np.int32)
    better, tied = jax.jit(arithmetic.ranks)(repeated, CANDIDATES[:20], answers, origin=origin)
    np.testing.assert_array_equal(better, np.argsort(np.argsort(-similarity)))
    assert not np.any(tied)


def test_a_reaction_is_products_less_reactants():
    units = RNG.normal(size=(4, 3)).astype(np.float32)
    coefficients = np.array([[1, -2, 0, 0.5], [0, 0, 3, -1]], np.float32)
    found = arithmetic.reaction(jnp.asarray(units), jnp.asarray(coefficients))
    np.testing.assert_allclose(found, coefficients @ units, atol=1e-5)
    twice = jnp.asarray(units[[0, 1, 0, 1]])
    same = arithmetic.reaction(twice, jnp.asarray([[2, 1, -2, -1]], jnp.float32))
    assert np.abs(same).max() < 1e-5


def test_what_all_atoms_of_an_element_have_in_common_cancels_in_a_balanced_reaction():
    """2 Mg + O2 → 2 MgO, as cells of one, two and eight atoms; the sum over a formula unit is what counts."""
    species = np.array([12] + [8, 8] + [12, 8] * 4)
    index = np.repeat([0, 1, 2], [1, 2, 8])
    per_unit = np.array([[1], [1], [1 / 4]], np.float32)
    x = RNG.normal(size=(11, 3)).astype(np.float32)
    common = {12: RNG.normal(size=3), 8: RNG.normal(size=3)}
    moved = x + 10 * np.array([common[element] for element in species.tolist()], np.float32)

    def change(x, coefficients):
        units = arithmetic.pool(jnp.asarray(x), jnp.asarray(index), how="sum") * per_unit
        return np.asarray(arithmetic.reaction(units, jnp.asarray([coefficients], jnp.float32)))

    np.testing.assert_allclose(change(moved, [-2, -1, 2]), change(x, [-2, -1, 2]), atol=1e-4)
    assert np.abs(change(moved, [-1, -1, 2]) - change(x, [-1, -1, 2])).max() > 1


# --- Clouds of atoms

S, A = 3, 6
CLOUDS = RNG.normal(size=(S, A, 3))
OTHERS = RNG.normal(size=(S, A, 3)) * 0.8 + 0.5
UNIFORM = np.full((S, A), 1 / A)
PAIRS = np.stack(np.divmod(np.arange(S * S, dtype=np.int32), S), axis=1)
EPSILON = 0.1
BLUR = EPSILON * 10
# Unlike atoms, and rows that only fill up, whatever lies there.
MASS = np.array([[0.5, 0.3, 0.2, 0, 0, 0]] * S)


@cache
def compiled(tau):
    """Distances, and the slopes of their sum with unlike signs: compiled once for all tests that follow."""

    threshold = 1e-6 if tau == 1 else 1e-9  # The value errs in proportion to its square, or to itself.

    def total(*arguments):
        *clouds, scale = arguments
        distances = arithmetic.cloud_distances(
            *clouds,
            jnp.asarray(PAIRS),
            epsilon=EPSILON,
            scale=scale,
            tau=tau,
            threshold=threshold,
            max_iterations=20_000,
        )
        return jnp.sum(jnp.cos(jnp.arange(S * S, dtype=float)) * distances.value), distances

    return jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2, 3, 4), has_aux=True))


def solved(x, mass_x, y, mass_y, *, scale=10.0, tau=1.0):
    with jax.enable_x64(True):
        arguments = (jnp.asarray(argument, jnp.float64) for argument in (x, mass_x, y, mass_y, scale))
        return compiled(tau)(*arguments)


def distances(*arguments, **settings):
    """(S, S) of all pairs, in float64."""
    (_, (value, converged)), _ = solved(*arguments, **settings)
    assert converged.all()
    return np.asarray(value).reshape(S, S)


def squares(x, y):
    return np.sum((x[:, None] - y[None]) ** 2, axis=2)


default_distances = jax.jit(arithmetic.cloud_distances)


def test_uniform_clouds_lie_apart_by_the_sinkhorn_divergence():
    """Blurred by a share of the mean square between the atoms of all clouds."""
    x, y, mass = (rows.astype(np.float32) for rows in (CLOUDS, OTHERS, UNIFORM))
    value, converged = default_distances(x, mass, y, mass, PAIRS)
    assert value.dtype == jnp.float32
    assert converged.all()
    atoms = np.concatenate([CLOUDS.reshape(-1, 3), OTHERS.reshape(-1, 3)])
    scale = squares(atoms, atoms).mean()
    for (i, j), found in zip(PAIRS, value, strict=True):
        relative = float(0.01 * scale / squares(CLOUDS[i], OTHERS[j]).mean())
        expected = metrics.sinkhorn_divergence(jnp.asarray(x[i]), jnp.asarray(y[j]), epsilon=relative)
        assert found == pytest.approx(float(expected), abs=1e-5 * scale)


def test_by_default_distances_grow_with_the_square_of_the_clouds():
    """Of the atoms that are there: what fills up does not count."""
    filled = CLOUDS * 5 + 20 * (MASS == 0)[:, :, None]
    there, larger, mass = (rows.astype(np.float32) for rows in (CLOUDS, filled, MASS))
    value, large = (default_distances(x, mass, x, mass, PAIRS).value for x in (there, larger))
    np.testing.assert_allclose(large, 25 * value, atol=25e-5)
    assert value.max() > 1


def test_the_smaller_the_blur_the_nearer_is_the_exact_squared_distance_of_wasserstein():
    def exact(x, y):
        cost = squares(x, y)
        return cost[linear_sum_assignment(cost)].mean()

    expected = np.array([[exact(x, y) for y in OTHERS] for x in CLOUDS])
    found = [distances(CLOUDS, UNIFORM, OTHERS, UNIFORM, scale=scale) for scale in (20, 5)]
    x, y, mass = (rows.astype(np.float32) for rows in (CLOUDS, OTHERS, UNIFORM))
    found.append(np.asarray(default_distances(x, mass, y, mass, PAIRS).value).reshape(S, S))
    errors = [np.abs(values / expected - 1).max() for values in found]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02


@pytest.mark.parametrize("tau", [1.0, 0.9])
def test_a_cloud_is_at_distance_zero_from_itself_and_distances_are_symmetric(tau):
    own = distances(CLOUDS, MASS, CLOUDS, MASS, tau=tau)
    np.testing.assert_allclose(np.diag(own), 0, atol=1e-7)
    assert own[~np.eye(S, dtype=bool)].min() > 0.05
    there, back = (
        distances(CLOUDS, UNIFORM, OTHERS, MASS, tau=tau),
        distances(OTHERS, MASS, CLOUDS, UNIFORM, tau=tau),
    )
    np.testing.assert_allclose(there, back.T, atol=1e-7)
    assert np.abs(there - there.T).max() > 0.01


@pytest.mark.parametrize("tau", [1.0, 0.9])
def test_a_supercell_is_the_same_cloud_and_what_fills_up_does_not_count(tau):
    cell = np.concatenate([CLOUDS[:, :3], 7 + 0 * CLOUDS[:, :3]], axis=1)
    mass = np.array([[1 / 3] * 3 + [0] * 3] * S)
    double = np.tile(CLOUDS[:, :3], (1, 2, 1))
    expected = distances(cell, mass, OTHERS, UNIFORM, tau=tau)
    np.testing.assert_allclose(distances(double, UNIFORM, OTHERS, UNIFORM, tau=tau), expected, atol=1e-7)
    order = RNG.permutation(A)
    np.testing.assert_allclose(
        distances(OTHERS, UNIFORM, cell[:, order], mass[:, order], tau=tau), expected.T, atol=1e-7
    )
    # Unlike shares of one atom are one atom.
    split, of_split = double[:, [0, 1, 0, 0, 1, 2]], np.array([[0.1, 0.2, 0.2, 1 / 30, 2 / 15, 1 / 3]] * S)
    np.testing.assert_allclose(distances(split, of_split, OTHERS, UNIFORM, tau=tau), expected, atol=1e-7)


def plain_cost(x, a, y, b, *, tau):
    """The least ⟨P, C⟩ + ε KL(P | a ⊗ b) + ρ KL(P1 | a) + ρ KL(Pᵀ1 | b) that a quasi-Newton method finds."""
    cost, product, rho = squares(x, y), a[:, None] * b[None], BLUR * tau / (1 - tau)
    divergence = lambda p, q: np.sum(xlogy(p, p / q) - p + q)

    def value(logarithms):
        plan = np.exp(logarithms.reshape(cost.shape))
        of_x, of_y = plan.sum(axis=1), plan.sum(axis=0)
        slope = cost + BLUR * np.log(plan / product) + rho * (np.log(of_x / a)[:, None] + np.log(of_y / b)[None])
        total = np.sum(plan * cost) + BLUR * divergence(plan, product)
        return total + rho * (divergence(of_x, a) + divergence(of_y, b)), (plan * slope).ravel()

    return minimize(value, np.log(product).ravel(), jac=True, method="L-BFGS-B", tol=1e-12).fun


def test_unbalanced_distances_are_the_least_of_their_objective():
    masses = MASS[0, :3], np.array([0.3, 0.9, 0.3])
    filled = np.concatenate([np.tile(masses[1], (S, 1)), np.zeros((S, 3))], axis=1)
    found = distances(CLOUDS, MASS, OTHERS, filled, tau=0.9)
    for i, j in ((0, 0), (1, 2)):
        x, y = CLOUDS[i, :3], OTHERS[j, :3]
        between = plain_cost(x, masses[0], y, masses[1], tau=0.9)
        own = [plain_cost(rows, mass, rows, mass, tau=0.9) for rows, mass in zip((x, y), masses, strict=True)]
        expected = between - sum(own) / 2 + BLUR / 2 * (masses[0].sum() - masses[1].sum()) ** 2
        assert found[i, j] == pytest.approx(expected, abs=1e-5)


def test_mass_that_would_go_far_is_dropped_where_transport_is_unbalanced():
    mass = np.array([[0.198] * 5 + [0.01]] * S)

    def distance(way, **settings):
        y = CLOUDS.copy()
        y[:, 5, 0] += way
        return np.diag(distances(CLOUDS, mass, y, mass, **settings))

    np.testing.assert_allclose(distance(60) / distance(30), 4, rtol=0.1)
    np.testing.assert_allclose(distance(60, tau=0.9), distance(30, tau=0.9), rtol=0.01)
    assert (distance(30, tau=0.9) < distance(30) / 50).all()
    assert (distance(30, tau=0.9) > 0).all()


def test_clouds_of_unlike_mass_have_no_balanced_distance():
    (_, (value, converged)), _ = solved(CLOUDS, UNIFORM, CLOUDS, 1.5 * UNIFORM)
    assert not converged.any()
    assert np.isnan(value).all()
    unbalanced = distances(CLOUDS, UNIFORM, CLOUDS, 1.5 * UNIFORM, tau=0.9)
    assert unbalanced.min() > 0.01


@pytest.mark.parametrize("tau", [1.0, 0.9])
def test_gradients_of_distances_agree_with_finite_differences(tau):
    mass = RNG.uniform(0.5, 1.5, size=(2, S, A))
    mass /= mass.sum(axis=2, keepdims=True)
    arguments = [CLOUDS, mass[0], OTHERS, mass[1], np.array(9.0)]
    slopes = [np.asarray(slope) for slope in solved(*arguments[:4], scale=arguments[4], tau=tau)[1]]
    for place, slope in enumerate(slopes):
        direction = RNG.normal(size=slope.shape)
        if place in (1, 3) and tau == 1:  # Where all of it has to be carried, mass can only be moved.
            direction -= direction.mean(axis=1, keepdims=True)
        ahead, behind = (
            solved(*moved[:4], scale=moved[4], tau=tau)[0][0]
            for step in (1e-5, -1e-5)
            for moved in [[*arguments[:place], arguments[place] + step * direction, *arguments[place + 1 :]]]
        )
        assert np.sum(slope * direction) == pytest.approx(float(ahead - behind) / 2e-5, rel=1e-4)


@pytest.mark.parametrize("tau", [1.0, 0.9])
def test_rows_that_fill_up_have_finite_gradients(tau):
    _, slopes = solved(CLOUDS, MASS, OTHERS, MASS, tau=tau)
    for name, slope in zip(("x", "mass_x", "y", "mass_y", "scale"), slopes, strict=True):
        assert np.isfinite(slope).all(), name
    for slope in (slopes[0], slopes[2]):
        np.testing.assert_allclose(np.asarray(slope)[:, 3:], 0, atol=1e-12)
        assert np.abs(slope).max() > 0.1


def test_what_has_not_converged_is_no_number():
    x, y, mass = (rows.astype(np.float32) for rows in (CLOUDS, OTHERS, UNIFORM))
    once = jax.jit(partial(arithmetic.cloud_distances, max_iterations=1))
    value, converged = once(x, mass, y, mass, PAIRS)
    assert not converged.any()
    assert np.isnan(value).all()


# --- Which atoms count


def attention(direction):
    module = learn.Attention(3)
    module.direction[...] = jnp.asarray(direction, module.direction.dtype)
    return module


def weights_of(module, x=X, index=INDEX):
    return np.asarray(module(jnp.asarray(x), jnp.asarray(index), num_structures=4))


def test_attention_is_uniform_at_first():
    np.testing.assert_allclose(weights_of(learn.Attention(3)), 1 / np.bincount(INDEX)[INDEX], rtol=1e-6)


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_attention_is_a_softmax_within_each_crystal(size):
    direction = size * np.array([1.0, -2.0, 3.0])
    weights = weights_of(attention(direction))
    assert weights.dtype == np.float32
    raised = np.exp(X @ direction - [(X[i == INDEX] @ direction).max() for i in INDEX])
    np.testing.assert_allclose(weights, raised / np.bincount(INDEX, raised)[INDEX], atol=1e-5)
    np.testing.assert_allclose(np.bincount(INDEX, weights)[[0, 1, 3]], 1, atol=1e-5)


def test_what_is_pooled_by_attention_is_the_same_for_supercells_and_any_order():
    module = attention([1.0, -2.0, 3.0])
    expected = pool(X, weights=weights_of(module), how="covariance")
    plain = pool(X, how="covariance")
    assert np.abs(expected - plain).max() > 0.1
    order = RNG.permutation(12)
    moved = pool(X[order], INDEX[order], weights=weights_of(module, X[order], INDEX[order]), how="covariance")
    np.testing.assert_allclose(moved, expected, atol=1e-5)
    x, index, species = np.tile(X, (8, 1)), np.tile(INDEX, 8), np.tile(SPECIES, 8)
    eight = pool(x, index, species=species, weights=weights_of(module, x, index), how="covariance")
    np.testing.assert_allclose(eight, expected, atol=1e-5)


def test_attention_learns_which_element_decides():
    """Two elements, told apart by the first column; the target is the mean of the last column of one of them."""
    index = np.repeat(np.arange(40), 4)
    metal = np.tile([True, False, False, False], 40)
    x = RNG.normal(size=(160, 3)).astype(np.float32)
    x[:, 0] = np.where(metal, 1, -1)
    target = x[metal, 2]
    rest, state = nnx.split(learn.Attention(3))
    optimiser = optax.adam(0.1)

    def loss(state):
        weights = nnx.merge(rest, state)(jnp.asarray(x), jnp.asarray(index), num_structures=40)
        pooled = arithmetic.pool(jnp.asarray(x), jnp.asarray(index), weights=weights, num_structures=40)
        return jnp.mean((pooled[:, 2] - target) ** 2)

    def step(carry, _):
        state, memory = carry
        value, slope = jax.value_and_grad(loss)(state)
        with jax.numpy_dtype_promotion("standard"):
            updates, memory = optimiser.update(slope, memory)
        return (optax.apply_updates(state, updates), memory), value

    (state, _), losses = jax.jit(partial(jax.lax.scan, step, length=200))((state, optimiser.init(state)))
    assert losses[0] > 0.3
    assert losses[-1] < 1e-3
    learned = nnx.merge(rest, state)
    assert np.asarray(learned(jnp.asarray(x), jnp.asarray(index), num_structures=40))[metal].min() > 0.9
    direction = np.abs(learned.direction[...])
    assert direction[0] > 5 * direction[1:].max()


def test_gradients_of_attention_are_finite_and_agree_with_finite_differences():
    rest, state = nnx.split(learn.Attention(3))

    @jax.jit
    def pooled(x, direction):
        weights = nnx.merge(rest, jax.tree.map(lambda _: direction, state))(x, jnp.asarray(INDEX), num_structures=4)
        return _pool(x, INDEX, weights=weights, how="mean", num_structures=4)

    with jax.enable_x64(True):
        arguments = jnp.asarray(X, jnp.float64), jnp.asarray([1.0, -2.0, 0.5])
        jax.test_util.check_grads(pooled, arguments, order=1, modes=["rev"], atol=1e-6, rtol=1e-6)
    module, index = attention([1.0, -2.0, 0.5]), jnp.asarray(INDEX)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(module(x, index, num_structures=4) ** 2)))
    assert np.isfinite(slope(jnp.asarray(1e4 * X))).all()


# --- Wrong input


def test_faults_of_pooling_are_named(as_users_call):
    x, index = jnp.asarray(X), jnp.asarray(INDEX)
    with pytest.raises(ValueError, match="`how` must be one of 'sum', 'mean', 'covariance', 'elements', got 'max'"):
        arithmetic.pool(x, index, how="max")
    with pytest.raises(ValueError, match="`structure_index` must have one entry a row of `x`, got 11 for 12 rows"):
        arithmetic.pool(x, index[:11])
    with pytest.raises(ValueError, match="`num_structures` must be at least 1, got 0"):
        arithmetic.pool(x, index, num_structures=0)
    for given in ({"elements": (8,)}, {"species": jnp.asarray(SPECIES)}):
        with pytest.raises(ValueError, match='`species` and `elements` must be given where `how` is "elements"'):
            arithmetic.pool(x, index, how="elements", **given)
    with pytest.raises(ValueError, match="`width` must be at least 1, got 0"):
        learn.Attention(0)


def test_faults_of_sums_are_named(as_users_call):
    x, one = jnp.asarray(CANDIDATES), jnp.ones(1, jnp.float32)
    with pytest.raises(ValueError, match="`terms` and `candidates` must have the same columns, got 3 and 4"):
        arithmetic.analogy(x[:1, :3], one, x)
    with pytest.raises(ValueError, match="`coefficients` must be one a term, got 1 for 2 terms"):
        arithmetic.analogy(x[:2], one, x)
    with pytest.raises(ValueError, match="`targets` and `candidates` must have the same columns, got 3 and 4"):
        arithmetic.ranks(x[:1, :3], x, jnp.zeros(1, jnp.int32))
    with pytest.raises(ValueError, match="`coefficients` must have one column a vector of `x`, got 1 for 30"):
        arithmetic.reaction(x, one[None])


def test_faults_of_clouds_are_named(as_users_call):
    x, mass = jnp.asarray(CLOUDS, jnp.float32), jnp.asarray(UNIFORM, jnp.float32)
    measure = lambda y=x, **settings: arithmetic.cloud_distances(x, mass, y, mass, jnp.asarray(PAIRS), **settings)
    with pytest.raises(ValueError, match="`x` and `y` must have the same columns, got 3 and 2"):
        measure(x[:, :, :2])
    with pytest.raises(ValueError, match="`epsilon` must be positive, got 0"):
        measure(epsilon=0)
    with pytest.raises(ValueError, match="`tau` must be positive, got 0"):
        measure(tau=0)
    with pytest.raises(ValueError, match=r"`tau` must be at most 1, got 1\.1"):
        measure(tau=1.1)
