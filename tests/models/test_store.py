"""The store: what is written is read, whoever writes it and however often they are stopped."""

import errno
import json
import shutil

import numpy as np
import pytest
import zarr
from ase.build import bulk, molecule
from platonic_adapters import _store_layout, reading, store, structures
from platonic_adapters.errors import StoreError

LAYERS = {"last": {"width": 3, "what": "a test"}, "early": {"width": 2, "what": "a test"}}
BLOCK = 8
# The description of structures written alone, before there were checksums.
OLD_STRUCTURES = {
    "attributes": {"schema": 1, "source": "s", "skipped": []},
    "zarr_format": 3,
    "node_type": "group",
}


@pytest.fixture(autouse=True)
def _no_power_is_lost(monkeypatch):
    """Waiting for the disk is most of the time that a small store takes."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


def some(n=9, element="Cu"):
    frames = [bulk(element, cubic=True) * (1, 1, 1 + i % 2) for i in range(n)]
    for i, atoms in enumerate(frames):
        atoms.positions[0, 0] += 0.01 * i
    return reading.read(frames)[0]


def ions():
    """The same geometry neutral, as a cation, as a triplet, and with the default spelt out."""
    water = [molecule("H2O") for _ in range(4)]
    for atoms, given in zip(water, ({}, {"charge": 1, "spin": 2}, {"spin": 3}, {"charge": 0, "spin": 1}), strict=True):
        atoms.info.update(given)
    return structures.Structures.from_atoms(water, list("abcd"))


def begin(path, what=None, **changes):
    options = {
        "layers": LAYERS,
        "default_layer": "last",
        "provenance": {"model": "m", "checkpoint": {"sha256": "1"}},
        "properties": ["energy", "forces"],
        "block_rows": BLOCK,
    }
    return store.create(path, what or some(), **{**options, **changes})


def content(what, rows):
    """Rows that say which atom they are."""
    index = np.arange(rows.start, rows.stop, dtype=np.float32)
    layers = {name: np.stack([index + c for c in range(layer["width"])], axis=1) for name, layer in LAYERS.items()}
    energy = np.where(np.isin(index, what.offsets[:-1]), 10 * index, np.nan)
    return layers, {"energy": energy, "forces": np.stack([index] * 3, axis=1)}


def fill(writer, stop_after=None):
    for count, block in enumerate(writer.pending()):
        if count == stop_after:
            return
        writer.write(block, *content(writer.structures, writer.rows(block)))
    writer.finish()


def files(path):
    """Every file's bytes, but the one that holds the time."""
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file() and p != path / "zarr.json"}


def test_what_is_written_is_read(tmp_path):
    what = some()
    fill(begin(tmp_path / "a.zarr", what, skipped=[{"id": "x", "hash": "0", "reason": "no"}]))
    found = store.open(tmp_path / "a.zarr")
    n = int(what.offsets[-1])
    assert (found.num_rows, found.default_layer, list(found.layers), found.skipped[0]["id"]) == (
        n,
        "last",
        [*LAYERS],
        "x",
    )
    layers, properties = content(what, slice(0, n))
    for name in LAYERS:
        assert found.layer(name).dtype == np.float32
        np.testing.assert_array_equal(found.layer(name), layers[name])
    np.testing.assert_array_equal(found.layer(rows=slice(5, 19)), layers["last"][5:19])
    np.testing.assert_array_equal(found.property("energy"), 10 * what.offsets[:-1].astype(np.float32))
    np.testing.assert_array_equal(found.property("forces"), properties["forces"])
    assert found.species.tolist() == what.species.tolist()
    assert found.structure_index.tolist() == what.structure_index.tolist()
    assert found.structures.hashes == what.hashes
    assert found.provenance["model"] == "m"


