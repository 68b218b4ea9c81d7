# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # What shapes the geometry: data, functional, architecture, supervision
#
# **You will learn** which properties of two models go with more similarity of their representations, whether models
# that were trained without energies, without forces, without labels, or to generate crystals share the geometry of
# potentials, and whether periodic order appears without energies.
#
# By default this runs on crystal prototypes with a few models, in minutes. For the real thing, embed one set of
# structures with every model that `platonic models` lists and you can run, and set `PLATONIC_STORES` to the folder of
# the stores.

# %%
import os
from pathlib import Path

import numpy as np
import stores
from ase.data import chemical_symbols
from pymatgen.core import Element
from scipy import stats
from sklearn.neighbors import NearestNeighbors

import platonic_jax as pj
from platonic_jax import plots
from platonic_jax.analyses import arrangement

K = int(os.environ.get("PLATONIC_ANCHORS", "100"))
RESULTS = Path(os.environ.get("PLATONIC_RESULTS", "results/10"))

tables = stores.tables(
    "7net-0 7net-0_22may2024 chgnet-0.3.0 chgnet-0.2.0 chgnet-r2scan random:7net-0?seed=0 random:chgnet-0.3.0?seed=0"
)
for table in tables:
    store = table.provenance
    facts = [store[name] for name in ("training_data", "functional", "supervision", "architecture") if store[name]]
    print(f"{table.model:28s} {'; '.join(facts)}")

# %% [markdown]
# ## One comparison
#
# Procrustes and CKA see the global geometry, the two neighbour measures the local one: among all atoms, and among those
# of other structures. Optimal transport compares the clouds of atoms whichever atom is which.

# %%
comparison = pj.compare(tables, k=K)
RESULTS.mkdir(parents=True, exist_ok=True)
comparison.save(RESULTS / "compare.json")
print(comparison.verdict)

# %%
matrices = {
    chart["caption"].partition(":")[0]: chart for chart in plots.charts(comparison) if chart["kind"] == "matrix"
}
shown = [matrices["Procrustes similarity"], matrices["Shared nearest neighbours in other structures"]]
plots.save(plots.page(*shown), RESULTS / "compare.png")

# %% [markdown]
# ## Which shared factor goes with more similarity?
#
# A regression over pairs of trained models of the effects beyond the null, tested by permuting models. Factors that the
# models cannot separate are named.

# %%
trained = [table for table in tables if table.kind == "model"]
if len(trained) >= 5:
    decomposition = pj.analyses.decomposition(comparison)
    decomposition.save(RESULTS / "decomposition.json")
    print(decomposition.verdict)
    shares = [chart for chart in plots.charts(decomposition) if chart["caption"].startswith("Share")]
    plots.save(plots.page(*shares), RESULTS / "decomposition.png")
else:
    print(f"A decomposition needs five trained models, got {len(trained)}.")

# %% [markdown]
# ## Trained on something other than energies and forces
#
# For each kind of supervision: the effect beyond the element of its pairs with models of energies, forces and stresses,
# and of untrained networks with these. Pairs share structures and anchors, so a mean over pairs is as uncertain as a
# pair: the intervals are those of the least and the most similar pair.

# %%
supervision = {
    table.model: "untrained" if table.kind == "random" else table.provenance["supervision"]
    for table in tables
    if table.kind != "element"
}
place = {name: i for i, name in enumerate(comparison.models)}
potentials = [name for name, kind in supervision.items() if kind.startswith("energy, forces")]
for measure, matrix in comparison.measures.items():
    sign = 1 if matrix.settings["larger_is_more_similar"] else -1
    print(f"\n{measure}: effect beyond the element, mean over pairs, and the least and the most similar pair")
    for kind in dict.fromkeys(supervision.values()):
        pairs = [(place[a], place[b]) for a in supervision if supervision[a] == kind for b in potentials if a != b]
        effects = sorted((sign * matrix.effect_within_element[pair], pair) for pair in pairs)
        if effects:
            ends = []
            for effect, pair in (effects[0], effects[-1]):
                half = (matrix.effect_high_within_element[pair] - matrix.effect_low_within_element[pair]) / 2
                ends.append(f"{effect:.3f} ± {half:.3f}")
            print(f"  {kind:42s} {np.mean([e for e, _ in effects]):7.3f}   {' to '.join(ends)}   {len(pairs)} pairs")

# %% [markdown]
# ## The most similar pairs
#
# Two trainings of one network on the same data are the ceiling: what no other pair can be expected to exceed.

