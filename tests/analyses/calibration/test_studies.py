"""Simulations with a known answer, of every interval and test that studies print.

Each `simulate_…` returns one outcome per repeat; `PLATONIC_REPEATS` sets the number of repeats. A band is the nominal
rate and three Monte-Carlo errors of the repeats, beside what the method itself is allowed to be off by.
"""

import math
import os
from functools import partial

import jax
import numpy as np
import pytest

from platonic_jax import analyses, diagnostics
from platonic_jax.analyses import _error_ranking, _intervals
from platonic_jax.analyses._typicality import _driver as _typicality
from platonic_jax.tables import EmbeddingTable

REPEATS = int(os.environ.get("PLATONIC_REPEATS", "60"))


def check_rate(outcomes, low, high):
    """Whether a rate lies in its band, but for Monte-Carlo error; the rate is what a failure shows."""
    rate = np.mean(outcomes)
    error = 3 * math.sqrt(max(rate * (1 - rate), 0.25 / len(outcomes)) / len(outcomes))
    assert low - error <= rate <= high + error, f"{rate:.3f} of {len(outcomes)} repeats, not {low} to {high}"


def effects(rng, structure, *, share):
    """Standard normal values, of whose variance a share lies between structures."""
    common = rng.normal(size=structure.max() + 1)[structure]
    return math.sqrt(share) * common + math.sqrt(1 - share) * rng.normal(size=len(structure))


# ---- error ranking -----------------------------------------------------------------------------------------------


def ranked_errors(rng, num_structures, *, noise, share=0.5, atoms=6):
    """Scores, errors that they follow but for noise, and structures."""
    structure = np.repeat(np.arange(num_structures), atoms)
    size = effects(rng, structure, share=share)
    return size + noise * effects(rng, structure, share=share), np.exp(0.8 * size), structure


def simulate_error_ranking(*, noise, num_structures=100, repeats, seed=0):
    """Coverage by figure of the intervals of error ranking, one outcome per repeat, and whether they keep the range."""
    rng = np.random.default_rng(seed)
    ranking = partial(_error_ranking._ranking, worst=0.1, key=jax.random.key(seed))
    truth = ranking(*ranked_errors(rng, 8_000, noise=noise), num_bootstraps=2)
    out = {name: [] for name in ("rank_correlation", "worst_auroc", "prediction_rejection")}
    for _ in range(repeats):
        found = ranking(*ranked_errors(rng, num_structures, noise=noise), num_bootstraps=200)
        for name, covered in out.items():
            entry = getattr(found, name)
            assert -1 <= entry.low <= entry.value <= entry.high <= 1
            covered.append(entry.low <= getattr(truth, name).value <= entry.high)
    return out


@pytest.mark.parametrize("noise", [0.3, 1.0], ids=["AUROC 0.985", "AUROC 0.88"])
def test_intervals_of_error_ranking_cover(noise):
    for covered in simulate_error_ranking(noise=noise, repeats=REPEATS).values():
        check_rate(covered, 0.92, 0.98)


# ---- reactions, quadruples, polymorphs: groups of dependent rows -------------------------------------------------

ONE_LARGE = (28, *[1] * 28)  # As the published reactions hang together.


