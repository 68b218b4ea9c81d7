"""Stitching: maps that must be exact are, against scikit-learn, closed forms and finite differences."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reports
import schemed
from ase import Atoms
from platonic_adapters import store
from platonic_adapters.readout import Readout, by_number
from platonic_adapters.structures import Structures
from sklearn.linear_model import LinearRegression, RidgeCV

import platonic_jax as pj
from platonic_jax import analyses, learn, metrics, plots, projection, stitching
from platonic_jax.analyses._readout_transfer import FITTED
from platonic_jax.cli import main
from platonic_jax.labels import chemical_systems
from platonic_jax.tables import EmbeddingTable

X64 = jax.config.jax_enable_x64
DTYPE = jnp.float64 if X64 else jnp.float32
EXACT = 1e-8 if X64 else 2e-4
ANCHORS = jnp.arange(0, 60, 2)
OF_SIMILARITIES = ("relative", "curved", "anchors")
# Compiled once for all tests.
fit = jax.jit(stitching.fit, static_argnames=("method", "similarity", "ridge", "num_components"))
apply = jax.jit(stitching.apply)
consensus = jax.jit(stitching.consensus)
relative = jax.jit(projection.relative, static_argnames="similarity")
inverse = jax.jit(projection.inverse, static_argnames="similarity")
procrustes = jax.jit(metrics.procrustes, static_argnames="convention")


def cloud(n=200, p=6, *, seed=0):
    """Off the origin, longer in some directions than in others."""
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(n, p)) * np.linspace(0.5, 2, p) + 3, DTYPE)


def rotation(p, *, seed=1):
    return jnp.asarray(np.linalg.qr(np.random.default_rng(seed).normal(size=(p, p)))[0], DTYPE)


def turned(x, *, seed=1):
    return 2.5 * x @ rotation(x.shape[1], seed=seed) - 7


def missed(found, x, y):
    return float(jnp.abs(apply(found, x) - y).max() / jnp.abs(y - y.mean(axis=0)[None]).max())


def options(method):
    return {"anchors": ANCHORS} if method in OF_SIMILARITIES else {}


@pytest.mark.parametrize("method", stitching.METHODS)
def test_a_cloud_is_mapped_to_itself(method):
    x = cloud()
    found = fit(x, x, method=method, **options(method))
    # Cosines lose the lengths of rows, so a linear map of them is no identity.
    assert missed(found, x, x) < {"relative": 0.6, "curved": 20 * EXACT}.get(method, EXACT)


@pytest.mark.parametrize("method", ["orthogonal", "affine", "ridge", "curved", "anchors"])
def test_a_rotation_is_recovered_exactly_and_holds_for_new_rows(method):
    x, new = cloud(), cloud(seed=5)
    found = fit(x, turned(x), method=method, **options(method))
    assert missed(found, new, turned(new)) < (20 if method == "curved" else 1) * EXACT
    if method == "orthogonal":
        np.testing.assert_allclose(found.matrix / 2.5, rotation(6), atol=EXACT)


@pytest.mark.parametrize("similarity", stitching.ZERO_SHOT)
def test_zero_shot_is_exact_for_what_its_similarity_does_not_see(similarity):
    x, new = cloud(), cloud(seed=5)
    found = fit(x, turned(x), method="anchors", anchors=ANCHORS, similarity=similarity)
    assert missed(found, new, turned(new)) < EXACT
    matrix = rotation(6) * jnp.linspace(0.5, 2, 6, dtype=DTYPE)[None]
    bent = fit(x, x @ matrix, method="anchors", anchors=ANCHORS, similarity=similarity)
    assert (missed(bent, new, new @ matrix) < 20 * EXACT) == (similarity == "whitened")


@pytest.mark.parametrize("similarity", stitching.ZERO_SHOT)
def test_zero_shot_is_similarities_read_by_the_other_model(similarity):
    """Row by row, through `projection` alone: the map is the same as what it is defined by."""
    rng = np.random.default_rng(4)
    x = cloud()
    y = jnp.asarray(np.tanh(np.asarray(x) - 3) @ rng.normal(size=(6, 5)) + 1, DTYPE)
    found = apply(fit(x, y, method="anchors", anchors=ANCHORS, similarity=similarity), x)
    a, b = x - x.mean(axis=0)[None], y - y.mean(axis=0)[None]
    kind = {"similarity": similarity}
    seen = relative(a, a[ANCHORS], reference=a, **kind)
    rows = np.asarray(inverse(seen, b[ANCHORS], reference=b, **kind).rows)
    if similarity != "rbf":

        def lengths(z, anchors):
            metric = np.eye(z.shape[1]) if similarity == "cosine" else np.linalg.inv(np.cov(z.T, bias=True))
            return np.sqrt(np.einsum("ij,jk,ik->i", z, metric, z)), np.sqrt(
                np.einsum("ij,jk,ik->i", z[anchors], metric, z[anchors])
            ).mean()

        (of_a, mean_a), (_, mean_b) = (lengths(np.asarray(z, float), np.asarray(ANCHORS)) for z in (a, b))
        rows = rows * (of_a * mean_b / mean_a)[:, None]
    np.testing.assert_allclose(found - y.mean(axis=0)[None], rows, atol=20 * EXACT * np.abs(rows).max())


def test_zero_shot_in_all_principal_components_is_that_in_all_columns():
    x = cloud()
    found = fit(x, turned(x), method="anchors", anchors=ANCHORS, num_components=6)
    assert missed(found, x, turned(x)) < 10 * EXACT
    few = fit(x, turned(x), method="anchors", anchors=ANCHORS, num_components=2)
    assert np.linalg.matrix_rank(np.asarray(few.matrix), tol=1e-3) == 2


def test_affine_is_least_squares():
    x, rng = cloud(), np.random.default_rng(2)
    y = jnp.asarray(np.asarray(x) @ rng.normal(size=(6, 4)) + rng.normal(size=(200, 4)) + 5, DTYPE)
    reference = LinearRegression().fit(np.asarray(x, float), np.asarray(y, float))
    found = fit(x, y, method="affine")
    np.testing.assert_allclose(found.matrix, reference.coef_.T, atol=EXACT)
    np.testing.assert_allclose(apply(found, x), reference.predict(np.asarray(x, float)), atol=10 * EXACT)
    matrix = jnp.asarray(rng.normal(size=(6, 9)), DTYPE)
    assert missed(fit(x, x @ matrix - 2, method="affine"), x, x @ matrix - 2) < EXACT


def test_ridge_is_that_of_scikit_learn():
    """Few rows, many columns and much noise, so that the penalty matters."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 25)) + 2
    y = x @ rng.normal(size=(25, 3)) + 8 * rng.normal(size=(40, 3))
    size = ((x - x.mean(axis=0)) ** 2).sum()
    least = np.log10(25 * np.finfo(DTYPE).eps)
    penalties = 10 ** np.linspace(least, 0, 1 + int(np.ceil(-least)))
    reference = RidgeCV(alphas=penalties * size).fit(x, y)
    found = fit(jnp.asarray(x, DTYPE), jnp.asarray(y, DTYPE))
    assert float(found.ridge) * size == pytest.approx(reference.alpha_, rel=1e-3)
    assert penalties[0] * size < reference.alpha_ < penalties[-1] * size
    np.testing.assert_allclose(found.matrix, reference.coef_.T, atol=10 * EXACT)


