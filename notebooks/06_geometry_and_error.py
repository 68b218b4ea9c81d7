# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Does geometry know where a model errs?
#
# **You will learn** whether an atom that lies far from what a model knows, or whose neighbours another model does not
# see, is an atom whose force is wrong; how to tell that from what needs no geometry at all, the size of the force and
# its spread between models; and how to read it within each element, where the periodic table cannot help.
#
# By default the structures are crystal prototypes with displaced atoms, the reference the same with atoms that are
# hardly displaced, and the larger 7net-l3i5 stands in for the truth. For the real thing set `PLATONIC_LABELS` to a file
# of structures with forces of density functional theory, `PLATONIC_QUERIES` to stores of it, made with
# `--properties energy,forces`, and `PLATONIC_REFERENCES` to stores of relaxed crystals, all separated by spaces.

# %%
import os
from pathlib import Path

import ase.io
import numpy as np
import stores
from ase.calculators.singlepoint import SinglePointCalculator
from platonic_adapters import reading

import platonic_jax as pj

RESULTS = Path(os.environ.get("PLATONIC_RESULTS", "results/06"))
STORES = Path("stores/errors")
RESULTS.mkdir(parents=True, exist_ok=True)


def displaced(known, copies, least, most):
    """Copies of every structure, atoms displaced by a normal deviate of a width drawn between two, in Å."""
    rng, made = np.random.default_rng(copies), []
    for i in np.repeat(np.arange(len(known)), copies):
        made.append(known.atoms(i))
        made[-1].positions += rng.uniform(least, most) * rng.normal(size=made[-1].positions.shape)
    return made


# %%
labels = os.environ.get("PLATONIC_LABELS")
if labels:
    queries, references = (
        [pj.load(path) for path in os.environ[f"PLATONIC_{what}"].split()] for what in ("QUERIES", "REFERENCES")
    )
else:
    models, forces = ("7net-0", "chgnet-0.3.0"), ("--properties", "energy,forces")
    number = int(os.environ.get("PLATONIC_LIMIT", "24"))
    known = reading.read("prototypes?max_atoms=4", limit=number, duplicates="skip")[0]
    STORES.mkdir(parents=True, exist_ok=True)
    ase.io.write(STORES / "known.extxyz", displaced(known, 20, 0.01, 0.05))
    ase.io.write(STORES / "displaced.extxyz", displaced(known, 4, 0.02, 0.15))
    here, there = STORES / "known.extxyz", STORES / "displaced.extxyz"
    references = [stores.embed(model, here, STORES / f"{model}-known.zarr") for model in models]
    queries = [stores.embed(model, there, STORES / f"{model}-displaced.zarr", *forces) for model in models]
    truth = stores.embed("7net-l3i5", there, STORES / "7net-l3i5-displaced.zarr", *forces)
    labelled = [truth.structures.atoms(i) for i in range(len(truth.structures))]
    for i, atoms in enumerate(labelled):
        own = truth.properties["forces"][truth.structure_index == i]
        atoms.calc = SinglePointCalculator(atoms, energy=float(truth.properties["energy"][i]), forces=own)
    labels = STORES / "labels.extxyz"
    ase.io.write(labels, labelled)

# %% [markdown]
# ## How far from the known
#
# Each atom's typicality is how far it lies from atoms of its element in the reference: from the plane in which they
# lie nearby, beyond their density, and in units of their spread. QUESTS has an answer that needs no model: how little
# of the reference is like the surroundings of an atom, elements left aside.

# %%
queries = pj.tables.pair(*queries)
known = pj.tables.read_labels(labels, queries[0])
judged = pj.analyses.typicality({"reference": references}, {"these": queries})
against = judged.queries["these"].against["reference"]
scores = {"typicality": {model: against[model].atom_score for model in judged.models}}

try:
    from quests.descriptor import get_descriptors
    from quests.entropy import delta_entropy
except ImportError:
    print("without QUESTS: it is not installed")
else:

    def descriptors(table):
        """The surroundings of every atom, as QUESTS sees them."""
        return get_descriptors(
            [table.structures.atoms(int(i)) for i in np.unique(table.structure_index)], k=32, cutoff=5
        )

    entropy = delta_entropy(descriptors(queries[0]), descriptors(references[0]), h=0.015)
    entropy[np.isinf(entropy)] = entropy[np.isfinite(entropy)].max() + 1  # Like nothing at all in the reference.
    scores["QUESTS entropy"] = dict.fromkeys(judged.models, entropy)

# %% [markdown]
# ## Beside the errors
#
# `disagreement` is the share of an atom's neighbours in the shared space that another model does not see. `force size`,
# `force spread` and `composition distance` know nothing of geometry; the entropy of QUESTS (`pip install quests`;
# Schwalbe-Koda et al., Nat. Commun. 2025) knows nothing of any model.

