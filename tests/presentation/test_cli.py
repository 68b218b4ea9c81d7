"""The command line: what it prints, writes and returns."""

import argparse
import json
import shlex
import subprocess
import sys

import comparisons
import numpy as np
import pytest
from commands import one_sentence, write_store

import platonic_jax as pj
from platonic_jax import cli
from platonic_jax.cli import main

COMMANDS = tuple(cli.COMMANDS)
QUICK = ["--num-permutations", "19", "--num-anchor-draws", "2", "--measures", "procrustes,mutual_knn"]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return [
        write_store(folder / "a.zarr"),
        write_store(folder / "b.zarr", seed=1, width=8, model="b"),
        write_store(folder / "r.zarr", seed=2, model="random:a?seed=0", random_weights=True),
    ]


# ---- help --------------------------------------------------------------------------------------------------------


def test_alone_it_prints_a_map_of_commands_by_task(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    for command in COMMANDS:
        assert f"platonic {command}" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert f"example:\n  platonic {command}" in said
    assert ("--json" in said) == (command != "completion")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_is_understood(capsys, command):
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    examples = capsys.readouterr().out.split("example:\n")[1].split("\n\n")[0].strip().splitlines()
    assert examples
    for example in examples:
        words = shlex.split(example.split(">")[0] if command == "completion" else example)
        assert words[: 1 + len(command.split())] == ["platonic", *command.split()]
        assert isinstance(cli._parser().parse_args(words[1:]), argparse.Namespace)


def test_json_goes_alone_to_stdout_and_the_version_is_told(capsys, stores):
    assert main(["verify", *stores, "--json", "-"]) == 0
    printed = capsys.readouterr()
    assert [entry["path"] for entry in json.loads(printed.out)] == stores
    assert printed.err.count("is intact") == len(stores)
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"platonic {pj.__version__}\n"


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom platonic_jax.cli import main\nassert main([]) == 0\n"
        "heavy = ('jax', 'rich', 'matplotlib', 'zarr', 'ase', 'numpy')\n"
        "print(*[module for module in heavy if module in sys.modules], file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stderr.split() == []


# ---- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["compre"], "compre"),
        (["compare"], "STORE"),
        (["compare", "{a}"], "at least twice"),
        (["compare", "{a}", "{b}", "--anchors", "best"], "best"),
        (["compare", "{a}", "{b}", "-k", "many"], "many"),
        (["compare", "{a}", "{b}", "-k", "0"], "0"),
        (["compare", "{a}", "{b}", "-k", "121"], "121"),
        (["compare", "{a}", "{b}", "--num-permutations", "0"], "at least 1"),
        (["compare", "{a}", "{b}", "--measures", "nonsense"], "nonsense"),
        (["compare", "{a}", "{b}", "--layer", "nonsense"], "nonsense"),
        (["compare", "{a}", "{b}", "--layer", "a,b,c"], "--layer"),
        (["compare", "{a}", "{tmp}/absent.zarr", "-o", "{tmp}/report"], "absent.zarr"),
        (["compare", "{a}", "{tmp}"], "store"),
        (["compare", "{a}", "{b}", "--json", "{tmp}/absent/out.json"], "{tmp}/absent"),
        (["compare", "{a}", "{b}", "--json", "{tmp}"], "folder"),
        (["compare", "{a}", "{b}", "-o", "{a}/zarr.json/report"], "zarr.json"),
        (["compare", "{a}", "{b}", "--similarity", "dot"], "dot"),
        (["compare", "{a}", "{b}", "--nulls", "charge"], "charge"),
        (["compare", "{a}", "{b}", "--by", "colour"], "colour"),
        (["compare", "{a}", "{b}", "--anchors", "{a}/zarr.json"], "zarr.json"),
        (["sweep", "{a}"], "at least twice"),
        (["sweep", "{a}", "{b}", "--ks", "10,many"], "many"),
        (["sweep", "{a}", "{b}", "--ks", "10,121"], "121"),
        (["sweep", "{a}", "{b}", "--methods", "best"], "best"),
        (["sweep", "{a}", "{b}", "--json", "{tmp}/absent/out.json"], "{tmp}/absent"),
        (["sweep", "{a}", "{b}", "-o", "{a}/zarr.json/sweep"], "zarr.json"),
        (["models", "--json", "{tmp}/absent/models.json"], "{tmp}/absent"),
        (["embed", "7net-0"], "INPUT"),
        (["embed", "7net-9", "prototypes", "-o", "{tmp}/x.zarr"], "7net-0"),
        (["embed", "7net-0", "{tmp}/absent.xyz", "-o", "{tmp}/x.zarr"], "absent.xyz"),
        (["demo", "-o", "{a}/zarr.json/demo"], "zarr.json"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(capsys, stores, tmp_path, arguments, told):
    places = {"a": stores[0], "b": stores[1], "tmp": tmp_path}
    assert main([argument.format(**places) for argument in arguments]) == 2
    assert told.format(**places) in one_sentence(capsys)
    assert list(tmp_path.iterdir()) == []


def test_stores_of_other_structures_are_a_mistake(capsys, stores, tmp_path):
    other = write_store(tmp_path / "other.zarr", species=("Cu", "S"), model="other")
    assert main(["compare", stores[0], other]) == 2
    assert "structure 0" in one_sentence(capsys)


def test_an_incomplete_store_is_a_mistake(capsys, stores, tmp_path):
    begun = write_store(tmp_path / "begun.zarr", complete=False)
    assert main(["compare", stores[0], begun]) == 2
    assert "incomplete" in one_sentence(capsys)


def test_a_full_disk_is_told_and_leaves_nothing_half_written(capsys, stores, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("platonic_jax.analyses.compare", lambda tables, **options: comparisons.make())
    monkeypatch.setattr("platonic_jax.plots.save_all", full)
    assert main(["compare", *stores[:2], "-o", str(tmp_path / "report")]) == 2
    assert "the disk is full" in one_sentence(capsys)
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["compare.json"]


def test_an_interruption_is_no_traceback(capsys, monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli._models, "run", interrupted)
    assert main(["models"]) == 130
    assert one_sentence(capsys) == "platonic: interrupted.\n"


# ---- commands ----------------------------------------------------------------------------------------------------


def test_models_are_listed_as_table_and_json(capsys, tmp_path):
    assert main(["models", "--json", str(tmp_path / "models.json")]) == 0
    listed = json.loads((tmp_path / "models.json").read_text())
    said = capsys.readouterr().out
    for model in listed:
        assert model["name"] in said
    assert {"name", "family", "licence", "training_data"} <= set(listed[0])
    assert [path.name for path in tmp_path.iterdir()] == ["models.json"]


def test_compare_computes_prints_and_writes(capsys, stores, tmp_path):
    out, report = tmp_path / "out.json", tmp_path / "report"
    assert main(["compare", *stores, "-k", "20", "--seed", "3", *QUICK, "--json", str(out), "-o", str(report)]) == 0
    said = capsys.readouterr()
    found = json.loads(out.read_text())
    assert found["models"] == ["a", "b", "random:a?seed=0", "element"]
    assert found["kinds"] == ["model", "model", "random", "element"]
    assert found["anchors"]["k"] == len(found["anchors"]["row"]) == 20
    assert found["provenance"]["seed"] == 3
    assert set(found["measures"]) == {"procrustes", "mutual_knn"}
    assert f"{found['measures']['procrustes']['value'][0][1]:.3f}" in said.out
    assert "a – a (random weights, seed 0)" in said.out
    assert str(report / "report.html") in said.out
    assert said.err == ""
    assert json.loads((report / "compare.json").read_text()) == found
    assert (report / "report.html").stat().st_size > 1e6

    from platonic_jax.analyses import compare
    from platonic_jax.tables import load

    options = {"num_permutations": 19, "num_anchor_draws": 2, "measures": ("procrustes", "mutual_knn")}
    expected = compare([load(path) for path in stores], k=20, seed=3, **options).to_json()
    assert found["measures"] == expected["measures"]
    assert found["anchors"] == expected["anchors"]


def test_compare_resolves_and_calibrates_on_request(capsys, stores, tmp_path):
    out = tmp_path / "out.json"
    options = ["--by", "element,family", "--nulls", "element,coordination", "--similarity", "angular", "-k", "10"]
    options += ["--anchors", "kmeans", "--measures", "cka", "--num-permutations", "3", "--num-anchor-draws", "2"]
    assert main(["compare", *stores[:2], *options, "--json", str(out)]) == 0
    said, found = capsys.readouterr().out, json.loads(out.read_text())
    assert found["anchors"]["method"] == "kmeans"
    assert found["anchors"]["similarity"] == "angular"
    assert set(found["resolved"]) == {"element", "family"}
    assert set(found["resolved"]["element"]["left_out"]) == {"Fe", "O"}
    assert np.isfinite(found["measures"]["cka"]["null_within_coordination"][0][1])
    assert "and coordination" in said
    assert "By element, mean over pairs of models" in said


def test_a_store_of_fewer_structures_stands_beside_the_first_of_a_longer_one(capsys, stores, tmp_path):
    short = write_store(tmp_path / "short.zarr", number=15, model="b")
    assert main(["compare", stores[0], short, "-k", "8", *QUICK]) == 2
    said = one_sentence(capsys)
    assert "24 and 15 structures" in said
    assert "`limit`" in said
    assert (
        main(["compare", stores[0], short, "--limit", "15", "-k", "8", *QUICK, "--json", str(tmp_path / "c.json")]) == 0
    )
    whole, first = (pj.load(stores[0], limit=limit) for limit in (None, 15))
    np.testing.assert_array_equal(first.x, whole.x[:75])
    assert first.structures.ids == pj.load(short, limit=99).structures.ids
    with pytest.raises(ValueError, match="`limit` must be at least 1, got 0"):
        pj.load(stores[0], limit=0)


def test_sweep_computes_prints_and_writes(capsys, stores, tmp_path):
    out, folder = tmp_path / "out.json", tmp_path / "sweep"
    options = ["--ks", "5,10", "--methods", "random", "--choices", "2", "--measures", "cka,mutual_knn", "--layers"]
    assert main(["sweep", *stores[:2], *options, "--json", str(out), "-o", str(folder)]) == 0
    said = capsys.readouterr()
    found = json.loads(out.read_text())
    assert found["ks"] == [5, 10]
    assert set(found["curves"]["cka"]) == {"random", "pca"}
    assert f"{found['curves']['cka']['random']['value'][1][-1]:.3f}" in said.out
    assert "last – last" in said.out
    assert str(folder / "report.html") in said.out
    assert said.err == ""
    assert {path.name for path in folder.iterdir()} == {"sweep.json", "report.html", "figures"}
    assert json.loads((folder / "sweep.json").read_text()) == found
    assert len(found["layers"]) == 1


def test_demo_embeds_compares_and_reports(capsys, monkeypatch, tmp_path):
    asked, compared = [], []

    def compare(tables, **options):
        compared.append(([table.model for table in tables], options["anchors"], options["k"]))
        return comparisons.make()

    def embed(args):
        asked.append((args.model, args.input))
        write_store(
            tmp_path / "demo" / "stores" / args.output.rsplit("/", 1)[1],
            seed=len(asked),
            model=args.model,
            random_weights=args.model.startswith("random:"),
        )
        return 0

    monkeypatch.setattr("platonic_adapters.environments.embed", embed)
    monkeypatch.setattr("platonic_jax.analyses.compare", compare)
    assert main(["demo", "-o", str(tmp_path / "demo"), "--json", str(tmp_path / "out.json")]) == 0
    assert asked == [(model, "prototypes?max_atoms=20") for model in cli._demo.MODELS]
    assert compared == [(list(cli._demo.MODELS), "direct", 100)]
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        *("stores", "report.html", "compare.json", "figures", "report.chemiscope.json.gz")
    }
    assert json.loads((tmp_path / "out.json").read_text()) == comparisons.make().to_json()
    assert str(tmp_path / "demo" / "report.html") in capsys.readouterr().out


def test_demo_stops_where_an_export_fails(monkeypatch, tmp_path):
    monkeypatch.setattr("platonic_adapters.environments.embed", lambda args: 1)
    assert main(["demo", "-o", str(tmp_path / "demo")]) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["expression", "Fe - O", "{a}", "--energies", "e.csv"], "unrecognized arguments: --energies"),
        (["analogies", "{a}", "--answers", "3"], "unrecognized arguments: --answers"),
        (["reactions", "{a}"], "`--equation` or `--equations` must be given, and not both."),
        (
            ["expression", "2 Mg + O2 -> 2 MgO", "{a}"],
            "use `platonic arithmetic reactions --equation`.",
        ),
        (["expression", "Fe - ", "{a}"], "the expression must have a crystal here, got the end:\n  Fe - \n      ^"),
        ([], "platonic arithmetic"),
    ],
)
def test_arithmetic_refuses_what_it_would_ignore(stores, capsys, given, said):
    assert main(["arithmetic", *(word.format(a=stores[0]) for word in given)]) == 2
    assert said in capsys.readouterr().err
