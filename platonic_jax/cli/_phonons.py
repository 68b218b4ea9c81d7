"""`platonic phonons`: are a model's phonons those of the crystal?"""

import argparse
from pathlib import Path
from typing import Any

from platonic_jax.cli import _print, _probes

DESCRIPTION = (
    "Displace atoms in a supercell, take the model's forces, and make phonons of them. Does a turned crystal have the "
    "same rows,\nforces and frequencies? Do modes stay together that symmetry makes degenerate? Against forces of a "
    "reference in the same\nsupercells, where there are any: how wrong are the frequencies?"
)
EXAMPLES = """\
  platonic phonons 7net-0 NaCl.cif
  platonic phonons 7net-0 phonopy/NaCl --json phonons.json
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("model", metavar="MODEL", help="a model's name, or random:NAME?seed=0")
    parser.add_argument(
        "structure",
        metavar="STRUCTURE",
        help="a crystal, as anything that `platonic embed` takes; or phonopy's own files of a reference: a folder with "
        "phonopy_disp.yaml and FORCE_SETS, or a phonopy_params.yaml",
    )
    parser.add_argument(
        "--min-length", metavar="Å", type=float, default=10.0, help="least length of the supercell (default: 10)"
    )
    parser.add_argument("--distance", metavar="Å", type=float, default=0.01, help="of displacements (default: 0.01)")
    parser.add_argument("--rotations", metavar="N", type=int, default=1, help="random rotations (default: 1)")
    parser.add_argument(
        "--symmetry",
        action="store_true",
        help="displace atoms only as far as the symmetry of the crystal does not do it: far less work, but what breaks "
        "symmetry is then hidden but for the turned crystal",
    )
    _probes.add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Embed the supercells, judge, and print."""
    from platonic_adapters.structures import read

    from platonic_jax import probes
    from platonic_jax.studies import phonons
    from platonic_jax.tables import load

    path = Path(args.structure)
    if path.suffix in (".yaml", ".yml") or (path / "phonopy_disp.yaml").is_file():
        phonon = probes.read_phonopy(path)
    else:
        phonon = probes.crystal(read(args.structure)[0], min_length=args.min_length, distance=args.distance)
    made = probes.displaced(phonon, seed=args.seed, num_rotations=args.rotations, unreduced=not args.symmetry)
    with _probes.folder_of(args) as folder:
        kept = _probes.store_of(args.model, folder)
        if code := _probes.embed(args.model, made.structures, kept, args=args, properties=("forces",)):
            return code
        found = phonons(load(kept), made)
    console = _print.console()
    for table in _tables(found):
        console.print(table)
    console.print(found.verdict, markup=False, highlight=False)
    if args.json:
        found.save(args.json)
    return 0


def _tables(found: Any) -> list[Any]:
    """The chain, and the figures of the phonons."""
    from platonic_jax import report

    chain = _print.new_table("What changes where the crystal is rotated, reflected, or only shifted")
    chain.add_column("")
    ways = ("rotated", "reflected", "shifted")
    for head in (*ways, "tolerance"):
        chain.add_column(head, justify="right")
    units = {"rows": "of their norm, largest", "forces": "of their size", "frequencies": "THz, largest"}
    keys = {"rows": "largest", "forces": "relative", "frequencies": "largest"}
    for link, entry in found.chain.items():
        cells = [report.number(entry[way][keys[link]]) for way in ways]
        chain.add_row(f"{link}, {units[link]}", *cells, f"{entry['tolerance']:.0e}")
    figures = _print.new_table("Phonons")
    figures.add_column("figure")
    figures.add_column("", justify="right")
    if found.symmetry is not None:
        asymmetry = max(found.symmetry["asymmetry"])
        figures.add_row("splitting of degenerate modes, THz", report.number(found.symmetry["splitting"]))
        figures.add_row("part of force constants that symmetry forbids", report.number(asymmetry))
        figures.add_row("acoustic sum rule violated by, eV/Å²", report.number(found.acoustic["violation"]))
    figures.add_row("largest force on the perfect crystal, eV/Å", report.number(found.residual["largest"]))
    figures.add_row("lowest frequency, THz", report.number(found.lowest["frequency"]))
    if found.reference is not None:
        figures.add_row("lowest frequency of the reference, THz", report.number(found.reference["lowest"]))
        for name, told in (("plain", "without Born charges"), ("polar", "with Born charges")):
            error = found.reference[name]
            if error is not None:
                figures.add_row(
                    f"mean absolute error {told}, THz (knowing the mean alone)",
                    f"{report.number(error.mean_absolute)} ({report.number(error.null)})",
                )
    return [chain, figures]
