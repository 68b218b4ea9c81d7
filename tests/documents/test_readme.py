"""Every block of the README is run, in order, as a reader would."""

import documents

TEXT = (documents.REPOSITORY / "README.md").read_text()
BLOCKS = documents.blocks(TEXT)


def test_the_first_block_comes_early_and_the_whole_is_short():
    lines = TEXT.splitlines()
    assert len(lines) <= 120
    assert next(i for i, line in enumerate(lines, 1) if line.startswith("```")) <= 30


def test_every_block_says_what_runs_it():
    assert {block.language for block in BLOCKS} == {"sh", "python"}


def test_every_block_runs(tmp_path):
    from ase.build import bulk
    from ase.io import write
    from platonic_adapters import reading

    found, _ = reading.read("prototypes?max_atoms=6")
    write(tmp_path / "structures.extxyz", [found.atoms(i) for i in range(60)])
    write(tmp_path / "generated.cif", bulk("Cu", "fcc", a=3.0, cubic=True))
    documents.follow([documents.REPOSITORY / "README.md"], tmp_path)
    assert (tmp_path / "demo" / "report.html").exists()
    for folder in ("report", "sweep", "typicality"):
        assert (tmp_path / folder / "report.html").exists()
