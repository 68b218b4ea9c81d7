"""Fine-tune MACE with its own trainer, naively or with several heads, in the environment that `platonic embed` makes.

python tune_mace.py dimers.extxyz naive.model --model mace-mp-0-small.model
python tune_mace.py dimers.extxyz replay.model --model mace-mp-0-small.model --replay crystals.extxyz
platonic embed mace:naive.model judged.extxyz -o naive.zarr --trust

With a second head, that of the old labels, the foundation model labels the crystals itself.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import ase.io
from mace.cli import run_train


def main() -> None:
    """Write what the trainer reads, run it, and keep its model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("structures", help="the file to learn from, with energies and forces")
    parser.add_argument("output", type=Path, help="the model to write")
    parser.add_argument("--model", required=True, help="the foundation model, a local file")
    parser.add_argument("--replay", metavar="FILE", help="structures that are to stay as they were (default: none)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=8, help="structures in a step")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        learned = Path(folder) / "learned.extxyz"
        with_labels(args.structures, learned)
        options = {
            "name": "tuned",
            "foundation_model": args.model,
            "train_file": learned,
            "valid_fraction": 0.1,
            "E0s": "foundation",
            "foundation_model_elements": True,
            "multiheads_finetuning": bool(args.replay),
            "energy_key": "REF_energy",
            "forces_key": "REF_forces",
            "max_num_epochs": args.epochs,
            "lr": args.learning_rate,
            "batch_size": args.batch,
            "valid_batch_size": args.batch,
            "seed": args.seed,
            "device": "cpu",
            "default_dtype": "float32",
            "work_dir": folder,
            "plot": False,
        }
        if args.replay:
            replayed = Path(folder) / "replayed.extxyz"
            with_labels(args.replay, replayed, placeholders=True)
            options |= {"pt_train_file": replayed, "pseudolabel_replay": True, "force_mh_ft_lr": True}
        sys.argv = ["mace_run_train", *(f"--{name}={value}" for name, value in options.items())]
        run_train.main()
        shutil.copyfile(Path(folder) / "tuned.model", args.output)


def with_labels(source: str, target: Path, *, placeholders: bool = False) -> None:
    """Energies and forces under names of their own, as the trainer wants them.

    What it labels itself must have labels already, of any value: where there are none, their weight is zero, and it
    stays zero.
    """
    structures = list(ase.io.iread(source))
    for atoms in structures:
        atoms.info["REF_energy"] = 0.0 if placeholders else atoms.get_potential_energy()
        atoms.arrays["REF_forces"] = 0 * atoms.positions if placeholders else atoms.get_forces()
        atoms.calc = None
    ase.io.write(target, structures)


if __name__ == "__main__":
    main()
