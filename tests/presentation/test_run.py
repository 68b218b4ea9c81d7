"""`platonic run`: a study from a file, its steps kept, its numbers locked."""

import argparse
import json
import re
import shutil

import pytest
from commands import one_sentence, write_store

from platonic_jax import cli
from platonic_jax.cli import _run, _study, main

STUDY = """
title = "Two models & a control"
stores = ["a.zarr", "b.zarr", "r.zarr"]

[compare]
k = 20
measures = ["procrustes", "mutual_knn"]
num-permutations = 9
num_anchor_draws = 2

[[sweep]]
ks = [5, 10]
methods = "random"
choices = 2
measures = ["cka"]

[[sweep]]
stores = ["a.zarr", "b.zarr"]
ks = [5]
methods = "random"
choices = 2
measures = ["mutual_knn"]
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study that was run once."""
    folder = tmp_path_factory.mktemp("study")
    write_store(folder / "a.zarr")
    write_store(folder / "b.zarr", seed=1, width=8, model="b")
    write_store(folder / "r.zarr", seed=2, model="random:a?seed=0", random_weights=True)
    (folder / "study.toml").write_text(STUDY)
    assert main(["run", str(folder / "study.toml")]) == 0
    return folder


@pytest.fixture
def study(done, tmp_path):
    """A copy of it: nothing depends on where it is."""
    shutil.copytree(done, tmp_path / "copy")
    return tmp_path / "copy"


def written(folder):
    """When each step was done."""
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "study" / "steps").glob("*.json")}


def test_one_report_holds_every_step_and_its_numbers_are_those_of_the_command(study, tmp_path):
    page = (study / "study" / "report.html").read_text()
    assert "<h1>Two models &amp; a control</h1>" in page
    assert re.findall(r'<article id="([^"]+)"', page) == ["compare", "sweep-1", "sweep-2"]
    assert len(set(re.findall(r' id="([^"]+)"', page))) == len(re.findall(r' id="([^"]+)"', page))
    assert {
        "compare.json",
        "sweep-1.json",
        "sweep-2.json",
        "figures",
        "report.chemiscope.json.gz",
        "steps",
        "report.html",
    } == {path.name for path in (study / "study").iterdir()}
    stores = [str(study / name) for name in ("a.zarr", "b.zarr", "r.zarr")]
    options = ["-k", "20", "--num-permutations", "9", "--num-anchor-draws", "2", "--measures", "procrustes,mutual_knn"]
    assert main(["compare", *stores, *options, "--json", str(tmp_path / "c.json")]) == 0
    found = json.loads((study / "study" / "compare.json").read_text())
    assert _study.numbers(found) == _study.numbers(json.loads((tmp_path / "c.json").read_text()))


def test_what_has_not_changed_is_not_done_again_and_what_has_is(study, capsys):
    before = written(study)
    assert main(["run", str(study / "study.toml")]) == 0
    assert written(study) == before
    assert capsys.readouterr().out.count("unchanged: ") == 3

    shutil.rmtree(study / "b.zarr")
    write_store(study / "b.zarr", seed=5, width=8, model="b")
    other = STUDY.replace("k = 20", "k = 10").replace('["a.zarr", "b.zarr"]', '["a.zarr", "r.zarr"]')
    (study / "study.toml").write_text(other)
    assert main(["run", str(study / "study.toml")]) == 0
    assert {name for name, time in written(study).items() if time != before[name]} == {"compare", "sweep-1", "sweep-2"}
    assert json.loads((study / "study" / "compare.json").read_text())["anchors"]["k"] == 10


