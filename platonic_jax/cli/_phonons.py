"""`platonic phonons`: phonons of a crystal by a model, tested and compared with a reference."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _probes

if TYPE_CHECKING:
    from platonic_jax.analyses import Phonons

DESCRIPTION = (
    "Compute phonons from a model's forces in displaced supercells. Tests whether embeddings, forces and\n"
    "frequencies are invariant under rotation, reflection and translation, and whether symmetry-degenerate modes\n"
    "stay degenerate; with a reference, reports the frequency errors."
)
TASK, USAGE = "test phonons", "phonons MODEL CRYSTAL"
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
        help="a crystal, in any format that `platonic embed` reads; or phonopy files of a reference: a folder with "
        "phonopy_disp.yaml and FORCE_SETS, or a phonopy_params.yaml",
    )
    parser.add_argument(
        "--min-length", metavar="Å", type=float, default=10.0, help="minimum length of the supercell (default: 10)"
    )
    parser.add_argument(
        "--distance", metavar="Å", type=float, default=0.01, help="length of the displacements (default: 0.01)"
    )
    _arguments.add_count(parser, "--rotations", default=1, what="number of random rotations")
    parser.add_argument(
        "--symmetry",
        action="store_true",
        help="use only symmetry-inequivalent displacements (faster; hides symmetry breaking except under rotation)",
    )
    _probes.add_common(parser)


def find(args: argparse.Namespace) -> "Phonons":
    """Embed the supercells and evaluate the phonons."""
    from platonic_adapters.reading import read

    from platonic_jax import probes
    from platonic_jax.analyses import phonons
    from platonic_jax.tables import load

    path = Path(args.structure)
    if path.suffix in (".yaml", ".yml") or (path / "phonopy_disp.yaml").is_file():
        phonon = probes.read_phonopy(path)
    else:
        phonon = probes.crystal(read(args.structure)[0], min_length=args.min_length, distance=args.distance)
    displacements = probes.displaced(phonon, seed=args.seed, num_rotations=args.rotations, unreduced=not args.symmetry)
    with _probes.folder_of(args) as folder:
        store = _probes.store_of(args.model, folder)
        _probes.embed(
            args.model, displacements.structures, store, device=args.device, properties=("forces",), trust=args.trust
        )
        return phonons(load(store), displacements)