def test_the_mean_of_the_penalty_given_is_the_closed_form():
    x, y = np.asarray(cloud(), float), np.asarray(cloud(p=3, seed=4), float)
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    expected = np.linalg.solve(a.T @ a + 0.1 * (a**2).sum() * np.eye(6), a.T @ b)
    found = fit(jnp.asarray(x, DTYPE), jnp.asarray(y, DTYPE), ridge=0.1)
    np.testing.assert_allclose(found.matrix, expected, atol=EXACT)


@pytest.mark.parametrize("similarity", ["cosine", "whitened"])
def test_relative_is_a_ridge_map_of_similarities_that_new_rows_meet_alike(similarity):
    x, new = cloud(), cloud(seed=5)
    y = jnp.asarray(np.sin(np.asarray(x)), DTYPE)
    found = fit(x, y, method="relative", anchors=ANCHORS, similarity=similarity, ridge=1e-2)
    kind = {"similarity": similarity, "reference": x}
    seen, of_new = (np.asarray(relative(z, x[ANCHORS], **kind), float) for z in (x, new))
    a, b = seen - seen.mean(axis=0), np.asarray(y, float) - np.asarray(y, float).mean(axis=0)
    matrix = np.linalg.solve(a.T @ a + 1e-2 * (a**2).sum() * np.eye(a.shape[1]), a.T @ b)
    expected = (of_new - seen.mean(axis=0)) @ matrix + np.asarray(y, float).mean(axis=0)
    np.testing.assert_allclose(apply(found, new), expected, atol=1e-6 if X64 else 5e-3)


