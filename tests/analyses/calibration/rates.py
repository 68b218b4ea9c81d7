"""Rates of false positives, power and coverage of what the project prints, on data with a known answer.

`python tests/analyses/calibration/rates.py --repeats 200` measures all of them, writes
`notebooks/results/calibration.json` and the table of `notebooks/guide/calibration.md`. The tests beside this file
hold a few of them to their bands.
"""

import argparse
import json
import math
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from simulate import crystals, model

from platonic_jax import analyses, metrics, statistics
from platonic_jax.analyses import compare
from platonic_jax.tables import EmbeddingTable

ROOT = Path(__file__).parents[3]
PAGE, RESULT = ROOT / "notebooks/guide/calibration.md", ROOT / "notebooks/results/calibration.json"
BEGIN, END = "<!-- rates -->", "<!-- end of rates -->"
SHARES = (0.0, 0.3, 0.6, 0.9)
PERMUTATIONS = 99
MEASURES = {
    "procrustes": metrics.procrustes,
    "cka": metrics.cka,
    "mutual_knn": partial(metrics.mutual_knn, num_neighbours=5),
}


def simulate_tests(
    *, share, common, strength=0.0, measures=tuple(MEASURES), num_structures=120, num_elements=12, repeats, seed=0
):
    """P-values of `statistics.permutation_test` between crystals, beyond the element, one a repeat and measure."""
    rng = np.random.default_rng(seed)
    species, structure = crystals(rng, num_structures, num_elements=num_elements)

    @jax.jit
    def tests(x, y, key):
        settings = {"groups": species, "blocks": structure, "num_permutations": PERMUTATIONS, "key": key}
        return {name: statistics.permutation_test(MEASURES[name], x, y, **settings).p_value for name in measures}

    out = {name: [] for name in measures}
    for i in range(repeats):
        signal = rng.normal(size=(num_structures, 12))[structure]
        x, y = (
            model(rng, species, structure, share=share, common=common, signal=signal, strength=strength)
            for _ in range(2)
        )
        for name, p_value in tests(x, y, jax.random.key(i)).items():
            out[name].append(float(p_value))
    return out


def simulate_one_element(*, share, measures=("procrustes", "cka"), num_structures=60, repeats, seed=0):
    """P-values within one element: whole structures exchanged, which is exact."""
    rng = np.random.default_rng(seed)
    structure = np.repeat(np.arange(num_structures), rng.choice((1, 2, 4), num_structures))
    species = np.full(len(structure), 8)

    @jax.jit
    def tests(x, y, key):
        settings = {"blocks": structure, "num_permutations": PERMUTATIONS, "key": key}
        return {name: statistics.permutation_test(MEASURES[name], x, y, **settings).p_value for name in measures}

    out = {name: [] for name in measures}
    for i in range(repeats):
        x, y = (model(rng, species, structure, share=share) for _ in range(2))
        for name, p_value in tests(x, y, jax.random.key(i)).items():
            out[name].append(float(p_value))
    return out


def simulate_compare(*, share=0.9, common=True, strength=0.0, num_structures=120, repeats, seed=0, **options):
    """P-values within the element of `compare`, for the measures that see every atom."""
    rng = np.random.default_rng(seed)
    species, structure = crystals(rng, num_structures)
    measures = ("procrustes", "cka", "mutual_knn", "mutual_knn_other_structures")
    settings = {"measures": measures, "nulls": ("element",), "k": 50, "element_alone": False} | options
    out = {name: [] for name in measures}
    for i in range(repeats):
        signal = rng.normal(size=(num_structures, 12))[structure]
        tables = [
            EmbeddingTable.from_arrays(
                model(rng, species, structure, share=share, common=common, signal=signal, strength=strength),
                species,
                structure,
                model=name,
            )
            for name in "ab"
        ]
        found = compare(tables, seed=i, num_permutations=39, num_anchor_draws=0, num_neighbours=5, **settings)
        for name in measures:
            out[name].append(float(found.measures[name].p_within_element[0, 1]))
    return out


