"""`platonic-embed` with a toy in place of a model: every mistake is one sentence and exit code 2."""

import errno
import functools
import json
import sys
import threading
import warnings
from pathlib import Path
from types import ModuleType

import ase.io
import numpy as np
import pytest
import schemed
from ase import Atoms
from ase.build import bulk
from platonic_adapters import blocks, cli, export, loading, reading, registry, selftest, store
from platonic_adapters.errors import ExportError

from platonic_jax import load


class Toy:
    """Each atom's row: its number, and how many atoms lie within 3 Å, softly."""

    layers = {"number": {"width": 1, "what": "atomic number"}, "soft": {"width": 2, "what": "soft neighbours"}}
    default_layer = "soft"
    elements = frozenset(range(1, 80))
    checkpoint = {"name": "toy", "sha256": "0"}
    hardware = {"device": "cpu", "dtype": "float32", "precision": "highest", "threads": 1}
    batch_atoms = 16

    def __init__(self):
        self.batches = []

    def prepare(self, atoms):
        from ase.neighborlist import neighbor_list

        i, d = neighbor_list("id", atoms, 3.0)
        soft = np.bincount(i, (1 - d / 3) ** 2, minlength=len(atoms))
        return np.stack([atoms.numbers, soft], axis=1).astype(np.float32)

    def embed(self, prepared, properties=()):
        self.batches.append(len(prepared))
        rows = np.concatenate(prepared)
        sums = np.array([p[:, 1].sum() for p in prepared], dtype=np.float32)
        values = {"energy": sums, "forces": np.zeros((len(rows), 3)), "stress": np.ones((len(prepared), 3, 3))}
        return {"number": rows[:, :1], "soft": rows}, {name: values[name] for name in properties}


@pytest.fixture
def toy(monkeypatch):
    adapter = Toy()
    monkeypatch.setattr(loading, "load", lambda _spec, **_options: adapter)
    monkeypatch.setitem(sys.modules, "sevenn", ModuleType("sevenn"))
    sys.modules["sevenn"].__spec__ = object()
    return adapter


@pytest.fixture
def input_(tmp_path):
    frames = [bulk(e, cubic=True) for e in ("Cu", "Al", "Ni", "Pd", "Ag")] + [bulk("Fe"), bulk("Po", "sc", a=3.3)]
    frames.append(Atoms("OH", positions=[[0, 0, 0], [0.97, 0, 0]]))
    ase.io.write(tmp_path / "in.extxyz", frames)
    return tmp_path / "in.extxyz"


def run(*arguments):
    return cli.main([str(a) for a in arguments])


def said(capsys):
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("platonic: ") for line in lines)
    return lines


def test_what_a_model_refuses_is_skipped_with_its_reason(toy, input_, tmp_path, capsys):
    from platonic_adapters.averaging import OrbitAverage

    toy.refusal = lambda atoms: None if atoms.pbc.all() else "it needs a crystal"
    assert OrbitAverage(toy, 12).refusal is toy.refusal
    assert run("7net-0", input_, "-o", tmp_path / "o.zarr") == 0
    assert said(capsys)[:2] == [
        "platonic: in:6 skipped: 7net-0 does not know Po.",
        "platonic: in:7 skipped: it needs a crystal.",
    ]
    assert [entry["id"] for entry in store.open(tmp_path / "o.zarr").attributes["skipped"]] == ["in:6", "in:7"]


def test_an_export_from_end_to_end(toy, input_, tmp_path, capsys):
    out, summary = tmp_path / "o.zarr", tmp_path / "o.json"
    options = ["--layers", "all", "--properties", "energy,forces,stress", "--json", summary]
    assert run("7net-0", input_, "-o", out, *options) == 0
    lines = said(capsys)
    assert lines[0] == "platonic: in:6 skipped: 7net-0 does not know Po."
    assert (
        f"{out}: 7 structures, 23 atoms, number, soft of 7net-0, 1 skipped (7net-0 does not know Po: 1), " in lines[1]
    )
    assert " MB, in " in lines[1]
    found = store.open(out)
    expected = np.concatenate([toy.prepare(found.structures.atoms(i)) for i in range(7)])
    np.testing.assert_array_equal(found.layer("soft"), expected)
    sums = [expected[found.structure_index == i, 1].sum() for i in range(7)]
    np.testing.assert_allclose(found.property("energy"), sums, rtol=1e-6)
    assert np.isfinite(found.property("stress")[:6]).all()
    assert np.isnan(found.property("stress")[6]).all()  # a molecule has none
    written = json.loads(summary.read_text())
    schemed.check("embed", written)
    assert (written["num_atoms"], written["skipped"][0]["id"]) == (23, "in:6")
    provenance = found.provenance
    assert provenance["source"]["name"] == str(input_)
    assert provenance["random_weights"] is False
    assert provenance["packages"]["zarr"]
    test = provenance["self_test"]
    assert max(test[k] for k in test if k != "structures") < 1e-6

    assert run("7net-0", input_, "-o", out) == 0
    assert "already complete" in said(capsys)[-1]


