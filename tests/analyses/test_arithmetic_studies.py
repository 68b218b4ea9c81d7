"""Sums, phases and reactions of crystals whose rows are known: what must add up does, what cannot does not."""

import json

import numpy as np
import pytest
import reports
import schemed
from ase import Atoms
from ase.build import bulk
from platonic_adapters.structures import Structures

from platonic_jax import analyses
from platonic_jax.analyses import Groups, _terms
from platonic_jax.analyses._analogies import quadruples
from platonic_jax.labels import prototypes
from platonic_jax.tables import EmbeddingTable

CATIONS, ANIONS = ("Li", "Na", "K", "Rb"), ("F", "Cl", "Br")
PHASES = ("rocksalt", "cesiumchloride")
WIDTH = 12


def structures(*extra):
    """Every salt in two phases, and what is given besides."""
    salts = [(f"{c}{a} {phase}", bulk(f"{c}{a}", phase, a=4.0)) for c in CATIONS for a in ANIONS for phase in PHASES]
    made = [*((name.replace(" ", "-"), atoms) for name, atoms in salts), *extra]
    return Structures.from_atoms([atoms for _, atoms in made], [name for name, _ in made])


def table(of, *, model="a", phase=1.0, noise=0.0, seed=0, turned=False, **properties):
    """A vector for each element, and one for each element in each phase; turned, in coordinates of its own."""
    rng = np.random.default_rng(seed)
    element, place = rng.normal(size=(119, WIDTH)), rng.normal(size=(119, 2, WIDTH))
    which = np.array([int("cesiumchloride" in name) for name in of.ids])
    index = np.repeat(np.arange(len(of)), np.diff(of.offsets))
    x = 3 * element[of.species] + phase * place[of.species, which[index]]
    x = x + noise * np.random.default_rng(seed + 1).normal(size=x.shape)
    if turned:
        x = 2 * x @ np.linalg.qr(np.random.default_rng(7).normal(size=(WIDTH, WIDTH)))[0]
    return EmbeddingTable.from_arrays(x, of.species, index, structures=of, model=model, properties=properties)


@pytest.fixture(scope="module")
def salts():
    return structures()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TiO2 - Ti + Zr", [(1, "TiO2", None), (-1, "Ti", None), (1, "Zr", None)]),
        ("mp-2657 - mp-390", [(1, "mp-2657", None), (-1, "mp-390", None)]),
        ("- 2*MgO + 1/2 O2 + 3NaCl@b", [(-2, "MgO", None), (0.5, "O2", None), (3, "NaCl", "b")]),
        ("0.5* a.cif", [(0.5, "a.cif", None)]),
        ("2 * MgO − Ti", [(2, "MgO", None), (-1, "Ti", None)]),
    ],
)
def test_expressions_are_read(text, expected):
    assert [(term.coefficient, term.name, term.model) for term in _terms.parse(text)] == expected


def test_known_names_are_taken_as_they_stand():
    found = _terms.parse("2 4H-SiC - 1000041 + 2MgO.cif@b", known={"4H-SiC", "1000041", "2MgO.cif"})
    assert [(term.coefficient, term.name, term.model) for term in found] == [
        (2, "4H-SiC", None),
        (-1, "1000041", None),
        (1, "2MgO.cif", "b"),
    ]


@pytest.mark.parametrize(
    ("text", "caret", "said"),
    [
        ("TiO2 -", 6, "must have a crystal here, got the end"),
        ("TiO2 Ti", 5, r"must have \+ or - between spaces here, got 'Ti'"),
        ("TiO2 - - Ti", 7, "must have a crystal here, got '-'"),
        ("2 3 Ti", 2, "must have a crystal after the number here, got '3'"),
        ("Ti + @x", 5, "must have a crystal before @ here"),
        ("1/0 Ti", 0, "must have a number here, got '1/0'"),
    ],
)
def test_a_caret_stands_under_what_is_wrong(text, caret, said):
    with pytest.raises(ValueError, match=said) as caught:
        _terms.parse(text)
    assert str(caught.value).splitlines()[1:] == [f"  {text}", "  " + " " * caret + "^"]


