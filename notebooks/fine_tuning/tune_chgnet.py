"""Fine-tune CHGNet, naively or with replay, in the environment that `platonic embed` makes for it.

python tune_chgnet.py dimers.extxyz naive.pth.tar
python tune_chgnet.py dimers.extxyz replay.pth.tar --replay crystals.extxyz
platonic embed chgnet:chgnet-0.3.0@naive.pth.tar judged.extxyz -o naive.zarr
"""

from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from chgnet.model import CHGNet
from pymatgen.io.ase import AseAtomsAdaptor
from recipe import Labels, Network, main


def load(model: str) -> Network:
    """The weights that come with the library; `model` is `0.3.0` or another of its versions."""
    chgnet = CHGNet.load(model_name=model, use_device="cpu", verbose=False)
    chgnet.graph_converter.set_isolated_atom_response("ignore")
    seen: Labels = {}
    chgnet.mlp.register_forward_pre_hook(lambda _module, inputs: seen.update(rows=inputs[0]))

    def graph(atoms: Atoms) -> Any:
        periodic = atoms.copy()
        periodic.pbc = True  # The cells of dimers are far wider than the cutoff.
        return chgnet.graph_converter(AseAtomsAdaptor.get_structure(periodic))

    def predict(graphs: list[Any]) -> Labels:
        found = chgnet(graphs, task="efm")
        return {"energy": found["e"], "forces": torch.cat(found["f"]), "moments": torch.cat(found["m"]), **seen}

    def save(path: Path) -> None:
        torch.save({"model": chgnet.as_dict()}, path)

    return Network(chgnet, graph, predict, save)


if __name__ == "__main__":
    main(load, __doc__.splitlines()[0], model="0.3.0")
