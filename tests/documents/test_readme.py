"""The README is short, and its blocks say what runs them; `test_documents` runs them."""

import documents

TEXT = documents.README.read_text()
BLOCKS = documents.blocks(TEXT)


def test_the_first_block_comes_early_and_the_whole_is_short():
    lines = TEXT.splitlines()
    assert len(lines) <= 120
    assert next(i for i, line in enumerate(lines, 1) if line.startswith("```")) <= 30


def test_every_block_says_what_runs_it():
    assert {block.language for block in BLOCKS} == {"sh", "python"}