def test_the_caret_of_a_reaction_counts_from_its_beginning():
    with pytest.raises(ValueError, match="must have a crystal here, got the end") as caught:
        _terms.parse_reaction("Na + Cl -> NaCl +")
    assert str(caught.value).splitlines()[-1].index("^") == 2 + 17
    with pytest.raises(ValueError, match="one -> between reactants and products"):
        _terms.parse_reaction("Na + Cl = NaCl")


def test_a_formula_means_its_most_stable_phase(salts):
    energy = np.where(["cesium" in name for name in salts.ids], -7.0, -6.0)
    found = _terms.Crystals([table(salts, energy=energy)], ["a"]).find(_terms.parse("ClNa")[0])
    assert found.id == "NaCl-cesiumchloride"
    assert found.phases == ("NaCl-cesiumchloride", "NaCl-rocksalt")
    assert "-3.500 eV/atom" in found.because
    blind = _terms.Crystals([table(salts)], ["a"]).find(_terms.parse("NaCl")[0])
    assert (blind.id, "no energies" in blind.because) == ("NaCl-rocksalt", True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NaI", "must be a formula or an id of the store, .* nearest are Na"),
        ("Na2Cl", "nearest are NaCl"),
        ("nothing", "got none of them"),
        ("NaCl@c", "must name one of the models a"),
    ],
)
def test_a_crystal_that_is_not_there(salts, name, said):
    with pytest.raises(ValueError, match=said):
        _terms.Crystals([table(salts)], ["a"]).find(_terms.parse(name)[0])


def test_what_is_taken_away_again_changes_nothing(salts):
    found = analyses.expression("LiF-rocksalt - LiF-rocksalt + KBr-rocksalt", [table(salts)], k=10, num_draws=50)
    assert found.answers[0]["id"] == "KBr-rocksalt"
    assert found.answers[0]["similarity"] == pytest.approx(1, abs=1e-5)
    turned = analyses.expression("KBr-rocksalt + LiF-rocksalt - LiF-rocksalt", [table(salts)], k=10, num_draws=50)
    assert [answer["id"] for answer in turned.answers] == [answer["id"] for answer in found.answers]


