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
from pathlib import Path

import numpy as np
import stores
from ase.data import chemical_symbols

import platonic_jax as pj
from platonic_jax import plots
from platonic_jax.analyses import arrangement

K = int(os.environ.get("PLATONIC_ANCHORS", "100"))
RESULTS = Path(os.environ.get("PLATONIC_RESULTS", "results/01"))

tables = stores.tables("7net-0 7net-l3i5 chgnet-0.3.0 chgnet-r2scan random:7net-0?seed=0")
tables[0]

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
comparison = pj.compare(tables, anchors="direct", k=K, measures=measures, by=labels)
RESULTS.mkdir(parents=True, exist_ok=True)
comparison.save(RESULTS / "compare.json")

names = arrangement.labels(comparison)
for measure in measures:
    found = comparison.measures[measure]
    print(f"\n{measure}: value [95 % CI], effect beyond the element [95 % CI], p")
    for i, j, _ in arrangement.ranked_pairs(comparison, measure):
        interval = f"[{found.low[i, j]:.3f}, {found.high[i, j]:.3f}]"
        effect, p = found.effect_within_element[i, j], found.p_within_element[i, j]
        effect_interval = f"[{found.effect_low_within_element[i, j]:.3f}, {found.effect_high_within_element[i, j]:.3f}]"
        print(f"  {names[i]:42s} {names[j]:42s} {found.value[i, j]:.3f} {interval}")
        print(f"{'':88s}{effect:.3f} {effect_interval} p = {p:.2f}")

# %%
comparison

# %% [markdown]
# ## Maps and matrices
#
# Raw spaces cannot be laid beside each other; in the shared one every axis means the same.

# %%
plots.save(plots.raw_spaces_page(comparison), RESULTS / "maps.png")

# %%
plots.save(plots.shared_space_page(comparison), RESULTS / "matrices.png")

# %% [markdown]
# Which models stand nearest each other, and how far each pair is from what chance gives.

# %%
plots.save(plots.page(*plots.charts(comparison)[:2]), RESULTS / "pairs.png")

# %% [markdown]
# ## How many anchors, chosen how?

# %%
trained = [table for table in tables if table.kind == "model"]
ks = [k for k in (10, 30, 100, 300) if k < len(tables[0].x) // 2]
sweep = pj.sweep(trained[:4], ks=ks, num_seeds=3)
sweep.save(RESULTS / "sweep.json")
for measure, curves in sweep.curves.items():
    for method, curve in curves.items():
        values = "  ".join(f"{value:.3f}" for value in curve.value[:, -1])
        print(f"{measure:12s} {method:8s} {values}   stable from K = {curve.stable_from[-1]}")
plots.save(plots.page(sweep), RESULTS / "sweep.png")

# %% [markdown]
# ## Within an element
#
# Much of what models share is which atom is which element. Inside one element that is gone.

# %%
within = comparison.resolved["labels"]
for measure in measures:
    value, null = arrangement.means_within(comparison, "labels", measure)
    cells = [f"{label} {v:.2f} ({n:.2f})" for label, v, n in zip(within.labels, value, null, strict=True)]
    print(f"{measure} of trained models (null): " + ", ".join(cells))

# %% [markdown]
# ## Training data or architecture?
#
# Pairs of one family, pairs of one training set, and pairs that share neither.

# %%
kinds = {"same family": [], "same data, other family": [], "neither": []}
for i, j, kind in arrangement.pairs(comparison):
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
    value, found = comparison.measures[measure].value, arrangement.pairs(comparison)
    of = {kind: [value[i, j] for i, j, which in found if which == kind] for kind in ("model", "random", "element")}
    told = [f"{kind}: {min(values):.3f} to {max(values):.3f}" for kind, values in of.items() if values]
    print(f"{measure}: " + "; ".join(told))

# %% [markdown]
# ## What it showed on MP-20
#
# The first 5,000 structures of MP-20's training set (45,735 atoms), seven trained models of three families, three
# networks with random weights, 100 anchors by DIRECT in the space of 7net-0. Figures and numbers: `results/01`, made by
# this notebook; there also 7net-0 and both CHGNets on all 277,850 atoms.
#
# | mean over pairs | two trained models | trained and untrained | trained and element alone | null within element |
# |---|---|---|---|---|
# | Procrustes | 0.69 (0.50 to 0.97) | 0.34 | 0.37 | 0.50 |
# | CKA | 0.52 (0.22 to 0.97) | 0.16 | 0.18 | 0.29 |
# | mutual neighbours | 0.52 (0.47 to 0.64) | 0.42 | 0.01 | 0.01 |
# | Procrustes within oxygen | 0.73 (0.56 to 0.98) | 0.17 | | 0.02 |
# | mutual neighbours within oxygen | 0.58 (0.52 to 0.68) | 0.51 | | 0.00 |
#
# These runs are older than the tests between crystals: their nulls shuffled single atoms, their intervals took the
# anchors for given, and the first 5,000 structures, sorted by id, are no random sample.
#
# - *Global geometry agrees*: Procrustes is 0.89 between the five pairs of one family and 0.63 between the sixteen
#   across families, where rows shuffled within each element have 0.49; within one element as well, where untrained
#   networks have next to nothing.
# - *Local neighbourhoods do not*: half of the ten nearest neighbours are shared, far from all and far from none. But an
#   untrained network shares 0.42 of them with a trained one, within oxygen 0.51 against 0.58. Those figures mean little
#   without that control, for neighbours are often atoms of the same or a related crystal, which any network finds.
# - *Training data and architecture separate*: Procrustes is 0.89 in one family, 0.68 for the same training data in
#   another family, 0.60 for neither (5, 5 and 11 pairs, too few for an interval); neighbours hardly differ (0.55, 0.51,
#   0.51). Neither rules alone: nequix-mp-1 is nearer to the SevenNets (0.80 to 0.82: the same data, and a related
#   architecture) than to nequix-omat-1 (0.71), and the two CHGNets stay together (0.94) over different functionals.
# - *A hundred anchors by DIRECT*: enough. Procrustes is stable from K = 10 by DIRECT and from 30 at random, neighbours
#   from 100 by both; DIRECT is worth 0.04 at K = 10 and 0.01 from there on.
# - *The space of anchors loses neighbours that the models share*: 0.49 at K = 300, where principal components without
#   any anchor have 0.59. `02_learning_anchors` gives them back.
#
# **To try next**: `similarity="whitened"` in `compare`; `by="family"`; `nulls=("all", "element", "coordination")`;
# another choice of anchors.
