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
import subprocess
from pathlib import Path

import ase.io
import matplotlib.pyplot as plt
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from platonic_adapters import structures

import platonic_jax as pj

RESULTS = Path(os.environ.get("PLATONIC_RESULTS", "results/06"))
STORES = Path("stores/errors")
RESULTS.mkdir(parents=True, exist_ok=True)


def embedded(model, source, *options):
    """The table of a model's rows."""
    kept = STORES / f"{model}-{Path(source).stem}.zarr"
    subprocess.run(["platonic", "embed", model, str(source), "-o", str(kept), *options], check=True)
    return pj.load(kept)


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
    known = structures.read("prototypes?max_atoms=4", limit=24, duplicates="skip")[0]
    STORES.mkdir(parents=True, exist_ok=True)
    ase.io.write(STORES / "known.extxyz", displaced(known, 20, 0.01, 0.05))
    ase.io.write(STORES / "displaced.extxyz", displaced(known, 4, 0.02, 0.15))
    references = [embedded(model, STORES / "known.extxyz") for model in models]
    queries = [embedded(model, STORES / "displaced.extxyz", *forces) for model in models]
    truth = embedded("7net-l3i5", STORES / "displaced.extxyz", *forces)
    labelled = [truth.structures.atoms(i) for i in range(len(truth.structures))]
    for i, atoms in enumerate(labelled):
        own = truth.properties["forces"][truth.structure_index == i]
        atoms.calc = SinglePointCalculator(atoms, energy=float(truth.properties["energy"][i]), forces=own)
    labels = STORES / "labels.extxyz"
    ase.io.write(labels, labelled)

# %% [markdown]
# ## How far from the known
#
# Each atom's typicality is its distance from the plane in which atoms of its element lie in the reference.

# %%
queries = pj.tables.pair(*queries)
known = pj.tables.read_labels(labels, queries[0])
judged = pj.studies.typicality({"reference": references}, {"these": queries})
against = judged.queries["these"].against["reference"]
scores = {"typicality": {model: against[model].atom_score for model in judged.models}}

# %% [markdown]
# ## Beside the errors
#
# `disagreement` is the share of an atom's neighbours in the shared space that another model does not see. `force size`
# and `force spread` know nothing of geometry.

# %%
found = pj.studies.calibration(queries, known, scores=scores)
found.save(RESULTS / "calibration.json")
print(f"{found.num_atoms} atoms of {found.num_structures} structures\n{found.verdict}\n")
for model, of_model in found.scores.items():
    print(f"{model}: mean force error {found.errors[model]['force']['mean']:.3f} eV/Å")
    for score, entry in of_model.items():
        for place, figures in entry.items():
            told = figures["rank_correlation"]
            print(f"  {score:13s} {place:10s} {told['value']:6.2f} [{told['low']:.2f}, {told['high']:.2f}]")

# %%
figure, axes = plt.subplots(1, len(found.models), figsize=(5 * len(found.models), 3.6), layout="constrained")
for axis, (model, of_model) in zip(np.atleast_1d(axes), found.scores.items(), strict=True):
    for score, entry in of_model.items():
        curve = entry["atoms"]["curve"]
        style = "--" if score in found.baselines else "-"
        axis.plot(100 * curve["coverage"], curve["error"], style, label=score)
    axis.axhline(found.errors[model]["force"]["mean"], color="0.7", lw=0.8)
    axis.set(xlabel=f"% of atoms kept, the lowest scores first ({model})", ylabel="mean force error, eV/Å")
    axis.legend(frameon=False, fontsize=8)
figure.savefig(RESULTS / "coverage.png", dpi=120)

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
# ## What it showed on heated and compressed crystals
#
# 11,185 atoms of 1,068 frames of the MatterSim set `mpf-TP`, with DFT forces; the reference is MP-20's training set.
# Rank correlation of each score with the force error within each element (Spearman, 95 % interval over structures);
# in brackets what is left of it once the size of the force is known. The numbers are in `results/06`.
#
# | score | 7net-0 | chgnet-0.3.0 |
# |---|---|---|
# | typicality | 0.49 (0.47 to 0.52) [0.39] | 0.36 (0.33 to 0.39) [0.27] |
# | disagreement of neighbourhoods | 0.18 (0.15 to 0.22) [0.09] | 0.16 (0.13 to 0.19) [0.08] |
# | size of the force | 0.55 (0.52 to 0.58) | 0.43 (0.40 to 0.45) |
# | spread of forces between the two | 0.73 (0.70 to 0.75) [0.60] | 0.64 (0.61 to 0.66) [0.55] |
#
# - *Typicality tells where a model errs*, with one model and no forces, and more than the size of the force alone does.
#   For the energy of a structure it is the best of the four: 0.25 (0.19 to 0.31) and 0.23 (0.17 to 0.29).
# - *The disagreement of neighbourhoods tells little*, though more than nothing.
# - *A second model tells more*: whoever can run two should look at the spread of their forces first.
#
# **To try next**: frames of your own; scores of your own, in `scores`.