def test_sums_of_a_model_that_adds_up_are_found_beyond_chance(salts):
    expression = "NaCl-rocksalt - NaF-rocksalt + KF-rocksalt"
    found = analyses.expression(expression, [table(salts)], space="own", num_draws=200)
    assert found.answers[0]["formula"] == "KCl"
    assert found.answers[0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert found.null["p_value"] < 0.1
    assert "The nearest crystal is KCl" in found.verdict
    told = json.loads(json.dumps(found.to_json()))
    schemed.check("arithmetic expression", told)
    reports.check(found)
    assert told["terms"][1]["coefficient"] == -1


def test_a_term_by_another_model_stands_in_the_shared_space(salts):
    """The other model is the first, turned and scaled: no cosine between rows and anchors sees that."""
    both = [table(salts), table(salts, model="b", turned=True)]
    one = analyses.expression("NaCl-rocksalt - NaF-rocksalt + KF-rocksalt", both, k=12, similarity="cosine")
    mixed = analyses.expression("NaCl-rocksalt@b - NaF-rocksalt + KF-rocksalt", both, k=12, similarity="cosine")
    assert [answer["id"] for answer in one.answers] == [answer["id"] for answer in mixed.answers]
    np.testing.assert_allclose(
        *([answer["similarity"] for answer in found.answers] for found in (one, mixed)), atol=1e-4
    )
    with pytest.raises(ValueError, match="`space` must be 'shared'"):
        analyses.expression("NaCl-rocksalt@b - KF-rocksalt", both, space="own")


def test_what_cancels_has_no_neighbours(salts):
    with pytest.raises(ValueError, match="`expression` sums to zero, .*: 'NaCl-rocksalt - NaCl-rocksalt'"):
        analyses.expression("NaCl-rocksalt - NaCl-rocksalt", [table(salts)], k=10)


def test_a_file_stands_beside_the_crystals(salts):
    alone = Structures.from_atoms([bulk("NaCl", "rocksalt", a=4.0)], ["my-rocksalt"])
    files = {"my.cif": [table(alone)]}
    found = analyses.expression("my.cif", [table(salts)], files=files, space="own", num_draws=20)
    assert found.answers[0]["id"] == "NaCl-rocksalt"
    assert found.answers[0]["similarity"] == pytest.approx(1, abs=1e-5)


def test_prototypes_are_told_and_roles_filled(salts):
    found = prototypes(salts)
    phase = np.array(["cesium" in name for name in salts.ids])
    assert len(set(found.label[phase])) == len(set(found.label[~phase])) == 1
    assert found.label[phase][0].startswith("221 ")
    assert found.label[~phase][0].startswith("225 ")
    assert found.elements[0] == ("Li", "F")
    doubled = Structures.from_atoms([salts.atoms(0).repeat((2, 1, 1))], ["twice"])
    assert prototypes(doubled).label[0] == found.label[0]


def test_quadruples_are_all_there_are(salts):
    four = quadruples(prototypes(salts), number=10_000, seed=0)
    # Two phases, pairs of four cations, pairs of three anions.
    assert len(four) == 2 * 6 * 3
    assert len({frozenset(row.tolist()) for row in four}) == len(four)
    for a1b, a2b, a1c, a2c in (
        [prototypes(salts).elements[i] for i in row] for row in quadruples(prototypes(salts), number=9, seed=1)
    ):
        swapped = [{*a1b} - {*a2b}, {*a1c} - {*a2c}, {*a1b} - {*a1c}, {*a2b} - {*a2c}]
        assert swapped[0] == swapped[1]
        assert swapped[2] == swapped[3]


def test_composition_adds_up_but_knows_no_phase(salts):
    tables = [table(salts), table(salts, model="blind", phase=0.0)]
    found = analyses.analogies(tables, space="own", num_bootstraps=20)
    assert found.figures["composition"]["hit_1"].value == pytest.approx(0.5)  # Its two phases are tied.
    assert found.figures["composition"]["phase"].value == pytest.approx(found.chance["phase"])
    assert found.figures["blind"]["hit_1"].value == pytest.approx(0.5)
    assert found.figures["a"]["hit_1"].value == pytest.approx(1)
    assert found.figures["a"]["phase"].value == pytest.approx(1)
    assert found.figures["a, elements alone"]["phase"].value == pytest.approx(0.5)
    assert found.num["quadruples"] == 36
    schemed.check("arithmetic analogies", json.loads(json.dumps(found.to_json())))
    reports.check(found)
    # Each phase is one group of quadruples that hang together: nothing to tell an interval from.
    assert found.groups == Groups(num=2, largest=18, effective=2.0)
    assert np.isnan(found.figures["a"]["phase"].low)
    assert "the phase is right in 100 % (no interval) (composition baseline: 50 %)" in found.verdict
    assert "too few for intervals" in found.verdict


def test_without_a_quadruple_it_says_so():
    few = Structures.from_atoms([bulk("NaCl", "rocksalt", a=4.0), bulk("Cu")], ["1", "2"])
    with pytest.raises(ValueError, match="must hold four crystals"):
        analyses.analogies([table(few)], k=2)


def copies_of(salts, *, noise, **options):
    of = Structures.from_atoms([salts.atoms(i) for i in range(len(salts))], [f"{name}~1" for name in salts.ids])
    return table(of, noise=noise, **options)


def test_phases_are_told_from_copies_and_found_again(salts):
    tables = [table(salts), table(salts, model="b", turned=True)]
    copies = [copies_of(salts, noise=0.02), copies_of(salts, noise=0.02, model="b", turned=True)]
    gap = np.where(["cesium" in name for name in salts.ids], 1.0, 0.0) * np.arange(len(salts))
    found = analyses.polymorphs(tables, copies=copies, energies=gap, k=12, num_bootstraps=20)
    assert found.chance["identity"] == pytest.approx(1 / 23)
    assert found.num == {"crystals": 24, "formulas": 12, "phases": 12, "copies": 24}
    for how in ("mean", "covariance", "cloud"):
        assert found.within["a"][how]["separation"].value > 0.99
        assert -1 <= found.within["a"][how]["energy"].value <= 1
        assert found.across["a → b"][how].value == pytest.approx(1)
    assert found.chance["phase"] == pytest.approx(0.5)
    assert "the same phase is nearest more often than by chance: 100 % (95 % CI" in found.verdict
    schemed.check("arithmetic polymorphs", json.loads(json.dumps(found.to_json(), allow_nan=False)))
    reports.check(found)


def test_a_phase_without_a_trace_is_not_found(salts):
    blind = table(salts, phase=0.0)
    found = analyses.polymorphs(
        [blind], copies=[copies_of(salts, noise=0.3, phase=0.0)], space="own", num_bootstraps=20
    )
    assert found.within["a"]["mean"]["separation"].value == pytest.approx(0, abs=1e-6)
    assert not found.across


def test_clouds_see_what_means_do_not(salts):
    """Atoms of one phase lie on either side of where those of the other lie: their mean is the same."""
    index = np.repeat(np.arange(len(salts)), np.diff(salts.offsets))
    along = np.eye(WIDTH)[np.array([int("cesium" in salts.ids[i]) for i in index])]
    side = np.array([1.0, -1.0])[np.arange(len(index)) % 2]  # The two atoms of each cell.
    element = np.random.default_rng(0).normal(size=(119, WIDTH))

    def made(of, noise):
        x = 3 * element[of.species] + side[:, None] * along
        x = x + noise * np.repeat(np.random.default_rng(1).normal(size=(len(of), WIDTH)), 2, axis=0)
        return EmbeddingTable.from_arrays(x, of.species, index, structures=of, model="a")

    of = Structures.from_atoms([salts.atoms(i) for i in range(len(salts))], [f"{name}~1" for name in salts.ids])
    found = analyses.polymorphs([made(salts, 0)], copies=[made(of, 0.05)], space="own", num_bootstraps=20)
    assert found.within["a"]["mean"]["separation"].value < 0.05
    assert found.within["a"]["cloud"]["separation"].value > 0.95


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"copies": "other model"}, "`copies` must hold one table by a embedding, got 0"),
        ({"copies": "strange"}, "`copies` must be of the tables' structures"),
        ({"energies": np.zeros(3)}, "`energies` must have one value per structure, got 3 for 24"),
        ({"energies": np.full(24, np.nan)}, "`energies` must be known for at least two phases"),
    ],
)
def test_wrong_copies_and_energies(salts, options, said):
    if options.get("copies") == "other model":
        options = {"copies": [copies_of(salts, noise=0, model="b")]}
    elif options.get("copies") == "strange":
        options = {"copies": [table(Structures.from_atoms([bulk("Cu")], ["copper~1"]))]}
    with pytest.raises(ValueError, match=said):
        analyses.polymorphs([table(salts)], **options)


