import dataclasses
import json

import jax
import numpy as np
import pytest
from ase import Atoms
from platonic_adapters import reading
from platonic_adapters.structures import Structures
from safetensors.numpy import save_file

from platonic_jax import anchors
from platonic_jax.anchors import Anchors, _published

RNG = np.random.default_rng(1)  # atoms far enough apart to be read
ATOMS = [
    Atoms(f"Fe{i + 1}O2", positions=RNG.normal(size=(i + 3, 3)) * 5, cell=5 * np.eye(3) + RNG.normal(size=(3, 3)) / 3)
    for i in range(6)
]
for crystal in ATOMS[:5]:
    crystal.pbc = (True, True, crystal is not ATOMS[2])
ATOMS[5].cell = None  # A molecule.
STRUCTURES = Structures.from_atoms(ATOMS, [f"mp {i} 'é'" for i in range(6)])
INDEX = STRUCTURES.structure_index
ROWS = np.array([30, 3, 0, 4, 31, 14], np.int32)


def chosen(**settings):
    return Anchors.from_rows(STRUCTURES, INDEX, ROWS, **{"method": "direct"} | settings)


def same(a, b):
    for field in dataclasses.fields(Structures):
        x, y = getattr(a.structures, field.name), getattr(b.structures, field.name)
        assert type(x) is type(y)
        np.testing.assert_array_equal(x, y, strict=isinstance(x, np.ndarray))
    for name in ("structure_index", "atom_index"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), strict=True)
    assert (a.method, a.provenance) == (b.method, b.provenance)


def test_anchors_keep_only_the_structures_they_need():
    record = chosen()
    assert record.structures.ids == [STRUCTURES.ids[i] for i in (0, 1, 3, 5)]
    assert record.structure_index.tolist() == [3, 1, 0, 1, 3, 2]
    assert record.atom_index.tolist() == [5, 0, 0, 1, 6, 2]
    assert len(record) == 6
    assert record.species.tolist() == STRUCTURES.species[ROWS].tolist()


