"""Fine-tune SevenNet, naively or with replay, in the environment that `platonic embed` makes for it.

python tune_sevennet.py dimers.extxyz naive.pth
python tune_sevennet.py dimers.extxyz replay.pth --replay crystals.extxyz
platonic embed sevennet:naive.pth judged.extxyz -o naive.zarr
"""

from pathlib import Path
from typing import Any

import sevenn
import sevenn._keys as KEY
import torch
from ase import Atoms
from recipe import Labels, Network, main
from sevenn.atom_graph_data import AtomGraphData
from sevenn.train.dataload import unlabeled_atoms_to_graph
from sevenn.util import load_checkpoint
from torch_geometric.loader.dataloader import Collater


def load(model: str) -> Network:
    """The weights that come with the library; `model` is `7net-0` or another of its names."""
    checkpoint = load_checkpoint(model)
    sevennet = checkpoint.build_model()
    sevennet.set_is_batch_data(True)
    collate = Collater([], None, None)
    seen: Labels = {}
    sevennet._modules["reduce_input_to_hidden"].register_forward_pre_hook(
        lambda _module, inputs: seen.update(rows=inputs[0][KEY.NODE_FEATURE])
    )

    def graph(atoms: Atoms) -> Any:
        return AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, sevennet.cutoff))

    def predict(graphs: list[Any]) -> Labels:
        found = sevennet(collate(graphs))  # A new batch: the modules write into it.
        return {
            "energy": found[KEY.PRED_TOTAL_ENERGY] / found[KEY.NUM_ATOMS],
            "forces": found[KEY.PRED_FORCE],
            **seen,
        }

    def save(path: Path) -> None:
        # Of this version: the weights of older ones are converted when they are read, and must not be twice.
        config = {**checkpoint.config, "version": sevenn.__version__}
        written = {**checkpoint.get_checkpoint_dict(), "config": config, "model_state_dict": sevennet.state_dict()}
        torch.save(written, path)

    return Network(sevennet, graph, predict, save)


if __name__ == "__main__":
    main(load, __doc__.splitlines()[0], model="7net-0")
