"""Simulations with a known answer, of every interval and test that studies print.

Each `simulate_…` returns one outcome per repeat; `PLATONIC_REPEATS` sets the number of repeats. A band is the nominal
rate and three Monte-Carlo errors of the repeats, beside what the method itself is allowed to be off by.
"""

import math
import os

import jax
import numpy as np
import pytest

from platonic_jax.studies import _calibration, _intervals, _typicality

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
    settings = {"worst": 0.1, "key": jax.random.key(seed)}
    truth = _calibration._judged(*ranked_errors(rng, 8_000, noise=noise), num_bootstraps=2, **settings)
    out = {name: [] for name in ("rank_correlation", "worst_auroc", "gain")}
    for _ in range(repeats):
        found = _calibration._judged(*ranked_errors(rng, num_structures, noise=noise), num_bootstraps=200, **settings)
        for name, covered in out.items():
            entry = found[name]
            assert -1 <= entry["low"] <= entry["value"] <= entry["high"] <= 1
            covered.append(entry["low"] <= truth[name]["value"] <= entry["high"])
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
            covered[name].append(found["low"] <= truth <= found["high"])
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
    return [entry["low"] <= truth <= entry["high"] for entry in found]


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.3], ids=["AUROC 0.5", "AUROC 0.76", "AUROC 0.99"])
def test_intervals_of_the_auroc_of_sets_cover(shift):
    check_rate(simulate_auroc_of_sets(shift=shift, num_structures=40, repeats=REPEATS), 0.92, 0.99)
