"""Run by `test_inputs.py` in a process of limited memory: hostile inputs of every format, and what becomes of them.

    python hostile_inputs.py SEED CASES

Prints a line of JSON for each case: its name, the exit code (or the exception that should not have been), what was
said, whether the good structure beside it survived, and the seconds that it took.
"""

import argparse
import bz2
import contextlib
import gzip
import io
import json
import lzma
import re
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import ase.db
import ase.io
import numpy as np
from ase.build import bulk
from platonic_adapters import cli
from platonic_adapters.cli import exit_code

SECONDS, BYTES = 30, 4_000_000_000
GOOD = bulk("Cu", cubic=True)


def text_of(atoms, kind):
    file = io.BytesIO() if kind == "cif" else io.StringIO()
    ase.io.write(file, atoms, format=kind)
    return file.getvalue().decode() if kind == "cif" else file.getvalue()


def victim(rng):
    atoms = [bulk("NaCl", "rocksalt", a=5.64), bulk("Ti"), bulk("GaAs", "zincblende", a=5.65)][rng.integers(3)]
    atoms.info["material_id"] = "victim"
    return atoms


NUMBERS = ["nan", "inf", "-inf", "1e300", "1e8", "-1e-320", "999999999999999999999", "0", "-1", "1,5", "0x1F", "٣", "?"]
WORDS = [
    "Bq",
    "X",
    "Uue",
    "D",
    "",
    "\x00",
    "\x1b[31mred",
    "💥",
    "../..",
    "'",
    '"',
    ";",
    "#",
    "loop_",
    "data_",
    "%n",
    "None",
]


def number_replaced(text, rng):
    found = list(re.finditer(r"-?\d+\.?\d*", text))
    hit = found[rng.integers(len(found))]
    return text[: hit.start()] + str(rng.choice(NUMBERS)) + text[hit.end() :]


def word_replaced(text, rng):
    found = list(re.finditer(r"[A-Za-z_]+", text))
    hit = found[rng.integers(len(found))]
    return text[: hit.start()] + str(rng.choice(WORDS)) + text[hit.end() :]


def line_deleted(text, rng):
    lines = text.splitlines(keepends=True)
    del lines[rng.integers(len(lines))]
    return "".join(lines)


def line_repeated(text, rng):
    lines = text.splitlines(keepends=True)
    i = rng.integers(len(lines))
    return "".join([*lines[:i], *[lines[i]] * int(rng.choice([2, 50])), *lines[i:]])


def lines_swapped(text, rng):
    lines = text.splitlines(keepends=True)
    i, j = rng.integers(len(lines), size=2)
    lines[i], lines[j] = lines[j], lines[i]
    return "".join(lines)


def cut_off(text, rng):
    return text[: rng.integers(len(text))]


def long_line(text, rng):
    at = rng.integers(len(text))
    return text[:at] + str(rng.choice(["9", "x", "(", "[", " ", '"'])) * 100_000 + text[at:]


def other_newlines(text, rng):
    return text.replace("\n", str(rng.choice(["\r", "\r\n", "\n\n", "\x0b", "\u2028"])))


def nonsense(_text, rng):
    return rng.integers(0, 256, size=300, dtype=np.uint8).tobytes().decode("latin-1")


def unharmed(text, _rng):
    return text


FAULTS = [
    *(number_replaced, word_replaced, line_deleted, line_repeated, lines_swapped),
    *(cut_off, long_line, other_newlines, nonsense, unharmed),
]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "latin-1"]
PACKINGS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def flipped(data, rng):
    """A byte of the finished file changed, in one of four."""
    if not data or rng.random() < 0.75:
        return data
    at = int(rng.integers(len(data)))
    return data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :]


def packed(text, encoding, rng):
    packing = str(rng.choice(list(PACKINGS)))
    return packing, flipped(PACKINGS[packing](text.encode(encoding, "replace")), rng)


def a_folder(place, fault, encoding, rng):
    (place / "in").mkdir()
    (place / "in/good.cif").write_text(text_of(GOOD, "cif"))
    packing, data = packed(fault(text_of(victim(rng), "cif"), rng), encoding, rng)
    (place / f"in/bad.cif{packing}").write_bytes(data)
    return place / "in", True


def a_table(place, fault, encoding, rng):
    rows = [
        f'{name},"{text_of(atoms, "cif").replace(chr(34), chr(34) * 2)}"\n'
        for name, atoms in (("good", GOOD), ("bad", victim(rng)))
    ]
    packing, data = packed("material_id,cif\n" + rows[0] + fault(rows[1], rng), encoding, rng)
    (place / f"in.csv{packing}").write_bytes(data)
    return place / f"in.csv{packing}", False


def frames(place, fault, encoding, rng):
    text = text_of(GOOD, "extxyz") + fault(text_of(victim(rng), "extxyz"), rng)
    data = text.encode(encoding, "replace")
    (place / "in.extxyz").write_bytes(data)
    return place / "in.extxyz", True


def any_file(kind, name):
    def write(place, fault, encoding, rng):
        packing, data = packed(fault(text_of(victim(rng), kind), rng), encoding, rng)
        (place / f"{name}{packing}").write_bytes(data)
        return place / f"{name}{packing}", False

    write.__name__ = name
    return write


def database(kind):
    def write(place, fault, encoding, rng):
        path = place / f"in.{kind}"
        with ase.db.connect(path) as rows:
            rows.write(GOOD)
            rows.write(victim(rng))
        data = path.read_bytes()
        path.write_bytes(fault(data.decode("latin-1"), rng).encode("latin-1", "replace"))
        return path, False

    write.__name__ = f"a_{kind}_database"
    return write


FORMATS = [
    *(a_folder, a_folder, a_table, frames, frames, database("json"), database("db")),
    *(
        any_file("vasp", "POSCAR"),
        any_file("xyz", "in.xyz"),
        any_file("cif", "in.cif"),
        any_file("proteindatabank", "in.pdb"),
    ),
    *(any_file("xsf", "in.xsf"), any_file("gen", "in.gen")),
]


@exit_code
def read(args):
    found, _, _ = cli.read_input(args)
    args.formulas = found.formulas
    return 0


def run(seed, number):
    rng = np.random.default_rng([seed, number])
    make, fault = FORMATS[number % len(FORMATS)], FAULTS[(number // len(FORMATS)) % len(FAULTS)]
    encoding = str(rng.choice(ENCODINGS))
    record = {"case": f"{number}: {make.__name__}, {fault.__name__}, {encoding}"}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()) as said:
        source, beside = make(Path(folder), fault, encoding, rng)
        args = argparse.Namespace(
            input=str(source), output="o.zarr", json=None, limit=None, duplicates="keep", formulas=[]
        )
        start = time.monotonic()
        signal.alarm(SECONDS)
        try:
            record["exit"] = read(args)
        except BaseException as error:  # noqa: BLE001 - what the test is after
            record["exit"] = f"{type(error).__name__}: {error}"[:300]
        signal.alarm(0)
        record |= {
            "seconds": round(time.monotonic() - start, 2),
            "said": said.getvalue().replace(folder, ""),
            "neighbour": not beside or "Cu4" in args.formulas,
        }
    return record


def main(seed, cases):
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError(f"more than {SECONDS} s")))
    for number in range(cases):
        sys.stdout.write(json.dumps(run(seed, number)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