@pytest.mark.parametrize("method", stitching.METHODS)
def test_gradients_are_those_of_finite_differences(method):
    x, y = cloud(40, 4), cloud(40, 3, seed=1)
    anchors = {"anchors": jnp.arange(12)} if method in OF_SIMILARITIES else {}
    # A penalty that is chosen may jump; large enough, single precision can follow.
    settled = {"ridge": 1e-2} if method in ("ridge", "relative", "curved") else {}

    @jax.jit
    def loss(x, y):
        found = stitching.fit(x, y, method=method, **anchors, **settled)
        return jnp.sum(jnp.sin(stitching.apply(found, x)))

    rng = np.random.default_rng(0)
    step = 1e-6 if X64 else 1e-2
    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(x, y)
    for place, (z, gradient) in enumerate(zip((x, y), gradients, strict=True)):
        assert jnp.isfinite(gradient).all()
        direction = jnp.asarray(rng.normal(size=z.shape), DTYPE)
        arguments = lambda sign, place=place, z=z, direction=direction: [
            z + sign * step * direction if i == place else (x, y)[i] for i in range(2)
        ]
        slope = float(loss(*arguments(1)) - loss(*arguments(-1))) / (2 * step)
        expected = float(jnp.sum(gradient * direction))
        assert slope == pytest.approx(expected, rel=1e-5 if X64 else 5e-2, abs=1e-5 if X64 else 5e-2)


@pytest.mark.parametrize("method", ["ridge", "curved", "anchors"])
def test_compiled_and_mapped_it_is_the_same(method):
    x, y = cloud(), cloud(p=4, seed=1)
    chosen = {"method": method, **options(method)}
    alone = apply(fit(x, y, **chosen), x)
    assert alone.dtype == DTYPE
    if method == "ridge":
        np.testing.assert_allclose(stitching.apply(stitching.fit(x, y, **chosen), x), alone, atol=50 * EXACT)
    both = lambda x, y: stitching.apply(stitching.fit(x, y, **chosen), x)
    batch = jax.jit(jax.vmap(both))(jnp.stack([x, x[::-1]]), jnp.stack([y, y[::-1]]))
    np.testing.assert_allclose(batch[0], alone, atol=50 * EXACT)


@pytest.mark.usefixtures("as_users_call")
def test_wrong_use_is_one_sentence():
    x = cloud()
    with pytest.raises(ValueError, match="`method` must be one of 'orthogonal', .*, got 'magic'"):
        stitching.fit(x, x, method="magic")
    with pytest.raises(ValueError, match='`anchors` must be given for method "relative", got none'):
        stitching.fit(x, x, method="relative")
    with pytest.raises(ValueError, match="`similarity` must be one of 'cosine', 'rbf', 'whitened', got 'l2'"):
        stitching.fit(x, x, method="anchors", anchors=ANCHORS, similarity="l2")
    with pytest.raises(ValueError, match="`x` and `y` must have the same rows, got 200 and 10"):
        stitching.fit(x, x[:10])
    with pytest.raises(ValueError, match="`ridge` must be positive, got 0"):
        stitching.fit(x, x, ridge=0.0)
    with pytest.raises(ValueError, match="`num_components` must be at least 1, got 0"):
        stitching.fit(x, x, method="anchors", anchors=ANCHORS, num_components=0)
    with pytest.raises(ValueError, match="`xs` must be at least two clouds, got 1"):
        stitching.consensus([x])


# ---- the consensus -----------------------------------------------------------------------------------------------