def test_the_layer_of_the_paper_is_chosen_by_its_name(toy, input_, tmp_path, capsys):
    toy.paper_layer = "number"
    out, plain = tmp_path / "o.zarr", tmp_path / "plain.zarr"
    assert run("7net-0", input_, "-o", out, "--layers", "paper") == run("7net-0", input_, "-o", plain) == 0
    found = store.open(out)
    assert (found.default_layer, found.provenance["paper_layer"], list(found.layers)) == (
        "soft",
        "number",
        ["number", "soft"],
    )
    assert (load(out, "paper").layer, load(out).layer) == ("number", "soft")
    np.testing.assert_array_equal(load(out, "paper").x[:, 0], found.species)
    capsys.readouterr()
    assert run("7net-0", input_, "-o", out, "--layers", "paper") == 0
    assert "already complete" in said(capsys)[-1]
    with pytest.raises(ValueError, match="has no layer `number`; it holds soft; export it again with `--layers number"):
        load(plain, "paper")
    assert run("7net-0", input_, "-o", plain, "--layers", "paper") == 2
    assert "is complete but without number" in said(capsys)[-1]


def test_a_model_without_another_layer_of_the_paper_gives_its_default(toy, input_, tmp_path):
    assert run("7net-0", input_, "-o", tmp_path / "o.zarr", "--layers", "paper") == 0
    assert load(tmp_path / "o.zarr", "paper").layer == "soft"


def test_a_damaged_store_is_named_and_just_that_is_embedded_again(toy, input_, tmp_path, capsys):
    out, listed = tmp_path / "o.zarr", tmp_path / "v.json"
    assert run("7net-0", input_, "-o", out) == 0
    whole = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file() and p != out / "zarr.json"}
    assert run("verify", out) == 0
    assert capsys.readouterr().out == f"{out} is intact: 7 structures, 23 atoms.\n"
    for damaged, structures_again in (("layers/soft/c/0/0", 7), ("species/c/0", 0), ("layers/soft/zarr.json", 0)):
        (out / damaged).write_bytes(b"0" + whole[Path(damaged)][1:])
        assert run("verify", out, "--json", listed) == 1
        (found,) = json.loads(listed.read_text())
        schemed.check("verify", [found])
        assert (found["intact"], len(found["structures"])) == (False, structures_again)
        assert f"`{out}` is damaged: " in capsys.readouterr().out
        assert run("7net-0", input_, "-o", out) == 0
        assert any(f"`{out}` was damaged (" in line for line in said(capsys))
        again = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file() and p != out / "zarr.json"}
        assert again == whole
        assert run("verify", out) == 0
    assert run("verify", out, tmp_path / "absent.zarr") == 2
    assert "absent.zarr` does not exist" in said(capsys)[-1]


def test_an_older_store_is_used_with_a_word(toy, input_, tmp_path, capsys):
    out = tmp_path / "o.zarr"
    assert run("7net-0", input_, "-o", out) == 0
    document = json.loads((out / "zarr.json").read_text())
    document["attributes"] |= {"schema": 1}
    del document["attributes"]["seal"]
    (out / "zarr.json").write_text(json.dumps(document))
    said(capsys)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        with cli.stores_warn_in_sentences():
            store.open(out)
        (line,) = said(capsys)
        assert line.startswith(f"platonic: `{out}` was written by an older version, without checksums: ")
        assert run("7net-0", input_, "-o", out) == 0
        assert run("verify", out) == 0
    assert "(of an older version, without checksums: as far as can be seen)" in capsys.readouterr().out


