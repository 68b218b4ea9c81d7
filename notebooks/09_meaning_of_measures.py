# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # What does each measure see?
#
# **You will learn** what every measure says of two clouds whose likeness is known: turned, stretched, swirled, cut in
# pieces, with noise, with one outlier, with nothing in common but the elements, with nothing in common at all; and how
# few rows, and elements that lie far apart, make unrelated clouds look alike. No models are needed; it takes half a
# minute. The pictures stand in `guide/measures.md`.

# %%
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from platonic_jax import metrics, testing
from platonic_jax.metrics import CLOUD_PROPERTIES, PROPERTIES

RESULTS = Path(os.environ.get("PLATONIC_RESULTS", "results/09"))
RESULTS.mkdir(parents=True, exist_ok=True)
KEYS = [jax.random.fold_in(jax.random.key(0), i) for i in range(9)]
BLUE, ORANGE, GREY = "#0b7abf", "#d55e00", "#85898f"

# %% [markdown]
# ## Fifteen pairs of clouds
#
# Atoms lie in clusters, one an element: 300 rows of four columns, five elements. The second cloud is made of the first
# in a known way. In the picture colours are elements, and the black rows are the same five everywhere.

# %%
cloud = testing.make_cloud(KEYS[0], n=300, p=4, num_elements=5, spread=0.5)
x, species = cloud.x, cloud.species


def swirled(x):
    """Each pair of columns turned about its centre, the more the farther from it: smooth, invertible, not linear."""
    plane = x.reshape(len(x), -1, 2)
    angle = jnp.linalg.norm(plane, axis=2)
    turn = jnp.stack([jnp.stack([jnp.cos(angle), -jnp.sin(angle)]), jnp.stack([jnp.sin(angle), jnp.cos(angle)])])
    return jnp.einsum("ijnc,ncj->nci", turn, plane).reshape(x.shape)


def pieces(x, species):
    """The cluster of each element turned by a rotation of its own, and put elsewhere."""
    y = x
    for element in np.unique(species):
        key = jax.random.fold_in(KEYS[1], int(element))
        own = species == element
        middle = jnp.mean(x[own], axis=0, keepdims=True)
        place = 2 * jax.random.normal(key, middle.shape)
        y = y.at[own].set((x[own] - middle) @ testing.random_rotation(key, x.shape[1]) + place)
    return y


def shuffled_within(x, species):
    y = x
    for element in np.unique(species):
        own = np.flatnonzero(species == element)
        y = y.at[own].set(x[jax.random.permutation(jax.random.fold_in(KEYS[2], int(element)), own)])
    return y


names = {
    "translation": "moved",
    "rotation": "turned",
    "scale": "scaled",
    "row_scale": "rows rescaled",
    "linear": "stretched",
    "shuffling": "rows reordered",
}


def made(x, species):
    unrelated = testing.independent(x, key=KEYS[3])
    far = jnp.zeros_like(x).at[0].set(30.0)
    alone = {name: testing.transformed(of, x, x, key=KEYS[4]) for of, name in names.items()}
    return {
        "itself": (x, x),
        **{name: (before, after) for name, (after, before) in alone.items()},
        "swirled": (x, swirled(x)),
        "in pieces": (x, pieces(x, species)),
        "noise 0.1": (x, testing.noisy(x, noise=0.1, key=KEYS[5])),
        "noise 0.3": (x, testing.noisy(x, noise=0.3, key=KEYS[5])),
        "noise 1": (x, testing.noisy(x, noise=1.0, key=KEYS[5])),
        "elements alone": (x, shuffled_within(x, species)),
        "unrelated": (x, unrelated),
        "… and one outlier": (x + far, unrelated + far),
    }


pairs = made(x, species)
figure, axes = plt.subplots(3, 5, figsize=(10, 6.2), layout="constrained")
for axis, (name, (_, y)) in zip(axes.flat, pairs.items(), strict=True):
    axis.scatter(y[:, 0], y[:, 1], c=np.asarray(species), cmap="Set2", s=6, linewidths=0)
    axis.plot(*y[:5, :2].T, ".", color="black", markersize=4)
    axis.set_title(name, fontsize=9)
    axis.set(xticks=[], yticks=[])
    axis.set_aspect("equal", adjustable="datalim")