# %%
found = pj.analyses.error_ranking(queries, known, scores=scores, reference=references[0])
found.save(RESULTS / "error_ranking.json")
print(f"{found.num_atoms} atoms of {found.num_structures} structures\n{found.verdict}\n")
for model, of_model in found.scores.items():
    print(f"{model}: mean force error {found.errors[model]['force']['mean']:.3f} eV/Å")
    for score, entry in of_model.items():
        for place, ranking in entry.items():
            print(f"  {score:13s} {place:10s} {ranking.rank_correlation:.2f}")

# %%
pj.plots.save(pj.plots.page(found), RESULTS / "coverage.png")

# %% [markdown]
# ## The worst atoms
#
# And what share of their element's atoms each score puts below them.

# %%
for model, atoms in found.worst.items():
    for atom in atoms[:3]:
        ranks = ", ".join(f"{score} {rank:.2f}" for score, rank in atom["ranks"].items())
        print(f"{model}: {atom['element']} {atom['atom']} of {atom['structure']}: {atom['error']:.2f} eV/Å ({ranks})")

# %% [markdown]
# ## What it showed
#
# Rank correlation of each score with the force error within each element (Spearman, 95 % interval over structures);
# in brackets what is left of it once the size of the force is known. The reference is MP-20's training set; for
# QUESTS, and for want of time, its first 5,000 structures. First 11,185 atoms of 1,068 heated and compressed
# crystals, MatterSim's `mpf-TP`, then 17,172 atoms of 997 frames of the highest stress in MPtrj, all with DFT forces.
#
# | heated and compressed | 7net-0 | chgnet-0.3.0 |
# |---|---|---|
# | typicality | 0.67 (0.65 to 0.70) [0.55] | 0.49 (0.46 to 0.52) [0.40] |
# | disagreement of neighbourhoods | 0.18 (0.15 to 0.21) [0.09] | 0.16 (0.13 to 0.19) [0.08] |
# | QUESTS entropy, h = 0.015 | 0.50 (0.47 to 0.53) [0.33] | 0.41 (0.38 to 0.44) [0.30] |
# | distance in composition | 0.08 (0.03 to 0.13) [0.09] | 0.08 (0.04 to 0.12) [0.08] |
# | size of the force | 0.55 (0.52 to 0.58) | 0.43 (0.40 to 0.45) |
# | spread of forces between the two | 0.73 (0.71 to 0.75) [0.60] | 0.64 (0.62 to 0.66) [0.55] |
#
# | highest stress | 7net-0 | chgnet-0.3.0 |
# |---|---|---|
# | typicality | 0.10 (0.04 to 0.16) [0.00] | 0.08 (0.02 to 0.13) [-0.06] |
# | disagreement of neighbourhoods | 0.12 (0.07 to 0.17) [0.10] | 0.09 (0.03 to 0.13) [0.07] |
# | QUESTS entropy, h = 0.015 | 0.04 (0.00 to 0.08) [-0.11] | 0.10 (0.06 to 0.15) [-0.07] |
# | distance in composition | -0.02 (-0.06 to 0.03) [-0.02] | 0.01 (-0.03 to 0.06) [0.02] |
# | size of the force | 0.47 (0.42 to 0.51) | 0.57 (0.54 to 0.62) |
# | spread of forces between the two | 0.61 (0.57 to 0.65) [0.44] | 0.73 (0.70 to 0.76) [0.56] |
#
# - *Typicality predicts force errors under extrapolation*: on heated and compressed crystals, which neither model has
#   seen, it ranks them better than the size of the force or the composition, with one model and no forces. (QUESTS had
#   5,000 reference structures, typicality 26,907: not a fair comparison.) Of the worst tenth of 7net-0's atoms it has
#   an AUROC of 0.95.
# - *And says nothing where it does not.* Frames of the highest stress lie as far from relaxed crystals (notebook 05),
#   but they are of MPtrj, which both models were trained on: far from the reference is not far from what a model
#   knows. Take its training set as the reference, where you can.
# - *The disagreement of neighbourhoods tells little*, though more than nothing.
# - *A second model tells more*: whoever can run two should look at the spread of their forces first.
# - *Energies of structures*: on heated crystals typicality has 0.24 (0.18 to 0.31) and 0.23 (0.17 to 0.29), the best
#   of them; on stressed ones -0.08 and -0.18.
#
# The figures are in `results/06`.
#
# **To try next**: frames of your own; scores of your own, in `scores`; a reference that holds what the model was
# taught.