def reacting():
    """Elements and salts; the energy of a formula unit is one direction of its atoms' rows."""
    alone = [(f"{symbol} alone", Atoms(symbol, cell=[4, 4, 4], pbc=True)) for symbol in (*CATIONS, *ANIONS)]
    return structures(*alone)


def test_a_read_out_of_other_reactions_tells_energies():
    of = reacting()
    known = table(of, phase=1.0)
    direction = np.random.default_rng(5).normal(size=WIDTH)
    energy = np.bincount(known.structure_index, known.x @ direction)
    known = table(of, phase=1.0, energy=energy)
    per_formula = {name: float(energy[i]) for i, name in enumerate(of.ids)}
    equations = [f"1/2 {c}2 + {a} -> {c}{a}-{phase}" for c in CATIONS for a in ANIONS for phase in PHASES]
    truth = [
        per_formula[f"{c}{a}-{phase}"] - per_formula[f"{c} alone"] - per_formula[f"{a} alone"]
        for c in CATIONS
        for a in ANIONS
        for phase in PHASES
    ]
    found = analyses.reactions(equations, [known], energies=truth, space="own", num_bootstraps=50)
    assert found.errors["a"].value < 0.05 * found.errors["constant"].value
    assert found.errors["a, own energies"].value < 1e-5
    np.testing.assert_allclose(found.predicted["a"], truth, atol=0.1 * np.std(truth))
    # Every compound is formed once.
    assert found.groups == Groups(num=24, largest=1, effective=24.0)
    assert ", below the baseline. The 24 reactions fall into 24 groups" in found.verdict
    schemed.check("arithmetic reactions", json.loads(json.dumps(found.to_json(), allow_nan=False)))
    reports.check(found)


