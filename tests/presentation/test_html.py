"""What notebooks show of tables, comparisons, verdicts and studies: right numbers, nothing unescaped."""

import dataclasses
from html.parser import HTMLParser

import comparisons
import numpy as np
import pytest

from platonic_jax import _html, analyses, report
from platonic_jax.tables import EmbeddingTable

NASTY = '<script>alert("1")</script>&'


class Reader(HTMLParser):
    """The texts of cells and entries; fails where tags are not closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.texts = [], set(), [""]
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.add(tag)
        self.texts.append("")
        assert all(name != "style" or "color" not in value for name, value in attributes), "no colours of its own"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts[-1] += data


def table(**options):
    return EmbeddingTable.from_arrays(np.eye(3), [1, 1, 8], [0, 0, 1], **options)


@pytest.mark.parametrize(
    ("number", "told"), [(0.12345, "0.123"), (-2.0, "-2.000"), (0.0, "0.000"), (3e-5, "3e-05"), (np.nan, "–")]
)
def test_a_number_has_three_decimals_or_its_order_of_magnitude(number, told):
    assert _html.number(number) == told


def test_a_table_says_what_it_holds():
    read = Reader(table(model="7net-0", layer="readout")._repr_html_()).texts
    assert "EmbeddingTable of 7net-0" in read
    assert "3 of 2 structures, known by their rows alone, 2 elements" in read
    assert read[read.index("columns") + 1] == "3"
    assert "skipped" not in read


def test_in_a_terminal_one_line_is_enough():
    assert repr(table(model="7net-0", layer="out")) == "EmbeddingTable(7net-0, out: 3 atoms of 2 structures × 3)"
    found = comparisons.make(models=("a", "b"), kinds=("model", "model"))
    assert repr(found) == "Comparison(a, b: procrustes, mutual_knn, sinkhorn_divergence of 100 atoms)"


def test_a_table_of_random_weights_says_so():
    read = Reader(table(provenance={"random_weights": True})._repr_html_()).texts
    assert read[read.index("kind") + 1] == "random weights"


def test_a_comparison_shows_every_pair_with_interval_and_nulls():
    found = comparisons.make()
    read = Reader(found._repr_html_()).texts
    at = read.index("7net-0 – chgnet-r2scan")
    assert read[at + 2 : at + 10] == ["0.900", "0.880 to 0.930", "0.050", "0.850", "0.005", "0.400", "0.500", "0.010"]
    at = read.index("7net-0 – chgnet-r2scan", at + 1)
    assert read[at + 2 : at + 5] == ["0.450", "0.430 to 0.480", "0.010"]
    assert sum(" – " in cell for cell in read) == 3 * 10
    assert "7net-0 – 7net-0 (random weights, seed 0)" in read


def test_what_is_not_symmetric_is_shown_both_ways_and_what_is_undefined_is_a_dash():
    found = comparisons.make()
    value = found.measures["procrustes"].value.copy()
    value[0, 2], value[2, 0] = 0.25, np.nan
    read = Reader(comparisons.with_measure(found, "procrustes", value=value)._repr_html_()).texts
    assert read[read.index("7net-0 → chgnet-r2scan") + 2] == "0.250"
    assert read[read.index("chgnet-r2scan → 7net-0") + 2] == "–"


def test_pairs_beyond_those_of_ten_models_are_counted():
    found = comparisons.make()
    names = [f"m{i}" for i in range(11)]
    measure = found.measures["procrustes"]
    arrays = [name for name, entry in vars(measure).items() if isinstance(entry, np.ndarray)]
    measure = dataclasses.replace(measure, **{name: np.full((11, 11), 0.5) for name in arrays})
    changes = {"models": names, "kinds": ["model"] * 11, "provenance": {"stores": dict.fromkeys(names, {})}}
    many = dataclasses.replace(found, measures={"procrustes": measure}, **changes)
    read = Reader(many._repr_html_()).texts
    assert sum(" – " in cell for cell in read) == 45
    assert "10 more rows are not shown" in read


def test_structures_may_be_absent_or_empty():
    found = dataclasses.replace(comparisons.make(), structures=None, measures={}, provenance={})
    assert "Comparison of 7net-0, chgnet-0.3.0 and chgnet-r2scan" in Reader(found._repr_html_()).texts
    skipped = dataclasses.replace(table(), skipped=({"id": "mp-1", "hash": "", "reason": "Po"},))
    read = Reader(skipped._repr_html_()).texts
    assert read[read.index("skipped") + 1] == "1 of the input"


def test_a_verdict_is_its_lead_and_its_answers():
    found = comparisons.make()
    lead, answers = report.answers(found)
    assert found.verdict == lead
    read = " ".join(Reader(found._repr_html_()).texts)
    for answer in answers:
        assert answer.question in read
    assert "0.90 (95 % CI 0.88 to 0.93)" in read.replace("\xa0", " ").replace("  ", " ")
    nothing = comparisons.make(models=("a", "element"), kinds=("model", "element"))
    assert nothing.verdict in Reader(nothing._repr_html_()).texts


def test_a_study_is_its_verdict():
    figures = dict.fromkeys(("hit_1", "phase"), analyses.Estimate(0.5, 0.4, 0.6))
    found = analyses.Analogies(
        [NASTY],
        {NASTY: figures, "composition": figures},
        {NASTY: "model", "composition": "composition"},
        {"phase": 0.5},
        {"quadruples": 7, "prototypes": 2, "candidates": 9, "phase": 0},
        analyses.Groups(7, 1, 7.0),
        {},
        {},
    )
    page = found._repr_html_()
    assert NASTY not in page
    read = Reader(page)
    assert f"Analogies between crystals in {NASTY}" in read.texts
    assert f"{NASTY} answers" in " ".join(read.texts)
    assert "script" not in read.tags


def test_names_are_text_whatever_they_hold():
    pages = [
        table(model=NASTY, layer=NASTY, provenance={"licence": NASTY})._repr_html_(),
        comparisons.make(models=(NASTY, "b", "c", "d", "e"))._repr_html_(),
    ]
    for page in pages:
        assert NASTY not in page
        read = Reader(page)
        assert "script" not in read.tags
        assert NASTY in "".join(read.texts)
