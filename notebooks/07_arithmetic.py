# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Does chemistry add up?
#
# **You will learn** to add and subtract crystals as vectors, and to tell what such a sum knows from what composition
# knows already; whether a vector keeps the phase of a crystal, or a cloud of atoms does; and what the vector of a
# reaction tells of its energy.
#
# By default the crystals are prototypes, and their copies with displaced atoms. For the real thing set
# `PLATONIC_STORES` to a folder of stores of a large set, such as MP-20; `PLATONIC_PHASES` and `PLATONIC_COPIES` to
# folders of stores of polymorphs and of their disturbed copies; `PLATONIC_SPECIES` to one of stores of what reacts,
# made with `--properties energy`, and `PLATONIC_REACTIONS` to a CSV file of equations and energies.

# %%
import csv
import os
from pathlib import Path

import ase.io
import numpy as np
import stores

import platonic_jax as pj
from platonic_jax import analyses, plots

RESULTS = Path(os.environ.get("PLATONIC_RESULTS", "results/07"))
RESULTS.mkdir(parents=True, exist_ok=True)
MODELS = "7net-0 chgnet-0.3.0 random:7net-0?seed=0"
ANCHORS = int(os.environ.get("PLATONIC_ANCHORS", "100"))

tables = stores.tables(MODELS)
trained = [table for table in tables if table.kind == "model"]


def folder_of(variable):
    """The tables of a folder, if one is named."""
    named = os.environ.get(variable)
    return [pj.load(path) for path in sorted(Path(named).glob("*.zarr"))] if named else []


# %% [markdown]
# ## A sum
#
# The sum of three crystals is a place, and something always lies near it: the question is whether it lies nearer than
# to a sum of random crystals.

# %%
formulas = pj.labels.reduced_formulas(tables[0].structures).tolist()
asked = next(
    expression
    for expression in (
        "SrTiO3 - TiO2 + ZrO2",
        "NaCl - Na + Cs",
        "ZnS - ZnO + MgO",
        " - ".join(formulas[:2]) + f" + {formulas[2]}",
    )
    if all(term in formulas for term in expression.split()[::2])
)
found = analyses.expression(asked, trained, k=ANCHORS)
print(found.expression)
print(found.verdict)
for answer in found.answers[:5]:
    print(f"  {answer['formula']:12s} {answer['id']:24s} {answer['similarity']:.3f}")

# %% [markdown]
# ## All sums of one kind
#
# A₁C − A₁B + A₂B should be A₂C, where all four are of one prototype. Mean one-hot vectors of the elements solve that
# exactly, so composition is the mark to beat, not chance; what it cannot do is to tell the phases of one formula.

# %%
try:
    sums = analyses.analogies(tables, k=ANCHORS)
except ValueError as error:
    print(error)
else:
    sums.save(RESULTS / "analogies.json")
    print(f"{sums.num['quadruples']} quadruples of {sums.num['prototypes']} prototypes")
    for name, figures in sums.figures.items():
        print(f"{name:30s} first {figures['hit_1']:.3f}, phase {figures['phase']:.3f}")
    print("chance", sums.chance)

# %% [markdown]
# ## Phases
#
# Two phases of a formula, and a crystal with its disturbed copy: which pair lies farther apart? Vectors are means of
# atoms, means and covariances, or no vectors at all: clouds of atoms, by optimal transport.

# %%
phases, copies = folder_of("PLATONIC_PHASES"), folder_of("PLATONIC_COPIES")
if not phases:
    phases = trained
    rng, made = np.random.default_rng(0), []
    for i in range(len(phases[0].structures)):
        atoms = phases[0].structures.atoms(i)
        atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
        atoms.info["material_id"] = f"{phases[0].structures.ids[i]}~1"
        made.append(atoms)
    Path("stores").mkdir(exist_ok=True)
    ase.io.write("stores/copies.extxyz", made)
    for table in phases:
        kept = f"stores/copies/{stores.file_name(table.model)}.zarr"
        copies.append(stores.embed(table.model, "stores/copies.extxyz", kept, "--duplicates", "keep"))
kept = analyses.polymorphs(phases, copies=copies, k=ANCHORS)
kept.save(RESULTS / "polymorphs.json")
print(kept.num)
for model, of in kept.within.items():
    for how, figures in of.items():
        print(f"{model:14s} {how:10s}", ", ".join(f"{name} {entry:.3f}" for name, entry in figures.items()))
for models, of in kept.across.items():
    print(f"{models:28s}", ", ".join(f"{how} {entry:.3f}" for how, entry in of.items()))
print("chance", kept.chance)

# %% [markdown]
# ## Reactions
#
# Products less reactants. Whatever is common to the rows of an element cancels where the equation is balanced, so what
# is left is how environments change.

# %%
species, listed = folder_of("PLATONIC_SPECIES"), os.environ.get("PLATONIC_REACTIONS")
if listed:
    with open(listed, newline="") as file:
        lines = list(csv.DictReader(file))
    equations, energies = [line["equation"] for line in lines], [float(line["energy"]) for line in lines]
else:
    # A transition between two phases is a reaction too; no energies are known.
    species, energies = trained, None
    ids = np.array(tables[0].structures.ids)
    of_formula = {formula: ids[np.array(formulas) == formula] for formula in formulas}
    equations = [f"{several[0]} -> {other}" for several in of_formula.values() for other in several[1:]]
reacted = analyses.reactions(equations[:200], species, energies=energies)
reacted.save(RESULTS / "reactions.json")
for name, entry in reacted.errors.items():
    print(f"{name:32s} mean absolute error {entry:.3f} eV/atom")
print("rank correlation of length and energy", reacted.projections)

