"""Checkpoints are code: through the `FAMILY:PATH` door of every family nothing is run without a word of trust."""

import argparse
import os
import pickle
import zipfile

import pytest
from platonic_adapters import cli, environments, registry, trust
from platonic_adapters.errors import UserError

FAMILIES = [family.name for family in registry.families()]


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def door(family, path):
    """The name of a local file, with the name of an architecture where the family needs one."""
    known = next(spec for spec in registry.models() if spec.family.name == family)
    return f"{family}:{known.model.name}@{path}" if known.family.architecture is None else f"{family}:{path}"


def zipped(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return path


@pytest.fixture(params=["bare", "bare, protocol 0", "bare, protocol 4", "behind another", "torch"])
def evil(request, tmp_path):
    """A malicious checkpoint, and the folder that it would make."""
    mark, path = tmp_path / "mark", tmp_path / "evil.pth"
    protocol = int(request.param[-1]) if request.param[-1].isdigit() else 2
    content = pickle.dumps({"model": Evil(mark)}, protocol)
    if request.param == "torch":
        zipped(path, content)
    else:
        path.write_bytes(pickle.dumps({"epoch": 1}, 2) * (request.param == "behind another") + content)
    return path, mark


@pytest.mark.parametrize("prefix", ["", "random:"])
@pytest.mark.parametrize("family", FAMILIES)
def test_code_in_a_checkpoint_is_refused_before_anything_is_made(family, prefix, evil, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(trust.VARIABLE, raising=False)
    monkeypatch.setenv("PLATONIC_CACHE", str(tmp_path / "cache"))
    path, mark = evil
    parser = argparse.ArgumentParser()
    cli.add_embed_arguments(parser)
    name = prefix + door(family, path)
    assert environments.embed(parser.parse_args([name, "prototypes", "-o", str(tmp_path / "o.zarr")])) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "is not trusted: reading it can run code" in said
    assert "--trust" in said
    assert not mark.exists()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_word_a_variable_or_a_published_hash_is_trust(family, evil, monkeypatch):
    path, _ = evil
    name = door(family, path)
    monkeypatch.delenv(trust.VARIABLE, raising=False)
    with pytest.raises(UserError, match=r"PLATONIC_TRUST=[0-9a-f]{64}\.$") as refusal:
        registry.resolve(name)
    sha256 = str(refusal.value).rpartition("=")[2].rstrip(".")
    assert registry.resolve(name, trust=True).trusted
    for value in ("1", f"{'0' * 64},{sha256.upper()}"):
        monkeypatch.setenv(trust.VARIABLE, value)
        assert registry.resolve(name).trusted
    monkeypatch.setenv(trust.VARIABLE, "0" * 64)
    with pytest.raises(UserError, match="is not trusted"):
        registry.resolve(name)
    known = registry.resolve("mace-mp-0-large").model
    monkeypatch.setitem(registry._registered()[1], known.name, registry.replace(known, sha256=sha256))
    assert registry.resolve(name).trusted


def test_arrays_need_no_word_where_the_family_reads_nothing_else(tmp_path):
    import collections

    plain = zipped(tmp_path / "plain.pth", pickle.dumps(collections.OrderedDict(a=1.0), 2))
    for family in registry.families():
        if family.weights_only:
            assert not registry.resolve(door(family.name, plain)).trusted
        else:
            with pytest.raises(UserError, match=f"as checkpoints of {family.name} are pickles"):
                registry.resolve(door(family.name, plain))
    assert {family.name for family in registry.families() if not family.weights_only} == {
        "mace",
        "fairchem",
        "chemeleon",
    }
    assert not registry.Family("other", "module", "library", ()).weights_only


def test_torch_reads_arrays_alone_inside_and_as_before_outside(monkeypatch):
    monkeypatch.setenv(trust.FORBIDDEN, "1")
    monkeypatch.delenv(trust.FORCED, raising=False)
    with trust.arrays_alone(active=True):
        assert os.environ[trust.FORCED] == "1"
        assert trust.FORBIDDEN not in os.environ
    assert os.environ[trust.FORBIDDEN] == "1"
    assert trust.FORCED not in os.environ
    with trust.arrays_alone(active=False):
        assert trust.FORCED not in os.environ


def test_a_trusted_name_is_handed_over_with_the_word():
    parser = argparse.ArgumentParser()
    cli.add_embed_arguments(parser)
    args = parser.parse_args(["mace:x.model", "in.xyz", "-o", "o.zarr", "--trust"])
    assert environments.command("python", args, "s.zarr")[-1] == "--trust"