# %%
labels = arrangement.labels(comparison)
for measure, matrix in comparison.measures.items():
    print(f"\n{measure}")
    ranked = [pair for pair in arrangement.ranked_pairs(comparison, measure) if pair[2] == "model"]
    for i, j, _ in ranked[:8]:
        interval = f"[{matrix.low[i, j]:.3f}, {matrix.high[i, j]:.3f}]"
        print(f"  {labels[i]:28s} {labels[j]:28s} {matrix.value[i, j]:.3f} {interval}")

# %% [markdown]
# ## Periodic order
#
# The mean of an element's atoms in the shared space: how often is its nearest other element of the same group, or of
# the same period? p is from permuting the labels of elements.

# %%
index = np.asarray(comparison.anchors["row"])
elements, counts = np.unique(tables[0].species, return_counts=True)
kept = elements[counts >= 5]
group = np.array([Element(chemical_symbols[z]).group for z in kept])
period = np.array([Element(chemical_symbols[z]).row for z in kept])


def shuffled(label):
    """(999, e) permutations of the labels of elements, the same at every call."""
    return np.random.default_rng(0).permuted(np.tile(label, (999, 1)), axis=1)


order = {}
for table in tables:
    shared = np.asarray(pj.projection.relative(table.x, table.x[index]))
    means = np.stack([shared[table.species == z].mean(axis=0) for z in kept])
    order[table.model] = {}
    nearest = NearestNeighbors(n_neighbors=1).fit(means).kneighbors(return_distance=False)[:, 0]
    for name, label in (("group", group), ("period", period)):
        right = label[nearest] == label
        interval = stats.binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
        null = np.mean(shuffled(label)[:, nearest] == shuffled(label), axis=1)
        p = (1 + np.sum(null >= right.mean())) / (1 + len(null))
        entry = {"value": right.mean(), "low": interval.low, "high": interval.high, "null": null.mean(), "p": p}
        order[table.model][name] = {key: float(number) for key, number in entry.items()}
    texts = [
        f"{name} {one['value']:.2f} [{one['low']:.2f}, {one['high']:.2f}] (null {one['null']:.2f}, p = {one['p']:.2g})"
        for name, one in order[table.model].items()
    ]
    print(f"{table.model:28s} {'   '.join(texts)}")
pj.analyses.write_json(order, RESULTS / "periodic_order.json")

# %% [markdown]
# ## What it showed on the standard set of the atlas
#
# 250 crystals of MP-20, stratified by element and no random sample (2,352 atoms; `platonic embed MODEL atlas`), 19
# trained models of nine families, an untrained SevenNet, 100 random anchors. Figures and numbers: `results/10`.
#
# - *Data, network, supervision*: models that share their training data are closer in global geometry, by 0.10 in
#   Procrustes similarity (95 % CI 0.04 to 0.15) beyond the null and by 0.025 (0.011 to 0.038) beyond the element. No
#   other single factor has a significant effect on Procrustes or CKA; all together explain a third of the variance
#   over pairs at most. For neighbours of other structures no factor has one. There are 19 models: an effect of the
#   size of the error of a pair would be found in nine of ten cases, one of half that size in fewer than half.
# - *Optimal transport* does not separate architecture from data: sharing the supervision makes clouds more similar,
#   and beyond the element sharing the data too, while network and features have no significant effect.
# - *Global geometry does not agree across all families*. Procrustes similarity of TensorNet (MatPES) is 0.21 or 0.22
#   with two SevenNets and HIENet, no more than with the element-only baseline, and 0.53 to 0.56 with M3GNet of the
#   same data.
# - *Physical supervision*: models of energies, forces and stresses share 0.047 in Procrustes and 0.11 of the
#   neighbours of other structures beyond the element, on average over pairs. CGCNNs trained on energies alone or on a
#   band gap share less with them (0.020 to 0.025; 0.03 to 0.07), a self-supervised one 0.017 and 0.054, the
#   generative model 0.010 and 0.028, an untrained network 0.000 and 0.028.
# - *Two functionals, one network, the same structures* (MatPES): 0.91 for TensorNet and 0.83 for M3GNet, above any
#   pair of different networks but 7net-0 with HIENet (0.87) and M3GNet with DIEP (0.84). No two trainings of one
#   universal model are at hand, so there is no noise ceiling: TensorNetDGL differs in its messages.
# - *Periodic order appears without energies*: the nearest element is of the same group for 0.45 of the elements in
#   the self-supervised model and for 0.57 in the generative one; potentials have 0.32 to 0.68, permuted labels 0.09,
#   an untrained network 0.07.
#
# These are results of one set of 250 crystals.
#
# **To try next**: `platonic decompose results/10/compare.json --factors network,body_order`; a table of factors of your
# own; `platonic atlas` to see where your model stands.