def test_the_self_test_sees_what_moves(toy):
    found, _ = reading.read([bulk("Cu", cubic=True), bulk("Fe", cubic=True)])
    honest = toy.prepare
    toy.prepare = lambda atoms: honest(atoms) + 0.01 * atoms.positions[:, :1].astype(np.float32)
    seen = selftest.run(toy, found)
    assert min(seen["rotation"], seen["translation"]) > 1e-4
    assert seen["permutation"] < 1e-6
    assert seen["supercell"] > 1e-4  # the second cell lies elsewhere
    toy.prepare = lambda atoms: honest(atoms) + 0.01 * np.arange(len(atoms), dtype=np.float32)[:, None]
    assert selftest.run(toy, found)["permutation"] > 1e-4
    toy.prepare = lambda atoms: honest(atoms) + 0.01 * np.linalg.det(atoms.cell.array).astype(np.float32)
    seen = selftest.run(toy, found)
    assert min(seen["reflection"], seen["supercell"]) > 1e-4
    assert max(seen["rotation"], seen["repeatability"]) < 1e-5
    toy.prepare = lambda atoms: honest(atoms) + len(toy.batches)
    assert selftest.run(toy, found)["repeatability"] > 1e-4


def test_charge_and_spin_reach_the_model_and_others_say_that_they_take_none(toy, tmp_path, capsys):
    hydroxide = Atoms("OH", positions=[[0, 0, 0], [0.97, 0, 0]])
    frames = [hydroxide, hydroxide.copy()]
    frames[1].info.update(charge=-1, spin=1)
    ase.io.write(tmp_path / "in.extxyz", frames)
    assert run("7net-0", tmp_path / "in.extxyz", "-o", tmp_path / "a.zarr") == 0
    assert "takes neither charge nor spin; structures that have them and are embedded without: 1." in said(capsys)[0]
    toy.charged, honest = True, toy.prepare
    toy.prepare = lambda atoms: honest(atoms) + atoms.info.get("charge", 0)
    assert run("7net-0", tmp_path / "in.extxyz", "-o", tmp_path / "b.zarr") == 0
    assert "takes neither" not in capsys.readouterr().err
    rows = store.open(tmp_path / "b.zarr").layer()
    np.testing.assert_allclose(rows[:2] - rows[2:], 1, rtol=1e-6)


def test_a_molecule_has_no_supercell(toy):
    found, _ = reading.read([Atoms("OH", positions=[[0, 0, 0], [0.97, 0, 0]])])
    seen = selftest.run(toy, found)
    assert seen["supercell"] is None
    assert seen["rotation"] < 1e-6


def test_an_average_over_rotations_stores_its_spread(toy, input_, tmp_path, capsys, monkeypatch):
    from platonic_adapters.averaging import OrbitAverage

    monkeypatch.setattr(loading, "load", lambda spec, **_options: OrbitAverage(toy, spec.orbit_average))
    assert run("7net-0", input_, "-o", tmp_path / "o.zarr", "--orbit-average", "--limit", 6) == 0
    found = store.open(tmp_path / "o.zarr")
    assert found.provenance["model"] == "7net-0?orbit_average=24"
    assert "mean over 24 rotations (O)" in found.layers["soft"]["what"]
    assert found.property("orbit_spread").shape == (found.num_rows,)
    assert found.property("orbit_spread").max() < 1e-6  # the toy is invariant
    assert run("7net-0?orbit_average=24", input_, "-o", tmp_path / "o.zarr", "--limit", 6) == 0
    assert "already complete" in said(capsys)[-1]
    assert run("7net-0", input_, "-o", tmp_path / "o.zarr", "--limit", 6) == 2
    assert "was made with 7net-0?orbit_average=24, not 7net-0" in said(capsys)[-1]


def test_memory_that_is_too_small_halves_the_batch(toy, input_, tmp_path, monkeypatch):
    embed = toy.embed

    def small(prepared, properties=()):
        if sum(map(len, prepared)) > 5:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return embed(prepared, properties)

    spec, (found, _) = registry.resolve("7net-0"), reading.read(input_, limit=6)
    toy.embed = small
    monkeypatch.setattr(selftest, "NUM_STRUCTURES", 2)  # of at most two atoms each
    summary = export.export(spec, found, tmp_path / "o.zarr", source="s")
    expected = np.concatenate([toy.prepare(found.atoms(i)) for i in range(6)])
    np.testing.assert_array_equal(store.open(summary.store).layer(), expected)
    assert max(toy.batches) == 2