def test_what_is_saved_is_read_back_bit_for_bit(tmp_path):
    weights = RNG.normal(size=6).astype(np.float32)
    record = chosen(weights=weights, provenance={"model": "7net-0", "layer": 4, "names": ["ü", None]})
    record.save(tmp_path / "anchors.safetensors")
    back = Anchors.load(tmp_path / "anchors.safetensors")
    same(record, back)
    np.testing.assert_array_equal(back.weights, weights, strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["anchors.safetensors"]
    (tmp_path / "other").touch()
    assert (tmp_path / "anchors.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
    chosen().save(tmp_path / "anchors.safetensors")
    assert Anchors.load(tmp_path / "anchors.safetensors").weights is None


def test_a_failed_save_leaves_what_was_there(tmp_path):
    path = tmp_path / "anchors.safetensors"
    chosen().save(path)
    with pytest.raises(TypeError, match="not JSON serializable"):
        chosen(provenance={"when": object()}).save(path)
    same(Anchors.load(path), chosen())
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_files_are_refused(tmp_path):
    path = tmp_path / "anchors.safetensors"
    with pytest.raises(ValueError, match="`path` must be a file of anchors, got .*, which does not exist"):
        Anchors.load(path)
    path.write_text("not it")
    with pytest.raises(ValueError, match="`path` must be a file of anchors, got .*, which is none"):
        Anchors.load(path)
    save_file({"x": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="`path` must be a file that `Anchors.save` wrote, got .* of another kind"):
        Anchors.load(path)
    chosen().save(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="`path` must be a file of anchors, got .*, which is none"):
        Anchors.load(path)
    save_file({"x": np.zeros(3)}, path, metadata={"format": "platonic anchors", "schema": json.dumps(99)})
    with pytest.raises(ValueError, match="`path` must have schema 2 or older, got 99 in .*: update platonic-jax"):
        Anchors.load(path)


def test_the_same_atoms_are_found_in_another_table():
    order = [4, 5, 1, 0, 3]
    other = dataclasses.replace(STRUCTURES.select(order), ids=list("abcde"))
    rows = chosen().rows(other, other.structure_index)
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(STRUCTURES.rows(order)[rows], ROWS)
    np.testing.assert_array_equal(chosen().rows(STRUCTURES, INDEX), ROWS)


def test_of_identical_structures_the_first_is_taken():
    twice = Structures.from_atoms(ATOMS + ATOMS, [str(i) for i in range(12)])
    np.testing.assert_array_equal(chosen().rows(twice, twice.structure_index), ROWS)


def test_absent_structures_and_atoms_are_named():
    other = STRUCTURES.select([0, 2, 3, 4])
    with pytest.raises(ValueError, match=r"all 4 structures .*, got 2 missing, first \"mp 1 'é'\" \(Fe2O2\): embed"):
        chosen().rows(other, other.structure_index)
    partly = np.delete(INDEX, 1)
    for use in (
        lambda: chosen().rows(STRUCTURES, partly),
        lambda: Anchors.from_rows(STRUCTURES, partly, [0], method="direct"),
    ):
        with pytest.raises(ValueError, match=r"`structure_index` must list every atom .*, got 2 of 3 for \"mp 0 'é'\""):
            use()
    with pytest.raises(ValueError, match="`rows` must be from 0 to 32, got 0 to 33"):
        Anchors.from_rows(STRUCTURES, INDEX, [0, 33], method="direct")
    with pytest.raises(ValueError, match="at least one anchor"):
        Anchors.from_rows(STRUCTURES, INDEX, np.empty(0, int), method="direct")
    with pytest.raises(ValueError, match="`weights` must have one entry for each of 6 anchors, got shape"):
        chosen(weights=[1.0])


@pytest.mark.parametrize(
    ("field", "value"), [("structure_index", 4), ("structure_index", -1), ("atom_index", 8), ("atom_index", -1)]
)
def test_places_outside_the_structures_are_refused(field, value):
    wrong = getattr(chosen(), field).copy()
    wrong[0] = value
    with pytest.raises(ValueError, match=f"`{field}` must be .*, got one outside"):
        dataclasses.replace(chosen(), **{field: wrong})


def test_structures_written_for_another_model_keep_their_content(tmp_path):
    """Read back they have the same hashes, digits included, so the anchors are found among their rows."""
    record = chosen()
    record.write_structures(tmp_path / "anchors.extxyz")
    found, skipped = reading.read(tmp_path / "anchors.extxyz")
    assert not skipped
    assert found.ids == record.structures.ids
    assert found.hashes == record.structures.hashes
    rows = record.rows(found, found.structure_index)
    np.testing.assert_array_equal(found.positions[rows], STRUCTURES.positions[ROWS])


def with_atoms(total):
    sizes = np.full(27_136, 10)
    sizes[: total - sizes.sum()] += 1
    return Structures(
        ids=list(map(str, range(len(sizes)))),
        hashes=list(map(str, range(len(sizes)))),
        num_atoms=sizes,
        formulas=[""] * len(sizes),
        species=np.arange(total, dtype=np.int32),
        positions=np.zeros((total, 3)),
        cells=np.zeros((len(sizes), 3, 3)),
        pbc=np.ones((len(sizes), 3), bool),
    )


def test_the_published_anchors_are_places_in_the_whole_original_file():
    structures = with_atoms(282_847)
    record = anchors.published(structures)
    rows = record.rows(structures, structures.structure_index)
    np.testing.assert_array_equal(record.species, rows)
    assert len(set(rows.tolist())) == 100
    # Facts of the publication: its first and last index, its smallest and largest.
    assert (rows[0], rows[-1], rows.min(), rows.max()) == (222430, 196220, 164, 282577)
    assert record.method == "direct, maml"
    with pytest.raises(ValueError, match=r"train.csv with its 282847 atoms, got 277850: .* in its original order"):
        anchors.published(with_atoms(277_850))


def test_anchors_serve_as_rows_of_any_array():
    x = jax.random.normal(jax.random.key(0), (len(INDEX), 4))
    np.testing.assert_array_equal(x[chosen().rows(STRUCTURES, INDEX)], x[ROWS])
    assert len(_published._ROWS.split()) == 100


TAMPERED = {
    **{
        f"no {name}": lambda h, _a, name=name: h.pop(name)
        for name in ("schema", "method", "provenance", "ids", "hashes")
    },
    **{
        f"{name} is {value}": lambda h, _a, name=name, value=value: h.update({name: value})
        for name, value in {
            "schema": '"two"',
            "method": "[1]",
            "provenance": "3",
            "ids": '["a"]',
            "hashes": "[]",
            "formulas": "null",
            "metrics": '[["a"]]',
        }.items()
    },
    "no JSON": lambda h, _a: h.update(ids="[1,"),
    "deep": lambda h, _a: h.update(provenance="[" * 100_000),
    "ids are numbers": lambda h, _a: h.update(ids=json.dumps([1, 2, 3, 4])),
    "metrics without arrays": lambda h, _a: h.update(metrics='[["a", "l"], ["b", "l"]]'),
    "another hash": lambda h, _a: h.update(hashes=h["hashes"].replace("a", "b")),
    **{
        f"no {name}": lambda _h, a, name=name: a.pop(name)
        for name in ("structure_index", "structures/species", "structures/pbc", "metrics/0/matrix")
    },
    **{
        f"{name} {index} is {value}": lambda _h, a, name=name, index=index, value=value: a[name].__setitem__(
            index, value
        )
        for name, index, value in [
            ("structures/positions", (0, 0), 0.5),
            ("structures/positions", (0, 0), np.nan),
            ("structures/cells", (0, 0, 0), np.inf),
            ("structures/species", 0, 3),
            ("structures/num_atoms", 0, -1),
            ("structures/num_atoms", 0, 2**62),
            ("structure_index", 0, 99),
            ("atom_index", 0, 99),
            ("weights", 0, np.nan),
            ("metrics/0/origin", (0, 0), np.nan),
            ("metrics/0/matrix", (0, 0), np.inf),
        ]
    },
    "flat positions": lambda _h, a: a.update({"structures/positions": a["structures/positions"].ravel()}),
    "a wide origin": lambda _h, a: a.update({"metrics/0/origin": np.zeros((1, 9), np.float32)}),
    "half atoms": lambda _h, a: a.update({"atom_index": a["atom_index"].astype(np.float32)}),
}


@pytest.mark.parametrize("change", TAMPERED)
def test_a_file_that_was_changed_is_one_sentence(tmp_path, change):
    from safetensors import safe_open

    path = tmp_path / "anchors.safetensors"
    maps = {"a": anchors.LinearMap("l", np.zeros((1, 4), np.float32), np.eye(4, dtype=np.float32))}
    chosen(weights=np.ones(6, np.float32), metrics=maps).save(path)
    with safe_open(path, framework="numpy") as file:
        header, arrays = dict(file.metadata()), {name: file.get_tensor(name).copy() for name in file.keys()}  # noqa: SIM118
    TAMPERED[change](header, arrays)
    save_file(arrays, path, metadata=header)
    with pytest.raises(ValueError, match="`path` must be a file as `Anchors.save` wrote it") as error:
        Anchors.load(path)
    assert len(str(error.value).splitlines()) == 1


def test_learned_maps_are_kept_and_refused_to_other_models(tmp_path):
    maps = {
        "7net-0": anchors.LinearMap("layer4", np.ones((1, 3), np.float32), RNG.normal(size=(3, 2)).astype(np.float32)),
        "chgnet": anchors.LinearMap("atom_fea", np.zeros((1, 4), np.float32), np.eye(4, dtype=np.float32)),
    }
    chosen(metrics=maps).save(tmp_path / "learned.safetensors")
    back = Anchors.load(tmp_path / "learned.safetensors")
    assert list(back.metrics) == ["7net-0", "chgnet"]
    x = RNG.normal(size=(5, 3)).astype(np.float32)
    found = back.mapped(x, model="7net-0", layer="layer4")
    np.testing.assert_array_equal(found, (x - 1) @ maps["7net-0"].matrix)
    for model, layer, rows in [("mace", "layer4", x), ("7net-0", "layer3", x), ("7net-0", "layer4", x[:, :2])]:
        with pytest.raises(ValueError, match=r"learned for \(7net-0 layer4, chgnet atom_fea\), got"):
            back.mapped(rows, model=model, layer=layer)
    assert chosen().mapped(x, model="mace", layer="any") is x