def test_reactions_that_share_compounds_are_one_group():
    """Chains of exchange hang all compounds together: 28 of the 56 reactions of the published set do."""
    of = reacting()
    formed = [f"1/2 {c}2 + {a} -> {c}{a}-rocksalt" for c in CATIONS for a in ANIONS]
    chained = [f"{c}F-rocksalt + LiCl-rocksalt -> LiF-rocksalt + {c}Cl-rocksalt" for c in ("Na", "K", "Rb")]
    energies = np.random.default_rng(0).normal(size=len(formed) + 3).tolist()
    found = analyses.reactions([*formed, *chained], [table(of)], energies=energies, space="own", num_bootstraps=20)
    # Eight compounds and the three exchanges between them are one group, the four bromides stand alone.
    assert found.groups.num == 5
    assert found.groups.largest == 11
    assert np.isnan(found.errors["a"].low)
    assert "too few for intervals" in found.verdict
    assert "nan" not in found.verdict
    reports.check(found)


def test_both_sides_the_same_give_nothing():
    found = analyses.reactions(["NaCl-rocksalt + LiF -> LiF + NaCl-rocksalt"], [table(reacting())], space="own")
    assert found.norms["a"][0] == 0
    assert not found.errors


def test_what_is_not_balanced_is_refused():
    with pytest.raises(ValueError, match=r"'2 Na \+ Cl -> NaCl' is not balanced: its products have Na -1"):
        analyses.reactions(["2 Na + Cl -> NaCl"], [table(reacting())])
    with pytest.raises(ValueError, match="must not name models, got @a in 'Na@a"):
        analyses.reactions(["Na@a + 1/2 Cl2 -> NaCl"], [table(reacting())])
    with pytest.raises(ValueError, match="known for at least 5 reactions, got 1"):
        analyses.reactions(["Na + 1/2 Cl2 -> NaCl"], [table(reacting())], energies=[1.0])


def test_what_cycles_tell_is_not_counted():
    """Rows know nothing; but a read-out of the other reactions of a compound would know its energy."""
    of = reacting()
    blind = EmbeddingTable.from_arrays(
        np.random.default_rng(3).normal(size=(len(of.species), 40)),
        of.species,
        np.repeat(np.arange(len(of)), np.diff(of.offsets)),
        structures=of,
        model="a",
    )
    rng = np.random.default_rng(4)
    energy = {f"{c}{a}-{phase}": rng.normal() for c in CATIONS for a in ANIONS for phase in PHASES}
    # Every salt twice: formed, and fallen apart again.
    formed = [f"1/2 {c}2 + {a} -> {c}{a}-{phase}" for c in CATIONS for a in ANIONS for phase in PHASES]
    fallen = [" -> ".join(reversed(equation.split(" -> "))) for equation in formed]
    values = list(energy.values())
    found = analyses.reactions(
        formed + fallen, [blind], energies=values + [-value for value in values], space="own", num_bootstraps=20
    )
    assert found.errors["a"].high > 0.8 * found.errors["constant"].value