def test_what_the_model_cannot_do_names_the_structure(toy, input_, tmp_path, capsys):
    toy.embed = lambda prepared, _properties=(): (
        {"soft": np.concatenate(prepared) / (1 - (prepared[0][0, 0] == 26))},
        {},
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        assert run("7net-0", input_, "-o", tmp_path / "o.zarr", "--batch-atoms", 1) == 1
    assert "not finite (soft) for in:5 (Fe)" in said(capsys)[-1]


def test_graphs_that_fail_name_the_structure(toy, tmp_path, monkeypatch):
    found, _ = reading.read([bulk("Cu"), bulk("Al")])

    def prepare(_atoms):
        raise ZeroDivisionError("no")

    toy.prepare = prepare
    with pytest.raises(ExportError, match=r"cannot build the graph of structure:0 \(Cu\) \(ZeroDivisionError: no\)"):
        export.export(registry.resolve("7net-0"), found, tmp_path / "o.zarr", source="s")


def test_the_next_batch_is_prepared_while_this_one_is_embedded(toy, input_, tmp_path):
    found, _ = reading.read(input_, limit=6)
    prepared, embed, plain = [threading.Event() for _ in range(6)], toy.embed, [*map(toy.prepare, atoms_of(found))]
    order = np.argsort(found.num_atoms, kind="stable").tolist()

    def prepare(atoms):
        i = next(i for i, other in enumerate(atoms_of(found)) if other == atoms)
        prepared[i].set()
        return plain[i]

    def embed_when_the_next_is_there(graphs, properties=()):
        following = order[min(5, 1 + next(k for k, i in enumerate(order) if plain[i] is graphs[0]))]
        assert prepared[following].wait(60)
        return embed(graphs, properties)

    writer = store.create(
        tmp_path / "o.zarr",
        found,
        layers={"soft": toy.layers["soft"]},
        default_layer="soft",
        provenance={"model": "toy"},
    )
    toy.prepare, toy.embed = prepare, embed_when_the_next_is_there
    blocks.fill(writer, toy, writer.pending(), batch_atoms=1, advance=lambda *_: None)
    writer.finish()
    np.testing.assert_array_equal(store.open(tmp_path / "o.zarr").layer(), np.concatenate(plain))


@pytest.mark.parametrize("step", ["prepare", "embed"])
@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (ExportError, 1)])
def test_whatever_ends_a_step_leaves_no_thread_and_the_store_goes_on(
    toy, input_, tmp_path, capsys, monkeypatch, step, error, code
):
    monkeypatch.setattr(export, "export", functools.partial(export.export, block_rows=8))
    monkeypatch.setattr(selftest, "run", lambda *_, **_options: {})
    command = ("7net-0", input_, "--limit", 6, "--batch-atoms", 4, "-o")
    assert run(*command, tmp_path / "whole.zarr") == 0
    plain, calls = getattr(toy, step), []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise error("here")
        return plain(*arguments)

    setattr(toy, step, failing)
    assert run(*command, tmp_path / "o.zarr") == code
    assert [thread for thread in threading.enumerate() if thread.name.startswith("prepare")] == []
    assert len(calls) >= 4
    setattr(toy, step, plain)
    assert run(*command, tmp_path / "o.zarr") == 0
    layers = [store.open(tmp_path / name).layer() for name in ("whole.zarr", "o.zarr")]
    np.testing.assert_array_equal(*layers)
    said(capsys)


def atoms_of(structures):
    return [structures.wrapped_atoms(i) for i in range(len(structures))]


def cubes(*sizes):
    """Copper crystals of so many cells of four atoms in a row."""
    frames = [bulk("Cu", cubic=True) * (1, 1, n) for n in sizes]
    for i, atoms in enumerate(frames):
        atoms.positions[0, 0] += 0.01 * i
    return reading.read(frames)[0]


@pytest.mark.parametrize("doubles", [False, True])
def test_the_self_test_needs_no_more_memory_than_the_largest_structure(toy, doubles):
    largest, embed = [], toy.embed
    toy.embed = lambda prepared, properties=(): largest.append(sum(map(len, prepared))) or embed(prepared, properties)
    found = selftest.run(toy, cubes(5, 5, 5, 5, *([10] if doubles else [])), batch_atoms=16)
    assert max(largest) == (40 if doubles else 20)
    assert (found["supercell"] is not None) is doubles
    assert found["rotation"] < 1e-6


def test_the_self_test_names_the_structure_that_does_not_fit(toy):
    embed = toy.embed

    def small(prepared, properties=()):
        if sum(map(len, prepared)) > 4:
            raise MemoryError
        return embed(prepared, properties)

    toy.embed = small
    found = selftest.run(toy, cubes(1, 1, 1))  # in halves
    assert (found["batch_vs_single"] < 1e-6, found["supercell"]) == (True, None)
    with pytest.raises(ExportError, match=r"structure:2 \(Cu8\), 8 atoms, does not fit into the memory"):
        selftest.run(toy, cubes(1, 1, 2))