def simulate_dependent_groups(*, sizes, share, scale, repeats, seed=0):
    """Coverage of the interval of a mean over rows of dependent groups, and of one that takes rows as independent."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    of = {"positive": np.abs, "share": lambda z: (z > 1).astype(float)}[scale]
    truth = of(np.random.default_rng(1).normal(size=10**6)).mean()
    covered = {"groups": [], "rows": []}
    for _ in range(repeats):
        values = of(effects(rng, group, share=share))
        for name, clusters in {"groups": group, "rows": np.arange(len(group))}.items():
            found = _intervals.with_interval(
                values, clusters=clusters, scale=scale, num_bootstraps=200, key=jax.random.key(seed)
            )
            covered[name].append(found.low <= truth <= found.high)
    return covered


@pytest.mark.parametrize("scale", ["positive", "share"])
@pytest.mark.parametrize(("sizes", "most"), [(ONE_LARGE, 1.0), ((4,) * 14, 0.98)], ids=["one large", "equal"])
def test_intervals_over_dependent_groups_cover(sizes, most, scale):
    covered = simulate_dependent_groups(sizes=sizes, share=0.6, scale=scale, repeats=REPEATS)
    check_rate(covered["groups"], 0.9, most)
    assert np.mean(covered["rows"]) <= np.mean(covered["groups"])


# ---- typicality --------------------------------------------------------------------------------------------------


def simulate_auroc_of_sets(*, shift, num_structures, repeats, seed=0):
    """Coverage of the interval of the AUROC of two sets of independent structures."""
    rng = np.random.default_rng(seed)
    truth = 0.5 * (1 + math.erf(shift / 2))
    found = [
        _typicality._auroc(rng.normal(size=num_structures) + shift, rng.normal(size=num_structures))
        for _ in range(repeats)
    ]
    return [entry.low <= truth <= entry.high for entry in found]


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.3], ids=["AUROC 0.5", "AUROC 0.76", "AUROC 0.99"])
def test_intervals_of_the_auroc_of_sets_cover(shift):
    check_rate(simulate_auroc_of_sets(shift=shift, num_structures=40, repeats=REPEATS), 0.92, 0.99)


# ---- drift -------------------------------------------------------------------------------------------------------


def model_before(rng, num_structures, *, width=12):
    """Embeddings of six atoms of three elements in each structure, and a unit of noise for each."""
    structure, species = np.repeat(np.arange(num_structures), 6), np.tile([8, 8, 26, 26, 79, 79], num_structures)
    place = 3 * np.random.default_rng(0).normal(size=(80, width))
    between = rng.normal(size=(num_structures, 80, width))[structure, species]
    x = place[species] + between + 0.3 * rng.normal(size=between.shape)
    return x, species, structure, np.linalg.norm(x, axis=1, keepdims=True) / math.sqrt(width)


def simulate_drift(*, noise, num_structures=60, anchors="random", repeats, seed=0):
    """Results of drift by relative noise, which varies between structures, of structures and anchors drawn anew."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(repeats):
        x, species, structure, size = model_before(rng, num_structures)
        size = size * np.exp(0.5 * rng.normal(size=num_structures))[structure, None] / math.exp(0.125)
        before, after = (
            EmbeddingTable.from_arrays(rows, species, structure, model="m")
            for rows in (x, x + noise * size * rng.normal(size=x.shape))
        )
        found.append(analyses.drift(before, after, k=30, anchors=anchors, seed=i))
    return found


@pytest.mark.parametrize("noise", [1e-6, 1e-5, 4e-5, 1e-3])
def test_numerical_noise_is_never_a_displacement(noise):
    """Whether float32, another device or half precision: no claim, in any repeat."""
    found = simulate_drift(noise=noise, repeats=max(2, REPEATS // 12))
    assert not any(one.overall.beyond or one.moved for one in found)
    assert all(one.overall.displacement.p is None and one.runs is None for one in found)


def test_intervals_of_a_displacement_cover_and_exclude_noise():
    """Of the mean over samples of that size: the unit shrinks with the number of environments."""
    found = simulate_drift(noise=0.05, repeats=max(20, REPEATS // 4))
    entries = [one.overall.displacement for one in found]
    truth = np.mean([entry.value for entry in entries])
    check_rate([entry.low <= truth <= entry.high for entry in entries], 0.92, 0.98)
    assert all(one.overall.beyond for one in found)


def simulate_runs(*, num_runs, shift, repeats, seed=0):
    """P-values of the earlier model among runs of training, which share a shift and differ by their seeds."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(repeats):
        place = rng.normal(size=(1 + num_runs, 30))
        place[1:] += shift
        distances = np.linalg.norm(place[:, None] - place, axis=2)
        found.append(float(diagnostics.exchange_test(jax.numpy.asarray(distances, "float32"))[0]))
    return found


def test_p_values_among_runs_of_training_hold_their_level_and_have_power():
    null, moved = (np.array(simulate_runs(num_runs=19, shift=shift, repeats=10 * REPEATS)) for shift in (0.0, 2.0))
    for level in (0.05, 0.25, 0.5):
        check_rate(null <= level + 1e-6, 0.8 * level, level)
    assert np.mean(moved <= 0.05 + 1e-6) > 0.9
