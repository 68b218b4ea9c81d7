"""`platonic atlas`: a model among published ones, or the atlas of these."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _probes, _stores

if TYPE_CHECKING:
    from platonic_jax.analyses import Atlas
    from platonic_jax.tables import EmbeddingTable

DESCRIPTION = (
    "Place a model among published ones, whose shared-space coordinates on a small standard set (the input `atlas`\n"
    "of `platonic embed`) come with the package: its nearest models, and the elements and atoms where it differs.\n"
    "Without a model, compare those of the atlas with each other."
)
TASK, USAGE = "place a model", "atlas MODEL|STORE -o report/"
EXAMPLES = """\
  platonic atlas 7net-0
  platonic atlas mine.zarr -o report/
  platonic atlas -o atlas/
  platonic atlas mine.zarr --save my_atlas.npz
  platonic atlas other.zarr --atlas my_atlas.npz
  platonic atlas --build a.zarr b.zarr c.zarr --save new_atlas.npz
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "models",
        metavar="MODEL|STORE",
        nargs="*",
        help="name of a model, which is embedded first, or a store of the standard set; several with --save",
    )
    parser.add_argument("--atlas", metavar="FILE", help="atlas made by --save (default: that of the package)")
    parser.add_argument("--save", metavar="FILE", help="file for the atlas with these models added, such as mine.npz")
    parser.add_argument(
        "--build", action="store_true", help="begin a new atlas for --save, with no models but the ones given"
    )
    _arguments.add_count(parser, "-k", default=100, what="number of anchors of a new atlas")
    _probes.add_common(parser)


def find(args: argparse.Namespace) -> "Atlas":
    """Embed the models, place the one or add them all, and compare."""
    from platonic_jax import analyses

    _arguments.check_targets(output=args.save)
    if args.build and not (args.save and args.models):
        raise ValueError("`--build` needs models or stores, and `--save FILE` for the new atlas.")
    if len(args.models) > 1 and not args.save:
        raise ValueError(
            f"`MODEL|STORE` must be one model, got {len(args.models)}: several are added with `--save FILE`."
        )
    coordinates = None if args.build else analyses.read_atlas(args.atlas)
    with _probes.folder_of(args) as folder:
        tables = [_table(model, folder, args) for model in args.models]
    extended = coordinates
    if args.save:
        extended = analyses.build_atlas(tables, base=coordinates, k=args.k, seed=args.seed)
        extended.save(args.save)
    if len(tables) == 1:
        return analyses.atlas(tables[0], coordinates=coordinates, seed=args.seed)
    return analyses.atlas(coordinates=extended, seed=args.seed)


def _table(model: str, folder: Path, args: argparse.Namespace) -> "EmbeddingTable":
    """Read a store, or embed the standard set with a model."""
    if Path(model).exists():
        return _stores.load(model)
    options = ["--device", args.device, *(["--trust"] if args.trust else [])]
    return _stores.load(_probes.export(model, "atlas", folder, *options))
