"""Structures in 3-D: the file for chemiscope, and the viewer inside the report, opened by chemiscope itself."""

import base64
import dataclasses
import gzip
import importlib.util
import json
import re
from importlib import resources

import comparisons
import numpy as np
import pytest

from platonic_jax.report import _page, _structures

COLOUR = "neighbours in common"


@pytest.fixture(scope="module")
def comparison():
    """Twenty structures, of which the last ten stand in the maps."""
    whole = comparisons.make(shown=50)
    return dataclasses.replace(whole, rows=np.arange(50, 100, dtype=np.int32))


@pytest.fixture(scope="module")
def file(comparison, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / _structures.FILE
    assert _structures.write(comparison, path)
    return path


@pytest.fixture(scope="module")
def dataset(file):
    return json.loads(gzip.decompress(file.read_bytes()))


def unpacked(comparison):
    return json.loads(gzip.decompress(base64.b64decode(_structures.embedded(comparison))))


# ---- what is in it -----------------------------------------------------------------------------------------------


def test_the_structures_are_those_of_the_maps(comparison, dataset):
    known = comparison.structures
    assert [entry["id"] for entry in dataset["structures"]] == known.ids[10:]
    for place, entry in enumerate(dataset["structures"]):
        atoms = known.atoms(10 + place)
        assert entry["names"] == list(atoms.symbols)
        np.testing.assert_allclose(np.transpose([entry[axis] for axis in "xyz"]), atoms.positions, atol=1e-4)
        np.testing.assert_allclose(np.reshape(entry["cell"], (3, 3)), atoms.cell.array, atol=1e-5)


def test_every_atom_brings_what_the_maps_show_of_it(comparison, dataset):
    rows, found = comparison.rows, {name: entry["values"] for name, entry in dataset["properties"].items()}
    where = [(entry["structure"] + 10, entry["center"]) for entry in dataset["environments"]]
    assert where == list(zip(comparison.structure_index[rows], comparison.atom_index[rows], strict=True))
    np.testing.assert_array_equal(found["atomic number"], comparison.species[rows])
    np.testing.assert_allclose(found[COLOUR], comparison.agreement, rtol=1e-2)
    assert set(found["chemical group"]) == set(found["chemical group"][:10])
    for space, told in (("raw", "own space"), ("shared", "shared space")):
        for axis in (0, 1):
            points = found[f"PC {axis + 1} of chgnet-0.3.0, {told}"]
            np.testing.assert_allclose(points, comparison.maps[1][space][:, axis], rtol=1e-4)
    assert len(found) == 3 + 4 * 4  # The element alone has no map.


def test_the_colour_stands_beside_what_chance_gives(dataset):
    told = dataset["properties"][COLOUR]["description"]
    assert "share of their 10 nearest neighbours that two models have in common, mean over 3 pairs" in told
    assert "0.01 as a whole, 0.2 within each element" in told


def test_the_same_comparison_gives_the_same_bytes(comparison, file, tmp_path):
    _structures.write(comparison, tmp_path / "again.json.gz")
    assert (tmp_path / "again.json.gz").read_bytes() == file.read_bytes()


def test_the_viewer_finds_structures_by_their_place_on_the_page(comparison):
    sent = unpacked(comparison)
    assert sent["places"] == list(range(10, 20))  # The page knows all twenty.
    assert sent["rows"] == comparison.rows.tolist()
    assert list(sent["dataset"]["properties"]) == [COLOUR]


def test_without_two_trained_models_atoms_are_coloured_by_their_element():
    sent = unpacked(comparisons.make(models=("a", "random:a?seed=0"), kinds=("model", "random")))
    assert sent["dataset"]["properties"] == {}
    assert sent["dataset"]["settings"]["structure"][0]["color"] == {"property": "element"}
    assert "coloured by their element" in sent["told"]


def test_where_nothing_can_be_shown_the_report_says_why(comparison, tmp_path, monkeypatch):
    bare = dataclasses.replace(comparison, structures=None)
    assert "the tables have none" in _structures.note(bare)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert 'pip install "platonic-jax[report]"' in _structures.note(comparison)
    for found in (bare, comparison):
        assert not _structures.write(found, tmp_path / "none.json.gz")
        assert _structures.viewer(_structures.embedded(found)) == _structures.Viewer()
    assert list(tmp_path.iterdir()) == []


def test_names_from_data_cannot_leave_their_script():
    nasty = "</script><script>alert('x')</script>"
    comparison = comparisons.make(models=(nasty, "b"), kinds=("model",) * 2, ids=[f"{nasty}{i}" for i in range(20)])
    assert nasty not in _structures.viewer(_structures.embedded(comparison)).html


# ---- in a browser ------------------------------------------------------------------------------------------------

WHOLE = """<div id="meta"></div><div id="info"></div>
<div id="map" style="width: 300px; height: 300px"></div><div id="structure" style="width: 300px; height: 300px"></div>
<script>%s</script><script>
Chemiscope.DefaultVisualizer.load({meta: "meta", map: "map", info: "info", structure: "structure"}, %s)
  .then((view) => (window.view = view), (error) => console.error(error));
</script>"""


def test_chemiscope_opens_the_file_and_the_report_its_viewer(browser, comparison, dataset, tmp_path):
    script = resources.files("chemiscope").joinpath("sphinx", "static", "chemiscope.min.js").read_text()
    (tmp_path / "whole.html").write_text(f"<!doctype html><meta charset=utf-8>{WHOLE % (script, json.dumps(dataset))}")
    policy = re.search(
        r"<meta http-equiv[^>]*>", resources.files("platonic_jax.report").joinpath("page.html").read_text()
    )
    viewer = _structures.viewer(_structures.embedded(comparison))
    allowed = policy[0].replace("$scripts", " ".join(map(_page._allowed, viewer.scripts)))
    (tmp_path / "report.html").write_text(
        f'<!doctype html><meta charset=utf-8>{allowed}<style id="plotly.js-style-global">p {{ margin: 0 }}</style>'
        f'<div id="viewer"></div>{viewer.html}'
    )
    said, asked = [], []
    page = browser.new_page(viewport={"width": 800, "height": 700})
    page.set_default_timeout(120_000)
    page.on("console", lambda message: message.type == "error" and said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))

    page.goto((tmp_path / "whole.html").as_uri())
    page.wait_for_function("window.view")
    assert page.evaluate("view.saveSettings().structure[0].color.property") == COLOUR

    page.goto((tmp_path / "report.html").as_uri())
    assert page.evaluate("typeof Chemiscope") == "undefined"  # Nothing is unpacked before it is asked for.
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    status = page.locator("#viewer [role=status]")
    status.filter(has_text="·").wait_for()
    assert status.text_content() == "mp-10 · Fe2O3"
    assert page.locator("style").first.get_attribute("id") == "plotly.js-style-global"  # The page's plotly needs it.
    picked = "(detail) => document.dispatchEvent(new CustomEvent('platonic:pick', { detail }))"
    page.evaluate(picked, {"structure": 12, "row": 63})
    status.filter(has_text="atom 3").wait_for()
    share = comparison.agreement[13]
    assert status.text_content() == f"mp-12 · Fe2O3 · La, atom 3, {share:.2f} of its neighbours in common"
    page.evaluate(picked, {"structure": 2, "row": None})
    status.filter(has_text="outside").wait_for()
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