figure.savefig(RESULTS / "clouds.png", dpi=110)

# %% [markdown]
# ## Every measure on every pair
#
# Blue: what only moves, turns, scales, … one of the clouds; a full point where the measure claims that it does not mind
# (`metrics.PROPERTIES`). Dotted: a cloud and itself. Dashed: unrelated clouds. Gromov–Wasserstein sees 100 rows alone.

# %%
values = {}
for measure in PROPERTIES:
    compiled = jax.jit(getattr(metrics, measure))
    seen = made(x[:100], species[:100]) if measure == "gromov_wasserstein" else pairs
    values[measure] = {name: float(compiled(a, b)) for name, (a, b) in seen.items()}
    print(f"{measure:22s}", "  ".join(f"{name} {value:.2f}" for name, value in values[measure].items()))

# %%
of_name = {name: transformation for transformation, name in names.items()}
for measure, declared in PROPERTIES.items():
    found = values[measure]
    figure, axis = plt.subplots(figsize=(4.6, 3.3), layout="constrained")
    best = found["itself"]
    axis.axvline(best, color=BLUE, linewidth=1, linestyle=":")
    axis.axvline(found["unrelated"], color=GREY, linewidth=1, linestyle="--")
    for place, (name, value) in enumerate(reversed(found.items())):
        kept = name == "itself" or of_name.get(name) in declared.invariances
        colour = BLUE if kept or name in of_name else ORANGE
        axis.plot([best, value], [place, place], color=colour, linewidth=1, alpha=0.5)
        axis.plot(value, place, "o", color=colour, markersize=5, markerfacecolor=colour if kept else "white")
    axis.set_yticks(range(len(found)), list(found)[::-1], fontsize=8)
    if max(found.values()) > 20:
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlim(-0.2, 200)
    axis.tick_params(axis="x", labelsize=8)
    axis.set_xlabel(
        f"{measure}, {'larger' if declared.larger_is_more_similar else 'smaller'} is more similar", fontsize=9
    )
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / f"{measure}.png", dpi=120)
    plt.close(figure)

# %% [markdown]
# ## Few rows
#
# Unrelated normal clouds of 20 columns, the mean of ten draws. What is not debiased falls towards zero only as rows
# come to outnumber columns.

# %%
numbers = (30, 100, 300, 1000)
estimates = {
    "procrustes": metrics.procrustes,
    "cka, plain": lambda x, y: metrics.cka(x, y, debiased=False),
    "cka": metrics.cka,
    "distance_correlation": metrics.distance_correlation,
    "distance_correlation, debiased": lambda x, y: metrics.distance_correlation(x, y, debiased=True),
}
few = {}
for name, estimate in estimates.items():
    compiled = jax.jit(estimate)
    few[name] = {}
    for n in numbers:
        draws = jax.random.normal(KEYS[6], (10, 2, n, 20))
        few[name][n] = float(np.mean([compiled(a, b) for a, b in draws]))
    print(f"{name:32s}", "  ".join(f"n = {n}: {value:.2f}" for n, value in few[name].items()))

# %%
figure, axis = plt.subplots(figsize=(4.6, 3), layout="constrained")
styles = [(BLUE, "-"), (ORANGE, "-"), (ORANGE, ":"), ("#048b69", "-"), ("#048b69", ":")]
for (name, curve), (colour, style) in zip(few.items(), styles, strict=True):
    axis.plot(numbers, curve.values(), style, marker="o", markersize=3, color=colour, label=name)
axis.plot(numbers, np.minimum(1, np.sqrt(20 / np.array(numbers))), color=GREY, linewidth=1, label="√(p / n)")
axis.set(xscale="log", xlabel="rows", ylabel="of unrelated clouds")
axis.legend(fontsize=7, frameon=False)
axis.spines[["top", "right"]].set_visible(False)
figure.savefig(RESULTS / "few_rows.png", dpi=120)