def test_the_lock_holds_bit_for_bit_in_another_folder_and_says_what_differs(study, tmp_path, capsys):
    lock = json.loads((study / "study.lock").read_text())
    assert {"python", "jax", "numpy", "source"} <= set(lock["versions"])
    assert set(lock["inputs"]) == {"a.zarr", "b.zarr", "r.zarr"}
    again = ["run", str(study / "study.toml"), "--locked", "--fresh", "-o", str(tmp_path / "again")]
    assert main([*again, "--json", str(tmp_path / "lock.json")]) == 0
    assert json.loads((tmp_path / "lock.json").read_text()) == lock
    capsys.readouterr()

    lock["steps"]["sweep-2"]["numbers"] = "0" * 64
    (study / "study.lock").write_text(json.dumps(lock))
    assert main(again[:3]) == 1
    assert "the numbers of sweep-2 are not those of study.lock" in one_sentence(capsys)
    lock["versions"]["numpy"] = "1.0"
    (study / "study.lock").write_text(json.dumps(lock))
    assert main(again) == 2
    assert "numpy is " in one_sentence(capsys)
    lock["versions"]["numpy"], lock["inputs"]["b.zarr"] = _study.versions()["numpy"], "0" * 64
    (study / "study.lock").write_text(json.dumps(lock))
    assert main(again) == 2
    assert "b.zarr is " in one_sentence(capsys)
    (study / "study.lock").unlink()
    assert main(again) == 2
    assert "`--locked` needs study.lock" in one_sentence(capsys)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title =", "must be TOML"),
        ('title = "a"', "must hold a table of a command"),
        ("[compere]", "got `compere`"),
        ("compare = 3", "must be a table, [compare]"),
        ("[[compare]]\n[[compare]]", "one [compare]"),
        ("[embed]\nmodels = []\n[compare]", "`models` and `structures`"),
        ('stores = ["a"]\n[compare]\ncolour = 1', "[compare] must have options of"),
        ('stores = ["a"]\n[compare]\nk = "many"', "many"),
        ('stores = "/path"\n[compare]', "`stores` in `study.toml` must be a list"),
        ("stores = [1, 2]\n[compare]", "`stores` in `study.toml` must be a list"),
        ("title = 3\n[compare]", "`title` in `study.toml` must be a text"),
        ("embed = 3\n[compare]", "`embed` in `study.toml` must be a table"),
        ('[embed]\nmodels = "a"\nstructures = "s"\n[compare]', "[embed] in `study.toml` must have a list of `models`"),
        ('[embed]\nmodels = ["a"]\nstructures = 1\n[compare]', "and `structures` as one text"),
        ('[embed]\nmodels = ["a"]\nstructures = "s"\ncolour = 1\n[compare]', "[embed] must have options of"),
        ('[embed]\nmodels = ["a"]\nstructures = "s"\nlimit = "many"\n[compare]', "many"),
        ('[embed]\nmodels = ["a"]\nstructures = "s"\ntrust = "yes"\n[compare]', "true or false for `trust`"),
        ('stores = ["a"]\n[compare]\nk = true', "a text, a number or a list of them for `k`"),
        ('stores = ["a"]\n[compare]\nby = [{a = 1}]', "texts, numbers or lists of them"),
        ('stores = ["a"]\n[compare]\nk = 1979-05-27', "texts, numbers or lists of them"),
        ('stores = ["a", "b"]\n[sweep]\nlayers = "yes"', "true or false for `layers`"),
        ('stores = ["a", "b"]\n[learn]\nsave = "o"\nextend = "x"', "got `extend`"),
        ("arithmetic = 3", "must be tables, such as [arithmetic.analogies]"),
        ("[arithmetic.sums]", "got `arithmetic.sums`"),
        ("a = " + "[" * 5000, "must be TOML"),
        ('stores = ["a"]\n[compare]', "[compare] `STORE` must be given at least twice"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(tmp_path, capsys, text, told):
    (tmp_path / "study.toml").write_text(text)
    assert main(["run", str(tmp_path / "study.toml")]) == 2
    assert told in one_sentence(capsys)
    assert not (tmp_path / "study").exists()


def test_encodings_are_read_or_named(tmp_path, capsys):
    (tmp_path / "study.toml").write_bytes(b"\xef\xbb\xbftitle = 'a'")
    assert main(["run", str(tmp_path / "study.toml")]) == 2
    assert "must hold a table of a command" in one_sentence(capsys)
    (tmp_path / "study.toml").write_bytes("title = 'ä'".encode("latin-1"))
    assert main(["run", str(tmp_path / "study.toml")]) == 2
    assert "`study.toml` must be UTF-8" in one_sentence(capsys)


def test_options_of_embed_reach_it():
    parser = cli._parser().parse_args(["models"]).parsers["embed"]
    given = {"models": ["m"], "structures": "s", "trust": True, "limit": 3, "properties": ["energy", "forces"]}
    words = _study.embed_options(given, parser)
    assert words == ["--threads", "1", "--trust", "--limit", "3", "--properties", "energy,forces"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", '{"versions": [], "inputs": {}, "steps": {}}', "[" * 100_000, "\xff"]
    + ['{"versions": {"numpy": 1}, "inputs": {}, "steps": {}}', '{"versions": {}, "inputs": {}, "steps": {"a": 1}}'],
)
def test_a_damaged_lock_is_one_sentence(tmp_path, capsys, text):
    (tmp_path / "study.toml").write_text('stores = ["a", "b"]\n[compare]')
    (tmp_path / "study.lock").write_bytes(text.encode("latin-1"))
    assert main(["run", str(tmp_path / "study.toml"), "--locked"]) == 2
    assert "`study.lock` was changed or damaged" in one_sentence(capsys)


def change(path):
    path.write_text(path.read_text().replace("0.5", "0.6"))


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: change(folder / "steps" / "compare.json"),
        lambda folder: change(folder / "compare.json"),
        lambda folder: change(folder / "a.safetensors"),
        lambda folder: (folder / "compare.json").unlink(),
        *(
            lambda folder, text=text: (folder / "steps" / "compare.json").write_text(text)
            for text in ("", "{", "[]", "{}", '{"digest": 1}', "[" * 100_000)
        ),
    ],
)
def test_a_kept_step_that_was_changed_is_not_believed(tmp_path, harm):
    (tmp_path / "steps").mkdir()
    kept = tmp_path / "steps" / "compare.json"
    (tmp_path / "compare.json").write_text("[0.5]")
    (tmp_path / "a.safetensors").write_text("0.5")
    step = _study.Step("compare", "compare", (), argparse.Namespace(save=str(tmp_path / "a.safetensors")))
    entry = {"key": "k", "part": {"verdict": ["0.5"]}, "files": _run._files(step, tmp_path)}
    kept.write_text(json.dumps({**entry, "digest": _study.digest(entry)}))
    assert _run._believed(kept, step, tmp_path) == entry
    harm(tmp_path)
    assert _run._believed(kept, step, tmp_path) is None


