"""Measures of a few hundred rows: nulls and intervals of those that need all pairs of them."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from platonic_jax import numerics, statistics
from platonic_jax.analyses import _measures
from platonic_jax.analyses._anchoring import Choice
from platonic_jax.analyses._comparison._draws import Resample
from platonic_jax.analyses._comparison._matrix import Estimated, matrix_of
from platonic_jax.analyses._comparison._record import Matrix
from platonic_jax.analyses._comparison._spaces import Space, project
from platonic_jax.analyses._measures import THINNED, TRANSPORT, Thinned
from platonic_jax.analyses._nulls import Null, p_value_of
from platonic_jax.tables import EmbeddingTable

NOT_TESTED = "too few structures among the thinned rows for a test within each element"


class ThinnedMeasures:
    """For each draw of a null the embeddings of all models, made once for all measures."""

    def __init__(
        self,
        tables: Sequence[EmbeddingTable],
        names: Sequence[str],
        spaces: Sequence[Space],
        nulls: Mapping[str, Null],
        choice: Choice,
        samples: Sequence[Resample],
        *,
        index: np.ndarray,
        similarity: str,
        num_draws: int,
        key: Mapping[str, Array],
    ) -> None:
        self.tables, self.names, self.nulls, self.key = tables, names, nulls, key
        self.choice, self.redrawn, self.index, self.similarity, self.num_draws = (
            choice,
            samples,
            index,
            similarity,
            num_draws,
        )
        self.clouds = [space.thinned for space in spaces]
        self.single = [np.asarray(cloud, np.float32) for cloud in self.clouds]
        half = max(2, len(index) // 2)
        self.samples = _halves(key["bootstrap"], tables[0].structure_index[index], num_rows=half, num_draws=num_draws)
        self.exchange = {kind: null.exchange(index) for kind, null in nulls.items()}
        self._elsewhere: dict[tuple[str, int], np.ndarray] = {}
        self._redrawn: dict[int, np.ndarray] = {}

    def matrix(self, name: str, *, begin: Callable[[str], None]) -> Matrix:
        """One measure over all pairs; over both orders of each, where it is not symmetric."""
        measure, properties = THINNED[name], _measures.properties(name)
        m = len(self.clouds)
        both_orders = itertools.product(range(m), repeat=2)
        pairs = itertools.combinations_with_replacement(range(m), 2) if properties.symmetric else both_orders
        values, entries = {}, {}
        drawn = measure.drawn or measure.value
        for i, j in pairs:
            begin(f"{name} of {self.names[i]} and {self.names[j]}")
            values[i, j] = float(_measures.thinned_value(self.clouds[i], self.clouds[j], measure=measure.value))
            if np.isnan(values[i, j]) and not measure.paired:
                raise ValueError(
                    f"`{name}` of {self.names[i]} and {self.names[j]} must converge, and did not: "
                    "give it fewer rows, or leave the measure out."
                )
            if i != j:
                entries[i, j] = self._estimated(name, i, j, values[i, j], measure, drawn)
        settings: dict[str, Any] = {
            "num_permutations": self.num_draws,
            "num_rows": len(self.index),
            "rows": self.index.tolist(),
            "interval": f"value ± t standard errors: {self.num_draws} random halves of the structures"
            + (f", {len(self.redrawn)} draws of the anchors" if self.redrawn else "; the anchors are given"),
            "exchange": {
                kind: dict(counts)
                | ({} if self.nulls[kind].groups is None else {"can_be_tested": False, "why": NOT_TESTED})
                for kind, counts in self.exchange.items()
            },
        }
        if name == TRANSPORT:
            settings |= {
                "epsilon": _measures.EPSILON,
                "epsilon_unit": "mean squared distance between the two embeddings",
                "cost": "squared Euclidean distance in the space of the anchors",
            }
        if not measure.paired:
            settings["null"] = "the second model's anchors are other atoms: transport does not depend on row order"
        return matrix_of(name, values, entries, m=m, settings=settings)

    def _estimated(
        self, name: str, i: int, j: int, value: float, measure: Thinned, drawn: _measures.Measure
    ) -> Estimated:
        samples = np.asarray(_measures.thinned_samples(self.single[i], self.single[j], self.samples, measure=drawn))
        parts = [(float(np.std(samples, ddof=1)), self.num_draws - 1)]
        shuffled = [self._shuffled(kind, j, measure) for kind in self.nulls]
        xs = [self._redraws(i), *(np.broadcast_to(self.single[i], clouds.shape) for clouds in shuffled)]
        ys = [self._redraws(j), *shuffled]
        # All draws in one call, which is compiled once.
        values = np.asarray(_measures.thinned_each(np.concatenate(xs), np.concatenate(ys), measure=drawn))
        redrawn, *of_nulls = np.split(values, np.cumsum([len(clouds) for clouds in ys])[:-1])
        if self.redrawn:
            parts.append((float(np.std(redrawn, ddof=1)), len(self.redrawn) - 1))
        nulls, p_values = {}, {}
        for (kind, null), draws in zip(self.nulls.items(), of_nulls, strict=True):
            nulls[kind] = float(draws.mean())
            possible = null.groups is None and self.exchange[kind]["can_be_tested"]
            p_values[kind] = float(p_value_of(name, np.array([value]), draws[:, None], possible=possible)[0])
        errors = (parts[0][0], parts[1][0] if self.redrawn else np.nan)
        return Estimated(errors, parts, nulls, p_values, {kind: parts for kind in nulls})

    def _redraws(self, model: int) -> np.ndarray:
        """(r, t, k) the rows of a model in the space of each draw of the anchors."""
        if model not in self._redrawn:
            spaces = []
            for choice, _ in self.redrawn:
                x = np.asarray(choice.mapped(self.tables[model]), np.float32)
                spaces.append(project(x, choice.rows, self.index, choice.weights, similarity=self.similarity))
            self._redrawn[model] = np.array(spaces, np.float32).reshape(-1, *self.single[model].shape)
        return self._redrawn[model]

    def _shuffled(self, kind: str, model: int, measure: Thinned) -> np.ndarray:
        """(d, t, k) the rows of a model in other orders; where order does not matter, in the space of other anchors."""
        null = self.nulls[kind]
        if measure.paired:
            return self.single[model][np.asarray(null.orders(self.key[kind], rows=self.index, number=self.num_draws))]
        if (kind, model) not in self._elsewhere:
            choice = self.choice
            x = np.asarray(choice.mapped(self.tables[model]), np.float32)
            spaces = [
                project(x, np.asarray(order)[choice.rows], self.index, choice.weights, similarity=self.similarity)
                for order in null.each(self.key[kind], number=self.num_draws)
            ]
            self._elsewhere[kind, model] = np.stack(spaces)
        return self._elsewhere[kind, model]


@partial(jax.jit, static_argnames=("num_rows", "num_draws"))
def _halves(key: Array, structures: Array, *, num_rows: int, num_draws: int) -> Array:
    """(num_draws, num_rows) rows of structures drawn at random."""
    draw = lambda i: statistics.subsample_index(jax.random.fold_in(key, i), structures, num_rows=num_rows)
    return numerics.map_rows(draw, jnp.arange(num_draws))
