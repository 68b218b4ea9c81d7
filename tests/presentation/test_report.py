"""The report says what the comparison holds, and is one file that stands alone."""

import base64
import dataclasses
import json
import re
from html.parser import HTMLParser

import comparisons
import numpy as np
import pytest

from platonic_jax import _html, plots, report
from platonic_jax.analyses import Resolved, arrangement

VOID = {"meta", "br", "input", "path", "circle", "polygon"}


class Page(HTMLParser):
    """Text, attributes and scripts of a page; every element must be closed in its place."""

    def __init__(self, source):
        super().__init__()
        self.open, self.seen, self.text, self.data = [], [], "", ""
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.data += data if self.seen[-1][1].get("id") == "data" else ""
        elif self.open[-1:] != ["style"]:
            self.text += data


@pytest.fixture(scope="module")
def comparison():
    return comparisons.make()


@pytest.fixture(scope="module")
def page(comparison, tmp_path_factory):
    return Page(write(comparison, tmp_path_factory.mktemp("report")))


def write(comparison, folder):
    """The page of a comparison; the figures have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save_all", lambda *_, name: [])
        return report.write(comparison, folder).read_text()


def data_of(page):
    return json.loads(page.data)["comparison"]


def decode(array):
    return np.frombuffer(base64.b64decode(array["base64"]), dtype=np.dtype(array["type"]).newbyteorder("<"))


def answers(comparison):
    return {answer.question: answer for answer in report.answers(comparison)[1]}


# ---- the file ----------------------------------------------------------------------------------------------------


def test_write_leaves_the_report_the_numbers_and_the_figures(comparison, tmp_path):
    target = report.write(comparison, tmp_path / "new" / "folder")
    assert target == tmp_path / "new" / "folder" / "report.html"
    left = {path.name for path in target.parent.iterdir()}
    assert left - {"report.chemiscope.json.gz"} == {"compare.json", "figures", "report.html"}
    assert json.loads((target.parent / "compare.json").read_text()) == comparison.to_json()
    assert len(list((target.parent / "figures").glob("*.png"))) == 4 + 3


def test_nothing_is_fetched(page):
    fetching = [
        attrs for tag, attrs in page.seen if tag in {"link", "img", "iframe", "script"} and {"src", "href"} & set(attrs)
    ]
    assert fetching == []
    (policy,) = (attrs["content"] for _, attrs in page.seen if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.partition("style-src")[0]
    links = [attrs["href"] for tag, attrs in page.seen if tag == "a" and not attrs["href"].startswith("#")]
    assert links == ["https://doi.org/10.1038/s42256-026-01235-7"]


def test_links_within_the_page_arrive(page):
    named = {attrs.get("id") for _, attrs in page.seen}
    for tag, attrs in page.seen:
        if tag == "a" and attrs["href"].startswith("#"):
            assert attrs["href"][1:] in named


def test_a_report_that_fails_leaves_the_old_one(comparison, tmp_path):
    (tmp_path / "report.html").write_text("old")
    broken = dataclasses.replace(comparison, provenance={})
    with pytest.raises(KeyError):
        write(broken, tmp_path)
    assert (tmp_path / "report.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_twenty_thousand_atoms_stay_under_15_megabytes(tmp_path):
    comparison = comparisons.make(num_structures=4000)
    assert len(comparison.rows) == 20_000
    assert len(write(comparison, tmp_path).encode()) < 15e6


def test_what_comes_from_data_is_escaped(tmp_path):
    nasty = "</script><script>alert('x')</script><b>&"
    comparison = comparisons.make(
        models=(nasty, "b"),
        kinds=("model", "model"),
        ids=[f"{nasty}{i}" for i in range(20)],
        formulas=[nasty] * 20,
        stores={nasty: {"licence": nasty, "layer": nasty}},
    )
    source = write(comparison, tmp_path)
    page = Page(source)
    assert sum(tag == "script" for tag, _ in page.seen) in (4, 7)  # The viewer brings three, where it is installed.
    assert "<script>alert" not in source
    assert nasty in page.text
    assert data_of(page)["atoms"]["ids"][3] == f"{nasty}3"
    assert "<" not in data_of(page)["models"][0].replace("<br>", "")


# ---- the data ----------------------------------------------------------------------------------------------------


def points_of(sent):
    points = decode(sent["points"]).reshape(-1, 2)
    return points * sent["points"]["scale"] + sent["points"]["origin"] if "scale" in sent["points"] else points


def test_maps_and_neighbours_arrive_as_they_are(page, comparison):
    data = data_of(page)
    assert list(data["maps"]) == ["0", "1", "2", "3"]
    for i, sent in data["maps"].items():
        view, neighbours = comparison.maps[int(i)], comparison.neighbours[int(i)]
        for space in ("raw", "shared"):
            finer_than_seen = np.ptp(arrangement.window(view[space])) / 4000
            np.testing.assert_allclose(points_of(sent[space]), view[space], rtol=0, atol=finer_than_seen)
        np.testing.assert_array_equal(decode(sent["neighbours"]).reshape(-1, 5), neighbours)


def test_two_bytes_are_not_enough_where_one_atom_lies_far_outside(comparison, tmp_path):
    far = comparison.maps[0]["raw"].copy()
    far[0] = 1e4
    maps = [{**comparison.maps[0], "raw": far}, *comparison.maps[1:]]
    sent = data_of(Page(write(dataclasses.replace(comparison, maps=maps), tmp_path)))["maps"]["0"]["raw"]
    assert sent["points"]["type"] == "float32"
    np.testing.assert_array_equal(points_of(sent), far)


def test_every_atom_can_be_named(page, comparison):
    atoms = data_of(page)["atoms"]
    np.testing.assert_array_equal(decode(atoms["species"]), comparison.species)
    np.testing.assert_array_equal(decode(atoms["place"]), comparison.atom_index)
    row = 63
    structure = np.searchsorted(decode(atoms["first_row"]), row, side="right") - 1
    assert atoms["ids"][structure] == f"mp-{comparison.structure_index[row]}"


def test_structures_are_named_by_number_where_none_are_known(comparison, tmp_path):
    page = Page(write(dataclasses.replace(comparison, structures=None), tmp_path))
    assert data_of(page)["atoms"]["ids"][:3] == ["0", "1", "2"]


def test_every_figure_has_its_place(page):
    places = [attrs for _, attrs in page.seen if "data-figure" in attrs]
    assert sum(attrs["data-figure"] == "map" for attrs in places) == 2 * 4
    assert [attrs["data-name"] for attrs in places if attrs["data-figure"] == "chart"] == ["matrix", "dots"] * 3


def test_matrices_are_ordered_as_their_dendrogram(page, comparison):
    charts = list(json.loads(page.data)["charts"].values())
    for sent, measure in zip(charts[::2], comparison.measures.values(), strict=True):
        assert sent["order"] == arrangement.leaf_order(measure)
        assert len(sent["tree"]["x"]) == 4
        np.testing.assert_allclose(sent["value"], measure.value)


# ---- the text ----------------------------------------------------------------------------------------------------


def test_every_number_stands_in_a_table(page):
    numbers = ("0.900", "0.880 to 0.930", "0.050", "0.850", "0.005", "0.400", "0.500", "0.010")
    assert page.text.count("7net-0 – chgnet-r2scan" + "".join(numbers)) == 1
    assert len([tag for tag, _ in page.seen if tag == "tr"]) == 3 * (1 + 10) + (1 + 10) + (1 + 3) + (1 + 1)


def test_provenance_anchors_and_citation_are_told(page):
    for told in (
        "ab" * 32,
        "scalars before the read-out",
        "chgnet-0.3.0 does not know Cf",
        "60 of 100 atoms",
        "8, 830–840",
    ):
        assert told in page.text
    assert "Of the 10 elements, 3 have an anchor; without one: Li, Al, Si, Cl, Ar, La, U." in page.text


def test_each_element_has_its_line(page, comparison):
    agreement = float(comparison.agreement[comparison.species == 26].mean())
    assert f"Fetransition metal10101{_html.number(agreement)}" in page.text
    assert "over all atoms it is 0.392, and 0.200 under permutation within each element" in page.text
    picking = [attrs["data-pick"] for _, attrs in page.seen if "data-pick" in attrs]
    assert picking.count("element:Fe") == 2  # In the table of elements and in the periodic table.


def test_thinned_maps_say_so(comparison, tmp_path):
    assert "whole structures, drawn at random. Axes" not in write(comparison, tmp_path)
    assert "The maps show 50 of the 100 atoms" in write(comparisons.make(shown=50), tmp_path)


def test_a_random_weight_model_is_labelled_wherever_it_is_named(page):
    headings = re.findall(r"7net-0( \(random weights, seed 0\))?", page.text)
    assert "7net-0 (random weights, seed 0)" in page.text
    assert len(headings) > 10
    assert "random:7net-0" not in page.text.split("Provenance")[-1].split("Models")[0]


# ---- the verdict -------------------------------------------------------------------------------------------------


def test_the_verdict_counts_pairs_against_each_ruler(comparison):
    # Intervals begin 0.02 below the value: 0.63 stays below the control's 0.64.
    assert comparison.verdict == (
        "In global geometry, all 3 pairs of models agree beyond the element; "
        "2 of 3 pairs beyond an untrained network. "
        "In nearest neighbours, all 3 pairs of models agree beyond the element; "
        "2 of 3 pairs beyond an untrained network."
    )


def test_the_verdict_names_the_extremes_with_their_intervals(comparison):
    answer = answers(comparison)["Which models agree most?"]
    assert answer.answer == "7net-0 and chgnet-r2scan."
    assert "0.90 (95 % CI 0.88 to 0.93)" in answer.detail
    assert "chgnet-0.3.0 and chgnet-r2scan, 0.65 (0.63 to 0.68)" in answer.detail


def test_the_verdict_gives_the_rulers_their_numbers(comparison):
    found = answers(comparison)
    exchanged = found["Beyond permuted structures?"].detail
    assert "0.05, an effect of 0.60 to 0.85 (p = 0.005; 55 of 60 atoms can be exchanged)" in exchanged
    beyond = found["Beyond the element?"].detail
    assert "0.40, an effect of 0.25 to 0.50 (p = 0.010; 50 of 60 atoms can be exchanged, 8 of 10" in beyond
    assert "The element-only baseline reaches 0.55 to 0.60" in beyond
    assert (
        "Without training, 7net-0 (random weights, seed 0) reaches 0.50 to 0.70"
        in found["More than an untrained network?"].detail
    )
    neighbours = found["Do nearest neighbours agree?"].detail
    assert "share 45 % (95 % CI 43 to 48 %)" in neighbours
    assert "20 %, an effect of 12 to 25 percentage points (p = 0.010)" in neighbours
    assert "An untrained control shares 25 to 35 % with the models." in neighbours


def test_the_verdict_says_when_neighbourhoods_are_no_better_than_their_null(comparison):
    at_chance = comparisons.with_measure(comparison, "mutual_knn", p_within_element=np.full((5, 5), 0.4))
    assert answers(at_chance)["Do nearest neighbours agree?"].answer.startswith("Beyond the element: no pair;")


def test_what_cannot_be_tested_is_said_to_be_so(comparison):
    nothing = comparisons.with_measure(comparison, "mutual_knn", p_within_element=np.full((5, 5), np.nan))
    found = answers(nothing)["Do nearest neighbours agree?"]
    assert found.answer.startswith("Beyond the element: cannot be tested;")
    assert "Too few structures can be exchanged for a test." in found.detail
    few = dict(comparison.measures["procrustes"].settings) | {"num_permutations": 10}
    short = comparisons.with_measure(comparison, "procrustes", settings=few)
    assert "beyond the element cannot be tested" in short.verdict
    assert "10 permutations cannot reach p ≤ 0.05; use at least 19." in answers(short)["Beyond the element?"].detail
    assert "do not agree" not in short.verdict


def test_without_a_control_the_verdict_says_how_to_make_one():
    comparison = comparisons.make(models=("7net-0", "b", "c"), kinds=("model",) * 3)
    answer = answers(comparison)["More than an untrained network?"]
    assert answer.answer == "Not tested."
    assert answer.command == 'platonic embed "random:7net-0?seed=0" INPUT -o random.zarr'
    assert "untrained" not in comparison.verdict


def test_a_single_pair_gets_a_plain_sentence():
    comparison = comparisons.make(models=("a", "b", "random:a?seed=0"), kinds=("model", "model", "random"))
    assert comparison.verdict == (
        "In global geometry, a and b agree beyond the element, but not beyond an untrained network. "
        "In nearest neighbours, a and b agree beyond the element, but not beyond an untrained network."
    )
    assert answers(comparison)["How far do they agree?"].answer == "0.80."


def test_relatives_are_no_evidence_of_convergence(comparison):
    assert "Independent models?" not in answers(comparison)
    related = comparisons.make(stores={"chgnet-r2scan": {"relatives": ["chgnet-0.3.0"]}})
    assert "chgnet-0.3.0 and chgnet-r2scan" in answers(related)["Independent models?"].detail


@pytest.mark.parametrize(
    ("kinds", "measures"),
    [
        (("model", "random"), ("procrustes", "mutual_knn")),
        (("model", "model"), ("sinkhorn_divergence",)),
        (("model", "model", "element"), ("mutual_knn",)),
    ],
)
def test_partial_comparisons_are_reported_too(kinds, measures, tmp_path):
    comparison = comparisons.make(models=("a", "b", "element")[: len(kinds)], kinds=kinds)
    comparison = dataclasses.replace(comparison, measures={name: comparison.measures[name] for name in measures})
    assert comparison.verdict.endswith(".")
    Page(write(comparison, tmp_path))


def test_undefined_values_are_dashes_and_count_for_nothing(comparison, tmp_path):
    nothing = np.full((5, 5), np.nan)
    undefined = comparisons.with_measure(
        comparison, "procrustes", value=nothing, low=nothing, high=nothing, null=nothing
    )
    page = Page(write(undefined, tmp_path))
    assert "no pair beyond" in undefined.verdict.split(". ")[0]
    assert "NaN" not in page.data
    assert re.search(r"\bnan\b", page.text) is None
    assert answers(undefined)["How far do they agree?"].answer == "Undefined."


def test_groups_stand_in_the_report_with_their_nulls(comparison, tmp_path):
    assert 'href="#groups"' not in write(comparison, tmp_path)
    value = np.full((2, 5, 5), 0.25)
    value[0, 0, 1] = 0.55  # one of three pairs of trained models: mean 0.35
    resolved = Resolved(
        labels=["O", "<Fe>"],
        num_atoms=np.array([1234, 567]),
        num_structures=np.array([99, 50]),
        measures={"mutual_knn": {"value": value, "low": value, "high": value, "null_within_element": value / 5}},
        left_out={"He": 3},
        settings={"num_permutations": 20},
    )
    page = Page(write(dataclasses.replace(comparison, resolved={"element": resolved}), tmp_path))
    assert "O1,234990.3500.070" in page.text
    assert "<Fe>567500.2500.050" in page.text
    assert "1 group left out for want of atoms" in page.text


def test_a_measure_that_is_not_symmetric_is_listed_both_ways(comparison, tmp_path):
    value = comparison.measures["procrustes"].value.copy()
    value[0, 1], value[1, 0] = 0.31, 0.87
    both = arrangement.ranked_pairs(comparisons.with_measure(comparison, "procrustes", value=value), "procrustes")
    assert len(both) == 2 * len(arrangement.pairs(comparison))
    assert both.index((1, 0, "model")) < both.index((0, 1, "model"))
    assert arrangement.ranked_pairs(comparison, "procrustes")[0] == (0, 2, "model")