def test_copies_that_are_turned_moved_scaled_and_padded_agree():
    x = cloud()
    padded = jnp.pad(turned(x, seed=2), ((0, 0), (0, 3)))
    found = consensus([x, turned(x), padded])
    assert bool(found.converged)
    np.testing.assert_allclose(found.distances, 0, atol=1e-6 if X64 else 2e-3)
    assert float(jnp.sum(found.mean**2)) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(found.mean.mean(axis=0), 0, atol=1e-6)
    for z, found_map in zip((x, turned(x), padded), found.maps, strict=True):
        np.testing.assert_allclose(apply(found_map, z), found.mean, atol=1e-5)


def noisy(number=3):
    x, rng = cloud(), np.random.default_rng(6)
    return [turned(x + jnp.asarray(0.3 * (1 + i) * rng.normal(size=x.shape), DTYPE), seed=i) for i in range(number)]


def test_the_mean_is_a_fixed_point_and_nearer_than_any_cloud():
    clouds = noisy()
    found = consensus(clouds)
    assert bool(found.converged)
    mapped = jnp.stack([apply(one, x) for one, x in zip(found.maps, clouds, strict=True)])
    np.testing.assert_allclose(mapped.mean(axis=0), found.mean, atol=1e-5)
    again = [procrustes(x, found.mean, convention="angle") for x in clouds]
    np.testing.assert_allclose(found.distances, again, atol=1e-5)
    assert found.distances[0] < found.distances[1] < found.distances[2]  # As noisy as they were made.
    squares = lambda mean: sum(float((2 * jnp.sin(procrustes(x, mean, convention="angle") / 2)) ** 2) for x in clouds)
    assert all(squares(found.mean) < squares(x) for x in clouds)


def test_the_order_of_clouds_turns_the_mean_alone():
    clouds = noisy()
    found, other = consensus(clouds), consensus(clouds[::-1])
    np.testing.assert_allclose(found.distances, other.distances[::-1], atol=1e-3)
    assert float(procrustes(found.mean, other.mean)) == pytest.approx(1, abs=1e-4)


def test_too_few_steps_are_flagged():
    # Clouds that have nothing in common settle slowly.
    clouds = [cloud(12, 6, seed=i) for i in range(4)]
    assert not bool(stitching.consensus(clouds, num_steps=1).converged)


def test_the_gradient_of_the_distances_is_that_of_finite_differences():
    clouds = [x[:30] for x in noisy()]
    loss = lambda x: jnp.sum(consensus([x, *clouds[1:]]).distances)
    gradient = jax.jit(jax.grad(loss))(clouds[0])
    direction = jnp.asarray(np.random.default_rng(0).normal(size=clouds[0].shape), DTYPE)
    step = 1e-5 if X64 else 1e-2
    slope = float(loss(clouds[0] + step * direction) - loss(clouds[0] - step * direction)) / (2 * step)
    assert slope == pytest.approx(float(jnp.sum(gradient * direction)), rel=1e-4 if X64 else 5e-2, abs=1e-3)


# ---- read-outs ---------------------------------------------------------------------------------------------------


def readout(p, *, seed=0, activation="silu"):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(p, 4)).astype(np.float32), rng.normal(size=(4, 1)).astype(np.float32)]
    biases = [rng.normal(size=4).astype(np.float32), rng.normal(size=1).astype(np.float32)]
    known = [1, 6, 8, 13, 14, 22, 26, 29]
    return Readout("layer", weights, biases, activation, by_number(known, 0.5), by_number(known, -np.arange(8.0)))


def test_energies_are_those_of_the_plain_formula():
    head, x = readout(6), cloud(5)
    species, index = np.array([1, 6, 8, 1, 26]), np.array([0, 0, 1, 1, 1])
    hidden = np.asarray(x) @ head.weights[0] + head.biases[0]
    hidden = hidden / (1 + np.exp(-hidden))
    of_atoms = 0.5 * (hidden @ head.weights[1] + head.biases[1])[:, 0] + head.shift[species]
    of = lambda z: stitching.energies(x, jnp.asarray(z), jnp.asarray(index), readout=head, num_structures=3)
    np.testing.assert_allclose(of(species), [of_atoms[:2].sum(), of_atoms[2:].sum(), 0], rtol=1e-5)
    assert np.isnan(of(np.array([1, 6, 8, 1, 92]))).tolist() == [False, True, False]