def test_only_the_standard_is_used(tmp_path):
    """Zarr v3 with registered data types and codecs: another library can read it."""
    fill(begin(tmp_path / "a.zarr"))
    arrays = [json.loads(p.read_text()) for p in (tmp_path / "a.zarr").rglob("zarr.json")]
    arrays = [a for a in arrays if a["node_type"] == "array"]
    assert {a["data_type"] for a in arrays} == {"float32", "float64", "int32", "int64", "bool", "string"}
    assert {c["name"] for a in arrays for c in a["codecs"]} <= {
        *("bytes", "zstd", "crc32c", "sharding_indexed", "vlen-utf8")
    }


@pytest.mark.parametrize("stop_after", [0, 1, 3])
def test_a_stopped_run_goes_on_and_the_bytes_are_the_same(tmp_path, stop_after):
    fill(begin(tmp_path / "whole.zarr"))
    fill(begin(tmp_path / "stopped.zarr"), stop_after)
    with pytest.raises(StoreError, match=rf"incomplete \({stop_after} of 7 blocks"):
        store.open(tmp_path / "stopped.zarr")
    again = begin(tmp_path / "stopped.zarr")
    assert len(list(again.pending())) == 7 - stop_after
    fill(again)
    assert files(tmp_path / "stopped.zarr") == files(tmp_path / "whole.zarr")
    assert store.open(tmp_path / "stopped.zarr").complete


def test_two_writers_meet_in_the_middle(tmp_path):
    fill(begin(tmp_path / "whole.zarr"))
    one, two = begin(tmp_path / "a.zarr"), begin(tmp_path / "a.zarr")
    order = []
    turns = [(one, one.pending()), (two, two.pending())]
    while turns:
        writer, blocks = turns.pop(0)
        block = next(blocks, None)
        if block is None:
            writer.finish()
            continue
        order.append(block)
        writer.write(block, *content(writer.structures, writer.rows(block)))
        turns.append((writer, blocks))
    assert sorted(order) == list(range(7))
    assert order[:2] == [0, 6]
    assert files(tmp_path / "a.zarr") == files(tmp_path / "whole.zarr")


def test_blocks_cover_every_row_and_every_structure_they_touch():
    what = some()
    writer = store.Writer(None, None, what, [], [], False)
    for rows in (slice(0, 8), slice(8, 16), slice(40, 48), slice(48, 52)):
        object.__setattr__(writer, "rows", lambda _block, rows=rows: rows)
        touched = np.unique(what.structure_index[rows])
        assert list(writer.overlapping(0)) == touched.tolist()


def test_a_run_does_not_go_on_with_another_ones_store(tmp_path):
    path = tmp_path / "a.zarr"
    fill(begin(path), 2)
    with pytest.raises(StoreError, match=r"made with m, not other; choose another output or start over"):
        begin(path, provenance={"model": "other"})
    changed = some()
    changed.hashes[4] = "changed"
    with pytest.raises(StoreError, match=r"first that differs is number 4, structure:4 \(Cu4\) there and structure:4"):
        begin(path, changed)
    with pytest.raises(StoreError, match="number 8, structure:8.* there and none here"):
        begin(path, some(8))
    with pytest.raises(StoreError, match='begun with checkpoint {"sha256": "1"}, this run has {"sha256": "2"}'):
        begin(path, provenance={"model": "m", "checkpoint": {"sha256": "2"}})
    with pytest.raises(StoreError, match="begun with properties"):
        begin(path, properties=[])
    assert len(list(begin(path).pending())) == 5


def test_overwrite_starts_over_but_only_over_a_store(tmp_path):
    fill(begin(tmp_path / "a.zarr"))
    fill(begin(tmp_path / "a.zarr", some(2), overwrite=True))
    assert len(store.open(tmp_path / "a.zarr").structures) == 2
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("years")
    with pytest.raises(StoreError, match="not a store"):
        begin(tmp_path / "precious", overwrite=True)
    assert (tmp_path / "precious" / "thesis.tex").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "precious"]


