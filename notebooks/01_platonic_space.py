# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # The shared space of several potentials
#
# **You will learn** how to bring the embeddings of several potentials into one space, to read what they agree on and
# what they do not, and to tell how much of each number the chemical element alone, and an untrained network, would
# have given.
#
# By default this runs on crystal prototypes, in a few minutes, and embeds them first where no stores are found. For
# the real thing, embed a large set once (`platonic embed 7net-0 mp20_train.extxyz -o stores/7net-0.zarr`, and so on)
# and set `PLATONIC_STORES=stores`; `PLATONIC_LIMIT=5000` takes the first structures of each alone.

# %%
import os
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from ase.data import chemical_symbols

import platonic_jax as pj

STORES = Path(os.environ.get("PLATONIC_STORES", "stores/prototypes"))
STRUCTURES = os.environ.get("PLATONIC_STRUCTURES", "prototypes?max_atoms=20")
MODELS = os.environ.get("PLATONIC_MODELS", "7net-0 7net-l3i5 chgnet-0.3.0 chgnet-r2scan random:7net-0?seed=0").split()
K = int(os.environ.get("PLATONIC_ANCHORS", "100"))
LIMIT = int(os.environ.get("PLATONIC_LIMIT", "0")) or None
RESULTS = Path(os.environ.get("PLATONIC_RESULTS", "results/01"))

if not list(STORES.glob("*.zarr")):
    for model in MODELS:
        name = "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in model)
        subprocess.run(["platonic", "embed", model, STRUCTURES, "-o", str(STORES / f"{name}.zarr")], check=True)
tables = pj.tables.pair(*(pj.load(path, limit=LIMIT) for path in sorted(STORES.glob("*.zarr"))))
print(f"{len(tables)} models, {len(tables[0].x):,} atoms of {tables[0].num_structures:,} structures")

# %% [markdown]
# ## One comparison
#
# The same atoms are anchors for every model, each seen in its own space. Every value comes with what chance gives,
# within each element too, and with its interval over structures; and again within each of the frequent elements alone.

# %%
measures = ("procrustes", "cka", "mutual_knn")
elements, atoms = np.unique(tables[0].species, return_counts=True)
frequent = elements[np.argsort(-atoms)[:12]]
symbols = np.array(chemical_symbols)[tables[0].species]
labels = np.where(np.isin(tables[0].species, frequent), symbols, "others")
comparison = pj.compare.compare(tables, anchors="direct", k=K, measures=measures, by=labels)
RESULTS.mkdir(parents=True, exist_ok=True)
comparison.save(RESULTS / "compare.json")

names = pj.plots.labels(comparison)
for measure in measures:
    found = comparison.measures[measure]
    print(f"\n{measure}: value [95 % interval], within element, p")
    for i, j, _ in pj.plots.ranked_pairs(comparison, measure):
        interval = f"[{found.low[i, j]:.3f}, {found.high[i, j]:.3f}]"
        null, p = found.null_within_element[i, j], found.p_value_within_element[i, j]
        print(f"  {names[i]:42s} {names[j]:42s} {found.value[i, j]:.3f} {interval} {null:.3f} p = {p:.2f}")

# %% [markdown]
# ## Maps and matrices
#
# Raw spaces cannot be laid beside each other; in the shared one every axis means the same.

# %%
shown = pj.plots.mapped(comparison)
figure, axes = plt.subplots(2, len(shown), figsize=(3 * len(shown), 6), squeeze=False)
for column, model in enumerate(shown):
    for row, space in enumerate(("raw", "shared")):
        pj.plots.map(comparison, model, space=space, ax=axes[row, column])
    axes[0, column].set_title(names[model], fontsize=8)
figure.savefig(RESULTS / "maps.png", dpi=120, bbox_inches="tight")

figure, axes = plt.subplots(2, len(measures), figsize=(5 * len(measures), 9))
for column, measure in enumerate(measures):
    pj.plots.matrix(comparison, measure, ax=axes[0, column])
    pj.plots.dendrogram(comparison, measure, ax=axes[1, column])
figure.savefig(RESULTS / "matrices.png", dpi=120, bbox_inches="tight")

# %% [markdown]
# ## How many anchors, chosen how?

# %%
trained = [table for table in tables if table.kind == "model"]
ks = [k for k in (10, 30, 100, 300) if k < len(tables[0].x) // 2]
sweep = pj.sweep.sweep(trained[:4], ks=ks, num_seeds=3)
sweep.save(RESULTS / "sweep.json")
pj.plots.sweep(sweep).savefig(RESULTS / "sweep.png", dpi=120, bbox_inches="tight")
for measure, curves in sweep.curves.items():
    for method, curve in curves.items():
        values = "  ".join(f"{value:.3f}" for value in curve.value[:, -1])
        print(f"{measure:12s} {method:8s} {values}   stable from K = {curve.stable_from[-1]}")

# %% [markdown]
# ## Within an element
#
# Much of what models share is which atom is which element. Inside one element that is gone.

# %%
within = comparison.resolved["labels"]
for measure in measures:
    value, null = pj.plots.means_within(comparison, "labels", measure)
    cells = [f"{label} {v:.2f} ({n:.2f})" for label, v, n in zip(within.labels, value, null, strict=True)]
    print(f"{measure} of trained models (null): " + ", ".join(cells))

# %% [markdown]
# ## Training data or architecture?
#
# Pairs of one family, pairs of one training set, and pairs that share neither.

# %%
kinds = {"same family": [], "same data, other family": [], "neither": []}
for i, j, kind in pj.plots.pairs(comparison):
    if kind == "model":
        a, b = (comparison.provenance["stores"][comparison.models[m]] for m in (i, j))
        same_data = a["training_data"] == b["training_data"]
        which = "same family" if a["family"] == b["family"] else "same data, other family" if same_data else "neither"
        kinds[which].append((i, j))
for measure in measures:
    value = comparison.measures[measure].value
    means = {
        which: f"{np.mean([value[pair] for pair in found]):.3f} ({len(found)} pairs)"
        for which, found in kinds.items()
        if found
    }
    print(f"{measure}: {means}")

# %% [markdown]
# ## What an untrained network and the element alone explain
#
# The best that a control reaches with any trained model, beside the least and the most that two trained ones share.

# %%
for measure in measures:
    value, found = comparison.measures[measure].value, pj.plots.pairs(comparison)
    of = {kind: [value[i, j] for i, j, which in found if which == kind] for kind in ("model", "random", "element")}
    told = [f"{kind}: {min(values):.3f} to {max(values):.3f}" for kind, values in of.items() if values]
    print(f"{measure}: " + "; ".join(told))

# %% [markdown]
# **To try next**: `similarity="whitened"` in `compare`; `by="family"`; `nulls=("all", "element", "coordination")`;
# another choice of anchors.
