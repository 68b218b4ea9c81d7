"""Hostile inputs: every format, broken in every way, in every encoding; reading ends in one sentence, or reads.

Seeded, and short by default: `PLATONIC_FAULTS=20 pytest tests/faults -s` tries twenty times as many and prints counts.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from platonic_adapters.terminal import printable

REPEATS = int(os.environ.get("PLATONIC_FAULTS", "1"))
CASES = 260


def test_hostile_inputs_end_in_one_sentence_and_never_cost_their_neighbours():
    """In a process of limited memory, each with a limit of time; exit code 0 or 2, nothing raw to the terminal."""
    script = Path(__file__).with_name("hostile_inputs.py")
    seed = os.environ.get("PLATONIC_SEED", "0")
    done = subprocess.run(
        [sys.executable, str(script), seed, str(CASES * REPEATS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == CASES * REPEATS
    for record in records:
        lines = record["said"].splitlines()
        assert record["exit"] in (0, 2), record
        assert record["neighbour"], record
        assert all(line.startswith("platonic: ") and printable(line) == line and len(line) < 1000 for line in lines), (
            record
        )
        assert lines or record["exit"] == 0, record
    sys.stdout.write(f"{len(records)} hostile inputs: {dict(Counter(record['exit'] for record in records))}\n")
