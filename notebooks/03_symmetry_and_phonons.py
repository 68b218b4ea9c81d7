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
import json
import os
from pathlib import Path

import numpy as np
import stores
from ase.build import bulk
from platonic_adapters import reading, store, structures
from scipy.spatial.transform import Rotation

from platonic_jax import analyses, charts, plots, probes

RESULTS = Path(os.environ.get("PLATONIC_RESULTS", "results/03"))
STORES = Path(os.environ.get("PLATONIC_STORES", "stores/probes"))
MODELS = os.environ.get("PLATONIC_MODELS", "7net-0 chgnet-0.3.0 random:orb-v3-conservative-20-omat?seed=0").split()
RESULTS.mkdir(parents=True, exist_ok=True)


def embedded(model, asked, name, *options):
    """The table of a model's rows of structures."""
    handed_over = STORES / f"{name}.zarr"
    if not handed_over.exists():
        store.write_structures(handed_over, asked, source=name)
    return stores.embed(model, handed_over, STORES / name / f"{stores.file_name(model)}.zarr", *options)


# %% [markdown]
# ## Images of atoms
#
# Each structure is made exactly symmetric, then turned, reflected, shifted, reordered, repeated. The distance between
# an atom and its image is told in parts of the atom's norm, and, in brackets, of the distance between atoms that truly
# differ. What single precision rounds is about 1e-7; what an invariant network of many layers rounds, 1e-6.

# %%
source = os.environ.get("PLATONIC_STRUCTURES", "prototypes?max_atoms=8")
originals, _ = reading.read(source, limit=int(os.environ.get("PLATONIC_LIMIT", "4")), duplicates="skip")
images = probes.images(originals, seed=0, num_draws=2)
found = [analyses.symmetry(embedded(model, images.structures, "images"), images) for model in MODELS]
for model in found:
    model.save(RESULTS / f"symmetry_{stores.file_name(model.model)}.json")
    print(f"\n{model.model}: largest, in parts of the norm (of the distance between different environments)")
    for space in ("raw", "shared"):
        cells = [
            f"{kind} {entry.largest:.0e} ({entry.largest_against:.0e})" for kind, entry in model.images[space].items()
        ]
        print(f"  {space:7s}" + "  ".join(cells))
    print(f"  orbits collapsed: {model.orbits['raw'].collapsed:.0%} of {model.orbits['raw'].num_orbits}")
    print(f"  {model.verdict}")

# %%
plots.save(plots.page(found), RESULTS / "images.png")

# %% [markdown]
# ## Which atoms?