@pytest.mark.usefixtures("as_users_call")
def test_a_read_out_of_other_rows_is_refused():
    one = jnp.zeros(5, jnp.int32)
    with pytest.raises(ValueError, match="`x` must have the 7 columns that the read-out reads, got 6: map the rows"):
        stitching.energies(cloud(5), one, one, readout=readout(7), num_structures=1)
    with pytest.raises(ValueError, match="`readout.activation` must be one of 'identity', .*, got 'swish'"):
        stitching.energies(cloud(5), one, one, readout=readout(6, activation="swish"), num_structures=1)


def test_a_store_keeps_the_read_out_and_the_table_of_its_layer_alone_brings_it(tmp_path):
    head, known = readout(6), Structures.from_atoms([Atoms("OH", np.eye(2, 3))], ["a"])
    layers = {name: {"width": 6, "what": "a test"} for name in ("layer", "early")}
    for path, given in (("with.zarr", head), ("without.zarr", None)):
        writer = store.create(
            tmp_path / path, known, layers=layers, default_layer="layer", provenance={"model": "m"}, readout=given
        )
        writer.write(0, {name: np.ones((2, 6), np.float32) for name in layers}, {})
        writer.finish()
    assert pj.load(tmp_path / "without.zarr").readout is None
    assert pj.load(tmp_path / "with.zarr", layer="early").readout is None
    found = pj.load(tmp_path / "with.zarr").readout
    assert (found.layer, found.activation) == (head.layer, head.activation)
    for name in ("weights", "biases"):
        for ours, theirs in zip(getattr(found, name), getattr(head, name), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(found.scale, head.scale)
    np.testing.assert_array_equal(found.shift, head.shift)


# ---- the studies: they set their own precision -------------------------------------------------------------------

STRUCTURES = 150
SYSTEMS = list(itertools.combinations(["O", "Fe", "Ti", "Si", "Cu", "C"], 2))
KNOWN = Structures.from_atoms(
    [
        Atoms([*SYSTEMS[i % len(SYSTEMS)]] * 2, positions=(2 + 0.01 * i) * np.eye(4, 3, k=-1), cell=[9, 9, 9], pbc=True)
        for i in range(STRUCTURES)
    ],
    [f"s{i}" for i in range(STRUCTURES)],
)
NUMBER = len(KNOWN.species)
LATENT = np.random.default_rng(0).normal(size=(NUMBER, 6))


def table(x, *, model, **more):
    provenance = {"random_weights": model.startswith("random")}
    return EmbeddingTable.from_arrays(
        x, KNOWN.species, KNOWN.structure_index, structures=KNOWN, model=model, provenance=provenance, **more
    )


def models(*, source=LATENT):
    """A source; a target that is a linear image of what all share, with its read-out; and a control."""
    rng = np.random.default_rng(1)
    rows = LATENT @ rng.normal(size=(6, 8)) + 0.01 * rng.normal(size=(NUMBER, 8)) + 2
    target = table(rows, model="b", readout=readout(8, activation="tanh"))
    return table(source, model="a"), target, table(rng.normal(size=(NUMBER, 6)), model="random:a?seed=0")


@pytest.fixture(scope="module")
def stitched():
    a, b, control = models()
    return analyses.readout_transfer(a, b, controls=[control], k=60, num_components=6, held_out=0.4, num_bootstraps=50)


def test_a_linear_image_is_stitched_and_its_read_out_understands(stitched):
    of = stitched.methods
    assert of["affine"].unexplained.value < 0.01
    assert of["zero-shot"].unexplained.value < 0.1
    assert of["affine"].mae.value < 0.1 * stitched.baselines["composition"].mae.value
    assert stitched.baselines["element"].unexplained.value > 0.9
    assert min(entry.unexplained.value for entry in stitched.controls["random:a?seed=0"].values()) > 0.9
    assert "The mapped embeddings beat every baseline." in stitched.verdict
    assert stitched.best in FITTED
    assert set(stitched.chosen) == {"a", "random:a?seed=0"}
    assert stitched.reconstruction["gfre"].value == pytest.approx(of["affine"].unexplained.value ** 0.5, rel=0.05)
    for figure in ("unexplained", "mae", "median", "rmse"):
        entry = getattr(of["affine"], figure)
        assert entry.low <= entry.value <= entry.high
    assert set(of["affine"].elements) <= {"O", "Fe", "Ti", "Si", "Cu", "C"}


def held_out(seed=0):
    system = chemical_systems(KNOWN)[KNOWN.structure_index]
    key = [jax.random.fold_in(jax.random.key(seed), i) for i in (0, 4)]
    system = np.unique(system, return_inverse=True)[1]
    held = learn.held_out_groups(system, fraction=0.4, key=key[0])
    train = ~held
    train[~held] = ~learn.held_out_groups(system[~held], fraction=0.2, key=key[1])
    return held, train


def test_nothing_is_fitted_to_what_is_judged(stitched):
    """Against scikit-learn on the other systems; then errors of energies by hand."""
    a, b, _ = models()
    held, train = held_out()
    fitted = LinearRegression().fit(a.x[train].astype(float), b.x[train].astype(float))
    np.testing.assert_allclose(stitched.maps["affine"].matrix, fitted.coef_.T, atol=1e-6)
    mapped, own = (
        np.asarray(
            stitching.energies(
                jnp.asarray(x, DTYPE),
                jnp.asarray(b.species),
                jnp.asarray(b.structure_index),
                readout=b.readout,
                num_structures=STRUCTURES,
            )
        )
        / 4
        for x in (fitted.predict(a.x), b.x)
    )
    judged = np.unique(b.structure_index[held])
    assert stitched.num["structures"] == len(judged)
    expected = np.abs(mapped - own)[judged].mean()
    assert stitched.methods["affine"].mae.value == pytest.approx(expected, rel=1e-3)
    left = ((fitted.predict(a.x[held]) - b.x[held]) ** 2).sum()
    left /= ((b.x[held] - b.x[train].mean(axis=0)) ** 2).sum()
    assert stitched.methods["affine"].unexplained.value == pytest.approx(left, rel=1e-3)


def test_a_source_that_knows_nothing_is_told_so():
    a, b, control = models(source=np.random.default_rng(9).normal(size=(NUMBER, 6)))
    found = analyses.readout_transfer(a, b, controls=[control], k=60, num_components=6, held_out=0.4, num_bootstraps=50)
    assert found.methods["affine"].unexplained.value > 0.9
    assert "This is no significant improvement over the baselines." in found.verdict


def test_the_result_is_written_and_drawn(stitched, tmp_path):
    stitched.save(tmp_path / "s.json")
    read = json.loads((tmp_path / "s.json").read_text())
    schemed.check("stitch", read)
    reports.check(stitched)
    assert read["verdict"] == stitched.verdict
    assert "maps" not in read


def test_without_a_read_out_rows_alone_are_judged():
    a, b, _ = models()
    found = analyses.readout_transfer(b, a, k=60, num_components=6, num_bootstraps=20)
    assert found.readout == {}
    assert found.methods["affine"].mae is None
    assert set(found.baselines) == {"element"}
    assert "has no readout, so energies were not evaluated" in found.verdict
    # Four chemical systems are tested.
    assert np.isnan(found.methods["affine"].unexplained.low)
    assert "(no interval)" in found.verdict
    assert "nan" not in found.verdict
    reports.check(found)
    assert len(plots.charts(found)) == 1


@pytest.mark.usefixtures("as_users_call")
def test_what_cannot_be_stitched_is_refused():
    a, b, _ = models()
    bare = EmbeddingTable.from_arrays(a.x, a.species, a.structure_index)
    with pytest.raises(ValueError, match="`source` must have structures, got bare arrays"):
        analyses.readout_transfer(bare, bare)
    with pytest.raises(ValueError, match="`k` must be at most the number of fitted atoms = .*, got 5000"):
        analyses.readout_transfer(a, b, k=5000)
    with pytest.raises(ValueError, match="`held_out` must lie between 0 and 1, got 1.0"):
        analyses.readout_transfer(a, b, held_out=1.0)
    with pytest.raises(ValueError, match="`tables` must hold at least two trained models, got 1"):
        analyses.consensus([a], np.zeros(STRUCTURES))
    with pytest.raises(ValueError, match="`values` must be one for each of the 150 structures"):
        analyses.consensus([a, b], np.zeros(3))
    with pytest.raises(ValueError, match="10 permutations cannot reach p ≤ 0.05; use at least 19"):
        analyses.consensus([a, b], np.zeros(STRUCTURES), num_permutations=10)


def test_the_consensus_of_noisy_models_predicts_better_than_any_and_stands_nearer_than_a_control():
    rng = np.random.default_rng(2)
    seen = [
        table((LATENT + 0.8 * rng.normal(size=LATENT.shape)) @ rotation(6, seed=i), model=f"m{i}") for i in range(3)
    ]
    control = table(rng.normal(size=LATENT.shape), model="random:m?seed=0")
    values = LATENT.reshape(STRUCTURES, 4, 6).mean(axis=1) @ rng.normal(size=6)
    values[:5] = np.nan
    found = analyses.consensus([*seen, control], values, k=12, held_out=0.5, num_permutations=39, num_bootstraps=200)
    assert found.models == ["m0", "m1", "m2"]
    assert found.gain.low > 0
    assert found.errors["consensus"].value < min(found.errors[name].value for name in found.models)
    assert found.errors["constant"].value > 1.5 * found.errors["consensus"].value
    near, far = (found.similarities[name] for name in ("m0", "random:m?seed=0"))
    assert far.effect.low < 0 < near.effect.low
    assert near.p < 0.05
    assert far.p > 0.05
    assert near.effect.value == pytest.approx(near.value - near.null)
    assert found.num["fitted"] + found.num["validated"] + found.num["evaluated"] == STRUCTURES - 5
    assert found.best == min(found.models, key=found.validation_errors.__getitem__)
    assert "less than m" in found.verdict
    assert "the best single model on the validation set" in found.verdict
    assert json.dumps(found.to_json())


def equally_good(seed, *, common):
    """Three equally good models: a common part of each crystal and as much noise of their own, and a property."""
    rng = np.random.default_rng(seed)
    of_crystals = lambda: rng.normal(size=(STRUCTURES, 4))[KNOWN.structure_index] + 0.3 * rng.normal(size=(NUMBER, 4))
    part = of_crystals()
    rows = [common * part + 1.5 * of_crystals() for _ in range(3)]
    return [table(x, model=f"m{i}") for i, x in enumerate(rows)], part.reshape(STRUCTURES, 4, 4).mean(axis=1).sum(
        axis=1
    )


@pytest.mark.parametrize("common", [1, 0])
def test_the_best_single_model_is_not_the_best_by_luck_and_nothing_shared_is_no_gain(common):
    """Of equally good models the one that is chosen has, on average, the error of any; that of the least is smaller."""
    luck, least, gains, p_values = [], [], [], []
    for seed in range(10):
        found = analyses.consensus(
            *equally_good(seed, common=common), k=12, held_out=0.5, num_permutations=19, num_bootstraps=20, seed=seed
        )
        errors = np.array([found.errors[name].value for name in found.models])
        luck.append(found.errors[found.best].value - errors.mean())
        least.append(errors.min() - errors.mean())
        gains.append(found.gain)
        p_values += [entry.p for entry in found.similarities.values()]
    error = np.std(least) / np.sqrt(len(least))
    assert np.mean(luck) > np.mean(least) + 2 * error
    assert abs(np.mean(luck)) < 0.05
    if common:
        assert np.mean([gain.value for gain in gains]) > 0.1
        assert np.median(p_values) < 0.15
    else:
        assert abs(np.mean([gain.value for gain in gains])) < 0.05
        assert sum(gain.low > 0 for gain in gains) <= 2
        assert np.mean(np.array(p_values) <= 0.05) <= 0.1


def test_the_command_says_it_and_writes_it(tmp_path, capsys):
    paths = []
    for name, one in zip("ab", models(), strict=False):
        layers = {"layer": {"width": one.x.shape[1], "what": "a test"}}
        writer = store.create(
            tmp_path / name,
            KNOWN,
            layers=layers,
            default_layer="layer",
            provenance={"model": name},
            readout=one.readout,
        )
        writer.write(0, {"layer": one.x}, {})
        writer.finish()
        paths.append(str(tmp_path / name))
    code = main(["stitch", *paths, "-k", "60", "--json", str(tmp_path / "s.json"), "-o", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "a → b" in said.out
    assert "meV/atom" in said.out
    assert "composition alone" in said.out
    assert json.loads((tmp_path / "s.json").read_text())["source"] == "a"
    assert "<h1>" in (tmp_path / "out/report.html").read_text()
    assert json.loads((tmp_path / "out/readout_transfer.json").read_text())["target"] == "b"
