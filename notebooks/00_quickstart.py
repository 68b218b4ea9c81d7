# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Do two potentials know the same chemistry in the same way?
#
# **You will learn**, in fifteen lines, to embed crystals with two trained models and one with random weights, to
# compare them in the space of shared anchor atoms, and to read the answer. The models come with their libraries; each
# family gets an environment of its own, made on first use.

# %%
from pathlib import Path

import stores

import platonic_jax as pj

results = Path("results/00")

# %% [markdown]
# Crystal prototypes, and one table a model: the same atoms in the same order. For structures of your
# own set `PLATONIC_STRUCTURES` to a file that ASE reads.

# %%
tables = stores.tables("7net-0 chgnet-0.3.0 random:7net-0?seed=0")
tables[0]

# %% [markdown]
# Each value stands beside what it would be by chance, within each element too, and beside the element
# alone.

# %%
comparison = pj.compare(tables, anchors="direct", k=50, measures=("procrustes", "mutual_knn"))
comparison

# %%
print(comparison.verdict)

# %% [markdown]
# The report is one file that needs no network; the numbers and the figures of the comparison stand beside it.

# %%
print("open", pj.report.write(comparison, results))
pj.plots.save(pj.plots.page(*pj.plots.charts(comparison)[2:]), results / "neighbours.png")

# %% [markdown]
# **To try next**: your own structures; `01_platonic_space` for what the numbers mean; `platonic demo`
# for the same from the shell.