def test_an_absent_file_is_one_sentence(tmp_path, capsys):
    assert main(["run", str(tmp_path / "absent.toml")]) == 2
    assert "absent.toml" in one_sentence(capsys)


def test_every_kind_of_option_reaches_its_command():
    parsers = cli._parser().parse_args(["models"]).parsers
    options = {
        "typicality": {"queries": ["q", "made=7net-0"], "reference": ["7net-0", "r=s.zarr"], "scores": ["density"]},
        "arithmetic expression": {"expression": "TiO2 - Ti + Zr", "stores": []},
        "sweep": {"ks": [5, 10], "layers": True, "limit": 3},
        "stitch": {"source": "7net-0", "target": "b.zarr", "control": ["random.zarr"]},
    }
    made = {
        command: _study.step(
            _study.Table(command, command, given), parsers[command], stores=["x", "y"], embedded={"7net-0": "made.zarr"}
        ).args
        for command, given in options.items()
    }
    assert made["typicality"].queries == ["q", "made=7net-0"]
    assert made["typicality"].reference == ["made.zarr", "r=s.zarr"]
    assert made["typicality"].scores == ("density",)
    assert (made["arithmetic expression"].expression, made["arithmetic expression"].stores) == ("TiO2 - Ti + Zr", [])
    assert (made["sweep"].stores, made["sweep"].ks, made["sweep"].limit) == (["x", "y"], (5, 10), 3)
    assert made["sweep"].layers
    stitch = made["stitch"]
    assert (stitch.source, stitch.target, stitch.control) == ("made.zarr", "b.zarr", ["random.zarr"])


def test_the_example_of_the_help_is_understood(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out.split("a study:\n")[1]
    (tmp_path / "study.toml").write_text(text)
    study = _study.read(tmp_path / "study.toml")
    parsers = cli._parser().parse_args(["models"]).parsers
    embedded = {model: f"{model}.zarr" for model in study.embed["models"]}
    for table in study.tables:
        _study.step(table, parsers[table.command], stores=list(embedded.values()), embedded=embedded)
    assert [table.command for table in study.tables] == ["compare", "stitch", "symmetry"]
