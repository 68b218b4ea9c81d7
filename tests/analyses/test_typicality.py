"""Typicality, on manifolds that are known: sheets of atoms of three elements, each at its own place and scale."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reports
import schemed
from ase import Atoms
from jax.test_util import check_grads
from platonic_adapters.structures import Structures
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from platonic_jax import analyses, diagnostics, report
from platonic_jax.analyses._typicality._driver import _auroc
from platonic_jax.analyses._typicality._record import ALL, NONE, UNKNOWN
from platonic_jax.anchors import Anchors
from platonic_jax.diagnostics._typicality import LEAST_ATOMS
from platonic_jax.tables import EmbeddingTable

WIDTH = 10
RNG = np.random.default_rng(0)
CENTRES = 10 * RNG.normal(size=(9, WIDTH))
AXES = {8: RNG.normal(size=(2, WIDTH)), 14: 0.1 * RNG.normal(size=(2, WIDTH)), 26: 3 * RNG.normal(size=(2, WIDTH))}
BUMP = RNG.normal(size=WIDTH)
ELEMENTS = np.array([8, 14, 26])


def sheet(species, *, off=0.0, seed=0, place=0):
    """Atoms on the curved sheet of their element, and `off` it by so many of its noise."""
    rng = np.random.default_rng(seed)
    rows = np.empty((len(species), WIDTH))
    for i, element in enumerate(species.tolist()):
        u = rng.uniform(-1, 1, 2)
        size = np.linalg.norm(AXES[element])
        noise = 0.02 * size * rng.normal(size=WIDTH) * (1 + off)
        rows[i] = CENTRES[3 * place + list(ELEMENTS).index(element)] + u @ AXES[element]
        rows[i] += 0.2 * size * u[0] ** 2 * BUMP + noise
    return rows


def crystals(number, *, seed=0, species=ELEMENTS, name="s"):
    """Structures of 2 to 6 atoms, no two alike."""
    rng = np.random.default_rng(seed)
    cells = []
    for i in range(number):
        numbers = rng.choice(species, size=rng.integers(2, 7))
        cells.append(Atoms(numbers, positions=rng.normal(size=(len(numbers), 3)), cell=[9 + seed, 9, 9 + i], pbc=True))
    return Structures.from_atoms(cells, [f"{name}{i}" for i in range(number)])


def table(structures, *, off=0.0, seed=0, place=0, model="a", turn=None, **provenance):
    x = sheet(structures.species, off=off, seed=seed, place=place)
    x = x if turn is None else np.tanh(x / 20) @ turn
    return EmbeddingTable.from_arrays(
        x,
        structures.species,
        structures.structure_index,
        structures=structures,
        model=model,
        provenance={"checkpoint": {"sha256": model}, **provenance},
    )


KNOWN = crystals(400, seed=1)
FRESH = crystals(150, seed=2, name="q")
QUICK = {"most": 300}


@pytest.fixture(scope="module")
def found():
    """By two models: more of the reference's kind, atoms off their sheet, and a second reference elsewhere."""
    turn = np.random.default_rng(5).normal(size=(WIDTH, 12))
    seen = lambda structures, **where: [
        table(structures, **where),
        table(structures, model="b", turn=turn, **where),
    ]
    return analyses.typicality(
        {"sheet": seen(KNOWN, seed=11), "elsewhere": seen(KNOWN, seed=12, place=1)},
        {
            "more": seen(FRESH, seed=13),
            "off": seen(FRESH, seed=14, off=6.0),
            "there": seen(FRESH, seed=15, place=1),
            "nowhere": seen(FRESH, seed=16, place=2),
            "same": [table.select(table.structure_index < 30) for table in seen(KNOWN, seed=11)],
        },
        space="shared",
        k=12,
        **QUICK,
    )


