"""`platonic learn`: anchors, weights and metrics, learned by gradient descent."""

import argparse
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _command, _print, _stores

if TYPE_CHECKING:
    from platonic_jax.training import Trained

DESCRIPTION = (
    "Learn a shared space by gradient: for agreement, a metric for each model before the similarities to random "
    "anchors; for a\n"
    "task, the anchors themselves and their weights. Judged on chemical systems that training never saw, beside "
    "the plain space,\n"
    "and beside models with random weights, if there are any, which are fitted in the same way."
)
EXAMPLES = """\
  platonic learn a.zarr b.zarr random.zarr -k 100 -o anchors.safetensors --report report/
  platonic learn a.zarr b.zarr --objective task:e_form --targets energies.csv -k 32 -o anchors.safetensors
  platonic learn a.zarr --objective task:coordination,0.1*sparsity -k 64 -o anchors.safetensors
  platonic learn unseen.zarr --extend anchors.safetensors -o extended.safetensors
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    _arguments.add_stores(parser, number="two or more for agreement")
    parser.add_argument(
        "--objective",
        metavar="A,B",
        type=_arguments.names,
        default=("agreement",),
        help="agreement, agreement:MEASURE, task:COLUMN, coverage, conditioning, sparsity, or the sum of several, each "
        "as WEIGHT*NAME too (default: agreement)",
    )
    parser.add_argument(
        "--targets",
        metavar="FILE",
        help="a CSV file with a column `id`, or `material_id`, and columns of values (numbers) or classes (words) of "
        "structures; coordination and element_group are known without",
    )
    parser.add_argument(
        "--parts",
        metavar="A,B",
        type=_arguments.names,
        help="what is learned: metric, anchors, weights (default: metric for agreement, all of them for tasks)",
    )
    parser.add_argument(
        "--unseen",
        metavar="MODEL,MODEL",
        type=_arguments.names,
        default=(),
        help="models among the stores that take no part: they are judged with maps from their own rows alone",
    )
    parser.add_argument(
        "--extend",
        metavar="FILE",
        help="learn nothing: give these learned anchors a map for the model of each store, from its own rows alone",
    )
    _arguments.add_count(parser, "-k", default=100, what="the number of anchors")
    _arguments.add_count(parser, "--steps", default=1000, what="of training")
    _arguments.add_count(parser, "--rows", default=1024, what="in a batch")
    parser.add_argument("--checkpoints", metavar="DIR", help="a folder from which a killed run goes on")
    _arguments.add_seed(parser)
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the file of anchors to write")
    _arguments.add_report(parser, flags=("--report",))


def run(args: argparse.Namespace) -> int:
    """Learn a shared space, or extend a learned one."""
    if args.extend:
        return _extend(args)
    code = _command.run(find, args)
    _print.say_file("The anchors are in", args.output)
    return code


def find(args: argparse.Namespace) -> "Trained":
    """Learn, and write the anchors."""
    from platonic_jax import training

    _arguments.check_targets(output=args.output)
    tables = [_stores.load(path, limit=args.limit) for path in args.stores]
    targets = None if args.targets is None else training.read_targets(args.targets, tables[0])
    with _print.progress_bar() as progress:
        result = training.train(
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
    result.anchors.save(args.output)
    return result


def _extend(args: argparse.Namespace) -> int:
    _arguments.check_targets(output=args.output)
    _command.keep_compiled()
    from platonic_jax import training
    from platonic_jax.anchors import Anchors

    if args.json or args.folder:
        raise ValueError("`--json` and `--report` must be left out with `--extend`, got one: nothing is judged.")
    extended = training.extend(
        Anchors.load(args.extend), [_stores.load(path, limit=args.limit) for path in args.stores]
    )
    extended.save(args.output)
    _print.say_file(f"{len(extended)} anchors for {', '.join(extended.metrics)} are in", args.output)
    return 0
