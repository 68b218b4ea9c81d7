# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Symmetry, and what becomes of phonons without it
#
# **You will learn** whether an atom keeps its place in a model's space when the crystal is turned, reflected, shifted,
# reordered or repeated; whether atoms coincide that the crystal's symmetry makes equivalent; and how a broken symmetry
# goes on from the rows to the forces, and from there to the phonons.
#
# By default this runs on a few crystal prototypes and on rock salt, in a few minutes. For the real thing set
# `PLATONIC_STRUCTURES=baceo3.extxyz` and `PLATONIC_CRYSTAL=NaCl/`, a folder with `phonopy_disp.yaml`, `FORCE_SETS` and
# `BORN`. On the command line the same is `platonic symmetry` and `platonic phonons`.

# %%
import os
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from ase.build import bulk
from platonic_adapters import store, structures

from platonic_jax import probes, studies, tables

RESULTS = Path(os.environ.get("PLATONIC_RESULTS", "results/03"))
STORES = Path(os.environ.get("PLATONIC_STORES", "stores/probes"))
MODELS = os.environ.get("PLATONIC_MODELS", "7net-0 chgnet-0.3.0 random:orb-v3-conservative-20-omat?seed=0").split()
RESULTS.mkdir(parents=True, exist_ok=True)


def embedded(model, probe, name, properties=()):
    """The store of a model's rows of a probe's structures."""
    handed_over, kept = (
        STORES / f"{name}.zarr",
        STORES / name / f"{model.translate(str.maketrans(':?=@/', '-----'))}.zarr",
    )
    if not handed_over.exists():
        store.write_structures(handed_over, probe.structures, source=name)
    options = ["--properties", ",".join(properties)] if properties else []
    subprocess.run(["platonic", "embed", model, str(handed_over), "-o", str(kept), *options], check=True)
    return kept


# %% [markdown]
# ## Images of atoms
#
# Each structure is made exactly symmetric, then turned, reflected, shifted, reordered, repeated. The distance between
# an atom and its image is told in parts of the atom's norm, and, in brackets, of the distance between atoms that truly
# differ. What single precision rounds is about 1e-7; what an invariant network of many layers rounds, 1e-6.

# %%
source = os.environ.get("PLATONIC_STRUCTURES", "prototypes?max_atoms=8")
originals, _ = structures.read(source, limit=int(os.environ.get("PLATONIC_LIMIT", "4")), duplicates="skip")
images = probes.images(originals, seed=0, num_draws=2)
found = [studies.symmetry(tables.load(embedded(model, images, "images")), images) for model in MODELS]
for model in found:
    model.save(RESULTS / f"symmetry_{model.model.translate(str.maketrans(':?=@/', '-----'))}.json")
    print(f"\n{model.model}: largest, in parts of the norm (of the distance between different environments)")
    for space in ("raw", "shared"):
        cells = [
            f"{kind} {entry['largest']:.0e} ({entry['largest_against']:.0e})"
            for kind, entry in model.images[space].items()
        ]
        print(f"  {space:7s}" + "  ".join(cells))
    print(f"  orbits collapsed: {model.orbits['raw']['collapsed']:.0%} of {model.orbits['raw']['num_orbits']}")
    print(f"  {model.verdict}")

# %%
kinds = list(found[0].images["raw"])
figure, axes = plt.subplots(1, 2, figsize=(12, 4), sharey=True, layout="constrained")
for ax, space in zip(axes, ("raw", "shared"), strict=True):
    for offset, model in zip(np.linspace(-0.25, 0.25, len(found)), found, strict=True):
        largest = [max(model.images[space][kind]["largest"], 1e-9) for kind in kinds]
        ax.plot(np.arange(len(kinds)) + offset, largest, "o", label=model.model)
    ax.axhline(found[0].noise["storage"], color="0.6", linewidth=1, linestyle=":")
    ax.axhline(found[0].noise["tolerance"], color="0.6", linewidth=1)
    ax.set_yscale("log")
    ax.set_xticks(np.arange(len(kinds)), [kind.replace(" ", "\n") for kind in kinds])
    ax.set_title(f"{space} space", loc="left")
axes[0].set_ylabel("largest distance of an image, in parts of the norm")
axes[1].legend(frameon=False, fontsize=8)
figure.savefig(RESULTS / "images.png", dpi=120, bbox_inches="tight")

# %% [markdown]
# ## Which atoms?

# %%
for model in found:
    told = [
        f"{element} {entry['turned']:.0e} (at most {entry['largest']:.0e})" for element, entry in model.elements.items()
    ]
    print(f"{model.model}: " + ", ".join(told[:6]))

# %% [markdown]
# ## Phonons
#
# The chain: rows, forces, frequencies of the crystal as it is, rotated and reflected; and only shifted, which is the
# noise. Displacing every atom, as if the crystal had no symmetry, shows what averaging over it would hide: modes that
# symmetry makes degenerate, and split.

# %%
crystal = os.environ.get("PLATONIC_CRYSTAL")
if crystal:
    phonon = probes.read_phonopy(crystal)
else:
    phonon = probes.crystal(structures.read(bulk("NaCl", "rocksalt", a=5.69))[0], min_length=7.5)
