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
import subprocess
from pathlib import Path

import ase.io
import matplotlib.pyplot as plt
import numpy as np
import stores

import platonic_jax as pj
from platonic_jax import studies

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


def told(entry):
    return f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"


# %% [markdown]
# ## A sum
#
# The sum of three crystals is a place, and something always lies near it: the question is whether it lies nearer than
# to a sum of random crystals.

# %%
formulas = pj.groups.reduced_formulas(tables[0].structures).tolist()
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
found = studies.arithmetic(asked, trained, k=ANCHORS)
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
    sums = studies.analogies(tables, k=ANCHORS)
except ValueError as error:
    print(error)
else:
    sums.save(RESULTS / "analogies.json")
    print(f"{sums.num['quadruples']} quadruples of {sums.num['prototypes']} prototypes")
    for name, figures in sums.found.items():
        print(f"{name:30s} first {told(figures['hit_1'])}, phase {told(figures['phase'])}")
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
        kept = Path("stores/copies") / f"{table.model}.zarr"
        subprocess.run(
            ["platonic", "embed", table.model, "stores/copies.extxyz", "--duplicates", "keep", "-o", str(kept)],
            check=True,
        )
        copies.append(pj.load(kept))
kept = studies.polymorphs(phases, copies=copies, k=ANCHORS)
kept.save(RESULTS / "polymorphs.json")
print(kept.num)
for model, of in kept.within.items():
    for how, figures in of.items():
        print(f"{model:14s} {how:10s}", ", ".join(f"{name} {told(entry)}" for name, entry in figures.items()))
for models, of in kept.across.items():
    print(f"{models:28s}", ", ".join(f"{how} {told(entry)}" for how, entry in of.items()))
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
reacted = studies.reactions(equations[:200], species, energies=energies)
reacted.save(RESULTS / "reactions.json")
for name, entry in reacted.errors.items():
    print(f"{name:32s} mean absolute error {told(entry)} eV/atom")
print("rank correlation of length and energy", reacted.projections)

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for model, of in kept.within.items():
    entries = [of[how]["separation"] for how in of]
    value, low, high = (np.array([entry[field] for entry in entries]) for field in ("value", "low", "high"))
    axes[0].errorbar(list(of), value, yerr=[value - low, high - value], fmt="o", ms=4, capsize=2, label=model)
axes[0].axhline(0.5, color="0.7", lw=0.8)
axes[0].set_ylabel("phases told from copies, AUROC")
axes[0].legend(frameon=False, fontsize=8)
size = np.abs(reacted.energies) if energies is not None else np.arange(len(reacted.equations))
for model, norm in reacted.norms.items():
    axes[1].plot(size, norm, "o", ms=3, label=model)
axes[1].set(xlabel="|ΔE| as written, eV" if energies is not None else "reaction", ylabel="length per atom")
axes[1].legend(frameon=False, fontsize=8)
figure.savefig(RESULTS / "arithmetic.png", dpi=160)