def test_distance_is_that_of_a_library():
    reference, x = RNG.normal(size=(80, 5)), RNG.normal(size=(30, 5))
    expected = NearestNeighbors(n_neighbors=4).fit(reference).kneighbors(x)[0].mean(axis=1)
    found = diagnostics.neighbour_distance(jnp.asarray(x), jnp.asarray(reference), num_neighbours=4)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_density_is_the_plain_formula():
    reference, x = RNG.normal(size=(60, 3)), RNG.normal(size=(20, 3))
    reference[10] = reference[11]  # Twins are neighbours of each other.
    spacing = np.sort(cdist(reference, reference) + np.diag(np.full(60, np.inf)), axis=1)[:, :4].mean(axis=1)
    distance = cdist(x, reference)
    near = np.argsort(distance, axis=1)[:, :4]
    expected = np.take_along_axis(distance, near, axis=1).mean(axis=1) / spacing[near].mean(axis=1)
    found = diagnostics.density_ratio(jnp.asarray(x), jnp.asarray(reference), num_neighbours=4)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_mahalanobis_is_the_plain_formula():
    reference, x = RNG.normal(size=(50, 4)) @ RNG.normal(size=(4, 4)), RNG.normal(size=(20, 4))
    covariance = np.cov(reference.T, bias=True)
    covariance += 0.1 * np.trace(covariance) / 4 * np.eye(4)
    expected = cdist(x, reference.mean(axis=0)[None], "mahalanobis", VI=np.linalg.inv(covariance))[:, 0]
    found = diagnostics.mahalanobis(jnp.asarray(x), jnp.asarray(reference), shrinkage=0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_residual_is_that_of_a_library():
    reference, x = RNG.normal(size=(70, 6)), RNG.normal(size=(15, 6))
    near = NearestNeighbors(n_neighbors=12).fit(reference).kneighbors(x)[1]
    expected = []
    for row, index in zip(x, near, strict=True):
        plane = PCA(n_components=3).fit(reference[index])
        expected.append(np.linalg.norm(row - plane.inverse_transform(plane.transform(row[None]))))
    found = diagnostics.plane_residual(jnp.asarray(x), jnp.asarray(reference), num_neighbours=12, rank=3)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_neighbours_that_coincide_span_nothing():
    reference = jnp.zeros((8, 3)).at[4:, 0].set(1.0)
    found = diagnostics.plane_residual(jnp.array([[0.3, 0.0, 4.0]]), reference, num_neighbours=8, rank=2)
    np.testing.assert_allclose(found, 4.0, rtol=1e-5)
    equal = diagnostics.plane_residual(jnp.array([[3.0, 4.0, 0.0]]), jnp.zeros((8, 3)), num_neighbours=8, rank=2)
    np.testing.assert_allclose(equal, 5.0, rtol=1e-6)


@pytest.mark.parametrize("score", diagnostics.SCORES)
def test_what_changes_nothing(score):
    """Rows that do not count, wherever they lie, and a turn and a shift of the whole space."""
    reference, x = RNG.normal(size=(64, 8)), RNG.normal(size=(12, 8))
    among = np.arange(64) % 3 > 0
    fn = jax.jit(lambda x, reference: diagnostics.SCORES[score](x, reference, among=jnp.asarray(among)))
    of = lambda x, reference: fn(jnp.asarray(x, jnp.float32), jnp.asarray(reference, jnp.float32))
    expected = of(x, reference)
    elsewhere = np.where(among[:, None], reference, 1 + RNG.normal(size=(64, 8)))
    np.testing.assert_allclose(of(x, elsewhere), expected, rtol=1e-4)
    turn, shift = np.linalg.qr(RNG.normal(size=(8, 8)))[0], RNG.normal(size=8)
    np.testing.assert_allclose(of(x @ turn + shift, reference @ turn + shift), expected, rtol=2e-3)
    assert np.ptp(expected) > 0.1


def test_fewer_rows_than_neighbours_are_refused():
    x = jnp.zeros((3, 8))
    with pytest.raises(ValueError, match="`num_neighbours` must be at most the number of rows n = 3, got 5"):
        diagnostics.neighbour_distance(x, x)
    with pytest.raises(ValueError, match="`rank` must be at most the columns but one = 7, got 8"):
        diagnostics.plane_residual(x, x, rank=8)


@pytest.mark.parametrize("score", ["neighbour_distance", "mahalanobis"])
def test_gradients(score):
    fn = getattr(diagnostics, score)
    with jax.enable_x64(True):
        x, reference = jnp.asarray(RNG.normal(size=(3, 4))), jnp.asarray(RNG.normal(size=(40, 4)))
        check_grads(lambda x: fn(jnp.asarray(x), reference), (x,), order=1, modes=["rev"], rtol=1e-4)


def test_p_values_are_the_plain_formula():
    scores, calibration = RNG.normal(size=40).round(1), RNG.normal(size=90).round(1)
    groups, others = RNG.integers(0, 4, 40), RNG.integers(0, 3, 90)  # Nothing calibrates the last group.
    weights = RNG.random(90)
    expected = [
        (1 + weights[(others == group) & (calibration >= score)].sum()) / (1 + weights[others == group].sum())
        for score, group in zip(scores, groups, strict=True)
    ]
    found = jax.jit(diagnostics.conformal_p_values)(
        jnp.asarray(scores, jnp.float32),
        jnp.asarray(calibration, jnp.float32),
        weights=jnp.asarray(weights, jnp.float32),
        groups=jnp.asarray(groups, jnp.int32),
        calibration_groups=jnp.asarray(others, jnp.int32),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert (np.asarray(found)[groups == 3] == 1).all()


def test_five_percent_means_five_percent():
    """Each of n + 1 exchangeable scores in turn, judged by the others, has each of the n + 1 p-values once."""
    scores = RNG.normal(size=20)
    found = [
        diagnostics.conformal_p_values(jnp.asarray(scores[i : i + 1]), jnp.asarray(np.delete(scores, i)))[0]
        for i in range(20)
    ]
    np.testing.assert_allclose(np.sort(found), np.arange(1, 21) / 20, rtol=1e-5)


def test_an_atom_of_one_more_structure_counts_as_one_of_a_structure():
    """Large structures are typical, small ones lie far: counted atom by atom, those of small ones would be atypical."""
    rng = np.random.default_rng(4)
    shares = {"weighted": [], "unweighted": []}
    for _ in range(400):
        size = np.where(rng.random(41) < 0.5, 1, 30)
        far = rng.normal(size=41) + 3.0 * (size == 1)
        calibration = np.repeat(far[1:], size[1:])
        weights = {"weighted": np.repeat(1 / size[1:], size[1:]), "unweighted": np.ones(size[1:].sum())}
        for name, weight in weights.items():
            p = (1 + weight[calibration >= far[0]].sum()) / (1 + weight.sum())
            shares[name].append(p <= 0.1)
    assert np.mean(shares["weighted"]) < 0.13
    assert np.mean(shares["unweighted"]) > 0.3


def test_the_interval_is_that_of_delong():
    rng = np.random.default_rng(6)
    score, typical = (rng.normal(size=size).round(1).astype(np.float32) for size in (150, 250))
    beats = (score[:, None] > typical) + 0.5 * (score[:, None] == typical)
    value = beats.mean()
    error = np.sqrt(beats.mean(axis=1).var() / 149 + beats.mean(axis=0).var() / 249)
    reached = value + 1.96 * error * np.array([-1, 1])
    found = _auroc(score, typical)
    assert found.value == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose([found.low, found.high], reached, atol=0.003)
    assert np.isnan(_auroc(score[:0], typical).value)
    # Told apart without exception: the bound of 150 pairs, all of which are in order.
    apart = _auroc(score + 100, typical)
    assert (apart.value, apart.low, apart.high) == (1, pytest.approx(0.025 ** (1 / 150)), 1)


def judged(x, species, *, reference=None, structures=KNOWN, **options):
    reference = sheet(structures.species, seed=21) if reference is None else reference
    return diagnostics.typicality(
        x.astype(np.float32),
        species,
        reference=reference.astype(np.float32),
        reference_species=structures.species,
        reference_structures=structures.structure_index,
        key=jax.random.key(0),
        **options,
    )


@pytest.mark.parametrize("score", diagnostics.SCORES)
def test_elements_share_one_scale(score):
    """The whole reference is denser than a half of it, so that medians are below 0, but by as much for each element."""
    z = judged(sheet(FRESH.species, seed=22), FRESH.species, scores=[score])
    assert z.dtype == np.float32
    medians = [np.median(z[FRESH.species == element]) for element in ELEMENTS]
    spreads = [1.4826 * np.median(abs(z[FRESH.species == e] - m)) for e, m in zip(ELEMENTS, medians, strict=True)]
    assert -2 < min(medians) < max(medians) < 0.5
    assert np.ptp(medians) < 1
    assert 0.6 < min(spreads) < max(spreads) < 1.6
    off = judged(sheet(FRESH.species, seed=22, off=10.0), FRESH.species, scores=[score])
    assert np.median(off) > 1


def test_several_scores_count_by_their_mean():
    x = sheet(FRESH.species, seed=22)
    each = [judged(x, FRESH.species, scores=[score]) for score in ("distance", "density")]
    both = judged(x, FRESH.species, scores=("distance", "density"))
    np.testing.assert_allclose(both, np.mean(each, axis=0), rtol=1e-5, atol=1e-5)


def test_atoms_are_judged_by_their_element_alone():
    x = sheet(FRESH.species, seed=22)
    z = judged(x, FRESH.species)
    reference = sheet(KNOWN.species, seed=21)
    reference[KNOWN.species == 8] += 100.0
    moved = judged(x, FRESH.species, reference=reference)
    assert (moved[FRESH.species == 8] > z[FRESH.species == 8] + 2).all()
    # Their centre and spread are those of the average element in small part.
    np.testing.assert_allclose(moved[FRESH.species != 8], z[FRESH.species != 8], atol=0.3)


def test_order_and_repetition_change_nothing():
    x, species = sheet(FRESH.species, seed=22).astype(np.float32), FRESH.species
    z = judged(x, species)
    order = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_allclose(judged(x[order], species[order]), z[order], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(judged(np.repeat(x, 3, axis=0), np.repeat(species, 3))[::3], z, rtol=1e-6, atol=1e-6)


def test_a_supercell_in_the_reference_changes_nothing():
    reference, rows = sheet(KNOWN.species, seed=21), np.repeat(np.arange(len(KNOWN.species)), 2)
    double = SimpleNamespace(species=KNOWN.species[rows], structure_index=KNOWN.structure_index[rows])
    noise = 1e-6 * np.random.default_rng(1).normal(size=(len(rows), WIDTH))
    x = sheet(FRESH.species, seed=22)
    z = judged(x, FRESH.species, most=200)
    doubled = judged(x, FRESH.species, most=200, structures=double, reference=reference[rows] + noise)
    np.testing.assert_allclose(doubled, z, atol=0.01)


@pytest.mark.parametrize(("score", "least"), LEAST_ATOMS.items())
def test_an_element_that_is_absent_or_rare_has_no_reference(score, least):
    few = np.flatnonzero(KNOWN.species == 26)[: least - 1]
    kept = np.sort(np.concatenate([np.flatnonzero(KNOWN.species == 8), few]))
    some = SimpleNamespace(species=KNOWN.species[kept], structure_index=KNOWN.structure_index[kept])
    z = judged(
        sheet(FRESH.species, seed=22),
        FRESH.species,
        structures=some,
        reference=sheet(KNOWN.species, seed=21)[kept],
        scores=[score],
    )
    np.testing.assert_array_equal(np.isnan(z), FRESH.species != 8)


def test_p_values_of_held_out_structures_are_uniform(found):
    for name, structures in found.settings["structures"].items():
        assert found.uniform[name][ALL]["p_value"] > 0.01
        assert structures["held_out"] == round(sum(structures.values()) / 10)
        for model in (*found.models, ALL):
            assert found.uniform[name][model]["atoms"] < 0.1
            entry = found.held_out[name].against[name][model].atypical
            assert entry.low < 0.06
    assert "The p-values are calibrated" in found.verdict


def test_what_lies_off_the_manifold_is_found(found):
    auroc = {name: query.against["sheet"][ALL].auroc for name, query in found.queries.items()}
    assert auroc["more"].low < 0.5 < auroc["more"].high
    assert auroc["off"].low > 0.9
    assert auroc["nowhere"].value > 0.99
    assert found.queries["more"].against["sheet"][ALL].atypical.low < 0.08
    assert found.queries["off"].against["sheet"][ALL].atypical.low > 0.5
    assert set(found.ranked("sheet")[-2:]) == {"more", "same"}


def test_a_regime_is_an_answer(found):
    regime = {name: list(query.regime) for name, query in found.queries.items()}
    assert regime["more"].count("sheet") > 120
    assert regime["there"].count("elsewhere") > 120
    assert regime["nowhere"].count(NONE) > 140


def test_several_models_judge_together(found):
    against = found.queries["off"].against["sheet"]
    mean = (against["a"].atom_score + against["b"].atom_score) / 2
    np.testing.assert_allclose(against[ALL].atom_score, mean, rtol=1e-5)
    index = found.queries["off"].structure_index
    np.testing.assert_allclose(against[ALL].score, np.bincount(index, mean) / np.bincount(index), rtol=1e-4)


def test_the_record_is_told_and_written(found, tmp_path):
    found.save(tmp_path / "typicality.json")
    told = json.loads((tmp_path / "typicality.json").read_text())
    schemed.check("typicality", told)
    reports.check(found)
    assert told["verdict"] == found.verdict
    assert told["queries"]["off"]["against"]["sheet"][ALL]["auroc"]["value"] == pytest.approx(
        found.queries["off"].against["sheet"][ALL].auroc.value, rel=1e-4
    )
    short = found.to_json(atoms=False)["queries"]["off"]
    assert "species" not in short
    of_structures = {"score", "p_value", "num_scored", "num_atypical", "atypical", "auroc"}
    assert set(short["against"]["sheet"][ALL]) == of_structures
    structure, atom = found.queries["off"].farthest("sheet", ALL)
    place = list(found.queries["off"].ids).index(structure)
    assert found.queries["off"].against["sheet"][ALL].score[place] == np.max(
        found.queries["off"].against["sheet"][ALL].score
    )
    assert 0 <= atom < KNOWN.num_atoms.max()


@pytest.mark.parametrize("of_structures", ["mean", "largest"])
def test_supercells_and_the_order_of_atoms_change_nothing(of_structures):
    reference = [table(KNOWN, seed=11)]
    plain = table(FRESH, seed=13, off=2.0)
    cells = [FRESH.atoms(i).repeat((2, 1, 1)) for i in range(len(FRESH))]
    rows = np.concatenate([np.tile(FRESH.rows([i]), 2)[::-1] for i in range(len(FRESH))])
    doubled = Structures.from_atoms([cell[::-1] for cell in cells], FRESH.ids)
    supercells = EmbeddingTable.from_arrays(
        plain.x[rows],
        plain.species[rows],
        doubled.structure_index,
        structures=doubled,
        model="a",
        provenance=plain.provenance,
    )
    options = {**QUICK, "of_structures": of_structures}
    found = analyses.typicality({"sheet": reference}, {"plain": [plain], "supercells": [supercells]}, **options)
    first, second = (query.against["sheet"]["a"] for query in found.queries.values())
    np.testing.assert_allclose(second.score, first.score, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(second.p_value, first.p_value)
    np.testing.assert_allclose(second.atom_p_value, first.atom_p_value[rows], rtol=1e-5)


def test_what_the_reference_holds_itself_is_counted(found):
    assert {name: query.known["sheet"] for name, query in found.queries.items()} == {
        "more": 0,
        "off": 0,
        "there": 0,
        "nowhere": 0,
        "same": 30,
    }
    assert list(found.queries["same"].regime).count("sheet") >= 28


def test_given_atoms_are_the_anchors():
    reference = table(KNOWN, seed=11)
    rows = np.arange(0, 120, 10)
    given = Anchors.from_rows(KNOWN, KNOWN.structure_index, rows, method="mine")
    found = analyses.typicality(
        {"sheet": [reference]}, {"more": [table(FRESH)]}, space="shared", anchors=given, **QUICK
    )
    assert found.settings["anchors"]["k"] == 12
    assert found.settings["anchors"]["structure"] == [f"s{KNOWN.structure_index[row]}" for row in rows]
    assert found.uniform["sheet"]["a"]["p_value"] > 0.01


def test_an_absent_element_has_no_number():
    known = crystals(400, seed=1, species=ELEMENTS[[0, 1, 0]])
    found = analyses.typicality({"sheet": [table(known)]}, {"more": [table(FRESH)]}, **QUICK)
    query = found.queries["more"]
    against = query.against["sheet"]["a"]
    np.testing.assert_array_equal(np.isnan(against.atom_p_value), FRESH.species == 26)
    assert query.without_reference == {"sheet": {"Fe": int((FRESH.species == 26).sum())}}
    iron = np.array([(FRESH.atoms(i).numbers == 26).all() for i in range(len(FRESH))])
    np.testing.assert_array_equal(np.isnan(against.p_value), iron)
    np.testing.assert_array_equal(np.array(query.regime) == UNKNOWN, iron)
    # A share is of what has a p-value, and the others are counted.
    scored = int((~iron).sum())
    assert (against.num_scored, against.num_atypical) == (scored, int((against.p_value[~iron] <= 0.05).sum()))
    assert against.atypical.value == pytest.approx(against.num_atypical / scored)
    assert query.unscored == {"sheet": {"num": int(iron.sum()), "elements": {"Fe": int(iron.sum())}}}
    told = f"{against.num_atypical} of the {scored} structures that can be scored are atypical of sheet at 5 %"
    assert told in found.verdict
    assert f"; {iron.sum()} cannot be scored: no reference for Fe; " in found.verdict
    table_of = report.tables(found)[0]
    assert f"{scored} of {len(FRESH)}" in table_of.rows[1]
    assert f"of more, {iron.sum()} cannot be scored: no reference for Fe" in table_of.caption
    reports.check(found)


@pytest.mark.parametrize(
    ("references", "queries", "options", "message"),
    [
        ({}, {"q": [table(FRESH)]}, {}, "`references` and `queries` must each name at least one set of structures"),
        (
            {"r": [table(KNOWN)]},
            {"q": [table(FRESH, model="b")]},
            {},
            r"`q` must have the same models, checkpoints and layers as the reference \(a embedding of 10 c",
        ),
        (
            {"r": [table(KNOWN)]},
            {"q": [table(FRESH, checkpoint={"sha256": "fine-tuned"})]},
            {},
            "must have the same models, checkpoints and layers",
        ),
        (
            {"r": [table(KNOWN)]},
            {"q": [table(FRESH), table(FRESH, model="b")]},
            {},
            "must have the same models, checkpoints and layers",
        ),
        (
            {"r": [table(crystals(60))]},
            {"q": [table(FRESH)]},
            {},
            "`r` must have 19 structures for calibration at a level of 0.05, .* got 60",
        ),
        (
            {"r": [table(KNOWN)]},
            {"q": [table(FRESH)]},
            {"most": 15},
            r"`references\['r'\]` must hold at least 20 atoms of some element",
        ),
        (
            {"r": [table(KNOWN)]},
            {"q": [table(FRESH)]},
            {"scores": ["taste"]},
            "`scores` must be among distance, density",
        ),
        (
            {"r": [table(KNOWN)]},
            {"q": [table(FRESH)]},
            {"space": "shared", "k": 10_000},
            "`k` must be at most the number of atoms",
        ),
        ({"r": [table(KNOWN)]}, {"q": [table(FRESH)]}, {"level": 2.0}, "`level` must lie between 0 and 1, got 2.0"),
    ],
)
def test_a_mistake_is_one_sentence(references, queries, options, message):
    with pytest.raises(ValueError, match=message):
        analyses.typicality(references, queries, **{**QUICK, **options})


def test_other_anchors_have_another_width():
    with pytest.raises(ValueError, match="bring both into the space of the same anchors"):
        judged(sheet(FRESH.species)[:, :4], FRESH.species)