def test_a_failed_beginning_leaves_nothing(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_store_layout, "save_structures", full)
    with pytest.raises(OSError, match="No space"):
        begin(tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_a_store_that_goes_on(tmp_path, monkeypatch):
    from zarr.storage import _local

    fill(begin(tmp_path / "whole.zarr"))
    writer, put, count = begin(tmp_path / "a.zarr"), _local._put, iter(range(1000))

    def full(*args, **kwargs):
        if next(count) >= 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        return put(*args, **kwargs)

    monkeypatch.setattr(_local, "_put", full)
    with pytest.raises(OSError, match="No space"):
        fill(writer)
    monkeypatch.undo()
    fill(begin(tmp_path / "a.zarr"))
    assert files(tmp_path / "a.zarr") == files(tmp_path / "whole.zarr")


def test_readers_refuse_what_they_cannot_trust(tmp_path):
    path = tmp_path / "a.zarr"
    with pytest.raises(StoreError, match="does not exist"):
        store.open(path)
    writer = begin(path)
    for block in writer.pending():
        layers, properties = content(writer.structures, writer.rows(block))
        rows = layers["last"][:, 0]
        layers["last"][(rows == 7) | (rows == 20)] = [np.nan, np.inf, 0]
        writer.write(block, layers, properties)
    writer.finish()
    with pytest.raises(StoreError, match=r"2 rows that are not finite \(rows 7, 20\)"):
        store.open(path).layer("last")
    with pytest.raises(StoreError, match=r"1 rows that are not finite \(rows 20\)"):
        store.open(path).layer("last", slice(10, None))
    assert store.open(path).layer("last", slice(8, 20)).shape == (12, 3)
    with pytest.raises(StoreError, match="has no layer `late`; it holds last, early"):
        store.open(path).layer("late")
    with pytest.raises(StoreError, match="holds no `stress`"):
        store.open(path).property("stress")
    zarr.open_group(path, mode="r+").attrs["schema"] = store.SCHEMA + 1
    with pytest.raises(StoreError, match="schema 3, newer than the 2"):
        store.open(path)
    zarr.open_group(tmp_path / "other.zarr", mode="w")
    with pytest.raises(StoreError, match="not a store of embeddings"):
        store.open(tmp_path / "other.zarr")
    (tmp_path / "file.zarr").write_text("text")
    with pytest.raises(StoreError, match="not a store of embeddings"):
        store.open(tmp_path / "file.zarr")
    store.write_structures(tmp_path / "s.zarr", some(), source="s")
    with pytest.raises(StoreError, match="structures but no embeddings"):
        store.open(tmp_path / "s.zarr")


def test_nothing_here_is_pickled(tmp_path):
    fill(begin(tmp_path / "a.zarr"))
    assert not any(data[:2] == b"\x80\x04" or b"numpy.core" in data for data in files(tmp_path / "a.zarr").values())


def test_charge_and_spin_are_kept_and_count_in_the_content_hash_only_where_given(tmp_path):
    made = ions()
    assert made.hashes[0] == made.hashes[3] == reading.read(molecule("H2O"))[0].hashes[0]
    assert len(set(made.hashes)) == 3
    store.write_structures(tmp_path / "s.zarr", made, source="s")
    found, _ = store.read_structures(tmp_path / "s.zarr")
    assert (found.charge.tolist(), found.spin.tolist()) == ([0, 1, 0, 0], [0, 2, 3, 1])
    assert found.select([1]).atoms(0).info == {"charge": 1, "spin": 2}
    assert structures.Structures.from_atoms([found.atoms(i) for i in range(4)], found.ids).hashes == made.hashes
    assert structures.content_hashes(found) == made.hashes


def test_stores_from_before_charge_and_spin_read_as_neutral(tmp_path):
    store.write_structures(tmp_path / "s.zarr", some(2), source="s")
    for name in ("charge", "spin"):
        shutil.rmtree(tmp_path / "s.zarr/structures" / name)
    (tmp_path / "s.zarr/zarr.json").write_text(json.dumps(OLD_STRUCTURES))
    found, _ = store.read_structures(tmp_path / "s.zarr")
    assert found.hashes == some(2).hashes
    assert not found.charge.any()
    assert not found.spin.any()