# %% [markdown]
# ## Elements that lie far apart
#
# The same clouds with their rows shuffled within each element: nothing is left in common but which atom is which
# element. The tighter the clusters, the more alike they look, and only a null within elements knows it.

# %%
spreads = (2.0, 1.0, 0.5, 0.2, 0.1)
alone = {"procrustes": [], "cka": [], "distance_correlation": [], "mutual_knn": []}
for spread in spreads:
    a = testing.make_cloud(KEYS[0], n=300, p=4, num_elements=5, spread=spread).x
    for measure, curve in alone.items():
        curve.append(float(jax.jit(getattr(metrics, measure))(a, shuffled_within(a, species))))
figure, axis = plt.subplots(figsize=(4.6, 3), layout="constrained")
for (measure, curve), colour in zip(alone.items(), (BLUE, ORANGE, "#048b69", GREY), strict=True):
    axis.plot(spreads, curve, "o-", markersize=3, color=colour, label=measure)
    print(f"{measure:22s}", "  ".join(f"{spread:g}: {value:.2f}" for spread, value in zip(spreads, curve, strict=True)))
axis.set(xscale="log", xlabel="spread within an element, over that of the elements", ylabel="shuffled within elements")
axis.invert_xaxis()
axis.legend(fontsize=7, frameon=False)
axis.spines[["top", "right"]].set_visible(False)
figure.savefig(RESULTS / "elements_alone.png", dpi=120)

# %% [markdown]
# ## Of one cloud
#
# A plane in eight columns, with noise in all of them; and a cloud a third of whose rows are copies of others that
# differ by a ten-thousandth.

# %%
plane = jax.random.uniform(KEYS[7], (1000, 2))
flat = plane @ testing.random_rotation(KEYS[8], 8)[:2]
noises = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
dimension = jax.jit(metrics.intrinsic_dimension)
dimensions = {noise: float(dimension(testing.noisy(flat, noise=noise, key=KEYS[7]))) for noise in noises}
copies = testing.noisy(x[:100], noise=1e-4, key=KEYS[5])
twice = jnp.concatenate([x[:200], copies])
tolerances = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
collapsed = {tolerance: float(metrics.collapsed_fraction(twice, tolerance=tolerance)) for tolerance in tolerances}
print("intrinsic_dimension", {noise: round(value, 2) for noise, value in dimensions.items()})
print("collapsed_fraction", {tolerance: round(value, 2) for tolerance, value in collapsed.items()})

curves = {"intrinsic_dimension": (dimensions, "noise"), "collapsed_fraction": (collapsed, "tolerance")}
assert curves.keys() == CLOUD_PROPERTIES.keys()
for measure, (curve, what) in curves.items():
    figure, axis = plt.subplots(figsize=(4.6, 2.6), layout="constrained")
    axis.plot(curve.keys(), curve.values(), "o-", color=BLUE, markersize=4)
    axis.set_xscale("symlog", linthresh=min(at for at in curve if at > 0))
    axis.set(xlabel=what, ylabel=measure, ylim=(0, None))
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / f"{measure}.png", dpi=120)

# %%
record = {
    "pairs": values,
    "few_rows": few,
    "elements_alone": {"spread": spreads, **alone},
    "intrinsic_dimension": dimensions,
    "collapsed_fraction": collapsed,
}
(RESULTS / "measures.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")

# %% [markdown]
# ## What it showed
#
# - No measure sees everything. Noise of 0.3 leaves Procrustes at 0.96 and six in ten neighbours gone; a swirl hardly
#   disturbs who is near (information imbalance 0.03) and no linear map undoes it (GFRE 0.54, LFRE 0.27).
# - One row far from all others in both clouds lifts Procrustes of unrelated clouds from 0.07 to 0.77. Neighbours, and
#   CKA without bias, do not see it.
# - Clouds that share nothing but the elements come to 0.70 in Procrustes and to 0.11 in neighbours here, and to 0.98
#   and 0.16 where the elements lie farther apart.
#
# **To try next**: your own two clouds in `pairs`; another number of neighbours; `statistics.permutation_test` with
# `groups=species` on the pair that shares the elements alone.