@pytest.mark.parametrize("backwards", [False, True])
def test_a_structure_longer_than_a_block_is_embedded_once(toy, tmp_path, backwards):
    known, prepared, honest = cubes(1, 9, 1, 4, 1), [], toy.prepare
    monkey = lambda atoms: prepared.append(len(atoms)) or honest(atoms)
    layers = {"soft": toy.layers["soft"]}
    writer = store.create(
        tmp_path / "o.zarr",
        known,
        layers=layers,
        default_layer="soft",
        provenance={"model": "m", "checkpoint": {"sha256": "1"}},
        properties=["energy"],
        block_rows=8,
    )
    numbers = sorted(writer.pending(), reverse=backwards)
    chains = blocks.chains(writer, numbers)
    assert sorted(map(sorted, chains)) == [[0, 1, 2, 3, 4], [5, 6, 7]]
    assert [block for chain in chains for block in chain] == numbers
    toy.prepare = monkey
    blocks.fill(writer, toy, numbers, batch_atoms=64, advance=lambda _structures, _atoms: None)
    writer.finish()
    assert (prepared.count(36), prepared.count(16)) == (1, 1)
    found = store.open(tmp_path / "o.zarr")
    expected = [honest(known.atoms(i)) for i in range(len(known))]
    np.testing.assert_array_equal(found.layer(), np.concatenate(expected))
    np.testing.assert_allclose(found.property("energy"), [x[:, 1].sum() for x in expected], rtol=1e-6)


def text(path, content):
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["7net-9", "in.extxyz"], "`7net-9` is not a known model; the nearest are 7net-0"),
        (["7net-0", "nowhere.xyz"], "`nowhere.xyz` does not exist"),
        (["7net-0", "empty.xyz"], "`empty.xyz` is empty"),
        (["7net-0", "in.extxyz", "--layers", "layer9"], "`layer9` is not a layer of this model; it has number, soft"),
        (["7net-0", "po.extxyz"], "no structure is left that 7net-0 takes (of the first: 7net-0 does not know Po)"),
        (["7net-0", "twice.extxyz"], "identical, the first of 1 such repeats; pass `--duplicates skip`"),
        (["7net-0", "no.csv"], "has no `cif` column"),
        (["chgnet-0.3.0", "in.extxyz"], "needs `chgnet`, which is not installed in this environment"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(toy, input_, tmp_path, capsys, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "chgnet" else object())
    text(tmp_path / "empty.xyz", "")
    text(tmp_path / "no.csv", "material_id,formula\n")
    ase.io.write("po.extxyz", bulk("Po", "sc", a=3.3))
    ase.io.write("twice.extxyz", [bulk("Cu"), bulk("Cu")])
    assert run(*arguments, "-o", "o.zarr") == 2
    (line,) = said(capsys)
    assert sentence in line
    assert not any(p.name.endswith("zarr") or p.name.startswith(".") for p in tmp_path.iterdir())


def test_a_full_disk_is_one_sentence_and_the_store_goes_on(toy, input_, tmp_path, capsys, monkeypatch):
    def full(*_args):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise OSError("zarr could not write") from error

    monkeypatch.setattr(store.Writer, "write", full)
    assert run("7net-0", input_, "-o", tmp_path / "o.zarr") == 2
    assert "the disk is full; free some space and run the same command again" in said(capsys)[-1]
    monkeypatch.undo()
    with pytest.raises(ValueError, match="incomplete"):
        store.open(tmp_path / "o.zarr")


@pytest.mark.parametrize("arguments", [["--batch-atoms", "0"], ["--properties", "mass"], ["--limit", "some"]])
def test_options_that_cannot_be_are_refused(toy, input_, tmp_path, capsys, arguments):
    with pytest.raises(SystemExit) as error:
        run("7net-0", input_, "-o", tmp_path / "o.zarr", *arguments)
    assert error.value.code == 2
    assert "must be" in capsys.readouterr().err


def test_help_has_an_example_and_models_lists_them(capsys, tmp_path):
    with pytest.raises(SystemExit):
        run("--help")
    assert "example:\n  platonic-embed 7net-0" in capsys.readouterr().out
    assert run("models", "--json", tmp_path / "m.json") == 0
    out = capsys.readouterr().out
    names = [m["name"] for m in json.loads((tmp_path / "m.json").read_text())]
    assert "chgnet-0.3.0" in names
    assert all(name in out for name in names)
