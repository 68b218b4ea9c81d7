"""`platonic learn`: anchors, weights and metrics, learned by gradient descent."""

import argparse
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _command, _print, _stores

if TYPE_CHECKING:
    from platonic_jax.analyses import Training

DESCRIPTION = (
    "Learn a shared space by gradient descent: for agreement, a metric for each model with random anchors; for a\n"
    "task, the anchors and their weights. It is evaluated on unseen chemical systems and compared with the start\n"
    "of the training, random anchors, the raw embeddings, and untrained controls, if given, fitted in the same way."
)
TASK, USAGE = "learn the anchors", "learn A.zarr B.zarr … --save anchors.safetensors"
EXAMPLES = """\
  platonic learn a.zarr b.zarr random.zarr -k 100 --save anchors.safetensors -o report/
  platonic learn a.zarr b.zarr --objective task:e_form --targets energies.csv -k 32 --save anchors.safetensors
  platonic learn a.zarr --objective task:coordination,0.1*sparsity -k 64 --save anchors.safetensors
  platonic learn unseen.zarr --extend anchors.safetensors --save extended.safetensors
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    _arguments.add_stores(parser, number="at least two for agreement")
    parser.add_argument(
        "--objective",
        metavar="A,B",
        type=_arguments.names,
        default=("agreement",),
        help="objectives to sum: agreement, agreement:MEASURE, task:COLUMN, coverage, conditioning, sparsity, each "
        "with an optional weight, as in 0.1*coverage (default: agreement)",
    )
    parser.add_argument(
        "--targets",
        metavar="FILE",
        help="a CSV file with a column `id`, or `material_id`, and columns of values (numbers) or classes (words) of "
        "structures; not needed for coordination and element_group",
    )
    parser.add_argument(
        "--parts",
        metavar="A,B",
        type=_arguments.names,
        help="parts to learn: metric, anchors, weights (default: metric for agreement, all of them for tasks)",
    )
    parser.add_argument(
        "--unseen",
        metavar="MODEL,MODEL",
        type=_arguments.names,
        default=(),
        help="models excluded from training and evaluated with maps fitted to their own embeddings alone",
    )
    parser.add_argument(
        "--extend",
        metavar="FILE",
        help="do not train: add a map for each store's model, fitted to its own embeddings, to these learned anchors",
    )
    _arguments.add_count(parser, "-k", default=100, what="number of anchors")
    _arguments.add_count(parser, "--steps", default=1000, what="number of training steps")
    _arguments.add_count(parser, "--rows", default=1024, what="number of atoms in a batch")
    parser.add_argument(
        "--checkpoints", metavar="DIR", help="folder of checkpoints, from which an interrupted run resumes"
    )
    _arguments.add_seed(parser)
    parser.add_argument("--save", metavar="FILE", required=True, help="file of anchors to write")
    _arguments.add_report(parser)


def run(args: argparse.Namespace) -> int:
    """Learn a shared space, or extend a learned one."""
    if args.extend:
        return _extend(args)
    code = _command.run(find, args)
    _print.say_file("The anchors are in", args.save)
    return code


def find(args: argparse.Namespace) -> "Training":
    """Learn, and write the anchors."""
    from platonic_jax import analyses

    _arguments.check_targets(output=args.save)
    tables = [_stores.load(path, limit=args.limit) for path in args.stores]
    targets = None if args.targets is None else analyses.read_targets(args.targets, tables[0])
    with _print.progress_bar() as progress:
        result = analyses.train(
            tables,
            objective=args.objective,
            targets=targets,
            parts=args.parts,
            unseen=args.unseen,
            k=args.k,
            seed=args.seed,
            num_steps=args.steps,
            num_rows=args.rows,
            checkpoints=args.checkpoints,
            progress=progress,
        )
    result.anchors.save(args.save)
    return result


def _extend(args: argparse.Namespace) -> int:
    _arguments.check_targets(output=args.save)
    _command.keep_compiled()
    from platonic_jax import analyses
    from platonic_jax.anchors import Anchors

    if args.json or args.folder:
        raise ValueError("`--json` and `-o` must be left out with `--extend`, got one: nothing is evaluated.")
    extended = analyses.extend(
        Anchors.load(args.extend), [_stores.load(path, limit=args.limit) for path in args.stores]
    )
    extended.save(args.save)
    _print.say_file(f"{len(extended)} anchors for {', '.join(extended.metrics)} are in", args.save)
    return 0