displaced = probes.displaced(phonon, seed=0)
vibrating = []
for model in MODELS:
    kept = embedded(model, displaced, "displaced", properties=("forces",))
    vibrating.append(studies.phonons(tables.load(kept), displaced))
    vibrating[-1].save(RESULTS / f"phonons_{model.translate(str.maketrans(':?=@/', '-----'))}.json")
    print(f"\n{vibrating[-1].verdict}")

# %%
figure, axes = plt.subplots(1, len(vibrating), figsize=(5 * len(vibrating), 4), squeeze=False, layout="constrained")
for ax, model in zip(axes[0], vibrating, strict=True):
    for which, colour in (("reference", "0.6"), ("model", "C0")):
        if which in model.bands:
            bands = model.bands[which]
            ax.plot(bands.distances, bands.frequencies, color=colour, linewidth=1)
            ax.plot([], [], color=colour, label="DFT" if which == "reference" else "model")
    for tick in bands.ticks:
        ax.axvline(tick, color="0.9", linewidth=0.8, zorder=0)
    ax.axhline(0, color="0.8", linewidth=0.8)
    ax.set_xticks(bands.ticks, bands.labels)
    ax.set_xlim(bands.distances[0], bands.distances[-1])
    ax.set_title(f"{model.model}: {model.crystal['formula']}", loc="left", fontsize=9)
axes[0, 0].set_ylabel("frequency / THz, imaginary ones negative")
axes[0, -1].legend(frameon=False)
figure.savefig(RESULTS / "bands.png", dpi=120, bbox_inches="tight")

# %% [markdown]
# ## What it showed
#
# *BaCeO3 in its four phases*, made exactly symmetric: 4 originals, 168 images, 2,070 atoms. Largest distance of an
# image in parts of the norm, in raw space; 12 orbits hold several atoms.
#
# | model | cube rotations | rotations | reflections | shifts | orders | supercells | orbits collapsed |
# |---|---|---|---|---|---|---|---|
# | chgnet-0.3.0 | 4e-07 | 3e-07 | 3e-07 | 2e-07 | 2e-07 | 2e-07 | 12 |
# | nequix-mp-1 | 1e-06 | 2e-06 | 1e-06 | 1e-06 | 7e-07 | 9e-07 | 12 |
# | 7net-0 | 4e-07 | 4e-07 | 0.005 | 7e-07 | 7e-07 | 6e-07 | 8 |
# | 7net-l3i5 | 6e-07 | 5e-07 | 0.016 | 1e-06 | 8e-07 | 9e-07 | 8 |
# | random:orb-v3-direct-inf-omat | 0.059 | 0.057 | 0.052 | 6e-04 | 7e-07 | 1e-06 | 0 |
# | random:orb-v3-direct-20-omat | 0.067 | 0.065 | 0.057 | 0.011 | 4e-04 | 0.021 | 0 |
# | random:orb-v3-conservative-20-omat | 0.053 | 0.044 | 0.048 | 0.009 | 3e-04 | 0.017 | 0 |
#
# - *SevenNet tells left from right.* Its networks are equivariant under rotations, not under reflections (`is_parity`
#   is false in its checkpoints), and have learned to use it: a mirror image moves an atom by up to 2 %, and atoms that
#   only a mirror or an inversion makes equivalent stay apart. With re-drawn weights nothing is seen of it.
# - *An unconstrained network without training* moves an atom by 6 % of its norm, a tenth of the distance between
#   different environments. Where it keeps 20 neighbours at most it chooses among equally distant ones by rounding, so a
#   shift, another order and another cell move atoms as well.
#
# *Phonons against DFT*, forces in the same supercells: mean absolute error over all modes of a mesh in THz, the factor
# by which frequencies are too low (or too high), and the error with this factor taken out.
#
# | crystal | 7net-0 | factor | without it | chgnet-0.3.0 | factor | without it |
# |---|---|---|---|---|---|---|
# | NaCl | 0.11 | 0.97 | 0.07 | 1.59 | 0.62 | 0.48 |
# | MgO | 0.92 | 0.92 | 0.23 | 1.53 | 0.87 | 0.34 |
# | SiO2 at high pressure | 2.29 | 0.89 | 0.99 | 1.66 | 0.92 | 0.77 |
# | TiO2, anatase | 1.06 | 0.91 | 0.37 | 1.86 | 0.84 | 0.44 |
# | Al2O3 | 0.25 | 0.99 | 0.16 | 0.91 | 0.94 | 0.33 |
#
# - *Softening* is the error of MgO and anatase: one factor for all modes explains three quarters and two thirds of it.
#   Born charges, the same on both sides, change no figure by more than 0.03 THz.
# - *SiO2* is compressed to a pressure of 42 GPa by 7net-0's own account; there it has imaginary modes where DFT has
#   none.
# - *The chain*, in a trained model: a reflection of that SiO2 changes 7net-0's rows by 3e-4 of their norm, its forces
#   by 0.2 %, its frequencies by up to 0.27 THz; a rotation by 1e-6, 7e-6 and 0.0005 THz, no more than a mere shift.
#   Modes that symmetry makes degenerate split by up to 0.07 THz, those of chgnet-0.3.0 by 0.0001.
#
# **To try next**: a crystal of your own; `--orbit-average` for an unconstrained model; other layers.