def simulate_intervals(*, anchors="random", strength=1.0, num_structures=100, repeats, seed=0):
    """Whether 95 % intervals of `compare` hold the mean of the estimate, anchors drawn anew with every sample."""
    rng = np.random.default_rng(seed)
    species, structure = crystals(rng, num_structures)
    measures = ("procrustes", "cka", "mutual_knn", "mutual_knn_other_structures")
    found = {name: [] for name in measures}
    for i in range(repeats):
        signal = rng.normal(size=(num_structures, 12))[structure]
        tables = [
            EmbeddingTable.from_arrays(
                model(rng, species, structure, share=0.9, signal=signal, strength=strength, own=own),
                species,
                structure,
                model=f"model {own}",
            )
            for own in (1, 2)
        ]
        result = compare(
            tables,
            k=50,
            anchors=np.arange(50) * (len(species) // 50) if anchors == "given" else anchors,
            seed=i,
            measures=measures,
            nulls=(),
            element_alone=False,
        )
        for name in measures:
            entry = result.measures[name]
            found[name].append([entry.value[0, 1], entry.low[0, 1], entry.high[0, 1]])
    out = {}
    for name, entries in found.items():
        value, low, high = np.array(entries).T
        out[name] = ((low <= value.mean()) & (value.mean() <= high)).tolist()
    return out


def simulate_ties(*, num_structures=120, num_elements=12, repeats, seed=0):
    """Mutual neighbours of two models that are one random vector an element, and the p-value within the element."""
    rng = np.random.default_rng(seed)
    species, structure = crystals(rng, num_structures, num_elements=num_elements)
    fn = MEASURES["mutual_knn"]

    @jax.jit
    def tests(x, y, key):
        settings = {"groups": species, "blocks": structure, "num_permutations": PERMUTATIONS, "key": key}
        return fn(x, y), statistics.permutation_test(fn, x, y, **settings).p_value

    out = []
    for i in range(repeats):
        x, y = (jnp.asarray(rng.normal(size=(120, 12))[species], jnp.float32) for _ in range(2))
        out.append([float(number) for number in tests(x, y, jax.random.key(i))])
    return out


def rate(outcomes):
    """A rate with its Monte-Carlo error."""
    mean = float(np.mean(outcomes))
    return {"rate": mean, "error": math.sqrt(max(mean * (1 - mean), 0.25 / len(outcomes)) / len(outcomes))}


def rows(repeats):
    """(what, measure, expected, rate) of everything."""

    rejected = lambda p_values: rate(np.array(p_values) <= 0.05)
    for common in (False, True):
        whose = "common to the crystal" if common else "of each element in a crystal"
        for share in SHARES:
            for name, p_values in simulate_tests(share=share, common=common, repeats=repeats).items():
                what = f"false positives beyond the element; effects {whose}, {share:.0%} of the variance"
                yield what, name, "≤ 0.05", rejected(p_values)
    for share in SHARES:
        for name, p_values in simulate_one_element(share=share, repeats=repeats).items():
            yield (
                f"false positives in one element; {share:.0%} of the variance between crystals",
                name,
                "0.05",
                rejected(p_values),
            )
    for strength in (0.5, 1.0):
        for name, p_values in simulate_tests(share=0.9, common=True, strength=strength, repeats=repeats // 2).items():
            yield f"power; {strength:g} standard deviations of the models' own shared", name, "–", rejected(p_values)
    for name, p_values in simulate_compare(repeats=repeats // 2).items():
        yield (
            "`compare`: false positives beyond the element; effects common to the crystal, 90 %",
            name,
            "≤ 0.05",
            rejected(p_values),
        )
    ties = np.array(simulate_ties(repeats=repeats // 4))
    yield "false positives of two models that are one vector an element", "mutual_knn", "≤ 0.05", rejected(ties[:, 1])
    for anchors in ("random", "given"):
        for name, covered in simulate_intervals(anchors=anchors, repeats=repeats).items():
            yield (
                f"coverage of 95 % intervals of `compare`, anchors {'redrawn' if anchors == 'random' else 'given'}",
                name,
                ("0.95"),
                rate(covered),
            )
    for noise, auroc in ((0.3, 0.985), (1.0, 0.88)):
        for name, covered in analyses.simulate_error_ranking(noise=noise, repeats=repeats).items():
            yield f"coverage, error ranking at AUROC {auroc}", name, "0.95", rate(covered)


def page(entries, repeats):
    """The table, as Markdown."""
    lines = [
        f"Measured with {repeats} repeats (half for power and `compare`, a quarter for ties); ± is one standard error.",
        "",
    ]
    lines += ["| what | measure | expected | measured |", "|---|---|---|---|"]
    lines += [
        f"| {entry['what']} | `{entry['measure']}` | {entry['expected']} | {entry['rate']:.3f} ± {entry['error']:.3f} |"
        for entry in entries
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    repeats = parser.parse_args().repeats
    entries = []
    for what, name, expected, measured in rows(repeats):
        entries.append({"what": what, "measure": name, "expected": expected, **measured})
        sys.stdout.write(f"{what}, {name}: {measured['rate']:.3f} ± {measured['error']:.3f} (expected {expected})\n")
        sys.stdout.flush()
        RESULT.write_text(json.dumps({"repeats": repeats, "rates": entries}, indent=1) + "\n")
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n{page(entries, repeats)}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