# %%
for model in found:
    told = [
        f"{element} {entry['median']:.0e} (at most {entry['largest']:.0e})" for element, entry in model.elements.items()
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
    phonon = probes.crystal(reading.read(bulk("NaCl", "rocksalt", a=5.69))[0], min_length=7.5)
displaced = probes.displaced(phonon, seed=0)
vibrating = []
for model in MODELS:
    kept = embedded(model, displaced.structures, "displaced", "--properties", "forces")
    vibrating.append(analyses.phonons(kept, displaced))
    vibrating[-1].save(RESULTS / f"phonons_{stores.file_name(model)}.json")
    print(f"\n{vibrating[-1].verdict}")

# %%
plots.save(plots.page(*vibrating), RESULTS / "bands.png")

# %% [markdown]
# ## The chain in a model that was taught its symmetry
#
# Above, a rotation changes only what was never trained. `distil_orb.py` trains a small Orb on the labels of 7net-0,
# once as the crystals lie and once with every frame turned at random. With its two checkpoints, the teacher's labels
# and phonopy's folders, this follows the chain through both, each as it is and averaged over the 24 rotations of the
# cube (`orbit_average`), beside 7net-0 and CHGNet:
#
#     python distil_orb.py frames frames.extxyz baceo3.extxyz
#     platonic embed 7net-0 frames.extxyz -o labels.zarr --properties energy,forces,stress
#     python distil_orb.py train labels.zarr distilled-plain.ckpt
#     python distil_orb.py train labels.zarr distilled-turned.ckpt --augment
#     export PLATONIC_DISTILLED="distilled-plain.ckpt distilled-turned.ckpt" PLATONIC_LABELS=labels.zarr
#     PLATONIC_STRUCTURES=baceo3.extxyz PLATONIC_CRYSTALS="MgO NaCl" python 03_symmetry_and_phonons.py
#
# The training takes a few minutes of a free core for each. Without these variables the next cell shows what such a run
# has left in `results/03/chain.json`, if there is one.

# %%
FRAMES = 32  # of those held out from training


def forces_turned(model, labels):
    """Errors of a model's forces on held-out frames, as they lie and rotated, and how they differ from each other."""
    known, truth = labels.structures, labels.property("forces").astype(float)
    chosen = np.arange(0, len(known), 10)[:FRAMES]
    turns = Rotation.random(len(chosen), np.random.default_rng(0)).as_matrix()
    frames = [known.atoms(i) for i in chosen]
    frames += [structures.turned(atoms, turn) for atoms, turn in zip(frames, turns, strict=True)]
    asked = structures.Structures.from_atoms(frames, [f"{way} {i}" for way in ("as is", "turned") for i in chosen])
    found = embedded(model, asked, "frames", "--properties", "forces").properties["forces"].astype(float)
    truth = np.concatenate([truth[known.offsets[i] : known.offsets[i + 1]] for i in chosen])
    as_is, turned = found[: len(truth)], found[len(truth) :]
    home = np.einsum("nj,nji->ni", turned, np.repeat(turns, known.num_atoms[chosen], axis=0))
    mean = lambda vectors: float(np.linalg.norm(vectors, axis=1).mean())
    return {
        "size": mean(truth),
        "error": {"as is": mean(as_is - truth), "turned": mean(home - truth)},
        "changed": mean(home - as_is),
    }


def links(model, labels, crystals):
    """Rows, forces and phonons of a model, and what a rotation changes in each."""
    seen = analyses.symmetry(embedded(model, images.structures, "images"), images)
    found = {"rows": analyses.plain(seen.images["raw"]), "orbits": analyses.plain(seen.orbits["raw"])}
    found["forces"] = forces_turned(model, labels)
    found["phonons"] = {}
    for name, cells in crystals.items():
        vibrating = analyses.phonons(
            embedded(model, cells.structures, f"chain-{name}", "--properties", "forces"), cells
        )
        found["phonons"][name] = {
            "chain": vibrating.chain,
            "splitting": vibrating.symmetry["splitting"],
            "acoustic": vibrating.acoustic["violation"],
            "lowest": vibrating.lowest["frequency"],
            "error": vibrating.reference.plain.mean_absolute,
            "verdict": vibrating.verdict,
        }
    return found


distilled, chain = os.environ.get("PLATONIC_DISTILLED", "").split(), RESULTS / "chain.json"
if distilled:
    labels = store.load(os.environ["PLATONIC_LABELS"])
    crystals = {
        Path(folder).name: probes.displaced(probes.read_phonopy(folder), seed=0, num_rotations=3)
        for folder in os.environ["PLATONIC_CRYSTALS"].split()
    }
    asked = {"7net-0": ("7net-0", None), "chgnet-0.3.0": ("chgnet-0.3.0", None)}
    for file in distilled:
        record = json.loads(Path(file).with_suffix(".json").read_text())
        label = f"distilled Orb, {'augmented' if record['augmented'] else 'plain'}"
        name = f"orb:orb-v3-direct-inf-omat@{file}"
        asked |= {label: (name, record), f"{label}, averaged": (f"{name}?orbit_average=24", record)}
    followed = {
        label: {"distilled": record, **links(name, labels, crystals)} for label, (name, record) in asked.items()
    }
    chain.write_text(json.dumps(followed, indent=1) + "\n")
followed = json.loads(chain.read_text()) if chain.exists() else {}
for label, entry in followed.items():
    error, rows = entry["forces"]["error"], entry["rows"]
    print(f"\n{label}: forces off 7net-0's by {error['as is']:.3f} eV/Å, turned {error['turned']:.3f}", end="")
    print(f" (of {entry['forces']['size']:.3f}); turning changes them by {entry['forces']['changed']:.4f}")
    print(
        f"  rows move by {rows['cube rotation']['median']:.0e} (cube), {rows['rotation']['median']:.0e} at the median"
    )
    for name, found in entry["phonons"].items():
        print(f"  {name}: {found['verdict']}")


# %%
def drawn_chain(followed):
    """Rows, forces and frequencies, model by model: what a rotation and what a shift changes in each."""
    links = {
        "rows": ("largest", "rows, in parts of their norm"),
        "forces": ("relative", "forces, in parts of their size"),
        "frequencies": ("largest", "frequencies, THz"),
    }
    rows = [f"{label}: forces off by {entry['forces']['error']['as is']:.2f} eV/Å" for label, entry in followed.items()]
    specs = []
    for link, (key, axis) in links.items():
        series = [
            charts.entries(
                f"{name}, {way}",
                [max(entry["phonons"][name]["chain"][link][way][key], 1e-9) for entry in followed.values()],
            )
            for name in next(iter(followed.values()))["phonons"]
            for way in ("rotated", "shifted")
        ]
        specs.append(charts.dots(f"Change of {link}.", rows, series, axis=axis, log=True))
    return plots.save(plots.page(*specs), RESULTS / "chain.png")


drawn_chain(followed) if followed else None

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
# *The chain in a model that was taught.* Two small Orbs (three steps, 153,000 weights, direct forces) distilled from
# 7net-0: 1,440 rattled frames of MgO, NaCl and BaCeO3, 5,000 steps of four frames. They are coarse: on the 160 held-out
# frames, where forces are 0.99 eV/Å on average, the plain one is off by 0.43 eV/Å as the frames lie and by 0.93 turned,
# the augmented one by 0.44 and 0.45. On the first 32 of these (forces of 1.19), in eV/Å, the lengths of vectors; and of
# BaCeO3's rows the median change, in parts of their norm, and how many orbits collapse:
#
# | model | forces off by | turned | a rotation changes them by | cube rotations | rotations | shifts | of 12 orbits |
# |---|---|---|---|---|---|---|---|
# | 7net-0, the teacher | 0 | 0 | 2e-07 | 2e-07 | 3e-07 | 4e-07 | 8 |
# | chgnet-0.3.0 | 0.14 | 0.14 | 5e-07 | 1e-07 | 1e-07 | 1e-07 | 12 |
# | distilled, plain | 0.50 | 1.00 | 0.86 | 0.28 | 0.34 | 1e-06 | 0 |
# | the same, averaged | 0.78 | 0.78 | 4e-08 | 0 | 0 | 4e-07 | 6 |
# | distilled, augmented | 0.51 | 0.51 | 0.26 | 0.02 | 0.02 | 4e-07 | 0 |
# | the same, averaged | 0.47 | 0.47 | 3e-08 | 0 | 0 | 2e-07 | 6 |
#
# Phonons of MgO / NaCl: what three rotations change at most, in rows (parts of the norm), in forces of displaced
# supercells (parts of theirs), in frequencies (THz); splitting of degenerate modes (THz); violation of the sum rule
# (eV/Å²); mean absolute error against DFT (THz).
#
# | model | rows | forces | frequencies | splitting | sum rule | error |
# |---|---|---|---|---|---|---|
# | 7net-0 | 6e-07 / 5e-07 | 3e-05 / 4e-05 | 2e-04 / 8e-05 | 0.009 / 0.004 | 5e-04 / 4e-05 | 0.92 / 0.11 |
# | chgnet-0.3.0 | 3e-07 / 2e-07 | 5e-05 / 1e-04 | 2e-04 / 3e-04 | 7e-05 / 2e-04 | 0.25 / 0.04 | 1.53 / 1.59 |
# | distilled, plain | 0.80 / 0.18 | 7.2 / 3.5 | 21 / 5.6 | 1.5 / 2.4 | 0.002 / 8e-04 | 1.01 / 0.33 |
# | the same, averaged | 4e-07 / 8e-08 | 3e-05 / 6e-05 | 2e-04 / 8e-05 | 0.10 / 0.08 | 4e-04 / 6e-04 | 0.94 / 0.34 |
# | distilled, augmented | 0.02 / 0.004 | 0.86 / 0.82 | 1.7 / 0.3 | 1.3 / 0.6 | 0.005 / 0.007 | 1.04 / 0.30 |
# | the same, averaged | 2e-07 / 8e-08 | 3e-05 / 1e-04 | 2e-04 / 1e-04 | 0.015 / 0.008 | 0.002 / 7e-04 | 0.78 / 0.27 |
#
# - *The order is the same in all three links*: plain, augmented, averaged; and MgO before NaCl where nothing is
#   averaged. What the rows tell, without a single force, is what becomes of the frequencies.
# - *Augmentation teaches rotation, not symmetry.* It moves rows 16 (BaCeO3) to 49 times less (NaCl), frequencies 13 to
#   19 times less, and costs next to no accuracy of forces in the old orientation (0.435 to 0.443 eV/Å; energies err
#   more, 0.018 to 0.043 eV/atom). But a rotation still changes forces by half of their error, degenerate modes of MgO
#   split as before, and not one orbit collapses.
# - *Averaging heals the rotation to rounding*, in rows, forces and phonons, and the splitting by ten times and more. It
#   is no substitute for training: the plain model has never seen the other 23 orientations, and its forces get worse by
#   half; the augmented one's get better. It heals no reflection: rows of BaCeO3 still move by up to 0.04 (plain) and
#   2e-4 (augmented), and half of the orbits stay apart.
# - *As it lies, a crystal does not show it*: MgO's frequencies err by 1.0 THz in both models, the teacher's by 0.9,
#   CHGNet's by 1.5. Only another orientation tells.
# - The sum rule says nothing here: a head of direct forces takes their mean away.
# - *A shift finds a fault of the library*: it moves single rows of BaCeO3 by up to 2e-4 (plain) and 1e-3 (augmented),
#   far above rounding. In skewed primitive cells orb-models 0.5.5 looks for neighbours in too few images of the cell:
#   472 edges within 6 Å where there are 476. In the rattled primitive cells of MgO it loses up to 1.4 % of them. The
#   supercells of the phonons are whole.
#
# **To try next**: a crystal of your own; a longer distillation (`--steps`); reflections in the augmentation.