# %%
plots.save(plots.page(kept, reacted), RESULTS / "arithmetic.png")

# %% [markdown]
# ## What it showed
#
# **Sums.** MP-20's 26,907 crystals hold 5,970 quadruples of 298 prototypes (at most 200 of each); whitened cosines to
# 100 DIRECT anchors, and in brackets each model's own rows. The right answer among 26,904, and, of 783 answers that
# have polymorphs, the right one of these; 95 % intervals over chemical systems.
#
# | vectors | right answer | right phase |
# |---|---|---|
# | 7net-0 | 0.51 (0.50 to 0.53) [0.62] | 0.72 (0.68 to 0.75) [0.69] |
# | chgnet-0.3.0 | 0.81 (0.80 to 0.82) [0.79] | 0.69 (0.65 to 0.72) [0.66] |
# | MACE with random weights | 0.53 (0.51 to 0.55) [0.94] | 0.57 (0.53 to 0.61) [0.58] |
# | composition; either model's elements alone | 0.93 (0.92 to 0.93) | 0.44 (0.43 to 0.45) |
#
# - *Sums of crystals are compositions first.* One-hot vectors of the elements solve nine of ten, and fail by phases
#   alone; trained models find fewer answers than that, an untrained network in its own rows more. What training adds
#   is the phase.
#
# **Phases.** 86 pairs of phases of 41 formulas, and two copies of each of 97 crystals with atoms displaced by 0.1 Å;
# whitened cosines to 100 anchors. AUROC of phases against copies.
#
# | model | told by mean | by mean and covariance | by cloud |
# |---|---|---|---|
# | 7net-0 | 0.63 (0.54 to 0.71) | 0.63 (0.54 to 0.72) | 0.61 (0.50 to 0.71) |
# | 7net-l3i5 | 0.69 (0.59 to 0.78) | 0.70 (0.60 to 0.79) | 0.65 (0.55 to 0.75) |
# | chgnet-0.3.0 | 0.56 (0.46 to 0.64) | 0.54 (0.44 to 0.62) | 0.54 (0.43 to 0.62) |
# | nequix-mp-1 | 0.68 (0.59 to 0.75) | 0.69 (0.60 to 0.76) | 0.64 (0.55 to 0.72) |
# | MACE with random weights | 0.86 (0.77 to 0.92) | 0.85 (0.76 to 0.92) | 0.84 (0.75 to 0.91) |
#
# - *Pooling is not what loses the phase*: clouds that are not pooled tell no more. A displacement of 0.1 Å moves a
#   crystal about as far as a change of phase, in trained models more than in an untrained one.
# - *The phase is found again* between 7net-0, 7net-l3i5 and nequix-mp-1 in 0.66 to 0.82 of cases, where chance has
#   0.38; between these and chgnet-0.3.0 in 0.48 to 0.59. Between 7net-0 and the untrained MACE it is found in 0.60 to
#   0.70: most of it is geometry that every network sees. Among 242 crystals of 25 elements 7net-0 and chgnet-0.3.0
#   find 0.17 to 0.23, where chance has 0.10: little, if anything.
# - *Phases that lie apart differ in energy*: among 2,458 pairs of phases of those elements, with DFT energies, the
#   rank correlation of distance and difference of energy is 0.61 (0.44 to 0.78) for means of 7net-0, 0.65 (0.48 to
#   0.75) for its clouds, 0.69 (0.53 to 0.82) and 0.71 (0.56 to 0.81) for those of chgnet-0.3.0.
# - Identity: the nearest other crystal has the same formula in 0.66 to 1.00 of cases, 0.02 by chance.
#
# **Reactions.** 56 balanced ones with energies of formation; plain cosines to 30 anchors, a ridge read-out of those
# that share no compound with the one that is judged. Mean absolute error in eV per atom, and the rank correlation of
# a vector's length with the energy; in brackets in each model's own rows.
#
# | vectors | error | length |
# |---|---|---|
# | 7net-0 | 0.35 (0.28 to 0.42) [0.14] | 0.85 [0.96] |
# | 7net-l3i5 | 0.50 (0.42 to 0.60) [0.08] | 0.81 [0.95] |
# | chgnet-0.3.0 | 0.14 (0.11 to 0.18) [0.18] | 0.93 [0.97] |
# | nequix-mp-1 | 0.24 (0.19 to 0.30) [0.13] | 0.95 [0.97] |
# | MACE with random weights | 1.12 (0.92 to 1.36) [0.82] | 0.35 [0.43] |
# | reactants by chgnet-0.3.0, products by 7net-0 | 0.30 (0.24 to 0.35) | |
# | reactants by chgnet-0.3.0, products by the untrained MACE | 0.46 (0.35 to 0.57) | |
# | reactants by the untrained MACE, products by chgnet-0.3.0 | 0.78 (0.64 to 0.90) | |
# | a constant | 1.14 (0.97 to 1.31) | |
# | 7net-0's own energies; chgnet-0.3.0's | 0.23 (0.16 to 0.31); 0.04 (0.03 to 0.05) | |
#
# - *The vector of a reaction knows its energy*, and nearly as well where products are seen by another trained model.
#   The reactants alone, with products by an untrained network, know more than half of it: mixing models shows less
#   agreement than it seems to.
# - *Length is energy*: in each trained model's own rows it orders reactions by the size of their energy, 0.95 to
#   0.97.
# - Of the models, CHGNet alone was trained on energies with the corrections that these have, so the others' own
#   energies err by more than a read-out.
#
# The figures are in `results/07`.
#
# **To try next**: sums of your own; `@MODEL` behind a term; pooling by `learn.Attention`; reactions of your own
# chemistry.
